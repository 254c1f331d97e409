"""Polls the scheduler: once per interval for all processes of a user.

A failed poll, a timeout, garbage or a suddenly empty list proves nothing: only the age of the last valid
answer grows.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Mapping
from typing import NamedTuple, TypeVar

from ..database.changes import read_revision
from ..database.jobs import Submission, read_submissions
from ..database.lifecycle import UnresolvedClaim, claimed_without_id
from ..database.poll_state import AbsentIds, PollState, is_leased, read_poll, store_poll, take_lease
from ..database.spawns import read_live_spawns
from ..errors import DatabaseError, ParaschutError, SchedulerError
from ..identity import belongs_to, queue_name
from ..model import ENDED, JobRow, LiveJob, Spawn
from ..project import Project
from ..sanitize import clean_line

log = logging.getLogger(__name__)

BELIEVE_EMPTY = 3
"""Answers in a row without most of the expected jobs, after which such an answer is believed ..."""

BELIEVE_AFTER = 10.0
"""... if they span this many times the grace."""

MANY = 3
"""Jobs that disappear at once, if they are more than half of all, from which an answer is doubted."""

_SAMPLE = 100  # expected jobs that are looked up in the accounts


def scheduler_key(ws: Project) -> str:
    """Return the name under which this user's answers of the scheduler are stored."""
    own = queue_name(ws.executor.backend_id)
    return str(own) if own.uid is not None else f"{own} {ws.db.who.partition('@')[0]}"


class Expected(NamedTuple):
    """The tokens that a job in the queue must have to be ours (none: not known), and its queue."""

    tokens: frozenset[str]
    queue: str | None


_Placed = TypeVar("_Placed", JobRow, Spawn)


def is_here(ws: Project, submission: JobRow | Spawn | Submission | UnresolvedClaim) -> bool:
    """Return whether it is in the queue that is polled here: this user's, by this executor, at this place."""
    executor = submission.executor
    return ws.executor.owns(executor) and belongs_to(ws.db.who, submission.claimed_by, executor)


def located(ws: Project, submission: _Placed) -> _Placed:
    """Return the submission with its ids as the queue that is polled here spells them."""
    ids = (submission.submit_id, submission.cluster_id)
    first, second = (i and ws.executor.key_of(i, submission.executor) for i in ids)
    return submission if (first, second) == ids else submission._replace(submit_id=first, cluster_id=second)


def keys_of(ws: Project, submission: JobRow | Spawn | Submission) -> set[str]:
    """Return the ids of a submission as the queue that is polled here spells them."""
    ids = (submission.submit_id, submission.cluster_id)
    return {ws.executor.key_of(i, submission.executor) for i in ids if i}


def expected_jobs(ws: Project) -> dict[str, Expected]:
    """Return all jobs and spawns that should be in this scheduler's queue, by their ids there."""
    submissions: list[Submission | Spawn] = [*read_submissions(ws.reader)]
    submissions += [spawn for own in read_live_spawns(ws.reader).values() for spawn in own]
    found: dict[str, Expected] = {}
    for each in submissions:
        if not (each.submit_id or each.cluster_id) or not is_here(ws, each):
            continue
        tokens = frozenset({each.token} if each.token else ())
        for i in keys_of(ws, each):
            known = found.get(i)
            # A job that multiplied itself has its first process's id, and that its own token.
            found[i] = Expected(tokens | known.tokens if known else tokens, each.executor)
    return found


def is_another_job(job: LiveJob, tokens: Collection[str]) -> bool:
    """Return whether a job in the queue is surely another submission than these, whatever its id."""
    return bool(job.token) and bool(tokens) and job.token not in tokens


def poll_scheduler(ws: Project, *, force: bool = False) -> PollState:
    """The scheduler's latest valid answer, asked anew if it is due.

    Args:
        force: ask now, whatever the interval says; if another process is asking, wait for its answer.

    Returns:
        the record; `failing_since` is set while the scheduler does not answer. Never raises for the
        scheduler's faults.
    """
    key = scheduler_key(ws)
    known = _known(ws, key)
    if ws.executor.expensive_poll:
        interval = 0.0 if force else _interval(ws, known)
        try:
            if not take_lease(ws.db, key, interval):
                return _awaited(ws, key) if force else known
        except DatabaseError as error:
            # Who may only read the database looks at what others asked; with nobody else, asks for itself.
            log.info("cannot take the lease: %s", error)
            if 0 <= time.time() - known.tried_at < interval:
                return known
    record = _poll_and_validate(ws, known)
    _keep(ws, key, record, known)
    return record


_unkept: dict[tuple[str, str], PollState] = {}
"""This process's own last polls, where the database cannot be written to."""


def is_unreachable(record: PollState) -> bool:
    """Whether the scheduler does not answer (an answer that is only doubted, for it is empty, is one)."""
    return not record.polled_at or (record.failing_since is not None and not record.empties)


def outage_message(executor: str, failing_since: float | None, error: str) -> str:
    """In one line, since when a scheduler does not answer, and why."""
    since = time.strftime(" since %Y-%m-%d %H:%M:%S", time.localtime(failing_since)) if failing_since else ""
    return f"{executor} does not answer{since}: {clean_line(error or 'never asked')}"


def notice(ws: Project) -> str:
    """What keeps jobs that wait from starting, as far as the executor tells; never raises for it."""
    try:
        return str(ws.executor.notice())
    except Exception as error:  # noqa: BLE001 - a user's own executor may raise anything
        log.info("%s tells nothing of what waits: %s", ws.executor.name, error)
        return ""


def known(ws: Project) -> PollState:
    """The newest record that there is of the scheduler; it is not asked."""
    return _known(ws, scheduler_key(ws))


