"""FollowingPane: one log file on the screen: reads, follows and paints it, and moves in it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.geometry import Region
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from paraschut_core.errors import UsageError
from paraschut_core.logs import FILE, FileChange, FileStatus, Pattern, Row, change_words, describe, parse_time
from paraschut_core.sanitize import clean_line

from ..terminal.textual_compat import focus_quietly
from .file_tasks import AT, LINE, TAIL, TIME, LogPage, PageRequest
from .marked_ranges import MarkedRanges
from .reader import FileChanged, LinesCounted, LogReader, PageRead, StatusMessage
from .render import LogStyles, Renderer, RenderOptions, gutter, wrap_points
from .viewport import LogViewport

if TYPE_CHECKING:
    from typing_extensions import Self

POLL_SECONDS = 0.7
COUNT_UNASKED = 256 << 20
"""Bytes up to which lines are counted without being asked for: above, it would read too much of a disk."""

_WHEEL = 3  # lines a step of the mouse wheel
_SPAN = 200  # rows loaded on either side, at least
_LIMIT = 400  # new rows taken over one by one; of more, only the last screenful is read
_TOLD = (FileChange.TRUNCATED, FileChange.REPLACED)


class FollowingPane(ScrollView, can_focus=True):
    """Shows one file. What it has read stays on the screen when the file goes away.

    Its position is a row, not a number of lines: a log may have a billion. So neither Textual's scroll
    offset nor its scroll bars are used. Only lines that look different are painted again.
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
    FollowingPane {
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
    FollowingPane:ansi {
        & > .log--number { color: ansi_bright_black; }
        & > .log--match { color: ansi_black; background: ansi_yellow; }
        & > .log--note { color: ansi_bright_black; }
    }
    """

    class Changed(Message):
        """The status of the pane may be another one."""

        def can_replace(self, message: Message) -> bool:
            return isinstance(message, FollowingPane.Changed)

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
        self.feed = LogReader(self)
        self.label = ""
        """What the log is called: "stderr"."""
        self.over = False
        """Whether the job has ended: a log that is not there will not come any more."""
        self.following = True
        self.notice = ""
        """What happened to the file, or came of a key: stays until something else happens."""
        self.progress = ""
        """What takes a while just now."""
        self._owed = 0
        self._counting = False

    # ------------------------------------------------------------------ which file

    def open(self, label: str, path: str, *, offset: int | None = None, left: int = 0) -> None:
        """Show the log at `path`, its end unless `offset` (bytes) is given."""
        self._reset()
        self.feed.open(path)
        self.label, self.note, self.left = clean_line(label), "", left
        self.following = offset is None
        self._load(PageRequest(TAIL) if offset is None else PageRequest(AT, offset))
        self.post_message(self.Changed())

    def close(self, note: str) -> None:
        """Show `note`, the reason why there is no log."""
        self._reset()
        self.feed.open("")
        self.label, self.note = "", clean_line(note)
        self.repaint()
        self.post_message(self.Changed())

    def _reset(self) -> None:
        self.window.load([], True, True)
        self.current = None
        self.marks.clear()
        self.notice = self.progress = ""
        self._owed = 0
        self._counting = False

    @property
    def path(self) -> str:
        """The file that is shown; "" if there is none."""
        return self.feed.path

    @property
    def size_in_bytes(self) -> int:
        return self.feed.look.size if self.feed.look else 0

    def on_mount(self) -> None:
        self._ready = True
        self.set_interval(POLL_SECONDS, self._poll)

    def on_unmount(self) -> None:
        self.feed.close()

    # ------------------------------------------------------------------ pages

    def _load(self, wanted: PageRequest) -> None:
        self.feed.load(wanted._replace(span=max(_SPAN, 4 * self.height)))

    def _load_here(self) -> None:
        """Read the rows around the present position again; the current row stays where it is."""
        row = self.window.top_row
        if row is None or self.following:
            self._load(PageRequest(TAIL))
            return
        for line, (at, _) in enumerate(self.window.lines(self.height)):
            if self.window.rows[at].start == self.current:
                self._load(PageRequest(AT, self.current, above=line))
                return
        self._load(PageRequest(AT, row.start, sub=self.window.sub))

    def on_page_read(self, message: PageRead) -> None:
        if not self.feed.loaded(message):
            return
        page, wanted = message.page, message.wanted
        self.progress = ""
        if page.look.kind != FILE:
            self._no_file(page.look)
        else:
            self._place(page, wanted)
            if page.trouble:
                self.tell(page.trouble)
        self._count_if_cheap()
        self._show()

    def _no_file(self, look: FileStatus) -> None:
        if self.window.rows:
            # What was read stays on the screen: it may be all that is left of the log.
            self.window.at_start = self.window.at_end = True
            self.notice = f"{self.label} {look.why}"
        else:
            self.note = describe(self.label, look, self.path, over=self.over)

    def _place(self, page: LogPage, wanted: PageRequest) -> None:
        self.window.load(page.rows, page.at_start, page.at_end)
        self.note = "" if page.rows else describe(self.label, page.look, self.path)
        if wanted.kind == TAIL:
            self.window.to_end(self.height)
        else:
            self.window.to_offset(page.anchor, self.height, wanted.above, wanted.sub)
            if wanted.mark and not page.trouble:
                self.current = page.anchor
        owed, self._owed = self._owed, 0
        if owed:
            self.window.move(owed, self.height)

    def _count_if_cheap(self) -> None:
        size = self.size_in_bytes
        if self.numbers and 0 < size <= COUNT_UNASKED and not self.feed.index.ready(size):
            self._count()

    def _count(self) -> None:
        if not self._counting:
            self._counting = True
            self.feed.count_lines()

    def on_lines_counted(self, message: LinesCounted) -> None:
        if not message.request.wanted:
            return
        if message.done:
            self._counting = False
            self.progress = ""
            self._load_here()
        else:
            self.progress = f"counting lines {100 * message.covered // max(self.size_in_bytes, 1)}%"
        self.post_message(self.Changed())

    def stop_working(self) -> bool:
        """Stop what takes a while; return whether something was under way."""
        if not self.progress:
            return False
        self.feed.stop_working()
        self._counting = False
        self.progress = ""
        self._show()
        return True

    # ------------------------------------------------------------------ the file changes

    def _poll(self) -> None:
        if not self.path or not self.is_on_screen or not self.screen.is_current:
            return
        if not self.feed.poll(self._last_row(), _LIMIT):
            silence = "the file system does not answer"
            if self.window.rows:
                self.tell(silence)
            else:
                self.note = f"{self.label}: {silence}: {clean_line(self.path)}"
                self.repaint()

    def _last_row(self) -> Row | None:
        """The row from which on the view could simply go on, if there is one."""
        return self.window.rows[-1] if self.window.rows and self.window.at_end else None

    def on_file_changed(self, message: FileChanged) -> None:
        if not self.feed.changed(message):
            return
        change = message.change
        if change.what is FileChange.GREW:
            self.append_rows(change.rows, change.at_end)
        elif change.look.kind != FILE:
            self._file_gone(change.look, change.what)
        elif change.what is FileChange.APPEARED and self.window.rows:
            self._reload_file(FileChange.REPLACED)
        else:
            self._reload_file(change.what, proven=change.proven)
        self._show()

    def append_rows(self, rows: list[Row], at_end: bool) -> None:
        """Take over the rows that were written since the last look."""
        if rows and self.window.at_end and self.window.rows:
            self.window.extend(rows, at_end)
            if self.following and at_end:
                self.window.to_end(self.height)
            elif self.following:
                self._load(PageRequest(TAIL))
        elif not self.window.rows or self.following:
            self._load(PageRequest(TAIL))
        self._count_if_cheap()

    def _file_gone(self, look: FileStatus, what: FileChange) -> None:
        self.notice = f"{self.label} {change_words(what, look)}" if self.window.rows else ""
        if self.window.rows:
            self.window.at_start = self.window.at_end = True
        else:
            self.note = describe(self.label, look, self.path, over=self.over)

    def _reload_file(self, what: FileChange, *, proven: bool = False) -> None:
        """Forget what was known about the file, and read it again.

        Args:
            proven: of a file that was rewritten: that other text stands in it now.
        """
        self.feed.restart_index()
        self._counting = False
        if what is not FileChange.REWRITTEN or proven or self.following:
            self.following = True
            self.current = None
            self.marks.clear()
        told = what in _TOLD or proven
        self.notice = f"{self.label} {change_words(what, self.feed.look)}" if told and self.feed.look else ""
        self._load_here()

    # ------------------------------------------------------------------ moving

    def move(self, lines: int) -> None:
        """Move down by `lines`, or up if negative."""
        if lines < 0:
            self.following = False
        left = self.window.move(lines, self.height)
        if (left > 0 and not self.window.at_end) or (left < 0 and not self.window.at_start):
            self._owed += left  # moved as soon as there are rows
        if self._owed or self.window.short_of_rows(self.height):
            self._load_here()
        self._show()

    def move_page(self, pages: float) -> None:
        """Move by screens; a whole one leaves one line in sight."""
        lines = max(int(abs(pages) * self.height) - (abs(pages) == 1), 1)
        self.move(lines if pages > 0 else -lines)

    def to_start(self) -> None:
        """Go to the first row."""
        self.following = False
        if self.window.at_start:
            self.window.to_start()
        else:
            self._load(PageRequest(AT, 0))
        self._show()

    def to_end(self) -> None:
        """Go to the last row, and on with whatever comes."""
        self.following = True
        if self.window.at_end:
            self.window.to_end(self.height)
        else:
            self._load(PageRequest(TAIL))
        self._show()

    def follow(self, on: bool) -> None:
        """Begin or end following."""
        if on:
            self.to_end()
        else:
            self.following = False
            self._show()

    def go_to(self, text: str) -> None:
        """Go to a line (`4813`), a place (`50%`) or a time (`12:05`, `2026-11-22 12:05:01`).

        Raises:
            UsageError: `text` is none of these.
        """
        text = text.strip()
        place = PageRequest(AT, above=self.height // 3, mark=True)
        if re.fullmatch(r"[0-9][0-9,_ ]{0,15}", text):
            number = int(re.sub("[^0-9]", "", text))
            place = place._replace(kind=LINE, value=max(number, 1))
        elif found := re.fullmatch(r"([0-9]{1,3}(?:\.[0-9]{1,6})?) ?%", text):
            place = place._replace(value=int(self.size_in_bytes * min(float(found[1]), 100) / 100))
        elif parse_time(text) is not None:
            place = place._replace(kind=TIME, text=text)
        else:
            raise UsageError(f"{text!r} is not a line (4813), a place (50%) or a time (12:05)")
        self.following = False
        self._load(place)

    def show_offset(self, offset: int) -> None:
        """Make the row that begins at `offset` the current one, moving only if it is out of sight."""
        self.following = False
        self.current = offset
        if not self.window.holds(offset):
            self._load(PageRequest(AT, offset, above=self.height // 3))
        elif not self.window.shows(offset, self.height):
            self.window.to_offset(offset, self.height, self.height // 3)
            if self.window.short_of_rows(self.height):
                self._load_here()
        self._show()

    def move_sideways(self, columns: int) -> None:
        """Move right by `columns`, or left if negative."""
        if not self.wrap:
            # To the right, no farther than the longest row in sight reaches.
            most = max(self.widest - 1, self.left) if columns > 0 else self.left
            self.left = max(min(self.left + columns, most), 0)
            self._show()

    # ------------------------------------------------------------------ how it looks

    def set_wrap(self, on: bool) -> None:
        self.wrap = on
        self.window.sub = 0
        self.resized()
        self._show()

    def toggle_numbers(self) -> None:
        """Show line numbers or not; of a big file, the first time, they must be counted."""
        if self.numbers and not self.feed.index.ready(self.size_in_bytes):
            self._count()
        else:
            self.numbers = not self.numbers
            self._count_if_cheap()
        self.resized()
        self._show()

    def resized(self) -> None:
        """Move as another width or height needs it."""
        if self.following:
            self.window.to_end(self.height)
        else:
            self.window.settle(self.height)
        if self.path and self.window.short_of_rows(self.height) and self.window.rows:
            self._load_here()

    def tell(self, text: str) -> None:
        """Show one line in the status line, "" none."""
        if text != self.notice:
            self.notice = clean_line(text)
            self.post_message(self.Changed())

    def on_status_message(self, message: StatusMessage) -> None:
        if message.request.wanted:
            self.progress = ""
            self.tell(message.text)
            self.post_message(self.Changed())

    def _show(self) -> None:
        self.repaint()
        self.post_message(self.Changed())

    @property
    def percent(self) -> int:
        """How far down the file the last line on the screen is."""
        shown = self.window.lines(self.height)
        size = self.size_in_bytes
        if not shown or not size:
            return 100
        return min(100 * self.window.rows[shown[-1][0]].end // size, 100)

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
        """Bring the screen up to date: only lines that differ are sent."""
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

    def on_resize(self, event: events.Resize) -> None:
        self._strips = []
        self.resized()
        self.repaint()

    def focus(self, scroll_visible: bool = True) -> Self:
        """Give the focus to the log, without the repaint that Textual would do first."""
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
        """Make the row that was clicked the current one."""
        offset = event.get_content_offset(self)
        shown = self.window.lines(self.height)
        if offset is not None and offset.y < len(shown):
            self.current = self.window.rows[shown[offset.y][0]].start
            self.repaint()
