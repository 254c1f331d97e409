"""A database file in any kind of trouble: a clear error each time, nothing lost, and no screen that dies."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import paraschut_core as psu
from paraschut_core import actions, api, config, in_job
from paraschut_core.database import metadata_json
from paraschut_core.database.connection import APPLICATION_ID, SCHEMA_VERSION, Database
from paraschut_core.errors import DatabaseBusyError, DatabaseError, NotADatabaseError, ParaschutError
from paraschut_core.filtering import sql_condition
from paraschut_core.jobs import builder
from paraschut_core.monitoring import monitor, polling
from paraschut_core.monitoring.file_watcher import ChangeDetector
from paraschut_core.monitoring.monitor import Monitor
from paraschut_core.project import Project
from paraschut_core.reporting import queue_report
from paraschut_core.scheduling import spawns, submission
from tests.helpers import BATCH, ProjectDir, Scheduler, Script, assert_sound

# Loaded here, for a child that gives up its rights may not be able to read them any more.
PRELOADED = (
    actions,
    api,
    polling,
    builder,
    queue_report,
    in_job,
    spawns,
    submission,
    metadata_json,
    sql_condition,
    monitor,
)

NOBODY = 65534


# ------------------------------------------------------------------------------------ what may lie there


def make_directory(path: Path) -> None:
    path.mkdir()


def make_text(path: Path) -> None:
    path.write_text("BatchID,JobIndex,state\n" * 100)


def make_short_text(path: Path) -> None:
    path.write_text("hello")


def make_empty(path: Path) -> None:
    path.touch()


def make_foreign(path: Path) -> None:
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE recipe (name TEXT)")
        other.execute("INSERT INTO recipe VALUES ('bread')")


def make_named_foreign(path: Path) -> None:
    make_foreign(path)
    with sqlite3.connect(path) as other:
        other.execute("PRAGMA application_id = 252006673")


def make_newer(path: Path) -> None:
    Database(path, create=True).rows("SELECT 1")
    with sqlite3.connect(path) as other:
        other.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")


def make_v06(path: Path) -> None:
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE batch (BatchID, name, batch_type)")
        other.execute("CREATE TABLE job (idx, BatchID, JobIndex, state, priority, metadata, md5)")
        other.execute("INSERT INTO job VALUES (1, 1, 0, 'init', 1, x'00', 'x')")


def make_broken_link(path: Path) -> None:
    path.symlink_to(path.with_name("nowhere"))


def make_fifo(path: Path) -> None:
    os.mkfifo(path)


def make_nothing(path: Path) -> None:
    pass


TROUBLES: dict[str, tuple[Callable[[Path], None], str]] = {
    "nothing": (make_nothing, "There is no database .* paraschut init"),
    "a directory": (make_directory, "is a directory, not a database file: name the file in it"),
    "a text file": (make_text, "is not a database"),
    "a short text file": (make_short_text, "is not a database"),
    "an empty file": (make_empty, "is empty: it has no jobs and no tables. .* paraschut init"),
    "a foreign database": (make_foreign, "is an SQLite database, but not one of Paraschut's"),
    "a named foreign database": (make_named_foreign, "is an SQLite database, but not one of Paraschut's"),
    "a newer database": (make_newer, "written by a newer Paraschut .*format is .*pip install -U"),
    "a database of v0.6": (make_v06, "is a database of Paraschut 0.6. .*paraschut import"),
    "a broken link": (make_broken_link, "is a broken link"),
    "a pipe": (make_fifo, "is not a regular file"),
}


def content(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


@pytest.mark.parametrize("name", TROUBLES)
def test_each_kind_of_file_is_told_apart_and_left_as_it_is(project: ProjectDir, name: str) -> None:
    make, complaint = TROUBLES[name]
    make(project.database)
    before = content(project.database)
    mode = project.database.lstat().st_mode if project.database.is_symlink() or before is not None else None
    for call in (
        lambda: psu.get_job_info(BATCH, 0),
        lambda: psu.get_queue(Executor=Scheduler()),
        lambda: psu.submit_jobs(Executor=Scheduler()),
        lambda: psu.set_batch_field(BATCH),
        lambda: psu.remove_batch(BATCH),
        lambda: psu.set_complete(BATCH, 0, {"BatchID": BATCH, "JobIndex": 0}),
    ):
        with pytest.raises(DatabaseError, match=complaint) as raised:
            call()
        assert str(project.database) in str(raised.value)
        assert raised.value.exit_code == 1
    assert content(project.database) == before
    if mode is not None:
        assert project.database.lstat().st_mode == mode
    assert not Path(f"{project.database}-journal").exists()


@pytest.mark.parametrize("name", [name for name in TROUBLES if name not in ("nothing", "an empty file")])
def test_adding_jobs_never_makes_a_database_of_what_is_none(project: ProjectDir, name: str) -> None:
    make, complaint = TROUBLES[name]
    make(project.database)
    before = content(project.database)
    with pytest.raises(DatabaseError, match=complaint):
        psu.add_batch_to_queue(BATCH, [project.job()])
    assert content(project.database) == before


@pytest.mark.parametrize("name", TROUBLES)
def test_a_monitor_shows_the_trouble_and_recovers_when_the_file_is_there(
    project: ProjectDir, name: str
) -> None:
    TROUBLES[name][0](project.database)
    with Project(config.load(), Scheduler()) as ws:
        watched = Monitor(ws)
        for look in (watched.refresh, watched.poll, watched.refresh):
            snapshot = look()
            assert snapshot.database.error
            assert snapshot.total == 0
        if project.database.is_dir():
            project.database.rmdir()
        else:
            project.database.unlink(missing_ok=True)
        project.add(project.job())
        snapshot = watched.refresh()
        assert (snapshot.database.error, snapshot.total) == ("", 1)


# ------------------------------------------------------------------------------------ while it is watched


@pytest.fixture
def watched(project: ProjectDir) -> Iterator[Monitor]:
    project.add_many(3)
    with Project(config.load(), Scheduler()) as ws:
        made = Monitor(ws)
        assert made.poll().total == 3
        yield made


@pytest.mark.parametrize("name", TROUBLES)
def test_whatever_takes_the_files_place_the_last_picture_stays_and_the_trouble_is_said(
    project: ProjectDir, watched: Monitor, name: str
) -> None:
    detector = ChangeDetector(str(project.database))
    detector.changed()
    away = project.folder / "away"
    os.rename(project.database, away)
    TROUBLES[name][0](project.database)
    assert detector.changed()
    for look in (watched.refresh, watched.poll):
        snapshot = look()
        assert snapshot.database.error, look
        assert snapshot.total == 3
        assert snapshot.database.read_at > 0
    detector.changed()
    if project.database.is_dir():
        project.database.rmdir()
    else:
        project.database.unlink(missing_ok=True)
    os.rename(away, project.database)
    assert detector.changed()
    psu.set_complete(BATCH, 0)
    snapshot = watched.refresh()
    assert (snapshot.database.error, snapshot.complete) == ("", 1)
    detector.close()


def test_a_file_restored_from_a_backup_by_rename_is_shown_and_written_to(
    project: ProjectDir, watched: Monitor
) -> None:
    backup = project.folder / "backup.db"
    shutil.copy(project.database, backup)
    psu.set_complete(BATCH, 0)
    assert watched.refresh().complete == 1
    os.replace(backup, project.database)
    snapshot = watched.refresh()
    assert snapshot.reload
    assert snapshot.complete == 0
    assert "replaced" in snapshot.database.notice
    with watched.workspace.db.transaction() as tx:
        tx.connection.execute("UPDATE job SET state = 'held', rev = ?", (tx.rev,))
    assert set(project.states().values()) == {"held"}
    assert watched.refresh().batches[BATCH].states == {"held": 3}


def test_a_replacement_with_a_higher_revision_is_noticed_too(project: ProjectDir, watched: Monitor) -> None:
    other = ProjectDir(project.folder / "other")
    other.folder.mkdir()
    with Database(other.database, create=True) as db:
        from paraschut_core.database.jobs import insert_jobs

        for n in range(30):
            with db.transaction() as tx:
                insert_jobs(tx, [other.job(n)])
    os.replace(other.database, project.database)
    snapshot = watched.refresh()
    assert snapshot.total == 30
    assert snapshot.reload


# ------------------------------------------------------------------------------------ rights


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that others may enter (pytest's own are closed to them)."""
    folder = Path(tempfile.mkdtemp(prefix="paraschut-test-"))
    folder.chmod(0o755)
    yield folder
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755)
    shutil.rmtree(folder)


