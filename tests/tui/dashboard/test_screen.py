"""Moving about on the dashboard: what each key shows, and what stays where it was when something changes."""

from __future__ import annotations

from pathlib import Path

import pytest

from paraschut_core.model import JobKey, Spawn
from paraschut_tui.batch_tree.model import BATCH
from paraschut_tui.dialogs.health import HealthScreen
from paraschut_tui.dialogs.help import HelpScreen
from paraschut_tui.job_grid.columns import ColumnSetting, SortKey
from paraschut_tui.job_log.screen import LogScreen
from paraschut_tui.state_styles import L_MISSING
from paraschut_tui.widgets.text_line import TextLine
from paraschut_tui.widgets.text_view import TextView
from tests.tui.textual_internals import screen_text, toasts

from ..fake import MAP, MOUSE, NOW, REDUCE, FakeBatch, dashboard, world
from ..project import until
from ..user import confirm, line


async def test_it_opens_on_the_first_missing_job_of_the_newest_batch_that_has_one() -> None:
    async with dashboard() as (pilot, screen, _):
        assert screen.jobs.grid.cursor == JobKey(MAP, 24)
        await until(pilot, lambda: "JOB 24" in screen.lower.log_view.status_text)
        assert "time limit" in screen.lower.log_view.status_text


async def test_a_batch_named_at_the_start_is_shown_first() -> None:
    async with dashboard(batch=REDUCE) as (_, screen, _gateway):
        assert screen.jobs.grid.cursor == JobKey(REDUCE, 0)
        assert "human/genome_reduce" in line(screen, "grid-title")


async def test_the_status_bar_answers_what_runs_what_died_and_whether_it_is_live() -> None:
    async with dashboard() as (_, screen, _gateway):
        text = line(screen, "status")
        for words in (
            "jobs.db  live",
            "slurm  polled <30s ago",
            "▶ 12",
            "○ 40",
            "✓ 259 / 501",
            "✗ 3 missing",
        ):
            assert words in text


@pytest.mark.parametrize(
    ("keys", "index"),
    [
        (["right"], 25),
        (["l", "l", "h"], 25),
        (["down"], 124),
        (["j", "k"], 24),
        (["G"], 299),
        (["G", "g"], 0),
        (["left"] * 30, 0),
        (["pagedown"], 224),
        (["ctrl+d", "ctrl+u"], 24),
    ],
)
async def test_keys_move_the_cursor_through_the_grid(keys: list[str], index: int) -> None:
    async with dashboard() as (pilot, screen, _):
        await pilot.press(*keys)
        assert screen.jobs.grid.cursor == JobKey(MAP, index)


async def test_next_missing_goes_through_all_batches_and_round() -> None:
    async with dashboard() as (pilot, screen, _):
        seen = []
        for _n in range(4):
            await pilot.press("M")
            await until(pilot, lambda: not screen.jobs.contents.loading)
            seen.append(screen.jobs.grid.cursor)
        assert seen == [JobKey(MAP, 152), JobKey(MOUSE, 160), JobKey(MAP, 24), JobKey(MAP, 152)]


async def test_the_tree_leads_the_grid() -> None:
    async with dashboard() as (pilot, screen, _):
        await pilot.press("b", "down")  # the first state: missing
        assert screen.pane_layout.focused == "tree"
        assert screen.jobs.grid.cursor == JobKey(MAP, 24)
        await pilot.press("down")
        assert screen.jobs.grid.cursor == JobKey(MAP, 100)  # the first that runs
        await pilot.press("]")
        await until(pilot, lambda: screen.jobs.grid.cursor == JobKey(REDUCE, 0))
        await pilot.press("[")
        await until(
            pilot, lambda: screen.jobs.grid.cursor == JobKey(MAP, 100), "the cursor is where it was left"
        )


async def test_states_open_to_their_jobs_and_jobs_lead_the_grid() -> None:
    async with dashboard() as (pilot, screen, _):
        await pilot.press("b", "down", "down", "right")
        await until(pilot, lambda: any(row.key.job == 100 for row in screen.batches.batch_tree.outline.rows))
        await pilot.press("down", "down")
        assert screen.jobs.grid.cursor == JobKey(MAP, 101)
        await pilot.press("left")
        assert screen.batches.batch_tree.cursor is not None
        assert screen.batches.batch_tree.cursor.job == -1
        await pilot.press("left")
        assert all(row.key.job == -1 for row in screen.batches.batch_tree.outline.rows)


