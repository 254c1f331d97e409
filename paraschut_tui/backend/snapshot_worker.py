"""SnapshotWorker: watches the database, polls the scheduler, and makes snapshots, in threads."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass

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

MIN_INTERVAL = 0.2
"""Least seconds between two updates of the screen: changes in between are joined."""

MAX_INTERVAL = 2.0
"""Seconds after which the file is read although no change was reported."""


@dataclass(frozen=True)
class SnapshotUpdate:
    """A snapshot, and all changes since the last update, of which other snapshots may have been part.

    Attributes:
        snapshot: the newest snapshot.
        rows: the jobs that changed.
        removed: batches that were removed.
        batches: batches that changed.
        reload: whether more changed than `rows` can tell, so that all has to be read again.
        lost: per batch, how many jobs of each state (by state code) are missing.
        unchanged: whether nothing changed but the time of the last poll.
    """

    snapshot: Snapshot
    _: KW_ONLY
    rows: tuple[JobRow, ...]
    removed: frozenset[int]
    batches: frozenset[int]
    reload: bool
    lost: Mapping[int, Mapping[int, int]]
    unchanged: bool = False


class SnapshotWorker:
    """Follows one project.

    Args:
        settings: the project.
        executor: instead of the one that the settings name.
        styles: the states met.
        ready: called from a thread when there is something to `take`.
    """

    def __init__(
        self,
        settings: Settings,
        executor: JobExecutor | None,
        styles: StateStyles,
        ready: Callable[[], object],
    ) -> None:
        self._settings = settings
        self._executor = executor
        self._styles = styles
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
        """When the file was last read (epoch s)."""
        self._threads = [
            threading.Thread(target=self._follow, name="paraschut-follow", daemon=True),
            threading.Thread(target=self._poll, name="paraschut-poll", daemon=True),
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Tell the threads to end."""
        self._closed.set()
        self._poll_wanted.set()
        self._wake()

    def join(self, timeout: float) -> None:
        """Wait for the threads' end. One that hangs in a system call ends with the process."""
        end = time.monotonic() + timeout
        for thread in self._threads:
            if thread.is_alive():
                thread.join(max(end - time.monotonic(), 0.0))

    def take(self) -> SnapshotUpdate | None:
        """Return what changed since the last call; None if nothing did."""
        with self._lock:
            update, self._pending = self._pending, None
        return update

    def poll_now(self) -> None:
        """Poll the scheduler and read the file at once."""
        self._poll_wanted.set()
        self._wake()

    # ------------------------------------------------------------------ the file

    def _follow(self) -> None:
        try:
            asyncio.run(self._watch())
        except Exception as error:
            log.exception("following %s ended", self._settings.database)
            self._publish(self._error_snapshot(f"{type(error).__name__}: {error}"))

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
                await asyncio.sleep(MIN_INTERVAL)
                done, _ = await asyncio.wait(
                    {change, polled}, timeout=MAX_INTERVAL, return_when=asyncio.FIRST_COMPLETED
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
            snapshot = self._error_snapshot(str(error))
        else:
            if not snapshot.database.error:
                self.seen = time.time()
        if self._is_new(snapshot):
            self._publish(snapshot, monitor)

    def _is_new(self, snapshot: Snapshot) -> bool:
        last = self._last
        return last is None or differs(last, snapshot) or snapshot.scheduler != last.scheduler

    def _error_snapshot(self, error: str) -> Snapshot:
        """The last snapshot, with an error."""
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
        unchanged = self._last is not None and not differs(self._last, snapshot)
        self._last = snapshot
        with self._lock:
            update = SnapshotUpdate(
                snapshot,
                rows=snapshot.changed,
                removed=frozenset(snapshot.removed_batches),
                batches=snapshot.changed_batches,
                reload=snapshot.reload,
                lost=lost,
                unchanged=unchanged,
            )
            first = self._pending is None
            self._pending = update if self._pending is None else merge_updates(self._pending, update)
        if first:
            self._ready()

    def _count_lost(self, snapshot: Snapshot, monitor: Monitor | None) -> dict[int, dict[int, int]]:
        """Count the missing jobs per batch and state."""
        states = self._lost_states
        for key in [key for key in states if key not in snapshot.missing]:
            del states[key]
        for row in snapshot.changed:
            if row.key in states:
                states[row.key] = self._styles.code(row.state)
        unknown = [key for key in snapshot.missing if key not in states]
        if unknown and monitor is not None:
            try:
                for row in read_rows(monitor.workspace.reader, unknown):
                    states[row.key] = self._styles.code(row.state)
            except ParaschutError as error:
                log.info("cannot read the missing jobs: %s", error)
        lost: dict[int, dict[int, int]] = {}
        for key, code in states.items():
            of_batch = lost.setdefault(key.batch_id, {})
            of_batch[code] = of_batch.get(code, 0) + 1
        return lost

    # ------------------------------------------------------------------ the scheduler

    def _poll(self) -> None:
        """Poll in a thread of its own: a scheduler that takes half a minute to answer must not delay changes
        of the file. The other thread reads the answer from the database."""
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
        """Poll if it is due. Return the seconds until the next check."""
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
            pass  # the loop has ended already


def merge_updates(old: SnapshotUpdate, new: SnapshotUpdate) -> SnapshotUpdate:
    """Join two updates."""
    rows = {row.key: row for row in old.rows}
    rows.update((row.key, row) for row in new.rows)
    return SnapshotUpdate(
        new.snapshot,
        rows=tuple(rows.values()),
        removed=old.removed | new.removed,
        batches=old.batches | new.batches,
        reload=old.reload or new.reload,
        lost=new.lost,
        unchanged=old.unchanged and new.unchanged,
    )


def differs(old: Snapshot, new: Snapshot) -> bool:
    """Whether anything changed but the times of the last read and the last poll."""
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
