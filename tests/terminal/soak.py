"""A dashboard that is left open while jobs change: does it keep up, does it grow?

Usage: python -m tests.terminal.soak [--minutes 10] [--rate BYTES]. A writer changes 50 jobs a second; the
screen's count of complete jobs tells how far behind it is. Prints a table; exits with 1 if the dashboard
fell behind or grew.
"""

from __future__ import annotations

import argparse
import bisect
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import psutil

from .screen import Terminal, paraschut
from .test_demo import counts

JOBS = 3000
CHANGES = 50
"""Jobs that change in a second."""

WARM_UP = 30.0
"""Seconds before memory is first looked at: caches fill, Python's arenas settle."""


class Result(NamedTuple):
    """What was seen: lags (s) of the screen behind the writer, memory (bytes) at times (s), the time (s) that
    the screen needed to be true after the last change, and how many bytes it was sent."""

    lags: list[float]
    memory: list[tuple[float, int]]
    settled: float
    sent: int

    @property
    def growth(self) -> int:
        """Bytes by which it grew between the first half and the second, by the least of each."""
        half = self.memory[-1][0] / 2
        early = [size for at, size in self.memory if at <= half] or [self.memory[0][1]]
        return min(size for at, size in self.memory if at >= half) - min(early)


def make_project(folder: Path) -> None:
    """Three batches of jobs, the first of which the writer changes."""
    subprocess.run([*paraschut("init", str(folder))], check=True, capture_output=True)
    for name in ("other/one", "other/two", "soak/jobs"):
        add = paraschut("add", "--name", name, "--range", f"0-{JOBS - 1}", "true")
        subprocess.run(add, cwd=folder, check=True, capture_output=True)


def write(folder: Path, seconds: float, log: Path) -> None:
    """Changes jobs, one transaction for five of them, and notes when how many are complete."""
    from paraschut_core import config
    from paraschut_core.database.lifecycle import change_fields
    from paraschut_core.model import JobKey
    from paraschut_core.project import Project

    with Project(config.load(cwd=str(folder))) as ws, open(log, "w", buffering=1) as notes:
        batch_id = max(row[0] for row in ws.reader.rows("SELECT BatchID FROM batch"))
        began = due = time.monotonic()
        step, up, done, complete = 5, True, 0, 0
        while time.monotonic() - began < seconds:
            with ws.db.transaction() as tx:
                for index in range(done, done + step):
                    state = {"state": "complete" if up else "init"}
                    change_fields(tx, JobKey(batch_id, index), state, {}, why="soak", action=None)
            done += step
            complete += step if up else -step
            notes.write(f"{time.monotonic()} {complete}\n")
            if done >= JOBS:
                up, done = not up, 0
            due += step / CHANGES
            time.sleep(max(due - time.monotonic(), 0.0))


def soak(folder: Path, seconds: float, rate: float = 0.0, size: tuple[int, int] = (160, 50)) -> Result:
    """Watches a dashboard for so long."""
    log = folder / "written"
    log.touch()
    lags: list[float] = []
    memory: list[tuple[float, int]] = []
    with Terminal(paraschut(), size=size, cwd=folder, rate=rate) as terminal:
        terminal.wait("soak/jobs")
        terminal.settle(quiet=1.0)
        process = psutil.Process(terminal.process.pid)
        writer = subprocess.Popen(
            [sys.executable, "-m", "tests.terminal.soak", "--write", str(folder), str(seconds), str(log)]
        )
        began = time.monotonic()
        try:
            while writer.poll() is None:
                terminal.read(0.2)
                now = time.monotonic()
                lag = behind(log, counts(terminal.text)[0], now)
                if lag is not None:
                    lags.append(lag)
                if now - began > min(WARM_UP, seconds / 4):
                    memory.append((now - began, process.memory_info().rss))
        finally:
            writer.terminate()
            writer.wait(10)
        ended = time.monotonic()
        last = int(log.read_text().split()[-1])
        terminal.wait(lambda text: counts(text)[0] == last, f"the last count, {last}", patience=60)
        settled = time.monotonic() - ended
        terminal.press("q")
        assert terminal.wait_end() == 0
        assert b"^[[" not in terminal.raw, "what the terminal answered was typed into the shell"
        return Result(lags, memory, settled, terminal.bytes)


def behind(log: Path, shown: int, now: float) -> float | None:
    """Seconds since what is shown was no longer the truth; 0 if it still is."""
    lines = log.read_text().splitlines()[-3000:]
    written = [(float(at), int(n)) for at, n in (line.split() for line in lines if line.count(" ") == 1)]
    times = [at for at, _ in written]
    written = written[: bisect.bisect_right(times, now)]
    for at in range(len(written) - 1, -1, -1):
        if written[at][1] == shown:
            return 0.0 if at == len(written) - 1 else now - written[at + 1][0]
    return None


def main() -> int:
    """Runs it and prints what was seen."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--rate", type=float, default=0.0, help="bytes a second that the line takes")
    parser.add_argument("--write", nargs=3, metavar=("FOLDER", "SECONDS", "LOG"))
    options = parser.parse_args()
    if options.write:
        write(Path(options.write[0]), float(options.write[1]), Path(options.write[2]))
        return 0
    with tempfile.TemporaryDirectory(prefix="paraschut-soak-") as name:
        folder = Path(name)
        make_project(folder)
        found = soak(folder, options.minutes * 60, options.rate)
    lags = sorted(found.lags)
    print(f"looks at the screen       {len(lags)}")
    for part in (50, 90, 99, 100):
        print(f"lag, {part:3} %              {lags[min(len(lags) * part // 100, len(lags) - 1)]:.2f} s")
    print(f"true after the last change  {found.settled:.2f} s")
    print(f"sent                      {found.sent:,} bytes ({found.sent / options.minutes / 60:,.0f} B/s)")
    print(f"memory                    {found.memory[0][1] / 1e6:.1f} MB, then {found.growth / 1e6:+.2f} MB")
    return int(found.growth > 5_000_000 or lags[len(lags) // 2] > 2.0 or found.settled > 10.0)


if __name__ == "__main__":
    sys.exit(main())
