"""Stand-ins for the schedulers' commands: each plays what a test says, and keeps what it was asked.

They answer their n-th call with their n-th answer, and with the last one from then on.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import NamedTuple

import pytest

from paraschut_core.config import PollSettings, Settings, SubmitSettings
from paraschut_core.executors.batch.pbs import PBSJobExecutor
from paraschut_core.executors.batch.sge import SGEJobExecutor
from paraschut_core.executors.batch.slurm import SlurmJobExecutor
from tests.clusters.tools import read
from tests.samples import sample


class Says(NamedTuple):
    """One answer of a stand-in; `then` is shell text that runs at the end, in place of the status."""

    out: str = ""
    err: str = ""
    status: int = 0
    then: str = ""


class Commands:
    """A directory on PATH with stand-ins."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()

    def play(self, name: str, *answers: Says) -> None:
        base = self.folder / f".{name}"
        base.mkdir(exist_ok=True)
        for n, answer in enumerate(answers, 1):
            (base / f"{n}.out").write_text(answer.out)
            (base / f"{n}.err").write_text(answer.err)
            (base / f"{n}.then").write_text(answer.then or f"exit {answer.status}")
        path = self.folder / name
        path.write_text(
            f"""#!/bin/sh
cd {base}
echo >>calls
n=$(wc -l <calls)
printf '%s\\0' "$@" >"args.$n"
while [ ! -e "$n.out" ]; do n=$((n - 1)); done
cat "$n.out"
cat "$n.err" >&2
. "./$n.then"
"""
        )
        path.chmod(0o755)

    def calls(self, name: str) -> int:
        return read(self.folder / f".{name}" / "calls").count("\n")

    def arguments(self, name: str, call: int = 1) -> list[str]:
        return read(self.folder / f".{name}" / f"args.{call}").split("\0")[:-1]


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clean_environment: None) -> Commands:
    made = Commands(tmp_path / "bin")
    for tool in ("cat", "sleep", "wc"):
        (made.folder / tool).symlink_to(shutil.which(tool) or "")
    monkeypatch.setenv("PATH", str(made.folder))  # no real scheduler of this machine is asked
    return made


def settings(tmp_path: Path, **submit: object) -> Settings:
    (tmp_path / "jobs").mkdir(exist_ok=True)
    return Settings(
        job_dir=str(tmp_path / "jobs"),
        resources={},
        poll=PollSettings(timeout=20.0),
        submit=SubmitSettings(**{"timeout": 20.0, **submit}),  # type: ignore[arg-type]  # as the test says
    )


@pytest.fixture
def slurm(tmp_path: Path, commands: Commands) -> SlurmJobExecutor:
    return SlurmJobExecutor(settings=settings(tmp_path))


@pytest.fixture
def sge(tmp_path: Path, commands: Commands) -> SGEJobExecutor:
    return SGEJobExecutor(settings=settings(tmp_path))


@pytest.fixture
def pbs(tmp_path: Path, commands: Commands) -> PBSJobExecutor:
    return PBSJobExecutor(settings=settings(tmp_path))


NO_SUCH_OPTION = Says(err=sample("torque/pbs_qstat_t").stderr, status=2)
"""How Slurm's qstat takes what it does not know."""

NO_JOBS = Says(status=sample("torque/pbs_qstat_f_all").status)
"""How it says that there are none."""
