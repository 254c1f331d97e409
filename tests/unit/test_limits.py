"""A cluster's limits as they are kept between commands."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from paraschut_core.errors import SchedulerError
from paraschut_core.executors.batch.throttling import array_limit, throttle

RATE = 10.0

TAKE_TURNS = """
import sys, time
from paraschut_core.executors.batch.throttling import throttle
for _ in range(4):
    throttle(sys.argv[1], float(sys.argv[2]), 60.0)
    print(time.time(), flush=True)
"""


def test_all_processes_take_turns(tmp_path: Path) -> None:
    command = [sys.executable, "-c", TAKE_TURNS, str(tmp_path / "new" / "turn"), str(RATE)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    times = sorted(
        float(line) for process in processes for line in process.communicate(timeout=60)[0].split()
    )
    assert len(times) == 12
    # Eleven turns after the first; a turn may be late, and the next one on time.
    assert times[-1] - times[0] >= 10 / RATE
    assert all(later - earlier >= 3 / RATE for earlier, later in zip(times, times[5:], strict=False))


def test_a_turn_that_is_far_away_is_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "turn").write_text(str(time.time() + 3600))  # by the clock of another host
    began = time.monotonic()
    throttle(str(tmp_path / "turn"), RATE, longest=0.2)
    assert time.monotonic() - began < 30
    (tmp_path / "turn").write_text("garbage")
    throttle(str(tmp_path / "turn"), RATE, longest=60.0)
    assert time.monotonic() - began < 30


def test_where_no_file_can_be_written_it_is_slow_but_never_too_fast(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    began = time.monotonic()
    throttle(str(tmp_path / "file" / "turn"), RATE, longest=60.0)
    assert time.monotonic() - began >= 1 / RATE


def test_the_limit_on_arrays_is_asked_once_a_day(tmp_path: Path) -> None:
    path = str(tmp_path / "new" / "slurm.limit")
    answers = iter([500, 700, None])
    assert [array_limit(path, lambda: next(answers), 1000) for _ in range(2)] == [500, 500]
    os.utime(path, (0, 0))
    assert array_limit(path, lambda: next(answers), 1000) == 700
    Path(path).write_text("garbage")
    assert array_limit(path, lambda: next(answers), 1000) == 1000  # the cluster does not say


def test_a_cluster_that_does_not_answer_is_asked_again(tmp_path: Path) -> None:
    def down() -> int:
        raise SchedulerError("down")

    path = str(tmp_path / "slurm.limit")
    assert array_limit(path, down, 1000) == 1000
    assert array_limit(path, lambda: 20, 1000) == 20
