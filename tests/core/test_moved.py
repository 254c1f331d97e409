"""A project that was moved: its logs are found, and its jobs can be submitted, where it lies now."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from paraschut_core.logs import open_log
from tests.core.cli import CommandLine


@pytest.mark.parametrize("submitted", [True, False])
def test_a_moved_project_shows_its_logs_and_runs_its_jobs(
    tmp_path: Path, clean_environment: None, submitted: bool
) -> None:
    old = tmp_path / "old"
    old.mkdir()
    (old / "sub").mkdir()
    with CommandLine(old) as cli:
        cli("init")
        batch = cli.add("--name", "a", "--range", "0-1", "--cwd", old / "sub", "pwd")
        if submitted:
            cli("submit")
            cli.wait_for(batch, "complete")
    new = tmp_path / "far" / "new"
    new.parent.mkdir()
    os.rename(old, new)
    with CommandLine(new) as cli:
        if submitted:
            assert str(old / "sub") in cli("log", batch, 0).out
            cli("reset", "--force", "--yes", batch)
        cli("submit")
        cli.wait_for(batch, "complete")
        assert str(new / "sub") in cli("log", batch, 0).out
    assert not old.exists()


def test_a_log_that_was_never_written_stays_absent(tmp_path: Path) -> None:
    from paraschut_core.logs import ABSENT, LogError, stat_log

    path = tmp_path / "20260101000000" / "logs" / "x.out"
    assert stat_log(path).kind == ABSENT
    with pytest.raises(LogError, match="is not there yet"):
        open_log(path)
