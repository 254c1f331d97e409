"""Resources: the names that all schedulers share, and sizes and times as each of them writes these. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from ..errors import UsageError

TEMPLATE = {"cput": "04:59:00", "mem": "1gb", "pmem": "1gb", "pvmem": "3gb", "vmem": "3gb"}
"""What a job's template shows where nothing is configured; it is documented, and not asked for by itself."""

_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40, "p": 1 << 50}
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(?:([kmgtp])(?:ib?|b|(w))?|b|(w))?", re.IGNORECASE)
_WORD = 8  # bytes in one of PBS's words, as in 2gw

_CLOCK = re.compile(r"(?:([0-9]+)-)?([0-9]+)(?::([0-9]+))?(?::([0-9]+))?")
_SPAN = re.compile(
    r"([0-9]+(?:\.[0-9]+)?)\s*(d(?:ays?)?|h(?:ours?|rs?)?|m(?:in(?:ute)?s?)?|s(?:ec(?:ond)?s?)?)(?![a-z])\s*",
    re.IGNORECASE,
)
_SPANS = {"s": 1, "m": 60, "h": 3600, "d": 86400}

_LONGEST = 40  # characters of a size or time: more are no number that anybody means

_PRIORITY = 1023  # what both Grid Engine and PBS take, in either direction

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class ResourceRequest(NamedTuple):
    """What a job asks for. Sizes are bytes, times seconds; None is "not asked for".

    `mem` is for the whole job on one node; `pmem`, `pvmem` and `vmem` are PBS's limits of one process's
    memory and of virtual memory, `cput` its limit of CPU time. `nodes` is a number, or PBS's own text
    (`1:ppn=4`). `priority` is the scheduler's, not Paraschut's own: below zero, other jobs of the cluster go
    first; above is for its operators. `other` holds what is the scheduler's own, as text.
    """

    cpus: int | None = None
    mem: int | None = None
    walltime: int | None = None
    gpus: str | None = None
    nodes: int | str | None = None
    priority: int | None = None
    cput: int | None = None
    pmem: int | None = None
    pvmem: int | None = None
    vmem: int | None = None
    other: tuple[tuple[str, str], ...] = ()
    slots: int | None = None
    """The CPUs that a directive asks for, where the scheduler counts other resources by them."""


def read(resources: Mapping[str, object] | None, *, bare: int | None = None) -> ResourceRequest:
    """What a job's resources ask for.

    The shared names are cpus (or v0.6's smp, or ncpus), mem, walltime, gpus, nodes, priority, and v0.6's
    cput, pmem, pvmem and vmem; any other is the scheduler's own. A value of None, '' or False asks for
    nothing, and so do no gpus.

    Args:
        bare: bytes that a size without a unit counts; None: such a size is an error, since each
            scheduler would take it for something else.

    Raises:
        UsageError: a value that is no size, time or number, or two names of one thing that differ.
    """
    known: dict[str, int | str] = {}
    other: list[tuple[str, str]] = []
    for name, value in (resources or {}).items():
        if value is None or value is False or value == "":
            continue
        key = "cpus" if name in ("smp", "ncpus") else name
        if key == "gpus" and str(value).strip() in ("0", "0.0"):
            continue
        parsed = _value(key, value, bare)
        if key not in ResourceRequest._fields or key in ("other", "slots"):
            other.append((_own_name(name), str(parsed)))
        elif known.setdefault(key, parsed) != parsed:
            raise UsageError(
                f"resources: {name}={value!r} contradicts {key}={known[key]!r}; keep one of them."
            )
    return ResourceRequest(**known, other=tuple(other))  # type: ignore[arg-type]  # _value gives each field its type


def _value(key: str, value: object, bare: int | None) -> int | str:
    if key == "cpus":
        return _count(key, value)
    if key in ("mem", "pmem", "pvmem", "vmem"):
        return parse_size(value, key, bare=bare)
    if key in ("walltime", "cput"):
        return parse_time(value, key)
    if key == "priority":
        return _priority(value)
    if key == "nodes" and _is_count(value):
        return _count(key, value)
    if key == "gpus" and _is_count(value):
        return str(_count(key, value))
    text = "" if value is True else str(value)
    if _CONTROL.search(text):
        raise UsageError(f"resource {key}={value!r} holds a control character.")
    return text


