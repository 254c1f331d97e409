"""`submit`: what is next, a batch, or single jobs; once or again and again."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from ..errors import SchedulerError, UsageError
from . import complain, output
from .context import (
    TARGETS,
    CliContext,
    choose,
    complete_batch,
    filter_option,
    json_option,
    pass_project,
    read_batches,
    show_report,
)
from .param_types import FiniteFloat, PositiveInt

if TYPE_CHECKING:
    from ..actions import JobResult, ProgressReporter
    from ..model import JobKey
    from ..project import Project
    from ..scheduling.submission import SubmitReport


@click.command()
@click.argument("targets", nargs=-1, metavar=f"[{TARGETS}]", shell_complete=complete_batch)
@click.option("--max-jobs", type=PositiveInt(0), metavar="N", help="Most jobs in the queue.")
@click.option(
    "--min-priority", type=FiniteFloat(), default=0, metavar="P", help="Skip batches of lower priority."
)
@filter_option
@click.option("--wait", "wait", is_flag=True, help="Wait until they have ended, as `paraschut wait` does.")
@click.option("--every", type=FiniteFloat(0, 1e6), metavar="MINUTES", help="Repeat at this interval.")
@click.option("--times", type=PositiveInt(), metavar="N", help="With --every: the number of times.")
@json_option
@pass_project
def submit(
    project: CliContext,
    targets: tuple[str, ...],
    max_jobs: int | None,
    min_priority: float,
    condition: str,
    wait: bool,
    every: float | None,
    times: int | None,
    as_json: bool,
) -> int:
    """Submit what the priority rules allow next; or a batch, or single jobs.

    Without BATCH: of each batch the jobs of the highest priority, as long as
    there is room in the queue (--max-jobs; default: the first line of the file
    maxjobs in the job directory, else the setting submit.max_jobs). With BATCH:
    its jobs of the highest priority. With JOB: these, whatever their priority.

    \b
    Examples:
      paraschut submit --max-jobs 200
      paraschut submit 20250101120000 3 5-9    # these, whatever their turn
      paraschut submit --every 10              # every ten minutes
      paraschut submit --wait || paraschut queue

    With --wait, what the rules allow next is submitted too, whenever jobs
    complete. The exit status is 0 if all are complete at the end, else 1.
    """
    following = _Following(max_jobs=max_jobs, min_priority=min_priority, condition=condition)
    if wait and every is not None:
        raise UsageError("--wait and --every are two ways to go on: give one.")
    if wait:
        return _submit_and_wait(project, targets, following, as_json)
    if targets and (condition or min_priority or every is not None):
        raise UsageError("--filter, --min-priority and --every are for what is next: leave out BATCH.")
    if times is not None and every is None:
        raise UsageError("--times needs --every MINUTES.")
    if len(targets) == 1:
        return _submit_batches(project, targets[0], max_jobs, as_json)
    if targets:
        if max_jobs is not None:
            raise UsageError("--max-jobs is for what is next: leave out JOB.")
        return _submit_jobs(project, targets, as_json)
    if every is None:
        return _submit_next(project, following, as_json)
    status = done = 0
    while True:
        try:
            status = _submit_next(project, following, as_json, by_itself=done > 0)
        except SchedulerError as error:
            complain(error)  # it may answer next time
            status = error.exit_code
        done += 1
        if done == times:
            return status
        time.sleep(every * 60)


@dataclass(frozen=True, kw_only=True)
class _Following:
    """Which jobs `submit` takes when it names none: the options of the same names."""

    max_jobs: int | None
    min_priority: float
    condition: str

    def submit(self, ws: Project, command: str, watcher: ProgressReporter, by_itself: bool) -> SubmitReport:
        """Submit what the priority rules allow next."""
        from ..actions import submit_next

        return submit_next(
            ws,
            max_jobs=self.max_jobs,
            min_priority=self.min_priority,
            condition=self.condition,
            by_itself=by_itself,
            command=command,
            watcher=watcher,
        )


def _submit_and_wait(
    project: CliContext, targets: Sequence[str], following: _Following, as_json: bool
) -> int:
    from ..actions import (
        JobResult,
        ProgressReporter,
        ResultKind,
        Selection,
        by_message,
        submit_batches,
        submit_now,
    )
    from ..monitoring.waiting import WaitedJobs
    from .wait import wait_for

    if targets and (following.condition or following.min_priority):
        raise UsageError("--filter and --min-priority are for what is next: leave out BATCH.")
    with project.open() as ws:
        submit: Callable[[], int] | None
        watcher = ProgressReporter()
        if len(targets) > 1:
            chosen = choose(ws, targets)
            report = submit_now(ws, chosen.selection, command=project.line, watcher=watcher)
            _complain_of(report.failed)
            jobs, submit = WaitedJobs(keys=chosen.keys), None
        elif targets:
            batches = read_batches(targets[0])
            most = math.inf if following.max_jobs is None else following.max_jobs
            jobs = WaitedJobs(batches=tuple(batches))

            def submit() -> int:
                report = submit_batches(ws, batches, most, command=project.line, watcher=watcher)
                _complain_of(report.failed)
                return report.done

            submit()
        else:
            said: list[str] = []

            def submit_once(by_itself: bool) -> int:
                report = following.submit(ws, project.line, watcher, by_itself)
                failed = [
                    JobResult(o.key, ResultKind.FAILED, o.error) for o in report.outcomes if o.id is None
                ]
                if (texts := by_message(failed)) != said:
                    _complain_of(failed)
                    said[:] = texts
                return report.submitted

            def submit() -> int:
                return submit_once(True)

            submit_once(False)
            matching: tuple[JobKey, ...] | None = None
            if following.condition:
                matching = tuple(Selection(condition=following.condition).resolve(ws))
            jobs = WaitedJobs(keys=matching)
        return wait_for(ws, jobs, submit=submit, as_json=as_json)


def _complain_of(failed: Sequence[JobResult]) -> None:
    from ..actions import by_message

    for text in by_message(failed):
        complain(f"not submitted: {text}")


def _submit_next(
    project: CliContext, following: _Following, as_json: bool, *, by_itself: bool = False
) -> int:
    from ..actions import ProgressReporter

    with project.open() as ws, output.ProgressLine("submitting") as progress:
        report = following.submit(ws, project.line, ProgressReporter(progress), by_itself)
    return _show(report, as_json)


def _show(report: SubmitReport, as_json: bool) -> int:
    from ..actions import failure_lines

    failed = [outcome for outcome in report.outcomes if outcome.id is None]
    if as_json:
        output.dump(
            {
                "max_jobs": report.max_jobs,
                "in_queue": report.in_queue,
                "submitted": [[*o.key, o.id] for o in report.outcomes if o.id is not None],
                "failed": [[*o.key, o.error] for o in failed],
            }
        )
        return 1 if failed else 0
    for text in failure_lines(failed):
        output.line(text)
    output.line(f"max jobs: {report.max_jobs}\nin queue: {report.in_queue}\nsubmitted: {report.submitted}")
    return 1 if failed else 0


def _submit_batches(project: CliContext, batches: str, max_jobs: int | None, as_json: bool) -> int:
    from ..actions import ProgressReporter, by_message, submit_batches

    most = math.inf if max_jobs is None else max_jobs
    with project.open() as ws, output.ProgressLine("submitting") as progress:
        watcher = ProgressReporter(progress)
        report = submit_batches(ws, read_batches(batches), most, command=project.line, watcher=watcher)
    if as_json:
        submitted = dict.fromkeys(read_batches(batches), 0)
        for outcome in report.outcomes:
            submitted[outcome.key.batch_id] += outcome.processes if outcome.ok else 0
        failed = [[*o.key, o.message] for o in report.failed]
        output.dump({"submitted": submitted, "failed": failed})
        return 1 if failed else 0
    for text in by_message(report.failed):
        output.line(f"not submitted: {text}")
    output.line(f"submitted: {sum(o.processes for o in report.outcomes if o.ok)}")
    return 1 if report.failed else 0


def _submit_jobs(project: CliContext, targets: Sequence[str], as_json: bool) -> int:
    from ..actions import ProgressReporter, submit_now

    with project.open() as ws:
        chosen = choose(ws, targets)
        with output.ProgressLine("submitting") as progress:
            report = submit_now(
                ws, chosen.selection, command=project.line, watcher=ProgressReporter(progress)
            )
    return show_report(report, "submitted", explicit=chosen.explicit, as_json=as_json)


COMMANDS = {"submit": submit}
