"""Which jobs are live and which are missing, and why: what the database and the scheduler say together."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from .db.history import record_ending
from .db.jobs import read_online_rows, read_rows
from .db.poll import PollRecord
from .db.spawns import read_live_spawns
from .db.submitting import read_tokens
from .errors import DatabaseError
from .identity import same_user
from .model import (
    ENDED,
    ENDING,
    ONLINE_STATES,
    RUNNING,
    SPAWN,
    SUBMIT,
    Ending,
    JobKey,
    JobRow,
    LiveJob,
    Missing,
    Spawn,
)
from .workspace import Workspace

log = logging.getLogger(__name__)

GONE = "gone from the queue"
"""The reason of a missing job of which nobody can tell more."""

CUT_SHORT = "its submission was cut short, and nobody can tell whether it took place"
"""The reason of a missing job whose id is not known."""

UNSAID = "exit status 0 without set_complete"
"""The reason of a missing job that ended as if all were well, but never said that it is complete."""

ONLINE = frozenset({RUNNING, ENDING})
"""What a scheduler says of a job whose processes run."""


class Observed(NamedTuple):
    """What database and scheduler say together of the jobs that should be online.

    `elsewhere` says of those that this scheduler cannot tell about in whose queue they are.
    """

    live: dict[JobKey, LiveJob]
    missing: dict[JobKey, Missing]
    live_spawns: dict[JobKey, tuple[int, int]]
    elsewhere: dict[JobKey, str]
    spawn_ids: dict[JobKey, frozenset[str]]


NOTHING = Observed({}, {}, {}, {}, {})
"""What is seen before the first look, and where nobody can look."""


# ------------------------------------------------------------------------------------ the rule


def is_missing(
    row: JobRow, ids: Sequence[str], record: PollRecord, *, now: float, grace: float, proof: bool
) -> bool:
    """The missing rule, for one job of which no id is live.

    It should be online; two valid polls in a row did not show it (one is enough where absence is
    proof); by the last of them the grace had passed since it was submitted and since it was last seen;
    and nothing was heard of it since. Polls that failed change nothing of that. That the row still says
    so is for the caller to see to.
    """
    if row.state not in ONLINE_STATES or not record.polled_at:
        return False
    if not ids:
        # Claimed and waiting for its id: see `observe`. Started by hand: nobody can see it.
        return row.state != SUBMIT and now - row.changed_at >= grace
    looked_for = [record.absent[i] for i in ids if i in record.absent]
    if len(looked_for) < len(ids) or row.rev > record.rev:
        return False  # the id, or what the job did last, is newer than the last poll
    polls = min(n for _, n in looked_for)
    if proof:
        return polls >= 1
    seen = max(at for at, _ in looked_for)
    submitted = row.submitted_at or row.changed_at
    if submitted > record.polled_at:
        submitted = seen  # by a clock that is ahead of the poll's: the row is older than the poll
    return polls >= 2 and record.polled_at - max(seen, submitted) >= grace


def observe(
    rows: Iterable[JobRow],
    spawns: Mapping[JobKey, Sequence[Spawn]],
    record: PollRecord,
    *,
    grace: float,
    proof: bool,
    now: float,
    claim_lasts: float = math.inf,
) -> Observed:
    """Sorts the jobs that should be online into live and missing. Pure.

    Args:
        claim_lasts: seconds after which a submission without an id is taken for lost. That is for
            schedulers in whose queue it cannot be looked up; elsewhere submission.settle_claims decides.
    """
    live: dict[JobKey, LiveJob] = {}
    missing: dict[JobKey, Missing] = {}
    live_spawns: dict[JobKey, tuple[int, int]] = {}
    spawn_ids: dict[JobKey, frozenset[str]] = {}
    for row in rows:
        own = spawns.get(row.key, ()) if row.state == SPAWN else ()
        ids = _ids(row, own)
        found = [job for i in ids if (job := record.answer.get(i)) is not None and job.state != ENDED]
        if row.state == SPAWN:
            live_spawns[row.key] = (sum(1 for job in found if job.state in ONLINE), len(own))
            spawn_ids[row.key] = frozenset(job.id for job in found if job.state in ONLINE)
        if found:
            live[row.key] = min(found, key=lambda job: job.state not in ONLINE)
        elif is_missing(row, ids, record, now=now, grace=grace, proof=proof):
            missing[row.key] = Missing(row.ending or GONE, _heard_of(row), row.exit_status, row.signal)
        elif (
            not ids
            and row.state == SUBMIT
            and now - (row.submitted_at or row.changed_at)
            >= (
                claim_lasts if row.claimed_by else grace  # nobody claimed it: it came so from elsewhere
            )
        ):
            missing[row.key] = Missing(CUT_SHORT, _heard_of(row))
        else:
            ending = _ending_in_queue(ids, record)
            if ending is not None and row.rev <= record.rev:
                missing[row.key] = Missing(ending.reason, _heard_of(row), ending.exit_status, ending.signal)
    return Observed(live, missing, live_spawns, {}, spawn_ids)


def _heard_of(row: JobRow) -> float:
    """When an attempt last reported itself (epoch s); who edits the job's fields later changes that not."""
    return row.started_at or row.submitted_at or row.changed_at


