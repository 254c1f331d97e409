"""What the database keeps of a scheduler's answer is what the next process reads, ends of jobs included."""

from __future__ import annotations

import json
import sqlite3
import zlib
from pathlib import Path

import pytest

from paraschut_core import exit_kinds
from paraschut_core.database.connection import Database
from paraschut_core.database.poll_state import PollState, read_poll, store_poll
from paraschut_core.model import ENDED, RUNNING, ExitInfo, LiveJob
from tests.core.cli import CommandLine


@pytest.fixture
def database(tmp_path: Path, clean_environment: None) -> Database:
    with CommandLine(tmp_path / "project") as cli:
        cli.add("true")
        return Database(str(cli.database))


KEPT = [
    ExitInfo("exit status 0", 0, None, "n1", kind=exit_kinds.COMPLETED),
    ExitInfo("exit status 3", 3, None, "n1", {"a": 1}, exit_kinds.EXIT, exit_kinds.ACCOUNT),
    ExitInfo("killed by signal 9", None, 9),
]


@pytest.mark.parametrize("ending", KEPT)
def test_an_answer_with_jobs_that_ended_is_read_as_it_was_asked_for(
    ending: ExitInfo, database: Database
) -> None:
    runs, ended = LiveJob("1", RUNNING, "t1"), LiveJob("2", ENDED, "t2", "name", "why", "n1", ending)
    store_poll(
        database, "slurm@x#1", PollState(10.0, {"1": runs, "2": ended}, {"3": (9.0, 1)}), answered=True
    )
    found = read_poll(database, "slurm@x#1")
    assert (found.polled_at, found.absent, list(found.answer)) == (10.0, {"3": (9.0, 1)}, ["1", "2"])
    assert found.answer["1"] == runs
    read = found.answer["2"]
    assert read._replace(ending=None) == ended._replace(ending=None)
    assert read.ending == ExitInfo(ending.reason, ending.exit_status, ending.signal, ending.host)


def test_an_end_that_is_not_confirmed_is_not_taken_for_one_that_is(database: Database) -> None:
    ending = ExitInfo("exit status 0 after SIGTERM", 0, None, kind=exit_kinds.SIGNAL, confirmed=False)
    store_poll(database, "s", PollState(10.0, {"2": LiveJob("2", ENDED, ending=ending)}), answered=True)
    assert read_poll(database, "s").answer["2"].ending is None


def test_processes_of_the_version_before_can_read_the_answer(database: Database) -> None:
    for number, ending in enumerate(KEPT):
        jobs = {"2": LiveJob("2", ENDED, ending=ending)}
        store_poll(database, "s", PollState(10.0 + number, jobs), answered=True)
        with sqlite3.connect(database.path) as connection:
            (blob,) = connection.execute("SELECT answer FROM poll WHERE scheduler = 's'").fetchone()
        for *fields, kept in json.loads(zlib.decompress(blob)):
            assert (len(fields), len(kept)) == (6, 4)
