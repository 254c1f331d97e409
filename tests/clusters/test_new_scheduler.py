"""A scheduler that Paraschut does not know, written in a few lines by the guide: the suite holds for it."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import pytest

from paraschut_core.executors import base
from tests.clusters import lab_scheduler
from tests.clusters.clusters import Cluster, Lab, Slurm
from tests.clusters.suite import ClusterSuite, executor

__all__ = ["executor"]

pytestmark = [pytest.mark.cluster("slurm"), pytest.mark.xdist_group("slurm")]


@pytest.fixture
def cluster(slurm_cluster: Slurm) -> Iterator[Cluster]:
    return Lab(slurm_cluster)


class TestNewScheduler(ClusterSuite):
    """Nothing more is needed."""


def test_it_takes_no_more_than_the_guide_says() -> None:
    guide = inspect.getdoc(base) or ""
    written = {name for name in vars(lab_scheduler.LabJobExecutor) if not name.startswith("_")}
    assert all(f"`{name}`" in guide for name in written), written
    assert len(inspect.getsource(lab_scheduler).splitlines()) < 100
