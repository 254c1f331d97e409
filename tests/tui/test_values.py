"""Metadata values as text and back: of any type, hostile, huge, in bounded time."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paraschut_core.errors import UsageError
from paraschut_core.sanitize import clean_line
from paraschut_tui.job_details.value_format import (
    PAGE,
    as_typed,
    has_inside,
    inside,
    read_typed,
    replaced,
    shown,
)

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(values)
def test_any_value_is_one_clean_line_of_bounded_length(value: object) -> None:
    text, kind, _ = shown(value)
    for part in (text, kind):
        assert part == clean_line(part)
        assert "\n" not in part and len(part) <= 200


@given(values)
def test_what_is_inside_is_reached_by_its_path(value: object) -> None:
    assert bool(inside(value, ())) or not has_inside(value)
    for part in inside(value, ()):
        if part.path is not None:
            whole: Any = value
            for step in part.path:
                whole = whole[step]
            assert whole is part.value


@given(st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters(codec="ascii")))
def test_what_is_offered_for_editing_reads_back_as_it_was(value: object) -> None:
    text = as_typed(value)
    if text is not None:
        again = read_typed(text, value)
        assert again == value and type(again) is type(value)


@given(st.lists(st.integers() | st.text(max_size=3)) | st.dictionaries(st.text(max_size=3), st.integers()))
def test_lists_and_entries_read_back_too(value: object) -> None:
    text = as_typed(value)
    if text is not None:
        assert read_typed(text, value) == value


@pytest.mark.parametrize(
    ("old", "text", "new"),
    [
        ("8", "9", "9"),  # text that looks like a number stays text
        (8, "9", 9),
        (0.5, "2", 2.0),
        (True, "false", False),
        (None, "long", "long"),
        (None, "[1, 2]", [1, 2]),
        ([1], "[]", []),
        ({"mem": "1gb"}, '{"mem": "2gb"}', {"mem": "2gb"}),
    ],
)
def test_the_type_is_kept(old: object, text: str, new: object) -> None:
    value = read_typed(text, old)
    assert value == new and type(value) is type(new)


@pytest.mark.parametrize(
    ("old", "text"),
    [(8, "many"), (8, "8.5"), (8, "true"), (True, "1"), (0.5, "half"), ([1], "{}"), ({}, "[]")],
)
def test_what_is_of_another_type_is_refused(old: object, text: str) -> None:
    with pytest.raises(UsageError, match="is not"):
        read_typed(text, old)


def test_a_value_deep_within_is_replaced_in_a_copy() -> None:
    whole = {"a": [1, ({"b": 2},)], "c": 3}
    assert replaced(whole, ["a", 1, 0, "b"], 9) == {"a": [1, ({"b": 9},)], "c": 3}
    assert whole == {"a": [1, ({"b": 2},)], "c": 3}
    for path in (["x"], ["a", 5], ["c", "d"]):
        with pytest.raises(UsageError, match="no such entry"):
            replaced(whole, path, 1)


def test_a_long_list_opens_page_by_page() -> None:
    pages = inside(list(range(2 * PAGE + 1)), ("x",))
    assert [page.name for page in pages] == ["0 to 99", "100 to 199", "200 to 200"]
    assert [part.value for part in inside(pages[1].value, ("x",), 1)] == list(range(PAGE, 2 * PAGE))
    assert inside(pages[1].value, ("x",), 1)[0].path == ("x", PAGE)


@pytest.mark.parametrize(
    "value",
    ["x" * (1 << 20), "x\n" * (1 << 19), list(range(300_000)), 7 ** (1 << 18), b"\x1b" * (1 << 20)],
    ids=["one line", "many lines", "list", "integer", "bytes"],
)
def test_a_megabyte_is_shown_at_once(value: object) -> None:
    began = time.process_time()
    shown(value)
    inside(value, ())
    assert time.process_time() - began < 1.0


class Hostile:
    """An object of a user's, in a damaged place."""

    def __str__(self) -> str:
        return "\x1b]0;x\x07"


def test_an_unknown_type_is_named_and_its_text_is_made_safe() -> None:
    assert shown(Hostile()).kind == "Hostile"
    assert "\x1b" not in shown(Hostile()).text
    assert as_typed(Hostile()) is None
