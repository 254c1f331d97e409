"""The whole path from a user's call to a finished job, on one machine and on every scheduler."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import paraschut_core as psu
from paraschut_core.demo.pipeline import make_project
from paraschut_core.demo.scripts.map import count
from paraschut_core.model import HELD, QUEUED
from tests.clusters.tools import NASTY, environment_in, read
from tests.clusters.whole_path_place import CLUSTERS, WAIT, Place, cluster, forget_counts, has_ended, place
from tests.core.cli import CommandLine
from tests.helpers import wait_until

__all__ = ["cluster", "place"]

on_clusters = pytest.mark.parametrize("cluster", CLUSTERS, indirect=True)

MAP = """
info = psu.get_job_info(SetID=True)
info["part"] = sum(info["numbers"])
psu.set_complete(JobInfo=info, Submit=True)
"""

REDUCE = """
info = psu.get_job_info(SetID=True)
info["total"] = sum(psu.get_job_info(info["BatchID"], index)["part"] for index in info["parts"])
psu.set_complete(JobInfo=info)
"""


def test_the_last_map_job_submits_the_reduce_job_from_its_node(place: Place) -> None:
    place.script("map.py", MAP)
    maps = [{"script": "./map.py", "priority": 2, "numbers": [n, 10 * n]} for n in range(4)]
    reduce = {"script": place.script("reduce.py", REDUCE), "priority": 1, "parts": list(range(4))}
    batch = place.make(*maps, reduce)
    psu.submit_jobs()
    ids = place.ids(batch)
    assert list(ids) == [0, 1, 2, 3]
    place.wait_for(batch, "complete")
    assert psu.get_job_info(batch, 4)["total"] == 11 * (0 + 1 + 2 + 3)
    ((who,),) = place.sql("SELECT who FROM event WHERE JobIndex = 4 AND why = 'submitted'")
    assert who.rpartition(" ")[2].strip("()") in ids.values()
    assert psu.get_job_info(batch, 4)["qstat"]
    assert [step[:2] for step in place.history(batch, 4)] == [
        ("init", "submit"),
        ("submit", "run"),
        ("run", "complete"),
    ]


def test_the_demo_runs_one_of_its_jobs_fails_and_runs_again_and_the_result_is_made(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = place.folder / "demo"
    make_project(str(folder), jobs=3)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PARASCHUT_EXECUTOR", place.executor_name)
    demo = CommandLine(
        folder, (folder / "paraschut.toml").read_text() + "grace = 0.0\n[local]\nidle_timeout = 0.5\n"
    )
    batch = min(psu.get_queue(Verbose=False))
    files = ["abc.py", "bisect.py"]
    psu.set_job_field(batch, range(3), {"files": files, "pause": 0})
    psu.submit_one_batch(batch)
    lost = {f"{batch}/1": "exit status 3"}

    def reasons() -> dict[str, str]:
        found = demo("queue", "--json", "--poll").json["reasons"]
        return {key: missing["reason"] for key, missing in found.items()}

    wait_until(lambda: reasons() == lost, "the job whose file is not there has failed", 120)
    assert "FileNotFoundError" in demo("log", batch, 1, "--stderr").out
    assert demo("resubmit", batch, 1, "--yes", "--json").json["done"] == [[batch, 1]]
    wait_until(lambda: set(demo.states(batch).values()) == {"complete"}, "all are complete", 120)
    source = Path(psu.get_job_info(batch, 0)["source"])
    counted = sum(sum(count(str(source / name)).values()) for name in files)
    assert json.loads((folder / "result.json").read_text())["identifiers"] == 3 * counted


def test_plain_commands_run_in_order_and_chain_themselves(place: Place) -> None:
    first = place("add", "--json", "--name", "letters/count", "--priority", 2, "--range", "0-2", "--chain",
                  "echo {JobIndex} >> order; echo done {JobIndex}").json["BatchID"]  # fmt: skip
    place("add", "--batch", first, "--priority", 1, "--", "sh", "-c", "echo last >> order")
    assert "submitted: 3" in place.process("submit").out
    place.wait_for(first, "complete")
    assert sorted(place.lines("order")) == ["0", "1", "2", "last"]
    assert place.lines("order")[-1] == "last"
    assert "done 1" in place("log", first, 1).out
    report = place("queue", "--json", "--poll").json
    assert (report["counts"]["complete"], report["counts"]["missing"]) == (4, 0)


def test_fifty_jobs_are_one_command_and_each_has_its_own_log_values_and_directory(place: Place) -> None:
    (place.folder / "a place").mkdir()
    values = {name: value for name, value in NASTY.items() if name != "NOT_UTF8"}
    own = [{"vars": {**values, "OWN": f"{index},\n'"}} for index in range(50)]
    batch = place.make(
        *own,
        script='env -0 > "env$PARASCHUT_JOB_INDEX"; pwd; echo "$OWN" >&2',
        cwd=str(place.folder / "a place"),
    )
    forget_counts()
    psu.submit_jobs()
    if place.name != "local":
        assert place.counts()[place.words.submit] == (1 if place.has_arrays else 50)
    ids = place.ids(batch)
    assert list(ids) == list(range(50))
    assert len(set(ids.values())) == 50
    written = [place.folder / "a place" / f"env{index}" for index in range(50)]
    wait_until(lambda: all(path.exists() for path in written), "all have run", 120)
    wait_until(lambda: not place.queue(), "all have ended", 120)
    for index, path in enumerate(written):
        info = psu.get_job_info(batch, index)
        found = environment_in(path)
        assert {name: found.get(name) for name in info["vars"]} == info["vars"] == own[index]["vars"]
        stem = f"{place.folder}/{batch}/logs/human_genome_map_{index:04d}_{info['subtime']}.0"
        assert (info["stdout"], info["stderr"]) == ([f"{stem}.out"], [f"{stem}.err"])
        assert read(f"{stem}.out") == f"{place.folder}/a place\n"
        # What the user's own profile says in a login shell comes after it.
        assert read(f"{stem}.err").startswith(f"{index},\n'\n")


DELETES = {"local": 0, "slurm": 1, "sge": 1, "torque": 5, "pbs": 2}
"""Commands that delete one task of an array and all four of another: PBS takes tasks in a row at once."""

LOOKS = {"local": 0, "torque": 3}
"""Commands that look at the queue before that (else 1): Slurm's qstat turns out to have no wide table."""


