"""What the local executor's runner must survive: kill -9, hang-up, a second runner, a full or locked disk."""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from paraschut_core.errors import ParaschutError, SchedulerError, SubmitError
from paraschut_core.executors.local import daemon as runner_module
from paraschut_core.executors.local import daemon_control, queue_store
from paraschut_core.executors.local.process import look, start_of, table
from paraschut_core.executors.local.running_job import REBOOTED, UNCERTAIN, UNSEEN
from paraschut_core.model import ENDED, ENDING, QUEUED, RUNNING, DeleteResult
from tests.conftest import Tally
from tests.core.test_local_executor import WITH_TESTS, Machine, until


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    machine = Machine(tmp_path)
    yield machine
    machine.close()


def kill(pid: int) -> None:
    """kill -9, and until the process is surely gone."""
    assert pid
    os.kill(pid, signal.SIGKILL)
    until(lambda: look(pid) is None, "the killed process is gone")


def ran(machine: Machine) -> Counter[str]:
    """How often each job noted that it ran."""
    queue_database = machine.folder / "ran"
    return Counter(queue_database.read_text().split()) if queue_database.exists() else Counter()


def runners(machine: Machine) -> list[int]:
    """Every process that is a runner of this queue, registered or not."""
    found = []
    for pid in table():
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"paraschut_core.executors.local.daemon" in words and machine.queue.folder.encode() in words:
            found.append(pid)
    return found


def change(machine: Machine, sql: str, *values: object) -> None:
    """Puts something into the queue file that only a reboot or a crash could."""
    with sqlite3.connect(machine.queue.path, timeout=30) as connection:
        connection.execute(sql, values)
    connection.close()


# ----------------------------------------------------------------------------- kill -9


def test_a_killed_runners_jobs_run_on_and_every_job_runs_once(tmp_path: Path) -> None:
    machine = Machine(tmp_path, slots=4)
    wait, gate = machine.gate()
    note = "echo $PARASCHUT_JOB_ID >> ran"
    running = machine.submit(*[f"{note}; {wait}"] * 4)
    waiting = machine.submit(*[note] * 20)
    until(lambda: len(ran(machine)) == 4, "four jobs run")
    first = machine.runner()
    kill(first)
    expected = dict.fromkeys(running, RUNNING) | dict.fromkeys(waiting, QUEUED)
    assert machine.states() == expected  # and this started another runner
    assert machine.runner() not in (0, first)
    gate.touch()
    endings = machine.endings([*running, *waiting])
    assert ran(machine) == Counter([*running, *waiting])
    assert {endings[id_].reason for id_ in waiting} == {"exit status 0"}
    assert {endings[id_].reason for id_ in running} == {UNSEEN.text}
    assert {endings[id_].exit_status for id_ in running} == {None}
    machine.close()


def test_ten_kills_over_200_jobs_run_none_twice_and_lose_none(machine: Machine, tally: Tally) -> None:
    chance = random.Random(20240229)
    ids = machine.submit(*["sh -c 'echo $PARASCHUT_JOB_ID >> ran'"] * 200)
    for _ in range(10):
        time.sleep(chance.uniform(0.0, 0.1))  # the moment of the kill is what is varied
        pid = machine.runner()
        if pid:
            kill(pid)
        machine.executor.poll()
    endings = machine.endings(ids, 120)
    counts = ran(machine)
    assert max(counts.values()) == 1
    lost = [id_ for id_ in ids if endings[id_].reason != UNCERTAIN.text and counts[id_] != 1]
    tally(len(ids), len(lost), "jobs whose runner was killed ten times")
    assert {ending.reason for ending in endings.values()} <= {"exit status 0", UNSEEN.text, UNCERTAIN.text}


def test_a_runner_that_is_killed_while_it_starts_does_no_harm(machine: Machine) -> None:
    ids = machine.submit(*["sh -c 'echo $PARASCHUT_JOB_ID >> ran'"] * 30)
    command = [sys.executable, "-m", "paraschut_core.executors.local.daemon", machine.queue.folder]
    for n in range(8):
        pid = machine.runner()
        if pid:
            kill(pid)
        started = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(0.03 * n)  # the moment of the kill is what is varied
        for pid in runners(machine):
            os.kill(pid, signal.SIGKILL)
        started.wait()
    machine.executor.poll()
    machine.endings(ids)
    assert max(ran(machine).values()) == 1
    assert set(ran(machine)) <= set(ids)


