"""`paraschut run`: a plain command as a job: the start gate, the command, and how it ended written down.

The command runs in this process's own process group, so that a scheduler's kill reaches it; signals that
reach this process alone are passed on to it. From the moment that it is started, this process holds
signals back, so that none can keep it from writing down the end.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
import time

from .. import runtime
from ..errors import ConflictError, DatabaseBusyError, DatabaseError, UsageError
from ..model import RUN, JobKey
from . import complain

NOT_EXECUTABLE = 126
NOT_FOUND = 127
"""What shells return for a command that cannot be run, and for one that is not there."""

_FORWARDED = ("SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGCONT")
_SENT_BY_TERMINAL = 0x80  # si_code SI_KERNEL: the terminal's keys signal the whole group themselves
_FORWARD_AFTER = 1.0 if sys.platform != "darwin" else 0.0
"""Seconds before a signal is passed on: one that was sent to the whole group has ended the command by then,
or has set it about ending, and most commands take a second signal amiss."""

_USAGE = "Write: paraschut run [BATCH JOB] [--submit] -- COMMAND [ARGUMENT]..."


def run(arguments: list[str], config: str | None, database: str | None) -> int:
    """The command `run`: returns the exit status of the command that it ran."""
    key_words, submit, command = parse(arguments)
    if "" in (config, database):
        raise UsageError("--config and --db need the name of a file: what was to give it is empty.")
    if config:
        os.environ["PARASCHUT_CONFIG"] = os.path.abspath(os.path.expanduser(config))
    if database:
        os.environ["PARASCHUT_DB"] = os.path.abspath(os.path.expanduser(database))
    key = runtime.key_of(*key_words)
    attempt = runtime.patiently(lambda: _start(key), (DatabaseBusyError,), _pause)
    status, signal_number = execute(command)
    try:
        written = runtime.patiently(
            lambda: _write_end(key, attempt, status, signal_number), (DatabaseError,), _pause
        )
    except DatabaseError as error:
        ended = f"signal {signal_number}" if signal_number else f"exit status {status}"
        complain(
            f"the command of job {key} ended with {ended}, but that cannot be written down: {error} "
            f"If it did its work, say so later: paraschut set {key.batch_id} {key.job_index} state=complete"
        )
        return 1
    except ConflictError as error:
        complain(error)
        return 1
    if written and submit:
        runtime.submit_what_is_next()
    return 128 + signal_number if signal_number else status


def parse(arguments: list[str]) -> tuple[tuple[int | None, int | None], bool, list[str]]:
    """((BatchID, JobIndex), whether to submit what is next, command).

    Written out because argparse would take a third of the time that this process needs to start.

    Raises:
        UsageError: it is no such command line.
    """
    if "--" not in arguments:
        raise UsageError(f"There is no `--` before the command to run. {_USAGE}")
    at = arguments.index("--")
    own, command = arguments[:at], arguments[at + 1 :]
    if not command:
        raise UsageError(f"There is no command after `--`. {_USAGE}")
    submit = "--submit" in own
    words = [word for word in own if word != "--submit"]
    for word in words:
        if word.startswith("-"):
            raise UsageError(f"run has no option {word}. {_USAGE}")
        if not (word.isascii() and word.isdigit()):
            raise UsageError(f"BATCH and JOB are numbers, not {word!r}. {_USAGE}")
    if len(words) not in (0, 2):
        raise UsageError(f"Give both BATCH and JOB, or neither inside a job. {_USAGE}")
    batch, job = map(int, words) if words else (None, None)
    return (batch, job), submit, command


# ------------------------------------------------------------------------------------ the database


def _start(key: JobKey) -> int:
    """Passes the start gate; returns the attempt that this is. Raises StaleJobError."""
    with runtime.database() as db:
        attempt: int = runtime.start_job(db, key)["attempt"]
    return attempt


def _write_end(key: JobKey, attempt: int, status: int, signal_number: int | None) -> bool:
    """Writes down how the command ended; True if the job is complete.

    What the job wrote about itself meanwhile (complete, a state of the user's) stays as it is.
    """
    with runtime.database() as db:
        info = runtime.job_info(db, key, with_spawns=False)
        if info["attempt"] != attempt:
            raise ConflictError(
                f"Job {key} is at attempt {info['attempt']} by now, this was attempt {attempt}: how it "
                "ended is not written down."
            )
        if status == 0 and signal_number is None:
            if info["state"] == RUN:
                runtime.complete_job(db, key, info)
            return True
        runtime.record_exit(db, key, attempt, status, signal_number)
    return False


def _pause(seconds: float) -> None:
    """Sleeps; an impatient user's Ctrl-C ends it, which counts nowhere else once the command has ended."""
    if sys.platform == "darwin":
        time.sleep(seconds)
    elif signal.sigtimedwait({signal.SIGINT}, seconds):
        raise KeyboardInterrupt


# ------------------------------------------------------------------------------------ the command


def execute(command: list[str]) -> tuple[int, int | None]:
    """Runs a command to its end: (exit status, None), or (0, signal) if a signal ended it."""
    # A parent that ignores SIGCHLD would have the system throw the exit status away.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    forwarded = {getattr(signal, name) for name in _FORWARDED}
    # What is ignored from the start on (nohup) stays so, for the command too.
    forwarded = {number for number in forwarded if signal.getsignal(number) != signal.SIG_IGN}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {*forwarded, signal.SIGCHLD})
    try:
        pid = _spawn(command, before)
    except OSError as error:
        return _not_started(command[0], error), None
    wait_status = _wait(pid, forwarded)
    _forget(forwarded)
    if os.WIFSIGNALED(wait_status):
        return 0, os.WTERMSIG(wait_status)
    return os.WEXITSTATUS(wait_status), None


