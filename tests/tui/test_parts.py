"""The parts of the dashboard that know nothing of the screen: words, columns, memory, completion."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paraschut_core.model import RUNNING, DatabaseHealth, JobKey, JobRow, LiveJob, MissingJob, SchedulerHealth
from paraschut_tui.backend.job_sorter import JobSorter
from paraschut_tui.batch_tree.model import BATCH, JOB, NOTE, STATE, NodeId, TreeModel
from paraschut_tui.batch_tree.totals import JobTotals
from paraschut_tui.dashboard.status_text import (
    ThroughputEstimator,
    database_parts,
    is_stale,
    scheduler_parts,
    tally_parts,
)
from paraschut_tui.dashboard.titles import batch_line
from paraschut_tui.filter.term_completion import Completion, CompletionData, last_word
from paraschut_tui.job_grid import columns
from paraschut_tui.job_grid.columns import RowData, SortKey
from paraschut_tui.state_styles import KNOWN, L_MISSING, L_RUN, StateStyles
from paraschut_tui.widgets.styled_line import Part, fit, width_of

from .fake import NOW, FakeBatch, FakeGateway

BATCH_ID = 20250101000000


def text(parts: list[Part]) -> str:
    return "".join(words for words, _ in parts)


# ------------------------------------------------------------------------------------ status


def test_a_healthy_database_and_scheduler_read_the_same_from_second_to_second() -> None:
    database, scheduler = DatabaseHealth("/x/jobs.db", NOW), SchedulerHealth("slurm", NOW)
    texts = {text(database_parts(database, NOW + n, NOW + n)) for n in range(300)}
    texts |= {
        text(scheduler_parts(scheduler._replace(polled_at=NOW + n - n % 15), 15.0, NOW + n))
        for n in range(300)
    }
    assert texts == {"jobs.db  live", "slurm  polled <30s ago"}


def test_what_is_stale_says_so() -> None:
    database = DatabaseHealth("/x/jobs.db", NOW)
    assert "not answering for 1m" in text(database_parts(database, NOW, NOW + 70))
    gateway = FakeGateway([])
    assert not is_stale(gateway.snapshot(), NOW, NOW + 5)
    assert is_stale(gateway.snapshot(), NOW, NOW + 60)


def test_a_scheduler_that_fails_says_since_when_why_and_how_old_its_last_answer_is() -> None:
    health = SchedulerHealth("slurm", NOW - 300, NOW - 240, "Connection refused")
    words = text(scheduler_parts(health, 15.0, NOW))
    assert "not answering since" in words
    assert "(Connection refused) · last answer 5m old" in words


def test_jobs_in_another_schedulers_queue_are_said_beside_the_one_that_is_asked() -> None:
    health = SchedulerHealth("local", NOW, notice="3 in slurm\x1b[2J, which this executor does not manage")
    words = text(scheduler_parts(health, 15.0, NOW))
    assert words.startswith("local  polled <30s ago · 3 in slurm")
    assert words.isprintable()


def test_each_unfinished_job_is_counted_once() -> None:
    """Five were submitted: two of them run, unsaid by one of these; one is missing; so two wait."""
    snapshot = FakeGateway([FakeBatch(BATCH_ID, "human/map", "qqqqRccc")]).snapshot()
    snapshot = snapshot._replace(
        live={JobKey(BATCH_ID, i): LiveJob(str(i), RUNNING) for i in (0, 4)},
        unreported=1,
        missing={JobKey(BATCH_ID, 1): MissingJob("exit status 3", NOW)},
    )
    tally = JobTotals()
    tally.take(snapshot)
    assert text(tally_parts(snapshot, tally, 1, StateStyles())) == "▶ 2   ○ 2   ✓ 3 / 8   ✗ 1 missing"


def test_the_pace_is_told_once_it_is_known_and_forgotten_when_jobs_are_reset() -> None:
    pace = ThroughputEstimator()
    pace.note(NOW, 100)
    assert pace.text(NOW, 50, 4) == ""
    for n in range(1, 11):
        pace.note(NOW + 60 * n, 100 + 14 * n)
    assert pace.text(NOW + 600, 980, 4) == "~1h10 left at 14/min"
    pace.note(NOW + 610, 5)
    assert pace.text(NOW + 610, 980, 4) == ""


def test_nothing_is_foretold_while_nothing_runs_or_completes() -> None:
    pace = ThroughputEstimator()
    for n in range(11):
        pace.note(NOW + 30 * n, 7 * n)
    assert pace.text(NOW + 300, 70, 4) == "~5m left at 14/min"
    assert pace.text(NOW + 300, 70, 0) == ""
    assert pace.text(NOW + 300, 0, 4) == ""
    later = pace.text(NOW + 390, 70, 4)
    assert later == "~6m left at 11/min", "a pause slows the pace down"
    assert pace.text(NOW + 300 + ThroughputEstimator.SILENCE + 1, 70, 4) == ""


def test_the_pace_is_known_at_once_from_what_completed_before() -> None:
    pace = ThroughputEstimator()
    pace.note(NOW, 100)
    pace.seed([NOW - 300 + 10 * n for n in range(30)], 100)
    assert pace.text(NOW, 60, 2) == "~10m left at 6/min"


# ------------------------------------------------------------------------------------ columns


def row(index: int, **changes: object) -> JobRow:
    made = JobRow(
        JobKey(1, index), "run", 1, 1, "77", None, "n1", None, NOW - 60, None, 1, NOW - 7300, NOW - 3700
    )
    return made._replace(**changes)


def facts(one: JobRow | None, live: LiveJob | None = None, missing: MissingJob | None = None) -> RowData:
    look = KNOWN[L_MISSING if missing else L_RUN]
    return RowData(JobKey(1, 0), look, look.glyph, one, live, missing, None, {"a": {"b": [1]}}, NOW)


def test_columns_tell_what_is_known_and_nothing_before_it_was_read() -> None:
    known = facts(row(0), LiveJob("77", "running"))
    shown = {name: columns.column_of(name).text(known) for name in columns.COLUMNS}
    assert shown["state"] == "▶ run"
    assert (shown["online"], shown["host"], shown["id"]) == ("*", "n1", "77")
    assert (shown["submitted"], shown["started"], shown["elapsed"]) == ("2h01", "1h01", "1h01")
    unknown = facts(None)
    assert all(columns.column_of(name).text(unknown) in ("", "0", "1", "▶ run") for name in columns.COLUMNS)
    assert columns.column_of("meta.a.b").text(known) == "[1]"


def test_the_reason_column_says_why_a_job_is_missing() -> None:
    assert (
        columns.column_of("reason").text(facts(row(0), missing=MissingJob("time limit", NOW))) == "time limit"
    )


@pytest.mark.parametrize("width", range(5, 200, 5))
def test_the_columns_never_take_more_than_there_is(width: int) -> None:
    places = columns.place(columns.DEFAULT, width)
    parts = columns.row_parts(places, facts(row(0)))
    assert width_of(parts) <= max(width, 20)
    assert width_of(columns.heading(places, ())) == width_of(parts)


def in_order(rows: list[tuple[object, ...]], keys: list[SortKey], **lost: MissingJob) -> list[int]:
    """The numbers of the rows, sorted; of those named `j3` the scheduler says that they are missing."""
    sorter = JobSorter(keys)
    sorter.add((n, *values) for n, values in enumerate(rows))
    for name, missing in lost.items():
        sorter.correct(int(name[1:]), columns.SchedulerRow(row(0), None, missing))
    return list(sorter.order())


def test_rows_sort_by_several_columns_and_what_is_unknown_comes_last() -> None:
    rows: list[tuple[object, ...]] = [(1, "b"), (2, None), (2, "a"), (2, "")]
    assert in_order(rows, [SortKey("priority", down=True), SortKey("host")]) == [2, 1, 3, 0]
    hosts = [values[1:] for values in rows]
    assert in_order(hosts, [SortKey("host")]) == [2, 0, 1, 3]
    assert in_order(hosts, [SortKey("host", down=True)])[:2] == [0, 2]


def test_missing_jobs_come_first_among_the_states_and_their_reasons_count() -> None:
    assert in_order([("1",), ("3",), ("3",)], [SortKey("state")], j2=MissingJob("z", 0.0)) == [2, 0, 1]
    assert in_order([(None,), (None,), ("b",)], [SortKey("reason")], j1=MissingJob("a", 0.0)) == [1, 2, 0]


texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=5)
values = st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False), texts)


@given(st.lists(st.tuples(values, values), max_size=30), st.booleans(), st.booleans())
def test_sorting_puts_numbers_before_texts_and_nothing_last_whatever_there_is(
    jobs: list[tuple[object, object]], first_down: bool, second_down: bool
) -> None:
    sorter = JobSorter([SortKey("meta.a", first_down), SortKey("meta.b", second_down)])
    sorter.add((n, *values) for n, values in enumerate(jobs))
    order = list(sorter.order())
    assert sorted(order) == list(range(len(jobs)))

    def rank(value: object) -> tuple[int, object]:
        if isinstance(value, str):
            return 1, value.encode()
        return 0, value

    known = [jobs[n][0] for n in order if jobs[n][0] not in (None, "")]
    assert all(jobs[n][0] in (None, "") for n in order[len(known) :])
    ranks = [rank(value) for value in known]
    assert ranks == sorted(ranks, reverse=first_down)


# ------------------------------------------------------------------------------------ the tree


def test_missing_jobs_are_not_counted_twice_in_the_tree() -> None:
    gateway = FakeGateway([FakeBatch(5, "a/b", "ccRRR!!qq", held_back="why")])
    gateway.publish()
    update = gateway.take_update()
    assert update is not None
    outline = TreeModel(gateway.styles)
    outline.open = {NodeId(BATCH, 5), NodeId(STATE, 5, L_MISSING)}
    outline.jobs[NodeId(STATE, 5, L_MISSING)] = [5, 6]
    outline.build(update.snapshot, update.lost)
    assert [(entry.key.kind, entry.number) for entry in outline.rows] == [
        (BATCH, 0), (NOTE, 0), (STATE, 2), (JOB, 0), (JOB, 0), (STATE, 3), (STATE, 2), (STATE, 2),
    ]  # fmt: skip


@pytest.mark.parametrize("refused", [False, True])
def test_a_batch_that_the_scheduler_refused_is_red_in_the_tree_and_in_both_headings(refused: bool) -> None:
    gateway = FakeGateway([FakeBatch(5, "a/b", "iii", held_back="why")])
    snapshot = gateway.snapshot()._replace(refused=frozenset([5] if refused else []))
    outline = TreeModel(gateway.styles)
    outline.build(snapshot, {})
    assert [(row.text, row.number) for row in outline.rows if row.key.kind == NOTE] == [("why", int(refused))]
    left, _ = batch_line(snapshot, [5], 5, {}, gateway.styles, [], 100)
    assert dict(left)["  why"] == ("error" if refused else "warning")


# ------------------------------------------------------------------------------------ actions


# ------------------------------------------------------------------------------------ filter


KNOWN_WORDS = CompletionData(
    {"missing": 3, "init": 10, "run": 2, "complete": 7, "collected": 0, "it is": 1},
    ("human/genome map", "mouse"),
    ("ribo",),
    ("n1", "n2"),
    ("organism", "resources.mem"),
)


def completion() -> Completion:
    return Completion(KNOWN_WORDS, {"mine": "state:run"}, ["state:missing attempt:>1"])


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("", ["@mine", "state:", "name:"]),
        ("sta", ["state:", "started:"]),
        ("mis", ["missing"]),
        ("state:", ["missing", "init", "run"]),
        ("state:run,com", ["complete"]),
        ("!state:i", ["init", "it is"]),
        ("-(state:i", ["init", "it is"]),
        ("x org", ["organism:"]),
        ("batch:hum", ["human/genome map", "human"]),
        ("host:", ["n1", "n2"]),
        ("has:res", ["resources.mem"]),
        ("@", ["@mine"]),
        ("x @m", ["@mine"]),
        ("exit:", []),
        ("zzz", []),
    ],
)
def test_a_filter_is_completed_from_all_that_there_is_to_name(typed: str, words: list[str]) -> None:
    shown = [one.word for one in completion().candidates(typed)]
    assert shown[: len(words)] == words
    assert bool(shown) == bool(words)


def test_what_a_completion_puts_in_means_what_it_shows() -> None:
    (first, *_) = completion().candidates("x batch:hum")
    assert first.text == 'x batch:"human/genome map"'
    assert [one.text for one in completion().candidates("state:run,it")] == ['state:run,"it is"']
    assert [one.text for one in completion().candidates("x !mis")] == ["x !state:missing"]


@pytest.mark.parametrize(
    ("typed", "suggested"),
    [
        ("sta", "state:"),
        ("state:mi", "state:missing"),
        ("state:missing a", "state:missing attempt:>1"),
        ("zzz", None),
        ("", None),
        ("mis", None),
    ],
)
def test_the_likeliest_end_of_a_filter_is_suggested(typed: str, suggested: str | None) -> None:
    assert completion().suggestion(typed) == suggested


@given(st.text(alphabet="st:ae!-(\"' @,.x", max_size=15))
def test_completing_keeps_what_stands_before_the_last_word(typed: str) -> None:
    head, word = last_word(typed)
    assert head + word == typed
    for one in completion().candidates(typed):
        assert one.text.startswith(head)


@pytest.mark.parametrize("width", range(12))
@pytest.mark.parametrize("words", ["", "abc", "abcdefghijkl", "日本語日本語", "a日b"])
@pytest.mark.parametrize("tail", [False, True])
def test_a_text_is_fitted_to_exactly_the_width(words: str, width: int, tail: bool) -> None:
    from rich.cells import cell_len

    assert cell_len(fit(words, width, tail=tail)) == width


# ------------------------------------------------------------------------------------ words
