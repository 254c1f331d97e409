"""What users are told when jobs end badly, a controller goes away or a node dies; nothing is lost."""

from __future__ import annotations

import os
import re
import sys
import time

import psutil
import pytest

import paraschut_core as psu
from paraschut_core.model import RUNNING
from tests.clusters.whole_path_place import (
    CLUSTERS,
    OWN,
    WAIT,
    Place,
    cluster,
    forget_counts,
    has_ended,
    place,
)
from tests.helpers import as_added, wait_until
from tests.terminal.screen import Terminal, paraschut

__all__ = ["cluster", "place"]

on_clusters = pytest.mark.parametrize("cluster", CLUSTERS, indirect=True)
on_own_clusters = pytest.mark.parametrize("cluster", OWN, indirect=True)

CANCELLED = {
    "local": "deleted",
    "slurm": "cancelled",
    "torque": "killed by signal 15 (SIGTERM)",
    "sge": "killed by signal 9 (SIGKILL)",
    "pbs": ("cancelled by ", "killed by signal 15 (SIGTERM)"),
}
"""How the end of a running job is told that its user deleted behind our back, as far as accounts can tell.
PBS keeps a history or does not."""

TRAPPED = {**CANCELLED, "torque": "exit status 0 after SIGTERM"}
"""The same of a program that ends with 0 when it is told to: where nobody else tells, its own record does."""

EAT = f"exec {sys.executable} -c 'import time; x = b\"x\" * 600_000_000; time.sleep(600)'"


def test_what_ended_badly_is_missing_with_its_reason_and_the_accounts_are_asked_once(place: Place) -> None:
    wrapped = place.script("wrapped.py", "psu.get_job_info(SetID=True); sys.exit(4)")
    jobs = [
        ({"script": "exit 3"}, "exit status 3", 3),
        ({"script": "kill -9 $$"}, "killed by signal 9 (SIGKILL)", None),
        ({"script": wrapped}, "exit status 4", 4),
        ({"script": "true"}, "exit status 0 without set_complete", 0),
        (
            {"script": "sleep 600", "resources": {"walltime": 60 if place.on_slurm else 2}},
            "time limit",
            None,
        ),
    ]
    jobs.append(({"script": "sleep 600"}, CANCELLED[place.name], None))
    if place.on_slurm:
        jobs.append(({"script": EAT, "resources": {"mem": "100mb"}}, "out of memory", None))
    elif place.name == "sge":
        jobs.append(({"script": EAT, "resources": {"vmem": "300mb"}}, "", None))
    # The same of commands of `add`, whose status is their end.
    jobs += [
        ({"script": as_added("exit 3")}, "exit status 3", 3),
        ({"script": as_added("kill -9 $$")}, "killed by signal 9 (SIGKILL)", None),
        (
            {"script": as_added("trap 'exit 0' TERM; while :; do sleep 0.1; done")},
            TRAPPED[place.name],
            0 if place.name == "torque" else None,
        ),
    ]
    well = len(jobs)
    jobs.append(({"script": as_added("true")}, "", 0))
    batch = place.make(*(job for job, _, _ in jobs))
    psu.submit_jobs()
    if place.on_slurm:  # whose limits are minutes
        late = place.ids(batch)[4]
        wait_until(lambda: place.queue()[late].state == RUNNING, "it runs", 120)
        place.cluster.run("scontrol", "update", f"jobid={late}", "EndTime=now+1")
    cancelled = place.ids(batch)[5]
    wait_until(lambda: place.queue()[cancelled].state == RUNNING, "it runs", 120)
    place.kill_in_queue(cancelled)
    trapped = place.ids(batch)[well - 1]
    wait_until(lambda: place.queue()[trapped].state == RUNNING, "it runs", 120)
    place.kill_in_queue(trapped)
    wait_until(lambda: not place.queue(), "all have ended", 120)
    attempts = 2 if place.name == "torque" else 0  # by which is learnt that Slurm's qstat has no wide table
    monitor = place.monitor()
    try:
        forget_counts()
        monitor.poll()
        first = monitor.poll()
        if place.name == "slurm":  # without accounts: the controller's own memory is asked after them
            assert place.counts() == {"squeue": 2 + 1, "sacct": 1}
        elif place.name == "sge":
            assert place.counts() == {"qstat": 2, "qacct": 1}
        elif place.executor_name == "pbs":
            # Slurm's qstat tells no ends: it is asked while the jobs are silent, and when they are missing.
            assert place.counts() == {"qstat": attempts + 2 + (2 if place.name == "torque" else 1)}
        forget_counts()
        again = [monitor.poll() for _ in range(3)][-1]
        assert place.counts() == ({} if place.name == "local" else {place.words.list: 3})
    finally:
        monitor.close()
    assert first.missing == again.missing
    assert [key.job_index for key in sorted(again.missing)] == list(range(well))
    assert place.states(batch)[well] == "complete"
    for index, (_, reason, status) in enumerate(jobs[:well]):
        lost = again.missing[batch, index]
        assert lost.reason.startswith(reason), (index, lost)
        told = [why for _, _, why in place.history(batch, index) if why.startswith("ended: ")]
        assert told[-1] == f"ended: {lost.reason}"
        assert len(told) == 1 or (index == well - 1 and len(told) == 2), "its own record may come first"
        if place.name != "local" and index < 3:
            assert psu.get_job_info(batch, index)["qstat"], "the scheduler's record, or the script's own"
        assert lost.exit_status == status or not reason, (index, lost)
    forget_counts()
    report = place("queue", "--json").json
    assert {key: lost["reason"] for key, lost in report["reasons"].items()} == {
        str(key): lost.reason for key, lost in again.missing.items()
    }
    printed = place("queue").out
    assert f"missing jobs: {{{batch}: {list(range(well))}}}" in printed
    assert f"  {batch}/1: killed by signal 9 (SIGKILL)\n" in printed
    vague = (
        1 if place.name == "torque" else 0
    )  # a signal without its sender: each program asks once, for a day
    each = 1 + attempts + vague
    assert place.counts() == ({} if place.name == "local" else {place.words.list: 2 * each})
    assert dict(place.sql("SELECT JobIndex, reason FROM ending ORDER BY 1")) == {
        key.job_index: lost.reason for key, lost in again.missing.items()
    }