def test_a_job_that_was_being_started_is_found_by_its_environment(machine: Machine) -> None:
    wait, gate = machine.gate()
    ids = machine.submit(wait, wait, "echo $PARASCHUT_JOB_ID >> ran", "echo $PARASCHUT_JOB_ID >> ran")
    until(lambda: list(machine.states().values()).count(RUNNING) == 2, "two run")
    kill(machine.runner())
    # As if the kill had come right after each process was made: nothing written down but the markers.
    change(machine, "UPDATE job SET state = 'queued', pid = NULL, start = NULL WHERE state = 'running'")
    folder = Path(machine.queue.folder)
    (folder / "journal").write_bytes(b"")
    for id_ in ids[:3]:  # the third has a marker, but no process: it may have run or not
        (folder / "starting" / id_.partition(".")[2]).touch()
    states = machine.states()
    assert [states[id_] for id_ in ids[:3]] == [RUNNING, RUNNING, ENDED]
    gate.touch()
    endings = machine.endings(ids)
    assert [endings[id_].reason for id_ in ids] == [UNSEEN.text, UNSEEN.text, UNCERTAIN.text, "exit status 0"]
    assert ran(machine) == Counter([ids[3]])


def test_a_job_that_just_started_and_hides_its_environment_is_found(tmp_path: Path) -> None:
    machine = Machine(tmp_path, slots=1)
    first_wait, first_gate = machine.gate()
    wait, gate = machine.gate()
    ids = machine.submit(first_wait, f"exec env -i /bin/sh -c '{wait}'")
    until(lambda: machine.states()[ids[0]] == RUNNING, "the first runs")
    # The queue file cannot be written while the second starts: only the journal hears of it.
    other = sqlite3.connect(machine.queue.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    first_gate.touch()

    def hidden() -> bool:
        return any(gate.name.encode() in line for line in commands() if b"env" not in line)

    def commands() -> list[bytes]:
        found = []
        for pid in table():
            try:
                found.append(Path(f"/proc/{pid}/cmdline").read_bytes())
            except OSError:
                continue
        return [line for line in found if str(tmp_path).encode() in line]

    until(hidden, "the second runs")
    kill(machine.runner())
    other.execute("ROLLBACK")
    other.close()
    assert machine.states() == {ids[0]: ENDED, ids[1]: RUNNING}
    gate.touch()
    assert machine.endings(ids)[ids[1]].reason == UNSEEN.text
    machine.close()


def test_what_the_journal_knows_is_not_lost_with_the_runner(machine: Machine) -> None:
    wait, gate = machine.gate()
    (id_,) = machine.submit(f"{wait}; exit 5")
    until(lambda: machine.states() == {id_: RUNNING}, "it runs")
    # The queue file cannot be written while the job ends: only the journal hears of it.
    other = sqlite3.connect(machine.queue.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    gate.touch()
    journal = Path(machine.queue.folder) / "journal"
    until(lambda: b"\nX " in journal.read_bytes(), "the journal has the end")
    kill(machine.runner())
    other.execute("ROLLBACK")
    other.close()
    assert machine.states() == {id_: ENDED}
    assert machine.executor.get_exit_info([id_], 0)[id_].exit_status == 5


def test_adopted_jobs_can_be_deleted_and_have_time_limits(machine: Machine) -> None:
    wait, _ = machine.gate()
    ids = machine.submit(wait, wait, resources={"walltime": "0:03"})
    until(lambda: set(machine.states().values()) == {RUNNING}, "both run")
    pids = [process.pid for process in table().values() if process.job in ids]
    kill(machine.runner())
    assert machine.executor.delete_many({ids[0]: {}})[ids[0]] == DeleteResult(True)
    endings = machine.endings(ids)
    assert [endings[id_].reason for id_ in ids] == ["deleted", "time limit 00:00:03"]
    assert [pid for pid in pids if look(pid)] == []


def test_a_deletion_outlives_the_runner_that_began_it(tmp_path: Path) -> None:
    machine = Machine(tmp_path, kill_grace=2.0)
    (id_,) = machine.submit("trap : TERM; touch here; while :; do sleep 0.05; done")
    until((tmp_path / "here").exists, "the job ignores TERM")
    outcome: dict[str, DeleteResult] = {}
    deleting = threading.Thread(target=lambda: outcome.update(machine.executor.delete_many({id_: {}})))
    deleting.start()
    until(lambda: machine.executor.poll()[id_].state == ENDING, "the deletion has begun")
    kill(machine.runner())
    deleting.join(60)
    assert outcome == {id_: DeleteResult(True)}
    assert not [process for process in table().values() if process.job == id_]
    machine.close()


def test_a_process_that_got_a_lost_jobs_number_is_not_touched(machine: Machine) -> None:
    wait, _ = machine.gate()
    (id_,) = machine.submit(wait)
    until(lambda: machine.states() == {id_: RUNNING}, "it runs")
    (job,) = [p for p in table().values() if p.job == id_ and p.pid == p.session]
    kill(machine.runner())
    kill(job.pid)
    stranger = subprocess.Popen(["sleep", "600"], start_new_session=True)
    try:
        change(machine, "UPDATE job SET pid = ?, start = ?", stranger.pid, start_of(stranger.pid) - 50)
        assert machine.executor.delete_many({id_: {}})[id_].gone
        assert machine.executor.get_exit_info([id_], 0)[id_].reason == "deleted"
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_after_a_reboot_what_ran_has_ended_and_what_waited_runs(tmp_path: Path) -> None:
    machine = Machine(tmp_path, slots=1)
    wait, gate = machine.gate()
    ids = machine.submit(wait, "echo $PARASCHUT_JOB_ID >> ran")
    until(lambda: machine.states()[ids[0]] == RUNNING, "it runs")
    kill(machine.runner())
    change(machine, "UPDATE job SET boot = 'an earlier boot' WHERE state = 'running'")
    change(machine, "UPDATE runner SET boot = 'an earlier boot'")
    assert machine.states()[ids[0]] == ENDED
    endings = machine.endings(ids)
    assert [endings[id_].reason for id_ in ids] == [REBOOTED.text, "exit status 0"]
    assert ran(machine) == Counter(ids[1:])
    gate.touch()  # for the process that no real reboot would have left
    until(lambda: not [p for p in table().values() if p.job == ids[0]], "the old process has ended")
    machine.close()


# ----------------------------------------------------------------------------- one runner, while needed


def test_of_many_runners_started_at_once_one_serves(machine: Machine) -> None:
    wait, gate = machine.gate()
    ids = machine.submit(*[f"echo $PARASCHUT_JOB_ID >> ran; {wait}"] * 4)
    until(lambda: len(ran(machine)) == 2, "two run")
    kill(machine.runner())
    command = [sys.executable, "-m", "paraschut_core.executors.local.daemon", machine.queue.folder]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(5)]
    answers = [process.communicate(timeout=60)[0] for process in started]
    assert answers == [b"ready\n"] * 5
    until(lambda: len(runners(machine)) == 1, "all but one have ended")
    assert runners(machine) == [machine.runner()]
    assert sum(ran(machine).values()) == 2
    gate.touch()
    machine.endings(ids)
    assert ran(machine) == Counter(ids)


def test_a_runner_refuses_a_lock_that_somebody_else_holds(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.endings(machine.submit("true"))
    kill(machine.runner())
    lock = daemon_control.lock_queue(machine.queue.folder)
    assert lock is not None
    monkeypatch.setattr(runner_module, "_LOCK_WAIT", 0.1)
    try:
        assert daemon_control.lock_queue(machine.queue.folder) is None
        with pytest.raises(ParaschutError, match="fuser"):
            runner_module._locked(machine.queue.folder)
    finally:
        os.close(lock)


def test_an_idle_runner_ends_and_the_next_job_starts_another(machine: Machine) -> None:
    machine.endings(machine.submit("true"))
    first = machine.runner()
    until(lambda: not runners(machine), "the runner has ended")
    machine.endings(machine.submit("true"))
    assert machine.runner() not in (0, first)


def test_a_runner_waits_for_its_jobs_without_computing(machine: Machine) -> None:
    wait, gate = machine.gate()
    ids = machine.submit(wait, wait, "true")
    until(lambda: sorted(machine.states().values()) == [QUEUED, RUNNING, RUNNING], "two run, one waits")

    def used() -> int:
        fields = Path(f"/proc/{machine.runner()}/stat").read_text().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])

    before, begin = used(), time.monotonic()
    until(lambda: time.monotonic() - begin > 3, "three seconds have passed")
    share = (used() - before) / os.sysconf("SC_CLK_TCK") / (time.monotonic() - begin)
    assert share < 0.2  # spinning takes nearly 1; how near 0 it is shows the benchmark
    gate.touch()
    machine.endings(ids)


