"""FileJobExecutor: a shell script that runs its jobs one after another, whenever and wherever it is called.

For `jobs.sh` there are

`jobs.sh`        the script: the same few lines whatever the jobs, so that it can run while jobs are added
`jobs.sh.jobs/`  a file for each job that has not ended, in the order of submission; `.running` while it
                 runs, or when it was interrupted; `lock` says who runs them, `places` where the script lay
                 when jobs were added
`jobs.sh.done`   a line for each job that ended: id, exit status, epoch seconds, host

Each change is one rename or one unlink, or one line appended by the script: there is no moment in which a
file is half written, and submitters need not wait for one another.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import ParaschutError, SchedulerError, UntrustedError
from ..identity import QueueName, queue_name
from ..model import (
    AS_ASKED,
    ENDED,
    QUEUED,
    RUNNING,
    DeleteResult,
    ExitInfo,
    JobInfo,
    JobSpec,
    LiveJob,
    SubmitResult,
)
from ..paths import absolute, here
from ..security.ownership import open_folder, open_own
from .base import FAILED, JOB_ID_VARIABLE, V06_ID_VARIABLE, JobExecutor

if TYPE_CHECKING:
    from ..config import Settings

_PLACES = "places"
"""The file in the folder of jobs that says where the script lay, each path with a NUL after it."""

_KNOWN_FOR = 2.0
"""Seconds for which one look at a path serves: it is asked about for each job."""

_AT_ONCE = 1000  # jobs in one call of submit_many: nothing but memory sets the limit

_DRIVER = """\
#!/bin/sh
# Runs the jobs that Paraschut put into the folder beside this file (its name and .jobs), oldest first.
#
# Call it as often as you like: jobs that have ended are not run again, a job that was interrupted is. Jobs
# may be added and deleted while it runs. How each job ended is in the file beside this one whose name ends
# in .done: id, exit status, time (seconds since 1970), host. To run the jobs elsewhere, take both along.

jobs=$0.jobs
ended=$0.done
host=$(uname -n)
# A container counts as a machine of its own: numbers of processes mean nothing outside.
machine=$host
space=$(readlink /proc/self/ns/pid)
case $space in
"" | "pid:[4026531836]") ;;
*)
  space=${space#*"["}
  boot=$(cut -c 1-8 /proc/sys/kernel/random/boot_id)
  first=0
  if [ "$(readlink "/proc/$$/ns/pid")" = "pid:[$space" ]; then
    case $(readlink /proc/self/ns/time) in
    "" | "time:[4026531834]") first=$(sed 's/.*) //' /proc/1/stat | cut -d ' ' -f 20) ;;
    esac
  fi
  machine=$host~$boot.${space%]}.${first:-0}
  ;;
esac
stopped=
shell=/bin/sh
[ ! -x /bin/bash ] || shell=/bin/bash
say() { echo "$0: $*" >&2; }

alive() { # a process that has ended may still have a number, until somebody asks how it ended
  kill -0 "$1" 2>/dev/null || return 1
  case $(cat "/proc/$1/stat" 2>/dev/null) in *") Z "*) return 1 ;; esac
}
take() { (set -C; echo "$$ $machine" >"$jobs/lock") 2>/dev/null; }
# Whether somebody else is at it: a process, or (when that was killed) the job that it left behind.
busy() {
  [ "$where" = "$machine" ] || { say "seems to run on $where; if it does not, remove $jobs/lock"; return 0; }
  alive "$driver" && { say "runs already, as process $driver"; return 0; }
  [ -n "$job" ] && alive "$job" && { say "job $id still runs, as process $job"; return 0; }
  return 1
}
mine() { [ ! -L "$1" ] && [ -O "$1" ]; }
refuse() { say "$1 belongs to another user, or others can write to it: nothing is run"; exit 77; }
[ -d "$jobs" ] || { say "there is no folder $jobs"; exit 66; }
mine "$jobs" || refuse "$jobs"
case $(ls -ldn "$jobs") in d????w* | d???????w*) refuse "$jobs" ;; esac
[ ! -L "$ended" ] || refuse "$ended"
[ ! -e "$ended" ] || mine "$ended" || refuse "$ended"
if ! take; then
  read -r driver where job id <"$jobs/lock" || { sleep 1; read -r driver where job id <"$jobs/lock"; }
  busy && exit 75
  mv "$jobs/lock" "$jobs/lock.$$"
  read -r now _ <"$jobs/lock.$$"
  [ "$now" = "$driver" ] && take || { mv "$jobs/lock.$$" "$jobs/lock"; say "somebody was faster"; exit 75; }
  rm -f "$jobs/lock.$$"
