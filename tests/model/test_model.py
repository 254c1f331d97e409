"""Random sequences of what people and machines do, on a real database: each job runs once, and none is lost.

PARASCHUT_TEST_STEPS gives the number of steps (300 in CI, always the same ones). `--hypothesis-seed=N` plays
others. A failure prints the commands that led to it, and the steps; put those here as a test of their own.
`python -m tests.model.mutations` shows which faults are found once their mending is taken out.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from tests.earlier import earlier as earlier
from tests.model.slurm_double import HONEST, MISBEHAVIOUR, SUBMIT_FAULTS, Slurm
from tests.model.world import World

STEPS = int(os.environ.get("PARASCHUT_TEST_STEPS", "300"))
LENGTH = 30
EARLIER = "ann with the earlier version"
"""She looks, adds and submits only: how that version judges and deletes is not at issue."""

COLLEAGUE = "bea"
"""She submits nothing: her jobs could not run this Python where the tests run as root."""

pick = st.integers(0, 999)

ACTS = (
    ("resubmit", "--missing", "--yes"),
    ("resubmit", "BATCH", "--yes"),
    ("reset", "--missing", "--yes"),
    ("reset", "BATCH", "--yes"),
    ("set", "BATCH", "state=init", "--yes"),
    ("qdel", "BATCH", "--yes"),
    ("clean", "BATCH", "--yes"),
    ("remove", "BATCH", "--yes"),
    ("undo",),
    ("boost", "BATCH"),
    ("collect", "BATCH"),
)
ENDS = (("TIMEOUT", 15), ("NODE_FAIL", 9), ("CANCELLED", 15), ("OUT_OF_MEMORY", 9), ("PREEMPTED", 15))


class Machine(RuleBasedStateMachine):
    """People act, machines run and fail; after each step everything that must hold is looked at."""

    people: Sequence[str] = ("ann", "ann", "ann elsewhere", "bea")
    clusters: Sequence[str] = ("amber", "amber", "beryl")
    acts: Sequence[tuple[str, ...]] = ACTS
    modes: Sequence[str] = (HONEST, HONEST, *MISBEHAVIOUR)
    with_accounts: Sequence[bool] = (True, False)
    earlier: Path | None = None
    in_jobs: Path | None = None

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="paraschut-model-"))
        self.world = World(self.folder, earlier=self.earlier, in_jobs=self.in_jobs)
        self.batches = 0
        self.broken = False

    def teardown(self) -> None:
        try:
            if self.batches and not self.broken:
                self._checked(lambda: self.world.settle(list(dict.fromkeys(self.clusters))))
        finally:
            self.world.close()
            shutil.rmtree(self.folder, ignore_errors=True)

    def _checked(self, call: object = None) -> None:
        try:
            if callable(call):
                call()
            self.world.check()
        except BaseException:
            self.broken = True
            print("\n".join(self.world.log[-40:]))
            raise

    def _person(self, number: int) -> str:
        return self.people[number % len(self.people)]

    def _cluster(self, number: int) -> str:
        return self.clusters[number % len(self.clusters)]

    # ------------------------------------------------------------------ people

    @precondition(lambda self: self.batches < 3)
    @rule(person=pick, cluster=pick, jobs=st.integers(1, 3), chain=st.booleans())
    def add(self, person: int, cluster: int, jobs: int, chain: bool) -> None:
        self.batches += 1
        name = f"batch/{self.batches}"
        who, where = self._person(person), self._cluster(cluster)
        self._checked(lambda: self.world.add(who, where, jobs, name, chain=chain))

    @precondition(lambda self: self.batches)
    @rule(person=pick, cluster=pick, kill=st.sampled_from([None, None, None, 0.02, 0.05, 0.1]))
    def submit(self, person: int, cluster: int, kill: float | None) -> None:
        who, where = self._person(person), self._cluster(cluster)
        if who != COLLEAGUE:
            self._checked(lambda: self.world.command(who, where, "submit", kill_after=kill))

    @precondition(lambda self: self.batches)
    @rule(person=pick, cluster=pick)
    def look(self, person: int, cluster: int) -> None:
        who, where = self._person(person), self._cluster(cluster)
        self._checked(lambda: self.world.command(who, where, "queue", "--poll"))

    @precondition(lambda self: self.batches)
    @rule(
        person=pick,
        cluster=pick,
        act=pick,
        kill=st.sampled_from([None, None, 0.05]),
        which=pick,
    )
    def act(self, person: int, cluster: int, act: int, kill: float | None, which: int) -> None:
        who, batches = self._person(person), sorted({key[0] for key in self.world.rows()})
        words = self.acts[act % len(self.acts)]
        if not batches or who == EARLIER or (who == COLLEAGUE and words[0] == "resubmit"):
            return
        batch = batches[which % len(batches)]
        argv = [str(batch) if word == "BATCH" else word for word in words]
        if words[0] == "remove":
            # Its owner asked for it: what is complete may go, what lives may not.
            self.world.removable.add(batch)
        if words[0] == "collect":
            self.world.collected.add(batch)
        self._checked(lambda: self.world.command(who, self._cluster(cluster), *argv, kill_after=kill))

    @precondition(lambda self: self.batches)
    @rule(person=pick, cluster=pick)
    def remove_while_others_act(self, person: int, cluster: int) -> None:
        """Jobs are submitted and complete while the question whether to remove them waits for its answer."""
        who = self._person(person)
        if who == EARLIER or not self.world.rows():
            return
        amber = self.world.clusters["amber"]

        def meanwhile() -> None:
            self.world.command("ann", "amber", "submit")
            for job in amber.jobs("PENDING")[:2]:
                self.world.start(amber, str(job["id"]))
                if str(job["id"]) in amber.processes:
                    self.world.order(amber, str(job["id"]), 0)

        argv = ("remove", "--by-state", "init")
        self._checked(lambda: self.world.command(who, self._cluster(cluster), *argv, meanwhile=meanwhile))

    # ------------------------------------------------------------------ machines

    def _some(self, cluster: int, state: str, which: int) -> tuple[Slurm, str] | None:
        found = self.world.clusters[self._cluster(cluster)]
        found.reap()
        jobs = found.jobs(state)
        return (found, str(jobs[which % len(jobs)]["id"])) if jobs else None

    @precondition(lambda self: self.batches)
    @rule(cluster=pick, which=pick)
    def start(self, cluster: int, which: int) -> None:
        if found := self._some(cluster, "PENDING", which):
            self._checked(lambda: self.world.start(*found))

    @precondition(lambda self: self.batches)
    @rule(cluster=pick, which=pick, status=st.sampled_from([0, 0, 0, 1, 75]))
    def end(self, cluster: int, which: int, status: int) -> None:
        if found := self._some(cluster, "RUNNING", which):
            self._checked(lambda: self.world.order(*found, status))

    @precondition(lambda self: self.batches)
    @rule(cluster=pick, which=pick, how=st.sampled_from(ENDS))
    def cut(self, cluster: int, which: int, how: tuple[str, int]) -> None:
        found = self._some(cluster, "RUNNING", which)
        if found and not self.world.is_of_earlier_version(*found):
            self._checked(lambda: found[0].stop(found[1], *how))

    @precondition(lambda self: self.batches)
    @rule(cluster=pick, which=pick)
    def requeue(self, cluster: int, which: int) -> None:
        found = self._some(cluster, "RUNNING", which)
        if found and not self.world.is_of_earlier_version(*found):
            self._checked(lambda: found[0].requeue(found[1]))

    @rule(cluster=pick, mode=pick)
    def misbehave(self, cluster: int, mode: int) -> None:
        self.world.clusters[self._cluster(cluster)].tell(mode=self.modes[mode % len(self.modes)])

    @rule(cluster=pick, fault=st.sampled_from(SUBMIT_FAULTS))
    def fail_submission(self, cluster: int, fault: str) -> None:
        self.world.clusters[self._cluster(cluster)].tell(submit_fault=fault)

    @rule(cluster=pick, accounts=pick)
    def keep_accounts(self, cluster: int, accounts: int) -> None:
        choice = self.with_accounts[accounts % len(self.with_accounts)]
        self.world.clusters[self._cluster(cluster)].tell(accounts=choice)


class TwoVersions(Machine):
    """The same on one cluster, with somebody who still has the earlier version of the program."""

    people = ("ann", EARLIER)
    clusters = ("amber",)


def play(machine: type[Machine], steps: int, *, random: bool = False) -> None:
    """Plays about so many steps; raises what a step that must not happen raises."""
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=max(steps // LENGTH, 1),
            stateful_step_count=LENGTH,
            deadline=None,
            derandomize=not random,
            suppress_health_check=list(HealthCheck),
            phases=(Phase.explicit, Phase.generate),
            print_blob=True,
        ),
    )


@pytest.mark.timeout(0)
@pytest.mark.parametrize(("machine", "share"), [(Machine, 0.7), (TwoVersions, 0.3)])
def test_each_job_runs_once_and_none_is_lost_whatever_people_and_machines_do(
    machine: type[Machine],
    share: float,
    earlier: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    monkeypatch.setattr(machine, "earlier", earlier)
    random = request.config.getoption("hypothesis_seed", None) is not None
    play(machine, int(STEPS * share), random=random)
