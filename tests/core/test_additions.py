"""The file grows by addition: earlier versions use it on, readers leave it, writers add what it lacks."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from paraschut_core.database import additions
from paraschut_core.database.connection import Database
from paraschut_core.maintenance.backup import recover
from tests.conftest import Tally
from tests.earlier import as_job, run_earlier
from tests.helpers import ProjectDir, Script, assert_sound, run_script

ROUNDS = int(os.environ.get("PARASCHUT_TEST_ROUNDS", "12"))

NEW = """
-- addition one
CREATE TABLE IF NOT EXISTS note (BatchID INTEGER NOT NULL, text TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS note_batch ON note (BatchID);
INSERT INTO note VALUES (0, 'made');

-- addition two: with its reason; and more.
CREATE TABLE IF NOT EXISTS other(a, b, PRIMARY KEY (a, b)) WITHOUT ROWID;
CREATE VIEW note_view AS SELECT note.text, other.b FROM note LEFT JOIN other ON other.a = note.BatchID;
DROP TRIGGER IF EXISTS job_revised;
CREATE TRIGGER job_revised AFTER UPDATE ON job WHEN NEW.rev = OLD.rev BEGIN
  UPDATE revision SET rev = rev + 1;
  UPDATE job SET rev = (SELECT rev FROM revision) WHERE idx = NEW.idx;
  INSERT INTO note VALUES (NEW.BatchID, 'revised');
END;
"""
"""Additions of a version to come, which lie behind those that there are."""


@pytest.fixture
def more(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Lets this process be of a version whose file has grown by `NEW` as well."""
    path = tmp_path_factory.mktemp("more") / "additions.sql"
    path.write_text(Path(additions.PATH).read_text() + NEW)
    monkeypatch.setattr(additions, "PATH", str(path))
    monkeypatch.setattr(additions, "_known", {})
    yield path


def named(path: Path) -> set[str]:
    """All tables, views, indexes and triggers of a file, with what made them."""
    with sqlite3.connect(path) as file:
        return {
            f"{name}: {' '.join((sql or '').split())}"
            for name, sql in file.execute("SELECT name, sql FROM sqlite_master")
        }


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


# ------------------------------------------------------------------------------------ readers and writers


def test_looking_leaves_an_earlier_file_as_it_is_and_the_first_write_adds_what_it_lacks(
    old: Path, more: Path
) -> None:
    before = digest(old)
    with Database(old, read_only=True) as reader, Database(old) as writer:
        for db in (reader, writer):
            assert db.rows("SELECT text, b FROM note_view") == [], "empty, until it is there"
            assert db.rows("SELECT count(*) FROM note, other") == [(0,)]
            assert db.rows("SELECT count(*) FROM job_view") == [(3,)]
        assert digest(old) == before
        with writer.transaction() as tx:
            tx.connection.execute("INSERT INTO note VALUES (1, 'a')")
        for db in (reader, writer):
            assert db.rows("SELECT text FROM note_view ORDER BY 1") == [("a",), ("made",)]
    with Database(old, read_only=True) as reader:
        assert reader.rows("SELECT count(*) FROM note") == [(2,)]
    assert_sound(old)


def test_a_file_that_grew_is_as_a_new_one_is(old: Path, more: Path, tmp_path: Path) -> None:
    with Database(old) as db, db.transaction():
        pass
    Database(tmp_path / "new.db", create=True).rows("SELECT 1")
    assert named(old) == named(tmp_path / "new.db")
    with Database(old) as db:
        assert db.rows("PRAGMA user_version") == [(2,)]
        assert db.rows("SELECT name FROM addition ORDER BY 1") == [(n,) for n in sorted(additions.known())]


def test_who_may_not_write_reads_an_earlier_file(old: Path, more: Path) -> None:
    code = """
        import os, sys
        from paraschut_core.database import additions
        from paraschut_core.database.connection import Database
        additions.PATH = sys.argv[2]
        assert "one" in additions.known()
        if os.getuid() == 0:
            os.setuid(65534)
        with Database(sys.argv[1], read_only=True) as db:
            print(db.rows("SELECT count(*) FROM note"), db.rows("SELECT count(*) FROM job"))
    """
    # Not in pytest's own folder: pytest closes that to others whenever it starts.
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        paths = [Path(shutil.copy(path, folder)) for path in (old, more)]
        for path in paths:
            path.chmod(0o444)
        assert run_script(code, *paths) == "[(0,)] [(3,)]\n"


def test_a_write_that_fails_after_the_addition_leaves_a_whole_file(old: Path, more: Path) -> None:
    with Database(old) as db:
        with pytest.raises(ZeroDivisionError), db.transaction():
            raise ZeroDivisionError
        assert db.rows("SELECT text FROM note") == [("made",)]
        with db.transaction() as tx:
            tx.connection.execute("INSERT INTO other VALUES (1, 2)")
    assert_sound(old)


def test_an_addition_that_cannot_be_made_is_an_error_and_reading_goes_on(old: Path, more: Path) -> None:
    before = named(old)
    blocker = sqlite3.connect(old, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    with Database(old, timeout=0.1) as db:
        with pytest.raises(Exception, match="stayed locked"), db.transaction():
            pytest.fail("a transaction was begun")
        assert db.rows("SELECT count(*) FROM note") == [(0,)]
        blocker.execute("ROLLBACK")
        assert named(old) == before
        with db.transaction() as tx:
            tx.connection.execute("INSERT INTO note VALUES (1, 'a')")
        assert db.rows("SELECT count(*) FROM note") == [(2,)]
    blocker.close()


def test_a_file_of_a_version_to_come_is_left_as_it_is(old: Path, more: Path) -> None:
    with Database(old) as db, db.transaction():
        pass
    grown = named(old)
    code = """
        import sys
        from paraschut_core.database.connection import Database
        with Database(sys.argv[1]) as db, db.transaction() as tx:
            tx.connection.execute("UPDATE job SET state = 'run' WHERE JobIndex = 0")
    """
    run_script(code, old)
    assert named(old) == grown
    assert sqlite3.connect(old).execute("SELECT count(*) FROM note").fetchone() == (2,), "by its trigger"
    assert_sound(old)


# ------------------------------------------------------------------------------------ earlier versions


def test_jobs_of_the_earlier_version_start_and_end_in_a_file_that_grew(
    project: ProjectDir, old: Path, earlier: Path, more: Path
) -> None:
    with Database(old) as db, db.transaction():
        pass
    grown = named(old)
    done = """
        import paraschut_core as psu
        info = psu.get_job_info(SetID=True)
        info["result"] = 42
        psu.set_complete(JobInfo=info)
    """
    run_earlier(earlier, done, **as_job(0))
    failed = """
        from paraschut_core.model import JobKey
        from paraschut_core.runtime import database, own_key, record_exit
        with database() as db:
            record_exit(db, own_key(), 1, 3, None)
    """
    run_earlier(earlier, failed, **as_job(1))
    assert project.sql("SELECT JobIndex, exit_status FROM ending") == [(1, 3)]
    assert project.states() == {0: "complete", 1: "submit", 2: "submit"}
    assert project.sql("SELECT json_extract(metadata, '$.result') FROM job WHERE JobIndex = 0") == [(42,)]
    assert named(old) == grown
    assert_sound(old)


def test_a_job_that_the_earlier_version_started_before_the_file_grew_ends_after_it(
    project: ProjectDir, old: Path, earlier: Path, more: Path
) -> None:
    code = """
        import sys
        import paraschut_core as psu
        info = psu.get_job_info(SetID=True)
        print("runs", flush=True)
        sys.stdin.readline()
        info["result"] = 42
        psu.set_complete(JobInfo=info)
    """
    with Script(code, first=earlier, **as_job(0)) as job:
        assert job.line() == "runs"
        with Database(old) as db, db.transaction() as tx:
            tx.connection.execute("INSERT INTO note VALUES (1, 'a')")
        assert job.process.stdin is not None
        job.process.stdin.write("\n")
        job.output()
    assert project.state() == "complete"
    assert_sound(old)


# ------------------------------------------------------------------------------------ many, and kills

MOST = 0.004
"""Longest time (s) from the beginning of a write until its process is killed."""

WRITER = """
    import os, sys, time
    if sys.argv[2] == "new":
        from paraschut_core.database.connection import Database
    else:
        from paraschut_core.db.connection import Database
    with open("additions") as file:
        more = file.read()
    if more and sys.argv[2] == "new":
        from paraschut_core.database import additions
        additions.PATH = more
    with Database("jobs.db") as db:
        db.rows("SELECT count(*) FROM job")
        print("here", flush=True)
        while not os.path.exists("go"):
            time.sleep(0.001)
        for number in range(int(sys.argv[1])):
            with db.transaction() as tx:
                tx.connection.execute("INSERT INTO tombstone VALUES (?, ?)", (tx.rev, os.getpid()))
                tx.connection.execute("UPDATE job SET priority = priority + 1, rev = ?"
                                      " WHERE JobIndex = 0", (tx.rev,))
"""


def test_two_versions_that_write_at_once_lose_nothing(
    project: ProjectDir, old: Path, earlier: Path, more: Path
) -> None:
    (project.folder / "additions").write_text(str(more))
    scripts = [
        Script(WRITER, 10, "old" if number % 2 else "new", first=earlier if number % 2 else None)
        for number in range(6)
    ]
    for script in scripts:
        assert script.line() == "here"
    (project.folder / "go").touch()
    for script in scripts:
        script.output()
    assert project.sql("SELECT count(*), count(DISTINCT rev) FROM tombstone") == [(60, 60)]
    assert project.sql("SELECT text FROM note") == [("made",)], "added once"
    assert project.column("priority") == 61
    assert_sound(old)


def test_a_process_that_is_killed_while_it_adds_leaves_a_whole_file(
    project: ProjectDir, old: Path, more: Path, tally: Tally
) -> None:
    (project.folder / "additions").write_text(str(more))
    (project.folder / "go").touch()
    start = old.read_bytes()
    before = named(old)
    Database(project.folder / "new.db", create=True).rows("SELECT 1")
    after = named(project.folder / "new.db")
    random.seed(26)
    seen = {True: 0, False: 0}
    for _ in range(ROUNDS):
        (project.folder / "jobs.db-journal").unlink(missing_ok=True)
        old.write_bytes(start)
        with Script(WRITER, 50, "new") as script:
            assert script.line() == "here"
            time.sleep(random.random() * MOST)
            script.kill()
        found = named(old)
        assert found in (before, after), found ^ after
        seen[found == after] += 1
        assert_sound(old)
        with Database(old) as db, db.transaction():
            pass
        assert named(old) == after
    tally(ROUNDS, 0, f"{seen[False]} before and {seen[True]} after the addition, none in between")


@pytest.mark.parametrize("grown", [True, False])
def test_recover_saves_what_the_added_tables_hold(
    project: ProjectDir, old: Path, more: Path, grown: bool
) -> None:
    if grown:
        with Database(old) as db, db.transaction() as tx:
            tx.connection.execute("INSERT INTO note VALUES (1, 'a')")
            tx.connection.execute("INSERT INTO other VALUES (3, 4), (1, 2)")
    saved = recover(str(old), "new.db")
    assert not any(table.gaps or table.refused for table in saved)
    with Database("new.db", read_only=True) as db:
        assert db.rows("SELECT count(*) FROM job") == [(3,)]
        assert db.rows("SELECT * FROM other ORDER BY 1") == ([(1, 2), (3, 4)] if grown else [])
        assert ("a",) in db.rows("SELECT text FROM note") or not grown
