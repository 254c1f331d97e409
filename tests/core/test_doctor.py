"""`paraschut doctor`: each check, on something whole and on something broken."""

from __future__ import annotations

import grp
import os
import shutil
import signal
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from paraschut_core import config
from paraschut_core.database import connection, kept_endings
from paraschut_core.executors.local.queue_store import LocalQueue
from paraschut_core.identity import user_folder, user_name
from paraschut_core.maintenance import doctor
from paraschut_core.maintenance.doctor import FAIL, OK, WARN, CheckResult, LockTest, try_to_write
from paraschut_core.maintenance.node_probe import probe
from paraschut_core.project import Project
from tests.core.cli import TOML, CommandLine


@pytest.fixture
def cli(tmp_path: Path, clean_environment: None) -> Iterator[CommandLine]:
    with CommandLine(tmp_path / "project") as command_line:
        yield command_line


def _examine(cli: CommandLine) -> list[CheckResult]:
    return list(doctor.examine(lambda: config.load(cwd=str(cli.folder)), "0.0"))


def _about(cli: CommandLine, what: str) -> CheckResult:
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
    assert (found.verdict, "1 job " in found.detail, f"{batch}/3" in found.detail) == (WARN, True, True)
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


def _all_about(cli: CommandLine, what: str) -> list[CheckResult]:
    return [finding for finding in _examine(cli) if finding.what == what]


