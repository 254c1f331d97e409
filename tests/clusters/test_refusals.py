"""The scripts that start throw-away clusters keep away from a machine that has a cluster already."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.fixture
def port() -> Iterator[int]:
    """A port that somebody listens on."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield listening.getsockname()[1]


def refusal(script: str, folder: Path, port: int, **environment: str) -> str:
    """What the script says, which must not have started or written anything."""
    done = subprocess.run(
        [str(HERE / script), "start", str(folder), str(port)],
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1, done
    assert not folder.exists()
    return done.stderr


def test_slurm_refuses_where_the_users_commands_know_another_cluster(tmp_path: Path) -> None:
    (tmp_path / "slurm.conf").write_text("ClusterName=production\nSlurmctldHost=head\n")
    said = refusal("slurm.sh", tmp_path / "new", 1, SLURM_CONF=str(tmp_path / "slurm.conf"))
    assert f"this machine belongs to a cluster ({tmp_path}/slurm.conf): not here" in said


def test_grid_engine_refuses_where_the_users_commands_know_another_cluster(tmp_path: Path) -> None:
    common = tmp_path / "prod" / "common"
    common.mkdir(parents=True)
    (common / "act_qmaster").write_text("head.example.org\n")
    said = refusal("sge.sh", tmp_path / "new", 1, SGE_ROOT=str(tmp_path), SGE_CELL="prod")
    assert "this machine belongs to the Grid Engine of head.example.org" in said


@pytest.mark.parametrize("script", ["slurm.sh", "sge.sh"])
def test_both_refuse_ports_that_are_in_use(script: str, tmp_path: Path, port: int) -> None:
    assert f"port {port} is in use" in refusal(script, tmp_path / "new", port, SLURM_CONF="", SGE_ROOT="")


@pytest.mark.parametrize("script", ["slurm.sh", "sge.sh"])
def test_both_need_to_be_told_where(script: str) -> None:
    for arguments in ([], ["start"], ["nonsense", "/nowhere"]):
        done = subprocess.run([str(HERE / script), *arguments], capture_output=True, text=True, timeout=60)
        assert done.returncode in (1, 2)
        assert done.stderr
