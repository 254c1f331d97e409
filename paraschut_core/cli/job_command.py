"""The frame of commands that act on jobs: which jobs, the question, the action, the report."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import click

from ..errors import UsageError
from . import output
from .context import (
    CliContext,
    ask_for_many,
    choose,
    confirm,
    json_option,
    pass_project,
    select_options,
    show_report,
    yes_option,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..actions import ActionReport, ProgressReporter, Selection
    from ..model import JobKey, Stamp
    from ..project import Project


@dataclass(frozen=True, kw_only=True)
class CommandCall:
    """What an action is called with; `shown` tells where the jobs stood when the user was asked."""

    ws: Project
    selection: Selection
    command: str
    watcher: ProgressReporter
    shown: Mapping[JobKey, Stamp]


@dataclass(frozen=True, kw_only=True)
class JobCommand:
    """The options that all commands on jobs have."""

    project: CliContext
    targets: tuple[str, ...]
    condition: str
    missing: bool
    yes: bool
    as_json: bool

    def run(
        self,
        act: Callable[[CommandCall], ActionReport],
        *,
        verb: str,
        done: str,
        force: bool = False,
        required: bool = False,
        question: Callable[[Project, Selection], str] | None = None,
        agreed: Callable[[Project, Selection], bool] | None = None,
    ) -> int:
        """Choose the jobs, ask if need be, act and report. Return the exit status.

        Args:
            act: the action.
            verb: the action's name in the question, as in "reset 12 jobs".
            done: what was done to the jobs, as in "12 jobs reset".
            force: ask because the jobs' state does not matter.
            required: what would be asked at a terminal needs --yes where there is none.
            question: makes a question of its own from the selection; "" asks none.
            agreed: asks about what looks like a slip; False: nothing is done.
        """
        from ..actions import ProgressReporter
        from ..database.jobs import read_rows

        with self.project.open() as ws:
            # Chosen once, so that what was asked about is what is done.
            chosen = choose(ws, self.targets, self.condition, self.missing)
            if not chosen.keys:
                output.line("no job matches; nothing was done")
                return 0
            shown = {row.key: row.stamp for row in read_rows(ws.reader, chosen.keys)}
            may = agreed is None or agreed(ws, chosen.selection)
            special = question(ws, chosen.selection) if may and question is not None and not self.yes else ""
            if may and special:
                may = confirm(special, self.yes, required=required)
            elif may:
                may = ask_for_many(chosen, verb, force=force, yes=self.yes, required=required)
            if not may:
                output.line("nothing was done")
                return 1
            with output.ProgressLine(verb) as progress:
                report = act(
                    CommandCall(
                        ws=ws,
                        selection=chosen.selection,
                        command=self.project.line,
                        watcher=ProgressReporter(progress),
                        shown=shown,
                    )
                )
        return show_report(report, done, explicit=chosen.explicit, as_json=self.as_json)


def job_command(
    name: str | None = None, **target_options: Any
) -> Callable[[Callable[..., int]], click.Command]:
    """Make a command of a function that takes a JobCommand and its own options.

    Args:
        name: the command's name, if it is not the function's.
        target_options: for the argument that names the jobs: its metavar, say.
    """

    def decorate(function: Callable[..., int]) -> click.Command:
        @functools.wraps(function)
        def command(
            project: CliContext,
            targets: tuple[str, ...],
            condition: str,
            missing: bool,
            yes: bool,
            as_json: bool,
            **own: Any,
        ) -> int:
            chosen = JobCommand(
                project=project,
                targets=targets,
                condition=condition,
                missing=missing,
                yes=yes,
                as_json=as_json,
            )
            return function(chosen, **own)

        # In --help the command's own options stand between those that all have.
        own_options = command.__dict__.pop("__click_params__", [])
        framed: Any = yes_option(json_option(pass_project(cast("Callable[..., int]", command))))
        framed.__click_params__.extend(own_options)
        return click.command(name)(select_options(framed, **target_options))

    return decorate


def pairs(words: Sequence[str], option: str) -> dict[str, str]:
    """The words `NAME=VALUE` of an option as a dict. Raises UsageError."""
    found = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not name or not equals:
            raise UsageError(f"{option} {word!r}: write NAME=VALUE.")
        found[name] = value
    return found
