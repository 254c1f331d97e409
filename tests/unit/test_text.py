"""The sanitiser: nothing leaves it that a terminal would act upon."""

from __future__ import annotations

import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paraschut_core.sanitize import clean, clean_line, plural

ANY = st.text(st.characters(exclude_categories=[]))  # lone surrogates included

# Control, surrogate, format characters, line and paragraph separators.
UNSAFE = frozenset({"Cc", "Cs", "Cf", "Zl", "Zp"})


def test_no_code_point_that_acts_leaves_but_tab_and_newline() -> None:
    every = "".join(map(chr, range(sys.maxunicode + 1)))
    left = {c for c in clean(every) if unicodedata.category(c) in UNSAFE}
    assert left == {"\t", "\n"}


@given(ANY)
def test_nothing_but_printable_text_tabs_and_newlines_leaves(text: str) -> None:
    cleaned = clean(text)
    assert all(unicodedata.category(c) not in UNSAFE or c in "\t\n" for c in cleaned)
    assert len(cleaned) == len(text), "each character stays one character"
    cleaned.encode("utf-8")


@given(ANY)
def test_cleaning_twice_is_cleaning_once(text: str) -> None:
    assert clean(clean(text)) == clean(text)


# Plane 14 is invisible: letters of tags, and selectors of variants, in both of which text can be hidden.
@given(
    st.text(
        st.characters(exclude_categories=["Cc", "Cs", "Cf", "Cn", "Zl", "Zp"]).filter(
            lambda character: not "\U000e0000" <= character <= "\U000e0fff"
        )
    )
)
def test_ordinary_text_of_any_script_stays_as_it_is(text: str) -> None:
    assert clean(text) == text


@given(ANY, st.one_of(st.none(), st.integers(0, 40)))
def test_a_line_is_one_line_of_at_most_its_limit(text: str, limit: int | None) -> None:
    line = clean_line(text, limit)
    assert not set(line) & {"\t", "\n"}
    if limit is not None:
        assert len(line) <= max(limit, 1)
        assert line == clean_line(text) or line.endswith("…")


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("\x1b[31mred\x1b[0m", "␛[31mred␛[0m"),
        ("a\x00b\x7f", "a␀b␡"),
        ("\x9b2J", "\ufffd2J"),
        ("bell\x07\r\n", "bell␇␍\n"),
        ("\u202eevil\u202c", "\ufffdevil\ufffd"),
        ("\ud800", "\ufffd"),
        ("naïve Ω 日本 ✓", "naïve Ω 日本 ✓"),
    ],
)
def test_what_is_replaced_can_be_recognised(text: str, cleaned: str) -> None:
    assert clean(text) == cleaned


def test_anything_can_be_shown() -> None:
    assert clean(None) == "None"
    assert clean_line(ValueError("a\nb")) == "a b"


def test_a_number_goes_with_its_noun() -> None:
    assert [plural(n, "job") for n in (0, 1, 2, 1200)] == ["0 jobs", "1 job", "2 jobs", "1,200 jobs"]
    assert [plural(n, "batch", "batches") for n in (1, 2)] == ["1 batch", "2 batches"]
