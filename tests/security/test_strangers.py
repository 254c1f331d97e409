"""What another user left at a predictable place is neither run, nor appended to, nor taken for one's own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from paraschut_core import config
from paraschut_core.config import Settings
from paraschut_core.errors import ConfigError, ParaschutError, UntrustedError
from paraschut_core.executors.batch import script, throttling
from paraschut_core.executors.file import FileJobExecutor
from paraschut_core.executors.local.machine import machine_name
from paraschut_core.executors.local.queue_store import DaemonSettings, LocalQueue, NewJob
from paraschut_core.jobs.command_template import runner
from paraschut_core.model import JobKey
from paraschut_core.project import Project
from paraschut_core.scheduling.submission import read_max_jobs
from paraschut_core.security.child_python import environment
from paraschut_core.security.child_python import python as started
from tests.core.test_local_executor import Machine, until
from tests.helpers import ROOT, ProjectDir, Scheduler
from tests.unit.test_script import DIALECT, spec

from .strangers import NAMES, User, plant_modules, python, require_root


@pytest.fixture(scope="module")
def me() -> Iterator[User]:
    user = User(NAMES[0])
    yield user
    user.remove()


@pytest.fixture(scope="module")
def him() -> Iterator[User]:
    user = User(NAMES[1])
    yield user
    user.remove()


@pytest.fixture
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder where everybody may put files, as /scratch is, that every user can reach."""
    require_root()
    folder = Path("/tmp") / f"paraschut-shared-{os.getpid()}-{time.time_ns()}"
    folder.mkdir()
    folder.chmod(0o1777)
    yield folder
    shutil.rmtree(folder)


def plant_queue(folder: Path, mark: Path) -> None:
    """A queue in which one job waits, which leaves a mark; and modules that do."""
    task = NewJob(
        token="x-1",
        name="x",
        arguments=b"/bin/touch\0" + os.fsencode(mark),
        variables=b"",
        cwd=b"/tmp",
        stdout=b"/dev/null",
        stderr=b"/dev/null",
        umask=0o022,
        walltime=None,
        cpu_limit=None,
    )
    LocalQueue(str(folder)).add([task], b"", DaemonSettings(1, 1.0, 1.0))
    plant_modules(folder, mark)
    (folder / "starting").mkdir()


# ------------------------------------------------------------------------------------ looking at his project


def test_to_look_at_a_colleagues_project_runs_nothing_of_his_and_writes_nothing_of_mine(
    shared: Path, me: User, him: User
) -> None:
    project = shared / "project"
    project.mkdir()
    precious = shared / "precious"
    precious.write_text("keep\n")
    me.own(precious)
    mark = shared / "mark"
    him.own(project)
    command = (python(), "-P", "-m", "paraschut_core.cli")
    him.run(*command, "init", cwd=project, status=0)
    him.run(*command, "add", "--name", "a", "--range", "0-3", "true", cwd=project, status=0)
    (project / "jobs.db").chmod(0o666)
    queue = project / ".paraschut" / "local" / f"{me.name}@{machine_name()}"
    plant_queue(queue, mark)
    (queue / "runner.log").symlink_to(precious)
    him.own(project)
    shown = me.run(*command, "queue", cwd=project, status=0)
    assert "4" in shown.stdout
    assert f"belongs to {him.name}" in shown.stdout + shown.stderr
    time.sleep(0.5)
    assert not mark.exists()
    assert precious.read_text() == "keep\n"
    me.run(*command, "submit", cwd=project, status=1)
    me.run(*command, "doctor", cwd=project)
    assert not mark.exists()


# ------------------------------------------------------------------------------------ Python's module path


@pytest.mark.parametrize(
    "module",
    [
        "paraschut_core.cli",
        "paraschut_core.maintenance.node_probe",
        "paraschut_core.executors.local.daemon",
    ],
)
@pytest.mark.parametrize("version", [(3, 10), (3, 11)])
def test_python_is_started_without_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, version: tuple[int, int]
) -> None:
    mark = tmp_path / "mark"
    hostile = tmp_path / "hostile"
    hostile.mkdir()
    plant_modules(hostile, mark)
    monkeypatch.setattr(sys, "version_info", version)
    monkeypatch.setenv("PYTHONPATH", f":{ROOT}")  # an empty part: the working directory
    words = [*started(module), "--version"]
    done = subprocess.run(words, cwd=hostile, env=environment(), capture_output=True, text=True, check=False)
    assert "No module named" not in done.stderr
    assert not mark.exists(), mark.read_text()


def before_any_package() -> list[str]:
    """The modules that Python itself has loaded when `-m` comes to a package."""
    code = "import pkgutil, runpy, sys; print(*sys.modules)"
    words = [sys.executable, "-I", "-c", code]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()


