"""A Filter finds what SQL says it finds, and can do nothing else."""

from __future__ import annotations

import hashlib
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from paraschut_core.database.connection import Database
from paraschut_core.database.metadata_json import encode
from paraschut_core.errors import DatabaseError, FilterError
from paraschut_core.filtering.sql_condition import LONGEST, check, matching_keys, select
from paraschut_core.model import JobKey

BATCHES = {20200101000000: "Ingolia_2009/ribo", 20210101120000: "Ingolia_2009/ribo", 20220101000000: "state"}


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database of three batches of four jobs."""
    path = tmp_path_factory.mktemp("filters") / "jobs.db"
    with Database(path, create=True) as database, database.transaction() as tx:
        for batch_id, name in BATCHES.items():
            tx.connection.execute(
                "INSERT INTO batch VALUES (?, ?, ?, 0, 'me', 1)",
                (batch_id, name, "ribo" if "ribo" in name else "x"),
            )
            for index in range(4):
                info = {
                    "name": name.split("/"),
                    "result": index * 1.5,
                    "tags": ["a", index],
                    "pair": (1, index),
                }
                tx.connection.execute(
                    "INSERT INTO job (BatchID, JobIndex, state, priority, changed_at, metadata, hostname)"
                    " VALUES (?, ?, ?, ?, 0, ?, ?)",
                    (batch_id, index, ("init", "run")[index % 2], index, encode(info)[0], f"node{index}"),
                )
    return path


@pytest.fixture
def database(path: Path) -> Iterator[Database]:
    """The same, proven unchanged after each test."""
    before = hashlib.sha256(path.read_bytes()).digest()
    with Database(path) as database:
        yield database
    assert hashlib.sha256(path.read_bytes()).digest() == before
    assert sorted(p.name for p in path.parent.iterdir()) == ["jobs.db"]


def keys(*found: tuple[int, int]) -> list[JobKey]:
    ids = list(BATCHES)
    return [JobKey(ids[batch], index) for batch, index in found]


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (
            'name LIKE "%Ingolia_2009%" AND BatchID > 20210101000000 AND batch_type=="ribo"',
            [(1, 0), (1, 1), (1, 2), (1, 3)],
        ),
        ("json_extract(metadata,'$.result') > 4", [(0, 3), (1, 3), (2, 3)]),
        ("json_extract(metadata,\"$.result\") == 4.5 AND name == 'state'", [(2, 3)]),
        ("metadata ->> '$.tags[1]' = 2 AND batch_type != 'ribo'", [(2, 2)]),
        ("json_extract(metadata, '$.pair.v[1]') = 1 AND JobIndex = 1 AND BatchID < 20210101000000", [(0, 1)]),
        (
            "json_extract(metadata, '$.hostname') = 'node2' AND json_extract(metadata, '$.state') = 'init'",
            [(0, 2), (1, 2), (2, 2)],
        ),
        (
            "JobIndex = 0 OR (state = 'run' AND priority >= 3)",
            [(0, 0), (0, 3), (1, 0), (1, 3), (2, 0), (2, 3)],
        ),
        ("NOT (BatchID IN (20200101000000, 20210101120000) OR JobIndex BETWEEN 1 AND 3)", [(2, 0)]),
        ("hostname GLOB 'node[3-9]' AND upper(state) = \"RUN\" AND BatchID = 20200101000000", [(0, 3)]),
        ("CASE WHEN state = 'run' THEN JobIndex = 1 ELSE 0 END AND name <> 'state'", [(0, 1), (1, 1)]),
        (
            "BatchID = (SELECT max(BatchID) FROM job_view WHERE name LIKE 'Ing%') AND JobIndex = 2",
            [(1, 2)],
        ),
        (
            "EXISTS (SELECT 1 FROM json_each(metadata, '$.tags') WHERE value = 3) AND batch_type = 'x'",
            [(2, 3)],
        ),
        (
            "submit_id IS NULL AND exit_status IS NULL AND [JobIndex] = 1 AND `state` = 'run'",
            [(0, 1), (1, 1), (2, 1)],
        ),
        ("name = 'it''s; -- \"not\" /* a comment'", []),
        ('name = "it\'s ""quoted"""', []),
        ("subtime\n IS\tNULL AND JobIndex = 0x3", [(0, 3), (1, 3), (2, 3)]),
    ],
)
def test_a_condition_finds_the_jobs_that_sql_says(
    database: Database, condition: str, expected: list[tuple[int, int]]
) -> None:
    check(database, condition)
    assert matching_keys(database, condition) == keys(*expected)


