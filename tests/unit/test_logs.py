"""Logs of any size: what is there, rows, line numbers, search, times, whole lines."""

from __future__ import annotations

import os
import re
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paraschut_core.errors import UsageError
from paraschut_core.logs import (
    ABSENT,
    DIRECTORY,
    ERRORS,
    FAILED,
    FILE,
    SPECIAL,
    FileChange,
    LineIndex,
    LogError,
    OpenLog,
    Pattern,
    Row,
    compare_status,
    describe,
    find_next,
    find_previous,
    find_time,
    open_log,
    parse_time,
    print_lines,
    row_start,
    rows_after,
    rows_at,
    rows_before,
    scan,
    scan_back,
    stat_log,
    strip_escapes,
    tail,
)
from paraschut_core.logs import rows as rows_module
from paraschut_core.logs.line_index import BLOCK
from paraschut_core.logs.literal_prefilter import needles_of
from paraschut_core.logs.rows import BIG, HOLE, LONGEST, SMALL, row_text, written_texts

ROOT = str(Path(__file__).resolve().parents[2])


def write(path: Path, data: bytes | str) -> Path:
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def all_rows(log: OpenLog, step: int = 100) -> list[Row]:
    rows: list[Row] = []
    at = 0
    while more := rows_after(log, at, step):
        rows.extend(more)
        at = more[-1].end
    return rows


def every(log: OpenLog, pattern: Pattern) -> list[int]:
    return [offset for part in scan(log, pattern) for offset in part.offsets]


# --------------------------------------------------------------------------- what is there


