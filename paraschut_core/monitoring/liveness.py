"""Which jobs are live and which are missing, and why: what the database and the scheduler say together."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from .. import exit_kinds
from ..database.events import forget_ending, note_codes, read_ending_in, record_ending
from ..database.jobs import read_online_rows, read_rows
from ..database.lifecycle import complete_by_account, read_tokens
from ..database.poll_state import PollState
from ..database.spawns import read_live_spawns
from ..errors import DatabaseError
from ..executors.exit_info import task_of, token_of
from ..identity import belongs_to, queue_name
from ..model import (
    ENDED,
    ENDING,
    HELD,
    ONLINE_STATES,
    QUEUED,
    RUNNING,
    SPAWN,
    STUCK,
    SUBMIT,
    ExitInfo,
    JobKey,
    JobRow,
    LiveJob,
    MissingJob,
    Spawn,
)
from ..project import Project
from .polling import is_another_job, located

log = logging.getLogger(__name__)

WORDS = {
    exit_kinds.GONE: "gone from the queue",
    exit_kinds.CUT_SHORT: "its submission was cut short, and nobody can tell whether it took place",
    exit_kinds.UNSAID: "exit status 0 without set_complete",
}
"""What people read of the kinds that are found out here."""

ONLINE = frozenset({RUNNING, ENDING})
"""What a scheduler says of a job whose processes run."""

WAITING = frozenset({QUEUED, HELD, STUCK})
"""What it says of one that has none: after it has run, it was put back into the queue and will run again."""


class Liveness(NamedTuple):
    """What database and scheduler say together of the jobs that should be online.

    `elsewhere` says of those that this scheduler cannot tell about in whose queue they are. `silent` are
    those that the last poll did not show, or showed as ended, while that proves nothing yet; and their ids.
    """

    live: dict[JobKey, LiveJob]
    missing: dict[JobKey, MissingJob]
    live_spawns: dict[JobKey, tuple[int, int]]
    elsewhere: dict[JobKey, str]
    spawn_ids: dict[JobKey, frozenset[str]]
    silent: Mapping[JobKey, tuple[str, ...]] = MappingProxyType({})


NOTHING = Liveness({}, {}, {}, {}, {})
"""What is seen before the first look, and where nobody can look."""


# ------------------------------------------------------------------------------------ the rule


def is_missing(
    row: JobRow, ids: Sequence[str], record: PollState, *, now: float, grace: float, proof: bool
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


def classify_jobs(
    rows: Iterable[JobRow],
    spawns: Mapping[JobKey, Sequence[Spawn]],
    record: PollState,
    *,
    grace: float,
    proof: bool,
    now: float,
    claim_lasts: float = math.inf,
) -> Liveness:
    """Sort the jobs that should be online into live and missing. Pure.

    Args:
        claim_lasts: seconds after which a submission without an id is taken for lost. That is for
            schedulers in whose queue it cannot be looked up; elsewhere submission.resolve_claims decides.
    """
    live: dict[JobKey, LiveJob] = {}
    missing: dict[JobKey, MissingJob] = {}
    live_spawns: dict[JobKey, tuple[int, int]] = {}
    spawn_ids: dict[JobKey, frozenset[str]] = {}
    silent: dict[JobKey, tuple[str, ...]] = {}
    for row in rows:
        own = spawns.get(row.key, ()) if row.state == SPAWN else ()
        ids = _ids(row, own)
        tokens = set(filter(None, (row.token, *(spawn.token for spawn in own))))
        shown = {i: job for i in ids if (job := record.answer.get(i)) and not is_another_job(job, tokens)}
        found = [job for job in shown.values() if job.state != ENDED]
        if row.state == SPAWN:
            live_spawns[row.key] = (sum(1 for job in found if job.state in ONLINE), len(own))
            spawn_ids[row.key] = frozenset(job.id for job in found if job.state in ONLINE)
        if _has_ended(row, found, record):
            missing[row.key] = _as_told(row)
        elif found:
            live[row.key] = min(found, key=lambda job: job.state not in ONLINE)
        elif is_missing(row, ids, record, now=now, grace=grace, proof=proof):
            missing[row.key] = _as_told(row)
        elif (
            not ids
            and row.state == SUBMIT
            and now - (row.submitted_at or row.changed_at)
            >= (
                claim_lasts if row.claimed_by else grace  # nobody claimed it: it came so from elsewhere
            )
        ):
            missing[row.key] = _of_kind(exit_kinds.CUT_SHORT, row)
        elif ids and row.rev <= record.rev:
            ending = _ending_in_queue(ids, shown)
            if ending is not None:
                missing[row.key] = _lost(ending, row)
            elif all(record.absent.get(i, (0.0, 0))[1] for i in ids):
                silent[row.key] = tuple(ids)
    return Liveness(live, missing, live_spawns, {}, spawn_ids, silent)


def _has_ended(row: JobRow, found: Sequence[LiveJob], record: PollState) -> bool:
    """Return whether it was told how the job's latest attempt ended, so that no queue needs to be asked.

    A scheduler may still show a job for a moment after its end; if it does so for longer, or has put the job
    back into the queue, it runs it again. A spawn job has not ended with one of its processes.
    """
    if row.ended_at is None or row.state == SPAWN:
        return False
    if any(job.state in WAITING for job in found):
        return False
    return not found or record.polled_at - row.ended_at < exit_kinds.SETTLED_AFTER


def _as_told(row: JobRow) -> MissingJob:
    """What is known of the end of a job that is not in the queue."""
    if row.ending is None:
        return _of_kind(exit_kinds.GONE, row)
    return MissingJob(
        row.ending, _last_sign_of_life(row), row.exit_status, row.signal, row.kind, row.confirmed
    )


def _of_kind(kind: str, row: JobRow) -> MissingJob:
    return MissingJob(WORDS[kind], _last_sign_of_life(row), kind=kind)


def _lost(ending: ExitInfo, row: JobRow) -> MissingJob:
    return MissingJob(
        ending.reason,
        _last_sign_of_life(row),
        ending.exit_status,
        ending.signal,
        ending.kind,
        ending.confirmed,
    )


def _coded(ending: ExitInfo, source: str = exit_kinds.ACCOUNT) -> ExitInfo:
    """The end with its codes, which an executor that somebody else wrote may not tell."""
    kind = ending.kind or exit_kinds.kind_of(ending.reason, ending.exit_status, ending.signal)
    return ending._replace(kind=kind, source=ending.source or source)


def _last_sign_of_life(row: JobRow) -> float:
    """When an attempt last reported itself (epoch s); who edits the job's fields later changes that not."""
    return row.started_at or row.submitted_at or row.changed_at