@pytest.mark.parametrize("blank", ["", " ", "\n\t"])
def test_a_blank_condition_means_every_job_in_order(database: Database, blank: str) -> None:
    check(database, blank)
    assert matching_keys(database, blank) == keys(*((b, j) for b in range(3) for j in range(4)))
    assert matching_keys(database, blank, limit=5) == keys((0, 0), (0, 1), (0, 2), (0, 3), (1, 0))
    assert matching_keys(database, blank, limit=0) == []


def test_double_quotes_name_a_column_where_there_is_one_as_in_sqlite(database: Database) -> None:
    """`name == "state"` compares two columns: so it was in v0.6, and text that is a column's name needs '."""
    assert matching_keys(database, 'name == "state"') == []
    assert matching_keys(database, 'name == "STATE"') == []
    assert len(matching_keys(database, "name == 'state'")) == 4
    assert len(matching_keys(database, "name == \"state \" OR name == 'state'")) == 4


def test_other_columns_of_the_matching_jobs_are_read_in_the_same_pass(database: Database) -> None:
    rows = select(
        database, "job.JobIndex, job.rev, batch.name", "json_extract(metadata, '$.result') = 3", limit=1
    )
    ((index, rev, name),) = rows
    assert (index, name) == (2, "Ingolia_2009/ribo")
    assert isinstance(rev, int)


@pytest.mark.parametrize("column", ["rev", "token", "job.token", "job.rev", "chosen.idx", "batch.name"])
def test_a_condition_sees_the_documented_names_only(database: Database, column: str) -> None:
    with pytest.raises(FilterError, match="there is no column"):
        matching_keys(database, f"{column} IS NULL OR 1")


def test_a_damaged_row_does_not_make_the_others_unreadable(tmp_path: Path) -> None:
    with Database(tmp_path / "jobs.db", create=True) as database:
        with database.transaction() as tx:
            tx.connection.execute("INSERT INTO batch VALUES (1, 'n', 't', 0, 'me', 1)")
            for index, text in enumerate(['{"a":1}', "damaged", '{"a":2}', '{"a":1}']):
                tx.connection.execute(
                    "INSERT INTO job (BatchID, JobIndex, state, priority, changed_at, metadata)"
                    " VALUES (1, ?, 'init', 1, 0, ?)",
                    (index, text),
                )
        assert matching_keys(database, "json_extract(metadata, '$.a') = 1") == [JobKey(1, 0), JobKey(1, 3)]
        assert matching_keys(database, "json_extract(metadata, '$.a') IS NOT 1") == [JobKey(1, 2)]
        assert matching_keys(database, "state = 'init'")[1] == JobKey(1, 1)


# --------------------------------------------------------------------------- refused


