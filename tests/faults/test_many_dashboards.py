"""A hundred dashboards on one file: all show the truth, the scheduler is asked once, writers go on."""

from __future__ import annotations

import json
import statistics
import time

import paraschut_core as psu
from tests.conftest import Tally
from tests.helpers import BATCH, FileQueue, ProjectDir, Script, assert_sound

DASHBOARDS = 100
JOBS = 40

# Forks the dashboards' inner part, which is all of them that touches file and scheduler: what tells that
# the file changed, and the monitor. Each goes on until it sees the end, and prints how late it saw it.
WATCHERS = """
    import json, os, sys, time
    from paraschut_core import config
    from paraschut_core.monitoring import polling
    from paraschut_core.monitoring.monitor import Monitor
    from paraschut_core.monitoring.file_watcher import ChangeDetector
    from paraschut_core.project import Project
    from tests.helpers import FileQueue

    class Counted(FileQueue):
        def poll(self):
            with open("polls", "a") as file:
                file.write(f"{os.getpid()}\\n")
            return super().poll()

    n, jobs, queue = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    parent = os.getpid()

    def watch():
        with Project(config.load(), Counted(queue, expensive_poll=True)) as ws:
            monitor = Monitor(ws)
            detector = ChangeDetector(ws.db.path)
            looks, errors = 0, 0
            polled = 0.0
            while os.getppid() == parent:  # nobody goes on watching when the test has ended
                now = time.monotonic()
                if now - polled > 1:
                    polled = now
                    snapshot = monitor.poll()
                elif detector.changed():
                    snapshot = monitor.refresh()
                else:
                    time.sleep(0.1)
                    continue
                looks += 1
                errors += bool(snapshot.database.error)
                if snapshot.complete == jobs:
                    return time.time(), looks, errors

    children = []
    for _ in range(n):
        out, into = os.pipe()
        if os.fork() == 0:
            os.write(into, json.dumps(watch()).encode())
            os._exit(0)
        os.close(into)
        children.append(out)
    print("watching", flush=True)
    print(json.dumps([json.loads(open(out, "rb").read()) for out in children]))
"""


def test_a_hundred_dashboards_on_one_file_all_see_the_end_and_disturb_nobody(
    project: ProjectDir, tally: Tally
) -> None:
    project.configure("[poll]\ninterval = 3\n")
    project.add_many(JOBS)
    queue = FileQueue(str(project.folder / "queue"))
    psu.submit_jobs(Executor=queue)
    waits = []
    with Script(WATCHERS, DASHBOARDS, JOBS, queue.path) as watchers:
        assert watchers.line() == "watching"
        began = time.time()
        for index in range(JOBS):
            started = time.monotonic()
            psu.set_complete(BATCH, index)
            waits.append(time.monotonic() - started)
        ended = time.time()
        seen = json.loads(watchers.output(280))
    late = sorted(at - ended for at, _, _ in seen)
    errors = sum(wrong for _, _, wrong in seen)
    polled = project.folder / "polls"
    polls = len(polled.read_text().splitlines()) if polled.exists() else 0
    allowed = (seen[-1][0] - began) / 3 + 4
    assert_sound(project.database)
    assert polls <= allowed, f"{polls} polls, where one in 3 s would do for all"
    tally(
        DASHBOARDS,
        errors,
        f"dashboards beside {JOBS} jobs that complete in {ended - began:.1f} s; the end seen after "
        f"{statistics.median(late):.2f} s, the last {late[-1]:.2f} s; {polls} polls in all; a write took "
        f"{statistics.median(waits) * 1000:.0f} ms, the worst {max(waits) * 1000:.0f} ms",
    )
