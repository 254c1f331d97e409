"""The daemon's process: `python -P -m paraschut_core.executors.local.daemon_main DIR`.

One per user, host and job directory. It outlives the terminal and the dashboard, and ends by itself
when there is nothing to do. It may be killed at any moment: its jobs run on, and the next runner takes
them over.
"""

from __future__ import annotations

import gc
import os
import sqlite3
import sys
import time

from ...errors import ParaschutError
from ...security.ownership import enter
from .daemon import LocalDaemon
from .daemon_control import READY, lock_queue
from .daemon_store import DaemonStore
from .journal import Journal
from .process import boot_id, start_of
from .queue_store import LocalQueue
from .recovery import recover_jobs

_LOCK_WAIT = 10.0
"""Seconds for a runner that is about to end to let go of the lock."""
_LOG_ROOM = 1 << 20


def main(arguments: list[str]) -> int:
    """Serves the queue in the folder `arguments[0]`; returns the process's exit status.

    The first line on stdout says "ready", or why not.
    """
    if len(arguments) != 1:
        _say("usage: python -P -m paraschut_core.executors.local.daemon_main DIR")
        return 2
    if os.fork():
        # Whoever started this waits for it; the runner itself must be nobody's child.
        os._exit(0)
    folder = os.path.abspath(arguments[0])
    os.umask(0o077)
    try:
        place = enter(folder)
        os.fchdir(place)
        return _run(folder, place)
    except (ParaschutError, OSError, sqlite3.Error) as error:
        log(f"cannot serve {folder}: {error}")
        _say(f"{type(error).__name__}: {error}" if not isinstance(error, ParaschutError) else str(error))
        return 1


def log(message: str) -> None:
    """One line in the runner's log, which is its stderr (`logging` would double its memory)."""
    stamp = time.strftime("%Y-%m-%d %H:%M:%S")
    try:
        os.write(2, f"{stamp} [{os.getpid()}] {message}\n".encode(errors="replace"))
    except OSError:
        pass  # a full disk is often what there is to tell: that must not end the runner


def _run(folder: str, place: int) -> int:
    lock = _locked(folder)
    if lock is None:
        _say(READY)  # another runner serves the queue
        return 0
    _shorten_log()
    boot, me = boot_id(), os.getpid()
    ledger = DaemonStore(folder)
    journal = Journal(folder, boot)
    if not ledger.is_free(me):
        raise ParaschutError("another runner is registered and lives, but does not hold the lock")
    base = os.path.dirname(os.path.dirname(os.path.dirname(folder)))
    service = LocalDaemon(ledger, journal, base, place, recover_jobs(ledger, journal), log)
    service.listen()
    ledger.register(me, start_of(me), boot)
    _say(READY)
    gc.freeze()
    service.serve()
    ledger.close()
    return 0  # the lock goes with the process


def _locked(folder: str) -> int | None:
    """The queue's lock; None once another runner is seen to live. Raises ParaschutError, OSError."""
    deadline = time.monotonic() + _LOCK_WAIT
    while True:
        try:
            lock = lock_queue(folder)
        except OSError as error:
            raise ParaschutError(
                f"the file system of {folder} does not lock files ({error.strerror}): set job_dir to one "
                "that does"
            ) from error
        if lock is not None:
            return lock
        # The holder serves the queue, or has just said that it does not any more.
        if LocalQueue(folder).serving().lives:
            return None
        if time.monotonic() > deadline:
            raise ParaschutError(
                f"the lock in {folder} is held by a process that is no runner of this machine (another "
                f"container, perhaps?). Find it: fuser {folder}/lock"
            )
        time.sleep(0.02)


def _say(line: str) -> None:
    """Answers whoever started this, and lets go of the pipe to it."""
    try:
        os.write(1, line.replace("\n", " ").encode(errors="replace") + b"\n")
    except OSError:
        pass  # nobody listens any more: the log has it too
    os.dup2(2, 1)


def _shorten_log() -> None:
    try:
        if os.fstat(2).st_size > _LOG_ROOM:
            os.truncate(2, 0)
    except OSError:
        pass  # a long log harms nobody


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except Exception:
        log("the runner fails; jobs that run go on")
        raise
