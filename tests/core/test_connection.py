"""The database file: opened, created, locked, shared with a forked child; each kind of file told apart."""

from __future__ import annotations

import os
import pwd
import sqlite3
import time
from pathlib import Path

import pytest

from paraschut_core.database import connection, sqlite_library
from paraschut_core.database.connection import (
    APPLICATION_ID,
    SCHEMA_VERSION,
    Database,
    author_id,
    mount_of,
    process_is_alive,
)
from paraschut_core.errors import DatabaseBusyError, DatabaseError
from tests.helpers import Script, assert_sound, run_script


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "jobs.db"
    with Database(path, create=True) as db:
        assert db.connection
    return path


# ------------------------------------------------------------------------------------ opening


def test_a_new_file_says_what_it_is(path: Path) -> None:
    with Database(path) as db:
        assert db.rows("PRAGMA application_id") == [(APPLICATION_ID,)]
        assert db.rows("PRAGMA user_version") == [(SCHEMA_VERSION,)]
        assert db.rows("PRAGMA journal_mode") == [("delete",)]
        assert db.rows("PRAGMA synchronous") == [(2,)], "FULL"
        assert db.rows("PRAGMA busy_timeout") == [(60_000,)]


def test_a_file_is_made_only_where_that_is_asked(tmp_path: Path) -> None:
    for options in ({}, {"read_only": True}, {"read_only": True, "create": True}):
        with pytest.raises(DatabaseError, match=r"There is no database .*paraschut init"):
            Database(tmp_path / "jobs.db", **options).rows("SELECT 1")  # type: ignore[arg-type]  # bools all
        assert not (tmp_path / "jobs.db").exists()


