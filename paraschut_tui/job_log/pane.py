"""LogPane: a log on the screen with search, filter, marks, copying and saving."""

from __future__ import annotations

import time
from bisect import bisect_right
from typing import NamedTuple

from rich.cells import cell_len

from paraschut_core.logs import ERRORS, FILE, FileChange, Pattern, RegexTimeoutError, Row
from paraschut_core.sanitize import clean_line, plural

from ..formatting import duration
from ..terminal.ansi import parse
from .external_programs import FilePosition, print_plainly
from .file_tasks import AT, TAIL, LogPage, PageRequest
from .following_pane import FollowingPane
from .marked_ranges import Range
from .reader import MatchFound, SearchChunkFound, TextCopied
from .render import wrap_points
from .search_matches import SearchMatches

_END = 1 << 62  # an offset past the end of any file


class PaneStatus(NamedTuple):
    """What the status line says of a pane: where it is, what the search has found, what is new."""

    state: str
    search: str
    notice: str


class LogPane(FollowingPane):
    """One log file. Of a search, the places found so far are kept, so that a filter can show only them."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's own word
        super().__init__(id=id)
        self.hits: SearchMatches | None = None
        self.filtering = False
        self._jump_on_open = False
        self._jump = 0  # +1 or -1: go to the first place found that way, as soon as there is one
        self._match = 0  # which match of the current row the last step led to
        self._to_reveal = False  # whether that match is still to be brought into sight
        self._more = False  # whether what was written since the search is being searched
        self._error_forward = True
        self._last_mark: tuple[int, int] | None = None  # bytes of the row

    # ------------------------------------------------------------------ search

    def search(self, pattern: Pattern) -> None:
        """Go to the first match from here on, or to the last one while the end is followed."""
        was_filtering, self.filtering = self.filtering, False
        self._jump = -1 if self.following else 1
        self._begin_search(pattern)
        if was_filtering:
            self._load_here()
        self._show()

    def filter(self, pattern: Pattern) -> None:
        """Show only the rows that match."""
        self.filtering = True
        self._jump = 0
        self._begin_search(pattern)
        self._load_here()
        self._show()

    def toggle_filter(self) -> bool:
        """Show only the rows that match the present search, or all again; False if there is none."""
        if self.hits is None:
            return False
        self.filtering = not self.filtering
        self._load_here()
        self._show()
        return True

    def forget_search(self) -> bool:
        """End filter or search; return whether there was one."""
        if self.hits is None:
            return False
        if self.filtering:
            self.filtering = False
            self._load_here()
        else:
            self._end_search()
        self._show()
        return True

    @property
    def search_place(self) -> tuple[str, bool, bool]:
        """The search as another view can take it over: text, whether literal, whether as a filter."""
        if self.pattern is None:
            return "", False, False
        return self.pattern.text, self.pattern.literal, self.filtering

    def restore_search(self, text: str, literal: bool, filtering: bool, *, jump: bool = False) -> None:
        """Take over the search of another view, before `open`; with `jump`, to go to its first match."""
        self._end_search()
        if text:
            self.pattern = Pattern(text, literal=literal)
            self.filtering = filtering
            self._jump_on_open = jump

    def _begin_search(self, pattern: Pattern, origin: int | None = None) -> None:
        """Search the file from a byte on, then what is before it; default: from here."""
        row = self.window.top_row
        if origin is None:
            origin = _END if self.following or row is None else row.start
        self.pattern = pattern
        self.hits = SearchMatches(pattern, origin)
        self._more = False
        if self.path:
            self.feed.search(pattern, origin)

    def _end_search(self) -> None:
        self.feed.stop_search()
        self.hits = None
        self.pattern = None
        self.filtering = False

    def on_search_chunk_found(self, message: SearchChunkFound) -> None:
        hits, part = self.hits, message.part
        if hits is None or not message.request.wanted:
            return
        if part is None:
            hits.done = True
            self._more = False
            if message.trouble and self.window.rows:
                hits.broken = True  # not to be begun again with every line that is written
                self.tell(message.trouble)
            elif hits.given_up:
                self.tell(f"{plural(hits.given_up, 'line')} left out: the expression takes too long there")
            self._search_on()
        else:
            hits.searched += part.stop - part.start
            hits.given_up += part.given_up
            if part.ahead:
                hits.add_ahead(part.offsets, part.start, part.stop)
            else:
                hits.add_behind(part.offsets)
        self._jump_if_found(hits)
        if part is not None and not part.offsets:
            self.post_message(self.Changed())  # how far it has come
            return
        if self.filtering:
            self._refilter(hits)
        self._show()

    def _search_on(self) -> None:
        """Search what was written since the search came to the end of the file."""
        hits = self.hits
        if hits is None or not hits.done or hits.broken or hits.full or self._more:
            return
        if self.size_in_bytes > hits.searched_to:
            self._more = True
            self.feed.search(hits.pattern, max(hits.searched_to - 1, 0), only_ahead=True)

    def _jump_if_found(self, hits: SearchMatches) -> None:
        if not self._jump:
            return
        forward = self._jump > 0
        found = hits.next(hits.origin) if forward else hits.previous(_END)
        if found is not None:
            self._jump = 0
            self._show_match(found, 0)
        elif hits.done:
            self._jump = 0
            found = hits.previous(hits.origin) if forward else None
            if found is not None:
                self._show_match(found, 0)

    def next_match(self, *, forward: bool) -> None:
        """Go to the next or previous match."""
        hits = self.hits
        if hits is None:
            self.tell("nothing is searched for: / searches")
            return
        here = self._here()
        if self.current is not None:
            step = self._match + (1 if forward else -1)
            if 0 <= step < len(self._spans(here)):
                self.tell("")
                self._show_match(here, step)
                return
        found = hits.next(here + 1 if self.current is not None else here) if forward else hits.previous(here)
        if found is not None:
            self.tell("")
            self._show_match(found, 0 if forward else -1)
        else:
            way = "later" if forward else "earlier"
            self.tell(f"no {way} match" if hits.done else f"no {way} match so far, still searching")

    def _show_match(self, offset: int, which: int) -> None:
        """Go to a match of the row that begins at `offset`: 0 the first, -1 the last."""
        self._match, self._to_reveal = which, True
        self.show_offset(offset)
        self._reveal()

    def _spans(self, offset: int) -> list[tuple[int, int]]:
        """Return where the matches are in the row that begins at `offset` as shown; [] if not loaded."""
        if self.pattern is None or not self.window.holds(offset):
            return []
        row = self.window.rows[self.window.index_at(offset)]
        try:
            return self.pattern.spans(parse(row.text).text)
        except RegexTimeoutError:
            return []

    def _reveal(self) -> None:
        """Scroll so that the match is in sight, once its row is loaded."""
        if not self._to_reveal or self.current is None or not self.window.holds(self.current):
            return
        self._to_reveal = False
        spans = self._spans(self.current)
        if not spans:
            self._match = 0  # it lies in what was overwritten, or goes on in the next row
            return
        self._match = len(spans) - 1 if self._match < 0 else min(self._match, len(spans) - 1)
        start, end = spans[self._match]
        at = self.window.index_at(self.current)
        text = parse(self.window.rows[at].text).text
        width = self.text_width
        if self.wrap:
            line = bisect_right(wrap_points(text, width), start) - 1
            if (at, line) not in self.window.lines(self.height):
                self.window.to_offset(self.current, self.height, self.height // 3, line)
        else:
            first, last = cell_len(text[:start]), cell_len(text[:end])
            if first < self.left or last > self.left + width:
                self.left = 0 if last <= width else max(first - width // 3, 0)
        self._show()

    def _place(self, page: LogPage, wanted: PageRequest) -> None:
        super()._place(page, wanted)
        self._reveal()

    def next_error(self, *, forward: bool) -> None:
        """Go to the next or previous line with an error or a warning."""
        here = self._here()
        if forward and self.current is not None:
            row = self.window.rows[self.window.index_at(here)] if self.window.rows else None
            here = row.end if row is not None else here
        self.progress = "looking for an error"
        self._error_forward = forward
        self.feed.find(ERRORS, here, forward=forward)
        self._show()

    def on_match_found(self, message: MatchFound) -> None:
        if not message.request.wanted:
            return
        self.progress = ""
        if message.offset is not None:
            self.tell("")
            if self.filtering:
                self.filtering = False
                self.window.load([], True, True)
            self.show_offset(message.offset)
        else:
            way = "later" if self._error_forward else "earlier"
            self.tell(message.trouble or f"no {way} error or warning")
            self._show()

    def _here(self) -> int:
        """Return where a step begins: the current row if it is in sight, else the row at the top (bytes).

        While following, nothing is below: the end of the file.
        """
        if self.current is not None and self.window.shows(self.current, self.height):
            return self.current
        self.current = None
        if self.following:
            return self.size_in_bytes
        row = self.window.top_row
        return row.start if row is not None else 0

    # ------------------------------------------------------------------ the filter's rows

    def _load(self, wanted: PageRequest) -> None:
        hits = self.hits
        if self.filtering and hits is not None and wanted.kind in (AT, TAIL):
            end = wanted.kind == TAIL
            starts, first, last = hits.around(
                self.size_in_bytes if end else wanted.value, max(200, 4 * self.height)
            )
            wanted = wanted._replace(starts=tuple(starts), edges=(first, last))
        elif self.filtering:
            self.filtering = False  # a line or a time is looked for among all rows
        super()._load(wanted)

    def _refilter(self, hits: SearchMatches) -> None:
        """More has been found: the view goes on with it, if it is near enough to matter."""
        near_end = self.window.at_end and self.window.short_of_rows(self.height)
        few = len(self.window.rows) < 2 * self.height
        if self.following or few or near_end or hits.done:
            self._load_here()

    def append_rows(self, rows: list[Row], at_end: bool) -> None:
        if not self.filtering:
            super().append_rows(rows, at_end)
        self._search_on()

    def _last_row(self) -> Row | None:
        return None if self.filtering else super()._last_row()

    def _reload_file(self, what: FileChange, *, proven: bool = False) -> None:
        super()._reload_file(what, proven=proven)
        if self.hits is not None:
            self._begin_search(self.hits.pattern)

    def _reset(self) -> None:
        super()._reset()
        self._jump = 0
        if self.hits is not None:
            self.feed.stop_search()

    def open(self, label: str, path: str, *, offset: int | None = None, left: int = 0) -> None:
        """Show the log at `path`; a search goes on in the new file."""
        super().open(label, path, offset=offset, left=left)
        jump, self._jump_on_open = self._jump_on_open, False
        if self.pattern is not None:
            self._begin_search(self.pattern, 0 if jump else None)
            self._jump = 1 if jump else 0
            if self.filtering:
                self._load_here()

    # ------------------------------------------------------------------ marks, copies

    def toggle_mark(self) -> None:
        """Mark the current row, or the one at the top, or unmark it, and go on to the next."""
        at = self._current_index()
        if at is None:
            return
        row = self.window.rows[at]
        if row.start in self.marks:
            self.marks.remove(row.start, row.end)
        else:
            self.marks.add(row.start, row.end)
        self._last_mark = row.start, row.end
        self.show_offset(self.window.rows[min(at + 1, len(self.window.rows) - 1)].start)

    def step(self, lines: int) -> None:
        """Move by lines; once one is marked, move the current row, to which the range will reach."""
        at = self._current_index()
        if self._last_mark is None or self.current is None or at is None:
            self.move(lines)
            return
        to = at + lines
        row = self.window.rows[to] if 0 <= to < len(self.window.rows) else None
        if row is None or not self.window.shows(row.start, self.height):
            self.move(lines)
        if row is not None:
            self.show_offset(row.start)

    def mark_range(self) -> None:
        """Mark all from the last mark to the current row."""
        at = self._current_index()
        if at is None:
            return
        row = self.window.rows[at]
        if self._last_mark is None:
            self.tell("m marks a line; M then marks all from there to the current line")
            return
        start, end = self._last_mark
        self.marks.add(min(start, row.start), max(end, row.end))
        self._show()

    def clear_marks(self) -> bool:
        """Unmark all; return whether there was a mark or a current row."""
        had = bool(self.marks) or self.current is not None
        self.marks.clear()
        self.current = self._last_mark = None
        if had:
            self._show()
        return had

    def _current_index(self) -> int | None:
        if not self.window.rows:
            return None
        if self.current is None or not self.window.shows(self.current, self.height):
            return self.window.top
        return self.window.index_at(self.current)

    def copy(self) -> None:
        """Copy the marked lines, or all on the screen, to the terminal's clipboard."""
        if ranges := self._chosen_ranges():
            self.feed.copy(ranges)

    def show_plainly(self) -> None:
        """Show the same on the bare terminal, for its own selection to take."""
        if ranges := self._chosen_ranges():
            self.feed.copy(ranges, plainly=True)

    def _chosen_ranges(self) -> list[Range]:
        """The bytes of the marked lines; without marks, of what is on the screen."""
        if self.marks:
            return self.marks.all()
        shown = dict.fromkeys(at for at, _ in self.window.lines(self.height))
        return [(self.window.rows[at].start, self.window.rows[at].end) for at in shown]

    def on_text_copied(self, message: TextCopied) -> None:
        if not message.request.wanted:
            return
        if message.plainly:
            self.tell(print_plainly(self.app, message.text))
            return
        self.app.copy_to_clipboard(message.text)
        size = len(message.text.encode("utf-8"))
        lines = message.text.count("\n")
        cut = f"; cut at {size:,} bytes, as much as terminals take" if message.cut else ""
        where = " to tmux's buffer" if message.tmux else "; if your terminal did not take it: Y"
        self.tell(f"copied {plural(lines, 'line')}{cut}{where}")

    def save(self, target: str) -> None:
        """Save the log, or what the filter shows of it, to a new file."""
        hits = self.hits
        self.progress = "saving"
        self.feed.save(target, hits.all() if self.filtering and hits is not None else None)
        self._show()

    @property
    def spot(self) -> FilePosition:
        """Where in the file the screen is, for another program to begin there."""
        row = self.window.top_row
        if row is None or self.following:
            return FilePosition(end=True)
        return FilePosition(row.start, row.number)

    def tell_facts(self) -> None:
        """Tell the file's size, age and path, which may take several lines."""
        look = self.feed.look
        if look is None or look.kind != FILE:
            self.tell(self.note or "there is no log")
            return
        last = self.window.rows[-1].number if self.window.rows and self.window.at_end else 0
        lines = f", {plural(last, 'line')}" if last else ""
        age = duration(max(time.time() - look.mtime_ns / 1e9, 0.0))
        facts = f"{look.size:,} bytes{lines}, written {age} ago: {clean_line(self.path)}"
        self.app.notify(facts, markup=False)

    # ------------------------------------------------------------------ status

    def _show(self) -> None:
        hits = self.hits
        if self.filtering and hits is not None and not self.window.rows and self.size_in_bytes:
            searched = "No lines match" if hits.done else "Looking for lines that match"
            self.note = f"{searched} /{clean_line(hits.pattern.text)}/ · Esc shows all"
        super()._show()

    @property
    def status(self) -> PaneStatus:
        """What the status line says."""
        if not self.path:
            return PaneStatus("", "", "")
        in_sight = (self.window.rows[at] for at, _ in self.window.lines(self.height))
        form = "Latin-1 " if any(row.latin for row in in_sight) else ""
        if self.feed.look is not None and self.feed.look.compressed:
            form = f"compressed {form}"
        column = f"col {self.left + 1:,} " if self.left and not self.wrap else ""
        state = f"{form}{column}{'following' if self.following else f'{self.percent}%'}"
        return PaneStatus(state, self._search_status(), self.progress or self.notice)

    def _search_status(self) -> str:
        hits = self.hits
        if hits is None:
            return ""
        total = f"{len(hits):,}" + ("+" if hits.full or hits.broken or not hits.done else "")
        place = ""
        if self.current is not None and not self.filtering:
            at = hits.place_of(self.current)
            if at < len(hits) and hits[at] == self.current:
                place = f"{at + 1:,} of " if hits.done else ""
        what = "only " if self.filtering else ""
        far = ""
        if not hits.done:
            far = f" searched {min(100 * hits.searched // max(self.size_in_bytes, 1), 99)}%"
        return f"{what}/{clean_line(hits.pattern.text, 30)}/ {place}{total}{far}"
