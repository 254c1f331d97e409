"""LogCanvas: the lines of a log on the screen; repaints only those that look different."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.geometry import Region
from textual.scroll_view import ScrollView
from textual.strip import Strip

from paraschut_core.logs import Pattern, Row

from ..terminal.textual_compat import focus_quietly
from .marked_ranges import MarkedRanges
from .render import LogStyles, Renderer, RenderOptions, gutter, wrap_points
from .viewport import LogViewport

if TYPE_CHECKING:
    from typing_extensions import Self

_WHEEL = 3  # lines a step of the mouse wheel


class LogCanvas(ScrollView, can_focus=True):
    """Shows a Window of rows. Its position is a row, not a number of lines: a log may have a billion.

    So neither Textual's scroll offset nor its scroll bars are used.
    """

    ALLOW_SELECT = False
    ALLOW_MAXIMIZE = False
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "log--number",
        "log--match",
        "log--current",
        "log--marked",
        "log--note",
    }
    DEFAULT_CSS = """
    LogCanvas {
        width: 1fr;
        height: 1fr;
        overflow: hidden hidden;
        scrollbar-size: 0 0;
        & > .log--number { color: $text-muted; }
        & > .log--match { color: $background; background: $warning; }
        & > .log--current { color: $accent; text-style: bold; }
        & > .log--marked { color: $secondary; text-style: bold; }
        & > .log--note { color: $text-muted; }
    }
    LogCanvas:ansi {
        & > .log--number { color: ansi_bright_black; }
        & > .log--match { color: ansi_black; background: ansi_yellow; }
        & > .log--note { color: ansi_bright_black; }
    }
    """

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's own word
        super().__init__(id=id)
        self._renderer = Renderer()
        self.window = LogViewport(self._lines_of)
        self.note = ""
        """What is shown when there are no rows."""
        self.left = 0
        self.wrap = False
        self.numbers = True
        self.pattern: Pattern | None = None
        self.current: int | None = None
        """The offset of the row that a search or a jump led to."""
        self.marks = MarkedRanges()
        self._inks: LogStyles | None = None
        self._strips: list[Strip] = []
        self._ready = False

    # ------------------------------------------------------------------ painting

    @property
    def height(self) -> int:
        """Lines on the screen, at least one."""
        return max(self.size.height, 1)

    @property
    def gutter_width(self) -> int:
        """Columns before the text: one sign, and the numbers if they are shown and known."""
        last = self.window.rows[-1].number if self.window.rows else 0
        if not self.numbers or not last:
            return 1
        return max(len(str(last)), 4) + 3

    @property
    def text_width(self) -> int:
        """Columns for the text, at least one."""
        return max(self.size.width - self.gutter_width, 1)

    @property
    def widest(self) -> int:
        """Columns of the longest row on the screen, uncut."""
        self._use_look(self._styles())
        shown = dict.fromkeys(at for at, _ in self.window.lines(self.height))
        return max((self._renderer.lines(self.window.rows[at])[0].cell_length for at in shown), default=0)

    def repaint(self) -> None:
        """Brings the screen up to date: only lines that differ are sent."""
        if not self._ready or self.size.area == 0:
            return
        before, self._strips = self._strips, self._build()
        regions = [
            Region(0, y, self.size.width, 1)
            for y, strip in enumerate(self._strips)
            if y >= len(before) or before[y] != strip
        ]
        if regions:
            self.refresh(*regions)

    def render_line(self, y: int) -> Strip:
        if 0 <= y < len(self._strips):
            return self._strips[y]
        return Strip.blank(self.size.width, self.rich_style)

    def _build(self) -> list[Strip]:
        width, height = self.size.width, self.height
        inks = self._styles()
        self._use_look(inks)
        if not self.window.rows:
            return self._note_lines(width, height, inks.note)
        margin = self.gutter_width
        strips = []
        for at, sub in self.window.lines(height):
            row = self.window.rows[at]
            lines = self._renderer.lines(row)
            text = lines[min(sub, len(lines) - 1)]
            if not self.wrap:
                text = text.crop(self.left, self.left + width - margin)
            head = gutter(row, sub, margin, row.start == self.current, row.start in self.marks, inks)
            strips.append(Strip([*head, *text]).adjust_cell_length(width, inks.text))
        strips.extend([Strip.blank(width, inks.text)] * (height - len(strips)))
        return strips

    def _note_lines(self, width: int, height: int, style: Style) -> list[Strip]:
        text = self.note
        points = wrap_points(text, max(width - 2, 1))
        lines = [text[start:end] for start, end in zip(points, [*points[1:], len(text)], strict=True)]
        strips = [Strip([Segment(f" {line}", style)]) for line in lines[:height]]
        strips.extend([Strip([])] * (height - len(strips)))
        return [strip.adjust_cell_length(width, style) for strip in strips]

    def _use_look(self, inks: LogStyles) -> None:
        self._renderer.use(RenderOptions(self.size.width, self.wrap, self.gutter_width, self.pattern, inks))

    def _lines_of(self, row: Row) -> int:
        if not self.wrap:
            return 1
        self._use_look(self._styles())
        return len(self._renderer.lines(row))

    def _styles(self) -> LogStyles:
        if self._inks is None:
            self._inks = self._read_styles()
        return self._inks

    def _read_styles(self) -> LogStyles:
        base = self.rich_style
        part = self.get_component_rich_style
        return LogStyles(
            base,
            part("log--number"),
            part("log--match", partial=True),
            part("log--current"),
            part("log--marked"),
            part("log--note"),
        )

    def notify_style_update(self) -> None:
        super().notify_style_update()
        # Called for every change of the focus too, when nothing looks different.
        if self._ready and self._inks is not None:
            inks = self._read_styles()
            if inks != self._inks:
                self._inks = inks
                self._strips = []
                self.repaint()

    # ------------------------------------------------------------------ events

    def on_mount(self) -> None:
        self._ready = True

    def on_resize(self, event: events.Resize) -> None:
        self._strips = []
        self.resized()
        self.repaint()

    def resized(self) -> None:
        """The height or width is another one: the position may have to change."""
        self.window.settle(self.height)

    def focus(self, scroll_visible: bool = True) -> Self:
        """Gives the focus to the log, without the repaint that Textual would do first."""
        self.app.call_later(lambda: self.screen.set_focus(self, scroll_visible=scroll_visible))
        return self

    def on_focus(self, event: events.Focus) -> None:
        focus_quietly(self, event)

    def on_blur(self, event: events.Blur) -> None:
        focus_quietly(self, event)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        self._wheel(event, _WHEEL)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        self._wheel(event, -_WHEEL)

    def _wheel(self, event: events.MouseEvent, lines: int) -> None:
        event.stop()
        event.prevent_default()
        if event.ctrl or event.shift:
            self.move_sideways(2 * lines)
        else:
            self.move(lines)

    def on_click(self, event: events.Click) -> None:
        """Makes the row that was clicked the current one."""
        offset = event.get_content_offset(self)
        shown = self.window.lines(self.height)
        if offset is not None and offset.y < len(shown):
            self.current = self.window.rows[shown[offset.y][0]].start
            self.repaint()

    # ------------------------------------------------------------------ to be written by the pane

    def move(self, lines: int) -> None:
        """Moves down by so many lines, or up."""
        raise NotImplementedError

    def move_sideways(self, columns: int) -> None:
        """Moves right by so many columns, or left."""
        raise NotImplementedError
