"""Words and SQL find the same jobs, wherever a filter is given."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paraschut_core import api
from paraschut_core.database.connection import Database
from paraschut_core.database.jobs import read_infos
from paraschut_core.errors import FilterError
from paraschut_core.filtering.find_jobs import find_jobs
from paraschut_core.filtering.language import parse, unknown_words
from paraschut_core.filtering.log_terms import latest_logs, logs_match
from paraschut_core.filtering.scan import search
from paraschut_core.model import JobKey
from tests.core.cli import CommandLine
from tests.helpers import wait_until

TERMS: dict[str, set[int]] = {
    "state:missing": {1},
    "state:complete": {0, 2},
    "state:missing | index:0": {0, 1},
    "!state:missing": {0, 2},
    "exit:1": {1},
    "!exit:1": {0, 2},
    "name:map": {0, 1, 2},
    "name:nothing": set(),
    "type:ribo index:1-2": {1, 2},
    "host:*": {0, 1, 2},
    "age:<1h": {0, 1, 2},
    "age:>1h": set(),
    'log:"err 2"': {2},
    "-log:~ERR.*1$ state:missing,complete": {0, 1, 2},
    "-log:~err.1$": {0, 2},
    "map": {0, 1, 2},
    "sql: JobIndex > 0": {1, 2},
    "JobIndex > 0": {1, 2},
    "missing AND JobIndex > 0": {1},
    "name like '%map%' AND state = 'complete'": {0, 2},
}


@pytest.fixture
def cli(tmp_path: Path, clean_environment: None) -> Iterator[CommandLine]:
    with CommandLine(tmp_path / "project") as command_line:
        yield command_line


def _run_one_that_fails(cli: CommandLine) -> int:
    command = "echo err {JobIndex} >&2; [ {JobIndex} != 1 ]"
    batch = cli.add("--name", "human/map", "--type", "ribo", "--range", "0-2", command)
    cli("submit")
    wait_until(
        lambda: cli.states(batch) == {0: "complete", 1: "run", 2: "complete"} and cli.missing(batch) == [1],
        "jobs 0 and 2 are complete and 1 is missing",
    )
    return batch


def _shown_by_queue(cli: CommandLine, text: str) -> set[int]:
    batches = cli("queue", "--json", "--filter", text).json["batches"]
    return {index for batch in batches for indices in batch["states"].values() for index in indices}


def _selected_by_set(cli: CommandLine, text: str) -> set[int]:
    answer = cli("set", "--json", "--yes", "--filter", text, "note=seen")
    if not answer.out.startswith("{"):
        assert "no job matches" in answer.out
        return set()
    return {key[1] for key in (*answer.json["done"], *answer.json["left"])}


def _returned_by_the_api(cli: CommandLine, text: str) -> set[int]:
    jobs = api.get_queue(Verbose=False, Filter=text) or {}
    return {info["JobIndex"] for infos in jobs.values() for info in infos}


def _matched_by_the_dashboard(cli: CommandLine, text: str) -> set[int]:
    query = parse(text)
    with Database(cli.database, read_only=True) as database:
        batch = database.rows("SELECT max(BatchID) FROM job")[0][0]
        parts = search(database, "job.BatchID, job.JobIndex", query.condition, [JobKey(batch, 1)])
        keys = [JobKey(*row) for part in parts for row in part.rows]
        infos = read_infos(database, keys)
        return {info["JobIndex"] for info in infos if logs_match(latest_logs(info), query.log)}


FACES: tuple[Callable[[CommandLine, str], set[int]], ...] = (
    _shown_by_queue, _returned_by_the_api, _matched_by_the_dashboard, _selected_by_set,
)  # fmt: skip


def test_each_face_finds_the_same_jobs_for_each_term(
    cli: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    _run_one_that_fails(cli)
    monkeypatch.chdir(cli.folder)
    found = {(face.__name__, term): face(cli, term) for term in TERMS for face in FACES}
    assert found == {(face.__name__, term): jobs for term, jobs in TERMS.items() for face in FACES}


def test_reset_takes_the_words_of_the_dashboard(cli: CommandLine) -> None:
    batch = _run_one_that_fails(cli)
    reset = ("reset", "--json", "--yes", "--filter", "state:missing exit:1")
    # It has told its end, and the local queue may list it for a moment more.
    wait_until(lambda: cli(*reset, status=None).json["done"] == [[batch, 1]], "it is reset")
    assert cli.states(batch) == {0: "complete", 1: "init", 2: "complete"}


def test_submit_takes_words(cli: CommandLine) -> None:
    batch = cli.add("--range", "0-1", "true")
    cli("submit", "--filter", "state:init index:1")
    cli.wait_for(batch, "init", "complete")
    wait_until(lambda: cli.states(batch) == {0: "init", 1: "complete"}, "only job 1 ran")


@pytest.mark.parametrize("text", ["exit:many", "log:~(", "@nothing", "(log:x | y)", "x=1", "1;"])
def test_a_filter_that_cannot_be_used_is_misuse(cli: CommandLine, text: str) -> None:
    cli.add("true")
    for command in (["queue"], ["reset"], ["submit"]):
        assert cli(*command, "--filter", text, status=2).err


# ------------------------------------------------------------------------------------ words and SQL


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    path = tmp_path_factory.mktemp("words") / "jobs.db"
    with Database(path, create=True) as database, database.transaction() as tx:
        for batch_id, name in ((20210101000000, "human"), (20220101000000, "mouse")):
            tx.connection.execute("INSERT INTO batch VALUES (?, ?, 'ribo', 0, 'me', 1)", (batch_id, name))
            for index in range(6):
                tx.connection.execute(
                    "INSERT INTO job (BatchID, JobIndex, state, priority, changed_at, metadata, hostname)"
                    " VALUES (?, ?, ?, ?, 0, '{}', ?)",
                    (batch_id, index, ("init", "run", "complete")[index % 3], index % 4, f"n{index}"),
                )
    with Database(path, read_only=True) as database:
        yield database


WORDS = st.sampled_from(
    ["human", "state:run", "!state:run", "index:>2", "index:1-3", "priority:0,2", "host:n1", "-host:~[23]$",
     "state:missing", "(index:1 | state:init)", "age:>1h", "name:m*e", "state:missing,complete"]
)  # fmt: skip
MISSING = [JobKey(20210101000000, 1), JobKey(20220101000000, 4)]


@settings(deadline=None, max_examples=50)
@given(words=st.lists(WORDS, min_size=1, max_size=4), joint=st.sampled_from([" ", " | ", " AND "]))
def test_words_and_the_sql_they_come_to_find_the_same_jobs(
    database: Database, words: list[str], joint: str
) -> None:
    text = joint.join(words)
    sql = f"sql:{parse(text).condition}"
    assert find_jobs(database, text, lambda: MISSING) == find_jobs(database, sql, lambda: MISSING)


@pytest.mark.parametrize("text", ["1", "priority", "index:1", "name:state", "name LIKE '%missing%'", ""])
def test_missing_jobs_are_not_looked_for_where_the_filter_does_not_depend_on_them(
    database: Database, text: str
) -> None:
    find_jobs(database, text, lambda: pytest.fail("looked for missing jobs"))


def test_what_sqlite_accepts_stays_sql(database: Database) -> None:
    assert len(find_jobs(database, "1")) == 12
    assert {key.job_index for key in find_jobs(database, "priority")} == {1, 2, 3, 5}


@pytest.mark.parametrize(
    ("text", "position"), [("index:x", 0), ("human index:x", 6), ("JobIndex AND nme = 1", 13)]
)
def test_an_error_names_the_place_that_it_is_about(database: Database, text: str, position: int) -> None:
    with pytest.raises(FilterError) as raised:
        find_jobs(database, text)
    assert raised.value.position == position
    assert "Cannot use this Filter" not in raised.value.message


def test_a_filter_of_many_signs_is_refused(database: Database) -> None:
    with pytest.raises(FilterError, match="too deep"):
        find_jobs(database, "!" * 5000 + "x")


# ------------------------------------------------------------------------------------ unknown words


@pytest.mark.parametrize(
    ("text", "same"),
    [("state:running", "state:run"), ("state:pending,done", "state:submit,complete"),
     ("state:failed", "state:missing"), ("state:Running", "state:run"), ("job:3-7", "index:3-7")],
)  # fmt: skip
def test_synonyms_mean_what_they_stand_for(text: str, same: str) -> None:
    assert parse(text).condition == parse(same).condition
    assert parse(text).unknown == ()


def test_a_state_that_jobs_have_is_no_synonym() -> None:
    assert parse("state:running", states=["running"]).condition != parse("state:run").condition


@pytest.mark.parametrize(
    ("text", "says"),
    [("state:runing", "No job has the state runing; did you mean run?"),
     ("!state:zzz", "No job has the state zzz; states are"),
     ("foo:bar", "No job has a field foo."),
     ("prioritty:3", "No job has a field prioritty; did you mean priority?"),
     ("status:run", "No job has a field status; did you mean state?")],
)  # fmt: skip
def test_unknown_words_are_reported_with_what_is_near(text: str, says: str) -> None:
    assert unknown_words(parse(text), ["organism"])[0].startswith(says)


def test_known_words_are_not_reported() -> None:
    assert unknown_words(parse("state:run,missing,in* organism:x organism.part:y"), ["organism"]) == []


def test_commands_report_unknown_words_of_a_filter_that_matches_nothing(cli: CommandLine) -> None:
    cli.add("true")
    assert "did you mean run?" in cli("queue", "--filter", "state:runing").err
    assert "No job has a field foo." in cli("reset", "--filter", "foo:bar").err
    assert cli("queue", "--filter", "script:nothing").err == ""
    assert cli("queue", "--filter", "state:initial").err == ""


def test_display_takes_synonyms_and_reports_unknown_states(cli: CommandLine) -> None:
    batch = cli.add("true")
    assert cli("queue", "--json", "--display", "ready").json["batches"][0]["BatchID"] == batch
    assert "did you mean run?" in cli("queue", "--display", "runing").err
    cli.sql("UPDATE job SET state = 'ready'")
    assert cli("queue", "--json", "--display", "ready").json["batches"][0]["states"] == {"ready": [0]}


def test_a_number_alone_is_refused_by_commands_for_it_could_mean_every_job(cli: CommandLine) -> None:
    cli.add("true")
    for text in ("2", " 0 ", "-1"):
        assert "write index:" in cli("reset", f"--filter={text}", "--yes", status=2).err
