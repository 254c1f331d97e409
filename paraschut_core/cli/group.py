"""The command group: global options, the list of commands (each loaded when used), errors, the dashboard."""

from __future__ import annotations

import gc
import importlib
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from .. import __version__
from ..errors import NoDatabaseError, NoProjectError, UsageError
from . import complain, global_options, guarded
from .context import CliContext

if TYPE_CHECKING:
    from ..config import Settings

SECTIONS: dict[str, dict[str, tuple[str, str]]] = {
    "Getting started": {
        "demo": ("demo", "Run a real example pipeline and watch it."),
        "init": ("project", "Create a project: configuration and database."),
        "import": ("import_v06", "Import the jobs of a v0.6 database."),
    },
    "Create and run jobs": {
        "add": ("add", "Create a batch of jobs from a command."),
        "run": ("add", "Run a command as a job (called by the job itself)."),
        "submit": ("submit", "Submit the next jobs, a batch, or single jobs."),
        "wait": ("wait", "Wait until jobs have ended."),
    },
    "Inspect": {
        "queue": ("queue", "Report the state of all jobs."),
        "serve": ("serve", "Show the dashboard in a browser."),
        "log": ("log", "Print or follow a job's stdout or stderr."),
        "info": ("info", "Show a job's metadata, or a batch."),
        "stats": ("stats", "Show throughput, forecasts, failures, slow jobs."),
        "spawns": ("info", "Show a job's spawns."),
        "history": ("history", "Show what happened to a job or batch."),
        "actions": ("history", "Show the actions of users."),
    },
    "Manage jobs": {
        "set": ("set", "Set fields of jobs."),
        "reset": ("reset", "Set jobs back to state init."),
        "resubmit": ("reset", "Reset jobs and submit them at once."),
        "qdel": ("qdel", "Delete jobs from the scheduler's queue."),
        "boost": ("boost", "Raise the priority of jobs."),
        "collect": ("boost", "Mark complete jobs as collected."),
        "undo": ("undo", "Undo the last reset, qdel, set or boost."),
        "remove": ("remove", "Remove batches with their folders."),
        "clean": ("remove", "Remove the jobs' temporary files."),
    },
    "Maintenance": {
        "doctor": ("doctor", "Check the installation, the project and the scheduler."),
        "config": ("project", "Show every setting and where it was set."),
        "backup": ("backup", "Copy the database while jobs write to it."),
        "recover": ("backup", "Save the readable part of a damaged database."),
        "completion": ("completion", "Print a script for completion in the shell."),
    },
}
"""section -> command -> (module, short help): `--help` needs no more than this."""

EPILOG = """\b
Without COMMAND the dashboard opens. A project is a paraschut.toml and the
database that it names. The file is searched for in the working directory
and its parents. PARASCHUT_CONFIG, PARASCHUT_DB, PARASCHUT_JOB_DIR and
PARASCHUT_EXECUTOR override it; --config and --db override these.

\b
Exit status: 0; 1 if something failed; 2 if the command was misused.
Each command has examples: paraschut COMMAND --help
"""


class _ReaderGoneError(Exception):
    """The reader of stdout is gone. Click handles BrokenPipeError its own way, so it gets this instead."""


_COMMAND_SYNONYMS = {
    "status": "queue", "qstat": "queue", "squeue": "queue", "list": "queue", "ls": "queue",
    "kill": "qdel", "cancel": "qdel", "scancel": "qdel", "delete": "qdel", "stop": "qdel",
    "retry": "resubmit", "rerun": "resubmit", "restart": "resubmit", "rm": "remove",
    "show": "info", "logs": "log", "sbatch": "submit", "qsub": "submit",
}  # fmt: skip


