"""A full disk: a clear error, nothing lost, and work that goes on when there is room again."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import paraschut_core as psu
from paraschut_core import config
from paraschut_core.errors import DatabaseError
from paraschut_core.monitoring.monitor import Monitor
from paraschut_core.project import Project
from tests.helpers import BATCH, ProjectDir, Scheduler, assert_sound, run_script
from tests.terminal.screen import Terminal, paraschut


def test_a_file_that_may_not_grow_is_an_error_and_loses_nothing(project: ProjectDir) -> None:
    """A quota, as the kernel's own limit on a file's size plays it."""
    project.add_many(50, payload="x" * 500)
    before = project.database.read_bytes()
    code = """
        import resource, sys
        import paraschut_core as psu
        limit = int(sys.argv[1])
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        job = {"BatchID": int(sys.argv[2]), "name": "n", "batch_type": "t", "payload": "y" * 50_000}
        try:
            psu.add_job_to_queue([dict(job) for _ in range(50)], set_index=True)
        except psu.ParaschutError as error:
            print(type(error).__name__, error)
        info = psu.get_job_info(int(sys.argv[2]), 0)
        print(info["payload"] == "x" * 500)
    """
    out = run_script(code, project.database.stat().st_size + 4096, BATCH).splitlines()
    assert out[0].startswith("DatabaseError ")
    assert str(project.database) in out[0]
    assert out[1] == "True"
    assert project.database.read_bytes() == before
    assert_sound(project.database)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of half a megabyte."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small file system")
    folder = tmp_path / "small disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"this machine mounts no tmpfs: {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_dashboard_on_a_file_that_cannot_be_written_shows_it_and_offers_no_change(small_disk: Path) -> None:
    """As on a snapshot, or on what belongs to somebody else."""
    run_script(
        """
        import sys
        import paraschut_core as psu
        job = psu.get_job_template(SetID=True)
        psu.add_batch_to_queue(job["BatchID"], [{**job, "JobIndex": i, "script": "true"} for i in range(3)])
        """,
        PARASCHUT_DB=str(small_disk / "jobs.db"),
    )
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with Terminal(paraschut("--db", str(small_disk / "jobs.db")), size=(100, 30)) as terminal:
        terminal.wait("read-only")
        terminal.wait("0 / 3")
        assert "resubmit" not in terminal.text
        terminal.press("r")
        terminal.wait("Read-only")
        terminal.press("q")
        assert terminal.wait_end() == 0


@pytest.fixture
def project_on_it(
    small_disk: Path, monkeypatch: pytest.MonkeyPatch, clean_environment: None
) -> Iterator[ProjectDir]:
    monkeypatch.setenv("PARASCHUT_DB", str(small_disk / "jobs.db"))
    yield ProjectDir(small_disk)


def test_a_full_disk_is_said_so_loses_nothing_and_is_over_when_there_is_room(
    project_on_it: ProjectDir,
) -> None:
    project = project_on_it
    project.add_many(20)
    filler = project.folder / "filler"
    with pytest.raises(OSError, match="No space"), open(filler, "wb", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)
    with Project(config.load(), Scheduler()) as ws:
        watched = Monitor(ws)
        with pytest.raises(DatabaseError, match=r"No space left for .*; nothing was written"):
            psu.set_complete(BATCH, 0, psu.get_job_info(BATCH, 0) | {"payload": "y" * 100_000})
        with pytest.raises(DatabaseError):
            psu.add_batch_to_queue(
                BATCH + 1, [project.job(n, BATCH + 1, payload="y" * 9000) for n in range(9)]
            )
        with pytest.raises(psu.ParaschutError, match="Cannot write"):
            psu.generate_data(project.job(), b"z" * 10_000)
        for look in (watched.refresh, watched.poll, watched.refresh):
            snapshot = look()
            assert (snapshot.total, snapshot.database.error) == (20, ""), "reading needs no room"
        assert set(project.states().values()) == {"init"}
        filler.unlink()
        psu.set_complete(BATCH, 0)
        assert watched.refresh().complete == 1
    assert_sound(project.database)
    assert not list(project.folder.rglob("*.tmp")), "no half of a data file stays"


def test_a_database_that_cannot_be_made_for_want_of_room_leaves_no_jobs_behind(
    project_on_it: ProjectDir,
) -> None:
    project = project_on_it
    filler = project.folder / "filler"
    with pytest.raises(OSError, match="No space"), open(filler, "wb", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)
    with pytest.raises(DatabaseError):
        psu.add_batch_to_queue(BATCH, [project.job()])
    filler.unlink()
    psu.add_batch_to_queue(BATCH, [project.job()])
    assert project.states() == {0: "init"}
    assert_sound(project.database)


def test_ids_that_could_not_be_recorded_on_a_full_disk_are_found_in_the_queue(
    project_on_it: ProjectDir,
) -> None:
    project = project_on_it
    project.configure("[poll]\ninterval = 0\ngrace = 0\n")
    project.add_many(3)
    scheduler = Scheduler()
    filler = project.folder / "filler"

    def fill() -> None:
        scheduler.during_submit = lambda: None
        with pytest.raises(OSError, match="No space"), open(filler, "wb", buffering=0) as file:
            while True:
                file.write(b"x" * 4096)

    scheduler.during_submit = fill
    with Project(project.settings(), scheduler) as ws:
        from paraschut_core.scheduling.submission import submit_next

        with pytest.raises(DatabaseError, match="No space"):
            submit_next(ws)
        filler.unlink()
        submit_next(ws)
    assert [project.column("submit_id", index) for index in range(3)] == ["1001", "1002", "1003"]
    assert len(scheduler.specs) == 3
