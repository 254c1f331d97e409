"""The script a scheduler gets: a job's environment, log files and command, and the record of its end.

What is written for one submission lies in `JobDir/.paraschut/scripts/<user>/`, readable by that user
alone, named after the submission's group (the part of its tokens before the last `-`):

`<group>.sh`      what the scheduler is given; it keeps a copy
`<group>.tasks`   for an array: what differs between its jobs, a shell `case` read when a task starts
`<token>.log`     what the scheduler itself has to say of a job (time limit, lost node); removed if the
                  job ended well and it is empty
`ended/<executor>~<id>~<token>`   how a job ended, written by its script: the last resort where a
                  scheduler keeps no accounts

Values are never passed on a command line: each scheduler breaks commas, quotes, newlines or dollars in
its own way. The script exports them, quoted for the shell, byte for byte.
"""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Collection, Mapping, Sequence
from functools import cache
from typing import NamedTuple

from ...errors import ScriptError, UntrustedError
from ...identity import user_folder
from ...model import JobSpec
from ...paths import absolute, current_umask
from ...security.ownership import enter, open_folder, open_own
from ..exit_info import ExitRecord
from ..shell import executable, exports, quote, shell
from .run_command import JOB_VARIABLES, inherited

KEPT_DAYS = 14
"""Days after which files of submissions that are not in the queue any more are removed."""

NOT_STARTED = 125
"""Exit status of a script that could not get as far as the job's own command."""

_SWEEP_EVERY = 86400.0  # seconds between two looks for old files
_LOG_TAIL = 4096  # bytes of a scheduler's own messages that are worth showing
_SKEW = 300.0  # seconds by which the clocks of two hosts may differ

_TOKEN = re.compile(r"([A-Za-z0-9]+)-([0-9]+)")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# Where /bin/sh is bash, assigning to these ends the script.
_READ_ONLY = frozenset({"BASHOPTS", "BASH_VERSINFO", "EUID", "PPID", "SHELLOPTS", "UID"})

# Grid Engine and PBS start jobs with a login's bare environment; these are what a job needs to find the
# programs that its submitter would find. (Slurm hands over the whole environment by itself.)
_CARRIED = frozenset(
    (
        *(
            "PATH",
            "LD_LIBRARY_PATH",
            "PYTHONPATH",
            "VIRTUAL_ENV",
            "CONDA_PREFIX",
            "CONDA_DEFAULT_ENV",
            "LANG",
        ),
        *("LC_ALL", "BASH_ENV", "LOADEDMODULES", "_LMFILES_"),
    )
)
# Exported functions, and what the commands `module` and `ml` among them know.
_CARRIED_PREFIXES = ("BASH_FUNC_", "MODULE", "LMOD_", "__LMOD_", "_ModuleTable")


class JobIdVariables(NamedTuple):
    """How a job of one scheduler knows itself, as shell expressions; `executor` is the word of its record.

    `job_id` and `task_id` give the id of a single job and of an array's task as `poll` shows them, `task`
    the task's number. `bare` says that the scheduler does not hand over the submitter's environment.
    """

    executor: str
    job_id: str
    task_id: str
    task: str
    bare: bool


# ------------------------------------------------------------------------------------ pieces


def split_token(token: str) -> tuple[str, int]:
    """A token's group and number. Raises ScriptError if it is not of the form group-number."""
    match = _TOKEN.fullmatch(token)
    if match is None:
        raise ScriptError(f"{token!r} is no token of a submission (letters and digits, '-', a number).")
    return match[1], int(match[2])


def command(script: str, cwd: str) -> list[str]:
    """The argument list that runs a job's script: an executable file, or a command line for the shell.

    Raises:
        ScriptError: it is empty, or a file that may not be executed.
    """
    if path := executable(script, cwd):
        return [path]
    # A leading blank keeps a line that begins with a dash from being taken for an option of sh.
    return [shell(), "-c", f" {script}" if script[0] in "-+" else script]


