"""SelectList: lines of which one is under a cursor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.strip import Strip

from .. import keymap
from ..state_styles import Palette
from .line_list import LineList
from .styled_line import Part, fit, line


class SelectList(LineList):
    """A list to choose from. The cursor shows while the list has the focus, or always.

    Args:
        note: what an empty list says.
        always: the cursor shows whether or not the list has the focus.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        *keymap.bindings(keymap.MOVE),
        Binding("enter", "choose", "go there", show=False),
    ]

    class Moved(Message):
        """The cursor is on another line."""

    class Chosen(Message):
        """A line was chosen."""

        def __init__(self, pane: SelectList, row: int) -> None:
            super().__init__()
            self.pane = pane
            self.row = row

    def __init__(
        self,
        palette: Palette,
        note: str = "",
        *,
        always: bool = False,
        id: str | None = None,  # noqa: A002 - Textual's own word
    ) -> None:
        super().__init__(palette, id=id)
        self._note = note
        self._always = always
        self._rows: Sequence[Sequence[Part]] = ()
        self.row = 0
        """The line under the cursor."""

    def show(
        self, rows: Sequence[Sequence[Part]], *, row: int | None = None, note: str | None = None
    ) -> None:
        """Shows other lines; only what differs is sent."""
        self._rows = rows
        self._note = self._note if note is None else note
        self.row = max(0, min(self.row if row is None else row, len(rows) - 1))
        self._fit()
        self.show_row(self.row)
        self.repaint_changed()

    def __len__(self) -> int:
        return len(self._rows)

    def __bool__(self) -> bool:
        return True

    def _fit(self) -> None:
        self.virtual_size = Size(self.scrollable_content_region.width, max(len(self._rows), 1))

    def on_resize(self) -> None:
        self._painted.clear()
        self._fit()
        self.show_row(self.row)

    def build_line(self, row: int, width: int) -> Strip:
        if row >= len(self._rows):
            return line([(f" {self._note}" if row == 0 else "", "muted")], width, self.palette)
        parts = self._rows[row]
        if row == self.row and (self.has_focus or self._always):
            parts = [(fit("".join(text for text, _ in parts), width), "cursor")]
        return line(parts, width, self.palette)

    def cursor_moved(self) -> None:
        self.repaint_row(self.row)

    def step(self, by: int) -> None:
        """Moves the cursor by so many lines."""
        before, self.row = self.row, max(0, min(self.row + by, len(self._rows) - 1))
        if before != self.row:
            self.show_row(self.row)
            self.repaint_row(before)
            self.repaint_row(self.row)
            self.post_message(self.Moved())

    def action_choose(self) -> None:
        if self._rows:
            self.post_message(self.Chosen(self, self.row))

    def on_click(self, event: events.Click) -> None:
        row = event.y + self.scroll_offset.y
        if row < len(self._rows):
            again = row == self.row
            self.step(row - self.row)
            if event.chain == 2 or (again and self._always):
                self.action_choose()
