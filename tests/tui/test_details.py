"""All about a job: the tree of its record, what is read for it later, and setting a field in it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from textual.pilot import Pilot
from textual.widgets import Input

from paraschut_core.config import Settings
from paraschut_core.model import RUNNING, Event, ExitInfo, JobKey, LiveJob, MissingJob, Spawn
from paraschut_core.project import Project
from paraschut_core.sanitize import clean_line
from paraschut_tui.actions.types import JobRecord
from paraschut_tui.app import ParaschutApp
from paraschut_tui.dialogs.edit_value import EditValueScreen
from paraschut_tui.job_details.model import DetailNode, JobDetailsData, dossier, flat, text_of
from paraschut_tui.job_details.script_text import ScriptText, coloured, read_script
from tests.tui.test_values import values
from tests.tui.textual_internals import toasts

from .project import add_batch, main_screen, make_project, until

NOW = 1_795_000_000.0
KEY = JobKey(20261122101500, 24)


def lines_of(sight: JobDetailsData, everything: bool = False) -> list[str]:
    def is_open(node: DetailNode) -> bool:
        return everything or node.opened

    return ["  " * depth + text_of(node) for depth, node in flat(dossier(sight, NOW), is_open)]


def record(**fields: object) -> JobRecord:
    return JobRecord(KEY, {"BatchID": KEY.batch_id, "JobIndex": 24, "state": "run", **fields})


# --------------------------------------------------------------------------- the tree


def test_why_it_is_missing_comes_first() -> None:
    lost = MissingJob("out of memory on n12", NOW - 720, 137, 9)
    first = lines_of(JobDetailsData(record(), missing=lost))[0]
    assert first.startswith("missing  out of memory on n12  exit status 137, signal 9, last heard of ")
    assert first.endswith("(12m ago)")


def test_why_it_waits_is_told() -> None:
    live = LiveJob("5512", "queued", reason="Resources")
    assert lines_of(JobDetailsData(record(state="submit"), live))[0] == "waits  Resources"
    held = JobDetailsData(record(state="init"), held_back="waits for priority 2")
    assert lines_of(held)[0] == "held back  waits for priority 2"
    refused = JobDetailsData(
        record(state="init"), held_back="refused by Slurm: no such partition", refused=True
    )
    (node, *_) = dossier(refused, 0.0)
    assert [part for part in node.parts if part[0]] == [("refused by Slurm: no such partition", "error")]


def test_fields_resources_and_own_metadata_are_apart_and_typed() -> None:
    lines = lines_of(
        JobDetailsData(
            record(script="map.sh", resources={"mem": "1gb"}, masked=True, genes=["a", "b"], n=3, note="3")
        )
    )
    text = "\n".join(lines)
    assert lines[0] == "job" and "  script    map.sh" in lines
    assert "resources  1 entry\n  mem  1gb" in text
    assert "fields\n  masked  true\n  genes   a, b  list of 2\n  n       3\n  note    3  text" in text


def test_the_scheduler_is_asked_once_it_is_opened_and_all_that_is_known_is_shown() -> None:
    live = LiveJob("5512_24", RUNNING, host="n12")
    ending = ExitInfo("exit status 3", 3, record={"MaxRSS": "1gb"})
    sight = JobDetailsData(
        replace(record(qstat={"queue": "long"}), ending=ending), live, summary={"NodeList": "n12"}
    )
    text = "\n".join(lines_of(sight, everything=True))
    for expected in ("running as 5512_24", "NodeList  n12", "MaxRSS  1gb", "queue  long", "exit_status  3"):
        assert expected in text
    assert "asking the scheduler" in "\n".join(lines_of(sight._replace(summary=None), everything=True))


def test_spawns_are_listed_with_their_states_and_logs() -> None:
    spawns = [Spawn(n, f"55{n}", "run" if n else "complete", f"/d/{n}.out", f"/d/{n}.err") for n in range(12)]
    text = "\n".join(lines_of(JobDetailsData(replace(record(), spawns=spawns)), everything=True))
    assert "spawns  12: 1 complete, 11 run" in text
    assert "   3  run  as 553\n    stdout  /d/3.out" in text


def test_the_history_is_a_timeline_with_what_was_changed() -> None:
    events = [
        Event(NOW - 9000, KEY, 0, "eve@login1:311", None, "init", "added"),
        Event(NOW - 8940, KEY, 1, "eve@login1:311", "init", "submit", "submitted"),
        Event(NOW - 40, KEY, 1, "eve@login1:311", "run", "run", "set", {"changed": {"n": [1, 2]}}),
    ]
    lines = lines_of(JobDetailsData(replace(record(), events=events)), everything=True)
    assert lines[-5] == "history  3 events"
    assert "+1m   1  init → submit" in lines[-3]
    assert "+2h28" in lines[-2] and "run " in lines[-2] and "→" not in lines[-2]
    assert lines[-1].strip() == "n  1 → 2"


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.text(max_size=8), values, max_size=6), st.text(), st.text())
def test_hostile_metadata_is_clean_lines_with_keys_of_their_own(
    fields: dict[str, object], who: str, why: str
) -> None:
    event = Event(NOW, KEY, 1, who, why, who, why, {"changed": {who: [why, fields]}})
    sight = JobDetailsData(
        JobRecord(KEY, fields, events=[event], spawns=[Spawn(0, who, why, who, why)]),
        LiveJob(who, why, reason=why),
        summary={who: why},
        script=ScriptText("/x", coloured(clean_line(why), "bash"), who),
    )
    rows = list(flat(dossier(sight, NOW), lambda node: len(node.key) < 6))
    for _, node in rows:
        assert text_of(node) == clean_line(text_of(node))
    keys = [node.key for _, node in rows]
    assert len(set(keys)) == len(keys)


def test_a_megabyte_of_metadata_is_laid_out_at_once() -> None:
    fields = {f"field_{n}": {"x": ["y" * 20] * 50} for n in range(1000)}
    sight = JobDetailsData(record(**fields, text="z" * (1 << 20), many={str(n): n for n in range(50_000)}))
    began = time.process_time()
    assert len(lines_of(sight)) > 100
    assert time.process_time() - began < 1.0


# --------------------------------------------------------------------------- the script


def test_a_script_is_found_behind_its_interpreter_and_its_words_are_coloured(tmp_path: Path) -> None:
    (tmp_path / "map.py").write_text("# counts\ndef main() -> None:\n\treturn 'x'\n")
    found = read_script({"script": "python -u map.py --n 3", "cwd": str(tmp_path)})
    assert found.path == str(tmp_path / "map.py")
    assert [[role for _, role in line][:1] for line in found.lines] == [["muted"], ["accent"], ["text"]]
    assert "".join(text for text, _ in found.lines[2]) == "    return 'x'"


def test_a_command_line_alone_and_a_program_have_no_text(tmp_path: Path) -> None:
    (tmp_path / "tool").write_bytes(b"\x7fELF\0\0")
    assert read_script({"script": "echo hello"}) == ScriptText()
    assert read_script({"script": "./tool -x", "cwd": str(tmp_path)}) == ScriptText()
    assert read_script({"script": "unclosed 'quote"}) == ScriptText()
    assert read_script({}) == ScriptText()


@settings(max_examples=60, deadline=None)
@given(st.text(), st.sampled_from(["python", "bash", "perl", "r", ""]))
def test_colouring_keeps_every_character(text: str, lexer: str) -> None:
    from paraschut_core.sanitize import clean, clean_line

    text = "\n".join(map(clean_line, clean(text).expandtabs(4).split("\n")))
    lines = text.split("\n")
    if not lines[-1]:
        lines.pop()
    assert ["".join(part for part, _ in line) for line in coloured(text, lexer)] == lines


def test_a_hostile_script_is_harmless_and_a_huge_one_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "evil.sh"
    path.write_bytes(b"#!/bin/sh\necho '\x1b]52;c;AAAA\x07' \xff\n")
    (line,) = read_script({"script": str(path)}).lines[1:]
    assert not any(character in text for text, _ in line for character in "\x1b\x07")
    path.write_text("x" * 300 + "\n" + "echo\n" * 100_000)
    found = read_script({"script": str(path)})
    assert found.note == "only the first 256 KiB are shown"


# --------------------------------------------------------------------------- on the screen


@asynccontextmanager
async def detailed(
    project: Settings, size: tuple[int, int] = (120, 40), **options: bool
) -> AsyncIterator[tuple[Pilot[None], ParaschutApp]]:
    """The details of the first job, with the focus."""
    app = ParaschutApp(project, **options)
    async with app.run_test(size=size) as pilot:
        screen = main_screen(app)
        await until(pilot, lambda: screen.jobs.grid.cursor is not None, "a job")
        await pilot.press("i", "enter")
        await until(pilot, lambda: screen.lower.details.has_focus, "the focus")
        await until(pilot, lambda: screen.lower.details.sight is not None, "the details")
        yield pilot, app
    app.gateway.close()


def shown(app: ParaschutApp) -> list[str]:
    details = main_screen(app).lower.details
    return [
        details.build_line(row, details.size.width).text.rstrip() for row in range(len(details._rows) + 1)
    ]


async def go_to(pilot: Pilot[None], app: ParaschutApp, name: str) -> None:
    """Puts the cursor on the line that begins with a word."""
    await until(pilot, lambda: any(line.strip(" ▸▾").startswith(name) for line in shown(app)), name)
    row = next(n for n, line in enumerate(shown(app)) if line.strip(" ▸▾").startswith(name))
    main_screen(app).lower.details.action_first()
    main_screen(app).lower.details.step(row - 1)


async def type_in(pilot: Pilot[None], app: ParaschutApp, text: str) -> None:
    await until(pilot, lambda: isinstance(app.screen, EditValueScreen), "the question")
    app.screen.query_one(Input).value = text
    await pilot.press("enter")


def field(project: Settings, batch_id: int, name: str) -> object:
    from paraschut_core.database.jobs import read_info

    with Project(project) as ws:
        return read_info(ws.reader, JobKey(batch_id, 0)).get(name)


async def test_a_field_is_set_with_its_type_kept_and_z_undoes_it(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    batch = add_batch(project, "map", ["true"], threshold=0.25, resources={"mem": "1gb", "cpus": 2})
    async with detailed(project) as (pilot, app):
        await go_to(pilot, app, "threshold")
        await pilot.press("e")
        await type_in(pilot, app, "half")
        meaning = app.screen.query_one("#dialog-meaning").render()
        assert "'half' is not a number" in str(meaning)
        await type_in(pilot, app, "1")
        await until(pilot, lambda: field(project, batch, "threshold") == 1.0, "the field is set")
        assert isinstance(field(project, batch, "threshold"), float)
        await until(pilot, lambda: any("threshold  1.0" in line for line in shown(app)), "it is shown")
        await go_to(pilot, app, "cpus")
        await pilot.press("e")
        await type_in(pilot, app, "4")
        await until(
            pilot, lambda: field(project, batch, "resources") == {"mem": "1gb", "cpus": 4}, "the entry"
        )
        await pilot.press("z")
        await until(pilot, lambda: len(app.screen_stack) > 1, "the question")
        await pilot.press("y")
        await until(pilot, lambda: field(project, batch, "resources") == {"mem": "1gb", "cpus": 2}, "undone")
    with Project(project) as ws:
        from paraschut_core.database.events import read_actions

        commands = [action.command for action in read_actions(ws.reader)]
    assert f"set {batch} 0 resources.cpus=4" in commands and f"set {batch} 0 threshold=1.0" in commands


async def test_a_job_that_somebody_changed_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    batch = add_batch(project, "map", ["true"], threshold=0.25)
    async with detailed(project) as (pilot, app):
        await go_to(pilot, app, "threshold")
        await pilot.press("e")
        await until(pilot, lambda: isinstance(app.screen, EditValueScreen), "the question")
        with Project(project) as ws:
            from paraschut_core.actions import set_fields

            set_fields(ws, [JobKey(batch, 0)], {"organism": "mouse"}, {})
        await type_in(pilot, app, "1")
        await until(pilot, lambda: bool(toasts(app)), "a notice")
        notice = toasts(app)[0]
        assert f"Job {batch}/0 was changed by " in notice and "nothing was written" in notice
        assert field(project, batch, "threshold") == 0.25


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("JobIndex", "7", "JobIndex is read-only"),
        ("state", "init", "A job comes back to init by a reset"),
    ],
)
async def test_what_nobody_sets_here_is_refused(tmp_path: Path, name: str, value: str, says: str) -> None:
    project = make_project(tmp_path)
    add_batch(project, "map", ["true"], state="checked")
    async with detailed(project) as (pilot, app):
        await go_to(pilot, app, name)
        await pilot.press("e")
        await type_in(pilot, app, value)
        await until(pilot, lambda: bool(toasts(app)), "a notice")
        assert says in toasts(app)[0]


async def test_read_only_sets_nothing(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    add_batch(project, "map", ["true"], threshold=0.25)
    async with detailed(project, read_only=True) as (pilot, app):
        await go_to(pilot, app, "threshold")
        await pilot.press("e")
        await until(pilot, lambda: bool(toasts(app)), "a notice")
        assert not isinstance(app.screen, EditValueScreen)


async def test_the_script_is_read_and_the_scheduler_asked_once_they_are_opened(tmp_path: Path) -> None:
    script = tmp_path / "map.sh"
    script.write_text("#!/bin/sh\n# counts\necho done\n")
    script.chmod(0o755)
    project = make_project(tmp_path)
    add_batch(project, "map", [str(script)])
    async with detailed(project) as (pilot, app):
        await go_to(pilot, app, "script")
        await until(pilot, lambda: any("3 lines" in line for line in shown(app)), "the script is read")
        await pilot.press("enter")
        await until(pilot, lambda: any("3  echo done" in line for line in shown(app)), "its text")
        await go_to(pilot, app, "scheduler")
        await pilot.press("right")
        await until(
            pilot,
            lambda: any("the scheduler knows nothing of it" in line for line in shown(app)),
            "its answer",
        )


async def test_opening_closing_and_copying_by_key(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    add_batch(project, "map", ["true"], words="one two", deep={"a": {"b": 1}}, path="/" + "x" * 150)
    async with detailed(project, (60, 40)) as (pilot, app):
        await go_to(pilot, app, "deep")
        await pilot.press("right", "right", "l", "l")
        await until(pilot, lambda: any(line.strip() == "b  1" for line in shown(app)), "what is within")
        await pilot.press("h", "h", "h")
        await until(pilot, lambda: not any(line.strip() == "b  1" for line in shown(app)), "closed again")
        await go_to(pilot, app, "words")
        await pilot.press("y")
        await until(pilot, lambda: app.clipboard == "one two", "the clipboard")
        # A line that is cut is opened to be read as a whole.
        await go_to(pilot, app, "path")
        await pilot.press("enter")
        await until(pilot, lambda: "".join(shown(app)).replace(" ", "").count("x") > 150, "all of it")
        await pilot.press("escape")
        await until(pilot, lambda: main_screen(app).pane_layout.focused == "grid", "back")