def test_deleted_jobs_leave_the_queue_and_go_back_to_init_with_their_ids_in_the_history(place: Place) -> None:
    done = place.script("done.py", "psu.get_job_info(SetID=True); psu.set_complete()")
    running = place.script(
        "running.py",
        "psu.get_job_info(SetID=True); open('pid', 'w').write(str(os.getpid())); time.sleep(600)",
    )
    waits = place.held() if place.name != "local" else {"script": "sleep 600"}
    batch = place.make({"script": done}, {"script": running}, *[{"script": "true", **waits}] * 4)
    never = place.make({"script": "true"})
    psu.submit_one_batch(batch)
    pid = place.wait_for_process("pid")
    wait_until(lambda: place.states(batch)[0] == "complete", "the first is complete", 120)
    ids = place.ids(batch)
    assert set(ids) == {1, 2, 3, 4, 5}
    forget_counts()
    report = place("qdel", f"{batch},{never}", "--yes", "--json").json
    assert sum(place.counts().values()) == LOOKS.get(place.name, 1) + DELETES[place.name]
    assert report["done"] == [[batch, index] for index in range(1, 6)]
    assert report["left"] == [[batch, 0, "it is complete"], [never, 0, "it is not in the queue"]]
    wait_until(lambda: not place.queue(), "the scheduler holds none of them")
    wait_until(lambda: has_ended(pid), "the running one's process has ended")
    assert place.states(batch) == {0: "complete", **dict.fromkeys(range(1, 6), "init")}
    assert place.sql("SELECT count(*) FROM job WHERE submit_id IS NOT NULL OR ClusterID IS NOT NULL") == [
        (0,)
    ]
    told = [event for event in place("history", batch, "--json").json if event["why"] == "qdel"]
    assert {event["JobIndex"]: event["ids"]["submit_id"] for event in told} == ids
    assert f"(was {ids[1]})" in place("history", batch, 1).out
    assert place.reasons() == {}


