"""`log`: a job's stdout and stderr, whole, in part, or as they grow."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import click

from ..errors import UnknownJobError, UsageError
from ..model import DONE_STATES, ONLINE_STATES, JobKey
from ..sanitize import clean
from . import output
from .context import CliContext, complete_batch, jobs_of, pass_project, read_batches, read_ranges
from .param_types import PositiveInt

if TYPE_CHECKING:
    from ..logs import OpenLog, Row
    from ..model import JobInfo
    from ..project import Project

LOOK_SECONDS = 0.5
"""Seconds between two checks of a log that is followed."""

_LAST_LOOKS = 3
"""Checks without new lines after the job has ended, before following stops."""


@click.command()
@click.argument("batch", metavar="BATCH", shell_complete=complete_batch)
@click.argument("jobs", nargs=-1, required=True, metavar="JOB...")
@click.option("--stdout", "stream", flag_value="stdout", default=True, help="Its stdout (the default).")
@click.option("--stderr", "-e", "stream", flag_value="stderr", help="Its stderr.")
@click.option("--both", "stream", flag_value="both", help="Both.")
@click.option(
    "--index", default=-1, metavar="N", help="The log of this submission: 0 is the first, -1 the last."
)
@click.option("--spawn", type=PositiveInt(0), metavar="N", help="The log of this spawn (its SpawnID).")
@click.option("--lines", metavar="A-B", help="Lines by number, from 0: 0-9,20.")
@click.option("--tail", type=PositiveInt(), metavar="N", help="The last N lines.")
@click.option("--grep", metavar="REGEX", help="Only lines that match.")
@click.option("--follow", "-f", is_flag=True, help="Keep printing new lines until the job ends.")
@pass_project
def log(
    project: CliContext,
    batch: str,
    jobs: tuple[str, ...],
    stream: str,
    index: int,
    spawn: int | None,
    lines: str | None,
    tail: int | None,
    grep: str | None,
    follow: bool,
) -> int:
    """Print logs of jobs; JOB may be ranges.

    \b
    Examples:
      paraschut log 20250101120000 7 --stderr --tail 20
      paraschut log 20250101120000 0-99 --grep 'Error|Killed'
      paraschut log 20250101120000 7 -f        # follow it
      paraschut log 20250101120000 7 --spawn 2 # of a job that multiplied itself
    """
    from ..reporting.queue_report import log_lines

    if lines and tail:
        raise UsageError("Use either --lines or --tail, not both.")
    if spawn is not None and index != -1:
        raise UsageError("Use either --spawn or --index, not both.")
    streams = ("stdout", "stderr") if stream == "both" else (stream,)
    with project.open() as ws:
        batches = read_batches(batch)
        keys = [key for batch_id in batches for key in jobs_of(ws, batch_id, jobs)]
        if follow:
            if len(keys) != 1 or len(streams) != 1 or lines or grep or index != -1:
                raise UsageError(
                    "-f follows one log: name one job and no option but --tail, --stderr and --spawn."
                )
            return _follow(ws, keys[0], streams[0], tail, spawn)
        wanted: Sequence[int] | None = None
        if lines:
            wanted = [number for found in read_ranges(lines, "--lines") for number in found]
        elif tail:
            wanted = range(-tail, 0)
        for key in keys:
            info = _read(ws, key, spawn)
            for name in streams:
                for text in log_lines(info, name, index, wanted, grep, colours=sys.stdout.isatty()):
                    click.echo(text)
    return 0


def _read(ws: Project, key: JobKey, spawn: int | None) -> JobInfo:
    """A job's metadata; with a SpawnID, its logs are that spawn's. Raises UnknownJobError."""
    from ..database.jobs import read_info
    from ..reporting.queue_report import spawn_logs

    info = read_info(ws.reader, key)
    if spawn is None:
        return info
    logs = spawn_logs(ws.reader, info)
    ids = logs.get("SpawnID", [])
    if spawn not in ids:
        has = f"it has {', '.join(map(str, ids))}" if ids else "it has none"
        raise UnknownJobError(f"There is no spawn {spawn} of job {key}: {has}.")
    at = ids.index(spawn)
    return {**info, "stdout": [logs["stdout"][at]], "stderr": [logs["stderr"][at]]}


# ------------------------------------------------------------------------------------ following


def _follow(ws: Project, key: JobKey, stream: str, tail: int | None, spawn: int | None) -> int:
    from ..logs import describe, stat_log

    info = _read(ws, key, spawn)
    path = _path(info, stream)
    while not path and info["state"] not in DONE_STATES:
        time.sleep(LOOK_SECONDS)  # not submitted yet: it has no log
        info = _read(ws, key, spawn)
        path = _path(info, stream)
    if not path:
        output.line("log unknown")
        return 1
    if stat_log(path).why:
        over = info["state"] in DONE_STATES
        click.echo(describe(stream, stat_log(path), path, over=over), err=True)
    for text in _growth(path, tail, lambda: _is_over(ws, key), sys.stdout.isatty()):
        click.echo(text, nl=False)
    return 0


def _path(info: JobInfo, stream: str) -> str:
    history = info.get(stream)
    if isinstance(history, str):
        return history
    return str(history[-1]) if history and isinstance(history, (list, tuple)) else ""


def _is_over(ws: Project, key: JobKey) -> bool:
    """Return whether nothing more is to be expected: the job is over, or lost."""
    from ..database.jobs import read_rows
    from ..monitoring import polling
    from ..monitoring.liveness import find_missing_jobs

    rows = read_rows(ws.reader, [key])
    return (
        not rows
        or rows[0].state not in ONLINE_STATES
        or key in find_missing_jobs(ws, polling.poll_scheduler(ws)).missing
    )


def _growth(path: str, tail: int | None, is_over: Callable[[], bool], terminal: bool) -> Iterator[str]:
    """The log's text from its last `tail` lines on (None: from its beginning), as it grows.

    Args:
        terminal: whether it is printed on one: then colours stay, and a line that is not yet whole is shown
            and written over; else it waits for its end.
    """
    from ..logs import (
        FILE,
        ContentProof,
        FileChange,
        FileStatus,
        change_words,
        compare_status,
        open_log,
        stat_log,
    )
    from ..logs import tail as last_rows

    printer = _Printer(terminal)
    before: FileStatus | None = None
    proof: ContentProof | None = None
    quiet = 0
    while quiet < _LAST_LOOKS:
        now = stat_log(path)
        happened = compare_status(before, now) if before is not None else FileChange.NONE
        if now.kind == FILE:
            with open_log(path) as log:
                if proof is not None and happened is not FileChange.NONE and not log.continues(proof):
                    if happened in (FileChange.GREW, FileChange.APPEARED):
                        happened = FileChange.REWRITTEN
                    yield f"\n[the log {change_words(happened, now)}]\n"
                    printer = _Printer(terminal)
                if before is None and tail is not None:
                    rows = last_rows(log, tail)
                    printer.offset = rows[0].start if rows else 0
                for text in printer.news(log):
                    quiet = 0
                    yield text
                proof = log.proof()
        elif happened is not FileChange.NONE and before is not None and before.kind == FILE:
            yield f"\n[the log {change_words(happened, now)}]\n"
        before = now
        quiet = quiet + 1 if is_over() else 0
        if quiet < _LAST_LOOKS:
            time.sleep(LOOK_SECONDS)
    yield from printer.rest()


class _Printer:
    """Prints the rows of a log that grows, each once it is whole; on a terminal also what is not yet."""

    _ROWS = 500

    def __init__(self, terminal: bool) -> None:
        self.offset = 0
        """The byte up to which rows are printed for good."""
        self._terminal = terminal
        self._unfinished = ""

    def news(self, log: OpenLog) -> Iterator[str]:
        """What is to be printed of the rows that came since."""
        from ..logs import rows_after

        while rows := rows_after(log, self.offset, self._ROWS):
            for row in rows:
                text = self._text(row)
                whole = log.read(row.end - 1, row.end) == b"\n"
                if not whole and not row.cut:
                    if text != self._unfinished:
                        if self._terminal:
                            yield self._over(text)
                        self._unfinished = text
                    return
                yield self._over(text) + ("\n" if whole else "")
                self._unfinished = ""
                self.offset = row.end

    def rest(self) -> Iterator[str]:
        """The last line, where it has no end."""
        if self._unfinished:
            yield "\n" if self._terminal else f"{self._unfinished}\n"

    def _over(self, text: str) -> str:
        return f"\r\x1b[K{text}" if self._terminal and self._unfinished else text

    def _text(self, row: Row) -> str:
        from ..logs import colours_only, strip_escapes

        return colours_only(row.text) if self._terminal else clean(strip_escapes(row.text))


COMMANDS = {"log": log}
