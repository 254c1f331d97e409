"""Measures several ways of doing one thing in turns: the drift of a shared machine meets all alike."""

from __future__ import annotations

import gc
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple, TypeVar

T = TypeVar("T")


class Spread(NamedTuple):
    """The median of several measurements, and between what the middle half of them lies."""

    median: float
    low: float
    high: float
    n: int

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        """The spread of `values` (at least one); of fewer than four, from the least to the greatest."""
        found = sorted(values)
        if len(found) < 4:
            return cls(statistics.median(found), found[0], found[-1], len(found))
        low, median, high = statistics.quantiles(found, n=4, method="inclusive")
        return cls(median, low, high, len(found))


class Cost(NamedTuple):
    """What one doing took: seconds on the clock, and of CPU (of children that were waited for too)."""

    wall: float
    cpu: float


def turns(rounds: int, *ways: Callable[[], T]) -> list[list[T]]:
    """Calls each of `ways` once a round, A B, then B A, then A B; returns what each gave, round by round."""
    results: list[list[T]] = [[] for _ in ways]
    order = list(range(len(ways)))
    for _ in range(rounds):
        for number in order:
            gc.collect()
            results[number].append(ways[number]())
        order.reverse()
    return results


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> Spread:
    """The spread of ours / theirs, taken round by round: what slowed both down cancels."""
    return Spread.of(mine / max(other, 1e-9) for mine, other in zip(ours, theirs, strict=True))


def cost_of(call: Callable[[], object]) -> Cost:
    """What a call takes in this process."""
    before, began = _cpu(), time.perf_counter()
    call()
    return Cost(time.perf_counter() - began, _cpu() - before)


def _cpu() -> float:
    used = os.times()
    return time.process_time() + used.children_user + used.children_system


def cost_of_command(
    argv: Sequence[str],
    *,
    environment: Mapping[str, str] | None = None,
    stdin: bytes | None = None,
) -> Cost:
    """What a command takes from its start to its end, all its children included.

    Raises:
        AssertionError: it fails.
    """
    # Not /dev/null: grep notices that, and stops at the first match.
    with tempfile.TemporaryFile() as answer:
        began = time.perf_counter()
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
            stdout=answer,
            env=environment,
        )
        if stdin is not None:
            assert process.stdin is not None
            with process.stdin:
                process.stdin.write(stdin)
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, f"{argv[:4]}: exit status {process.returncode}"
    return Cost(time.perf_counter() - began, usage.ru_utime + usage.ru_stime)


def cpu_of_process(pid: int) -> float:
    """CPU seconds that a running process has used so far, to the nanosecond; children not included."""
    total = 0
    for thread in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{thread}/schedstat", encoding="ascii") as file:
            total += int(file.read().split()[0])
    return total / 1e9


def cpu_with_children(pid: int) -> float:
    """CPU seconds of a running process and of the children that it has waited for, to the clock tick."""
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
        fields = file.read().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def memory_of_process(pid: int) -> float:
    """MB of memory that are a process's own (its private pages, not the libraries that it shares)."""
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
        fields = dict(line.split(":", 1) for line in file.read().splitlines()[1:])
    return sum(int(fields[name].split()[0]) for name in ("Private_Clean", "Private_Dirty")) / 1024


def syscalls_of_command(argv: Sequence[str], environment: Mapping[str, str]) -> dict[str, int] | None:
    """How many system calls of which kind a command makes; None where there is no strace, or it may not."""
    if shutil.which("strace") is None:
        return None
    done = subprocess.run(
        ["strace", "-f", "-qq", "-c", "-U", "calls,name", *argv],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    calls: dict[str, int] = {}
    for line in done.stderr.splitlines():
        number, _, name = line.strip().partition(" ")
        if number.isdigit() and name.strip().isidentifier():
            calls[name.strip()] = int(number)
    return calls or None


PYTHON = sys.executable
