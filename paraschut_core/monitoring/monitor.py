"""Snapshots of all jobs for a dashboard, kept up to date at the cost of what changes."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from ..database.changes import read_batches, read_changes, read_revision
from ..database.jobs import read_online_rows, read_rows
from ..database.poll_state import PollState
from ..database.spawns import read_live_spawns
from ..errors import DatabaseError, ParaschutError
from ..model import (
    ENDED,
    ONLINE_STATES,
    SPAWN,
    SUBMIT,
    Batch,
    DatabaseHealth,
    JobKey,
    JobRow,
    SchedulerHealth,
    Snapshot,
    Spawn,
)
from ..project import Project
from ..scheduling.blocking import blocked_reasons
from ..scheduling.refusals import refused_batches
from ..scheduling.submission import read_max_jobs, resolve_claims
from . import polling
from .liveness import NOTHING, ONLINE, AccountingBackoff, Liveness, classify_and_confirm

_T = TypeVar("_T")


class Monitor:
    """Makes snapshots for a dashboard: cheap ones when the file changed, and polls when they are due.

    A refresh costs what changed; a poll costs what is in flight; neither costs what is in the file.
    Not for several threads at a time.
    """

    def __init__(self, ws: Project) -> None:
        self._ws = ws
        self._rev = -1
        self._batches: dict[int, Batch] = {}
        self._online: dict[JobKey, JobRow] = {}
        self._record = PollState()
        self._observed = NOTHING
        self._database = DatabaseHealth(ws.db.path)
        self._executor_error = ""
        self._full = ""
        self._waits = ""
        self._refused: Mapping[int, str] = {}
        self._inquiries = AccountingBackoff()
        self._replaced_at = 0.0

    @property
    def workspace(self) -> Project:
        return self._ws

    def refresh(self) -> Snapshot:
        """What changed in the file since the last snapshot. Never raises for a database in trouble."""
        return self._guarded(self._refresh)

    def poll(self, force: bool = False) -> Snapshot:
        """Ask the scheduler if that is due, then looks at the file and at all that is in flight."""
        try:
            self._record = polling.poll_scheduler(self._ws, force=force)
            resolve_claims(self._ws, self._record)
            self._full = self._queue_full()
            self._waits = polling.notice(self._ws)
            self._executor_error = ""
        except DatabaseError:
            pass  # the look at the file says so
        except ParaschutError as error:
            self._executor_error = str(error)
        return self._guarded(self._look_again)

    def close(self) -> None:
        """Close the files."""
        self._ws.close()

    def _guarded(self, look_at_the_file: Callable[[], Snapshot]) -> Snapshot:
        try:
            return look_at_the_file()
        except DatabaseError as error:
            self._ws.reader.close()
            self._database = self._database._replace(error=str(error))
            return self._snapshot((), (), frozenset(), False)

    def _refresh(self) -> Snapshot:
        ws = self._ws
        if ws.reader.reopen_if_replaced():
            self._replaced_at = time.time()
            return self._start_over()
        changes = read_changes(ws.reader, self._rev) if self._rev >= 0 else None
        if changes is None or changes.rev < self._rev:  # the first look, or another file in its place
            return self._start_over()
        self._rev = changes.rev
        self._database = self._healthy()
        gone = frozenset(batch_id for batch_id in changes.removed if batch_id not in changes.batches)
        if changes.batches or gone:
            batches = {**self._batches, **changes.batches} if changes.complete else dict(changes.batches)
            self._batches = {i: batches[i] for i in sorted(batches) if i not in gone}
        self._read_refused()
        if not changes.complete:
            self._observe_all(ask_accounts=False)
            return self._snapshot((), tuple(gone), frozenset(self._batches), True)
        if changes.jobs or gone:
            self._observe_some(changes.jobs, gone)
        return self._snapshot(tuple(changes.jobs), tuple(gone), frozenset(changes.batches), False)

    def _healthy(self) -> DatabaseHealth:
        now = time.time()
        replaced = self._replaced_at and now - self._replaced_at < 60.0
        notice = "was replaced by another file, and opened again" if replaced else ""
        return DatabaseHealth(self._ws.db.path, now, notice=notice)

    def _start_over(self) -> Snapshot:
        self._rev = read_revision(self._ws.reader)
        self._batches = read_batches(self._ws.reader)
        self._read_refused()
        self._database = self._healthy()
        self._observe_all(ask_accounts=False)
        return self._snapshot((), (), frozenset(self._batches), True)

    def _look_again(self) -> Snapshot:
        before = self._observed
        snapshot = self._refresh()
        self._observe_all(ask_accounts=True)
        turned = _turned(before, self._observed).difference(row.key for row in snapshot.changed)
        rows = (*snapshot.changed, *read_rows(self._ws.reader, sorted(turned)))
        batches = snapshot.changed_batches.union(key.batch_id for key in turned)
        return self._snapshot(rows, snapshot.removed_batches, batches, snapshot.reload)

    def _observe_all(self, *, ask_accounts: bool) -> None:
        reader = self._ws.reader
        self._online = {row.key: row for row in read_online_rows(reader)}
        self._observed = self._examined(self._online, read_live_spawns(reader), ask_accounts)

    def _observe_some(self, rows: Sequence[JobRow], gone: frozenset[int]) -> None:
        """Fold changed rows into what is known of those in flight."""
        touched = {row.key for row in rows}
        online = {row.key: row for row in rows if row.state in ONLINE_STATES}

        def untouched(known: Mapping[JobKey, _T]) -> dict[JobKey, _T]:
            return {k: v for k, v in known.items() if k not in touched and k.batch_id not in gone}

        spawned = any(row.state == SPAWN for row in rows)
        spawns = read_live_spawns(self._ws.reader) if spawned else {}
        found = self._examined(online, spawns, ask_accounts=False)
        self._online = {**untouched(self._online), **online}
        self._observed = Liveness(
            {**untouched(self._observed.live), **found.live},
            {**untouched(self._observed.missing), **found.missing},
            {**untouched(self._observed.live_spawns), **found.live_spawns},
            {**untouched(self._observed.elsewhere), **found.elsewhere},
            {**untouched(self._observed.spawn_ids), **found.spawn_ids},
        )

    def _examined(
        self,
        rows: Mapping[JobKey, JobRow],
        spawns: Mapping[JobKey, Sequence[Spawn]],
        ask_accounts: bool,
    ) -> Liveness:
        try:
            inquiries = self._inquiries if ask_accounts else None
            return classify_and_confirm(self._ws, self._record, rows, spawns, inquiries)
        except DatabaseError:
            raise
        except ParaschutError as error:  # there is no such executor: the file is shown all the same
            self._executor_error = str(error)
            return NOTHING

    def _snapshot(
        self,
        changed: tuple[JobRow, ...],
        removed: tuple[int, ...],
        changed_batches: frozenset[int],
        reload: bool,
    ) -> Snapshot:
        record = self._record
        error = self._executor_error or record.error
        failing = record.failing_since if not self._executor_error else record.failing_since or time.time()
        total = sum(1 for job in record.answer.values() if job.state != ENDED)
        try:
            name = self._ws.executor.name
        except ParaschutError:
            name = self._ws.settings.executor
        return Snapshot(
            rev=self._rev,
            batches=self._batches,
            live=self._observed.live,
            missing=self._observed.missing,
            live_spawns=self._observed.live_spawns,
            elsewhere=self._observed.elsewhere,
            spawn_ids=self._observed.spawn_ids,
            unreported=sum(
                self._online[key].state == SUBMIT
                for key, job in self._observed.live.items()
                if job.state in ONLINE
            ),
            blocked=self._blocked_reasons(),
            refused=frozenset(self._refused),
            database=self._database,
            scheduler=SchedulerHealth(name, record.polled_at, failing, error, total, self._notice()),
            changed=changed,
            removed_batches=removed,
            changed_batches=changed_batches,
            reload=reload,
        )

    def _notice(self) -> str:
        others = Counter(self._observed.elsewhere.values())
        elsewhere = (f"{n} in {where}, which this executor does not manage" for where, n in others.items())
        return "; ".join([*filter(None, [self._waits]), *elsewhere])

    def _blocked_reasons(self) -> dict[int, str]:
        """For each batch that does not move, why: in a few words."""
        since = self._record.failing_since
        silent = ""
        if since is not None:
            at = time.strftime("%H:%M", time.localtime(since))
            silent = f"{self._ws.settings.executor} has not answered since {at}"
        seen = self._observed
        found = blocked_reasons(
            self._batches,
            seen.live,
            seen.missing,
            seen.elsewhere,
            silent=silent,
            full=self._full,
            refused=self._refused,
        )
        return {batch_id: reason.text for batch_id, reason in found.items()}

    def _read_refused(self) -> None:
        """Which batches have jobs that wait because the scheduler refused them."""
        self._refused = {
            batch_id: told.words
            for batch_id, told in refused_batches(self._ws.reader).items()
            if batch_id in self._batches and told.holds_up(self._batches[batch_id].states)
        }

    def _queue_full(self) -> str:
        """That the queue takes no more jobs, if that is so."""
        held = sum(1 for job in self._record.answer.values() if job.state != ENDED)
        try:
            limit = read_max_jobs(self._ws)
        except ParaschutError as error:
            return str(error)
        return f"the queue is full: {held:,} of at most {limit:,} jobs" if held >= limit else ""


def _turned(before: Liveness, after: Liveness) -> set[JobKey]:
    """Jobs that went online, offline or missing, or changed so, or whose spawns did, between two
    observations."""

    def differ(one: Mapping[JobKey, object], other: Mapping[JobKey, object]) -> set[JobKey]:
        return {key for key in one.keys() | other.keys() if one.get(key) != other.get(key)}

    return (
        differ(before.live, after.live)
        | differ(before.missing, after.missing)
        | differ(before.elsewhere, after.elsewhere)
        | differ(before.spawn_ids, after.spawn_ids)
    )
