"""`wait`: wait until jobs have ended, show progress, and report success by the exit status."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from . import complain, output
from .context import TARGETS, CliContext, choose, complete_batch, json_option, pass_project, read_batches
from .param_types import FiniteFloat

if TYPE_CHECKING:
    from ..monitoring.waiting import WaitedJobs, WaitProgress
    from ..project import Project

TIMED_OUT = 124
"""The exit status after a time-out, as timeout(1) has it."""

TELL_SECONDS = 30.0
"""Between two lines of progress where no terminal shows it."""


@click.command()
@click.argument("targets", nargs=-1, metavar=f"[{TARGETS}]", shell_complete=complete_batch)
@click.option("--timeout", type=FiniteFloat(0, 1e9), metavar="SECONDS", help="Wait at most this long.")
@click.option("--quiet", "-q", is_flag=True, help="Do not show progress.")
@json_option
@pass_project
def wait(
    project: CliContext, targets: tuple[str, ...], timeout: float | None, quiet: bool, as_json: bool
) -> int:
    """Wait until no job is in the queue: each is complete, missing, or not submitted.

    Without BATCH: all jobs. Ctrl+C stops waiting; the jobs continue.

    \b
    Exit status: 0 if all are complete, 1 if not, 124 after a time-out.

    \b
    Examples:
      paraschut wait || paraschut queue        # what is wrong?
      paraschut wait 20250101120000 --timeout 3600 || echo 'not all'
      paraschut wait 20250101120000 0-9 || echo 'not all of these'
    """
    from ..database.jobs import require_batch
    from ..monitoring.waiting import WaitedJobs

    with project.open() as ws:
        if len(targets) > 1:
            jobs = WaitedJobs(keys=choose(ws, targets).keys)
        elif targets:
            jobs = WaitedJobs(batches=tuple(read_batches(targets[0])))
            for batch_id in jobs.batches or ():
                require_batch(ws.reader, batch_id)
        else:
            jobs = WaitedJobs()
        return wait_for(ws, jobs, timeout=timeout, quiet=quiet, as_json=as_json)


def wait_for(
    ws: Project,
    jobs: WaitedJobs,
    *,
    submit: Callable[[], int] | None = None,
    timeout: float | None = None,
    quiet: bool = False,
    as_json: bool = False,
) -> int:
    """Wait; report progress on stderr and the end on stdout; return the exit status.

    Args:
        submit: submits what is next, whenever jobs completed.
    """
    from ..in_job import current_job_key
    from ..monitoring.waiting import progress

    began = time.monotonic()
    teller = _Teller(quiet or as_json)
    timed_out = False
    try:
        for now in progress(ws, jobs._replace(without=current_job_key()), submit=submit):
            teller.tell(now.line)
            if timeout is not None and time.monotonic() - began >= timeout and now.online:
                timed_out = True
                break
    except KeyboardInterrupt:
        teller.clear()
        complain("stopped waiting; the jobs continue. Wait again with: paraschut wait")
        raise
    teller.clear()
    status = TIMED_OUT if timed_out else 0 if now.is_success else 1
    _show(now, status, as_json)
    return status


def _show(now: WaitProgress, status: int, as_json: bool) -> None:
    if as_json:
        output.dump(
            {
                "total": now.total,
                "complete": now.complete,
                "states": now.states,
                "missing": [[*key, lost.reason] for key, lost in now.missing.items()],
                "timed_out": status == TIMED_OUT,
            }
        )
        return
    for line in now.last_lines():
        output.line(line)
    if status == TIMED_OUT:
        output.line("timed out; the jobs continue")


class _Teller:
    """Shows one line that changes on a terminal; elsewhere a line now and then."""

    def __init__(self, silent: bool) -> None:
        self._silent = silent
        self._on_terminal = sys.stderr.isatty()
        self._shown = ""
        self._at = 0.0

    def tell(self, line: str) -> None:
        now = time.monotonic()
        if self._silent or line == self._shown:
            return
        if self._on_terminal:
            sys.stderr.write(f"\r\x1b[K{line}")
        elif self._shown and now - self._at < TELL_SECONDS:
            return
        else:
            sys.stderr.write(f"{line}\n")
        sys.stderr.flush()
        self._shown, self._at = line, now

    def clear(self) -> None:
        if self._on_terminal and self._shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


COMMANDS = {"wait": wait}
