"""CommandList: everything that the command palette offers: keys, places, settings, databases."""

from __future__ import annotations

import inspect
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
from ..dialogs.command_palette import CommandPaletteScreen, PaletteCommand
from ..dialogs.prompt import PromptScreen
from ..filter.bar import FilterBar
from ..job_log.log_keys import LOG_KEYS
from ..overview.model import WORDS, NavigationTarget
from ..session.store import RecentDatabase
from ..state_styles import Palette
from ..terminal.terminal_app import hold_keys_during
from .navigator import Navigator
from .notifier import Notifier
from .pane_layout import PaneLayout
from .panes import Panes


class DatabaseSwitcher(Protocol):
    """What the command list needs of the app."""

    def theme_names(self) -> list[str]:
        """Return the names of the themes."""

    async def recent_databases(self) -> list[RecentDatabase]:
        """Return the databases opened before, the latest first."""

    def open_database(self, database: str, config: str) -> None:
        """Replace the database by another one."""


class CommandList:
    """Makes the entries of the palette, and runs the chosen one."""

    def __init__(
        self,
        screen: Screen[None],
        switcher: DatabaseSwitcher,
        state: DashboardState,
        database: str,
        panes: Panes,
        filter_bar: FilterBar,
        layout: PaneLayout,
        navigator: Navigator,
        notifier: Notifier,
    ) -> None:
        self._screen = screen
        self._switcher = switcher
        self._state = state
        self._database = database
        self._batches, self._jobs, self._lower = panes.batches, panes.jobs, panes.lower
        self._filter_bar = filter_bar
        self._layout = layout
        self._navigator = navigator
        self._notifier = notifier

    # ------------------------------------------------------------------ choosing

    async def choose_command(self) -> None:
        """Open the palette with everything, and run what is chosen."""
        recent = await hold_keys_during(self._screen.app, self._switcher.recent_databases())
        entries = [*self._keys(), *self._places(), *self._settings(), *self._databases(recent)]
        await self._choose(entries, "COMMANDS")

    async def choose_database(self) -> None:
        """Open the palette with the databases opened before, and open the chosen one."""
        recent = await hold_keys_during(self._screen.app, self._switcher.recent_databases())
        other = PaletteCommand("Another database", self._ask_database, "name its file")
        await self._choose([*self._databases(recent), other], "DATABASES")

    async def _choose(self, entries: list[PaletteCommand], title: str) -> None:
        palette = Palette(self._screen.app.current_theme)
        run = await self._screen.app.push_screen_wait(CommandPaletteScreen(palette, entries, title))
        result = run() if run is not None else None
        if inspect.isawaitable(result):
            await result

    async def _ask_database(self) -> None:
        question = PromptScreen("Another database", "The database's file:")
        path = await self._screen.app.push_screen_wait(question)
        if path:
            self._switcher.open_database(os.path.abspath(os.path.expanduser(path)), "")

    # ------------------------------------------------------------------ entries

    def _keys(self) -> Iterator[PaletteCommand]:
        """Yield every key by what it does, those of the focused pane first."""
        screen: list[PaletteCommand] = [
            self._key(key.help, keymap.name_of(key), key.action, self._screen, "")
            for key in keymap.MAIN
            if key.help and key.action != "palette" and not (key.changes and self._state.read_only)
        ]
        log = [self._key(key.help, key.shown, key.action, self._lower.log_view, "log") for key in LOG_KEYS]
        jobs = self._keys_of(keymap.GRID, self._jobs.grid, "jobs")
        batches = self._keys_of(keymap.TREE, self._batches.batch_tree, "batches")
        focused = self._layout.focused
        panes = [*batches, *jobs] if focused == "tree" else [*jobs, *batches]
        yield from [*log, *screen, *panes] if focused == "log" else [*screen, *panes, *log]

    def _keys_of(self, table: Sequence[keymap.Key], widget: Widget, pane: str) -> list[PaletteCommand]:
        return [
            self._key(key.help, keymap.name_of(key), key.action, widget, pane)
            for key in table
            if key.help and key not in keymap.MOVE
        ]

    def _key(self, text: str, key: str, action: str, widget: Widget, pane: str) -> PaletteCommand:
        async def run() -> None:
            if widget is self._lower.log_view:
                self._lower.show_log()
            if widget is not self._screen:
                widget.focus()
            await widget.run_action(action)

        return PaletteCommand(f"{text[0].upper()}{text[1:]}", run, pane, key)

    def _places(self) -> Iterator[PaletteCommand]:
        """Yield spans of time, filters and batches."""
        for name in WINDOWS:
            yield PaletteCommand(
                f"Overview: {WORDS[name]}", partial(self._screen.run_action, f"overview({name!r})")
            )
        for name, text in self._state.saved_filters.items():
            run = self._go_to(NavigationTarget(filter=text))
            yield PaletteCommand(f"Filter: @{clean_line(name)}", run, clean_line(text))
        for text in reversed(self._filter_bar.history):
            yield PaletteCommand(f"Filter: {clean_line(text)}", self._go_to(NavigationTarget(filter=text)))
        for batch_id, batch in sorted(self._state.batches.items(), reverse=True):
            name = clean_line(batch.name) or "(no name)"
            run = self._go_to(NavigationTarget(batch_id=batch_id))
            yield PaletteCommand(f"Batch: {name}", run, str(batch_id))

    def _go_to(self, target: NavigationTarget) -> Callable[[], None]:
        return partial(self._navigator.go_to, target)

    def _settings(self) -> Iterator[PaletteCommand]:
        """Yield the themes, and how notifications are shown."""
        app, notifier = self._screen.app, self._notifier
        for name in self._switcher.theme_names():
            now = "now" if name == app.theme else ""
            yield PaletteCommand(f"Theme: {name}", partial(setattr, app, "theme", name), now)
        bell = "no bell" if notifier.bell else "ring the bell"
        yield PaletteCommand(f"Notices: {bell}", notifier.toggle_bell)
        desktop = "not " if notifier.desktop != "off" else ""
        yield PaletteCommand(f"Notices: {desktop}on the desktop", notifier.toggle_desktop)

    def _databases(self, recent: list[RecentDatabase]) -> Iterator[PaletteCommand]:
        here = os.path.realpath(self._database)
        for one in recent:
            if one.database != here:
                run = partial(self._switcher.open_database, one.database, one.config)
                yield PaletteCommand(f"Database: {clean_line(one.database)}", run)
