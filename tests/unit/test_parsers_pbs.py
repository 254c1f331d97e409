"""PBS's answers, as captured from OpenPBS 23.06, in our words."""

from __future__ import annotations

import time

import pytest

from paraschut_core.config import Settings
from paraschut_core.errors import SchedulerError, UsageError
from paraschut_core.executors.batch.pbs import PBSJobExecutor
from paraschut_core.executors.batch.pbs_parser import (
    parse_deleted,
    parse_endings,
    parse_full,
    parse_records,
    parse_submitted,
    parse_table,
    ranges,
)
from paraschut_core.executors.batch.run_command import CommandResult
from paraschut_core.executors.exit_info import job_name, token_of
from paraschut_core.model import ENDED, ENDING, HELD, QUEUED, RUNNING, STUCK, DeleteResult, LiveJob
from tests.samples import sample

SINCE = time.mktime((2026, 11, 22, 0, 0, 0, 0, 0, -1))


def test_a_queue_of_all_kinds() -> None:
    jobs = parse_table(sample("pbs/126_qstat_s").stdout)
    assert {id_: (job.state, job.reason) for id_, job in jobs.items()} == {
        "18": (RUNNING, ""),
        "20": (HELD, ""),
        "21": (QUEUED, "waiting for its time"),
        "22": (HELD, ""),
        "23": (QUEUED, "Queue not started."),
        "24": (RUNNING, ""),
        "29": (ENDING, ""),
    }  # 25[] and 26[] are whole arrays: their tasks are listed by themselves


def test_hosts_are_told() -> None:
    jobs = parse_table(sample("pbs/127_qstat_n1").stdout)
    assert {id_: job.host for id_, job in jobs.items() if job.host} == dict.fromkeys(
        ["18", "24", "29"], "pbshost"
    )


def test_the_wide_table_and_memory_in_two_words() -> None:
    assert parse_table(sample("pbs/128_qstat_w").stdout)["23"].name == "parked"
    assert parse_table(sample("pbs/021_qstat_u").stdout)["13"].state == RUNNING  # `100 b` of memory


def test_tasks_of_arrays_and_cut_names() -> None:
    jobs = parse_table(sample("pbs/816_qstat_tu").stdout)
    assert list(jobs) == ["1", "2[1]", "2[2]", "2[3]"]
    assert jobs["1"].name == "a_rather_"


def test_the_table_that_we_ask_for() -> None:
    jobs = parse_table(sample("pbs/qstat_as_asked").stdout)
    assert jobs["13082[1]"] == LiveJob("13082[1]", RUNNING, "ab12cd34ef-1", "pab12cd34ef_x", "", "pbshost")
    assert (jobs["13082[4]"].state, jobs["13082[4]"].token) == (QUEUED, "ab12cd34ef-4")
    told = {id_: (job.state, job.token, job.reason) for id_, job in jobs.items()}
    assert told["13083"] == (QUEUED, "big0000001-1", "Not enough free nodes available")
    assert told["13084"] == (
        STUCK,
        "never00001-1",
        "Can Never Run: Insufficient amount of resource: ncpus (R: 600 A: 8 T: 8)",
    )
    assert told["13085"] == (HELD, "held00001-1", "")
    assert told["13086"] == (QUEUED, "later0001-1", "waiting for its time")
    assert told["13088"] == (QUEUED, "mem0000001-1", "Not enough free nodes available")  # `100 b` of memory
    assert told["13078"] == (ENDING, "e766028c51-1", "")
    assert told["13092"] == (HELD, "", "")


def test_hosts_of_several_nodes_and_times_that_push_the_columns() -> None:
    row = "25[1].pbshost pbsuser workq pab12cd34ef 1101 1 2 100gb 1120:00 R 1119:00 n1/0*4+n2/3"
    assert parse_table(f"-----\n{row}\n   Job run at Sun Nov 22 at 12:40 on (n1:ncpus=2)\n") == {
        "25[1]": LiveJob("25[1]", RUNNING, "ab12cd34ef-1", "pab12cd34ef", "", "n1+n2")
    }


def test_no_jobs() -> None:
    assert parse_table("") == {}
    assert parse_records("", "pbsuser") == {}


