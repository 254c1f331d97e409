"""One guard before every act: what may run, and what changed since it was looked at, is left."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import paraschut_core as psu
from paraschut_core import actions
from paraschut_core.actions import Hold, Selection
from paraschut_core.errors import SchedulerError, UsageError
from paraschut_core.executors.base import JobExecutor
from paraschut_core.model import JobInfo, JobKey
from tests.core.cli import COMMAND, CommandLine
from tests.helpers import BATCH, ProjectDir, Scheduler, wait_until

KEY = JobKey(BATCH, 0)
WHOLE = Selection((KEY,))


# ------------------------------------------------------------------------------------ who is held, by codes


def submitted(project: ProjectDir, scheduler: Scheduler) -> None:
    project.configure("[poll]\ninterval = 1000\ngrace = 30\n")
    project.add_many(1)
    psu.get_queue(Verbose=False, Executor=scheduler)  # the last poll knows nothing of the job
    psu.submit_one_job(BATCH, 0, Executor=scheduler)


def runs(project: ProjectDir, scheduler: Scheduler) -> None:
    submitted(project, scheduler)
    scheduler.run("1001")
    psu.get_job_info(BATCH, 0, SetID=True, ClusterID="1001")


def not_shown_yet(project: ProjectDir, scheduler: Scheduler) -> None:
    submitted(project, scheduler)
    scheduler.lose_sight("1001")


def being_submitted(project: ProjectDir, scheduler: Scheduler) -> None:
    scheduler.lose = True
    submitted(project, scheduler)
    scheduler.lose_sight("1001")


def silent(project: ProjectDir, scheduler: Scheduler) -> None:
    runs(project, scheduler)
    scheduler.fault = SchedulerError("down")


def elsewhere(project: ProjectDir, scheduler: Scheduler) -> None:
    submitted(project, scheduler)
    project.set_columns(executor="another cluster")


def by_hand(project: ProjectDir, scheduler: Scheduler) -> None:
    project.add_many(1)
    psu.get_job_info(BATCH, 0, SetID=True)


def called_otherwise(project: ProjectDir, scheduler: Scheduler) -> None:
    """Somebody set a queued job to a state of their own: it will start all the same."""
    submitted(project, scheduler)
    project.set_columns(state="held by me")


HELD: list[tuple[Callable[[ProjectDir, Scheduler], None], Hold]] = [
    (submitted, Hold.QUEUED),
    (runs, Hold.RUNNING),
    (not_shown_yet, Hold.UNSEEN),
    (being_submitted, Hold.SUBMITTING),
    (silent, Hold.SILENT),
    (elsewhere, Hold.ELSEWHERE),
    (by_hand, Hold.BY_HAND),
    (called_otherwise, Hold.QUEUED),
]


def shared() -> Scheduler:
    return Scheduler(expensive_poll=True)


@pytest.mark.parametrize(("case", "code"), HELD, ids=[case.__name__ for case, _ in HELD])
def test_each_job_that_may_run_is_held_by_its_code(
    project: ProjectDir, case: Callable[[ProjectDir, Scheduler], None], code: Hold
) -> None:
    scheduler = shared()
    case(project, scheduler)
    with project.workspace(scheduler) as ws:
        assert {key: held.code for key, held in actions.protect(ws, [KEY]).held.items()} == {KEY: code}
        assert actions.protect_batches(ws, [BATCH])[BATCH].held[KEY].code is code


def test_what_is_in_no_queue_is_free(project: ProjectDir) -> None:
    scheduler = Scheduler()
    project.configure("[poll]\ninterval = 0\ngrace = 0\n")
    project.add_many(4)
    psu.submit_one_job(BATCH, [1, 2, 3], Executor=scheduler)
    psu.set_complete(BATCH, 1)
    for index, id_ in ((2, "1002"), (3, "1003")):
        psu.get_job_info(BATCH, index, SetID=True, ClusterID=id_)
    scheduler.lose_sight("1002", "1003")
    psu.get_queue(Verbose=False, Executor=scheduler)
    with project.workspace(scheduler) as ws:
        assert not actions.protect(ws, [JobKey(BATCH, i) for i in range(4)]).held


# ------------------------------------------------------------------------------------ every door

Door = Callable[[ProjectDir, JobExecutor], object]


def _open(act: Callable[[Any], object]) -> Door:
    def door(project: ProjectDir, executor: JobExecutor) -> object:
        with project.workspace(executor) as ws:
            return act(ws)

    return door


def _edit(ws: Any) -> None:
    rev = ws.reader.rows("SELECT rev FROM job")[0][0]
    with pytest.raises(UsageError):
        actions.edit(ws, KEY, rev, {"state": "complete"})


DOORS: dict[str, Door] = {
    "reset": _open(lambda ws: actions.reset(ws, WHOLE)),
    "resubmit": _open(lambda ws: actions.resubmit(ws, WHOLE)),
    "set state=init": _open(lambda ws: actions.change(ws, [KEY], {"state": "init"}, {})),
    "set state=complete": _open(lambda ws: actions.change(ws, [KEY], {"state": "complete"}, {})),
    "set another id": _open(lambda ws: actions.change(ws, [KEY], {"submit_id": "7"}, {})),
    "edit": _open(_edit),
    "remove": _open(lambda ws: actions.remove_batches(ws, [BATCH])),
    "remove by state": _open(lambda ws: actions.remove_batches_by_state(ws, ["submit", "run", "held by me"])),
    "clean folders": _open(lambda ws: actions.clean_folders(ws, [BATCH])),
    "clean files": _open(lambda ws: actions.clean_files(ws, ["*.tmp"], [BATCH])),
    "set_job_field": lambda _, executor: psu.set_job_field(BATCH, 0, Executor=executor),
    "set_job_field, Unless={}": lambda _, executor: psu.set_job_field(BATCH, 0, Unless={}, Executor=executor),
    "set_batch_field": lambda _, executor: psu.set_batch_field(BATCH, Unless={}, Executor=executor),
    "get_queue(ResetMissing)": lambda _, executor: psu.get_queue(
        Verbose=False, ResetMissing=True, Executor=executor
    ),
    "collect": _open(lambda ws: actions.mark_collected(ws, WHOLE)),
}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("case", [case for case, _ in HELD], ids=[case.__name__ for case, _ in HELD])
def test_no_door_touches_a_job_that_may_run(
    project: ProjectDir, case: Callable[[ProjectDir, Scheduler], None], door: str
) -> None:
    scheduler = shared()
    case(project, scheduler)
    folder = project.folder / str(BATCH)
    (folder / "0").mkdir(parents=True)
    for name in ("0/half", "a.tmp"):
        (folder / name).touch()
    before = project.sql("SELECT state, attempt, submit_id, ClusterID, token FROM job")
    DOORS[door](project, scheduler)
    assert project.sql("SELECT state, attempt, submit_id, ClusterID, token FROM job") == before
    assert (folder / "0" / "half").exists() and (folder / "a.tmp").exists()
    assert len(scheduler.specs) <= 1, "it was submitted once"


def test_inside_a_job_a_reset_of_itself_is_a_warning_and_never_an_error(
    project: ProjectDir, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    scheduler = shared()
    runs(project, scheduler)
    for name, value in {"BATCH_ID": BATCH, "JOB_INDEX": 0, "TOKEN": project.column("token")}.items():
        monkeypatch.setenv(f"PARASCHUT_{name}", str(value))
    psu.set_job_field(BATCH, 0, Executor=scheduler)
    assert f"left alone: {BATCH} 0: running in the queue as 1001" in capsys.readouterr().err
    assert project.state() == "run"
    psu.set_job_field(BATCH, 0, {"state": "half way"}, Executor=scheduler)
    assert project.state() == "half way", "its own state is its own"


# ------------------------------------------------------------------------------------ asked again inside


def _submit_and_complete(project: ProjectDir, scheduler: Scheduler) -> None:
    psu.submit_one_job(BATCH, 0, Executor=scheduler)
    psu.set_complete(BATCH, 0)


def _submit(project: ProjectDir, scheduler: Scheduler) -> None:
    psu.submit_one_job(BATCH, 0, Executor=scheduler)


def _start_by_hand(project: ProjectDir, scheduler: Scheduler) -> None:
    psu.get_job_info(BATCH, 0, SetID=True)


MEANWHILE = [_submit, _submit_and_complete, _start_by_hand]


@pytest.mark.parametrize("meanwhile", MEANWHILE)
def test_a_batch_that_changes_between_the_question_and_the_removal_stays(
    project: ProjectDir, scheduler: Scheduler, meanwhile: Callable[[ProjectDir, Scheduler], None]
) -> None:
    project.add_many(2)
    with project.workspace(scheduler) as ws:
        shown = actions.signatures(ws, [BATCH])
        meanwhile(project, scheduler)
        (kept,) = actions.remove_batches(ws, [BATCH], shown=shown, states=["init", "complete"]).outcomes
    assert kept.left and ("by now" in kept.message or "meanwhile" in kept.message)
    assert len(project.states()) == 2


@pytest.mark.parametrize("meanwhile", MEANWHILE)
@pytest.mark.parametrize("door", ["remove", "reset", "set", "folders", "files"])
def test_what_changes_after_the_guard_looked_is_seen_inside_the_transaction(
    project: ProjectDir,
    scheduler: Scheduler,
    monkeypatch: pytest.MonkeyPatch,
    meanwhile: Callable[[ProjectDir, Scheduler], None],
    door: str,
) -> None:
    """Another process is as fast as can be: it acts between the guard's look and the lock."""
    project.add_many(1)
    folder = project.folder / str(BATCH)
    (folder / "0").mkdir(parents=True)
    (folder / "a.tmp").touch()

    def late(name: str, module: Any) -> None:
        original = getattr(module, name)

        def looked(*values: Any, **named: Any) -> Any:
            found = original(*values, **named)
            meanwhile(project, scheduler)
            return found

        monkeypatch.setattr(module, name, looked)

    from paraschut_core.actions import fields, remove

    with project.workspace(scheduler) as ws:
        if door == "remove":
            late("protect_batches", remove)
            assert not actions.remove_batches(ws, [BATCH]).done
        elif door == "folders":
            late("protect", remove)
            assert actions.clean_folders(ws, [BATCH]).folders == []
        elif door == "files":
            late("protect_batches", remove)
            left = actions.clean_files(ws, ["*.tmp"], [BATCH]).left
            if meanwhile is _submit_and_complete:
                return  # nothing runs any more
            assert left
        else:
            late("protect", fields)
            if door == "reset":
                report = actions.reset(ws, WHOLE)
            else:
                report = actions.change(ws, [KEY], {"state": "init"}, {})
            assert (report.done, len(report.left)) == (0, 1)
    assert project.state() == {"_submit": "submit", "_submit_and_complete": "complete"}.get(
        meanwhile.__name__, "run"
    )
    assert (folder / "0").exists() and (folder / "a.tmp").exists()


