"""ParaschutApp: the dashboard of one project. It owns the backend, the screen, the theme and the session.

The app runs in the main thread. Everything that may block (files, the database, the scheduler, actions) runs
in the worker threads of the backend, which post messages to it.
"""

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

from .backend.backend import Backend
from .backend.recent_log import log_to
from .backend.threaded_backend import ThreadedBackend, require_readable
from .backend.worker_thread import WorkerThread
from .dashboard.screen import MainScreen
from .session.session_state import SessionState
from .session.store import RecentDatabase, SessionSaver, SessionStore
from .state_styles import LOW_BANDWIDTH_THEME, Palette, StateStyles, default_theme, themes
from .terminal.charset import detect_charset
from .terminal.terminal_app import TerminalApp, run_app, use_terminal_size
from .terminal.textual_compat import allow_switching

START_SECONDS = 2.0
"""Seconds after which the objects made at the start are taken for permanent."""


class ParaschutApp(TerminalApp[None]):
    """The dashboard of one project.

    Args:
        settings: the project.
        filter_text: the filter to begin with.
        batch: the BatchID to begin with.
        read_only: no key changes anything (also if the settings say so, or the file cannot be written).
        low_bandwidth: few bytes for slow lines: sixteen colours, no animation. None: as the settings say, and
            if they say "auto", by the speed of the terminal.
        executor: instead of the one that the settings name.
        gateway: instead of one made from the settings.
        clock: epoch seconds.
        session: the state to begin with.
        session_store: where the state of sessions is read and kept; None: nowhere.
    """

    CSS_PATH = os.path.join(os.path.dirname(__file__), "paraschut.tcss")
    TITLE = "Paraschut"
    ENABLE_COMMAND_PALETTE = False  # ours sends fewer bytes, and takes no name for markup
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+q", "quit", "leave", show=False, priority=True),
        Binding("ctrl+z", "suspend_process", "to the shell", show=False, priority=True),
        Binding("ctrl+l", "repaint", "paint the screen again", show=False, priority=True),
    ]

    def __init__(
        self,
        settings: Settings,
        *,
        filter_text: str = "",
        batch: int | None = None,
        read_only: bool = False,
        low_bandwidth: bool | None = None,
        executor: JobExecutor | None = None,
        gateway: Backend | None = None,
        clock: Callable[[], float] = time.time,
        session: SessionState | None = None,
        session_store: SessionStore | None = None,
    ) -> None:
        super().__init__(speed_measured=self._choose_bandwidth)
        self.settings = settings
        wanted = settings.dashboard.lean if low_bandwidth is None else low_bandwidth
        self.low_bandwidth = None if wanted == "auto" else bool(wanted)
        """Whether few bytes are to be sent; None: the line's speed will decide."""
        self._asked_read_only = read_only
        self.read_only = self._must_not_write(settings)
        self.frame.charset = detect_charset(settings.dashboard.letters, os.environ)
        self.looks = gateway.styles if gateway is not None else StateStyles(self.frame.charset.letters)
        self.gateway: Backend = gateway or ThreadedBackend(settings, self.looks, executor)
        self._filter_text = filter_text
        self._batch = batch
        self._clock = clock
        self.session_store = session_store
        self.session, self._problem = session or SessionState(), ""
        self._saver: SessionSaver | None = None
        self._worker = WorkerThread("paraschut-state")
        if session_store is not None:
            self.session, self._problem = session_store.recall(settings.database)
            self._saver = SessionSaver(session_store, settings.database, settings.config_file, self.session)
        for theme in themes():
            self.register_theme(theme)
        self.theme = self._default_theme()
        if self.low_bandwidth:
            self.animation_level = "none"

    def _must_not_write(self, settings: Settings) -> bool:
        if self._asked_read_only or settings.dashboard.read_only:
            return True
        path = settings.database
        # SQLite writes a journal beside the file. A missing file is reported elsewhere.
        needed = (path, os.path.dirname(path) or ".")
        return os.path.exists(path) and not all(os.access(one, os.W_OK) for one in needed)

    def _default_theme(self) -> str:
        for wanted in (self.settings.dashboard.theme, "" if self.low_bandwidth else self.session.theme):
            if wanted in self.available_themes:
                return wanted
        return default_theme(bool(self.low_bandwidth))

    def get_default_screen(self) -> Screen[None]:
        """Return the main screen in place of Textual's empty one, so that nothing is painted twice."""
        return MainScreen(
            self.gateway,
            self,
            Palette(self.current_theme),
            self._clock,
            filter_text=self._filter_text,
            batch=self._batch,
            read_only=self.read_only,
            session=self.session,
            save=partial(self._keep, self._saver),
        )

    def _keep(self, saver: SessionSaver | None, session: SessionState) -> None:
        if saver is not self._saver:
            return  # of a database that was left
        if self.low_bandwidth and session.theme == LOW_BANDWIDTH_THEME:
            session = session._replace(theme=self.session.theme)  # the line chose that theme, not the user
        self.session = session
        if self._saver is not None:
            self._saver.keep(session)

    def on_mount(self) -> None:
        self.theme_changed_signal.subscribe(self, self._retheme)
        if self._problem:
            self.notify(self._problem, severity="warning", markup=False)
        self.set_timer(START_SECONDS, enable_gc)

    def action_repaint(self) -> None:
        """Paint the whole screen again: something else wrote to the terminal."""
        self.repaint_all()

    async def action_quit(self) -> None:
        """Leave. While an action is under way, the first request only warns."""
        screen = self.screen_stack[0]
        if not isinstance(screen, MainScreen) or screen.actions.may_leave():
            self.exit()

    def _retheme(self, theme: Theme) -> None:
        palette = Palette(theme)
        for screen in self.screen_stack:
            if isinstance(screen, MainScreen):
                screen.use(palette)

    def _choose_bandwidth(self, slow: bool) -> None:
        """Send fewer bytes on a slow line, from before the jobs are painted."""
        if self.low_bandwidth is not None:
            return
        self.low_bandwidth = slow
        if slow:
            self.animation_level = "none"
            if not self.settings.dashboard.theme:
                self.theme = LOW_BANDWIDTH_THEME
            main = self.screen_stack[0]
            if isinstance(main, MainScreen):
                main.state.notices = ("slow line",)
                main.show_flags()

    def on_unmount(self) -> None:
        self.gateway.stop()

    def close(self) -> None:
        """End the threads once the screen is gone, and write what is to be written."""
        self.gateway.close()
        if self._saver is not None:
            self._saver.close()

    # ------------------------------------------------------------------ themes and databases

    def theme_names(self) -> list[str]:
        """Return the themes' names, ours first."""
        ours = [theme.name for theme in themes()]
        return ours + sorted(name for name in self.available_themes if name not in ours)

    async def recent_databases(self) -> list[RecentDatabase]:
        """Return the databases opened before, the latest first; none if their list cannot be read in time."""
        if self.session_store is None:
            return []
        found = asyncio.wrap_future(self._worker.submit(self.session_store.recent))
        try:
            return await asyncio.wait_for(found, 1.0)
        except asyncio.TimeoutError:
            return []

    def open_database(self, database: str, config: str) -> None:
        """Switch to another database. If it cannot be opened, report that and stay."""
        # A task of the app: those of the screen end with the screen.
        self.run_worker(self._open(database, config), exclusive=True, group="database", exit_on_error=False)

    async def _open(self, database: str, config: str) -> None:
        if self.gateway.running_action:
            self._complain("An action is under way here; Esc stops it.")
            return
        try:
            settings, session, problem, self.read_only = await asyncio.wrap_future(
                self._worker.submit(lambda: self._prepare(database, config))
            )
        except ParaschutError as error:
            self._complain(str(error))
            return
        while len(self.screen_stack) > 1:
            await self.pop_screen()
        self._begin_with(settings, session)
        allow_switching(self.screen)
        await self.switch_screen(self.get_default_screen())
        if problem:
            self._complain(problem)

    def _prepare(self, database: str, config: str) -> tuple[Settings, SessionState, str, bool]:
        """Open another database, so that what is wrong with it is found before the present one is left."""
        from paraschut_core import config as configuration

        if is_confined():
            raise ConfinedError("This dashboard is shown to others: it opens no other database.")
        known = config if config and os.path.isfile(config) else None
        settings = configuration.load(known, database, os.path.dirname(database))
        require_readable(settings)
        session, problem = SessionState(), ""
        if self.session_store is not None:
            session, problem = self.session_store.recall(database)
        return settings, session, problem, self._must_not_write(settings)

    def _begin_with(self, settings: Settings, session: SessionState) -> None:
        """Leave the present database for another."""
        main = self.screen_stack[0]
        if isinstance(main, MainScreen):
            main.save_session()
        self.gateway.stop()
        if self._saver is not None:
            self._saver.end()
        self.settings = settings
        self.looks = StateStyles(self.frame.charset.letters)
        self.gateway = ThreadedBackend(settings, self.looks)
        self.session = session
        self._filter_text, self._batch = "", None
        if self.session_store is not None:
            self._saver = SessionSaver(self.session_store, settings.database, settings.config_file, session)

    def _complain(self, text: str) -> None:
        self.notify(clean_line(text, 400), severity="error", markup=False)


