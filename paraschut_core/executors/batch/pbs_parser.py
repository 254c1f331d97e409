"""What PBS's commands answer (OpenPBS, PBS Pro; full listings of Torque too), read into our words. Pure."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping, Sequence

from ... import exit_kinds
from ...errors import SchedulerError
from ...model import ENDED, ENDING, HELD, QUEUED, RUNNING, STUCK, DeleteResult, ExitInfo, LiveJob
from ..exit_info import CANCELLED_BY, ending_of, killed_by, only_id, task_of, token_of

_SKEW = 300.0  # seconds by which the scheduler's clock may be behind ours

_STATES = {
    "Q": QUEUED,
    "M": QUEUED,
    "W": QUEUED,
    "T": QUEUED,
    "R": RUNNING,
    "E": ENDING,
    "H": HELD,
    "S": HELD,
    "U": HELD,
    "F": ENDED,
    "X": ENDED,
    "C": ENDED,
}
_REASONS = {
    "M": "moved to another server",
    "W": "waiting for its time",
    "T": "moving to another queue",
    "S": "suspended",
    "U": "suspended",
}

_ID = re.compile(r"[0-9]+(?:\[[0-9]*\])?(?:\.\S*)?")
_HEADER = re.compile(r"^Job I[Dd]\s+User", re.MULTILINE)
_NEVER = "Can Never Run"
_NOT_NOW = re.compile(r"^Not Running: ")
_AT_WORK = re.compile(r"^Job (?:run|was sent|Array Began)")

# Exit_status below zero: what the server or mom did instead of the job's own end (PBS's job.h).
_SPECIAL = {
    -24: ("too many CPUs used", exit_kinds.CPU_LIMIT),
    -25: ("too many CPUs used", exit_kinds.CPU_LIMIT),
    -26: ("out of memory (vmem)", exit_kinds.MEMORY),
    -27: ("out of memory (mem)", exit_kinds.MEMORY),
    -28: ("CPU time limit", exit_kinds.CPU_LIMIT),
    -29: ("time limit", exit_kinds.TIME_LIMIT),
}
_CANNOT_START = 254
_SIGNALLED = 256  # plus the number of the signal


def bare(id_: str) -> str:
    """An id without its server: 12, 12[], 12[3]."""
    return id_.strip().partition(".")[0]


def array_of(id_: str) -> str:
    """The id of a task's array: 12[] of 12[3]."""
    return f"{id_.partition('[')[0]}[]"


def may_be_held(job: LiveJob) -> bool:
    """Return whether this is a task that waits, and nobody knows for what: its array may be on hold."""
    return job.state == QUEUED and not job.reason and task_of(job.id) is not None


def parse_submitted(text: str) -> str | None:
    """The id in qsub's answer: `12.server`, or `25[].server` for an array, perhaps after other lines."""
    return only_id(text, r"([0-9]+)(?:\[\])?(?:\.\S+)?")


# ------------------------------------------------------------------------------------ the queue


def parse_table(text: str) -> dict[str, LiveJob]:
    """Jobs in the answer of `qstat -t -n -1 -s -w -u <user>`: a table, with comments in or between its rows.

    Columns are told by their order, not by their place: wide values push the others aside.
    """
    jobs: dict[str, LiveJob] = {}
    if not text.strip():
        return jobs  # no jobs: not even a header
    lines = iter(text.split("\n"))
    strange = SchedulerError(f"qstat answered what cannot be understood: {text.strip()[:100]!r}")
    if not any(line.startswith("-----") for line in lines):
        raise strange
    last, rows = "", 0
    for line in lines:
        if line[:1].isspace() and line.strip():
            if last in jobs:
                jobs[last] = _commented(jobs[last], line.strip())
            continue
        job = _row(line)
        last = job.id if job else ""
        rows += job is not None
        if job and not job.id.endswith("[]"):
            jobs[job.id] = job
    if not rows and not _HEADER.search(text):
        raise strange
    return jobs