class TestLook:
    def test_a_file(self, tmp_path: Path) -> None:
        look = stat_log(write(tmp_path / "a", "12345"))
        assert (look.kind, look.size, look.why) == (FILE, 5, "")

    def test_what_is_not_there(self, tmp_path: Path) -> None:
        path = tmp_path / "none" / "a.err"
        look = stat_log(path)
        assert look.kind == ABSENT
        assert describe("stderr", look, str(path)) == f"stderr is not there yet: {path}"

    def test_a_directory(self, tmp_path: Path) -> None:
        assert stat_log(tmp_path)[:2] == (DIRECTORY, "is a directory")

    def test_a_part_of_the_path_that_is_a_file(self, tmp_path: Path) -> None:
        look = stat_log(write(tmp_path / "a", "") / "b")
        assert (look.kind, look.why) == (FAILED, "is not there (a part of its path is not a directory)")

    def test_a_symbolic_link_to_itself(self, tmp_path: Path) -> None:
        (tmp_path / "a").symlink_to(tmp_path / "a")
        assert stat_log(tmp_path / "a")[:2] == (FAILED, "is a symbolic link that leads back to itself")

    def test_a_socket_and_a_device(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)  # a socket's name must be short
        with socket.socket(socket.AF_UNIX) as unix:
            unix.bind("s")
            assert stat_log("s")[:2] == (SPECIAL, "is a socket, not a file")
        assert stat_log("/dev/null")[:2] == (SPECIAL, "is a device, not a file")

    @pytest.mark.parametrize("name", ["a\0b", "\ud800", "x" * 5000])
    def test_a_name_that_no_file_can_have(self, tmp_path: Path, name: str) -> None:
        look = stat_log(f"{tmp_path}/{name}")
        assert look.kind == FAILED and "name" in look.why
        with pytest.raises(LogError):
            open_log(f"{tmp_path}/{name}")

    def test_a_fifo_is_not_opened(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        os.mkfifo(tmp_path / "f")
        opened: list[object] = []
        really_open = os.open

        def noting_open(path: str, flags: int) -> int:
            opened.append(path)
            return really_open(path, flags)

        monkeypatch.setattr(os, "open", noting_open)
        assert stat_log(tmp_path / "f")[:2] == (SPECIAL, "is a FIFO, not a file")
        assert opened == []  # opening would let a waiting writer go on, and closing would kill it

    def test_a_fifo_that_takes_the_place_of_a_file_between_two_calls_does_not_block(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        regular = os.stat(write(tmp_path / "a", ""))
        os.mkfifo(tmp_path / "f")
        monkeypatch.setattr(os, "stat", lambda path: regular)
        assert stat_log(tmp_path / "f").kind == SPECIAL

    def test_a_file_that_may_not_be_read(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            os.chmod(folder, 0o755)
            path = write(Path(folder, "a"), "secret")
            path.chmod(0)
            # For root every file is readable: a process that gives root up looks.
            code = (
                "import os, sys\n"
                "from paraschut_core.logs import stat_log\n"
                "if os.getuid() == 0: os.setuid(65534)\n"
                "print(*stat_log(sys.argv[1])[:2])"
            )
            answer = subprocess.run(
                [sys.executable, "-c", code, str(path)],
                env={**os.environ, "PYTHONPATH": ROOT, "PYTHONDONTWRITEBYTECODE": "1"},
                capture_output=True,
                text=True,
                check=True,
            )
        assert answer.stdout.strip() == "failed may not be read (permission denied)"

    def test_a_name_cannot_write_to_the_terminal(self, tmp_path: Path) -> None:
        path = f"{tmp_path}/\x1b]0;evil\x07\u202e"
        assert "\x1b" not in describe("std\x1berr", stat_log(path), path)
        with pytest.raises(LogError) as caught:
            open_log(path)
        assert "\x1b" not in str(caught.value) and "\u202e" not in str(caught.value)


class TestNews:
    def test_nothing_grown_truncated_rewritten(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a", "12345")
        first = stat_log(path)
        assert compare_status(first, stat_log(path)) is FileChange.NONE
        with path.open("a") as file:
            file.write("6")
        grown = stat_log(path)
        assert compare_status(first, grown) is FileChange.GREW
        os.truncate(path, 2)
        assert compare_status(grown, stat_log(path)) is FileChange.TRUNCATED
        os.utime(path, ns=(1, 1))
        short = stat_log(path)
        os.utime(path, ns=(2, 2))
        assert compare_status(short, stat_log(path)) is FileChange.REWRITTEN

    def test_replaced_deleted_appeared(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a", "12345")
        first = stat_log(path)
        os.replace(write(tmp_path / "b", "12345"), path)
        assert compare_status(first, stat_log(path)) is FileChange.REPLACED
        path.unlink()
        gone = stat_log(path)
        assert compare_status(first, gone) is FileChange.DELETED
        assert compare_status(gone, stat_log(path)) is FileChange.NONE
        write(path, "")
        assert compare_status(gone, stat_log(path)) is FileChange.APPEARED

    def test_became_something_else(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a", "12345")
        first = stat_log(path)
        path.unlink()
        path.mkdir()
        assert compare_status(first, stat_log(path)) is FileChange.BLOCKED
        path.rmdir()
        os.mkfifo(path)
        assert compare_status(first, stat_log(path)) is FileChange.BLOCKED


# --------------------------------------------------------------------------- rows


def expected_starts(data: bytes) -> list[int]:
    """Where rows begin, from the rule as it is stated, byte by byte."""
    starts = {0} if data else set()
    starts.update(at + 1 for at, byte in enumerate(data) if byte == 10 and at + 1 < len(data))
    for at in range(SMALL, len(data), SMALL):
        before = data[at - SMALL : at]
        plain_enough = not re.search(rb"[\r\n]", before) and (at % HOLE == 0 or bool(before.strip(b"\0")))
        long_enough = at % BIG == 0 and at >= BIG and b"\n" not in data[at - BIG : at]
        if (plain_enough or long_enough) and data[at] != 10:
            starts.add(at - next((k for k in range(4) if data[at - k] & 0xC0 != 0x80), 0))
    return sorted(starts)


_PIECES = st.one_of(
    st.binary(max_size=50),
    st.sampled_from([b"\n", b"\r\n", b"\r", b"line\n", b"\xff", "é漢".encode(), b"li\x1b[1mne\x1b[m\n"]),
    st.integers(1, 3000).map(lambda n: "é漢x".encode() * n),
    st.integers(1, 30_000).map(lambda n: b"progress 12\r" * n),
    st.integers(1, 300_000).map(lambda n: b"x" * n),
    st.integers(1, 200).map(lambda n: b"an ordinary line\n" * n),
)
_FILES = st.lists(_PIECES, max_size=12).map(b"".join)
_TEXTS = st.lists(_PIECES.map(lambda data: data.translate(None, b"\xc2")), max_size=12).map(b"".join)
"""Without C1 controls: a search does not see through those as it does through the usual escapes."""


class Opened(NamedTuple):
    log: OpenLog
    data: bytes


def opened(data: bytes) -> Iterator[Opened]:
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        with open_log(file.name) as log:
            yield Opened(log, data)


class TestRows:
    @settings(max_examples=60, deadline=None)
    @given(_FILES, st.integers(1, 40), st.data())
    def test_are_the_same_from_wherever_one_looks(self, data: bytes, step: int, draw: st.DataObject) -> None:
        for log, _ in opened(data):
            forwards = all_rows(log, step)
            assert [row.start for row in forwards] == expected_starts(data)
            assert [row.end for row in forwards] == [*(row.start for row in forwards[1:]), len(data)][
                : len(forwards)
            ]
            backwards: list[Row] = []
            at = len(data)
            while more := rows_before(log, at, step):
                backwards[:0] = more
                at = more[0].start
            assert backwards == forwards
            assert rows_at(log, [row.start for row in forwards]) == forwards
            for row in forwards[:: max(len(forwards) // 10, 1)]:
                inside = draw.draw(st.integers(row.start, row.end - 1))
                assert row_start(log, inside) == row.start

    @settings(max_examples=60, deadline=None)
    @given(_FILES)
    def test_are_bounded_and_say_how_they_belong_together(self, data: bytes) -> None:
        for log, _ in opened(data):
            rows = all_rows(log)
            for row in rows:
                assert row.end - row.start <= LONGEST
                assert row.first == (row.start == 0 or data[row.start - 1 : row.start] == b"\n")
                assert row.cut == (data[row.end - 1 : row.end] != b"\n" and row.end < len(data))

    def test_a_progress_bar_is_one_row_with_its_last_state(self, tmp_path: Path) -> None:
        bar = "".join(f"\r{n:3}%|{'█' * (n // 10)}| {n}/100" for n in range(101) for _ in range(6))
        with open_log(write(tmp_path / "a", f"start\n{bar}\ndone\n")) as log:
            assert [row.text for row in all_rows(log)] == [
                "start",
                "100%|██████████| 100/100",
                "done",
            ]

    @pytest.mark.parametrize(
        ("data", "text"),
        [
            (b"a\r\n", "a"),
            (b"1%\r2%\r\r\n", "2%"),
            (b"1%\r2%", "2%"),
            (b"\r\n", ""),
            (b"long\r    \r\n", "    "),
            (b"\xff\xc3(\xe6\xbc", "\ufffd\ufffd(\ufffd"),
            (b"a\0b\x1b[1m", "a\0b\x1b[1m"),
        ],
    )
    def test_text_is_what_a_terminal_would_be_left_with(self, data: bytes, text: str) -> None:
        assert row_text(data) == text

    def test_the_end_of_a_huge_file_is_found_by_reading_little(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = tmp_path / "huge"
        with path.open("wb") as file:
            file.truncate(20 << 30)  # twenty GiB of one line of NULs: the worst that there is
            file.seek(0, os.SEEK_END)
            file.write(b"\nlast but one\nlast\n")
        read = 0
        really_pread = os.pread

        def counting_pread(fd: int, length: int, offset: int) -> bytes:
            nonlocal read
            data = really_pread(fd, length, offset)
            read += len(data)
            return data

        monkeypatch.setattr(os, "pread", counting_pread)
        with open_log(path) as log:
            rows = tail(log, 50)
        assert [row.text for row in rows[-2:]] == ["last but one", "last"]
        assert len(rows) == 50
        assert read < 2 << 20

    def test_a_file_that_shrinks_while_it_is_read_gives_what_is_left(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a", "line\n" * 100_000)
        with open_log(path) as log:
            os.truncate(path, 12)
            assert [row.text for row in rows_after(log, 0, 10)] == ["line", "line", "li"]
            assert every(log, Pattern("line")) == [0, 5]
            assert LineIndex().extend(log)
            assert row_start(log, 400_000) <= 400_000
            tail(log, 10)

    def test_an_empty_file_has_none(self, tmp_path: Path) -> None:
        with open_log(write(tmp_path / "a", "")) as log:
            assert tail(log, 10) == rows_after(log, 0, 10) == []
            assert row_start(log, 10) == 0


# --------------------------------------------------------------------------- line numbers


class TestLineIndex:
    def test_numbers_and_places_agree_with_counting(self, tmp_path: Path) -> None:
        lines = [b"x" * (n * 37 % 400) + b"\n" for n in range(8000)] + [b"unfinished"]
        data = b"".join(lines)
        assert len(data) > 4 * BLOCK
        with open_log(write(tmp_path / "a", data)) as log:
            index = LineIndex()
            assert not index.ready(log.size)
            assert index.line_at(log, log.size - 1) == 0  # not counted yet
            assert index.extend(log)
            assert index.lines(log) == 8001
            start = 0
            for number, line in enumerate(lines, 1):
                if number % 97 == 0 or number > 7990:
                    assert index.line_at(log, start) == number
                    assert index.start_of(log, number) == start
                start += len(line)
            assert index.start_of(log, 8002) is None

    def test_goes_on_when_the_file_grows(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a", "12345678\n" * 50_000)
        index = LineIndex()
        with open_log(path) as log:
            index.extend(log)
            covered = index.covered
        with path.open("a") as file:
            file.write("12345678\n" * 50_000)
        with open_log(path) as log:
            index.extend(log)
            assert index.covered > covered
            assert index.line_at(log, log.size - 1) == 100_000

    def test_stops_when_asked_and_keeps_what_it_has(self, tmp_path: Path) -> None:
        with open_log(write(tmp_path / "a", b"1234567\n" * BLOCK)) as log:
            index = LineIndex()
            answers = iter([False, True])
            assert not index.extend(log, lambda: next(answers))
            assert 0 < index.covered < log.size
            assert index.line_at(log, 8) == 2
            assert index.extend(log)
            assert index.lines(log) == BLOCK


# --------------------------------------------------------------------------- search


_PATTERNS = st.sampled_from(
    [
        *("a", "line", "12|é", "é漢", "ordinary.*line", "^an", "line$", "^$", "[0-9]+", r"\d\d", "x{20}"),
        *("PROG|ress", "a?n ord", "an +ord", r"\bline\b", "(?i)LINE", "ordinary|[xy]", r"progress\ 12", "x*"),
    ]
)


def expected_match(log: OpenLog, row: Row, pattern: Pattern) -> bool:
    """The rule: in what is shown, in what was overwritten, or across the cut of a long line."""
    raw = log.read(row.start, row.end)
    texts = written_texts(raw)
    if any(pattern.matches(text) for text in texts):
        return True
    following = log.read(row.end, row.end + 1024).partition(b"\n")[0] if row.cut else b""
    whole = strip_escapes(row_text(raw + following))
    return any(start < len(texts[0]) < end for start, end in pattern.spans(whole)) if following else False


class TestSearch:
    @settings(max_examples=80, deadline=None)
    @given(_TEXTS, _PATTERNS)
    def test_finds_exactly_the_rows_that_match(self, data: bytes, text: str) -> None:
        for log, _ in opened(data):
            pattern = Pattern(text)
            matching = [row.start for row in all_rows(log) if expected_match(log, row, pattern)]
            assert every(log, pattern) == matching
            backwards = [part.offsets for part in scan_back(log, pattern, log.size)]
            assert [offset for offsets in reversed(backwards) for offset in offsets] == matching
            assert find_next(log, pattern, 0) == (matching[0] if matching else None)
            assert find_previous(log, pattern, log.size) == (matching[-1] if matching else None)

    def test_finds_what_lies_across_the_parts_it_reads(self, tmp_path: Path) -> None:
        # A needle at every distance from the ends of the parts, in lines of a prime length.
        line = b"." * 90 + b"needle" + b"\n"
        with open_log(write(tmp_path / "a", line * 40_000)) as log:
            assert log.size > 3 << 20
            for text in ("needle", "need+le", r"\.needle$"):
                assert every(log, Pattern(text)) == [n * len(line) for n in range(40_000)]

    def test_a_pattern_without_capitals_matches_either_case(self, tmp_path: Path) -> None:
        with open_log(write(tmp_path / "a", "Error\nERROR\nerror\nÉTÉ\nété\n")) as log:
            assert len(every(log, Pattern("error"))) == 3
            assert every(log, Pattern("Error")) == [0]
            assert len(every(log, Pattern("error", ignore_case=False))) == 1
            assert len(every(log, Pattern("été"))) == 2
            assert len(every(log, Pattern(r"\Serror|ÉTÉ"))) == 1

    def test_literal_text_is_taken_as_it_stands(self, tmp_path: Path) -> None:
        with open_log(write(tmp_path / "a", "main()\nmain\n[x] 1.5\n[x] 125\n")) as log:
            assert every(log, Pattern("main()", literal=True)) == [0]
            assert every(log, Pattern("[x] 1.5", literal=True)) == [12]

    def test_looks_at_what_is_shown_and_at_what_was_overwritten_without_colours(self, tmp_path: Path) -> None:
        data = "10%\r20%\r30%\n\x1b[31mfailed\x1b[0m badly\n31mx\n"
        with open_log(write(tmp_path / "a", data)) as log:
            assert every(log, Pattern("10%")) == [0]
            assert every(log, Pattern("^10%$")) == [0]  # what was overwritten is a text of its own
            assert every(log, Pattern("10%.*20")) == []
            assert every(log, Pattern("30%")) == [0]
            assert every(log, Pattern("failed badly")) == [12]
            assert every(log, Pattern("^failed badly$")) == [12]
            assert every(log, Pattern("failed [bx]adly$")) == [12]
            assert every(log, Pattern("31m")) == [data.index("31mx")]

    @pytest.mark.parametrize("text", ["", "(", "[a", "*", "a{3,1}", "(?P<n", "\\"])
    def test_says_what_is_wrong_with_a_pattern(self, text: str) -> None:
        with pytest.raises(UsageError):
            Pattern(text)

    def test_spans_leave_out_empty_matches(self) -> None:
        assert Pattern("b*").spans("abba") == [(1, 3)]

    @pytest.mark.parametrize(
        "line",
        [
            "slurmstepd: error: *** JOB 5512_24 ON n12 CANCELLED AT 12:05:01 DUE TO TIME LIMIT ***",
            "Traceback (most recent call last):",
            "ValueError: bad",
            "/bin/sh: 1: foo: command not found",
            "cat: x: No such file or directory",
            "UserWarning: deprecated",
            "Segmentation fault (core dumped)",
            "oom-kill event in StepId=5512.batch",
            "OSError: [Errno 28] No space left on device",
        ],
    )
    def test_the_preset_knows_trouble(self, line: str, tmp_path: Path) -> None:
        with open_log(write(tmp_path / "a", f"fine\n{line}\nfine\n")) as log:
            assert every(log, ERRORS) == [5]

    @pytest.mark.parametrize("line", ["finished with 0 errors", "no errors found", "all is well"])
    def test_the_preset_knows_good_news(self, line: str) -> None:
        assert not ERRORS.matches(line)

    def test_can_be_given_up(self, tmp_path: Path) -> None:
        with open_log(write(tmp_path / "a", b"line\n" * 1_000_000)) as log:
            assert find_next(log, Pattern("nowhere"), 0, lambda: True) is None
            parts = scan(log, Pattern("nowhere"))
            assert next(parts).stop < log.size


@pytest.mark.parametrize(
    ("source", "needles"),
    [
        ("error", (["error"], True)),
        ("error|warn", (["error", "warn"], True)),
        (r"a\.b", (["a.b"], True)),
        (r"a\|b", (["a|b"], True)),
        ("foo.*barbaz", (["barbaz"], False)),
        ("colou?r", (["colo"], False)),
        ("ab+cd", (["ab"], False)),
        ("^done$", (["done"], False)),
        (r"\bword\d", (["word"], False)),
        ("a*", ([], False)),
        ("x|", ([], False)),
        ("(a|b)c", ([], False)),
        ("[ab]c", (["c"], False)),
        ("ab[0-9]+cde", (["cde"], False)),
        ("[]|]bc|[^|]de", (["bc", "de"], False)),
        ("[ab", ([], False)),
        ("a{3}", ([], False)),
        (r"a\x41", ([], False)),
    ],
)
def test_only_what_is_surely_in_a_match_is_taken_for_a_needle(
    source: str, needles: tuple[list[str], bool]
) -> None:
    assert needles_of(source) == needles


@given(
    st.lists(
        st.sampled_from([*"ab.*?+|^$", r"\.", r"\d", r"\b", "[ab]", "[^a]", "[|b]", "[]a]"]), max_size=8
    ),
    st.text(alphabet="ab.1 ", max_size=8),
)
def test_no_match_is_without_a_needle(parts: list[str], text: str) -> None:
    source = "".join(parts)
    try:
        pattern = re.compile(source)
    except re.error:
        return
    needles, exact = needles_of(source)
    if needles:
        has_needle = any(needle in text for needle in needles)
        assert not pattern.search(text) or has_needle
        assert not exact or bool(pattern.search(text)) == has_needle


# --------------------------------------------------------------------------- times


class TestTimes:
    @pytest.mark.parametrize(
        ("text", "day", "second"),
        [
            ("2026-11-22 12:05:01,123 INFO x", (2026, 11, 22), 43501),
            ("[2026/11/22T12:05:01Z] x", (2026, 11, 22), 43501),
            ("Nov 22 12:05:01 n12 sshd", (None, 11, 22), 43501),
            ("Sun Nov 22 12:05:01 2026", (None, 11, 22), 43501),
            ("[12:05:01] chunk 3", None, 43501),
            ("12:05", None, 43500),
            ("2026-11-22", (2026, 11, 22), 0),
        ],
    )
    def test_are_read_as_logs_write_them(self, text: str, day: object, second: int) -> None:
        assert parse_time(text) == (day, second)

    @pytest.mark.parametrize("text", ["no time", "25:00", "1:2", "12:61", "a::b"])
    def test_other_text_is_none(self, text: str) -> None:
        assert parse_time(text) is None

    def dated(self, path: Path) -> Path:
        lines = []
        for minute in range(3 * 24 * 60):
            stamp = f"2026-11-{20 + minute // 1440} {minute // 60 % 24:02}:{minute % 60:02}:30"
            lines.append(f"[{stamp}] minute {minute}\n" + "  and more that has no time\n" * 3)
        return write(path, "".join(lines))

    @pytest.mark.parametrize(
        ("wanted", "minute"),
        [
            ("2026-11-20 00:00", 0),
            ("2026-11-21 12:05", 1440 + 725),
            ("2026-11-21 12:05:31", 1440 + 726),
            ("2026-11-22", 2880),
            ("12:05", 2880 + 725),  # on the last day
        ],
    )
    def test_lead_to_the_first_line_not_earlier(self, tmp_path: Path, wanted: str, minute: int) -> None:
        with open_log(self.dated(tmp_path / "a")) as log:
            [row] = rows_at(log, [find_time(log, wanted)])
            assert row.text.endswith(f"minute {minute}")

    def test_that_the_last_day_has_not_reached_are_of_the_day_before(self, tmp_path: Path) -> None:
        path = write(
            tmp_path / "a",
            "2026-11-21 10:00:00 a\n2026-11-21 20:00:00 b\n2026-11-22 01:00:00 c\n",
        )
        with open_log(path) as log:
            assert rows_at(log, [find_time(log, "15:00")])[0].text.endswith("b")

    def test_without_dates_go_on_after_midnight(self, tmp_path: Path) -> None:
        text = "".join(f"{(18 + n // 60) % 24:02}:{n % 60:02}:00 n{n}\n" * 20 for n in range(600))
        with open_log(write(tmp_path / "a", text)) as log:
            assert rows_at(log, [find_time(log, "23:30")])[0].text.endswith("n330")
            assert rows_at(log, [find_time(log, "02:00")])[0].text.endswith("n480")

    def test_past_the_end_lead_to_the_last_row(self, tmp_path: Path) -> None:
        with open_log(self.dated(tmp_path / "a")) as log:
            assert find_time(log, "2027-01-01") == tail(log, 1)[0].start

    def test_a_log_without_times_and_a_time_that_is_none_are_told(self, tmp_path: Path) -> None:
        with open_log(write(tmp_path / "a", "x\n" * 10)) as log:
            with pytest.raises(LogError, match="No times"):
                find_time(log, "12:05")
            with pytest.raises(UsageError, match="not a time"):
                find_time(log, "noon")


# --------------------------------------------------------------------------- whole lines


class TestPrintLines:
    TEXT = "zero\none\r\n1%\r2%\nthree \xff\nfour"

    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        return write(tmp_path / "a", self.TEXT.encode("latin-1"))

    def test_gives_every_line_whole(self, path: Path) -> None:
        assert list(print_lines(path)) == ["zero", "one", "2%", "three \ufffd", "four"]

    @pytest.mark.parametrize(
        ("lines", "expected"),
        [
            (range(2), ["zero", "one"]),
            (range(10), ["zero", "one", "2%", "three \ufffd", "four"]),
            ([3, 1, 1], ["one", "three \ufffd"]),
            ([-1], ["four"]),
            (range(-2, 0), ["three \ufffd", "four"]),
            ([-99, 99], []),
            ([], []),
            (range(0), []),
            ((n for n in (0, 4)), ["zero", "four"]),
            (range(10**15), ["zero", "one", "2%", "three \ufffd", "four"]),
        ],
    )
    def test_chosen_by_number(self, path: Path, lines: Iterator[int], expected: list[str]) -> None:
        assert list(print_lines(path, lines)) == expected

    def test_chosen_by_regular_expression_and_number(self, path: Path) -> None:
        assert list(print_lines(path, regex="^[zt]")) == ["zero", "three \ufffd"]
        assert list(print_lines(path, range(2), "o")) == ["zero", "one"]
        assert list(print_lines(path, [1], "z")) == []

    def test_reads_no_further_than_it_must(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = write(tmp_path / "a", b"line\n" * 2_000_000)
        read: list[int] = []
        really_pread = os.pread
        monkeypatch.setattr(os, "pread", lambda fd, n, offset: read.append(n) or really_pread(fd, n, offset))
        assert len(list(print_lines(path, range(10)))) == 10
        assert sum(read) <= (1 << 20) + 2  # and the mark of an encoding

    def test_a_line_of_megabytes_is_whole(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a", b"x" * 3_000_000 + b"\nend\n")
        assert [len(line) for line in print_lines(path)] == [3_000_000, 3]

    def test_what_is_wrong_is_told(self, path: Path, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="regular expression"):
            print_lines(path, regex="(")
        with pytest.raises(UsageError, match="line numbers"):
            list(print_lines(path, ["first"]))  # type: ignore[list-item]  # the wrong use is the test
        with pytest.raises(LogError, match="not there yet"):
            list(print_lines(tmp_path / "none"))
        with pytest.raises(LogError, match="is a directory"):
            list(print_lines(tmp_path))


# --------------------------------------------------------------------------- size


def test_opening_a_quarter_of_a_gigabyte_takes_a_fraction_of_reading_it(tmp_path: Path) -> None:
    path = tmp_path / "big"
    block = b"".join(b"[12:%02d:%02d] step %d\n" % (n // 60 % 60, n % 60, n) for n in range(40_000))
    with path.open("wb") as file:
        for _ in range((256 << 20) // len(block) + 1):
            file.write(block)
    start = time.perf_counter()
    with path.open("rb") as file:
        while file.read(1 << 20):
            pass
    reading = time.perf_counter() - start
    start = time.perf_counter()
    with open_log(path) as log:
        last = tail(log, 100)
        middle = rows_before(log, row_start(log, log.size // 2), 100)
    opening = time.perf_counter() - start
    assert len(last) == len(middle) == 100
    assert last[-1].text.endswith("step 39999")
    assert opening < reading
    assert stat.S_ISREG(os.stat(path).st_mode)
    assert rows_module.LONGEST < 1 << 20


# --------------------------------------------------------------------------- as a terminal shows it


class TestRowsAsATerminalShowsThem:
    @pytest.mark.parametrize(
        ("data", "expected"),
        [
            (b"abcdefghij\rXY\n", "XYcdefghij"),
            (b"abcdefghij\rXY\x1b[K\n", "XY"),
            (b"\x1b[2K\x1b[1Glayer a 5%\x1b[2K\x1b[1Glayer b 7%\n", "layer b 7%"),
            (b"1/3 [=>..]" + b"\b" * 10 + b"2/3 [==>.]\n", "2/3 [==>.]"),
            (b"N\bNA\bAM\bME\bE  _\bx\n", "NAME  x"),
            (b"abc\x1b[2Dx\x1b[3Cy\n", "axc  y"),
            (b"abcdef\x1b[3`\x1b[2PX\n", "abXf"),
            (b"abc\x1b[1Kd\n", "   d"),
            (b"50%\r\r\n", "50%"),
            ("\u4e16\u754cx\rab\n".encode(), "ab\u754cx"),
            ("\u4e16\u754c\ra\n".encode(), "a \u754c"),
            (b"a\tb\rX\n", "X       b"),
            (b"\x1b[999999999Cx\x1b[99D\x1b[K.\n", None),
            (b"a" + b"\0" * 9000 + b"b\n", "a\0\u00d79,000b"),
            (b"a\0\0b\n", "a\0\0b"),
        ],
    )
    def test_what_is_left_on_the_screen(self, data: bytes, expected: str | None) -> None:
        text = strip_escapes(row_text(data))
        assert len(text) <= LONGEST + 1
        assert expected is None or text == expected

    def test_colours_stay_with_their_letters(self) -> None:
        assert row_text(b"\x1b[31mred\rgr\x1b[0m\n") == "\x1b[0m\x1b[31mgrd"
        assert row_text(b"\x1b[31mred\x1b[0m\rX\n") == "X\x1b[0m\x1b[31med"

    def test_what_was_overwritten_is_found(self, tmp_path: Path) -> None:
        data = b"step 1: NaN loss\rstep 2: 0.1\nWARN\b\b\b\bokay\n"
        with open_log(write(tmp_path / "a", data)) as log:
            assert every(log, Pattern("NaN")) == [0]
            assert every(log, Pattern("N.N loss$")) == [0]
            assert every(log, Pattern("WARN")) == [data.index(b"WARN")]
            assert every(log, Pattern("step [12]: [N0]")) == [0]

    def test_a_hole_is_one_row(self, tmp_path: Path) -> None:
        with open_log(write(tmp_path / "a", b"begin\n" + b"\0" * 9000 + b"\nend\n")) as log:
            rows = all_rows(log)
            assert [row.text for row in rows] == ["begin", "\0\u00d79,000", "end"]


class TestEncodings:
    @pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
    def test_utf16_is_read_by_its_mark(self, tmp_path: Path, encoding: str) -> None:
        mark = "\ufeff".encode(encoding)
        path = write(tmp_path / "a", mark + "eins\r\nzw\u00f6lf \u4e16\r\n".encode(encoding))
        with open_log(path) as log:
            assert [row.text for row in all_rows(log)] == ["eins", "zw\u00f6lf \u4e16"]
            assert every(log, Pattern("zw\u00f6lf")) == [5]
        assert list(print_lines(path)) == ["eins", "zw\u00f6lf \u4e16"]
        with path.open("ab") as file:
            file.write("drei\r\n".encode(encoding))
        assert list(print_lines(path))[-1] == "drei"

    def test_the_mark_of_utf8_is_not_shown(self, tmp_path: Path) -> None:
        with open_log(write(tmp_path / "a", b"\xef\xbb\xbfone\n")) as log:
            assert [row.text for row in all_rows(log)] == ["one"]
            assert every(log, Pattern("^one")) == [0]

    @pytest.mark.parametrize(
        ("data", "text", "latin"),
        [
            (b"caf\xe9 au lait\n", "caf\u00e9 au lait", True),
            (b"\xb0C \xb5m\n", "\u00b0C \u00b5m", True),
            ("caf\u00e9".encode() + b" \xe9\n", "caf\u00e9 \ufffd", False),
            (b"\x00\x80\xff\n", "\0\ufffd\ufffd", False),
            (b"cut \xc3", "cut \ufffd", False),  # the rest is being written
        ],
    )
    def test_what_is_no_utf8_is_latin_1_where_it_looks_like_it(
        self, tmp_path: Path, data: bytes, text: str, latin: bool
    ) -> None:
        with open_log(write(tmp_path / "a", data)) as log:
            assert [(row.text, row.latin) for row in all_rows(log)] == [(text, latin)]

    @pytest.mark.parametrize("text", ["caf\u00e9", "caf. au", "(?i)CAF\u00c9", "\u00e9 au"])
    def test_latin_1_is_searched(self, tmp_path: Path, text: str) -> None:
        with open_log(write(tmp_path / "a", b"tea\ncaf\xe9 au lait\n")) as log:
            assert every(log, Pattern(text)) == [4]

    def test_a_log_that_was_compressed_is_read(self, tmp_path: Path) -> None:
        import gzip

        path = tmp_path / "a"
        (tmp_path / "a.gz").write_bytes(gzip.compress(b"one\n") + gzip.compress(b"two\n"))
        assert stat_log(path).compressed and stat_log(path).kind == FILE
        assert list(print_lines(path)) == ["one", "two"]
        (tmp_path / "a.gz").write_bytes(b"no gzip at all")
        with pytest.raises(LogError, match="compressed"):
            open_log(path)
        write(path, "itself\n")
        assert list(print_lines(path)) == ["itself"]


class TestGrowthIsProven:
    @pytest.mark.parametrize(
        ("after", "same"),
        [
            (b"a" * 3000 + b"\nmore\n", True),
            (b"a" * 3000 + b"\n", True),
            (b"b" + b"a" * 2999 + b"\nmore\n", False),
            (b"a" * 2999 + b"b" + b"\nmore\n", False),
            (b"a" * 100, False),
        ],
    )
    def test_by_its_begin_and_by_what_was_its_end(self, tmp_path: Path, after: bytes, same: bool) -> None:
        path = write(tmp_path / "a", b"a" * 3000 + b"\n")
        with open_log(path) as log:
            proof = log.proof()
        path.write_bytes(after)
        with open_log(path) as log:
            assert log.continues(proof) is same


class TestAcrossTheCutsOfALongLine:
    @pytest.mark.parametrize("at", range(SMALL - 8, SMALL + 3))
    @pytest.mark.parametrize("text", ["NEEDLE", "NE+DLE", r"x?NEEDL\S"])
    def test_a_match_is_found_wherever_it_lies(self, tmp_path: Path, at: int, text: str) -> None:
        data = b"." * at + b"NEEDLE" + b"." * 5000 + b"\nshort\n"
        with open_log(write(tmp_path / "a", data)) as log:
            assert every(log, Pattern(text)) == [0 if at < SMALL else SMALL]

    def test_across_the_parts_of_the_file_that_are_read(self, tmp_path: Path) -> None:
        part = 1 << 20
        for at in range(part - 8, part + 3):
            data = b"." * at + b"NEEDLE" + b"." * 5000
            with open_log(write(tmp_path / "a", data)) as log:
                assert len(every(log, Pattern("NEEDLE"))) == 1
                assert len(every(log, Pattern("NEEDL."))) == 1
