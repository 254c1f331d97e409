"""Shared parts of commands: the project, the selection of jobs, reports and confirmations."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import click

from ..errors import UnknownJobError, UsageError
from ..sanitize import plural, spans
from . import complain, output

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from ..actions import ActionReport, JobResult, Selection
    from ..config import Settings
    from ..model import JobKey
    from ..project import Project

_MOST = 10_000_000
"""A range of more jobs than this is a typing error."""


class CliContext:
    """What the global options name; opened when a command needs it.

    `line` is the command line after the global options, as the action history keeps it.
    """

    def __init__(self, config: str | None, database: str | None, arguments: Sequence[str]) -> None:
        for option, value in (("--config", config), ("--db", database)):
            if value == "":
                raise UsageError(f"{option} needs a file name (got an empty string).")
        self.config = config
        self.database = database
        # Half a character (an argument that is not UTF-8) cannot be stored.
        self.line = shlex.join(arguments).encode("utf-8", "replace").decode()
        self._settings: Settings | None = None

    @property
    def settings(self) -> Settings:
        """The settings in force. Raises ConfigError."""
        if self._settings is None:
            from .. import config

            self._settings = config.load(config=self.config, database=self.database)
        return self._settings

    def use(self, settings: Settings) -> None:
        """Take these settings instead of looking for some."""
        self._settings = settings

    def open(self, *, create: bool = False) -> Project:
        """The project's database and executor, as a context manager."""
        from ..in_job import author
        from ..project import Project

        return Project(self.settings, create=create, who=author())


pass_project = click.make_pass_decorator(CliContext)

# ------------------------------------------------------------------------------------ options

_F = TypeVar("_F", bound=Callable[..., object])

_MOST_COMPLETIONS = 200


