"""The filter language, judged by SQLite itself on a real database."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paraschut_core.errors import FilterError
from paraschut_core.filtering.language import FIELDS, parse
from paraschut_core.filtering.scan import search
from paraschut_core.model import JobKey
from paraschut_core.project import Project

from .project import add_batch, make_project

SAVED = {
    "mine": "genome index:0",
    "either": "index:0 | index:2",
    "loop": "@loop",
    "cond": "sql: priority = 5",
}


class Jobs:
    """Five jobs: three of human/genome_map in init, two run in it's 100%/x_y, the last is missing."""

    def __init__(self, workspace: Project, first: int, second: int) -> None:
        self.db = workspace.reader
        self.first, self.second = first, second
        self.missing = [JobKey(second, 1)]

    def matching(self, text: str) -> list[JobKey]:
        """The jobs that match, in order; with their short names g0 g1 g2 x0 x1."""
        query = parse(text, saved=SAVED)
        parts = search(self.db, "job.BatchID, job.JobIndex", query.condition, self.missing)
        return sorted(JobKey(*row) for part in parts for row in part.rows)

    def names(self, text: str) -> str:
        return " ".join(
            f"{'g' if k.batch_id == self.first else 'x'}{k.job_index}" for k in self.matching(text)
        )


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Jobs]:
    project = make_project(tmp_path_factory.mktemp("project"))
    first = add_batch(
        project, "human/genome_map", ["true"] * 3, organism="human", resources={"mem": "4gb", "cpus": 12},
        ratio=0.25, masked=True, tags=["a"],
    )  # fmt: skip
    second = add_batch(project, "it's 100%/x_y", ["true"] * 2, state="run", priority=5, batch_type="ribo")
    with Project(project) as ws:
        with ws.db.transaction() as tx:
            tx.connection.execute(
                "UPDATE job SET hostname = 'n' || (JobIndex + 11), started_at = ? WHERE BatchID = ?",
                (time.time() - 7200, second),
            )
            tx.connection.execute(
                "INSERT INTO ending VALUES (?, 1, 0, 0, 'out of memory', 137, 9, NULL, NULL, 0)", (second,)
            )
        yield Jobs(ws, first, second)


ALL, GENOME, OTHER = "g0 g1 g2 x0 x1", "g0 g1 g2", "x0 x1"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ALL),
        ("genome", GENOME),
        ("GENOME", GENOME),
        ("human map", GENOME),
        ("human mouse", ""),
        ("!genome", OTHER),
        ("it's", OTHER),
        ('"it\'s 100%"', OTHER),
        ("100%", OTHER),
        ("x_y", OTHER),
        ("xzy", ""),
        ("h*map", GENOME),
        ("name:genome", GENOME),
        ("name:=human/genome_map", GENOME),
        ("name:=genome", ""),
        ("name:~^human.*map$", GENOME),
        ("name:~^HUMAN", ""),
        ("~^h.m", GENOME),
        ("genome,x_y", ALL),
        ("type:ribo", OTHER),
        ("state:init", GENOME),
        ("state:in*", GENOME),
        ("state:init,complete", GENOME),
        ("!state:init", OTHER),
        ("state:run", "x0"),
        ("state:missing", "x1"),
        ("state:missing,run", OTHER),
        ("state:missing,init", "g0 g1 g2 x1"),
        ("!state:missing", "g0 g1 g2 x0"),
        ("-state:missing,init", "x0"),
        ("state:init | state:missing", "g0 g1 g2 x1"),
        ("priority:>1", OTHER),
        ("priority:5", OTHER),
        ("index:0-1", "g0 g1 x0 x1"),
        ("index:0,2", "g0 g2 x0"),
        ("index:1000000-2000000", ""),
        ("2", "g2"),
        ("attempt:0", ALL),
        ("exit:137", "x1"),
        ("exit:>1", "x1"),
        ("!exit:137", "g0 g1 g2 x0"),
        ("signal:9 reason:memory", "x1"),
        ("host:n11", "x0"),
        ("host:n1", OTHER),
        ("host:=n11", "x0"),
        ("host:~1[12]$", OTHER),
        ("-host:n11", "g0 g1 g2 x1"),
        ("age:<1h", ALL),
        ("age:>1h", ""),
        ("started:>1h", OTHER),
        ("elapsed:>1h", OTHER),
        ("elapsed:>1h<3h", "ERROR"),
        ("elapsed:>1h,<3h", OTHER),
        ("elapsed:>3h", ""),
        ("organism:human", GENOME),
        ("meta.organism:hum", GENOME),
        ("organism:=hum", ""),
        ("resources.mem:4gb", GENOME),
        ("resources.cpus:12", GENOME),
        ("resources.cpus:1", ""),
        ("resources.cpus:>=8", GENOME),
        ("ratio:>0.2 ratio:<0.3", GENOME),
        ("ratio:0.3", ""),
        ("masked:true", GENOME),
        ("masked:false", ""),
        ("has:masked", GENOME),
        ("!has:masked", OTHER),
        ("has:nothing", ""),
        ("tags:a", GENOME),
        ("nofield:x", ""),
        ("genome index:0 | x_y index:1", "g0 x1"),
        ("genome (index:0 | index:2)", "g0 g2"),
        ("genome !(index:0 OR index:2)", "g1"),
        ("genome AND NOT index:0", "g1 g2"),
        ("!(!genome)", GENOME),
        ("!!genome", GENOME),
        ("(genome", GENOME),
        ("genome)", ""),
        ("genome |", GENOME),
        ("genome !", GENOME),
        ("genome (", GENOME),
        ("()", ALL),
        ("state:init host:", GENOME),
        ("priority:>", ALL),
        ("@mine", "g0"),
        ("!@mine index:0", "x0"),
        ("@either genome", "g0 g2"),
        ("@cond", OTHER),
        ("sql: priority > 1 AND name LIKE '%x%'", OTHER),
        ("sql: missing", "x1"),
        ('name LIKE "%genome%" AND priority<5', GENOME),
        ("state == 'run'", OTHER),
        ("name REGEXP '^human'", GENOME),
        ("(attempt>0 OR priority=5)", OTHER),
    ],
)  # fmt: skip
def test_a_filter_matches(jobs: Jobs, text: str, expected: str) -> None:
    if expected == "ERROR":
        with pytest.raises(FilterError):
            jobs.names(text)
    else:
        assert jobs.names(text) == expected


