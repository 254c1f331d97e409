"""Actions when things go otherwise: lost races, trouble, quitting; what is told, and what can be undone."""

from __future__ import annotations

import shlex
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from textual.pilot import Pilot

import paraschut_core as psu
from paraschut_core.config import Settings
from paraschut_core.database.events import read_actions
from paraschut_core.errors import DatabaseBusyError
from paraschut_core.model import JobKey
from paraschut_core.project import Project
from paraschut_tui.actions.action_registry import ACTIONS
from paraschut_tui.actions.runner import ActionRunner
from paraschut_tui.dialogs.action_result import ActionResultScreen
from paraschut_tui.dialogs.confirm import ConfirmScreen
from tests.core.test_odd_rows import ODD
from tests.helpers import Scheduler

from ..project import add_batch, dashboard, info_of, make_project, state_of, states, until
from ..user import asks, confirm, key_name, missing, shown, told


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return make_project(tmp_path)


async def asked(pilot: Pilot[None]) -> None:
    """Waits for a dialog that can be answered."""
    await until(pilot, lambda: asks(pilot.app.screen))


def elsewhere(settings: Settings, scheduler: Scheduler, act: Callable[[Project], object]) -> None:
    """The same user does something in another window."""
    with Project(settings, scheduler) as ws:
        act(ws)


# ------------------------------------------------------------------------------------ lost races


async def test_a_job_that_completes_while_it_is_asked_about_is_left_alone(settings: Settings) -> None:
    batch_id = add_batch(settings, "human/map", ["true"] * 3)
    scheduler = Scheduler()
    async with dashboard(settings, scheduler) as (pilot, screen):
        await missing(pilot, screen, scheduler, 2)
        await pilot.press("R")
        await asked(pilot)
        with Project(settings) as ws, ws.db.transaction() as tx:
            tx.connection.execute("UPDATE job SET state = 'complete' WHERE JobIndex = 0")
        await confirm(pilot)
        await told(
            pilot, "1 reset, 1 left alone (it is complete by now, and was submit when it was looked at)"
        )
    assert states(settings, batch_id) == ["complete", "init", "submit"]


async def test_a_job_that_somebody_else_resubmits_meanwhile_is_not_submitted_twice(
    settings: Settings,
) -> None:
    from paraschut_core.actions import Selection, resubmit

    batch_id = add_batch(settings, "human/map", ["true"] * 2)
    scheduler = Scheduler()
    async with dashboard(settings, scheduler) as (pilot, screen):
        await missing(pilot, screen, scheduler, 2)
        await pilot.press("X")
        await asked(pilot)
        chosen = Selection((JobKey(batch_id, 1),))
        elsewhere(settings, scheduler, lambda ws: resubmit(ws, chosen))
        await confirm(pilot)
        await told(pilot, "1 resubmitted")
    assert [info_of(settings, batch_id, n)["attempt"] for n in (0, 1)] == [2, 2]
    assert len(scheduler.specs) == 4


async def test_a_batch_that_is_removed_meanwhile_is_an_error_in_one_line(settings: Settings) -> None:
    from paraschut_core.actions import remove_batches

    batch_id = add_batch(settings, "human/map", ["true"] * 2)
    add_batch(settings, "human/reduce", ["true"])
    scheduler = Scheduler()
    async with dashboard(settings, scheduler, batch=batch_id) as (pilot, _screen):
        await pilot.press("b", "r")
        await asked(pilot)
        elsewhere(settings, scheduler, lambda ws: remove_batches(ws, [batch_id]))
        await confirm(pilot)
        await told(pilot, f"There is no batch {batch_id}")


# ------------------------------------------------------------------------------------ trouble


