"""Line: one row of text parts that repaints only the columns that changed."""

from __future__ import annotations

from collections.abc import Sequence

from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from ..look import Palette
from ..strips import Part, line


class Line(Widget):
    """A title, ruler, status or key line."""

    ALLOW_SELECT = False
    DEFAULT_CSS = """
    Line { height: 1; width: 1fr; }
    """

    def __init__(self, palette: Palette, *, id: str | None = None) -> None:  # noqa: A002 - Textual's own word
        super().__init__(id=id)
        self._palette = palette
        self._left: Sequence[Part] = ()
        self._right: Sequence[Part] = ()
        self._painted: Strip | None = None

    def show(self, left: Sequence[Part], right: Sequence[Part] = ()) -> None:
        """Shows these parts; `right` stand at the right end."""
        self._left, self._right = left, right
        width = self.size.width
        if self._painted is None or width == 0:
            self.refresh()
            return
        strip = line(left, width, self._palette, right)
        changed = _difference(self._painted, strip)
        if changed is not None:
            first, last = changed
            self.refresh(Region(first, 0, last - first, 1))

    def use(self, palette: Palette) -> None:
        """Takes the styles of another theme."""
        self._palette = palette
        self._painted = None
        self.refresh()

    @property
    def text(self) -> str:
        """What is shown, without styles."""
        return line(self._left, max(self.size.width, 1), self._palette, self._right).text.rstrip()

    def render_line(self, y: int) -> Strip:
        strip = line(self._left, self.size.width, self._palette, self._right)
        self._painted = strip
        return strip


def _difference(old: Strip, new: Strip) -> tuple[int, int] | None:
    """First and last+1 column in which two lines differ; None if they are equal."""
    before, after = _columns(old), _columns(new)
    if len(before) != len(after):
        return 0, max(len(before), len(after))
    differing = [at for at, (one, two) in enumerate(zip(before, after, strict=True)) if one != two]
    return (differing[0], differing[-1] + 1) if differing else None


def _columns(strip: Strip) -> list[tuple[str, Style | None]]:
    """What is in each column; the second half of a wide character counts as ''."""
    columns: list[tuple[str, Style | None]] = []
    for segment in strip:
        for character in segment.text:
            columns.append((character, segment.style))
            extra = Segment(character).cell_length - 1
            if extra > 0:
                columns.extend([("", segment.style)] * extra)
            elif extra < 0:
                columns[-1] = columns[-1]
                columns.pop()
    return columns
