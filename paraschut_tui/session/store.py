"""SessionStore: keeps what is remembered, a small file for each database, in the user's state directory.

Nothing depends on it: a file that cannot be read or written costs nothing but the convenience.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

from ..backend.worker_thread import WorkerThread
from .session_state import SessionState, decoded, encoded, merged

log = logging.getLogger(__name__)

MOST = 50
"""Databases remembered, the latest used."""

LOCK = "lock"
"""The file that is locked by who writes."""


class RecentDatabase(NamedTuple):
    """A database that was opened before: its file, the configuration it was named by, and when (epoch s)."""

    database: str
    config: str
    at: float


def state_folder() -> str:
    """Where the files are."""
    import platformdirs

    try:
        return os.path.join(platformdirs.user_state_dir("paraschut"), "dashboards")
    except RuntimeError:
        # A user without a home: what is kept lasts as long as this process.
        import atexit
        import shutil
        import tempfile

        folder = tempfile.mkdtemp(prefix="paraschut-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        return folder


class SessionStore:
    """All that is kept. Reading and writing may wait for a file server: write with `Keeper`.

    Args:
        folder: where the files are, if not in the user's state directory.
    """

    def __init__(self, folder: str = "") -> None:
        self.folder = folder or state_folder()

    def recall(self, database: str) -> tuple[SessionState, str]:
        """What is remembered of a database; and what is wrong with it, if it cannot be used."""
        path = self._path(database)
        try:
            return decoded(_read(path)["memory"]), ""
        except FileNotFoundError:
            return SessionState(), ""
        except (OSError, TypeError, ValueError, KeyError, AttributeError) as error:
            log.info("what was remembered of %s cannot be used: %s", database, error)
            return SessionState(), f"Using the default layout: cannot read saved state from {path}."

    def remember(self, database: str, config: str, memory: SessionState) -> None:
        """Writes down what to remember of a database: all of it or, at a kill, what was there before."""
        path = self._path(database)
        entry = {
            "database": os.path.realpath(database),
            "config": config,
            "at": time.time(),
            "memory": encoded(memory),
        }
        part = f"{path}.{os.getpid()}"
        try:
            os.makedirs(self.folder, mode=0o700, exist_ok=True)
            with open(part, "w", encoding="utf-8") as file:
                json.dump(entry, file)
            os.replace(part, path)
        except OSError as error:
            log.info("cannot remember in %s: %s", path, error)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keeps other dashboards from writing between a `recall` and the `remember` that builds on it.

        Where the file system has no locks it goes without: then the later of two at one moment wins.
        """
        with ExitStack() as stack:
            try:
                os.makedirs(self.folder, mode=0o700, exist_ok=True)
                file = stack.enter_context(open(os.path.join(self.folder, LOCK), "w", encoding="utf-8"))
                fcntl.flock(file, fcntl.LOCK_EX)
            except OSError as error:
                log.info("cannot lock %s: %s", self.folder, error)
            yield

    def recent(self) -> list[RecentDatabase]:
        """The databases that are remembered, the latest used first."""
        found = []
        for path in self._files():
            try:
                entry = _read(path)
                found.append(RecentDatabase(str(entry["database"]), str(entry["config"]), float(entry["at"])))
            except (OSError, TypeError, ValueError, KeyError) as error:
                log.info("cannot read %s: %s", path, error)
        return sorted(found, key=lambda entry: -entry.at)

    def tidy(self) -> None:
        """Forgets the databases not used for longest, and what a killed process left half written."""
        old = time.time() - 3600
        try:
            aged = sorted((os.path.getmtime(path), path) for path in self._files(""))
            parts = [path for at, path in aged if not path.endswith((".json", LOCK)) and at < old]
            whole = [path for _, path in aged if path.endswith(".json")]
            for path in parts + whole[: max(len(whole) - MOST, 0)]:
                os.unlink(path)
        except OSError as error:
            log.info("cannot tidy %s: %s", self.folder, error)

    def _path(self, database: str) -> str:
        name = hashlib.sha256(os.fsencode(os.path.realpath(database))).hexdigest()[:24]
        return os.path.join(self.folder, f"{name}.json")

    def _files(self, end: str = ".json") -> list[str]:
        try:
            return [os.path.join(self.folder, name) for name in os.listdir(self.folder) if name.endswith(end)]
        except OSError:
            return []


class SessionSaver:
    """Keeps the memory of one database up to date, from a thread of its own.

    Args:
        base: what was recalled; what others add to it meanwhile stays.
    """

    def __init__(self, shelf: SessionStore, database: str, config: str, base: SessionState) -> None:
        self._shelf = shelf
        self._database = database
        self._config = config
        self._last = base
        self._known = base
        """All filters that were ever ours: another dashboard's are the others that are there."""
        self._lane = WorkerThread("paraschut-keep")
        self._lane.submit(shelf.tidy)
        self._lane.submit(lambda: self._write(base))  # it is one of the recent databases from now on

    def keep(self, memory: SessionState) -> None:
        """Has `memory` written, if it is another than before."""
        if memory != self._last:
            self._last = memory
            self._lane.submit(lambda: self._write(memory))

    def _write(self, memory: SessionState) -> None:
        if memory is not self._last:
            return  # a newer one waits behind it
        with self._shelf.alone():
            theirs, _ = self._shelf.recall(self._database)
            self._shelf.remember(self._database, self._config, merged(memory, self._known, theirs))
        self._known = merged(self._known, SessionState(), memory)

    def end(self) -> None:
        """Has the thread end when all is written, without waiting for it."""
        self._lane.stop()

    def close(self, patience: float = 2.0) -> None:
        """Waits until all is written, but not for ever."""
        self.end()
        self._lane.join(patience)


def _read(path: str) -> dict[str, Any]:
    with open(path, encoding="utf-8") as file:
        entry = json.load(file)
    if not isinstance(entry, dict):
        raise ValueError("it is no object")
    return entry
