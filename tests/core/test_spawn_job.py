"""A job that multiplies itself, end to end on the local executor: real processes, some of them killed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import paraschut_core as psu

from ..helpers import BATCH, ROOT, ProjectDir, wait_until

N = 50
KILLED = [3, 13, 23, 33, 43]

SCRIPT = f"""
import os
import paraschut_core as psu

def say(word):
    out = os.open("said", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(out, f"{{word}}\\n".encode())

job = psu.get_job_info(SetID=True)
if job["state"] != "spawn":
    job["note"] = "unsaved"
    job = psu.spawn_submit(job, {N})
(me,) = job["SpawnID"]
if me in {KILLED} and not os.path.exists(f"killed {{me}}"):
    open(f"killed {{me}}", "w").close()
    os.kill(os.getpid(), 9)
say(me)
job["mine"] = me
job = psu.spawn_complete(job)
assert job["mine"] == me
if job["state"] == "complete":
    say("finished")
    job["spawns"] = len(job["SpawnID"])
    psu.set_complete(JobInfo=job)
"""


@pytest.mark.timeout(180)
def test_fifty_spawns_of_which_some_are_killed_and_resubmitted_finish_their_job_once(
    project: ProjectDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", ROOT)
    (project.folder / "job.py").write_text(SCRIPT)
    info = {**psu.get_job_template(), "BatchID": BATCH, "JobIndex": 0, "script": f"{sys.executable} job.py"}
    psu.add_batch_to_queue(BATCH, [info])
    psu.submit_jobs()

    def left() -> list[int]:
        spawns = psu.spawn_get_info(BATCH, 0)
        done = zip(spawns["SpawnID"], spawns["spawn_state"], strict=True)
        return sorted(spawn for spawn, state in done if state != "complete")

    wait_until(lambda: psu.get_job_info(BATCH, 0)["state"] == "spawn", "it multiplied itself")
    wait_until(lambda: left() == KILLED, "all but the killed are complete", 120)
    with project.workspace() as ws:
        wait_until(lambda: not any(j.state != "ended" for j in ws.executor.poll().values()), "all ended")
    assert psu.get_job_info(BATCH, 0)["state"] == "spawn"

    assert psu.spawn_resubmit(BATCH, 0) == len(KILLED)
    wait_until(lambda: psu.get_job_info(BATCH, 0)["state"] == "complete", "the job is complete", 120)
    said = Path("said").read_text().split()
    assert sorted(int(word) for word in said if word != "finished") == list(range(N + 1))
    assert said.count("finished") == 1
    job = psu.get_job_info(BATCH, 0)
    assert job["spawns"] == N + 1
    assert psu.spawn_get_info(BATCH, 0)["SpawnID"] == []
