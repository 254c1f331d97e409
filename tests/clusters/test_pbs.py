"""The PBS executor on the PBS that this machine belongs to: only with `pytest --cluster=pbs`."""

from __future__ import annotations

from pathlib import Path

import pytest

from paraschut_core.executors.batch.base import BatchExecutor
from paraschut_core.model import HELD, STUCK
from tests.clusters.clusters import Cluster
from tests.clusters.suite import ClusterSuite, executor, explained, submit, wait_for_end
from tests.clusters.tools import spec, specs
from tests.helpers import wait_until

__all__ = ["executor"]

pytestmark = [pytest.mark.cluster("pbs"), pytest.mark.xdist_group("pbs")]


@pytest.fixture
def cluster(pbs_cluster: Cluster) -> Cluster:
    return pbs_cluster


class TestPBS(ClusterSuite):
    """What holds everywhere must hold there; and what PBS alone says."""

    def test_the_time_limit_is_told(self, executor: BatchExecutor, work: Path) -> None:
        ids = submit(executor, specs(work, ["sleep 600"] * 2, resources={"walltime": 2}))
        wait_for_end(executor, ids)
        assert {ending.reason for ending in explained(executor, ids).values()} == {"time limit 00:00:02"}

    def test_the_tasks_of_a_held_array_are_held(
        self, executor: BatchExecutor, in_cluster: Cluster, work: Path
    ) -> None:
        ids = submit(executor, specs(work, ["true"] * 3, directives=in_cluster.held))
        queue = executor.poll()
        assert [queue[id_].state for id_ in ids] == [HELD] * 3
        assert all(outcome.gone for outcome in executor.delete_many({id_: {} for id_ in ids}).values())

    def test_what_can_never_run_is_stuck_and_says_why(self, executor: BatchExecutor, work: Path) -> None:
        (id_,) = submit(executor, [spec(work, "true", resources={"cpus": 100_000})])
        job = wait_until(lambda: (j := executor.poll()[id_]).state == STUCK and j, "it is stuck", 120)
        assert "ncpus" in job.reason
        assert executor.delete_many({id_: {}})[id_].gone
