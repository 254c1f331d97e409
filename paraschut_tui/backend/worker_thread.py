"""WorkerThread runs tasks one after the other off the screen's thread; LatestOnly drops outdated answers."""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from paraschut_core.errors import ParaschutError

from ..errors import fault_line

log = logging.getLogger(__name__)

T = TypeVar("T")


class WorkerThread:
    """One daemon thread, or several, with a queue of tasks; started by the first task.

    The pools of concurrent.futures are joined at exit: a file server that hangs would keep the program from
    ending. All tasks are to come from one thread.
    """

    def __init__(self, name: str, threads: int = 1) -> None:
        self._tasks: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._threads = [threading.Thread(target=self._work, name=name, daemon=True) for _ in range(threads)]
        self._started = False

    def submit(self, task: Callable[[], T]) -> Future[T]:
        """Run `task` after all that were submitted before; a cancelled future does not begin."""
        future: Future[T] = Future()

        def run() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                result = task()
            except BaseException as error:  # noqa: BLE001 - it belongs to whoever waits for the future
                future.set_exception(error)
            else:
                future.set_result(result)

        self._add(run)
        return future

    def guard(self, task: Callable[[], object], failed: Callable[[str], object]) -> None:
        """Run `task`, which nobody waits for, after all that were submitted before. If it fails, `failed` is
        called with the reason, in the thread."""

        def run() -> None:
            try:
                task()
            except ParaschutError as error:
                failed(str(error))
            except Exception as error:
                log.exception("fault in %s", threading.current_thread().name)
                failed(fault_line(error))

        self._add(run)

    def stop(self) -> None:
        """End the thread after the task that it runs."""
        for _ in self._threads:
            self._tasks.put(None)

    def join(self, timeout: float) -> None:
        """Wait for the thread's end, at most `timeout` seconds."""
        if self._started:
            for thread in self._threads:
                thread.join(timeout)

    def _add(self, run: Callable[[], None]) -> None:
        self._tasks.put(run)
        if not self._started:
            self._started = True
            for thread in self._threads:
                thread.start()

    def _work(self) -> None:
        while (task := self._tasks.get()) is not None:
            task()


class Request:
    """One request. `wanted` becomes False once a newer request replaces it, or nobody waits any more."""

    __slots__ = ("wanted",)

    def __init__(self) -> None:
        self.wanted = True


class LatestOnly:
    """Requests of one kind, of which only the latest is wanted.

    Requests begin in the screen's thread. A task reads `Request.wanted` in its own thread to end early;
    a message that carries its request is outdated if that is not wanted.
    """

    def __init__(self) -> None:
        self.latest = Request()

    def begin(self) -> Request:
        """Begin a request; the one before is not wanted any more."""
        self.cancel()
        self.latest = Request()
        return self.latest

    def cancel(self) -> None:
        """Drop the latest request."""
        self.latest.wanted = False

    async def run(self, thread: WorkerThread, task: Callable[[Request], T]) -> T | None:
        """Begin a request and run `task` for it in `thread`.

        Returns:
            The result; None if a newer request began before it was there.
        """
        request = self.begin()
        try:
            result = await asyncio.wrap_future(
                thread.submit(lambda: task(request) if request.wanted else None)
            )
        except Exception:
            if request.wanted:
                raise
            return None
        return result if request.wanted else None
