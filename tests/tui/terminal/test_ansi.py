"""Colours of logs are kept; nothing else of what a terminal acts upon gets through."""

from __future__ import annotations

import itertools
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.color import Color
from rich.style import Style
from wcwidth import wcwidth

from paraschut_core.logs import strip_escapes
from paraschut_core.sanitize import clean, steady
from paraschut_tui.job_log.render import wrap_points
from paraschut_tui.terminal.ansi import AnsiSpan, parse

_SEEDS = st.sampled_from(
    [
        *(
            "\x1b[",
            "\x1b]0;",
            "\x1bP",
            "\x1b",
            "\x9b",
            "\x9d",
            "\x90",
            "\x07",
            "\x1b\\",
            "\x9c",
            "\r",
            "\t",
            "\n",
        ),
        *("31m", "0m", "38;5;9m", "38;2;1;2;3m", "48:2::1:2:3m", ";;;m", "999999999m", "2J", "?25l", "1;1H"),
        *(
            "\u202e",
            "\u2066",
            "\u200b",
            "\ufeff",
            "\ud800",
            "\u0301",
            "漢",
            "👍",
            "\U000e0041",
            "\x00",
            "\x7f",
        ),
    ]
)
_DIRTY = st.lists(st.one_of(_SEEDS, st.text(max_size=4)), max_size=40).map("".join)


@given(_DIRTY)
def test_nothing_but_printable_text_comes_out(text: str) -> None:
    styled = parse(text)
    for character in styled.text:
        assert unicodedata.category(character) not in ("Cc", "Cs", "Zl", "Zp"), repr(character)
        assert unicodedata.bidirectional(character) not in ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI")
    assert not styled.text or styled.text.encode("utf-8")


@given(_DIRTY)
def test_spans_lie_in_the_text_in_order_without_overlap(text: str) -> None:
    styled = parse(text)
    end = 0
    for span in styled.spans:
        assert end <= span.start < span.end <= len(styled.text)
        end = span.end


@given(_DIRTY)
def test_what_is_shown_is_what_is_searched(text: str) -> None:
    text = text.replace("\t", "")
    assert parse(text).text == steady(clean(strip_escapes(text)).replace("\n", " "))


def test_characters_whose_width_terminals_dispute_are_told_without_it() -> None:
    assert (
        parse("🇩🇪 ❤\ufe0f 👍🏽 e" + "\u0301" * 50 + " \U0001fbff").text
        == "DE ❤ 👍 e" + "\u0301" * 8 + " \ufffd"
    )


@given(st.text())
def test_every_character_takes_as_many_columns_as_a_terminal_gives_it(text: str) -> None:
    for character in parse(text).text:
        assert cell_len(character) == wcwidth(character), hex(ord(character))


@given(st.text(alphabet="ab漢e\u0301👍 ", max_size=60), st.integers(min_value=1, max_value=12))
def test_wrapped_lines_fit_and_keep_every_character(text: str, width: int) -> None:
    points = [*wrap_points(text, width), len(text)]
    lines = [text[start:end] for start, end in itertools.pairwise(points)]
    assert "".join(lines) == text
    for line in lines:
        assert cell_len(line) <= max(width, 2)
        assert not line.startswith("\u0301") or line == text[: len(line)]


def test_colours_become_styles() -> None:
    styled = parse("a\x1b[31;1mred\x1b[0m b")
    assert styled.text == "ared b"
    assert styled.spans == (AnsiSpan(1, 4, Style(color=Color.from_ansi(1), bold=True)),)


@pytest.mark.parametrize(
    ("codes", "style"),
    [
        ("38;5;208", Style(color=Color.from_ansi(208))),
        ("38;2;10;20;30", Style(color=Color.from_rgb(10, 20, 30))),
        ("38:2::10:20:30", Style(color=Color.from_rgb(10, 20, 30))),
        ("48:5:7", Style(bgcolor=Color.from_ansi(7))),
        ("97;104", Style(color=Color.from_ansi(15), bgcolor=Color.from_ansi(12))),
        ("1;2;3;4;7;9", Style(bold=True, dim=True, italic=True, underline=True, reverse=True, strike=True)),
        ("31;39;4", Style(underline=True)),
        ("38;5;300;4", Style(underline=True)),
        ("1;22;9", Style(strike=True)),
    ],
)
def test_every_way_to_name_a_colour_is_understood(codes: str, style: Style) -> None:
    assert parse(f"\x1b[{codes}mx").spans == (AnsiSpan(0, 1, style),)


@pytest.mark.parametrize("codes", ["5", "6", "8", "0", "", "31;0", "1;22", "38;5", "38;2;1", "77", "abc"])
def test_blinking_concealing_and_nonsense_change_nothing(codes: str) -> None:
    assert parse(f"\x1b[{codes}mx").spans == ()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b]0;title\x07x", "x"),
        ("\x1b]52;c;ZXZpbA==\x1b\\x", "x"),
        ("\x1b]8;;http://e\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1bPq#0\x1b\\x", "x"),
        ("\x1b[2J\x1b[1;1H\x1b[?25lx", "x"),
        ("\x1b(Bx\x1b=y\x1bcz", "xyz"),
        ("\u009b31mx", "x"),
        ("x\x1b[38;5", "x"),
        ("\x1b]0;never ended", "0;never ended"),
        ("a\x00b\x07c\x7f", "a␀b␇c␡"),
        ("pdf\u202efdp", "pdf\ufffdfdp"),
    ],
)
def test_other_sequences_and_controls_are_dropped_or_made_visible(text: str, shown: str) -> None:
    assert parse(text).text == shown


def test_a_lone_escape_is_visible() -> None:
    assert parse("x\x1b").text == "x␛"


def test_tabs_lead_to_columns_of_eight_cells() -> None:
    assert parse("a\tb\t漢\tc").text == "a       b       漢      c"
    assert parse("\x1b[1mab\x1b[0m\tc").text == "ab      c"
