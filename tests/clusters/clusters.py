"""Throw-away clusters for tests: real daemons of Slurm and Grid Engine, started and ended here."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec

from paraschut_core.config import PollSettings, Settings, SubmitSettings
from paraschut_core.executors.batch.base import BatchExecutor
from paraschut_core.executors.batch.pbs import PBSJobExecutor
from paraschut_core.executors.batch.sge import SGEJobExecutor
from paraschut_core.executors.batch.slurm import SlurmJobExecutor
from tests.clusters.lab_scheduler import LabJobExecutor
from tests.clusters.tools import read
from tests.helpers import wait_until

HERE = Path(__file__).parent


class Cluster:
    """A scheduler that tests may submit to; those of this machine they may break as well."""

    name = ""
    executor_class: type[BatchExecutor] = BatchExecutor
    commands: tuple[str, ...] = ()
    search: tuple[str, ...] = ()

    folders = "it's a job_dir "
    """How the names of the tests' directories begin: as strange as the cluster's commands bear."""

    held: tuple[str, ...] = ()
    """Directives that submit a job on hold."""

    too_much: Mapping[str, Any] = MappingProxyType({})
    """Resources that fit no more than one job at once into the whole cluster."""

    def __init__(self) -> None:
        path = os.pathsep.join([*self.search, os.environ.get("PATH", "")])
        self.environment: dict[str, str] = {"PATH": path}

    def missing(self) -> list[str]:
        """The daemons and commands that are not installed."""
        return [name for name in self.commands if shutil.which(name, path=self.environment["PATH"]) is None]

    def clean(self) -> None:
        """Ends all jobs and mends what a test broke, for the next one; does nothing to other people's."""

    def executor(self, job_dir: object, **changes: Any) -> BatchExecutor:
        """An executor with its scripts in `job_dir`; changes: submit={...}, poll={...}, other settings."""
        poll = msgspec.structs.replace(PollSettings(timeout=60.0), **changes.pop("poll", {}))
        submit = msgspec.structs.replace(SubmitSettings(timeout=60.0), **changes.pop("submit", {}))
        settings = Settings(job_dir=str(job_dir), resources={}, poll=poll, submit=submit, **changes)
        return self.executor_class(settings=settings)

    def run(self, *argv: str, check: bool = True) -> str:
        """Runs a command of the scheduler's; returns what it printed."""
        environment = {**os.environ, **self.environment}
        done = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=120)
        assert not check or done.returncode == 0, f"{argv}: {done.stdout}{done.stderr}"
        return done.stdout


