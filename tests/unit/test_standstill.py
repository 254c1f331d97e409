"""Every batch that does not move says why, and one that moves says nothing that is not so."""

from __future__ import annotations

from typing import Any

import pytest

from paraschut_core.model import HELD, QUEUED, RUNNING, Batch, JobKey, LiveJob
from paraschut_core.scheduling.blocking import blocked_reasons


def why(counts: dict[tuple[int | float, str], int], jobs: str = "", others: int = 0, **facts: Any) -> str:
    """The reason of batch 1. `jobs` are its jobs in flight: q queued, h held, R running, ! missing, e in
    another queue; `others` is the priority of a running batch 2 (0: there is none)."""
    batches = {1: Batch(1, "map", "t", counts)}
    if others:
        batches[2] = Batch(2, "urgent", "t", {(others, "run"): 1})
    live = {
        JobKey(1, i): LiveJob(
            str(i), {"q": QUEUED, "h": HELD, "R": RUNNING}[letter], reason=facts.get("reason", "")
        )
        for i, letter in enumerate(jobs)
        if letter in "qhR"
    }
    missing = [JobKey(1, i) for i, letter in enumerate(jobs) if letter == "!"]
    elsewhere = {JobKey(1, i): "slurm north" for i, letter in enumerate(jobs) if letter == "e"}
    told = {name: value for name, value in facts.items() if name in ("silent", "full")}
    found = blocked_reasons(batches, live, missing, elsewhere, **told).get(1)
    return found.text if found else ""


@pytest.mark.parametrize(
    ("counts", "jobs", "facts", "expected"),
    [
        ({(1, "complete"): 3}, "", {}, ""),
        ({(1, "init"): 3000}, "", {}, "3,000 ready to be submitted"),
        ({(1, "init"): 3}, "", {"full": "the queue is full"}, "the queue is full"),
        ({(1, "init"): 3}, "", {"others": 100}, "waits for priority 100: urgent"),
        ({(1, "submit"): 2}, "qq", {"reason": "Resources"}, "2 queued: Resources"),
        ({(1, "submit"): 2}, "qq", {}, "2 queued"),
        ({(1, "submit"): 2}, "hh", {}, "2 held"),
        ({(1, "submit"): 1, (1, "run"): 1}, "qR", {}, ""),
        ({(1, "run"): 1, (1, "init"): 5}, "R", {}, ""),
        ({(2, "run"): 1, (1, "init"): 5}, "R", {}, "waits for priority 2"),
        ({(2, "run"): 1, (1, "init"): 5}, "!", {}, "1 missing holds back the next group"),
        ({(1, "run"): 2, (1, "init"): 5}, "!!", {}, "2 missing"),
        ({(1, "run"): 2}, "ee", {}, "2 in slurm north, which this executor does not manage"),
        ({(2, "checked"): 4, (1, "init"): 5}, "", {}, "4 checked hold back the next group"),
        ({(2, "checked"): 4, (2, "complete"): 5}, "", {}, "4 checked"),
        ({(1, ""): 4}, "", {}, "4 (empty)"),
        ({(1, "run"): 2}, "R", {"silent": "slurm has not answered"}, "slurm has not answered"),
        ({(1, "init"): 2}, "", {"silent": "slurm has not answered"}, "2 ready to be submitted"),
        ({(1, "run"): 1}, "", {}, ""),
    ],
)
def test_a_batch_says_why_it_does_not_move(
    counts: dict[tuple[int | float, str], int], jobs: str, facts: dict[str, Any], expected: str
) -> None:
    assert why(counts, jobs, **facts) == expected
