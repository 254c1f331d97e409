"""Two real Slurm clusters with the same ids: each job runs exactly once, wherever one looks.

Each job counts its starts itself, by a line that it appends to a file of its own.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping

import pytest

from paraschut_core import exit_kinds
from paraschut_core.model import JobKey
from paraschut_core.monitoring.monitor import Monitor
from tests.clusters.clusters import Cluster, Slurm, SlurmBeside, SlurmWithAccounts
from tests.clusters.whole_path_place import WAIT, Place, place
from tests.helpers import wait_until

__all__ = ["place"]

pytestmark = [pytest.mark.cluster("slurm"), pytest.mark.xdist_group("accounts")]

COUNTED = f"echo start >>started.$PARASCHUT_BATCH_ID.$PARASCHUT_JOB_INDEX; {WAIT}"


@pytest.fixture(scope="module")
def second(accounts_cluster: SlurmWithAccounts) -> Iterator[Slurm]:
    found = SlurmBeside(accounts_cluster)
    found.start()
    try:
        yield found
    finally:
        found.stop()


@pytest.fixture
def cluster(accounts_cluster: SlurmWithAccounts, second: Slurm) -> Cluster:
    second.clean()
    accounts_cluster.clean()
    return accounts_cluster


class Site:
    """Both clusters, and one project; `log_in` says on which of them what follows is done."""

    def __init__(self, place: Place, first: Slurm, second: Slurm, monkeypatch: pytest.MonkeyPatch) -> None:
        self.place = place
        self.first, self.second = first, second
        self._patch = monkeypatch

    def log_in(self, cluster: Slurm) -> None:
        self._patch.setenv("SLURM_CONF", cluster.environment["SLURM_CONF"])

    def add(self, *more: str) -> int:
        """Adds and submits a batch of three."""
        batch = self.place("add", "--json", "--range", "0-2", *more, COUNTED).json["BatchID"]
        self.place("submit", batch)
        return int(batch)

    def starts(self, batch: int) -> dict[int, int]:
        """How often each job of a batch was started, by its own count."""
        return {n: len(self.place.lines(f"started.{batch}.{n}")) for n in range(3)}

    def wait_for_starts(self, batch: int) -> None:
        wait_until(lambda: min(self.starts(batch).values()), "all three have started")

    def look(self) -> tuple[dict[int, int], dict[int, int], dict[int, set[str]]]:
        """What a dashboard shows that is opened here and now, by batch: how many are live, how many missing,
        and where the others are."""
        watched = Monitor(self.place.workspace())
        try:
            seen = [watched.poll(force=True) for _ in range(3)][-1]
        finally:
            watched.close()
        elsewhere: dict[int, set[str]] = {}
        for key, where in seen.elsewhere.items():
            elsewhere.setdefault(key.batch_id, set()).add(where)
        return counted(seen.live), counted(seen.missing), elsewhere

    def align(self) -> None:
        """Has both give out the same id next."""
        for cluster in (self.first, self.second):
            while cluster.next_id < max(self.first.next_id, self.second.next_id):
                cluster.run("sbatch", "--hold", "--output=/dev/null", "--wrap", "true")
            cluster.run("scancel", "-u", str(os.getuid()))


def counted(keys: Mapping[JobKey, object]) -> dict[int, int]:
    batches = [key.batch_id for key in keys]
    return {batch: batches.count(batch) for batch in batches}


@pytest.fixture
def site(
    place: Place, accounts_cluster: SlurmWithAccounts, second: Slurm, monkeypatch: pytest.MonkeyPatch
) -> Site:
    found = Site(place, accounts_cluster, second, monkeypatch)
    found.align()
    return found


def test_each_cluster_answers_for_its_own_jobs_though_the_ids_are_the_same(site: Site) -> None:
    batches = []
    for cluster in (site.first, site.second):
        site.log_in(cluster)
        batches.append(site.add())
    one, other = batches
    ids = site.place.ids(one)
    assert ids == site.place.ids(other), "else this test proves nothing"
    site.wait_for_starts(one)
    site.wait_for_starts(other)
    for cluster, own, others in ((site.first, one, other), (site.second, other, one)):
        site.log_in(cluster)
        elsewhere = {site.first: site.second, site.second: site.first}[cluster].cluster
        assert site.look() == ({own: 3}, {}, {others: {f"slurm@{elsewhere}"}})
        for act in ("qdel", "reset", "resubmit"):
            site.place(act, others, "--yes", status=None)
        site.place("resubmit", "--missing", "--yes", status=None)
        site.place("submit")
    # On the second, one of the first's ids ends: that is no end of the first's job.
    site.second.run("scancel", ids[0])
    wait_until(lambda: site.look()[1] == {other: 1}, "its own is missed there")
    site.log_in(site.first)
    assert site.look() == ({one: 3}, {}, {other: {f"slurm@{site.second.cluster}"}})
    site.place.go()
    site.place.wait_for_states(one, dict.fromkeys(range(3), "complete"))
    site.place.wait_for_states(other, {1: "complete", 2: "complete"})
    assert site.starts(one) == site.starts(other) == dict.fromkeys(range(3), 1)


def test_jobs_sent_to_the_other_cluster_are_seen_explained_and_deleted_there(site: Site) -> None:
    batch = site.add(f"--directive=--clusters={site.second.cluster}")
    site.wait_for_starts(batch)
    assert site.first.run("squeue", "-h") == ""
    assert site.look() == ({batch: 3}, {}, {})
    site.place("resubmit", "--missing", "--yes", status=None)
    site.log_in(site.second)
    assert site.look() == ({batch: 3}, {}, {}), "there they are at home"
    site.log_in(site.first)
    site.second.run("scancel", site.place.ids(batch)[0])
    with contextlib.closing(site.place.monitor()) as watched:
        lost = wait_until(lambda: watched.poll(force=True).missing.get(JobKey(batch, 0)), "it is missed")
        wait_until(
            lambda: watched.poll(force=True).missing[JobKey(batch, 0)].kind == exit_kinds.CANCELLED,
            f"the accounts of the other cluster tell why, not {lost}",
        )
    site.place("qdel", batch, "--yes")
    wait_until(lambda: site.second.run("squeue", "-h") == "", "they are deleted there")
    assert site.starts(batch) == dict.fromkeys(range(3), 1)