def test_an_empty_file_becomes_a_database_where_that_is_asked(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    path.touch()
    with pytest.raises(DatabaseError, match="is empty"):
        Database(path).rows("SELECT 1")
    with Database(path, create=True) as db:
        assert db.rows("SELECT count(*) FROM job") == [(0,)]


def test_processes_that_make_the_file_at_once_make_one(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    code = """
        import os, sys, time
        from paraschut_core.database.connection import Database
        while not os.path.exists(sys.argv[2]):
            time.sleep(0.002)
        with Database(sys.argv[1], create=True) as db, db.transaction() as tx:
            tx.connection.execute("INSERT INTO tombstone VALUES (1, ?)", (os.getpid(),))
    """
    scripts = [Script(code, path, tmp_path / "go") for _ in range(6)]
    (tmp_path / "go").touch()
    for script in scripts:
        script.output()
    with Database(path) as db:
        assert db.rows("SELECT count(*) FROM tombstone") == [(6,)]


def test_a_path_may_hold_what_means_something_in_a_uri(tmp_path: Path) -> None:
    folder = tmp_path / "a?b#c%20d e"
    folder.mkdir()
    with Database(folder / "jobs.db", create=True) as db:
        assert db.rows("SELECT count(*) FROM job") == [(0,)]
    assert [p.name for p in folder.iterdir()] == ["jobs.db"]


def test_a_read_only_database_writes_nothing(path: Path) -> None:
    with (
        Database(path, read_only=True) as db,
        pytest.raises(DatabaseError, match="opened for reading only"),
        db.transaction(),
    ):
        pytest.fail("a transaction was begun")


# ------------------------------------------------------------------------------------ journal


def test_wal_is_chosen_where_no_other_host_can_write(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "on_network", lambda path: False)
    for journal, local, mode in (
        ("auto", True, "wal"),
        ("auto", False, "delete"),
        ("wal", False, "wal"),
        (None, False, "wal"),
        ("delete", True, "delete"),
    ):
        with Database(path, journal=journal, local=local) as db:  # type: ignore[arg-type]  # of a literal type
            assert db.rows("PRAGMA journal_mode") == [(mode,)], (journal, local)


def test_wal_is_refused_on_a_network_file_system_and_auto_does_without(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "on_network", lambda path: True)
    with Database(path, journal="auto", local=True) as db:
        assert db.rows("PRAGMA journal_mode") == [("delete",)]
    with pytest.raises(DatabaseError, match='journal = "wal" cannot be used'):
        Database(path, journal="wal").rows("SELECT 1")


def test_the_mount_of_a_path_is_the_innermost(tmp_path: Path) -> None:
    assert mount_of("/proc/self/status")[:2] == ("/proc", "proc")
    assert mount_of(str(tmp_path))[0]


# ------------------------------------------------------------------------------------ transactions


def test_a_transaction_is_all_or_nothing(path: Path) -> None:
    with Database(path) as db:
        with pytest.raises(ZeroDivisionError), db.transaction() as tx:
            tx.connection.execute("INSERT INTO tombstone VALUES (?, 1)", (tx.rev,))
            raise ZeroDivisionError
        assert db.rows("SELECT count(*), (SELECT rev FROM revision) FROM tombstone") == [(0, 0)]
        with db.transaction() as tx:
            tx.connection.execute("INSERT INTO tombstone VALUES (?, 1)", (tx.rev,))
        assert db.rows("SELECT rev FROM tombstone") == [(1,)]


def test_an_sqlite_error_inside_comes_out_as_the_houses_and_nothing_is_written(path: Path) -> None:
    with Database(path) as db:
        with pytest.raises(DatabaseError, match=str(path)), db.transaction() as tx:
            tx.connection.execute("INSERT INTO tombstone VALUES (1, 1)")
            tx.connection.execute("INSERT INTO no_such_table VALUES (1)")
        assert db.rows("SELECT count(*) FROM tombstone") == [(0,)]


def test_a_write_waits_for_others_and_gives_up_after_its_timeout(path: Path) -> None:
    blocker = sqlite3.connect(path, isolation_level=None)
    blocker.execute("BEGIN EXCLUSIVE")
    with Database(path, timeout=0.3) as db:
        began = time.monotonic()
        with (
            pytest.raises(DatabaseBusyError, match=r"stayed locked by another process for 0.3 s"),
            db.transaction(),
        ):
            pytest.fail("a transaction was begun")
        assert time.monotonic() - began >= 0.3
        blocker.execute("COMMIT")
        with db.transaction() as tx:
            tx.connection.execute("INSERT INTO tombstone VALUES (1, 1)")
    blocker.close()


def test_a_commit_waits_for_a_reader_to_finish(path: Path) -> None:
    code = """
        import sqlite3, sys, time
        reader = sqlite3.connect(sys.argv[1], isolation_level=None)
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM revision").fetchall()
        print("reading", flush=True)
        time.sleep(0.5)
        reader.execute("COMMIT")
    """
    with Script(code, path) as reader:
        assert reader.line() == "reading"
        with Database(path, timeout=20) as db, db.transaction() as tx:
            tx.connection.execute("INSERT INTO tombstone VALUES (1, 1)")
        reader.output()
    assert_sound(path)


def test_a_commit_that_readers_block_for_too_long_writes_nothing_and_leaves_the_connection_usable(
    path: Path,
) -> None:
    reader = sqlite3.connect(path, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM revision").fetchall()
    with Database(path, timeout=0.2) as db:
        with pytest.raises(DatabaseBusyError), db.transaction() as tx:
            tx.connection.execute("INSERT INTO tombstone VALUES (1, 1)")
        reader.execute("COMMIT")
        assert db.rows("SELECT count(*) FROM tombstone") == [(0,)]
        with db.transaction() as tx:
            tx.connection.execute("INSERT INTO tombstone VALUES (1, 1)")
        assert db.rows("SELECT count(*) FROM tombstone") == [(1,)]
    reader.close()


# ------------------------------------------------------------------------------------ another file


def test_a_write_goes_to_the_file_that_has_taken_the_place_of_the_one_that_was_opened(path: Path) -> None:
    with Database(path) as db:
        db.rows("SELECT 1")
        other = path.with_name("restored.db")
        Database(other, create=True).rows("SELECT 1")
        os.replace(other, path)
        with db.transaction() as tx:
            tx.connection.execute("INSERT INTO tombstone VALUES (1, 1)")
        assert sqlite3.connect(path).execute("SELECT count(*) FROM tombstone").fetchall() == [(1,)]


def test_a_write_to_a_file_that_was_removed_is_an_error_and_makes_no_new_one(path: Path) -> None:
    with Database(path, create=True) as db:
        db.rows("SELECT 1")
        path.unlink()
        with pytest.raises(DatabaseError, match="There is no database"), db.transaction():
            pytest.fail("a transaction was begun")
        assert not path.exists()


# ------------------------------------------------------------------------------------ forks


def test_a_forked_child_opens_its_own_connection_and_the_parents_transaction_stays(path: Path) -> None:
    code = """
        import os, sys
        from paraschut_core.database.connection import Database
        db = Database(sys.argv[1], timeout=0.2)
        with db.transaction() as tx:
            tx.connection.execute("INSERT INTO tombstone VALUES (1, 1)")
            pid = os.fork()
            if pid == 0:
                assert db.rows("SELECT count(*) FROM tombstone") == [(0,)]
                try:
                    with db.transaction():
                        os._exit(3)
                except Exception as error:
                    assert "stayed locked" in str(error), error
                db.close()
                os._exit(0)
            assert os.waitpid(pid, 0)[1] == 0
            tx.connection.execute("INSERT INTO tombstone VALUES (1, 2)")
        print(db.rows("SELECT count(*) FROM tombstone"))
    """
    assert run_script(code, path) == "[(2,)]\n"
    assert_sound(path)


# ------------------------------------------------------------------------------------ who


def test_a_process_is_named_by_user_host_and_pid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("USER", "somebody else")  # as `su` leaves it
    try:
        user = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        user = str(os.getuid())
    assert author_id() == f"{user}@{os.uname().nodename}:{os.getpid()}"


def test_whether_a_process_lives_is_known_of_this_host_alone() -> None:
    host = os.uname().nodename
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    assert process_is_alive(f"a@{host}:{os.getpid()}") is True
    assert process_is_alive(f"a@{host}:{os.getpid()} (17[3])") is True
    assert process_is_alive(f"a@{host}:1") is True
    assert process_is_alive(f"a@{host}:{pid}") is False
    for elsewhere in ("a@elsewhere:1", "", "a", f"a@{host}", f"a@{host}:x", f"a@{host}:-1"):
        assert process_is_alive(elsewhere) is None


# ------------------------------------------------------------------------------------ what went wrong


def test_what_sqlite_could_not_do_is_a_code_also_where_python_does_not_tell_it(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    first, second = (sqlite3.connect(path, timeout=0, isolation_level=None) for _ in range(2))
    first.execute("CREATE TABLE one (full_name TEXT)")
    first.execute("BEGIN IMMEDIATE")
    (tmp_path / "text.db").write_text("these are notes of mine, not a database\n" * 40)
    text = sqlite3.connect(tmp_path / "text.db")
    reader = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    for link, statement, fault in (
        (second, "BEGIN IMMEDIATE", sqlite_library.BUSY),
        (text, "SELECT * FROM sqlite_master", sqlite_library.NOT_A_DATABASE),
        (reader, "INSERT INTO one VALUES ('a')", sqlite_library.READ_ONLY),
        (reader, "ATTACH '/no/such/folder/a.db' AS other", sqlite_library.CANNOT_OPEN),
        (reader, "SELECT json_extract('[', '$')", sqlite_library.DAMAGED),
    ):
        with pytest.raises(sqlite3.Error) as caught:
            link.execute(statement)
        assert sqlite_library.fault_of(caught.value) == fault
        assert sqlite_library.fault_of(type(caught.value)(str(caught.value))) == fault, "as in Python 3.10"
    assert sqlite_library.fault_of(sqlite3.OperationalError('near "x": error')) == sqlite_library.OTHER
    for link in (first, second, text, reader):
        link.close()
