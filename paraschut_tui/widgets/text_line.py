"""TextLine: one row of text parts, painted again only if it changed."""

from __future__ import annotations

from collections.abc import Sequence

from textual.strip import Strip
from textual.widget import Widget

from ..state_styles import Palette
from .styled_line import Part, line


class TextLine(Widget):
    """A title, ruler, status or key line."""

    ALLOW_SELECT = False
    DEFAULT_CSS = """
    TextLine { height: 1; width: 1fr; }
    """

    def __init__(self, palette: Palette, *, id: str | None = None) -> None:  # noqa: A002 - Textual's own word
        super().__init__(id=id)
        self._palette = palette
        self._left: Sequence[Part] = ()
        self._right: Sequence[Part] = ()
        self._painted: Strip | None = None

    def show(self, left: Sequence[Part], right: Sequence[Part] = ()) -> None:
        """Show these parts; `right` stand at the right end."""
        self._left, self._right = left, right
        if self._painted != line(left, self.size.width, self._palette, right):
            self.refresh()

    def use(self, palette: Palette) -> None:
        """Use the styles of another theme."""
        self._palette = palette
        self._painted = None
        self.refresh()

    @property
    def text(self) -> str:
        """The text that is shown, without styles."""
        return line(self._left, max(self.size.width, 1), self._palette, self._right).text.rstrip()

    def render_line(self, y: int) -> Strip:
        strip = line(self._left, self.size.width, self._palette, self._right)
        self._painted = strip
        return strip