async def test_a_resubmit_while_the_scheduler_refuses_loses_nothing_and_lists_each_job(
    settings: Settings,
) -> None:
    batch_id = add_batch(settings, "human/map", ["true"] * 2)
    scheduler = Scheduler()
    async with dashboard(settings, scheduler) as (pilot, screen):
        await missing(pilot, screen, scheduler, 2)
        scheduler.refuse = "sbatch: error: Unable to contact slurm controller"
        await pilot.press("X")
        await confirm(pilot)
        await until(pilot, lambda: isinstance(pilot.app.screen, ActionResultScreen))
        assert "0 resubmitted, 2 failed" in shown(pilot)
        assert "reset, but not submitted: sbatch: error: Unable to contact slurm controller" in shown(pilot)
        assert states(settings, batch_id) == ["init", "init"]
        scheduler.refuse = ""
        await pilot.press("escape", "S")
        await confirm(pilot)
        await told(pilot, "2 submitted")
    assert states(settings, batch_id) == ["submit", "submit"]


async def test_a_locked_database_and_a_full_disk_are_told_with_what_was_done(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    from paraschut_core.actions import fields

    batch_id = add_batch(settings, "human/map", ["true"] * 4)
    change, calls = fields.change_fields, 0

    def sometimes(*arguments: object, **options: object) -> str:
        nonlocal calls
        calls += 1
        if calls == 4:
            raise DatabaseBusyError("database or disk is full")
        return change(*arguments, **options)  # type: ignore[arg-type]  # passed on as they come

    monkeypatch.setattr(fields, "CHUNK", 2)
    monkeypatch.setattr(fields, "change_fields", sometimes)
    async with dashboard(settings, Scheduler()) as (pilot, _screen):
        await pilot.press("A", "e", *(key_name(c) for c in "note=x"), "enter")
        await confirm(pilot)
        await until(pilot, lambda: isinstance(pilot.app.screen, ActionResultScreen))
        assert "2 changed, 2 failed · z undoes" in shown(pilot)
        assert "database or disk is full" in shown(pilot)
    assert [info_of(settings, batch_id, n).get("note") for n in range(4)] == ["x", "x", None, None]


async def test_a_fault_of_our_own_is_told_and_not_swallowed(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_batch(settings, "human/map", ["true"])
    async with dashboard(settings, Scheduler()) as (pilot, _screen):
        monkeypatch.setattr(ActionRunner, "preview", None)
        await pilot.press("r")
        await told(pilot, "This is a fault of Paraschut")
        await until(pilot, lambda: "It cannot be counted" in shown(pilot))
        await pilot.press("escape", "exclamation_mark")
        await until(pilot, lambda: "TypeError" in shown(pilot))


async def test_leaving_during_an_action_takes_two_keys_and_stops_it_at_a_good_place(
    settings: Settings,
) -> None:
    batch_id = add_batch(settings, "human/map", ["true"] * 60)
    scheduler = Scheduler()
    scheduler.chunk = 1
    go_on = threading.Event()
    scheduler.during_submit = lambda: go_on.wait(60) if len(scheduler.specs) >= 5 else None
    async with dashboard(settings, scheduler) as (pilot, screen):
        await pilot.press("A", "x")
        await confirm(pilot)
        await until(pilot, lambda: "of 60" in screen.key_hints.text)
        await pilot.press("q")
        await told(pilot, "still under way")
        assert pilot.app.is_running
        await pilot.press("q")
        gateway = screen.backend
        assert gateway.running_action is ACTIONS["submit_these"]
        go_on.set()
    assert gateway.last_result is not None
    assert gateway.last_result.note == "stopped before the rest"
    submitted = states(settings, batch_id).count("submit")
    assert 5 <= submitted < 60
    assert gateway.last_result.done == submitted


# ------------------------------------------------------------------------------------ targets


async def test_with_a_filter_a_batch_stands_for_its_matching_jobs(settings: Settings) -> None:
    batch_id = add_batch(settings, "human/map", ["true"] * 6)
    with Project(settings) as ws, ws.db.transaction() as tx:
        tx.connection.execute("UPDATE job SET state = 'checked' WHERE JobIndex >= 4")
    async with dashboard(settings, Scheduler()) as (pilot, screen):
        await pilot.press("slash", *(key_name(c) for c in "state:checked"), "enter")
        await until(pilot, lambda: screen.jobs.grid.board.total == 2 and not screen.jobs.contents.loading)
        await pilot.press("b", "r")
        assert "Reset 2 matching jobs of human/map?" in await confirm(pilot)
        await told(pilot, "2 reset")
    assert states(settings, batch_id) == ["init"] * 6


async def test_a_batch_with_live_jobs_is_removed_only_when_asked_twice(settings: Settings) -> None:
    batch_id = add_batch(settings, "human/map", ["true"] * 2)
    scheduler = Scheduler()
    async with dashboard(settings, scheduler) as (pilot, screen):
        await pilot.press("S")
        await confirm(pilot)
        await until(pilot, lambda: "○ 2" in screen.status.text)
        await pilot.press("D")
        await until(pilot, lambda: "2 jobs live in the queue: delete them first" in shown(pilot))
        await pilot.press("y")
        assert isinstance(pilot.app.screen, ConfirmScreen)
        await pilot.press("f")
        assert "what is in the queue is deleted first" in await confirm(pilot)
        await until(
            pilot, lambda: screen.state.snapshot is not None and batch_id not in screen.state.snapshot.batches
        )


async def test_of_a_live_spawn_job_the_lost_spawns_are_resubmitted(settings: Settings) -> None:
    batch_id = add_batch(settings, "human/map", ["true"])
    scheduler = Scheduler()
    async with dashboard(settings, scheduler) as (pilot, screen):
        await pilot.press("S")
        await confirm(pilot)
        await until(pilot, lambda: bool(scheduler.live))
        first = next(iter(scheduler.live))
        with Project(settings, scheduler) as ws:
            from paraschut_core.scheduling.spawns import submit_spawns

            with ws.db.transaction() as tx:
                tx.connection.execute("UPDATE job SET state = 'run', ClusterID = ?", (first,))
            submit_spawns(ws, info_of(settings, batch_id, 0), 3, first, None)
        await until(
            pilot, lambda: screen.state.snapshot is not None and bool(screen.state.snapshot.live_spawns)
        )
        scheduler.lose_sight(*list(scheduler.live)[-2:])
        await until(pilot, lambda: scheduler.polls > 3)
        await until(pilot, lambda: _lost(settings, scheduler, batch_id) == 2)
        await pilot.press("s")
        asked = await confirm(pilot)
        assert "Its 2 lost spawns are submitted again; the others go on." in asked
        assert "back to init" not in asked
        await told(pilot, "1 resubmitted")
    assert len(scheduler.specs) == 6
    assert states(settings, batch_id) == ["spawn"]


def _lost(settings: Settings, scheduler: Scheduler, batch_id: int) -> int:
    from paraschut_core.monitoring import polling
    from paraschut_core.scheduling.spawns import count_lost

    with Project(settings, scheduler) as ws:
        return count_lost(ws, JobKey(batch_id, 0), polling.poll_scheduler(ws))


# ------------------------------------------------------------------------------------ undo and history


async def test_what_cannot_be_undone_is_said_before_something_older_is(settings: Settings) -> None:
    add_batch(settings, "human/map", ["true"] * 2)
    async with dashboard(settings, Scheduler()) as (pilot, _screen):
        await pilot.press("S")
        await confirm(pilot)
        await told(pilot, "2 submitted")
        await pilot.press("z")
        await told(pilot, "submit of 2 jobs")
        await told(pilot, "cannot be undone: delete the jobs from the queue instead (d).")
        await pilot.press("p", *"7", "enter")
        await confirm(pilot)
        await told(pilot, "1 changed")
        await pilot.press("d")
        await confirm(pilot)
        await told(pilot, "1 deleted from the queue")
        await pilot.press("z")
        said = await confirm(pilot, "n")
        assert "Undo qdel of 1 job" in said
        assert "Jobs that the deletion stopped are not restarted" in said


async def test_the_history_lists_each_job_of_an_act(settings: Settings) -> None:
    batch_id = add_batch(settings, "human/map", ["true"] * 2)
    async with dashboard(settings, Scheduler()) as (pilot, _screen):
        await pilot.press("p", *(key_name(c) for c in "+5"), "enter")
        assert "+5" in await confirm(pilot)
        await told(pilot, "1 boosted")
        await pilot.press("@")
        await until(pilot, lambda: f"paraschut boost {batch_id} 0 --by 5" in shown(pilot))
        await pilot.press("enter")
        await until(pilot, lambda: f"{batch_id}/0" in shown(pilot))
        await pilot.press("escape")
        await until(pilot, lambda: "ACTIONS" in shown(pilot))
    assert info_of(settings, batch_id, 0)["priority"] == 6
    async with dashboard(settings, Scheduler()) as (pilot, _screen):  # a later session: from the events
        await pilot.press("@", "enter")
        await until(pilot, lambda: f"{batch_id}/0" in shown(pilot))


PASTED: dict[str, list[str]] = {
    "reset": ["m", "r"],
    "reset of two batches": ["R"],
    "set": ["A", "e", *"note=a_b"],
    "set an entry": ["A", "e", *"resources.mem=8gb"],
    "priority": ["A", "p", "7"],
    "boost": ["A", "p", "+", "5"],
    "collect": ["b", "C"],
    "forced reset": ["b", "r", "FORCE"],
    "remove": ["D"],
    "resubmit": ["m", "s"],
    "submit these": ["A", "x"],
    "submit a batch": ["b", "x"],
    "submit next": ["S"],
    "clean": ["b", "T"],
}


@pytest.mark.parametrize("name", PASTED)
async def test_the_command_in_the_history_does_the_same_when_it_is_pasted(
    settings: Settings, tmp_path: Path, name: str
) -> None:
    first = add_batch(settings, "human/map", ["true"] * 4, resources={"mem": "1gb", "walltime": "1:00:00"})
    other = add_batch(settings, "human/reduce", ["true"] * 2)
    (tmp_path / "paraschut.toml").write_text('executor = "local"\n[poll]\ninterval = 0\ngrace = 0\n')
    with Project(settings) as ws, ws.db.transaction() as tx:  # 0 and the other's 0 are missing, 3 is done
        ids = "submit_id = '0.1', ClusterID = '0.1', submitted_at = 1, changed_at = 1"
        run = f"UPDATE job SET state = 'run', {ids}"
        tx.connection.execute(f"{run} WHERE JobIndex = 0")
        tx.connection.execute("UPDATE job SET state = 'complete' WHERE JobIndex = 3")
    for kept in ("result", "a.genes.1"):
        path = tmp_path / str(first) / kept
        path.parent.mkdir(exist_ok=True)
        path.write_text("x")
    copy = tmp_path.parent / f"{tmp_path.name}-copy"
    shutil.copytree(tmp_path, copy)
    async with dashboard(settings, batch=first) as (pilot, screen):
        await until(
            pilot, lambda: screen.state.snapshot is not None and len(screen.state.snapshot.missing) == 2
        )
        keys = PASTED[name]
        for key in keys:
            if key == "FORCE":
                await asked(pilot)
                await pilot.press("f")
            else:
                await pilot.press(key if len(key) > 1 or key.isalnum() else key_name(key))
                await pilot.pause()
        if any(key in keys for key in "ep"):
            await pilot.press("enter")
        await confirm(pilot)
        await until(pilot, lambda: bool(_commands(settings)))
    (command,) = _commands(settings)
    assert ("; paraschut " in command) == (name == "reset of two batches")
    shell = (
        f'paraschut() {{ {shlex.quote(sys.executable)} -m paraschut_core.cli "$@"; }}; paraschut {command}'
    )
    if "--force" in command or name in ("remove", "clean"):
        shell += " --yes"
    subprocess.run(["bash", "-c", shell], cwd=copy, check=True, capture_output=True)
    pasted = Settings(database=str(copy / "jobs.db"), job_dir=str(copy), executor="local")
    assert _content(pasted, first, other) == _content(settings, first, other)
    assert _files(copy / str(first)) == _files(tmp_path / str(first))
    assert _commands(pasted)[0].partition(" --yes")[0] in command or "; " in command


async def test_the_command_of_an_undo_does_the_same_when_it_is_pasted(
    settings: Settings, tmp_path: Path
) -> None:
    batch_id = add_batch(settings, "human/map", ["true"] * 2)
    (tmp_path / "paraschut.toml").write_text('executor = "local"\n')
    copy = tmp_path.parent / f"{tmp_path.name}-copy"
    async with dashboard(settings) as (pilot, _screen):
        await pilot.press("p", "7", "enter")
        await confirm(pilot)
        await told(pilot, "1 changed")
        shutil.copytree(tmp_path, copy)
        await pilot.press("z")
        await confirm(pilot)
        await until(pilot, lambda: len(_commands(settings)) == 2)
    pasted = Settings(database=str(copy / "jobs.db"), job_dir=str(copy), executor="local")
    assert info_of(pasted, batch_id, 0)["priority"] == 7
    command = _commands(settings)[0]
    assert command.startswith("undo ")
    argv = [sys.executable, "-m", "paraschut_core.cli", *shlex.split(command)]
    subprocess.run(argv, cwd=copy, check=True, capture_output=True)
    assert info_of(pasted, batch_id, 0)["priority"] == info_of(settings, batch_id, 0)["priority"] == 1


def _commands(settings: Settings) -> list[str]:
    with Project(settings) as ws:
        return [action.command for action in read_actions(ws.reader)]


def _content(settings: Settings, *batches: int) -> list[object]:
    """What a user sees of the jobs; not when it was changed, nor what a submission is called."""
    from paraschut_core.database.jobs import read_all_infos

    with Project(settings) as ws:
        infos = read_all_infos(ws.reader)
    told = []
    for info in (info for batch in batches for info in infos.get(batch, [])):
        logs = {name: len(info.get(name) or ()) for name in ("stdout", "stderr")}
        told.append({k: v for k, v in info.items() if k not in ("rev", "subtime", "submit_id")} | logs)
    return told


def _files(folder: Path) -> list[str]:
    """A batch's own files, but for logs."""
    return sorted(path.name for path in folder.iterdir() if path.is_file()) if folder.exists() else []


# ------------------------------------------------------------------------------------ real processes


async def test_every_action_works_upon_real_processes(settings: Settings, tmp_path: Path) -> None:
    script = f"sh -c 'echo $$ >> {tmp_path}/pids; sleep 300'"
    batch_id = add_batch(settings, "human/map", [script, "sh -c 'exit 3'"])

    def pids() -> list[str]:
        path = tmp_path / "pids"
        return path.read_text().split() if path.exists() else []

    async with dashboard(settings) as (pilot, screen):
        await pilot.press("S")
        assert "2 of human/map, priority 1" in await confirm(pilot)
        await told(pilot, "2 submitted")
        await until(pilot, lambda: len(pids()) == 1 and "✗ 1 missing" in screen.status.text)
        # A reset leaves the running one alone; the missing one goes back, and is submitted again alone.
        await pilot.press("R")
        await confirm(pilot)
        await told(pilot, "1 reset")
        await pilot.press("G", "x")
        await confirm(pilot)
        await told(pilot, "1 submitted")
        await until(pilot, lambda: "✗ 1 missing" in screen.status.text)
        # What runs is deleted: its process ends.
        await pilot.press("g", "d")
        assert "1 live in the queue" in await confirm(pilot)
        await told(pilot, "1 deleted from the queue")
        await until(pilot, lambda: not Path("/proc", pids()[0]).exists())
        assert state_of(settings, batch_id, 0) == "init"
        # It is resubmitted with a field changed, and runs again.
        await pilot.press("e", *(key_name(c) for c in "note=again"), "enter")
        await confirm(pilot)
        await told(pilot, "1 changed")
        await pilot.press("s")
        await confirm(pilot)
        await told(pilot, "1 resubmitted")
        await until(pilot, lambda: len(pids()) == 2)
        # The batch goes, by force, and with it what runs of it once it reports; the test ends it itself.
        await pilot.press("g", "d")
        await confirm(pilot)
        await until(pilot, lambda: not Path("/proc", pids()[1]).exists())
        await until(pilot, lambda: not screen.actions.busy and len(pilot.app.screen_stack) == 1)
        await pilot.press("b", "D")
        await confirm(pilot)
        await until(pilot, lambda: screen.state.snapshot is not None and not screen.state.snapshot.batches)
        await until(pilot, lambda: "No batches yet" in shown(pilot))


async def test_finished_jobs_are_collected_cleaned_boosted_and_all_of_it_undone_upon_real_processes(
    settings: Settings, tmp_path: Path
) -> None:
    batch_id = add_batch(settings, "human/map", ["true"] * 2)
    run = f"{shlex.quote(sys.executable)} -m paraschut_core.cli run {batch_id}"
    made = f"sh -c 'echo x > {tmp_path}/{batch_id}/a.genes.1; echo x > {tmp_path}/{batch_id}/result'"
    with Project(settings) as ws:
        from paraschut_core.actions import set_fields

        for index, command in enumerate((made, "sh -c 'exit 3'")):
            script = f"{run} {index} -- {command}"
            set_fields(ws, [JobKey(batch_id, index)], {"script": script}, {})

    def files() -> list[str]:
        return _files(tmp_path / str(batch_id))

    async with dashboard(settings) as (pilot, screen):
        await pilot.press("S")
        await confirm(pilot)
        await until(pilot, lambda: states(settings, batch_id)[0] == "complete")
        await until(pilot, lambda: "✗ 1 missing" in screen.status.text)
        assert "a.genes.1" in files()
        await pilot.press("g", "T")
        assert "1 file" in await confirm(pilot)
        await told(pilot, "1 removed")
        assert "result" in files() and "a.genes.1" not in files()
        # Collected is what is complete; the undo makes it so again, and the missing one is not touched.
        await pilot.press("b", "C")
        await confirm(pilot)
        await until(pilot, lambda: states(settings, batch_id) == ["collected", "run"])
        await pilot.press("z")
        assert "Undo collect of 1 job" in await confirm(pilot)
        await until(pilot, lambda: states(settings, batch_id) == ["complete", "run"])
        # A boost of the missing one, its reset, and both taken back: nothing of it ran meanwhile.
        await pilot.press("escape", "M", "p", *(key_name(c) for c in "+5"), "enter")
        await confirm(pilot)
        await told(pilot, "1 boosted")
        assert info_of(settings, batch_id, 1)["priority"] == 6
        await pilot.press("r")
        await confirm(pilot)
        await until(pilot, lambda: states(settings, batch_id) == ["complete", "init"])
        for state, priority in (("run", 6), ("run", 1)):
            await pilot.press("z")
            await confirm(pilot)
            await until(pilot, lambda now=priority: info_of(settings, batch_id, 1)["priority"] == now)  # type: ignore[misc]
            await until(pilot, lambda now=state: states(settings, batch_id)[1] == now)  # type: ignore[misc]
        await until(pilot, lambda: "✗ 1 missing" in screen.status.text)
        assert info_of(settings, batch_id, 1)["attempt"] == 1


def test_a_documented_function_prints_what_it_did_not_submit(
    settings: Settings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "paraschut.toml").write_text('executor = "local"\n')
    batch_id = add_batch(settings, "human/map", ["/no/such/script"])
    assert psu.submit_one_batch(batch_id) == 0
    assert "its script does not exist: /no/such/script" in capsys.readouterr().out


async def test_jobs_with_odd_values_are_shown_and_take_no_others_along(settings: Settings) -> None:
    batch_id = add_batch(settings, "human/map", ["true"] * (len(ODD) + 2))
    connection = sqlite3.connect(settings.database)
    with connection:
        for index, (change, _) in enumerate(ODD.values()):
            connection.execute(
                f"UPDATE job SET {change} WHERE BatchID = ? AND JobIndex = ?", (batch_id, index)
            )
    connection.close()
    async with dashboard(settings, Scheduler()) as (pilot, screen):
        await until(pilot, lambda: screen.jobs.grid.cursor is not None)
        for key in ["right"] * (len(ODD) + 2) + ["c", *["up"] * len(ODD), "O", "right", "O"]:
            await pilot.press(key)
        await pilot.press("S")
        await confirm(pilot)
        await told(pilot, "submitted")
        await until(pilot, lambda: "○" in screen.status.text)
        assert screen.state.snapshot is not None and screen.state.snapshot.database.error == ""
