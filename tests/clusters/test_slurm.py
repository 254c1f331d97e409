"""The Slurm executor on a real Slurm."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from paraschut_core.executors.batch.base import BatchExecutor
from paraschut_core.model import ENDED, HELD, QUEUED, RUNNING, STUCK
from tests.clusters.clusters import Slurm
from tests.clusters.suite import (
    WAIT,
    OwnClusterSuite,
    assert_job_dir_works,
    executor,
    explained,
    live,
    submit,
    wait_for_end,
)
from tests.clusters.tools import read, spec, specs
from tests.helpers import wait_until

__all__ = ["executor"]

pytestmark = [pytest.mark.cluster("slurm"), pytest.mark.xdist_group("slurm")]


@pytest.fixture
def cluster(slurm_cluster: Slurm) -> Slurm:
    return slurm_cluster


class TestSlurm(OwnClusterSuite):
    def test_the_clusters_limit_on_arrays_is_kept(self, in_cluster: Slurm, work: Path) -> None:
        assert in_cluster.executor(work, submit={"array_size": 1_000_000}).max_batch_size() == 20_000
        assert in_cluster.executor(work, submit={"array_size": 50}).max_batch_size() == 50
        assert in_cluster.executor(work, submit={"arrays": False}).max_batch_size() == 1

    def test_the_time_limit_is_told_in_the_log_and_as_the_reason(
        self, executor: BatchExecutor, in_cluster: Slurm, work: Path
    ) -> None:
        jobs = [spec(work, "sleep 600", resources={"walltime": 60}), *specs(work, ["sleep 600"] * 2)]
        ids = [*submit(executor, jobs[:1]), *submit(executor, jobs[1:])]
        wait_until(lambda: [live(executor)[i].state for i in ids] == [RUNNING] * 3, "they run")
        for id_ in ids:
            in_cluster.run("scontrol", "update", f"jobid={id_}", "EndTime=now+2")
        wait_for_end(executor, ids)
        endings = explained(executor, ids)
        assert all(endings[id_].reason.startswith("time limit") for id_ in ids)
        assert all("DUE TO TIME LIMIT" in endings[id_].record["log"] for id_ in ids)
        # Slurm lets a job tidy up before the kill: there its script hands the message on.
        assert all("DUE TO TIME LIMIT" in read(job.stderr) for job in jobs)

    def test_directives_of_a_jobs_own_script_count(
        self, executor: BatchExecutor, in_cluster: Slurm, work: Path
    ) -> None:
        path = work / "own.sh"
        path.write_text(
            "#!/bin/bash\n#SBATCH -t 7 --comment='a b'\n#SBATCH --mem-per-cpu=100M -J mine\necho ran\n"
        )
        path.chmod(0o755)
        executor.resources = {"mem": "1gb", "walltime": "00:03:00"}
        jobs = specs(work, [str(path)] * 2, directives=in_cluster.held)
        ids = submit(executor, jobs)
        for id_ in ids:
            shown = executor.get_job_summary(id_)
            assert (shown["TimeLimit"], shown["Comment"].strip(), shown["MinMemoryCPU"]) == (
                "00:07:00",
                "a b",
                "100M",
            )
        assert executor.delete_many({id_: {} for id_ in ids})[ids[0]].gone

    def test_the_users_defaults_of_sbatch_count(
        self, executor: BatchExecutor, in_cluster: Slurm, work: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        given = {
            "PARTITION": "short",
            "TIMELIMIT": "4",
            "MEM_PER_CPU": "100M",
            "OUTPUT": "/no/such",
            "WAIT": "1",
        }
        for name, value in given.items():
            monkeypatch.setenv(f"SBATCH_{name}", value)
        plain, own = (
            spec(work, "true", directives=in_cluster.held),
            spec(work, "true", queue="main", resources={"mem": "90mb"}, directives=in_cluster.held),
        )
        for job, wanted in ((plain, ("short", "00:04:00")), (own, ("main", "00:04:00"))):
            (id_,) = submit(executor, [job])
            shown = executor.get_job_summary(id_)
            assert (shown["Partition"], shown["TimeLimit"]) == wanted
            assert executor.delete_many({id_: {}})[id_].gone

    def test_too_much_memory_is_told(self, executor: BatchExecutor, work: Path) -> None:
        eat = f"{sys.executable} -c 'import time; x = b\"x\" * 400_000_000; time.sleep(600)'"
        (id_,) = submit(executor, [spec(work, eat, resources={"mem": "100mb"})])
        wait_for_end(executor, [id_])
        assert explained(executor, [id_])[id_].reason.startswith("out of memory")

    def test_a_lost_node_is_told_and_a_requeued_job_knows(
        self, executor: BatchExecutor, in_cluster: Slurm, work: Path
    ) -> None:
        tell = (
            f"{sys.executable} -c "
            "'import paraschut_core.executors.batch.slurm as m; print(m.restart_count())'"
        )
        lost = spec(work, "sleep 600", directives=["--no-requeue", "-w", "n2"])
        again = spec(work, f"{tell} >> restarts; {WAIT}", directives=["--requeue", "-w", "n2"])
        ids = [*submit(executor, [lost]), *submit(executor, [again])]
        wait_until(lambda: read(work / "restarts") == "0\n", "the second runs for the first time")
        in_cluster.run("scontrol", "update", "nodename=n2", "state=down", "reason=test")
        down_at = time.time()
        wait_for_end(executor, ids[:1])
        assert explained(executor, ids[:1])[ids[0]].reason == "node failed: n2"
        assert wait_until(lambda: live(executor)[ids[1]], "the second is still there").state == QUEUED
        assert live(executor)[ids[1]].token == again.token
        wait_until(lambda: "down" not in in_cluster.run("sinfo", "-h", "-n", "n2", "-o", "%T"), "n2 is back")
        # Slurm counts in seconds: a start within that of the kill would be taken for the killed one.
        wait_until(lambda: time.time() > down_at + 2, "the second of the kill is over")
        in_cluster.run("scontrol", "update", f"jobid={ids[1]}", "StartTime=now")
        wait_until(lambda: read(work / "restarts") == "0\n1\n", "it runs again and knows", 120)
        (work / "go").touch()
        wait_for_end(executor, ids[1:])
        assert explained(executor, ids[1:])[ids[1]].exit_status == 0

    def test_a_dead_node_daemon_does_not_end_its_jobs(
        self, executor: BatchExecutor, in_cluster: Slurm, work: Path
    ) -> None:
        (id_,) = submit(executor, [spec(work, f"{WAIT}; exit 3", directives=["-w", "n1"])])
        wait_until(lambda: executor.poll()[id_].state == RUNNING, "it runs")
        in_cluster.kill_node("n1")
        try:
            assert executor.poll()[id_].state == RUNNING
            (work / "go").touch()
            ending = wait_until(
                lambda: executor.get_exit_info([id_], time.time() - 3600).get(id_),
                "its own record tells its end",
            )
            assert ending.exit_status == 3
        finally:
            in_cluster.restart_node("n1")
        wait_for_end(executor, [id_])
        assert explained(executor, [id_])[id_].exit_status == 3

    def test_what_can_never_start_is_stuck_and_says_why(
        self, executor: BatchExecutor, in_cluster: Slurm, work: Path
    ) -> None:
        (failed,) = submit(executor, [spec(work, "exit 1")])
        after = [f"--dependency=afterok:{failed}", "--kill-on-invalid-dep=no"]
        jobs = [
            spec(work, "true", queue="short", resources={"walltime": "01:00:00"}),
            spec(work, "true", directives=after),
        ]
        ids = [id_ for job in jobs for id_ in submit(executor, [job])]
        reasons = ["PartitionTimeLimit", "DependencyNeverSatisfied"]
        wait_until(lambda: [executor.poll()[id_].reason for id_ in ids] == reasons, "both have reasons")
        assert [executor.poll()[id_].state for id_ in ids] == [STUCK] * 2

    def test_what_an_operator_does_to_a_job_is_seen(
        self, executor: BatchExecutor, in_cluster: Slurm, work: Path
    ) -> None:
        (id_,) = submit(executor, [spec(work, "sleep 600", directives=["--requeue"])])

        def becomes(state: str) -> None:
            wait_until(lambda: executor.poll()[id_].state == state, f"it is {state}")

        becomes(RUNNING)
        in_cluster.run("scontrol", "suspend", id_)
        becomes(HELD)
        in_cluster.run("scontrol", "resume", id_)
        becomes(RUNNING)
        in_cluster.run("scontrol", "requeuehold", id_)
        becomes(HELD)
        assert "held" in executor.poll()[id_].reason
        in_cluster.run("scontrol", "release", id_)
        becomes(QUEUED)
        assert executor.delete_many({id_: {}})[id_].gone

    def test_an_impossible_request_is_refused_and_its_remains_are_not_taken_for_a_job(
        self, executor: BatchExecutor, work: Path
    ) -> None:
        job = spec(work, "true", resources={"mem": "999gb"})
        (refused,) = executor.submit_many([job])
        assert (refused.id, refused.certain) == (None, True)
        assert "Memory specification can not be satisfied" in refused.error
        left = [j for j in executor.poll().values() if j.token == job.token]
        assert [j.state for j in left] in ([], [ENDED])

    def test_defaults_in_the_users_environment_change_nothing(
        self, executor: BatchExecutor, work: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name, value in {
            "SQUEUE_FORMAT": "%j",
            "SQUEUE_STATES": "RUNNING",
            "SQUEUE_USERS": "nobody",
            "SBATCH_PARTITION": "nosuch",
            "SBATCH_JOB_NAME": "other",
            "SLURM_TIME_FORMAT": "relative",
            "SLURM_JOB_ID": "4242",
            "SLURM_NTASKS": "100",
        }.items():
            monkeypatch.setenv(name, value)
        job = spec(work, WAIT)
        (id_,) = submit(executor, [job])
        assert live(executor)[id_].token == job.token
        (work / "go").touch()
        wait_for_end(executor, [id_])
        assert explained(executor, [id_])[id_].exit_status == 0

    def test_what_a_job_asks_for_arrives(
        self, executor: BatchExecutor, in_cluster: Slurm, work: Path
    ) -> None:
        """Neutral names, v0.6's, Slurm's own, raw directives, and a default that is dropped."""
        executor.resources = {"walltime": "00:04:00", "constraint": "no-such-feature"}
        shown = "%P|%D|%C|%m|%l|%b|%y|%h|%k"
        for resources, told in [
            (
                {"cpus": 2, "mem": "1gb", "walltime": "1h30m", "gpus": 1, "nodes": 2, "priority": -7},
                "short|2|4|1G|1:30:00|gres:gpu:1|7|OK|a b",
            ),
            (
                {"smp": 3, "pmem": "200mb", "cput": "01:00:00", "vmem": "3gb"},
                "short|1|3|200M|4:00|N/A|0|OK|a b",
            ),
            ({"exclusive": True, "walltime": None, "gpus": 0}, "short|1|1|64M|5:00|N/A|0|NO|a b"),
            ({"mem_per_cpu": "100M", "ntasks": 2}, "short|1|2|100M|4:00|N/A|0|OK|a b"),
        ]:
            job = spec(
                work,
                "true",
                queue="short",
                resources={"constraint": "", **resources},
                directives=["--hold", "--comment=a b"],
            )
            (id_,) = submit(executor, [job])
            assert in_cluster.run("squeue", "-h", "-j", id_, "-o", shown).strip() == told

    def test_a_limit_on_tasks_that_the_cluster_set_today_is_kept_all_the_same(
        self, in_cluster: Slurm, work: Path
    ) -> None:
        executor = in_cluster.executor(work)
        assert executor.max_batch_size() == 1000
        with in_cluster.configured("max_array_tasks", "20"):
            assert in_cluster.executor(work / "other").max_batch_size() == 20
            outcomes = executor.submit_many(specs(work, ["true"] * 100, directives=in_cluster.held))
        assert [outcome.id is not None for outcome in outcomes] == [True] * 6 + [False] * 94
        assert all(outcome.certain and "Invalid job array" in outcome.error for outcome in outcomes[6:])
        assert len(live(executor)) == 6

    def test_submitting_keeps_to_the_rate(self, in_cluster: Slurm, work: Path) -> None:
        executor = in_cluster.executor(work, submit={"rate": 2.0})
        began = time.monotonic()
        for _ in range(3):
            submit(executor, [spec(work, "true", directives=in_cluster.held)])
        assert time.monotonic() - began >= 1.0

    def test_a_strange_job_dir_is_no_obstacle(self, in_cluster: Slurm, work: Path) -> None:
        assert_job_dir_works(in_cluster, work / 'it\'s 100%j {task} $HOME a:b,c "日本"')
        assert "do not take \\ in paths" in in_cluster.executor(work / "a\\b").check({"script": "true"})
