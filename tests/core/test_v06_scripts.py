"""Scripts written for v0.6 run unchanged but for the line that imports Paraschut."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import paraschut_core as psu

from ..helpers import BATCH, ROOT, ProjectDir, wait_until

MAP = """
import pickle as pkl
import sys
import paraschut_core as psu


def main(args):
    BatchID = int(args[0])
    JobIndex = int(args[1])

    jobinfo = psu.get_job_info(BatchID, JobIndex, SetID=True, ClusterID=psu.ClusterID)

    data = pkl.load(open(jobinfo['data'], 'rb'))
    res = sum(data) / len(data)
    jobinfo['result'] = res
    print(res)

    psu.set_complete(JobInfo=jobinfo, Submit=True)


if __name__ == '__main__':
    main(sys.argv[1:])
"""

COLLECT = """
import sys
import paraschut_core as psu


def main(args):
    BatchID = int(args[0])
    JobIndex = int(args[1])

    jobinfo = psu.get_job_info(BatchID, JobIndex, SetID=True, ClusterID=psu.ClusterID)

    data = [psu.get_job_info(BatchID, j)['result'] for j in jobinfo['data']]
    res = sum(data) / len(data)
    jobinfo['result'] = res
    print(res)

    psu.set_complete(JobInfo=jobinfo, Submit=True)


if __name__ == '__main__':
    main(sys.argv[1:])
"""

TEMPLATE = """#!/bin/bash

cd {CodeDir}
python {pyfile} {BatchID} {JobIndex}
"""

N = 6


@pytest.fixture
def batch(project: ProjectDir, monkeypatch: pytest.MonkeyPatch) -> ProjectDir:
    """The example of v0.6: map jobs over data files, and a job that collects their results."""
    for name, text in (("job.py", MAP), ("collect_job.py", COLLECT), ("template.sh", TEMPLATE)):
        (project.folder / name).write_text(text)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", ROOT)
    common = {
        **psu.get_job_template(),
        "BatchID": BATCH,
        "name": ["example", "mean"],
        "script": "template.sh",
        "CodeDir": os.getcwd(),
    }
    jobs = []
    for index in range(N):
        job = {**common, "JobIndex": index, "priority": 2, "pyfile": "job.py"}
        jobs.append(psu.generate_data(job, [index, index + 1, index + 2]))
    jobs.append({**common, "JobIndex": N, "priority": 1, "pyfile": "collect_job.py", "data": list(range(N))})
    psu.add_batch_to_queue(BATCH, jobs, build_script=True)
    return project


def results() -> list[object]:
    queue = psu.get_queue(Verbose=False)
    assert queue is not None
    return [job.get("result") for job in queue[BATCH]]


EXPECTED = [*(index + 1.0 for index in range(N)), (N + 1) / 2]


def test_a_map_and_a_collect_job_of_v06_run_on_the_local_executor(batch: ProjectDir) -> None:
    psu.submit_jobs()  # the last map job submits the one that collects
    wait_until(lambda: results() == EXPECTED, "all results are there")
    psu.print_log(BATCH, N)


def test_a_map_and_a_collect_job_of_v06_run_from_a_script_file(
    batch: ProjectDir, capfd: pytest.CaptureFixture[str]
) -> None:
    batch.configure('executor = "file"\ndatabase = "jobs.db"\nscript_file = "run.sh"\n')
    psu.submit_jobs()
    assert results() == [None] * (N + 1), "nothing runs before the script does"
    # The last map job submits the one that collects: into the script that is running.
    for _ in range(2):
        subprocess.run([str(batch.folder / "run.sh")], cwd="/", check=True)
    assert results() == EXPECTED
    capfd.readouterr()
    psu.print_log(BATCH, N)
    assert str(EXPECTED[-1]) in capfd.readouterr().out