@pytest.mark.parametrize("field", FIELDS)
def test_every_field_makes_a_condition_that_the_core_allows(jobs: Jobs, field: str) -> None:
    value = {"state": "x", "age": ">1h", "started": "<2d"}.get(field, "1")
    jobs.matching(f"{field}:{value}")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("age:soon", "write >2h"),
        ("exit:many", "write 3"),
        ("priority:>5m", "write 3"),
        ("name:~(", "no regular expression"),
        ("@nobody", "@mine"),
        ("@loop", "nested too deep"),
        ("log:x | genome", "log:"),
        ("genome | log:x", "log:"),
        ("!(log:x)", "log:"),
        ("(log:x)", "log:"),
        ("(" * 50 + "a", "nested too deep"),
    ],
)
def test_a_term_that_is_none_says_what_is_allowed(text: str, says: str) -> None:
    with pytest.raises(FilterError, match=says):
        parse(text, saved=SAVED)


def test_log_terms_are_kept_apart_since_no_row_holds_a_log() -> None:
    query = parse('genome log:"CUDA error" log:fatal')
    assert [term.text for term in query.log] == ["CUDA error", "fatal"]
    assert "CUDA" not in query.condition


def test_a_query_tells_whether_it_changes_with_the_clock_and_which_fields_it_names() -> None:
    assert parse("age:>2h").timed
    assert not parse("genome").timed
    assert parse("organism:human has:x resources.mem:4gb").fields == ("organism", "x", "resources.mem")


def test_ages_count_from_now() -> None:
    assert "1000000 - changed_at > 7200" in parse("age:>2h", 1_000_000.0).condition


# ------------------------------------------------------------------------------------ for any text

TERMS = (
    "genome",
    "x_y",
    "index:0",
    "index:1",
    "state:init",
    "state:missing",
    "host:n11",
    "organism:human",
    "exit:137",
)
PIECES = [*"'\"()|!-,>~=*x1%;\\\0 ", "@mine", "sql:", "state:", "name:", "a.b:", "OR ", "NOT ", "--"]

Formula = tuple[str, object]


def both(two: tuple[Formula, Formula]) -> Formula:
    return f"({two[0][0]} {two[1][0]})", ("and", two[0][1], two[1][1])


def either(two: tuple[Formula, Formula]) -> Formula:
    return f"({two[0][0]} | {two[1][0]})", ("or", two[0][1], two[1][1])


formulas = st.recursive(
    st.sampled_from(TERMS).map(lambda term: (term, term)),
    lambda inner: st.one_of(
        st.tuples(inner, inner).map(both),
        st.tuples(inner, inner).map(either),
        inner.map(lambda one: (f"!{one[0]}", ("not", one[1]))),
    ),
    max_leaves=6,
)


@given(formulas)
@settings(max_examples=60, deadline=None)
def test_and_or_and_not_mean_what_sets_say(jobs: Jobs, formula: Formula) -> None:
    everything = set(jobs.matching(""))

    def meaning(node: object) -> set[JobKey]:
        if isinstance(node, str):
            return set(jobs.matching(node))
        assert isinstance(node, tuple)
        if node[0] == "not":
            return everything - meaning(node[1])
        one, two = meaning(node[1]), meaning(node[2])
        return one & two if node[0] == "and" else one | two

    assert set(jobs.matching(formula[0])) == meaning(formula[1])


pieces = st.lists(st.sampled_from(PIECES), max_size=12).map("".join)


@given(st.one_of(pieces, st.text(max_size=30)))
@settings(max_examples=300, deadline=None)
def test_no_text_breaks_out_of_its_term_or_ends_in_anything_but_an_answer(jobs: Jobs, text: str) -> None:
    try:
        found = jobs.matching(text)
    except FilterError as error:
        assert str(error)
    else:
        assert set(found) <= set(jobs.matching(""))


@given(
    st.text(min_size=1, max_size=20).filter(lambda text: not set(text) & set("\"'*,") and text[0] not in "=~")
)
@settings(max_examples=200, deadline=None)
def test_a_text_in_quotes_is_only_a_text(jobs: Jobs, text: str) -> None:
    names = {"human/genome_map": 3, "it's 100%/x_y": 2}
    try:
        found = jobs.matching(f'name:"{text}"')
    except FilterError:
        assert any("\ud800" <= character <= "\udfff" for character in text)
        return
    lower = text.replace("\0", "").lower() if text.isascii() else text
    assert len(found) == sum(n for name, n in names.items() if lower in name)