def _priority(value: object) -> int:
    text = str(value).strip()
    if not re.fullmatch(r"[+-]?[0-9]{1,12}", text) or abs(int(text)) > _PRIORITY:
        raise UsageError(
            f"resource priority={value!r} must be a whole number from -{_PRIORITY} to {_PRIORITY}; "
            "for another scale, use a directive."
        )
    return int(text)


def _own_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise UsageError(f"{name!r} is no name of a resource: letters, digits, '_', '-' and '.' only.")
    return name


def _is_count(value: object) -> bool:
    return isinstance(value, (int, float)) or bool(re.fullmatch(r"\s*[0-9]+\s*", str(value)))


def _count(key: str, value: object) -> int:
    text = str(value).strip()
    number = text[:-2] if text.endswith(".0") else text  # 4.0, as JSON or a spreadsheet may give it
    if not re.fullmatch(r"[0-9]{1,12}", number) or int(number) < 1:
        raise UsageError(f"resource {key}={value!r} must be a whole number above zero.")
    return int(number)


# ------------------------------------------------------------------------------------ sizes


def parse_size(value: object, what: str = "mem", *, bare: int | None = 1) -> int:
    """Bytes of a size such as 500mb, 4gb, 1.5G, 2Gi or PBS's 1gw; units count in 1024s.

    Args:
        what: the resource, for the error.
        bare: bytes that a number without a unit counts; None: it needs a unit (except 0).

    Raises:
        UsageError: it is no size.
    """
    text = str(value).strip()
    match = _SIZE.fullmatch(text) if not isinstance(value, bool) and len(text) <= _LONGEST else None
    if match is None:
        raise UsageError(f"resource {what}={value!r} is not a size; write for example 500mb or 4gb.")
    number, unit, *words = match.groups()
    amount = float(number) if "." in number else int(number)
    if match[0].strip() == number:
        if bare is None and amount:
            raise UsageError(f"resource {what}={value!r} has no unit; write for example {number}mb.")
        return round(amount * (bare or 1))
    return round(amount * _UNITS[(unit or "").lower()] * (_WORD if any(words) else 1))


def mebibytes(size: int) -> int:
    """A size in whole MiB, rounded up: what a job asks for it must get."""
    return -(-size // (1 << 20))


def pbs_size(size: int) -> str:
    """A size as PBS writes it, in the largest unit that leaves no fraction."""
    for unit in ("tb", "gb", "mb", "kb"):
        scale = _UNITS[unit[0]]
        if size and size % scale == 0:
            return f"{size // scale}{unit}"
    return f"{size}b"


# ------------------------------------------------------------------------------------ times


def parse_time(value: object, what: str = "walltime") -> int:
    """Seconds of a time such as 3600, 30:00, 04:59:00, 1-12:00:00, 1-12, 90m, 2 hours or 1d12h.

    A plain number is seconds; two parts are minutes and seconds, after days hours and minutes.

    Raises:
        UsageError: it is no time, or not above zero.
    """
    text = str(value).strip()
    seconds = 0
    if not isinstance(value, bool) and len(text) <= _LONGEST:
        if not _SPAN.sub("", text):
            seconds = round(sum(float(n) * _SPANS[unit[0].lower()] for n, unit in _SPAN.findall(text)))
        elif clock := _CLOCK.fullmatch(text):
            seconds = _clock_seconds(*clock.groups())
        elif isinstance(value, float) and 0 < value < float("inf"):
            seconds = -(-round(value * 1000) // 1000)
    if seconds <= 0:
        raise UsageError(
            f"resource {what}={value!r} is not a time above zero; write seconds, HH:MM:SS, D-HH:MM:SS or 2h."
        )
    return seconds


def _clock_seconds(days: str | None, *parts: str | None) -> int:
    numbers = [int(part) for part in parts if part is not None]
    if days is None:
        numbers = [0] * (3 - len(numbers)) + numbers  # the last part is seconds
    else:
        numbers += [0] * (3 - len(numbers))  # the first part is hours
    hours, minutes, seconds = numbers
    return int(days or 0) * 86400 + hours * 3600 + minutes * 60 + seconds


def clock(seconds: int) -> str:
    """A time as HH:MM:SS; hours are not turned into days."""
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"


def slurm_time(seconds: int) -> str:
    """A time as D-HH:MM:SS."""
    return f"{seconds // 86400}-{clock(seconds % 86400)}"