def _row(line: str) -> LiveJob | None:
    """A row: id, user, queue, name, session, nodes, tasks, memory, time, state, elapsed, hosts, comment.

    None for a line of something else, such as a banner. Raises SchedulerError if it is half a row.
    """
    words = line.split() or [""]
    if not _ID.fullmatch(words[0]):
        return None
    # Memory may take two words (`100 b`); the state is the first capital letter by itself after it.
    at = next((i for i, word in enumerate(words) if i > 7 and re.fullmatch(r"[A-Z]", word)), 0)
    if not at:
        if "." not in words[0]:
            return None  # a number, not an id with its server
        raise SchedulerError(f"qstat's answer is cut short or strange: {line[:100]!r}")
    rest = line.split(None, at + 2)[at + 2 :]
    hosts, _, comment = (rest[0] if rest else "").strip().partition(" ")
    id_ = bare(words[0])
    name = words[3].rstrip("*")
    job = LiveJob(
        id_, _STATES.get(words[at], words[at]), "", name, _REASONS.get(words[at], ""), _hosts(hosts)
    )
    return _commented(job._replace(token=token_of(name, task_of(id_))), comment.strip())


def _commented(job: LiveJob, comment: str) -> LiveJob:
    """The job with the scheduler's comment as its reason, unless that only tells that it runs."""
    if comment in ("", "--") or _AT_WORK.match(comment):
        return job
    state = STUCK if comment.startswith(_NEVER) and job.state == QUEUED else job.state
    return job._replace(state=state, reason=_NOT_NOW.sub("", comment))


def _hosts(text: str) -> str:
    """n1+n2 of n1/0*4+n2/3."""
    if text in ("", "--"):
        return ""
    return "+".join(dict.fromkeys(part.partition("/")[0] for part in text.split("+")))


# ------------------------------------------------------------------------------------ whole records


def parse_full(text: str) -> dict[str, dict[str, str]]:
    """Whole records in the answer of qstat -f, with or without wrapped lines: id -> name -> value."""
    records: dict[str, dict[str, str]] = {}
    for block in re.split(r"^Job Id:", text, flags=re.MULTILINE)[1:]:
        head, _, body = block.partition("\n")
        # PBS indents fields with blanks and the rest of a wrapped line with a tab; Slurm's and Torque's
        # look-alikes may indent the fields with a tab.
        if re.search(r"^ +\S+ = ", body, re.MULTILINE):
            body = body.replace("\n\t", "")
        record = records.setdefault(bare(head), {})
        for line in body.split("\n"):
            name, found, value = line.strip().partition(" = ")
            if found:
                record.setdefault(name, value)
    return records


def parse_records(text: str, user: str) -> dict[str, LiveJob]:
    """This user's jobs in the answer of qstat -f: for servers whose qstat has no wide table."""
    if text.strip() and "Job Id:" not in text:
        raise SchedulerError(f"qstat answered what cannot be understood: {text.strip()[:100]!r}")
    jobs: dict[str, LiveJob] = {}
    for id_, record in parse_full(text).items():
        if record.get("Job_Owner", "").partition("@")[0] != user or id_.endswith("[]"):
            continue
        letter, name = record.get("job_state", ""), record.get("Job_Name", "")
        state = _STATES.get(letter, letter)
        if state == QUEUED and record.get("Hold_Types", "n") != "n":
            state = HELD  # a task's array is on hold
        job = LiveJob(id_, state, token_of(name, task_of(id_)), name, _REASONS.get(letter, ""))
        jobs[id_] = _commented(
            job._replace(host=_hosts(record.get("exec_host", ""))), record.get("comment", "")
        )
    return jobs


def parse_endings(text: str, ids: set[str], since: float) -> dict[str, ExitInfo]:
    """Endings of those of `ids` in the answer of qstat -x -f that were queued after `since`."""
    endings: dict[str, ExitInfo] = {}
    for id_, record in parse_full(text).items():
        ended = _STATES.get(record.get("job_state", "")) == ENDED
        if id_ in ids and ended and _queued_at(record) >= since - _SKEW:
            endings[id_] = _ending({**record, "name": record.get("Job_Name", "")})
    return endings


def _queued_at(record: Mapping[str, str]) -> float:
    """Epoch seconds when the job was made; endless if unknown: then it decides nothing."""
    try:
        return time.mktime(time.strptime(record.get("ctime", ""), "%a %b %d %H:%M:%S %Y"))
    except ValueError:
        return float("inf")


