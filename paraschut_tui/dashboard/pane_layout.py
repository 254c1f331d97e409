"""PaneLayout: how the panes share the screen: their sizes, the pane with the focus, zoom, narrow screens."""

from __future__ import annotations

from collections.abc import Callable

from textual import events
from textual.containers import Horizontal
from textual.geometry import Size
from textual.screen import Screen

from ..dashboard_state import DashboardState
from ..job_grid.layout import cells_that_fit
from .panes import Panes

NARROW = 110
"""Columns below which the batches fold into one line above the jobs."""

LEAST_COLUMNS = 24
LEAST_LINES = 5
"""The smallest size of a pane, wherever its border is moved."""

LEAST_RIGHT = 50
"""Columns that the jobs keep."""

_ZOOMS = {"tree": "-zoom-tree", "grid": "-zoom-grid", "log": "-zoom-log"}


class PaneLayout:
    """The layout of the main screen.

    Args:
        screen: carries the classes that the style sheet goes by.
        upper: holds batches and jobs.
        changed: called when titles have to be written again.
        columns: the width that the user gave the batches; 0: automatic.
        share: the share of the lines that the user gave the upper panes; 0: automatic.
    """

    def __init__(
        self,
        screen: Screen[None],
        state: DashboardState,
        upper: Horizontal,
        panes: Panes,
        changed: Callable[[], None],
        *,
        columns: int = 0,
        share: float = 0.0,
    ) -> None:
        self._screen = screen
        self._state = state
        self._upper = upper
        self._batches, self._jobs, self._lower = panes.batches, panes.jobs, panes.lower
        self._changed = changed
        self.columns = columns
        self.share = share
        self._size = Size(0, 0)
        self._dragged = ""

    # ------------------------------------------------------------------ the focus

    @property
    def focused(self) -> str:
        """The pane that has the focus: "tree", "grid" or "log"."""
        if self._batches.has_focus_within:
            return "tree"
        return "log" if self._lower.has_focus_within else "grid"

    @property
    def key_table(self) -> str:
        """The name of the focused pane's key table: as `focused`, or "details"."""
        pane = self.focused
        return "details" if pane == "log" and self._lower.shows_details else pane

    @property
    def hides_jobs(self) -> bool:
        """Whether the jobs' titles are hidden by another pane."""
        return any(self._screen.has_class(name) for name in ("-zoom-log", "-zoom-tree", "-batches"))

    def toggle_zoom(self) -> None:
        """Show the focused pane alone, or all panes again."""
        on = any(self._screen.has_class(name) for name in _ZOOMS.values())
        self._screen.remove_class(*_ZOOMS.values())
        if not on:
            self._screen.add_class(_ZOOMS[self.focused])
        self._changed()

    def toggle_batches(self) -> None:
        """Focus the batches; on a narrow screen open them over the jobs, or close them."""
        if self._screen.has_class("-narrow"):
            self._screen.toggle_class("-batches")
        on = not self._screen.has_class("-narrow") or self._screen.has_class("-batches")
        (self._batches.batch_tree if on else self._jobs.grid).focus()

    def close_batches(self) -> None:
        """Close the batches that lie over the jobs of a narrow screen."""
        self._screen.remove_class("-batches")

    def go_back(self) -> bool:
        """End the zoom, else close the batches, else focus the jobs. Return whether one of these was left."""
        for name in (*_ZOOMS.values(), "-batches"):
            if self._screen.has_class(name):
                self._screen.remove_class(name)
                self._jobs.grid.focus()
                self._changed()
                return True
        if self.focused == "grid":
            return False
        self._jobs.grid.focus()
        return True

    # ------------------------------------------------------------------ sizes

    def resize(self, size: Size) -> None:
        """Lay the panes out for a size of the screen."""
        self._size = size
        self._screen.set_class(size.width < NARROW, "-narrow")
        self._share_columns()
        self.share_lines()
        self._screen.call_after_refresh(self._changed)

    def _share_columns(self) -> None:
        """Give the batches what a row of a hundred cells leaves, or the width that the user gave them."""
        width = self._size.width
        wanted = self.columns or max(40, min(width - 118, 60))
        columns = max(LEAST_COLUMNS, min(wanted, width - LEAST_RIGHT))
        self._batches.styles.width = "1fr" if width < NARROW else columns

    def share_lines(self) -> None:
        """Share the lines between the jobs and the log: what the largest batch needs, up to 11 of 20 lines.

        It is called once, and when the size changes, not for each batch: the log must not jump.
        """
        if self._state.snapshot is None:
            return
        width, room = self._size.width, self._room
        if self.share:
            lines = max(LEAST_LINES, min(round(room * self.share), room - LEAST_LINES))
            self._upper.styles.height = lines
            return
        per_row = cells_that_fit(width - (50 if width >= NARROW else 9))
        largest = max((batch.total for batch in self._state.batches.values()), default=0)
        wanted = max(-(-largest // per_row) + 5, len(self._batches.batch_tree.outline.rows) + 2)
        self._upper.styles.height = max(min(wanted, room * 11 // 20), min(12, room // 2))

    @property
    def _room(self) -> int:
        """Lines that the panes share: all but the status bar and the key line."""
        return self._size.height - 2

    def move_columns(self, by: int) -> None:
        """Move the border between batches and jobs."""
        if not self._screen.has_class("-narrow"):
            self._set_columns(self._batches.size.width + by)

    def move_lines(self, by: int) -> None:
        """Move the border above the log: `by` more lines for the focused pane."""
        self._set_lines(self._upper.size.height + (-by if self.focused == "log" else by))

    def _set_columns(self, columns: int) -> None:
        most = self._size.width - LEAST_RIGHT
        self.columns = max(LEAST_COLUMNS, min(columns, most)) if columns else 0
        self._share_columns()
        self._screen.call_after_refresh(self._changed)

    def _set_lines(self, lines: int) -> None:
        room = self._room
        self.share = max(LEAST_LINES, min(lines, room - LEAST_LINES)) / room if lines else 0.0
        self.share_lines()
        self._screen.call_after_refresh(self._changed)

    # ------------------------------------------------------------------ the mouse on a border

    def _border_at(self, event: events.MouseEvent) -> str:
        """Return which border the mouse is on: "columns" right of the batches, "lines" above the log."""
        x, y = int(event.screen_x), int(event.screen_y)
        if self._upper.display and y == self._upper.region.bottom and self._lower.display:
            return "lines"
        both = self._batches.display and self._jobs.display
        right = self._batches.region.right
        return "columns" if both and self._upper.region.contains(x, y) and x in (right - 1, right) else ""

    def press(self, event: events.MouseDown) -> None:
        """Begin to drag the border under the mouse."""
        self._dragged = self._border_at(event)

    def release(self) -> None:
        """End dragging."""
        self._dragged = ""

    def drag(self, event: events.MouseMove) -> None:
        """Move the border that is dragged."""
        if not event.button:
            self._dragged = ""
        if self._dragged == "columns":
            self._set_columns(max(int(event.screen_x), 1))
        elif self._dragged == "lines":
            self._set_lines(max(int(event.screen_y) - self._upper.region.y, 1))

    def click(self, event: events.Click) -> None:
        """Reset a border that is clicked twice to its automatic place."""
        border = self._border_at(event) if event.chain == 2 else ""
        if border == "columns":
            self._set_columns(0)
        elif border == "lines":
            self._set_lines(0)
