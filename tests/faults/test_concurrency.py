"""Many real processes on one file at once: nothing is lost, nothing done twice, nobody waits for ever."""

from __future__ import annotations

import json
import os
import sqlite3
import statistics
import time

import pytest

import paraschut_core as psu
from paraschut_core.actions import Selection, undo
from paraschut_core.errors import ConflictError
from tests.conftest import Tally
from tests.helpers import BATCH, FileQueue, ProjectDir, Scheduler, Script, assert_sound

FINISHERS = 200
SUBMITTERS = 8
JOBS = 10_000

# Forks many processes that all wait for one moment, then do what `act` says; prints what each returns.
CROWD = """
    import json, os, sys, time
    import paraschut_core as psu
    from paraschut_core import api, in_job
    from paraschut_core.errors import ConflictError
    from tests.helpers import ProjectDir
    batch, n = int(sys.argv[1]), int(sys.argv[2])

    def act(i):
{act}

    go = os.path.abspath("go")
    children = []
    for i in range(n):
        out, into = os.pipe()
        pid = os.fork()
        if pid == 0:
            while not os.path.exists(go):
                time.sleep(0.01)
            try:
                answer = act(i)
            except BaseException as error:
                answer = f"{{type(error).__name__}}: {{error}}"
            os.write(into, json.dumps(answer).encode())
            os._exit(0)
        os.close(into)
        children.append((pid, out))
    open(go, "w").close()
    answers = []
    for pid, out in children:
        with open(out, "rb") as file:
            answers.append(json.loads(file.read()))
        assert os.waitpid(pid, 0)[1] == 0
    print(json.dumps(answers))
"""


def crowd(n: int, act: str, seconds: float = 280) -> list[object]:
    """What each of `n` processes returned that did `act` (Python, with i its number) at the same moment."""
    body = "\n".join(f"        {line}" for line in act.strip("\n").splitlines())
    script = Script(CROWD.replace("{act}", body).replace("{{", "{").replace("}}", "}"), BATCH, n)
    answers: list[object] = json.loads(script.output(seconds).splitlines()[-1])
    return answers


def test_two_hundred_jobs_that_finish_at_once_all_are_complete_with_their_results(
    project: ProjectDir, tally: Tally
) -> None:
    project.add(*(project.job(index, state="run") for index in range(FINISHERS)))
    waits = crowd(
        FINISHERS,
        """
began = time.monotonic()
info = psu.get_job_info(batch, i)
info["result"] = i * i
psu.set_complete(batch, i, info)
return time.monotonic() - began
""",
    )
    numbers = [wait for wait in waits if isinstance(wait, float)]
    assert len(numbers) == FINISHERS, [wait for wait in waits if not isinstance(wait, float)]
    infos = [psu.get_job_info(BATCH, index) for index in range(FINISHERS)]
    lost = sum((info["state"], info.get("result")) != ("complete", info["JobIndex"] ** 2) for info in infos)
    assert_sound(project.database)
    waited = f"worst wait {max(numbers):.1f} s, median {statistics.median(numbers):.1f} s"
    tally(FINISHERS, lost, f"processes that end at once; {waited}")


def test_two_hundred_jobs_that_start_at_once_all_run(project: ProjectDir) -> None:
    project.add(*(project.job(index) for index in range(FINISHERS)))
    answers = crowd(FINISHERS, "return psu.get_job_info(batch, i, SetID=True, ClusterID=str(i))['ClusterID']")
    assert answers == [str(index) for index in range(FINISHERS)]
    assert set(project.states().values()) == {"run"}
    assert_sound(project.database)


