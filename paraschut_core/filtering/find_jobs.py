"""Find the jobs that match a filter, in words or in SQL: for the command line and the API."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from ..database.connection import Database
from ..database.jobs import read_infos
from ..database.spawns import read_spawns
from ..errors import FilterError
from ..model import SPAWN, STATES, JobKey
from .language import Query, parse, unknown_words
from .log_terms import latest_logs, logs_match
from .scan import search
from .sql_condition import check, matching_keys
from .sql_terms import meta_term


def _none_missing() -> Collection[JobKey]:
    return ()


def find_jobs(
    database: Database,
    text: str,
    missing: Callable[[], Collection[JobKey]] = _none_missing,
    saved: Mapping[str, str] | None = None,
) -> list[JobKey]:
    """Return the jobs that match a filter, by BatchID and JobIndex.

    A text that SQLite accepts as a condition is one. This keeps `1` and `priority` what they are in 0.6.

    Args:
        database: where the jobs are.
        text: words (`state:missing exit:137`) or an SQL condition; blank means every job.
        missing: returns the missing jobs. It is called only if the filter depends on them.
        saved: filters by the names that they were saved under.

    Raises:
        FilterError: the filter cannot be understood, may not be evaluated, or takes too long.
        DatabaseError: the file cannot be read.
    """
    query = read_filter(database, text, saved)
    if query.is_sql and not query.uses_missing:
        return matching_keys(database, query.condition)
    lost = missing() if query.uses_missing else ()
    parts = search(database, "job.BatchID, job.JobIndex", query.condition, lost)
    keys = sorted(JobKey(*row) for part in parts for row in part.rows)
    return _with_matching_logs(database, query, keys) if query.log else keys


def read_filter(database: Database, text: str, saved: Mapping[str, str] | None = None) -> Query:
    """Parse a filter; a text that SQLite accepts is an SQL condition.

    Raises:
        FilterError: neither can be made of it.
    """
    try:
        check(database, text)
    except FilterError:
        return parse(text, saved=saved, states=known_states(database))
    return Query(text, text, is_sql=True)


def find_unknown_words(database: Database, text: str) -> list[str]:
    """Say which words of a filter are unknown, for one that matches no job.

    Raises:
        FilterError, DatabaseError: see `find_jobs`.
    """
    query = read_filter(database, text)
    return unknown_words(query, [name for name in query.fields if _any_job_has(database, name)])


def _any_job_has(database: Database, field: str) -> bool:
    condition = meta_term(field, None)
    return any(part.rows for part in search(database, "job.JobIndex", condition))


def known_states(database: Database) -> set[str]:
    """Return the states that have a meaning, and those that jobs have."""
    return {*STATES, *(str(state) for (state,) in database.rows("SELECT DISTINCT state FROM counter"))}


def _with_matching_logs(database: Database, query: Query, keys: list[JobKey]) -> list[JobKey]:
    found = []
    for info in read_infos(database, keys):
        key = JobKey(info["BatchID"], info["JobIndex"])
        spawns = read_spawns(database, key) if info["state"] == SPAWN else ()
        if logs_match(latest_logs(info, spawns), query.log):
            found.append(key)
    return found