SPAWNS = """
info = psu.get_job_info(SetID=True)
if info["state"] != "spawn":
    info = psu.spawn_submit(info, 4)
(number,) = info["SpawnID"]
with open("spawns", "a") as file:
    file.write(f"{number} {info['ClusterID'][0]}\\n")
while not os.path.exists("go"):
    time.sleep(0.1)
info = psu.spawn_complete(info)
if info["state"] == "complete":
    info["spawned"] = len(info["SpawnID"])
    psu.set_complete(JobInfo=info)
    with open("last", "a") as file:
        file.write(f"{number}\\n")
"""


def test_a_job_multiplies_itself_a_lost_spawn_is_replaced_and_the_last_completes_the_job_once(
    place: Place,
) -> None:
    # All run at once, however few CPUs that cluster has.
    light = {"resources": {"select": "1:ncpus=0"}} if place.name == "pbs" else {}
    batch = place.make({"script": place.script("spawn.py", SPAWNS), **light})
    psu.submit_jobs()
    wait_until(lambda: len(place.lines("spawns")) == 5, "five processes run", 120)
    running = dict(line.split() for line in place.lines("spawns"))
    info = psu.spawn_get_info(batch, 0)
    assert {str(n): id_ for n, id_ in zip(info["SpawnID"], info["ClusterID"], strict=True)} == running
    assert info["spawn_state"] == ["run"] * 5
    wait_until(lambda: "0*****" in place("queue", "--poll").out, "the report shows five stars")
    place.kill_in_queue(running["3"])
    wait_until(lambda: running["3"] not in place.queue(), "the third has left the queue")
    assert psu.spawn_resubmit(batch, 0) == 1
    wait_until(lambda: len(place.lines("spawns")) == 6, "its replacement runs", 120)
    number, replacement = place.lines("spawns")[5].split()
    assert number == "3"
    assert replacement not in running.values()
    assert psu.spawn_resubmit(batch, 0) == 0
    place.go()
    place.wait_for(batch, "complete")
    wait_until(lambda: not place.queue(), "all have ended")
    assert len(place.lines("last")) == 1
    assert psu.get_job_info(batch, 0)["spawned"] == 5
    assert [why for _, after, why in place.history(batch, 0) if after == "complete"] == ["completed"]


@on_clusters
def test_another_executor_neither_judges_nor_deletes_what_the_cluster_has(place: Place) -> None:
    batch = place.make(*[{"script": "true", **place.held()}] * 2)
    psu.submit_one_batch(batch)
    place.configure(executor="local")
    local = place.make({"script": WAIT})
    psu.submit_one_batch(local)
    report = [place("queue", "--json", "--poll").json for _ in range(3)][-1]
    assert report["reasons"] == {}
    (there,) = {report["elsewhere"].pop(f"{batch}/{index}") for index in (0, 1)}
    assert report["elsewhere"] == {}
    assert there.partition("@")[0] == place.executor_name
    assert f"2 submitted to {there}, of which local cannot tell\n" in place("queue").out
    for verb in ("qdel", "reset", "resubmit"):
        report = place(verb, batch, "--yes", "--json", status=None).json
        assert report["done"] == []
        assert [f"it was submitted to {there}, and what is asked here is local" in why
                for _, _, why in (*report["failed"], *report["left"])] == [True, True]  # fmt: skip
    place.configure()
    assert len(place.queue()) == 2
    report = place("queue", "--json", "--poll").json
    assert report["reasons"] == {}
    assert [(key, name.partition("@")[0]) for key, name in report["elsewhere"].items()] == [
        (f"{local}/0", "local")
    ]
    assert len(place("qdel", batch, "--yes", "--json").json["done"]) == 2
    place.go()


