"""OverviewScreen: how the work goes: curves over time, forecasts, why jobs fail and where, the slowest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical

from paraschut_core.model import Snapshot
from paraschut_core.reporting.statistics import WINDOWS, StatisticsSummary
from paraschut_core.sanitize import clean_line

from .. import keymap
from ..backend.backend import Backend
from ..dialogs.help import HelpScreen
from ..messages import StatisticsReady
from ..state_styles import Palette, StateStyles
from ..terminal.textual_compat import SteadyScreen
from ..widgets.key_hints import KeyHints
from ..widgets.line_list import LineList
from ..widgets.select_list import SelectList
from ..widgets.styled_line import Part
from ..widgets.text_line import TextLine
from ..widgets.text_view import TextView
from . import model, plots
from .model import NavigationTarget, OverviewLine

AGAIN = 2.0
"""Least seconds between two readings of what is new."""

_LISTS = ("forecasts", "reasons", "slowest", "hosts")
_TITLES = {
    "forecasts": "done in",
    "reasons": "why attempts failed",
    "slowest": "longest runs",
    "hosts": "hosts with failures",
}
_NOTES = {
    "forecasts": "nothing is left to do",
    "reasons": "nothing failed",
    "slowest": "nothing ran",
    "hosts": "nothing failed anywhere",
}


class OverviewScreen(SteadyScreen[NavigationTarget | None]):
    """Returns where to go, None if it was left as it came.

    Args:
        gateway: the project.
        palette, looks: colours and glyphs.
        snapshot: how it is now.
        window: one of the windows of time.
        batch_id: the batch that can be shown by itself.
        read_only: no key changes anything.
        clock: epoch seconds.
    """

    BINDINGS: ClassVar[list[BindingType]] = keymap.bindings(keymap.OVERVIEW)
    AUTO_FOCUS = "#reasons"

    def __init__(
        self,
        gateway: Backend,
        palette: Palette,
        looks: StateStyles,
        snapshot: Snapshot,
        clock: Callable[[], float],
        *,
        window: str = "",
        batch_id: int | None = None,
        read_only: bool = False,
    ) -> None:
        super().__init__()
        self._gateway = gateway
        self._palette = palette
        self._looks = looks
        self._snapshot = snapshot
        self._clock = clock
        self._read_only = read_only
        self.window = window if window in WINDOWS else "1d"
        self._batch_id = batch_id
        self.scope: int | None = None
        self.summary: StatisticsSummary | None = None
        self._error = ""
        self._stale = False
        self._due = 0.0
        self._entries: dict[str, Sequence[OverviewLine]] = {}
        self._lists = {name: SelectList(palette, "reading", id=name) for name in _LISTS}

    def compose(self) -> ComposeResult:
        yield TextLine(self._palette, id="overview-title")
        with Horizontal(id="curves"):
            for name in ("throughput", "load"):
                with Vertical():
                    yield TextLine(self._palette, id=f"{name}-title")
                    yield TextView(self._palette, id=name)
        for pair in (_LISTS[:2], _LISTS[2:]):
            with Horizontal(classes="lists"):
                for name in pair:
                    with Vertical():
                        yield TextLine(self._palette, id=f"{name}-title")
                        yield self._lists[name]
        yield KeyHints(self._palette, read_only=self._read_only, id="keys")

    def on_mount(self) -> None:
        for name in ("throughput", "load"):
            self.query_one(f"#{name}").can_focus = False
        self.query_one(KeyHints).show_pane("overview")
        self._ask()
        self.set_interval(1.0, self._tick)

    def on_resize(self, event: events.Resize) -> None:
        self.query_one("#curves").styles.height = max(event.size.height * 2 // 5 - 1, 7)
        self.call_after_refresh(self._paint)

    def use(self, palette: Palette) -> None:
        """Takes the styles of another theme."""
        self._palette = palette
        for widget in self.query(TextLine):
            widget.use(palette)
        for pane in self.query(LineList):
            pane.use(palette)

    # ------------------------------------------------------------------ numbers

    def take(self, snapshot: Snapshot) -> None:
        """There is a newer snapshot: if jobs changed, that is read soon."""
        old, self._snapshot = self._snapshot, snapshot
        if snapshot.rev != old.rev or snapshot.missing != old.missing:
            self._stale = True

    def _ask(self) -> None:
        self._error = ""
        self._read()
        self._title()

    def _read(self) -> None:
        """Reads all anew; an error stays on the screen until there is an answer."""
        self._stale = False
        self._gateway.start_statistics(self.window, self.scope, self._snapshot.missing)

    def _tick(self) -> None:
        """Reads on if something happened, or when time has gone on by a point."""
        now = self._clock()
        if self._error:
            if now >= self._due:
                self._due = now + AGAIN
                self._read()
            return
        if self.summary is None or not self.summary.whole:
            return
        if (self._stale and now >= self._due) or now >= self.summary.until + self.summary.width:
            self._stale = False
            self._due = now + AGAIN
            self._gateway.refresh_statistics(self._snapshot.missing)

    def take_survey(self, message: StatisticsReady) -> None:
        """Shows newer numbers."""
        if not message.request.wanted:
            return
        self._error = message.error
        if message.summary is not None:
            self.summary = message.summary
        self._paint()

    # ------------------------------------------------------------------ painting

    def _line(self, name: str) -> TextLine:
        return self.query_one(f"#{name}-title", TextLine)

    def _title(self) -> None:
        windows: list[Part] = []
        for number, name in enumerate(WINDOWS, 1):
            windows += [
                (f"{number}", "accent-bold"),
                (f" {name}  ", "bold" if name == self.window else "muted"),
            ]
        if self._error:
            left: list[Part] = [(" OVERVIEW", "accent-bold"), (f"  {clean_line(self._error)}", "error")]
        elif (
            self.summary is None or self.summary.window != self.window or self.summary.batch_id != self.scope
        ):
            left = [(" OVERVIEW", "accent-bold"), ("  reading", "muted")]
        else:
            left = model.heading(self.summary, self._snapshot.batches, narrow=self.size.width < 110)
        self._line("overview").show(left, windows)

    def _paint(self) -> None:
        self._title()
        summary = self.summary
        if summary is None:
            for empty in self._lists.values() if self._error else ():
                empty.show((), note="")
            self._list_titles()
            return
        curves = {
            "throughput": [plots.Curve(model.spread(summary, "per_minute"), "success", filled=True)],
            "load": [
                plots.Curve(model.spread(summary, "queued"), "warning"),
                plots.Curve(model.spread(summary, "running"), "accent"),
            ],
        }
        for name, drawn in curves.items():
            pane = self.query_one(f"#{name}", TextView)
            width, height = pane.size.width - 2, pane.size.height
            if width > 20 and height > 2:
                pane.set_lines(plots.draw(drawn, width, height, model.ticks(summary, width)))
        self._line("throughput").show(model.throughput_title(summary.points, self.size.width // 2))
        self._line("load").show(model.load_title(summary))
        found = model.lists(summary, self._snapshot.batches, self._snapshot.blocked, self._looks)
        for name in _LISTS:
            entries: Sequence[OverviewLine] = getattr(found, name)
            self._entries[name] = entries
            self._lists[name].show([entry.parts for entry in entries], note=_NOTES[name])
        self._list_titles()

    def _list_titles(self) -> None:
        for name, pane in self._lists.items():
            role = "accent-bold" if pane.has_focus else "bold"
            more: list[Part] = [(f"{len(pane)} ", "muted")] if len(pane) else []
            self._line(name).show([(f" {_TITLES[name]}", role)], more)

    def on_descendant_focus(self) -> None:
        self._list_titles()

    # ------------------------------------------------------------------ keys

    def action_window(self, name: str) -> None:
        if name != self.window:
            self.window = name
            self._ask()

    def action_next_window(self) -> None:
        names = list(WINDOWS)
        self.action_window(names[(names.index(self.window) + 1) % len(names)])

    def action_scope(self) -> None:
        """All batches, or the one that the main screen is at."""
        if self.scope is None and self._batch_id is None:
            return
        self.scope = self._batch_id if self.scope is None else None
        self._ask()

    def action_batch(self, by: int) -> None:
        """The batch before or after, by itself."""
        batches = sorted(self._snapshot.batches, reverse=True)
        if not batches:
            return
        here = self.scope if self.scope in batches else None
        at = batches.index(here) + by if here is not None else 0
        self.scope = self._batch_id = batches[max(0, min(at, len(batches) - 1))]
        self._ask()

    def action_aside(self, by: int) -> None:
        """To the list beside, or above and below."""
        focused = next((at for at, name in enumerate(_LISTS) if self._lists[name].has_focus), 0)
        self._lists[_LISTS[(focused + by) % len(_LISTS)]].focus()

    def action_refresh(self) -> None:
        self._gateway.request_poll()
        self._ask()

    def action_help(self) -> None:
        self.app.push_screen(HelpScreen(self._palette, self._looks, "overview", read_only=self._read_only))

    def action_leave(self) -> None:
        self.dismiss(None)

    def on_select_list_chosen(self, message: SelectList.Chosen) -> None:
        message.stop()
        name = message.pane.id or ""
        self.dismiss(self._entries[name][message.row].target)
