"""The parts of the log viewer that need no screen: window, hits, marks, choice of stream."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paraschut_core.logs import Pattern, Row
from paraschut_tui.job_log.marked_ranges import MarkedRanges
from paraschut_tui.job_log.search_matches import SearchMatches
from paraschut_tui.job_log.sources import LATEST, LogSources, StreamSelection
from paraschut_tui.job_log.viewport import MOST_ROWS, LogViewport


def rows(count: int, start: int = 0) -> list[Row]:
    return [Row(10 * n, 10 * n + 10, "x" * (n % 4)) for n in range(start, start + count)]


def window(count: int, height: int = 1) -> LogViewport:
    made = LogViewport(lambda row: len(row.text) + 1 if height > 1 else 1)
    made.load(rows(count), True, True)
    return made


class TestWindow:
    @given(st.integers(0, 40), st.integers(1, 15), st.lists(st.integers(-30, 30), max_size=10))
    def test_is_never_past_either_end(self, count: int, height: int, moves: list[int]) -> None:
        for lines_a_row in (1, 2):
            view = window(count, lines_a_row)
            everything = view.lines(10_000)
            position = 0
            last = max(len(everything) - height, 0)
            for move in moves:
                left = view.move(move, height)
                moved = position + move
                position = max(min(moved, last), 0)
                assert left == moved - position
                assert view.lines(height) == everything[position : position + height]
                assert view.shows_end(height) == (position == last)

    def test_appended_rows_replace_the_one_that_grew(self) -> None:
        view = window(3)
        view.extend([Row(20, 35, "longer"), Row(35, 40, "new")], True)
        assert [(row.start, row.end) for row in view.rows] == [(0, 10), (10, 20), (20, 35), (35, 40)]

    def test_is_bounded_while_following(self) -> None:
        view = window(10)
        for n in range(10, 3 * MOST_ROWS, 100):
            view.extend(rows(100, n), True)
            view.to_end(20)
        assert len(view.rows) <= MOST_ROWS and not view.at_start and view.shows_end(20)

    def test_is_bounded_while_nobody_follows(self) -> None:
        view = window(10)
        for n in range(10, 5 * MOST_ROWS, 100):
            if view.at_end:
                view.extend(rows(100, n), True)
        assert len(view.rows) <= 2 * MOST_ROWS and view.top == 0 and not view.at_end

    def test_a_row_is_shown_with_others_above_it(self) -> None:
        view = window(100)
        view.to_offset(500, 20, above=6)
        assert view.top == 44 and view.shows(500, 20)
        view.to_offset(990, 20, above=6)
        assert view.lines(20)[-1] == (99, 0)


class TestHits:
    @given(st.sets(st.integers(0, 200)), st.integers(0, 200), st.integers(0, 210))
    def test_are_in_order_from_wherever_the_search_began(self, all_: set[int], origin: int, at: int) -> None:
        hits = SearchMatches(Pattern("x"), origin)
        ahead = sorted(offset for offset in all_ if offset >= origin)
        behind = sorted(offset for offset in all_ if offset < origin)
        hits.add_ahead(ahead, origin, 201)
        half = len(behind) // 2
        hits.add_behind(behind[half:])
        hits.add_behind(behind[:half])
        ordered = sorted(all_)
        assert hits.all() == [hits[n] for n in range(len(hits))] == ordered
        assert hits.next(at) == next((offset for offset in ordered if offset >= at), None)
        assert hits.previous(at) == next((offset for offset in reversed(ordered) if offset < at), None)
        around, first, last = hits.around(at, 3)
        assert around == ordered[max(hits.place_of(at) - 3, 0) : hits.place_of(at) + 3]
        assert first == (around[:1] == ordered[:1]) and last == (around[-1:] == ordered[-1:])

    def test_what_is_searched_again_counts_once(self) -> None:
        hits = SearchMatches(Pattern("x"), 0)
        hits.add_ahead([1, 5, 9], 0, 10)
        hits.add_ahead([9, 12], 9, 15)
        assert hits.all() == [1, 5, 9, 12] and hits.searched_to == 15


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 30), st.integers(1, 10)), max_size=12))
def test_ranges_are_sets_of_bytes(changes: list[tuple[bool, int, int]]) -> None:
    ranges, expected = MarkedRanges(), set[int]()
    for add, start, length in changes:
        if add:
            ranges.add(start, start + length)
            expected.update(range(start, start + length))
        else:
            ranges.remove(start, start + length)
            expected.difference_update(range(start, start + length))
    assert {n for n in range(50) if n in ranges} == expected
    assert {n for start, end in ranges.all() for n in range(start, end)} == expected
    assert all(one[1] < other[0] for one, other in itertools.pairwise(ranges.all()))


class TestSelection:
    def choice(self, *names: str, attempts: int = 1, title: str = "a") -> StreamSelection:
        selection = StreamSelection()
        selection.use(LogSources(title, {name: [f"{name}{n}" for n in range(attempts)] for name in names}))
        return selection

    @pytest.mark.parametrize(
        ("names", "partner"),
        [
            (("stdout", "stderr"), "stderr"),
            (("stderr", "stdout"), "stdout"),
            (("spawn 1 stderr", "spawn 2 stdout", "spawn 1 stdout"), "spawn 1 stdout"),
            (("log",), "log"),
            (("one", "two"), "two"),
            ((), ""),
        ],
    )
    def test_the_partner_of_a_stream(self, names: tuple[str, ...], partner: str) -> None:
        assert self.choice(*names).partner() == partner

    def test_the_latest_attempt_is_followed_to_a_new_one(self) -> None:
        selection = self.choice("stdout", attempts=2)
        assert selection.path() == "stdout1"
        selection.use(LogSources("b", {"stdout": ["stdout0", "stdout1", "stdout2"]}))
        assert selection.path() == "stdout2"

    def test_an_earlier_attempt_is_kept_for_the_job_but_not_for_the_next(self) -> None:
        selection = self.choice("stdout", attempts=2)
        assert selection.step_attempt(-1) and not selection.step_attempt(-1)
        selection.use(LogSources("new title", {"stdout": ["stdout0", "stdout1", "stdout2"]}))
        assert selection.path() == "stdout0"
        selection.use(LogSources("another job", {"stdout": ["x0", "x1"]}))
        assert selection.path() == "x1" and selection.wanted_attempt == LATEST

    def test_a_stream_without_logs_has_no_path(self) -> None:
        selection = StreamSelection()
        selection.use(LogSources("a", {"stdout": [], "stderr": [""]}))
        assert selection.path() is None and selection.path("stderr") is None