def check_variables(environment: Mapping[str, object]) -> None:
    """Raise ScriptError for a variable that a shell script cannot export."""
    for name, value in environment.items():
        if not _VARIABLE.fullmatch(name):
            raise ScriptError(
                f"vars: {name!r} cannot be exported: a variable's name has letters, digits and '_' only."
            )
        if name in _READ_ONLY:
            raise ScriptError(f"vars: {name} belongs to the shell and cannot be set; choose another name.")
        if "\0" in str(value):
            raise ScriptError(f"vars: {name} holds a NUL character, which no environment can.")


def inherited_exports() -> list[str]:
    """Shell lines that give a job the search paths, the functions and the locale of its submitter."""
    return exports(
        {
            name: value
            for name, value in inherited().items()
            if name in _CARRIED or name.startswith(_CARRIED_PREFIXES)
        }
    )


def _prologue(modules: Sequence[str]) -> list[str]:
    """The shell lines that the settings put before each job: one that fails keeps the job from running."""
    lines = []
    for statement in _statements(tuple(modules)):
        what = " ".join(statement.split())[:100]
        lines += [
            # Not a test whose outcome another command behind && or || has already dealt with.
            *(["psu_bad=; trap psu_bad=1 ERR"] if shell().endswith("/bash") else ["psu_bad=1"]),
            statement,
            f'psu_status=$?; [ "$psu_status" -eq 0 ] || [ -z "$psu_bad" ] || psu_end {NOT_STARTED} '
            f'"$(printf \'%s failed with exit status %s\' {quote(what)} "$psu_status")"',
        ]
    return [*lines, "trap - ERR"] if lines and shell().endswith("/bash") else lines


@cache
def _statements(lines: tuple[str, ...]) -> tuple[str, ...]:
    """The lines, those together that are one statement (`if ...`, `then ...`, `fi`)."""
    statements: list[str] = []
    open_lines: list[str] = []
    for line in lines:
        open_lines.append(line)
        text = "\n".join(open_lines)
        if _is_whole(text):
            statements.append(text)
            open_lines = []
    return (*statements, "\n".join(open_lines)) if open_lines else tuple(statements)


def _is_whole(text: str) -> bool:
    """Return whether a shell takes the text for complete commands."""
    if text.endswith("\\"):
        return False
    answer = subprocess.run([shell(), "-n", "-c", text], capture_output=True, check=False)
    return answer.returncode == 0 and b"here-document" not in answer.stderr


def _job_lines(job: JobSpec, shared: Mapping[str, str]) -> list[str]:
    """What is a job's own: where it works, where it logs, what it runs."""
    own = {name: value for name, value in _variables(job).items() if shared.get(name) != value}
    return [
        f"psu_cwd={quote(job.cwd)}",
        f"psu_out={quote(job.stdout)}",
        f"psu_err={quote(job.stderr)}",
        "psu_run() {",
        *exports(own),
        f"exec {' '.join(map(quote, command(job.script, job.cwd)))}",
        "}",
    ]


def _variables(job: JobSpec) -> dict[str, str]:
    """The job's variables, and their names: what it submits itself must not inherit them."""
    return {**job.environment, JOB_VARIABLES: " ".join(job.environment)}


def _shared(jobs: Sequence[JobSpec]) -> dict[str, str]:
    """The variables that have one value in all jobs: an array says them once."""
    rest = [_variables(job) for job in jobs]
    return {name: value for name, value in rest[0].items() if all(other.get(name) == value for other in rest)}