def test_a_job_that_is_collected_must_still_be_complete(
    project: ProjectDir, scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    from paraschut_core.actions import fields

    project.add_many(1)
    psu.set_complete(BATCH, 0)
    original = fields.set_fields

    def late(*values: Any, **named: Any) -> Any:
        monkeypatch.setattr(fields, "set_fields", original)
        project.reset_by_force()
        return original(*values, **named)

    monkeypatch.setattr(fields, "set_fields", late)
    with project.workspace(scheduler) as ws:
        assert actions.mark_collected(ws, WHOLE).done == 0
    assert project.state() == "init"


# ------------------------------------------------------------------------------------ delete, remove by force


def test_a_deletion_takes_what_is_in_the_queue_and_counts_it(project: ProjectDir) -> None:
    project.configure("[poll]\ninterval = 0\ngrace = 0\n")
    scheduler = Scheduler()
    project.add_many(6)
    psu.submit_one_job(BATCH, [0, 1, 2, 3], Executor=scheduler)
    scheduler.run("1001", "1002")
    for index, id_ in ((0, "1001"), (1, "1002"), (3, "1004")):
        psu.get_job_info(BATCH, index, SetID=True, ClusterID=id_)
    scheduler.lose_sight("1004")
    for _ in range(2):
        psu.get_queue(Verbose=False, Executor=scheduler)
    with project.workspace(scheduler) as ws:
        report = actions.qdel(ws, Selection(batches=(BATCH,)))
    assert report.effects() == {actions.Effect.KILLED: 2, actions.Effect.UNQUEUED: 1}
    assert sorted(o.key.job_index for o in report.left) == [3, 4, 5]
    assert not report.failed
    assert project.states() == {0: "init", 1: "init", 2: "init", 3: "run", 4: "init", 5: "init"}


def test_a_removal_by_force_leaves_no_task_in_the_queue(project: ProjectDir, scheduler: Scheduler) -> None:
    project.add_many(3)
    psu.submit_one_job(BATCH, [0, 1], Executor=scheduler)
    scheduler.run("1001")
    with project.workspace(scheduler) as ws:
        (done,) = actions.remove_batches(ws, [BATCH], force=True).outcomes
    assert done.ok and done.message == "1 killed, 1 unqueued"
    assert scheduler.live == {}
    assert project.states() == {}


def test_a_removal_by_force_names_what_it_cannot_end(project: ProjectDir, scheduler: Scheduler) -> None:
    project.add_many(1)
    psu.submit_one_job(BATCH, 0, Executor=scheduler)
    scheduler.fault = SchedulerError("down")
    with project.workspace(scheduler) as ws:
        (done,) = actions.remove_batches(ws, [BATCH], force=True).outcomes
    assert done.ok
    assert "jobs 0 may go on in fake, ids 1001" in done.message


def test_a_batch_whose_tasks_cannot_be_deleted_is_kept_even_by_force(
    project: ProjectDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    from paraschut_core.model import DeleteResult

    scheduler = Scheduler()
    project.add_many(1)
    psu.submit_one_job(BATCH, 0, Executor=scheduler)
    monkeypatch.setattr(
        scheduler, "delete_many", lambda jobs: {i: DeleteResult(False, "not yours") for i in jobs}
    )
    with project.workspace(scheduler) as ws:
        (kept,) = actions.remove_batches(ws, [BATCH], force=True).outcomes
    assert not kept.ok and "not yours" in kept.message
    assert len(project.states()) == 1


# ------------------------------------------------------------------------------------ the command line


@pytest.fixture
def cli(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path / "project")


class Terminal:
    """A command in a terminal of its own, whose questions the test answers."""

    def __init__(self, cli: CommandLine, *arguments: object) -> None:
        self._main, other = pty.openpty()
        self._process = subprocess.Popen(
            [*COMMAND, *map(str, arguments)],
            cwd=cli.folder,
            stdin=other,
            stdout=other,
            stderr=other,
            start_new_session=True,
        )
        os.close(other)
        self.shown = ""

    def wait_for(self, text: str, seconds: float = 60.0) -> None:
        end = time.monotonic() + seconds
        while text not in self.shown:
            assert time.monotonic() < end, f"{text!r} was never shown: {self.shown}"
            if not self._read(0.2):
                raise AssertionError(f"it ended without {text!r}: {self.shown}")

    def _read(self, seconds: float) -> bool:
        if not select.select([self._main], [], [], seconds)[0]:
            return True
        try:
            data = os.read(self._main, 65536)
        except OSError:
            return False
        self.shown += data.decode("utf-8", "replace").replace("\r", "")
        return bool(data)

    def answer(self, text: str) -> int:
        """Types an answer; returns the exit status."""
        os.write(self._main, text.encode())
        return self.end()

    def end(self) -> int:
        try:
            while self._read(0.2) and self._process.poll() is None:
                pass
            while self._read(0.05) and select.select([self._main], [], [], 0.05)[0]:
                pass
            return self._process.wait(timeout=60)
        finally:
            os.close(self._main)


def starts(cli: CommandLine) -> list[str]:
    """What the jobs themselves wrote down: a line for each start."""
    path = cli.folder / "starts"
    return sorted(path.read_text().split()) if path.exists() else []


def running(cli: CommandLine, jobs: str = "0-1") -> int:
    """A batch of jobs that write down their start and run until the file `go` is there."""
    command = "echo {JobIndex} >> starts; while [ ! -e go ]; do sleep 0.1; done"
    batch = cli.add("--range", jobs, command)
    cli("submit", batch)
    wait_until(lambda: len(starts(cli)) == 2, "both jobs have started")
    return batch


def finish(cli: CommandLine, batch: int) -> None:
    (cli.folder / "go").touch()
    cli.wait_for(batch, "complete")


def test_a_removal_by_state_is_asked_again_after_the_answer(cli: CommandLine) -> None:
    batch = cli.add("--range", "0-1", "echo {JobIndex} >> starts; touch result{JobIndex}")
    terminal = Terminal(cli, "remove", "--by-state", "init")
    terminal.wait_for("[y/N]")
    cli("submit", batch)
    cli.wait_for(batch, "complete")
    assert terminal.answer("y\n") == 1
    assert "not removed" in terminal.shown and "complete by now" in terminal.shown
    assert set(cli.states(batch).values()) == {"complete"}
    assert starts(cli) == ["0", "1"]


def test_reset_set_and_clean_leave_real_running_jobs_alone_and_they_run_once(cli: CommandLine) -> None:
    batch = running(cli)
    scratch = cli.folder / str(batch) / "0"
    scratch.mkdir(parents=True)
    for words in (
        ["reset", batch],
        ["resubmit", batch],
        ["set", batch, "state=init"],
        ["set", batch, 0, "state=init", "--unless", "state=nothing"],
        ["clean", batch, "--yes"],
    ):
        cli(*words, status=None)
    assert set(cli.states(batch).values()) == {"run"}
    assert scratch.exists()
    assert "not removed" in cli("remove", batch, "--yes", status=1).out
    cli("submit", batch)
    finish(cli, batch)
    assert starts(cli) == ["0", "1"]


def test_a_removal_right_after_the_submission_finds_what_runs(cli: CommandLine) -> None:
    """The last poll is as new as it gets, and knows nothing of the jobs."""
    (cli.folder / "paraschut.toml").write_text('executor = "local"\n[poll]\ninterval = 1000\n')
    cli("init")
    cli("queue")
    batch = running(cli)
    assert "not removed" in cli("remove", batch, "--yes", status=1).out
    finish(cli, batch)
    assert starts(cli) == ["0", "1"]


def test_a_deletion_asks_at_a_terminal_where_something_runs(cli: CommandLine) -> None:
    batch = running(cli, "0-3")  # two slots: two wait
    terminal = Terminal(cli, "qdel", batch)
    terminal.wait_for("4 jobs from the queue (2 of them run and are killed)?")
    assert terminal.answer("n\n") == 1
    assert set(cli.states(batch).values()) == {"run", "submit"}
    answer = cli("qdel", batch)  # nobody is there to be asked
    assert "4 deleted from the queue (2 killed, 2 unqueued)" in answer.out
    assert "0 deleted from the queue, 4 left alone (it is not in the queue)" in cli("qdel", batch).out
    assert set(cli.states(batch).values()) == {"init"}


@pytest.mark.parametrize("words", [["reset", "--missing"], ["resubmit", "--missing"], ["clean"]])
def test_where_nobody_can_be_asked_yes_is_needed(cli: CommandLine, words: list[str]) -> None:
    batch = cli.add("false")
    cli("submit", batch)
    wait_until(lambda: cli.missing(batch) == [0], "the job is missing")
    answer = cli(*words, status=2)
    assert "--yes" in answer.err
    assert cli.states(batch) == {0: "run"}
    cli(*words, "--yes")


def test_a_removal_by_force_ends_real_processes(cli: CommandLine) -> None:
    batch = running(cli)
    answer = cli("remove", batch, "--force", "--yes")
    assert "2 killed" in answer.out
    (cli.folder / "go").touch()
    assert cli.sql("SELECT count(*) FROM job") == [(0,)]
    assert "total jobs on server queue: 0" in cli("queue").out


# ------------------------------------------------------------------------------------ by hand, and words


@pytest.mark.parametrize(
    ("template", "advice"), [("echo ${JobIndex}", "$PARASCHUT_JOB_INDEX"), ("a${name}b", "{name}")]
)
def test_a_dollar_before_a_field_is_refused_with_what_to_write(
    cli: CommandLine, template: str, advice: str
) -> None:
    answer = cli("add", "--range", "5-6", template, status=2)
    assert advice in answer.err


def test_by_hand_a_job_is_not_started_beside_its_submission(cli: CommandLine, monkeypatch: Any) -> None:
    batch = running(cli)
    answer = cli.process("run", batch, 0, "--", "touch", "second", status=2)
    assert "it would run twice" in answer.err and not (cli.folder / "second").exists()
    finish(cli, batch)
    monkeypatch.chdir(cli.folder)
    with pytest.raises(UsageError, match="is complete: it is not started by hand"):
        psu.get_job_info(batch, 0, SetID=True)
    assert cli.states(batch) == {0: "complete", 1: "complete"}
    assert starts(cli) == ["0", "1"]


@pytest.mark.parametrize("priority", [float("inf"), float("-inf"), float("nan")])
def test_a_priority_is_finite(project: ProjectDir, priority: float) -> None:
    project.add_many(1)
    with pytest.raises(UsageError, match="finite"):
        psu.set_job_field(BATCH, 0, {"priority": priority})
    with pytest.raises(UsageError, match="finite"):
        psu.boost_batch_priority(BATCH, priority)
    with pytest.raises(UsageError, match="finite"):
        project.add(project.job(1, priority=priority))


def test_a_wrong_resource_is_found_before_anything_is_reset(project: ProjectDir) -> None:
    class Careful(Scheduler):
        def check(self, JobInfo: JobInfo) -> str:
            mem = (JobInfo.get("resources") or {}).get("mem", "1gb")
            return "" if mem[0].isdigit() else f"mem={mem} is no size"

    scheduler = Careful(absent_means_ended=True)
    project.configure("[poll]\ninterval = 0\ngrace = 0\n")
    project.add_many(1)
    psu.submit_one_job(BATCH, 0, Executor=scheduler)
    scheduler.lose_sight("1001")
    with project.workspace(scheduler) as ws:
        with pytest.raises(UsageError, match="mem=abc is no size; nothing was reset"):
            actions.resubmit(ws, WHOLE, resources={KEY: {"mem": "abc"}})
        assert project.state() == "submit"
        assert actions.resubmit(ws, WHOLE, resources={KEY: {"mem": "2gb"}}).done == 1
