"""Grid Engine's answers, as captured from SGE 8.1.9, in our words."""

from __future__ import annotations

import time

import pytest

from paraschut_core.config import Settings
from paraschut_core.errors import SchedulerError
from paraschut_core.executors.batch.run_command import CommandResult
from paraschut_core.executors.batch.sge import SGEJobExecutor
from paraschut_core.executors.batch.sge_parser import (
    live_state,
    numbers,
    parse_deleted,
    parse_details,
    parse_endings,
    parse_qstat,
    parse_queues,
    parse_reasons,
    parse_submitted,
)
from paraschut_core.model import ENDED, ENDING, HELD, QUEUED, RUNNING, STUCK, DeleteResult, LiveJob
from tests.samples import sample


def test_a_queue_with_arrays_and_parallel_jobs() -> None:
    jobs = parse_qstat(sample("sge/qstat_xml").stdout)
    assert jobs["4.3"] == LiveJob("4.3", RUNNING, "", "job.sh", "", "localhost")
    assert jobs["6"].state == RUNNING
    assert jobs["9"].state == QUEUED
    assert jobs["7"].state == HELD
    assert jobs["11"].state == STUCK
    assert {"5.1", "5.3", "5.5", "5.7", "5.9"} == {id_ for id_ in jobs if id_.startswith("5.")}


def test_waiting_tasks_are_told_one_by_one() -> None:
    jobs = parse_qstat(sample("sge/qstat_array").stdout)
    assert list(jobs) == ["12.1", "12.4", "12.5", "12.6"]
    assert jobs["12.5"] == LiveJob("12.5", HELD, "ab12cd34ef-5", "pab12cd34ef_x", "on hold")


def test_no_jobs() -> None:
    assert parse_qstat(sample("sge/qstat_empty_xml").stdout) == {}


def test_its_own_broken_entity_is_read() -> None:
    text = sample("sge/qstat_array").stdout.replace("pab12cd34ef_x", "a%lt;b&gt;")
    assert parse_qstat(text)["12.1"].name == "a<b>"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "error: commlib error: got select error (Connection refused)\n",
        "<html><body>502</body></html>",
        "<?xml version='1.0'?>\n<unknown_jobs ><ST_name>9999</ST_name></unknown_jobs>",
        sample("sge/qstat_xml").stdout[:900],
    ],
)
def test_garbage_and_cut_answers_are_errors(text: str) -> None:
    with pytest.raises(SchedulerError):
        parse_qstat(text)


@pytest.mark.parametrize(
    ("letters", "state"),
    [
        ("qw", QUEUED),
        ("hqw", HELD),
        ("r", RUNNING),
        ("t", RUNNING),
        ("hr", RUNNING),
        ("Rr", RUNNING),
        ("Rq", QUEUED),
        ("hRwq", HELD),
        ("Rt", RUNNING),
        ("hRr", RUNNING),
        ("Eqw", STUCK),
        ("Ehqw", STUCK),
        ("EhRqw", STUCK),
        ("dr", ENDING),
        ("dt", ENDING),
        ("dRr", ENDING),
        ("ds", ENDING),
        ("dT", ENDING),
        ("dhr", ENDING),
        ("dS", ENDING),
        ("s", HELD),
        ("S", HELD),
        ("T", HELD),
        ("Rs", HELD),
        ("hs", HELD),
        ("N", HELD),
        ("z", ENDED),
        ("", "unknown"),
        ("k", "k"),
    ],
)
def test_states(letters: str, state: str) -> None:
    assert live_state(letters)[0] == state


def test_ranges_of_tasks() -> None:
    assert numbers("1,2,5-10:1") == [1, 2, 5, 6, 7, 8, 9, 10]
    assert numbers("5-9:2") == [5, 7, 9]
    assert numbers("3") == [3]
    assert numbers("") == []


def test_why_jobs_are_in_error_state() -> None:
    told = 'can\'t stat() "/home/alice/nope/out" as stdout_path: Permission denied'
    assert parse_reasons(sample("sge/qstat_j_eqw").stdout) == {"10.1": told, "10": told}
    two = parse_reasons(sample("sge/qstat_j_eqw_two").stdout)
    assert two["16"] == 'can\'t open output file "/nowhere/x": No such file or directory'
    assert two["18.2"] == 'can\'t open output file "/nowhere/x.2": No such file or directory'


def test_queues_and_their_limits() -> None:
    text = (
        "qname                 all.q\nslots                 16,[n1=8], \\\n                      [n2=8]\n"
        "h_rt                  INFINITY\nqname                 short.q\nslots                 4\n"
        "h_rt                  01:00:00\n"
    )
    assert list(parse_queues(text)) == [
        "queue all.q: slots 16,[n1=8], [n2=8], time limit none",
        "queue short.q: slots 4, time limit 01:00:00",
    ]


def test_details_of_a_job() -> None:
    details = parse_details(sample("sge/qstat_j_eqw").stdout)
    assert details["job_number"] == "10"
    assert details["stdout_path_list"] == "NONE:NONE:/home/alice/nope/out"


@pytest.mark.parametrize(
    ("text", "id_"),
    [
        (sample("sge/qsub_terse").stdout, "3"),
        (sample("sge/qsub_array_terse").stdout, "5"),
        ("warning: project is ignored\n12\n", "12"),
        ("", None),
        ("12\nHours left:\n17\n", None),
        ("Your group has 17 slots\n12.1-3:1\n", None),
        ('Your job 3 ("x") has been submitted\n', None),
    ],
)
def test_the_id_of_a_submission(text: str, id_: str | None) -> None:
    assert parse_submitted(text) == id_