@pytest.mark.parametrize(
    "text", ["<html>502</html>", "12.pbshost pbsuser workq", sample("pbs/qstat_as_asked").stdout[:960]]
)
def test_garbage_and_cut_answers_are_errors(text: str) -> None:
    with pytest.raises(SchedulerError):
        parse_table(text)


def test_whole_records_unwrapped() -> None:
    wrapped = parse_full(sample("pbs/129_qstat_f_run").stdout)["24"]
    assert wrapped["Variable_List"].endswith("SL=300,PBS_O_QUEUE=workq,PBS_O_HOST=pbshost")
    assert wrapped["Resource_List.select"] == "1:ncpus=1"
    unwrapped = parse_full("Job Id: 0.pbshost\n" + sample("pbs/960_qstat_fwx").stdout)
    assert unwrapped


def test_listings_of_other_servers() -> None:
    jobs = parse_records(sample("pbs/129_qstat_f_run").stdout, "pbsuser")
    assert jobs == {"24": LiveJob("24", RUNNING, "", "running", "", "pbshost")}
    assert parse_records(sample("pbs/129_qstat_f_run").stdout, "somebody") == {}
    like = parse_records(sample("pbs/torque_style_qstat_f").stdout, "hs_alice")
    assert like == {"22": LiveJob("22", RUNNING, "", "longarr", "", "n1")}
    with pytest.raises(SchedulerError):
        parse_records("<html>", "pbsuser")


@pytest.mark.parametrize(
    ("name", "id_", "ending"),
    [
        ("137_qstat_xf_finished", "15", ("exit status 0", 0, None, "pbshost")),
        ("140_qstat_xf_selfkill", "17", ("killed by signal 9 (SIGKILL)", None, 9, "pbshost")),
        ("141_qstat_xf_walltime", "18", ("time limit 00:00:02", None, None, "pbshost")),
        ("143_qstat_xf_noexe", "27", ("could not start its script on pbshost", 254, None, "pbshost")),
        ("427_xf", "73", ("cancelled", None, None, "")),
        ("433_xf_deleted_running", "75", ("cancelled by pbsuser", None, 15, "pbshost")),
        ("445_arr_sub_xf", "76[1]", ("exit status 0", 0, None, "pbshost")),
    ],
)
def test_endings_by_the_history(name: str, id_: str, ending: tuple[object, ...]) -> None:
    text = sample(f"pbs/{name}").stdout
    found = parse_endings(text, {id_, "999"}, SINCE)
    assert {key: value[:4] for key, value in found.items()} == {id_: ending}
    assert parse_endings(text, {id_}, SINCE + 7 * 86400) == {}  # an earlier job of that number


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        ("3", "exit status 3"),
        ("137", "killed by signal 9 (SIGKILL)"),
        ("271", "killed by signal 15 (SIGTERM)"),
        ("-27", "out of memory (mem)"),
        ("-26", "out of memory (vmem)"),
        ("-28", "CPU time limit"),
        ("-1", "could not run: Job run at Sun Nov 22 at 12:40 on (pbshost:ncpus=1) and finished"),
        ("", "ended without an exit status"),
    ],
)
def test_endings_in_words(status: str, reason: str) -> None:
    text = sample("pbs/137_qstat_xf_finished").stdout.replace("Exit_status = 0", f"Exit_status = {status}")
    assert parse_endings(text, {"15"}, SINCE)["15"].reason == reason


def test_what_has_not_ended_has_no_ending() -> None:
    assert parse_endings(sample("pbs/129_qstat_f_run").stdout, {"24"}, SINCE) == {}
    assert parse_endings(sample("pbs/145_qstat_xf_badout").stdout, {"29"}, SINCE) == {}


@pytest.mark.parametrize(
    ("text", "id_"),
    [
        (sample("pbs/001_qsub_plain").stdout, "1"),
        (sample("pbs/110_qsub_array").stdout, "25"),
        ("qsub: waiting\n7.pbshost.example.org\n", "7"),
        ("8\n", "8"),
        ("12.pbshost\nCore hours left:\n17.00\n", None),
        ("12[].pbshost\n17.00\n", None),
        ("", None),
    ],
)
def test_the_id_of_a_submission(text: str, id_: str | None) -> None:
    assert parse_submitted(text) == id_


