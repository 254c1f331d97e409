"""kill -9 at every point of every write: the file stays whole, and no job is lost or submitted twice."""

from __future__ import annotations

import os
import random
import signal
import textwrap
import time
from pathlib import Path

import pytest

import paraschut_core as psu
from paraschut_core.errors import StaleJobError
from paraschut_core.model import JobInfo, LiveJob
from paraschut_core.monitoring import polling
from paraschut_core.scheduling.submission import resolve_claims
from tests.conftest import Tally
from tests.helpers import BATCH, FileQueue, ProjectDir, Script, assert_sound, wait_until

KILLS = int(os.environ.get("PARASCHUT_TEST_KILLS", "200"))
"""How many processes are killed while they write (the environment may ask for more)."""

# ------------------------------------------------------------------------------------ the submitter

SUBMITTER = """
    import os, signal, sys, time
    from paraschut_core import config
    from paraschut_core.scheduling import submission
    from paraschut_core.project import Project
    from tests.helpers import FileQueue

    where, queue = sys.argv[1:]

    def die():
        print("dying", flush=True)
        os.kill(os.getpid(), signal.SIGKILL)

    class Dying(FileQueue):
        def submit_many(self, jobs):
            if where == "after the claim":
                die()
            if where == "during submit_many":
                super().submit_many(jobs[:2])
                die()
            outcome = super().submit_many(jobs)
            if where == "after the submission":
                die()
            return outcome

    if where == "during the claim":
        from paraschut_core.database import lifecycle
        def claim(*arguments, then=lifecycle.claim):
            then(*arguments)
            if arguments[1].job_index == 2:
                die()
        submission.claim = claim
    if where == "during the recording":
        def record_id(*arguments, then=submission.record_id):
            then(*arguments)
            if arguments[1].job_index == 2:
                die()
            return True
        submission.record_id = record_id
    with Project(config.load(), Dying(queue)) as ws:
        submission.submit_next(ws)
"""


@pytest.mark.parametrize(
    ("where", "in_queue"),
    [
        ("during the claim", 0),
        ("after the claim", 0),
        ("during submit_many", 2),
        ("after the submission", 4),
        ("during the recording", 4),
    ],
)
def test_a_submitter_killed_anywhere_costs_no_job_and_submits_none_twice(
    project: ProjectDir, where: str, in_queue: int
) -> None:
    project.configure("[poll]\ninterval = 0\ngrace = 0\n[submit]\ntimeout = 0.1\n")
    project.add_many(4)
    queue = FileQueue(str(project.folder / "queue"))
    script = Script(SUBMITTER, where, queue.path)
    assert script.line() == "dying"
    script.process.communicate()
    assert script.process.returncode == -signal.SIGKILL
    assert len(queue.lines()) == in_queue
    assert_sound(project.database)

    def all_settled() -> bool:
        psu.submit_jobs(Executor=queue)
        return None not in [project.column("submit_id", index) for index in range(4)]

    wait_until(all_settled, "every job has the id of a submission")
    jobs = [key for _, _, key in queue.lines()]
    assert sorted(jobs) == [f"{BATCH}/{index}" for index in range(4)], "each was submitted exactly once"
    for id_, token, key in queue.lines():
        index = int(key.rpartition("/")[2])
        assert (project.column("submit_id", index), project.column("token", index)) == (id_, token)


def test_where_nobody_can_look_a_lost_submission_up_it_is_missing_and_never_repeated_blindly(
    project: ProjectDir,
) -> None:
    project.configure("[poll]\ninterval = 0\ngrace = 0\n[submit]\ntimeout = 0.1\n")
    project.add_many(4)

    class Mute(FileQueue):
        reports_tokens = False

        def poll(self) -> dict[str, LiveJob]:
            return {id_: job._replace(token="") for id_, job in super().poll().items()}

    queue = Mute(str(project.folder / "queue"))
    script = Script(SUBMITTER, "after the submission", queue.path)
    assert script.line() == "dying"
    script.process.communicate()
    for _ in range(3):
        psu.submit_jobs(Executor=queue)
    assert len(queue.lines()) == 4
    assert set(project.states().values()) == {"submit"}
    lost = wait_until(
        lambda: [info["state"] for info in missing(project, queue)], "they are shown as missing", 30
    )
    assert lost == ["submit"] * 4


