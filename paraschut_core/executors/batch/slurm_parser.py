"""What Slurm's commands answer, read into our words. Pure, but for the names of users."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ... import exit_kinds
from ...errors import SchedulerError, UsageError
from ...identity import user_name
from ...model import ENDED, ENDING, HELD, QUEUED, RUNNING, STUCK, DeleteResult, ExitInfo, LiveJob
from ..exit_info import CANCELLED_BY, ending_of, killed_by, only_id, token_of
from ..resources import clock, parse_time

_STATES = {
    "PENDING": QUEUED,
    "CONFIGURING": QUEUED,
    "POWER_UP_NODE": QUEUED,
    "REQUEUED": QUEUED,
    "REQUEUE_FED": QUEUED,
    "EXPEDITING": QUEUED,
    "REQUEUE_HOLD": HELD,
    "RESV_DEL_HOLD": HELD,
    "SPECIAL_EXIT": HELD,
    "SUSPENDED": HELD,
    "STOPPED": HELD,
    "RUNNING": RUNNING,
    "RESIZING": RUNNING,
    "SIGNALING": RUNNING,
    "REVOKED": RUNNING,  # here: another cluster of the federation started it
    "COMPLETING": ENDING,
    "STAGE_OUT": ENDING,
    "UPDATE_DB": ENDING,
    **dict.fromkeys(
        (
            "BOOT_FAIL",
            "CANCELLED",
            "COMPLETED",
            "DEADLINE",
            "FAILED",
            "LAUNCH_FAILED",
            "NODE_FAIL",
            "OUT_OF_MEMORY",
            "PREEMPTED",
            "RECONFIG_FAIL",
            "TIMEOUT",
        ),
        ENDED,
    ),
}

_HELD = re.compile(r"JobHeld|held|ReservationDeleted", re.IGNORECASE)

# A pending job with one of these never starts unless somebody changes the job or the cluster.
_STUCK = re.compile(
    r"DependencyNeverSatisfied|BadConstraints|InvalidAccount|InvalidQOS|PartitionNodeLimit|PartitionConfig"
    r"|JobLaunchFailure|launch[ _]failed|JobHoldMaxRequeue|requeued[ _]held|AccountNotAllowed|QOSNotAllowed"
    r"|not permitted to use this partition|TimeLimit$|MaxMemPerLimit"
    # More than one job may ask for by a quality of service or an association, or less than it must.
    r"|(?:QOS|Assoc)(?:Max\w*Per(?:Job|Node)\w*|Max\w*PerJob|Min\w+)",
    re.IGNORECASE,
)

_ROW = re.compile(r"[0-9]+[^|\s]*\|[A-Z_]+\|")

QUEUE_FORMAT = "%i|%T|%N|%r|%j"
"""What squeue is asked to show, for `parse_squeue`; the name last, since it may hold the separator."""

_HEADER = "JOBID|STATE|"

ACCOUNT_FIELDS = ("JobID", "State", "ExitCode", "Timelimit", "NodeList", "Submit", "JobName")
"""What sacct is asked to show, for `parse_endings`."""

REMEMBERED_FIELDS = ("JobArrayID", "State", "exit_code", "TimeLimit", "NodeList", "SubmitTime", "Name")
"""The same from squeue, while the controller remembers the job."""


# What Slurm writes where the number of a signal stands, and is none: output files that could not be opened,
# and too much memory.
_IO_FAILED = 53
_OUT_OF_MEMORY = 125


def parse_submitted(text: str) -> str | None:
    """The id in the answer of sbatch --parsable (`12` or `12;cluster`), perhaps after other lines."""
    return only_id(text, r"([0-9]+)(?:;\S+)?")


def parse_where(text: str) -> str:
    """The cluster in such an answer; '' if it names none."""
    found = re.search(r"^\s*[0-9]+;(\S+)\s*$", text, re.MULTILINE)
    return found[1].lower() if found else ""


def parse_squeue(text: str) -> dict[str, LiveJob]:
    """Jobs in squeue's answer to the format `%i|%T|%N|%r|%j`, perhaps with lines of a banner around them.

    Raises:
        SchedulerError: it is another answer, or text with neither a job nor the header.
    """
    jobs: dict[str, LiveJob] = {}
    last = strange = ""
    header = False
    for line in text.split("\n"):
        if not line.strip() or line.startswith("CLUSTER: "):
            continue
        if line.startswith(_HEADER):
            header = True
            continue
        if not _ROW.match(line):
            strange = strange or line
            if not last and line.count("|") >= QUEUE_FORMAT.count("|"):
                break
            continue  # a banner, or the rest of somebody's job name with a newline in it
        fields = line.split("|", 4)
        if len(fields) < 5:
            raise SchedulerError(f"squeue's answer is cut short: {line[:100]!r}")
        last, state, host, reason, name = fields
        task = last.partition("_")[2]
        token = token_of(name, int(task) if task.isdigit() else None)
        shown = "" if reason in ("None", "(null)") else reason
        job = LiveJob(last, live_state(state, reason), token, name, shown, host)
        jobs[last] = (
            job._replace(ending=ending_of(0, host)._replace(kind=exit_kinds.COMPLETED))
            if state == "COMPLETED"
            else job
        )
    if strange and not last and not header:
        raise SchedulerError(f"squeue answered what cannot be understood: {strange[:100]!r}")
    return jobs


def live_state(state: str, reason: str) -> str:
    """Our word for a job's state; Slurm's own where it has none."""
    if state == "PENDING":
        if _STUCK.search(reason):
            return STUCK
        if _HELD.search(reason):
            return HELD
    return _STATES.get(state, state)


def parse_endings(rows: Iterable[str], ids: set[str]) -> dict[str, ExitInfo]:
    """Endings of those of `ids` that have ended, from rows of id|state|code|limit|nodes|submitted|name."""
    endings: dict[str, ExitInfo] = {}
    whole: dict[str, ExitInfo] = {}
    for row in rows:
        fields = row.split("|", 6)
        if len(fields) < 7:
            continue
        state, _, by = fields[1].partition(" by ")
        if _STATES.get(state) != ENDED:
            continue
        record = dict(zip(ACCOUNT_FIELDS, fields, strict=True)) | {"name": fields[6]}
        ending = _ending(state, by, fields[2], fields[3], fields[4], record)
        whole[fields[0]] = ending
        endings |= {id_: ending for id_ in expand(fields[0]) if id_ in ids}
    # Tasks that were cancelled while they waited are told together, under the array's own id.
    for id_ in ids - set(endings):
        if (array := id_.partition("_")[0]) in whole:
            endings[id_] = whole[array]
    return endings


def _ending(state: str, by: str, code: str, limit: str, nodes: str, record: Mapping[str, str]) -> ExitInfo:
    status, number = exit_code(code)
    host = "" if nodes in ("None assigned", "(null)", "N/A") else nodes
    where = f" on {host}" if host else ""
    who = user_name(int(by)) if by.isdigit() else by
    reasons = {
        "TIMEOUT": (f"time limit {_limit(limit)}".rstrip(), exit_kinds.TIME_LIMIT),
        "OUT_OF_MEMORY": (f"out of memory{where}", exit_kinds.MEMORY),
        "NODE_FAIL": (f"node failed: {host or 'unknown'}", exit_kinds.NODE),
        "BOOT_FAIL": (f"node did not boot: {host or 'unknown'}", exit_kinds.NODE),
        "CANCELLED": (f"cancelled by {who}" if who else "cancelled", exit_kinds.CANCELLED),
        "PREEMPTED": (f"preempted{where}", exit_kinds.PREEMPTED),
        "DEADLINE": ("deadline passed", exit_kinds.DEADLINE),
    }

    def told(reason: str, kind: str, signal: int | None = None) -> ExitInfo:
        return ExitInfo(reason, None, signal, host, record, kind, exit_kinds.ACCOUNT)

    if number == _OUT_OF_MEMORY:
        state = "OUT_OF_MEMORY"
    if state in reasons:
        record = {**record, CANCELLED_BY: who} if who else record
        return told(*reasons[state], number if 0 < number < _OUT_OF_MEMORY and number != _IO_FAILED else None)
    if not host:
        return told("failed before it started", exit_kinds.NOT_STARTED)
    if number == _IO_FAILED:
        return told(f"could not write its log{where}: is JobDir there?", exit_kinds.NOT_STARTED)
    if number:
        return killed_by(number, host, record)
    if state not in ("COMPLETED", "FAILED"):
        return told(state.lower().replace("_", " ") + where, exit_kinds.UNKNOWN)
    ending = ending_of(status, host, record)
    return ending._replace(kind=exit_kinds.COMPLETED) if state == "COMPLETED" and status == 0 else ending


def exit_code(code: str) -> tuple[int, int]:
    """Exit status and signal: of sacct's `3:0`, or of the raw wait status that some squeues show."""
    if code.isdigit():
        return int(code) >> 8, int(code) & 0x7F
    status, _, number = code.partition(":")
    return int(status) if status.isdigit() else 0, int(number) if number.isdigit() else 0


