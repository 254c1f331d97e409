"""LineList: what our scrolling Line API widgets share."""

from __future__ import annotations

import sys

from textual import events
from textual.geometry import Region, Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from ..state_styles import Palette
from ..terminal.textual_compat import focus_quietly, resize_quietly


class LineList(ScrollView, can_focus=True):
    """A scrolling list of lines that repaints as little as it can.

    Textual repaints a whole widget when it gets or loses the focus; here only the cursor's line changes.
    """

    ALLOW_SELECT = False
    ALLOW_MAXIMIZE = False
    DEFAULT_CSS = """
    LineList {
        scrollbar-size-vertical: 1; scrollbar-size-horizontal: 0; overflow-x: hidden; overflow-y: scroll;
    }
    """

    def __init__(self, palette: Palette, *, id: str | None = None) -> None:  # noqa: A002 - Textual's own word
        super().__init__(id=id)
        self.palette = palette
        self._painted: dict[int, Strip] = {}

    # ------------------------------------------------------------------ to be written by each pane

    def build_line(self, row: int, width: int) -> Strip:
        """The line of one row of the whole list."""
        raise NotImplementedError

    def cursor_moved(self) -> None:
        """The cursor's line must be painted again: the focus came or went."""

    def step(self, by: int) -> None:
        """Move by `by` rows, not beyond the first or the last row."""
        raise NotImplementedError

    # ------------------------------------------------------------------ moving

    def action_up(self) -> None:
        self.step(-1)

    def action_down(self) -> None:
        self.step(1)

    def action_page_up(self) -> None:
        self.step(-max(self.size.height - 1, 1))

    def action_page_down(self) -> None:
        self.step(max(self.size.height - 1, 1))

    def action_first(self) -> None:
        self.step(-sys.maxsize)

    def action_last(self) -> None:
        self.step(sys.maxsize)

    # ------------------------------------------------------------------ painting

    def use(self, palette: Palette) -> None:
        """Takes the styles of another theme."""
        self.palette = palette
        self._painted.clear()
        self.refresh()

    def render_line(self, y: int) -> Strip:
        row = y + self.scroll_offset.y
        strip = self.build_line(row, self.scrollable_content_region.width)
        self._painted[row] = strip
        return strip

    def repaint_changed(self) -> None:
        """Repaints those visible lines that look different from what is on the screen."""
        top = self.scroll_offset.y
        width = self.scrollable_content_region.width
        for row in range(top, top + self.scrollable_content_region.height):
            if self._painted.get(row) != self.build_line(row, width):
                self.repaint_row(row)
        visible = range(top, top + self.scrollable_content_region.height)
        self._painted = {row: strip for row, strip in self._painted.items() if row in visible}

    def set_height(self, rows: int) -> None:
        """Tells how many rows there are. Unless there is a scroll bar to be drawn anew, without the new
        layout of the whole screen that Textual would make."""
        resize_quietly(self, Size(self.scrollable_content_region.width, rows))

    def repaint_row(self, row: int) -> None:
        """Repaints one row, if it is visible."""
        y = row - self.scroll_offset.y
        region = self.scrollable_content_region
        if 0 <= y < region.height:
            self.refresh(Region(0, y, region.width, 1))

    def show_row(self, row: int, *, lines: int = 1, context: int = 0) -> None:
        """Scrolls as little as needed to have `row` on the screen, with `context` rows around it."""
        height = self.scrollable_content_region.height
        if height <= 0:
            return
        context = min(context, (height - lines) // 2) if height > lines else 0
        top = self.scroll_offset.y
        if row - context < top:
            self.scroll_to(y=max(row - context, 0), animate=False, force=True)
        elif row + lines + context > top + height:
            self.scroll_to(y=row + lines + context - height, animate=False, force=True)

    # ------------------------------------------------------------------ focus

    def on_focus(self, event: events.Focus) -> None:
        focus_quietly(self, event)
        self.cursor_moved()

    def on_blur(self, event: events.Blur) -> None:
        focus_quietly(self, event)
        self.cursor_moved()
