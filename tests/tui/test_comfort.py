"""What makes the dashboard comfortable: palette, help, sizes of panes, themes, other databases, a welcome."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path

import pytest
from rich.color import Color
from textual.events import MouseMove
from textual.filter import dim_color
from textual.pilot import Pilot

from paraschut_core.cli import main
from paraschut_tui import keymap
from paraschut_tui.app import ParaschutApp
from paraschut_tui.dashboard.screen import MainScreen
from paraschut_tui.dialogs.command_palette import CommandPaletteScreen
from paraschut_tui.dialogs.help import HelpScreen
from paraschut_tui.session.store import SessionStore
from paraschut_tui.state_styles import Palette, themes
from paraschut_tui.welcome import DEMO, INIT, OPEN, WelcomeApp, WelcomeChoice
from paraschut_tui.widgets.text_line import TextLine
from paraschut_tui.widgets.text_view import TextView
from tests.terminal.screen import Terminal, paraschut
from tests.tui.textual_internals import drag, screen_text, toasts

from .fake import MAP, MOUSE, FakeBatch, dashboard, world
from .project import add_batch, main_screen, make_project, until

# ------------------------------------------------------------------------------------ palette


async def palette(pilot: Pilot[None]) -> CommandPaletteScreen:
    await pilot.press("colon")
    await until(pilot, lambda: isinstance(pilot.app.screen, CommandPaletteScreen))
    screen = pilot.app.screen
    assert isinstance(screen, CommandPaletteScreen)
    return screen


async def test_the_palette_knows_every_action_batch_and_theme() -> None:
    async with dashboard() as (pilot, _screen, _gateway):
        texts = {entry.text for entry in (await palette(pilot))._all}
        helps = [key.help for key in (*keymap.MAIN, *keymap.GRID, *keymap.TREE) if key not in keymap.MOVE]
        helps += [key.help for key in keymap.LOG]
        for words in helps:
            assert not words or f"{words[0].upper()}{words[1:]}" in texts or words == keys_of_palette()
        assert {"Batch: human/genome_map", "Theme: paraschut-contrast", "Overview: last hour"} <= texts


def keys_of_palette() -> str:
    return next(key.help for key in keymap.MAIN if key.action == "palette")


@pytest.mark.parametrize(
    ("typed", "happens"),
    [
        (
            "mouse",
            lambda screen: screen.jobs.grid.cursor is not None and screen.jobs.grid.cursor.batch_id == MOUSE,
        ),
        ("theme contrast", lambda screen: screen.app.theme == "paraschut-contrast"),
        ("mark all missing", lambda screen: len(screen.jobs.marks) == 2),
        ("cells or rows", lambda screen: screen.jobs.grid.density == "rows"),
        ("all about the job", lambda screen: screen.lower.shows_details),
    ],
)
async def test_some_letters_and_enter_do_it(typed: str, happens: object) -> None:
    async with dashboard() as (pilot, screen, _gateway):
        await palette(pilot)
        await pilot.press(*("space" if c == " " else c for c in typed), "enter")
        await until(pilot, lambda: happens(screen))  # type: ignore[operator]  # a predicate


@pytest.mark.parametrize(
    ("typed", "first"),
    [
        ("quit", "q"),
        ("exit", "q"),
        ("cancel", "d"),
        ("kill", "d"),
        ("retry", "s"),
        ("failed", "M"),
        ("resbmit", "s"),
        ("hold", ""),
        ("xyzzy", ""),
    ],
)
async def test_the_palette_knows_other_words_and_no_letters_scattered_over_a_sentence(
    typed: str, first: str
) -> None:
    async with dashboard() as (pilot, _screen, _gateway):
        shown = await palette(pilot)
        await pilot.press(*typed)
        await until(pilot, lambda: (shown.found[0].key if shown.found else "") == first)


async def test_what_destroys_is_never_the_first_of_several_near_misses() -> None:
    async with dashboard() as (pilot, _screen, _gateway):
        shown = await palette(pilot)
        await pilot.press(*"delte")
        await until(pilot, lambda: bool(shown.found))
        kinds = [command.destroys for command in shown.found]
        assert kinds == sorted(kinds)
        assert any(kinds)


async def test_hostile_names_are_shown_and_found_in_the_palette() -> None:
    batches = [FakeBatch(MAP, "[/b]\x1b]0;x\x07evil[@click=app.quit]", "ccc"), *world()[1:]]
    async with dashboard(batches) as (pilot, screen, _gateway):
        shown = await palette(pilot)
        await pilot.press(*"evil")
        await until(pilot, lambda: "evil" in shown.found[0].text)
        text = screen_text(pilot.app)
        assert "[/b]" in text
        assert "\x1b" not in text
        await pilot.press("enter")
        await until(pilot, lambda: pilot.app.screen is screen)


async def test_in_read_only_mode_the_palette_offers_nothing_that_changes_jobs() -> None:
    async with dashboard(read_only=True) as (pilot, _screen, _gateway):
        texts = {entry.text for entry in (await palette(pilot))._all}
        assert "Resubmit: reset and submit" not in texts
        assert "Filter" in texts


# ------------------------------------------------------------------------------------ help


@pytest.mark.parametrize(
    ("before", "first", "words"),
    [
        ([], "jobs", "mark all missing"),
        (["b"], "batches", "by time, by name, by type"),
        (["tab"], "log", "next error or warning"),
        (["V"], "overview", "the last hour"),
    ],
)
async def test_the_help_begins_with_all_keys_of_the_focused_pane(
    before: list[str], first: str, words: str
) -> None:
    async with dashboard() as (pilot, _screen, _gateway):
        await pilot.press(*before)
        await pilot.pause(0.2)
        await pilot.press("question_mark")
        await until(pilot, lambda: isinstance(pilot.app.screen, HelpScreen))
        lines = ["".join(text for text, _ in line) for line in pilot.app.screen.query_one(TextView)._lines]
        assert f"focused pane: {first}" in lines[0]
        section = lines[2 : lines.index("", 2)]
        assert section[0] == first
        assert any(words in line for line in section)


# ------------------------------------------------------------------------------------ sizes


def sizes(screen: MainScreen) -> tuple[int, int]:
    return screen.query_one("#left").size.width, screen.query_one("#upper").size.height


async def test_borders_move_by_key_and_by_mouse_and_stay_for_the_next_time() -> None:
    async with dashboard() as (pilot, screen, _gateway):
        left, upper = sizes(screen)
        await pilot.press(">", ">", ")")
        await pilot.pause()
        assert sizes(screen) == (left + 8, upper + 2)
        await pilot.press("tab", ")", "<")
        await pilot.pause()
        assert sizes(screen) == (left + 4, upper)
        border = screen.query_one("#upper").region.bottom
        await pilot.mouse_down(offset=(100, border))
        await drag(pilot, MouseMove, (100, border - 6))
        await pilot.mouse_up(offset=(100, border - 6))
        await pilot.pause()
        assert sizes(screen)[1] == upper - 6
        await pilot.mouse_down(offset=(left + 4, 4))
        await drag(pilot, MouseMove, (60, 4))
        await pilot.mouse_up(offset=(60, 4))
        await pilot.pause()
        assert sizes(screen)[0] == 60
        moved = sizes(screen)
        memory = screen.session()
    async with dashboard(session=memory) as (pilot, screen, _gateway):
        await pilot.pause()
        assert sizes(screen) == moved
        await pilot.resize_terminal(80, 24)
        await pilot.pause()
        assert 5 <= sizes(screen)[1] <= 17


@pytest.mark.parametrize("key", ["<", ">", "(", ")"])
async def test_no_pane_can_be_made_too_small_to_be_used(key: str) -> None:
    async with dashboard() as (pilot, screen, _gateway):
        await pilot.press(*[key] * 40)
        await pilot.pause()
        left, upper = sizes(screen)
        assert 24 <= left <= 110
        assert 5 <= upper <= 43


# ------------------------------------------------------------------------------------ themes


def luminance(colour: Color) -> float:
    """Relative luminance as WCAG 2 defines it."""
    linear = [
        v / 255 / 12.92 if v / 255 <= 0.04045 else ((v / 255 + 0.055) / 1.055) ** 2.4
        for v in colour.get_truecolor()
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: Color, other: Color) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize(
    "theme", [theme for theme in themes() if not theme.ansi], ids=lambda theme: str(theme.name)
)
def test_every_text_is_told_from_its_background(theme: object) -> None:
    palette = Palette(theme)  # type: ignore[arg-type]  # a Theme
    high = "contrast" in theme.name  # type: ignore[attr-defined]
    base = palette["base"].bgcolor
    assert base is not None
    for role, style in palette.styles.items():
        front, back = style.color or palette["text"].color, style.bgcolor or base
        assert front is not None
        if style.dim:
            front = dim_color(back, front)
        least = 7.0 if high else 3.0 if style.dim else 4.5
        if role == "line":  # bars and borders, which say nothing alone
            least = 3.0 if high else 1.5
        assert contrast(front, back) >= least, (role, contrast(front, back))


def test_sixteen_colours_are_the_terminals_own() -> None:
    theme = next(theme for theme in themes() if theme.ansi)
    for role, style in Palette(theme).styles.items():
        for colour in (style.color, style.bgcolor):
            assert colour is None or colour.is_default or (colour.number or 0) < 16, role


# ------------------------------------------------------------------------------------ databases


async def test_another_database_is_opened_and_the_way_back_is_in_the_list(tmp_path: Path) -> None:
    shelf = SessionStore(str(tmp_path / "state"))
    made = []
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        settings = make_project(folder)
        add_batch(settings, f"{name}/map", ["true"] * 5)
        made.append(settings)
        shelf.remember(settings.database, "", main_memory())
    app = ParaschutApp(made[0], session_store=shelf)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(
            pilot, lambda: bool(main_screen(app).state.snapshot and main_screen(app).state.snapshot.batches)
        )
        for name, other in (("two", made[1]), ("one", made[0])):
            await pilot.press("ctrl+o")
            await until(pilot, lambda: isinstance(app.screen, CommandPaletteScreen))
            await pilot.press(*name, "enter")
            await until(pilot, lambda: app.settings.database == other.database)  # noqa: B023 - awaited here
            await until(
                pilot, lambda: isinstance(app.screen, MainScreen) and app.screen.state.snapshot is not None
            )
            await until(pilot, partial(shows, app, f"{name}/map"))
            assert len(app.screen_stack) == 1
        app.open_database(str(tmp_path / "nowhere.db"), "")
        await until(pilot, lambda: any("There is no database" in text for text in toasts(app)))
        assert app.settings.database == made[0].database
    app.close()


def shows(app: ParaschutApp, words: str) -> bool:
    """Whether the title of the jobs says so."""
    return any(words in line.text for line in app.screen.query("#grid-title").results(TextLine))


def main_memory() -> object:
    from paraschut_tui.session.session_state import SessionState

    return SessionState()


# ------------------------------------------------------------------------------------ the first time


def test_without_a_project_it_is_said_plainly_where_there_is_no_terminal(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    clean_environment: None,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([]) == 2
    said = capsys.readouterr().err
    for words in ("paraschut init", "paraschut demo", "--db"):
        assert words in said
    assert main(["--db", "nowhere.db"]) == 1
    said = capsys.readouterr().err
    assert "There is no database" in said
    assert "paraschut demo" in said


@pytest.mark.parametrize(
    ("key", "choice"),
    [
        ("d", WelcomeChoice(DEMO)),
        ("enter", WelcomeChoice(DEMO)),
        ("i", WelcomeChoice(INIT)),
        ("G,enter", WelcomeChoice(OPEN, "/x/[/b]jobs.db", "/x/paraschut.toml")),
        ("q", WelcomeChoice()),
        ("escape", WelcomeChoice()),
    ],
)
async def test_the_welcome_offers_the_demo_a_project_and_the_latest_databases(
    key: str, choice: WelcomeChoice
) -> None:
    from paraschut_tui.session.store import RecentDatabase

    app = WelcomeApp(
        "No paraschut.toml here.", [RecentDatabase("/x/[/b]jobs.db", "/x/paraschut.toml", time.time())]
    )
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        await pilot.press(*key.split(","))
        await pilot.pause()
    assert app.return_value == choice


def test_in_a_terminal_the_first_run_makes_a_project_on_one_key(tmp_path: Path) -> None:
    with Terminal(
        paraschut(), size=(80, 24), cwd=tmp_path, env={"XDG_STATE_HOME": str(tmp_path / "s")}
    ) as shown:
        shown.wait("the demo")
        assert "paraschut.toml" in shown.text
        shown.press("i")
        shown.wait("No batches yet")
        assert (tmp_path / "paraschut.toml").exists()
        shown.press("q")
        assert shown.wait_end() == 0


def test_it_opens_on_a_filter_and_on_a_batch_from_the_command_line(tmp_path: Path) -> None:
    settings = make_project(tmp_path)
    first = add_batch(settings, "human/map", ["true"] * 30)
    add_batch(settings, "human/reduce", ["true"] * 3)
    state = {"XDG_STATE_HOME": str(tmp_path / "s")}
    with Terminal(
        paraschut("--db", settings.database, "--filter", "index:>1"), cwd=tmp_path, env=state
    ) as shown:
        shown.wait("29 matches of 33")
    with Terminal(
        paraschut("--db", settings.database, "--batch", str(first)), cwd=tmp_path, env=state
    ) as shown:
        shown.wait("human/map  ")
        shown.wait(lambda text: f"{first}  30 jobs" in text)