# ------------------------------------------------------------------------------------ the controller


@on_own_clusters
def test_while_the_controller_is_dead_nothing_is_missing_and_afterwards_what_ended_is_found(
    place: Place,
) -> None:
    place.configure(poll_timeout=2.5)  # Slurm's commands try for longer
    ends = place.script("ends.py", f"psu.get_job_info(SetID=True); os.system({WAIT!r}); psu.set_complete()")
    held = {"script": "true", **place.held()}
    batch = place.make(
        {"script": ends},
        {"script": f"{WAIT}; exit 3"},
        held,
        {"script": "true", "priority": 0},
        {"script": as_added(WAIT)},
        {"script": as_added(f"{WAIT}; exit 4")},
    )
    psu.submit_one_batch(batch)
    monitor = place.monitor()
    try:
        wait_until(lambda: len(place.running(monitor)) == 4, "four run", 120)
        place.own.wait_until_saved()
        place.own.kill_controller()
        try:
            snapshots = [monitor.poll() for _ in range(2)]
            place.go()
            place.wait_for_states(batch, {0: "complete", 4: "complete"})
            refused = place("submit", status=1)
            assert f"{place.executor_name} does not answer" in refused.err
            assert len(refused.err.splitlines()) == 1
            told = [text for text in place("queue").out.splitlines() if "does not answer" in text]
            assert len(told) == 1
            assert place.words.list in told[0]
            kept = place("qdel", batch, "--yes", "--json", status=1).json
            assert [failure[:2] for failure in kept["failed"]] == [[batch, 1], [batch, 2], [batch, 5]]
            snapshots.append(monitor.poll())
        finally:
            place.own.restart_controller()
        assert [s.missing for s in snapshots[:2]] == [{}] * 2
        assert snapshots[2].missing.keys() <= {(batch, 5)}  # which has said itself how it ended
        since = snapshots[0].scheduler.failing_since
        assert since is not None
        assert {s.scheduler.failing_since for s in snapshots} == {since}
        assert "\n" not in snapshots[0].scheduler.error
        assert place.states(batch) == {
            0: "complete",
            1: "submit",
            2: "submit",
            3: "init",
            4: "complete",
            5: "run",
        }
        found = wait_until(lambda: len((s := monitor.poll()).missing) == 2 and s, "what ended is found", 120)
        assert found
        assert (found.scheduler.failing_since, found.scheduler.error) == (None, "")
        assert {key.job_index: lost.reason for key, lost in found.missing.items()} == {
            1: "exit status 3",
            5: "exit status 4",
        }
        assert [key.job_index for key in found.live] == [2]
    finally:
        monitor.close()


