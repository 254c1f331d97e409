"""Choosers: the keys that open something to choose from: the overview, all commands, other databases."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, cast

from textual import work
from textual.widget import Widget

from paraschut_core.reporting.statistics import WINDOWS
from paraschut_core.sanitize import clean_line

from .. import keymap
from ..dialogs.command_palette import CommandPaletteScreen, PaletteCommand
from ..dialogs.help import HelpScreen
from ..dialogs.prompt import PromptScreen
from ..job_log.log_keys import LOG_KEYS
from ..messages import StatisticsReady
from ..overview.model import WORDS, NavigationTarget
from ..overview.screen import OverviewScreen
from ..session.store import RecentDatabase
from .navigation import Navigator
from .notifier import Notifier

if TYPE_CHECKING:
    from ..app import ParaschutApp

_PANES = {"grid": ("jobs", keymap.GRID), "tree": ("batches", keymap.TREE)}


class Choosers(Navigator, Notifier):
    """The part of the main screen that leads elsewhere, and tells what happened elsewhere."""

    window = ""
    """The overview's span of time."""

    _overview: OverviewScreen | None = None

    @property
    def dashboard(self) -> ParaschutApp:
        """The app, as what it is."""
        return cast("ParaschutApp", self.app)

    # ------------------------------------------------------------------ overview

    def action_overview(self, window: str = "") -> None:
        if self.snapshot is not None:
            self._show_overview(window)

    @work(exclusive=True, group="overview", exit_on_error=False)
    async def _show_overview(self, window: str) -> None:
        assert self.snapshot is not None  # asked before
        cursor = self.batch_tree.cursor
        screen = self._overview = OverviewScreen(
            self.gateway,
            self.palette,
            self.looks,
            self.snapshot,
            self.clock,
            window=window or self.window,
            batch_id=cursor.batch_id if cursor is not None else None,
            read_only=self.read_only,
        )
        target = await self.app.push_screen_wait(screen)
        self._overview = None
        self.window = screen.window
        self.gateway.stop_statistics()
        if target is not None:
            self._go_to(target)

    def _go_to(self, target: NavigationTarget) -> None:
        if target.filter:
            self.scope.set_filter(target.filter)
        elif target.job is not None:
            self.go_to_job(target.job)
        elif target.batch_id is not None:
            self.go_to_batch(target.batch_id)
        self.grid.focus()
        self.write_headings()

    def on_statistics_ready(self, message: StatisticsReady) -> None:
        message.stop()
        if self._overview is not None:
            self._overview.take_survey(message)

    # ------------------------------------------------------------------ help

    def action_help(self) -> None:
        pane = "details" if self.pane == "log" and self.has_class("-details") else self.pane
        self.app.push_screen(HelpScreen(self.palette, self.looks, pane, read_only=self.read_only))

    # ------------------------------------------------------------------ palette

    @work(exclusive=True, group="choose", exit_on_error=False)
    async def action_palette(self) -> None:
        recent = await self.before_keys(self.dashboard.recent_databases())
        entries = [*self._commands(), *self._views(), *self._settings(), *self._databases(recent)]
        await self._run(await self.app.push_screen_wait(CommandPaletteScreen(self.palette, entries)))

    @work(exclusive=True, group="choose", exit_on_error=False)
    async def action_databases(self) -> None:
        recent = await self.before_keys(self.dashboard.recent_databases())
        entries = [*self._databases(recent)]
        entries.append(PaletteCommand("Another database", self._ask_database, "name its file"))
        await self._run(
            await self.app.push_screen_wait(CommandPaletteScreen(self.palette, entries, "DATABASES"))
        )

    @staticmethod
    async def _run(run: Callable[[], object] | None) -> None:
        result = run() if run is not None else None
        if inspect.isawaitable(result):
            await result

    def _commands(self) -> Iterator[PaletteCommand]:
        """Every key by what it does: those of the focused pane first."""
        panes: dict[str, Widget] = {"grid": self.grid, "tree": self.batch_tree}
        order = sorted(_PANES, key=lambda name: name != self.pane)
        tables = [(*_PANES[name], panes[name]) for name in order]
        main: list[PaletteCommand] = []
        for key in keymap.MAIN:
            if key.help and key.action != "palette" and not (key.changes and self.read_only):
                main.append(self._entry(key.help, keymap.name_of(key), key.action, self, ""))
        sections = [
            [
                self._entry(key.help, keymap.name_of(key), key.action, widget, where)
                for key in table
                if key.help and key not in keymap.MOVE
            ]
            for where, table, widget in tables
        ]
        log = [self._entry(key.help, key.shown, key.action, self.log_view, "log") for key in LOG_KEYS]
        first = [log, main, *sections] if self.pane == "log" else [main, *sections, log]
        for section in first:
            yield from section

    def _entry(self, text: str, key: str, action: str, widget: Widget, where: str) -> PaletteCommand:
        async def run() -> None:
            if widget is not self:
                if widget is self.log_view:
                    self.remove_class("-details")
                widget.focus()
            await widget.run_action(action)

        return PaletteCommand(f"{text[0].upper()}{text[1:]}", run, where, key)

    def _views(self) -> Iterator[PaletteCommand]:
        """What can be gone to: spans of time, filters, batches."""
        for name in WINDOWS:
            yield PaletteCommand(f"Overview: {WORDS[name]}", partial(self.action_overview, name))
        for name, text in self.filter_bar.saved.items():
            yield PaletteCommand(
                f"Filter: @{clean_line(name)}",
                partial(self._go_to, NavigationTarget(filter=text)),
                clean_line(text),
            )
        for text in reversed(self.filter_bar.history):
            yield PaletteCommand(
                f"Filter: {clean_line(text)}", partial(self._go_to, NavigationTarget(filter=text))
            )
        batches = self.snapshot.batches if self.snapshot is not None else {}
        for batch_id in sorted(batches, reverse=True):
            name = clean_line(batches[batch_id].name) or "(no name)"
            yield PaletteCommand(
                f"Batch: {name}", partial(self._go_to, NavigationTarget(batch_id=batch_id)), str(batch_id)
            )

    def _settings(self) -> Iterator[PaletteCommand]:
        """What can be set: the theme, how notices are told."""
        for name in self.dashboard.theme_names():
            now = "now" if name == self.app.theme else ""
            yield PaletteCommand(f"Theme: {name}", partial(setattr, self.app, "theme", name), now)
        bell, desktop = self.tells_by_bell, self.tells_by_desktop != "off"
        yield PaletteCommand(f"Notices: {'no bell' if bell else 'ring the bell'}", self.toggle_bell)
        yield PaletteCommand(f"Notices: {'not ' if desktop else ''}on the desktop", self.toggle_desktop)

    def _databases(self, recent: list[RecentDatabase]) -> Iterator[PaletteCommand]:
        here = os.path.realpath(self.gateway.settings.database)
        for one in recent:
            if one.database != here:
                opening = partial(self.dashboard.open_database, one.database, one.config)
                yield PaletteCommand(f"Database: {clean_line(one.database)}", opening)

    async def _ask_database(self) -> None:
        path = await self.app.push_screen_wait(PromptScreen("Another database", "The database's file:"))
        if path:
            self.dashboard.open_database(os.path.abspath(os.path.expanduser(path)), "")
