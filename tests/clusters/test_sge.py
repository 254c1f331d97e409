"""The Grid Engine executor on a real Grid Engine."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from paraschut_core.executors.batch import run_command
from paraschut_core.executors.batch.base import BatchExecutor
from paraschut_core.model import HELD, QUEUED, RUNNING, STUCK
from tests.clusters.clusters import GridEngine
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

pytestmark = [pytest.mark.cluster("sge"), pytest.mark.xdist_group("sge")]


@pytest.fixture
def cluster(sge_cluster: GridEngine) -> GridEngine:
    return sge_cluster


class TestGridEngine(OwnClusterSuite):
    def test_the_clusters_limit_on_arrays_is_kept(self, in_cluster: GridEngine, work: Path) -> None:
        assert in_cluster.executor(work, submit={"array_size": 1_000_000}).max_batch_size() == 75_000

    def test_the_time_limit_is_told(self, executor: BatchExecutor, work: Path) -> None:
        ids = [*submit(executor, specs(work, ["sleep 600"] * 2, resources={"walltime": 2}))]
        wait_for_end(executor, ids)
        assert {ending.reason for ending in explained(executor, ids).values()} == {"time limit 00:00:02"}

    def test_jobs_in_error_state_are_stuck_and_say_why(
        self, executor: BatchExecutor, in_cluster: GridEngine, work: Path
    ) -> None:
        bad = ["-b", "y", "-j", "y", "-o", "/nowhere/out.$TASK_ID"]
        in_cluster.run("qsub", "-terse", "-N", "pab12cd34ef_x", "-t", "1-2", *bad, "true")
        in_cluster.run("qsub", "-terse", "-N", "pab12cd34ee-1_x", *bad, "true")
        wait_until(lambda: [j.state for j in executor.poll().values()] == [STUCK] * 3, "all are stuck")
        executor = in_cluster.executor(work)
        run_command.COUNTS.clear()
        jobs = executor.poll()
        assert dict(run_command.COUNTS) == {"qstat": 2}  # the list, and details of those alone
        assert executor.poll() == jobs
        assert dict(run_command.COUNTS) == {"qstat": 3}  # the details are known
        told = 'can\'t open output file "/nowhere/out.{}": No such file or directory'
        assert {job.token: job.reason for job in jobs.values()} == {
            "ab12cd34ef-1": told.format(1),
            "ab12cd34ef-2": told.format(2),
            "ab12cd34ee-1": told.format(0),
        }
        assert all(outcome.gone for outcome in executor.delete_many({id_: {} for id_ in jobs}).values())
        wait_for_end(executor, list(jobs))

    def test_what_an_operator_does_to_a_job_is_seen(
        self, executor: BatchExecutor, in_cluster: GridEngine, work: Path
    ) -> None:
        (id_,) = submit(executor, [spec(work, "sleep 600", directives=["-r", "y"])])

        def becomes(state: str, reason: str = "") -> None:
            wait_until(
                lambda: (job := executor.poll()[id_]).state == state and job.reason == reason,
                f"it is {state}: {reason}",
            )

        becomes(RUNNING)
        in_cluster.run("qmod", "-sj", id_)
        becomes(HELD, "suspended")
        in_cluster.run("qmod", "-usj", id_)
        becomes(RUNNING)
        in_cluster.run("qmod", "-sq", "all.q")
        try:
            becomes(HELD, "suspended with its queue")
        finally:
            in_cluster.run("qmod", "-usq", "all.q")
        becomes(RUNNING)
        in_cluster.run("qmod", "-rj", id_)
        becomes(QUEUED, "started anew")
        assert executor.delete_many({id_: {}})[id_].gone

    def test_a_dead_node_daemon_does_not_end_its_jobs(
        self, executor: BatchExecutor, in_cluster: GridEngine, work: Path
    ) -> None:
        (id_,) = submit(executor, [spec(work, f"{WAIT}; exit 3")])
        wait_until(lambda: executor.poll()[id_].state == RUNNING, "it runs")
        in_cluster.kill_node()
        try:
            assert executor.poll()[id_].state == RUNNING
            (work / "go").touch()
            ending = wait_until(
                lambda: executor.get_exit_info([id_], time.time() - 3600).get(id_),
                "its own record tells its end",
            )
            assert ending.exit_status == 3
            assert executor.poll()[id_].state == RUNNING  # as far as anybody there knows
        finally:
            in_cluster.restart_node()
        wait_for_end(executor, [id_])
        assert explained(executor, [id_])[id_].exit_status == 3

    def test_the_submitters_search_path_is_carried_over(
        self, executor: BatchExecutor, work: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (work / "bin").mkdir()
        program = work / "bin" / "only-here"
        program.write_text("#!/bin/sh\necho found\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{work}/bin:{Path('/usr/lib/gridengine')}:/usr/bin:/bin")
        job = spec(work, "only-here")
        (id_,) = submit(executor, [job])
        wait_for_end(executor, [id_])
        wait_until(lambda: read(job.stdout) == "found\n", "the program was found")

    def test_lines_of_the_script_that_look_like_directives_are_none(
        self, executor: BatchExecutor, work: Path
    ) -> None:
        job = spec(work, WAIT, environment={"TEXT": "\n#$ -N other\n#$ -h\n"})
        (id_,) = submit(executor, [job])
        wait_until(lambda: live(executor)[id_].state == RUNNING, "it is not on hold")
        assert live(executor)[id_].token == job.token
        (work / "go").touch()
        wait_for_end(executor, [id_])

    def test_several_ended_jobs_are_explained_by_one_reading_of_the_accounts(
        self, executor: BatchExecutor, work: Path
    ) -> None:
        ids = [id_ for n in range(4) for id_ in submit(executor, [spec(work, f"exit {n}")])]
        wait_for_end(executor, ids)
        explained(executor, ids)
        run_command.COUNTS.clear()
        endings = executor.get_exit_info(ids, time.time() - 3600)
        assert dict(run_command.COUNTS) == {"qacct": 1}
        assert [endings[id_].exit_status for id_ in ids] == [0, 1, 2, 3]

    def test_several_submissions_are_looked_up_in_one_reading_of_the_accounts(
        self, executor: BatchExecutor, work: Path
    ) -> None:
        jobs = [spec(work, "true") for _ in range(3)]
        ids = [id_ for job in jobs for id_ in submit(executor, [job])]
        wait_for_end(executor, ids)
        for path in (Path(executor._folder()) / "ended").iterdir():
            path.unlink()  # as on a node that lost its file system before the job could write
        wanted = {job.token: id_ for job, id_ in zip(jobs, ids, strict=True)}
        wait_until(lambda: executor.find_by_token([*wanted, "nosuch-1"]) == wanted, "all are found")
        run_command.COUNTS.clear()
        executor.find_by_token([*wanted])
        assert dict(run_command.COUNTS) == {"qstat": 1, "qacct": 1}

    def test_defaults_in_the_users_files_change_nothing(
        self, executor: BatchExecutor, in_cluster: GridEngine, work: Path
    ) -> None:
        """~/.sge_request and ~/.sge_qstat cannot be written here; the cluster's own files mean the same."""
        common = Path(in_cluster.folder) / "default" / "common"
        (common / "sge_request").write_text("-b y\n-j n\n-N other\n-o /nowhere\n-cwd\n")
        (common / "sge_qstat").write_text("-s r\n-u *\n-g d\n")
        try:
            held = spec(work, "true", directives=in_cluster.held)
            job = spec(work, "echo done")
            ids = [*submit(executor, [held]), *submit(executor, [job])]
            assert executor.poll()[ids[0]].token == held.token
            wait_for_end(executor, ids[1:])
            wait_until(lambda: read(job.stdout) == "done\n", "it ran as it should")
        finally:
            (common / "sge_request").unlink()
            (common / "sge_qstat").unlink()

    def test_what_a_job_asks_for_arrives(
        self, executor: BatchExecutor, in_cluster: GridEngine, work: Path
    ) -> None:
        """Neutral names, v0.6's, the site's own, raw directives, and a default that is dropped."""
        executor.resources = {"walltime": "00:05:00", "no_such_complex": 1}
        for resources, told in [
            (
                {"cpus": 2, "mem": "1gb", "walltime": "1h30m", "priority": -7, "s_rt": "01:00:00"},
                {
                    "hard resource_list": "s_rt=3600,h_rt=5400,mem_free=1024M",
                    "parallel environment": "smp range: 2",
                    "priority": "-7",
                },
            ),
            (
                {"smp": 1, "cput": "01:00:00", "vmem": "3gb", "walltime": None, "gpus": 0},
                {"hard resource_list": "h_cpu=3600,h_vmem=3072M"},
            ),
        ]:
            directives = [*in_cluster.held, "-ac", "lab=a b"]
            job = spec(
                work,
                "true",
                queue="all.q",
                resources={"no_such_complex": "", **resources},
                directives=directives,
            )
            (id_,) = submit(executor, [job])
            shown = executor.get_job_summary(id_)
            wanted = {"hard_queue_list": "all.q", "context": "lab=a b", **told}
            lists = {"hard resource_list"}
            assert {name: shown.get(name) for name in wanted if name not in lists} == {
                name: value for name, value in wanted.items() if name not in lists
            }
            for name in lists:
                assert sorted(shown[name].split(",")) == sorted(wanted[name].split(","))

    def test_limits_are_for_the_whole_job(self, executor: BatchExecutor, work: Path) -> None:
        wanted = {"cpus": 4, "vmem": "2000mb", "cput": "01:00:00"}
        job = spec(work, "ulimit -v; ulimit -t; echo $NSLOTS", resources=wanted)
        wait_for_end(executor, submit(executor, [job]))
        size, seconds, slots = read(job.stdout).split()
        assert (int(size), int(seconds), int(slots)) == (2000 * 1024, 3600, 4)

    def test_memory_that_the_site_counts_is_for_the_whole_job(
        self, executor: BatchExecutor, in_cluster: GridEngine, work: Path
    ) -> None:
        job = spec(work, "echo $NSLOTS", resources={"cpus": 4, "mem": "4gb"})
        with in_cluster.consumable("mem_free", "8G"):
            (id_,) = submit(executor, [job])
            assert executor.get_job_summary(id_)["hard resource_list"] == "mem_free=1024M"
            wait_for_end(executor, [id_])
        assert read(job.stdout) == "4\n"

    def test_directives_of_a_jobs_own_script_count(self, executor: BatchExecutor, work: Path) -> None:
        path = work / "own.sh"
        path.write_text("#!/bin/bash\n#$ -pe smp 2\n#$ -N mine -l h_rt=240,h_vmem=1G\necho $NSLOTS\n")
        path.chmod(0o755)
        job = spec(work, str(path))
        (id_,) = submit(executor, [job])
        shown = executor.get_job_summary(id_)
        assert sorted(shown["hard resource_list"].split(",")) == ["h_rt=240", "h_vmem=1G"]
        wait_for_end(executor, [id_])
        assert read(job.stdout) == "2\n"

    def test_a_strange_job_dir_is_no_obstacle(self, in_cluster: GridEngine, work: Path) -> None:
        assert_job_dir_works(in_cluster, work / 'it\'s 100%j {task} a\\b "日本"')
        for bad in (":", ",", "$"):
            assert f"do not take {bad} in paths" in in_cluster.executor(work / f"a{bad}b").check(
                {"script": "true"}
            )

    def test_the_clusters_limit_on_jobs_is_told(
        self, executor: BatchExecutor, in_cluster: GridEngine, work: Path
    ) -> None:
        with in_cluster.configured("max_u_jobs", "1"):
            submit(executor, [spec(work, "true", directives=in_cluster.held)])
            (refused,) = executor.submit_many([spec(work, "true")])
        assert (refused.id, refused.certain) == (None, True)
        assert "only 1 jobs are allowed per user" in refused.error

    def test_an_array_that_is_too_large_is_submitted_in_part(
        self, executor: BatchExecutor, in_cluster: GridEngine, work: Path
    ) -> None:
        with in_cluster.configured("max_aj_tasks", "20"):
            jobs = specs(work, ["true"] * 100, directives=in_cluster.held)
            outcomes = executor.submit_many(jobs)  # as if the limit had been asked for yesterday
        assert [outcome.id is not None for outcome in outcomes] == [True] * 6 + [False] * 94
        assert all(outcome.certain and "more than 20 tasks" in outcome.error for outcome in outcomes[6:])
        assert {job.token for job in live(executor).values()} == {job.token for job in jobs[:6]}
