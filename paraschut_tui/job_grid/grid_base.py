"""GridBase: jobs laid out in rows, a cursor that stays with its job, and the least repainting."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence

from textual import events
from textual.geometry import Region, Size
from textual.message import Message

from paraschut_core.model import JobKey

from ..messages import JobSelected
from ..state_styles import Palette, StateStyles
from ..widgets.line_list import LineList
from ..widgets.styled_line import Part
from .layout import BLOCK, JobLayout
from .model import GridModel


class GridBase(LineList):
    """What both densities share: "cells" shows a glyph a job, "rows" a line a job."""

    class LayoutChanged(Message):
        """Ruler or legend may have to be drawn anew."""

    class OpenRequested(Message):
        """Enter: go to the log of the job under the cursor."""

    def __init__(
        self,
        palette: Palette,
        looks: StateStyles,
        *,
        id: str | None = None,  # noqa: A002 - Textual's own word
    ) -> None:
        super().__init__(palette, id=id)
        self.looks = looks
        self.board = GridModel((), looks)
        self.plan = JobLayout(self.board, 80)
        self.density = "cells"
        self.order: array[int] | None = None
        """The jobs' numbers in the order of the rows, where they are sorted."""
        self.note: Sequence[Sequence[Part]] = ((("reading", "muted"),),)
        """What an empty grid says, line by line."""
        self.heading: Callable[[int, int], Sequence[Part]] = lambda batch_id, jobs: ()
        """What stands above a batch's jobs, given their number, where several batches are shown."""
        self._cursor: JobKey | None = None
        self._anchor: JobKey | None = None

    # ------------------------------------------------------------------ content

    @property
    def cursor(self) -> JobKey | None:
        """The job under the cursor, None on an empty grid."""
        return self._cursor

    def show(
        self, board: GridModel, note: Sequence[Sequence[Part]] = (), order: array[int] | None = None
    ) -> None:
        """Shows other jobs, or the same ones read anew; the cursor stays on its job if it is there.

        Args:
            note: what to say if there are none.
            order: the jobs' numbers in the order of the rows, if they are sorted.
        """
        seat = None
        if self._cursor is not None and self.board.locate(self._cursor) is not None:
            seat = self._cursor_cell()[0] - self.scroll_offset.y
        self.board, self.note, self.order = board, note, order
        if self._anchor is not None and board.locate(self._anchor) is None:
            self._anchor = None
        self._lay_out()
        before = self._cursor
        if self._cursor is not None:
            place = board.locate_nearest(self._cursor)
            self._cursor = None if place is None else board.key(*place)
        if self._cursor is None and board.total:
            self._cursor = board.key(0, 0)
        if self._cursor is not None:
            row = self._cursor_cell()[0]
            if seat is not None and before == self._cursor:
                self.scroll_to(y=max(row - seat, 0), animate=False, force=True)
            self.show_row(row, context=1 if row <= 1 else 0)
        self.repaint_changed()
        self.view_changed()
        if before != self._cursor:
            self.post_message(JobSelected(self._cursor))

    def set_order(self, order: array[int] | None) -> None:
        """Sorts the rows of the jobs that are shown."""
        self.show(self.board, self.note, order)

    def repaint_places(self, places: Sequence[tuple[int, int]]) -> None:
        """Repaints the cells of jobs whose look changed: single cells if few, else their rows."""
        top, height = self.scroll_offset.y, self.scrollable_content_region.height
        changed: dict[int, list[int]] = {}
        for group, place in places:
            row, column = self.plan.row_and_column(group, place)
            if top <= row < top + height:
                changed.setdefault(row, []).append(column)
        for row, columns in changed.items():
            if len(columns) > 4:
                self.repaint_row(row)
            else:
                for column in columns:
                    self._repaint_cell(row, column)

    def view_changed(self) -> None:
        """Other rows than before may be visible."""

    def _lay_out(self) -> None:
        width = max(self.scrollable_content_region.width, 20)
        self.plan = (
            JobLayout.of_rows(self.board, self.order)
            if self.density == "rows"
            else JobLayout(self.board, width)
        )
        size = Size(width, self.plan.rows)
        if size != self.virtual_size:
            self.virtual_size = size
        self.post_message(self.LayoutChanged())

    def on_resize(self, event: events.Resize) -> None:
        self._painted.clear()
        self._lay_out()
        if self._cursor is not None and self.board.total:
            self.show_row(self._cursor_cell()[0])
        self.refresh()
        self.view_changed()

    # ------------------------------------------------------------------ cursor

    def _cursor_index(self) -> tuple[int, int]:
        """Group and place of the cursor."""
        assert self._cursor is not None  # callers have made sure that there is one
        place = self.board.locate(self._cursor)
        assert place is not None  # the cursor is put onto the board whenever that changes
        return place

    def _cursor_cell(self) -> tuple[int, int]:
        """Row and cell of the cursor."""
        return self.plan.row_and_column(*self._cursor_index())

    def go_to(self, key: JobKey) -> bool:
        """Puts the cursor on a job, if it is on the board."""
        place = self.board.locate(key)
        if place is None:
            return False
        self._move_to(*place)
        return True

    @property
    def cursor_offset(self) -> int:
        """How far below the top the cursor stands."""
        return (
            self._cursor_cell()[0] - self.scroll_offset.y
            if self._cursor is not None and self.board.total
            else 0
        )

    def restore_scroll(self, below: int) -> None:
        """Scrolls so that the cursor stands as far below the top as it did another time."""
        if self._cursor is not None and self.board.total:
            self.scroll_to(y=max(self._cursor_cell()[0] - below, 0), animate=False, force=True)

    def go_to_look(self, batch_id: int, look: int) -> bool:
        """Puts the cursor on the first job of a batch with that look."""
        at = self.board.group_of(batch_id)
        place = -1 if at is None else self.board.groups[at].find(look, 0)
        if at is None or place < 0:
            return False
        self._move_to(at, place)
        return True

    def _move_to(self, group: int, place: int) -> None:
        key = self.board.key(group, place)
        if key == self._cursor:
            return
        before = self._cursor_cell() if self._cursor is not None else None
        self._cursor = key
        row, column = self._cursor_cell()
        top = self.scroll_offset.y
        self.show_row(row, context=1)
        if self._anchor is not None:
            self.refresh()  # a range may span any rows
        elif self.scroll_offset.y == top:
            if before is not None:
                self._repaint_cell(*before)
                if before[0] != row:
                    self._repaint_label(before[0])
                    self._repaint_label(row)
            self._repaint_cell(row, column)
        self.post_message(JobSelected(key))

    def cursor_moved(self) -> None:
        if self._cursor is not None and self.board.total:
            self._repaint_cell(*self._cursor_cell())

    def _repaint_cell(self, row: int, column: int) -> None:
        if self.density == "rows":
            self.repaint_row(row)
            return
        y = row - self.scroll_offset.y
        if 0 <= y < self.scrollable_content_region.height:
            self.refresh(Region(self.plan.label_width + column + column // BLOCK, y, 1, 1))

    def _repaint_label(self, row: int) -> None:
        y = row - self.scroll_offset.y
        if self.density == "cells" and 0 <= y < self.scrollable_content_region.height:
            self.refresh(Region(0, y, self.plan.label_width, 1))

    # ------------------------------------------------------------------ keys that move

    def _by_jobs(self, by: int) -> None:
        if self._cursor is None:
            return
        if self.density == "rows":
            self.step(by)
            return
        n = self.board.number(*self._cursor_index()) + by
        self._move_to(*self.board.at(max(0, min(n, self.board.total - 1))))

    def step(self, by: int) -> None:
        if self._cursor is None:
            return
        row, column = self._cursor_cell()
        wanted = max(0, min(row + by, self.plan.rows - 1))
        direction = 1 if by > 0 else -1
        for way in (direction, -direction):  # over headings and empty rows; at the end, back
            target = wanted
            while 0 <= target < self.plan.rows:
                place = self.plan.place_at(target, column)
                if place is not None:
                    self._move_to(*place)
                    return
                target += way

    def action_first(self) -> None:
        self._by_jobs(-self.plan.rows if self.density == "rows" else -self.board.total)

    def action_last(self) -> None:
        self._by_jobs(self.plan.rows if self.density == "rows" else self.board.total)

    def action_drill(self) -> None:
        self.post_message(self.OpenRequested())

    def on_click(self, event: events.Click) -> None:
        x = event.x - self.plan.label_width
        if self.density == "rows":
            x = 0
        if x < 0 or x % (BLOCK + 1) == BLOCK:
            return
        place = self.plan.place_at(event.y + self.scroll_offset.y, x - x // (BLOCK + 1))
        if place is not None:
            self._move_to(*place)
            if event.chain == 2:
                self.action_drill()
