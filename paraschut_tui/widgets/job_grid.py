"""JobGrid: the states of up to millions of jobs, a glyph or a row each, and a cursor among them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from textual import events
from textual.binding import BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.strip import Strip

from paraschut_core.model import JobKey

from .. import cells, keys
from ..board import Board
from ..layout import BLOCK, Layout, Slot
from ..look import HOLE, L_MISSING, Looks, Palette
from ..marks import Marks
from ..messages import JobChosen
from ..strips import Part, line
from .pane import Pane


class JobGrid(Pane):
    """The grid of jobs. Cursor and marks hold job keys: they stay with their jobs through any refresh."""

    BINDINGS: ClassVar[list[BindingType]] = keys.bindings(keys.GRID)

    class Rescaled(Message):
        """Ruler or legend may have to be drawn anew."""

    class MarksChanged(Message):
        """Jobs were marked or unmarked."""

    class Drilled(Message):
        """Enter: go to the log of the job under the cursor."""

    class DensityAsked(Message):
        """Show the same jobs in the other density."""

    def __init__(self, palette: Palette, looks: Looks, marks: Marks, *, id: str | None = None) -> None:  # noqa: A002 - Textual's own word
        super().__init__(palette, id=id)
        self.looks = looks
        self.marks = marks
        self.board = Board((), looks)
        self.plan = Layout(self.board, 80)
        self.note: Sequence[Part] = (("reading", "muted"),)
        """What an empty grid says."""
        self.heading: Callable[[int, int], Sequence[Part]] = lambda batch_id, jobs: ()
        """What stands above a batch's jobs, given their number, where several batches are shown."""
        self._cursor: JobKey | None = None
        self._anchor: JobKey | None = None

    # ------------------------------------------------------------------ content

    @property
    def cursor(self) -> JobKey | None:
        """The job under the cursor, None on an empty grid."""
        return self._cursor

    def show(self, board: Board, note: Sequence[Part] = ()) -> None:
        """Shows other jobs, or the same ones read anew; the cursor stays on its job if it is there.

        Args:
            note: what to say if there are none.
        """
        seat = None
        if self._cursor is not None and self.board.locate(self._cursor) is not None:
            seat = self._seat()[0] - self.scroll_offset.y
        self.board, self.note = board, note
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
            row = self._seat()[0]
            if seat is not None and before == self._cursor:
                self.scroll_to(y=max(row - seat, 0), animate=False)
            self.show_row(row)
        self.repaint_changed()
        if before != self._cursor:
            self.post_message(JobChosen(self._cursor))

    def repaint_places(self, places: Sequence[tuple[int, int]]) -> None:
        """Repaints the cells of jobs whose look changed: single cells if few, else their rows."""
        top, height = self.scroll_offset.y, self.scrollable_content_region.height
        cells: dict[int, list[int]] = {}
        for group, place in places:
            row, column = self.plan.row_and_column(group, place)
            if top <= row < top + height:
                cells.setdefault(row, []).append(column)
        for row, columns in cells.items():
            if len(columns) > 4 or self.plan.per_row == 1:
                self.repaint_row(row)
            else:
                for column in columns:
                    self._repaint_cell(row, column)

    def _lay_out(self) -> None:
        width = max(self.scrollable_content_region.width, 20)
        self.plan = Layout(self.board, width, self._jobs_in_row())
        size = Size(width, self.plan.rows)
        if size != self.virtual_size:
            self.virtual_size = size
        self.post_message(self.Rescaled())

    def _jobs_in_row(self) -> int:
        """How many jobs a row shall hold; 0: as many as fit."""
        return 0

    def on_resize(self, event: events.Resize) -> None:
        self._painted.clear()
        self._lay_out()
        if self._cursor is not None and self.board.total:
            self.show_row(self._seat()[0])
        self.refresh()

    # ------------------------------------------------------------------ cursor

    def _spot(self) -> tuple[int, int]:
        """Group and place of the cursor."""
        assert self._cursor is not None  # callers have made sure that there is one
        place = self.board.locate(self._cursor)
        assert place is not None  # the cursor is put onto the board whenever that changes
        return place

    def _seat(self) -> tuple[int, int]:
        """Row and cell of the cursor."""
        return self.plan.row_and_column(*self._spot())

    def go_to(self, key: JobKey) -> bool:
        """Puts the cursor on a job, if it is on the board."""
        place = self.board.locate(key)
        if place is None:
            return False
        self._go(*place)
        return True

    def go_to_look(self, batch_id: int, look: int, *, after: int | None = None) -> bool:
        """Puts the cursor on the first job of a batch with that look (behind JobIndex `after`)."""
        at = self.board.group_of(batch_id)
        if at is None:
            return False
        group = self.board.groups[at]
        start = 0 if after is None else group.span(after + 1, after + 1)[0]
        place = group.find(look, start)
        if place < 0:
            return False
        self._go(at, place)
        return True

    def _go(self, group: int, place: int) -> None:
        key = self.board.key(group, place)
        if key == self._cursor:
            return
        before = self._seat() if self._cursor is not None else None
        self._cursor = key
        row, column = self._seat()
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
        self.post_message(JobChosen(key))

    def cursor_moved(self) -> None:
        if self._cursor is not None and self.board.total:
            row, column = self._seat()
            self._repaint_cell(row, column)

    def _repaint_cell(self, row: int, column: int) -> None:
        y = row - self.scroll_offset.y
        if 0 <= y < self.scrollable_content_region.height:
            self.refresh(Region(self._x(column), y, 1, 1))

    def _repaint_label(self, row: int) -> None:
        y = row - self.scroll_offset.y
        if 0 <= y < self.scrollable_content_region.height:
            self.refresh(Region(0, y, self.plan.label_width, 1))

    def _x(self, column: int) -> int:
        return self.plan.label_width + column + column // BLOCK

    def _by_jobs(self, by: int) -> None:
        if self._cursor is None:
            return
        n = self.board.number(*self._spot()) + by
        self._go(*self.board.at(max(0, min(n, self.board.total - 1))))

    def _by_rows(self, by: int) -> None:
        if self._cursor is None:
            return
        row, column = self._seat()
        wanted = max(0, min(row + by, self.plan.rows - 1))
        direction = 1 if by > 0 else -1
        for way in (direction, -direction):  # over headings and empty rows; at the end, back
            target = wanted
            while 0 <= target < self.plan.rows:
                place = self.plan.place_at(target, column)
                if place is not None:
                    self._go(*place)
                    return
                target += way

    def action_left(self) -> None:
        self._by_jobs(-1)

    def action_right(self) -> None:
        self._by_jobs(1)

    def action_up(self) -> None:
        self._by_rows(-1)

    def action_down(self) -> None:
        self._by_rows(1)

    def action_page_up(self) -> None:
        self._by_rows(-max(self.scrollable_content_region.height - 1, 1))

    def action_page_down(self) -> None:
        self._by_rows(max(self.scrollable_content_region.height - 1, 1))

    def action_first(self) -> None:
        if self.board.total:
            self._go(*self.board.at(0))

    def action_last(self) -> None:
        if self.board.total:
            self._go(*self.board.at(self.board.total - 1))

    def action_drill(self) -> None:
        self.post_message(self.Drilled())

    def action_density(self) -> None:
        self.post_message(self.DensityAsked())

    def on_click(self, event: events.Click) -> None:
        x = event.x - self.plan.label_width
        if x < 0 or x % (BLOCK + 1) == BLOCK:
            return
        place = self.plan.place_at(event.y + self.scroll_offset.y, x - x // (BLOCK + 1))
        if place is not None:
            self._go(*place)

    # ------------------------------------------------------------------ marks

    def action_mark(self) -> None:
        if self._cursor is None:
            return
        if self._anchor is not None:
            self.action_range()
            return
        self.marks.toggle(self._cursor)
        self._repaint_cell(*self._seat())
        self.action_right()
        self.post_message(self.MarksChanged())

    def action_range(self) -> None:
        """Starts a range at the cursor, or marks what lies between its start and the cursor."""
        if self._cursor is None:
            return
        if self._anchor is None:
            self._anchor = self._cursor
        else:
            for batch_id, indexes in self._range():
                self.marks.add(batch_id, indexes)
            self._anchor = None
        self._marked()

    def _range(self) -> list[tuple[int, Sequence[int]]]:
        """The JobIndexes of each batch between the range's start and the cursor."""
        start = self.board.locate(self._anchor) if self._anchor is not None else None
        if start is None or self._cursor is None:
            return []
        (first, low), (last, high) = sorted((start, self._spot()))
        parts = []
        for at in range(first, last + 1):
            group = self.board.groups[at]
            begin = low if at == first else 0
            end = high + 1 if at == last else len(group)
            parts.append((group.batch_id, group.indexes[begin:end]))
        return parts

    def cancel_range(self) -> bool:
        """Gives a begun range up. Returns whether there was one."""
        if self._anchor is None:
            return False
        self._anchor = None
        self._marked()
        return True

    def action_mark_state(self) -> None:
        if self._cursor is not None:
            group, place = self._spot()
            self.mark_look(self.board.groups[group].looks[place])

    def action_mark_missing(self) -> None:
        self.mark_look(L_MISSING)

    def mark_look(self, look: int) -> None:
        """Marks all shown jobs of that look."""
        for group in self.board.groups:
            self.marks.add(group.batch_id, group.all_of(look))
        self._marked()

    def action_mark_all(self) -> None:
        for group in self.board.groups:
            self.marks.add(group.batch_id, group.indexes)
        self._marked()

    def action_invert(self) -> None:
        for group in self.board.groups:
            self.marks.invert(group.batch_id, group.indexes)
        self._marked()

    def action_clear(self) -> None:
        self._anchor = None
        self.marks.clear()
        self._marked()

    def _marked(self) -> None:
        self.repaint_changed()
        self.post_message(self.MarksChanged())

    # ------------------------------------------------------------------ painting

    def ruler(self) -> list[Part]:
        """The line above the cells: the numbers of every tenth."""
        numbers = "".join(f"{n:<{BLOCK + 1}}" for n in range(0, self.plan.per_row, BLOCK))
        return [(" " * self.plan.label_width, "base"), (numbers.rstrip(), "muted")]

    def build_line(self, row: int, width: int) -> Strip:
        slot = self.plan.slot(row)
        if slot is None:
            if not self.board.total and row == 1:
                return line([("  ", "base"), *self.note], width, self.palette)
            return line((), width, self.palette)
        if slot.heading:
            return self._heading(slot, width)
        return self._cells(slot, row, width)

    def _heading(self, slot: Slot, width: int) -> Strip:
        group = self.board.groups[slot.group]
        return line(self.heading(group.batch_id, len(group)), width, self.palette)

    def _cells(self, slot: Slot, row: int, width: int) -> Strip:
        looks = self.board.groups[slot.group].looks[slot.first : slot.last]
        if self.plan.by_index[slot.group]:
            looks = self._with_holes(slot, looks)
        overlay = self._overlay(slot, row, len(looks))
        here = cells.CURSOR in overlay or cells.CURSOR_AWAY in overlay
        label = f"{slot.label:>{self.plan.label_width - 2}}  "
        return cells.paint(
            label, "accent-bold" if here else "muted", looks, overlay, self.looks, self.palette, width
        )

    def _with_holes(self, slot: Slot, looks: bytearray) -> bytearray:
        group = self.board.groups[slot.group]
        if slot.first == slot.last:
            return bytearray()
        low, high = group.indexes[slot.first], group.indexes[slot.last - 1]
        if low == slot.label and high - low + 1 == len(looks):
            return looks
        filled = bytearray([HOLE]) * (high - slot.label + 1)
        for place, look in enumerate(looks, slot.first):
            filled[group.indexes[place] - slot.label] = look
        return filled

    def _overlay(self, slot: Slot, row: int, n: int) -> bytearray:
        """For each cell, whether it is marked, in the range, or under the cursor."""
        overlay = bytearray(n)
        group = self.board.groups[slot.group]
        marked = self.marks.of_batch(group.batch_id)
        if marked:
            for place in range(slot.first, slot.last):
                if group.indexes[place] in marked:
                    overlay[self.plan.column_of(slot, place)] = cells.MARKED
        if self._anchor is not None:
            for batch_id, indexes in self._range():
                if batch_id == group.batch_id and len(indexes):
                    low, high = indexes[0], indexes[-1]
                    for place in range(slot.first, slot.last):
                        if low <= group.indexes[place] <= high:
                            overlay[self.plan.column_of(slot, place)] = cells.RANGE
        if self._cursor is not None and self._cursor.batch_id == group.batch_id:
            seat_row, column = self._seat()
            if seat_row == row:
                overlay[column] = cells.CURSOR if self.has_focus else cells.CURSOR_AWAY
        return overlay