def _ending(record: Mapping[str, str]) -> ExitInfo:
    host = _hosts(record.get("exec_host", ""))
    comment = record.get("comment", "")
    terminated = re.search(r"terminated(?: by (\S+?)(?:@|$))?", comment)
    who = terminated[1] if terminated and terminated[1] else ""
    cancelled = f"cancelled by {who}" if who else "cancelled"

    def told(reason: str, kind: str, status: int | None = None, signal: int | None = None) -> ExitInfo:
        facts = {**record, CANCELLED_BY: who} if who else record
        return ExitInfo(reason, status, signal, host, facts, kind, exit_kinds.ACCOUNT)

    try:
        status = int(record.get("Exit_status", ""))
    except ValueError:
        if terminated:
            return told(cancelled, exit_kinds.CANCELLED)
        return told("ended without an exit status", exit_kinds.UNKNOWN)
    if status in _SPECIAL:
        limit = {-28: "cput", -29: "walltime"}.get(status, "")
        words, kind = _SPECIAL[status]
        return told(f"{words} {record.get(f'Resource_List.{limit}', '')}".rstrip(), kind)
    if status < 0:
        return told(f"could not run: {comment or f'PBS code {status}'}", exit_kinds.NOT_STARTED)
    if terminated:
        return told(
            cancelled, exit_kinds.CANCELLED, None, status - _SIGNALLED if status > _SIGNALLED else None
        )
    if status > _SIGNALLED:
        return killed_by(status - _SIGNALLED, host, record)
    if status == _CANNOT_START:
        return told(f"could not start its script on {host}", exit_kinds.NOT_STARTED, status)
    ending = ending_of(status, host, record)
    # A job that PBS ended itself says so above, whatever its status.
    return ending._replace(kind=exit_kinds.COMPLETED) if status == 0 else ending


def parse_queues(text: str) -> Iterator[str]:
    """A line about each queue in the answer of qstat -Q -f."""
    for block in re.split(r"^Queue:", text, flags=re.MULTILINE)[1:]:
        head, _, body = block.partition("\n")
        queue = dict(line.strip().partition(" = ")[::2] for line in body.split("\n"))
        closed = [word for word in ("enabled", "started") if queue.get(word, "no").lower() in ("no", "false")]
        limits = [
            f", {name.removeprefix('resources_max.')} up to {value}"
            for name, value in queue.items()
            if name.startswith(("resources_max.", "max_queued", "max_run"))
        ]
        state = "not " + " and not ".join(closed) if closed else "open"
        yield f"queue {head.strip()}: {state}{''.join(limits)}"


# ------------------------------------------------------------------------------------ deleting

_FAILED = re.compile(r"qdel: (.*\S)\s+([0-9]+(?:\[[0-9-]*\])?)(?:\.\S+)?")
_GONE = re.compile(r"Unknown Job Id|Job has finished|Request invalid for (?:finished|state)")


def ranges(ids: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """Ids as qdel takes them one by one: 12, 12[3], or 12[3-9] for tasks in a row; and whom each means."""
    tasks: dict[str, list[int]] = {}
    for id_ in dict.fromkeys(ids):
        task = task_of(id_)
        if task is None:
            yield id_, [id_]
        else:
            tasks.setdefault(id_.partition("[")[0], []).append(task)
    for job, numbers in tasks.items():
        row: list[int] = []
        for number in [*sorted(numbers), -1]:
            if row and number != row[-1] + 1:
                word = f"{job}[{row[0]}]" if len(row) == 1 else f"{job}[{row[0]}-{row[-1]}]"
                yield word, [f"{job}[{n}]" for n in row]
                row = []
            row.append(number)


def parse_deleted(status: int, text: str, ids: Sequence[str]) -> dict[str, DeleteResult]:
    """What qdel made of the jobs that its one argument means: it names only what it could not delete."""
    errors: dict[str, str] = {}
    for_all = ""
    for line in text.split("\n"):
        match = _FAILED.fullmatch(line.strip())
        if match and match[2] in ids:
            errors[match[2]] = match[1]
        elif match or line.strip():
            for_all = match[1] if match else line.strip()
    if status != 0 and not errors:
        for_all = for_all or f"qdel: exit status {status}"
    outcome: dict[str, DeleteResult] = {}
    for id_ in ids:
        error = errors.get(id_, for_all if status != 0 and not errors else "")
        gone = not error or bool(_GONE.match(error))
        outcome[id_] = DeleteResult(gone, "" if gone else error)
    return outcome