LOST = re.compile("[0-9] missing")
"""What the status bar says when there are such jobs."""


@on_own_clusters
def test_an_open_dashboard_rides_out_the_death_of_the_controller(place: Place) -> None:
    place.configure(poll_timeout=3.0, interval=1.0)
    ends = place.script("ends.py", f"psu.get_job_info(SetID=True); os.system({WAIT!r}); psu.set_complete()")
    batch = place.make({"script": ends}, {"script": "true", **place.held()})
    psu.submit_one_batch(batch)
    place.wait_for_states(batch, {0: "run"})
    place.own.wait_until_saved()
    with Terminal(paraschut(), cwd=place.folder) as dashboard:
        dashboard.wait(f"{place.executor_name}  polled")
        place.own.kill_controller()
        try:
            shown = dashboard.wait(f"{place.executor_name}  not answering since")
            since = re.search("not answering since ([0-9:]+)", shown)
            assert since
            failures = "SELECT failures FROM poll"
            wait_until(lambda: place.sql(failures)[0][0] >= 3, "it was asked again and again")
            place.go()
            place.wait_for_states(batch, {0: "complete"})
            shown = dashboard.wait("1 / 2", "what jobs do while the controller is dead")
            assert f"not answering since {since[1]}" in shown
            assert not LOST.search(shown)
        finally:
            place.own.restart_controller()
        shown = dashboard.wait(f"{place.executor_name}  polled", "that the controller is back", 120)
        assert not LOST.search(shown)
        place.release(batch)
        dashboard.wait(lambda text: bool(LOST.search(text)), "the job that ends without a word", 120)
        dashboard.press("q")
        assert dashboard.wait_end() == 0
    assert place.reasons() == {f"{batch}/1": "exit status 0 without set_complete"}


STRANGE = {
    "an empty list": ("cat <<'END'", "{empty}", "END", "exit 0"),
    "garbage": ("echo 'Connecting to the scheduler...'", "exit 0"),
    "a refusal": ("echo 'Unable to contact the scheduler' >&2", "exit 1"),
    "an unknown user": ("echo 'error: Invalid user id: 1000' >&2", "exit 1"),
    "nothing for minutes": ("exec sleep 120",),
    "half a list": ("$real \"$@\" | head -c 40", "exit 0"),
    "no permission": (),
    "no command": (),
}  # fmt: skip

ONE_LINE = {
    "an empty list": "an empty list, although 2 jobs should be there",
    "garbage": "understood",
    "a refusal": "Unable to contact the scheduler (exit status 1)",
    "an unknown user": "Invalid user id: 1000 (exit status 1)",
    "nothing for minutes": "not answering for 3 s",
    "half a list": "",
    "no permission": "permission denied",
    "no command": "command not found",
}

EMPTY = {
    **dict.fromkeys(("slurm", "torque", "pbs"), ""),
    "sge": "<?xml version='1.0'?><job_info><queue_info></queue_info><job_info></job_info></job_info>",
}


