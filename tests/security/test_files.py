"""What is created can be changed by its user alone, and what is removed is a batch's own."""

from __future__ import annotations

import os
import shutil
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import paraschut_core as psu
from paraschut_core import config
from paraschut_core.errors import ConfigError, ParaschutError
from paraschut_core.project import Project
from paraschut_core.scheduling.submission import log_paths
from tests.core.cli import COMMAND
from tests.helpers import BATCH, ProjectDir, Scheduler, Script, run_script, wait_until

WHOLE_LIFE = """
    import os, subprocess, sys, time
    os.umask(int(sys.argv[1], 8))
    import paraschut_core as psu
    command = [sys.executable, "-c", "import sys; from paraschut_core.cli import main; sys.exit(main())"]
    def run(*words):
        subprocess.run([*command, *words], check=True, stdout=subprocess.DEVNULL)
    run("init")
    with open("template.sh", "w") as file:
        file.write("#!/bin/sh\\necho job {JobIndex}; echo trouble >&2\\n")
    os.chmod("template.sh", 0o700)
    job = psu.get_job_template(SetID=True)
    jobs = [{**job, "JobIndex": n, "name": ["a", "b"], "script": "template.sh"} for n in range(3)]
    for info in jobs:
        psu.generate_data(info, {"n": 1})
    psu.add_batch_to_queue(job["BatchID"], jobs, build_script=True)
    for executor in (psu.LocalJobExecutor(), psu.FileJobExecutor("jobs.sh")):
        for _ in range(300):  # what runs is left alone
            psu.set_batch_field(job["BatchID"], Unless={})
            if all(i["state"] == "init" for i in psu.get_queue(Verbose=False)[job["BatchID"]]):
                break
            time.sleep(0.1)
        psu.submit_jobs(Executor=executor)
        time.sleep(0.1)
    subprocess.run(["sh", "jobs.sh"], check=True)
    run("backup", "backup.db")
    run("recover", "recovered.db")
    run("config")
"""


def made(folder: Path) -> Iterator[tuple[str, int]]:
    """Everything under a folder that is no link: its path and its mode."""
    for path in sorted(folder.rglob("*")):
        if not path.is_symlink():
            yield str(path.relative_to(folder)), stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("umask", ["022", "077", "002"])
def test_nobody_else_can_write_to_what_is_made_and_the_umask_is_kept(
    tmp_path: Path, clean_environment: None, monkeypatch: pytest.MonkeyPatch, umask: str
) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    folder.chmod(0o777 & ~int(umask, 8))
    monkeypatch.chdir(folder)
    monkeypatch.setenv("XDG_STATE_HOME", str(folder / "state"))
    run_script(WHOLE_LIFE, umask)
    wait_until(lambda: not list(folder.rglob("*-journal")), "nobody writes any more")
    found = dict(made(folder))
    for kind in ("jobs.db", "paraschut.toml", "backup.db", "recovered.db", "jobs.sh"):
        assert kind in found, f"the scenario made no {kind}"
    assert any(name.endswith(".err") for name in found), "no log was made"
    loose = {name: oct(mode) for name, mode in found.items() if mode & int(umask, 8) & 0o777}
    assert loose == {}, f"more open than umask {umask}"
    if umask != "002":
        assert {name for name, mode in found.items() if mode & 0o022} == set()
    readable = [
        name
        for name, mode in found.items()
        if ".paraschut/" in name and (folder / name).is_file() and mode & 0o077
        if (folder / name).parent.stat().st_mode & 0o077
    ]
    assert readable == [], "what schedulers are handed, which holds the jobs' variables, is its user's alone"


# ------------------------------------------------------------------------------------ paths from names

HOSTILE_NAMES = [
    "../../../etc/cron.d/x",
    "/etc/passwd",
    "..",
    ".",
    "",
    "a/../../b",
    "x\n/../../y",
    "~root/x",
    "$(touch pwned)",
    "-rf",
    "a\\..\\b",
    "{JobDir}",
    "{name.__class__}",
    "%j%A%x",
    "\u202egpj.exe",
    "x" * 5000,
    "\ud800",
]


def inside(path: str, folder: Path) -> bool:
    return os.path.realpath(path).startswith(f"{folder.resolve()}{os.sep}")


