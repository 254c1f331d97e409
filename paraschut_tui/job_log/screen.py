"""LogScreen: a job's log on the whole screen."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import Static

from ..terminal.textual_compat import SteadyScreen
from .view import LogSources, LogView, LogViewState

_HINTS = (
    "Esc back   o out/err   O both   / search   & filter   e error   F follow   ? help   w wrap   : go to"
)


class LogScreen(SteadyScreen[LogViewState]):
    """Shows one job's logs until Escape; its result is where the user was then.

    Args:
        sources: the logs.
        place: where to begin; the end if None.
        show_help: lists all keys.
    """

    AUTO_FOCUS = "#log-first"

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "leave", "back", show=False),
        Binding("question_mark", "help", "all keys", show=False),
    ]
    DEFAULT_CSS = """
    LogScreen { layout: vertical; overflow: hidden; }
    LogScreen > #log-hints { height: 1; color: $text-muted; padding: 0 1; }
    LogScreen:ansi > #log-hints { color: ansi_bright_black; }
    """

    def __init__(
        self,
        sources: LogSources,
        place: LogViewState | None = None,
        show_help: Callable[[], object] = lambda: None,
    ) -> None:
        super().__init__()
        self._sources = sources
        self._place = place
        self._show_help = show_help
        self.log_view = LogView(id="log-full")

    def compose(self) -> ComposeResult:
        yield self.log_view
        yield Static(Content(_HINTS), id="log-hints")

    def on_mount(self) -> None:
        self.log_view.show(self._sources, self._place)

    def show(self, sources: LogSources) -> None:
        """Take the job's logs as they are now: another attempt may have begun."""
        self.log_view.show(sources)

    def on_log_view_full_screen(self, message: LogView.FullScreen) -> None:
        message.stop()
        self.action_leave()

    def action_help(self) -> None:
        self._show_help()

    def action_leave(self) -> None:
        self.dismiss(self.log_view.place)