def missing(project: ProjectDir, queue: FileQueue) -> list[JobInfo]:
    from paraschut_core.reporting.queue_report import read_queue

    with project.workspace(queue) as ws:
        return read_queue(ws).missing().get(BATCH, [])


def test_the_stale_duplicate_of_a_released_claim_stops_at_the_start_gate(
    project: ProjectDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The claim was given back, the job submitted anew; then the first submission comes to life after all."""
    project.configure("[poll]\ninterval = 0\ngrace = 0\n[submit]\ntimeout = 0.1\n")
    project.add_many(1)
    queue = FileQueue(str(project.folder / "queue"))
    script = Script(SUBMITTER, "after the claim", queue.path)
    assert script.line() == "dying"
    script.process.communicate()
    old = project.column("token")
    wait_until(lambda: psu.submit_jobs(Executor=queue) or queue.lines(), "the job is submitted anew")
    assert project.column("attempt") == 2
    for name, value in {"BATCH_ID": BATCH, "JOB_INDEX": 0, "TOKEN": old, "JOB_ID": "old"}.items():
        monkeypatch.setenv(f"PARASCHUT_{name}", str(value))
    with pytest.raises(StaleJobError, match="attempt 2 has taken its place"):
        psu.get_job_info(SetID=True)
    monkeypatch.setenv("PARASCHUT_TOKEN", project.column("token"))
    monkeypatch.setenv("PARASCHUT_JOB_ID", project.column("submit_id"))
    assert psu.get_job_info(SetID=True)["state"] == "run"


# ------------------------------------------------------------------------------------ every write

# Writes in all ways there are, in an endless loop, on jobs of its own batch; says so before each round.
WRITER = """
    import os, random, sys, time
    import paraschut_core as psu
    from paraschut_core import actions, config
    from paraschut_core.monitoring import polling
    from paraschut_core.database import events
    from paraschut_core.database.poll_state import PollState, store_poll
    from paraschut_core.model import ExitInfo, JobKey, LiveJob
    from paraschut_core.project import Project
    from tests.helpers import FileQueue, ProjectDir
    import pathlib

    batch, seed, folder = int(sys.argv[1]), int(sys.argv[2]), pathlib.Path(sys.argv[3])
    random.seed(seed)
    project = ProjectDir(folder)
    queue = FileQueue(str(folder / "queue"), chunk=3)
    sys.stdout = open(os.devnull, "w")

    def chosen():
        return random.randrange(6)

    def add():
        psu.add_job_to_queue([project.job(0, batch) for _ in range(2)], set_index=True)

    def submit():
        psu.submit_jobs(Executor=queue, Filter=f"BatchID = {batch}", MaxJobs=10**6)

    def start():
        psu.get_job_info(batch, chosen(), SetID=True)

    def complete():
        info = psu.get_job_info(batch, chosen(), ignore_spawn=True)
        info["payload"] = "x" * random.randrange(20000)
        psu.set_complete(JobInfo=info)

    def update():
        info = psu.get_job_info(batch, chosen(), ignore_spawn=True)
        info["payload"] = "y" * random.randrange(20000)
        psu.update_job(info)

    def fields():
        psu.set_batch_field(batch, {"priority": random.randrange(5), "note": "z" * 3000}, {})

    def reset():
        psu.set_batch_field(batch, Unless={})

    def boost():
        psu.boost_batch_priority(batch, 1)

    def undo():
        with Project(config.load(), queue) as ws:
            actions.undo(ws)

    def spawn():
        info = psu.get_job_info(batch, chosen(), SetID=True)
        info = psu.spawn_submit(info, 4, Executor=queue)
        for _ in range(6):
            psu.spawn_complete({**info, "SpawnID": [random.randrange(5)]})

    def delete():
        psu.qdel_batch(batch, Executor=queue)

    def remove():
        psu.remove_batch(batch)

    def poll():
        with Project(config.load(), queue) as ws:
            answer = {str(n): LiveJob(str(n), "running", name="n" * 50) for n in range(random.randrange(500))}
            store_poll(ws.db, "killed", PollState(time.time(), answer, {}), answered=True)
            polling.poll_scheduler(ws, force=True)

    def ending():
        with Project(config.load(), queue) as ws, ws.db.transaction() as tx:
            events.record_ending(tx, JobKey(batch, chosen()), 1, ExitInfo("r" * 500, 3))

    writes = [add, submit, start, complete, update, fields, reset, boost, undo, spawn, delete, poll, ending]
    weights = [4, 4, 2, 4, 4, 2, 2, 2, 2, 4, 1, 2, 2]
    sys.stderr.write("ready\\n")
    sys.stderr.flush()
    for n in range(10**9):
        act = random.choices([*writes, remove], [*weights, 1])[0]
        try:
            act()
        except psu.ParaschutError:
            pass  # no such job at the moment, or nothing to undo
"""

# Holds the interpreter ready and forks writers, so that a kill costs no start of Python.
NURSERY = """
    import os, sys, textwrap
    import paraschut_core as psu
    from paraschut_core import actions, api, config, in_job
    from paraschut_core.monitoring import monitor, polling
    from paraschut_core.jobs import builder
    from paraschut_core.scheduling import spawns, submission
    from tests import helpers
    code = compile(open("writer.py").read(), "writer.py", "exec")
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            sys.argv = ["writer", *line.split("\\t")[:2], line.split("\\t")[2].rstrip("\\n")]
            exec(code, {"__name__": "writer"})
        print(pid, flush=True)
        _, status = os.waitpid(pid, 0)
        print(status, flush=True)
"""


def test_two_hundred_kills_at_random_moments_of_all_writes_leave_the_file_whole(
    project: ProjectDir, tally: Tally
) -> None:
    project.configure("[poll]\ninterval = 0\ngrace = 0\n[submit]\ntimeout = 0.1\n")
    project.add_many(6)
    (project.folder / "writer.py").write_text(textwrap.dedent(WRITER))
    seed = random.randrange(10**9)
    print(f"seed {seed}")
    chance = random.Random(seed)
    nurseries = [Nursery(project.folder, chance, batch) for batch in (BATCH, BATCH + 1)]
    began = time.monotonic()
    kills = hot = damaged = 0
    try:
        while kills < KILLS:
            for nursery in nurseries:
                nursery.start()
            # Writing takes most of a round: nearly every kill falls into a transaction of one or the other.
            time.sleep(chance.uniform(0.0, 0.12))
            for nursery in nurseries:
                hot += Path(f"{project.database}-journal").exists()
                nursery.kill()
                kills += 1
            if kills % 20 == 0:
                damaged += not is_sound(project.database)
    finally:
        for nursery in nurseries:
            nursery.close()
    damaged += not is_sound(project.database)
    took = time.monotonic() - began
    tally(kills, damaged, f"writers killed, {hot} of them in mid-transaction, in {took:.0f} s, seed {seed}")
    assert hot > KILLS / 20, "hardly any kill met a write"
    # And whoever comes next can work.
    psu.add_job_to_queue(project.job(10**6))
    queue = FileQueue(str(project.folder / "queue"))
    with project.workspace(queue) as ws:
        resolve_claims(ws, polling.poll_scheduler(ws, force=True))
    psu.set_complete(BATCH, 10**6)
    assert_sound(project.database)


def is_sound(database: Path) -> bool:
    try:
        assert_sound(database)
    except AssertionError as error:
        print(error)
        return False
    return True


class Nursery:
    """A process that forks writers, one at a time, for the test to kill."""

    def __init__(self, folder: Path, chance: random.Random, batch: int) -> None:
        self._folder = folder
        self._chance = chance
        self._batch = batch
        self._pid = 0
        self._script = Script(NURSERY)

    def start(self) -> None:
        process = self._script.process
        if process.stdin is None:
            raise AssertionError("the nursery reads its orders from a pipe")
        process.stdin.write(f"{self._batch}\t{self._chance.randrange(10**9)}\t{self._folder}\n")
        process.stdin.flush()
        self._pid = int(self._script.line())

    def kill(self) -> None:
        os.kill(self._pid, signal.SIGKILL)
        status = int(self._script.line())
        self._pid = 0
        assert os.WIFSIGNALED(status), "the writer ended by itself: look at its stderr"
        assert os.WTERMSIG(status) == signal.SIGKILL

    def close(self) -> None:
        if self._pid:
            os.kill(self._pid, signal.SIGKILL)
        self._script.kill()
