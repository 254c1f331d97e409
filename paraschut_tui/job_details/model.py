"""All that is known of a job as a tree of lines: reason, fields, script, scheduler, history. Pure."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from paraschut_core.model import Event, LiveJob, MissingJob, Spawn
from paraschut_core.sanitize import clean_line, plural

from ..actions.types import JobRecord
from ..formatting import duration
from ..widgets.styled_line import Part, width_of
from .script_text import ScriptText
from .value_format import ChildValue, Path, has_inside, inside, shown

_FIRST = ("name", "batch_type", "state", "priority", "attempt", "queue", "script")
_OURS = frozenset(
    {
        "BatchID",
        "JobIndex",
        "submit_id",
        "ClusterID",
        "hostname",
        "subtime",
        "cwd",
        "folder",
        "stdout",
        "stderr",
    }
)
_APART = frozenset({"resources", "qstat", "rev", "SpawnID", "spawn_state", "unreadable"})
_NAME = 24  # columns of a field's name at most


class DetailNode(NamedTuple):
    """One line, with what is under it.

    `key` identifies it through all refreshes; `inner` makes what is under it (None: nothing), once it is
    opened; `opened` tells whether it is open unless somebody closes it. `value` is what copying takes,
    `path` where in the metadata it is (None: it is not of the metadata).
    """

    key: tuple[object, ...]
    parts: tuple[Part, ...]
    inner: Callable[[], list[DetailNode]] | None = None
    opened: bool = False
    value: object = None
    path: Path | None = None


class JobDetailsData(NamedTuple):
    """What the details show: a job's record, what scheduler and monitor say, and what was read for it.

    `refused`: it is held back because the scheduler refused jobs of its batch. `script` and `summary` (the
    scheduler's own record) are None until they are read.
    """

    record: JobRecord
    live: LiveJob | None = None
    missing: MissingJob | None = None
    held_back: str = ""
    script: ScriptText | None = None
    summary: Mapping[str, object] | None = None
    refused: bool = False


def dossier(sight: JobDetailsData, now: float) -> list[DetailNode]:
    """The tree's first level."""
    record = sight.record
    info = record.info
    nodes = list(_reason(sight, now))
    if "unreadable" in info:
        nodes.append(DetailNode(("unreadable",), ((clean_line(info["unreadable"]), "error"),)))
    nodes += _fields("job", _ordered(info), opened=True, script=sight.script)
    if info.get("resources") is not None:
        nodes.append(_field("resources", info["resources"], ("resources",), 0, opened=True))
    own = [name for name in info if name not in _OURS | _APART and name not in _FIRST]
    nodes += _fields("fields", {name: info[name] for name in own}, opened=True)
    nodes.append(_scheduler(sight))
    if record.spawns:
        nodes.append(_spawns(record.spawns))
    if record.events:
        nodes.append(_history(record.events))
    return nodes


def flat(
    nodes: Sequence[DetailNode], is_open: Callable[[DetailNode], bool], depth: int = 0
) -> Iterator[tuple[int, DetailNode]]:
    """The lines that are to be seen, with their depths."""
    for node in nodes:
        yield depth, node
        if node.inner is not None and is_open(node):
            yield from flat(node.inner(), is_open, depth + 1)


# --------------------------------------------------------------------------- why


def _reason(sight: JobDetailsData, now: float) -> Iterator[DetailNode]:
    missing, live = sight.missing, sight.live
    if missing is not None:
        facts = []
        if missing.exit_status is not None:
            facts.append(f"exit status {missing.exit_status}")
        if missing.signal is not None:
            facts.append(f"signal {missing.signal}")
        facts = [fact for fact in facts if fact not in missing.reason]
        if missing.since:
            facts.append(f"last heard of {_moment(missing.since)} ({duration(now - missing.since)} ago)")
        reason = clean_line(missing.reason, 400) or "nobody knows why"
        parts = [("missing  ", "error"), (reason, "error"), ("  " + ", ".join(facts), "muted")]
        yield DetailNode(("reason",), tuple(parts), value=reason)
    elif live is not None and live.reason:
        parts = [("waits  ", "warning"), (clean_line(live.reason, 400), "warning")]
        yield DetailNode(("reason",), tuple(parts), value=live.reason)
    elif sight.held_back and sight.record.info.get("state") == "init":
        role = "error" if sight.refused else "warning"
        words = "" if sight.refused else "held back  "
        parts = [(words, role), (clean_line(sight.held_back, 400), role)]
        yield DetailNode(("reason",), tuple(parts), value=sight.held_back)


# --------------------------------------------------------------------------- fields


def _ordered(info: Mapping[str, object]) -> dict[str, object]:
    names = [name for name in _FIRST if name in info] + [name for name in info if name in _OURS]
    return {name: info[name] for name in names}


def _fields(
    name: str, values: Mapping[str, object], *, opened: bool, script: ScriptText | None = None
) -> list[DetailNode]:
    if not values:
        return []

    def inner() -> list[DetailNode]:
        width = min(max(len(clean_line(field, _NAME)) for field in values), _NAME)
        return [
            _script(values[field], script, width)
            if field == "script"
            else _field(field, values[field], (field,), width)
            for field in values
        ]

    return [DetailNode((name,), ((name, "bold"),), inner, opened)]


def _field(name: str, value: object, path: Path | None, width: int, *, opened: bool = False) -> DetailNode:
    """A value with its name; what is inside it is made when it is opened."""
    label = clean_line(name, _NAME)
    head = (label.ljust(width) + "  ", "muted") if width else (label + "  ", "bold")
    text, kind, role = shown(value)
    parts: list[Part] = [head]
    if text:
        parts.append((text, role))
    if kind:
        parts.append((f"  {kind}" if text else kind, "muted"))
    key = ("value", *(path or (name,)))
    return DetailNode(key, tuple(parts), _opener(value, path, key), opened, value, path)


def _opener(
    value: object, path: Path | None, key: tuple[object, ...], page: int | None = None
) -> Callable[[], list[DetailNode]] | None:
    if not has_inside(value):
        return None

    def inner() -> list[DetailNode]:
        parts = inside(value, path or (), page)
        width = min(max((len(part.name) for part in parts), default=0), _NAME)
        return [_part(part, value, path, key, place, width) for place, part in enumerate(parts)]

    return inner


def _part(
    part: ChildValue, whole: object, path: Path | None, key: tuple[object, ...], place: int, width: int
) -> DetailNode:
    if part.value is whole and part.path is None:  # a page of it
        own = (*key, "page", part.start)
        return DetailNode(own, ((part.name, "muted"),), _opener(whole, path, own, part.start))
    if isinstance(whole, str):
        return DetailNode((*key, place), ((clean_line(part.value), "text"),), value=part.value)
    node = _field(part.name, part.value, part.path if path is not None else None, width or 1)
    return node._replace(key=(*key, part.path[-1] if part.path else place))


def _script(value: object, script: ScriptText | None, width: int) -> DetailNode:
    """The command line, and under it the file's text."""
    node = _field("script", value, ("script",), width)
    if script is None or not script.path:
        return node

    def inner() -> list[DetailNode]:
        nodes = [DetailNode(("script", "path"), ((clean_line(script.path), "muted"),), value=script.path)]
        digits = len(str(len(script.lines)))
        for number, parts in enumerate(script.lines, 1):
            line = ((f"{number:>{digits}}  ", "muted"), *parts)
            nodes.append(DetailNode(("script", number), line, value="".join(text for text, _ in parts)))
        if script.note:
            nodes.append(DetailNode(("script", "note"), ((clean_line(script.note), "warning"),)))
        return nodes

    size = plural(len(script.lines), "line") if script.lines else ""
    return node._replace(inner=inner, parts=(*node.parts, (f"  {size}", "muted")))


# --------------------------------------------------------------------------- the scheduler's record


def _scheduler(sight: JobDetailsData) -> DetailNode:
    record, live, info = sight.record, sight.live, sight.record.info
    known: dict[str, object] = {}
    if live is not None:
        known["now"] = {
            name: value for name, value in live._asdict().items() if value and name not in ("token", "ending")
        }
    if sight.summary:
        known["asked"] = sight.summary
    if record.ending is not None:
        ending = {
            name: value for name, value in record.ending._asdict().items() if value not in (None, "", {})
        }
        known["ending"] = ending
    if info.get("qstat"):
        known["qstat"] = info["qstat"]

    def inner() -> list[DetailNode]:
        nodes = [
            _field(_SCHEDULER[name], value, None, 0, opened=True)._replace(key=("scheduler", name))
            for name, value in known.items()
        ]
        if sight.summary is None:
            nodes.append(DetailNode(("scheduler", "asking"), (("asking the scheduler", "muted"),)))
        elif not nodes:
            nodes.append(DetailNode(("scheduler", "none"), (("the scheduler knows nothing of it", "muted"),)))
        return nodes

    words = clean_line(f"{live.state} as {live.id}" if live is not None else "not in the queue")
    return DetailNode(("scheduler",), (("scheduler  ", "bold"), (words, "muted")), inner)


_SCHEDULER = {
    "now": "in the queue now",
    "asked": "the scheduler's record",
    "ending": "how it ended",
    "qstat": "as the job saw it",
}


# --------------------------------------------------------------------------- spawns


def _spawns(spawns: Sequence[Spawn]) -> DetailNode:
    states: dict[str, int] = {}
    for spawn in spawns:
        states[spawn.state] = states.get(spawn.state, 0) + 1
    words = ", ".join(f"{n} {clean_line(state)}" for state, n in states.items())

    def inner() -> list[DetailNode]:
        return [_spawn(spawn, max(len(str(spawn.spawn_id)) for spawn in spawns)) for spawn in spawns]

    return DetailNode(("spawns",), (("spawns  ", "bold"), (f"{len(spawns)}: {words}", "muted")), inner, True)


def _spawn(spawn: Spawn, width: int) -> DetailNode:
    parts: list[Part] = [(f"{spawn.spawn_id:>{width}}  ", "secondary"), (clean_line(spawn.state), "text")]
    if spawn.cluster_id or spawn.submit_id:
        parts.append((f"  as {clean_line(spawn.cluster_id or spawn.submit_id)}", "muted"))
    if spawn.attempt > 1:
        parts.append((f"  attempt {spawn.attempt}", "muted"))
    logs = {name: path for name, path in (("stdout", spawn.stdout), ("stderr", spawn.stderr)) if path}

    def inner() -> list[DetailNode]:
        return [
            _field(name, path, None, 6)._replace(key=("spawns", spawn.spawn_id, name))
            for name, path in logs.items()
        ]

    return DetailNode(("spawns", spawn.spawn_id), tuple(parts), inner if logs else None)


# --------------------------------------------------------------------------- history


def _history(events: Sequence[Event]) -> DetailNode:
    def inner() -> list[DetailNode]:
        nodes: list[DetailNode] = []
        numbers = itertools.count()
        before: Event | None = None
        # What fits most lines; a longer one moves its neighbours only.
        width = min(max(len(_change(event)) for event in events), 22)
        for event in events:
            nodes.append(_event(event, before, next(numbers), width))
            before = event
        return nodes

    return DetailNode(
        ("history",), (("history  ", "bold"), (plural(len(events), "event"), "muted")), inner, True
    )


def _event(event: Event, before: Event | None, number: int, width: int) -> DetailNode:
    """When, how long after the event before, what became of the job, why, and by whom."""
    first = before is None or before.attempt != event.attempt
    gap = f"+{duration(event.at - before.at)}" if before is not None else ""
    parts: list[Part] = [
        (f"{_moment(event.at)} ", "muted"),
        (f"{gap:>7}  ", "muted"),
        (
            f"{event.attempt:>2}  ",
            "secondary" if first else "muted",
        ),
        (_change(event).ljust(width) + "  ", "text"),
        (clean_line(event.why, 200), "text"),
        (f"  {clean_line(event.who, 60)}", "muted"),
    ]
    changed = event.detail.get("changed")
    inner = None
    if isinstance(changed, Mapping) and changed:
        inner = _changes(changed, ("history", number))
    return DetailNode(("history", number), tuple(parts), inner, value="".join(text for text, _ in parts))


def _change(event: Event) -> str:
    if event.after is None or event.after == event.before:
        return clean_line(event.before or "", 40)
    return clean_line(f"{event.before} → {event.after}" if event.before else event.after, 40)


def _changes(changed: Mapping[str, object], key: tuple[object, ...]) -> Callable[[], list[DetailNode]]:
    """What an event changed: each field before and after."""

    def inner() -> list[DetailNode]:
        nodes = []
        for name, pair in changed.items():
            old, new = pair if isinstance(pair, (list, tuple)) and len(pair) == 2 else (None, pair)
            texts = [shown(value).text or shown(value).kind for value in (old, new)]
            parts = ((clean_line(name, _NAME) + "  ", "muted"), (f"{texts[0]} → {texts[1]}", "text"))
            nodes.append(DetailNode((*key, name), parts))
        return nodes

    return inner


def _moment(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))


def text_of(node: DetailNode) -> str:
    """A line without its colours."""
    return "".join(text for text, _ in node.parts)


def width_of_node(node: DetailNode) -> int:
    """Columns that a line takes."""
    return width_of(node.parts)