async def test_a_batch_that_does_not_move_says_why_in_the_tree() -> None:
    async with dashboard() as (_, screen, _gateway):
        texts = [
            screen.batches.batch_tree.build_line(y, 42).text
            for y in range(len(screen.batches.batch_tree.outline.rows))
        ]
        assert any("waits for priority 2" in text for text in texts)


async def test_cursor_marks_branches_and_scroll_survive_a_refresh() -> None:
    batches = [FakeBatch(MAP, "big", "i" * 9000), *world()[1:]]
    async with dashboard(batches, batch=MAP) as (pilot, screen, gateway):
        await pilot.press("G", "space", "up", "up")
        cursor, scroll, rows = (
            screen.jobs.grid.cursor,
            screen.jobs.grid.scroll_offset.y,
            len(screen.batches.batch_tree.outline.rows),
        )
        assert scroll > 0
        gateway.publish([gateway.change(MAP, 8999, "R")])
        gateway.batches[20261123000000] = FakeBatch(20261123000000, "new/one", "i" * 5)
        gateway.publish(reload=True)
        await until(
            pilot, lambda: screen.state.snapshot is not None and len(screen.state.snapshot.batches) == 4
        )
        await until(pilot, lambda: not screen.jobs.contents.loading)
        assert screen.jobs.grid.cursor == cursor
        assert screen.jobs.grid.scroll_offset.y == scroll
        assert list(screen.jobs.marks) == [JobKey(MAP, 8999)]
        assert len(screen.batches.batch_tree.outline.rows) == rows + 1 + 1  # one batch, one state more
        assert screen.batches.batch_tree.cursor is not None
        assert screen.batches.batch_tree.cursor.batch_id == MAP


async def test_a_change_shows_in_grid_tree_legend_and_status() -> None:
    async with dashboard() as (pilot, screen, gateway):
        gateway.publish([gateway.change(MAP, 299, "!")])
        await until(pilot, lambda: "✗ 4 missing" in line(screen, "status"))
        assert "✗ missing 3" in line(screen, "legend")
        group = screen.jobs.grid.board.groups[0]
        assert group.looks[299] == L_MISSING


async def test_a_batch_that_is_removed_gives_its_place_to_another() -> None:
    async with dashboard() as (pilot, screen, gateway):
        await pilot.press("space")
        del gateway.batches[MAP]
        gateway.publish(removed=frozenset({MAP}))
        await until(
            pilot, lambda: screen.jobs.grid.cursor is not None and screen.jobs.grid.cursor.batch_id == MOUSE
        )
        assert len(screen.jobs.marks) == 0


async def test_marks_by_key() -> None:
    async with dashboard() as (pilot, screen, _):
        await pilot.press("space", "space")
        assert sorted(k.job_index for k in screen.jobs.marks) == [24, 25]
        assert "2 marked" in line(screen, "grid-title")
        await pilot.press("u", "v", "right", "right", "v")
        assert sorted(k.job_index for k in screen.jobs.marks) == [26, 27, 28]
        await pilot.press("u", "m")
        assert sorted(k.job_index for k in screen.jobs.marks) == [24, 152]
        await pilot.press("I")
        assert len(screen.jobs.marks) == 298
        await pilot.press("u", "G", "a")
        assert len(screen.jobs.marks) == 300 - 152 - 1
        await pilot.press("A")
        assert len(screen.jobs.marks) == 300


@pytest.mark.parametrize("density", ["cells", "rows"])
@pytest.mark.parametrize(
    ("key", "verb"),
    [
        ("r", "reset"),
        ("s", "resubmit"),
        ("C", "collect"),
        ("e", "edit"),
    ],
)
async def test_an_open_range_is_shown_and_taken_by_every_act(key: str, verb: str, density: str) -> None:
    async with dashboard() as (pilot, screen, gateway):
        move = "right"
        if density == "rows":
            await pilot.press("c")
            move = "down"
        await pilot.press("v", move, move)
        assert len(screen.jobs.marks) == 0
        await until(pilot, lambda: "range of 3" in line(screen, "grid-title"))
        await pilot.press(key)
        if key == "e":
            await pilot.pause()
            await pilot.press(*"note", "equals_sign", "1", "enter")
        assert sorted(k.job_index for k in screen.jobs.marks) == [24, 25, 26]
        await confirm(pilot)
        await until(pilot, lambda: bool(gateway.deeds))
        done, target = gateway.deeds[0][:2]
        assert (done, [k.job_index for k in target.keys]) == (verb, [24, 25, 26])
        await pilot.pause()
        assert len(screen.jobs.marks) == (3 if verb == "edit" else 0), "what is edited stays marked"


