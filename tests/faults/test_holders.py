"""Who keeps a file locked is named; small faults of the database's file, each with its right end."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

import paraschut_core as psu
from paraschut_core.cli import main
from paraschut_core.database.connection import Database
from paraschut_core.database.lock_holders import holders
from paraschut_core.errors import DatabaseBusyError
from tests.helpers import BATCH, ProjectDir, Script, wait_until

HOLD = """
    import sqlite3, sys
    connection = sqlite3.connect(sys.argv[1], isolation_level=None)
    if len(sys.argv) > 3:
        connection.execute("PRAGMA journal_mode = WAL")
    connection.execute(sys.argv[2])
    connection.execute("SELECT * FROM revision").fetchall()
    print("held", flush=True)
    sys.stdin.readline()
"""


@pytest.mark.parametrize(
    ("begin", "wal"), [("BEGIN IMMEDIATE", []), ("BEGIN EXCLUSIVE", []), ("BEGIN IMMEDIATE", ["wal"])]
)
@pytest.mark.parametrize("linked", [False, True])
def test_the_process_that_keeps_the_file_locked_is_named(
    project: ProjectDir, begin: str, wal: list[str], linked: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    project.add(project.job())
    path = project.database
    if linked:
        os.symlink(path, "link.db")
        path = project.folder / "link.db"
    with Script(HOLD, project.database, begin, *wal) as holder:
        assert holder.line() == "held"
        os.kill(holder.pid, signal.SIGSTOP)
        wait_until(lambda: b") T" in Path(f"/proc/{holder.pid}/stat").read_bytes(), "it is stopped")
        with (
            Database(path, timeout=0.1, journal=None) as db,
            pytest.raises(DatabaseBusyError) as raised,
            db.transaction(),
        ):
            pytest.fail("a transaction was begun")
        for part in (
            f"process {holder.pid} on {os.uname().nodename} of ",
            "import sqlite3",
            "which is stopped",
        ):
            assert part in str(raised.value), part
        assert holders(str(path))[0] == holder.pid
        if begin == "BEGIN IMMEDIATE":
            main(["--db", str(path), "doctor"])
            said = capsys.readouterr().out
            assert f"stays locked by process {holder.pid} on " in said
    assert holders(str(path)) == []


def test_a_lock_that_nobody_here_holds_is_said_to_be_anothers(
    project: ProjectDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.add(project.job())
    monkeypatch.setattr("paraschut_core.database.lock_holders.holders", lambda path: [])
    blocker = sqlite3.connect(project.database, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    with (
        Database(project.database, timeout=0.1) as db,
        pytest.raises(DatabaseBusyError, match=r"No process of .* holds it now"),
        db.transaction(),
    ):
        pytest.fail("a transaction was begun")
    blocker.close()


def test_doctor_tests_locks_where_the_file_lies_not_where_a_link_to_it_does(
    project: ProjectDir, capsys: pytest.CaptureFixture[str]
) -> None:
    project.add(project.job())
    (project.folder / "elsewhere").mkdir()
    os.rename(project.database, "elsewhere/real.db")
    os.symlink("elsewhere/real.db", project.database)
    main(["doctor"])
    assert f"in {project.folder}/elsewhere a second process has to wait" in capsys.readouterr().out


@pytest.mark.parametrize("ahead", ["210001010000", "99991231"])
def test_a_clock_that_was_wrong_once_does_not_date_all_later_batches(project: ProjectDir, ahead: str) -> None:
    project.add(project.job())
    future = time.mktime(time.strptime(ahead[:4], "%Y")) if ahead[:4] == "2100" else 253e9
    project.sql("UPDATE issued SET BatchID = ?, at = ?", (int(ahead.ljust(14, "0")), future))
    first = psu.get_job_template(SetID=True)["BatchID"]
    second = psu.get_job_template(SetID=True)["BatchID"]
    assert str(first).startswith(time.strftime("%Y"))
    assert first < second < first + 100


@pytest.mark.parametrize(
    "made",
    [
        "CREATE VIEW job AS WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n)"
        " SELECT x AS BatchID, x AS JobIndex, x AS state, x AS priority, x AS metadata, x AS md5 FROM n",
        "CREATE VIRTUAL TABLE job USING fts4 (BatchID, JobIndex, state, priority, metadata, md5)",
    ],
)
def test_an_import_of_what_is_computed_ends_at_once(project: ProjectDir, made: str) -> None:
    with sqlite3.connect("old.db") as old:
        for name, columns in (("batch", "BatchID, name"), ("spawn", "BatchID, JobIndex, SpawnID")):
            old.execute(f"CREATE TABLE {name} ({columns})")
        old.execute(made)
    old.close()
    done = subprocess.run(
        ["timeout", "60", sys.executable, "-m", "paraschut_core", "--db", "new.db", "import", "old.db"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (1, 2), done
    assert "not a database of Paraschut 0.6" in done.stderr


@pytest.mark.parametrize("odd", [{"a": 1}, 7, {}, True])
def test_logs_that_are_no_list_are_unknown_and_no_crash(
    project: ProjectDir, odd: object, capsys: pytest.CaptureFixture[str]
) -> None:
    project.add(project.job(stdout=odd, stderr=odd))
    psu.print_log(BATCH, 0)
    assert "log unknown" in capsys.readouterr().out
    assert main(["log", str(BATCH), "0"]) in (0, 1, 2)
    assert main(["info", str(BATCH), "0"]) == 0