@on_clusters
def test_a_strange_answer_changes_nothing_and_is_said_in_one_line(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.configure(poll_timeout=3.0)
    held = {"script": "true", **place.held()}
    batch = place.make({"script": WAIT}, held, {"script": "exit 3"}, {"script": "true", "priority": 0})
    psu.submit_one_batch(batch)
    path = os.environ["PATH"]
    monitor = place.monitor()
    try:
        wait_until(lambda: (batch, 2) in monitor.poll().missing, "the third has failed", 120)
        wait_until(lambda: place.running(monitor), "the first runs", 120)
        before = place.sql("SELECT * FROM job")
        for what, lines in STRANGE.items():
            stand_in = place.stand_in(
                place.words.list, *(line.format(empty=EMPTY[place.name]) for line in lines)
            )
            if what == "no permission":
                stand_in.chmod(0o644)
            elif what == "no command":
                stand_in.unlink()
            if not lines:
                monkeypatch.setenv("PATH", str(stand_in.parent))
            snapshots = [monitor.poll() for _ in range(2)]
            monkeypatch.setenv("PATH", path)
            assert [[key.job_index for key in s.missing] for s in snapshots] == [[2], [2]], what
            assert [len(s.live) for s in snapshots] == [2, 2], what
            error = snapshots[1].scheduler.error
            assert snapshots[1].scheduler.failing_since is not None, what
            assert error, what
            assert "\n" not in error
            assert ONE_LINE[what] in error, (what, error)
            assert place.sql("SELECT * FROM job") == before, what
            well = monitor.poll().scheduler
            assert (well.failing_since, well.error) == (None, "")
        monkeypatch.setenv("PATH", str(place.folder))
        assert "jobs cannot be submitted from this host" in place("submit", status=1).err
        assert place.sql("SELECT * FROM job") == before
    finally:
        monitor.close()
    place.go()


# ------------------------------------------------------------------------------------ nodes


WORKS = """
info = psu.get_job_info(SetID=True)
with open("attempts", "a") as file:
    file.write(f"{info['attempt']} {info['ClusterID']}\\n")
with open("pid", "w") as file:
    file.write(str(os.getpid()))
if info["attempt"] == 1:
    time.sleep(600)
psu.set_complete(JobInfo=info)
"""


def kill_with_its_shepherd(pid: int) -> None:
    """What the end of its node does to a job: its processes are gone, and with them who would tell of it."""
    job = psutil.Process(pid)
    doomed = [job]
    for parent in job.parents():
        doomed.append(parent)
        if parent.name() in ("slurmstepd", "sge_shepherd"):
            break
    else:
        raise AssertionError(f"no shepherd among {doomed}")
    for process in reversed(doomed):
        process.kill()


@on_own_clusters
def test_a_job_on_a_node_that_died_is_missing_once_the_scheduler_says_so(place: Place) -> None:
    on_one_node = ON_ONE_NODE.get(place.name, ["-r", "n"])
    batch = place.make({"script": place.script("works.py", WORKS)}, directives=on_one_node)
    psu.submit_jobs()
    pid = place.wait_for_process("pid")
    monitor = place.monitor()
    try:
        wait_until(lambda: place.running(monitor), "the scheduler says that it runs", 120)
        place.kill_node()
        try:
            kill_with_its_shepherd(pid)
            assert [monitor.poll().missing for _ in range(3)] == [{}] * 3  # nobody knows as yet
            assert place.running(monitor) == {(batch, 0)}
            if place.on_slurm:  # its operator is quicker than its own time-outs
                place.cluster.run("scontrol", "update", "nodename=n2", "state=down", "reason=dead")
                lost = wait_until(lambda: monitor.poll().missing, "the job is lost", 120)
        finally:
            place.restart_node()
        if place.name == "sge":  # which learns it from the node that is back
            lost = wait_until(lambda: monitor.poll().missing, "the job is lost", 120)
        assert DIED[place.name] in lost[batch, 0].reason
        assert place.reasons() == {f"{batch}/0": lost[batch, 0].reason}
        assert place.states(batch) == {0: "run"}
    finally:
        monitor.close()
    assert place("resubmit", "--missing", "--yes", "--json").json["done"] == [[batch, 0]]
    place.wait_for(batch, "complete")
    assert [line.split()[0] for line in place.lines("attempts")] == ["1", "2"]


DIED = {"slurm": "node failed: n2", "torque": "gone from the queue", "sge": "lost on "}

ON_ONE_NODE = {"slurm": ["--no-requeue", "-w", "n2"], "torque": ["-r", "n", "-l", "nodes=n2"]}


@on_own_clusters
def test_a_job_that_the_scheduler_starts_anew_is_a_new_attempt_and_completes_once(place: Place) -> None:
    directives = ["--requeue"] if place.name == "slurm" else ["-r", "y"]
    batch = place.make({"script": place.script("works.py", WORKS)}, directives=directives)
    psu.submit_jobs()
    pid = place.wait_for_process("pid")
    (id_,) = place.ids(batch).values()
    place.requeue(id_)
    wait_until(lambda: has_ended(pid), "the first run has ended")
    monitor = place.monitor()
    try:
        place.start_soon(id_)
        while place.states(batch) != {0: "complete"}:
            assert monitor.poll().missing == {}
            time.sleep(0.1)
    finally:
        monitor.close()
    assert place.lines("attempts") == [f"1 {id_}", f"2 {id_}"]
    info = psu.get_job_info(batch, 0)
    assert info["attempt"] == 2
    assert len(info["stdout"]) == 2
    assert [step for step in place.history(batch, 0) if step[1] in ("run", "complete")] == [
        ("submit", "run", "started"),
        ("run", "run", "requeued by the scheduler"),
        ("run", "complete", "completed"),
    ]
