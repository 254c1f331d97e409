"""LogStatusLine: the line above a log: whose it is, which stream, where in it; repaints only what changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, NamedTuple

from rich.cells import cell_len
from rich.segment import Segment
from textual import events
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from ..widgets.styled_line import fit

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
        self._painted: Strip | None = None
        self._places: list[tuple[int, int, str]] = []  # columns where each stream's name stands

    def show(self, headings: Sequence[LogTitle]) -> None:
        """Show these headings, side by side."""
        self._headings = headings
        if not self.is_mounted or not self.size.width:
            return
        if self._strip() != self._painted:
            self.refresh()

    @property
    def text(self) -> str:
        """What is shown, without styles."""
        return self._strip().text.rstrip()

    def render_line(self, y: int) -> Strip:
        self._painted = self._strip()
        return self._painted

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
        title = fit(heading.title, room)
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
