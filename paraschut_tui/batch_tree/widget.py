"""BatchTree: batches with their progress, under them states, jobs and spawns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from rich.cells import cell_len
from textual import events
from textual.binding import BindingType
from textual.message import Message
from textual.strip import Strip

from paraschut_core.model import Batch, Snapshot
from paraschut_core.sanitize import clean_line

from .. import keymap
from ..formatting import bar, count, percent, short
from ..messages import BatchSelected
from ..state_styles import L_MISSING, L_RUN, L_SPAWN, L_UNCONFIRMED, Palette, StateStyles
from ..widgets.line_list import LineList
from ..widgets.styled_line import Part, fit, line, width_of
from .column_widths import ColumnWidths
from .model import (
    BATCH,
    HEADING,
    JOB,
    MORE,
    NOTE,
    SPAWN_ROW,
    STATE,
    NodeId,
    NodePath,
    TreeModel,
    TreeRow,
    priority_of,
    state_label,
)
from .short_names import date_of, fold


class BatchTree(LineList):
    """The tree of batches. Its cursor decides what the grid shows."""

    BINDINGS: ClassVar[list[BindingType]] = keymap.bindings(keymap.TREE)

    class BranchOpened(Message):
        """A branch was opened whose jobs or spawns are to be loaded."""

        def __init__(self, node: NodeId) -> None:
            super().__init__()
            self.node = node

    class ShowMoreRequested(Message):
        """Enter where a list of jobs ends: the grid shows how it goes on."""

        def __init__(self, node: NodeId) -> None:
            super().__init__()
            self.node = node

    class OpenRequested(Message):
        """Enter upon a job: go where it is shown."""

    class Marked(Message):
        """Other batches than before are marked."""

    class GroupingChanged(Message):
        """The batches are in another order."""

    def __init__(self, palette: Palette, looks: StateStyles, *, id: str | None = None) -> None:  # noqa: A002 - Textual's own word
        super().__init__(palette, id=id)
        self.outline = TreeModel(looks)
        self._looks = looks
        self._snapshot: Snapshot | None = None
        self._lost: Mapping[int, Mapping[int, int]] = {}
        self._cursor: NodeId | None = None
        self._row = 0
        self._measures = ColumnWidths()
        self.marked: set[int] = set()
        """Batches that are to be shown, and acted upon, together."""
        self._matches: Mapping[int, int] | None = None

    # ------------------------------------------------------------------ content

    @property
    def cursor(self) -> NodeId | None:
        """The row under the cursor, None on an empty tree."""
        return self._cursor

    def update(self, snapshot: Snapshot, lost: Mapping[int, Mapping[int, int]]) -> None:
        """Shows a newer snapshot; cursor, open branches and scroll stay where they are."""
        self._snapshot, self._lost = snapshot, lost
        self._measures.take(snapshot, lost)
        self.rebuild()

    def show_matches(self, matches: Mapping[int, int] | None) -> None:
        """Show per batch how many jobs match the filter in force; None without one."""
        if matches != self._matches:
            self._matches = matches
            self.repaint_changed()

    def rebuild(self) -> None:
        """Works out the rows anew and repaints what changed."""
        if self._snapshot is None:
            return
        outline = self.outline
        self.marked &= self._snapshot.batches.keys()
        offset = self._row - self.scroll_offset.y
        outline.width = self.size.width or 40
        outline.build(self._snapshot, self._lost)
        self.set_height(len(outline.rows))
        self._keep_cursor()
        if self._row - self.scroll_offset.y != offset and self.scroll_offset.y > 0:
            self.scroll_to(y=max(self._row - offset, 0), animate=False, force=True)
        self.repaint_changed()

    def _keep_cursor(self) -> None:
        rows = self.outline.rows
        if not rows:
            self._cursor, self._row = None, 0
            return
        if self._cursor is not None:
            for key in _upwards(self._cursor):
                row = self.outline.row_of(key)
                if row is not None:
                    self._cursor, self._row = key, row
                    return
        self._row = min(self._row, len(rows) - 1)
        while self._row > 0 and not rows[self._row].selectable:
            self._row -= 1
        while not rows[self._row].selectable:
            self._row += 1
        self._cursor = rows[self._row].key

    # ------------------------------------------------------------------ cursor

    def go_to_batch(self, batch_id: int) -> None:
        """Puts the cursor on a batch without telling anybody."""
        if self._cursor is not None and self._cursor.batch_id == batch_id:
            return
        row = self.outline.row_of(NodeId(BATCH, batch_id))
        if row is not None:
            self._place(row, tell=False)

    @property
    def place(self) -> tuple[NodePath | None, int]:
        """The cursor's row by names, and how far below the top it stands: to come back to another time."""
        row = None if self._cursor is None else self.outline.branch(self._cursor)
        return row, self._row - self.scroll_offset.y

    def come_back(self, branch: NodePath | None, below: int) -> None:
        """Puts the cursor where it was another time, if that row is there, without telling anybody."""
        row = None if branch is None else self.outline.row_of(self.outline.node(branch))
        if row is not None:
            self._place(row, tell=False)
            self.scroll_to(y=max(row - max(below, 0), 0), animate=False, force=True)

    def difference_of(self, batch_id: int | None) -> int:
        """The place of the character in which a batch's name differs from the others."""
        batch = self._snapshot.batches.get(batch_id) if self._snapshot is not None and batch_id else None
        return 0 if batch is None else self._measures.places.get(batch.name, 0)

    def step_batch(self, by: int) -> None:
        """Moves to the next or previous batch."""
        batches = self.outline.batch_ids
        if not batches:
            return
        here = batches.index(self._cursor.batch_id) if self._cursor is not None else 0
        row = self.outline.row_of(NodeId(BATCH, batches[max(0, min(here + by, len(batches) - 1))]))
        if row is not None:
            self._place(row)

    def _place(self, row: int, *, tell: bool = True) -> None:
        before, self._row = self._row, row
        self._cursor = self.outline.rows[row].key
        self.show_row(row, context=1)
        self.repaint_row(before)
        self.repaint_row(row)
        if tell:
            key = self._cursor
            look = key.look if key.look >= 0 else None
            index = key.job if key.job >= 0 and key.kind != MORE else None
            spawn = key.spawn if key.spawn >= 0 else None
            self.post_message(BatchSelected(key.batch_id, look, index, spawn))

    def step(self, by: int) -> None:
        """Moves by rows, over those that cannot be chosen."""
        rows = self.outline.rows
        row = max(0, min(self._row + by, len(rows) - 1))
        direction = 1 if by > 0 else -1
        while 0 <= row < len(rows) and not rows[row].selectable:
            row += direction
        if not 0 <= row < len(rows):
            row = self._row
        if rows and row != self._row:
            self._place(row)

    def cursor_moved(self) -> None:
        self.repaint_row(self._row)

    def action_open(self) -> None:
        """Opens the branch; on an open one goes into it."""
        if self._cursor is None:
            return
        if self._can_open(self._cursor) and self._cursor not in self.outline.open:
            self._toggle(self._cursor)
        elif self._cursor in self.outline.open:
            self.step(1)

    def action_close(self) -> None:
        """Closes the branch; on a closed one goes to what it belongs to."""
        if self._cursor is None:
            return
        if self._cursor in self.outline.open:
            self._toggle(self._cursor)
            return
        above = _upwards(self._cursor)[1:]
        row = self.outline.row_of(above[0]) if above else None
        if row is not None:
            self._place(row)

    def action_unfold(self) -> None:
        if self._cursor is None:
            return
        if self._can_open(self._cursor):
            self._toggle(self._cursor)
        elif self._cursor.kind == MORE:
            self.post_message(self.ShowMoreRequested(self._cursor))
        else:
            self.post_message(self.OpenRequested())

    def action_mark(self) -> None:
        """Marks or unmarks the batch under the cursor and goes on to the next."""
        if self._cursor is None:
            return
        self.marked ^= {self._cursor.batch_id}
        self.repaint_changed()
        self.post_message(self.Marked())
        self.step_batch(1)

    def action_clear(self) -> None:
        if self.marked:
            self.marked.clear()
            self.repaint_changed()
            self.post_message(self.Marked())

    def action_group(self) -> None:
        """Orders by time, by name group, by batch_type, in turn."""
        turn = {"time": "name", "name": "type", "type": "time"}
        self.outline.grouping = turn[self.outline.grouping]
        self.rebuild()
        self.show_row(self._row, context=1)
        self.post_message(self.GroupingChanged())

    def _can_open(self, key: NodeId) -> bool:
        return key.kind in (BATCH, STATE) or (key.kind == JOB and key.look == L_SPAWN)

    def _toggle(self, key: NodeId) -> None:
        if self.outline.toggle(key) and key.kind != BATCH:
            self.post_message(self.BranchOpened(key))
        self.rebuild()

    async def on_click(self, event: events.Click) -> None:
        row = event.y + self.scroll_offset.y
        if row < len(self.outline.rows) and self.outline.rows[row].selectable:
            again = row == self._row
            self._place(row)
            if event.chain == 2 or (again and event.x < 3):
                self.action_unfold()

    def on_resize(self) -> None:
        self._painted.clear()
        self.rebuild()

    # ------------------------------------------------------------------ painting

    def build_line(self, row: int, width: int) -> Strip:
        rows = self.outline.rows
        if row >= len(rows) or self._snapshot is None:
            return line((), width, self.palette)
        entry = rows[row]
        left, right = self._parts(entry, width)
        if row == self._row:
            role = "cursor" if self.has_focus else "cursor-away"
            left = [(text, role if self.has_focus or i == 1 else part) for i, (text, part) in enumerate(left)]
            if self.has_focus:
                left = [(fit("".join(text for text, _ in left), width - width_of(right)), role)]
                right = [(text, role) for text, _ in right]
        return line(left, width, self.palette, right)

    def _parts(self, row: TreeRow, width: int) -> tuple[Sequence[Part], Sequence[Part]]:
        kind = row.key.kind
        if kind == BATCH:
            assert self._snapshot is not None  # there are rows only after a snapshot
            return self._batch_parts(self._snapshot.batches[row.key.batch_id], width)
        if kind == STATE:
            return self._state_parts(row)
        if kind == JOB:
            look = self._looks.looks[row.key.look]
            sign = self._sign(row.key) if row.key.look == L_SPAWN else " "
            return [
                (f"      {sign} ", "muted"),
                (f"{row.key.job}", look.role),
                (f"  {row.text}", "muted"),
            ], []
        if kind == SPAWN_ROW:
            look = self._looks.looks[row.number]
            return [
                ("          ", "base"),
                (f"{self._looks.glyph(row.number)} {row.key.spawn}", look.role),
                (f"  {row.text}", "muted"),
            ], []
        if kind == NOTE:
            return [("    ", "base"), (row.text, "error" if row.number else "warning")], []
        if kind == HEADING:
            return [(row.text or "(no name)", "muted")], []
        return [("        ", "base"), (row.text, "muted")], []

    def _batch_parts(self, batch: Batch, width: int) -> tuple[Sequence[Part], Sequence[Part]]:
        """Name, bar, counts, missing, priority; the name gets what the figures of all batches leave."""
        lost = sum(self._lost.get(batch.batch_id, {}).values())
        done = batch.total > 0 and batch.complete == batch.total
        measures = self._measures
        if self._matches is not None:
            n = self._matches.get(batch.batch_id, 0)
            right: list[Part] = [(f" {count(n)} match ", "accent" if n else "muted")]
            done = not n
        else:
            figures = measures.figures(width)
            full, empty = bar(batch.complete, batch.total, figures.bar)
            right = [(" ", "base"), (full, "success"), (empty, "line")]
            if figures.percent:
                right.append((f"{percent(batch.complete, batch.total):>5}", "muted" if done else "text"))
            counts = f"{short(batch.complete)}/{short(batch.total)}"
            right.append((f" {counts:>{measures.counts}}", "muted" if done else "text"))
            if measures.lost:
                missing = self._looks.glyph(L_MISSING) + short(lost) if lost else ""
                right.append((f" {missing:>{measures.lost}}", "error" if lost else "muted"))
            if measures.priority:
                priority = priority_of(batch)
                shown = f"p{priority}" if priority else ""
                right.append((f" {shown:>{measures.priority}}", "muted"))
            right.append((" ", "base"))
        return self._name_parts(batch, width - width_of(right), done), right

    def _name_parts(self, batch: Batch, width: int, muted: bool) -> list[Part]:
        """Sign and name; of several batches with the same name also when each was made."""
        name = clean_line(batch.name) or "(no name)"
        marked = batch.batch_id in self.marked
        sign = "●" if marked else self._sign(NodeId(BATCH, batch.batch_id))
        role = "accent" if marked else "muted" if muted else "text"
        date = f" {date_of(batch.batch_id)}" if batch.name in self._measures.repeated else ""
        shown = fold(name, max(width - 2 - len(date), 4), self._measures.places.get(batch.name, 0))
        if date:  # it stands right behind the name
            shown = shown.rstrip()
            date += " " * max(width - 2 - cell_len(shown) - len(date), 0)
        return [(f"{sign} ", "accent" if marked else "muted"), (shown, role), (date, "muted")]

    def _state_parts(self, row: TreeRow) -> tuple[Sequence[Part], Sequence[Part]]:
        code = row.key.look
        glyph = self._looks.glyph(L_RUN if code == L_UNCONFIRMED else code)
        role = self._looks.looks[L_RUN if code == L_UNCONFIRMED else code].role
        words = "error" if code == L_MISSING else "text"
        left = [
            (f"  {self._sign(row.key)} ", "muted"),
            (f"{glyph} ", role),
            (f"{fit(state_label(code, self._looks), 12)}", words),
            (f"{count(row.number):>9}", words),
        ]
        return left, []

    def _sign(self, key: NodeId) -> str:
        return "▾" if key in self.outline.open else "▸"


def _upwards(key: NodeId) -> list[NodeId]:
    """A row and what it belongs to, innermost first."""
    chain = [key]
    if key.kind == SPAWN_ROW:
        chain.append(NodeId(JOB, key.batch_id, key.look, key.job))
    if key.kind in (SPAWN_ROW, JOB, MORE):
        chain.append(NodeId(STATE, key.batch_id, key.look))
    if key.kind in (SPAWN_ROW, JOB, MORE, STATE):
        chain.append(NodeId(BATCH, key.batch_id))
    return chain
