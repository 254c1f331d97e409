"""What the command palette offers: keys, places to go to, settings, databases."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Protocol

from textual.screen import Screen
from textual.widget import Widget

from paraschut_core.reporting.statistics import WINDOWS
from paraschut_core.sanitize import clean_line

from .. import keymap
from ..dashboard_state import DashboardState
from ..dialogs.command_palette import PaletteCommand
from ..overview.model import WORDS, NavigationTarget
from ..session.store import RecentDatabase
from .notifier import Notifier
from .panes import Panes

GoTo = Callable[[NavigationTarget], None]


class DatabaseSwitcher(Protocol):
    """What the dashboard needs of its app."""

    def theme_names(self) -> list[str]:
        """Return the names of the themes."""

    async def recent_databases(self) -> list[RecentDatabase]:
        """Return the databases opened before, the latest first."""

    def open_database(self, database: str, config: str) -> None:
        """Replace the database by another one."""


def key_commands(
    screen: Screen[None], panes: Panes, focused: str, *, read_only: bool
) -> Iterator[PaletteCommand]:
    """Yield every key by what it does, those of the focused pane first."""

    def command(key: keymap.Key, widget: Widget, pane: str) -> PaletteCommand:
        async def run() -> None:
            if widget is panes.lower.log_view:
                panes.lower.show_log()
            if widget is not screen:
                widget.focus()
            await widget.run_action(key.action)

        text = f"{key.help[0].upper()}{key.help[1:]}"
        return PaletteCommand(text, run, pane, keymap.name_of(key), key.synonyms, key.destroys)

    def of_pane(table: Sequence[keymap.Key], widget: Widget, pane: str) -> list[PaletteCommand]:
        return [command(key, widget, pane) for key in table if key.help and key not in keymap.MOVE]

    main = [key for key in keymap.MAIN if key.action != "palette" and not (key.changes and read_only)]
    everywhere = of_pane(main, screen, "")
    log = of_pane(keymap.LOG, panes.lower.log_view, "log")
    jobs = of_pane(keymap.GRID, panes.jobs.grid, "jobs")
    batches = of_pane(keymap.TREE, panes.batches.batch_tree, "batches")
    both = [*batches, *jobs] if focused == "tree" else [*jobs, *batches]
    yield from [*log, *everywhere, *both] if focused == "log" else [*everywhere, *both, *log]


def place_commands(
    state: DashboardState, history: Sequence[str], go_to: GoTo, show_overview: Callable[[str], object]
) -> Iterator[PaletteCommand]:
    """Yield spans of time, filters and batches."""
    for name in WINDOWS:
        yield PaletteCommand(f"Overview: {WORDS[name]}", partial(show_overview, name))
    for name, text in state.saved_filters.items():
        run = partial(go_to, NavigationTarget(filter=text))
        yield PaletteCommand(f"Filter: @{clean_line(name)}", run, clean_line(text))
    for text in reversed(history):
        yield PaletteCommand(f"Filter: {clean_line(text)}", partial(go_to, NavigationTarget(filter=text)))
    for batch_id, batch in sorted(state.batches.items(), reverse=True):
        name = clean_line(batch.name) or "(no name)"
        run = partial(go_to, NavigationTarget(batch_id=batch_id))
        yield PaletteCommand(f"Batch: {name}", run, str(batch_id))


def setting_commands(
    screen: Screen[None], themes: Sequence[str], notifier: Notifier
) -> Iterator[PaletteCommand]:
    """Yield the themes, and how notifications are shown."""
    for name in themes:
        now = "now" if name == screen.app.theme else ""
        yield PaletteCommand(f"Theme: {name}", partial(setattr, screen.app, "theme", name), now)
    bell = "no bell" if notifier.bell else "ring the bell"
    yield PaletteCommand(f"Notices: {bell}", notifier.toggle_bell)
    desktop = "not " if notifier.desktop != "off" else ""
    yield PaletteCommand(f"Notices: {desktop}on the desktop", notifier.toggle_desktop)


def database_commands(
    recent: Sequence[RecentDatabase], database: str, switcher: DatabaseSwitcher
) -> Iterator[PaletteCommand]:
    """Yield the databases opened before, without the present one."""
    for one in recent:
        if one.database != os.path.realpath(database):
            run = partial(switcher.open_database, one.database, one.config)
            yield PaletteCommand(f"Database: {clean_line(one.database)}", run)
