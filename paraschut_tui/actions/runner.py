"""ActionRunner: runs actions. Each call opens the project in its own thread and closes it afterwards."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from paraschut_core.config import Settings
from paraschut_core.database.jobs import OWN_FIELDS, SPAWN_FIELDS, read_info
from paraschut_core.errors import ParaschutError
from paraschut_core.executors.base import JobExecutor
from paraschut_core.model import INIT, JobKey
from paraschut_core.project import Project

from ..job_details.value_format import replaced
from .action_entry import ActionEntry
from .command_lines import command_line, setting_of
from .core_actions import core
from .operations import ActionCall, to_result
from .types import ActionResult, ActionTarget, PreviewText


class ActionRunner:
    """Runs actions on one project.

    Args:
        executor: instead of the one that the settings name.
    """

    def __init__(self, settings: Settings, executor: JobExecutor | None) -> None:
        self._settings = settings
        self._executor = executor

    def preview(self, action: ActionEntry, target: ActionTarget, ends: Mapping[JobKey, str]) -> PreviewText:
        """Count what an action would meet. Raises ParaschutError."""
        with Project(self._settings, self._executor) as project:
            return action.preview(project, target, ends)

    def run(
        self,
        action: ActionEntry,
        target: ActionTarget,
        *,
        force: bool,
        value: str,
        progress: Callable[[int, int], None],
        cancelled: Callable[[], bool],
    ) -> ActionResult:
        """Run an action. An error is part of the result."""
        try:
            with Project(self._settings, self._executor) as project:
                call = ActionCall(
                    project=project,
                    target=target,
                    force=force,
                    value=value,
                    command=command_line(action, target, force, value),
                    progress=core.ProgressReporter(progress, cancelled),
                )
                report = action.run(call)
        except ParaschutError as error:
            return ActionResult(0, error=str(error))
        if isinstance(report, ActionResult):
            return report
        return to_result(report, call.command, undo_failures=action.undo_failures)

    def edit(self, key: JobKey, rev: int, path: Sequence[object], value: object) -> ActionResult:
        """Set one field of one job, or an entry within it, as it was at `rev`. An error is part of the
        result."""
        field, *rest = path
        name = str(field)
        if name in OWN_FIELDS or name in SPAWN_FIELDS:
            return ActionResult(0, error=f"{name} is read-only.")
        if name == "state" and value == INIT:
            return ActionResult(0, error="A job comes back to init by a reset.")

        def fields(info: Mapping[str, Any]) -> dict[str, object]:
            return {name: replaced(info.get(name), rest, value)}

        try:
            with Project(self._settings, self._executor) as project:
                whole = fields(read_info(project.reader, key))[name]
                command = f"set {key.batch_id} {key.job_index} {setting_of(name, rest, value, whole)}"
                report = core.edit(project, key, rev, fields, command=command)
        except ParaschutError as error:
            return ActionResult(0, error=str(error))
        return ActionResult(report.done, can_undo=True, command=command)

    def summary(self, id_: str) -> Mapping[str, object]:
        """Get the scheduler's own record of a job; {} where it has none."""
        try:
            with Project(self._settings, self._executor) as project:
                return dict(project.executor.get_job_summary(id_))
        except ParaschutError:
            return {}