async def test_a_filter_shows_all_that_matches_and_escape_shows_the_batch_again() -> None:
    async with dashboard() as (pilot, screen, _):
        await pilot.press("slash", *"state:missing")
        await until(pilot, lambda: screen.jobs.grid.board.total == 3)
        assert screen.query_one("#filter-count", TextLine).text.strip() == "3 match"
        await pilot.press("enter")
        await pilot.pause()
        assert not screen.filter_bar.is_open
        assert "state:missing" in line(screen, "grid-title")
        await pilot.press("G")
        assert screen.jobs.grid.cursor == JobKey(MOUSE, 160)
        await pilot.press("escape")
        await until(pilot, lambda: screen.state.query is None and screen.jobs.grid.board.total > 3)


async def test_escape_stays_with_a_job_found_by_the_filter_and_else_goes_back_to_where_one_was() -> None:
    async with dashboard() as (pilot, screen, _):
        await pilot.press("slash", *"mouse", "enter")
        await until(pilot, lambda: screen.jobs.grid.board.total == 161)
        await pilot.press("escape")
        await until(pilot, lambda: screen.jobs.grid.cursor == JobKey(MAP, 24))
        await pilot.press("slash", *"mouse", "enter")
        await until(pilot, lambda: screen.jobs.grid.board.total == 161)
        await pilot.press("right", "right", "escape")
        await until(pilot, lambda: screen.state.query is None and not screen.jobs.contents.loading)
        assert screen.jobs.grid.cursor == JobKey(MOUSE, 2)
        assert screen.jobs.contents.batches == (MOUSE,)
        assert screen.batches.batch_tree.cursor is not None
        assert screen.batches.batch_tree.cursor.batch_id == MOUSE


async def test_a_job_that_comes_to_match_is_shown_and_one_that_no_longer_does_is_not() -> None:
    async with dashboard() as (pilot, screen, gateway):
        await pilot.press("L")
        await until(pilot, lambda: screen.jobs.grid.board.total == 3 and not screen.jobs.contents.loading)
        loads = len(gateway.loads)
        gateway.publish([gateway.change(MAP, 24, "c"), gateway.change(REDUCE, 7, "!")])
        await until(pilot, lambda: screen.jobs.grid.board.locate(JobKey(REDUCE, 7)) is not None)
        await until(pilot, lambda: screen.jobs.grid.board.locate(JobKey(MAP, 24)) is None)
        assert screen.jobs.grid.board.total == 3
        assert len(gateway.loads) == loads, "nothing was searched for anew"


async def test_jobs_added_to_the_batch_that_is_shown_are_shown_without_reading_it_anew() -> None:
    async with dashboard(batch=REDUCE) as (pilot, screen, gateway):
        loads = len(gateway.loads)
        gateway.batches[REDUCE].letters += "i" * 3
        gateway.publish([gateway.row(JobKey(REDUCE, 40 + n)) for n in range(3)])
        await until(pilot, lambda: screen.jobs.grid.board.total == 43)
        assert len(gateway.loads) == loads


async def test_one_key_shows_the_missing_jobs_of_all_batches_and_again_the_batch() -> None:
    async with dashboard() as (pilot, screen, _):
        await pilot.press("L")
        await until(pilot, lambda: screen.jobs.grid.board.total == 3 and screen.jobs.grid.board.matching)
        await pilot.press("L")
        await until(pilot, lambda: screen.jobs.grid.board.total == 300)


async def test_escape_in_the_filter_brings_the_filter_before_back() -> None:
    async with dashboard(filter_text="mouse") as (pilot, screen, _):
        await until(pilot, lambda: screen.jobs.grid.board.total == 161)
        await pilot.press("slash", *"xyz")
        await until(pilot, lambda: screen.jobs.grid.board.total == 0)
        await pilot.press("escape")
        await until(pilot, lambda: screen.jobs.grid.board.total == 161)
        assert screen.state.query is not None


