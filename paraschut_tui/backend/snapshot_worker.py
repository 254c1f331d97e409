"""SnapshotWorker: watches the database, polls the scheduler, and makes snapshots, in threads."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

from paraschut_core.config import Settings
from paraschut_core.database.jobs import read_rows
from paraschut_core.errors import ParaschutError
from paraschut_core.executors.base import JobExecutor
from paraschut_core.model import DatabaseHealth, JobKey, JobRow, SchedulerHealth, Snapshot
from paraschut_core.monitoring.file_watcher import changes
from paraschut_core.monitoring.monitor import Monitor
from paraschut_core.project import Project

from ..state_styles import StateStyles

log = logging.getLogger(__name__)

TICK = 0.2
"""Least seconds between two updates of the screen: what happens in between comes as one."""

LOOK_AGAIN = 2.0
"""Seconds after which the file is looked at although nothing told of a change."""


class SnapshotUpdate(NamedTuple):
    """A snapshot, and all that changed since the update before, however many snapshots that were."""

    snapshot: Snapshot
    rows: tuple[JobRow, ...]
    removed: frozenset[int]
    batches: frozenset[int]
    reload: bool
    lost: Mapping[int, Mapping[int, int]]
    """Per batch, how many of each state's jobs (by state code) are missing."""
    unchanged: bool = False
    """Whether all is as it was in the update before, but for when the scheduler was polled."""


