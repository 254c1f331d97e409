"""Several hosts on one file: clocks that differ by an hour, and processes that others cannot see."""

from __future__ import annotations

import glob
import json
import os
import subprocess
import time
from collections import Counter

import pytest

import paraschut_core as psu
from paraschut_core import config
from paraschut_core.monitoring.monitor import Monitor
from paraschut_core.project import Project
from tests.conftest import Tally
from tests.helpers import BATCH, FileQueue, ProjectDir, Script, assert_sound, wait_until

SKEWS = ("+1h", "-1h")
"""How the clock of the other host differs from ours."""


@pytest.fixture(scope="module")
def faketime() -> str:
    """The library that gives a process another clock (Debian's package faketime)."""
    found = glob.glob("/usr/lib/*/faketime/libfaketime.so.1") + glob.glob(
        "/usr/lib/faketime/libfaketime.so.1"
    )
    if found:
        return found[0]
    if os.environ.get("CI") == "true":
        pytest.fail("libfaketime is not installed: apt-get install faketime")
    pytest.skip("libfaketime is not installed: apt-get install faketime")


@pytest.fixture
def elsewhere(faketime: str) -> dict[str, str]:
    """The environment of a process whose clock is another (FAKETIME says which)."""
    return {"LD_PRELOAD": faketime}


SUBMIT = """
    import sys
    import paraschut_core as psu
    from tests.helpers import FileQueue
    psu.submit_jobs(Executor=FileQueue(sys.argv[1]))
"""
START = """
    import sys, time
    import paraschut_core as psu
    batch, *indices = map(int, sys.argv[1:])
    for index in indices:
        psu.get_job_info(batch, index, SetID=True, ClusterID=psu.get_job_info(batch, index)["submit_id"])
    print(time.time())
"""


@pytest.mark.parametrize("skew", SKEWS)
def test_jobs_submitted_and_started_under_another_clock_are_judged_by_the_polls_alone(
    project: ProjectDir, elsewhere: dict[str, str], skew: str, tally: Tally
) -> None:
    project.configure("[poll]\ninterval = 0\ngrace = 1.5\n")
    project.add_many(4)
    queue = FileQueue(str(project.folder / "queue"))
    Script(SUBMIT, queue.path, FAKETIME=skew, **elsewhere).output()
    clock = float(Script(START, BATCH, 0, 1, FAKETIME=skew, **elsewhere).output().split()[-1])
    assert abs(abs(clock - time.time()) - 3600) < 300, "the other clock is no other clock"
    assert project.states() == {0: "run", 1: "run", 2: "submit", 3: "submit"}
    with Project(config.load(), queue) as ws:
        watched = Monitor(ws)
        wrong = 0
        for _ in range(4):
            wrong += len(watched.poll().missing)  # all of them are in the queue
        lines = (project.folder / "queue").read_text().splitlines(keepends=True)
        (project.folder / "queue").write_text("".join(lines[1:3]))  # 0 and 3 are gone without a word
        began = time.monotonic()
        assert not watched.poll().missing, "one poll proves nothing"
        wait_until(lambda: len(watched.poll().missing) == 2, "two jobs are missing", 20)
        waited = time.monotonic() - began
        assert {key.job_index for key in watched.refresh().missing} == {0, 3}
    assert waited >= 1.5, "the grace did not count"
    tally(
        4, wrong, f"clock {skew}: nobody missing too early; the two that were lost found after {waited:.1f} s"
    )


@pytest.mark.parametrize("skew", SKEWS)
def test_the_lease_of_a_host_with_another_clock_stops_no_poll(
    project: ProjectDir, elsewhere: dict[str, str], skew: str, tally: Tally
) -> None:
    project.configure("[poll]\ninterval = 2\n")
    project.add_many(2)
    queue = FileQueue(str(project.folder / "queue"), expensive_poll=True)
    poll = """
        import sys
        from paraschut_core import config
        from paraschut_core.monitoring import polling
        from paraschut_core.project import Project
        from tests.helpers import FileQueue
        with Project(config.load(), FileQueue(sys.argv[1], expensive_poll=True)) as ws:
            print(polling.poll_scheduler(ws).polled_at)
    """
    psu.submit_jobs(Executor=queue)
    Script(poll, queue.path, FAKETIME=skew, **elsewhere).output()
    with Project(config.load(), queue) as ws:
        watched = Monitor(ws)
        began = time.monotonic()
        wait_until(
            lambda: (
                abs(watched.refresh().scheduler.polled_at - time.time()) < 60 or (watched.poll() and False)
            ),
            "it is polled by our own clock",
            30,
        )
        waited = time.monotonic() - began
    tally(1, 0, f"clock {skew}: polled by our own after {waited:.1f} s")