def _ending_in_queue(ids: Sequence[str], shown: Mapping[str, LiveJob]) -> ExitInfo | None:
    """How a job ended, if the queue still shows all of it as ended, and tells."""
    endings = [shown[i].ending for i in ids if i in shown]
    ending = endings[-1] if endings and len(endings) == len(ids) and None not in endings else None
    return ending and _as_lost(_coded(ending))


def _as_lost(ending: ExitInfo) -> ExitInfo:
    """How a job that is not complete ended: that all went well explains nothing."""
    if (
        ending.exit_status == 0
        and ending.signal is None
        and ending.kind in (exit_kinds.EXIT, exit_kinds.COMPLETED)
    ):
        return ending._replace(reason=WORDS[exit_kinds.UNSAID], kind=exit_kinds.UNSAID)
    return ending


def _ids(row: JobRow, spawns: Sequence[Spawn]) -> list[str]:
    if row.state == SPAWN and spawns:
        return sorted({i for s in spawns for i in (s.submit_id, s.cluster_id) if i})
    return sorted({i for i in (row.submit_id, row.cluster_id) if i})


# ------------------------------------------------------------------------------------ why


class AccountingBackoff:
    """Remembers what the accounts were asked, so that they are asked seldom about what they do not know.

    They lag behind the queue (Grid Engine's by ten seconds), so one answer "unknown" is not the last. Where
    they give no answer at all, they are asked again for as long as it takes.
    """

    PAUSES = (0.0, 10.0, 60.0, 600.0)
    """Seconds before the first, second, ... time that the same id is asked about; then never again, unless
    they could not be asked the last time."""

    def __init__(self) -> None:
        self._asked: dict[str, tuple[int, float]] = {}
        self._unanswered: set[str] = set()

    def due(self, ids: Iterable[str], now: float) -> list[str]:
        """Those of `ids` to ask about now."""
        wanted = []
        for id_ in ids:
            times, at = self._asked.get(id_, (0, 0.0))
            if id_ in self._unanswered:
                times = min(times, len(self.PAUSES) - 1)
            if times < len(self.PAUSES) and abs(now - at) >= self.PAUSES[times]:
                self._asked[id_] = (times + 1, now)
                wanted.append(id_)
        return wanted

    def note(self, ids: Iterable[str], *, answered: bool) -> None:
        """Report whether the accounts gave an answer about these ids."""
        if answered:
            self._unanswered.difference_update(ids)
        else:
            self._unanswered.update(ids)


