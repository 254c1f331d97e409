"""`paraschut doctor`: each check, on something whole and on something broken."""

from __future__ import annotations

import os
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from paraschut_core import config, doctor
from paraschut_core.db import connection
from paraschut_core.doctor import FAIL, OK, WARN, Finding, LockTest, try_to_write
from paraschut_core.probe import probe
from paraschut_core.workspace import Workspace
from tests.core.cli import TOML, CommandLine


@pytest.fixture
def cli(tmp_path: Path, clean_environment: None) -> Iterator[CommandLine]:
    with CommandLine(tmp_path / "project") as command_line:
        yield command_line


def _examine(cli: CommandLine) -> list[Finding]:
    return list(doctor.examine(lambda: config.load(cwd=str(cli.folder)), "0.0"))


def _about(cli: CommandLine, what: str) -> Finding:
    """The worst finding of one check."""
    found = [finding for finding in _examine(cli) if finding.what == what]
    return max(found, key=lambda finding: [OK, WARN, FAIL].index(finding.verdict))


def test_a_whole_project_passes_every_check(cli: CommandLine) -> None:
    cli.add("--range", "0-9", "true")
    answer = cli("doctor")
    verdicts = {line.split(":")[0].split(None, 1)[1]: line.split()[0] for line in answer.out.splitlines()}
    assert set(verdicts.values()) == {"ok"}, answer.out
    assert {"configuration", "database", "integrity", "journal", "file system", "locks", "clock"} <= set(
        verdicts
    )
    assert {"job directory", "executor", "terminal"} <= set(verdicts)
    assert not list(cli.folder.glob(".paraschut-lock*"))


def test_findings_are_given_as_json(cli: CommandLine) -> None:
    cli.add("true")
    assert {"verdict", "what", "detail"} == set(cli("doctor", "--json").json[0])


@pytest.mark.parametrize("toml", ["exekutor = 1", "executor = 'nobody'"])
def test_a_configuration_that_cannot_be_used_fails(toml: str, cli: CommandLine) -> None:
    cli.add("true")
    (cli.folder / "paraschut.toml").write_text(toml)
    assert "FAIL" in cli("doctor", status=1).out


def test_a_database_that_is_not_there_fails(cli: CommandLine) -> None:
    assert "There is no database" in _about(cli, "database").detail
    assert "FAIL  database" in cli("doctor", status=1).out