fi
trap stopped=1 INT TERM HUP

while [ -z "$stopped" ]; do
  next=
  for file in "$jobs"/*.running "$jobs"/*.sh; do
    [ -f "$file" ] && mine "$file" && next=$file && break
  done
  [ -n "$next" ] || break
  name=${next##*/}
  name=${name%.*}
  id=${name#*-}
  taken=$jobs/$name.running
  if [ "$next" != "$taken" ]; then
    mv "$next" "$taken" 2>/dev/null || continue # deleted in this very moment
  elif grep -q "^$id " "$ended" 2>/dev/null; then
    rm -f "$taken" # it had ended, only its file was left
    continue
  fi
  sh -c 'echo "$1 $2 $$ $3" >"$4.new" && mv -f "$4.new" "$4" && exec "$6" "$5"' \\
    sh "$$" "$machine" "$id" "$jobs/lock" "$taken" "$shell"
  status=$?
  [ -n "$stopped" ] && [ "$status" -ne 0 ] && break # interrupted: next time it runs again
  echo "$id $status $(date +%s) $host" >>"$ended"
  rm -f "$taken"
done
rm -f "$jobs/lock"
[ -z "$stopped" ] || exit 130
"""


class _Lock(NamedTuple):
    """Who runs the script: `job` is the process of the job `id`, 0 before the first."""

    driver: int
    host: str
    job: int = 0
    id: str = ""

    def runs(self, id_: str) -> bool:
        """Return whether the job, whose file is marked as running, does; of another host nobody can tell."""
        from .local.machine import is_gone, machine_name

        if is_gone(self.host):
            return False
        if self.host != machine_name() or _is_alive(self.driver):
            return True  # or is about to: the script marks a job, then starts it
        return self.id == id_ and _is_alive(self.job)


class FileJobExecutor(JobExecutor):
    """Collects jobs in a shell script; somebody runs that when it suits."""

    name = "file"
    expensive_poll = False
    reports_tokens = True
    absent_means_ended = False

    def __init__(
        self,
        script_file: str | None = None,
        submitter: bool = False,
        *,
        settings: Settings | None = None,
    ) -> None:
        """
        Args:
            script_file: the script to write (default: the setting `script_file`).
            submitter: of v0.6, whether jobs may submit others: they always may.
        """
        if settings is None:
            from .standalone import settings_in_force

            settings = settings_in_force()
        self._settings = settings
        path = script_file or os.path.join(settings.job_dir, settings.script_file)
        self.script_file = absolute(path)
        self.jobs_folder = f"{self.script_file}.jobs"
        self.done_file = f"{self.script_file}.done"
        self._known_places: dict[str, tuple[float, bool]] = {}
        """Of other paths, when it was looked whether they were this script's, and whether so."""

    @property
    def backend_id(self) -> str:
        """Each script is a queue of its own."""
        return str(QueueName(super().backend_id, self.script_file, os.getuid()))

    def owns(self, executor: str | None) -> bool:
        if executor is None or executor == self.backend_id:
            return True
        noted, kind = queue_name(executor), queue_name(self.backend_id).kind
        if not noted.is_mine:
            return False
        if not noted.place:  # as earlier versions noted it
            return noted.kind == (kind if self._is_usual() else f"{self.name} {self.script_file}")
        return noted.kind == kind and self._was(noted.place)

    def _is_usual(self) -> bool:
        """Return whether it is the script that the settings name."""
        return self.script_file == absolute(os.path.join(self._settings.job_dir, self._settings.script_file))

    def made_with(self) -> dict[str, Any]:
        return {} if self._is_usual() else {"script_file": self.script_file}

    def _was(self, path: str) -> bool:
        """Return whether this script lay there before it was moved, with its folder, to where it is."""
        known = self._known_places.get(path)
        if known is None or time.monotonic() > known[0] + _KNOWN_FOR:
            moved = not os.path.lexists(f"{path}.jobs") and path in self._places()
            known = self._known_places[path] = (time.monotonic(), moved)
        return known[1]

    def _places(self) -> list[str]:
        """Where the script lay whenever jobs were added, as is written down beside them."""
        try:
            folder = open_folder(*os.path.split(self.jobs_folder))
            try:
                place = open_own(_PLACES, os.O_RDONLY, folder=folder, path=f"{self.jobs_folder}/{_PLACES}")
            finally:
                os.close(folder)
            with open(place, "rb") as file:
                return [os.fsdecode(path) for path in file.read().split(b"\0") if path]
        except OSError:
            return []

    def _note_place(self, folder: int) -> None:
        if self.script_file in self._places():
            return
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        place = open_own(_PLACES, flags, folder=folder, path=f"{self.jobs_folder}/{_PLACES}")
        with open(place, "ab") as file:
            file.write(os.fsencode(self.script_file) + b"\0")

    def alive(self, submissions: Mapping[str, str]) -> Mapping[str, LiveJob]:
        from .local.process import living

        ended = self._ended()
        return living({t: i for t, i in submissions.items() if t not in ended}, "its file was deleted")

    # ------------------------------------------------------------------ submit

    def max_batch_size(self) -> int:
        return _AT_ONCE

    def check(self, JobInfo: JobInfo) -> str:
        from .batch.script import check_variables, command

        try:
            check_variables({name: str(value) for name, value in (JobInfo.get("vars") or {}).items()})
            command(str(JobInfo.get("script") or ""), self._settings.job_dir or here())
        except ParaschutError as error:
            return str(error)
        return ""

    def submit_many(self, jobs: Sequence[JobSpec]) -> list[SubmitResult]:
        try:
            folder = self._write_driver()
        except UntrustedError as error:
            why = f"{error} Or name another script: script_file."
            return [SubmitResult(None, why, refusal=AS_ASKED)] * len(jobs)
        except OSError as error:
            why = f"cannot write {self.script_file}: {error.strerror}"
            return [SubmitResult(None, why, refusal=AS_ASKED)] * len(jobs)
        now = time.time_ns()
        try:
            self._note_place(folder)
            return [self._add(job, now + place, folder) for place, job in enumerate(jobs)]
        except OSError as error:
            why = f"cannot write into {self.jobs_folder}: {error.strerror}"
            return [SubmitResult(None, why, refusal=AS_ASKED)] * len(jobs)
        finally:
            os.close(folder)

    def _write_driver(self) -> int:
        """Write the script, if it is not there; return the folder of its jobs, opened.

        Raises:
            UntrustedError: the script or the folder is, or may be, another user's.
            OSError: they cannot be written.
        """
        from .batch.script import save

        above, name = os.path.split(self.script_file)
        os.makedirs(above, exist_ok=True)
        place = os.open(above, os.O_RDONLY | os.O_DIRECTORY)
        try:
            folder = open_folder(above, f"{name}.jobs", make=True)
            try:
                script = open_own(name, os.O_RDONLY, folder=place, path=self.script_file)
                with open(script, encoding="utf-8", errors="replace") as file:
                    if file.read() == _DRIVER:
                        return folder
            except FileNotFoundError:
                pass  # the first job
            except BaseException:
                os.close(folder)
                raise
            draft = f"{name}.{os.urandom(4).hex()}.new"
            save(draft, _DRIVER, 0o744, folder=place)
            os.rename(draft, name, src_dir_fd=place, dst_dir_fd=place)  # who runs the old one keeps it
        finally:
            os.close(place)
        return folder

    def _add(self, job: JobSpec, at: int, folder: int) -> SubmitResult:
        """Put one job's file where the script finds it; its place in the queue is the time `at` (ns)."""
        from .batch.script import render_alone, save

        variables = {**job.environment, V06_ID_VARIABLE: job.token, JOB_ID_VARIABLE: job.token}
        draft = f".{job.token}.new"
        try:
            alone = job._replace(environment=variables)
            text = render_alone(alone, self._settings.submit.modules, self._settings.job_dir or here())
            save(draft, text, 0o700, folder=folder)
            os.rename(draft, f"{at:020d}-{job.token}.sh", src_dir_fd=folder, dst_dir_fd=folder)
        except ParaschutError as error:
            return SubmitResult(None, str(error))
        except OSError as error:
            return SubmitResult(None, f"cannot write into {self.jobs_folder}: {error.strerror}")
        return SubmitResult(job.token)

    # ------------------------------------------------------------------ delete

    def delete_many(self, jobs: Mapping[str, JobInfo]) -> dict[str, DeleteResult]:
        files = self._files()
        return {id_: self._remove(id_, files.get(id_, "")) for id_ in jobs}

    def _remove(self, id_: str, file: str) -> DeleteResult:
        if not file:
            return DeleteResult(True)  # it ended, or was never here
        try:
            if file.endswith(".sh"):
                try:
                    os.unlink(os.path.join(self.jobs_folder, file))
                    return DeleteResult(True)
                except FileNotFoundError:
                    file = self._files().get(id_, "")  # the script has just taken it up
                    if not file:
                        return DeleteResult(True)
            lock = self._lock()
            if lock is not None and lock.runs(id_):
                return DeleteResult(
                    False, f"it runs on {lock.host} as process {lock.job or lock.driver}: stop that first"
                )
            os.unlink(os.path.join(self.jobs_folder, file))
        except OSError as error:
            return DeleteResult(False, f"{self.jobs_folder}/{file}: {error.strerror}")
        return DeleteResult(True)

    # ------------------------------------------------------------------ look

    def poll(self) -> dict[str, LiveJob]:
        ended = self._ended()
        lock = self._lock()
        jobs = {
            id_: LiveJob(id_, ENDED, id_, host=ending.host, ending=ending) for id_, ending in ended.items()
        }
        for id_, file in self._files().items():
            if id_ in ended:
                continue
            if file.endswith(".sh"):
                jobs[id_] = LiveJob(id_, QUEUED, id_, reason=f"run {self.script_file}")
            elif lock is not None and lock.runs(id_):
                jobs[id_] = LiveJob(id_, RUNNING, id_, host=lock.host)
            else:
                jobs[id_] = LiveJob(id_, QUEUED, id_, reason="interrupted; it runs again with the script")
        return jobs

    def get_exit_info(self, ids: Sequence[str], since: float) -> dict[str, ExitInfo]:
        ended = self._ended()
        return {id_: ended[id_] for id_ in ids if id_ in ended}

    def health(self) -> str:
        """What waits, and how to run it."""
        waiting = len(self._files())
        return f"{self.script_file}: {waiting} jobs not run yet; run them with: sh {self.script_file}"

    def _files(self) -> dict[str, str]:
        """The jobs that have a file, oldest first: id -> its name. Raises SchedulerError."""
        try:
            folder = open_folder(*os.path.split(self.jobs_folder))
            try:
                names = sorted(os.listdir(folder))
            finally:
                os.close(folder)
        except FileNotFoundError:
            return {}  # nothing was ever submitted
        except OSError as error:
            raise SchedulerError(f"cannot read {self.jobs_folder}: {error.strerror}") from error
        wanted = (name for name in names if name[0].isdigit() and name.endswith((".sh", ".running")))
        return {name.partition("-")[2].rpartition(".")[0]: name for name in wanted}

    def _ended(self) -> dict[str, ExitInfo]:
        """The jobs that have ended. Raises SchedulerError."""
        from .exit_info import ending_of

        endings: dict[str, ExitInfo] = {}
        try:
            done = open_own(self.done_file, os.O_RDONLY)
            with open(done, encoding="utf-8", errors="replace") as file:
                for line in file:
                    words = line.split()
                    if len(words) == 4 and words[1].isdigit() and line.endswith("\n"):
                        endings[words[0]] = ending_of(int(words[1]), words[3], {"ended": words[2]})
        except FileNotFoundError:
            pass  # nothing has ended as yet
        except OSError as error:
            raise SchedulerError(f"cannot read {self.done_file}: {error.strerror}") from error
        return endings

    def _lock(self) -> _Lock | None:
        try:
            lock = open_own(os.path.join(self.jobs_folder, "lock"), os.O_RDONLY)
            with open(lock, encoding="utf-8", errors="replace") as file:
                words = file.read().split()
            job, id_ = (int(words[2]), words[3]) if len(words) > 3 else (0, "")
            return _Lock(int(words[0]), words[1], job, id_)
        except (OSError, IndexError, ValueError):
            return None  # nobody runs it, or begins to in this moment

    # ------------------------------------------------------------------ one job, as v0.6's users call it

    def submit(self, JobInfo: JobInfo, Spawn: bool = False) -> str:
        """Add one job outside of any database; return its id, or 'failed'."""
        from .standalone import lone_spec

        job_dir = self._settings.job_dir or here()
        (outcome,) = self.built_in("submit_many")([lone_spec(JobInfo, job_dir, job_dir)])
        return outcome.id or FAILED

    def delete(self, JobInfo: JobInfo) -> object:
        from .standalone import delete_one

        return delete_one(self.built_in("delete_many"), JobInfo)


def _is_alive(pid: int) -> bool:
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"  # ended, and nobody has asked how
    except ProcessLookupError:
        return False
    except FileNotFoundError:
        return not os.path.exists("/proc/self/stat")  # gone meanwhile, or a system without /proc
    except (OSError, IndexError):
        return True  # another user's: alive by the first answer
