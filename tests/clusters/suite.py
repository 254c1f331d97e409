"""What must hold on every scheduler, with real daemons and no database. Run by test_<cluster>.py."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from paraschut_core.errors import SchedulerError
from paraschut_core.executors.batch import run_command
from paraschut_core.executors.batch.base import BatchExecutor
from paraschut_core.model import ENDED, HELD, LIVE_STATES, QUEUED, RUNNING, ExitInfo, JobSpec, LiveJob
from tests.clusters.clusters import Cluster, OwnCluster, is_alive
from tests.clusters.tools import NASTY, environment_in, read, spec, specs
from tests.helpers import wait_until

HERE = str(Path(__file__).resolve().parents[2])

WAIT = "while [ ! -e go ]; do sleep 0.1; done"
"""A command line that ends once the test makes the file `go` in its directory."""


@pytest.fixture
def executor(in_cluster: Cluster, work: Path) -> BatchExecutor:
    return in_cluster.executor(work)


def submit(executor: BatchExecutor, jobs: Sequence[JobSpec]) -> list[str]:
    """Submits jobs that must be taken, as many at once as the cluster takes; returns their ids."""
    size = executor.max_batch_size()
    chunks = [jobs[start : start + size] for start in range(0, len(jobs), size)]
    outcomes = [outcome for chunk in chunks for outcome in executor.submit_many(chunk)]
    assert [outcome.error for outcome in outcomes] == [""] * len(jobs)
    return [outcome.id or "" for outcome in outcomes]


def live(executor: BatchExecutor) -> dict[str, LiveJob]:
    return {id_: job for id_, job in executor.poll().items() if job.state != ENDED}


def wait_for_end(executor: BatchExecutor, ids: Sequence[str]) -> None:
    wait_until(lambda: not set(ids) & set(live(executor)), f"jobs {ids} have left the queue", 120)


def explained(executor: BatchExecutor, ids: Sequence[str]) -> dict[str, ExitInfo]:
    """The endings of all these jobs; accounts may lag a little."""

    def all_told() -> dict[str, ExitInfo] | None:
        found = executor.get_exit_info(ids, time.time() - 3600)
        return found if len(found) == len(ids) else None

    return wait_until(all_told, f"the ends of {ids} are told") or {}


def assert_job_dir_works(cluster: Cluster, folder: Path) -> None:
    """Two jobs run as one array in this new directory, and their ends are told."""
    folder.mkdir()
    executor = cluster.executor(folder)
    jobs = specs(folder, ["pwd; exit 3"] * 2)
    ids = submit(executor, jobs)
    wait_for_end(executor, ids)
    assert [explained(executor, ids)[id_].exit_status for id_ in ids] == [3, 3]
    assert read(jobs[1].stdout) == f"{folder}\n"


class ClusterSuite:
    """What must hold wherever jobs can be submitted."""

    def test_a_job_is_listed_until_it_ends_and_then_explained(
        self, executor: BatchExecutor, work: Path
    ) -> None:
        job = spec(work, f"echo out; echo err >&2; {WAIT}")
        (id_,) = submit(executor, [job])
        assert executor.poll()[id_].token == job.token
        running = wait_until(lambda: (j := executor.poll()[id_]).state == RUNNING and j, "it runs", 120)
        assert running.host
        wait_until(lambda: read(job.stdout) == "out\n", "its log can be read while it runs")
        (work / "go").touch()
        wait_for_end(executor, [id_])
        assert explained(executor, [id_])[id_].exit_status == 0
        assert (read(job.stdout), read(job.stderr)) == ("out\n", "err\n")

    def test_jobs_know_their_ids_and_get_their_own_values_byte_for_byte(
        self, executor: BatchExecutor, work: Path
    ) -> None:
        kind = type(executor)
        ask = f"from {kind.__module__} import {kind.__name__} as Executor; print(Executor().get_job_id())"
        tell = f"{sys.executable} -c '{ask}'"
        shared = {**NASTY, "SHARED": "x", "PYTHONPATH": HERE}
        jobs = specs(work, [f"env -0 > env{n}; {tell}" for n in (1, 2, 3)], environment=shared)
        jobs = [job._replace(environment={**job.environment, "OWN": job.token}) for job in jobs]
        lone = spec(work, f"env -0 > env0; {tell}", environment={**shared, "OWN": "lone"})
        ids = [*submit(executor, jobs), *submit(executor, [lone])]
        wait_for_end(executor, ids)
        for job, id_, number in zip([*jobs, lone], ids, (1, 2, 3, 0), strict=True):
            wait_until(lambda job=job: read(job.stdout), f"{job.token} has told its id")
            assert read(job.stdout).strip() == id_
            found = environment_in(work / f"env{number}")
            wanted = dict(job.environment)
            assert {name: found.get(name) for name in wanted} == wanted

    def test_endings_tell_success_failure_and_signal(self, executor: BatchExecutor, work: Path) -> None:
        ids = submit(executor, specs(work, ["exit 0", "exit 3", "kill -9 $$", "exit 255"]))
        wait_for_end(executor, ids)
        endings = explained(executor, ids)
        assert [endings[id_].reason for id_ in ids] == [
            "exit status 0",
            "exit status 3",
            "killed by signal 9 (SIGKILL)",
            "exit status 255",
        ]
        assert [(endings[id_].exit_status, endings[id_].signal) for id_ in ids] == [
            (0, None),
            (3, None),
            (None, 9),
            (255, None),
        ]
        assert executor.get_exit_info(["99999999"], time.time() - 3600) == {}
        assert executor.get_exit_info(ids, time.time() + 30 * 86400) == {}  # other jobs, of a later time

    def test_strange_names_of_directories_and_logs_are_no_obstacle(
        self, executor: BatchExecutor, work: Path
    ) -> None:
        folder = work / "-a:b,c %j $HOME {task} \"x\" \\ 'y' 日本"
        folder.mkdir()
        jobs = [
            job._replace(stdout=f"{folder}/out\n# {n}", stderr=f"{folder}/new/err %a {n}")
            for n, job in enumerate(specs(folder, ["pwd; echo oh >&2"] * 2))
        ]
        ids = submit(executor, jobs)
        wait_for_end(executor, ids)
        for job in jobs:
            wait_until(lambda job=job: read(job.stdout) == f"{folder}\n", "it ran where it should")
            assert read(job.stderr) == "oh\n"

    def test_a_missing_program_is_explained(self, executor: BatchExecutor, work: Path) -> None:
        job = spec(work, "no-such-program")
        (id_,) = submit(executor, [job])
        wait_for_end(executor, [id_])
        assert explained(executor, [id_])[id_].exit_status == 127
        assert "no-such-program" in read(job.stderr)

    def test_a_log_that_cannot_be_written_is_explained(self, executor: BatchExecutor, work: Path) -> None:
        (work / "file").touch()
        (id_,) = submit(executor, [spec(work / "file" / "below", "true", cwd=work)])
        wait_for_end(executor, [id_])
        ending = wait_until(
            lambda: (
                (e := executor.get_exit_info([id_], time.time() - 3600).get(id_)) and "log" in e.reason and e
            ),
            "it is explained",
        )
        assert ending.reason.startswith(f"could not write its log {work}/file/below/")

    def test_a_held_job_is_held(self, executor: BatchExecutor, in_cluster: Cluster, work: Path) -> None:
        (id_,) = submit(executor, [spec(work, "true", directives=in_cluster.held)])
        assert executor.poll()[id_].state == HELD
        assert executor.delete_many({id_: {}})[id_].gone

    def test_deleting_ends_queued_and_running_jobs_and_takes_the_unknown_for_gone(
        self, executor: BatchExecutor, in_cluster: Cluster, work: Path
    ) -> None:
        running = submit(executor, [spec(work, "echo $$ > pid; exec sleep 600")])
        queued = submit(executor, specs(work, ["touch ran"] * 3, directives=in_cluster.held))
        pid = int(wait_until(lambda: read(work / "pid"), "the job runs", 120))
        ids = [*running, *queued[:2], "99999999"]
        outcome = executor.delete_many({id_: {} for id_ in [*ids, "not an id"]})
        assert {id_: outcome[id_].gone for id_ in ids} == dict.fromkeys(ids, True)
        assert not outcome["not an id"].gone
        ours = {*running, *queued}
        wait_until(lambda: ours & set(live(executor)) == {queued[2]}, "only the third is left", 120)
        if in_cluster.name != "pbs":  # there it may have run on another host
            wait_until(lambda: not is_alive(pid), "its process has ended")
        assert executor.delete_many({queued[2]: {}, running[0]: {}}) == dict.fromkeys(
            [queued[2], running[0]], (True, "")
        )
        assert not (work / "ran").exists()

    def test_what_the_scheduler_refuses_is_told_and_certain(
        self, executor: BatchExecutor, in_cluster: Cluster, work: Path
    ) -> None:
        jobs = specs(work, ["true", "true"], queue="nosuch.queue")
        refused = executor.submit_many(jobs)
        assert [(outcome.id, outcome.certain) for outcome in refused] == [(None, True)] * 2
        assert "nosuch.queue" in refused[0].error
        (option,) = executor.submit_many([spec(work, "true", directives=["--no-such-option"])])
        assert (option.id, option.certain) == (None, True)
        assert not {job.token for job in live(executor).values()} & {job.token for job in jobs}
        folder = Path(executor._folder())
        assert [path for path in folder.iterdir() if path.suffix in (".sh", ".tasks")] == []

    def test_a_thousand_jobs_take_one_command(
        self, executor: BatchExecutor, in_cluster: Cluster, work: Path
    ) -> None:
        if executor.max_batch_size() < 1000:
            pytest.skip("this cluster takes no arrays of a thousand")
        jobs = specs(work, ["true"] * 1000, directives=in_cluster.held)
        run_command.COUNTS.clear()
        ids = submit(executor, jobs)
        assert dict(run_command.COUNTS) == {executor.commands[0]: 1}
        queue = live(executor)
        assert {queue[id_].token for id_ in ids} == {job.token for job in jobs}
        run_command.COUNTS.clear()
        assert all(outcome.gone for outcome in executor.delete_many({id_: {} for id_ in ids}).values())
        assert dict(run_command.COUNTS) == {executor.commands[2]: 1}
        wait_until(lambda: not set(ids) & set(live(executor)), "all are gone", 120)

    def test_jobs_are_found_by_their_tokens_in_the_queue_and_after_it(
        self, executor: BatchExecutor, in_cluster: Cluster, work: Path
    ) -> None:
        waiting = specs(work, ["true"] * 3, directives=in_cluster.held)
        ended = [*specs(work, ["true"] * 2)]
        ids = submit(executor, waiting), submit(executor, ended)
        wait_for_end(executor, ids[1])
        wanted = {job.token: id_ for job, id_ in zip([*waiting, *ended], [*ids[0], *ids[1]], strict=True)}
        wait_until(
            lambda: executor.find_by_token([*wanted, "nosuch-1"]) == wanted, "all are found, and nothing else"
        )
        assert all(outcome.gone for outcome in executor.delete_many({id_: {} for id_ in ids[0]}).values())

    def test_the_scheduler_describes_a_job_and_itself(
        self, executor: BatchExecutor, in_cluster: Cluster, work: Path
    ) -> None:
        (id_,) = submit(executor, [spec(work, "true", directives=in_cluster.held)])
        assert id_ in executor.get_job_summary(id_).values() or executor.get_job_summary(id_)["Job_Name"]
        assert executor.get_job_summary("99999999") == {}
        assert executor.get_job_summary() == {}  # this process is in no job
        assert len(executor.health().splitlines()) >= 2
        assert executor.isconnected()
        assert not in_cluster.executor(work, submit_host="no-such-host").isconnected()
        assert executor.delete_many({id_: {}})[id_].gone

    def test_a_job_that_submits_another_keeps_its_variables_to_itself(
        self, executor: BatchExecutor, in_cluster: Cluster, work: Path
    ) -> None:
        kind = type(executor)
        code = f"""