@pytest.mark.parametrize(
    ("name", "certain"),
    [("bad_res", True), ("bad_queue", True), ("max_u_jobs", True), ("down_qsub", True), ("hung_qsub", False)],
)
def test_whether_a_failed_submission_is_certain(name: str, certain: bool) -> None:
    captured = sample(f"sge/{name}")
    answer = CommandResult(("qsub",), 1, captured.stdout, captured.stderr, 0.1)
    assert SGEJobExecutor(settings=Settings()).is_rejected(answer) is certain


def deleted(name: str, *ids: str) -> dict[str, DeleteResult]:
    captured = sample(f"sge/{name}")
    return parse_deleted(captured.status, f"{captured.stderr}\n{captured.stdout}", ids)


GONE = DeleteResult(True)


def test_deleting() -> None:
    assert deleted("qdel_mixed", "7", "9999", "11") == dict.fromkeys(["7", "9999", "11"], GONE)
    assert deleted("qdel_array", "5.1", "5.3", "5.7") == dict.fromkeys(["5.1", "5.3", "5.7"], GONE)
    ids = ["12.2", "12.3", "12.99", "999.4"]
    assert deleted("qdel_tasks", *ids) == dict.fromkeys(ids, GONE)
    assert deleted("qdel_repeated", "12.2") == {"12.2": GONE}
    assert deleted("qdel_task", "4.2", "4.3") == dict.fromkeys(["4.2", "4.3"], GONE)
    assert deleted("qdel_comma", "4.1", "9998") == dict.fromkeys(["4.1", "9998"], GONE)
    assert deleted("tasks_xml", "39.3", "39.4") == dict.fromkeys(["39.3", "39.4"], GONE)


def test_deleting_that_fails() -> None:
    (denied,) = deleted("qdel_other_user", "8").values()
    assert not denied.gone
    assert "privileges" in denied.error
    (down,) = deleted("down_qdel", "1").values()
    assert not down.gone
    assert "unable to send message" in down.error or "commlib" in down.error
    both = deleted("qdel_garbage", "3", "4")
    assert not any(outcome.gone for outcome in both.values())


SINCE = time.mktime((2026, 11, 22, 0, 0, 0, 0, 0, -1))


def test_endings_by_the_accounts() -> None:
    wanted = {"7", "9", "13", "14", "15", "17.1", "17.2", "99"}
    found = parse_endings(sample("sge/qacct_user").stdout, wanted, SINCE)
    assert {id_: ending[:4] for id_, ending in found.items()} == {
        "7": ("killed by signal 9 (SIGKILL)", None, 9, "localhost"),
        "9": ("time limit 00:00:02", None, None, "localhost"),
        "13": ("time limit 00:00:02", None, None, "localhost"),
        "14": ("exit status 3", 3, None, "localhost"),
        "15": ("killed by signal 9 (SIGKILL)", None, 9, "localhost"),
        "17.1": ("exit status 1", 1, None, "localhost"),
        "17.2": ("exit status 2", 2, None, "localhost"),
    }
    assert found["17.1"].record["name"] == "parr000001_y"


def test_an_earlier_job_of_the_same_number_does_not_count() -> None:
    text = sample("sge/qacct_ok").stdout
    submitted = time.mktime(time.strptime("Sun Nov 22 12:23:01 2026", "%a %b %d %H:%M:%S %Y"))
    assert "3" in parse_endings(text, {"3"}, submitted - 1)
    assert parse_endings(text, {"3"}, submitted + 3600) == {}


FINE = "failed       0    "
LIMIT = "failed       37  : qmaster enforced h_rt, h_cpu, or h_vmem limit"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({FINE: "failed       26  : opening input/output file"}, "could not write its log on localhost"),
        ({FINE: "failed       19  : before writing exit_status"}, "lost on localhost: nobody saw its end"),
        ({FINE: "failed       21  : in recognizing job"}, "failed on localhost: in recognizing job"),
        ({"exit_status  0": "exit_status  143    (Terminated)"}, "killed by signal 15 (SIGTERM)"),
        ({FINE: LIMIT, "category     NONE": "category     -l h_vmem=3G"}, "out of memory (h_vmem)"),
        (
            {
                FINE: LIMIT,
                "category     NONE": "category     -l h_cpu=10,h_vmem=3G",
                "cpu          0.019s": "cpu          11.019s",
            },
            "CPU time limit 00:00:10",
        ),
    ],
)
def test_endings_in_words(changes: dict[str, str], reason: str) -> None:
    text = sample("sge/qacct_ok").stdout
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    assert parse_endings(text, {"3"}, SINCE)["3"].reason == reason


def test_a_job_that_was_put_back_has_not_ended() -> None:
    text = sample("sge/qacct_ok").stdout
    again = text.replace("failed       0    ", "failed       25  : rescheduling")
    assert parse_endings(again, {"3"}, SINCE) == {}
    assert parse_endings(again + text, {"3"}, SINCE)["3"].reason == "exit status 0"


def test_paths_that_its_options_cannot_hold_are_told_before() -> None:
    executor = SGEJobExecutor(settings=Settings(job_dir="/data/a:b"))
    assert "do not take : in paths" in executor.check({"script": "true"})
