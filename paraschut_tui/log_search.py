"""Whether a job's latest log holds some text, for the filter's `log:` terms."""

from __future__ import annotations

from collections.abc import Sequence

from paraschut_core.db.connection import Database
from paraschut_core.db.jobs import read_infos
from paraschut_core.db.spawns import read_spawns
from paraschut_core.logs import LogError, Pattern, find_next, open_log
from paraschut_core.model import JobInfo, JobKey


def log_holds(db: Database, key: JobKey, patterns: Sequence[Pattern]) -> bool:
    """Whether each pattern is somewhere in the stdout or stderr of the job's latest attempt."""
    for info in read_infos(db, [key]):
        paths = latest_logs(info) + [p for s in read_spawns(db, key) for p in (s.stdout, s.stderr) if p]
        return all(any(_in_file(path, pattern) for path in paths) for pattern in patterns)
    return False


def latest_logs(info: JobInfo) -> list[str]:
    """The log files of a job's latest attempt."""
    paths = []
    for name in ("stderr", "stdout"):
        value = info.get(name)
        if isinstance(value, (list, tuple)):
            value = value[-1] if value else None
        if isinstance(value, str) and value:
            paths.append(value)
    return paths


def _in_file(path: str, pattern: Pattern) -> bool:
    try:
        with open_log(path) as log:
            return find_next(log, pattern, 0) is not None
    except LogError:
        return False  # no log (any more): then the text is not in it
