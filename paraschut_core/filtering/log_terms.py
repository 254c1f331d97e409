"""What a filter's `log:` terms search: the latest logs of a job."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ..logs import FILE, LogError, Pattern, find_next, open_log, stat_log
from ..model import JobInfo, Spawn
from .language import LogTerm


def latest_logs(info: JobInfo, spawns: Sequence[Spawn] = ()) -> dict[str, str]:
    """Return the logs of a job's latest attempt and of its spawns, by the log viewer's names for them."""
    logs: dict[str, str] = {}
    for name in ("stderr", "stdout"):
        value = info.get(name)
        if isinstance(value, (list, tuple)):
            value = value[-1] if value else None
        if isinstance(value, str) and value:
            logs[name] = value
    own = set(logs.values())
    for spawn in spawns:
        for name, path in (("stderr", spawn.stderr), ("stdout", spawn.stdout)):
            if path and path not in own:
                logs[f"spawn {spawn.spawn_id} {name}"] = path
    return logs


def logs_match(logs: Mapping[str, str], terms: Iterable[LogTerm]) -> bool:
    """Return whether the logs hold what each term wants, and nothing that one excludes.

    Raises:
        SearchAbortedError: a regular expression takes too long.
    """
    return all(any(_contains(path, term.pattern) for path in logs.values()) is term.wanted for term in terms)


def _contains(path: str, pattern: Pattern) -> bool:
    if stat_log(path).kind != FILE:
        return False
    try:
        with open_log(path) as log:
            return find_next(log, pattern, 0) is not None
    except LogError:
        return False