# The frame around a job. `psu_` keeps its names apart; nothing of it is exported to the job.
_FRAME = """\
psu_started=$(date +%s)
psu_file="$psu_folder/ended/$psu_executor~$psu_id~$psu_token"
[ ! -e "$psu_file" ] || rm -f "$psu_file" # of this job's run before the scheduler put it back into the queue
psu_signal=
psu_ready=
psu_pid=
psu_witness=
psu_note() { # signal: kept for the record; one that is to end the job is not hidden by another
  psu_caught=1
  case $1:$psu_signal in USR?:?*) ;; *) psu_signal=$1 ;; esac
  [ -z "$psu_pid" ] || psu_pass "$1"
}
psu_pass() { :; }
for psu_name in TERM INT HUP USR1 USR2 XCPU; do trap "psu_note $psu_name" "$psu_name"; done

psu_end() { # exit status, what kept the job from starting
  trap '' TERM INT HUP USR1 USR2 XCPU
  # Where another user's folder took the place of ours, nothing is written.
  if [ -L "$psu_folder" ] || [ ! -O "$psu_folder" ]; then exit "$1"; fi
  # A scheduler may say why a job failed after this, into the file that is there: only success removes it.
  if [ ! -s "$psu_log" ]; then
    [ "$1$psu_signal" != 0 ] || rm -f "$psu_log"
  elif [ -n "$psu_ready" ]; then
    cat "$psu_log" >&2
  fi
  printf '%s\\n' "id=$psu_id" "token=$psu_token" "status=$1" "signal=$psu_signal" "host=$(uname -n)" \\
    "started=$psu_started" "ended=$(date +%s)" "note=$2" >"$psu_file.new" && mv -f "$psu_file.new" "$psu_file"
  exit "$1"
}
"""

_END_ALONE = 'psu_end() { [ -z "$2" ] || echo "$2" >&2; exit "$1"; }'

_LOGS = """\
psu_ours() {
  ls -ldn -- "$1" | { read -r _ _ psu_uid _ && case $psu_uid in 0 | "$(id -u)") ;; *) false ;; esac; }
}
# No link of another user's below the job directory leads to it, nor is it theirs in a public folder.
psu_safe() {
  psu_at=$1
  while :; do
    if [ -L "$psu_at" ] && ! psu_ours "$psu_at"; then return 1; fi
    case $psu_at in "$psu_base"/*/*) psu_at=${psu_at%/*} ;; *) break ;; esac
  done
  if [ ! -f "$1" ] || [ -O "$1" ]; then return 0; fi
  case $(ls -ldn -- "${1%/*}/.") in d???????w*) psu_ours "$1" ;; esac
}
psu_check() { psu_safe "$1" || psu_end 125 "did not write its log, which another user led elsewhere: $1"; }
psu_check "$psu_out"
psu_check "$psu_err"
psu_writable() { true >>"$1" || { mkdir -p "${1%/*}" && true >>"$1"; }; } 2>/dev/null
psu_writable "$psu_out" || psu_end 125 "could not write its log $psu_out"
psu_writable "$psu_err" || psu_end 125 "could not write its log $psu_err"
exec >>"$psu_out" 2>>"$psu_err"
psu_check "$psu_out"
psu_check "$psu_err"
psu_ready=1
"""

_RUN = """\
cd -- "$psu_cwd" || psu_end 125 "could not enter its directory $psu_cwd"
# A shell tells of a command that a signal ended; the job's log is not the place for that.
exec 3>&2 2>/dev/null
(exec 2>&3 3>&-; psu_shared; psu_run) </dev/null
psu_status=$?
exec 2>&3 3>&-
psu_end "$psu_status" ""
"""

