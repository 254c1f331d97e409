"""A lane does one thing after the other, and what fails in it is told."""

from __future__ import annotations

import queue

from paraschut_core.errors import ParaschutError
from paraschut_tui.backend.worker_thread import WorkerThread


def failing(error: Exception) -> None:
    raise error


def test_what_fails_is_told_and_the_lane_goes_on() -> None:
    told: queue.SimpleQueue[str] = queue.SimpleQueue()
    lane = WorkerThread("test")
    lane.guard(lambda: failing(ParaschutError("the file is locked")), told.put)
    assert told.get(timeout=10) == "the file is locked"
    lane.guard(lambda: failing(KeyError("batch\x1b[0m")), told.put)
    line = told.get(timeout=10)
    assert line.startswith("KeyError") and "fault of Paraschut" in line and "\x1b" not in line
    lane.guard(lambda: told.put("done"), told.put)
    assert told.get(timeout=10) == "done"
    lane.stop()
    lane.join(10)
