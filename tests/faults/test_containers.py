"""Containers on one machine, in the same job directory: each runs its own jobs, and those of one that is gone
are missed where that can be told. Jobs count themselves how often they are started.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from paraschut_core import actions
from paraschut_core.actions import Selection
from paraschut_core.executors.local import machine
from paraschut_core.executors.local.machine import Container
from paraschut_core.maintenance import doctor
from paraschut_core.model import QUEUED, RUNNING, JobKey
from paraschut_core.monitoring.monitor import Monitor
from paraschut_core.scheduling.submission import submit_next
from tests.faults.test_two_of_everything import LOCAL, demand
from tests.helpers import BATCH, ProjectDir, wait_until

ONCE = "echo ran >>ran; while [ ! -e go ]; do sleep 0.05; done"


KILL_RUNNER = """
import os, sqlite3, sys
(pid,) = sqlite3.connect(sys.argv[1]).execute("SELECT pid FROM runner").fetchone()
os.kill(pid, 9)
"""

NAME = "from paraschut_core.executors.local import machine; print(machine.machine_name())"

EARLIER = """
import sys
from paraschut_core.executors.local import machine
machine.machine_name = lambda: "box"
from paraschut_core.cli import main
sys.exit(main(["submit"]))
"""


class Box:
    """A container: processes, mounts and the machine's name are its own."""

    def __init__(self, name: str) -> None:
        start = f"hostname {name}; " if name else ""
        unshare = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "--uts")
        self.process = subprocess.Popen(
            [*unshare, "bash", "-c", f"{start}echo here; while sleep 0.2; do :; done"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == b"here\n"
        children = f"/proc/{self.process.pid}/task/{self.process.pid}/children"
        self.first = int(Path(children).read_text().split()[0])

    def _enter(self, folder: Path) -> list[str]:
        return ["nsenter", f"--target={self.first}", "--pid", "--mount", "--uts", f"--wd={folder}"]

    def started(self, folder: Path, *words: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen([*self._enter(folder), *words], stdin=subprocess.DEVNULL)

    def run(self, folder: Path, *words: str, **environment: str) -> str:
        done = subprocess.run(
            [*self._enter(folder), sys.executable, *words],
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done.stdout + done.stderr

    def paraschut(self, folder: Path, *words: str) -> str:
        return self.run(folder, "-m", "paraschut_core.cli", *words)

    def end(self) -> None:
        if self.process.poll() is None:
            os.kill(self.first, signal.SIGKILL)
            self.process.wait()
        if self.process.stdout:
            self.process.stdout.close()


@pytest.fixture
def boxed() -> Iterator[Callable[[str], Box]]:
    demand(["unshare", "--pid", "--fork", "--mount-proc", "--uts", "true"], "no containers can be made here")
    made: list[Box] = []

    def make(name: str = "") -> Box:
        made.append(Box(name))
        return made[-1]

    yield make
    for box in made:
        box.end()


@pytest.fixture
def twins(project: ProjectDir) -> Iterator[ProjectDir]:
    """A project with two jobs, of which one runs at a time."""
    project.configure(f"{LOCAL}slots = 1\n")
    for index in range(2):
        project.add(project.job(index, script=ONCE))
    yield project
    (project.folder / "go").touch()


def ran(project: ProjectDir) -> int:
    path = project.folder / "ran"
    return path.read_text().count("ran") if path.exists() else 0


def look(project: ProjectDir) -> Any:
    with project.workspace() as ws:
        watched = Monitor(ws)
        return [watched.poll(force=True) for _ in range(2)][-1]


def try_all(project: ProjectDir) -> None:
    """All that could start jobs again, from the machine itself."""
    with project.workspace() as ws:
        whole = Selection(batches=(BATCH,))
        assert actions.qdel(ws, whole).done == 0
        for act in (actions.reset, actions.resubmit):
            assert act(ws, whole).done == 0
        submit_next(ws)


@pytest.mark.parametrize("name", ["", "elsewhere"])
def test_a_containers_jobs_are_its_own_until_it_is_gone(
    twins: ProjectDir, boxed: Callable[[str], Box], name: str
) -> None:
    box = boxed(name)
    box.paraschut(twins.folder, "submit")
    wait_until(lambda: ran(twins), "one runs")
    (queue,) = (twins.folder / ".paraschut" / "local").iterdir()
    assert "~" in queue.name
    seen = look(twins)
    assert (seen.live, seen.missing, len(seen.elsewhere)) == ({}, {}, 2)
    try_all(twins)
    # Its jobs run on without the runner, of which the machine sees nothing by its number.
    box.run(twins.folder, "-c", KILL_RUNNER, str(queue / "queue.db"))
    try_all(twins)
    assert (look(twins).missing, ran(twins)) == ({}, 1)
    box.end()
    if os.readlink("/proc/self/ns/pid") != f"pid:[{machine._INITIAL}]":
        assert len(look(twins).elsewhere) == 2, "in a container itself, one does not see all processes"
        return
    wait_until(lambda: not look(twins).elsewhere, "it is seen to be gone")
    seen = look(twins)
    assert {lost.reason for lost in seen.missing.values()} == {"its container is gone"}
    assert len(seen.missing) == 2
    with twins.workspace() as ws:
        warned = [finding.detail for finding in doctor._queues(ws) if finding.verdict == doctor.WARN]
    assert len(warned) == 1
    assert "container is gone" in warned[0]
    with twins.workspace() as ws:
        assert actions.resubmit(ws, Selection(batches=(BATCH,))).done == 2
    wait_until(lambda: ran(twins) == 2, "one runs again, here")
    (twins.folder / "go").touch()
    wait_until(lambda: ran(twins) == 3, "and then the other, that never ran")


def test_from_another_container_nothing_is_certain(twins: ProjectDir, boxed: Callable[[str], Box]) -> None:
    """Two with the same name, as one that was started again has it."""
    one, two = boxed("same"), boxed("same")
    one.paraschut(twins.folder, "submit")
    wait_until(lambda: ran(twins), "one runs")
    two.paraschut(twins.folder, "resubmit", "--missing", "--yes")
    one.end()
    two.paraschut(twins.folder, "resubmit", "--missing", "--yes")
    two.paraschut(twins.folder, "submit")
    assert ran(twins) == 1
    assert set(twins.states().values()) == {"submit"}
    two.paraschut(twins.folder, "reset", str(BATCH), "--force", "--yes")
    two.paraschut(twins.folder, "submit")
    wait_until(lambda: ran(twins) == 2, "that is the way out")


def test_a_job_in_a_container_of_its_own_submits_to_the_queue_that_runs_it(
    project: ProjectDir, boxed: Callable[[str], Box]
) -> None:
    """The container ends with the job: what it started there would end with it."""
    project.configure(LOCAL)
    shell = f"{sys.executable} -m paraschut_core.cli"
    chain = f"{shell} submit; {shell} queue --poll"
    inner = f"unshare --pid --fork --mount-proc sh -c {shlex.quote(f'{chain} >told 2>&1')}"
    project.add(project.job(0, script=f"echo ran >>ran; {inner}"))
    project.add(project.job(1, script=ONCE))
    with project.workspace() as ws:
        assert submit_next(ws, max_jobs=1).submitted == 1
    wait_until(lambda: ran(project) == 2, "the job has submitted the other, which runs")
    wait_until(lambda: not look(project).live.get(JobKey(BATCH, 0)), "the first has ended")
    (queue,) = (project.folder / ".paraschut" / "local").iterdir()
    assert "~" not in queue.name or machine.machine_name() in queue.name
    assert look(project).live[JobKey(BATCH, 1)].state == RUNNING
    (project.folder / "go").touch()


def test_a_container_goes_on_with_the_queue_that_an_earlier_version_made(
    twins: ProjectDir, boxed: Callable[[str], Box]
) -> None:
    """Those named it as a machine's."""
    box = boxed("box")
    box.run(twins.folder, "-c", EARLIER)
    wait_until(lambda: ran(twins), "one runs")
    (queue,) = (twins.folder / ".paraschut" / "local").iterdir()
    assert queue.name.endswith("@box")
    for index in range(2):
        twins.set_columns(index, executor="local")  # as they noted it
    box.paraschut(twins.folder, "resubmit", "--missing", "--yes")
    assert ran(twins) == 1
    box.paraschut(twins.folder, "qdel", str(BATCH), "--yes")
    assert twins.states() == {0: "init", 1: "init"}
    box.paraschut(twins.folder, "submit")
    wait_until(lambda: ran(twins) == 2, "it runs again, in a queue of the container's own")
    assert len(list((twins.folder / ".paraschut" / "local").iterdir())) == 2


def test_a_script_that_runs_in_a_container_is_not_run_beside_it(
    project: ProjectDir, boxed: Callable[[str], Box]
) -> None:
    project.configure(LOCAL.replace('"local"', '"file"', 1))
    project.add(project.job(script=ONCE))
    with project.workspace() as ws:
        submit_next(ws)
    (script,) = project.folder.glob("*.sh")
    box = boxed("")
    inside = box.started(project.folder, "sh", str(script))
    wait_until(lambda: ran(project), "it runs")
    name = box.run(project.folder, "-c", NAME).strip()
    (driver, where, *_) = Path(f"{script}.jobs", "lock").read_text().split()
    assert where == name
    assert "~" in name, "the script and Python call the container the same"
    box.run(project.folder, "-c", f"import os; os.kill({driver}, 9)")
    inside.wait(60)
    for _ in range(2):
        refused = subprocess.run(["sh", str(script)], capture_output=True, text=True, timeout=60)
        assert (refused.returncode, ran(project)) == (75, 1), refused.stderr
        (job,) = look(project).live.values()
        assert job.state == RUNNING
    box.end()
    if os.readlink("/proc/self/ns/pid") == f"pid:[{machine._INITIAL}]":
        wait_until(lambda: [j.state for j in look(project).live.values()] == [QUEUED], "it waits again")


@pytest.mark.parametrize(
    ("start", "namespaces", "firsts", "is_whole", "lives"),
    [
        (50, {"7"}, {("7", 50)}, True, True),
        (50, {""}, {("", 50)}, False, True),  # its first process is another user's
        (50, {"8"}, {("8", 50)}, True, False),  # another that was started in the same moment
        (50, {"7"}, {("7", 60)}, True, False),  # its number was given out again
        (50, {"7", ""}, {("", 60)}, False, True),  # perhaps; but the first process was not to be read
        (50, {"7"}, set(), True, True),  # a kernel that does not tell of first processes
        (50, set(), set(), False, False),
        (0, {"7"}, {("7", 60)}, True, True),
        (0, set(), set(), False, True),
        (0, set(), set(), True, False),
    ],
)
def test_what_processes_prove_of_a_container(
    start: int, namespaces: set[str], firsts: set[tuple[str, int]], is_whole: bool, lives: bool
) -> None:
    container = Container("h~", "123abcd", "7", start)
    assert machine.container_of(str(container)) == container
    seen = machine._Seen(frozenset(namespaces), frozenset(firsts), is_whole)
    assert machine._may_live(container, seen) is lives


@pytest.mark.parametrize("name", ["host", "ho~st", "ho~st.1.2", "~", ""])
def test_a_machines_name_is_no_containers(name: str) -> None:
    assert machine.container_of(name) is None
    assert not machine.is_gone(name)
