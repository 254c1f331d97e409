"""`reset` and `resubmit`."""

from __future__ import annotations

import click

from .job_command import JobCommand, job_command, pairs


@job_command()
@click.option("--force", is_flag=True, help="Include complete jobs and jobs in the queue.")
def reset(command: JobCommand, force: bool) -> int:
    """Put jobs back to init, their ids dropped.

    Complete and collected jobs, and those that the scheduler still holds, are
    left alone unless --force. Asks first for jobs of several batches, or with
    --force. `paraschut undo` takes it back.

    \b
    Examples:
      paraschut reset 20250101120000 3 5-9
      paraschut reset --missing                # all that died
    """
    from ..actions import reset as act

    return command.run(
        lambda call: act(
            call.ws,
            call.selection,
            force=force,
            command=call.command,
            watcher=call.watcher,
            shown=call.shown,
        ),
        verb="reset",
        done="reset",
        force=force,
        required=True,
    )


@job_command()
@click.option("--force", is_flag=True, help="Include complete jobs and jobs in the queue.")
@click.option("--resource", "resources", multiple=True, metavar="K=V", help="Request this instead: mem=8gb.")
def resubmit(command: JobCommand, force: bool, resources: tuple[str, ...]) -> int:
    """Reset jobs and submit them at once, whatever their priority.

    Of a job that multiplied itself, only its lost spawns are submitted.

    \b
    Examples:
      paraschut resubmit --missing
      paraschut resubmit 20250101120000 7 --resource mem=8gb
    """
    from ..actions import resubmit as act
    from .suggestions import agreed_resources

    raised = pairs(resources, "--resource")
    return command.run(
        lambda call: act(
            call.ws,
            call.selection,
            force=force,
            resources=dict.fromkeys(call.selection.keys, raised) if raised else None,
            command=call.command,
            watcher=call.watcher,
            shown=call.shown,
        ),
        verb="resubmit",
        done="resubmitted",
        agreed=lambda ws, _: not raised or agreed_resources(ws, raised, command.yes),
        force=force,
        required=True,
    )


COMMANDS = {"reset": reset, "resubmit": resubmit}