def run(
    settings: Settings,
    *,
    filter_text: str = "",
    batch: int | None = None,
    read_only: bool = False,
    low_bandwidth: bool | None = None,
    executor: JobExecutor | None = None,
    debug_log: str = "",
) -> int:
    """Open the dashboard; return its exit status once it is left.

    Args:
        debug_log: a file for everything that the program logs.
    """
    if debug_log:
        log_to(debug_log)
    use_terminal_size()
    app = ParaschutApp(
        settings,
        filter_text=filter_text,
        batch=batch,
        read_only=read_only,
        low_bandwidth=True if low_bandwidth is None and has_16_colors() else low_bandwidth,
        executor=executor,
        session_store=None if is_confined() else SessionStore(),
    )
    run_app(app, mouse=settings.dashboard.mouse)
    action = app.gateway.running_action
    if action:
        _print(f"{action.ask}: stopping behind the jobs that it is at.")
    app.close()
    if action:
        result = app.gateway.last_result
        text = action.outcome(result) if result else "it goes on; the history (@) will tell"
        _print(f"{action.ask}: {text}")
    return app.exit_status()


def enable_gc() -> None:
    """Freeze the objects created at the start and enable the garbage collector."""
    gc.freeze()
    gc.enable()


def has_16_colors() -> bool:
    """Return whether the terminal has only sixteen colours, or none. A browser has all."""
    if COLOR_SYSTEM not in (None, "auto"):
        return COLOR_SYSTEM == "standard"
    return Console().color_system in (None, "standard")


def _print(text: str) -> None:
    """Print a line for the user, who has the terminal again."""
    print(clean_line(text), file=sys.stderr)  # noqa: T201 - the dashboard is gone
