"""Lane: a thread that does one thing after the other, so that what may block never blocks the screen."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


class Lane:
    """A daemon thread with a queue, or several. (The pools of concurrent.futures are joined at exit: a file
    server that hangs would keep the program from ending.)"""

    def __init__(self, name: str, threads: int = 1) -> None:
        self._tasks: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._threads = [threading.Thread(target=self._work, name=name, daemon=True) for _ in range(threads)]
        for thread in self._threads:
            thread.start()

    def submit(self, task: Callable[[], T]) -> Future[T]:
        """Runs `task` after all that was submitted before; a cancelled future is not begun."""
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

        self._tasks.put(run)
        return future

    def stop(self) -> None:
        """Has the thread end after what it is doing."""
        for _ in self._threads:
            self._tasks.put(None)

    def join(self, timeout: float) -> None:
        """Waits for its end, but not longer than `timeout` seconds."""
        for thread in self._threads:
            thread.join(timeout)

    def _work(self) -> None:
        while (task := self._tasks.get()) is not None:
            task()
