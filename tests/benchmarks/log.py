"""Logs of any size against less, grep, tail and wc: open, jump, search, follow, memory."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Sequence
from functools import partial

from paraschut_core.logs import LineIndex, Pattern, open_log, scan, tail

from .measure import PYTHON, Cost, Spread, cost_of, cost_of_command, turns
from .place import place
from .pty import Pty
from .table import Row, Table, ratio_most, value_most

TITLE = "Logs: open, jump to the end, search and follow, against less, grep, tail and wc"

LAST = "the very last line"
NEEDLE = "FATAL: out of memory on n12"
WINDOW = [PYTHON, "-m", "tests.benchmarks.apps.log"]


def run(table: Table, *, quick: bool) -> None:
    size = (4 if quick else 1_024) << 20
    rounds = 2 if quick else 3
    with place() as folder:
        path = str(folder / "job.log")
        table.tell(f"writing a log of {size >> 20:,} MB")
        lines = _write_log(path, size)
        what = f"{size / (1 << 30):.0f} GB" if size >= 1 << 30 else f"{size >> 20} MB"
        _open_it(table, path, what, rounds)
        _search_it(table, path, what, rounds)
        _count_lines(table, path, what, lines, min(rounds, 3))
        _page_and_follow(table, path, what, rounds if quick else 10)


def _write_log(path: str, size: int) -> int:
    """A log as a training run writes it, with a few thousand lines of ERROR and one of NEEDLE near its end;
    returns how many lines it has."""
    block = "".join(
        f"2026-01-01 12:00:{i % 60:02d} step {i:06d} loss {1 / (i + 1):.6f} lr 3.0e-4 tokens/s {90_000 + i}\n"
        for i in range(10_000)
    )
    lines, told = 0, False
    with open(path, "w", encoding="ascii") as file:
        while file.tell() < size:
            if file.tell() >= 0.9 * size - len(block) and not told:
                file.write(f"{NEEDLE}\n")
                lines += 1
                told = True
            file.write(f"ERROR {lines % 977} retrying the shard\n{block}")
            lines += 10_001
        file.write(f"{LAST}\n")
    return lines + 1


# ------------------------------------------------------------------------------------ in this process


def _open_it(table: Table, path: str, what: str, rounds: int) -> None:
    def ours() -> Cost:
        return cost_of(lambda: _last_rows(path))

    if shutil.which("less") is None:
        table.lacks("less: not installed (apt install less)")
        table.value(f"the last screen of {what}", "ms", [1e3 * ours().wall for _ in range(rounds)])
        return
    table.race(
        f"the last screen of {what}",
        ours,
        "less +G",
        lambda: _less_to_end(path),
        rounds=rounds,
        goal=value_most(50),
        note="within the dashboard's process; the rival includes its start",
        short=f"the last screen of a log of {what}",
    )


def _last_rows(path: str) -> None:
    with open_log(path) as log:
        assert tail(log, 50)[-1].text == LAST


def _less_to_end(path: str) -> Cost:
    with Pty(["less", "+G", path]) as pager:
        return Cost(pager.until(LAST) - pager.began, pager.cpu)


def _search_it(table: Table, path: str, what: str, rounds: int) -> None:
    """Our search, in this process, finds the rows of all matches; grep counts lines."""
    searches: Sequence[tuple[str, Pattern, list[str], bool]] = (
        ("a literal, all matches", Pattern("ERROR", literal=True), ["-cF", "ERROR"], True),
        ("a literal, one match", Pattern(NEEDLE, literal=True), ["-cF", NEEDLE], True),
        ("a literal, any case", Pattern("fatal: out of", literal=True), ["-ciF", "fatal: out of"], False),
        ("a regular expression", Pattern("ERROR [0-9]+ retry"), ["-cE", "ERROR [0-9]+ retry"], False),
        ("alternatives, any case", Pattern("fatal|traceback"), ["-ciE", "fatal|traceback"], False),
    )
    for title, pattern, arguments, literal in searches:
        table.race(
            f"search {what}: {title}",
            partial(_search, path, pattern),
            f"grep {arguments[0]}",
            partial(cost_of_command, ["grep", *arguments, path]),
            rounds=rounds,
            goal=ratio_most(2) if literal else None,
            short=f"search a log of {what} for a literal" if title.endswith("one match") else "",
        )


def _search(path: str, pattern: Pattern) -> Cost:
    def search() -> None:
        with open_log(path) as log:
            assert sum(len(part.offsets) for part in scan(log, pattern))

    return cost_of(search)


def _count_lines(table: Table, path: str, what: str, lines: int, rounds: int) -> None:
    def ours() -> None:
        with open_log(path) as log:
            index = LineIndex()
            index.extend(log)
            assert index.lines(log) == lines

    table.race(
        f"number the lines of {what}",
        lambda: cost_of(ours),
        "wc -l",
        lambda: cost_of_command(["wc", "-l", path]),
        rounds=rounds,
    )


# ------------------------------------------------------------------------------------ on a screen


def _page_and_follow(table: Table, path: str, what: str, rounds: int) -> None:
    if shutil.which("less") is None:
        return
    table.tell("in a terminal: jump, follow, search")
    with Pty([*WINDOW, path]) as ours, Pty(["less", path]) as less, Pty(["tail", "-f", path]) as follower:
        ours.until(LAST)
        less.until("step 000001")
        follower.until(LAST)
        for shown in (ours, less, follower):
            shown.settle()
        jumps = turns(rounds, lambda: _jump(ours), lambda: _jump(less))
        _compare_ms(table, f"jump to the end of {what}: key to screen", jumps, "less, G")
        follows = turns(rounds, *(_follower(path, shown) for shown in (ours, follower)))
        _compare_ms(table, "follow: line written to screen", follows, "tail -f")
        for shown in (ours, less):
            for keys in ("g", "/"):
                shown.press(keys)
                shown.settle(0.5)
            shown.press(NEEDLE)
            shown.settle(0.5)
            after = len(shown.raw)
            shown.press("\r")
            shown.until(NEEDLE.split()[-1], "step", after=after)
        table.add(
            Row(
                f"memory after a search through {what}",
                "MB",
                Spread.of([ours.memory]),
                "less",
                Spread.of([less.memory]),
                note="ours is a Textual application as a whole",
            )
        )


def _compare_ms(table: Table, what: str, found: list[list[float]], rival: str) -> None:
    ours, theirs = ([1e3 * seconds for seconds in way] for way in found)
    table.compare(what, "ms", ours, rival, theirs)


def _jump(shown: Pty) -> float:
    """Seconds from the key to the file's last line on the screen."""
    shown.press("g")
    shown.settle(0.3)
    before = len(shown.raw)
    pressed = shown.press("G")
    return shown.until(LAST, after=before) - pressed


def _follower(path: str, shown: Pty) -> Callable[[], float]:
    """Seconds from a line's being written to its being on the screen, each time."""
    numbers = iter(range(100_000))

    def once() -> float:
        shown.settle(0.35)
        before = len(shown.raw)
        mark = f"growth {os.getpid()}.{id(shown)}.{next(numbers)}"
        with open(path, "a", encoding="ascii") as file:
            file.write(f"{mark}\n")
        written = time.monotonic()
        return shown.until(mark, after=before) - written

    return once
