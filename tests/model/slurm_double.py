"""A Slurm of the test's own: commands on PATH that answer from one state file, and can be told to misbehave.

As a program: `python -IS slurm_double.py FOLDER COMMAND ARGUMENT...`, which is what the commands on PATH run.
As a module: `Slurm`, by which a test starts, ends, requeues and kills the jobs, and chooses the misbehaviour.

Two of these in two folders are two clusters: both count their ids from 1.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

COMMANDS = ("sbatch", "squeue", "scancel", "sacct", "scontrol", "sinfo")

LIVE = ("PENDING", "RUNNING")

# What the cluster may be told to do wrong.
HONEST = "honest"
DOWN = "down"  # no answer
EMPTY = "empty"  # an empty list, status 0
HALF = "half"  # a header on stdout, an error on stderr, status 0
FEW = "few"  # one row of all
MISBEHAVIOUR = (DOWN, EMPTY, HALF, FEW)

# What may happen to the next submission.
KILL_BEFORE = "kill before"  # the submitter dies, the job is not taken
KILL_AFTER = "kill after"  # the job is taken, the submitter dies before it reads the id
TIME_OUT = "time out"  # the job is taken, the answer is an error
REFUSE = "refuse"
SUBMIT_FAULTS = (KILL_BEFORE, KILL_AFTER, TIME_OUT, REFUSE)


class State:
    """The state file of one cluster, locked while it is open."""

    def __init__(self, folder: str) -> None:
        self.path = os.path.join(folder, "state.json")

    def __enter__(self) -> dict[str, Any]:
        self._lock = os.open(f"{self.path}.lock", os.O_RDWR)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        with open(self.path, encoding="utf-8") as file:
            self.value = json.load(file)
        return self.value

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if kind is None:
            with open(f"{self.path}.new", "w", encoding="utf-8") as file:
                json.dump(self.value, file)
            os.chmod(f"{self.path}.new", 0o666)  # of all users
            os.replace(f"{self.path}.new", self.path)
        os.close(self._lock)


def tasks_of(state: dict[str, Any], wanted: str) -> list[dict[str, Any]]:
    """The jobs that an id of a command names: 12, 12_3, 12_[1-4,7]."""
    base, _, tasks = wanted.partition("_")
    found = [job for job in state["jobs"].values() if job["base"] == base]
    if tasks:
        numbers: set[int] = set()
        for part in tasks.strip("[]").split(","):
            first, _, last = part.partition("-")
            numbers.update(range(int(first), int(last or first) + 1))
        found = [job for job in found if job["task"] in numbers]
    return found


# ------------------------------------------------------------------------------------ the commands


def main(folder: str, command: str, argv: list[str]) -> int:
    fault = ""
    with State(folder) as state:
        state["commands"] += 1
        if command != "sbatch" and state["mode"] == DOWN:
            return complain(f"{command}: error: Unable to contact slurm controller (connect failure)", 1)
        if command == "sbatch":
            status, fault = sbatch(state, folder, argv)
        else:
            status = {"squeue": squeue, "scancel": scancel, "sacct": sacct}.get(command, other)(state, argv)
    if fault in (KILL_BEFORE, KILL_AFTER):
        os.kill(os.getppid(), signal.SIGKILL)
    return status


def complain(text: str, status: int) -> int:
    sys.stderr.write(f"{text}\n")
    return status


def option(argv: list[str], *names: str) -> str:
    """An option's value, of `--name=value`, `--name value` or `-n value`; the last one counts."""
    found = ""
    for i, word in enumerate(argv):
        name, equals, value = word.partition("=")
        if name in names:
            found = value if equals else (argv[i + 1] if i + 1 < len(argv) else "")
    return found