REFUSED = {
    "1; DROP TABLE job": ("one condition", ";"),
    "1) ; DROP TABLE job; --": ("closes nothing", ")"),
    "1) OR (1": ("closes nothing", ")"),
    "1) UNION SELECT BatchID FROM batch WHERE (1": ("closes nothing", ")"),
    "((1)": ("never closed", "("),
    "ATTACH DATABASE 'x.db' AS x": ("does not expect DATABASE", "DATABASE"),
    "1 AND ATTACH 'x.db' AS x": ("does not expect", "'x.db'"),
    "PRAGMA user_version": ("does not expect", "user_version"),
    "1 IN (SELECT name FROM pragma_table_info('job'))": (
        "may not read the table pragma_table_info",
        "pragma_table_info",
    ),
    "1 IN (SELECT file FROM pragma_database_list)": ("may only compare and read", None),
    "load_extension('x.so')": ("load_extension may not be used", "load_extension"),
    "readfile('/etc/passwd')": ("no function readfile", "readfile"),
    "writefile('x', 'y')": ("no function writefile", "writefile"),
    "state IN (SELECT name FROM sqlite_master)": ("may not read the table sqlite_master", "sqlite_master"),
    "state IN (SELECT name FROM sqlite_schema)": ("may not read the table", None),
    "(SELECT count(*) FROM poll) > 0": ("may not read the table poll", "poll"),
    "state IN (SELECT answer FROM main.poll)": ("may not read the table poll", "poll"),
    "1 IN (SELECT who FROM event)": ("may not read the table event", "event"),
    "1=1 --": ("comments", "--"),
    "1=1 /* x */": ("comments", "/*"),
    "1 = 1 /*": ("comments", "/*"),
    "name = 'x": ("never closed", "'"),
    'name = "x': ("never closed", '"'),
    "name = [x": ("never closed", "["),
    "name = ?": ("text needs quotes", "?"),
    "name = :name": ("text needs quotes", ":"),
    "name = @name": ("text needs quotes", "@"),
    "name = $name": ("text needs quotes", "$"),
    "name = 'a\0b'": ("does not know the character '\\x00'", "\0"),
    "\0": ("does not know the character", "\0"),
    "name = '\ud800'": ("does not know the character '\\ud800'", "\ud800"),
    "1 IN (WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT x FROM n)": (
        "recursive",
        "RECURSIVE",
    ),
    "1 IN (WITH n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT x FROM n)": ("recursive", None),
    "zeroblob(1000000000) = 1": ("zeroblob may not be used", "zeroblob"),
    "hex(zeroblob(500000000)) = 1": ("may not be used", "hex"),
    "randomblob(1000000000) = 1": ("may not be used", "randomblob"),
    "printf('%1000000000d', 1) = 1": ("may not be used", "printf"),
    "replace(metadata, '', 'x') = 1": ("replace may not be used", "replace"),
    "(SELECT group_concat(metadata) FROM job) = 1": ("may not be used", "group_concat"),
    "json_set(metadata, '$.x', 1) = 1": ("json_set may not be used", "json_set"),
    "random() > 0": ("may not be used", "random"),
    "RAISE(ABORT, 'x')": ("trigger", None),
    "1 IN (INSERT INTO job VALUES (1))": ("does not expect INSERT", "INSERT"),
    "1 IN (DELETE FROM job RETURNING BatchID)": ("does not expect", "DELETE"),
    "count(*) > 1": ("works on many rows", "count"),
    "status = 'run'": ("there is no column status", "status"),
    "state == ribo": ("Text needs quotes: 'ribo'", "ribo"),
    "frobnicate(1)": ("no function frobnicate", "frobnicate"),
    "1 IN (SELECT 1 FROM nowhere)": ("no table nowhere", "nowhere"),
    "json_extract(name, '$.x')": ("JSON", None),
    "json_extract(metadata, 'x')": ("path", None),
    "abs()": ("another number of values", "abs"),
    "(1, 2)": ("row value", None),
    "abs(-9223372036854775808)": ("integer overflow", None),
    "(" * 5000 + "1" + ")" * 5000: ("nested too deep", None),
    "NOT " * 20_000 + "1": ("nested too deep", None),
    "1 OR " * 19_000 + "1": ("too many parts", None),
    "x" * (LONGEST + 1): ("is the most", None),
    "state = 'a' AND AND state": ("does not expect AND", None),
}


