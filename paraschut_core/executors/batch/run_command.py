"""Runs one scheduler command: argument list, time-out, clean environment, errors that name the command."""

from __future__ import annotations

import errno
import logging
import os
import re
import shlex
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ...errors import SchedulerError
from ...sanitize import clean_line

LOG = logging.getLogger(__name__)

COUNTS: Counter[str] = Counter()
"""How often this process ran each command, by its name: what a benchmark reads."""

JOB_VARIABLES = "PARASCHUT_VARIABLES"
"""Names, separated by spaces, of the variables that a job's script set for this job alone."""

# Defaults for the options of Slurm's commands: they would change what is asked and how it is answered.
_OPTION_PREFIXES = ("SQUEUE_", "SACCT_", "SCANCEL_", "SCONTROL_", "SINFO_", "SALLOC_", "SRUN_")

# Those of sbatch are what the user wants of all jobs (account, partition, time limit), except for what this
# program decides itself: logs, arrays, the job's environment, and whether sbatch waits or talks. Inside a job
# of somebody else's making they are that job's; in one of ours they came along from the user.
_SBATCH_DROPPED = frozenset(
    f"SBATCH_{name}"
    for name in (
        *("ARRAY_INX", "DEBUG", "ERROR", "EXPORT", "EXPORT_FILE", "GET_USER_ENV", "INPUT", "JOB_NAME"),
        *("OPEN_MODE", "OUTPUT", "QUIET", "TEST_ONLY", "VERBOSE", "WAIT", "WAIT_ALL_NODES"),
    )
)

# What a process of an MPI program is told of itself: a program started from it would take itself for a part.
_MPI_PREFIXES = ("PMI_", "PMI2_", "PMIX_", "PALS_", "HYDI_", "HYDRA_", "PRTE_", "MV2_COMM_", "MPI_LOCAL")
_MPI_SETTINGS = "OMPI_MCA_"
"""Open MPI's settings: a user's own outside of its programs, mpirun's inside."""

# A job's environment describes that job; sbatch and qsub inside it would take it for their options.
# What stays is what names the cluster and proves who asks.
_KEPT = {
    "SLURM_": ("SLURM_CONF", "SLURM_JWT", "SLURM_CLUSTERS", "SLURM_SACK"),
    "SGE_": ("SGE_ROOT", "SGE_CELL", "SGE_QMASTER_PORT", "SGE_EXECD_PORT", "SGE_CLUSTER_NAME", "SGE_ARCH"),
    "PBS_": (
        "PBS_SERVER",
        "PBS_DEFAULT",
        "PBS_CONF_FILE",
        "PBS_EXEC",
        "PBS_HOME",
        "PBS_PRIMARY",
        "PBS_SECONDARY",
        "PBS_AUTH",
        "PBS_ENCRYPT",
        "PBS_SUPPORTED",
    ),
}

# Grid Engine's job variables without a prefix; they are common words, so they go only inside such a job.
_SGE_WORDS = frozenset(
    {"JOB_ID", "JOB_NAME", "JOB_SCRIPT", "NSLOTS", "NHOSTS", "NQUEUES", "PE", "QUEUE", "REQUEST", "RESTARTED"}
)

_MESSAGE = 400  # characters of a command's message that are shown

_DRAIN = 2.0  # seconds to wait for the output of a command that was killed


class CommandNotFoundError(SchedulerError):
    """The command cannot be run here: nothing reached the scheduler."""


class CommandTimeoutError(SchedulerError):
    """The command was given up: nobody knows what the scheduler made of it."""


class CommandResult(NamedTuple):
    """What a command came to. `status` is negative where a signal ended it (-9: SIGKILL)."""

    argv: tuple[str, ...]
    status: int
    stdout: str
    stderr: str
    seconds: float

    @property
    def text(self) -> str:
        """All that it said: what rules about its answer look at."""
        return f"{self.stderr}\n{self.stdout}"

    @property
    def whole(self) -> str:
        """Its standard output. Raises SchedulerError if its last line is cut short."""
        if self.stdout and not self.stdout.endswith("\n"):
            raise SchedulerError(f"{shown(self.argv)}: the answer is cut short: {self.stdout[-100:]!r}")
        return self.stdout

    @property
    def complaints(self) -> list[str]:
        """The lines that are surely its own and of an error: a site may greet on the same stream."""
        own = re.compile(
            rf"{re.escape(os.path.basename(self.argv[0]))}: |(?:.*\W)?(?:error|fatal): |Unable to |denied: ",
            re.IGNORECASE,
        )
        return [line for line in map(str.strip, self.text.splitlines()) if own.match(line)]

    @property
    def message(self) -> str:
        """What it complained of, as one line without its own name ('' if it said nothing)."""
        return _complaint(self.argv[0], self.stderr.strip() or self.stdout, self.complaints)

    def failure(self) -> SchedulerError:
        """The error that this answer is, the command in it."""
        why = self.message or "no message"
        return SchedulerError(f"{shown(self.argv)}: {why} (exit status {self.status})")


