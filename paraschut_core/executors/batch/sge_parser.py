"""What Grid Engine's commands answer, read into our words. Pure."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ... import exit_kinds
from ...errors import SchedulerError
from ...model import ENDED, ENDING, HELD, QUEUED, RUNNING, STUCK, DeleteResult, ExitInfo, LiveJob
from ..exit_info import ending_of, killed_by, only_id, token_of
from ..resources import clock

_SKEW = 300.0  # seconds by which the scheduler's clock may be behind ours

# Letters of a state, the telling ones first: Eqw, dr, hr, Rr and so on combine them.
_LETTERS = (
    ("E", STUCK, "in error state"),
    ("d", ENDING, "being deleted"),
    ("z", ENDED, ""),
    ("s", HELD, "suspended"),
    ("S", HELD, "suspended with its queue"),
    ("T", HELD, "suspended by a threshold"),
    ("N", HELD, "suspended"),
    ("r", RUNNING, ""),
    ("t", RUNNING, ""),
    ("h", HELD, "on hold"),
    ("R", QUEUED, "started anew"),
    ("q", QUEUED, ""),
    ("w", QUEUED, ""),
)

_GONE = re.compile(
    r"(?:registered|deleted|forced the deletion of) (?:the )?job(?:-array task)? ([0-9.]+)"
    r"|job ([0-9.]+) is already in deletion"
    r"|job \"([0-9.]+)\"(?: task \"([0-9]+)\")? does not exist"
)
_GONE_TASKS = re.compile(r"deleted job-array tasks ([0-9,:-]+) of job ([0-9]+)")

_MOST_TASKS = 10_000_000

_DETAIL = re.compile(r"([a-z][\w ]*):(.*)")

_END = "</job_info>"

# What comes before and after the message in "error reason": a time, [uid:pid], and a dump of variables.
_REASON = re.compile(r"error reason\s+([0-9]+):\s+(?:\S+ \S+ \[[0-9:]+\]: )?(?:error: )?(.*)")
_REASON_TAIL = re.compile(r" KRB5CCNAME=.*$")


def parse_submitted(text: str) -> str | None:
    """The id in the answer of qsub -terse: `3`, or `5.1-9:2` for an array, perhaps after warnings."""
    return only_id(text, r"([0-9]+)(?:\.[0-9]+-[0-9]+:[0-9]+)?")


def parse_qstat(text: str, user: str = "") -> dict[str, LiveJob]:
    """Jobs in the answer of qstat -xml (of one user, if named), each waiting task by itself.

    Raises SchedulerError if it is no such answer.
    """
    from xml.etree import ElementTree

    start, end = text.find("<?xml"), text.rfind(_END)  # a site's banner may stand around them
    xml = text[start : end + len(_END)] if 0 <= start < end else text
    try:
        # One of its own faults: `<` in a name comes out as an entity that does not exist.
        root = ElementTree.fromstring(xml.replace("%lt;", "&lt;"))
    except ElementTree.ParseError as error:
        raise SchedulerError(f"qstat answered what cannot be understood ({error}): {text[:100]!r}") from error
    if root.tag != "job_info" or root.find("queue_info") is None:
        raise SchedulerError(f"qstat answered something else: <{root.tag}>")
    jobs: dict[str, LiveJob] = {}
    for entry in root.iter("job_list"):
        if user and entry.findtext("JB_owner", user) != user:
            continue
        number, letters = entry.findtext("JB_job_number", ""), entry.findtext("state", "")
        name, tasks = entry.findtext("JB_name", ""), entry.findtext("tasks")
        host = entry.findtext("queue_name", "").partition("@")[2]
        state, reason = live_state(letters)
        if not number.isdigit():
            raise SchedulerError(f"qstat answered a job without a number: {name[:100]!r}")
        if tasks is None:
            jobs[number] = LiveJob(number, state, token_of(name), name, reason, host)
        else:
            for task in numbers(tasks):
                id_ = f"{number}.{task}"
                jobs[id_] = LiveJob(id_, state, token_of(name, task), name, reason, host)
    return jobs


def live_state(letters: str) -> tuple[str, str]:
    """Our word for a state such as hqw, and its reason; Grid Engine's own where it has none."""
    for letter, state, reason in _LETTERS:
        if letter in letters:
            return state, reason
    return letters or "unknown", ""