def test_damage_is_found(cli: CommandLine) -> None:
    cli.add("--range", "0-999", "true")
    with open(cli.database, "r+b") as file:
        file.seek(cli.database.stat().st_size // 2)
        file.write(os.urandom(20_000))
    found = _about(cli, "integrity")
    assert found.verdict == FAIL
    assert "paraschut recover" in found.detail
    assert cli("doctor", status=1).err == ""


def test_unreadable_metadata_and_wrong_counters_are_found(cli: CommandLine) -> None:
    batch = cli.add("--range", "0-9", "true")
    cli.sql("UPDATE job SET metadata = '{' WHERE JobIndex = 3")
    found = _about(cli, "contents")
    assert (found.verdict, "1 jobs" in found.detail, f"{batch}/3" in found.detail) == (WARN, True, True)
    cli.sql("DROP TRIGGER job_uncounted")
    cli.sql("DELETE FROM job WHERE JobIndex = 4")
    assert _about(cli, "contents").verdict == FAIL


def test_wal_on_a_network_file_system_is_refused(cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    cli.add("true")
    cli.sql("PRAGMA journal_mode = wal")
    # No network file system can be mounted in a test: what /proc/mounts would say is put in its place.
    mount = lambda path: ("/", "nfs4", "rw,relatime,local_lock=all")  # noqa: E731 - used twice, below
    monkeypatch.setattr(connection, "mount_of", mount)
    monkeypatch.setattr(doctor, "mount_of", mount)
    assert _about(cli, "journal").verdict == FAIL
    found = _about(cli, "file system")
    assert found.verdict == WARN
    assert "local_lock=all" in found.detail


def test_a_read_only_mount_fails(cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    cli.add("true")
    monkeypatch.setattr(doctor, "mount_of", lambda path: ("/", "ext4", "ro,relatime"))
    assert "read-only" in _about(cli, "file system").detail


def test_the_lock_test_tells_a_held_lock_from_a_free_one(tmp_path: Path) -> None:
    with LockTest(str(tmp_path)) as test:
        assert try_to_write(test.path) == "refused"
        test.release()
        assert try_to_write(test.path) == "written"
    assert list(tmp_path.iterdir()) == []
    assert "unable to open" in try_to_write(str(tmp_path / "nowhere" / "x.db"))


def test_a_file_system_that_does_not_lock_fails(cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    cli.add("true")
    # A file system without locks is what the second process would see of one that nobody holds.
    monkeypatch.setattr(LockTest, "__enter__", lambda self: self)
    monkeypatch.setattr(LockTest, "release", lambda self: None)
    found = _about(cli, "locks")
    assert (found.verdict, "does not lock" in found.detail) == (FAIL, True)


def test_a_change_from_the_future_is_noticed(cli: CommandLine) -> None:
    cli.add("true")
    cli.sql("UPDATE job SET changed_at = changed_at + 3600, changed_by = 'me@elsewhere:1'")
    found = _about(cli, "clock")
    assert (found.verdict, "me@elsewhere:1" in found.detail) == (WARN, True)


def test_a_job_directory_that_everybody_may_write_to_is_warned_of(cli: CommandLine) -> None:
    cli.add("true")
    cli.folder.chmod(0o777)
    found = _about(cli, "job directory")
    assert (found.verdict, str(cli.folder) in found.detail) == (WARN, True)
    cli.folder.chmod(0o1777)  # as /tmp is: others cannot replace what is there
    assert _about(cli, "job directory").verdict == OK


def test_a_job_directory_that_is_not_there_fails(cli: CommandLine) -> None:
    cli.add("true")
    (cli.folder / "paraschut.toml").write_text("job_dir = 'nowhere'\n" + TOML)
    assert "does not exist" in _about(cli, "job directory").detail


def test_a_scheduler_whose_commands_are_not_here_fails(
    cli: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli.add("true")
    (cli.folder / "paraschut.toml").write_text("executor = 'slurm'\n")
    monkeypatch.setenv("PATH", str(cli.folder))
    assert _about(cli, "executor").verdict == FAIL


def test_the_probe_job_sees_the_lock_of_this_process_and_leaves_nothing_behind(cli: CommandLine) -> None:
    cli.add("true")
    answer = cli("doctor", "--probe")
    assert "ok    probe: a job on" in answer.out
    assert "the lock of the other host is seen" in answer.out
    assert len(cli.sql("SELECT * FROM batch")) == 1
    assert not list(cli.folder.glob(".paraschut-lock*"))


def test_a_probe_job_that_fails_says_why(cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    cli.add("true")
    monkeypatch.setattr(LockTest, "__enter__", lambda self: self)  # nobody holds it: the job can write
    with Workspace(config.load(cwd=str(cli.folder))) as ws:
        (found,) = probe(ws)
    assert found.verdict == FAIL
    assert "the job failed: exit status 1" in found.detail
    assert "does not lock across hosts" in found.detail


def test_the_terminal_is_judged(cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal:
        encoding = "iso-8859-1"

        @staticmethod
        def isatty() -> bool:
            return True

    monkeypatch.setattr(sys, "stdout", Terminal)
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("LINES", "20")
    details = " ".join(finding.detail for finding in doctor._terminal())
    assert "TERM is 'dumb'" in details and "not UTF-8" in details and "60x20" in details


def test_a_locked_database_is_no_crash(cli: CommandLine) -> None:
    cli.add("true")
    (cli.folder / "paraschut.toml").write_text("write_timeout = 0.2\n" + TOML)
    holder = sqlite3.connect(cli.database, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    try:
        assert "stayed locked" in cli("doctor", status=1).out
    finally:
        holder.close()