def complete_batch(ctx: click.Context, parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    """The batches that a shell offers where a BATCH is due: the newest first, each with its name."""
    from click.shell_completion import CompletionItem

    from ..database.changes import read_batches as read_counters
    from ..errors import ParaschutError
    from ..project import open_database
    from ..sanitize import clean_line

    if ctx.params.get(parameter.name or ""):
        return []  # what follows a batch are its jobs
    options = ctx.find_root().params
    try:
        settings = CliContext(options.get("config"), options.get("database"), ()).settings
        with open_database(settings, read_only=True) as db:
            found = sorted(read_counters(db).values(), reverse=True)
    except ParaschutError:
        return []  # no project here, or none that can be read: nothing is offered
    offered = [batch for batch in found if str(batch.batch_id).startswith(begun)][:_MOST_COMPLETIONS]
    return [CompletionItem(str(batch.batch_id), help=clean_line(batch.name, 60)) for batch in offered]


TARGETS = "BATCH [JOB]..."
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
yes_option = click.option("--yes", "-y", is_flag=True, help="Do not ask for confirmation.")


def _no_bare_number(ctx: click.Context, parameter: click.Parameter, condition: str) -> str:
    """Refuse a number alone: in SQL it means every job, in the dashboard the job or batch of that number."""
    text = condition.strip()
    if text.lstrip("+-").isdecimal():
        raise UsageError(f"--filter {text} is a number alone: write index:{text}, or batch:{text}.")
    return condition


filter_option = click.option(
    "--filter",
    "condition",
    default="",
    metavar="FILTER",
    callback=_no_bare_number,
    help="Jobs that match: words (state:missing exit:137) or SQL.",
)


def select_options(function: _F, **targets: Any) -> _F:
    """Add the options that say which jobs are meant; `targets` is for click.argument."""
    for option in (
        click.option("--missing", is_flag=True, help="Missing jobs (of BATCH, or all)."),
        filter_option,
        click.argument("targets", nargs=-1, shell_complete=complete_batch, **{"metavar": TARGETS, **targets}),
    ):
        function = option(function)
    return function


# ------------------------------------------------------------------------------------ which jobs


def read_ranges(text: str, what: str = "JOB") -> list[range]:
    """`0-9,20,30-40` as ranges, ends included.

    Raises:
        UsageError: anything else, and a range that runs backwards or holds too many.
    """
    ranges = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not (first.isascii() and first.isdigit()) or (dash and not (last.isascii() and last.isdigit())):
            raise UsageError(
                f"{what} {part!r} is not a number or a range; write for example 7, 0-9 or 0-9,20."
            )
        found = range(int(first), int(last if dash else first) + 1)
        jobs = found.stop - found.start  # len() would not take a number of any size
        if jobs <= 0:
            raise UsageError(f"{what} {part!r} runs backwards; write {last}-{first}.")
        if jobs > _MOST:
            raise UsageError(f"{what} {part!r} has {jobs:,} jobs; the maximum is {_MOST:,}.")
        ranges.append(found)
    return ranges


def read_batches(text: str) -> list[int]:
    """`1,2` as BatchIDs. Raises UsageError."""
    parts = text.split(",")
    if not all(part.isascii() and part.isdigit() for part in parts):
        raise UsageError(f"BATCH must be a number, not {text!r}. See them with: paraschut queue")
    if any(len(part) > 18 for part in parts):  # more digits than the index can hold
        raise UsageError(f"There is no batch {text[:40]}. See them with: paraschut queue")
    return [int(part) for part in parts]


class SelectedJobs(NamedTuple):
    """The jobs that a command line means.

    `explicit`: each was named by itself, so that one which is left alone is worth an exit code. `open`:
    which they are was not said, but found out: those that are missing.
    """

    keys: tuple[JobKey, ...]
    explicit: bool = False
    open: bool = False

    @property
    def selection(self) -> Selection:
        from ..actions import Selection

        return Selection(keys=self.keys)

    @property
    def batches(self) -> int:
        """Of how many batches they are."""
        return len({key.batch_id for key in self.keys})


def choose(ws: Project, targets: Sequence[str], condition: str = "", missing: bool = False) -> SelectedJobs:
    """The jobs meant by `BATCH [JOB...]`, `--filter` or `--missing`.

    BATCH may be several with commas between them; JOB a number, a range, or some of these with commas.

    Raises:
        UsageError: nothing is selected, or in two ways at once.
        UnknownJobError: there is no such batch or job.
    """
    from ..actions import Selection

    if condition and (targets or missing):
        raise UsageError("--filter cannot be combined with BATCH, JOB or --missing.")
    if condition:
        keys = tuple(Selection(condition=condition).resolve(ws))
        if not keys:
            report_unknown_words(ws, condition)
        return SelectedJobs(keys)
    if missing:
        return _missing(ws, targets)
    if not targets:
        raise UsageError(f"No jobs selected: give {TARGETS}, --filter FILTER or --missing.")
    batches = read_batches(targets[0])
    if len(targets) == 1:
        return SelectedJobs(tuple(Selection(batches=tuple(batches)).resolve(ws)))
    if len(batches) > 1:
        raise UsageError("JOB needs exactly one BATCH: give one BATCH, or leave out JOB.")
    explicit = not any("-" in word for word in targets[1:])
    return SelectedJobs(tuple(jobs_of(ws, batches[0], targets[1:])), explicit)


def report_unknown_words(ws: Project, text: str) -> None:
    """Report the words of a filter that are unknown, where it matches no job."""
    from ..filtering.find_jobs import find_unknown_words

    for words in find_unknown_words(ws.reader, text):
        complain(words)


def jobs_of(ws: Project, batch_id: int, words: Iterable[str]) -> list[JobKey]:
    """The jobs of a batch that numbers and ranges name; of a range, those that exist.

    Raises:
        UnknownJobError: a job named by itself, or all of a range, is not there.
    """
    from ..database.jobs import read_keys, require_batch

    require_batch(ws.reader, batch_id)
    indices = {key.job_index: key for key in read_keys(ws.reader, batch_id)}
    keys: list[JobKey] = []
    for wanted in (found for word in words for found in read_ranges(word)):
        there = [indices[i] for i in wanted if i in indices]
        if not there:
            text = str(wanted[0]) if len(wanted) == 1 else f"{wanted[0]}-{wanted[-1]}"
            raise UnknownJobError(
                f"There is no job {text} in batch {batch_id}; it has {spans(indices) or 'no jobs'}."
            )
        keys += there
    return keys


def _missing(ws: Project, targets: Sequence[str]) -> SelectedJobs:
    from ..database.jobs import require_batch
    from ..monitoring import polling
    from ..monitoring.liveness import find_missing_jobs

    if len(targets) > 1:
        raise UsageError("--missing selects the jobs itself: give BATCH at most, without JOB.")
    lost = find_missing_jobs(ws, polling.poll_scheduler(ws)).missing
    if targets:
        batches = read_batches(targets[0])
        for batch_id in batches:
            require_batch(ws.reader, batch_id)
        lost = {key: why for key, why in lost.items() if key.batch_id in batches}
    return SelectedJobs(tuple(sorted(lost)), open=not targets)


def one_job(ws: Project, batch: str, job: str) -> JobKey:
    """The one job that is meant. Raises UsageError, UnknownJobError."""
    batches = read_batches(batch)
    keys = jobs_of(ws, batches[0], [job])
    if len(batches) > 1 or len(keys) > 1:
        raise UsageError("Name one job: BATCH JOB.")
    return keys[0]


def confirm(question: str, yes: bool, *, required: bool = False) -> bool:
    """Ask on a terminal (default No); elsewhere goes on, or refuses where an answer is `required`.

    Raises:
        UsageError: there is no terminal to ask on.
    """
    if yes:
        return True
    if sys.stdin.isatty():
        return click.confirm(question, default=False, err=True)
    if required:
        raise UsageError(f"{question} Not a terminal; pass --yes to confirm.")
    return True


def ask_for_many(chosen: SelectedJobs, verb: str, *, force: bool, yes: bool, required: bool = False) -> bool:
    """Ask before something is done to jobs of several batches, to all that are missing, or by force.

    Args:
        required: without a terminal, --yes is needed.
    """
    if chosen.batches <= 1 and not force and not chosen.open:
        return True
    where = f" of {chosen.batches} batches" if chosen.batches > 1 else ""
    how = ", whatever their state" if force else ""
    return confirm(f"{verb} {plural(len(chosen.keys), 'job')}{where}{how}?", yes, required=required)


# ------------------------------------------------------------------------------------ reports


def show_report(report: ActionReport, done: str, *, explicit: bool, as_json: bool = False) -> int:
    """Print what became of the jobs; return the exit code: 1 if anything failed.

    Args:
        done: what was done to them, as in "12 jobs reset".
        explicit: the jobs were named one by one: then one that was left alone counts as failed.
    """
    left, failed = _left_and_failed(report, explicit)
    if as_json:
        output.dump(report_data(report, explicit=explicit))
        return 1 if failed else 0
    from ..actions import by_message

    for text in by_message(failed):
        output.line(f"not {done}: {text}")
    effects = ", ".join(f"{n:,} {effect.value}" for effect, n in report.effects().items())
    counts = [f"{report.done:,} {done}" + (f" ({effects})" if effects else "")]
    counts += [f"{len(left):,} left alone ({_reasons(left)})"] if left else []
    counts += [f"{len(failed):,} failed"] if failed else []
    end = "; stopped before the rest" if report.stopped else ""
    undo = f" (take it back with: paraschut undo {report.action})" if report.action and report.done else ""
    output.line(", ".join(counts) + end + undo)
    return 1 if failed else 0


def report_data(report: ActionReport, *, explicit: bool) -> dict[str, Any]:
    """What became of the jobs, as it is printed as JSON."""
    left, failed = _left_and_failed(report, explicit)
    return {
        "verb": report.verb,
        "done": [list(o.key) for o in report.outcomes if o.ok],
        **{effect.value: n for effect, n in report.effects().items()},
        "left": [[*o.key, o.message] for o in left],
        "failed": [[*o.key, o.message] for o in failed],
        "action": report.action,
    }


def _left_and_failed(report: ActionReport, explicit: bool) -> tuple[Sequence[JobResult], Sequence[JobResult]]:
    if explicit:
        return [], [o for o in report.outcomes if not o.ok]
    return report.left, report.failed


def _reasons(outcomes: Iterable[JobResult]) -> str:
    return ", ".join(sorted({outcome.message for outcome in outcomes}))