def test_a_claim_from_a_clock_ahead_is_neither_dropped_early_nor_kept_for_ever(
    project: ProjectDir, elsewhere: dict[str, str], tally: Tally
) -> None:
    """A submitter of another host dies between claim and queue: its jobs come back and are submitted once."""
    project.configure("[poll]\ninterval = 0\ngrace = 0\n[submit]\ntimeout = 2\n")
    project.add_many(3)
    queue = FileQueue(str(project.folder / "queue"))
    die = """
        import os, signal, sys
        import paraschut_core as psu
        from tests.helpers import FileQueue
        class Dying(FileQueue):
            def submit_many(self, jobs):
                os.kill(os.getpid(), signal.SIGKILL)
        psu.submit_jobs(Executor=Dying(sys.argv[1]))
    """
    for skew in SKEWS:
        script = Script(die, queue.path, FAKETIME=skew, **elsewhere)
        script.process.communicate()
        assert set(project.states().values()) == {"submit"}
        wait_until(
            lambda: psu.submit_jobs(Executor=queue) or len(queue.lines()) == 3, "they are submitted", 30
        )
        jobs = [key for _, _, key in queue.lines()]
        assert len(jobs) == len(set(jobs)) == 3
        (project.folder / "queue").unlink()
        for index in range(3):
            project.reset_by_force(index)
    assert_sound(project.database)
    tally(2 * 3, 0, "claims of a killed submitter whose clock was an hour off")


# ------------------------------------------------------------------------------------ other hosts


@pytest.fixture(scope="module")
def host_names() -> None:
    """Whether this machine lets a process have a host name of its own."""
    tried = subprocess.run(["unshare", "--uts", "hostname", "node-b"], capture_output=True, check=False)
    if tried.returncode:
        why = f"no namespace for a host name here: {tried.stderr.decode().strip()}"
        pytest.fail(why) if os.environ.get("CI") == "true" else pytest.skip(why)


def on_host(name: str, code: str, *arguments: object) -> Script:
    """A Python process on another host, as far as it can tell."""
    under = ("unshare", "--uts", "sh", "-c", f'hostname {name} && exec "$@"', "sh")
    return Script(code, *arguments, under=under)


LOCAL = """
executor = "local"
[poll]
interval = 0
grace = 0
[local]
slots = 2
idle_timeout = 1
"""
COMMAND = """
    import sys
    from paraschut_core.cli import main
    sys.exit(main(sys.argv[1:]))
"""


def test_the_local_jobs_of_another_host_are_neither_missing_nor_touched(
    project: ProjectDir, host_names: None, tally: Tally
) -> None:
    project.configure(LOCAL)
    project.add(project.job(0, script="touch started; while [ ! -e go ]; do sleep 0.05; done; touch done"))
    on_host("node-a", COMMAND, "submit").output()
    wait_until((project.folder / "started").exists, "it runs on node-a")
    wrong = 0
    for _ in range(3):
        script = on_host("node-b", COMMAND, "queue", "--json", "--poll")
        report = json.loads(script.output())
        wrong += report["counts"]["missing"]
    qdel = on_host("node-b", COMMAND, "qdel", str(BATCH), "--yes")
    refused, _ = qdel.process.communicate(timeout=60)
    assert qdel.process.returncode == 1
    assert "it was submitted to local@node-a:" in refused
    assert project.state() in ("submit", "run")
    (project.folder / "go").touch()
    wait_until((project.folder / "done").exists, "the job was left alone and came to its end")
    tally(3, wrong, "looks from another host at a local job")


def test_two_hosts_that_submit_local_jobs_from_one_file_run_each_once(
    project: ProjectDir, host_names: None, tally: Tally
) -> None:
    jobs = 60
    project.configure(LOCAL)
    project.add(
        *(project.job(index, script="echo $PARASCHUT_JOB_INDEX $(uname -n) >> ran") for index in range(jobs))
    )
    hosts = ("node-a", "node-b")
    submit = """
        import sys
        import paraschut_core as psu
        for _ in range(10):
            psu.submit_jobs(MaxJobs=6 * (1 + _))
    """
    for script in [on_host(name, submit) for name in hosts]:
        script.output()
    on_host("node-a", "import paraschut_core as psu; psu.submit_jobs(MaxJobs=1000)").output()

    def ran() -> list[str]:
        path = project.folder / "ran"
        return path.read_text().splitlines() if path.exists() else []

    wait_until(lambda: len(ran()) >= jobs, "all have run", 120)
    time.sleep(0.5)  # for one that would run a second time
    runs = Counter(line.split()[0] for line in ran())
    where = Counter(line.split()[1] for line in ran())
    wrong = sum(abs(runs[str(index)] - 1) for index in range(jobs))
    tally(jobs, wrong, f"jobs submitted from two hosts at once; {dict(where)}")