_REFINED_FOR = 86400.0
"""Seconds after its end for which the accounts are asked why a job ended that told itself how."""


def explain_missing(
    ws: Project,
    observed: Liveness,
    rows: Mapping[JobKey, JobRow],
    inquiries: AccountingBackoff,
    spawns: Mapping[JobKey, Sequence[Spawn]] = MappingProxyType({}),
) -> Liveness:
    """Ask the accounts for all the missing whose reason is not known, or vague, and for those that the queue
    does not show any more; writes down what they say."""
    now = time.time()
    asked: dict[str, JobRow] = {}
    shown: dict[JobKey, ExitInfo] = {}
    for key, lost in observed.missing.items():
        row = rows[key]
        if lost.kind == exit_kinds.GONE or (row.ending is not None and _is_vague(row, now)):
            asked |= dict.fromkeys(_ids(row, spawns.get(key, ()) if row.state == SPAWN else ()), row)
        elif row.ending is None and lost.kind not in exit_kinds.LOST:
            # The queue itself tells, as long as it remembers the job.
            shown[key] = ExitInfo(
                lost.reason, lost.exit_status, lost.signal, kind=lost.kind, source=exit_kinds.ACCOUNT
            )
    if shown:
        _write_endings(ws, shown, rows)
    _forget_exits_of_requeued(ws, observed, rows)
    due = inquiries.due(sorted(asked), now)
    # These are asked about at each poll: they will be missing soon, or have ended, or be seen again.
    silent = {i: rows[key] for key, ids in observed.silent.items() for i in ids}
    asked |= silent
    due += sorted(silent)
    if not due:
        return observed
    since = min((row.submitted_at or row.changed_at) for row in asked.values()) - 60.0
    if since > now:
        since = now - 86400.0  # submitted by a clock that is ahead: nobody knows when
    try:
        endings = ws.executor.get_exit_info(due, since)
        failure = ws.executor.accounts_failure
    except Exception as error:  # noqa: BLE001 - a user's own executor may raise anything
        endings, failure = {}, str(error) or type(error).__name__
    inquiries.note(due, answered=not failure)
    if failure:
        log.info("%s cannot tell how jobs ended: %s", ws.executor.name, failure)
    explained: dict[JobKey, ExitInfo] = {}
    for i, ending in sorted(endings.items()):
        if i in asked and not _is_another_submission(ending, i, asked[i]):
            # Of several spawns' ends, the one that explains most.
            key, ending = asked[i].key, _coded(ending)
            explained[key] = max(explained.get(key, ending), ending, key=_weight)
    explained |= _exit_info_from_logs(
        ws, {asked[i].key for i in due} & observed.missing.keys() - explained.keys()
    )
    return observed._replace(missing=observed.missing | _write_endings(ws, explained, rows))


def _forget_exits_of_requeued(ws: Project, observed: Liveness, rows: Mapping[JobKey, JobRow]) -> None:
    """Forget how jobs ended that the scheduler has put back into the queue, and that will not say themselves
    that they start again."""
    again = [key for key in observed.live if rows[key].state == SUBMIT and rows[key].ended_at is not None]
    if not again:
        return
    try:
        with ws.db.transaction() as tx:
            for key in again:
                forget_ending(tx, key, rows[key].attempt)
    except DatabaseError as error:
        log.info("cannot take back how jobs ended: %s", error)


def _weight(ending: ExitInfo) -> int:
    """How much an end explains: one that went well nothing, one that only a process's status tells little."""
    return (
        0
        if ending.exit_status == 0 and ending.signal is None
        else 1
        if ending.kind in exit_kinds.VAGUE
        else 2
    )


def _is_vague(row: JobRow, now: float) -> bool:
    """Return whether the accounts may know more of a job's end than is written down."""
    return (
        row.source != exit_kinds.ACCOUNT
        and (row.source == exit_kinds.LOG or row.kind in exit_kinds.VAGUE or not row.confirmed)
        and abs(now - (row.ended_at or 0.0)) < _REFINED_FOR
    )


