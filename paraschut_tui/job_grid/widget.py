"""JobGrid: the states of up to millions of jobs, a glyph or a row each; marks among them."""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import ClassVar

from textual import events
from textual.actions import SkipAction
from textual.binding import BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.strip import Strip

from paraschut_core.model import JobKey, JobRow, Snapshot

from .. import keymap
from ..messages import JobSelected
from ..state_styles import HOLE, L_MISSING, Palette, StateStyles
from ..widgets.line_list import LineList
from ..widgets.styled_line import Part, fit, line
from . import cells, columns
from .columns import META, ColumnSetting, RowData, SortKey
from .layout import BLOCK, GridRow, JobLayout
from .marked_jobs import MarkedJobs
from .model import GridModel

_KEPT = 20_000
"""Rows kept at most for the row density."""


class JobGrid(LineList):
    """The grid of jobs. Cursor and marks hold job keys: they stay with their jobs through any refresh."""

    BINDINGS: ClassVar[list[BindingType]] = keymap.bindings(keymap.GRID)

    class LayoutChanged(Message):
        """The ruler or the legend may have changed."""

    class OpenRequested(Message):
        """Enter was pressed: open the log of the job under the cursor."""

    class MarksChanged(Message):
        """Jobs were marked or unmarked."""

    class RowDataRequested(Message):
        """Rows are in view of which more is to be read; also these fields of their metadata."""

        def __init__(self, keys: list[JobKey], fields: tuple[str, ...]) -> None:
            super().__init__()
            self.keys = keys
            self.fields = fields

    class SortRequested(Message):
        """The rows are to be sorted (anew)."""

    class ColumnChooserRequested(Message):
        """The user wants to choose columns."""

    def __init__(
        self,
        palette: Palette,
        looks: StateStyles,
        marks: MarkedJobs,
        clock: Callable[[], float] = time.time,
        *,
        id: str | None = None,  # noqa: A002 - Textual's own word
    ) -> None:
        super().__init__(palette, id=id)
        self.looks = looks
        self.marks = marks
        self.board = GridModel((), looks)
        self.plan = JobLayout(self.board, 80)
        self.density = "cells"
        self.order: array[int] | None = None
        """The jobs' numbers in the order of the rows, where they are sorted."""
        self.note: Sequence[Sequence[Part]] = ((("reading", "muted"),),)
        """The lines of an empty grid."""
        self.heading: Callable[[int, int], Sequence[Part]] = lambda batch_id, jobs: ()
        """Returns the line above a batch's jobs, given their number, where several batches are shown."""
        self._cursor: JobKey | None = None
        self._anchor: JobKey | None = None
        self.columns: tuple[ColumnSetting, ...] = columns.DEFAULT
        self.sorting: tuple[SortKey, ...] = ()
        self.snapshot: Snapshot | None = None
        self._clock = clock
        self._shift = 0
        self._column = 0
        self._changed = False
        self.sorting_now = False
        """Whether an order is being worked out."""
        self._known: dict[JobKey, JobRow] = {}
        self._fields: dict[JobKey, Mapping[str, object]] = {}

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
        for row, in_row in changed.items():
            if len(in_row) > 4:
                self.repaint_row(row)
            else:
                for column in in_row:
                    self._repaint_cell(row, column)

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

    # ------------------------------------------------------------------ density, columns

    def action_density(self) -> None:
        self.set_density("rows" if self.density == "cells" else "cells")

    def set_density(self, density: str) -> None:
        """Shows the same jobs as "cells" or "rows"."""
        self.density = density
        self._painted.clear()
        self.show(self.board, self.note, None)
        self.refresh()
        if density == "rows" and self.sorting:
            self.post_message(self.SortRequested())

    def set_columns(self, chosen: Sequence[ColumnSetting], sorting: Sequence[SortKey]) -> None:
        """Shows other columns, or sorts by others."""
        resort = tuple(sorting) != self.sorting
        if {one.name for one in chosen} != {one.name for one in self.columns}:
            self._fields.clear()
        self.columns, self.sorting = tuple(chosen), tuple(sorting)
        self._column = min(self._column, len(self.columns) - 1)
        self._shift = min(self._shift, max(self._column - 1, 0))
        if resort and not sorting:
            self.set_order(None)
        elif resort:
            self.post_message(self.SortRequested())
        self.repaint_changed()
        self.view_changed()
        self.post_message(self.LayoutChanged())

    def action_columns(self) -> None:
        self.post_message(self.ColumnChooserRequested())

    def action_left(self) -> None:
        if self.density == "rows":
            self._to_column(self._column - 1)
        else:
            self._by_jobs(-1)

    def action_right(self) -> None:
        if self.density == "rows":
            self._to_column(self._column + 1)
        else:
            self._by_jobs(1)

    @property
    def column(self) -> str:
        """The name of the column that keys work upon, "" where there are no rows."""
        return self.columns[min(self._column, len(self.columns) - 1)].name if self.density == "rows" else ""

    def _to_column(self, wanted: int) -> None:
        """Goes to a column, and scrolls sideways until it is there; the first one always is."""
        self._column = max(0, min(wanted, len(self.columns) - 1))
        before, self._shift = self._shift, min(self._shift, max(self._column - 1, 0))
        width = self.scrollable_content_region.width
        while self._shift < self._column - 1 and not self._is_there(self.column, width):
            self._shift += 1
        if self._shift != before:
            self.repaint_changed()
        self.post_message(self.LayoutChanged())

    def _is_there(self, name: str, width: int) -> bool:
        return any(place.column.name == name for place in self._places(width))

    def action_order(self) -> None:
        """Sorts by this column: up, down, then no longer. What was sorted by before decides among equals."""
        if self.density != "rows":
            self.set_density("rows")
            return
        name = self.column
        first = self.sorting[0] if self.sorting else None
        others = tuple(key for key in self.sorting if key.name != name)
        if first is None or first.name != name:
            self.set_columns(self.columns, (SortKey(name), *others[:2]))
        else:
            self.set_columns(self.columns, others if first.down else (SortKey(name, down=True), *others))

    def action_wider(self) -> None:
        self._widen(2)

    def action_narrower(self) -> None:
        self._widen(-2)

    def _widen(self, by: int) -> None:
        """Makes this column wider or narrower; among cells the key moves the border of the pane."""
        if self.density != "rows":
            raise SkipAction
        least = columns.column_of(self.column).least
        if least:
            changed = [
                ColumnSetting(one.name, max(one.wider + by, 2 - least)) if one.name == self.column else one
                for one in self.columns
            ]
            self.set_columns(changed, self.sorting)

    def _places(self, width: int) -> list[columns.PlacedColumn]:
        shown = (*self.columns[:1], *self.columns[1 + self._shift :])
        return columns.place(shown, width - self.plan.label_width)

    # ------------------------------------------------------------------ what rows tell

    def set_row_data(self, rows: Iterable[JobRow], fields: Mapping[JobKey, Mapping[str, object]]) -> None:
        """Takes in what was read of rows in view."""
        if len(self._known) > _KEPT:
            self._known.clear()
            self._fields.clear()
        self._known.update((row.key, row) for row in rows)
        self._fields.update(fields)
        if self.density == "rows":
            self.repaint_changed()

    def apply_changes(self, snapshot: Snapshot, rows: Iterable[JobRow], reload: bool) -> None:
        """Takes a newer snapshot in, with the rows that changed."""
        self.snapshot = snapshot
        if reload:
            self._known.clear()
            self._fields.clear()
        for row in rows:
            self._changed = True
            self._fields.pop(row.key, None)
            if row.key in self._known:
                self._known[row.key] = row
        if self.density == "rows":
            self.repaint_changed()
            self.view_changed()

    def resort(self, most: int) -> None:
        """Has the rows sorted anew if some changed since they were, unless there are more than `most`."""
        if self._changed and self.order is not None and self.density == "rows" and self.board.total <= most:
            self._changed = False
            self.post_message(self.SortRequested())

    def repaint_ages(self) -> None:
        """Repaints those visible rows whose times read otherwise by now."""
        if self.density == "rows":
            self.repaint_changed()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        self.view_changed()

    def view_changed(self) -> None:
        """Asks for what is not known of the rows in view and a page around them."""
        if self.density != "rows":
            return
        height = self.scrollable_content_region.height
        top = max(self.scroll_offset.y - height, 0)
        fields = tuple(one.name for one in self.columns if one.name.startswith(META))
        wanted = []
        for row in range(top, min(top + 3 * height, self.plan.rows)):
            slot = self.plan.slot(row)
            if slot is not None and not slot.heading:
                key = self.board.key(slot.group, slot.first)
                if key not in self._known or (fields and key not in self._fields):
                    wanted.append(key)
        if wanted:
            self.post_message(self.RowDataRequested(wanted, fields))

    def _facts(self, group: int, place: int) -> RowData:
        key = self.board.key(group, place)
        code = self.board.groups[group].looks[place]
        snapshot = self.snapshot
        return RowData(
            key,
            self.looks.looks[code],
            self.looks.glyph(code),
            self._known.get(key),
            snapshot.live.get(key) if snapshot is not None else None,
            snapshot.missing.get(key) if snapshot is not None else None,
            snapshot.live_spawns.get(key) if snapshot is not None else None,
            self._fields.get(key, {}),
            self._clock(),
        )

    # ------------------------------------------------------------------ marks

    def action_mark(self) -> None:
        if self._cursor is None:
            return
        if self._anchor is not None:
            self.action_range()
            return
        self.marks.toggle(self._cursor)
        self._repaint_cell(*self._cursor_cell())
        self._by_jobs(1)
        self.post_message(self.MarksChanged())

    def action_range(self) -> None:
        """Starts a range at the cursor, or marks what lies between its start and the cursor."""
        if self._cursor is None:
            return
        if self._anchor is None:
            self._anchor = self._cursor
            self._marked()
        else:
            self.take_range()

    def take_range(self) -> None:
        """Marks what lies in an open range, and ends it."""
        if self._anchor is None:
            return
        for batch_id, indexes in self._range():
            self.marks.add(batch_id, indexes)
        self._anchor = None
        self._marked()

    @property
    def range_size(self) -> int:
        """How many jobs an open range holds; 0 if none is open."""
        start = self.board.locate(self._anchor) if self._anchor is not None else None
        if start is None or self._cursor is None:
            return 0
        if self.order is not None:
            return abs(self.plan.row_and_column(*start)[0] - self._cursor_cell()[0]) + 1
        return sum(len(indexes) for _, indexes in self._range())

    def _range(self) -> Iterator[tuple[int, Sequence[int]]]:
        """The JobIndexes of each batch between the range's start and the cursor, as they are shown."""
        start = self.board.locate(self._anchor) if self._anchor is not None else None
        if start is None or self._cursor is None:
            return
        if self.order is not None:
            ends = sorted((self.plan.row_and_column(*start)[0], self._cursor_cell()[0]))
            for n in self.order[ends[0] : ends[1] + 1]:
                key = self.board.key(*self.board.at(n))
                yield key.batch_id, (key.job_index,)
            return
        (first, low), (last, high) = sorted((start, self._cursor_index()))
        for at in range(first, last + 1):
            group = self.board.groups[at]
            begin = low if at == first else 0
            end = high + 1 if at == last else len(group)
            yield group.batch_id, group.indexes[begin:end]

    def _in_range(self) -> Callable[[int, int], bool]:
        """Tells of a group and place whether it is in the range that was begun."""
        start = self.board.locate(self._anchor) if self._anchor is not None else None
        if start is None or self._cursor is None:
            return lambda group, place: False
        if self.order is not None:
            top, bottom = sorted((self.plan.row_and_column(*start)[0], self._cursor_cell()[0]))
            return lambda group, place: top <= self.plan.row_and_column(group, place)[0] <= bottom
        low, high = sorted((start, self._cursor_index()))
        return lambda group, place: low <= (group, place) <= high

    def cancel_range(self) -> bool:
        """Gives a begun range up. Returns whether there was one."""
        if self._anchor is None:
            return False
        self._anchor = None
        self._marked()
        return True

    def action_mark_state(self) -> None:
        if self._cursor is not None:
            group, place = self._cursor_index()
            self._mark_look(self.board.groups[group].looks[place])

    def action_mark_missing(self) -> None:
        self._mark_look(L_MISSING)

    def _mark_look(self, look: int) -> None:
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
        """The line above the jobs: the numbers of every tenth cell, or the titles of the columns."""
        if not self.board.total:
            return []
        indent = (" " * self.plan.label_width, "base")
        if self.density == "rows":
            return [
                indent,
                *columns.heading(
                    self._places(self.scrollable_content_region.width),
                    self.sorting if self.order is not None else (),
                    self.column,
                ),
            ]
        numbers = "".join(f"{n:<{BLOCK + 1}}" for n in range(0, self.plan.per_row, BLOCK))
        return [indent, (numbers.rstrip(), "muted")]

    def build_line(self, row: int, width: int) -> Strip:
        slot = self.plan.slot(row)
        if slot is None:
            if not self.board.total and 1 <= row <= len(self.note):
                return line([("  ", "base"), *self.note[row - 1]], width, self.palette)
            return line((), width, self.palette)
        if slot.heading:
            group = self.board.groups[slot.group]
            return line(self.heading(group.batch_id, len(group)), width, self.palette)
        return self._row(slot, width) if self.density == "rows" else self._cells(slot, row, width)

    def _row(self, slot: GridRow, width: int) -> Strip:
        facts = self._facts(slot.group, slot.first)
        marked = facts.key in self.marks
        parts = columns.row_parts(self._places(width), facts)
        sign = "●" if marked else "○" if self._in_range()(slot.group, slot.first) else " "
        left: list[Part] = [(f"{sign} ", "accent" if marked else "muted"), *parts]
        if facts.key == self._cursor:
            if self.has_focus:
                left = [(fit("".join(text for text, _ in left), width), "cursor")]
            else:
                left[1] = (left[1][0], "cursor-away")
        return line(left, width, self.palette)

    def _cells(self, slot: GridRow, row: int, width: int) -> Strip:
        looks = self.board.groups[slot.group].looks[slot.first : slot.last]
        if self.plan.by_index[slot.group]:
            looks = self._with_holes(slot, looks)
        overlay = self._overlay(slot, row, len(looks))
        here = cells.CURSOR in overlay or cells.CURSOR_AWAY in overlay
        label = f"{slot.label:>{self.plan.label_width - 2}}  "
        return cells.paint(
            label, "accent-bold" if here else "muted", looks, overlay, self.looks, self.palette, width
        )

    def _with_holes(self, slot: GridRow, looks: bytearray) -> bytearray:
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

    def _overlay(self, slot: GridRow, row: int, n: int) -> bytearray:
        """For each cell, whether it is marked, in the range, or under the cursor."""
        overlay = bytearray(n)
        group = self.board.groups[slot.group]
        marked = self.marks.of_batch(group.batch_id)
        if marked or self._anchor is not None:
            in_range = self._in_range()
            for place in range(slot.first, slot.last):
                if in_range(slot.group, place):
                    overlay[self.plan.column_of(slot, place)] = cells.RANGE
                elif group.indexes[place] in marked:
                    overlay[self.plan.column_of(slot, place)] = cells.MARKED
        if self._cursor is not None and self._cursor.batch_id == group.batch_id:
            seat, column = self._cursor_cell()
            if seat == row:
                overlay[column] = cells.CURSOR if self.has_focus else cells.CURSOR_AWAY
        return overlay
