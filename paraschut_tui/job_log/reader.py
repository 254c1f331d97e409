"""LogReader: the file behind a log pane; every touch of it is in a thread, every answer a message."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence

from textual.message import Message
from textual.widget import Widget
from textual.worker import Worker

from paraschut_core.errors import ParaschutError
from paraschut_core.logs import (
    ContentProof,
    FileStatus,
    LineIndex,
    LogError,
    Pattern,
    Row,
    find_next,
    find_previous,
    open_log,
    row_start,
)

from ..backend.worker_thread import LatestOnly, Request
from ..formatting import CLIPBOARD_BYTES
from .external_programs import to_tmux
from .file_tasks import (
    PLAIN_BYTES,
    FileUpdate,
    LogPage,
    PageRequest,
    SearchChunk,
    read_change,
    read_page,
    read_text,
    save,
    search_parts,
)

_REPORT_EVERY = 0.2  # seconds
_PATIENCE = 7  # polls without an answer after which the file system is said not to answer


class FeedMessage(Message, bubble=False):
    """An answer of a LogReader; outdated unless `request` is still wanted."""

    def __init__(self, request: Request) -> None:
        super().__init__()
        self.request = request


class PageRead(FeedMessage):
    """The rows that were asked for."""

    def __init__(self, request: Request, wanted: PageRequest, page: LogPage) -> None:
        super().__init__(request)
        self.wanted, self.page = wanted, page


class FileChanged(FeedMessage):
    """The file is not what it was at the last look."""

    def __init__(self, request: Request, change: FileUpdate) -> None:
        super().__init__(request)
        self.change = change


class LinesCounted(FeedMessage):
    """Lines are counted up to byte `covered`; `done`: all of them."""

    def __init__(self, request: Request, covered: int, done: bool) -> None:
        super().__init__(request)
        self.covered, self.done = covered, done

    def can_replace(self, message: Message) -> bool:
        return isinstance(message, LinesCounted) and not message.done


class SearchChunkFound(FeedMessage):
    """What a search has found in one part of the file; `part` None: it is over (or failed: `trouble`)."""

    def __init__(self, request: Request, part: SearchChunk | None, trouble: str = "") -> None:
        super().__init__(request)
        self.part, self.trouble = part, trouble


class MatchFound(FeedMessage):
    """Where the next or previous match is; None: there is none, or `trouble`."""

    def __init__(self, request: Request, offset: int | None, trouble: str = "") -> None:
        super().__init__(request)
        self.offset, self.trouble = offset, trouble


class TextCopied(FeedMessage):
    """Text for the clipboard, or to be shown `plainly`; `tmux`: it is in tmux's buffer already."""

    def __init__(self, request: Request, text: str, cut: bool, *, plainly: bool, tmux: bool) -> None:
        super().__init__(request)
        self.text, self.cut, self.plainly, self.tmux = text, cut, plainly, tmux


class StatusMessage(FeedMessage):
    """One line for the user: what came of something that was asked for."""

    def __init__(self, request: Request, text: str, failed: bool = False) -> None:
        super().__init__(request)
        self.text, self.failed = text, failed