from tests.clusters.tools import spec
from {kind.__module__} import {kind.__name__} as Executor
from paraschut_core.config import Settings

executor = Executor(settings=Settings(job_dir={str(work)!r}, resources={{}}))
print(executor.submit_many([spec({str(work)!r}, "env -0 > second", environment={{"MINE": "second"}})]))
"""
        (work / "submit.py").write_text(code)
        carried = {name: value for name, value in in_cluster.environment.items() if name != "PATH"}
        paths = [HERE, *filter(None, [os.environ.get("PYTHONPATH")])]
        first = spec(
            work,
            f"PATH='{os.environ['PATH']}' exec {sys.executable} submit.py",
            environment={"SECRET": "first", "MINE": "first", "PYTHONPATH": ":".join(paths)},
        )
        setup = [f"export {name}='{value}'" for name, value in carried.items()]
        nested = in_cluster.executor(work, submit={"modules": setup})
        submit(nested, [first])
        found = wait_until(
            lambda: environment_in(work / "second") if "\0" in read(work / "second") else None,
            "the second job has run",
            120,
        )
        assert found["MINE"] == "second"
        assert "SECRET" not in found

    def test_a_job_can_be_submitted_and_deleted_by_its_metadata_alone(
        self, executor: BatchExecutor, in_cluster: Cluster, work: Path
    ) -> None:
        info = {
            "BatchID": 1,
            "JobIndex": 0,
            "name": ["a", "b"],
            "script": "true",
            "vars": {"A": 1},
            "directives": list(in_cluster.held),
        }
        id_ = executor.submit(info)
        assert executor.qstat()[id_][1] in (*LIVE_STATES, "Q")
        assert executor.delete({**info, "submit_id": id_})
        wait_until(lambda: id_ not in executor.qstat(), "it is gone", 120)
        assert executor.submit({**info, "queue": "nosuch.queue"}) == "failed"
        with pytest.raises(SchedulerError):
            executor.delete({"submit_id": "not an id"})


class OwnClusterSuite(ClusterSuite):
    """What must hold when the daemons fail: only for clusters of our own."""

    def test_jobs_that_do_not_fit_wait(
        self, executor: BatchExecutor, in_cluster: OwnCluster, work: Path
    ) -> None:
        ids = submit(executor, specs(work, [WAIT] * 3, resources=in_cluster.too_much))
        wait_until(lambda: [live(executor)[i].state for i in ids].count(RUNNING) == 1, "one runs")
        waiting = [job for id_, job in live(executor).items() if id_ in ids and job.state != RUNNING]
        assert [job.state for job in waiting] == [QUEUED] * 2
        assert {job.token for job in live(executor).values()} == {
            f"{waiting[0].token.partition('-')[0]}-{n}" for n in (1, 2, 3)
        }
        (work / "go").touch()
        wait_for_end(executor, ids)

    def test_a_dead_controller_is_an_error_and_jobs_survive_it(
        self, executor: BatchExecutor, in_cluster: OwnCluster, work: Path
    ) -> None:
        (id_,) = submit(executor, [spec(work, WAIT)])
        wait_until(lambda: executor.poll()[id_].state == RUNNING, "it runs")
        in_cluster.wait_until_saved()
        in_cluster.kill_controller()
        try:
            with pytest.raises(SchedulerError, match=executor.commands[1]):
                executor.poll()
            (refused,) = executor.submit_many([spec(work, "true")])
            assert (refused.id, refused.certain) == (None, True)
            assert executor.commands[0] in refused.error
            assert not executor.delete_many({id_: {}})[id_].gone
            with pytest.raises(SchedulerError):
                executor.find_by_token(["nosuch-1"])
        finally:
            in_cluster.restart_controller()
        wait_until(lambda: executor.poll()[id_].state == RUNNING, "it is there again")
        (work / "go").touch()
        wait_for_end(executor, [id_])
        assert explained(executor, [id_])[id_].exit_status == 0

    def test_a_hung_controller_costs_no_more_than_the_time_out_and_leaves_a_submission_uncertain(
        self, in_cluster: OwnCluster, work: Path
    ) -> None:
        executor = in_cluster.executor(work, poll={"timeout": 1.5}, submit={"timeout": 1.5})
        patient = in_cluster.executor(work)
        assert live(executor) == {}
        job = spec(work, "true", directives=in_cluster.held)
        in_cluster.hang_controller()
        try:
            began = time.monotonic()
            with pytest.raises(SchedulerError, match=r"not answering for 1\.5 s"):
                executor.poll()
            (outcome,) = executor.submit_many([job])
            assert (outcome.id, outcome.certain) == (None, False)
            assert "not answering" in outcome.error
            deleted = executor.delete_many({"1": {}})["1"]
            assert not deleted.gone
            assert "not answering" in deleted.error
            assert time.monotonic() - began < 60
        finally:
            in_cluster.wake_controller()
        wait_until(lambda: patient.poll() is not None, "it answers again")
        # Whether the submission took place is now to be seen by its token.
        found = patient.find_by_token([job.token])
        assert set(found.values()) == {id_ for id_, j in live(patient).items() if j.token == job.token}
