"""ParaschutApp: wires gateway, screen and themes together, and keeps the terminal whole at the end."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import ClassVar

from rich.console import Console
from textual.binding import Binding, BindingType
from textual.constants import COLOR_SYSTEM
from textual.screen import Screen
from textual.theme import Theme

from paraschut_core.config import Settings
from paraschut_core.errors import ParaschutError
from paraschut_core.executors.base import JobExecutor
from paraschut_core.sanitize import clean_line
from paraschut_core.security.confinement import ConfinedError, is_confined

from .actions.action_registry import ACTIONS, outcome
from .backend.backend import ThreadedBackend
from .backend.recent_log import log_to
from .backend.worker_thread import WorkerThread
from .dashboard.screen import MainScreen
from .session.session_state import SessionState
from .session.store import RecentDatabase, SessionSaver, SessionStore
from .state_styles import Palette, StateStyles, themes
from .terminal.charset import alphabet
from .terminal.terminal_app import TerminalApp, run_app, use_terminal_size
from .terminal.textual_compat import allow_switching

DEFAULT_THEME = "paraschut"
LEAN_THEME = "paraschut-16"

STARTED = 2.0
"""Seconds after which what is there is there to stay."""


class ParaschutApp(TerminalApp[None]):
    """The dashboard of one project.

    Args:
        settings: the project.
        filter_text: a filter to begin with.
        batch: the BatchID to begin with.
        read_only: no key changes anything (also if the settings say so, or the file cannot be written).
        lean: few bytes for slow lines: sixteen colours, no animation; None: as the settings say, and if
            they leave it to the terminal, by how fast that is.
        executor: instead of the one that the settings name.
        gateway: instead of one made from the settings.
        clock: epoch seconds.
        memory: what is remembered from the time before.
        shelf: where what is remembered is read and kept; nothing is if there is none.
    """

    CSS_PATH = os.path.join(os.path.dirname(__file__), "paraschut.tcss")
    TITLE = "Paraschut"
    ENABLE_COMMAND_PALETTE = False  # ours sends fewer bytes, and takes no name for markup
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+q", "quit", "leave", show=False, priority=True),
        Binding("ctrl+z", "suspend_process", "to the shell", show=False, priority=True),
        Binding("ctrl+l", "paint_anew", "paint the screen again", show=False, priority=True),
    ]

    def __init__(
        self,
        settings: Settings,
        *,
        filter_text: str = "",
        batch: int | None = None,
        read_only: bool = False,
        lean: bool | None = None,
        executor: JobExecutor | None = None,
        gateway: ThreadedBackend | None = None,
        clock: Callable[[], float] = time.time,
        memory: SessionState | None = None,
        shelf: SessionStore | None = None,
    ) -> None:
        super().__init__(speed_measured=self._choose_bandwidth)
        self.settings = settings
        self.lean = _lean(settings.dashboard.lean if lean is None else lean)
        """Whether few bytes are to be sent; None: that is for the line's speed to say."""
        self._asked_read_only = read_only
        self.read_only = self._only_reads(settings)
        self.frame.charset = alphabet(settings.dashboard.letters, os.environ)
        self.looks = gateway.looks if gateway is not None else StateStyles(self.frame.charset.letters)
        self.gateway = gateway or ThreadedBackend(settings, self.looks, executor)
        self._filter_text = filter_text
        self._batch = batch
        self._clock = clock
        self.shelf = shelf
        self.memory, self._problem = memory or SessionState(), ""
        self._keeper: SessionSaver | None = None
        self._lane = WorkerThread("paraschut-state")
        if shelf is not None:
            self.memory, self._problem = shelf.recall(settings.database)
            self._keeper = SessionSaver(shelf, settings.database, settings.config_file, self.memory)
        for theme in themes():
            self.register_theme(theme)
        self.theme = self._first_theme()
        if self.lean:
            self.animation_level = "none"

    def _only_reads(self, settings: Settings) -> bool:
        if self._asked_read_only or settings.dashboard.read_only:
            return True
        path = settings.database
        # SQLite writes a journal beside the file. One that is not there yet is somebody else's to tell of.
        needed = (path, os.path.dirname(path) or ".")
        return os.path.exists(path) and not all(os.access(one, os.W_OK) for one in needed)

    def _first_theme(self) -> str:
        for wanted in (self.settings.dashboard.theme, "" if self.lean else self.memory.theme):
            if wanted in self.available_themes:
                return wanted
        return first_theme(bool(self.lean))

    def get_default_screen(self) -> Screen[None]:
        """The main screen takes the place of Textual's empty one: nothing is painted twice."""
        return MainScreen(
            self.gateway,
            Palette(self.current_theme),
            self.looks,
            self._clock,
            filter_text=self._filter_text,
            batch=self._batch,
            read_only=self.read_only,
            memory=self.memory,
            keep=partial(self._keep, self._keeper),
        )

    def _keep(self, keeper: SessionSaver | None, memory: SessionState) -> None:
        if keeper is not self._keeper:
            return  # of a database that was left
        if self.lean and memory.theme == LEAN_THEME:
            memory = memory._replace(theme=self.memory.theme)  # that was the line's choice, not the user's
        self.memory = memory
        if self._keeper is not None:
            self._keeper.keep(memory)

    def on_mount(self) -> None:
        self.theme_changed_signal.subscribe(self, self._retheme)
        if self._problem:
            self.notify(self._problem, severity="warning", markup=False)
        self.set_timer(STARTED, enable_gc)

    def action_paint_anew(self) -> None:
        """Paints the whole screen again: something else wrote to the terminal."""
        self.repaint_all()

    async def action_quit(self) -> None:
        """Leaves; if an action is under way, only when asked twice."""
        screen = self.screen_stack[0]
        if not isinstance(screen, MainScreen) or screen.may_leave():
            self.exit()

    def _retheme(self, theme: Theme) -> None:
        palette = Palette(theme)
        for screen in self.screen_stack:
            if isinstance(screen, MainScreen):
                screen.use(palette)

    def _choose_bandwidth(self, slow: bool) -> None:
        """Goes lean on a slow line: before the jobs are painted, so that it costs nothing."""
        if self.lean is not None:
            return
        self.lean = slow
        if slow:
            self.animation_level = "none"
            if not self.settings.dashboard.theme:
                self.theme = LEAN_THEME
            main = self.screen_stack[0]
            if isinstance(main, MainScreen):
                main.notices = ("slow line",)
                main.show_flags()

    def on_unmount(self) -> None:
        self.gateway.stop()

    def close(self) -> None:
        """After the screen is gone: ends the threads, and sees to it that all is written."""
        self.gateway.close()
        if self._keeper is not None:
            self._keeper.close()

    # ------------------------------------------------------------------ themes and databases

    def theme_names(self) -> list[str]:
        """The themes, ours first."""
        ours = [theme.name for theme in themes()]
        return ours + sorted(name for name in self.available_themes if name not in ours)

    async def recent_databases(self) -> list[RecentDatabase]:
        """The databases opened before, the latest first; none if they cannot be told at once."""
        if self.shelf is None:
            return []
        found = asyncio.wrap_future(self._lane.submit(self.shelf.recent))
        try:
            return await asyncio.wait_for(found, 1.0)
        except asyncio.TimeoutError:
            return []

    def open_database(self, database: str, config: str) -> None:
        """Goes on with another database; what cannot be opened is told, and all stays as it is."""
        # The app's own task: those of the screen that is left end with it.
        self.run_worker(self._open(database, config), exclusive=True, group="database", exit_on_error=False)

    async def _open(self, database: str, config: str) -> None:
        if self.gateway.acting:
            self._complain("An action is under way here; Esc stops it.")
            return
        try:
            settings, memory, problem, self.read_only = await asyncio.wrap_future(
                self._lane.submit(lambda: self._prepare(database, config))
            )
        except ParaschutError as error:
            self._complain(str(error))
            return
        while len(self.screen_stack) > 1:
            await self.pop_screen()
        self._begin_with(settings, memory)
        allow_switching(self.screen)
        await self.switch_screen(self.get_default_screen())
        if problem:
            self._complain(problem)

    def _prepare(self, database: str, config: str) -> tuple[Settings, SessionState, str, bool]:
        """All that can be wrong with a database is found before the present one is left."""
        from paraschut_core import config as configuration
        from paraschut_core.project import open_database

        if is_confined():
            raise ConfinedError("This dashboard is shown to others: it opens no other database.")
        known = config if config and os.path.isfile(config) else None
        settings = configuration.load(known, database, os.path.dirname(database))
        with open_database(settings, read_only=True) as opened:
            opened.rows("SELECT rev FROM revision")
        memory, problem = self.shelf.recall(database) if self.shelf is not None else (SessionState(), "")
        return settings, memory, problem, self._only_reads(settings)

    def _begin_with(self, settings: Settings, memory: SessionState) -> None:
        """Leaves the present database for another."""
        main = self.screen_stack[0]
        if isinstance(main, MainScreen):
            main.keep_now()
        self.gateway.stop()
        if self._keeper is not None:
            self._keeper.end()
        self.settings = settings
        self.looks = StateStyles(self.frame.charset.letters)
        self.gateway = ThreadedBackend(settings, self.looks)
        self.memory = memory
        self._filter_text, self._batch = "", None
        if self.shelf is not None:
            self._keeper = SessionSaver(self.shelf, settings.database, settings.config_file, memory)

    def _complain(self, text: str) -> None:
        self.notify(clean_line(text, 400), severity="error", markup=False)