def _ending_in_queue(ids: Sequence[str], record: PollRecord) -> Ending | None:
    """How a job ended, if the queue still shows all of it as ended, and tells."""
    shown = [record.answer[i].ending for i in ids if i in record.answer]
    ending = shown[-1] if shown and len(shown) == len(ids) and None not in shown else None
    return ending and _as_lost(ending)


def _as_lost(ending: Ending) -> Ending:
    """How a job that is not complete ended: that all went well explains nothing."""
    return ending._replace(reason=UNSAID) if ending.reason == "exit status 0" else ending


def _ids(row: JobRow, spawns: Sequence[Spawn]) -> list[str]:
    if row.state == SPAWN and spawns:
        return sorted({i for s in spawns for i in (s.submit_id, s.cluster_id) if i})
    return sorted({i for i in (row.submit_id, row.cluster_id) if i})


# ------------------------------------------------------------------------------------ why


class Inquiries:
    """Remembers what the accounts were asked, so that they are asked seldom about what they do not know.

    They lag behind the queue (Grid Engine's by ten seconds), so one answer "unknown" is not the last.
    """

    PAUSES = (0.0, 10.0, 60.0, 600.0)
    """Seconds before the first, second, ... time that the same id is asked about; then never again."""

    def __init__(self) -> None:
        self._asked: dict[str, tuple[int, float]] = {}

    def due(self, ids: Iterable[str], now: float) -> list[str]:
        """Those of `ids` to ask about now."""
        wanted = []
        for id_ in ids:
            times, at = self._asked.get(id_, (0, 0.0))
            if times < len(self.PAUSES) and now - at >= self.PAUSES[times]:
                self._asked[id_] = (times + 1, now)
                wanted.append(id_)
        return wanted


def explain_missing(
    ws: Workspace, observed: Observed, rows: Mapping[JobKey, JobRow], inquiries: Inquiries
) -> Observed:
    """Asks the accounts once for all the missing whose reason is not known, and writes down what they say."""
    asked: dict[str, JobRow] = {}
    shown: dict[JobKey, Ending] = {}
    for key, lost in observed.missing.items():
        row = rows[key]
        if row.ending is not None:
            continue
        if lost.reason not in (GONE, CUT_SHORT):  # the queue itself tells, as long as it remembers the job
            shown[key] = Ending(lost.reason, lost.exit_status, lost.signal)
        elif lost.reason == GONE:
            for i in _ids(row, ()):
                asked[i] = row
    if shown:
        _write_endings(ws, shown, rows)
    now = time.time()
    due = inquiries.due(sorted(asked), now)
    if not due:
        return observed
    since = min((row.submitted_at or row.changed_at) for row in asked.values()) - 60.0
    if since > now:
        since = now - 86400.0  # submitted by a clock that is ahead: nobody knows when
    try:
        endings = ws.executor.explain(due, since)
    except Exception as error:  # noqa: BLE001 - a user's own executor may raise anything
        log.info("%s cannot tell how jobs ended: %s", ws.executor.name, error)
        return observed
    missing = dict(observed.missing)
    told = {asked[i].key: _as_lost(ending) for i, ending in endings.items() if i in asked}
    told |= _last_words(ws, {asked[i].key for i in due} - told.keys())
    for key, ending in told.items():
        missing[key] = Missing(ending.reason, missing[key].since, ending.exit_status, ending.signal)
    if told:
        _write_endings(ws, told, rows)
    return observed._replace(missing=missing)