def _is_another_submission(ending: ExitInfo, id_: str, row: JobRow) -> bool:
    """Return whether an account is of another submission, which had the same id before or elsewhere."""
    record = ending.record
    token = str(record.get("token") or "") or token_of(str(record.get("name", "")), task_of(id_))
    # What a job multiplied itself into has tokens of its own.
    return bool(token) and row.state != SPAWN and row.token is not None and token != row.token


def _exit_info_from_logs(ws: Project, keys: Iterable[JobKey]) -> dict[JobKey, ExitInfo]:
    """How those of `keys` ended, of which nobody tells, by their logs: one that was killed with its wrapper
    where nobody keeps accounts."""
    tokens = read_tokens(ws.reader, keys)
    try:
        endings = ws.executor.exit_info_from_logs(list(tokens))
        return {tokens[token]: _coded(ending, exit_kinds.LOG) for token, ending in endings.items()}
    except Exception as error:  # noqa: BLE001 - a user's own executor may raise anything
        log.info("%s cannot read the logs of jobs: %s", ws.executor.name, error)
        return {}


def _write_endings(
    ws: Project, endings: Mapping[JobKey, ExitInfo], rows: Mapping[JobKey, JobRow]
) -> dict[JobKey, MissingJob]:
    """Record how attempts ended, beside what is known of them; return what is known then.

    An exit status 0 after a signal completes the job if the scheduler's own verdict is that all went well.
    """
    if not endings:
        return {}
    known: dict[JobKey, MissingJob] = {}
    chain = False
    try:
        with ws.db.transaction() as tx:
            for key, ending in endings.items():
                row = rows[key]
                before, its_chain = read_ending_in(tx, key, row.attempt)
                if before is not None and _is_proof(before, ending):
                    if complete_by_account(tx, ws.db, key, row.attempt):
                        forget_ending(tx, key, row.attempt)
                        chain |= its_chain
                    continue
                merged = _merged(before, ending)
                if before is not None and merged == before._replace(
                    source=merged.source, record=merged.record
                ):
                    note_codes(tx, key, row.attempt, merged, chain=its_chain)
                elif merged != before:
                    record_ending(tx, key, row.attempt, merged, chain=its_chain)
                known[key] = _lost(merged, row)
    except DatabaseError:
        # Read-only: the reason is shown all the same, and asked for again next time.
        known = {key: _lost(_as_lost(ending), rows[key]) for key, ending in endings.items()}
    if chain:
        _submit_next(ws)
    return known


def _is_proof(before: ExitInfo, now: ExitInfo) -> bool:
    """Whether a command whose exit status 0 completes its job, and of which a signal made that doubtful, did
    end well by its scheduler's own verdict."""
    return before.source == exit_kinds.WRAPPER and not before.confirmed and now.kind == exit_kinds.COMPLETED


def _merged(before: ExitInfo | None, now: ExitInfo) -> ExitInfo:
    """What is known of an end, of which another source told before."""
    if before is None or before.kind in exit_kinds.LOST:
        return _as_lost(now)
    if before.source == exit_kinds.ACCOUNT or (
        now.kind in exit_kinds.VAGUE | {exit_kinds.COMPLETED} and now.source != exit_kinds.ACCOUNT
    ):
        return before
    if now.kind in exit_kinds.VAGUE | {exit_kinds.COMPLETED}:
        # It knows no more than the wrapper, which is nearer to the truth. It was asked, and that is that.
        return before._replace(source=exit_kinds.ACCOUNT, record={**before.record, **now.record})
    return now._replace(
        exit_status=before.exit_status if now.exit_status is None else now.exit_status,
        signal=before.signal if now.signal is None else now.signal,
        host=now.host or before.host,
        record={**before.record, **now.record},
    )


def _submit_next(ws: Project) -> None:
    """Submit what is next after a job that turned out to be complete, as it would have done itself."""
    from ..scheduling.submission import submit_next

    try:
        submit_next(ws, by_itself=True)
    except Exception as error:  # noqa: BLE001 - a user's own executor may raise anything
        log.warning("what is next was not submitted: %s", error)


def recheck_missing(ws: Project, observed: Liveness, rows: Mapping[JobKey, JobRow]) -> Liveness:
    """Read the missing jobs' rows again, after the poll: the job's own word wins over its absence."""
    if not observed.missing:
        return observed
    now = {row.key: row for row in read_rows(ws.reader, observed.missing)}
    kept = {
        key: lost
        for key, lost in observed.missing.items()
        if key in now and (now[key].state, now[key].rev) == (rows[key].state, rows[key].rev)
    }
    return observed._replace(missing=kept)