# The same, for a shell that is a bash. A shell looks after signals while it waits for a command in its
# background, and not while one runs in front of it. Those that reach this script alone (Slurm's --signal=B:)
# are passed on, once: a process in the background that does nothing tells them from those for all, which end
# it. It reads from this script and so ends with it. A shell has what is in its background ignore two signals;
# setting a trap and taking it away again undoes that.
# Where a signal comes as a child ends, `wait` may forget for the trap that it has reaped the child, and then
# waits for ever. So a shell in between, which such signals do not end, writes the job's status to a pipe.
_RUN_AND_PASS = """\
cd -- "$psu_cwd" || psu_end 125 "could not enter its directory $psu_cwd"
exec 3>&2 2>/dev/null
psu_watch() {
  exec 9>&-
  exec 9> >(trap : INT QUIT; trap - INT QUIT TERM HUP USR1 USR2 XCPU; exec cat >/dev/null 3>&-)
  psu_witness=$!
}
psu_pass() { # signal: passed on unless the job has got it, too
  local psu_tries=5
  case $1 in USR?) ;; *) psu_tries=20 ;; esac
  while [ "$psu_tries" -gt 0 ]; do
    kill -0 "$psu_witness" || { psu_watch; return; }
    sleep 0.05
    psu_tries=$((psu_tries - 1))
  done
  kill -s "$1" "$psu_pid"
}
psu_watch
exec 8<> <(:)
(
  exec 9>&-
  trap : TERM INT QUIT HUP USR1 USR2 XCPU
  (
    trap : INT QUIT
    trap - INT QUIT TERM HUP USR1 USR2 XCPU
    echo "process $BASHPID" >&8
    exec 2>&3 3>&- 8>&-
    psu_shared
    psu_run
  ) </dev/null
  psu_status=$?
  echo "status $psu_status" >&8
  exit "$psu_status"
) &
psu_child=$!
read -r psu_word psu_number <&8
[ "$psu_word" != process ] || psu_pid=$psu_number
while [ -n "$psu_pid" ]; do
  psu_caught=
  wait "$psu_child"
  [ -n "$psu_caught" ] && kill -0 "$psu_child" || break
done
psu_pid=
psu_status=137 # if the shell in between was killed
[ "$psu_word" = status ] || read -r -t 2 psu_word psu_number <&8
[ "$psu_word" != status ] || psu_status=$psu_number
exec 2>&3 3>&- 8>&- 9>&-
psu_end "$psu_status" ""
"""


def _run() -> str:
    return _RUN_AND_PASS if shell().endswith("/bash") else _RUN


def render(
    jobs: Sequence[JobSpec], dialect: JobIdVariables, folder: str, modules: Sequence[str]
) -> tuple[str, str]:
    """The text of the script, and of the file with the tasks' own parts ('' for a single job).

    Raises:
        ScriptError: a job's script or variables cannot be used.
    """
    for job in jobs:
        check_variables(job.environment)
    group, first = split_token(jobs[0].token)
    array = len(jobs) > 1
    shared = _shared(jobs) if array else {}
    tasks = f"{folder}/{group}.tasks"
    what = f"{len(jobs)} jobs, from {jobs[0].key}" if array else f"job {jobs[0].key}"
    lines = [
        f"#!{shell()}",
        f"# Paraschut: {what}, attempt {jobs[0].attempt}. Made for this submission alone.",
        f"umask {current_umask():04o}",
        *(inherited_exports() if dialect.bare else []),
        f"psu_id={dialect.task_id if array else dialect.job_id}",
        f"psu_executor={dialect.executor}",
        f"psu_folder={quote(folder)}",
        f"psu_base={quote(_base_of(folder))}",
        f"psu_token={group}-{dialect.task if array else first}",
        'psu_log="$psu_folder/$psu_token.log"',
        _FRAME,
    ]
    if array:
        lines += [
            "psu_shared() {",
            ":",
            *exports(shared),
            "}",
            f"[ -r {quote(tasks)} ] || psu_end {NOT_STARTED} {quote(f'could not read {tasks}')}",
            # The opened file is what is looked at and read, whatever takes the place of its path.
            f"exec 4<{quote(tasks)}",
            f"[ -O /dev/fd/4 ] || psu_end {NOT_STARTED} {quote(f'did not read {tasks}: not its own')}",
            ". /dev/fd/4",
            "exec 4<&-",
        ]
    else:
        lines += ["psu_shared() { :; }", *_job_lines(jobs[0], shared)]
    lines += [_LOGS, *_prologue(modules), _run()]
    return "\n".join(lines), _task_cases(jobs, shared) if array else ""


def _base_of(folder: str) -> str:
    """The job directory that a folder of scripts belongs to."""
    for _ in range(3):
        folder = os.path.dirname(folder)
    return folder


