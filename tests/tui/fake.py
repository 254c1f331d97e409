"""A project made up for the screen's tests: snapshots and jobs without database, scheduler or clock."""

from __future__ import annotations

from array import array
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import ClassVar

from textual.pilot import Pilot

from paraschut_core.config import Settings
from paraschut_core.errors import ParaschutError
from paraschut_core.exit_kinds import kind_of_words
from paraschut_core.filtering.language import Query
from paraschut_core.model import (
    HELD,
    QUEUED,
    RUNNING,
    Action,
    Batch,
    DatabaseHealth,
    Event,
    JobInfo,
    JobKey,
    JobRow,
    LiveJob,
    MissingJob,
    Priority,
    SchedulerHealth,
    Snapshot,
    Spawn,
)
from paraschut_core.reporting.statistics import (
    WINDOWS,
    FailureReason,
    Forecast,
    HostFailures,
    SlowJob,
    StatisticsSummary,
    TimeBucket,
)
from paraschut_tui.actions.action_entry import ActionEntry
from paraschut_tui.actions.resource_increase import propose
from paraschut_tui.actions.types import ActionResult, ActionTarget, JobRecord, PreviewText
from paraschut_tui.app import ParaschutApp
from paraschut_tui.backend.job_loader import JobQuery
from paraschut_tui.backend.job_sorter import JobSorter
from paraschut_tui.backend.snapshot_worker import SnapshotUpdate
from paraschut_tui.backend.worker_thread import LatestOnly, Request
from paraschut_tui.dashboard.screen import MainScreen
from paraschut_tui.job_details.script_text import ScriptText, coloured
from paraschut_tui.job_grid.columns import SortKey
from paraschut_tui.job_grid.model import BatchStates, GridModel, packed
from paraschut_tui.messages import JobsLoaded, JobsRechecked, SnapshotReady, StatisticsReady
from paraschut_tui.state_styles import StateStyles

from .project import main_screen, until

NOW = 1_795_000_000.0
"""When every made-up thing happens."""

MAP, REDUCE, MOUSE = 20261122101500, 20261121090000, 20261120080000
"""The batches of `world`."""


class FakeBatch:
    """A batch given as text: one letter a job (i q h R r S c C ! and others)."""

    STATES: ClassVar[dict[str, str]] = {
        "i": "init", "q": "submit", "h": "submit", "R": "run", "r": "run", "S": "spawn",
        "c": "complete", "C": "collected", "!": "run",
    }  # fmt: skip

    def __init__(
        self,
        batch_id: int,
        name: str,
        letters: str,
        *,
        first: int = 0,
        priority: int = 1,
        held_back: str = "",
        batch_type: str = "",
        custom: dict[str, str] | None = None,
        reason: str = "time limit after 04:59:00 on n12",
    ) -> None:
        self.batch_id = batch_id
        self.name = name
        self.letters = letters
        self.first = first
        self.priority = priority
        self.held_back = held_back
        self.batch_type = batch_type
        self.reason = reason
        self.states = {**self.STATES, **(custom or {})}

    def state(self, index: int) -> str:
        return self.states[self.letters[index - self.first]]

    def batch(self) -> Batch:
        counts: dict[tuple[int | float, str], int] = {}
        for letter in set(self.letters):
            key = (self.priority, self.states[letter])
            counts[key] = counts.get(key, 0) + self.letters.count(letter)
        return Batch(self.batch_id, self.name, self.batch_type, counts)

    def keys(self, letters: str) -> list[JobKey]:
        return [
            JobKey(self.batch_id, i) for i, letter in enumerate(self.letters, self.first) if letter in letters
        ]


