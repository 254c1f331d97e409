"""`paraschut run`: a plain command as a job: the start gate, the command, and how it ended written down.

The command runs in this process's own process group, so that a scheduler's kill reaches it; signals that
reach this process alone are passed on to it. Which those are, a third process of the group tells: a signal
for all of them ends it. From the moment that the command is started, this process holds signals back, so that
none can keep it from writing down the end.

Exit status 0 after a signal that came to end the command does not complete the job: it may have saved what
it had and left. That is written down as it is, and the scheduler's account decides.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
import time

from .. import exit_kinds, in_job
from ..errors import ConflictError, DatabaseBusyError, DatabaseError, UsageError
from ..in_job import CommandEnd
from ..model import DONE_STATES, RUN, JobKey
from ..paths import absolute
from . import complain

NOT_EXECUTABLE = 126
NOT_FOUND = 127
"""What shells return for a command that cannot be run, and for one that is not there."""

_FORWARDED = ("SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT", "SIGXCPU", "SIGUSR1", "SIGUSR2", "SIGCONT")
_TOLD_ONLY = frozenset((signal.SIGUSR1, signal.SIGUSR2))
_SENT_BY_TERMINAL = 0x80  # si_code SI_KERNEL: the terminal's keys signal the whole group themselves
_ENDING_FORWARD_AFTER = 1.0
_FORWARD_AFTER = 0.25
"""Seconds before a signal is passed on, one that ends commands and another: by then it is seen whether it was
sent to the whole group, the command among it, and most commands take a second one amiss."""

_LATE = 0.005
"""Seconds within which one who signals a group has signalled all of it."""


_ROUNDED = 0.3
"""Seconds by which a reported CPU time may be too small: the kernel compares clock ticks with the limit, and
reports measured time, which is less on a busy machine."""


_USAGE = "Write: paraschut run [BATCH JOB] [--submit] -- COMMAND [ARGUMENT]..."


def run(arguments: list[str], config: str | None, database: str | None) -> int:
    """The command `run`: returns the exit status of the command that it ran."""
    key_words, submit, command = parse(arguments)
    if "" in (config, database):
        raise UsageError("--config and --db need a file name (got an empty string).")
    if config:
        os.environ["PARASCHUT_CONFIG"] = absolute(os.path.expanduser(config))
    if database:
        os.environ["PARASCHUT_DB"] = absolute(os.path.expanduser(database))
    key = in_job.resolve_job_key(*key_words)
    attempt = in_job.retry_database(lambda: _start(key), (DatabaseBusyError,), _pause)
    ended = execute(command)
    try:
        written = in_job.retry_database(
            lambda: _write_end(key, attempt, ended, chain=submit), (DatabaseError,), _pause
        )
    except ConflictError as error:
        complain(error)
        return 1
    except Exception as error:  # noqa: BLE001 - the package itself may be gone by now
        how = f"signal {ended.signal}" if ended.signal else f"exit status {ended.status}"
        complain(
            f"the command of job {key} ended with {how}, but that cannot be written down: {error} "
            f"{_keep(key, attempt, ended, chain=submit)} "
            f"If it did its work, say so later: paraschut set {key.batch_id} {key.job_index} state=complete"
        )
        return 1
    if written and submit:
        in_job.submit_what_is_next()
    return 128 + ended.signal if ended.signal else ended.status


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
    """Pass the start gate; return the attempt that this is. Raises StaleJobError."""
    with in_job.database() as db:
        attempt: int = in_job.start_job(db, key, again=True)["attempt"]
    return attempt


def _write_end(key: JobKey, attempt: int, ended: CommandEnd, *, chain: bool) -> bool:
    """Write down how the command ended; True if the job is complete.

    What the job wrote about itself meanwhile (complete, a state of the user's) stays as it is.
    """
    with in_job.database() as db:
        info = in_job.job_info(db, key, with_spawns=False)
        if info["attempt"] != attempt:
            raise ConflictError(
                f"Job {key} is at attempt {info['attempt']} by now, this was attempt {attempt}: how it "
                "ended is not written down."
            )
        if ended.status == 0 and ended.signal is None:
            if ended.went_well and info["state"] == RUN:
                in_job.complete_job(db, key, info)
            if ended.went_well or info["state"] in DONE_STATES:
                return True
        in_job.record_exit(db, key, attempt, ended, chain=chain)
    return False


def _keep(key: JobKey, attempt: int, ended: CommandEnd, *, chain: bool) -> str:
    """Keep in a file how the command ended; report where."""
    return in_job.kept_in(lambda: in_job.keep_exit(in_job.database(), key, attempt, ended, chain=chain))


def _pause(seconds: float) -> None:
    """Sleep until Ctrl-C, which has no other effect once the command has ended."""
    if sys.platform == "darwin":
        time.sleep(seconds)
    elif signal.sigtimedwait({signal.SIGINT}, seconds):
        raise KeyboardInterrupt


# ------------------------------------------------------------------------------------ the command


def execute(command: list[str]) -> CommandEnd:
    """Run a command to its end."""
    # A parent that ignores SIGCHLD would have the system throw the exit status away.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    forwarded = {getattr(signal, name) for name in _FORWARDED}
    # What is ignored from the start on (nohup) stays so, for the command too.
    forwarded = {number for number in forwarded if signal.getsignal(number) != signal.SIG_IGN}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {*forwarded, signal.SIGCHLD})
    recorder = _SignalRecorder(forwarded)
    try:
        pid = _spawn(command, before)
    except OSError as error:
        return CommandEnd(_not_started(command[0], error))
    recorder.start()
    received: list[int] = []
    wait_status = _wait(pid, forwarded, recorder, received)
    recorder.close()
    if wait_status == 0 and not received and sys.platform != "darwin":
        # A signal for the whole group may reach the command first, which leaves at once.
        late = signal.sigtimedwait(forwarded, _LATE)
        received += [late.si_signo] if late else []
    received += _forget(forwarded)
    told_to_end = next(
        (number for number in received if exit_kinds.ends_a_job(exit_kinds.signal_name(number))), None
    )
    if os.WIFSIGNALED(wait_status):
        return CommandEnd(0, os.WTERMSIG(wait_status), told_to_end)
    return CommandEnd(os.WEXITSTATUS(wait_status), None, told_to_end)


class _SignalRecorder:
    """A process of this group that does nothing: a signal for the whole group ends it, one for this process
    alone does not. It ends by itself with this process."""

    def __init__(self, signals: set[signal.Signals]) -> None:
        self._signals = signals
        self._pid = 0
        self._pipe = -1

    def start(self) -> None:
        """Has one from now on; without one, every signal is passed on."""
        self.close()
        try:
            end, self._pipe = os.pipe()  # not inherited by anybody else
            self._pid = os.posix_spawnp(
                "cat",
                ["cat"],
                {"PATH": os.environ.get("PATH", os.defpath)},
                file_actions=[
                    (os.POSIX_SPAWN_DUP2, end, 0),
                    (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
                    (os.POSIX_SPAWN_DUP2, 1, 2),
                ],
                setsigmask=(),
                setsigdef=self._signals,
            )
            os.close(end)
        except OSError:
            self._pid = 0

    def has_ended(self) -> bool:
        """Return whether it was ended since it was started; if so, start another one."""
        if not self._pid or os.waitpid(self._pid, os.WNOHANG) == (0, 0):
            return False
        self._pid = 0
        self.start()
        return True

    def close(self) -> None:
        if self._pipe >= 0:
            os.close(self._pipe)
            self._pipe = -1
        if self._pid:
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
            self._pid = 0


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
    """Report why a command could not be started; return what a shell would return."""
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


def _wait(pid: int, forwarded: set[signal.Signals], recorder: _SignalRecorder, received: list[int]) -> int:
    """The wait status of the command once it has ended; passes signals on to it meanwhile.

    Args:
        received: gets the signals that came.
    """
    due: dict[int, float] = {}
    while True:
        number, for_all = _next_signal({*forwarded, signal.SIGCHLD}, min(due.values(), default=None))
        if number == signal.SIGCHLD:
            if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                if _used_its_cpu_time(pid):
                    received.append(signal.SIGXCPU)
                return os.waitpid(pid, 0)[1]
        elif number is not None:
            received.append(number)
            if not for_all:
                due.setdefault(number, time.monotonic() + _forward_after(number))
        if recorder.has_ended():
            due.clear()  # the command has got them, too
        for ready in [n for n, at in due.items() if at <= time.monotonic()]:
            del due[ready]
            os.kill(pid, ready)  # not waited for yet, so the number is still its


def _used_its_cpu_time(pid: int) -> bool:
    """Whether a process that has ended, and was not waited for, had used up the CPU time that it may use:
    then it was sent a signal that this process knows nothing of."""
    limit = in_job.cpu_limit()
    if limit is None or sys.platform == "darwin":
        return False
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return False
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK") >= limit - _ROUNDED


def _forward_after(number: int) -> float:
    if number == signal.SIGCONT or sys.platform == "darwin":
        return 0.0
    return _FORWARD_AFTER if number in _TOLD_ONLY else _ENDING_FORWARD_AFTER


def _forget(signals: set[signal.Signals]) -> list[int]:
    """Take away the signals that came and are not needed any more; return which."""
    taken = []
    while signals & signal.sigpending():
        taken.append(int(signal.sigwait(signals)))
    return taken


def _next_signal(wanted: set[signal.Signals], until: float | None) -> tuple[int | None, bool]:
    """Wait for one of these signals, until a time (then None); also whether it is known that the command
    gets it too, as what comes from the terminal."""
    if sys.platform == "darwin":
        return signal.sigwait(wanted), False  # without a time: there a signal is passed on with the next one
    if until is None:
        found = signal.sigwaitinfo(wanted)
    else:
        late = signal.sigtimedwait(wanted, max(until - time.monotonic(), 0))
        if late is None:
            return None, False
        found = late
    return found.si_signo, found.si_code == _SENT_BY_TERMINAL and found.si_signo != signal.SIGCHLD