def expand(id_: str) -> list[str]:
    """All ids in one such as 10_[3-9%3,12]: pending tasks are told together."""
    match = re.fullmatch(r"([0-9]+)_\[([^\]]*)\]?", id_)
    if match is None:
        return [id_]
    ids = []
    for part in match[2].partition("%")[0].split(","):
        first, _, rest = part.partition("-")
        last, _, step = rest.partition(":")
        if first.isdigit():
            numbers = range(int(first), int(last if last.isdigit() else first) + 1, _step(step))
            ids += [f"{match[1]}_{n}" for n in numbers]
    return ids


def _step(text: str) -> int:
    return max(int(text), 1) if text.isdigit() else 1


def collapse(ids: Sequence[str]) -> list[str]:
    """Ids with the tasks of one array put together: 10_[3-9,12]. scancel sends one request for each."""
    tasks: dict[str, list[int]] = {}
    short: list[str] = []
    for id_ in ids:
        job, found, task = id_.partition("_")
        if not found:
            short.append(id_)
        else:
            tasks.setdefault(job, []).append(int(task))
    for job, numbers in tasks.items():
        parts: list[list[int]] = []
        for n in sorted(set(numbers)):
            if parts and n == parts[-1][1] + 1:
                parts[-1][1] = n
            else:
                parts.append([n, n])
        text = ",".join(f"{a}-{b}" if a != b else f"{a}" for a, b in parts)
        short.append(f"{job}_[{text}]" if len(numbers) > 1 else f"{job}_{text}")
    return short