def test_jobs_outlive_the_hang_up_of_their_submitters_terminal(machine: Machine) -> None:
    wait, gate = machine.gate()
    code = (
        "from tests.core.test_local_executor import Machine; from pathlib import Path; import time;"
        f"m = Machine(Path({str(machine.folder)!r}));"
        f"print(*m.submit('{wait}; echo done >> ran', 'echo done >> ran'), flush=True); time.sleep(600)"
    )
    submitter = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        start_new_session=True,
        cwd=Path(__file__).parents[2],
    )
    assert submitter.stdout is not None
    ids = submitter.stdout.readline().decode().split()
    until(lambda: RUNNING in machine.states().values(), "it runs")
    serving = machine.runner()
    os.killpg(submitter.pid, signal.SIGHUP)
    assert submitter.wait(60) == -signal.SIGHUP
    submitter.stdout.close()
    gate.touch()
    endings = machine.endings(ids)
    assert [endings[id_].reason for id_ in ids] == ["exit status 0"] * 2
    assert machine.runner() == serving


def test_a_runner_that_is_told_to_end_leaves_its_jobs_running(machine: Machine) -> None:
    wait, gate = machine.gate()
    ids = machine.submit(wait, "true")
    until(lambda: machine.executor.get_exit_info(ids, 0), "the short one has ended")
    os.kill(machine.runner(), signal.SIGTERM)
    until(lambda: not runners(machine), "the runner has ended")
    with machine.queue.opened() as connection:
        states = [state for (state,) in connection.execute("SELECT state FROM job ORDER BY number")]
    assert states == [RUNNING, ENDED]
    assert machine.states()[ids[0]] == RUNNING
    gate.touch()
    machine.endings(ids)


