"""The PBS executor on the PBS that this machine belongs to: only with `pytest --cluster=pbs`."""

from __future__ import annotations

import pytest

from tests.clusters.clusters import Cluster
from tests.clusters.suite import ClusterSuite, executor

__all__ = ["executor"]

pytestmark = [pytest.mark.cluster("pbs"), pytest.mark.xdist_group("pbs")]


@pytest.fixture
def cluster(pbs_cluster: Cluster) -> Cluster:
    return pbs_cluster


class TestPBS(ClusterSuite):
    """Nothing of its own: what holds everywhere must hold there."""
