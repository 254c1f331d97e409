"""Two of everything that a site has twice: users, clusters, projects, containers, versions, directories.

What is looked at from the wrong side proves nothing, and each job runs exactly once: jobs count that
themselves, by a line that each appends to a file at its start.
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import paraschut_core as psu
from paraschut_core import actions
from paraschut_core.actions import Selection
from paraschut_core.config import Settings
from paraschut_core.database.connection import author_id
from paraschut_core.identity import same_user, user_name
from paraschut_core.model import JobKey, Snapshot
from paraschut_core.monitoring.monitor import Monitor
from paraschut_core.scheduling.submission import submit_next
from tests.helpers import BATCH, ProjectDir, wait_until

NOBODY_THERE = 54321
"""A user's number that no file knows."""


# ------------------------------------------------------------------------------------ users


@pytest.mark.parametrize("said", ["anna", "root", ""])
def test_who_one_is_goes_by_the_number_whatever_the_environment_says(
    monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    """`su` keeps USER and LOGNAME as they were."""
    for name in ("USER", "LOGNAME"):
        monkeypatch.setenv(name, said)
    mine = pwd.getpwuid(os.getuid()).pw_name
    assert author_id().startswith(f"{mine}@")
    assert same_user(author_id(), f"{mine}@elsewhere:7")
    assert same_user(author_id(), f"{os.getuid()}@container:7"), "where a user has no name, as in a container"
    assert not same_user(author_id(), f"{os.getuid() + 1}@container:7")
    assert user_name(NOBODY_THERE) == str(NOBODY_THERE)


def as_user(uid: int) -> list[str]:
    """The start of a command that runs as the user of that number, with this one's rights to files."""
    return ["unshare", "--user", f"--map-user={uid}", f"--map-group={uid}"]


@pytest.fixture(scope="session")
def users() -> None:
    """Whether this machine lets a process be another user."""
    demand([*as_user(NOBODY_THERE), "true"], "no namespace for a user here")


def demand(command: list[str], why: str) -> None:
    """Fails, or outside of CI skips, where a command that the test needs does not work."""
    tried = subprocess.run(command, capture_output=True, text=True, check=False)
    if tried.returncode:
        why = f"{why}: {tried.stderr.strip()}"
        pytest.fail(why) if os.environ.get("CI") == "true" else pytest.skip(why)


HOME = ("HOME", "USER", "LOGNAME", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME")


def homeless(folder: Path, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """What a command comes to as a user without an entry and without a home."""
    known = {name: value for name, value in os.environ.items() if name not in (*HOME, "PARASCHUT_DB")}
    return subprocess.run(
        [*as_user(NOBODY_THERE), *command],
        cwd=folder,
        env={**known, **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize("inside", [True, False])
def test_a_user_without_name_and_home_is_no_reason_to_crash(
    project: ProjectDir, users: None, tmp_path: Path, inside: bool
) -> None:
    folder = project.folder if inside else tmp_path / "outside"
    folder.mkdir(exist_ok=True)
    if inside:
        project.configure('executor = "local"\n[local]\nidle_timeout = 0.5\n')
        project.add_many(1)
    for command in (
        ("add", "--submit", "true"),
        ("queue",),
        ("submit",),
        ("doctor",),
        ("config",),
        ("init",),
    ):
        done = homeless(folder, sys.executable, "-m", "paraschut_core.cli", *command)
        assert "Traceback" not in done.stderr + done.stdout
        assert "This is a fault of Paraschut" not in done.stderr, done.stderr
    code = "from paraschut_tui.session.store import SessionStore; print(SessionStore().recall('x')[1])"
    assert homeless(folder, sys.executable, "-c", code).stdout == "\n"


# ------------------------------------------------------------------------------------ clusters

PLAY = """#!/bin/bash
# A Slurm of its own for each SLURM_CONF: jobs are lines `id|state|node|reason|name` of a file beside it.
cluster=$(sed -n 's/^ClusterName=//p' "$SLURM_CONF")
folder=${SLURM_CONF%/*/*}
asked=
words=()
for word in "$@"; do
  case $word in
    --clusters=*) asked=${word#*=} ;;
    --job-name=*) name=${word#*=} ;;
    --array=1-*) tasks=${word##*-} ;;
    -M?*) asked=${word#-M} ;;
    -M) next=1; continue ;;
    *) if [ -n "$next" ]; then asked=$word; next=; fi ;;
  esac
  words+=("$word")
done
here=$folder/${asked:-$cluster}
[ -d "$here" ] || { echo "${0##*/}: error: No cluster '$asked' known by database." >&2; exit 1; }
echo "${0##*/} $*" >>"$here/calls"
case ${0##*/} in
  sbatch)
    id=$(($(cat "$here/last") + 1))
    echo $id >"$here/last"
    if [ -n "$tasks" ]; then
      for task in $(seq "$tasks"); do echo "${id}_$task|PENDING||Priority|$name" >>"$here/queue"; done
    else
      echo "$id|PENDING||Priority|$name" >>"$here/queue"
    fi
    echo "$id${asked:+;$asked}" ;;
  squeue) [ -z "$asked" ] || echo "CLUSTER: $asked"; cat "$here/queue" ;;
  scancel)
    for id in "$@"; do case $id in [0-9]*) sed -i "/^${id%%[_|]*}[_|]/d" "$here/queue" ;; esac; done ;;
  sacct | scontrol) exit 1 ;;
esac
"""


class Site:
    """Slurm clusters beside each other, which give out the same ids; `amber` reaches `beryl` by -M."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self._patch = monkeypatch
        commands = folder / "bin"
        commands.mkdir(parents=True)
        for name in ("sbatch", "squeue", "scancel", "sacct", "scontrol"):
            (commands / name).write_text(PLAY)
            (commands / name).chmod(0o755)
        monkeypatch.setenv("PATH", f"{commands}:{os.environ['PATH']}")
        for name in ("amber", "beryl"):
            place = folder / name
            place.mkdir()
            for file, text in (("last", "100\n"), ("queue", ""), ("calls", "")):
                (place / file).write_text(text)
            (folder / f"{name}.etc").mkdir()
            (folder / f"{name}.etc" / "slurm.conf").write_text(f"ClusterName={name}\n")

    def log_in(self, name: str) -> None:
        """What follows is done on a login node of that cluster."""
        self._patch.setenv("SLURM_CONF", str(self.folder / f"{name}.etc" / "slurm.conf"))

    def queue(self, name: str) -> list[str]:
        return (self.folder / name / "queue").read_text().splitlines()

    def lose(self, name: str) -> None:
        """All jobs of that cluster are gone without a trace."""
        (self.folder / name / "queue").write_text("7|RUNNING|n1|None|unrelated\n")

    def calls(self, name: str, command: str) -> list[str]:
        lines = (self.folder / name / "calls").read_text().splitlines()
        return [line for line in lines if line.startswith(command)]


@pytest.fixture
def site(project: ProjectDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    project.configure('executor = "slurm"\n[poll]\ninterval = 0\ngrace = 0\n[submit]\ntimeout = 20\n')
    return Site(tmp_path / "site", monkeypatch)


def look(project: ProjectDir, times: int = 4) -> Snapshot:
    """What a dashboard shows that is opened here and now."""
    with project.workspace() as ws:
        watched = Monitor(ws)
        return [watched.poll(force=True) for _ in range(times)][-1]


def test_jobs_of_another_cluster_are_elsewhere_whatever_the_list_of_this_one_shows(
    project: ProjectDir, site: Site
) -> None:
    site.log_in("amber")
    project.add_many(10)
    with project.workspace() as ws:
        assert submit_next(ws).submitted == 10
    assert len(look(project).live) == 10
    (site.folder / "beryl" / "queue").write_text("101_1|RUNNING|b1|None|unrelated\n")
    site.log_in("beryl")
    seen = look(project)
    assert (seen.live, seen.missing) == ({}, {})
    assert set(seen.elsewhere.values()) == {"slurm@amber"}
    with project.workspace() as ws:
        whole = Selection(batches=(BATCH,))
        for act in (actions.qdel, actions.reset, actions.resubmit):
            assert act(ws, whole).done == 0
        (kept,) = actions.remove_batches(ws, [BATCH], force=False).outcomes
        assert not kept.ok
        assert submit_next(ws).submitted == 0
        assert actions.reset(ws, whole, force=True).done == 10, "there is a way out"
        actions.undo(ws)
    assert site.calls("beryl", "sbatch") == site.calls("beryl", "scancel") == []
    assert len(site.queue("amber")) == 10
    site.log_in("amber")
    assert len(look(project).live) == 10
    site.lose("amber")
    assert len(look(project).missing) == 10, "where they were submitted, they are missed"


def test_two_clusters_give_out_the_same_ids_and_each_answers_for_its_own(
    project: ProjectDir, site: Site
) -> None:
    for index, name in enumerate(("amber", "beryl")):
        site.log_in(name)
        project.add_many(3, BATCH + index)
        with project.workspace() as ws:
            assert submit_next(ws).submitted == 3
    ids = project.sql("SELECT submit_id, count(*) FROM job GROUP BY 1 ORDER BY 1")
    assert ids == [("101_1", 2), ("101_2", 2), ("101_3", 2)]
    for index, name in enumerate(("amber", "beryl")):
        site.log_in(name)
        seen = look(project)
        assert {key.batch_id for key in seen.live} == {BATCH + index}
        assert {key.batch_id for key in seen.elsewhere} == {BATCH + 1 - index}
    with project.workspace() as ws:
        told = actions.qdel(ws, Selection(batches=(BATCH, BATCH + 1)))
    assert (told.done, len(told.failed)) == (3, 3)
    assert (len(site.queue("amber")), len(site.queue("beryl"))) == (3, 0)


@pytest.mark.parametrize("option", ["--clusters=beryl", "-Mberyl"])
@pytest.mark.parametrize("whose", ["all", "job"])
def test_jobs_sent_to_another_cluster_by_a_directive_are_asked_for_and_deleted_there(
    project: ProjectDir, site: Site, whose: str, option: str
) -> None:
    site.log_in("amber")
    fields = {"directives": [option]} if whose == "job" else {}
    if whose == "all":
        project.configure(
            f'executor = "slurm"\n[poll]\ninterval = 0\ngrace = 0\n[submit]\ndirectives = ["{option}"]\n'
        )
    project.add_many(3, **fields)
    with project.workspace() as ws:
        assert submit_next(ws).submitted == 3
    assert (len(site.queue("amber")), len(site.queue("beryl"))) == (0, 3)
    assert {row[0] for row in project.sql("SELECT submit_id FROM job")} == {"101_1", "101_2", "101_3"}
    assert len(project.sql("SELECT 1 FROM job_view WHERE executor = 'slurm'")) == 3
    seen = look(project)
    assert (len(seen.live), seen.missing, seen.elsewhere) == (3, {}, {})
    # On beryl itself they are at home.
    site.log_in("beryl")
    assert len(look(project).live) == 3
    site.log_in("amber")
    (site.folder / "beryl").rename(site.folder / "away")
    seen = look(project)
    assert (len(seen.live), seen.missing) == (3, {}), "one that does not answer proves nothing"
    (site.folder / "away").rename(site.folder / "beryl")
    with project.workspace() as ws:
        assert actions.qdel(ws, Selection(batches=(BATCH,))).done == 3
    assert site.queue("beryl") == []
    assert "scancel -M beryl 101_[1-3]" in site.calls("beryl", "scancel")
    assert project.states() == dict.fromkeys(range(3), "init")


def test_a_live_job_with_another_token_is_not_ours_whatever_its_id(project: ProjectDir, site: Site) -> None:
    """A controller that lost its state gives out the same ids anew."""
    site.log_in("amber")
    project.add_many(2)
    with project.workspace() as ws:
        assert submit_next(ws).submitted == 2
    stranger = "101_1|RUNNING|n1|None|pabcdefghij_x\n101_2|RUNNING|n1|None|pabcdefghij_x\n"
    (site.folder / "amber" / "queue").write_text(stranger)
    seen = look(project)
    assert seen.live == {}
    assert len(seen.missing) == 2
    with project.workspace() as ws:
        assert actions.qdel(ws, Selection(batches=(BATCH,))).done == 0
    assert len(site.queue("amber")) == 2, "the other's jobs are left alone"


@pytest.mark.parametrize("id_", ["12", "15", "12_3"])
def test_a_task_that_knows_a_part_of_its_id_starts_by_its_token(
    project: ProjectDir, monkeypatch: pytest.MonkeyPatch, id_: str
) -> None:
    """SLURM_JOBID is another number in each task of an array; its base id is the first one's."""
    project.add(project.job())
    project.set_columns(state="submit", token="abc-3", submit_id="12_3", attempt=1)
    for name, value in {
        "PARASCHUT_EXECUTOR": "slurm",
        "PARASCHUT_BATCH_ID": str(BATCH),
        "PARASCHUT_JOB_INDEX": "0",
        "PARASCHUT_TOKEN": "abc-3",
        "SLURM_ARRAY_JOB_ID": "12",
        "SLURM_ARRAY_TASK_ID": "3",
        "SLURM_JOB_ID": "15",
    }.items():
        monkeypatch.setenv(name, value)
    for _ in range(2):
        info = psu.get_job_info(BATCH, 0, SetID=True, ClusterID=id_)
        assert (info["state"], info["ClusterID"]) == ("run", "12_3")
    assert psu.SlurmJobExecutor(settings=Settings(submit_host="tau.ac.il")).get_job_id() == "12_3"


def test_inside_a_job_of_this_scheduler_one_is_connected_to_it(
    project: ProjectDir, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.log_in("amber")
    executor = psu.SlurmJobExecutor(settings=Settings(submit_host="no.such.host"))
    assert not executor.isconnected()
    monkeypatch.setenv("SLURM_JOB_ID", "15")
    assert executor.isconnected()


# ------------------------------------------------------------------------------------ directories

LOCAL = 'executor = "local"\n[poll]\ninterval = 0\ngrace = 0\n[local]\nidle_timeout = 1\nkill_grace = 1\n'
ONCE = "echo ran >>ran; while [ ! -e go ]; do sleep 0.05; done"


def command(project: ProjectDir, *words: str, under: list[str] | None = None, **environment: str) -> Any:
    """What a command line comes to; in JSON, if it says so."""
    done = subprocess.run(
        [*(under or []), sys.executable, "-m", "paraschut_core.cli", *words],
        cwd=project.folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done


def ran(project: ProjectDir) -> int:
    """How often the job itself says that it was started."""
    path = project.folder / "ran"
    return path.read_text().count("ran") if path.exists() else 0


@pytest.fixture
def running(project: ProjectDir) -> Iterator[ProjectDir]:
    """A project with a local job that runs until it is told to end."""
    project.configure(LOCAL)
    project.add(project.job(script=ONCE))
    with project.workspace() as ws:
        assert submit_next(ws).submitted == 1
    wait_until(lambda: ran(project), "it runs")
    yield project
    (project.folder / "go").touch()


@pytest.mark.parametrize("act", [("resubmit", "--missing", "--yes"), ("qdel", str(BATCH), "--yes")])
def test_another_directory_proves_nothing_of_a_local_job(
    running: ProjectDir, tmp_path: Path, act: tuple[str, ...]
) -> None:
    other = tmp_path / "another project"
    other.mkdir()
    told = command(running, "queue", "--poll", PARASCHUT_JOB_DIR=str(other)).stdout
    assert "missing jobs: {}" in told
    command(running, *act, PARASCHUT_JOB_DIR=str(other))
    command(running, "submit", PARASCHUT_JOB_DIR=str(other))
    assert running.state() in ("submit", "run")
    assert ran(running) == 1


def test_where_the_queue_was_deleted_a_process_with_the_jobs_token_is_the_job(running: ProjectDir) -> None:
    """`git clean -fdx` while it runs."""
    shutil.rmtree(running.folder / ".paraschut")
    for _ in range(2):
        seen = look(running)
        assert (len(seen.live), seen.missing) == (1, {})
        command(running, "resubmit", "--missing", "--yes")
    assert ran(running) == 1
    (running.folder / "go").touch()
    wait_until(lambda: look(running, 1).missing, "it is missed when it has ended")
    (running.folder / "go").unlink()
    with running.workspace() as ws:
        assert actions.resubmit(ws, Selection(batches=(BATCH,))).done == 1, "that is the way out"
    wait_until(lambda: ran(running) == 2, "it runs again")


def test_a_claim_whose_queue_was_deleted_is_kept_as_long_as_it_runs(running: ProjectDir) -> None:
    """Its submitter was killed before it noted the id."""
    (row,) = running.sql("SELECT submit_id FROM job")
    dead = f"{author_id().rpartition(':')[0]}:4194303"
    running.set_columns(submit_id=None, ClusterID=None, state="submit", claimed_by=dead)
    shutil.rmtree(running.folder / ".paraschut")
    with running.workspace() as ws:
        submit_next(ws)
    assert running.sql("SELECT state, submit_id FROM job") == [("submit", row[0])]
    assert ran(running) == 1
    (running.folder / "go").touch()
    wait_until(lambda: look(running, 1).missing, "it is missed when it has ended")


MULTIPLIES = f"""#!{sys.executable}
import os, time
import paraschut_core as psu
info = psu.get_job_info({BATCH}, 0, SetID=True)
with open("ran", "a") as file:
    file.write("ran\\n")
if "PARASCHUT_SPAWN_ID" not in os.environ:
    psu.spawn_submit(info, 1)
    while not os.path.exists("first"):
        time.sleep(0.05)
else:
    while not os.path.exists("go"):
        time.sleep(0.05)
"""


def test_a_spawn_whose_queue_was_deleted_is_kept_as_long_as_it_runs(project: ProjectDir) -> None:
    project.configure(LOCAL)
    script = project.folder / "multiplies"
    script.write_text(MULTIPLIES)
    script.chmod(0o755)
    project.add(project.job(script=str(script)))
    with project.workspace() as ws:
        assert submit_next(ws).submitted == 1
    wait_until(lambda: ran(project) == 2, "both run")
    (project.folder / "first").touch()  # the first of them ends without a word
    wait_until(lambda: look(project, 1).live_spawns[JobKey(BATCH, 0)] == (1, 2), "one is left")
    shutil.rmtree(project.folder / ".paraschut")
    seen = look(project)
    assert (len(seen.live), seen.missing) == (1, {})
    assert psu.spawn_resubmit(BATCH, 0) == 1, "of the first alone"
    wait_until(lambda: ran(project) == 3, "it runs")
    (project.folder / "go").touch()


COUNTS = """
from paraschut_core import config
from paraschut_core.monitoring.monitor import Monitor
from paraschut_core.project import Project
watched = Monitor(Project(config.load()))
seen = [watched.poll(force=True) for _ in range(4)][-1]
print(len(seen.live), len(seen.missing), len(seen.elsewhere))
"""


@pytest.fixture
def collected(project: ProjectDir) -> ProjectDir:
    """A project with a job in the script of the file executor."""
    project.configure(LOCAL.replace('"local"', '"file"', 1))
    project.add(project.job(script=ONCE))
    with project.workspace() as ws:
        assert submit_next(ws).submitted == 1
    return project


def test_another_directory_proves_nothing_of_a_job_in_a_script(collected: ProjectDir, tmp_path: Path) -> None:
    other = tmp_path / "another project"
    other.mkdir()
    for act in (("queue", "--poll"), ("resubmit", "--missing", "--yes"), ("reset", str(BATCH), "--yes")):
        for _ in range(2):
            command(collected, *act, PARASCHUT_JOB_DIR=str(other))
    command(collected, "submit", PARASCHUT_JOB_DIR=str(other))
    assert collected.state() == "submit"
    assert not list(other.glob("*.sh"))
    assert len(look(collected).live) == 1


def test_a_script_may_move_with_its_project(collected: ProjectDir, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    collected.folder.rename(moved)
    known = {name: value for name, value in os.environ.items() if not name.startswith("PARASCHUT_")}
    done = subprocess.run(
        [sys.executable, "-c", COUNTS], cwd=moved, env=known, capture_output=True, text=True, timeout=120
    )
    assert done.stdout == "1 0 0\n", done.stderr


def test_a_script_that_was_deleted_while_it_runs_is_looked_for_among_the_processes(
    collected: ProjectDir,
) -> None:
    (script,) = collected.folder.glob("*.sh")
    process = subprocess.Popen(["sh", str(script)], cwd=collected.folder, stderr=subprocess.DEVNULL)
    wait_until(lambda: ran(collected), "it runs")
    shutil.rmtree(f"{script}.jobs")
    seen = look(collected)
    assert (len(seen.live), seen.missing) == (1, {})
    command(collected, "resubmit", "--missing", "--yes")
    assert ran(collected) == 1
    assert not list(collected.folder.glob("*.jobs/*.sh"))
    (collected.folder / "go").touch()
    process.wait(60)
    wait_until(lambda: look(collected).missing, "it is missed when it has ended")


def test_the_limit_of_arrays_is_each_clusters_own(
    project: ProjectDir, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = {"amber": 7, "beryl": 5}
    monkeypatch.setattr(psu.SlurmJobExecutor, "array_limit", lambda self: limits[self.home])
    for name in ("amber", "beryl", "amber"):
        site.log_in(name)
        with project.workspace() as ws:
            assert ws.executor.max_batch_size() == limits[name]


def test_a_colleagues_local_job_is_neither_deleted_nor_run_again(running: ProjectDir, users: None) -> None:
    for act in (("qdel", str(BATCH), "--yes"), ("resubmit", str(BATCH), "--yes"), ("submit",)):
        done = command(running, *act, under=as_user(NOBODY_THERE))
        assert "1 deleted" not in done.stdout
    assert running.state() in ("submit", "run")
    assert ran(running) == 1


@pytest.mark.parametrize("noted", ["by number", "by name"])
def test_a_colleagues_job_on_a_cluster_is_neither_deleted_nor_submitted_again(
    project: ProjectDir, site: Site, users: None, noted: str
) -> None:
    site.log_in("amber")
    project.add_many(3)
    with project.workspace() as ws:
        assert submit_next(ws).submitted == 3
    if noted == "by name":  # as earlier versions did
        for index in range(3):
            project.set_columns(index, executor="slurm")
    for words in (("qdel", str(BATCH), "--yes"), ("resubmit", str(BATCH), "--yes")):
        done = command(project, *words, under=as_user(NOBODY_THERE))
        assert not re.search("[1-9] (deleted|reset|submitted)", done.stdout), done.stdout
    command(project, "submit", under=as_user(NOBODY_THERE))
    assert set(project.states().values()) == {"submit"}
    assert (len(site.queue("amber")), site.calls("amber", "scancel")) == (3, [])
    assert len(site.calls("amber", "sbatch")) == 1
    with project.workspace() as ws:
        assert actions.qdel(ws, Selection(batches=(BATCH,))).done == 3, "he himself deletes them"