def render_alone(job: JobSpec, modules: Sequence[str], job_dir: str) -> str:
    """The text of a script that runs one job, wherever it is called.

    Raises:
        ScriptError: the job's script or variables cannot be used.
    """
    check_variables(job.environment)
    lines = [
        f"#!{shell()}",
        f"# Paraschut: job {job.key}, attempt {job.attempt}.",
        _END_ALONE,
        f"psu_base={quote(job_dir)}",
        "psu_shared() { :; }",
        *_job_lines(job, {}),
        _LOGS,
        *_prologue(modules),
        _RUN,
    ]
    return "\n".join(lines)


def behind(modules: Sequence[str], words: Sequence[str]) -> list[str]:
    """The argument list that runs `words` behind the lines that the settings put before jobs."""
    if not modules:
        return list(words)
    text = "\n".join([_END_ALONE, *_prologue(modules), "unset -f psu_end", 'exec "$@"'])
    return [shell(), "-c", text, words[0], *words]


def _task_cases(jobs: Sequence[JobSpec], shared: Mapping[str, str]) -> str:
    lines = ["case ${psu_token##*-} in"]
    for job in jobs:
        lines += [f"{split_token(job.token)[1]})", *_job_lines(job, shared), ";;"]
    lines += [f'*) psu_end {NOT_STARTED} "there is no job for task $psu_token" ;;', "esac", ""]
    return "\n".join(lines)


# ------------------------------------------------------------------------------------ files


def script_dir(job_dir: str) -> str:
    """Where this user's scripts for the jobs under `job_dir` are."""
    return _folder_for(job_dir if os.path.isabs(job_dir) else absolute(job_dir))


@cache
def _folder_for(job_dir: str) -> str:
    """Of an absolute `job_dir`: what it is does not depend on where the process stands."""
    return os.path.join(absolute(job_dir), ".paraschut", "scripts", user_folder())


def write(jobs: Sequence[JobSpec], dialect: JobIdVariables, folder: str, modules: Sequence[str] = ()) -> str:
    """Write what the scheduler gets for these jobs of one group; return the script's path.

    Raises:
        ScriptError: a job's script or variables cannot be used, or the files cannot be written.
        UntrustedError: the folder is, or may be, another user's.
    """
    text, tasks = render(jobs, dialect, folder, modules)
    group = split_token(jobs[0].token)[0]
    path = os.path.join(folder, f"{group}.sh")
    try:
        place = _open(folder, make=True)
        try:
            if tasks:
                save(f"{group}.tasks", tasks, 0o600, folder=place)
            save(f"{group}.sh", text, 0o700, folder=place)
        finally:
            os.close(place)
    except OSError as error:
        raise ScriptError(f"cannot write {path}: {error.strerror}") from error
    return path


def _open(folder: str, *, make: bool = False) -> int:
    """The folder of this user's scripts, opened. Raises UntrustedError, OSError."""
    if make:
        os.makedirs(_base_of(folder), exist_ok=True)
    place = enter(folder, make=make)
    try:
        if make:
            if os.fstat(place).st_mode & 0o077:
                os.fchmod(place, 0o700)
            try:
                os.mkdir("ended", 0o700, dir_fd=place)
            except FileExistsError:
                pass
    except BaseException:
        os.close(place)
        raise
    return place


