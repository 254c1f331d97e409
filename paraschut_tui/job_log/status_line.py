"""LogStatusLine: the line above a log: whose it is, which stream, where in it; repaints only what changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, NamedTuple

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

Part = tuple[str, str]
"""Clean text and the component class of its style."""


class LogTitle(NamedTuple):
    """What stands above one pane: a title that gives way, streams to choose from (what each is called by its
    name), and how it is."""

    title: str
    streams: Mapping[str, str]
    chosen: str
    parts: Sequence[Part]


class LogStatusLine(Widget):
    """One line, in as many equal columns as there are panes."""

    ALLOW_SELECT = False
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "log--title",
        "log--quiet",
        "log--chosen",
        "log--found",
        "log--notice",
    }
    DEFAULT_CSS = """
    LogStatusLine {
        height: 1;
        width: 1fr;
        & > .log--title { text-style: bold; }
        & > .log--quiet { color: $text-muted; }
        & > .log--chosen { color: $accent; text-style: bold underline; }
        & > .log--found { color: $accent; }
        & > .log--notice { color: $warning; }
    }
    LogStatusLine:ansi > .log--quiet { color: ansi_bright_black; }
    """

    class StreamChosen(Message):
        """A stream's name was clicked."""

        def __init__(self, stream: str) -> None:
            super().__init__()
            self.stream = stream

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's own word
        super().__init__(id=id)
        self._headings: Sequence[LogTitle] = ()
        self._painted: list[tuple[str, Style]] = []
        self._places: list[tuple[int, int, str]] = []  # columns where each stream's name stands

    def show(self, headings: Sequence[LogTitle]) -> None:
        """Shows these headings, side by side."""
        self._headings = headings
        if not self.is_mounted or not self.size.width:
            return
        cells = _cells(self._strip())
        differ = [at for at, (one, two) in enumerate(zip(self._painted, cells, strict=False)) if one != two]
        if len(cells) != len(self._painted):
            self.refresh()
        elif differ:
            self.refresh(Region(differ[0], 0, differ[-1] + 1 - differ[0], 1))

    @property
    def text(self) -> str:
        """What is shown, without styles."""
        return self._strip().text.rstrip()

    def render_line(self, y: int) -> Strip:
        strip = self._strip()
        self._painted = _cells(strip)
        return strip

    def on_click(self, event: events.Click) -> None:
        for start, end, stream in self._places:
            if start <= event.x < end:
                self.post_message(self.StreamChosen(stream))

    # ------------------------------------------------------------------ layout

    def _strip(self) -> Strip:
        width = self.size.width
        self._places = []
        segments: list[Segment] = []
        count = max(len(self._headings), 1)
        for number, heading in enumerate(self._headings):
            start = width * number // count
            segments.extend(self._column(heading, start, width * (number + 1) // count - start))
        return Strip(segments).adjust_cell_length(width, self.rich_style)

    def _column(self, heading: LogTitle, start: int, width: int) -> list[Segment]:
        right = [part for part in heading.parts if part[0]]
        streams = dict(heading.streams)
        room = width - 2 - sum(cell_len(text) + 2 for text, _ in right)
        if room - sum(cell_len(name) + 2 for name in streams.values()) < min(cell_len(heading.title), 12):
            # The others give way.
            streams = {name: called for name, called in streams.items() if name == heading.chosen}
        room -= sum(cell_len(called) + 2 for called in streams.values())
        title = _fit(heading.title, room)
        segments = [self._segment(f" {title} ", "log--title")]
        column = start + cell_len(title) + 2
        for name, called in streams.items():
            self._places.append((column, column + cell_len(called), name))
            segments.append(self._segment(called, "log--chosen" if name == heading.chosen else "log--quiet"))
            segments.append(self._segment("  ", "log--quiet"))
            column += cell_len(called) + 2
        for text, style in right:
            segments.append(self._segment(text, style))
            segments.append(self._segment("  ", "log--quiet"))
        return list(Strip(segments).adjust_cell_length(max(width, 0), self.rich_style))

    def _segment(self, text: str, style: str) -> Segment:
        return Segment(text, self.get_component_rich_style(style))


def _fit(text: str, width: int) -> str:
    """`text` in exactly `width` columns."""
    if width <= 0:
        return ""
    if cell_len(text) > width:
        return set_cell_size(text, width - 1) + "…"
    return set_cell_size(text, width)


def _cells(strip: Strip) -> list[tuple[str, Style]]:
    """What is in each column; the second half of a wide character is ''."""
    cells: list[tuple[str, Style]] = []
    for segment in strip:
        style = segment.style or Style.null()
        for character in segment.text:
            cells.append((character, style))
            cells.extend([("", style)] * (cell_len(character) - 1))
    return cells
