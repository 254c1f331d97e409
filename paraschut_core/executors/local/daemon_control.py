"""Sees to it that a runner serves the queue: nudges the one that lives, or starts one."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import sys
import time
from typing import TYPE_CHECKING

from ...errors import SchedulerError
from ...security.child_python import environment, python
from ...security.confinement import is_confined
from ...security.ownership import enter, open_own
from ..base import JOB_ID_VARIABLE
from .process import send

if TYPE_CHECKING:
    import subprocess
    from typing import BinaryIO

    from .queue_store import DaemonInfo, LocalQueue

READY = "ready"
"""What a runner says once it serves the queue, or knows that another one does."""

LOG = "runner.log"
_LOCK = "lock"
_PATIENCE = 30.0
"""Seconds for a runner to say that it is ready (Python on a slow network file system)."""


def ensure_daemon(queue: LocalQueue, serving: DaemonInfo) -> None:
    """Has the queue served from now on: called after each change, with the runner that was read with it.

    Raises:
        SchedulerError: no runner lives and none could be started; the message says why.
    """
    if serving.pid is not None and serving.lives and send(serving.pid, serving.start, signal.SIGUSR1):
        return
    if is_confined():
        raise SchedulerError("no local runner serves the queue, and none is started by who only looks")
    _start_runner(queue.folder)


def lock_queue(folder: str) -> int | None:
    """The lock that makes a process the one runner of a queue: its descriptor; None if another has it.

    Raises:
        OSError: the folder is gone, or its file system knows no locks.
        UntrustedError: it is, or may be, another user's.
    """
    place = enter(folder)
    try:
        path = os.path.join(folder, _LOCK)
        handle = open_own(_LOCK, os.O_RDWR | os.O_CREAT, folder=place, path=path)
    finally:
        os.close(place)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    except BaseException:
        os.close(handle)
        raise
    return handle


def _start_runner(folder: str) -> None:
    import subprocess

    log = os.path.join(folder, LOG)
    if not sys.executable:
        raise SchedulerError(
            "The local runner cannot be started: this Python does not know its own executable. Run "
            "Paraschut from an ordinary Python."
        )
    try:
        with _opened_log(folder, log) as errors:
            process = subprocess.Popen(
                [*python("paraschut_core.executors.local.daemon"), folder],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                cwd="/",  # the runner enters its folder itself, once it has looked whose it is
                env=_environment(),
                start_new_session=True,
            )
    except OSError as error:
        raise SchedulerError(
            f"The local runner cannot be started ({error.strerror}: {error.filename or sys.executable}); "
            f"look at the permissions and free space of {folder}."
        ) from error
    answer = _answer(process)
    if answer == READY:
        return
    silent = f"it did not answer for {_PATIENCE:g} s"
    why = silent if answer is None else answer or "it ended at once"
    raise SchedulerError(f"The local runner cannot be started: {why}. Its log: {log}")


def _answer(process: subprocess.Popen[bytes]) -> str | None:
    """The runner's first line; '' if it ended without one, None if it says nothing in time."""
    assert process.stdout is not None
    deadline = time.monotonic() + _PATIENCE
    answer = b""
    with process.stdout as pipe:
        while not answer.endswith(b"\n"):
            poll = select.poll()  # not select(): a dashboard may have more than 1,024 files open
            poll.register(pipe, select.POLLIN)
            if not poll.poll(max(deadline - time.monotonic(), 0) * 1000):
                return None
            part = os.read(pipe.fileno(), 4096)
            if not part:
                break
            answer += part
    process.wait()  # the runner has left this process behind: it ends at once
    return answer.decode(errors="replace").strip()


def _environment() -> dict[str, str]:
    """What the runner itself finds: never the id of the job that happens to start it."""
    return {name: value for name, value in environment().items() if name != JOB_ID_VARIABLE}


def _opened_log(folder: str, path: str) -> BinaryIO:
    place = enter(folder)
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        return open(open_own(LOG, flags, folder=place, path=path), "ab")
    finally:
        os.close(place)