def without_rights(act: Callable[[], Any]) -> str:
    """What `act` returns or raises in a child that is not root: root may do everything."""
    out, into = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(out)
        try:
            if os.geteuid() == 0:
                os.setgroups([])
                os.setgid(NOBODY)
                os.setuid(NOBODY)
            answer = str(act())
        except BaseException as error:  # noqa: BLE001 - whatever it is, the parent tells
            answer = f"{type(error).__name__}: {error}"
        os.write(into, answer.encode()[:60_000])
        os._exit(0)
    os.close(into)
    with open(out, "rb") as file:
        answer = file.read().decode()
    os.waitpid(pid, 0)
    return answer


@pytest.fixture
def shared(open_folder: Path, monkeypatch: pytest.MonkeyPatch, clean_environment: None) -> ProjectDir:
    """A project whose files another user may reach; one job in it."""
    monkeypatch.setenv("PARASCHUT_DB", str(open_folder / "jobs.db"))
    monkeypatch.chdir(open_folder)
    project = ProjectDir(open_folder)
    project.add(project.job())
    return project


def test_a_file_that_may_not_be_read_is_said_so(shared: ProjectDir) -> None:
    shared.database.chmod(0)
    assert "DatabaseError: No permission to read" in without_rights(lambda: psu.get_job_info(BATCH, 0))
    assert "No permission to read" in without_rights(lambda: look(shared).database.error)


