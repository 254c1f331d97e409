"""How local jobs and spawns end: a program that is told to end and exits with 0 is not complete."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from paraschut_core import exit_kinds
from paraschut_core.model import MissingJob
from paraschut_core.monitoring.monitor import Monitor
from paraschut_core.project import Project
from tests.core.cli import CommandLine
from tests.helpers import wait_until

TRAP = "sh -c 'trap \"exit 0\" TERM; touch started-{name}; while :; do sleep 0.05; done'"


@pytest.fixture
def cli(tmp_path: Path, clean_environment: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[CommandLine]:
    with CommandLine(tmp_path / "project") as command_line:
        monkeypatch.chdir(command_line.folder)
        yield command_line


def test_a_local_job_that_was_ended_is_not_complete_and_the_runner_is_believed_about_why(
    cli: CommandLine,
) -> None:
    from paraschut_core import config

    limit = cli.add("--name", "limit", "--resource", "walltime=2s", TRAP)
    gone = cli.add("--name", "gone", TRAP)
    cli("submit")
    for name in ("limit", "gone"):
        wait_until((cli.folder / f"started-{name}").exists, f"{name} runs", 60)
    ws = Project(config.load())
    monitor = Monitor(ws)
    try:
        ((id_,),) = cli.sql("SELECT submit_id FROM job WHERE BatchID = ?", gone)
        assert ws.executor.delete_many({id_: {}})[id_].gone

        def told() -> dict[int, MissingJob] | None:
            lost = {key.batch_id: lost for key, lost in monitor.poll().missing.items()}
            kinds = {batch: one.kind for batch, one in lost.items()}
            return lost if kinds == {limit: exit_kinds.TIME_LIMIT, gone: exit_kinds.CANCELLED} else None

        lost = wait_until(told, "the reasons are told", 60) or {}
        assert lost[limit].reason.startswith("time limit 00:00:02")
        assert (cli.states(limit), cli.states(gone)) == ({0: "run"}, {0: "run"})
    finally:
        monitor.close()