class LogReader:
    """Reads one file at a time for `host`, which gets the answers as messages.

    Of page requests only one is under way: of those that come meanwhile the last one counts.
    """

    def __init__(self, host: Widget) -> None:
        self._host = host
        self.path = ""
        self.look: FileStatus | None = None
        self._proof: ContentProof | None = None
        self.index = LineIndex()
        self._files, self._pages, self._counts = LatestOnly(), LatestOnly(), LatestOnly()
        self._searches, self._finds, self._saves = LatestOnly(), LatestOnly(), LatestOnly()
        self._loading: Worker[None] | None = None
        self._next: PageRequest | None = None
        self._polling: Worker[None] | None = None
        self._unanswered = 0

    # ------------------------------------------------------------------ which file

    def open(self, path: str) -> None:
        """Turn to another file (or "": none). Work on the file before ends."""
        self.close()
        self._files.begin()
        self.path = path
        self.look = self._proof = None
        self.index = LineIndex()
        self._loading = self._polling = self._next = None
        self._unanswered = 0

    def close(self) -> None:
        """End all threads; their answers are outdated."""
        self._files.cancel()
        self._searches.cancel()
        self.stop_working()

    def restart_index(self) -> None:
        """Forget the counted lines: this is another file."""
        self.index = LineIndex()

    # ------------------------------------------------------------------ pages

    def load(self, wanted: PageRequest) -> None:
        """Ask for rows; answered by PageRead."""
        if self._loading is not None:
            self._next = wanted
            self._pages.cancel()
            return
        file, path, index = self._files.latest, self.path, self.index
        stopped = _is_outdated(self._pages.begin())
        report = self._reporter(file)

        def read() -> None:
            page = read_page(path, wanted, index, stopped, report)
            self._host.post_message(PageRead(file, wanted, page))

        self._loading = self._run(read, "page")

    def loaded(self, message: PageRead) -> bool:
        """Note an answer and send the next request; return whether the answer is to be shown."""
        if not message.request.wanted:
            return False
        self._loading = None
        self._unanswered = 0
        following, self._next = self._next, None
        if following is not None:
            self.load(following)
            return False
        if message.page.stopped:
            return False
        self.look, self._proof = message.page.look, message.page.proof
        return True

    # ------------------------------------------------------------------ change

    def poll(self, last: Row | None, limit: int) -> bool:
        """Look whether the file changed; answered by FileChanged, or not at all.

        Returns:
            False if earlier looks have not been answered for several seconds.
        """
        before = self.look
        if self._polling is not None and not self._polling.is_finished:
            self._unanswered += 1
            return self._unanswered < _PATIENCE
        if before is None:  # the first page is still to come
            self._unanswered += 1
            return self._unanswered < _PATIENCE
        self._unanswered = 0
        file, path, index, proof = self._files.latest, self.path, self.index, self._proof

        def look() -> None:
            change = read_change(path, before, proof, last, limit, index)
            if change is not None:
                self._host.post_message(FileChanged(file, change))

        self._polling = self._run(look, "poll")
        return True

    def changed(self, message: FileChanged) -> bool:
        """Note a change; return whether it is news."""
        if not message.request.wanted:
            return False
        self.look, self._proof = message.change.look, message.change.proof
        return True

    # ------------------------------------------------------------------ counting and searching

    def count_lines(self) -> None:
        """Number all lines; answered by LinesCounted, several times."""
        file, path, index = self._files.latest, self.path, self.index
        stopped = _is_outdated(self._counts.begin())
        report = self._reporter(file)

        def count() -> None:
            try:
                with open_log(path) as log:
                    if index.extend(log, stopped, report):
                        self._host.post_message(LinesCounted(file, log.size, True))
            except LogError as error:
                self._host.post_message(StatusMessage(file, str(error), failed=True))

        self._run(count, "count")

    def _reporter(self, file: Request) -> Callable[[int], None]:
        """Tell the host how far a count has come, a few times a second."""
        reported = time.monotonic()

        def report(covered: int) -> None:
            nonlocal reported
            now = time.monotonic()
            if now - reported >= _REPORT_EVERY:
                reported = now
                self._host.post_message(LinesCounted(file, covered, False))

        return report

    def stop_working(self) -> None:
        """End the counting of lines, also that for going to one, and the look for a match."""
        for requests in (self._counts, self._pages, self._finds, self._saves):
            requests.cancel()

    def search(self, pattern: Pattern, origin: int, *, only_ahead: bool = False) -> None:
        """Search the whole file from `origin`; answered by SearchChunkFound. End an earlier search."""
        request, path = self._searches.begin(), self.path
        stopped = _is_outdated(request)

        def seek() -> None:
            trouble = ""
            try:
                for part in search_parts(path, pattern, origin, stopped, only_ahead=only_ahead):
                    self._host.post_message(SearchChunkFound(request, part))
            except ParaschutError as error:
                trouble = str(error)
            self._host.post_message(SearchChunkFound(request, None, trouble))

        self._run(seek, "search")

    def stop_search(self) -> None:
        """End the search that is under way; its answers are outdated."""
        self._searches.cancel()

    def find(self, pattern: Pattern, offset: int, *, forward: bool) -> None:
        """Look for one match from a row on, or before it; answered by MatchFound, unless it is stopped."""
        file, path = self._files.latest, self.path
        stopped = _is_outdated(self._finds.begin())

        def seek() -> None:
            try:
                with open_log(path) as log:
                    find = find_next if forward else find_previous
                    at = offset if offset >= log.size else row_start(log, offset)
                    found = find(log, pattern, at, stopped)
                if not stopped():
                    self._host.post_message(MatchFound(file, found))
            except ParaschutError as error:
                self._host.post_message(MatchFound(file, None, str(error)))

        self._run(seek, "find")

    # ------------------------------------------------------------------ taking away

    def copy(self, ranges: Sequence[tuple[int, int]], *, plainly: bool = False) -> None:
        """Read text for the clipboard, or to be shown plainly; answered by TextCopied or StatusMessage."""
        file, path = self._files.latest, self.path

        def read() -> None:
            try:
                text, cut = read_text(path, ranges, PLAIN_BYTES if plainly else CLIPBOARD_BYTES)
            except LogError as error:
                self._host.post_message(StatusMessage(file, str(error), failed=True))
            else:
                tmux = not plainly and to_tmux(text)
                self._host.post_message(TextCopied(file, text, cut, plainly=plainly, tmux=tmux))

        self._run(read, "copy")

    def save(self, target: str, starts: Iterable[int] | None) -> None:
        """Save the log or some of its rows to a new file; answered by StatusMessage. See `stop_working`."""
        file, path = self._files.latest, self.path
        stopped = _is_outdated(self._saves.begin())

        def write() -> None:
            try:
                name, size = save(path, target, starts, stopped)
            except ParaschutError as error:
                self._host.post_message(StatusMessage(file, str(error), failed=True))
            else:
                self._host.post_message(StatusMessage(file, f"saved {size:,} bytes to {name}"))

        self._run(write, "save")

    def _run(self, work: Callable[[], None], group: str) -> Worker[None]:
        return self._host.run_worker(work, group=f"log-{group}", thread=True, exclusive=True)


def _is_outdated(request: Request) -> Callable[[], bool]:
    """Return a function that a thread calls to learn whether its request is outdated."""
    return lambda: not request.wanted
