"""The file executor: its script is run by real shells, also while jobs come and go."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from paraschut_core.config import Settings
from paraschut_core.errors import SchedulerError
from paraschut_core.executors.file import FileJobExecutor
from paraschut_core.model import ENDED, QUEUED, RUNNING
from tests.clusters.tools import NASTY, environment_in, read, spec, specs
from tests.helpers import wait_until


@pytest.fixture
def executor(tmp_path: Path) -> FileJobExecutor:
    folder = tmp_path / "it's a $job dir"
    folder.mkdir()
    return FileJobExecutor(settings=Settings(job_dir=str(folder)))


def run(executor: FileJobExecutor) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", executor.script_file], capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL
    )


def start(executor: FileJobExecutor) -> subprocess.Popen[bytes]:
    return subprocess.Popen(["sh", executor.script_file], stderr=subprocess.DEVNULL, start_new_session=True)


def states(executor: FileJobExecutor) -> list[str]:
    return [job.state for _, job in sorted(executor.poll().items())]


def test_jobs_run_in_the_order_of_submission_and_their_ends_are_told(
    executor: FileJobExecutor, tmp_path: Path
) -> None:
    jobs = specs(tmp_path, ["echo a >> order", "echo b >> order; exit 3", "echo c >> order; kill -9 $$"])
    ids = [outcome.id or "" for outcome in executor.submit_many(jobs)]
    assert states(executor) == [QUEUED] * 3
    assert run(executor).returncode == 0
    assert read(tmp_path / "order") == "a\nb\nc\n"
    endings = executor.get_exit_info(ids, 0)
    assert [endings[id_].reason for id_ in ids] == [
        "exit status 0",
        "exit status 3",
        "killed by signal 9 (SIGKILL)",
    ]
    assert states(executor) == [ENDED] * 3
    assert os.listdir(executor.jobs_folder) == ["places"]


def test_a_job_finds_its_variables_its_id_its_directory_and_its_logs(
    executor: FileJobExecutor, tmp_path: Path
) -> None:
    (tmp_path / "work").mkdir()
    job = spec(
        tmp_path / "new folder", "env -0 > env; pwd; echo oops >&2", environment=NASTY, cwd=tmp_path / "work"
    )
    (outcome,) = executor.submit_many([job])
    run(executor)
    found = environment_in(tmp_path / "work/env")
    assert {name: found.get(name) for name in NASTY} == NASTY
    assert found["PARASCHUT_JOB_ID"] == found["PBS_JOBID"] == outcome.id
    assert read(job.stdout) == f"{tmp_path}/work\n"
    assert read(job.stderr) == "oops\n"


def test_the_script_may_be_run_by_its_owner_and_read_by_all(
    executor: FileJobExecutor, tmp_path: Path
) -> None:
    executor.submit_many([spec(tmp_path, "true")])
    assert stat.S_IMODE(os.stat(executor.script_file).st_mode) == 0o744


def test_an_ended_job_does_not_run_again(executor: FileJobExecutor, tmp_path: Path) -> None:
    executor.submit_many([spec(tmp_path, "echo ran >> runs; exit 1")])
    run(executor)
    executor.submit_many([spec(tmp_path, "echo second >> runs")])
    run(executor)
    run(executor)
    assert read(tmp_path / "runs") == "ran\nsecond\n"


def test_the_script_runs_where_it_was_carried_to(executor: FileJobExecutor, tmp_path: Path) -> None:
    (outcome,) = executor.submit_many([spec(tmp_path, "echo ran >> runs")])
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    name = os.path.basename(executor.script_file)
    os.rename(executor.script_file, elsewhere / name)
    os.rename(executor.jobs_folder, elsewhere / f"{name}.jobs")
    subprocess.run(["sh", name], cwd=elsewhere, check=True, timeout=60)
    assert read(tmp_path / "runs") == "ran\n"
    assert read(elsewhere / f"{name}.done").startswith(f"{outcome.id} 0 ")


def test_delete_removes_exactly_one_job(executor: FileJobExecutor, tmp_path: Path) -> None:
    jobs = specs(tmp_path, [f"echo {n} >> runs" for n in range(3)])
    ids = [outcome.id or "" for outcome in executor.submit_many(jobs)]
    assert executor.delete_many({ids[1]: {}, "unknown": {}}) == {ids[1]: (True, ""), "unknown": (True, "")}
    assert list(executor.poll()) == [ids[0], ids[2]]
    run(executor)
    assert read(tmp_path / "runs") == "0\n2\n"


def test_jobs_may_be_added_and_deleted_while_the_script_runs(
    executor: FileJobExecutor, tmp_path: Path
) -> None:
    first = specs(tmp_path, ["echo 1 >> runs; while [ ! -e go ]; do sleep 0.05; done", "echo 2 >> runs"])
    ids = [outcome.id or "" for outcome in executor.submit_many(first)]
    script = start(executor)
    wait_until(lambda: executor.poll()[ids[0]].state == RUNNING, "the first job runs")
    executor.delete_many({ids[1]: {}})
    executor.submit_many([spec(tmp_path, "echo 3 >> runs")])
    (tmp_path / "go").touch()
    assert script.wait(60) == 0
    assert read(tmp_path / "runs") == "1\n3\n"


def test_a_running_job_is_not_deleted_from_under_the_script(
    executor: FileJobExecutor, tmp_path: Path
) -> None:
    (outcome,) = executor.submit_many([spec(tmp_path, "while [ ! -e go ]; do sleep 0.05; done")])
    script = start(executor)
    wait_until(lambda: states(executor) == [RUNNING], "the job runs")
    deleted = executor.delete_many({outcome.id or "": {}})[outcome.id or ""]
    assert not deleted.gone
    assert "runs on" in deleted.error
    with pytest.raises(SchedulerError, match="runs on"):
        executor.delete({"submit_id": outcome.id})
    (tmp_path / "go").touch()
    assert script.wait(60) == 0


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_job_runs_again_and_those_before_it_do_not(
    executor: FileJobExecutor, tmp_path: Path, by: signal.Signals
) -> None:
    jobs = specs(tmp_path, ["echo 1 >> runs", "echo 2 >> runs; [ -e again ] || sleep 100", "echo 3 >> runs"])
    ids = [outcome.id or "" for outcome in executor.submit_many(jobs)]
    script = start(executor)
    wait_until(lambda: read(tmp_path / "runs") == "1\n2\n", "the second job runs")
    os.killpg(script.pid, by)  # as Ctrl-C does, or a machine that goes down
    script.wait(60)
    wait_until(lambda: executor.poll()[ids[1]].state == QUEUED, "nobody runs the job any more")
    assert "interrupted" in executor.poll()[ids[1]].reason
    assert executor.get_exit_info([ids[1]], 0) == {}
    (tmp_path / "again").touch()
    assert run(executor).returncode == 0
    assert read(tmp_path / "runs") == "1\n2\n2\n3\n"


def test_a_job_that_outlived_its_script_is_not_started_twice(
    executor: FileJobExecutor, tmp_path: Path
) -> None:
    job = spec(tmp_path, "echo $$ >> runs; while [ ! -e go ]; do sleep 0.05; done")
    (outcome,) = executor.submit_many([job])
    script = start(executor)
    wait_until(lambda: read(tmp_path / "runs"), "the job runs")
    script.kill()  # the script alone
    script.wait(60)
    assert states(executor) == [RUNNING]
    again = run(executor)
    assert again.returncode == 75
    assert f"job {outcome.id} still runs" in again.stderr
    (tmp_path / "go").touch()
    wait_until(lambda: states(executor) == [QUEUED], "the job has ended, unrecorded")
    assert len(read(tmp_path / "runs").splitlines()) == 1


def test_two_runs_of_the_script_do_not_meet(executor: FileJobExecutor, tmp_path: Path) -> None:
    executor.submit_many([spec(tmp_path, "echo ran >> runs; while [ ! -e go ]; do sleep 0.05; done")])
    script = start(executor)
    wait_until(lambda: read(tmp_path / "runs"), "the job runs")
    second = run(executor)
    assert second.returncode == 75
    assert "runs already" in second.stderr
    (tmp_path / "go").touch()
    assert script.wait(60) == 0
    assert read(tmp_path / "runs") == "ran\n"


def test_an_end_that_was_recorded_just_before_a_crash_counts(
    executor: FileJobExecutor, tmp_path: Path
) -> None:
    (outcome,) = executor.submit_many([spec(tmp_path, "echo ran >> runs")])
    (file,) = set(os.listdir(executor.jobs_folder)) - {"places"}
    os.rename(f"{executor.jobs_folder}/{file}", f"{executor.jobs_folder}/{file[:-3]}.running")
    Path(executor.done_file).write_text(f"{outcome.id} 0 1795352731 n1\n")
    assert run(executor).returncode == 0
    assert read(tmp_path / "runs") == ""
    assert os.listdir(executor.jobs_folder) == ["places"]


def test_several_submitters_at_once_lose_nothing(executor: FileJobExecutor, tmp_path: Path) -> None:
    def submit(_: int) -> None:
        own = FileJobExecutor(executor.script_file, settings=executor._settings)
        assert all(outcome.id for outcome in own.submit_many(specs(tmp_path, ["echo x >> runs"] * 5)))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(submit, range(8)))
    assert len(executor.poll()) == 40
    assert run(executor).returncode == 0
    assert read(tmp_path / "runs") == "x\n" * 40


def test_a_log_that_cannot_be_written_fails_its_job_alone(executor: FileJobExecutor, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    bad = spec(tmp_path / "file" / "below", "echo no >> runs", cwd=tmp_path)
    good = spec(tmp_path, "echo yes >> runs")
    ids = [outcome.id or "" for job in (bad, good) for outcome in executor.submit_many([job])]
    result = run(executor)
    assert "could not write its log" in result.stderr
    assert executor.get_exit_info(ids, 0)[ids[0]].exit_status == 125
    assert read(tmp_path / "runs") == "yes\n"


def test_what_cannot_run_is_refused_before_it_is_written(executor: FileJobExecutor, tmp_path: Path) -> None:
    (tmp_path / "plain.txt").write_text("echo hi")
    (refused,) = executor.submit_many([spec(tmp_path, f"{tmp_path}/plain.txt")])
    assert refused.id is None
    assert "chmod +x" in refused.error
    assert "chmod +x" in executor.check({"script": f"{tmp_path}/plain.txt"})
    assert "cannot be exported" in executor.check({"script": "true", "vars": {"a-b": "1"}})
    assert executor.check({"script": "true", "vars": {"A": 1}}) == ""
    assert executor.poll() == {}


def test_a_folder_that_cannot_be_written_is_an_error_of_the_submission(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    executor = FileJobExecutor(str(tmp_path / "file" / "jobs.sh"), settings=Settings())
    (refused,) = executor.submit_many([spec(tmp_path, "true")])
    assert refused.id is None
    assert refused.certain
    assert "cannot write" in refused.error


def test_a_job_can_be_submitted_by_its_metadata_alone(executor: FileJobExecutor, tmp_path: Path) -> None:
    info = {
        "BatchID": 1,
        "JobIndex": 0,
        "name": ["a", "b"],
        "script": "echo $A",
        "vars": {"A": "x,y"},
        "stdout": [str(tmp_path / "0.out"), str(tmp_path / "1.out")],
        "stderr": str(tmp_path / "1.err"),
        "cwd": str(tmp_path),
    }
    id_ = executor.submit(info)
    assert executor.qstat()[id_][1] == "Q"
    run(executor)
    assert read(tmp_path / "1.out") == "x,y\n"
    assert id_ not in executor.qstat()
