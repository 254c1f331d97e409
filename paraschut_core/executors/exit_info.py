"""Names of jobs in a scheduler's queue, and how schedulers and scripts report their ends."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from .. import exit_kinds
from ..errors import UsageError
from ..model import ExitInfo

_NAME = re.compile(r"p([A-Za-z0-9]+)(?:-([0-9]+))?(?:_|$)")
_NUMBER = re.compile(r"(?<![\w.-])[0-9]")  # a word that begins with a digit
_ILLEGAL = re.compile(r"[^A-Za-z0-9._+-]+")

# Messages that a scheduler writes into a job's log about its end, where its accounts report nothing. A group
# is the limit in seconds.
_MESSAGES = (
    (re.compile(r"cput .* exceeded limit ([0-9]+)"), "CPU time limit", exit_kinds.CPU_LIMIT),
    (re.compile(r"walltime .* exceeded limit ([0-9]+)"), "time limit", exit_kinds.TIME_LIMIT),
    (re.compile(r"DUE TO TIME LIMIT", re.IGNORECASE), "time limit", exit_kinds.TIME_LIMIT),
    (
        re.compile(r"memory limit|oom[-_ ]kill|out of memory|mem .* exceeded limit", re.IGNORECASE),
        "out of memory",
        exit_kinds.MEMORY,
    ),
    (re.compile(r"DUE TO NODE FAILURE", re.IGNORECASE), "node failed", exit_kinds.NODE),
    (re.compile(r"DUE TO PREEMPTION", re.IGNORECASE), "preempted", exit_kinds.PREEMPTED),
)


CANCELLED_BY = "cancelled_by"
"""The key of a record that names who cancelled a job."""

# ------------------------------------------------------------------------------------ names


def job_name(group: str, number: int | None, name: str, limit: int) -> str:
    """A job's name in the queue: the token first, so that what is cut off is not needed.

    Args:
        number: the job's number in its group; None for an array, whose tasks tell theirs themselves.
    """
    token = f"p{group}" if number is None else f"p{group}-{number}"
    if len(token) > limit:
        raise UsageError(f"the token of {group} does not fit into a job's name of {limit} characters.")
    rest = _ILLEGAL.sub("_", name.replace("/", "-")).strip("_")
    return f"{token}_{rest}"[:limit].rstrip("_") if rest else token


def token_of(name: str, task: int | None = None) -> str:
    """The token in the name of a job in the queue, or of a task of an array; '' if it is none of ours."""
    match = _NAME.match(name)
    number = match[2] if match and task is None else task
    return f"{match[1]}-{number}" if match and number is not None else ""


def only_id(text: str, pattern: str) -> str | None:
    """The id in a submit command's answer: the one line that `pattern` matches, whose group 1 it is.

    None if there is none, or another number beside it: then which of them is the id is anybody's guess.
    """
    lines = [line.strip() for line in text.split("\n")]
    found = [match for line in lines if (match := re.fullmatch(pattern, line))]
    return found[0][1] if len(found) == 1 == sum(map(holds_number, lines)) else None


def holds_number(text: str) -> bool:
    """Return whether a word of it begins with a digit, as ids do."""
    return bool(_NUMBER.search(text))


def task_of(id_: str) -> int | None:
    """The task's number in an id such as 12_3, 12.3 or 12[3]; None outside of an array."""
    match = re.fullmatch(r"[0-9]+[_.\[]([0-9]+)\]?", id_)
    return int(match[1]) if match else None


# ------------------------------------------------------------------------------------ endings


class ExitRecord(NamedTuple):
    """How a job ended, as its own script saw it. Times are epoch seconds."""

    id: str
    token: str
    status: int
    signal: str
    host: str
    started: float
    ended: float
    note: str


def signal_number(name: str) -> int | None:
    """9 for KILL."""
    import signal

    found = getattr(signal, f"SIG{name}", None)
    return None if found is None else int(found)


def ending_of(status: int, host: str = "", record: Mapping[str, Any] | None = None) -> ExitInfo:
    """How a job ended whose script returned `status`: above 128 its command was killed by a signal."""
    if 128 < status < 128 + 65:
        number = status - 128
        return killed_by(number, host, record)
    return ExitInfo(
        f"exit status {status}", status, None, host, record or {}, exit_kinds.EXIT, exit_kinds.ACCOUNT
    )


def killed_by(number: int, host: str = "", record: Mapping[str, Any] | None = None) -> ExitInfo:
    reason = f"killed by signal {number} ({exit_kinds.signal_name(number)})"
    return ExitInfo(reason, None, number, host, record or {}, exit_kinds.SIGNAL, exit_kinds.ACCOUNT)


def recorded(record: ExitRecord) -> ExitInfo:
    """Return how a job ended, as its own script recorded it."""
    ending = ending_of(record.status, record.host, record._asdict())._replace(source=exit_kinds.SCRIPT)
    if record.note:
        return ending._replace(reason=f"{record.note} on {record.host}", kind=exit_kinds.NOT_STARTED)
    if not record.signal:
        return ending
    reason = f"{ending.reason} after SIG{record.signal} from the scheduler"
    if record.status == 0 and exit_kinds.ends_a_job(record.signal):
        number = signal_number(record.signal)
        return ending._replace(reason=reason, signal=number, kind=exit_kinds.SIGNAL, confirmed=False)
    return ending._replace(reason=reason) if record.status != 0 else ending


def with_messages(ending: ExitInfo, messages: str) -> ExitInfo:
    """Return the ending, made more precise by the scheduler's messages in the log ('': there are none)."""
    if not messages:
        return ending
    ending = ending._replace(record={**ending.record, "log": messages})
    cause = _cause_in(messages) if ending.kind in exit_kinds.VAGUE or _is_anonymous(ending) else None
    if cause is None:
        return ending
    source = ending.source if ending.source == exit_kinds.ACCOUNT else exit_kinds.LOG
    return ending._replace(reason=cause[0], kind=cause[1], source=source)


def _is_anonymous(ending: ExitInfo) -> bool:
    """Whether a job was cancelled, and the account does not tell by whom: it may have been the scheduler."""
    return ending.kind == exit_kinds.CANCELLED and not ending.record.get(CANCELLED_BY)


def by_messages(messages: str) -> ExitInfo | None:
    """Return how a job ended by the scheduler's messages in its log alone; None if they do not tell."""
    cause = _cause_in(messages)
    return cause and ExitInfo(cause[0], None, None, "", {"log": messages}, cause[1], exit_kinds.LOG)


def _cause_in(messages: str) -> tuple[str, str] | None:
    """Return the reason that a scheduler's messages give, and its kind."""
    from .resources import clock

    for pattern, words, kind in _MESSAGES:
        if match := pattern.search(messages):
            return (f"{words} {clock(int(match[1]))}" if match.groups() else words), kind
    return None