def run(
    argv: Sequence[str],
    *,
    timeout: float,
    env_extra: Mapping[str, str | None] | None = None,
    input: str | None = None,  # noqa: A002 - subprocess's own name for it
) -> CommandResult:
    """Run a command and return its answer, whatever its exit status.

    Args:
        timeout: seconds after which it and all that it started is killed.
        env_extra: variables on top of the cleaned environment; None removes one.
        input: text for its standard input (default: nothing to read).

    Raises:
        CommandNotFoundError: it is not there, or may not be run.
        CommandTimeoutError: it did not end in time.
    """
    COUNTS[os.path.basename(argv[0])] += 1
    began = time.monotonic()
    try:
        process = subprocess.Popen(
            list(argv),
            stdin=subprocess.DEVNULL if input is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(env_extra),
            start_new_session=True,  # its own process group, so that a time-out ends its children too
        )
    except OSError as error:
        raise _cannot_start(argv, error) from error
    data = None if input is None else input.encode("utf-8", "surrogateescape")
    try:
        out, err = process.communicate(data, timeout)
    except subprocess.TimeoutExpired:
        out, err = _kill(process)
        said = CommandResult(
            tuple(argv), -signal.SIGKILL, "", err.decode("utf-8", "replace"), timeout
        ).message
        raise CommandTimeoutError(
            f"{shown(argv)}: not answering for {timeout:g} s{f' ({said})' if said else ''}"
        ) from None
    except BaseException:
        _kill(process)
        raise
    answer = CommandResult(
        tuple(argv),
        process.returncode,
        _text(out),
        _text(err),
        time.monotonic() - began,
    )
    LOG.debug("%s: status %d in %.3f s", shown(argv), answer.status, answer.seconds)
    return answer


def environment(extra: Mapping[str, str | None] | None = None) -> dict[str, str]:
    """The environment for a scheduler's command: ours, without what would change its meaning.

    Dropped: defaults for options of Slurm's commands (see `_SBATCH_DROPPED` for sbatch's), the variables
    that describe the job this process runs in, and what `inherited` drops.
    """
    dropped = _SGE_WORDS if "SGE_TASK_ID" in os.environ else frozenset()
    clean = {name: value for name, value in inherited().items() if name not in dropped and _stays(name)}
    clean["LC_ALL"] = "C"
    for name, value in (extra or {}).items():
        if value is None:
            clean.pop(name, None)
        else:
            clean[name] = value
    return clean


def inherited() -> dict[str, str]:
    """What jobs that this process submits may inherit of its environment.

    Not the own `vars` of the job that this process may run in, nor what names it as a process of an MPI
    program.
    """
    own = set(os.environ.get(JOB_VARIABLES, "").split()) | {JOB_VARIABLES}
    kept = _MPI_SETTINGS if "OMPI_COMM_WORLD_RANK" not in os.environ else ()
    return {
        name: value
        for name, value in os.environ.items()
        if name not in own
        and not name.startswith(_MPI_PREFIXES)
        and (not name.startswith("OMPI_") or name.startswith(kept))
    }


def user_locale() -> dict[str, str | None]:
    """For `env_extra`: the user's own LC_ALL, for commands whose environment a job inherits."""
    return {"LC_ALL": os.environ.get("LC_ALL")}


def shown(argv: Sequence[str], limit: int = 60) -> str:
    """The command as a user would type it, on one line and cut to `limit` characters."""
    return clean_line(shlex.join(argv), limit)


def one_line(text: str, limit: int = _MESSAGE) -> str:
    """Text of several lines as one, safe to show."""
    return clean_line("; ".join(line.strip() for line in text.splitlines() if line.strip()), limit)


def _text(output: bytes) -> str:
    """What a command wrote; a wrapper around it, or a terminal, may have ended its lines in another way."""
    return output.decode("utf-8", "replace").replace("\r\n", "\n")


def _complaint(command: str, said: str, errors: Sequence[str]) -> str:
    """What of several lines tells best what was wrong, as one line: errors first, else the last lines."""
    own = f"{os.path.basename(command)}: "
    lines = [line.strip() for line in said.splitlines()]
    ordered = [*errors, *(line for line in lines if line not in errors)]
    short = [line.removeprefix(own).removeprefix("error: ") for line in ordered]
    short = [line for line in short if line and line != "Exiting."]
    if errors:
        return one_line("\n".join(short))
    while len(short) > 1 and len("; ".join(short)) > _MESSAGE:
        del short[0]
    return one_line("\n".join(short))


def _stays(name: str) -> bool:
    if name.startswith("SBATCH_"):
        foreign = "SLURM_JOB_ID" in os.environ and "PARASCHUT_TOKEN" not in os.environ
        return name not in _SBATCH_DROPPED and not foreign
    if name.startswith(_OPTION_PREFIXES) or name == "SLURM_TIME_FORMAT":
        return False
    for prefix, kept in _KEPT.items():
        if name.startswith(prefix):
            return name.startswith(kept)
    return True


def _kill(process: subprocess.Popen[bytes]) -> tuple[bytes, bytes]:
    """End the command and its children; return what they had written so far."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass  # it ended by itself in this very moment
    try:
        return process.communicate(timeout=_DRAIN)
    except subprocess.TimeoutExpired as error:
        # A child that left the group still holds the pipes, or the process hangs in the kernel:
        # neither must hold us.
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()
        return error.stdout or b"", error.stderr or b""


def _cannot_start(argv: Sequence[str], error: OSError) -> CommandNotFoundError:
    name = clean_line(argv[0], 80)
    if error.errno == errno.ENOENT:
        return CommandNotFoundError(
            f"command not found: {name} (is this a login node? does it need `module load`?)"
        )
    if error.errno == errno.E2BIG:
        return CommandNotFoundError(
            f"{shown(argv)}: too many or too long arguments or variables for one command"
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        return CommandNotFoundError(f"{name}: permission denied: you may not run this command here")
    return CommandNotFoundError(f"cannot run {name}: {error.strerror or error}")
