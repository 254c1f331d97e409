"""The PBS executor through the commands in Torque's manner that come with Slurm, on a real Slurm.

What these commands cannot do is listed in README.md; where that touches the suite, the test says what
holds instead.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from paraschut_core.executors.batch import run_command
from paraschut_core.executors.batch.base import BatchExecutor
from paraschut_core.model import QUEUED
from tests.clusters.clusters import Cluster
from tests.clusters.suite import ClusterSuite, executor, explained, live, submit, wait_for_end
from tests.clusters.tools import spec, specs
from tests.helpers import wait_until

__all__ = ["executor"]

pytestmark = [pytest.mark.cluster("torque"), pytest.mark.xdist_group("slurm")]


@pytest.fixture
def cluster(torque_cluster: Cluster) -> Cluster:
    return torque_cluster


class TestTorque(ClusterSuite):
    """What holds everywhere, but for arrays and holds, which cannot be seen through these commands."""

    def test_a_held_job_is_held(self, executor: BatchExecutor, in_cluster: Cluster, work: Path) -> None:
        """They show it as waiting."""
        (id_,) = submit(executor, [spec(work, "true", directives=in_cluster.held)])
        assert executor.poll()[id_].state == QUEUED
        assert executor.delete_many({id_: {}})[id_].gone

    def test_a_thousand_jobs_take_one_command(
        self, executor: BatchExecutor, in_cluster: Cluster, work: Path
    ) -> None:
        """They list the tasks of arrays under numbers that nobody was told: each job goes out by itself."""
        assert executor.max_batch_size() == 1
        run_command.COUNTS.clear()
        ids = submit(executor, specs(work, ["true"] * 3, directives=in_cluster.held))
        assert run_command.COUNTS["qsub"] == 3
        assert len(set(ids)) == 3
        assert all(outcome.gone for outcome in executor.delete_many({id_: {} for id_ in ids}).values())
        wait_until(lambda: not set(ids) & set(live(executor)), "all are gone")

    def test_resources_arrive(self, executor: BatchExecutor, in_cluster: Cluster, work: Path) -> None:
        wanted = {"cpus": 2, "mem": "100mb", "walltime": 240}
        (id_,) = submit(executor, [spec(work, "true", queue="short", resources=wanted)])
        shown = executor.get_job_summary(id_)
        assert (shown["queue"], shown["Resource_List.walltime"]) == ("short", "00:04:00")
        wait_for_end(executor, [id_])
        assert explained(executor, [id_])[id_].exit_status == 0

    def test_directives_of_a_jobs_own_script_count(
        self, executor: BatchExecutor, in_cluster: Cluster, work: Path
    ) -> None:
        path = work / "own.sh"
        path.write_text("#!/bin/bash\n#PBS -q short -l walltime=00:04:00\n#PBS -N mine -j oe\necho ran\n")
        path.chmod(0o755)
        (id_,) = submit(executor, [spec(work, str(path))])
        shown = executor.get_job_summary(id_)
        assert (shown["queue"], shown["Resource_List.walltime"]) == ("short", "00:04:00")
        wait_for_end(executor, [id_])

    def test_doctor_is_told_the_queues(self, executor: BatchExecutor) -> None:
        told = ["PBS (version unknown)", "queue main: open", "queue short: open"]
        assert executor.health().splitlines() == told