def find_missing_jobs(ws: Project, record: PollState) -> Liveness:
    """All jobs that should be online, as of the given poll, with the reasons of the missing."""
    rows = {row.key: row for row in read_online_rows(ws.reader)}
    return classify_and_confirm(ws, record, rows, read_live_spawns(ws.reader), AccountingBackoff())


def classify_and_confirm(
    ws: Project,
    record: PollState,
    rows: Mapping[JobKey, JobRow],
    spawns: Mapping[JobKey, Sequence[Spawn]],
    inquiries: AccountingBackoff | None,
) -> Liveness:
    """`observe`, then what it found missing confirmed against the file and, with `inquiries`, explained.

    A scheduler's list is its own and one user's: of what others have, its silence says nothing.
    """
    elsewhere = _foreign_jobs(ws, rows)
    rows = {key: row if key in elsewhere else located(ws, row) for key, row in rows.items()}
    here = {key: [located(ws, s) for s in own if ws.executor.owns(s.executor)] for key, own in spawns.items()}
    observed = classify_jobs(
        [row for key, row in rows.items() if key not in elsewhere],
        here,
        record,
        grace=ws.settings.poll.grace,
        proof=ws.executor.absent_means_ended,
        now=time.time(),
        claim_lasts=math.inf
        if ws.executor.reports_tokens
        else ws.settings.submit.timeout + ws.settings.poll.grace,
    )
    # A job of which a part is elsewhere may be alive there, if it is not here.
    elsewhere |= {
        key: next(queue_name(s.executor or "").shown for s in own if not ws.executor.owns(s.executor))
        for key, own in spawns.items()
        if len(here[key]) < len(own) and key in rows and key not in observed.live
    }
    missing = {key: lost for key, lost in observed.missing.items() if key not in elsewhere}
    silent = {key: ids for key, ids in observed.silent.items() if key not in elsewhere}
    if not ws.executor.sees_jobs:  # nobody looked: what the jobs' wrappers said is all that is known
        missing = {key: lost for key, lost in missing.items() if rows[key].ended_at is not None}
        silent = {}
    alive = _alive(ws, {key: rows[key] for key in missing if rows[key].ended_at is None}, here)
    missing = {key: lost for key, lost in missing.items() if key not in alive}
    observed = observed._replace(live={**observed.live, **alive})
    observed = recheck_missing(
        ws, observed._replace(missing=missing, elsewhere=elsewhere, silent=silent), rows
    )
    return observed if inquiries is None else explain_missing(ws, observed, rows, inquiries, here)


def _alive(
    ws: Project, lost: Mapping[JobKey, JobRow], spawns: Mapping[JobKey, Sequence[Spawn]]
) -> dict[JobKey, LiveJob]:
    """Those of the jobs whose processes live though no queue shows them."""
    named: dict[str, str] = {}
    keys: dict[str, JobKey] = {}
    for key, row in lost.items():
        own: list[JobRow | Spawn] = [row]
        if row.state == SPAWN:
            own += spawns.get(key, ())
        for each in own:
            if each.token:
                named[each.token] = each.submit_id or each.cluster_id or ""
                keys[each.token] = key
    return {keys[token]: job for token, job in ws.executor.alive(named).items()} if named else {}


def _foreign_jobs(ws: Project, rows: Mapping[JobKey, JobRow]) -> dict[JobKey, str]:
    """The jobs that this scheduler's list for this user does not show, wherever they are; but spawn jobs of
    this user's, which are where their spawns are."""

    def kind(row: JobRow) -> tuple[str | None, str | None]:
        return row.claimed_by, None if row.state == SPAWN else row.executor

    # There are many jobs, and few who submitted them.
    queues = {each: other_queue(ws, *each) for each in set(map(kind, rows.values()))}
    return {key: where for key, row in rows.items() if (where := queues[kind(row)])}


def other_queue(ws: Project, claimed_by: str | None, executor: str | None) -> str:
    """In whose queue a job is that this scheduler's list for this user does not show: '' if it would."""
    shown = queue_name(executor).shown if executor else "the queue"
    if not belongs_to(ws.db.who, claimed_by, executor):
        return f"{shown} of {(claimed_by or 'another user').partition('@')[0]}"
    return "" if ws.executor.owns(executor) else shown
