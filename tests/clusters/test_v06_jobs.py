"""Jobs and executors as v0.6's users wrote them, on real schedulers."""

from __future__ import annotations

from typing import Any

import pytest

import paraschut_core as psu
from paraschut_core.model import JobInfo
from tests.clusters.whole_path_place import OWN, Place, cluster, place

__all__ = ["cluster", "place"]

JOB = """
job = psu.get_job_info(sys.argv[1], sys.argv[2], HoldFile=True, SetID=True, ClusterID=psu.ClusterID)
job["ran"] = True
psu.update_job(job, Release=True)
psu.set_complete(JobInfo=job, Submit=True)
"""


def chain(place: Place) -> int:
    """Two jobs, and one of lower priority that they submit."""
    place.script("job.py", JOB)
    batch = place.make(*({"priority": priority} for priority in (2, 2, 1)))
    for index in range(3):
        psu.set_job_field(batch, index, {"script": f"./job.py {batch} {index}"})
    return batch


@pytest.mark.parametrize("cluster", [OWN[0], OWN[2]], indirect=True)
def test_a_job_of_v06_submits_the_next_and_the_command_waits_for_all(place: Place) -> None:
    batch = chain(place)
    place("submit")
    assert "3 of 3 complete" in place("wait", batch, "--timeout", 120).out
    assert all(psu.get_job_info(batch, index)["ran"] for index in range(3))


@pytest.mark.parametrize("cluster", [OWN[0], OWN[2]], indirect=True)
def test_a_users_subclass_submits_by_the_built_in_method_and_is_left_what_is_next(place: Place) -> None:
    calls: list[int] = []
    base: Any = place.cluster.executor_class

    class Own(base):  # type: ignore[misc]  # whatever the cluster's is
        def submit(self, JobInfo: JobInfo, Spawn: bool = False) -> str:
            calls.append(JobInfo["JobIndex"])
            return str(super().submit(JobInfo, Spawn=Spawn))

    batch = chain(place)
    executor = Own()
    psu.submit_jobs(Executor=executor)
    assert place.states(batch) == {0: "submit", 1: "submit", 2: "init"}
    assert not psu.wait_for_jobs(batch, Executor=executor, Timeout=120), "the last one waits for us"
    assert place.states(batch) == {0: "complete", 1: "complete", 2: "init"}
    assert psu.wait_for_jobs(batch, Executor=executor, Submit=True, Timeout=120)
    assert calls == [0, 1, 2]