def parse_deleted(status: int, text: str, ids: Sequence[str]) -> dict[str, DeleteResult]:
    """What scancel made of each id: it says nothing of those that are gone, now or long since."""
    errors = dict(re.findall(r"error on job id ([0-9]+)\S*: (.*)", text))
    if status != 0 and not errors:
        last = (text.strip() or f"scancel: exit status {status}").splitlines()[-1]
        return dict.fromkeys(ids, DeleteResult(False, last))
    outcome = {}
    for id_ in ids:
        error = errors.get(id_.partition("_")[0], "")
        finished = "already complet" in error or "Invalid job id" in error
        outcome[id_] = DeleteResult(not error or finished, "" if finished else error)
    return outcome


def parse_record(line: str) -> dict[str, Any]:
    """The fields in one line of `scontrol show job -o`; values may hold blanks."""
    parts = re.split(r" (?=[A-Za-z][A-Za-z0-9/:_]*=)", line.strip())
    return {name: value for name, found, value in (part.partition("=") for part in parts) if found}


def parse_config(text: str) -> dict[str, str]:
    """The settings in `scontrol show config`."""
    pairs = (line.partition("=") for line in text.splitlines())
    return {name.strip(): value.strip() for name, found, value in pairs if found}


def _limit(limit: str) -> str:
    """A time limit as HH:MM:SS; Slurm writes it in several ways."""
    try:
        return clock(parse_time(limit))
    except UsageError:
        return ""  # UNLIMITED, Partition_Limit: then it was not this job's own
