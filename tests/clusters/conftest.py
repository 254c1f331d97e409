"""Starts the clusters: each once, in the one worker that runs its tests."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest

pytest.register_assert_rewrite("tests.clusters.suite")

from tests.clusters.clusters import Cluster, GridEngine, OwnCluster, RealPBS, Slurm, SlurmWithAccounts, Torque  # noqa: E402 - after that


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """A cluster that is somebody's must be asked for: --cluster=pbs."""
    if "pbs" in config.getoption("--cluster"):
        return
    real = [item for item in items if (mark := item.get_closest_marker("cluster")) and mark.args == ("pbs",)]
    if real:
        config.hook.pytest_deselected(items=real)
        items[:] = [item for item in items if item not in real]


def leave_out(cluster: Cluster, why: str) -> NoReturn:
    """Skips the test; in CI, where each cluster must be tested, fails it."""
    if os.environ.get("CI", "").lower() not in ("", "0", "false"):
        pytest.fail(f"{cluster.name} must be tested here, but {why}")
    pytest.skip(why)


def demand(cluster: Cluster) -> None:
    """Leaves out the tests of a cluster that is not installed."""
    if missing := cluster.missing():
        leave_out(cluster, f"{', '.join(missing)} is missing (as root: tests/clusters/install.sh)")


def started(cluster: OwnCluster) -> Iterator[OwnCluster]:
    demand(cluster)
    cluster.start()
    try:
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture(scope="session")
def slurm_cluster() -> Iterator[OwnCluster]:
    yield from started(Slurm())


@pytest.fixture(scope="session")
def accounts_cluster() -> Iterator[OwnCluster]:
    if os.getuid() != 0:
        leave_out(SlurmWithAccounts(), "its database and its control groups are root's")
    yield from started(SlurmWithAccounts())


@pytest.fixture(scope="session")
def torque_cluster(slurm_cluster: Slurm) -> Cluster:
    cluster = Torque(slurm_cluster)
    demand(cluster)
    return cluster


@pytest.fixture(scope="session")
def sge_cluster() -> Iterator[OwnCluster]:
    yield from started(GridEngine())


@pytest.fixture(scope="session")
def pbs_cluster() -> Cluster:
    cluster = RealPBS()
    if cluster.missing():
        pytest.fail(f"--cluster=pbs needs a host with PBS's commands; missing: {cluster.missing()}")
    return cluster


@pytest.fixture
def work(cluster: Cluster) -> Iterator[Path]:
    """A directory that jobs can reach, and that the cluster's commands can name.

    Not below pytest's own: that is closed to other users, and PBS needs one that all hosts share.
    """
    shared = os.path.expanduser("~") if cluster.name == "pbs" else None
    folder = Path(tempfile.mkdtemp(prefix=cluster.folders, dir=shared))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def in_cluster(cluster: Cluster, monkeypatch: pytest.MonkeyPatch, clean_environment: None) -> Cluster:
    """The cluster, as the one that this process's commands talk to; nothing is left in its queue."""
    for name, value in cluster.environment.items():
        monkeypatch.setenv(name, value)
    cluster.clean()
    return cluster
