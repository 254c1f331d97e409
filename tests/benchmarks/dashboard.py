"""The dashboard in a terminal against a bare Textual application and Textual's DataTable."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from typing import NamedTuple

from tests.terminal.screen import paraschut

from .apps.bare import READY
from .measure import PYTHON, Cost, Spread, turns
from .place import Changer, fill, place
from .pty import Pty
from .table import Row, Table, ratio_most, value_most

TITLE = "The dashboard: start, idle, bytes and time, against a bare Textual application and DataTable"

BARE = [PYTHON, "-m", "tests.benchmarks.apps.bare"]
DATATABLE = [PYTHON, "-m", "tests.benchmarks.apps.datatable"]

NO_JOBS = "paraschut add"
CELLS = "✓✓✓"
"""What a cell map of complete jobs is made of."""

KEYS = {"cursor down, up": ("\x1b[B", "\x1b[A"), "page down, up": ("\x1b[6~", "\x1b[5~")}


class Painted(NamedTuple):
    """A program when it has shown what it is for: seconds since its start, and memory in MB."""

    cost: Cost
    memory: float
    bytes: int


def run(table: Table, *, quick: bool) -> None:
    sizes = (0, 1_000) if quick else (0, 100_000, 1_000_000)
    for n in sizes:
        with place() as folder:
            path = str(folder / "jobs.db")
            table.tell(f"first paint with {n:,} jobs")
            if n:
                fill(n)
            ours = [*paraschut("--db", path)] if n else _empty(path)
            _start(table, ours, n, rounds=1 if quick else 5, last=n == sizes[-1])
            if n == sizes[-1]:
                _idle(table, ours, n, seconds=3 if quick else 60)
    rows = 5_000 if quick else 10_000
    with place() as folder:
        path = str(folder / "jobs.db")
        fill(rows)
        _against_datatable(table, path, rows, quick=quick)


def _empty(path: str) -> list[str]:
    from paraschut_core.database.connection import Database

    with Database(path, create=True) as db:
        db.rows("SELECT 1")
    return paraschut("--db", path)


# ------------------------------------------------------------------------------------ start and idle


def _start(table: Table, argv: list[str], n: int, *, rounds: int, last: bool) -> None:
    ours, bare = turns(rounds, lambda: _painted(argv, CELLS if n else NO_JOBS), lambda: _painted(BARE, READY))
    table.costs(
        f"start to first paint, {n:,} jobs",
        [one.cost for one in ours],
        "bare Textual",
        [one.cost for one in bare],
        goal=ratio_most(1.3) if last else None,
        short=f"start to first paint, {n:,} jobs" if last else "",
    )
    table.compare(
        f"memory, {n:,} jobs",
        "MB",
        [one.memory for one in ours],
        "bare Textual",
        [one.memory for one in bare],
    )


def _painted(argv: list[str], mark: str) -> Painted:
    with Pty(argv) as shown:
        at = shown.until(mark)
        cost = Cost(at - shown.began, shown.cpu)
        shown.settle(0.5)
        return Painted(cost, shown.memory, shown.bytes)


def _idle(table: Table, argv: list[str], n: int, *, seconds: int) -> None:
    """Both stand idle in the same minute."""
    table.tell(f"idle for {seconds} s")
    with Pty(argv) as ours, Pty(BARE) as bare:
        ours.until(CELLS)
        bare.until(READY)
        for shown in (ours, bare):
            shown.settle(3.0)
        before = [(shown.bytes, shown.cpu) for shown in (ours, bare)]
        time.sleep(seconds)
        for shown in (ours, bare):
            while shown.read(0.0):
                pass
        sent = [shown.bytes - was for shown, (was, _) in zip((ours, bare), before, strict=True)]
        used = [
            100 * (shown.cpu - was) / seconds for shown, (_, was) in zip((ours, bare), before, strict=True)
        ]
    table.add(
        Row(
            f"idle for {seconds} s, {n:,} jobs: bytes",
            "",
            Spread.of([sent[0]]),
            "bare Textual",
            Spread.of([sent[1]]),
            goal=value_most(0),
            short=f"bytes to the terminal, idle for {seconds} s",
        )
    )
    table.add(
        Row(
            f"idle for {seconds} s, {n:,} jobs: CPU",
            "%",
            Spread.of([used[0]]),
            "bare Textual",
            Spread.of([used[1]]),
            goal=value_most(0.5),
            short="CPU while idle",
        )
    )


# ------------------------------------------------------------------------------------ against DataTable


def _against_datatable(table: Table, path: str, rows: int, *, quick: bool) -> None:
    table.tell(f"{rows:,} jobs in DataTable")
    rounds = 1 if quick else 3
    ours, theirs = turns(
        rounds,
        lambda: _painted(paraschut("--db", path), CELLS),
        lambda: _painted([*DATATABLE, path], "complete"),
    )
    table.compare(
        f"start, {rows:,} jobs", "s", [o.cost.wall for o in ours], "DataTable", [t.cost.wall for t in theirs]
    )
    table.compare(
        f"memory, {rows:,} jobs", "MB", [o.memory for o in ours], "DataTable", [t.memory for t in theirs]
    )
    with Pty(paraschut("--db", path)) as grid, Pty([*DATATABLE, path]) as rival:
        grid.until(CELLS)
        rival.until("complete")
        for shown in (grid, rival):
            shown.settle(2.0)
        for changed in (1, 20):
            _bytes_of_change(table, grid, rival, changed, rounds=2 if quick else 5)
        for what, keys in KEYS.items():
            _keys(table, grid, rival, what, keys, rounds=2 if quick else 20)


def _bytes_of_change(table: Table, grid: Pty, rival: Pty, changed: int, *, rounds: int) -> None:
    """Both look at the same file: each change reaches both."""
    changer = Changer()
    sent: list[list[float]] = [[], []]
    for _ in range(rounds):
        before = [shown.bytes for shown in (grid, rival)]
        changer.change(*range(5, 5 + changed))
        for number, shown in enumerate((grid, rival)):
            shown.settle(0.6)
            sent[number].append(shown.bytes - before[number])
    changer.close()
    table.compare(
        f"bytes: {changed} change{'s' if changed > 1 else ''} in view",
        "",
        sent[0],
        "DataTable",
        sent[1],
        short="bytes to the terminal after one change" if changed == 1 else "",
    )


def _keys(table: Table, grid: Pty, rival: Pty, what: str, keys: Sequence[str], *, rounds: int) -> None:
    """Two keys that undo each other, in turns: there is always somewhere to go."""
    mine, other = itertools.cycle(keys), itertools.cycle(keys)
    ours, theirs = turns(rounds, lambda: _pressed(grid, next(mine)), lambda: _pressed(rival, next(other)))
    table.compare(
        f"bytes: {what}", "", [one.bytes for one in ours], "DataTable", [one.bytes for one in theirs]
    )
    table.compare(
        f"CPU: {what}",
        "ms",
        [1e3 * one.cost.cpu for one in ours],
        "DataTable",
        [1e3 * one.cost.cpu for one in theirs],
    )
    table.compare(
        f"key to screen: {what}",
        "ms",
        [1e3 * one.cost.wall for one in ours],
        "DataTable",
        [1e3 * one.cost.wall for one in theirs],
    )


def _pressed(shown: Pty, keys: str) -> Painted:
    """What one key costs, until the screen has come to rest."""
    before, used = shown.bytes, shown.cpu
    pressed = shown.press(keys)
    seen = shown.read(5.0)
    assert seen, "a key changed nothing on the screen"
    shown.settle(0.2)
    return Painted(Cost(seen - pressed, shown.cpu - used), 0.0, shown.bytes - before)