class OwnCluster(Cluster):
    """A cluster that this process starts and ends."""

    script = ""
    start_words: tuple[str, ...] = ()
    ports = 0

    def start(self) -> None:
        self.folder = tempfile.mkdtemp(prefix=f"paraschut-{self.name}-")
        os.chmod(self.folder, 0o755)
        # It waits for the end of its input, which comes with `stop` or with the death of this process: the
        # daemons go even if the tests are killed.
        text = 'cat >/dev/null; "$1" stop "$2" >/dev/null 2>&1; rm -rf "$2"'
        self._guard = subprocess.Popen(
            ["bash", "-c", text, "guard", str(HERE / self.script), self.folder],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )
        try:
            self._script("start", str(_free_ports(self.ports)), *self.start_words)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        assert self._guard.stdin is not None
        self._guard.stdin.close()
        self._guard.wait(120)

    def wait_until_saved(self) -> None:
        """Returns when the controller's state of now would survive its death."""

    @property
    def controller_pid(self) -> int:
        raise NotImplementedError

    def hang_controller(self) -> None:
        os.kill(self.controller_pid, signal.SIGSTOP)

    def wake_controller(self) -> None:
        os.kill(self.controller_pid, signal.SIGCONT)

    def kill_controller(self) -> None:
        pid = self.controller_pid
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not is_alive(pid), "the controller is dead")

    def restart_controller(self) -> None:
        self._script("controller")

    def _script(self, what: str, *arguments: str) -> None:
        done = subprocess.run(
            [str(HERE / self.script), what, self.folder, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
        )
        if done.returncode != 0:
            raise RuntimeError(f"{self.script} {what}: {done.stdout}{done.stderr}")


class Slurm(OwnCluster):
    name = "slurm"
    executor_class = SlurmJobExecutor
    commands = ("slurmctld", "slurmd", "munged", "sbatch")
    search = ("/usr/sbin", "/sbin")
    script = "slurm.sh"
    ports = 3
    held = ("--hold",)
    too_much = MappingProxyType({"cpus": 5, "nodes": 2, "ntasks": 2})

    def start(self) -> None:
        super().start()
        self.environment["SLURM_CONF"] = f"{self.folder}/etc/slurm.conf"

    def clean(self) -> None:
        self.run("scancel", "-u", str(os.getuid()))
        wait_until(lambda: not self.run("squeue", "-h").strip(), "no job is left")
        wait_until(lambda: self._nodes() == {"idle"}, "the nodes are back")

    @contextmanager
    def configured(self, parameter: str, value: str) -> Iterator[None]:
        """Lets one of the scheduler's parameters have another value."""
        before = read(f"{self.folder}/etc/slurm.conf")
        self._configure(re.sub(rf"\b{parameter}=\w+", f"{parameter}={value}", before))
        since = time.time()
        try:
            yield
        finally:
            # Slurm counts in seconds: of two changes within one, it does not notice the second.
            wait_until(lambda: time.time() > since + 2, "the second of the change is over")
            self._configure(before)

    def _configure(self, text: str) -> None:
        Path(self.folder, "etc", "slurm.conf").write_text(text)
        self.run("scontrol", "reconfigure")
        (wanted,) = re.findall(r"SchedulerParameters=(.*)", text)
        shown = re.compile(rf"SchedulerParameters\s+= {re.escape(wanted)}\n")
        wait_until(lambda: shown.search(self.run("scontrol", "show", "config")), "it is in force")

    @property
    def cluster(self) -> str:
        """Its name."""
        return re.findall(r"ClusterName=(\S+)", read(f"{self.folder}/etc/slurm.conf"))[0]

    @property
    def next_id(self) -> int:
        """The id that the next job gets."""
        return int(re.findall(r"NEXT_JOB_ID\s*= ([0-9]+)", self.run("scontrol", "show", "config"))[0])

    def _nodes(self) -> set[str]:
        return set(self.run("sinfo", "-h", "-N", "-o", "%T").split())

    def wait_until_saved(self) -> None:
        now = time.time()
        # A submission is saved soon, and all else with it; the start of a job by itself perhaps much later.
        self.run("sbatch", "--hold", "--output=/dev/null", "--chdir=/", "--wrap", "true")
        path = f"{self.folder}/state/job_state"
        wait_until(lambda: os.path.exists(path) and os.stat(path).st_mtime > now, "the state is saved")

    @property
    def controller_pid(self) -> int:
        return int(read(f"{self.folder}/run/slurmctld.pid"))

    def restart_controller(self) -> None:
        super().restart_controller()
        wait_until(lambda: "is UP" in self.run("scontrol", "ping", check=False), "the controller answers")
        wait_until(lambda: "down" not in str(self._nodes()), "the nodes have come back")

    def kill_node(self, name: str) -> None:
        os.kill(int(read(f"{self.folder}/run/slurmd.{name}.pid")), signal.SIGKILL)

    def restart_node(self, name: str) -> None:
        self._script("node", name)


class SlurmWithAccounts(Slurm):
    """One that keeps accounts and, where the kernel lets it, holds jobs to their memory; it needs root."""

    commands = (*Slurm.commands, "slurmdbd", "mariadbd", "sacct")
    start_words = ("accounts",)
    ports = 5


class SlurmBeside(Slurm):
    """One in the same accounts as another: each reaches the other by --clusters, and the ids are the same."""

    def __init__(self, other: SlurmWithAccounts) -> None:
        super().__init__()
        self.start_words = ("beside", other.folder)


class GridEngine(OwnCluster):
    name = "sge"
    executor_class = SGEJobExecutor
    commands = ("sge_qmaster", "sge_execd", "qsub", "qacct")
    search = ("/usr/lib/gridengine",)
    script = "sge.sh"
    ports = 2
    held = ("-h",)
    too_much = MappingProxyType({"cpus": 9})

    def start(self) -> None:
        super().start()
        self.environment |= dict(line.split("=", 1) for line in read(f"{self.folder}/env").splitlines())

    def clean(self) -> None:
        if self.run("qstat", "-u", "*").strip():
            subprocess.run(
                ["qdel", "-u", "*"], env={**os.environ, **self.environment}, capture_output=True, timeout=60
            )
        wait_until(lambda: not self.run("qstat", "-u", "*").strip(), "no job is left")

    @contextmanager
    def configured(self, name: str, value: str) -> Iterator[None]:
        """Lets a setting of the cluster's have another value."""
        before = self.run("qconf", "-sconf")
        self._configure(re.sub(rf"^({name}\s+).*", rf"\g<1>{value}", before, flags=re.MULTILINE))
        try:
            yield
        finally:
            self._configure(before)

    @contextmanager
    def consumable(self, name: str, there: str) -> Iterator[None]:
        """Lets a complex be one that each slot of a job uses up; the hosts have `there` of it."""
        before = self.run("qconf", "-sc")
        hosts = self.run("qconf", "-sel").split()
        row = re.compile(rf"^({name}\s+\S+\s+\S+\s+\S+\s+\S+\s+)\S+", re.MULTILINE)
        self._set_complexes(row.sub(r"\g<1>YES", before))
        for host in hosts:
            self.run("qconf", "-mattr", "exechost", "complex_values", f"{name}={there}", host)
        try:
            yield
        finally:
            for host in hosts:
                self.run("qconf", "-dattr", "exechost", "complex_values", name, host)
            self._set_complexes(before)

    def _set_complexes(self, text: str) -> None:
        path = Path(self.folder, "complexes")
        path.write_text(text)
        self.run("qconf", "-Mc", str(path))

    def _configure(self, text: str) -> None:
        path = Path(self.folder, "global")  # the command takes the configuration's name from the file's
        path.write_text(text)
        self.run("qconf", "-Mconf", str(path))

    @property
    def controller_pid(self) -> int:
        return int(read(f"{self.folder}/spool/qmaster/qmaster.pid"))

    def kill_node(self) -> None:
        os.kill(int(read(f"{self.folder}/execd.pid")), signal.SIGKILL)

    def restart_node(self) -> None:
        self._script("node")


class OverSlurm(Cluster):
    """Another executor's way to talk to a Slurm of ours."""

    def __init__(self, slurm: Slurm) -> None:
        super().__init__()
        self.slurm = slurm
        self.environment["SLURM_CONF"] = slurm.environment["SLURM_CONF"]

    def clean(self) -> None:
        self.slurm.clean()


class Lab(OverSlurm):
    """By an executor that Paraschut does not know."""

    name = "lab"
    executor_class = LabJobExecutor
    held = ("--hold",)


class Torque(OverSlurm):
    """By Slurm's own commands in Torque's manner."""

    name = "torque"
    executor_class = PBSJobExecutor
    commands = ("qsub", "qstat", "qdel")
    search = (str(HERE / ".torque"),)
    folders = "job_dir-"
    held = ("-h",)
    too_much = MappingProxyType({"cpus": 5, "nodes": 2})

    def missing(self) -> list[str]:
        """Those in its own folder: others may have commands of the same names."""
        return [name for name in self.commands if shutil.which(name, path=self.search[0]) is None]


class RealPBS(Cluster):
    """The PBS that this machine belongs to: its queue default, its limits, no harm done to it."""

    name = "pbs"
    executor_class = PBSJobExecutor
    commands = ("qsub", "qstat", "qdel")
    held = ("-h",)


def is_alive(pid: int) -> bool:
    """Whether the process runs; one that has ended and waits to be asked how does not."""
    return read(f"/proc/{pid}/stat").rpartition(")")[2].strip()[:1] not in ("", "Z")


def _free_ports(count: int) -> int:
    """The first of so many free ports in a row."""
    for first in range(20000 + os.getpid() % 4000 * 4, 60000, count):
        sockets = [socket.socket() for _ in range(count)]
        try:
            for offset, one in enumerate(sockets):
                one.bind(("127.0.0.1", first + offset))
            return first
        except OSError:
            continue
        finally:
            for one in sockets:
                one.close()
    raise RuntimeError("there are no free ports")