async def test_an_empty_grid_says_why_and_what_to_do() -> None:
    async with dashboard() as (pilot, screen, _):
        await pilot.press("slash", *"nothing like it", "enter")
        await until(pilot, lambda: screen.jobs.grid.board.total == 0)
        text = "".join(part for parts in screen.jobs.grid.note for part, _ in parts)
        assert text == "No jobs match nothing like it · Esc shows all 501"


async def test_a_wrong_condition_is_told_while_typing_and_leaves_the_jobs_shown() -> None:
    async with dashboard() as (pilot, screen, _):
        await pilot.press("slash", *"sql:bad")
        await until(pilot, lambda: "no such column" in screen.query_one("#filter-hints", TextLine).text)
        assert screen.jobs.grid.board.total == 300


async def test_an_error_goes_when_the_text_is_again_the_filter_in_force() -> None:
    async with dashboard(filter_text="mouse") as (pilot, screen, _):
        await until(pilot, lambda: screen.jobs.grid.board.total == 161)
        await pilot.press("slash", "space", *"(log:x)")
        await until(pilot, lambda: "log: reads files" in line(screen, "filter-hints"))
        await pilot.press(*["backspace"] * len(" (log:x)"))
        await until(pilot, lambda: "log: reads files" not in line(screen, "filter-hints"))
        assert "161 match" in line(screen, "filter-count")


async def test_a_wrong_condition_stays_told_when_it_is_put_in_force() -> None:
    async with dashboard() as (pilot, screen, _):
        await pilot.press("slash", *"sql:bad")
        await until(pilot, lambda: "no such column" in line(screen, "filter-hints"))
        await pilot.press("enter")
        await until(pilot, lambda: "FILTER  sql:bad  no such column: bad" in line(screen, "grid-title"))
        assert "! says all" in line(screen, "grid-title")
        await pilot.press("slash", "enter")
        await pilot.pause(0.3)
        assert screen.jobs.contents.error == "no such column: bad"
        await pilot.press("escape")
        await until(pilot, lambda: screen.state.query is None and not screen.jobs.contents.error)


async def test_what_is_wrong_with_a_filter_is_told_in_full_on_a_key() -> None:
    async with dashboard(size=(80, 24)) as (pilot, screen, _):
        await pilot.press("slash", *"(log:x)", "enter")
        await until(pilot, lambda: any("log: reads files" in text for text in toasts(pilot.app)))
        whole = screen.jobs.contents.error
        assert len(whole) > 80
        await pilot.press("exclamation_mark")
        await until(pilot, lambda: isinstance(pilot.app.screen, HealthScreen))
        pane = pilot.app.screen.query_one(TextView)
        await until(pilot, lambda: "log: reads files" in pane.build_line(3, pane.size.width).text)
        told = " ".join(pane.build_line(row, pane.size.width).text.strip() for row in range(3, 6))
        assert whole in told


async def test_an_empty_database_tells_how_to_begin() -> None:
    async with dashboard([]) as (_, screen, _gateway):
        assert "paraschut add" in "".join(part for parts in screen.jobs.grid.note for part, _ in parts)


async def test_a_database_in_trouble_is_said_apart_from_the_scheduler() -> None:
    async with dashboard() as (pilot, screen, gateway):
        gateway.database = gateway.database._replace(error="locked by another process", read_at=NOW - 240)
        gateway.publish()
        await until(pilot, lambda: "not answering for 4m" in line(screen, "status"))
        assert "slurm  polled <30s ago" in line(screen, "status")
        gateway.database = gateway.database._replace(error="")
        gateway.scheduler = gateway.scheduler._replace(failing_since=NOW - 240, error="refused")
        gateway.publish()
        await until(pilot, lambda: "slurm  not answering since" in line(screen, "status"))
        assert "jobs.db  live" in line(screen, "status")


async def test_marked_batches_are_shown_together_and_acted_upon_together() -> None:
    async with dashboard() as (pilot, screen, gateway):
        await pilot.press("b", "space", "space")
        await until(pilot, lambda: screen.jobs.grid.board.total == 340)
        assert "2 batches" in line(screen, "grid-title")
        assert "2 marked" in line(screen, "tree-title")
        assert screen.jobs.grid.build_line(0, 118).text.strip().startswith("human/genome_map")
        await pilot.press("r")
        await confirm(pilot)
        await until(pilot, lambda: bool(gateway.deeds))
        assert gateway.deeds[0][1].batches == (REDUCE, MAP)
        await pilot.press("u")
        await until(pilot, lambda: screen.jobs.grid.board.total == 161)