class FakeGateway:
    """A Backend without a core; records what is asked of it."""

    def __init__(
        self, batches: Sequence[FakeBatch], styles: StateStyles | None = None, **health: object
    ) -> None:
        self.settings = Settings()
        self.styles = styles or StateStyles()
        self.running_action: ActionEntry | None = None
        self.last_result: ActionResult | None = None
        self.matching_log: dict[JobKey, str] = {}
        self._post: Callable[[object], object] = lambda message: None
        self.batches = {batch.batch_id: batch for batch in batches}
        self.database = DatabaseHealth("/data/jobs.db", NOW)
        self.scheduler = SchedulerHealth("slurm", NOW - 4)
        self.asked: list[tuple[str, int | None]] = []
        self.survey_error = ""
        self.deeds: list[tuple[str, ActionTarget, bool, str]] = []
        self.result = ActionResult(1, can_undo=True)
        self.log: dict[str, tuple[str, ...]] = {}
        self.acts: list[Action] = []
        self.spawns: list[Spawn] = []
        self.edits: list[tuple[JobKey, int, tuple[object, ...], object]] = []
        self._update: SnapshotUpdate | None = None
        self._rev = 0
        self.loads: list[JobQuery] = []
        self._job_requests = LatestOnly()
        self._statistics_requests = LatestOnly()

    # ------------------------------------------------------------------ life

    def start(self, post: Callable[[object], object]) -> None:
        self._post = post
        self.publish(reload=True)

    def stop(self) -> None:
        pass

    def close(self, patience: float = 60.0) -> None:
        pass

    def request_poll(self) -> None:
        pass

    @property
    def seen(self) -> float:
        return NOW

    # ------------------------------------------------------------------ snapshots

    def snapshot(self) -> Snapshot:
        live: dict[JobKey, LiveJob] = {}
        missing: dict[JobKey, MissingJob] = {}
        for batch in self.batches.values():
            for letter, state, reason in (
                ("R", RUNNING, ""),
                ("q", QUEUED, "Resources"),
                ("h", HELD, "Held"),
                ("S", RUNNING, ""),
            ):
                live.update(
                    (k, LiveJob(str(k.job_index), state, reason=reason, host="n7"))
                    for k in batch.keys(letter)
                )
            missing.update(
                (k, MissingJob(batch.reason, NOW - 600, kind=kind_of_words(batch.reason)))
                for k in batch.keys("!")
            )
        return Snapshot(
            self._rev,
            {batch_id: batch.batch() for batch_id, batch in sorted(self.batches.items())},
            live,
            missing,
            {},
            {b.batch_id: b.held_back for b in self.batches.values() if b.held_back},
            self.database,
            self.scheduler,
        )

    def publish(
        self, rows: Sequence[JobRow] = (), *, removed: frozenset[int] = frozenset(), reload: bool = False
    ) -> None:
        """Makes a new snapshot known, as if the file had changed."""
        self._rev += 1
        snapshot = self.snapshot()
        lost: dict[int, dict[int, int]] = {}
        for key in snapshot.missing:
            code = self.styles.code(self.batches[key.batch_id].state(key.job_index))
            lost.setdefault(key.batch_id, {}).setdefault(code, 0)
            lost[key.batch_id][code] += 1
        batches = frozenset(row.key.batch_id for row in rows)
        self._update = SnapshotUpdate(
            snapshot, rows=tuple(rows), removed=removed, batches=batches, reload=reload, lost=lost
        )
        self._post(SnapshotReady())

    def change(self, batch_id: int, index: int, letter: str) -> JobRow:
        """Gives a job another state; the row is to be published."""
        batch = self.batches[batch_id]
        at = index - batch.first
        batch.letters = batch.letters[:at] + letter + batch.letters[at + 1 :]
        return self.row(JobKey(batch_id, index))

    def take_update(self) -> SnapshotUpdate | None:
        update, self._update = self._update, None
        return update

    # ------------------------------------------------------------------ jobs

    def row(self, key: JobKey) -> JobRow:
        batch = self.batches[key.batch_id]
        state = batch.state(key.job_index)
        host = "n12" if state in ("run", "complete") else None
        return JobRow(
            key,
            state,
            batch.priority,
            2,
            f"55{key.job_index}",
            None,
            host,
            20261118101500,
            NOW - 700,
            None,
            1,
            NOW - 9000 if state != "init" else None,
            NOW - 5400 if host else None,
        )

    def load(self, wanted: JobQuery, missing: Collection[JobKey] = ()) -> Request:
        request = self._job_requests.begin()
        self.loads.append(wanted)
        cells, error = [], ""
        if wanted.query is None:
            for batch_id in wanted.batches:
                batch = self.batches[batch_id]
                states = bytearray(self.styles.code(batch.states[letter]) for letter in batch.letters)
                cells.append(BatchStates(batch_id, range(batch.first, batch.first + len(states)), states))
        elif wanted.query.text.startswith("sql") or "sql:bad".startswith(wanted.query.text):
            error = "no such column: bad"
        else:
            cells = self._matching(wanted.query.text, missing)
        self._post(JobsLoaded(request, cells, True, error))
        return request

    def match(
        self, request: Request, query: Query, keys: Collection[JobKey], missing: Collection[JobKey]
    ) -> None:
        cells = {part.batch_id: part for part in self._matching(query.text, tuple(missing))}
        found: dict[JobKey, int | None] = {}
        for key in keys:
            part = cells.get(key.batch_id)
            there = part is not None and key.job_index in part.indexes
            state = self.batches[key.batch_id].state(key.job_index)
            found[key] = self.styles.code(state) if there else None
        self._post(JobsRechecked(request, found))

    def _matching(self, text: str, missing: Collection[JobKey]) -> list[BatchStates]:
        found = []
        for batch_id in sorted(self.batches, reverse=True):
            batch = self.batches[batch_id]
            keys = [k for k in missing if k.batch_id == batch_id] if "missing" in text else []
            if "missing" not in text and text in batch.name:
                keys = batch.keys("".join(batch.states))
            if keys:
                indexes = array("q", sorted(k.job_index for k in keys))
                codes = bytearray(self.styles.code(batch.state(i)) for i in indexes)
                found.append(BatchStates(batch_id, packed(indexes), codes))
        return found

    async def rows_and_fields(
        self, keys: Sequence[JobKey], fields: Sequence[str]
    ) -> tuple[list[JobRow], dict[JobKey, JobInfo]]:
        infos = {key: (await self.record(key)).info for key in keys} if fields else {}
        return [self.row(key) for key in keys], infos

    async def sorted_order(
        self, board: GridModel, sorting: Sequence[SortKey], snapshot: Snapshot
    ) -> array[int] | None:
        sorter = JobSorter(sorting)
        rows = [self.row(board.key(*board.at(n))) for n in range(board.total)]
        told = {"index": lambda row: row.key.job_index, "state": lambda row: row.state}
        sorter.add([n, *(told[key.name](row) for key in sorting)] for n, row in enumerate(rows))
        return sorter.order()

    async def fields(self) -> list[str]:
        return ["organism", "threshold", "resources", "resources.mem"]

    async def latest_completions(self, since: float) -> list[float]:
        return []

    async def latest_actions(self) -> tuple[Action | None, Action | None]:
        undoable = (action for action in self.acts if action.can_undo and not action.undone)
        return next(iter(self.acts), None), next(undoable, None)

    def recent_log(self) -> list[str]:
        return ["12:00:00 INFO paraschut_core.polling: poll of slurm timed out"]

    async def rows(self, keys: Sequence[JobKey]) -> list[JobRow]:
        return [self.row(key) for key in keys]

    async def record(self, key: JobKey) -> JobRecord:
        batch = self.batches.get(key.batch_id)
        if batch is None:
            return JobRecord(key, {}, error=f"There is no batch {key.batch_id}.")
        row = self.row(key)
        info = {
            "BatchID": key.batch_id, "JobIndex": key.job_index, "name": batch.name.split("/"),
            "state": row.state, "priority": batch.priority, "script": f"/data/{key.batch_id}/map.sh",
            "queue": None, "resources": {"mem": "1gb", "cput": "04:59:00"}, "attempt": 2,
            "batch_type": batch.batch_type, "organism": "human", "threshold": 0.25, "masked": True,
            **self.log,
        }  # fmt: skip
        events = [
            Event(NOW - 9000, key, 0, "eve@login1:311", None, "init", "added"),
            Event(NOW - 8000, key, 1, "eve@login1:311", "init", "submit", "submitted"),
            Event(NOW - 7000, key, 1, f"55{key.job_index}", "submit", "run", "started"),
        ]
        return JobRecord(key, info, events=events, spawns=self.spawns, row=row)

    async def script(self, info: JobInfo) -> ScriptText:
        text = '#!/bin/sh\n# maps one share\nfor part in $PARTS; do\n    map --mem 1 "$part"\ndone\n'
        return ScriptText(str(info["script"]), coloured(text, "bash"))

    async def summary(self, info: JobInfo) -> Mapping[str, object]:
        return {"JobId": "5524", "JobState": "TIMEOUT", "NodeList": "n12", "TimeLimit": "04:59:00"}

    async def edit(self, key: JobKey, rev: int, path: Sequence[object], value: object) -> ActionResult:
        self.edits.append((key, rev, tuple(path), value))
        return self.result

    async def indexes(
        self, batch_id: int, look: int, limit: int, priorities: Sequence[Priority] = ()
    ) -> list[int]:
        batch = self.batches[batch_id]
        wanted = "".join(letter for letter, state in batch.states.items() if self.styles.code(state) == look)
        return [key.job_index for key in batch.keys(wanted)][:limit]

    async def actions(self) -> list[Action]:
        return self.acts

    async def outcomes(self, action: Action) -> ActionResult:
        return ActionResult(0, command=action.command)

    def cancel(self) -> None:
        pass

    # ------------------------------------------------------------------ actions

    def start_statistics(
        self, window: str, batch_id: int | None, missing: Mapping[JobKey, MissingJob]
    ) -> Request:
        request = self._statistics_requests.begin()
        self.asked.append((window, batch_id))
        summary = None if self.survey_error else made_up_summary(window, batch_id, list(self.batches))
        self._post(StatisticsReady(request, summary, self.survey_error))
        return request

    def refresh_statistics(self, missing: Mapping[JobKey, MissingJob]) -> None:
        self.asked.append(("on", None))

    def stop_statistics(self) -> None:
        pass

    async def preview(
        self, action: ActionEntry, target: ActionTarget, ends: Mapping[JobKey, str]
    ) -> PreviewText:
        keys = list(target.keys)
        for batch_id in target.batches:
            if batch_id not in self.batches:
                raise ParaschutError(f"There is no batch {batch_id}.")
            keys += self.batches[batch_id].keys("".join(self.batches[batch_id].states))
        snapshot = self.snapshot()
        counts: dict[str, int] = {}
        for key in keys:
            state = self.batches[key.batch_id].state(key.job_index)
            counts[state] = counts.get(state, 0) + 1
        infos = [(await self.record(key)).info for key in ends]
        done = counts.get("complete", 0) + counts.get("collected", 0)
        return PreviewText(
            len(keys),
            counts,
            live=sum(k in snapshot.live for k in keys),
            missing=sum(k in snapshot.missing for k in keys),
            done=done,
            attempt=2,
            raises=propose(infos, ends),
            queued=sum(k in snapshot.live for k in keys),
            live_batches=len({k.batch_id for k in keys if k in snapshot.live}),
            held=sum(k in snapshot.live for k in keys),
        )

    async def run(
        self, action: ActionEntry, target: ActionTarget, *, force: bool = False, value: str = ""
    ) -> ActionResult:
        self.deeds.append((action.name, target, force, value))
        return self.result


