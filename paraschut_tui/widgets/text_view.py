"""TextView: styled lines to read and scroll."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.binding import BindingType
from textual.geometry import Size
from textual.strip import Strip

from .. import keymap
from ..state_styles import Palette
from .line_list import LineList
from .styled_line import Part, line


class TextView(LineList):
    """Lines of parts; the keys that move a cursor elsewhere scroll here."""

    BINDINGS: ClassVar[list[BindingType]] = keymap.bindings(keymap.MOVE)

    def __init__(
        self,
        palette: Palette,
        lines: Sequence[Sequence[Part]] = (),
        *,
        id: str | None = None,  # noqa: A002 - Textual's own word
    ) -> None:
        super().__init__(palette, id=id)
        self._lines = list(lines)

    def set_lines(self, lines: Sequence[Sequence[Part]]) -> None:
        """Shows other lines; those that stay the same are not sent again."""
        self._lines = list(lines)
        self.virtual_size = Size(self.scrollable_content_region.width, len(self._lines))
        self.repaint_changed()

    def build_line(self, row: int, width: int) -> Strip:
        if row >= len(self._lines):
            return line((), width, self.palette)
        return line([(" ", "base"), *self._lines[row]], width, self.palette)

    def on_resize(self) -> None:
        self._painted.clear()
        self.virtual_size = Size(self.scrollable_content_region.width, len(self._lines))

    def step(self, by: int) -> None:
        last = max(len(self._lines) - self.size.height, 0)
        self.scroll_to(y=max(0, min(self.scroll_offset.y + by, last)), animate=False, force=True)
