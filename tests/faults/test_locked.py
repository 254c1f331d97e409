"""The database locked by others, for minutes or again and again: jobs wait, and no word of theirs is lost."""

from __future__ import annotations

import os
import time

import paraschut_core as psu
from tests.conftest import Tally
from tests.helpers import BATCH, ProjectDir, Script, assert_sound, wait_until

LOCKED = float(os.environ.get("PARASCHUT_TEST_LOCKED", "6"))
"""Seconds for which the file is locked; with 120 or more the default time-outs are what is tested."""

BLOCKER = """
    import sqlite3, sys, time
    other = sqlite3.connect(sys.argv[1], timeout=60, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    print("locked", flush=True)
    time.sleep(float(sys.argv[2]))
    other.execute("COMMIT")
"""

# A job from its start to its end, that finds the file locked each time; short of two minutes, with
# time-outs as much shorter.
JOB = """
    import sys
    import paraschut_core as psu
    from paraschut_core import in_job
    from paraschut_core.database import connection
    short = float(sys.argv[1]) < 120
    if short:
        in_job.PAUSES = (0.1, 0.2, 0.5, 1, 2, 4, 8)
        opened = in_job.database
        def database():
            db = opened()
            db.timeout = 0.5
            return db
        in_job.database = database
    print("ready", flush=True)
    sys.stdin.readline()
    info = psu.get_job_info(SetID=True)
    print("started", flush=True)
    sys.stdin.readline()
    info["result"] = info["JobIndex"] * 2
    psu.set_complete(JobInfo=info)
    print("complete", flush=True)
"""


def test_jobs_that_start_and_finish_while_the_file_is_locked_lose_nothing(
    project: ProjectDir, tally: Tally
) -> None:
    jobs = 6
    project.add_many(jobs)
    scripts = [
        Script(
            JOB,
            LOCKED,
            PARASCHUT_BATCH_ID=str(BATCH),
            PARASCHUT_JOB_INDEX=str(index),
            PARASCHUT_JOB_ID=f"local-{index}",
        )
        for index in range(jobs)
    ]
    for script in scripts:
        assert script.line() == "ready"
    waited = []
    for said in ("started", "complete"):
        with Script(BLOCKER, project.database, LOCKED) as blocker:
            assert blocker.line() == "locked"
            began = time.monotonic()
            for script in scripts:
                assert script.process.stdin is not None
                script.process.stdin.write("\n")
                script.process.stdin.flush()
            heard = [script.line() for script in scripts]
            waited.append(time.monotonic() - began)
            assert heard == [said] * jobs
            assert waited[-1] >= LOCKED * 0.9, "the lock was not in the way of anything"
    for script in scripts:
        script.output()
    lost = sum(1 for index in range(jobs) if psu.get_job_info(BATCH, index).get("result") != index * 2)
    assert set(project.states().values()) == {"complete"}
    assert_sound(project.database)
    tally(
        2 * jobs,
        lost,
        f"locked for {LOCKED:g} s at the start and at the end; all went on after "
        f"{max(waited) - LOCKED:.1f} s",
    )


def test_one_who_writes_in_a_loop_keeps_nobody_out(project: ProjectDir, tally: Tally) -> None:
    finishers = 20
    project.add(*(project.job(index, state="run") for index in range(finishers)))
    greedy = """
        import sys, time
        from paraschut_core.database.connection import Database
        with Database(sys.argv[1]) as db:
            print("begun", flush=True)
            while True:
                with db.transaction() as tx:
                    tx.connection.execute("UPDATE job SET changed_by = changed_by, rev = ?", (tx.rev,))
                    time.sleep(0.05)
    """
    finish = """
        import sys
        import paraschut_core as psu
        for index in range(int(sys.argv[1]), int(sys.argv[2])):
            psu.set_complete(int(sys.argv[3]), index)
    """
    with Script(greedy, project.database) as writer:
        assert writer.line() == "begun"
        began = time.monotonic()
        crowd = [Script(finish, first, first + 5, BATCH) for first in range(0, finishers, 5)]
        for script in crowd:
            script.output(280)
        took = time.monotonic() - began
    lost = finishers - list(project.states().values()).count("complete")
    assert_sound(project.database)
    tally(finishers, lost, f"beside one who takes the lock for 50 ms, over and over; {took:.1f} s for all")


def test_a_command_that_cannot_write_says_who_is_in_the_way_and_nothing_is_half_done(
    project: ProjectDir, tally: Tally
) -> None:
    project.configure("write_timeout = 0.3\n")
    project.add_many(5)
    before = project.sql("SELECT * FROM job ORDER BY idx")
    calls = [
        ["set", str(BATCH), "priority=3", "--yes"],
        ["reset", str(BATCH), "--yes"],
        ["boost", str(BATCH)],
        ["submit"],
        ["remove", str(BATCH), "--yes"],
        ["qdel", str(BATCH), "--yes"],
    ]
    with Script(BLOCKER, project.database, 600) as blocker:
        assert blocker.line() == "locked"
        code = "import sys; from paraschut_core.cli import main; sys.exit(main(sys.argv[1:]))"
        failed = [Script(code, *call) for call in calls]
        said = [script.failure() for script in failed]
    wait_until(lambda: project.sql("SELECT count(*) FROM job") == [(5,)], "the lock is free")
    for text in said:
        assert "stayed locked by another process" in text
        assert "Traceback" not in text
    lost = before != project.sql("SELECT * FROM job ORDER BY idx")
    tally(len(calls), int(lost), "commands while the file is locked: each says so, none changes anything")