def test_every_check_names_what_it_is_about_where_it_cannot_be_done(
    cli: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli.add("true")

    def fails(settings: config.Settings) -> Iterator[CheckResult]:
        raise PermissionError(13, "Permission denied", "/there")
        yield

    labels = [what for what, _ in doctor._CHECKS]
    monkeypatch.setattr(doctor, "_CHECKS", [(what, fails) for what in labels])
    failed = [(f.what, f.detail) for f in _examine(cli) if f.verdict == FAIL]
    assert failed == [(what, "/there: Permission denied") for what in labels]


# ------------------------------------------------------------------------------------ sharing


def _give_to_a_group(folder: Path) -> None:
    """As a project is that a group shares; the group is one that is not the owner's alone."""
    group = next((g.gr_gid for g in grp.getgrall() if g.gr_name != user_name()), None)
    assert group is not None
    if os.geteuid() == 0:
        os.chown(folder, -1, group)
    folder.chmod(0o2775)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a second group")
def test_a_groups_project_with_files_that_the_group_cannot_write_to_is_warned_of(cli: CommandLine) -> None:
    cli.add("true")
    _give_to_a_group(cli.folder)
    cli.database.chmod(0o644)
    (cli.folder / "paraschut.toml").chmod(0o664)
    found = _about(cli, "sharing")
    assert found.verdict == WARN
    assert found.detail.endswith(f"chmod g+w {cli.database}")
    cli.database.chmod(0o664)
    before = os.umask(0o022)
    try:
        assert (_about(cli, "sharing").verdict, "umask is 022" in _about(cli, "sharing").detail) == (
            WARN,
            True,
        )
        os.umask(0o002)
        assert _about(cli, "sharing").verdict == OK
    finally:
        os.umask(before)


def test_it_says_who_may_write_to_and_read_the_database(cli: CommandLine) -> None:
    cli.add("true")
    cli.folder.chmod(0o755)
    cli.database.chmod(0o644)
    assert (
        _about(cli, "sharing").detail
        == f"{user_name()} alone may write to the database, everybody may read it"
    )
    cli.database.chmod(0o600)
    assert _about(cli, "sharing").detail == f"{user_name()} alone may write to the database"


@pytest.mark.parametrize("name", ["local/{user}@elsewhere", "scripts/{user}"])
def test_an_own_folder_that_others_can_write_to_fails_with_the_command_that_closes_it(
    name: str, cli: CommandLine
) -> None:
    cli.add("true")
    folder = cli.folder / ".paraschut" / name.format(user=user_folder())
    folder.mkdir(parents=True)
    folder.chmod(0o770)
    found = _about(cli, "sharing")
    assert (found.verdict, f"chmod -R go-w {folder}" in found.detail) == (FAIL, True)
    folder.chmod(0o700)
    assert _about(cli, "sharing").verdict == OK
    folder.rmdir()


def test_a_file_that_one_may_only_read_is_right_where_read_only_is_set(
    cli: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli.add("true")
    access = os.access  # root may write to anything: what a user is told takes its place
    monkeypatch.setattr(
        os,
        "access",
        lambda path, mode: not (mode & os.W_OK and str(path).endswith("jobs.db")) and access(path, mode),
    )
    found = _about(cli, "database")
    assert (found.verdict, "read_only = true" in found.detail) == (FAIL, True)
    with (cli.folder / "paraschut.toml").open("a") as toml:
        toml.write("[dashboard]\nread_only = true\n")
    monkeypatch.setattr(
        os,
        "access",
        lambda path, mode: (
            not (mode & os.W_OK and str(path).startswith(str(cli.folder))) and access(path, mode)
        ),
    )
    assert [finding for finding in _examine(cli) if finding.verdict != OK] == []


def test_results_that_wait_and_results_that_came_too_late_are_told(cli: CommandLine) -> None:
    cli.add("true")
    assert _all_about(cli, "kept results") == []
    folder = Path(kept_endings.folder_of(str(cli.database)))
    folder.mkdir(0o700)
    (folder / "1_0_aa.json").touch()
    (folder / "1_1_bb.json.refused").touch()
    waiting, refused = _all_about(cli, "kept results")
    assert (waiting.verdict, waiting.detail.startswith("1 in"), "paraschut submit" in waiting.detail) == (
        WARN,
        True,
        True,
    )
    assert (refused.verdict, "too late" in refused.detail) == (WARN, True)


# ------------------------------------------------------------------------------------ executor


def test_it_tells_which_queue_jobs_are_noted_with_and_how_many_are_elsewhere(cli: CommandLine) -> None:
    cli.add("--range", "0-4", "true")
    place = f"local@{os.uname().nodename}:{cli.folder}/.paraschut/local/{user_folder()}@{os.uname().nodename}"
    (own,) = _all_about(cli, "queue")
    assert own.detail == f"jobs are noted with {place} of {user_name()} (uid {os.getuid()})"
    cli.sql("UPDATE job SET state = 'run', executor = 'slurm@beryl#1' WHERE JobIndex < 3")
    cli.sql(f"UPDATE job SET state = 'run', executor = 'local@elsewhere:/x#{os.getuid()}' WHERE JobIndex = 3")
    _, machine, cluster = _all_about(cli, "queue")
    assert machine.detail.startswith("1 job elsewhere, in local@elsewhere:/x: ")
    assert cluster.detail.startswith(f"3 jobs elsewhere, in slurm@beryl of {user_name(1)}: ")
    assert {own.verdict, machine.verdict, cluster.verdict} == {OK}


def test_jobs_of_a_local_queue_that_was_deleted_are_warned_of(cli: CommandLine) -> None:
    cli.add("--range", "0-1", "true")
    cli("submit", "--wait")
    cli.sql("UPDATE job SET state = 'run' WHERE JobIndex = 1")
    assert {finding.verdict for finding in _all_about(cli, "queue")} == {OK}
    shutil.rmtree(cli.folder / ".paraschut" / "local")
    found = _about(cli, "queue")
    assert (found.verdict, "1 job " in found.detail, "was deleted" in found.detail) == (WARN, True, True)


def test_a_local_runner_that_is_stopped_is_warned_of(cli: CommandLine) -> None:
    batch = cli.add("--range", "0-1", "sleep 60")
    cli("submit")
    queue = LocalQueue(str(cli.folder / ".paraschut" / "local" / f"{user_folder()}@{os.uname().nodename}"))
    _, serving = queue.jobs()
    assert serving.pid is not None
    os.kill(serving.pid, signal.SIGSTOP)
    try:
        found = _about(cli, "local")
        assert (found.verdict, f"kill -CONT {serving.pid}" in found.detail) == (WARN, True)
    finally:
        os.kill(serving.pid, signal.SIGCONT)
        cli("qdel", batch, "--yes")


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
    with Project(config.load(cwd=str(cli.folder))) as ws:
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