class SnapshotWorker:
    """Follows one project.

    Args:
        settings: the project.
        executor: instead of the one that the settings name.
        looks: the states met.
        ready: called from a thread when there is something to `take`.
    """

    def __init__(
        self,
        settings: Settings,
        executor: JobExecutor | None,
        looks: StateStyles,
        ready: Callable[[], object],
    ) -> None:
        self._settings = settings
        self._executor = executor
        self._looks = looks
        self._ready = ready
        self._lock = threading.Lock()
        self._pending: SnapshotUpdate | None = None
        self._lost_states: dict[JobKey, int] = {}
        self._last: Snapshot | None = None
        self._closed = threading.Event()
        self._poll_wanted = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._polled: asyncio.Event | None = None
        self.seen = 0.0
        """When the file was last looked at (epoch s)."""
        self._threads = [
            threading.Thread(target=self._follow, name="paraschut-follow", daemon=True),
            threading.Thread(target=self._poll, name="paraschut-poll", daemon=True),
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Has the threads end."""
        self._closed.set()
        self._poll_wanted.set()
        self._wake()

    def join(self, timeout: float) -> None:
        """Waits for the threads' end; one that hangs in a system call is left to die with the process."""
        end = time.monotonic() + timeout
        for thread in self._threads:
            if thread.is_alive():
                thread.join(max(end - time.monotonic(), 0.0))

    def take(self) -> SnapshotUpdate | None:
        """What is new since the last take, None if nothing."""
        with self._lock:
            update, self._pending = self._pending, None
        return update

    def poll_now(self) -> None:
        """Has the scheduler asked and the file read at once."""
        self._poll_wanted.set()
        self._wake()

    # ------------------------------------------------------------------ the file

    def _follow(self) -> None:
        try:
            asyncio.run(self._watch())
        except Exception as error:
            log.exception("following %s ended", self._settings.database)
            self._publish(self._broken(f"{type(error).__name__}: {error}"))

    async def _watch(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._polled = asyncio.Event()
        monitor = Monitor(Project(self._settings, self._executor))
        watcher = changes(self._settings.database)
        change = asyncio.ensure_future(anext(watcher))
        polled = asyncio.ensure_future(self._polled.wait())
        ask = True
        try:
            while not self._closed.is_set():
                self._refresh(monitor, ask)
                await asyncio.sleep(TICK)
                done, _ = await asyncio.wait(
                    {change, polled}, timeout=LOOK_AGAIN, return_when=asyncio.FIRST_COMPLETED
                )
                if change in done:
                    change = asyncio.ensure_future(anext(watcher))
                ask = polled in done
                if ask:
                    self._polled.clear()
                    polled = asyncio.ensure_future(self._polled.wait())
        finally:
            change.cancel()
            polled.cancel()
            monitor.close()

    def _refresh(self, monitor: Monitor, polled: bool) -> None:
        try:
            snapshot = monitor.poll() if polled else monitor.refresh()
        except ParaschutError as error:
            snapshot = self._broken(str(error))
        else:
            if not snapshot.database.error:
                self.seen = time.time()
        if self._is_new(snapshot):
            self._publish(snapshot, monitor)

    def _is_new(self, snapshot: Snapshot) -> bool:
        last = self._last
        return last is None or _differ(last, snapshot) or snapshot.scheduler != last.scheduler

    def _broken(self, error: str) -> Snapshot:
        """The last snapshot, with the news that there will be no newer one."""
        if self._last is not None:
            database = self._last.database._replace(error=error)
            return self._last._replace(database=database, changed=(), removed_batches=(), reload=False)
        database = DatabaseHealth(self._settings.database, error=error)
        return Snapshot(-1, {}, {}, {}, {}, {}, database, SchedulerHealth(self._settings.executor))

    def _publish(self, snapshot: Snapshot, monitor: Monitor | None = None) -> None:
        log.debug(
            "revision %d: %d jobs changed, reload %s", snapshot.rev, len(snapshot.changed), snapshot.reload
        )
        lost = self._count_lost(snapshot, monitor)
        unchanged = self._last is not None and not _differ(self._last, snapshot)
        self._last = snapshot
        with self._lock:
            fresh = SnapshotUpdate(
                snapshot,
                snapshot.changed,
                frozenset(snapshot.removed_batches),
                snapshot.changed_batches,
                snapshot.reload,
                lost,
                unchanged,
            )
            first = self._pending is None
            self._pending = fresh if self._pending is None else _folded(self._pending, fresh)
        if first:
            self._ready()

    def _count_lost(self, snapshot: Snapshot, monitor: Monitor | None) -> dict[int, dict[int, int]]:
        """In which states the missing jobs are, per batch."""
        states = self._lost_states
        for key in [key for key in states if key not in snapshot.missing]:
            del states[key]
        for row in snapshot.changed:
            if row.key in states:
                states[row.key] = self._looks.code(row.state)
        unknown = [key for key in snapshot.missing if key not in states]
        if unknown and monitor is not None:
            try:
                for row in read_rows(monitor.workspace.reader, unknown):
                    states[row.key] = self._looks.code(row.state)
            except ParaschutError as error:
                log.info("cannot read the missing jobs: %s", error)
        lost: dict[int, dict[int, int]] = {}
        for key, code in states.items():
            of_batch = lost.setdefault(key.batch_id, {})
            of_batch[code] = of_batch.get(code, 0) + 1
        return lost

    # ------------------------------------------------------------------ the scheduler

    def _poll(self) -> None:
        """Polls in a thread of its own: a scheduler that takes half a minute to answer must not keep
        changes of the file from the screen. The answer goes through the database to the other thread."""
        monitor: Monitor | None = None
        try:
            workspace = Project(self._settings, self._executor)
            monitor = Monitor(workspace)
            while not self._closed.is_set():
                force = self._poll_wanted.is_set()
                self._poll_wanted.clear()
                period = self._poll_once(monitor, force)
                self._wake()
                self._poll_wanted.wait(period)
        except Exception:
            log.exception("polling ended")
        finally:
            if monitor is not None:
                monitor.close()

    def _poll_once(self, monitor: Monitor, force: bool) -> float:
        """Polls if it is due. Returns the seconds until the next look."""
        interval = self._settings.poll.interval
        try:
            shared = monitor.workspace.executor.expensive_poll
            if shared:
                monitor.poll(force)
        except ParaschutError as error:
            log.info("poll: %s", error)
            return max(interval, 5.0)
        return max(min(interval, 5.0 if shared else 2.0), 0.2)

    def _wake(self) -> None:
        loop, polled = self._loop, self._polled
        if loop is None or polled is None:
            return
        try:
            loop.call_soon_threadsafe(polled.set)
        except RuntimeError:
            pass  # the loop has ended already: nobody is left to be told


def _folded(old: SnapshotUpdate, new: SnapshotUpdate) -> SnapshotUpdate:
    """Two updates as one."""
    rows = {row.key: row for row in old.rows}
    rows.update((row.key, row) for row in new.rows)
    return SnapshotUpdate(
        new.snapshot,
        tuple(rows.values()),
        old.removed | new.removed,
        old.batches | new.batches,
        old.reload or new.reload,
        new.lost,
        old.unchanged and new.unchanged,
    )


def _differ(old: Snapshot, new: Snapshot) -> bool:
    """Whether anything is not as it was, but for when the file was read and the scheduler polled."""
    return bool(
        new.rev != old.rev
        or new.reload
        or new.changed
        or new.removed_batches
        or new.database._replace(read_at=0.0) != old.database._replace(read_at=0.0)
        or new.scheduler._replace(polled_at=0.0) != old.scheduler._replace(polled_at=0.0)
        or new.live != old.live
        or new.missing != old.missing
        or new.blocked != old.blocked
        or new.refused != old.refused
        or new.live_spawns != old.live_spawns
        or new.spawn_ids != old.spawn_ids
    )
