"""No decision is made by an English sentence: behaviour stays the same with other words for people."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.helpers import ROOT, run_script

BEHAVIOUR = (
    # What becomes of jobs in actions.
    "test_a_forced_reset_takes_all",
    "test_a_resubmit_resets_and_submits_what_can_be",
    "test_a_resubmit_may_raise_the_resources_of_single_jobs",
    "test_a_job_that_is_submitted_again_after_the_look_is_left_alone_and_does_not_count_as_failed",
    "test_what_an_action_is_not_for_is_left_alone_and_has_not_failed",
    "test_a_resubmit_is_one_act_that_nobody_can_undo",
    "test_submissions_and_cleanings_are_in_the_history",
    "test_each_job_that_may_run_is_held_by_its_code",
    "test_what_is_in_no_queue_is_free",
    "test_what_changes_after_the_guard_looked_is_seen_inside_the_transaction",
    "test_a_deletion_takes_what_is_in_the_queue_and_counts_it",
    # What is taken back.
    "test_an_undo_brings_back_exactly_what_was",
    "test_undos_are_known_as_such_also_those_of_an_earlier_version",
    "test_an_act_that_changed_nothing_is_not_the_one_that_is_undone",
    "test_an_old_act_can_be_undone_however_many_others_came_after_it",
    "test_a_users_act_and_its_undoing_are_no_throughput",
    # How attempts ended.
    "test_failures_of_one_code_are_one_reason_however_they_are_worded",
    "test_jobs_whose_attempt_has_ended_neither_run_nor_are_waited_for",
    "test_an_ending_that_nobody_explains_yet_is_no_ending",
    "test_accounts_that_know_nothing_are_asked_seldom",
    "test_of_an_exit_status_0_after_a_signal_the_account_decides",
    "test_what_comes_next_is_submitted_once_the_account_says_that_a_chained_job_is_complete",
    "test_what_a_wrapper_said_is_shown_at_once_though_the_queue_still_shows_the_job",
    "test_a_job_that_is_back_in_the_queue_is_not_missing_whatever_was_said_of_its_last_run",
    "test_twice_of_what_a_job_ran_out_of_is_proposed",
    # What is missing, and what waits.
    "test_two_polls_without_it_and_the_grace_make_a_job_missing",
    "test_nothing_less_does",
    "test_a_scheduler_in_trouble_neither_makes_nor_unmakes_missing",
    "test_the_jobs_own_word_wins_over_its_absence",
    "test_every_batch_that_waits_has_a_reason_and_no_other_has",
    "test_jobs_that_cannot_be_taken_keep_no_room_from_others",
    "test_one_jobs_own_refusal_is_no_others",
    "test_a_removed_batch_takes_what_was_refused_of_it_along",
    # What happened to a log.
    "test_nothing_grown_truncated_rewritten",
    "test_replaced_deleted_appeared",
    "test_became_something_else",
)
"""Tests that compare no words for people. The rest of their files compare some, and would fail."""


def places() -> list[str]:
    """The tests of BEHAVIOUR as pytest takes them, wherever they are."""
    found: dict[str, str] = {}
    for path in sorted(Path(ROOT, "tests").rglob("test_*.py")):
        text = path.read_text()
        in_class = ""
        for line in text.splitlines():
            if line.startswith("class "):
                in_class = line[6:].partition("(")[0].rstrip(":") + "::"
            elif line.startswith(("def ", "async def ")):
                in_class = ""
            words = line.replace("async ", "").strip()
            name = words[4:].partition("(")[0] if words.startswith("def ") else ""
            if name in BEHAVIOUR:
                found[name] = f"{path}::{in_class}{name}"
    assert found.keys() == set(BEHAVIOUR), "a test was renamed or removed: name another"
    return list(found.values())


def test_behaviour_does_not_depend_on_the_words_of_messages_reasons_and_labels() -> None:
    options = ("-p", "tests.altered_words", "-p", "no:cacheprovider", "-n", "0", "-q", "--tb=short")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *places()],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]


def test_the_words_are_others_indeed() -> None:
    out = run_script(
        """
        import tests.altered_words
        from paraschut_core.errors import UsageError
        from paraschut_core.exit_kinds import UNKNOWN, kind_of_words
        from paraschut_core.model import ExitInfo, JobKey, MissingJob
        from paraschut_core.actions import ActionReport, JobResult, ResultKind
        told = ExitInfo("time limit", kind="time-limit")
        assert "time" not in told.reason and kind_of_words(told.reason) == UNKNOWN
        assert "gone" not in MissingJob(reason="gone from the queue", since=0.0).reason
        assert "killed" not in told._replace(reason="killed by signal 9").reason
        result = JobResult(JobKey(1, 2), ResultKind.SKIPPED, "it is complete")
        assert "complete" not in result.message and result.left
        assert ActionReport("reset", [result]).verb == "reset", "a code stays"
        assert "there" not in str(UsageError("There is no job"))
        print("altered")
        """
    )
    assert out == "altered\n"
