"""However and whenever a submitter dies or is deceived: every job runs exactly once, and its id is known."""

from __future__ import annotations

import os
import random
import re
import signal
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import pytest

import paraschut_core as psu
from tests.clusters.tools import read
from tests.clusters.whole_path_place import CLUSTERS, LOCAL, OWN, WAIT, Place, cluster, place
from tests.helpers import Script, as_added, wait_until

__all__ = ["cluster", "place"]

on_clusters = pytest.mark.parametrize("cluster", CLUSTERS, indirect=True)

KILLS = int(os.environ.get("PARASCHUT_TEST_LINES", "6"))
"""At how many lines of code between claim and record a submitter is killed, for each scheduler."""

ONCE = """
info = psu.get_job_info(SetID=True)
file = os.open("ran", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
os.write(file, f"{info['BatchID']} {info['JobIndex']}\\n".encode())
psu.set_complete(JobInfo=info)
"""

ONCE_IN_PROCESS = f"import os\nimport paraschut_core as psu\n{ONCE}"

JOBS = 3


COMMAND = "echo $PARASCHUT_BATCH_ID $PARASCHUT_JOB_INDEX >> ran"


def make(place: Place, **fields: object) -> int:
    """A batch of jobs that each note their start behind the gate; the last is a command of `add`."""
    place.configure(submit_timeout=2.0)
    scripts = [*[place.script("once.py", ONCE)] * (JOBS - 1), as_added(COMMAND)]
    return place.make(*[{"script": script, **fields} for script in scripts])


def settle(place: Place, batch: int) -> None:
    """What happens by itself in time: polls, and submissions of what is next, until all is complete."""

    def done() -> bool:
        place("queue", "--poll")
        psu.submit_jobs()
        return set(place.states(batch).values()) == {"complete"}

    wait_until(done, f"all are complete: {place.states(batch)}", 120)
    wait_until(lambda: not place.queue(), "nothing is left in the queue", 120)


def assert_once(place: Place, *batches: int, what: str = "") -> None:
    """Each job ran once and completed once; with `what`, a line of the table that pytest -s shows."""
    wanted = [f"{batch} {n}" for batch in batches for n in range(JOBS)]
    ran = Counter(place.lines("ran"))
    if what:
        lost = sum(not ran[job] for job in wanted)
        twice = sum(ran[job] > 1 for job in wanted)
        print(f"{place.name:6} {what:46} {len(wanted):3} jobs: {lost} lost, {twice} run twice")
    assert sorted(ran.elements()) == sorted(wanted)
    assert place.reasons() == {}
    doubles = 'SELECT JobIndex FROM event WHERE "to" = ? GROUP BY BatchID, JobIndex HAVING count(*) > 1'
    assert place.sql(doubles, "complete") == []


def attempts(place: Place, batch: int) -> list[int]:
    return [n for (n,) in place.sql("SELECT attempt FROM job WHERE BatchID = ? ORDER BY JobIndex", batch)]


def first_one(place: Place, n: int) -> list[int]:
    """The attempts of all jobs where the first one's are `n`: those after it have the same fate in an array,
    and none where each job is submitted by itself."""
    return [n] * JOBS if place.has_arrays else [n, *[1] * (JOBS - 1)]


# ------------------------------------------------------------------------------------ killed by itself

DIES = """
    import importlib, os, sys
    import paraschut_core as psu

    module, name, nth, when = sys.argv[1:]
    owner = importlib.import_module(module)
    *path, name = name.split(".")
    for part in path:
        owner = getattr(owner, part)
    real = getattr(owner, name)
    calls = 0

    def dying(*arguments, **options):
        global calls
        calls += 1
        if calls == int(nth) and when == "before":
            os.kill(os.getpid(), 9)
        result = real(*arguments, **options)
        if calls == int(nth) and when == "after":
            os.kill(os.getpid(), 9)
        return result

    setattr(owner, name, dying)
    psu.submit_jobs()
"""


class Step(NamedTuple):
    """A function at whose nth call, before or after it, the submitter dies; and what is left of it then."""

    function: str
    nth: int
    when: str
    claimed: bool
    submitted: bool

    def __str__(self) -> str:
        return f"{self.when} call {self.nth} of {self.function.rpartition('.')[2]}"


