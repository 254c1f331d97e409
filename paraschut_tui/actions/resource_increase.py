"""More time or memory for jobs that ended because they ran out of it. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from paraschut_core import exit_kinds
from paraschut_core.errors import UsageError
from paraschut_core.executors.resources import clock, parse_time
from paraschut_core.model import JobInfo, JobKey

_TIMES = ("walltime", "cput", "h_rt", "time")
_MEMORIES = ("mem", "pmem", "vmem", "pvmem", "h_vmem", "mem_free")
_SIZE = re.compile(r"(\d+(?:\.\d+)?)(\s*[A-Za-z]*)$")


class ResourceIncrease(NamedTuple):
    """New resources for single jobs, and one line that describes them ("" if there are none)."""

    values: Mapping[JobKey, Mapping[str, Any]] = {}
    words: str = ""


def propose(infos: Iterable[JobInfo], ends: Mapping[JobKey, str]) -> ResourceIncrease:
    """Propose twice the time for jobs that ran out of time, and twice the memory for those without enough.

    Args:
        infos: the jobs' metadata.
        ends: how each ended: a code of exit_kinds.
    """
    values: dict[JobKey, dict[str, Any]] = {}
    seen: Counter[tuple[str, str, str]] = Counter()
    for info in infos:
        key = JobKey(info["BatchID"], info["JobIndex"])
        resources = info.get("resources")
        if not isinstance(resources, Mapping):
            continue
        for name, double in _wanted(ends.get(key, "")):
            old = resources.get(name)
            new = double(old)
            if new is not None:
                values.setdefault(key, {})[name] = new
                seen[name, str(old), str(new)] += 1
    parts = [f"{name} from {old} to {new} for {n}" for (name, old, new), n in seen.most_common(4)]
    return ResourceIncrease(values, f"Raise {', '.join(parts)}" if parts else "")


def _wanted(kind: str) -> list[tuple[str, Any]]:
    if kind in (exit_kinds.TIME_LIMIT, exit_kinds.CPU_LIMIT, exit_kinds.DEADLINE):
        return [(name, _double_time) for name in _TIMES]
    if kind == exit_kinds.MEMORY:
        return [(name, _double_size) for name in _MEMORIES]
    return []


def _double_time(value: object) -> str | None:
    if value is None or value == "":
        return None
    try:
        return clock(2 * parse_time(value))
    except UsageError:
        return None  # an unknown format: leave the time unchanged


def _double_size(value: object) -> object:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return value * 2
    match = _SIZE.match(value.strip()) if isinstance(value, str) else None
    if match is None:
        return None
    return f"{float(match[1]) * 2:g}{match[2]}"