def numbers(ranges: str) -> list[int]:
    """The numbers in 1,2,5-10:1."""
    found: list[int] = []
    for part in ranges.split(","):
        if match := re.fullmatch(r"([0-9]+)(?:-([0-9]+)(?::([0-9]+))?)?", part.strip()):
            first = int(match[1])
            tasks = range(first, int(match[2] or first) + 1, max(int(match[3] or 1), 1))
            if len(tasks) > _MOST_TASKS:
                raise SchedulerError(f"{part.strip()[:100]!r} are more tasks than any array has.")
            found += tasks
    return found


def parse_reasons(text: str) -> dict[str, str]:
    """Why jobs are in error state, from the text of qstat -j: by id, and by id.task."""
    reasons: dict[str, str] = {}
    number = ""
    for line in text.split("\n"):
        if line.startswith("job_number:"):
            number = line.partition(":")[2].strip()
        elif match := _REASON.match(line):
            said = _REASON_TAIL.sub("", match[2]).strip()
            reasons[f"{number}.{match[1]}"] = said
            reasons.setdefault(number, said)
    return reasons


def parse_details(text: str) -> dict[str, Any]:
    """The fields of the first job in the text of qstat -j, perhaps with lines of a banner around them."""
    fields: dict[str, Any] = {}
    start = re.search(r"^job_number:", text, re.MULTILINE)
    for line in text[start.start() :].split("\n") if start else ():
        if line.startswith("==="):
            break
        if match := _DETAIL.match(line):
            fields.setdefault(match[1].strip(), match[2].strip())
    return fields


def parse_deleted(status: int, text: str, ids: Sequence[str]) -> dict[str, DeleteResult]:
    """What qdel made of each id; its messages come on standard output."""
    gone: set[str] = set()
    errors: dict[str, str] = {}
    other = ""
    for line in text.split("\n"):
        matches = list(_GONE.finditer(line))
        for match in matches:
            job = match[1] or match[2] or match[3]
            gone.add(f"{job}.{match[4]}" if match[4] else job.rstrip("."))
        if tasks := _GONE_TASKS.search(line):
            gone.update(f"{tasks[2]}.{task}" for task in numbers(tasks[1]))
        elif not matches and line.strip():
            named = re.search(r"job(?:-array task)? \"?([0-9.]+)", line)
            if named:
                errors[named[1].rstrip(".")] = line.strip()
            else:
                other = line.strip()
    outcome: dict[str, DeleteResult] = {}
    for id_ in ids:
        job = id_.partition(".")[0]
        error = errors.get(id_) or errors.get(job, "")
        done = id_ in gone or job in gone or (status == 0 and not error)
        outcome[id_] = DeleteResult(done, "" if done else error or other or f"qdel: exit status {status}")
    return outcome


def parse_queues(text: str) -> Iterator[str]:
    """A line about each queue in the answer of qconf -sq."""
    for block in re.split(r"^(?=qname\s)", text.replace("\\\n", ""), flags=re.MULTILINE)[1:]:
        pairs = (line.split(None, 1) for line in block.split("\n"))
        queue = {pair[0]: " ".join(pair[1].split()) for pair in pairs if len(pair) == 2}
        limit = queue.get("h_rt", "INFINITY").replace("INFINITY", "none")
        yield f"queue {queue.get('qname', '?')}: slots {queue.get('slots', '?')}, time limit {limit}"


# ------------------------------------------------------------------------------------ accounts