STEPS = [
    Step("submission._claim_chunk", 1, "before", claimed=False, submitted=False),
    Step("submission.claim", 2, "after", claimed=False, submitted=False),
    Step("submission._claim_chunk", 1, "after", claimed=True, submitted=False),
    Step("submission._submit", 1, "before", claimed=True, submitted=False),
    Step("submission._submit", 1, "after", claimed=True, submitted=True),
    Step("submission.record_id", 2, "after", claimed=True, submitted=True),
    Step("submission.record_submitted", 1, "after", claimed=True, submitted=True),
]


@pytest.mark.parametrize("step", STEPS, ids=str)
def test_a_submitter_that_dies_at_a_step_leaves_each_job_to_run_once(place: Place, step: Step) -> None:
    batch = make(place)
    module, _, name = step.function.partition(".")
    nth = step.nth if place.has_arrays else 1
    with Script(DIES, f"paraschut_core.scheduling.{module}", name, nth, step.when) as submitter:
        assert submitter.process.wait(120) == -signal.SIGKILL
    assert (place.states(batch)[0] == "init") == (not step.claimed)
    settle(place, batch)
    assert_once(place, batch, what=f"killed {step}")
    # What the scheduler has taken is adopted; what it has not is claimed anew, under another number.
    assert attempts(place, batch) == first_one(place, 1 if step.submitted or not step.claimed else 2)


TRACED = """
    import os, sys
    import paraschut_core as psu
    from paraschut_core.scheduling import submission

    left = int(sys.argv[1])
    lines = 0
    real = submission.submit_keys

    def trace(frame, event, _):
        global lines
        if "paraschut_core" not in frame.f_code.co_filename:
            return None
        if event == "line":
            lines += 1
            if lines == left:
                os.kill(os.getpid(), 9)
        return trace

    def traced(*arguments, **options):
        sys.settrace(trace)
        try:
            return real(*arguments, **options)
        finally:
            sys.settrace(None)

    submission.submit_keys = traced
    psu.submit_jobs()
    print("lines", lines)
"""


