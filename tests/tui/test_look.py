"""Glyphs, letters, colours and short texts."""

from __future__ import annotations

import pytest
from wcwidth import wcswidth

from paraschut_core.model import ENDING, HELD, QUEUED, RUNNING, LiveJob
from paraschut_tui import formatting, state_styles
from paraschut_tui.state_styles import KNOWN, Palette, StateStyles, themes

OTHER_GLYPHS = "▾▸◂▰▱…·✗"


@pytest.mark.parametrize("letters", [False, True])
def test_every_glyph_is_one_column_wide(letters: bool) -> None:
    looks = StateStyles(letters)
    for state in ("weird", "日本", "́combining", "", "\x1b[31m", "[/x]"):
        looks.code(state)
    for code in range(len(looks.looks)):
        assert wcswidth(looks.glyph(code)) == 1, looks.looks[code]


def test_the_other_signs_are_one_column_wide() -> None:
    assert wcswidth(OTHER_GLYPHS) == len(OTHER_GLYPHS)


def test_glyphs_and_letters_tell_the_known_states_apart() -> None:
    assert len({one.glyph for one in KNOWN}) == len({one.letter for one in KNOWN}) == len(KNOWN)


def test_only_what_needs_a_person_is_red() -> None:
    assert [one.label for one in KNOWN if one.role == "error"] == ["missing"]


def test_a_state_keeps_its_code_and_colour() -> None:
    one, two = StateStyles(), StateStyles()
    two.code("something else")
    assert one.code("checked") == one.code("checked")
    assert one.looks[one.code("checked")] == two.looks[two.code("checked")]


def test_more_states_than_there_are_bytes_share_the_last_look() -> None:
    looks = StateStyles()
    codes = {looks.code(f"state {n}") for n in range(1000)}
    assert max(codes) < state_styles.HOLE


@pytest.mark.parametrize(
    ("state", "live", "missing", "expected"),
    [
        ("run", None, False, state_styles.L_UNCONFIRMED),
        ("run", RUNNING, False, state_styles.L_RUN),
        ("run", ENDING, False, state_styles.L_RUN),
        ("run", QUEUED, False, state_styles.L_UNCONFIRMED),
        ("run", None, True, state_styles.L_MISSING),
        ("submit", QUEUED, False, state_styles.L_QUEUED),
        ("submit", HELD, False, state_styles.L_HELD),
        ("spawn", RUNNING, False, state_styles.L_SPAWN),
        ("complete", None, False, state_styles.L_COMPLETE),
    ],
)
def test_the_look_says_what_database_and_scheduler_say(
    state: str, live: str | None, missing: bool, expected: int
) -> None:
    looks = StateStyles()
    assert looks.of(looks.code(state), LiveJob("1", live) if live else None, missing) == expected


@pytest.mark.parametrize("theme", themes(), ids=lambda theme: theme.name)
def test_every_theme_has_a_style_for_every_look(theme: object) -> None:
    palette = Palette(theme)  # type: ignore[arg-type]  # the parameters are Themes
    looks = StateStyles()
    for n in range(20):
        looks.code(f"state {n}")
    for one in looks.looks:
        assert palette[one.role].color is not None


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (59, "59s"),
        (60, "1m"),
        (3599, "59m"),
        (12000, "3h20"),
        (86400, "1d"),
        (93600, "1d2h"),
        (2e6, "23d"),
    ],
)
def test_durations_are_short(seconds: float, text: str) -> None:
    assert formatting.duration(seconds) == text


def test_an_age_that_is_usual_is_told_by_its_bound_so_that_the_text_stays() -> None:
    assert {formatting.within(age, 20) for age in range(20)} == {"<20s"}


def test_an_age_beyond_the_usual_changes_seldom() -> None:
    texts = [formatting.within(age, 20) for age in range(60, 600)]
    assert len(set(texts)) == 9
    assert texts[0] == "1m"


@pytest.mark.parametrize(
    ("part", "whole", "text"), [(0, 9, "0%"), (1, 9999, "1%"), (9998, 9999, "99%"), (9, 9, "100%")]
)
def test_only_all_is_100_percent_and_only_nothing_0(part: int, whole: int, text: str) -> None:
    assert formatting.percent(part, whole) == text


@pytest.mark.parametrize("part", range(0, 1001, 7))
def test_a_bar_is_full_only_at_the_end(part: int) -> None:
    full, empty = formatting.bar(part, 1000, 10)
    assert len(full) + len(empty) == 10
    assert (not full) == (part == 0)
    assert (not empty) == (part == 1000)
