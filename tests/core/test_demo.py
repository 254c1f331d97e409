"""`paraschut demo`: the example pipeline as its users run it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.core.cli import CommandLine
from tests.helpers import assert_sound


@pytest.fixture
def cli(tmp_path: Path, clean_environment: None) -> Iterator[CommandLine]:
    with CommandLine(tmp_path / "project") as command_line:
        yield command_line


@pytest.mark.timeout(600)
def test_the_example_runs_to_its_end_and_its_result_is_right(cli: CommandLine) -> None:
    out = cli.process("demo", "here", "--headless", "--jobs", "6").out
    assert "exit status 3; its stderr ends: FileNotFoundError" in out
    assert "reset and resubmitted: job" in out
    assert "the result is right" in out
    folder = cli.folder / "here"
    assert_sound(folder / "jobs.db")
    report = cli("--config", folder / "paraschut.toml", "queue", "--json").json
    assert report["counts"]["complete"] == report["counts"]["total"] > 20
    assert [batch["name"] for batch in report["batches"]] == [
        "python/identifiers",
        "python/imports",
        "python/lines",
    ]

    # The map job that failed did so for real, and its log says so.
    config = ["--config", folder / "paraschut.toml"]
    batch = report["batches"][0]["BatchID"]
    attempts = {job["JobIndex"]: job["attempt"] for job in cli(*config, "info", batch, "--json").json["jobs"]}
    (failed,) = [index for index, attempt in attempts.items() if attempt == 2]
    assert "Traceback" in cli(*config, "log", batch, failed, "-e", "--index", "0").out

    # The reduce job waited for all of the map jobs.
    states = cli.sql_in(
        folder / "jobs.db", "SELECT JobIndex, at FROM event WHERE BatchID = ? AND \"to\" = 'complete'", batch
    )
    assert max(states, key=lambda row: row[1])[0] == 6

    # A second time there is nothing left to do.
    again = cli.process("demo", "here", "--headless")
    assert "is finished" in again.out and "the result is right" in again.out

    # A result that is not right is found out.
    result = json.loads((folder / "result.json").read_text())
    result["identifiers"] += 1
    (folder / "result.json").write_text(json.dumps(result))
    wrong = cli.process("demo", "here", "--headless", status=1)
    assert "the result is wrong" in wrong.err


@pytest.mark.parametrize(
    ("name", "message"), [("used", "is not empty and holds no example"), ("file", "is not a directory")]
)
def test_somebody_elses_directory_is_left_alone(name: str, message: str, cli: CommandLine) -> None:
    (cli.folder / "used").mkdir()
    (cli.folder / "used" / "precious").touch()
    (cli.folder / "file").touch()
    assert message in cli("demo", name, "--headless", status=2).err
    assert [path.name for path in (cli.folder / "used").iterdir()] == ["precious"]


def test_a_project_that_is_no_example_is_not_taken_for_one(cli: CommandLine) -> None:
    assert "holds no example" in cli("demo", ".", "--headless", status=2).err


def test_the_example_is_a_project_of_its_own(cli: CommandLine) -> None:
    assert "a project of its own" in cli("--db", "x.db", "demo", status=2).err


def test_the_example_needs_a_terminal_for_the_dashboard_but_goes_on_from_there(cli: CommandLine) -> None:
    assert "needs a terminal" in cli("demo", "here", status=2).err
    config = ["--config", cli.folder / "here" / "paraschut.toml"]
    batches = cli(*config, "queue", "--json").json["batches"]
    assert len(batches) == 3
    online = {state for batch in batches for state in batch["states"]} - {"init", "complete"}
    assert online <= {"submit", "run"}
    cli(*config, "qdel", "--filter", "1=1", "--yes")
