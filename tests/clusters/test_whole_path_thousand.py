"""A thousand jobs: how many commands they cost, and how long they take beside a plain loop of sbatch or qsub.

Prints a table (pytest -s shows it); asserts counts, never times.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

import paraschut_core as psu
from tests.clusters.whole_path_place import CLUSTERS, Place, cluster, forget_counts, place
from tests.helpers import wait_until

__all__ = ["cluster", "place"]

on_clusters = pytest.mark.parametrize("cluster", CLUSTERS, indirect=True)

LOOP = 100
"""Jobs in the plain loop; it is extrapolated."""


class Figures:
    """Seconds and scheduler commands of what was measured, a line each."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self.commands: dict[str, int] = {}

    @contextmanager
    def of(self, what: str, times: float = 1.0) -> Iterator[None]:
        """Measures what is done within; `times` extrapolates."""
        forget_counts()
        began = time.monotonic()
        yield
        seconds = (time.monotonic() - began) * times
        self.commands = self._place.counts()
        print(f"{self._place.name:6} {what:46} {seconds:8.2f} s   {self.commands or ''}")


def plain_loop(place: Place, n: int) -> None:
    """What a user without Paraschut does: one command a job."""
    options = {
        "slurm": ["sbatch", "--parsable", "--hold", "-o", "/dev/null", "--wrap", "true"],
        "sge": ["qsub", "-terse", "-h", "-o", "/dev/null", "-j", "y", "-b", "y", "-N", "plain", "true"],
    }
    for _ in range(n):
        place.cluster.run(*options[place.name])


@on_clusters
def test_a_thousand_jobs_are_one_command_to_submit_one_to_poll_and_all_complete(place: Place) -> None:
    figures = Figures(place)
    place.no_login_shells()
    script = f"exec {sys.executable} -m paraschut_core.cli run -- true"
    batch = place.make(*[{}] * 1000, script=script, **place.held())
    with figures.of("submit 1,000 jobs, all ids recorded"):
        psu.submit_jobs()
    assert figures.commands[place.words.submit] == 1
    assert sum(figures.commands.values()) <= 3  # one poll before, one question for arrays' limit
    assert len(set(place.ids(batch).values())) == 1000
    monitor = place.monitor()
    try:
        with figures.of("the first poll with 1,000 waiting"):
            snapshot = monitor.poll()
        assert len(snapshot.live) == 1000
        for _ in range(3):
            with figures.of("a poll with 1,000 waiting"):
                monitor.poll()
            assert figures.commands == {place.words.list: 1}
    finally:
        monitor.close()
    with figures.of(f"a plain loop, {LOOP} jobs, times {1000 // LOOP}", 1000 / LOOP):
        plain_loop(place, LOOP)
    place.release(batch)
    with figures.of("released, until all 1,000 are complete"):
        wait_until(lambda: place.count(batch, "complete") == 1000, "all are complete", 280)
    assert place.reasons() == {}