def test_a_file_that_may_only_be_read_is_shown_and_a_write_says_what_works(shared: ProjectDir) -> None:
    shared.database.chmod(0o444)
    assert without_rights(lambda: look(shared).total) == "1"
    assert without_rights(lambda: poll(shared).total) == "1"
    printed = without_rights(lambda: psu.get_queue(Verbose=False, Executor=Scheduler())[BATCH][0]["state"])
    assert printed == "init"
    refused = without_rights(lambda: psu.set_batch_field(BATCH))
    assert refused.startswith("DatabaseError: No permission to write to")
    assert "reading works: paraschut queue" in refused


def test_a_directory_that_may_only_be_read_lets_read_and_says_why_nothing_can_be_written(
    shared: ProjectDir,
) -> None:
    shared.database.chmod(0o666)
    shared.folder.chmod(0o555)
    assert without_rights(lambda: look(shared).total) == "1"
    refused = without_rights(lambda: psu.set_batch_field(BATCH))
    assert refused.startswith("DatabaseError")
    assert str(shared.database) in refused
    assert "permission" in refused or "read-only" in refused
    assert shared.state() == "init"


def test_a_database_cannot_be_made_where_nothing_may_be_written(
    shared: ProjectDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared.folder.chmod(0o555)
    monkeypatch.setenv("PARASCHUT_DB", str(shared.folder / "new.db"))
    refused = without_rights(lambda: psu.add_batch_to_queue(BATCH, [shared.job()]))
    assert "no permission to write to" in refused
    monkeypatch.setenv("PARASCHUT_DB", str(shared.folder / "no" / "such" / "folder" / "new.db"))
    assert "there is no directory" in without_rights(lambda: psu.add_batch_to_queue(BATCH, [shared.job()]))


def test_who_may_only_read_polls_no_more_often_than_others(shared: ProjectDir) -> None:
    shared.configure("[poll]\ninterval = 3600\n")
    shared.database.chmod(0o444)

    def polls() -> int:
        scheduler = Scheduler(expensive_poll=True)
        with Project(config.load(), scheduler) as ws:
            for _ in range(5):
                assert polling.poll_scheduler(ws).polled_at > 0
        return scheduler.polls

    assert without_rights(polls) == "1"


def look(project: ProjectDir) -> Any:
    with Project(config.load(), Scheduler()) as ws:
        return Monitor(ws).refresh()


def poll(project: ProjectDir) -> Any:
    with Project(config.load(), Scheduler()) as ws:
        return Monitor(ws).poll()


# ------------------------------------------------------------------------------------ locked


def test_a_file_that_stays_locked_is_an_error_after_the_configured_time_and_loses_nothing(
    project: ProjectDir,
) -> None:
    project.configure("write_timeout = 0.3\n")
    project.add_many(2)
    code = """
        import sqlite3, sys
        other = sqlite3.connect(sys.argv[1], isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        print("locked", flush=True)
        sys.stdin.readline()
        other.execute("COMMIT")
        print("free", flush=True)
    """
    with Script(code, project.database) as blocker:
        assert blocker.line() == "locked"
        began = time.monotonic()
        with pytest.raises(DatabaseBusyError, match=r"stayed locked by another process for 0\.3 s"):
            psu.set_batch_field(BATCH, {"state": "held"})
        with Project(config.load(), Scheduler()) as ws:
            watched = Monitor(ws)
            assert "stayed locked" in watched.refresh().database.error
            assert time.monotonic() - began < 60
            assert blocker.process.stdin is not None
            blocker.process.stdin.write("\n")
            blocker.process.stdin.flush()
            assert blocker.line() == "free"
            snapshot = watched.refresh()
            assert (snapshot.database.error, snapshot.total) == ("", 2)
    assert project.states() == {0: "init", 1: "init"}
    psu.set_batch_field(BATCH, {"state": "held"})
    assert project.states() == {0: "held", 1: "held"}


# ------------------------------------------------------------------------------------ damaged


def damage(path: Path, every: int) -> None:
    """Overwrites one page in `every` with rubbish; the header stays."""
    size = path.stat().st_size
    with open(path, "r+b") as file:
        for page in range(1, size // 4096, every):
            file.seek(page * 4096)
            file.write(b"\xde\xad\xbe\xef" * 1024)


@pytest.mark.parametrize("every", [1, 3])
def test_damaged_pages_are_an_error_that_says_so_and_nothing_dies(project: ProjectDir, every: int) -> None:
    project.add_many(500, payload="x" * 300)
    damage(project.database, every)
    failures = 0
    with Project(config.load(), Scheduler()) as ws:
        watched = Monitor(ws)
        for look in (watched.refresh, watched.poll):
            assert look().database.error
    for call in (
        lambda: psu.get_queue(Verbose=False, Executor=Scheduler()),
        lambda: psu.set_batch_field(BATCH, {"note": "x"}),
        lambda: psu.get_job_info(BATCH, 250),
        lambda: psu.add_job_to_queue(project.job(9999)),
    ):
        try:
            call()
        except ParaschutError as error:
            failures += 1
            assert str(project.database) in str(error)
    assert failures


def test_a_header_that_is_damaged_makes_it_no_database(project: ProjectDir) -> None:
    project.add_many(3)
    with open(project.database, "r+b") as file:
        file.write(b"SQLyte")
    with pytest.raises(NotADatabaseError, match="is not a database"):
        psu.get_job_info(BATCH, 0)


def test_a_truncated_file_is_an_error(project: ProjectDir) -> None:
    project.add_many(500)
    os.truncate(project.database, 3 * 4096)
    with Project(config.load(), Scheduler()) as ws:
        assert Monitor(ws).refresh().database.error
    with pytest.raises(DatabaseError, match=str(project.database)):
        psu.get_queue(Verbose=False, Executor=Scheduler())


def crash_half_way(project: ProjectDir) -> None:
    """A writer is killed after it has written to the file itself: its journal must be rolled back."""
    code = """
        import os, signal, sys
        from paraschut_core.database.connection import Database
        db = Database(sys.argv[1])
        with db.transaction() as tx:
            tx.connection.execute("PRAGMA cache_size = 5")
            tx.connection.execute("UPDATE job SET metadata = metadata || ' ', rev = ?", (tx.rev,))
            print("half written", flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
    """
    script = Script(code, project.database)
    assert script.line() == "half written"
    script.process.communicate()
    assert Path(f"{project.database}-journal").stat().st_size > 0


READS: dict[str, Callable[[ProjectDir], int]] = {
    "a refresh": lambda project: look(project).total,
    "a report": lambda project: len(psu.get_queue(Verbose=False, Executor=Scheduler())[BATCH]),
    "a filter": lambda project: len(
        sql_condition.matching_keys(Database(project.database), "state = 'init'")
    ),
    "a write": lambda project: psu.boost_batch_priority(BATCH) or len(project.states()),
}


@pytest.mark.parametrize("who", READS)
def test_what_a_killed_writer_left_is_undone_by_whoever_comes_next(project: ProjectDir, who: str) -> None:
    project.add_many(2000, payload="x" * 200)
    crash_half_way(project)
    assert READS[who](project) == 2000
    assert project.sql("SELECT count(*) FROM job WHERE metadata LIKE '% '") == [(0,)]
    assert_sound(project.database)


def test_what_a_killed_writer_left_is_undone_for_one_who_has_the_file_open(
    project: ProjectDir, watched: Monitor
) -> None:
    project.add_many(2000, BATCH + 1, payload="x" * 200)
    assert watched.refresh().total == 2003
    crash_half_way(project)
    for _ in range(2):
        snapshot = watched.refresh()
        assert (snapshot.database.error, snapshot.total) == ("", 2003)
    assert_sound(project.database)


def test_who_may_not_write_is_told_what_a_killed_writer_left(shared: ProjectDir) -> None:
    shared.add_many(2000, BATCH + 1, payload="x" * 200)
    crash_half_way(shared)
    shared.database.chmod(0o444)
    assert "left half written when it was killed" in without_rights(lambda: look(shared).database.error)
    assert look(shared).total == 2001
    assert without_rights(lambda: look(shared).total) == "2001"


def test_one_damaged_row_makes_no_other_unreadable(project: ProjectDir) -> None:
    project.add_many(5)
    for index, text in enumerate(["", "null", '{"$": "x"', "[]"]):
        project.set_columns(index, metadata=text)
    jobs = psu.get_queue(Verbose=False, Executor=Scheduler())[BATCH]
    assert ["unreadable" in info for info in jobs] == [True, True, True, True, False]
    assert [info["JobIndex"] for info in jobs] == [0, 1, 2, 3, 4]
    psu.submit_jobs(Executor=Scheduler())
    assert list(project.states().values()) == ["init"] * 4 + ["submit"]


def test_the_file_says_whose_it_is_in_its_header(project: ProjectDir) -> None:
    project.add(project.job())
    header = project.database.read_bytes()[:100]
    assert int.from_bytes(header[68:72], "big") == APPLICATION_ID == int.from_bytes(b"PSCT", "big")
    assert stat.S_ISREG(project.database.stat().st_mode)
    assert PRELOADED