def test_a_submitter_that_is_killed_at_any_line_leaves_each_job_to_run_once(place: Place) -> None:
    batches = [make(place)]
    with Script(TRACED, -1) as whole:
        lines = int(whole.output().split("lines")[-1])
    settle(place, batches[0])
    seed = random.randrange(10**6)
    what = f"killed at {KILLS} of {lines} lines (seed {seed})"
    chosen = random.Random(seed)
    for part in range(KILLS):
        batches.append(make(place))
        at = chosen.randrange(part * lines // KILLS, (part + 1) * lines // KILLS) + 1
        with Script(TRACED, at) as submitter:
            assert submitter.process.wait(120) in (-signal.SIGKILL, 0), at
    for batch in batches:
        settle(place, batch)
    assert_once(place, *batches, what=what)


# ------------------------------------------------------------------------------------ the command


class Fate(NamedTuple):
    """What a stand-in does around the real submit command, and whether the scheduler then has the jobs."""

    what: str
    lines: Sequence[str]
    submitted: bool
    kills: bool = True

    def __str__(self) -> str:
        return self.what


FATES = [
    Fate("killed while its command goes on", ["kill -9 $PPID", 'exec "$real" "$@"'], submitted=True),
    Fate("killed with its command", ["kill -9 $PPID $$"], submitted=False),
    Fate("killed when its command is done", ['"$real" "$@"', "kill -9 $PPID $$"], submitted=True),
    Fate(
        "given no answer in time",
        ['"$real" "$@" >/dev/null', "exec sleep 600"],
        submitted=True,
        kills=False,
    ),
    Fate("given half an answer", ['"$real" "$@" | tr -d "\\n" | head -c 1'], submitted=True, kills=False),
    Fate("given no answer at all", ['"$real" "$@" >/dev/null'], submitted=True, kills=False),
    Fate("told of a failure after success", ['"$real" "$@" >&2', "exit 1"], submitted=False, kills=False),
]  # fmt: skip


@on_clusters
@pytest.mark.parametrize("fate", FATES, ids=str)
def test_a_submitter_and_its_command_may_meet_any_fate(place: Place, fate: Fate) -> None:
    batch = make(place)
    stand_in = place.stand_in(place.words.submit, *fate.lines)
    with Script("import paraschut_core as psu; psu.submit_jobs()") as submitter:
        assert submitter.process.wait(120) == (-signal.SIGKILL if fate.kills else 0)
    stand_in.unlink()
    settle(place, batch)
    assert_once(place, batch, what=str(fate))
    # A refusal that is none is believed: the jobs go out again, and the first are stopped at their start.
    adopted = fate.submitted or fate.what.startswith("told")
    if place.name == "torque" and fate is FATES[0]:
        adopted = False  # Slurm's qsub warns before it submits, and ends when nobody reads that
    assert attempts(place, batch) == first_one(place, 1 if adopted else 2)


@pytest.mark.parametrize("cluster", OWN, indirect=True)
def test_what_is_submitted_to_a_hung_controller_runs_once(place: Place) -> None:
    first = make(place)
    psu.submit_jobs()  # the cluster has said by now what it allows
    settle(place, first)
    batch = make(place)
    place.own.hang_controller()
    try:
        psu.submit_one_batch(batch)
        assert set(place.states(batch).values()) == {"submit"}
        assert place.ids(batch) == {}
    finally:
        place.own.wake_controller()
    settle(place, batch)
    assert_once(place, first, batch, what="given no answer by a stopped controller")


# ------------------------------------------------------------------------------------ duplicates


def submit_by_hand(place: Place) -> None:
    """What a user can do: hand the scripts of the first submission to the scheduler once more."""
    scripts = sorted((place.folder / ".paraschut" / "scripts").glob("*/*.sh"), key=os.path.getmtime)
    tasks = f"1-{JOBS}"
    # Named, since the script's name may begin with a digit, which Grid Engine and PBS refuse.
    named = ("-N", "again", "-o", "/dev/null", "-S", "/bin/bash")
    options = {
        "slurm": ("--array", tasks, "-o", "/dev/null"),
        "torque": named,
        "sge": ("-t", tasks, "-j", "y", *named),
        "pbs": ("-J", tasks, "-j", "oe", *named),
    }
    for script in scripts[: 1 if place.has_arrays else JOBS]:
        place.cluster.run(place.words.submit, *options[place.name], str(script))


def wait_for_refusals(place: Place, batch: int, message: str) -> None:
    """Waits until each job's log says once that something was stopped at its start, and why."""

    def refused() -> bool:
        logs = [read(path) for path in (place.folder / str(batch) / "logs").glob("*.err")]
        told = [re.findall(f"Job {batch}/[0-9]+ must not start: {message}", log) for log in logs]
        return [len(found) for found in told] == [1] * JOBS

    wait_until(refused, f"duplicates are stopped: {message}", 120)


@on_clusters
def test_a_stale_duplicate_stops_before_the_users_code(place: Place) -> None:
    once = place.script("once.py", ONCE)
    batch = place.make({"script": once}, {"script": once}, {"script": as_added(COMMAND)}, **place.held())
    psu.submit_jobs()
    assert len(place.ids(batch)) == JOBS
    submit_by_hand(place)  # while the true ones wait in the queue
    wait_for_refusals(place, batch, "it was submitted as")
    assert place.lines("ran") == []
    place.release(batch)
    place.wait_for(batch, "complete")
    assert_once(place, batch)
    submit_by_hand(place)  # when they are complete
    wait_for_refusals(place, batch, "it is complete already")
    place("reset", batch, "--force", "--yes")
    psu.submit_jobs()
    submit_by_hand(place)  # when others have taken their place
    wait_for_refusals(place, batch, "attempt 2 has taken its place")
    assert_once(place, batch)
    assert set(place.states(batch).values()) == {"submit"}


@pytest.mark.parametrize("cluster", LOCAL, indirect=True)
def test_a_stale_process_stops_before_the_users_code(place: Place) -> None:
    fills = place.make(*[{"script": WAIT}] * 6)
    psu.submit_one_batch(fills)
    batch = make(place)
    psu.submit_one_batch(batch)
    ((token,),) = place.sql("SELECT token FROM job WHERE BatchID = ? AND JobIndex = 0", batch)
    copied = {
        "PARASCHUT_EXECUTOR": "local",
        "PARASCHUT_BATCH_ID": str(batch),
        "PARASCHUT_JOB_INDEX": "0",
        "PARASCHUT_TOKEN": token,
        "PARASCHUT_JOB_ID": "another",
    }
    with Script(ONCE_IN_PROCESS, **copied) as duplicate:
        assert "must not start: it was submitted as" in duplicate.failure()
    place.go()
    place.wait_for(batch, "complete")
    with Script(ONCE_IN_PROCESS, **copied) as duplicate:
        assert "must not start: it is complete already" in duplicate.failure()
    assert sorted(place.lines("ran")) == [f"{batch} {n}" for n in range(JOBS)]