def test_a_job_that_starts_a_runner_can_be_deleted_without_it_and_its_jobs(machine: Machine) -> None:
    wait, gate = machine.gate()
    code = (
        "from tests.core.test_local_executor import Machine; from pathlib import Path; import os, time;"
        f"m = Machine(Path({str(machine.folder)!r}));"
        f"os.kill(m.runner(), 9); time.sleep(0.2); open('here', 'w').write(m.submit('{wait}')[0] + '.');"
        "time.sleep(600)"
    )
    (machine.folder / "job.py").write_text(code)
    (id_,) = machine.submit(f"{sys.executable} job.py", environment={"PYTHONPATH": WITH_TESTS})
    here = machine.folder / "here"
    other = until(lambda: here.exists() and here.read_text(), "the job has started another runner")[:-1]
    until(lambda: machine.states()[other] == RUNNING, "that runner has started a job")
    serving = machine.runner()
    variables = Path(f"/proc/{serving}/environ").read_bytes()
    assert b"PARASCHUT_JOB_ID" not in variables
    assert machine.executor.delete_many({id_: {}})[id_].gone
    assert machine.runner() == serving
    assert machine.states()[other] == RUNNING
    gate.touch()
    assert machine.endings([other])[other].exit_status == 0


# ----------------------------------------------------------------------------- disk and file