@given(
    name=st.one_of(
        st.text(max_size=40), st.lists(st.text(max_size=20), max_size=4), st.sampled_from(HOSTILE_NAMES)
    ),
    kind=st.one_of(st.text(max_size=30), st.sampled_from(HOSTILE_NAMES)),
)
def test_no_name_leads_a_log_out_of_its_batchs_folder(
    name: object, kind: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.getbasetemp() / "logs of names"
    folder.mkdir(exist_ok=True)
    settings = config.Settings(database=str(folder / "jobs.db"), job_dir=str(folder))
    with Project(settings, Scheduler()) as ws:
        info = {"BatchID": BATCH, "JobIndex": 3, "name": name, "batch_type": kind, "subtime": 20260101000000}
        for path in log_paths(ws, info, 0):
            assert inside(path, folder / str(BATCH))
            assert os.path.dirname(path) == str(folder / str(BATCH) / "logs")
            assert len(os.fsencode(os.path.basename(path))) < 256
            assert "\n" not in path


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_a_script_made_from_a_template_stays_in_its_batchs_folder(project: ProjectDir, name: str) -> None:
    """A template's own name is a path of the user's; what is made of it is not where that points."""
    elsewhere = project.folder.parent / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "t.sh").write_text("#!/bin/sh\necho {note}\n")
    info = project.job(name=name, note=name)
    try:
        made = psu.generate_script(info, "../elsewhere/t.sh")["script"]
    except ParaschutError:
        return  # a name that no file can hold
    assert inside(made, project.folder / str(BATCH))


@pytest.mark.parametrize("batch_id", ["1 OR 1=1", "../x", "", "1/../2", "0x10", None, 1.5, -1, True, "１"])
def test_what_is_no_batch_id_removes_nothing(project: ProjectDir, batch_id: object) -> None:
    project.add(project.job())
    (project.folder / str(BATCH)).mkdir()
    (project.folder / "precious").mkdir()
    with pytest.raises((ParaschutError, TypeError)):
        psu.remove_batch(batch_id)  # type: ignore[arg-type]  # what users pass
    assert project.states() == {0: "init"}
    assert (project.folder / "precious").is_dir()
    assert (project.folder / str(BATCH)).is_dir()


def test_a_folder_swapped_for_a_link_while_it_is_removed_costs_nothing_outside(project: ProjectDir) -> None:
    """An attacker puts a link to precious files in the place of a batch's folder, again and again."""
    assert shutil.rmtree.avoids_symlink_attacks
    precious = project.folder.parent / "precious"
    precious.mkdir()
    files = [precious / f"file_{n}" for n in range(20)]
    for file in files:
        file.write_text("keep")
    stop = threading.Event()
    target = project.folder / str(BATCH)
    aside = project.folder / "aside"

    def swap() -> None:
        while not stop.is_set():
            try:
                target.rename(aside)
                target.symlink_to(precious)
                target.unlink()
                aside.rename(target)
            except OSError:
                pass  # it is being removed at this moment

    attacker = threading.Thread(target=swap)
    attacker.start()
    try:
        for _ in range(60):
            try:
                os.makedirs(target / "logs", exist_ok=True)
                for n in range(20):
                    (target / "logs" / f"own_{n}").touch()
            except OSError:
                pass  # the attacker has just moved it
            project.add(project.job())
            try:
                psu.remove_batch(BATCH)
            except ParaschutError:
                pass  # half removed, and said so
            if project.sql("SELECT 1 FROM batch"):
                project.sql("DELETE FROM job")
                project.sql("DELETE FROM batch")
    finally:
        stop.set()
        attacker.join()
    assert [file.read_text() for file in files] == ["keep"] * 20


# ------------------------------------------------------------------------------------ trust


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files of another user")
def test_a_strangers_configuration_where_everybody_may_write_is_not_used_unasked(
    tmp_path: Path, clean_environment: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = tmp_path / "tmp"
    mine = shared / "mine"
    mine.mkdir(parents=True)
    planted = shared / "paraschut.toml"
    planted.write_text('[submit]\nmodules = ["touch pwned"]\n')
    os.chown(planted, 65534, 65534)
    monkeypatch.chdir(mine)
    shared.chmod(0o755)
    assert config.load().config_file == str(planted), (
        "in a folder that only its owner can write to: a colleague's"
    )
    shared.chmod(0o1777)
    with pytest.raises(ConfigError, match="belongs to another user"):
        config.load()
    assert config.load(config=str(planted)).submit.modules == ["touch pwned"], "named: trusted"
    os.chown(planted, os.geteuid(), 0)
    assert config.load().config_file == str(planted)


def test_the_editor_of_scripts_sees_a_warning_where_everybody_may_write(project: ProjectDir) -> None:
    project.add(project.job())
    project.folder.chmod(0o777)
    script = Script(
        "import subprocess, sys; sys.exit(subprocess.run(sys.argv[1:]).returncode)", *COMMAND, "doctor"
    )
    out, _ = script.process.communicate(timeout=60)
    assert "everybody may write to" in out
    assert "chmod o-w" in out
