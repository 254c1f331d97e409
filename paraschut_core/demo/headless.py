"""Runs the example to its end without a dashboard, doing what a user would: look, read, repair, check."""

from __future__ import annotations

import collections
import keyword
import os
import time
import tokenize
from collections.abc import Callable
from typing import Any

from ..actions import Selection, resubmit
from ..database.changes import read_batches
from ..database.jobs import read_batch_infos, read_info
from ..errors import ParaschutError
from ..logs import LogError, open_log, tail
from ..model import ENDED, INIT, Batch, JobKey, MissingJob
from ..monitoring import polling
from ..monitoring.liveness import find_missing_jobs
from ..project import Project
from ..sanitize import clean_line
from ..scheduling.priority import submittable
from ..scheduling.submission import Progress, submit_next

LOOK_SECONDS = 0.25
PATIENCE = 300.0
"""Seconds without any job coming to its end before this gives up."""

_TRIES = 2
"""How often one job is repaired: what fails again has another fault than the one it was made with."""


def begin(ws: Project) -> int:
    """Submit what may run now; return how many jobs."""
    return submit_next(ws).submitted


def is_finished(ws: Project) -> bool:
    """Return whether all jobs are complete."""
    batches = read_batches(ws.reader)
    return bool(batches) and all(batch.complete == batch.total for batch in batches.values())


def run_to_end(ws: Project, say: Callable[[str], None], progress: Progress) -> None:
    """Watch until all jobs are complete, and repairs those that are missing.

    Args:
        say: told what is found and done, a line each.
        progress: told (jobs complete, jobs in all).

    Raises:
        ParaschutError: a job fails again and again, or nothing moves any more.
    """
    repaired: collections.Counter[JobKey] = collections.Counter()
    moved, before = time.monotonic(), -1
    while True:
        batches = read_batches(ws.reader)
        done = sum(batch.complete for batch in batches.values())
        total = sum(batch.total for batch in batches.values())
        progress(done, total)
        if done == total:
            _let_end(ws)
            return
        if done != before:
            moved, before = time.monotonic(), done
        elif time.monotonic() - moved > PATIENCE:
            raise ParaschutError(f"No job came to its end for {PATIENCE:g} s; look with: paraschut queue")
        for key, lost in find_missing_jobs(ws, polling.poll_scheduler(ws)).missing.items():
            repaired[key] += 1
            _repair(ws, key, lost, repaired[key], say)
        if _idle(batches):
            begin(ws)
        time.sleep(LOOK_SECONDS)


def _let_end(ws: Project) -> None:
    """Wait a little for the last job's process to end: it has said that it is complete before."""
    end = time.monotonic() + 10.0
    while any(job.state != ENDED for job in polling.poll_scheduler(ws).answer.values()):
        if time.monotonic() > end:
            return
        time.sleep(LOOK_SECONDS)


def _idle(batches: dict[int, Batch]) -> bool:
    """Whether the rules allow jobs that nobody has submitted (the one whose turn it was has failed, say)."""
    groups = submittable(batches.values())
    return any(batches[batch].counts.get((priority, INIT)) for batch, priority in groups)


def _repair(ws: Project, key: JobKey, lost: MissingJob, time_nr: int, say: Callable[[str], None]) -> None:
    info = read_info(ws.reader, key)
    last = last_line(info["stderr"][-1]) if info.get("stderr") else ""
    if time_nr > _TRIES:
        raise ParaschutError(f"Job {key} failed {time_nr} times ({lost.reason}): {last}")
    say(f"missing: job {key} of {'/'.join(info['name'])}: {lost.reason}; its stderr ends: {last}")
    report = resubmit(ws, Selection(keys=(key,)), command="demo --headless")
    if not report.done:
        raise ParaschutError(f"Job {key} cannot be resubmitted: {report.outcomes[0].message}")
    say(f"reset and resubmitted: job {key}")


def last_line(path: str) -> str:
    """The last line of a log that is not blank, to be shown in one line."""
    try:
        with open_log(path) as log:
            rows = [row.text.strip() for row in tail(log, 5)]
    except LogError as error:
        return str(error)
    return clean_line(next((text for text in reversed(rows) if text), "(empty)"), 200)


# ------------------------------------------------------------------------------------ the result


def recount(ws: Project, progress: Progress) -> dict[str, Any]:
    """The pipeline's result, computed here, in one process, from the files alone."""
    files = _input_files(ws)
    total: collections.Counter[str] = collections.Counter()
    for number, path in enumerate(files, 1):
        with tokenize.open(path) as file:
            for token in tokenize.generate_tokens(file.readline):
                if token.type == tokenize.NAME and not keyword.iskeyword(token.string):
                    total[token.string] += 1
        progress(number, len(files))
    ranked = sorted(total.items(), key=lambda item: (-item[1], item[0]))
    return {
        "identifiers": sum(total.values()),
        "distinct": len(total),
        "top": [list(item) for item in ranked[:20]],
    }


def _input_files(ws: Project) -> list[str]:
    """All files that the map jobs were to read."""
    paths = []
    for batch_id, batch in read_batches(ws.reader).items():
        if batch.batch_type == "map-reduce":
            for info in read_batch_infos(ws.reader, batch_id):
                paths += [os.path.join(info["source"], name) for name in info.get("files", ())]
    return paths
