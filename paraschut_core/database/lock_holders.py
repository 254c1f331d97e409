"""Which processes of this host hold a lock on a file, as the system tells (/proc/locks on Linux)."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_MOST = 3


def holders(path: str) -> list[int]:
    """The processes that hold locks on the SQLite file, those that write first; [] where nobody tells.

    The file itself is not opened: to close it would end the locks that this process has on it.
    """
    files = set()
    for suffix in ("", "-shm"):  # the second has the locks in WAL mode
        try:
            status = os.stat(path + suffix)
        except OSError:
            continue
        files.add((os.major(status.st_dev), os.minor(status.st_dev), status.st_ino))
    found: dict[int, bool] = {}
    try:
        with open("/proc/locks", encoding="ascii", errors="replace") as locks:
            lines = locks.readlines()
    except OSError:
        return []
    for line in lines:
        words = line.split()
        if "->" in words or len(words) < 6:
            continue  # one that waits
        try:
            major, minor, inode = words[5].split(":")
            pid, file = int(words[4]), (int(major, 16), int(minor, 16), int(inode))
        except ValueError:
            continue
        # Some file systems (overlays, btrfs) have another device there than a stat tells.
        if pid > 0 and (file in files or (file[2] in {known[2] for known in files} and _has_open(pid, path))):
            found[pid] = found.get(pid, False) or words[3] == "WRITE"
    return sorted(found, key=lambda pid: (not found[pid], pid))


def _has_open(pid: int, path: str) -> bool:
    real = os.path.realpath(path)
    try:
        names = os.listdir(f"/proc/{pid}/fd")
        return any(os.readlink(f"/proc/{pid}/fd/{name}").startswith(real) for name in names)
    except OSError:
        return False


def described(pids: Iterable[int]) -> str:
    """These processes, for people: number, host, user, program, and whether one is stopped."""
    return "; ".join(_described(pid) for pid in list(pids)[:_MOST])


def _described(pid: int) -> str:
    from ..sanitize import clean_line

    if pid == os.getpid():
        return f"this process itself ({pid}), in another connection"
    words = [f"process {pid} on {os.uname().nodename}"]
    try:
        words.append(f"of {_user(os.stat(f'/proc/{pid}').st_uid)}")
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            program = file.read(4096).replace(b"\0", b" ").decode("utf-8", "replace").strip()
        with open(f"/proc/{pid}/stat", "rb") as file:
            state = file.read().rpartition(b")")[2].split()[0]
    except (OSError, IndexError):
        return " ".join(words)
    words.append(f"({clean_line(program, 120)})")
    if state in (b"T", b"t"):
        words.append(f"which is stopped: kill -CONT {pid} lets it go on")
    return " ".join(words)


def _user(uid: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def held_by(path: str) -> str:
    """Who holds the file's lock now, as the end of a message."""
    pids = holders(path)
    if pids:
        return f"It is held by {described(pids)}."
    if not os.path.exists("/proc/locks"):
        return "Find the process with: paraschut doctor"
    return (
        f"No process of {os.uname().nodename} holds it now: if it stays so, a process of another host or "
        "container does. Find it there with: paraschut doctor"
    )