async def test_the_newest_running_job_is_one_key_away() -> None:
    async with dashboard(batch=MOUSE) as (pilot, screen, _gateway):
        await pilot.press("f")
        await until(pilot, lambda: screen.jobs.grid.cursor == JobKey(MAP, 111))
        await until(pilot, lambda: screen.pane_layout.focused == "log")


async def test_spawns_are_listed_under_their_job() -> None:
    batch = FakeBatch(MAP, "spawning", "iSc")
    async with dashboard([batch]) as (pilot, screen, gateway):
        gateway.spawns = [Spawn(0, "71", "complete", "", ""), Spawn(1, "72", "run", "", "")]
        await pilot.press("b", "down", "right")
        await until(pilot, lambda: any(row.key.job == 1 for row in screen.batches.batch_tree.outline.rows))
        await pilot.press("down", "right")
        await until(
            pilot, lambda: sum(row.key.spawn >= 0 for row in screen.batches.batch_tree.outline.rows) == 2
        )
        await pilot.press("down", "down")
        assert screen.batches.batch_tree.cursor is not None
        assert screen.batches.batch_tree.cursor.spawn == 1


async def test_the_log_of_the_spawn_under_the_trees_cursor_is_shown(tmp_path: Path) -> None:
    paths = {name: str(tmp_path / name) for name in ("job", "one", "two")}
    for name, path in paths.items():
        Path(path).write_text(f"text of {name}\n")
    async with dashboard([FakeBatch(MAP, "spawning", "iSc")]) as (pilot, screen, gateway):
        gateway.log = {"stdout": (paths["job"],)}
        gateway.spawns = [Spawn(n, f"7{n}", "run", paths[name], "") for n, name in enumerate(("one", "two"))]
        await pilot.press("b", "down", "right")
        await until(pilot, lambda: any(row.key.job == 1 for row in screen.batches.batch_tree.outline.rows))
        await pilot.press("down", "right")
        await until(
            pilot, lambda: sum(row.key.spawn >= 0 for row in screen.batches.batch_tree.outline.rows) == 2
        )
        for key, path, says in (("down", "one", "spawn 0"), ("down", "two", "spawn 1")):
            await pilot.press(key)
            await until(pilot, lambda path=path: screen.lower.log_view.pane.path == paths[path], path)
            assert says in screen.lower.log_view.status_text
        await pilot.press("up", "up")
        await until(pilot, lambda: screen.lower.log_view.pane.path == paths["job"], "the job's own")


async def test_the_log_on_the_whole_screen_follows_the_job_and_lists_all_keys(tmp_path: Path) -> None:
    for n in (1, 2):
        (tmp_path / f"{n}").write_text(f"attempt {n}\n")
    async with dashboard([FakeBatch(MAP, "map", "Ri")]) as (pilot, screen, gateway):
        gateway.log = {"stdout": (str(tmp_path / "1"),)}
        gateway.publish([gateway.change(MAP, 0, "R")])
        await until(
            pilot, lambda: screen.lower.log_view.pane.path == str(tmp_path / "1"), "the first attempt"
        )
        await pilot.press("enter", "plus")
        await until(pilot, lambda: isinstance(pilot.app.screen, LogScreen), "the whole screen")
        full = pilot.app.screen
        assert isinstance(full, LogScreen)
        gateway.log = {"stdout": (str(tmp_path / "1"), str(tmp_path / "2"))}
        gateway.publish([gateway.change(MAP, 0, "q")])
        await until(pilot, lambda: full.log_view.pane.path == str(tmp_path / "2"), "the second attempt")
        await pilot.press("question_mark")
        await until(pilot, lambda: isinstance(pilot.app.screen, HelpScreen), "the help")
        await pilot.press("escape", "escape")
        await until(pilot, lambda: pilot.app.screen is screen, "back")


