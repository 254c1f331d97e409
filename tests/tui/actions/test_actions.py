"""Every action by its keys, on a real database: with a scheduler that obeys the test, or the local one."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from paraschut_core.config import Settings
from paraschut_core.database.events import read_actions
from paraschut_core.errors import SchedulerError
from paraschut_core.model import ExitInfo, JobKey
from paraschut_core.project import Project
from paraschut_tui.dialogs.action_result import ActionResultScreen
from paraschut_tui.dialogs.confirm import ConfirmScreen
from tests.helpers import Scheduler

from ..project import add_batch, dashboard, info_of, make_project, states, until
from ..user import confirm, key_name, missing, shown, told


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return make_project(tmp_path)


async def test_submit_next_sends_out_what_the_priorities_allow(settings: Settings) -> None:
    first = add_batch(settings, "human/map", ["true"] * 3, priority=2)
    scheduler = Scheduler()
    async with dashboard(settings, scheduler) as (pilot, screen):
        await pilot.press("S")
        await confirm(pilot)
        await told(pilot, "3 submitted")
        await until(pilot, lambda: "○ 3" in screen.status.text)
    assert states(settings, first) == ["submit"] * 3


async def test_enter_alone_and_escape_leave_everything_as_it_was(settings: Settings) -> None:
    batch_id = add_batch(settings, "human/map", ["true"] * 3)
    async with dashboard(settings, Scheduler()) as (pilot, _screen):
        for key in ("enter", "escape", "n", "q"):
            await pilot.press("x")
            await confirm(pilot, key)
    assert states(settings, batch_id) == ["init"] * 3


async def test_reset_of_all_missing_takes_three_keys_and_undo_takes_it_back(settings: Settings) -> None:
    batch_id = add_batch(settings, "human/map", ["true"] * 5)
    scheduler = Scheduler()
    async with dashboard(settings, scheduler) as (pilot, screen):
        await missing(pilot, screen, scheduler, 2)
        await pilot.press("m", "r")
        said = await confirm(pilot)
        assert "Reset 2 marked jobs of human/map?" in said
        assert "2 submit" in said
        assert "0 live in the queue, 2 missing" in said
        await told(pilot, "2 reset · z undoes")
        assert len(screen.jobs.marks) == 0
        assert states(settings, batch_id).count("init") == 2
        await pilot.press("z")
        await confirm(pilot)
        await told(pilot, "2 restored")
    assert states(settings, batch_id) == ["submit"] * 5
    with Project(settings) as ws:
        commands = [action.command for action in read_actions(ws.reader)]
    assert commands[1:] == [f"reset {batch_id} 0-1", "submit"]


async def test_a_reset_leaves_alone_what_is_done_or_live_unless_asked_twice(settings: Settings) -> None:
    batch_id = add_batch(settings, "human/map", ["true"] * 3, state="complete")
    async with dashboard(settings, Scheduler()) as (pilot, _screen):
        await pilot.press("b", "r")
        await until(pilot, lambda: "3 done: left alone" in shown(pilot))
        await pilot.press("y")
        assert isinstance(pilot.app.screen, ConfirmScreen), "there is nothing to say yes to"
        await pilot.press("f")
        said = await confirm(pilot)
        assert "Also 3 done: results may be overwritten." in said
        await told(pilot, "3 reset")
    assert states(settings, batch_id) == ["init"] * 3


async def test_resubmit_raises_what_the_job_ran_out_of(settings: Settings) -> None:
    resources = {"walltime": "01:00:00", "mem": "1gb"}
    batch_id = add_batch(settings, "human/map", ["true"] * 2, resources=resources)
    scheduler = Scheduler()
    async with dashboard(settings, scheduler) as (pilot, screen):
        await pilot.press("S")
        await confirm(pilot)
        await until(pilot, lambda: len(scheduler.live) == 2)
        ids = list(scheduler.live)
        scheduler.endings = {ids[0]: ExitInfo("time limit 01:00:00"), ids[1]: ExitInfo("out of memory on n1")}
        scheduler.lose_sight()
        await until(
            pilot, lambda: screen.state.snapshot is not None and len(screen.state.snapshot.missing) == 2
        )
        await until(pilot, lambda: any("limit" in m.reason for m in screen.state.snapshot.missing.values()))  # type: ignore[union-attr]
        await pilot.press("m", "s")
        said = await confirm(pilot)
        assert "walltime from 01:00:00 to 02:00:00 for 1" in said
        assert "mem from 1gb to 2gb for 1" in said
        assert "attempt 2" in said
        await told(pilot, "2 resubmitted")
    assert sorted(
        (info["resources"]["walltime"], info["resources"]["mem"])
        for info in (info_of(settings, batch_id, 0), info_of(settings, batch_id, 1))
    ) == [("01:00:00", "2gb"), ("02:00:00", "1gb")]
    assert len(scheduler.specs) == 4


async def test_resources_stay_as_they_are_if_the_user_says_so(settings: Settings) -> None:
    batch_id = add_batch(settings, "human/map", ["true"], resources={"walltime": "01:00:00"})
    scheduler = Scheduler()
    async with dashboard(settings, scheduler) as (pilot, screen):
        await pilot.press("S")
        await confirm(pilot)
        await until(pilot, lambda: len(scheduler.live) == 1)
        scheduler.endings = {next(iter(scheduler.live)): ExitInfo("time limit")}
        scheduler.lose_sight()
        await until(
            pilot, lambda: any(m.reason == "time limit" for m in screen.state.snapshot.missing.values())
        )  # type: ignore[union-attr]
        await pilot.press("s")
        await until(pilot, lambda: "[x] Raise walltime" in shown(pilot))
        await pilot.press("m")
        await until(pilot, lambda: "[ ] Raise walltime" in shown(pilot))
        await confirm(pilot)
        await told(pilot, "1 resubmitted")
    assert info_of(settings, batch_id, 0)["resources"] == {"walltime": "01:00:00"}


async def test_delete_of_all_queued_jobs_of_a_batch_goes_by_the_tree(settings: Settings) -> None:
    batch_id = add_batch(settings, "human/map", ["true"] * 4)
    scheduler = Scheduler()
    async with dashboard(settings, scheduler) as (pilot, screen):
        await pilot.press("S")
        await confirm(pilot)
        await until(pilot, lambda: len(scheduler.live) == 4)
        scheduler.run(next(iter(scheduler.live)))
        await until(pilot, lambda: "▶ 1" in screen.status.text)
        await pilot.press("b", "down")  # the batch's first state: submit
        await pilot.press("d")
        said = await confirm(pilot)
        assert "Delete from the queue 4 submit jobs of human/map?" in said
        await told(pilot, "4 deleted from the queue")
    assert states(settings, batch_id) == ["init"] * 4
    assert len(scheduler.deleted) == 4


async def test_a_scheduler_that_refuses_is_told_job_by_job(settings: Settings) -> None:
    batch_id = add_batch(settings, "human/map", ["true"] * 2)
    scheduler = Scheduler()
    scheduler.refuse = "invalid partition [/x]"
    async with dashboard(settings, scheduler) as (pilot, _screen):
        await pilot.press("A", "x")
        await confirm(pilot)
        await until(pilot, lambda: isinstance(pilot.app.screen, ActionResultScreen))
        assert "invalid partition [/x]" in shown(pilot)
        assert "0 submitted, 2 failed" in shown(pilot)
    assert states(settings, batch_id) == ["init"] * 2


async def test_a_scheduler_that_does_not_answer_is_an_error_in_one_line(settings: Settings) -> None:
    add_batch(settings, "human/map", ["true"] * 2)
    scheduler = Scheduler()
    async with dashboard(settings, scheduler) as (pilot, screen):
        await pilot.press("S")
        await confirm(pilot)
        await until(pilot, lambda: len(scheduler.live) == 2)
        scheduler.fault = SchedulerError("slurm_load_jobs error: Connection refused")
        await until(pilot, lambda: "not answering since" in screen.status.text)
        assert "live" in screen.status.text
        await pilot.press("exclamation_mark")
        await until(pilot, lambda: "Connection refused" in shown(pilot))


@pytest.mark.parametrize(
    ("key", "text", "field", "value"),
    [
        ("p", "7", "priority", 7),
        ("e", "queue=long", "queue", "long"),
        ("e", "threshold=0.5", "threshold", 0.5),
        ("e", 'tags=["a", 1]', "tags", ["a", 1]),
        ("e", "resources.mem=8gb", "resources", {"mem": "8gb", "walltime": "1:00:00"}),
        ("e", "note=[/x]", "note", "[/x]"),
    ],
)
async def test_a_field_is_set_after_a_question_and_undone(
    settings: Settings, key: str, text: str, field: str, value: object
) -> None:
    resources = {"mem": "1gb", "walltime": "1:00:00"}
    batch_id = add_batch(settings, "human/map", ["true"] * 2, resources=resources)
    before = info_of(settings, batch_id, 0).get(field)
    async with dashboard(settings, Scheduler()) as (pilot, _screen):
        await pilot.press(key)
        await until(pilot, lambda: pilot.app.screen.query("PromptScreen Input, Input").first() is not None)
        await until(pilot, lambda: len(pilot.app.screen_stack) == 2)
        for character in text:
            await pilot.press(character if character.isalnum() else key_name(character))
        await pilot.press("enter")
        said = await confirm(pilot)
        assert text in said
        await told(pilot, "1 changed")
        assert info_of(settings, batch_id, 0)[field] == value
        await pilot.press("z")
        await confirm(pilot)
        await told(pilot, "1 restored")
    assert info_of(settings, batch_id, 0).get(field) == before
    assert field not in info_of(settings, batch_id, 1) or info_of(settings, batch_id, 1)[field] == before


async def test_a_field_that_nobody_may_set_is_refused(settings: Settings) -> None:
    batch_id = add_batch(settings, "human/map", ["true"])
    async with dashboard(settings, Scheduler()) as (pilot, _screen):
        await pilot.press("e", *(key_name(c) for c in "JobIndex=5"), "enter")
        await until(pilot, lambda: "JobIndex belongs to the index" in shown(pilot))
        await pilot.press("escape")
        await until(pilot, lambda: len(pilot.app.screen_stack) == 1)
    assert info_of(settings, batch_id, 0)["JobIndex"] == 0


async def test_complete_jobs_are_marked_as_collected_and_others_are_told_of(settings: Settings) -> None:
    batch_id = add_batch(settings, "human/map", ["true"] * 3, state="complete")
    other = add_batch(settings, "human/reduce", ["true"])
    async with dashboard(settings, Scheduler(), batch=batch_id) as (pilot, _screen):
        await pilot.press("A", "C")
        await confirm(pilot)
        await told(pilot, "3 marked as collected")
        await pilot.press("b", "[", "C")
        await until(pilot, lambda: "Nothing to do." in shown(pilot))
        await pilot.press("y")
        assert isinstance(pilot.app.screen, ConfirmScreen)
        await pilot.press("escape")
    assert states(settings, batch_id) == ["collected"] * 3
    assert states(settings, other) == ["init"]


async def test_a_batch_is_removed_with_its_folder(settings: Settings) -> None:
    batch_id = add_batch(settings, "human/map", ["true"] * 3)
    keep = add_batch(settings, "human/reduce", ["true"])
    folder = os.path.join(settings.job_dir, str(batch_id))
    os.makedirs(folder, exist_ok=True)
    Path(folder, "data").write_text("x")
    async with dashboard(settings, Scheduler(), batch=batch_id) as (pilot, screen):
        await pilot.press("D")
        said = await confirm(pilot)
        assert "This cannot be undone." in said
        await until(
            pilot, lambda: screen.state.snapshot is not None and set(screen.state.snapshot.batches) == {keep}
        )
        await until(pilot, lambda: screen.jobs.grid.cursor == JobKey(keep, 0))
    assert not os.path.exists(folder)


async def test_temporary_files_are_removed(settings: Settings) -> None:
    batch_id = add_batch(settings, "human/map", ["true"])
    folder = Path(settings.job_dir, str(batch_id))
    folder.mkdir(exist_ok=True)
    (folder / "a.genes.1").write_text("x")
    (folder / "result").write_text("x")
    async with dashboard(settings, Scheduler()) as (pilot, _screen):
        await pilot.press("T")
        assert "1 file, 1 B matching" in await confirm(pilot)
        await told(pilot, "1 removed")
    assert sorted(path.name for path in folder.iterdir()) == ["result"]


async def test_read_only_changes_nothing_whatever_is_pressed(settings: Settings) -> None:
    batch_id = add_batch(settings, "human/map", ["true"] * 2)
    scheduler = Scheduler()
    async with dashboard(settings, scheduler, read_only=True) as (pilot, screen):
        assert "read-only" in screen.status.text
        for key in "rsdSxpeCTDzP":
            await pilot.press(key)
            await pilot.pause()
            assert pilot.app.screen is screen
        await told(pilot, "Read-only")
    assert states(settings, batch_id) == ["init"] * 2
    assert not scheduler.specs


async def test_what_another_process_changes_is_seen(settings: Settings) -> None:
    batch_id = add_batch(settings, "human/map", ["true"] * 3)
    async with dashboard(settings, Scheduler()) as (pilot, screen):
        other = add_batch(settings, "mouse/align", ["true"] * 7)
        await until(
            pilot, lambda: screen.state.snapshot is not None and other in screen.state.snapshot.batches
        )
        with Project(settings) as ws, ws.db.transaction() as tx:
            tx.connection.execute("UPDATE job SET state = 'checked' WHERE BatchID = ?", (batch_id,))
        await until(pilot, lambda: screen.query_one("#legend").text.strip() == "c checked 3")  # type: ignore[attr-defined]


async def test_a_long_action_shows_its_progress_and_stops_on_escape(settings: Settings) -> None:
    batch_id = add_batch(settings, "human/map", ["true"] * 60)
    scheduler = Scheduler()
    scheduler.chunk = 1
    go_on = threading.Event()
    scheduler.during_submit = lambda: go_on.wait(60) if len(scheduler.specs) >= 5 else None
    async with dashboard(settings, scheduler) as (pilot, screen):
        await pilot.press("A", "x")
        await confirm(pilot)
        await until(pilot, lambda: "of 60" in screen.key_hints.text)
        await pilot.press("r")
        await told(pilot, "still under way")
        await pilot.press("escape")
        go_on.set()
        await told(pilot, "submitted")
        await until(pilot, lambda: "of 60" not in screen.key_hints.text)
    assert 5 <= states(settings, batch_id).count("submit") < 60


async def test_auto_submit_submits_again_and_says_when(settings: Settings) -> None:
    batch_id = add_batch(settings, "human/map", ["true"] * 3)
    scheduler = Scheduler()
    async with dashboard(settings, scheduler) as (pilot, screen):
        await pilot.press("P")
        await until(pilot, lambda: len(pilot.app.screen_stack) == 2)
        await pilot.press("enter")
        await told(pilot, "3 jobs submitted")
        await until(pilot, lambda: "submits in" in screen.status.text)
        await pilot.press("P")
        await until(pilot, lambda: "submits in" not in screen.status.text)
    assert states(settings, batch_id) == ["submit"] * 3


async def test_the_history_lists_what_was_done_with_its_command_and_undoes_it(settings: Settings) -> None:
    batch_id = add_batch(settings, "human/map", ["true"] * 3, state="complete")
    async with dashboard(settings, Scheduler()) as (pilot, _screen):
        await pilot.press("C")
        await confirm(pilot)
        await told(pilot, "1 marked")
        await pilot.press("@")
        await until(pilot, lambda: f"paraschut collect {batch_id} 0" in shown(pilot))
        await pilot.press("z")
        await confirm(pilot)
        await told(pilot, "1 restored")
    assert states(settings, batch_id) == ["complete"] * 3


async def test_the_job_that_wrote_something_is_found_by_its_log(settings: Settings) -> None:
    batch_id = add_batch(settings, "human/map", ["true"] * 20)
    log = Path(settings.job_dir, "x.err")
    log.write_text("all well\nCUDA error: out of memory\n")
    with Project(settings) as ws, ws.db.transaction() as tx:
        tx.connection.execute(
            "UPDATE job SET metadata = json_set(metadata, '$.stderr', json_array(?)) WHERE JobIndex = 13",
            (str(log),),
        )
    async with dashboard(settings, Scheduler()) as (pilot, screen):
        await pilot.press("slash", *(key_name(c) for c in 'log:"CUDA error"'), "enter")
        await until(pilot, lambda: screen.jobs.grid.board.total == 1 and not screen.jobs.contents.loading)
        assert screen.jobs.grid.cursor == JobKey(batch_id, 13)
        await until(pilot, lambda: screen.lower.log_view.pane.current == len("all well\n"))


async def test_the_log_goes_to_the_find_though_the_cursor_is_on_that_job_already(settings: Settings) -> None:
    batch_id = add_batch(settings, "human/map", ["true"] * 3)
    log = Path(settings.job_dir, "x.err")
    log.write_text("all well\n" * 100 + "CUDA error: out of memory\n" + "all well\n" * 100)
    with Project(settings) as ws, ws.db.transaction() as tx:
        tx.connection.execute(
            "UPDATE job SET metadata = json_set(metadata, '$.stderr', json_array(?)) WHERE JobIndex = 0",
            (str(log),),
        )
    async with dashboard(settings, Scheduler()) as (pilot, screen):
        await until(pilot, lambda: screen.lower.log_view.pane.window.rows)
        assert screen.jobs.grid.cursor == JobKey(batch_id, 0) and screen.lower.log_view.pane.following
        await pilot.press("slash", *(key_name(c) for c in 'log:"CUDA error"'), "enter")
        await until(pilot, lambda: screen.lower.log_view.pane.current == len("all well\n") * 100)


async def test_rows_are_read_sorted_and_show_fields_of_the_metadata(settings: Settings) -> None:
    batch_id = add_batch(settings, "human/map", ["true"] * 30, organism="human")
    with Project(settings) as ws, ws.db.transaction() as tx:
        tx.connection.execute("UPDATE job SET priority = JobIndex % 3")
    async with dashboard(settings, Scheduler()) as (pilot, screen):
        await pilot.press("c")
        await until(pilot, lambda: "  0  · init" in shown(pilot))
        await pilot.press("w")
        await until(pilot, lambda: "COLUMNS" in shown(pilot))
        await pilot.press("m")
        await until(pilot, lambda: len(pilot.app.screen_stack) == 3)
        await pilot.press(*"organism", "enter")
        await until(pilot, lambda: "meta.organism" in shown(pilot))
        await pilot.press("down", "down", "down", "down", "down", "down", "down", "down", "s", "s", "enter")
        await until(pilot, lambda: "PRI▼" in shown(pilot))
        await until(pilot, lambda: screen.jobs.grid.order is not None)
        # The cursor stays with its job, which is now in the last third; what is out of sight is not read.
        assert screen.jobs.grid.cursor == JobKey(batch_id, 0)
        await until(pilot, lambda: "human" in screen.jobs.grid.build_line(20, 118).text)
        await pilot.press("g")
        assert screen.jobs.grid.cursor == JobKey(batch_id, 2)
        await until(pilot, lambda: "human" in screen.jobs.grid.build_line(0, 118).text)
        await pilot.press("down")
        assert screen.jobs.grid.cursor == JobKey(batch_id, 5)
        await pilot.press("v", "down", "down", "v")
        assert sorted(key.job_index for key in screen.jobs.marks) == [5, 8, 11]


async def test_jobs_run_by_the_local_executor_are_watched_to_their_end(settings: Settings) -> None:
    batch_id = add_batch(settings, "human/map", ["sh -c 'echo went wrong >&2; exit 3'"])
    async with dashboard(settings) as (pilot, screen):
        await pilot.press("S")
        await confirm(pilot)
        await until(pilot, lambda: "✗ 1 missing" in screen.status.text)
        await until(pilot, lambda: "exit status 3" in screen.lower.log_view.status_text)
        await until(pilot, lambda: "went wrong" in shown(pilot))
    assert states(settings, batch_id) != ["complete"]


async def test_a_database_that_is_replaced_or_gone_is_noticed(settings: Settings, tmp_path: Path) -> None:
    add_batch(settings, "human/map", ["true"] * 3)
    (tmp_path / "other").mkdir()
    other = make_project(tmp_path / "other")
    batch_id = add_batch(other, "mouse/align", ["true"] * 5)
    async with dashboard(settings, Scheduler()) as (pilot, screen):
        os.replace(other.database, settings.database)
        await until(
            pilot,
            lambda: screen.state.snapshot is not None and set(screen.state.snapshot.batches) == {batch_id},
        )
        await until(pilot, lambda: screen.jobs.grid.cursor == JobKey(batch_id, 0))
        os.unlink(settings.database)
        await until(pilot, lambda: "not answering" in screen.status.text)
        await until(pilot, lambda: "as of" in screen.query_one("#grid-title").text)  # type: ignore[attr-defined]