class LazyGroup(click.Group):
    """A group that imports the module of a command when the command is used."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise _ReaderGoneError from error

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read `help COMMAND` as `COMMAND --help`."""
        return super().parse_args(ctx, [*args[1:], "--help"] if args[:1] == ["help"] else args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; name the one that was probably meant."""
        from ..near_misses import near

        if self.get_command(ctx, args[0]) is None:
            meant = near(args[0], self.list_commands(ctx), _COMMAND_SYNONYMS)
            if meant:
                ctx.fail(f"No such command '{args[0]}'. Did you mean {meant}?")
        return super().resolve_command(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for commands in SECTIONS.values() for name in commands]

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        for commands in SECTIONS.values():
            if name in commands:
                module = importlib.import_module(f".{commands[name][0]}", __package__)
                command: click.Command = module.COMMANDS[name]
                return command
        return None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for section, commands in SECTIONS.items():
            with formatter.section(section):
                formatter.write_dl([(name, short) for name, (_, short) in commands.items()], col_max=12)


@click.group(
    cls=LazyGroup,
    name="paraschut",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=EPILOG,
    invoke_without_command=True,
    subcommand_metavar="[COMMAND [ARGUMENT]...]",
)
@click.option("--config", metavar="FILE", help="Use this paraschut.toml.")
@click.option("--db", "database", metavar="FILE", help="Use this database.")
@click.option("--debug", is_flag=True, help="Show the traceback of an internal error.")
@click.option(
    "--filter", "condition", default="", metavar="FILTER", help="Dashboard: show only matching jobs."
)
@click.option("--batch", type=int, metavar="BATCH", help="Dashboard: start at this batch.")
@click.option("--read-only", is_flag=True, help="Dashboard: change nothing.")
@click.option("--confined", is_flag=True, hidden=True)
@click.option("--lean/--no-lean", default=None, help="Dashboard: send few bytes, for slow connections.")
@click.option("--debug-log", default="", metavar="FILE", help="Dashboard: write a debug log to FILE.")
@click.version_option(__version__, prog_name="paraschut")
@click.pass_context
def paraschut(
    ctx: click.Context,
    config: str | None,
    database: str | None,
    debug: bool,
    condition: str,
    batch: int | None,
    read_only: bool,
    confined: bool,
    lean: bool | None,
    debug_log: str,
) -> int:
    """Run, watch and repair many jobs, on a cluster or on this machine.

    \b
    Examples:
      paraschut demo                     # see it work
      paraschut init --executor local    # a project of your own, with ten jobs
      paraschut add --name human/map --range 0-9 'echo mapped {JobIndex}'
      paraschut submit
      paraschut                          # watch them
      paraschut --filter 'state:missing' --read-only
    """
    ctx.obj = CliContext(config, database, ctx.obj or ())
    if ctx.invoked_subcommand is not None:
        if condition or batch is not None or read_only or debug_log or lean is not None:
            raise click.UsageError(
                "These options belong to the dashboard and cannot precede a command (--filter, --batch ...); "
                f"see: paraschut {ctx.invoked_subcommand} --help"
            )
        return 0
    return open_dashboard(
        ctx.obj,
        condition=condition,
        batch=batch,
        read_only=read_only,
        confined=confined,
        lean=lean,
        debug_log=debug_log,
    )


def open_dashboard(
    project: CliContext,
    *,
    condition: str = "",
    batch: int | None = None,
    read_only: bool = False,
    confined: bool = False,
    lean: bool | None = None,
    debug_log: str = "",
) -> int:
    """Open the dashboard; return its exit code when the user leaves it.

    Args:
        confined: other people use it; they must not get this user's rights.
    """
    terminal = sys.stdin.isatty() and sys.stdout.isatty()
    if terminal and os.environ.get("TERM") in ("dumb", "unknown"):
        raise UsageError(
            f"The dashboard cannot draw on this terminal (TERM={os.environ['TERM']}). "
            "For a report use `paraschut queue`."
        )
    try:
        settings = project.settings
        if confined:
            from ..security.confinement import confine

            confine(settings)
        check_database(settings)
    except (NoProjectError, NoDatabaseError) as error:
        if not terminal:
            raise
        return _welcome(project, str(error), bool(lean))
    if batch is not None and not 0 <= batch < 2**63:
        raise UsageError(f"There is no batch {batch}. See them with: paraschut queue")
    if not terminal and "TEXTUAL_DRIVER" not in os.environ:  # it may be drawn in a browser, say
        raise UsageError(
            "The dashboard needs a terminal. For a report use `paraschut queue`, for help `paraschut --help`."
        )
    gc.disable()  # objects made at the start stay; collecting garbage among them takes a tenth of the time
    # By name: the core does not know the dashboard, only that this command opens it.
    dashboard: Any = importlib.import_module("paraschut_tui.app")
    status: int = dashboard.run(
        settings,
        filter_text=condition,
        batch=batch,
        read_only=read_only,
        low_bandwidth=lean,
        debug_log=debug_log,
    )
    return status


def check_database(settings: Settings) -> None:
    """Report a fault of the file before the screen opens. Raises DatabaseError."""
    from ..project import open_database

    with open_database(settings, read_only=True) as database:
        database.rows("SELECT rev FROM revision")


def _welcome(project: CliContext, reason: str, lean: bool) -> int:
    """Show the welcome screen where there is no project yet, and do what the user chooses."""
    choice: Any = importlib.import_module("paraschut_tui.welcome").ask(reason, low_bandwidth=lean)
    named = ["--config", project.config] if project.config else []
    named += ["--db", project.database] if project.database else []
    if choice.what == "demo":
        return run_command(["demo"])
    if choice.what == "init":
        return run_command([*named, "init"]) or open_dashboard(
            CliContext(project.config, project.database, ())
        )
    if choice.what == "open":
        return open_dashboard(CliContext(choice.config or None, choice.database, ()))
    return int(choice.status)


def run_command(arguments: Sequence[str]) -> int:
    """Run one command line through click; return the exit code."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal that is not UTF-8 gets question marks
    return guarded(lambda: _invoke(list(arguments)), "--debug" in arguments)


def _invoke(arguments: list[str]) -> int:
    try:
        status = paraschut.main(
            arguments,
            prog_name="paraschut",
            standalone_mode=False,
            obj=global_options(arguments)[1],
        )
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.ctx.get_help() if error.ctx else "", err=True)
        return 2
    except click.ClickException as error:
        complain(_click_message(error))
        return error.exit_code
    except click.Abort:
        raise KeyboardInterrupt from None
    except _ReaderGoneError as error:
        raise BrokenPipeError from error
    return status if isinstance(status, int) else 0


def _click_message(error: click.ClickException) -> str:
    ctx = getattr(error, "ctx", None)
    hint = f" Try: {ctx.command_path} --help" if ctx is not None else ""
    message = " ".join(error.format_message().split())
    return message + ("" if message.endswith((".", "?")) else ".") + hint