def _last_words(ws: Workspace, keys: Iterable[JobKey]) -> dict[JobKey, Ending]:
    """How those of `keys` ended, of which nobody tells, by their logs: one that was killed with its wrapper
    where nobody keeps accounts."""
    tokens = read_tokens(ws.reader, keys)
    try:
        return {tokens[token]: ending for token, ending in ws.executor.last_words(list(tokens)).items()}
    except Exception as error:  # noqa: BLE001 - a user's own executor may raise anything
        log.info("%s cannot read the logs of jobs: %s", ws.executor.name, error)
        return {}


def _write_endings(ws: Workspace, told: Mapping[JobKey, Ending], rows: Mapping[JobKey, JobRow]) -> None:
    try:
        with ws.db.transaction() as tx:
            for key, ending in told.items():
                # What the job's own wrapper said of this attempt is nearer to the truth: it stays.
                record_ending(tx, key, rows[key].attempt, ending, overwrite=False)
    except DatabaseError:
        pass  # read-only: the reason is shown all the same, and asked for again next time


def confirm(ws: Workspace, observed: Observed, rows: Mapping[JobKey, JobRow]) -> Observed:
    """Reads the missing jobs' rows again, after the poll: the job's own word wins over its absence."""
    if not observed.missing:
        return observed
    now = {row.key: row for row in read_rows(ws.reader, observed.missing)}
    kept = {
        key: lost
        for key, lost in observed.missing.items()
        if key in now and (now[key].state, now[key].rev) == (rows[key].state, rows[key].rev)
    }
    return observed._replace(missing=kept)


def look(ws: Workspace, record: PollRecord) -> Observed:
    """All jobs that should be online, as of the given poll, with the reasons of the missing."""
    rows = {row.key: row for row in read_online_rows(ws.reader)}
    return examine(ws, record, rows, read_live_spawns(ws.reader), Inquiries())


def examine(
    ws: Workspace,
    record: PollRecord,
    rows: Mapping[JobKey, JobRow],
    spawns: Mapping[JobKey, Sequence[Spawn]],
    inquiries: Inquiries | None,
) -> Observed:
    """`observe`, then what it found missing confirmed against the file and, with `inquiries`, explained.

    A scheduler's list is its own and one user's: of what others have, its silence says nothing.
    """
    elsewhere = _elsewhere(ws, rows)
    here = {key: [s for s in own if ws.executor.holds(s.executor)] for key, own in spawns.items()}
    observed = observe(
        [row for key, row in rows.items() if key not in elsewhere],
        here,
        record,
        grace=ws.settings.poll.grace,
        proof=ws.executor.absence_is_proof,
        now=time.time(),
        claim_lasts=math.inf
        if ws.executor.shows_tokens
        else ws.settings.submit.timeout + ws.settings.poll.grace,
    )
    # A job of which a part is elsewhere may be alive there, if it is not here.
    elsewhere |= {
        key: next(s.executor or "" for s in own if not ws.executor.holds(s.executor))
        for key, own in spawns.items()
        if len(here[key]) < len(own) and key in rows and key not in observed.live
    }
    if ws.executor.sees_jobs:
        missing = {key: lost for key, lost in observed.missing.items() if key not in elsewhere}
    else:
        missing = {}  # nobody looked
    observed = confirm(ws, observed._replace(missing=missing, elsewhere=elsewhere), rows)
    return observed if inquiries is None else explain_missing(ws, observed, rows, inquiries)


def _elsewhere(ws: Workspace, rows: Mapping[JobKey, JobRow]) -> dict[JobKey, str]:
    """The jobs that this scheduler's list for this user does not show, wherever they are; but spawn jobs of
    this user's, which are where their spawns are."""

    def kind(row: JobRow) -> tuple[str | None, str | None]:
        return row.claimed_by, None if row.state == SPAWN else row.executor

    # There are many jobs, and few who submitted them.
    queues = {each: _other_queue(ws, *each) for each in set(map(kind, rows.values()))}
    return {key: where for key, row in rows.items() if (where := queues[kind(row)])}


def _other_queue(ws: Workspace, claimed_by: str | None, executor: str | None) -> str:
    """In whose queue a job is that this scheduler's list for this user does not show: '' if it would."""
    if claimed_by and not same_user(claimed_by, ws.db.who):
        return f"{executor or 'the queue'} of {claimed_by.partition('@')[0]}"
    return executor if executor and not ws.executor.holds(executor) else ""
