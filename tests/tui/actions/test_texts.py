"""The texts of actions: command lines, checks of typed values, proposals, explanations."""

from __future__ import annotations

import pytest

from paraschut_core import exit_kinds
from paraschut_core.model import JobKey
from paraschut_tui.actions.action_registry import ACTIONS
from paraschut_tui.actions.command_lines import LONGEST, command_line, spans
from paraschut_tui.actions.operations import wrong_field, wrong_number
from paraschut_tui.actions.resource_increase import ResourceIncrease, propose
from paraschut_tui.actions.types import ActionTarget, PreviewText


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
