"""The overview: its curves are its numbers, its lines lead to their jobs, and it reads only what is new."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from paraschut_core.filtering.language import parse
from paraschut_core.model import JobKey
from paraschut_core.project import Project
from paraschut_core.reporting.statistics import Forecast, HistoryAggregator
from paraschut_tui.app import ParaschutApp
from paraschut_tui.overview import model, plots
from paraschut_tui.overview.screen import OverviewScreen
from paraschut_tui.state_styles import StateStyles
from paraschut_tui.widgets.select_list import SelectList
from paraschut_tui.widgets.styled_line import Part
from paraschut_tui.widgets.text_line import TextLine
from paraschut_tui.widgets.text_view import TextView

from .fake import MAP, MOUSE, REDUCE, dashboard, made_up_summary
from .project import add_batch, main_screen, make_project, until

BLOCKS = dict(zip(" ▖▗▄▘▌▚▙▝▞▐▟▀▛▜█", range(16), strict=True))
"""Quarters of a cell: 1 and 2 the lower ones, left and right; 4 and 8 the upper ones."""


def heights(lines: list[list[Part]]) -> list[int]:
    """The height of what is filled, in half lines, of each half column right of the axis."""
    whole = ["".join(text for text, _ in line) for line in lines[:-2]]
    rows = [row[whole[0].index("┤") + 1 :] for row in whole]
    found = []
    for column in range(len(rows[0])):
        cells = [BLOCKS.get(row[column], 0) for row in reversed(rows)]
        for lower, upper in ((1, 4), (2, 8)):
            found.append(sum(bool(cell & lower) + bool(cell & upper) for cell in cells))
    return found


@given(st.lists(st.integers(0, 50), min_size=10, max_size=10))
def test_the_curve_is_as_high_as_its_numbers(values: list[int]) -> None:
    lines = plots.draw(
        [plots.Curve([float(v) for v in values], "success", filled=True)], 63, 22, [(0, "begin")]
    )
    filled = heights(lines)
    top = plots.nice(max(values))
    steps = (len(filled) - 1) / (len(values) - 1)
    for at, value in enumerate(values):
        place = round(at * steps)
        drawn = max(filled[max(place - 2, 0) : place + 3])
        if value:
            assert drawn >= value / top * 38 - 3
        near = values[max(at - 1, 0) : at + 2]
        if not any(near):
            assert drawn == 0


@given(
    st.lists(st.lists(st.floats(0, 1e7), max_size=200), min_size=1, max_size=3),
    st.integers(21, 200),
    st.integers(3, 40),
)
def test_a_plot_has_exactly_the_lines_and_columns_that_there_are(
    curves: list[list[float]], width: int, height: int
) -> None:
    lines = plots.draw([plots.Curve(values, "accent") for values in curves], width, height, [(0, "now")])
    assert len(lines) <= height
    assert {sum(cell_len(text) for text, _ in line) for line in lines} == {width}
    assert {role for line in lines for _, role in line} <= {"accent", "muted", "base", "line"}


def test_the_numbers_on_the_screen_are_those_of_the_history() -> None:
    summary = made_up_summary("1h", None, [1])
    assert model.spread(summary, "completed") == [float(point.completed) for point in summary.points]
    part = summary._replace(points=summary.points[-10:])
    assert model.spread(part, "running") == [0.0] * 50 + [float(point.running) for point in part.points]
    named = model.ticks(summary, 80)
    assert named[-1] == (59, "now")
    assert len({text for _, text in named}) == len(named)


@pytest.mark.parametrize("host", ["n12", "odd host", "o'hara", 'a"b'])
def test_a_host_leads_to_the_jobs_of_exactly_that_host(host: str) -> None:
    condition = parse(model.host_filter(host, None)).condition
    assert f"hostname = '{host.replace(chr(39), chr(39) * 2)}'" in condition


def words(parts: Sequence[Part]) -> str:
    return "".join(text for text, _ in parts)


def test_what_is_lost_is_neither_said_to_run_nor_to_be_done_soon() -> None:
    summary = made_up_summary("1h", None, [MAP])
    assert "missing" not in words(model.load_title(summary))
    assert words(model.load_title(summary._replace(lost=3))).endswith("  3 of them missing")
    stuck = Forecast(MAP, "human/map", 97, 100, 14.2, None, lost=3)
    soon = stuck._replace(total=120, seconds=85.0)
    told = model.lists(
        summary._replace(forecasts=(stuck, soon)),
        {},
        {MAP: "3 missing hold back the next group"},
        StateStyles(),
    )
    assert [words(entry.parts).split(maxsplit=1) for entry in told.forecasts] == [
        ["?", "97%  human/map  3 missing"],
        ["~1m", "80%  human/map  3 missing  14/min"],
    ]


@given(st.text(min_size=1))
def test_any_reason_makes_a_filter(reason: str) -> None:
    assert parse(model.reason_filter(reason)).condition


# ------------------------------------------------------------------------------------ the screen


def shown(screen: OverviewScreen, name: str) -> str:
    widget = screen.query_one(f"#{name}")
    if isinstance(widget, TextLine):
        return widget.text
    assert isinstance(widget, (SelectList, TextView))
    return "\n".join(widget.build_line(y, widget.size.width).text for y in range(widget.size.height))


@pytest.mark.parametrize(
    ("keys", "filter_text", "cursor"),
    [
        (["enter"], 'reason:"time limit"', None),
        (["down", "enter"], 'reason:"out of memory"', None),
        (["a", "enter"], f'reason:"time limit" batch:{MAP}', None),
        (["l", "down", "enter"], "", JobKey(MAP, 25)),
        (["tab", "tab", "enter"], "host:=n12 reason:*", None),
        (["shift+tab", "down", "enter"], "", JobKey(REDUCE, 0)),
        (["j", "escape"], "", JobKey(MAP, 24)),
        (["V"], "", JobKey(MAP, 24)),
    ],
)
async def test_every_line_leads_to_its_jobs(keys: list[str], filter_text: str, cursor: JobKey | None) -> None:
    async with dashboard() as (pilot, screen, _gateway):
        await pilot.press("V")
        await until(pilot, lambda: isinstance(pilot.app.screen, OverviewScreen))
        await until(pilot, lambda: "time limit" in shown(pilot.app.screen, "reasons"))  # type: ignore[arg-type]
        await pilot.press(*keys)
        await until(pilot, lambda: pilot.app.screen is screen and not screen.jobs.contents.loading)
        assert (screen.state.query.text if screen.state.query else "") == filter_text
        if cursor is not None:
            await until(pilot, lambda: screen.jobs.grid.cursor == cursor)


async def test_windows_and_batches_are_chosen_by_key_and_the_window_is_remembered() -> None:
    async with dashboard() as (pilot, screen, gateway):
        await pilot.press("V")
        await until(pilot, lambda: isinstance(pilot.app.screen, OverviewScreen))
        await pilot.press("1", "w", "4", "a", "]", "[", "a")
        assert gateway.asked == [
            ("1d", None), ("1h", None), ("6h", None), ("all", None), ("all", MAP), ("all", REDUCE),
            ("all", MAP), ("all", None),
        ]  # fmt: skip
        await pilot.press("q")
        await until(pilot, lambda: pilot.app.screen is screen)
        assert screen.session().window == "all"
        await pilot.press("V")
        await until(pilot, lambda: gateway.asked[-1] == ("all", None))


async def test_what_happens_meanwhile_is_read_soon_and_nothing_if_nothing_happens() -> None:
    async with dashboard() as (pilot, _screen, gateway):
        await pilot.press("V")
        await until(pilot, lambda: isinstance(pilot.app.screen, OverviewScreen))
        await pilot.pause(1.5)
        assert gateway.asked == [("1d", None)]
        gateway.publish([gateway.change(MOUSE, 160, "c")])
        await until(pilot, lambda: gateway.asked[-1] == ("on", None))


async def test_an_error_is_told_and_the_numbers_come_once_they_can_be_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("paraschut_tui.overview.screen.AGAIN", 0.0)
    async with dashboard() as (pilot, _screen, gateway):
        gateway.survey_error = "the file is locked"
        await pilot.press("V")
        await until(pilot, lambda: isinstance(pilot.app.screen, OverviewScreen))
        screen = pilot.app.screen
        assert isinstance(screen, OverviewScreen)
        await until(pilot, lambda: "the file is locked" in shown(screen, "overview-title"))
        assert "why attempts failed" in shown(screen, "reasons-title")
        gateway.survey_error = ""
        await until(pilot, lambda: "time limit" in shown(screen, "reasons"))
        assert "locked" not in shown(screen, "overview-title")


async def test_it_shows_a_real_history(tmp_path: Path) -> None:
    settings = make_project(tmp_path)
    batch = add_batch(settings, "human/map", ["true", "exit 3", "true", "exit 3", "exit 4"])
    app = ParaschutApp(settings)
    async with app.run_test(size=(100, 30)) as pilot:
        await until(pilot, lambda: main_screen(app).state.snapshot is not None)
        await pilot.press("V", "1")
        await until(pilot, lambda: isinstance(app.screen, OverviewScreen))
        screen = app.screen
        assert isinstance(screen, OverviewScreen)
        from paraschut_core.scheduling.submission import submit_next

        with Project(settings) as ws:
            submit_next(ws)
        await until(pilot, lambda: screen.summary is not None and screen.summary.failed == 5)
        with Project(settings) as ws:
            known = HistoryAggregator(ws.reader, "1h").read()
        assert "5 failed" in shown(screen, "overview-title")
        assert screen.summary is not None
        assert screen.summary.reasons == known.reasons
        lines = shown(screen, "reasons").splitlines()
        assert ["2" in lines[at] for at in range(3)] == [True, True, False]
        assert "exit status 4" in lines[2]
        assert "human/map" in shown(screen, "forecasts")
        await pilot.press("G", "enter")
        main = main_screen(app)
        await until(pilot, lambda: app.screen is main and main.jobs.grid.board.total == 1)
        assert main.jobs.grid.cursor == JobKey(batch, 4)
    app.close()
