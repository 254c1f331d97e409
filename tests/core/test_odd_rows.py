"""One odd row takes no other along: values that somebody's own SQL put where they do not belong."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

import paraschut_core as psu
from paraschut_core.maintenance.doctor import examine
from paraschut_core.model import JobKey
from paraschut_core.monitoring.monitor import Monitor
from tests.core.cli import CommandLine
from tests.helpers import BATCH, ProjectDir, Scheduler, assert_sound

ODD: dict[str, tuple[str, str]] = {
    "text as priority": ("priority = 'high'", "priority"),
    "bytes as priority": ("priority = x'ff00'", "priority"),
    "bytes as state": ("state = x'ff'", "state"),
    "text as attempt": ("attempt = 'second'", "attempt"),
    "text as time": (
        "changed_at = 'yesterday', submitted_at = 'soon', started_at = x'00', subtime = 'x'",
        "when",
    ),
    "bytes as ids": ("submit_id = x'ff', ClusterID = x'fe', hostname = x'fd', token = x'fc'", "an id"),
    "bytes as queue": ("executor = x'ff', claimed_by = x'ff'", "an id"),
    "text as revision": ("rev = 'new'", "revision"),
    "no metadata": ("metadata = ''", "unreadable metadata"),
    "bytes as metadata": ("metadata = x'ff00'", "unreadable metadata"),
    "a list as metadata": ("metadata = '[1]'", ""),
    "text as JobIndex": ("JobIndex = 'first'", "JobIndex"),
}


@pytest.fixture
def cli(project: ProjectDir) -> CommandLine:
    return CommandLine(project.folder)


@pytest.fixture(params=ODD, ids=str)
def kind(request: pytest.FixtureRequest, project: ProjectDir) -> Iterator[str]:
    """The name of what is odd: job 0 of three has it."""
    project.add_many(3)
    project.sql(f"UPDATE job SET {ODD[request.param][0]} WHERE JobIndex = 0")
    yield request.param


def test_it_stops_no_other(kind: str, project: ProjectDir, scheduler: Scheduler, cli: CommandLine) -> None:
    psu.submit_jobs(Executor=scheduler)
    assert {spec.key.job_index for spec in scheduler.specs} >= {1, 2}
    with project.workspace(scheduler) as ws:
        seen = Monitor(ws).poll()
        assert seen.database.error == ""
        assert {JobKey(BATCH, 1), JobKey(BATCH, 2)} <= seen.live.keys()
    assert set(psu.get_queue(Executor=scheduler, Verbose=False)) == {BATCH}
    for command in (
        ["queue"],
        ["queue", "--json"],
        ["info", str(BATCH), "1"],
        ["info", str(BATCH), "--json"],
    ):
        assert cli(*command).out
    psu.set_job_field(BATCH, 2, {"note": 1}, Unless={}, Executor=scheduler)
    assert psu.get_job_info(BATCH, 2)["note"] == 1


def test_doctor_names_it(kind: str, project: ProjectDir) -> None:
    words = ODD[kind][1]
    told = [finding.detail for finding in examine(project.settings, "1") if finding.what == "contents"]
    assert any(words in text and f"{BATCH}/" in text for text in told) or not words, told


def test_a_priority_that_is_none_is_said_and_mended_by_setting_it(
    project: ProjectDir, scheduler: Scheduler, cli: CommandLine
) -> None:
    project.add_many(3)
    project.sql("UPDATE job SET priority = 'high' WHERE JobIndex = 0")
    psu.submit_jobs(Executor=scheduler)
    assert project.states() == {0: "init", 1: "submit", 2: "submit"}
    project.sql("UPDATE job SET state = 'complete' WHERE JobIndex > 0")
    with project.workspace(scheduler) as ws:
        assert "without a valid priority" in Monitor(ws).poll().blocked[BATCH]
    cli("set", str(BATCH), "0", "priority=1")
    psu.submit_jobs(Executor=scheduler)
    assert project.state(0) == "submit"
    assert_sound(project.database)


@pytest.mark.parametrize("wrong", ["DELETE FROM revision", "UPDATE revision SET rev = 'x'"])
def test_an_empty_table_of_the_revision_is_read_and_mended(
    project: ProjectDir, scheduler: Scheduler, cli: CommandLine, wrong: str
) -> None:
    project.add_many(2)
    project.sql(wrong)
    with project.workspace(scheduler) as ws:
        assert Monitor(ws).poll().database.error == ""
    told = [finding.detail for finding in examine(project.settings, "1")]
    assert any("the table revision" in text for text in told), told
    cli("queue")
    psu.submit_jobs(Executor=scheduler)
    assert project.states() == {0: "submit", 1: "submit"}
    assert project.sql("SELECT count(*) FROM revision") == [(1,)]
    assert_sound(project.database)


@pytest.mark.parametrize("priority", ["9e999", "-9e999"])
def test_a_stored_infinite_priority_is_valid_json(
    project: ProjectDir, cli: CommandLine, priority: str
) -> None:
    project.add_many(2)
    project.sql(f"UPDATE job SET priority = {priority} WHERE JobIndex = 0")

    def refuse(text: str) -> None:
        raise AssertionError(text)

    for command in (
        ["queue", "--json"],
        ["info", str(BATCH), "--json"],
        ["info", str(BATCH), "0", "--json"],
    ):
        json.loads(cli(*command).out, parse_constant=refuse)