def _spawn(command: list[str], mask: set[int | signal.Signals]) -> int:
    # Python itself ignores these two; a command expects them as they usually are.
    defaults = [signal.SIGPIPE, signal.SIGXFSZ]
    try:
        return os.posix_spawnp(command[0], command, os.environ, setsigmask=mask, setsigdef=defaults)
    except OSError as error:
        if error.errno != errno.ENOEXEC:
            raise
        # A script without `#!`: shells run it, and so do we.
        path = _found(command[0])
        from ..executors.shell import shell

        words = [shell(), path, *command[1:]]
        return os.posix_spawn(words[0], words, os.environ, setsigmask=mask, setsigdef=defaults)


def _found(name: str) -> str:
    import shutil

    return shutil.which(name) or name


def _not_started(name: str, error: OSError) -> int:
    """Says why a command could not be started; returns what a shell would return."""
    exists = os.sep in name and os.path.exists(name)
    if error.errno in (errno.ENOENT, errno.ENOTDIR) and exists:
        complain(f"{name} cannot be run: the interpreter that its first line names is not there.")
        return NOT_FOUND
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        complain(f"command not found: {name}")
        return NOT_FOUND
    if error.errno == errno.EACCES:
        complain(f"{name} is not executable (permission denied).")
    else:
        complain(f"{name} cannot be run: {error.strerror}.")
    return NOT_EXECUTABLE


def _wait(pid: int, forwarded: set[signal.Signals]) -> int:
    """The wait status of the command once it has ended; passes signals on to it meanwhile."""
    due: dict[int, float] = {}
    while True:
        number = _next_signal({*forwarded, signal.SIGCHLD}, min(due.values(), default=None))
        if number == signal.SIGCHLD:
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                return status
        elif number is not None:
            wait = 0.0 if number == signal.SIGCONT else _FORWARD_AFTER
            due.setdefault(number, time.monotonic() + wait)
        for ready in [n for n, at in due.items() if at <= time.monotonic()]:
            del due[ready]
            os.kill(pid, ready)  # not waited for yet, so the number is still its


def _forget(signals: set[signal.Signals]) -> None:
    """Takes away the signals that came for the command and are not needed any more."""
    while signals & signal.sigpending():
        signal.sigwait(signals)


def _next_signal(wanted: set[signal.Signals], until: float | None) -> int | None:
    """Waits for one of these signals, until a time; what the terminal sent is for the group already."""
    if sys.platform == "darwin":
        return signal.sigwait(wanted)  # without a time: there a signal is passed on with the next one
    if until is None:
        found = signal.sigwaitinfo(wanted)
    else:
        late = signal.sigtimedwait(wanted, max(until - time.monotonic(), 0))
        if late is None:
            return None
        found = late
    from_terminal = found.si_code == _SENT_BY_TERMINAL and found.si_signo != signal.SIGCHLD
    return None if from_terminal else found.si_signo