def made_up_summary(window: str, batch_id: int | None, batches: Sequence[int]) -> StatisticsSummary:
    """Numbers of a day that went up and down."""
    length, width = WINDOWS[window]
    length, width = (length, width) if length else (86400.0 * 5, 7200.0)
    n = round(length / width)
    last = NOW // width * width
    waves = [abs((at * 7) % 40 - 20) if at > n // 5 else 0 for at in range(n)]
    points = [
        TimeBucket(
            last - (n - 1 - at) * width,
            round(wave * width / 60),
            float(wave),
            4 * wave,
            80 - 2 * wave if wave else 0,
        )
        for at, wave in enumerate(waves)
    ]
    shown = [batch for batch in batches if batch_id in (None, batch)]
    forecasts = [
        Forecast(b, f"batch {b}", 71 * i, 100 * i + 100, 14.2, 4000.0 * i) for i, b in enumerate(shown)
    ]
    slowest = [
        SlowJob(JobKey(b, 24 + i), 4e4 / (i + 1), NOW, "n12", i == 0) for b in shown[:1] for i in range(9)
    ]
    return StatisticsSummary(
        window, batch_id, points[0].at, NOW, width, tuple(points), sum(p.completed for p in points), 61,
        tuple(forecasts),
        (
            FailureReason("time limit", 40),
            FailureReason("out of memory", 18), FailureReason('exit status 3 "quoted"', 3)),
        (HostFailures("n12", 40, 3), HostFailures("n1", 12, 400), HostFailures("odd host", 1, 0)),
        tuple(slowest),
        True,
    )  # fmt: skip


def world() -> list[FakeBatch]:
    """Three batches, three of whose jobs are missing."""
    letters = "c" * 24 + "!" + "c" * 75 + "R" * 12 + "q" * 40
    return [
        FakeBatch(MAP, "human/genome_map", letters + "!" + "i" * (300 - len(letters) - 1)),
        FakeBatch(REDUCE, "human/genome_reduce", "i" * 40, held_back="waits for priority 2"),
        FakeBatch(MOUSE, "mouse/align", "c" * 160 + "!"),
    ]


@asynccontextmanager
async def dashboard(
    batches: list[FakeBatch] | None = None, size: tuple[int, int] = (160, 50), **options: object
) -> AsyncIterator[tuple[Pilot[None], MainScreen, FakeGateway]]:
    """The dashboard over made-up jobs, with the first jobs there."""
    gateway = FakeGateway(world() if batches is None else batches)
    app = ParaschutApp(Settings(), gateway=gateway, clock=lambda: NOW, **options)  # type: ignore[arg-type]
    async with app.run_test(size=size) as pilot:
        screen = main_screen(app)
        await until(pilot, lambda: screen.state.snapshot is not None and not screen.jobs.contents.loading)
        await pilot.pause()
        yield pilot, screen, gateway