@pytest.mark.parametrize(
    "condition", REFUSED, ids=lambda condition: condition[:40].encode("unicode_escape").decode()
)
def test_what_is_no_harmless_condition_is_refused_in_clear_words(database: Database, condition: str) -> None:
    words, marked = REFUSED[condition]
    with pytest.raises(FilterError) as raised:
        matching_keys(database, condition)
    assert words in str(raised.value)
    if marked is not None:
        _, line, mark = str(raised.value).split("\n")
        assert line[mark.index("^") :].startswith(marked.replace("\0", "␀").replace("\ud800", "\ufffd"))


@pytest.mark.parametrize(
    "condition",
    [c for c in REFUSED if "$.x" not in c and "'x')" not in c and "abs(-" not in c],
    ids=lambda condition: condition[:40].encode("unicode_escape").decode(),
)
def test_checking_refuses_what_running_refuses_but_for_what_the_data_decide(
    database: Database, condition: str
) -> None:
    with pytest.raises(FilterError):
        check(database, condition)


@pytest.mark.parametrize(
    ("condition", "before_the_mark"),
    [
        ("state = 'and' AND state AND AND state", "state = 'and' AND state AND "),
        ("(1) AND (2))", "(1) AND (2)"),
        ("(1) = ", "(1) = "),
        ("1 = 1 AND\n\tstate == \x1b[31m", "1 = 1 AND  state == "),
    ],
)
def test_the_mark_stands_under_the_word_that_is_meant_among_equal_ones(
    database: Database, condition: str, before_the_mark: str
) -> None:
    with pytest.raises(FilterError) as raised:
        matching_keys(database, condition)
    _, line, mark = str(raised.value).split("\n")
    assert line[: mark.index("^")] == "  " + before_the_mark
    assert "\x1b" not in str(raised.value)


def test_a_long_condition_is_shown_around_the_fault_only(database: Database) -> None:
    with pytest.raises(FilterError) as raised:
        matching_keys(database, "JobIndex = 1 OR " * 500 + "sttae = 'x'" + " OR JobIndex = 2" * 400)
    _, line, mark = str(raised.value).split("\n")
    assert len(line) < 120
    assert line[mark.index("^") :].startswith("sttae")


@pytest.mark.parametrize("condition", [None, 1, b"1", ["1"]])
def test_a_condition_that_is_no_text_is_refused(database: Database, condition: object) -> None:
    with pytest.raises(FilterError, match="is text"):
        matching_keys(database, condition)  # type: ignore[arg-type]  # what a user may pass


# --------------------------------------------------------------------------- limits


RUNAWAY = "(SELECT count(*) FROM " + ", ".join(f"job j{i}" for i in range(30)) + ") > 0"


def test_a_condition_without_end_is_stopped(database: Database) -> None:
    begin = time.monotonic()
    with pytest.raises(FilterError, match="took longer than 2 s"):
        matching_keys(database, RUNAWAY)
    assert time.monotonic() - begin < 60  # it would take years


@pytest.mark.parametrize(
    "condition",
    [
        "'" + "a" * 40_000 + "' LIKE '" + "%a" * 20_000 + "b'",
        "'" + "a" * 40_000 + "' GLOB '" + "*a" * 2_000 + "b'",
        "instr('" + "a" * 60_000 + "', '" + "a" * 30_000 + "b')",
        "||".join(["metadata"] * 900) + " = 1",
    ],
    ids=["like", "glob", "instr", "concatenation"],
)
def test_a_single_step_cannot_outlast_the_limit_by_much(database: Database, condition: str) -> None:
    begin = time.monotonic()
    try:
        matching_keys(database, condition)
    except FilterError:
        pass  # stopped, or too complex for SQLite: both will do
    assert time.monotonic() - begin < 60