_TELLING = frozenset({"jobnumber", "taskid", "failed", "exit_status"})
"""Without one of these, a record is cut short."""


def accounts(text: str) -> Iterator[dict[str, str]]:
    """The records in the answer of qacct -j: name -> value."""
    for block in re.split(r"^=+$", text, flags=re.MULTILINE):
        record: dict[str, str] = {}
        for line in block.split("\n"):
            name, *value = line.split(None, 1) or [""]
            record.setdefault(name, value[0].strip() if value else "")  # a banner may come behind
        if record.keys() >= _TELLING:
            yield record


def account_id(record: Mapping[str, str]) -> str:
    task = record.get("taskid", "")
    return f"{record['jobnumber']}.{task}" if task.isdigit() else record["jobnumber"]


def parse_endings(text: str, ids: set[str], since: float) -> dict[str, ExitInfo]:
    """Endings of those of `ids` in the answer of qacct -j that were submitted after `since`.

    Ids are used again (after a crash of qmaster very soon), so the time of submission decides.
    """
    endings: dict[str, ExitInfo] = {}
    for record in accounts(text):
        id_ = account_id(record)
        if id_ not in ids or _submitted(record.get("qsub_time", "")) < since - _SKEW:
            continue
        ending = _ending(record)
        if ending is None:
            endings.pop(id_, None)
        else:
            endings[id_] = ending
    return endings


def _submitted(text: str) -> float:
    """Epoch seconds of a time in qacct; endless if it is written otherwise: then it decides nothing."""
    for layout in ("%a %b %d %H:%M:%S %Y", "%m/%d/%Y %H:%M:%S"):
        try:
            return time.mktime(time.strptime(text.partition(".")[0], layout))
        except ValueError:
            continue
    return float("inf")


def _ending(record: Mapping[str, str]) -> ExitInfo | None:
    """How a job ended by its account; None if it was put back into the queue."""
    code, _, said = (part.strip() for part in record.get("failed", "0").partition(":"))
    status = _first_number(record.get("exit_status", ""))
    host = record.get("hostname", "")
    facts = {**record, "name": record.get("jobname", "")}

    def ending(reason: str, kind: str) -> ExitInfo:
        return ExitInfo(reason, None, None, host, facts, kind, exit_kinds.ACCOUNT)

    if code == "25":
        return None
    if code == "37":
        return ending(*_limit(record, said))
    if code == "26":
        return ending(f"could not write its log on {host}", exit_kinds.NOT_STARTED)
    if code == "19":
        return ending(f"lost on {host}: nobody saw its end", exit_kinds.NODE)
    if code not in ("0", "100"):
        reason = f"failed on {host}: {said or f'code {code}'}"
        return ending(reason, exit_kinds.UNKNOWN)._replace(exit_status=status or None)
    if code == "100" and status > 128:
        return killed_by(status - 128, host, facts)
    return ending_of(status, host, facts)


def _limit(record: Mapping[str, str], said: str) -> tuple[str, str]:
    """Which of the limits it was, and the kind of it: qacct names all three together."""
    asked = dict(re.findall(r"(h_rt|h_cpu|h_vmem)=(\w+)", record.get("category", "")))
    for name, used, words, kind in _TIMES:
        limit = asked.get(name, "")
        if limit.isdigit() and _first_number(record.get(used, "")) >= int(limit):
            return f"{words} {clock(int(limit))}", kind
    return ("out of memory (h_vmem)", exit_kinds.MEMORY) if "h_vmem" in asked else (said, exit_kinds.UNKNOWN)


_TIMES = (
    ("h_rt", "ru_wallclock", "time limit", exit_kinds.TIME_LIMIT),
    ("h_cpu", "cpu", "CPU time limit", exit_kinds.CPU_LIMIT),
)


def _first_number(text: str) -> int:
    match = re.match(r"[0-9]+", text)
    return int(match[0]) if match else 0