HELD_BACK = {
    "local": "2 queued: waits for a free slot: 6 running, 6 at once",
    "slurm": "[12] queued: (Resources|Priority)",
    "torque": "2 queued",
    "sge": "2 queued",
    "pbs": "2 held",
}


def test_a_dashboard_sees_what_is_live_missing_and_held_back_and_why(place: Place) -> None:
    run = place.script("run.py", f"psu.get_job_info(SetID=True); os.system({WAIT!r}); psu.set_complete()")
    working = place.make({"script": run}, {"script": "exit 3"}, {"script": "true", "priority": 0})
    fits_once = {} if place.name == "local" else {"resources": dict(place.cluster.too_much)}
    waits = place.held() if place.name == "pbs" else fits_once  # nobody knows how much that cluster has
    first = place.make(*[{"script": WAIT}] * (5 if place.name == "local" else 1), **fits_once)
    waiting = place.make({"script": "true"}, {"script": "true"}, **waits)
    psu.submit_one_batch([working, first])
    monitor = place.monitor()
    try:
        wait_until(lambda: (working, 1) in monitor.poll().missing, "the failed one is seen missing", 120)
        wait_until(lambda: (first, 0) in place.running(monitor), "the cluster is full", 120)
        psu.submit_one_batch(waiting)
        why = HELD_BACK[place.name]  # Slurm tells only once it has looked at the job
        snapshot = wait_until(
            lambda: re.fullmatch(why, (s := monitor.poll()).blocked.get(waiting, "")) and s,
            "it is held back",
        )
        assert snapshot
        assert (working, 0) in place.running(monitor)
        assert snapshot.missing.keys() == {(working, 1)}
        assert snapshot.missing[working, 1].reason == "exit status 3"
        assert snapshot.missing[working, 1].exit_status == 3
        assert {snapshot.live[waiting, index].state for index in (0, 1)} == {
            HELD if place.name == "pbs" else QUEUED
        }
        assert snapshot.blocked[working] == "waits for priority 1"
        assert first not in snapshot.blocked
        assert (snapshot.scheduler.executor, snapshot.scheduler.error) == (place.executor_name, "")
        assert snapshot.scheduler.failing_since is None
        place.go()
        wait_until(lambda: (working, 0) not in monitor.poll().live, "the first has ended", 120)
        assert monitor.poll().blocked[working] == "1 missing holds back the next group"
    finally:
        monitor.close()


def test_the_doctor_finds_the_scheduler_well_and_a_probe_sees_the_database_from_a_node(place: Place) -> None:
    place("add", "true")
    findings = place("doctor", "--probe", "--json").json
    assert {f["verdict"] for f in findings} <= {"ok", "warn"}
    told = {
        what: [f["detail"] for f in findings if f["what"] == what] for what in ("probe", place.executor_name)
    }
    assert "the lock of the other host is seen" in told["probe"][0]
    if place.name == "slurm":
        assert any(line.startswith("Slurm ") for line in told["slurm"])
        assert any(line.startswith("partition main* up") for line in told["slurm"])
    elif place.executor_name == "pbs":
        assert told["pbs"][0].startswith("PBS ")
        assert any(line.startswith("queue ") for line in told["pbs"])
    elif place.name == "sge":
        assert told["sge"][0].startswith("Grid Engine ")
        assert "queue all.q: slots 16, time limit none" in told["sge"]
    wait_until(lambda: not place.queue(), "the probe job is over")
    assert place.sql("SELECT count(*) FROM job") == [(1,)]
