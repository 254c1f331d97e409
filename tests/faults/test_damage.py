"""A file damaged byte by byte: clear messages from everything that reads it, and a rescue that works."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

import paraschut_core as psu
from paraschut_core import config
from paraschut_core.errors import DatabaseError, ParaschutError, UsageError
from paraschut_core.maintenance.backup import recover
from paraschut_core.maintenance.doctor import FAIL, examine
from paraschut_core.monitoring.monitor import Monitor
from paraschut_core.project import Project
from tests.conftest import Tally
from tests.core.cli import CommandLine
from tests.helpers import BATCH, ProjectDir, Scheduler, assert_sound

DAMAGES = int(os.environ.get("PARASCHUT_TEST_DAMAGES", "120"))
"""How many damaged copies are tried (the environment may ask for more)."""

JOBS = 40


@pytest.fixture
def whole(project: ProjectDir) -> bytes:
    """The bytes of a database with something in every table."""
    project.add_many(JOBS, payload="x" * 150)
    scheduler = Scheduler()
    psu.submit_jobs(Executor=scheduler, MaxJobs=5)
    psu.set_complete(BATCH, 1)
    psu.set_batch_field(BATCH, {"priority": 2})
    with Project(config.load(), scheduler) as ws:
        Monitor(ws).poll()
    return project.database.read_bytes()


def _look(project: ProjectDir) -> object:
    with Project(config.load(), Scheduler()) as ws:
        watched = Monitor(ws)
        return watched.refresh(), watched.poll()


def _examine(project: ProjectDir) -> object:
    return list(examine(config.load, "test"))


def _recover(project: ProjectDir) -> object:
    target = project.folder / "saved.db"
    target.unlink(missing_ok=True)
    saved = recover(str(project.database), str(target))
    assert_sound(target)
    return saved


USES: dict[str, Callable[[ProjectDir], object]] = {
    "a dashboard": _look,
    "get_queue": lambda project: psu.get_queue(Verbose=False, Executor=Scheduler()),
    "a filter": lambda project: psu.get_queue(Verbose=False, Filter="state = 'init'", Executor=Scheduler()),
    "get_job_info": lambda project: psu.get_job_info(BATCH, JOBS // 2),
    "update": lambda project: psu.update_job(psu.get_job_info(BATCH, 3) | {"note": "n"}),
    "set_batch_field": lambda project: psu.set_batch_field(BATCH, {"note": "x" * 100}, {}),
    "submit_jobs": lambda project: psu.submit_jobs(Executor=Scheduler()),
    "set_complete": lambda project: psu.set_complete(BATCH, 7),
    "doctor": _examine,
    "recover": _recover,
}


def damaged(whole: bytes, chance: random.Random) -> tuple[bytes, str]:
    """A copy with some bytes changed, zeroed, or cut off; and what was done to it."""
    content = bytearray(whole)
    kind = chance.choice(["header", "byte", "byte", "bytes", "page", "cut"])
    if kind == "cut":
        return bytes(content[: chance.randrange(len(content))]), kind
    if kind == "page":
        start = chance.randrange(len(content) // 4096) * 4096
        content[start : start + 4096] = bytes(4096)
        return bytes(content), kind
    many = chance.randrange(2, 40) if kind == "bytes" else 1
    for _ in range(many):
        content[chance.randrange(100 if kind == "header" else len(content))] ^= chance.randrange(1, 256)
    return bytes(content), kind


def test_no_damage_to_the_file_brings_anything_down(
    project: ProjectDir, whole: bytes, tally: Tally, capsys: pytest.CaptureFixture[str]
) -> None:
    seed = random.randrange(10**9)
    print(f"seed {seed}")
    chance = random.Random(seed)
    said: Counter[str] = Counter()
    for _ in range(DAMAGES):
        content, kind = damaged(whole, chance)
        for name, use in USES.items():
            # Each finds the damage fresh: what an earlier one wrote may have put it right, or spread it.
            for leftover in project.folder.glob("jobs.db*"):
                leftover.unlink()
            project.database.write_bytes(content)
            try:
                use(project)
            except ParaschutError as error:
                said[name] += 1
                assert str(error), f"{name} after {kind}"
            if name in ("doctor", "recover"):
                assert project.database.read_bytes() == content, f"{name} wrote to the damaged file"
    assert said["get_queue"], "no damage was ever noticed"
    tally(DAMAGES * len(USES), 0, f"damaged copies, each used in {len(USES)} ways; complaints: {dict(said)}")


@pytest.mark.parametrize("rubbish", ["text", b"bytes", -5, 2**62, 1e300])
@pytest.mark.parametrize("table", ["batch", "job", "event"])
def test_a_damaged_revision_is_not_taken_for_the_databases_own(
    project: ProjectDir, whole: bytes, table: str, rubbish: object
) -> None:
    connection = sqlite3.connect(project.database)
    with connection:
        connection.execute(
            f"UPDATE {table} SET rev = ? WHERE rowid = (SELECT min(rowid) FROM {table})", [rubbish]
        )
    connection.close()
    target = project.folder / "saved.db"
    recover(str(project.database), str(target))
    assert_sound(target)
    saved = sqlite3.connect(target)
    assert saved.execute("SELECT count(*) FROM job").fetchone() == (JOBS,)
    (rev,) = saved.execute("SELECT rev FROM revision").fetchone()
    assert 0 < rev < 1000
    saved.close()


def test_one_lost_page_costs_only_the_jobs_on_it_and_the_rest_is_saved(
    project: ProjectDir, whole: bytes, tally: Tally
) -> None:
    """A page of rows is gone: all others come out of `recover` as they were."""
    states, saved_at_least, tries = project.states(), JOBS, 0
    for page in range(1, len(whole) // 4096):
        content = bytearray(whole)
        if content[page * 4096] != 0x0D:  # only leaves of tables hold rows
            continue
        content[page * 4096 : (page + 1) * 4096] = bytes(4096)
        project.database.write_bytes(content)
        target = project.folder / f"saved-{page}.db"
        try:
            recover(str(project.database), str(target))
        except DatabaseError:
            continue  # it was the table of tables
        tries += 1
        assert_sound(target)
        rescued = ProjectDir(project.folder)
        rescued.database = target
        kept = rescued.states()
        assert kept.items() <= states.items(), f"page {page}: a job came out other than it was"
        saved_at_least = min(saved_at_least, len(kept))
    assert tries >= 5
    assert saved_at_least >= JOBS // 2
    tally(tries, 0, f"pages of rows lost one at a time; at least {saved_at_least} of {JOBS} jobs were saved")


def test_a_damaged_file_leads_from_the_complaint_to_a_database_that_works(project: ProjectDir) -> None:
    """What a user does: the queue complains, doctor names recover, recover saves, the saved one works."""
    cli = CommandLine(project.folder)
    project.add_many(30, payload="x" * 500)
    content = bytearray(project.database.read_bytes())
    pages = [at for at in range(4096, len(content), 4096) if content[at] == 0x0D]
    content[pages[-1] : pages[-1] + 4096] = b"\xde\xad\xbe\xef" * 1024
    project.database.write_bytes(content)
    assert "paraschut recover FILE" in cli("doctor", status=1).out
    assert "Traceback" not in cli("recover", "saved.db", status=None).err
    shutil.move(project.folder / "saved.db", project.database)
    cli("queue")
    assert "ok    integrity" in cli("doctor", status=None).out
    cli("set", BATCH, "priority=5", "--yes")
    assert_sound(project.database)


def test_a_directory_that_is_removed_while_it_is_watched_is_said_and_found_again(
    project: ProjectDir, tally: Tally
) -> None:
    project.add_many(3)
    away = project.folder.with_name("away")
    home = project.folder
    os.chdir("/")
    with Project(config.load(), Scheduler()) as ws:
        watched = Monitor(ws)
        assert watched.poll().total == 3
        os.rename(home, away)
        for look in (watched.refresh, watched.poll):
            snapshot = look()
            assert "There is no" in snapshot.database.error
            assert snapshot.total == 3, "the last picture stays"
        with pytest.raises(ParaschutError, match=str(home)):
            psu.set_complete(BATCH, 0)
        os.rename(away, home)
        snapshot = watched.refresh()
        assert (snapshot.database.error, snapshot.total) == ("", 3)
        psu.set_complete(BATCH, 0)
        assert watched.refresh().complete == 1
    lost = 3 - len(project.states())
    tally(1, lost, "directory moved away under a dashboard and back")


def test_a_job_whose_directory_is_away_for_a_moment_still_says_its_end(
    project: ProjectDir, tally: Tally, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file server that is away while a job ends."""
    from tests.helpers import Script

    project.add(project.job(state="run"))
    code = """
        import sys
        import paraschut_core as psu
        from paraschut_core import in_job
        in_job.PAUSES = (0.2,) * 100
        info = psu.get_job_info()
        print("ready", flush=True)
        sys.stdin.readline()
        info["result"] = 42
        psu.set_complete(JobInfo=info)
    """
    away = Path(f"{project.folder}-away")
    monkeypatch.chdir("/")
    script = Script(code, PARASCHUT_BATCH_ID=str(BATCH), PARASCHUT_JOB_INDEX="0")
    assert script.line() == "ready"
    os.rename(project.folder, away)
    assert script.process.stdin is not None
    assert script.process.stderr is not None
    script.process.stdin.write("\n")
    script.process.stdin.flush()
    assert "Trying again" in script.process.stderr.readline()
    os.rename(away, project.folder)
    script.output()
    result = psu.get_job_info(BATCH, 0).get("result")
    assert project.state() == "complete"
    tally(1, int(result != 42), "directory away while a job says that it is complete")


def test_a_path_that_is_no_file_any_more_is_no_reason_to_die(project: ProjectDir) -> None:
    project.add_many(2)
    with Project(config.load(), Scheduler()) as ws:
        watched = Monitor(ws)
        watched.refresh()
        project.database.unlink()
        os.mkfifo(project.database)
        for look in (watched.refresh, watched.poll):
            assert "not a regular file" in look().database.error
    with pytest.raises((DatabaseError, UsageError), match="not a regular file"):
        psu.get_queue(Verbose=False, Executor=Scheduler())
    assert all(finding.verdict != FAIL or finding.detail for finding in examine(config.load, "test"))