def _known(ws: Project, key: str) -> PollState:
    kept = read_poll(ws.reader, key)
    own = _unkept.get((ws.db.path, key))
    return own if own is not None and own.tried_at > kept.tried_at else kept


def _awaited(ws: Project, key: str) -> PollState:
    """What another process's poll, now under way, comes to (or what is known, if it takes too long)."""
    end = time.monotonic() + ws.settings.poll.timeout
    while is_leased(ws.reader, key) and time.monotonic() < end:
        time.sleep(0.05)
    return read_poll(ws.reader, key)


def _interval(ws: Project, known: PollState) -> float:
    """Seconds to the next poll: longer and longer while the scheduler fails."""
    poll = ws.settings.poll
    if not known.failures:
        return poll.interval
    return float(min(poll.interval * 2.0 ** min(known.failures, 16), max(poll.backoff, poll.interval)))


def _keep(ws: Project, key: str, record: PollState, known: PollState) -> None:
    executor = ws.executor
    answered = record.polled_at != known.polled_at
    same = (record.failing_since, record.error, record.empties) == (
        known.failing_since,
        known.error,
        known.empties,
    )
    if executor.absent_means_ended and same:
        return  # nothing is ever compared with the answer before: no need to write it down
    try:
        store_poll(ws.db, key, record, answered=answered)
    except DatabaseError as error:
        log.info("cannot keep the scheduler's answer: %s", error)
        _unkept[ws.db.path, key] = record


def _poll_and_validate(ws: Project, known: PollState) -> PollState:
    """Poll, and report what is known afterwards."""
    now = time.time()
    rev = read_revision(ws.reader)
    # Before the poll: an id that is newer is none that it must show. What cannot be seen is not expected,
    # and so never found absent.
    expected = expected_jobs(ws) if ws.executor.sees_jobs else {}
    queues = {job.queue for job in expected.values() if job.queue is not None}
    queues |= {c.executor for c in claimed_without_id(ws.reader) if c.executor and is_here(ws, c)}
    try:
        answer, silent = ws.executor.look_at(queues)
        answer = _checked(answer)
    except ParaschutError as error:
        return _failed(known, now, str(error))
    except Exception as error:  # a user's own executor may raise anything
        log.exception("poll of %s", ws.executor.name)
        return _failed(known, now, f"{type(error).__name__}: {error}")
    unheard = {i for i, job in expected.items() if job.queue in silent}
    answer |= {i: known.answer[i] for i in unheard if i in known.answer}
    seen = {
        i: job
        for i, job in answer.items()
        if i not in expected or not is_another_job(job, expected[i].tokens)
    }
    there = sorted(i for i in expected if i in known.answer and known.answer[i].state != ENDED)
    lost = [i for i in there if i not in seen and i not in unheard]
    many = len(lost) > len(there) / 2 and (not answer or len(lost) >= MANY)
    if many and not ws.executor.absent_means_ended and _is_doubtful(ws, known, lost, now):
        what = f"a list without {len(lost)} of" if answer else "an empty list, although"
        doubted = _failed(known, now, f"{what} {len(there)} jobs{'' if answer else ' should be there'}")
        return doubted._replace(empties=known.empties + 1)
    absent = {
        **{i: known.absent[i] for i in unheard if i in known.absent},
        **update_absence(known.absent, expected.keys() - unheard, seen, now),
    }
    trouble = "; ".join(f"{queue_name(queue).shown}: {error}" for queue, error in silent.items())
    return PollState(now, answer, absent, tried_at=now, rev=rev, error=trouble)


def _checked(answer: Mapping[str, LiveJob]) -> dict[str, LiveJob]:
    """A poll's answer, if it is what a poll must answer. Raises SchedulerError."""
    for id_, job in answer.items():
        if not isinstance(id_, str) or not isinstance(job, LiveJob):
            raise SchedulerError(f"the poll gave {job!r:.100} for {id_!r}, not a LiveJob under its id")
    return dict(answer)


def _failed(known: PollState, now: float, error: str) -> PollState:
    return known._replace(
        failing_since=known.failing_since or now, failures=known.failures + 1, error=error, tried_at=now
    )


def _is_doubtful(ws: Project, known: PollState, there: list[str], now: float) -> bool:
    """Return whether a list without these jobs is not to believe yet: nobody tells how they ended."""
    since = now - (known.failing_since or now)
    often = known.empties + 1 >= BELIEVE_EMPTY and since >= BELIEVE_AFTER * ws.settings.poll.grace
    return not often and not _have_ended(ws, there[:: max(len(there) // _SAMPLE, 1)])


def _have_ended(ws: Project, ids: list[str]) -> bool:
    """Return whether the accounts say that these jobs have all ended: then an empty queue is no wonder."""
    try:
        return len(ws.executor.get_exit_info(ids, time.time() - 30 * 86400.0)) == len(ids)
    except Exception as error:  # noqa: BLE001 - a user's own executor may raise anything
        log.info("%s cannot tell how jobs ended: %s", ws.executor.name, error)
        return False


def update_absence(
    before: AbsentIds, expected: Collection[str], answer: Mapping[str, LiveJob], now: float
) -> AbsentIds:
    """For each expected id: when it was last seen, and in how many polls in a row it was not."""
    absent: dict[str, tuple[float, int]] = {}
    for id_ in expected:
        job = answer.get(id_)
        if job is None or job.state == ENDED:
            seen, polls = before.get(id_, (now, 0))
            absent[id_] = (min(seen, now), polls + 1)  # in the future: by the clock of another host
        else:
            absent[id_] = (now, 0)
    return absent
