"""The filter language, judged by SQLite itself on a real database."""

from __future__ import annotations

import time

import pytest

from paraschut_core.db.filters import matching_keys
from paraschut_core.errors import FilterError
from paraschut_core.workspace import Workspace
from paraschut_tui.query import FIELDS, parse

from .project import add_batch, make_project


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    settings = make_project(tmp_path_factory.mktemp("project"))
    add_batch(settings, "human/genome_map", ["true"] * 3, organism="human")
    add_batch(settings, "it's 100%/x_y", ["true"] * 2, state="run", priority=5, batch_type="ribo")
    return Workspace(settings)


def matches(jobs: Workspace, text: str) -> int:
    return len(list(matching_keys(jobs.reader, parse(text).condition or "1")))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", 5),
        ("genome", 3),
        ("GENOME", 3),
        ("human map", 3),
        ("human mouse", 0),
        ("!genome", 2),
        ("it's", 2),
        ('"it\'s 100%"', 2),
        ("100%", 2),
        ("x_y", 2),
        ("xzy", 0),
        ("h*map", 3),
        ("name:genome", 3),
        ("type:ribo", 2),
        ("state:init", 3),
        ("state:init,complete", 3),
        ("!state:init", 2),
        ("priority:>1", 2),
        ("priority:5", 2),
        ("index:0-1", 4),
        ("index:0,2", 3),
        ("1", 3),
        ("attempt:0", 5),
        ("age:<1h", 5),
        ("age:>1h", 0),
        ("meta.organism:human", 3),
        ("sql: priority > 1 AND name LIKE '%x%'", 2),
        ('name LIKE "%genome%" AND priority<5', 3),
        ("state == 'run'", 2),
        ("state:init host:", 3),
    ],
)
def test_a_filter_matches(jobs: Workspace, text: str, expected: int) -> None:
    assert matches(jobs, text) == expected


@pytest.mark.parametrize("field", [name for name in FIELDS if not name.startswith("meta")])
def test_every_field_makes_a_condition_that_the_core_allows(jobs: Workspace, field: str) -> None:
    value = {"state": "x", "age": ">1h", "started": "<2d"}.get(field, "1")
    matches(jobs, f"{field}:{value}")


@pytest.mark.parametrize("text", ["nofield:x", "age:soon", "exit:many", "priority:>5m"])
def test_a_term_that_is_none_says_what_is_allowed(text: str) -> None:
    with pytest.raises(FilterError, match=r"write|there are"):
        parse(text)


def test_missing_is_asked_for_apart_since_no_row_says_it() -> None:
    only = parse("state:missing genome")
    assert only.lost is True
    assert "state IN ('run', 'spawn', 'submit')" in only.condition
    both = parse("state:missing,run")
    assert both.lost is False
    assert both.or_lost
    assert parse("!state:missing").lost is False


@pytest.mark.parametrize(
    "text", ["'", '"', "a'b", "name:'; DROP TABLE job", "state:'", "meta.a'b:c", "index:1-", "\\", "%"]
)
def test_no_text_breaks_out_of_its_term(jobs: Workspace, text: str) -> None:
    try:
        matches(jobs, text)
    except FilterError as error:
        assert "write" in str(error)


def test_ages_count_from_now() -> None:
    now = time.time()
    assert f"{now - 7200:.0f}" in parse("age:>2h", now).condition
