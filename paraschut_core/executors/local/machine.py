"""Which machine a local queue is of, or which container on one; and whether that container is gone.

Processes have numbers of their own in a container that has a namespace for them. Such a container counts as a
machine of its own, also where it has the name of the machine that it is on.
"""

from __future__ import annotations

import os
import time
from functools import cache
from typing import NamedTuple

from .process import boot_id, look, pids, ticks

_INITIAL = "4026531836"
"""The namespace of processes that a machine starts with (Linux gives it always this number)."""

_INITIAL_TIME = "4026531834"

_SEEN_FOR = 2.0
"""Seconds for which one look at all processes serves."""


class Container(NamedTuple):
    """A namespace of processes: the boot and number tell it, and when its first process started (clock ticks
    since boot; 0: unknown), for Linux gives the numbers of namespaces again."""

    host: str
    boot: str
    namespace: str
    start: int

    def __str__(self) -> str:
        return f"{self.host}~{self.boot}.{self.namespace}.{self.start}"


def container_of(name: str) -> Container | None:
    """The container of that name; None if it is a machine's."""
    import re

    found = re.fullmatch(r"(.*)~([0-9a-f]{1,8})\.([0-9]+)\.([0-9]+)", name, re.DOTALL | re.ASCII)
    return Container(found[1], found[2], found[3], int(found[4])) if found else None


@cache
def machine_name() -> str:
    """What this machine, or container, is called in the names of local queues."""
    host = os.uname().nodename
    namespace = _namespace("self")
    if namespace in ("", _INITIAL):
        return host
    time_namespace = _namespace("self", "time")
    known = _is_own_proc() and time_namespace in ("", _INITIAL_TIME)
    first = look(1) if known else None
    return str(Container(host, boot_id()[:8], namespace, first.start if first else 0))


class _Seen(NamedTuple):
    """What one look at all processes showed: the namespaces that they are in, as far as that can be read, and
    the first processes of namespaces: (namespace or '', start)."""

    namespaces: frozenset[str]
    firsts: frozenset[tuple[str, int]]
    is_whole: bool
    at: int = 0
    """Before the look, in clock ticks since boot: it says nothing of what was started later."""


_gone: set[str] = set()


def is_gone(name: str) -> bool:
    """Return whether `name` is of a container that is certainly gone, with all its processes.

    That can be told from where all processes of a machine are seen; elsewhere nothing is certain.
    """
    container = container_of(name)
    if container is None or name in _gone:
        return container is not None
    if _namespace("self") != _INITIAL or not _is_own_proc() or look(1) is None:
        return False
    if container.boot != boot_id()[:8]:
        gone = container.host == os.uname().nodename  # this machine has started again since
    else:
        gone = not _may_live(container, _look_around(container.start))
    if gone:
        _gone.add(name)
    return gone


def _may_live(container: Container, seen: _Seen) -> bool:
    """Return whether one of the processes may be in the container."""
    starts = {start for namespace, start in seen.firsts if namespace in ("", container.namespace)}
    if container.start and container.start in starts:
        return True
    inside = container.namespace in seen.namespaces
    if not container.start:
        return inside or not seen.is_whole
    given_again = any(namespace == container.namespace for namespace, _ in seen.firsts)
    return inside and not given_again


_latest: tuple[float, _Seen] | None = None


def _look_around(since: int) -> _Seen:
    """All processes, at a moment later than `since` (clock ticks since boot), and not long ago."""
    global _latest
    latest = _latest
    if latest is None or not since < latest[1].at or time.monotonic() > latest[0] + _SEEN_FOR or not since:
        latest = _latest = (time.monotonic(), _seen())
    return latest[1]


def _seen() -> _Seen:
    at = ticks()
    namespaces: set[str] = set()
    firsts: set[tuple[str, int]] = set()
    is_whole = True
    for pid in pids():
        namespace = _namespace(str(pid))  # '': another user's, as the first process of a container may be
        process = look(pid) if namespace != _INITIAL else None
        if process is None:
            continue
        namespaces.add(namespace)
        is_whole &= bool(namespace)
        numbers = _numbers(pid)
        if len(numbers) > 1 and numbers[-1] == "1":
            firsts.add((namespace, process.start))
    return _Seen(frozenset(namespaces), frozenset(firsts), is_whole, at)


def _is_own_proc() -> bool:
    """Return whether /proc shows the processes by the numbers that they have here."""
    try:
        return os.readlink("/proc/self") == str(os.getpid())
    except OSError:
        return False


def _namespace(pid: str, kind: str = "pid") -> str:
    """The number of a namespace that a process is in; '' if that cannot be read."""
    try:
        return os.readlink(f"/proc/{pid}/ns/{kind}").partition("[")[2].rstrip("]")
    except OSError:
        return ""


def _numbers(pid: int) -> list[str]:
    """A process's numbers, from the one here to the one in its own namespace."""
    try:
        with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
            return next((line.split()[1:] for line in file if line.startswith("NSpid:")), [])
    except OSError:
        return []
