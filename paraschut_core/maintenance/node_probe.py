"""A job that looks at the database from where jobs run: does it see it, and does it see this host's locks?"""

from __future__ import annotations

import os
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator

from ..actions import Selection, qdel, remove_batches, submit_now
from ..database import sqlite_library
from ..database.jobs import read_info, read_rows
from ..jobs.builder import add_jobs, template
from ..jobs.command_template import Template, make_jobs
from ..logs import LogError, open_log, tail
from ..model import DONE_STATES, RUN, JobKey
from ..monitoring import polling
from ..monitoring.liveness import find_missing_jobs
from ..project import Project
from ..sanitize import clean_line
from ..security.child_python import python
from .doctor import FAIL, OK, CheckResult, LockTest

WAIT = 600.0
"""Seconds for the job to run: a busy cluster may keep it waiting."""

_LOOK_SECONDS = 1.0
_DONE = "the lock of the other host is seen"


def probe(
    ws: Project, wait: float = WAIT, said: Callable[[str], None] = lambda _: None
) -> Iterator[CheckResult]:
    """Submit the job, wait for it, report what it found, and remove it.

    While it runs, this process holds the lock on a small file beside the database.

    Args:
        wait: seconds before it is given up.
        said: told what is being waited for.
    """
    with LockTest(os.path.dirname(ws.db.path)) as test:
        info = template(ws, set_id=True)
        batch_id = info["BatchID"]
        common = {**info, "name": ["paraschut", "probe"], "batch_type": "probe", "cwd": ws.job_dir}
        here = os.uname().nodename
        command = [*python("paraschut_core.maintenance.node_probe"), test.path]
        words = [word.replace("{", "{{").replace("}", "}}") for word in command]
        add_jobs(ws, make_jobs(common, [{"JobIndex": 0}], Template(words)), new_batch=batch_id)
        key = JobKey(batch_id, 0)
        try:
            yield from _wait(ws, key, wait, said, here)
        finally:
            qdel(ws, Selection(keys=(key,)))
            remove_batches(ws, [batch_id])


def _wait(
    ws: Project, key: JobKey, wait: float, said: Callable[[str], None], here: str
) -> Iterator[CheckResult]:
    report = submit_now(ws, Selection(keys=(key,)), command="doctor --probe")
    if report.failed:
        yield CheckResult(FAIL, "probe", f"the job cannot be submitted: {report.failed[0].message}")
        return
    said(f"waiting for the probe job {key} ...")
    end = time.monotonic() + wait
    while True:
        row = read_rows(ws.reader, [key])[0]
        if row.state in DONE_STATES:
            yield CheckResult(OK, "probe", f"a job on {row.hostname} (this is {here}): {_last_line(ws, key)}")
            return
        lost = find_missing_jobs(ws, polling.poll_scheduler(ws)).missing.get(key)
        if lost is not None:
            seen = "" if row.state == RUN or row.started_at else " It never reached the database from there."
            yield CheckResult(FAIL, "probe", f"the job failed: {lost.reason}.{seen} {_last_line(ws, key)}")
            return
        if time.monotonic() > end:
            yield CheckResult(
                FAIL, "probe", f"the job has not ended after {wait:g} s (state {row.state}); given up"
            )
            return
        time.sleep(_LOOK_SECONDS)


def _last_line(ws: Project, key: JobKey) -> str:
    """What the job said last, on stderr if it said anything there."""
    info = read_info(ws.reader, key)
    for stream in ("stderr", "stdout"):
        try:
            with open_log(info[stream][-1]) as log:
                for row in reversed(tail(log, 3)):
                    if row.text.strip():
                        return clean_line(row.text.strip(), 500)
        except (LogError, KeyError, IndexError):
            continue
    return "it left no log"


def main(path: str) -> int:
    """What the job does: tries to write to the file that the other host keeps locked; 0 if it is refused."""
    try:
        connection = sqlite3.connect(f"file:{path}?mode=rw", uri=True, timeout=0, isolation_level=None)
        connection.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError as error:
        if sqlite_library.fault_of(error) == sqlite_library.BUSY:
            sys.stdout.write(f"{_DONE}\n")
            return 0
        sys.stderr.write(f"{path} cannot be opened from {os.uname().nodename}: {error}\n")
        return 1
    sys.stderr.write(
        f"{os.uname().nodename} could write to {path} while another host held its lock: the file system does "
        "not lock across hosts, and jobs would destroy the database\n"
    )
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
