"""Suggest the state, field or resource that a similar word may mean. Other words stay allowed."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ..model import STATES
from ..near_misses import STATE_SYNONYMS, near
from . import complain
from .context import confirm

if TYPE_CHECKING:
    from ..model import JobKey
    from ..project import Project

_FIELDS = {
    "prio": "priority", "status": "state", "partition": "queue", "resource": "resources", "env": "vars",
    "environment": "vars", "dir": "cwd", "directory": "cwd", "type": "batch_type", "command": "script",
}  # fmt: skip

_RESOURCES = {
    "memory": "mem", "ram": "mem", "memory_mb": "mem", "time": "walltime", "timelimit": "walltime",
    "time_limit": "walltime", "runtime": "walltime", "wall_time": "walltime", "wall": "walltime",
    "cores": "cpus", "core": "cpus", "threads": "cpus", "procs": "cpus", "cpu": "cpus", "ncores": "cpus",
    "gpu": "gpus", "node": "nodes", "prio": "priority",
}  # fmt: skip

_OTHERS_WORDS = {
    "sge": frozenset(("gpu", "h_vmem", "s_vmem", "h_cpu", "s_cpu", "h_rt", "s_rt", "time", "memory")),
    "pbs": frozenset(("ngpus", "procs", "nodect", "ncpus", "file", "software")),
}
"""Words of schedulers whose options are not listed anywhere, that look like others."""

KNOWN_FIELDS = frozenset(
    (
        *("state", "priority", "name", "batch_type", "queue", "resources", "directives", "script", "vars"),
        *("cwd", "stdout", "stderr", "submit_id", "ClusterID", "hostname", "subtime", "result", "data"),
    )
)


def agreed_resources(ws: Project, names: Iterable[str], yes: bool = False) -> bool:
    """Ask about resources that look like others, at a terminal; elsewhere report them. False: not agreed."""
    from ..executors.resources import ResourceRequest

    known = {*ResourceRequest._fields, "smp", "ncpus"} - {"other", "slots"}
    own = _own_words(ws)
    doubts = [
        f"resource {name}: did you mean {meant}?"
        for name in names
        if name not in own and (meant := near(name, sorted(known), _RESOURCES))
    ]
    return _agreed(doubts, yes)


def agreed_fields(ws: Project, keys: Collection[JobKey], fields: Mapping[str, Any], yes: bool) -> bool:
    """Ask about states and fields that look like others, at a terminal; report which fields are new."""
    doubts: list[str] = []
    state = fields.get("state")
    if isinstance(state, str) and not _has_state(ws, state):
        if meant := near(state, STATES, STATE_SYNONYMS):
            doubts.append(f"state {state}: did you mean {meant}?")
        elif state not in STATES:
            complain(f"new state {state or '(empty)'}")
    has = _fields_of(ws, keys)
    for name in fields:
        outer = name.partition(".")[0]
        if outer in KNOWN_FIELDS or outer in has:
            continue
        if meant := near(outer, sorted(KNOWN_FIELDS | has), _FIELDS):
            doubts.append(f"new field {outer}: did you mean {meant}?")
        else:
            complain(f"new field {outer}")
    resources = [name.partition(".")[2] for name in fields if name.startswith("resources.")]
    return _agreed(doubts, yes) and (not resources or agreed_resources(ws, resources, yes))


def at_terminal() -> bool:
    """Return whether stdin is a terminal, so that a question can be asked."""
    return sys.stdin.isatty()


def _agreed(doubts: Collection[str], yes: bool) -> bool:
    if doubts and (yes or not at_terminal()):
        for text in doubts:
            complain(text)
        return True
    return not doubts or confirm(f"{' '.join(doubts)} Use it anyway?", yes)


def _own_words(ws: Project) -> frozenset[str]:
    """The options of the scheduler, where they are known: what is one of them is meant as it is."""
    grammar = getattr(ws.executor, "grammar", None)
    listed: set[str] = set()
    if grammar is not None:
        listed = {
            *grammar.short.values(),
            *grammar.repeated,
            *(one for group in grammar.alike for one in group),
        }
        listed |= {one for pair in grammar.pairs for part in pair for one in part}
    return frozenset(listed) | _OTHERS_WORDS.get(ws.executor.name, frozenset())


def _has_state(ws: Project, state: str) -> bool:
    """Return whether jobs have it already: then it is one of the user's own."""
    return bool(ws.reader.rows("SELECT 1 FROM counter WHERE state = ? LIMIT 1", (state,)))


def _fields_of(ws: Project, keys: Collection[JobKey]) -> set[str]:
    """The fields that the first of some jobs have."""
    from itertools import islice

    from ..database.jobs import read_infos

    return {name for info in read_infos(ws.reader, islice(keys, 20)) for name in info}
