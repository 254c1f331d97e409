"""Expressions that would take for ever are given up, and no thread is held up by them meanwhile."""

from __future__ import annotations

import re
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paraschut_core.errors import UsageError
from paraschut_core.logs import Pattern, RegexTimeoutError, SearchAbortedError, find_next, open_log, scan
from paraschut_core.logs.safe_regex import SHORT, SafeRegex, _repetitions

EXPONENTIAL = ["(a+)+$", "(a|aa)+$", "(a|a)*b", "^(([a-z])+.)+[A-Z]$", "(.*)*,x"]
HARMLESS = ["error", "[Ee]rror: .*", r"exit \d+", "(?:out|err)put", "no{2}", r"\(a+\)", "a+?b", "[+*(]{2}"]

pieces = st.sampled_from(
    ["a", "b", " ", ".", r"\d", r"\w+", "[ab]*", "(a|b)", "(?:ab)?", "^", "$", "x{1,3}", r"\b", "(a+)+", "|"]
)


@pytest.mark.parametrize("source", EXPONENTIAL)
def test_an_exponential_expression_is_answered_or_given_up_within_its_time(source: str) -> None:
    began = time.process_time()
    try:
        assert not SafeRegex(source).found_in("a" * 5000 + "!")
    except RegexTimeoutError:
        pass
    assert time.process_time() - began < 5


@pytest.mark.parametrize("source", EXPONENTIAL)
def test_what_may_be_exponential_is_never_left_to_the_engine_that_cannot_stop(source: str) -> None:
    assert SafeRegex(source).quick is None


@pytest.mark.parametrize("source", HARMLESS)
def test_what_is_harmless_takes_the_quick_way(source: str) -> None:
    assert SafeRegex(source).quick is not None


def test_one_repetition_on_a_long_row_cannot_take_for_ever_either() -> None:
    matcher = SafeRegex("a*b")
    assert matcher.quick is not None
    began = time.process_time()
    try:
        assert not matcher.found_in("a" * 2_000_000)
    except RegexTimeoutError:
        pass
    assert time.process_time() - began < 5


@given(st.lists(pieces, min_size=1, max_size=6), st.text("ab x1", max_size=12))
def test_both_engines_find_the_same(parts: list[str], text: str) -> None:
    source = "".join(parts)
    matcher = SafeRegex(source)
    expected = [m.span() for m in re.finditer(source, text) if m.end() > m.start()]
    assert matcher.found_in(text) is (re.search(source, text) is not None)
    assert matcher.spans(text) == expected


@given(st.text("ab()[]{}*+?|\\^$.1", max_size=10))
def test_whatever_is_typed_is_an_expression_or_refused(source: str) -> None:
    assert 0 <= _repetitions(source) <= 2
    try:
        matcher = SafeRegex(source)
    except UsageError as error:
        assert "is not a regular expression" in str(error)
    else:
        matcher.found_in("ab" * 10)


def test_other_threads_go_on_while_a_row_is_tried() -> None:
    beats: list[float] = []
    done = threading.Event()

    def beat() -> None:
        last = time.monotonic()
        while not done.wait(0.005):
            beats.append(time.monotonic() - last)
            last = time.monotonic()

    thread = threading.Thread(target=beat)
    thread.start()
    try:
        with pytest.raises(RegexTimeoutError):
            SafeRegex("(a|aa)+$").found_in("a" * 3000 + "!")
    finally:
        done.set()
        thread.join()
    assert len(beats) > 5
    assert sorted(beats)[len(beats) // 2] < 0.1


def test_a_search_leaves_out_the_rows_that_take_too_long(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("aaa\n" + "a" * SHORT + "!\n" + "bbb\n" + "aaa\n")
    with open_log(path) as log:
        parts = list(scan(log, Pattern("(a|aa)+$")))
    assert [offset for part in parts for offset in part.offsets] == [0, SHORT + 4 + 2 + 4]
    assert sum(part.given_up for part in parts) == 1


def test_a_search_that_takes_too_long_too_often_is_stopped_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text(("a" * SHORT + "!\n") * 100)
    with open_log(path) as log, pytest.raises(SearchAbortedError, match=r"/\(a\|aa\)\+\$/ takes too long"):
        find_next(log, Pattern("(a|aa)+$"), 0)


def test_a_search_can_be_cancelled_between_two_rows(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text(("a" * SHORT + "!\n") * 100)
    asked = 0

    def cancelled() -> bool:
        nonlocal asked
        asked += 1
        return asked > 2

    with open_log(path) as log:
        assert list(scan(log, Pattern("(a|aa)+$"), 0, None, cancelled)) == []
    assert asked == 3


class TestOneMeaning:
    """The two engines read some expressions in two ways: a row's length must not decide."""

    @pytest.mark.parametrize("length", [10, 5000])
    @pytest.mark.parametrize(
        ("source", "text", "found"),
        [
            ("[[:digit:]]+x*", "7", True),
            ("[[:digit:]]+x*", "digit:]", False),
            ("[^[:space:]]+[[:upper:]]*", "a", True),
            ("(foo){e<=1}", "fxo", False),
            ("(foo){e<=1}", "foo{e<=1}", True),
            ("a{,3}b*c", "aaac", True),
            ("x{2,}y*", "xx", True),
            ("{[0-9]+}*", "{12}", True),
        ],
    )
    def test_holds_for_rows_of_any_length(self, length: int, source: str, text: str, found: bool) -> None:
        assert SafeRegex(source).found_in(text + " " * length) is found

    @pytest.mark.parametrize("source", ["[[:foo:]]", "[[:^digit:]]"])
    def test_what_is_no_class_is_refused(self, source: str) -> None:
        with pytest.raises(UsageError, match="no class"):
            SafeRegex(source)
