"""A cluster's limits, as far as they are kept between commands: tasks in an array, submissions a second."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable

from ...errors import SchedulerError, UntrustedError
from ...security.ownership import enter, open_own

_LIMIT_AGE = 86400.0  # seconds for which a cluster's limit on arrays is remembered


def array_limit(path: str, ask: Callable[[], int | None], default: int) -> int:
    """The cluster's limit, asked once a day: submitting jobs do so in every chain of jobs.

    Args:
        path: the file that remembers it for all processes, in the folder of this user's scripts.
        ask: asks the cluster; None if it does not say.

    Raises:
        UntrustedError: that folder is, or may be, another user's.
    """
    folder, name = os.path.split(path)
    try:
        with open(_opened(folder, name, os.O_RDONLY), encoding="ascii") as file:
            if time.time() - os.fstat(file.fileno()).st_mtime < _LIMIT_AGE:
                return int(file.read())
    except (OSError, ValueError):
        pass  # never asked, or long ago
    try:
        limit = ask() or default
    except SchedulerError:
        return default  # not answering now; submitting will say so
    try:
        handle = _opened(folder, name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        with open(handle, "w", encoding="ascii") as file:
            file.write(str(limit))
    except OSError:
        pass  # asked again next time
    return limit


def _opened(folder: str, name: str, flags: int) -> int:
    """Open a file in the folder of this user's scripts. Raises UntrustedError, OSError."""
    make = bool(flags & os.O_CREAT)
    place = enter(folder, make=make)
    try:
        return open_own(name, flags, folder=place, path=os.path.join(folder, name))
    finally:
        os.close(place)


def throttle(path: str, rate: float, longest: float) -> None:
    """Wait until the next submit command may go out: this user's processes, on all hosts, take turns.

    Args:
        path: the file that holds the time of the next turn.
        rate: turns a second.
        longest: seconds after which it goes out all the same: a job that is claimed and not submitted for
            too long is given back to others.
    """
    now = time.time()
    turn = now
    try:
        folder, name = os.path.split(path)
        with open(_opened(folder, name, os.O_RDWR | os.O_CREAT), "r+", encoding="ascii") as file:
            fcntl.lockf(file, fcntl.LOCK_EX)
            try:
                turn = min(max(float(file.read()), now), now + longest)
            except ValueError:
                pass  # new, or not ours
            file.seek(0)
            file.truncate()
            file.write(f"{turn + 1 / rate:.6f}")
    except (OSError, UntrustedError):
        turn = now + min(1 / rate, longest)  # nowhere to meet the others: slow, but never too fast
    time.sleep(turn - now)
