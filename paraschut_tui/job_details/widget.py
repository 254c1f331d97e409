"""JobDetails: all that is known of a job, as a tree to open, to copy from and to edit in."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import ClassVar

from textual import events
from textual.binding import BindingType
from textual.message import Message
from textual.strip import Strip

from paraschut_core.model import JobKey
from paraschut_core.sanitize import clean_line

from .. import keymap
from ..formatting import cut_for_clipboard
from ..state_styles import Palette
from ..widgets.line_list import LineList
from ..widgets.styled_line import Part, line
from .model import DetailNode, JobDetailsData, dossier, flat, text_of, width_of_node
from .value_format import Path, as_typed

_INDENT = 2


class JobDetails(LineList):
    """Takes the log's place on a key. What is open, and the cursor, stay from job to job."""

    BINDINGS: ClassVar[list[BindingType]] = keymap.bindings(keymap.DETAILS)

    class EditRequested(Message):
        """A field is to be set: the one at `path`, whose value is `value`, of the job as it was read."""

        def __init__(self, key: JobKey, path: Path, value: object, rev: int) -> None:
            super().__init__()
            self.key, self.path, self.value, self.rev = key, path, value, rev

    class NodeOpened(Message):
        """A section was opened for which something is to be read: "script" or "scheduler"."""

        def __init__(self, section: str) -> None:
            super().__init__()
            self.section = section

    class StatusReported(Message):
        """One line for the user."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    def __init__(
        self,
        palette: Palette,
        clock: Callable[[], float] = time.time,
        *,
        id: str | None = None,  # noqa: A002 - Textual's own word
    ) -> None:
        super().__init__(palette, id=id)
        self._clock = clock
        self._title: Sequence[Part] = ()
        self._note = ""
        self._sight: JobDetailsData | None = None
        self._rows: list[tuple[int, DetailNode]] = []
        self._cursor = 0
        self._toggled: set[tuple[object, ...]] = set()

    # ------------------------------------------------------------------ what is shown

    @property
    def sight(self) -> JobDetailsData | None:
        """What is shown, None where there is no job."""
        return self._sight

    def show(self, title: Sequence[Part], sight: JobDetailsData | None, note: str = "") -> None:
        """Shows a job, or `note` where there is none. Of the same job, what was read for it stays."""
        before = self._sight
        if sight is not None and before is not None and before.record.key == sight.record.key:
            sight = sight._replace(
                script=sight.script or before.script, summary=sight.summary or before.summary
            )
        self._title, self._sight, self._note = title, sight, note
        self._rebuild()

    def take(self, sight: JobDetailsData) -> None:
        """Takes what was read later for the job that is shown."""
        self._sight = sight
        self._rebuild()

    def is_open(self, *key: object) -> bool:
        """Whether a section is open."""
        return any(node.key == key and self._is_open(node) for _, node in self._rows)

    def _rebuild(self) -> None:
        under = self._rows[self._cursor][1].key if self._cursor < len(self._rows) else ()
        offset = self._cursor - self.scroll_offset.y
        self._rows = list(self._all_rows())
        place = next((at for at, (_, node) in enumerate(self._rows) if node.key == under), None)
        moved = place is not None and place != self._cursor
        self._cursor = min(self._cursor if place is None else place, max(len(self._rows) - 1, 0))
        self.set_height(len(self._rows) + 1)
        if moved and self.scroll_offset.y > 0:
            self.scroll_to(y=max(self._cursor - offset, 0), animate=False, force=True)
        self.repaint_changed()

    def _all_rows(self) -> list[tuple[int, DetailNode]]:
        sight = self._sight
        if sight is None or sight.record.error:
            note = sight.record.error if sight is not None else self._note
            return [(0, DetailNode(("note",), ((clean_line(note), "warning"),)))] if note else []
        rows: list[tuple[int, DetailNode]] = []
        for depth, node in flat(dossier(sight, self._clock()), self._is_open):
            rows.append((depth, node))
            if node.inner is None and node.key in self._toggled:
                rows += self._wrapped(depth, node)
        return rows

    def _is_open(self, node: DetailNode) -> bool:
        return node.opened != (node.key in self._toggled)

    def _room(self, depth: int) -> int:
        return max(self.scrollable_content_region.width - _INDENT * depth - 4, 8)

    def _is_cut(self, depth: int, node: DetailNode) -> bool:
        """Whether the line is longer than the screen is wide, so that it can be opened to be read."""
        return node.inner is None and width_of_node(node) > self._room(depth)

    def _wrapped(self, depth: int, node: DetailNode) -> list[tuple[int, DetailNode]]:
        """A line that is too long for the screen, once more in pieces that are not."""
        text, room = text_of(node), self._room(depth + 1)
        pieces = [text[at : at + room] for at in range(0, len(text), room)]
        return [
            (depth + 1, DetailNode((*node.key, "piece", at), ((piece, "text"),), value=node.value))
            for at, piece in enumerate(pieces)
        ]

    def build_line(self, row: int, width: int) -> Strip:
        if row == 0:
            first, *rest = self._title or [("", "base")]
            role = "accent-bold" if self.has_focus else first[1]
            return line([(" ", "base"), (first[0], role), *rest], width, self.palette)
        if row > len(self._rows):
            return line((), width, self.palette)
        depth, node = self._rows[row - 1]
        sign = "▾ " if self._is_open(node) else "▸ "
        if node.inner is None:
            sign = ("▾ " if node.key in self._toggled else "▸ ") if self._is_cut(depth, node) else "  "
        here = self.has_focus and row - 1 == self._cursor
        head: list[Part] = [(" " * (1 + _INDENT * depth), "base"), (sign, "accent" if here else "line")]
        parts = [(text, "accent-bold" if here and role == "muted" else role) for text, role in node.parts[:1]]
        return line([*head, *parts, *node.parts[1:]], width, self.palette)

    # ------------------------------------------------------------------ moving

    def cursor_moved(self) -> None:
        self.repaint_row(0)
        self.repaint_row(self._cursor + 1)

    def step(self, by: int) -> None:
        before, self._cursor = self._cursor, max(0, min(self._cursor + by, len(self._rows) - 1))
        self.show_row(self._cursor + 1, context=1)
        if self._cursor == 0:
            self.show_row(0)
        for changed in {before, self._cursor}:
            self.repaint_row(changed + 1)

    # ------------------------------------------------------------------ opening

    @property
    def _here(self) -> tuple[int, DetailNode] | None:
        return self._rows[self._cursor] if self._cursor < len(self._rows) else None

    def _can_open(self, depth: int, node: DetailNode) -> bool:
        return node.inner is not None or self._is_cut(depth, node)

    def action_open(self) -> None:
        """Opens what is under the cursor; on what is open goes into it."""
        if self._here is None:
            return
        depth, node = self._here
        if self._can_open(depth, node) and not self._is_open(node):
            self._toggle(node)
        elif self._can_open(depth, node):
            self.step(1)

    def action_close(self) -> None:
        """Closes it; on what is closed goes to what it belongs to."""
        if self._here is None:
            return
        depth, node = self._here
        if self._can_open(depth, node) and self._is_open(node):
            self._toggle(node)
            return
        above = [at for at in range(self._cursor) if self._rows[at][0] < depth]
        if above:
            self.step(above[-1] - self._cursor)

    def action_unfold(self) -> None:
        """Opens or closes what is under the cursor."""
        if self._here is not None and self._can_open(*self._here):
            self._toggle(self._here[1])

    def _toggle(self, node: DetailNode) -> None:
        self._toggled ^= {node.key}
        if self._is_open(node) and node.key[-1] in ("script", "scheduler"):
            self.post_message(self.NodeOpened(str(node.key[-1])))
        self._rebuild()

    async def on_click(self, event: events.Click) -> None:
        row = event.y + self.scroll_offset.y - 1
        if 0 <= row < len(self._rows):
            again = row == self._cursor
            self.step(row - self._cursor)
            if event.chain == 2 or again:
                self.action_unfold()

    def on_resize(self) -> None:
        self._painted.clear()
        self._rebuild()

    # ------------------------------------------------------------------ taking away, changing

    def action_copy(self) -> None:
        """Copies the value under the cursor to the terminal's clipboard."""
        if self._here is None:
            return
        node = self._here[1]
        text = node.value if isinstance(node.value, str) else as_typed(node.value) or text_of(node).strip()
        self.app.copy_to_clipboard(cut_for_clipboard(text))
        self.post_message(self.StatusReported(f"Copied: {clean_line(text, 60)}"))

    def action_edit(self) -> None:
        """Asks for another value of the field under the cursor."""
        if self._here is None or self._sight is None:
            return
        node = self._here[1]
        if node.path is None:
            self.post_message(self.StatusReported("Only fields of the job's metadata can be set."))
            return
        record = self._sight.record
        self.post_message(
            self.EditRequested(record.key, node.path, node.value, int(record.info.get("rev", -1)))
        )