def test_eight_submitters_on_ten_thousand_jobs_submit_each_exactly_once_within_max_jobs(
    project: ProjectDir, tally: Tally
) -> None:
    project.configure("[poll]\ninterval = 0\n")
    project.add_many(JOBS)
    queue = FileQueue(str(project.folder / "queue"))
    code = """
        import sys
        import paraschut_core as psu
        from tests.helpers import FileQueue
        psu.submit_jobs(Executor=FileQueue(sys.argv[1], chunk=100), MaxJobs=int(sys.argv[2]))
    """
    counts = []
    began = time.monotonic()
    for limit in (JOBS // 2 + 37, JOBS + 1):
        scripts = [Script(code, queue.path, limit) for _ in range(SUBMITTERS)]
        printed = [script.output(280) for script in scripts]
        submitted = [int(text.rsplit("submitted: ", 1)[1]) for text in printed]
        jobs = [key for _, _, key in queue.lines()]
        assert len(jobs) == len(set(jobs)) == min(limit, JOBS)
        counts.append(submitted)
    assert sum(map(sum, counts)) == JOBS
    assert set(project.states().values()) == {"submit"}
    ids = dict(project.sql("SELECT JobIndex, submit_id FROM job"))
    assert ids == {int(key.rpartition("/")[2]): id_ for id_, _, key in queue.lines()}
    assert_sound(project.database)
    wrong = JOBS - len(set(jobs)) + len(jobs) - len(set(jobs))
    took = time.monotonic() - began
    tally(JOBS, wrong, f"jobs that {SUBMITTERS} submitters went for, lost or doubled; {took:.1f} s")


def test_of_many_that_update_the_same_copy_one_wins_and_the_others_are_told(project: ProjectDir) -> None:
    project.add(project.job())
    info = psu.get_job_info(BATCH, 0)
    answers = crowd(
        20,
        f"""
info = json.loads({json.dumps(json.dumps(info))}) | {{"winner": i}}
psu.update_job(info)
return "won"
""".replace("{", "{{").replace("}", "}}"),
    )
    assert answers.count("won") == 1
    assert all("ConflictError: Job" in str(a) and "was changed by" in str(a) for a in answers if a != "won")
    assert psu.get_job_info(BATCH, 0)["winner"] == answers.index("won")


def test_updates_that_read_again_after_each_conflict_all_count(project: ProjectDir) -> None:
    project.add(project.job(count=0))
    answers = crowd(
        12,
        """
tries = 0
while True:
    info = psu.get_job_info(batch, 0)
    info["count"] += 1
    try:
        psu.update_job(info)
        return tries
    except ConflictError:
        tries += 1
""",
    )
    assert all(isinstance(tries, int) for tries in answers), answers
    assert psu.get_job_info(BATCH, 0)["count"] == 12


def test_of_many_that_start_the_same_job_exactly_one_runs_it(project: ProjectDir) -> None:
    project.add(project.job())
    answers = crowd(20, "return psu.get_job_info(batch, 0, SetID=True, ClusterID=str(i))['ClusterID']")
    winners = [answer for answer in answers if not str(answer).startswith("StaleJobError")]
    assert len(winners) == 1
    assert project.column("ClusterID") == winners[0]


def test_a_change_of_everything_and_everybodys_finishing_both_survive(project: ProjectDir) -> None:
    """Somebody boosts the batch again and again while all its jobs complete with their own metadata."""
    n, boosts = 60, 15
    project.add(*(project.job(index, state="run") for index in range(n)))
    infos = {index: psu.get_job_info(BATCH, index) for index in range(n)}
    (project.folder / "infos.json").write_text(json.dumps(infos))
    code = f"import paraschut_core as psu\nfor _ in range({boosts}): psu.boost_batch_priority({BATCH}, 1)"
    booster = Script(code)
    answers = crowd(
        n,
        """
info = json.load(open("infos.json"))[str(i)]
info["result"] = i
psu.set_complete(batch, i, info)
return "done"
""",
    )
    booster.output()
    assert answers == ["done"] * n
    for index in range(n):
        info = psu.get_job_info(BATCH, index)
        assert (info["state"], info["result"], info["priority"]) == ("complete", index, 1 + boosts)
    assert_sound(project.database)


def test_a_long_write_does_not_keep_readers_waiting_nor_readers_a_writer(project: ProjectDir) -> None:
    """Readers look on while a transaction is open for seconds; a commit waits for reads of milliseconds."""
    project.add_many(2000)
    code = """
        import sys, time
        from paraschut_core.database.connection import Database
        with Database(sys.argv[1]) as db, db.transaction() as tx:
            tx.connection.execute("UPDATE job SET priority = 2, rev = ?", (tx.rev,))
            print("writing", flush=True)
            sys.stdin.readline()
        print("written", flush=True)
    """
    with Script(code, project.database) as writer:
        assert writer.line() == "writing"
        longest = 0.0
        with project.workspace(Scheduler()) as ws:
            for _ in range(30):
                began = time.monotonic()
                assert len(ws.reader.rows("SELECT * FROM job")) == 2000
                longest = max(longest, time.monotonic() - began)
            assert ws.reader.rows("SELECT DISTINCT priority FROM job") == [(1,)]
            assert writer.process.stdin is not None
            writer.process.stdin.write("\n")
            writer.process.stdin.flush()
            reads = 0
            while ws.reader.rows("SELECT max(priority) FROM job") == [(1,)]:
                reads += 1
        assert writer.line() == "written"
    print(f"longest read beside an open write {longest * 1000:.0f} ms; {reads} reads until its commit")
    assert longest < 5.0


def test_writers_and_readers_in_a_crowd_see_whole_transactions_only(project: ProjectDir) -> None:
    """Each writer sets all jobs to one value in a transaction: no reader ever sees two."""
    project.add_many(200)
    code = """
        import sys
        from paraschut_core.database.connection import Database
        with Database(sys.argv[1]) as db:
            for n in range(15):
                with db.transaction() as tx:
                    for index in range(200):
                        tx.connection.execute(
                            "UPDATE job SET priority = ?, rev = ? WHERE JobIndex = ?",
                            (int(sys.argv[2]) * 100 + n, tx.rev, index),
                        )
    """
    writers = [Script(code, project.database, n) for n in range(3)]
    reader = sqlite3.connect(project.database, timeout=60, isolation_level=None)
    looks = 0
    while any(writer.process.poll() is None for writer in writers):
        assert len(reader.execute("SELECT DISTINCT priority FROM job").fetchall()) == 1
        looks += 1
    reader.close()
    for writer in writers:
        writer.output()
    assert looks > 0
    assert_sound(project.database)


def test_an_undo_beside_changes_by_others_takes_back_only_what_nobody_touched(project: ProjectDir) -> None:
    n = 300
    project.add_many(n)
    with project.workspace(Scheduler()) as ws:
        from paraschut_core.actions import boost

        boost(ws, Selection(batches=(BATCH,)), 10)
        code = f"""
            import paraschut_core as psu
            for index in range(0, {n}, 2):
                info = psu.get_job_info({BATCH}, index)
                info["touched"] = True
                try:
                    psu.update_job(info)
                except psu.ParaschutError:
                    info = None  # the undo was faster
        """
        with Script(code) as other:
            while not ws.reader.rows("SELECT 1 FROM job WHERE metadata LIKE '%touched%' LIMIT 1"):
                time.sleep(0.005)
            report = undo(ws)
            other.output()
    for index in range(n):
        info = psu.get_job_info(BATCH, index)
        refused = any(outcome.key.job_index == index for outcome in report.failed)
        assert info["priority"] == (11 if refused else 1)
        if refused:
            assert info["touched"]
    assert report.done + len(report.failed) == n
    assert report.done >= n // 2
    assert_sound(project.database)


def test_a_stale_copy_never_overwrites_however_the_two_meet(project: ProjectDir) -> None:
    project.add(project.job(log=[]))
    for n in range(20):
        stale = psu.get_job_info(BATCH, 0)
        psu.update_job(psu.get_job_info(BATCH, 0) | {"log": [n]})
        with pytest.raises(ConflictError, match=f":{os.getpid()}"):
            psu.update_job(stale | {"log": ["stale"]})
    assert psu.get_job_info(BATCH, 0)["log"] == [19]