@pytest.mark.parametrize("module", ["paraschut_core", "paraschut_core.cli", "paraschut_tui"])
def test_run_as_a_module_it_takes_nothing_from_the_working_directory(tmp_path: Path, module: str) -> None:
    """What Python itself imports before it comes to the package is beyond anybody's reach."""
    mark = tmp_path / "mark"
    hostile = tmp_path / "hostile"
    hostile.mkdir()
    plant_modules(hostile, mark, package=False)
    for name in before_any_package():
        (hostile / f"{name}.py").unlink(missing_ok=True)
    words = [sys.executable, "-m", module, "queue"]
    done = subprocess.run(words, cwd=hostile, capture_output=True, text=True, check=False)
    assert "paraschut.toml" in done.stderr
    assert not mark.exists(), mark.read_text()


def test_the_line_that_runs_a_plain_command_takes_nothing_from_the_jobs_directory(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    plant_modules(tmp_path, mark)
    done = subprocess.run(
        ["sh", "-c", f"{runner()} 1 1 -- true"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert "paraschut:" in done.stderr
    assert not mark.exists(), mark.read_text()


# ------------------------------------------------------------------------------------ the local queue


def his_folder(folder: Path, him: User) -> None:
    him.own(folder)


def his_link(folder: Path, him: User) -> None:
    elsewhere = folder.with_name("elsewhere")
    folder.rename(elsewhere)
    folder.symlink_to(elsewhere)
    him.own(folder)


def my_link(folder: Path, him: User) -> None:
    elsewhere = folder.with_name("elsewhere")
    folder.rename(elsewhere)
    folder.symlink_to(elsewhere)


def writable(folder: Path, him: User) -> None:
    folder.chmod(0o770)


def his_file(folder: Path, him: User) -> None:
    for name in ("queue.db", "ended"):
        if (folder / name).exists():
            him.own(folder / name)


def link_above(folder: Path, him: User) -> None:
    his_link(folder.parent, him)


WAYS: list[Callable[[Path, User], None]] = [his_folder, his_link, my_link, writable, his_file, link_above]


@pytest.mark.parametrize("way", WAYS)
def test_a_queue_that_may_be_anothers_is_neither_read_nor_served(
    machine: Machine, him: User, way: Callable[[Path, User], None]
) -> None:
    mark = machine.folder / "mark"
    folder = Path(machine.queue.folder)
    plant_queue(folder, mark)
    way(folder, him)
    with pytest.raises(UntrustedError, match="it is not used"):
        machine.executor.poll()
    with pytest.raises(UntrustedError, match="it is not used"):
        machine.executor.submit_many([machine.spec("true")])
    served = subprocess.run(
        [*started("paraschut_core.executors.local.daemon"), str(folder)],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert "it is not used" in served.stdout
    assert not mark.exists()
    shutil.rmtree(machine.folder / ".paraschut")


@pytest.mark.parametrize("name", ["runner.log", "journal", "lock", "queue.db"])
def test_no_file_of_a_queue_is_reached_through_a_link(machine: Machine, name: str) -> None:
    folder = Path(machine.queue.folder)
    folder.mkdir(parents=True, mode=0o700)
    precious = machine.folder / "precious"
    precious.write_text("")
    (folder / name).symlink_to(precious)
    with pytest.raises(ParaschutError, match="it is not used"):
        machine.submit("true")
        machine.executor.poll()
    assert precious.read_text() == ""
    shutil.rmtree(machine.folder / ".paraschut", ignore_errors=True)  # its runner may be leaving just now


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    require_root()
    machine = Machine(tmp_path, idle_timeout=0.2)
    yield machine
    machine.close()


def test_another_users_queue_for_another_host_is_not_mine(machine: Machine, him: User) -> None:
    mark = machine.folder / "mark"
    folder = Path(machine.queue.folder)
    planted = folder.with_name(f"{folder.name.partition('@')[0]}@elsewhere")
    plant_queue(planted, mark)
    him.own(planted)
    ids = machine.submit("true")
    assert machine.endings(ids)[ids[0]].exit_status == 0
    assert set(machine.executor.poll()) == set(ids)


# ------------------------------------------------------------------------------------ scripts of clusters


@pytest.mark.parametrize("way", WAYS)
def test_a_folder_of_scripts_that_may_be_anothers_is_not_used(
    tmp_path: Path, him: User, way: Callable[[Path, User], None]
) -> None:
    folder = Path(script.script_dir(str(tmp_path)))
    (folder / "ended").mkdir(parents=True)
    folder.chmod(0o700)
    precious = tmp_path / "precious"
    precious.write_text("keep")
    for name in (".swept", "slurm.limit"):
        (folder / name).symlink_to(precious)
    (folder / "ended" / "test~7~abc-1").write_text("id=7\n")
    way(folder, him)
    job = spec(str(tmp_path), "true", token="abc-1")
    if way is not his_file:
        with pytest.raises(UntrustedError):
            script.write([job], DIALECT, str(folder))
        with pytest.raises(UntrustedError):
            throttling.array_limit(str(folder / "slurm.limit"), lambda: 5, 7)
    with pytest.raises(UntrustedError):
        script.records(str(folder))
    try:
        script.remove_old_files(str(folder), set(), now=time.time() + 1e8)
    except UntrustedError:
        pass  # its own marker is a link
    assert precious.read_text() == "keep"
    assert precious.stat().st_mtime < time.time() + 1e6


# ------------------------------------------------------------------------------------ the file executor


def test_the_script_runs_nobody_elses_jobs(shared: Path, me: User, him: User) -> None:
    mark = shared / "mark"
    jobs = shared / "jobs.sh.jobs"
    jobs.mkdir()
    (jobs / f"{1:020d}-abc-1.sh").write_text(f"#!/bin/sh\ntouch {mark}\n")
    executor = FileJobExecutor(settings=Settings(job_dir=str(shared / "own")))
    (shared / "own").mkdir()
    executor._write_driver()
    driver = shared / "jobs.sh"
    shutil.copy(shared / "own" / "jobs.sh", driver)
    me.own(driver)
    for way in (him.own, lambda path: (me.own(path), path.chmod(0o777))):
        way(jobs)
        refused = me.run("sh", driver, cwd=shared)
        assert refused.returncode == 77, refused
        assert not mark.exists()
    jobs.chmod(0o755)
    him.own(jobs / f"{1:020d}-abc-1.sh")
    me.run("sh", driver, cwd=shared, status=0)
    assert not mark.exists()
    me.own(jobs)
    me.run("sh", driver, cwd=shared, status=0)
    assert mark.exists()


@pytest.mark.parametrize("what", ["jobs.sh", "jobs.sh.jobs"])
@pytest.mark.parametrize("kind", ["his", "link"])
def test_nothing_is_queued_in_another_users_script(tmp_path: Path, him: User, what: str, kind: str) -> None:
    executor = FileJobExecutor(settings=Settings(job_dir=str(tmp_path)))
    os.close(executor._write_driver())
    if kind == "his":
        him.own(tmp_path / what)
    else:
        (tmp_path / what).rename(tmp_path / "elsewhere")
        (tmp_path / what).symlink_to(tmp_path / "elsewhere")
    (outcome,) = executor.submit_many([spec(str(tmp_path), "true", token="abc-1")])
    assert outcome.id is None
    assert outcome.certain
    assert "it is not used" in outcome.error


def test_the_word_of_another_user_on_how_jobs_ended_is_not_taken(tmp_path: Path, him: User) -> None:
    executor = FileJobExecutor(settings=Settings(job_dir=str(tmp_path)))
    executor.submit_many([spec(str(tmp_path), "true", token="abc-1")])
    (tmp_path / "jobs.sh.done").write_text("abc-1 0 1700000000 host\n")
    assert executor.get_exit_info(["abc-1"], 0.0)["abc-1"].exit_status == 0
    him.own(tmp_path / "jobs.sh.done")
    with pytest.raises(UntrustedError):
        executor.get_exit_info(["abc-1"], 0.0)


# ------------------------------------------------------------------------------------ logs


def lead_file(logs: Path, precious: Path, him: User) -> None:
    (logs / "1.out").symlink_to(precious)
    him.own(logs / "1.out")


def lead_folder(logs: Path, precious: Path, him: User) -> None:
    logs.rmdir()
    (precious.parent / "1.out").symlink_to(precious)
    logs.symlink_to(precious.parent)
    him.own(logs)


def foreign_file(logs: Path, precious: Path, him: User) -> None:
    logs.chmod(0o1777)
    (logs / "1.out").write_text("")
    (logs / "1.out").chmod(0o666)
    him.own(logs / "1.out")


LEADS: list[Callable[[Path, Path, User], None]] = [lead_file, lead_folder, foreign_file]


@pytest.mark.parametrize("lead", LEADS)
def test_the_runner_writes_no_log_where_another_user_leads_it(
    machine: Machine, him: User, lead: Callable[[Path, Path, User], None]
) -> None:
    elsewhere = machine.folder / "elsewhere"
    elsewhere.mkdir()
    precious = elsewhere / "precious"
    precious.write_text("keep")
    logs = machine.folder / "logs"
    logs.mkdir()
    lead(logs, precious, him)
    (id_,) = machine.submit("echo gone", stdout=str(logs / "1.out"), stderr=str(machine.folder / "1.err"))
    job = until(lambda: (j := machine.executor.poll()[id_]).reason.startswith("waits: ") and j, "it waits")
    assert him.name in job.reason
    assert precious.read_text() == "keep"
    if lead is foreign_file:
        assert (logs / "1.out").read_text() == ""


def test_a_log_goes_through_links_of_its_own_user(machine: Machine) -> None:
    (machine.folder / "far").mkdir()
    (machine.folder / "logs").symlink_to(machine.folder / "far")
    (machine.folder / "far" / "1.out").symlink_to(machine.folder / "text")
    machine.ending("echo fine", stdout=str(machine.folder / "logs" / "1.out"))
    assert machine.read("text") == "fine\n"


@pytest.mark.parametrize("shell", ["/bin/bash", "/bin/dash"])
@pytest.mark.parametrize("lead", LEADS)
def test_a_clusters_script_writes_no_log_where_another_user_leads_it(
    tmp_path: Path,
    him: User,
    monkeypatch: pytest.MonkeyPatch,
    lead: Callable[[Path, Path, User], None],
    shell: str,
) -> None:
    require_shell(shell)
    monkeypatch.setattr(script, "shell", lambda: shell)
    base = tmp_path / "project"
    logs = base / "1" / "logs"
    logs.mkdir(parents=True)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    precious = elsewhere / "precious"
    precious.write_text("keep")
    lead(logs, precious, him)
    job = spec(str(tmp_path), "echo gone", token="abc-1", cwd=str(base))
    job = job._replace(stdout=str(logs / "1.out"), stderr=str(base / "1.err"))
    path = script.write([job], DIALECT, script.script_dir(str(base)))
    done = subprocess.run([shell, path], env={**os.environ, "ID": "7"}, capture_output=True, check=False)
    assert done.returncode == 125
    assert precious.read_text() == "keep"
    record = script.read_record(next(iter(script.records(script.script_dir(str(base))).values()))[1])
    assert record is not None
    assert "another user led elsewhere" in record.note


@pytest.mark.parametrize("shell", ["/bin/bash", "/bin/dash"])
def test_the_tasks_of_another_user_are_not_read(
    tmp_path: Path, him: User, monkeypatch: pytest.MonkeyPatch, shell: str
) -> None:
    require_shell(shell)
    monkeypatch.setattr(script, "shell", lambda: shell)
    jobs = [
        spec(str(tmp_path), f"touch {tmp_path}/ran_{n}", token=f"abc-{n}")._replace(key=JobKey(1, n))
        for n in (1, 2)
    ]
    folder = script.script_dir(str(tmp_path))
    path = script.write(jobs, DIALECT, folder)
    task = {**os.environ, "ID": "7", "TASK": "1"}
    subprocess.run([shell, path], env=task, capture_output=True, check=False)
    assert (tmp_path / "ran_1").exists()
    (tmp_path / "ran_1").unlink()
    him.own(Path(folder) / "abc.tasks")
    done = subprocess.run([shell, path], env=task, capture_output=True, check=False)
    assert done.returncode == 125
    assert not (tmp_path / "ran_1").exists()


def require_shell(shell: str) -> None:
    if not os.path.exists(shell):
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"there is no {shell}")


# ------------------------------------------------------------------------------------ a project's data


def test_a_strangers_limit_on_jobs_counts_only_in_a_groups_own_folder(project: ProjectDir, him: User) -> None:
    path = project.folder / "maxjobs"
    path.write_text("7\n")
    him.own(path)
    project.add(project.job())
    with Project(project.settings(), Scheduler()) as ws:
        assert read_max_jobs(ws) == 7
        project.folder.chmod(0o1777)
        with pytest.raises(ConfigError, match="belongs to another user"):
            read_max_jobs(ws)
        os.chown(path, 0, 0)
        assert read_max_jobs(ws) == 7
        path.unlink()
        os.mkfifo(path)
        with pytest.raises(ConfigError, match="no regular file"):
            read_max_jobs(ws)


def test_a_strangers_link_to_a_configuration_of_mine_is_not_followed_unasked(
    tmp_path: Path, him: User, clean_environment: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = tmp_path / "tmp"
    shared.mkdir()
    (tmp_path / "paraschut.toml").write_text("")
    (shared / "paraschut.toml").symlink_to(tmp_path / "paraschut.toml")
    him.own(shared / "paraschut.toml")
    monkeypatch.chdir(shared)
    shared.chmod(0o1777)
    with pytest.raises(ConfigError, match="belongs to another user"):
        config.load()
