"""The parts of the dashboard that know nothing of the screen: words, columns, memory, completion."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paraschut_core import exit_kinds
from paraschut_core.model import RUNNING, DatabaseHealth, JobKey, JobRow, LiveJob, MissingJob, SchedulerHealth
from paraschut_tui.actions.action_registry import ACTIONS
from paraschut_tui.actions.command_lines import LONGEST, command_line, spans
from paraschut_tui.actions.operations import wrong_field, wrong_number
from paraschut_tui.actions.resource_increase import ResourceIncrease, propose
from paraschut_tui.actions.types import ActionTarget, PreviewText
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
    health = SchedulerHealth("local", NOW, notice="3 in slurm\x1b[2J, which is not asked here")
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
    outline = TreeModel(gateway.looks)
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
    outline = TreeModel(gateway.looks)
    outline.build(snapshot, {})
    assert [(row.text, row.number) for row in outline.rows if row.key.kind == NOTE] == [("why", int(refused))]
    left, _ = batch_line(snapshot, [5], 5, {}, gateway.looks, [], 100)
    assert dict(left)["  why"] == ("error" if refused else "warning")


# ------------------------------------------------------------------------------------ actions


def test_spans_read_as_the_command_line_writes_them() -> None:
    assert spans([1, 2, 3, 7, 9, 10]) == "1-3,7,9-10"
    assert spans([]) == ""


def test_the_command_line_of_an_action_does_the_same() -> None:
    keys = tuple(JobKey(7, n) for n in (1, 2, 5))
    assert command_line(ACTIONS["reset"], ActionTarget("", keys), True, "") == "reset 7 1-2,5 --force"
    assert command_line(ACTIONS["submit_next"], ActionTarget(""), False, "") == "submit"
    assert command_line(ACTIONS["submit_these"], ActionTarget("", keys), False, "") == "submit 7 1-2,5"
    assert command_line(ACTIONS["priority"], ActionTarget("", (), (7, 8)), False, "5") == "set 7,8 priority=5"
    assert command_line(ACTIONS["boost"], ActionTarget("", (), (7, 8)), False, "-5") == "boost 7,8 --by -5"
    assert command_line(ACTIONS["submit_batch"], ActionTarget("", (), (7, 8)), False, "") == "submit 7,8"
    assert command_line(ACTIONS["remove"], ActionTarget("", (), (7,)), True, "") == "remove 7 --force"
    edit = ACTIONS["edit"]
    assert command_line(edit, ActionTarget("", keys), False, "note=a b") == "set 7 1-2,5 'note=a b'"
    assert command_line(ACTIONS["undo"], ActionTarget(""), False, "12") == "undo 12"
    both = ActionTarget("", (*keys, JobKey(8, 0)))
    assert command_line(ACTIONS["qdel"], both, False, "") == "qdel 7 1-2,5; paraschut qdel 8 0"


def test_jobs_that_get_different_resources_take_a_command_each() -> None:
    keys = tuple(JobKey(7, n) for n in (1, 2, 5))
    raised = ResourceIncrease(
        {keys[0]: {"mem": "2gb"}, keys[2]: {"mem": "2gb"}, keys[1]: {"walltime": "2:00:00"}}
    )
    assert command_line(ACTIONS["resubmit"], ActionTarget("", keys, raises=raised), False, "") == (
        "resubmit 7 1,5 --resource mem=2gb; paraschut resubmit 7 2 --resource walltime=2:00:00"
    )


def test_a_command_that_would_be_endless_says_that_there_is_more() -> None:
    many = ActionTarget("20000 marked jobs of x", tuple(JobKey(7, 2 * n) for n in range(20_000)))
    text = command_line(ACTIONS["reset"], many, False, "")
    assert len(text) <= LONGEST + 60
    assert text.endswith("  # and more: 20000 marked jobs of x")
    command, _, remark = text.partition("  # ")
    assert all(part.isdigit() for part in command.split()[-1].split(","))
    assert remark


def test_what_is_wrong_with_what_was_typed_is_said() -> None:
    assert wrong_field("queue=long") == wrong_number("-3") == wrong_number("1e3") == ""
    assert "JobIndex" in wrong_field("JobIndex=5")
    assert "FIELD=VALUE" in wrong_field("queue")
    assert "'high' is not a number" in wrong_number("high")


@pytest.mark.parametrize(
    ("resources", "kind", "expected"),
    [
        ({"walltime": "04:59:00", "mem": "1gb"}, exit_kinds.TIME_LIMIT, {"walltime": "09:58:00"}),
        ({"walltime": "04:59:00", "mem": "1gb"}, exit_kinds.MEMORY, {"mem": "2gb"}),
        ({"mem": "1.5 GB", "vmem": 3}, exit_kinds.MEMORY, {"mem": "3 GB", "vmem": 6}),
        ({"walltime": "whenever"}, exit_kinds.TIME_LIMIT, None),
        ({"walltime": "1:00:00"}, exit_kinds.EXIT, None),
        (None, exit_kinds.TIME_LIMIT, None),
    ],
)
def test_twice_of_what_a_job_ran_out_of_is_proposed(
    resources: dict[str, object] | None, kind: str, expected: dict[str, object] | None
) -> None:
    key = JobKey(1, 2)
    found = propose([{"BatchID": 1, "JobIndex": 2, "resources": resources}], {key: kind})
    assert found.values == ({key: expected} if expected else {})
    assert bool(found.words) == bool(expected)


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


def test_a_resubmit_says_which_jobs_start_anew_and_which_only_get_their_lost_spawns() -> None:
    resubmit = ACTIONS["resubmit"]
    all_in_part = PreviewText(2, {"spawn": 2}, live=2, held=2, lost_spawns=3, halves=2)
    assert resubmit.explanation(all_in_part, force=False) == [
        "Their 3 lost spawns are submitted again; the others go on."
    ]
    one_in_part = PreviewText(3, {"spawn": 1, "run": 2}, live=1, missing=2, lost_spawns=1, halves=1)
    lines = resubmit.explanation(one_in_part, force=False)
    assert lines[0].startswith("They go back to init")
    assert "Of 1 job that lives in part, the 1 lost spawn alone." in lines