def sbatch(state: dict[str, Any], folder: str, argv: list[str]) -> tuple[int, str]:
    fault, state["submit_fault"] = state["submit_fault"], ""
    if state["mode"] == DOWN:
        return complain(
            "sbatch: error: Batch job submission failed: Unable to contact slurm controller", 1
        ), ""
    if fault == KILL_BEFORE:
        return 1, fault
    if fault == REFUSE:
        text = (
            "sbatch: error: AssocMaxSubmitJobLimit\nsbatch: error: Batch job submission failed: Job violates"
        )
        return complain(
            f"{text} accounting/QOS policy (job submit limit, user's size and/or time limits)", 1
        ), ""
    script = argv[-1]
    base = str(state["next"])
    state["next"] += 1
    with open(script, encoding="utf-8", errors="surrogateescape") as file:
        text = file.read()
    with open(os.path.join(folder, f"{base}.sh"), "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(text)
    array = option(argv, "--array", "-a")
    last = int(array.partition("-")[2].partition("%")[0] or 0) if array else 0
    for task in range(1, last + 1) if array else (0,):
        id_ = f"{base}_{task}" if task else base
        state["jobs"][id_] = {
            "id": id_,
            "base": base,
            "task": task,
            "state": "PENDING",
            "name": option(argv, "--job-name", "-J"),
            "uid": os.getuid(),
            "code": "0:0",
            "by": "",
            "restarts": 0,
            "pid": 0,
            "started": False,
            "cwd": option(argv, "--chdir", "-D"),
            "log": option(argv, "--output", "-o").replace("%%", "%").replace("%a", str(task)),
            "submitted": time.strftime("%Y-%m-%dT%H:%M:%S"),
            "environment": dict(os.environ),
        }
    if fault == TIME_OUT:
        return complain(
            "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation", 1
        ), ""
    if fault != KILL_AFTER:
        cluster = f";{state['name']}" if option(argv, "--clusters", "-M") else ""
        print(f"{base}{cluster}")
    return 0, fault


def rows_of(state: dict[str, Any], argv: list[str], live_only: bool) -> list[dict[str, Any]]:
    wanted = option(argv, "-j", "--jobs", "--job")
    jobs = list(state["jobs"].values())
    if wanted:
        jobs = [job for part in dict.fromkeys(wanted.split(",")) for job in tasks_of(state, part)]
    elif live_only:
        jobs = [job for job in jobs if job["state"] in LIVE]
    return [job for job in jobs if job["uid"] == os.getuid()]


def squeue(state: dict[str, Any], argv: list[str]) -> int:
    if option(argv, "-M", "--clusters"):
        print(f"CLUSTER: {state['name']}")
    layout = option(argv, "-o", "--format")
    if "-h" not in argv and state["mode"] != EMPTY:
        print("JOBID|STATE|NODELIST|REASON|NAME")
    if state["mode"] == HALF:
        return complain("slurm_load_jobs error: Socket timed out on send/recv operation", 0)
    if state["mode"] == EMPTY:
        return 0
    rows = rows_of(state, argv, live_only=True)
    if state["mode"] == FEW:
        rows = rows[:1]
    for job in rows:
        host = "n1" if job["state"] != "PENDING" else ""
        reason = "Priority" if job["state"] == "PENDING" else "None"
        if layout:
            text = layout
            for mark, value in (
                ("%i", job["id"]),
                ("%T", job["state"]),
                ("%N", host),
                ("%r", reason),
                ("%j", job["name"]),
            ):
                text = text.replace(mark, value)
            print(text)
        else:
            print(
                "|".join(
                    (job["id"], job["state"], job["code"], "1:00:00", host, job["submitted"], job["name"])
                )
                + "|"
            )
    return 0


def sacct(state: dict[str, Any], argv: list[str]) -> int:
    if not state["accounts"]:
        return complain("Slurm accounting storage is disabled", 1)
    if state["mode"] != HONEST:
        return complain("sacct: error: slurm_persist_conn_open: Connection refused", 1)
    for job in rows_of(state, argv, live_only=False):
        state_words = f"{job['state']} by {job['by']}" if job["by"] else job["state"]
        fields = {
            "JobID": job["id"],
            "JobIDRaw": job["id"],
            "State": state_words,
            "ExitCode": job["code"],
            "Timelimit": "01:00:00",
            "NodeList": "n1" if job["started"] else "None assigned",
            "Submit": job["submitted"],
            "JobName": job["name"],
            "Cluster": state["name"],
        }
        asked = option(argv, "-o", "--format").split(",")
        print("|".join(fields.get(name, "") for name in asked))
    return 0


def scancel(state: dict[str, Any], argv: list[str]) -> int:
    skip = False
    for word in argv:
        if skip or word.startswith("-"):
            skip = word in ("-M", "--clusters", "-u", "--user", "-s")
            continue
        for job in tasks_of(state, word):
            if job["uid"] != os.getuid() and os.getuid() != 0:
                return complain(
                    f"scancel: error: Kill job error on job id {word}: Access/permission denied", 1
                )
            if job["state"] in LIVE:
                end_processes(job["pid"], signal.SIGTERM)
                job.update(
                    state="CANCELLED", by=str(os.getuid()), code="0:15" if job["pid"] else "0:0", pid=0
                )
    return 0


def other(state: dict[str, Any], argv: list[str]) -> int:
    if argv[:2] == ["show", "config"]:
        print(f"ClusterName             = {state['name']}")
        print("MaxArraySize            = 1001\nSLURM_VERSION           = 22.05.8")
    return 0


def end_processes(pid: int, first: int) -> None:
    """Ends a job as Slurm does: a signal to all its processes, and what is left is killed."""
    if not pid:
        return
    for number, pause in ((first, 0.3), (signal.SIGKILL, 0.0)):
        try:
            os.killpg(pid, number)
        except ProcessLookupError:
            return
        end = time.monotonic() + pause
        while time.monotonic() < end and group_lives(pid):
            time.sleep(0.01)


def group_lives(pid: int) -> bool:
    """Whether a process of the group is there that has not ended (a zombie has)."""
    try:
        os.killpg(pid, 0)
    except ProcessLookupError:
        return False
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", encoding="ascii", errors="replace") as file:
                    fields = file.read().rpartition(")")[2].split()
            except OSError:
                continue
            if fields[2] == str(pid) and fields[0] not in "ZX":
                return True
    return False


# ------------------------------------------------------------------------------------ the test's side


class Slurm:
    """One cluster, as the test sees and commands it."""

    def __init__(self, folder: str, name: str, accounts: bool = True) -> None:
        self.folder, self.name = folder, name
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        os.makedirs(os.path.join(folder, "bin"))
        start = {
            "name": name,
            "next": 1,
            "jobs": {},
            "mode": HONEST,
            "submit_fault": "",
            "accounts": accounts,
            "commands": 0,
        }
        with open(os.path.join(folder, "state.json"), "w", encoding="utf-8") as file:
            json.dump(start, file)
        with open(os.path.join(folder, "state.json.lock"), "w", encoding="ascii"):
            pass
        for path in (folder, os.path.join(folder, "state.json"), os.path.join(folder, "state.json.lock")):
            os.chmod(path, 0o777)
        # What tells a client its cluster, as on a real site.
        self.conf = os.path.join(folder, "slurm.conf")
        with open(self.conf, "w", encoding="ascii") as file:
            file.write(f"ClusterName={name}\n")
        # Copied, and run by the system's own Python where there is one: others may not get at the test's.
        program = os.path.join(folder, "slurm_double.py")
        shutil.copyfile(__file__, program)
        python = "/usr/bin/python3" if os.access("/usr/bin/python3", os.X_OK) else sys.executable
        for command in COMMANDS:
            path = os.path.join(folder, "bin", command)
            with open(path, "w", encoding="utf-8") as file:
                file.write(f"#!/bin/sh\nexec '{python}' -IS '{program}' '{folder}' {command} \"$@\"\n")
            os.chmod(path, 0o755)

    @property
    def environment(self) -> dict[str, str]:
        """What a login node of this cluster has in its environment."""
        path = os.pathsep.join([os.path.join(self.folder, "bin"), os.environ["PATH"]])
        return {"PATH": path, "SLURM_CONF": self.conf}

    def state(self) -> State:
        return State(self.folder)

    def tell(self, **changes: object) -> None:
        """Sets how it behaves: mode, submit_fault, accounts."""
        with self.state() as state:
            state.update(changes)

    def jobs(self, *states: str) -> list[dict[str, Any]]:
        with self.state() as state:
            return [dict(job) for job in state["jobs"].values() if not states or job["state"] in states]

    def start(self, id_: str) -> None:
        """Starts a waiting job on its node; its script runs as a session of its own."""
        with self.state() as state:
            job = state["jobs"][id_]
            environment = {
                **job["environment"],
                "SLURM_JOB_ID": job["base"]
                if not job["task"]
                else str(1000 + int(job["base"]) * 100 + job["task"]),
                "SLURM_CLUSTER_NAME": self.name,
                "SLURM_JOB_NAME": job["name"],
                "SLURM_RESTART_COUNT": str(job["restarts"]),
                "SLURMD_NODENAME": "n1",
            }
            if job["task"]:
                environment |= {"SLURM_ARRAY_JOB_ID": job["base"], "SLURM_ARRAY_TASK_ID": str(job["task"])}
            log = open(job["log"] or os.devnull, "ab")  # noqa: SIM115 - the job's own from now on
            process = subprocess.Popen(
                ["/bin/bash", os.path.join(self.folder, f"{job['base']}.sh")],
                cwd=job["cwd"],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
            log.close()
            self.processes[id_] = process
            job.update(state="RUNNING", pid=process.pid, started=True)

    def reap(self) -> None:
        """Notes which running jobs have ended by themselves."""
        for id_, process in list(self.processes.items()):
            status = process.poll()
            if status is not None:
                del self.processes[id_]
                self._ended(id_, "COMPLETED" if status == 0 else "FAILED", status)

    def _ended(self, id_: str, word: str, status: int) -> None:
        with self.state() as state:
            job = state["jobs"][id_]
            if job["state"] == "RUNNING":
                code = f"0:{-status}" if status < 0 else f"{status}:0"
                job.update(state=word, code=code, pid=0)

    def stop(self, id_: str, word: str, first: int = signal.SIGTERM) -> None:
        """Ends a running job from outside: TIMEOUT, NODE_FAIL, CANCELLED ..."""
        process = self.processes.pop(id_)
        end_processes(process.pid, first)
        process.wait()
        with self.state() as state:
            state["jobs"][id_].update(state=word, code="0:15" if word != "TIMEOUT" else "0:0", pid=0)

    def requeue(self, id_: str) -> None:
        """Ends a running job and puts it back into the queue, as `scontrol requeue` does."""
        self.stop(id_, "PENDING")
        with self.state() as state:
            job = state["jobs"][id_]
            job.update(restarts=job["restarts"] + 1, code="0:0")

    def close(self) -> None:
        for process in self.processes.values():
            end_processes(process.pid, signal.SIGKILL)
            process.wait()
        self.processes.clear()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3:]))