def run(
    settings: Settings,
    *,
    filter_text: str = "",
    batch: int | None = None,
    read_only: bool = False,
    lean: bool | None = None,
    executor: JobExecutor | None = None,
    debug_log: str = "",
) -> int:
    """Opens the dashboard and returns its exit status once it is left.

    Args:
        debug_log: a file for all that the program logs of itself.
    """
    if debug_log:
        log_to(debug_log)
    os.environ.setdefault("TEXTUAL_SMOOTH_SCROLL", "0")
    use_terminal_size()
    app = ParaschutApp(
        settings,
        filter_text=filter_text,
        batch=batch,
        read_only=read_only,
        lean=True if lean is None and few_colours() else lean,
        executor=executor,
        shelf=None if is_confined() else SessionStore(),
    )
    run_app(app, mouse=settings.dashboard.mouse)
    acting = app.gateway.acting
    if acting:
        _say(f"{ACTIONS[acting].ask}: stopping behind the jobs that it is at.")
    app.close()
    if acting:
        verdict = app.gateway.verdict
        told = outcome(ACTIONS[acting], verdict) if verdict else "it goes on; the history (@) will tell"
        _say(f"{ACTIONS[acting].ask}: {told}")
    return app.exit_status()


def enable_gc() -> None:
    """Looks for garbage from now on, and only among what is made from now on."""
    gc.freeze()
    gc.enable()


def first_theme(lean: bool) -> str:
    """The theme where nobody named one."""
    return LEAN_THEME if lean else DEFAULT_THEME


def _lean(wanted: bool | str) -> bool | None:
    return None if wanted == "auto" else bool(wanted)


def _say(text: str) -> None:
    """To the user, once the terminal is theirs again."""
    print(clean_line(text), file=sys.stderr)  # noqa: T201 - this is where they look now


def few_colours() -> bool:
    """Whether the terminal has but sixteen colours, or none; a browser's has all."""
    if COLOR_SYSTEM not in (None, "auto"):
        return COLOR_SYSTEM == "standard"
    return Console().color_system in (None, "standard")
