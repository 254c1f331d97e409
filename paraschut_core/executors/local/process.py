"""Which process is meant: identity that survives the reuse of numbers, family, and signals.

A process number means something only together with the time at which the process started, and both
only within one boot of one machine.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from ..base import JOB_ID_VARIABLE, TOKEN_VARIABLE

if TYPE_CHECKING:
    from ...model import LiveJob

_LINUX = sys.platform.startswith("linux")
_TICKS = os.sysconf("SC_CLK_TCK")


class Process(NamedTuple):
    """One process. `start` is in clock ticks since boot; `job` the local job that its environment names."""

    pid: int
    parent: int
    group: int
    session: int
    start: int
    job: str = ""


def boot_id() -> str:
    """What tells this boot of the machine from every other one."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        import psutil

        return str(int(psutil.boot_time()))


def look(pid: int) -> Process | None:
    """The process `pid`; None if there is none. One that ended and was not waited for counts as none."""
    if not _LINUX:
        return _look_portably(pid)
    # psutil is not used here: its start times are epoch seconds, which move with the wall clock, and
    # this is read at every start of a job.
    try:
        text = _contents(f"/proc/{pid}/stat")
    except OSError:
        return None
    fields = text[text.rindex(b")") + 2 :].split()  # the command's name may hold blanks and brackets
    if fields[0] in (b"Z", b"X"):
        return None
    return Process(pid, int(fields[1]), int(fields[2]), int(fields[3]), int(fields[19]))


def start_of(pid: int) -> int:
    """When the process `pid` started, also if it has ended and was not waited for; 0: unknown."""
    if _LINUX:
        try:
            text = _contents(f"/proc/{pid}/stat")
        except OSError:
            return 0
        return int(text[text.rindex(b")") + 2 :].split()[19])
    found = _look_portably(pid)
    return found.start if found else 0


def ticks() -> int:
    """The present moment as a start time would tell it; 0 where that cannot be said."""
    if not _LINUX:
        return 0
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) * _TICKS // 1_000_000_000


def alive(pid: int, start: int) -> bool:
    """Return whether the process that had this number and start time still runs."""
    found = look(pid)
    return found is not None and found.start == start


def is_stopped(pid: int) -> bool:
    """Whether a process is stopped (SIGSTOP, Ctrl-Z), so that it does nothing until it gets SIGCONT."""
    if not _LINUX:
        import psutil

        try:
            return bool(psutil.Process(pid).status() == psutil.STATUS_STOPPED)
        except psutil.Error:
            return False
    try:
        text = _contents(f"/proc/{pid}/stat")
    except OSError:
        return False
    return text[text.rindex(b")") + 2 :][:1] in (b"T", b"t")


def table() -> dict[int, Process]:
    """All processes, with the local job that each carries in its environment, where that may be read."""
    found = {}
    for pid in pids():
        process = look(pid)
        if process is not None:
            found[pid] = process._replace(job=_job_of(pid))
    return found


def living(submissions: Mapping[str, str], why: str) -> dict[str, LiveJob]:
    """Of submissions (token -> id, '' if that is not known) those with a process that lives.

    Among the processes whose environment may be read: this user's own.

    Args:
        why: what is said of them, after the number of the process.
    """
    from ...model import RUNNING, LiveJob

    found: dict[str, LiveJob] = {}
    host = os.uname().nodename
    for pid in sorted(pids()) if submissions else ():
        token = _variable_of(pid, TOKEN_VARIABLE)
        if token in submissions and token not in found and look(pid) is not None:
            id_ = submissions[token] or _job_of(pid)
            found[token] = LiveJob(id_, RUNNING, token, "", f"process {pid}; {why}", host)
    return found


def members(processes: dict[int, Process], pid: int, start: int, job: str) -> list[Process]:
    """Every process of one local job: its session and group, its descendants, and whoever carries its id.

    The last finds a daemon that left the session and whose parent ended. The caller itself is never
    among them.

    Args:
        processes: as `table` tells.
        pid: the job's first process.
        start: its start time.
        job: the job's id.
    """
    others = [process for process in processes.values() if process.pid not in (0, 1, os.getpid())]
    leader = processes.get(pid)
    reused = leader is not None and leader.start != start  # then session and group are another's too
    found = {
        p.pid
        for p in others
        if p.job == job or (not reused and pid in (p.pid, p.session, p.group) and p.start >= start)
    }
    children: dict[int, list[int]] = {}
    for process in others:
        children.setdefault(process.parent, []).append(process.pid)
    ahead = list(found)
    while ahead:
        for child in children.get(ahead.pop(), ()):
            if child not in found:
                found.add(child)
                ahead.append(child)
    return [processes[number] for number in sorted(found)]


def send(pid: int, start: int, number: int) -> bool:
    """Send a signal to exactly that process; False if it is gone (its number may be another's now).

    Raises:
        PermissionError: it is another user's.
    """
    if not hasattr(os, "pidfd_open"):
        if not alive(pid, start):
            return False
        return _delivered(pid, number)
    try:
        handle = os.pidfd_open(pid)
    except OSError as error:
        if isinstance(error, ProcessLookupError) or not alive(pid, start):
            return False
        return _delivered(pid, number)  # a kernel without process handles
    try:
        # The handle is of whoever has the number now; once the start time agrees it cannot be another.
        if not alive(pid, start):
            return False
        signal.pidfd_send_signal(handle, number)
    except ProcessLookupError:
        return False
    finally:
        os.close(handle)
    return True


def _delivered(pid: int, number: int) -> bool:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


def _contents(path: str) -> bytes:
    handle = os.open(path, os.O_RDONLY)
    try:
        text = os.read(handle, 65536)
        while len(text) % 65536 == 0:
            more = os.read(handle, 65536)
            if not more:
                break
            text += more
        return text
    finally:
        os.close(handle)


def pids() -> list[int]:
    """The numbers of all processes that can be seen."""
    if _LINUX:
        return [int(name) for name in os.listdir("/proc") if name.isdigit()]
    import psutil

    return psutil.pids()


def _job_of(pid: int) -> str:
    return _variable_of(pid, JOB_ID_VARIABLE)


def _variable_of(pid: int, name: str) -> str:
    """A variable in the environment that a process started with; '' if it has none or may not be read."""
    if not _LINUX:
        import psutil

        try:
            return psutil.Process(pid).environ().get(name, "")
        except (psutil.Error, OSError):
            return ""
    try:
        variables = b"\0" + _contents(f"/proc/{pid}/environ")
    except OSError:
        return ""  # another user's, or it has just ended
    wanted = b"\0" + os.fsencode(name) + b"="
    at = variables.find(wanted)
    if at < 0:
        return ""
    at += len(wanted)
    return os.fsdecode(variables[at : variables.find(b"\0", at)])


def _look_portably(pid: int) -> Process | None:
    import psutil

    try:
        process = psutil.Process(pid)
        with process.oneshot():
            if process.status() == psutil.STATUS_ZOMBIE:
                return None
            start = int(process.create_time() * 100)
            return Process(pid, process.ppid(), os.getpgid(pid), os.getsid(pid), start)
    except (psutil.Error, OSError):
        return None