def test_writers_get_their_turn_while_a_condition_without_end_runs(tmp_path: Path, path: Path) -> None:
    own = tmp_path / "jobs.db"
    own.write_bytes(path.read_bytes())
    outcome: list[BaseException] = []

    def filter_jobs() -> None:
        try:
            with Database(own) as database:
                matching_keys(database, RUNAWAY)
        except FilterError as error:
            outcome.append(error)

    thread = threading.Thread(target=filter_jobs)
    thread.start()
    try:
        with Database(own, timeout=60) as writer:
            written = 0
            while thread.is_alive():
                with writer.transaction() as tx:
                    tx.connection.execute("UPDATE job SET hostname = ?", (f"n{written}",))
                written += 1
            with writer.transaction() as tx:
                tx.connection.execute("UPDATE job SET hostname = 'done'")
            assert writer.rows("SELECT DISTINCT hostname FROM job") == [("done",)]
    finally:
        thread.join()
    assert "took longer" in str(outcome[0])


def test_a_locked_database_is_reported_as_such_not_as_a_bad_condition(path: Path, tmp_path: Path) -> None:
    own = tmp_path / "jobs.db"
    own.write_bytes(path.read_bytes())
    blocker = sqlite3.connect(own, isolation_level=None)
    blocker.execute("BEGIN EXCLUSIVE")
    try:
        with Database(own, timeout=0.1) as database, pytest.raises(DatabaseError, match="locked"):
            matching_keys(database, "state = 'init'")
    finally:
        blocker.close()


def test_no_lock_is_left_behind(database: Database) -> None:
    for condition in ("state = 'init'", "nonsense", RUNAWAY.replace("30", "2")):
        try:
            matching_keys(database, condition, seconds=0.2)
        except FilterError:
            pass  # expected of the last two
        with database.transaction() as tx:
            tx.connection.execute("UPDATE job SET hostname = hostname WHERE 0")


# --------------------------------------------------------------------------- junk


pieces = st.sampled_from(
    "SELECT FROM WHERE AND OR NOT IN LIKE GLOB NULL IS CASE WHEN THEN END job job_view batch poll"  # noqa: SIM905
    " metadata state BatchID JobIndex name json_extract json_each count abs WITH AS UNION ALL EXISTS BETWEEN"
    " CAST COLLATE ORDER BY LIMIT VALUES INSERT DELETE DROP TABLE PRAGMA ATTACH ( ) ( ) , . ; -- /* */"
    " ' \" ` [ ] = == <> < || -> ->> * + 1 2.5 0x1 1e9 'a' \"b\" '$.a' ? :a \0 \n é".split(
        " "
    )  # as a list these would take a page
)
junk = (
    st.text(max_size=40)
    | st.lists(pieces, max_size=25).map(" ".join)
    | st.lists(pieces, max_size=25).map("".join)
)


@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(junk)
def test_junk_gives_a_result_or_a_filter_error_and_changes_nothing(
    database: Database, condition: str
) -> None:
    try:
        found = matching_keys(database, condition, seconds=0.3)
    except FilterError as error:
        assert str(error).startswith(("Cannot use this Filter: ", "The Filter"))
    else:
        assert set(found) <= set(keys(*((b, j) for b in range(3) for j in range(4))))


def test_a_regular_expression_that_takes_for_ever_is_given_up_and_named(database: Database) -> None:
    began = time.process_time()
    with pytest.raises(FilterError, match=r"\(a\|aa\)\+\$ takes too long"):
        matching_keys(database, "'" + "a" * 300 + "!' REGEXP '(a|aa)+$'")
    assert time.process_time() - began < 10


def test_what_is_no_regular_expression_is_told(database: Database) -> None:
    with pytest.raises(FilterError, match="is not a regular expression"):
        matching_keys(database, "name REGEXP '('")


def test_names_are_matched_by_regular_expressions(database: Database) -> None:
    assert len(matching_keys(database, "name REGEXP '^Ingolia.*ribo$' AND hostname REGEXP '[13]$'")) == 4