@pytest.mark.parametrize("name", ["010_qsub_badqueue", "012_qsub_badresource", "602_down_qsub"])
def test_refusals_are_certain(name: str) -> None:
    captured = sample(f"pbs/{name}")
    answer = CommandResult(("qsub", "job.sh"), captured.status, captured.stdout, captured.stderr, 0.1)
    executor = PBSJobExecutor(settings=Settings())
    assert captured.status > 0
    assert executor.is_rejected(answer)
    assert not executor.is_rejected(answer._replace(stderr="qsub: Connection reset by peer"))


@pytest.mark.parametrize(
    ("name", "id_", "gone"),
    [
        ("420_qdel_ok", "72", True),
        ("421_qdel_again", "72", True),
        ("422_qdel_unknown", "99999", True),
        ("446_qdel_arr_finished", "76", True),
        ("603_down_qdel", "1", False),
        ("957_qdel_mom_dead", "30", False),
        ("423_qdel_bad", "30", False),
    ],
)
def test_deleting(name: str, id_: str, gone: bool) -> None:
    captured = sample(f"pbs/{name}")
    outcome = parse_deleted(captured.status, f"{captured.stdout}\n{captured.stderr}", [id_])
    assert outcome[id_].gone is gone
    assert bool(outcome[id_].error) is not gone


def test_deleting_tasks_in_a_row() -> None:
    ids = ["25[2]", "25[3]", "25[4]"]
    assert parse_deleted(0, "", ids) == dict.fromkeys(ids, DeleteResult(True))
    assert parse_deleted(35, "qdel: Job has finished 25[2-4].pbshost\n", ids) == dict.fromkeys(
        ids, DeleteResult(True)
    )
    refused = "qdel: Unauthorized Request  25[2-4].pbshost\n"
    assert parse_deleted(159, refused, ids) == dict.fromkeys(ids, DeleteResult(False, "Unauthorized Request"))
    text = "qdel: Unauthorized Request  25[3].pbshost\nqdel: Request invalid for state of job 25[4].pbshost\n"
    assert parse_deleted(159, text, ids) == {
        "25[2]": DeleteResult(True),
        "25[3]": DeleteResult(False, "Unauthorized Request"),
        "25[4]": DeleteResult(True),
    }


def test_no_two_jobs_but_tasks_in_a_row_share_an_argument() -> None:
    ids = ["7", "9[3]", "9[1]", "9[2]", "8[5]", "9[7]", "7", "10"]
    assert dict(ranges(ids)) == {
        "7": ["7"],
        "10": ["10"],
        "9[1-3]": ["9[1]", "9[2]", "9[3]"],
        "9[7]": ["9[7]"],
        "8[5]": ["8[5]"],
    }


def test_ended_tasks_stay_visible_as_ended() -> None:
    row = "443[3].pbshost pbsuser workq pab12cd34ef -- 1 1 -- -- X --"
    assert parse_table(f"-----\n{row}\n")["443[3]"].state == ENDED


def test_the_token_fits_into_the_short_names_of_older_servers() -> None:
    for number in (1, 999):
        name = job_name("ab12cd34ef", number, "human/genome map", 15)
        assert len(name) <= 15
        assert token_of(name) == f"ab12cd34ef-{number}"
    assert token_of(job_name("ab12cd34ef", None, "x", 15), 7) == "ab12cd34ef-7"
    with pytest.raises(UsageError):
        job_name("a" * 20, 1, "x", 15)


@pytest.mark.parametrize("name", ["a/b c", "日本語", "", "-x", "a\nb", "x" * 300, "1abc", "a:b@c*d?e\\f"])
def test_names_in_the_queue_are_legal_everywhere(name: str) -> None:
    made = job_name("ab12cd34ef", 1, name, 63)
    assert made.isascii()
    assert set(made) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._+-")
    assert made[0] == "p"
    assert len(made) <= 63
    assert token_of(made) == "ab12cd34ef-1"
