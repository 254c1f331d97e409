"""`paraschut import`: v0.6 databases, whole and broken, taken over job by job."""

from __future__ import annotations

import hashlib
import pickle
import shutil
import sqlite3
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from paraschut_core.migration_v06.old_database import LegacyJob, LegacySpawn, read_legacy
from tests.core.cli import CommandLine
from tests.helpers import ROOT, assert_sound

SAMPLES = Path(ROOT) / "tests" / "legacy"


@pytest.fixture
def cli(tmp_path: Path, clean_environment: None) -> Iterator[CommandLine]:
    with CommandLine(tmp_path / "project") as command_line:
        yield command_line


class Legacy:
    """A database as v0.6 makes it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.connection = sqlite3.connect(path)
        self.connection.executescript(
            "CREATE TABLE batch (BatchID INTEGER PRIMARY KEY, name TEXT, batch_type TEXT);"
            "CREATE TABLE job (idx INTEGER PRIMARY KEY, BatchID INT, JobIndex INT, state TEXT, priority INT,"
            " metadata BLOB, md5 TEXT);"
            "CREATE TABLE spawn (idx INTEGER PRIMARY KEY, BatchID INT, JobIndex INT, SpawnID INT,"
            " ClusterID TEXT, stdout TEXT, stderr TEXT, spawn_state TEXT);"
        )

    def batch(self, batch: int, name: str = "human/map") -> None:
        self.connection.execute("INSERT INTO batch VALUES (?, ?, 'ribo')", (batch, name))
        self.connection.commit()

    def job(self, batch: int, index: int, *, blob: bytes | None = None, **fields: Any) -> None:
        info = {"BatchID": batch, "JobIndex": index, "name": ["human", "map"], "batch_type": "ribo"}
        info |= {"state": "init", "priority": 1, "script": "true", **fields}
        if blob is None:
            blob = zlib.compress(pickle.dumps(info))
        md5 = hashlib.md5(blob, usedforsecurity=False).hexdigest()
        row = (batch, index, info["state"], info["priority"], blob, md5)
        self.connection.execute(
            "INSERT INTO job (BatchID, JobIndex, state, priority, metadata, md5) VALUES (?, ?, ?, ?, ?, ?)",
            row,
        )
        self.connection.commit()


@pytest.fixture
def old(tmp_path: Path) -> Legacy:
    return Legacy(tmp_path / "old.db")


def _infos(cli: CommandLine) -> dict[tuple[int, int], dict[str, Any]]:
    from paraschut_core.database.connection import Database
    from paraschut_core.database.jobs import read_all_infos

    with Database(cli.database, read_only=True) as database:
        return {
            (batch, info["JobIndex"]): info
            for batch, infos in read_all_infos(database).items()
            for info in infos
        }


@pytest.mark.parametrize(("name", "jobs", "spawns"), [("small", 30, 3), ("medium", 2000, 30)])
def test_a_real_database_is_taken_over_job_by_job(
    name: str, jobs: int, spawns: int, cli: CommandLine, tmp_path: Path
) -> None:
    source = tmp_path / f"{name}.db"
    shutil.copyfile(SAMPLES / f"{name}.db", source)
    before = source.read_bytes()
    out = cli("import", source).out
    assert f"{jobs:,} jobs, {spawns} spawns; left out: 0 rows" in out
    assert source.read_bytes() == before
    assert_sound(cli.database)
    imported = _infos(cli)
    with read_legacy(source) as legacy:
        expected = {tuple(job.key): job.info for job in legacy.jobs() if isinstance(job, LegacyJob)}
        rows = [spawn for spawn in legacy.spawns() if isinstance(spawn, LegacySpawn)]
    assert imported.keys() == expected.keys()
    for key, info in expected.items():
        found = {field: value for field, value in imported[key].items() if field not in ("rev", "attempt")}
        assert repr(sorted(found.items())) == repr(sorted(info.items())), key
        assert imported[key]["attempt"] == len(info.get("stdout", []))
    kept = cli.sql("SELECT BatchID, JobIndex, SpawnID, ClusterID, spawn_state, stdout, stderr FROM spawn")
    assert sorted(kept) == sorted(
        (*s.key, s.spawn.spawn_id, s.spawn.cluster_id, s.spawn.state, s.spawn.stdout, s.spawn.stderr)
        for s in rows
    )


def test_the_report_of_a_real_database_is_that_of_v06(cli: CommandLine) -> None:
    cli("import", SAMPLES / "small.db")
    report = cli("queue").out
    listed = (SAMPLES / "small.get_queue.txt").read_text().partition("missing jobs")[0]
    assert report.startswith(listed)


def test_an_import_is_in_the_history(cli: CommandLine, old: Legacy) -> None:
    old.batch(7)
    old.job(7, 0)
    cli("import", old.path)
    assert f"imported from {old.path} (v0.6)" in [event["why"] for event in cli("history", 7, "--json").json]


def test_batches_that_are_there_already_are_left_out_and_named(cli: CommandLine, old: Legacy) -> None:
    old.batch(7)
    old.job(7, 0)
    cli("import", old.path)
    old.batch(8)
    old.job(8, 0)
    answer = cli("import", old.path, status=1)
    assert "left out: batch 7: it is in" in answer.out
    assert "1 batch, 1 job," in answer.out
    assert set(_infos(cli)) == {(7, 0), (8, 0)}


def test_bad_rows_are_named_and_the_others_taken(cli: CommandLine, old: Legacy) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path.touch, (Path("hacked"),))  # type: ignore[return-value] - what an attacker writes

    old.batch(7)
    old.job(7, 0)
    old.job(7, 1, blob=b"nonsense")
    old.job(7, 2, blob=zlib.compress(pickle.dumps({"x": Evil()})))
    old.job(7, 3, JobIndex=-5)
    old.job(7, -4)
    old.job(7, 5, result=1.5)
    answer = cli("import", old.path, status=1)
    for row in ("job row 2 (7/1)", "job row 3 (7/2)", "job 7/-4"):
        assert f"left out: {row}" in answer.out
    assert set(_infos(cli)) == {(7, 0), (7, 3), (7, 5)}
    assert not (cli.folder / "hacked").exists()
    assert_sound(cli.database)


def test_what_changes_its_form_is_counted_by_field_and_told_of_each_job_if_asked(
    cli: CommandLine, old: Legacy
) -> None:
    old.batch(7)
    for index in range(3):
        old.job(7, index, stdout="logs/out")
    out = cli("import", old.path, "--verbose").out
    assert "job 7/1: stdout: text became a list of one" in out
    assert [line.split() for line in out.splitlines() if line.startswith("stdout ")] == [["stdout", "3"]]
    assert _infos(cli)[7, 2]["stdout"] == ["logs/out"]


def test_spawns_come_with_their_jobs(cli: CommandLine, old: Legacy) -> None:
    old.batch(7)
    old.job(7, 0, state="spawn")
    old.connection.execute(
        "INSERT INTO spawn (BatchID, JobIndex, SpawnID, ClusterID, stdout, stderr, spawn_state)"
        " VALUES (7, 0, 2, '123', 'o', 'e', 'run')"
    )
    old.connection.commit()
    cli("import", old.path)
    assert cli("spawns", 7, 0, "--json").json[0]["cluster_id"] == "123"


def test_logs_are_found_where_the_folders_are_now(cli: CommandLine, old: Legacy, tmp_path: Path) -> None:
    jobs = tmp_path / "old jobs"
    (jobs / "7" / "logs").mkdir(parents=True)
    (jobs / "7" / "logs" / "a.out").write_text("what was printed\n")
    (cli.folder / "paraschut.toml").unlink()
    old.batch(7)
    old.job(7, 0, stdout=["jobs/7/logs/a.out"], data="jobs/7/data_0.pkl", state="complete")
    cli("import", old.path, "--job-dir", jobs)
    assert cli("log", 7, 0).out.endswith("what was printed\n")
    assert _infos(cli)[7, 0]["data"] == str(jobs / "7" / "data_0.pkl")
    settings = {row["setting"]: row["value"] for row in cli("config", "--json").json}
    assert settings["job_dir"] == str(jobs)


def test_nothing_is_written_beside_the_old_database_unasked(tmp_path: Path, cli: CommandLine) -> None:
    (cli.folder / "paraschut.toml").unlink()
    folder = tmp_path / "old place"
    folder.mkdir()
    shutil.copyfile(SAMPLES / "small.db", folder / "jobs.db")
    cli("import", folder / "jobs.db")
    cli("queue")
    assert [path.name for path in folder.iterdir()] == ["jobs.db"]
    assert (cli.folder / "paraschut.toml").exists()


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["nowhere.db"], 1, "There is no database"),
        (["text.db"], 1, "is not an SQLite database"),
        (["jobs.db"], 1, "of this Paraschut, not of version 0.6"),
        (["old.db", "--job-dir", "nowhere"], 2, "there is no such directory"),
        (["old.db", "--job-dir", "/tmp"], 2, "set it there"),
    ],
)
def test_misuse_is_told(arguments: list[str], status: int, message: str, cli: CommandLine) -> None:
    cli.add("true")
    (cli.folder / "text.db").write_text("nothing " * 1000)
    Legacy(cli.folder / "old.db").batch(1)
    assert message in cli("import", *arguments, status=status).err


def test_an_import_is_told_as_json(cli: CommandLine, old: Legacy) -> None:
    old.batch(7)
    old.job(7, 0)
    found = cli("import", old.path, "--json").json
    assert found["batches"] == [{"batch_id": 7, "name": "human/map", "jobs": 1, "spawns": 0}]
    assert (found["left_out"], found["notes"]) == ([], [])