def save(name: str, text: str, mode: int, *, folder: int) -> None:
    """Write a file in an open folder and wait until it is stored. Raises OSError."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
    with open(os.open(name, flags, mode, dir_fd=folder), "wb") as file:
        file.write(text.encode("utf-8", "surrogateescape"))
        # A node may read it over the network a moment from now: errors must come out here.
        file.flush()
        os.fsync(file.fileno())


def remove_submission(folder: str, group: str) -> None:
    """Remove the files of a submission that was surely refused."""
    try:
        place = _open(folder)
    except (OSError, UntrustedError):
        return
    for suffix in (".sh", ".tasks"):
        try:
            os.unlink(group + suffix, dir_fd=place)
        except OSError:
            pass  # the sweep takes it later; a refused submission has a better error to tell
    os.close(place)


def scheduler_log(folder: str, token: str) -> str:
    """The end of what the scheduler itself wrote about a job ('' if nothing)."""
    if not _TOKEN.fullmatch(token):
        return ""  # a path, perhaps: the index is not to lead elsewhere
    try:
        place = _open(folder)
        try:
            log = open_own(f"{token}.log", os.O_RDONLY, folder=place)
        finally:
            os.close(place)
        with open(log, "rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(file.tell() - _LOG_TAIL, 0))
            return file.read().decode("utf-8", "replace").strip()
    except (OSError, UntrustedError):
        return ""


def records(folder: str) -> dict[tuple[str, str], tuple[str, str]]:
    """The records of ended jobs that are there: (whose they are, id) -> (token, path).

    Raises:
        UntrustedError: the folder is, or may be, another user's: what it tells is anybody's word.
    """
    found: dict[tuple[str, str], tuple[str, str]] = {}
    try:
        place = _open(folder)
        try:
            ended = open_folder(folder, "ended")
            names = sorted(os.listdir(ended))
            os.close(ended)
        finally:
            os.close(place)
    except OSError:
        return found  # nothing was ever submitted from here
    for name in names:
        parts = name.split("~")
        if len(parts) == 3 and _TOKEN.fullmatch(parts[2]):
            found[parts[0], parts[1]] = (parts[2], os.path.join(folder, "ended", name))
    return found


def read_record(path: str, since: float = 0.0) -> ExitRecord | None:
    """One record; None if it cannot be read, or is of a job from before `since` (epoch s)."""
    try:
        with open(open_own(path, os.O_RDONLY), encoding="utf-8", errors="replace") as file:
            fields = dict(line.rstrip("\n").partition("=")[::2] for line in file)
        record = ExitRecord(
            fields["id"],
            fields["token"],
            int(fields["status"]),
            fields["signal"],
            fields["host"],
            float(fields["started"]),
            float(fields["ended"]),
            fields["note"],
        )
    except (OSError, UntrustedError, KeyError, ValueError):
        return None
    return record if record.ended >= since - _SKEW else None


def remove_old_files(folder: str, in_queue: Collection[str], now: float | None = None) -> int:
    """Remove what is older than KEPT_DAYS and of no job in the queue; return how many files.

    Args:
        in_queue: the groups that the scheduler still holds jobs of: their files stay, however old.
    """
    now = time.time() if now is None else now
    try:
        place = _open(folder)
    except (OSError, UntrustedError):
        return 0  # nothing was ever submitted from here, or nothing of it is ours
    try:
        return _swept(folder, place, in_queue, now)
    finally:
        os.close(place)


def _swept(folder: str, place: int, in_queue: Collection[str], now: float) -> int:
    try:
        if now - os.stat(".swept", dir_fd=place, follow_symlinks=False).st_mtime < _SWEEP_EVERY:
            return 0
    except OSError:
        pass  # never swept
    removed = 0
    for below in ((), ("ended",)):
        try:
            directory = open_folder(folder, *below)
        except (OSError, UntrustedError):
            return 0  # nothing was ever submitted from here
        with os.scandir(directory) as entries:
            removed += sum(_remove_if_old(entry, directory, in_queue, now) for entry in list(entries))
        os.close(directory)
    marker = open_own(".swept", os.O_WRONLY | os.O_CREAT, folder=place)
    os.utime(marker, (now, now))
    os.close(marker)
    return removed


def _remove_if_old(entry: os.DirEntry[str], folder: int, in_queue: Collection[str], now: float) -> bool:
    name = entry.name.rpartition("~")[2]
    if re.split(r"[-.]", name, maxsplit=1)[0] in in_queue:
        return False
    try:
        if not entry.is_file() or now - entry.stat().st_mtime < KEPT_DAYS * 86400:
            return False
        os.unlink(entry.name, dir_fd=folder)
    except OSError:
        return False  # another process of this user sweeps as well
    return True
