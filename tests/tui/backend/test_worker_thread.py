"""A worker thread runs one task after the other and reports failures, and the latest request counts."""

from __future__ import annotations

import asyncio
import queue
import threading

import pytest

from paraschut_core.errors import ParaschutError
from paraschut_tui.backend.worker_thread import LatestOnly, Request, WorkerThread


def failing(error: Exception) -> None:
    raise error


def test_a_failure_is_reported_and_the_thread_goes_on() -> None:
    reported: queue.SimpleQueue[str] = queue.SimpleQueue()
    thread = WorkerThread("test")
    thread.guard(lambda: failing(ParaschutError("the file is locked")), reported.put)
    assert reported.get(timeout=10) == "the file is locked"
    thread.guard(lambda: failing(KeyError("batch\x1b[0m")), reported.put)
    line = reported.get(timeout=10)
    assert line.startswith("KeyError") and "fault of Paraschut" in line and "\x1b" not in line
    thread.guard(lambda: reported.put("done"), reported.put)
    assert reported.get(timeout=10) == "done"
    thread.stop()
    thread.join(10)


async def test_a_newer_request_ends_the_older_one_whose_answer_is_none() -> None:
    thread, requests = WorkerThread("test"), LatestOnly()
    begun = threading.Event()

    def search(request: Request) -> str:
        begun.set()
        while request.wanted:
            begun.wait(0.01)
        return "outdated"

    older = asyncio.ensure_future(requests.run(thread, search))
    await asyncio.to_thread(begun.wait, 10)
    skipped = asyncio.ensure_future(requests.run(thread, lambda _: pytest.fail("it was superseded before")))
    await asyncio.sleep(0)
    newer = requests.run(thread, lambda request: f"wanted: {request.wanted}")
    assert await asyncio.gather(older, skipped, newer) == [None, None, "wanted: True"]
    thread.stop()


async def test_only_the_failure_of_the_latest_request_is_raised() -> None:
    thread, requests = WorkerThread("test"), LatestOnly()
    with pytest.raises(ParaschutError):
        await requests.run(thread, lambda _: failing(ParaschutError("the file is locked")))

    def fail_superseded(request: Request) -> None:
        requests.cancel()
        raise ParaschutError("the file is locked")

    assert await requests.run(thread, fail_superseded) is None
    thread.stop()