async def test_the_tree_is_ordered_by_time_by_name_and_by_type() -> None:
    batches = [FakeBatch(n, f"{'ab'[n % 2]}/{n}", "i", batch_type="xy"[n // 2 % 2]) for n in range(4)]
    async with dashboard(batches) as (pilot, screen, _gateway):

        def order() -> list[int]:
            return [
                row.key.batch_id for row in screen.batches.batch_tree.outline.rows if row.key.kind == BATCH
            ]

        assert order() == [3, 2, 1, 0]
        await pilot.press("b", "t")
        assert order() == [2, 0, 3, 1]
        await pilot.press("t")
        assert order() == [1, 0, 3, 2]
        assert "by type" in line(screen, "tree-title")


async def test_density_columns_place_and_filters_are_there_again_the_next_time() -> None:
    async with dashboard() as (pilot, screen, _gateway):
        await pilot.press("c", "G", "slash", *"mouse", "enter", "escape")
        await until(pilot, lambda: screen.state.query is None and not screen.jobs.contents.loading)
        await pilot.press("G")
        memory = screen.session()
    assert memory.cursor == JobKey(MAP, 299)
    async with dashboard(session=memory) as (pilot, screen, _gateway):
        await until(pilot, lambda: screen.jobs.grid.cursor == JobKey(MAP, 299))
        assert screen.jobs.grid.density == "rows"
        await pilot.press("slash", "up")
        await until(pilot, lambda: screen.jobs.grid.board.total == 161)


async def test_rows_scroll_sideways_through_their_columns() -> None:
    async with dashboard(size=(80, 24)) as (pilot, screen, _gateway):
        await pilot.press("c")
        await until(pilot, lambda: "n12" in screen.jobs.grid.build_line(24, 79).text)
        before = line(screen, "ruler")
        await pilot.press(*["right"] * 9)
        await until(pilot, lambda: screen.jobs.grid.column == "reason")
        await until(pilot, lambda: line(screen, "ruler") != before)
        assert "JOB" in line(screen, "ruler")
        await pilot.press(*["left"] * 9)
        await until(pilot, lambda: line(screen, "ruler") == before)


async def test_rows_are_sorted_by_the_column_under_the_cursor_and_then_by_the_one_before() -> None:
    async with dashboard() as (pilot, screen, _gateway):
        await pilot.press("c", "O")
        await until(pilot, lambda: screen.jobs.grid.order is not None)
        await pilot.press("O")
        await until(pilot, lambda: screen.jobs.grid.sorting == (SortKey("index", down=True),))
        await pilot.press("right", "O")
        await until(pilot, lambda: "STATE▲1" in line(screen, "ruler") and "JOB▼2" in line(screen, "ruler"))
        await pilot.press("g")
        assert screen.jobs.grid.cursor == JobKey(MAP, 99)  # the last one that is complete
        await pilot.press("O", "O")
        await until(pilot, lambda: screen.jobs.grid.sorting == (SortKey("index", down=True),))


async def test_the_column_under_the_cursor_is_made_wider_and_narrower() -> None:
    async with dashboard() as (pilot, screen, _gateway):
        await pilot.press("c", "right", "greater_than_sign", "greater_than_sign", "less_than_sign")
        assert ColumnSetting("state", 2) in screen.jobs.grid.columns
        await pilot.press(*["less_than_sign"] * 20)
        await pilot.pause()
        assert "HOST" in line(screen, "ruler")


async def test_narrow_screens_fold_the_tree_into_a_line_and_open_it_on_a_key() -> None:
    async with dashboard(size=(80, 24)) as (pilot, screen, _):
        assert "human/genome_map  33%" in line(screen, "batch-line")
        assert "✗2" in line(screen, "batch-line")
        await pilot.press("b")
        assert screen.pane_layout.focused == "tree"
        assert screen.batches.batch_tree.region.width > 60
        await pilot.press("escape", "]")
        await until(pilot, lambda: "genome_reduce" in line(screen, "batch-line"))
        assert "waits for priority 2" in line(screen, "batch-line")


@pytest.mark.parametrize("size", [(40, 10), (20, 5), (80, 24), (109, 30), (110, 30), (300, 90)])
async def test_every_size_is_usable(size: tuple[int, int]) -> None:
    async with dashboard(size=size) as (pilot, screen, _):
        await pilot.press("down", "right", "space", "tab", "tab", "b", "escape", "i", "plus", "plus")
        assert screen.jobs.grid.cursor is not None


async def test_resizing_keeps_the_cursor_in_sight() -> None:
    batches = [FakeBatch(MAP, "big", "i" * 9000)]
    async with dashboard(batches) as (pilot, screen, _):
        await pilot.press("G")
        await pilot.resize_terminal(80, 24)
        await pilot.pause()
        await until(pilot, lambda: screen.has_class("-narrow"))
        assert 0 <= screen.jobs.grid.cursor_offset < screen.jobs.grid.size.height


async def test_zoom_and_details_come_and_go() -> None:
    async with dashboard() as (pilot, screen, _):
        await pilot.press("plus")
        assert screen.lower.log_view.region.height == 0
        await pilot.press("escape")
        assert screen.lower.log_view.region.height > 0
        await pilot.press("i")
        await until(pilot, lambda: screen.lower.details.region.height > 0)
        texts = [screen.lower.details.build_line(y, 100).text for y in range(60)]
        assert any("organism" in text and "human" in text for text in texts)
        assert any("init → submit" in text for text in texts)


async def test_the_log_opens_on_enter_and_escape_comes_back() -> None:
    async with dashboard() as (pilot, screen, _):
        await pilot.press("enter")
        assert screen.pane_layout.focused == "log"
        await pilot.press("escape")
        assert screen.pane_layout.focused == "grid"


async def test_the_key_line_follows_the_focus() -> None:
    async with dashboard() as (pilot, screen, _):
        assert "Space mark" in line(screen, "keys")
        await pilot.press("enter")
        await pilot.pause()
        assert "F follow" in line(screen, "keys")
        assert "r reset" not in line(screen, "keys")


async def test_help_lists_every_key_and_all_states() -> None:
    async with dashboard() as (pilot, screen, _):
        await pilot.press("question_mark")
        await pilot.pause()
        view = pilot.app.screen.query_one(TextView)
        shown = "\n".join(view.build_line(row, 160).text for row in range(view.virtual_size.height))
        for words in ("reset: back to init", "mark all missing", "next error or warning", "✗  missing"):
            assert words in shown
        await pilot.press("escape")
        assert pilot.app.screen is screen


async def test_every_key_of_the_tables_is_bound_and_its_action_exists() -> None:
    from paraschut_tui import keymap

    async with dashboard() as (pilot, screen, _):
        for table, owner in (
            (keymap.MAIN, screen),
            (keymap.GRID, screen.jobs.grid),
            (keymap.TREE, screen.batches.batch_tree),
        ):
            for key in table:
                name = key.action.removeprefix("app.").partition("(")[0]
                target = pilot.app if key.action.startswith("app.") else owner
                assert hasattr(target, f"action_{name}"), key


@pytest.mark.parametrize("theme", ["paraschut", "paraschut-light", "paraschut-16", "textual-dark", "nord"])
async def test_a_theme_is_taken_at_once(theme: str) -> None:
    async with dashboard() as (pilot, screen, _):
        pilot.app.theme = theme
        await pilot.pause()
        await pilot.press("down", "b", "i")
        assert screen.palette.styles


HOSTILE = [
    "[/x]",
    "[@click=app.quit]hi",
    "[red]",
    "\x1b]52;c;aGk=\x07",
    "\x1b[2J",
    "\x9b31m",
    "a\u202eb",
    "日本語" * 20,
    "e\u0301" * 30,
    "\ud800",
    "x" * 5000,
    "",
    "\n\r\t",
    "👩‍👩‍👧",
]


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.parametrize("size", [(160, 50), (80, 24)])
async def test_no_name_breaks_the_screen_or_reaches_the_terminal_raw(
    name: str, size: tuple[int, int]
) -> None:
    batch = FakeBatch(
        MAP, name, "iRxy!c", held_back=name, reason=name, custom={"x": name, "y": name + "2"}, batch_type=name
    )
    async with dashboard([batch], size) as (pilot, _screen, gateway):
        gateway.database = gateway.database._replace(path=f"/{name}", notice=name)
        gateway.scheduler = gateway.scheduler._replace(executor=name or "x", failing_since=NOW, error=name)
        gateway.publish()
        await pilot.press("right", "right", "b", "down", "right", "down", "t", "t", "escape", "i", "A", "r")
        await pilot.pause()
        await pilot.press("escape", "slash", "q", "escape", "question_mark")
        await pilot.pause()
        text = screen_text(pilot.app)
        for bad in "\x1b\x9b\x07\u202e\ud800":
            assert bad not in text
