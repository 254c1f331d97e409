"""What is said where a file cannot be written names what is in the way; a group's files are the group's."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from paraschut_core.database.connection import group_advice
from paraschut_core.errors import DatabaseError
from tests.core.cli import COMMAND
from tests.faults.test_away import mount
from tests.helpers import ProjectDir, Scheduler, run_script
from tests.security.strangers import NAMES, User, python


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "small"
    folder.mkdir()
    mount(folder, "size=4m,nr_inodes=20")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_no_inodes_are_said_to_be_that(
    project: ProjectDir, small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = ProjectDir(small)
    monkeypatch.setenv("PARASCHUT_DB", str(small / "jobs.db"))
    project.add(project.job())
    try:
        for number in range(100):
            (small / f"filler_{number}").touch()
    except OSError:
        pass  # full
    with (
        project.workspace(Scheduler()) as ws,
        pytest.raises(DatabaseError, match="no inodes are left"),
        ws.db.transaction() as tx,
    ):
        assert tx.rev


def test_a_path_too_long_for_sqlite_is_said_to_be_that(
    project: ProjectDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path
    while len(str(folder)) < 505:
        folder = folder / ("x" * min(100, 510 - len(str(folder))))
    folder.mkdir(parents=True)
    monkeypatch.setenv("PARASCHUT_DB", str(folder / "jobs.db"))
    with pytest.raises(DatabaseError, match="its path has more than 504 bytes"):
        ProjectDir(folder).add(project.job())


def test_a_limit_on_the_size_of_files_is_said_to_be_that(project: ProjectDir) -> None:
    project.add_many(50, payload="x" * 500)
    code = """
        import resource, sys
        import paraschut_core as psu
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
        job = {"BatchID": 1, "name": "n", "batch_type": "t", "payload": "y" * 50_000}
        try:
            psu.add_job_to_queue([dict(job) for _ in range(50)], set_index=True)
        except psu.ParaschutError as error:
            print(error)
    """
    assert "ulimit -f" in run_script(code, project.database.stat().st_size + 4096)


# ------------------------------------------------------------------------------------ a group's project


@pytest.mark.parametrize(("umask", "mode"), [("002", 0o664), ("022", 0o644), ("077", 0o600)])
def test_what_a_project_is_made_of_has_the_permissions_that_the_umask_leaves(
    tmp_path: Path, clean_environment: None, umask: str, mode: int
) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    folder.chmod(0o2775)
    subprocess.run([*COMMAND, "init"], cwd=folder, umask=int(umask, 8), check=True, capture_output=True)
    for name in ("jobs.db", "paraschut.toml"):
        assert stat.S_IMODE((folder / name).stat().st_mode) == mode, name


def test_who_may_not_write_a_groups_database_is_told_what_its_owner_has_to_do() -> None:
    owner, other = User(NAMES[0]), User(NAMES[1])
    folder = Path("/tmp") / f"paraschut-group-{os.getpid()}"
    try:
        folder.mkdir()
        owner.own(folder)
        folder.chmod(0o2775)
        command = (python(), "-P", "-m", "paraschut_core.cli")
        owner.run(*command, "init", cwd=folder, umask=0o002, status=0)
        command = (*command, "add", "--name", "a", "true")
        member = {"group": owner.gid, "extra_groups": [other.gid]}
        for mode, status in ((0o664, 0), (0o644, 1)):
            (folder / "jobs.db").chmod(mode)
            done = subprocess.run(
                command,
                cwd=folder,
                env=other.environment(),
                user=other.uid,
                umask=0o002,
                capture_output=True,
                text=True,
                check=False,
                **member,  # type: ignore[call-overload]  # a group's member, by two keywords
            )
            assert done.returncode == status, done
        assert re.search(r"chmod g\+w \S*/jobs\.db", done.stderr), done.stderr
        assert group_advice(str(folder / "jobs.db")) == "", "root is no member"
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        owner.remove()
        other.remove()