def test_on_a_network_file_system_all_works_without_wal(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue_store, "on_network", lambda path: True)
    ids = machine.submit(*["sh -c 'echo $PARASCHUT_JOB_ID >> ran'"] * 60)
    until(lambda: ran(machine), "the first has run")
    kill(machine.runner())
    assert machine.states().keys() == set(ids)
    endings = machine.endings(ids)
    with machine.queue.opened() as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    assert max(ran(machine).values()) == 1
    assert all(ran(machine)[id_] == 1 for id_ in ids if endings[id_].reason != UNCERTAIN.text)


def test_a_runner_that_cannot_write_waits_and_then_writes_all(machine: Machine) -> None:
    wait, gate = machine.gate()
    ids = machine.submit(f"{wait}; exit 6", f"{wait}; exit 7", "echo $PARASCHUT_JOB_ID >> ran")
    until(lambda: list(machine.states().values()).count(RUNNING) == 2, "two run")
    pid = machine.runner()
    _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, hard))  # from now on no file can grow
    gate.touch()
    log = Path(machine.queue.folder) / "runner.log"
    begin = time.monotonic()
    until(lambda: time.monotonic() - begin > 3, "three seconds have passed")
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    assert int(fields[11]) + int(fields[12]) < 1.5 * os.sysconf("SC_CLK_TCK"), "it spins"
    assert ran(machine) == Counter()
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard, hard))
    endings = machine.endings(ids)
    assert [endings[id_].exit_status for id_ in ids] == [6, 7, 0]
    assert ran(machine) == Counter(ids[2:])
    assert machine.runner() in (0, pid)
    assert log.stat().st_size < 10_000


def test_a_queue_file_that_is_locked_for_long_delays_and_loses_nothing(machine: Machine) -> None:
    wait, gate = machine.gate()
    ids = machine.submit(f"{wait}; exit 6", "true")
    until(lambda: machine.executor.get_exit_info([ids[1]], 0), "the short one has ended")
    pid = machine.runner()
    other = sqlite3.connect(machine.queue.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    gate.touch()
    log = Path(machine.queue.folder) / "runner.log"
    until(lambda: "locked" in log.read_text(), "the runner has noticed")
    other.execute("ROLLBACK")
    other.close()
    assert machine.endings(ids)[ids[0]].exit_status == 6
    assert machine.runner() in (0, pid)


def test_a_runner_whose_folder_was_removed_ends_and_its_job_runs_on(machine: Machine) -> None:
    wait, gate = machine.gate()
    (id_,) = machine.submit(f"{wait}; echo $PARASCHUT_JOB_ID >> ran")
    until(lambda: machine.states() == {id_: RUNNING}, "it runs")
    pid = machine.runner()
    shutil.rmtree(machine.folder / ".paraschut")
    until(lambda: look(pid) is None, "the runner has ended")
    gate.touch()
    until(lambda: ran(machine) == Counter([id_]), "the job has finished")
    assert machine.executor.poll() == {}
    (new,) = machine.submit("true")
    assert machine.endings([new])[new].exit_status == 0
    assert new != id_


@pytest.mark.parametrize("python", ["/no/such/python", "/bin/false", ""])
def test_where_no_runner_can_be_started_nothing_is_submitted(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, python: str
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(sys, "executable", python)
        with pytest.raises(SubmitError, match=r"cannot be started.*None of the jobs was submitted"):
            machine.executor.submit_many([machine.spec("echo $PARASCHUT_JOB_ID >> ran")])
    assert machine.executor.poll() == {}
    assert ran(machine) == Counter()


def test_jobs_without_a_runner_make_every_poll_say_so(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    wait, gate = machine.gate()
    ids = machine.submit(wait)
    until(lambda: machine.states() == {ids[0]: RUNNING}, "it runs")
    kill(machine.runner())
    with monkeypatch.context() as patch:
        patch.setattr(sys, "executable", "/bin/false")
        with pytest.raises(SchedulerError, match=r"runner cannot be started.*runner\.log"):
            machine.executor.poll()
    gate.touch()
    assert machine.states().keys() == set(ids)
    machine.endings(ids)
