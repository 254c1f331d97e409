"""Says when the database file changed, whoever changed it, from whatever host."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
from collections.abc import AsyncIterator

from ..database.connection import Database
from ..errors import DatabaseError

LOOK_SECONDS = 1.0
"""Between two looks while nobody tells of a change: inotify never sees writers on other hosts (NFS,
Lustre, GPFS, CIFS, FUSE)."""

START_SECONDS = 0.3
"""Before inotify is asked for: importing what asks it takes as long, and the first screen comes first."""

STEP_MS, DEBOUNCE_MS = 50, 100
"""Between two looks at what inotify has noted, and how long changes that go on may gather."""

Stamp = tuple[int, int, int]


class ChangeDetector:
    """Compares the file's state with the last one that it saw. For one thread.

    `PRAGMA data_version` changes with every commit of another connection; the inode tells when the file
    itself was replaced. A look costs microseconds and reads no page.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._database = Database(path, timeout=1.0, read_only=True)
        self._stamp: Stamp | None = None

    def changed(self) -> bool:
        """Return whether anything was committed, or the file replaced or removed, since the last call."""
        stamp = self._look()
        changed = stamp != self._stamp
        self._stamp = stamp
        return changed

    def _look(self) -> Stamp | None:
        try:
            status = os.stat(self._path)
        except OSError:
            self._database.close()
            return None
        if self._stamp is not None and (status.st_dev, status.st_ino) != self._stamp[:2]:
            self._database.close()
        try:
            # A locked file is being written: that counts as changed.
            version = self._database.connection.execute("PRAGMA data_version").fetchone()[0]
        except (sqlite3.Error, DatabaseError):
            version = -1 if self._stamp is None or self._stamp[2] != -1 else -2
        return status.st_dev, status.st_ino, version

    def close(self) -> None:
        self._database.close()


async def changes(path: str) -> AsyncIterator[None]:
    """Yield after each change of the database file, several changes at once as one.

    Writers on this host are noticed at once (inotify), others within a second or two.
    """
    from concurrent.futures import ThreadPoolExecutor

    loop = asyncio.get_running_loop()
    nudge = asyncio.Event()
    # All looks in one thread: an SQLite connection belongs to the thread that made it, and a file system
    # that hangs must not hang the caller.
    with ThreadPoolExecutor(1, "paraschut-watch") as thread:
        detector = await loop.run_in_executor(thread, ChangeDetector, path)
        watcher = asyncio.create_task(_nudges(path, nudge))
        try:
            await loop.run_in_executor(thread, detector.changed)
            while True:
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(nudge.wait(), LOOK_SECONDS)
                nudge.clear()
                if await loop.run_in_executor(thread, detector.changed):
                    yield None
        finally:
            watcher.cancel()
            await asyncio.gather(watcher, return_exceptions=True)
            await loop.run_in_executor(thread, detector.close)


async def _nudges(path: str, nudge: asyncio.Event) -> None:
    """Set `nudge` whenever inotify sees something happen to the file or its journal."""
    await asyncio.sleep(START_SECONDS)
    import watchfiles

    name = os.path.basename(path)
    ours = {name, f"{name}-journal", f"{name}-wal"}

    def concerns(_: object, changed: str) -> bool:
        return os.path.basename(changed) in ours

    try:
        async for _ in watchfiles.awatch(
            os.path.dirname(path),
            watch_filter=concerns,
            step=STEP_MS,
            debounce=DEBOUNCE_MS,
            recursive=False,
        ):
            nudge.set()
    except (OSError, RuntimeError):
        return  # no inotify here, or no more watches: the slow look alone goes on
