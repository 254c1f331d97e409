"""Slurm's answers, as captured from Slurm 22.05, in our words."""

from __future__ import annotations

import pytest

from paraschut_core import exit_kinds
from paraschut_core.config import Settings
from paraschut_core.errors import SchedulerError
from paraschut_core.executors.batch.run_command import CommandResult
from paraschut_core.executors.batch.slurm import SlurmJobExecutor
from paraschut_core.executors.batch.slurm_parser import (
    collapse,
    exit_code,
    expand,
    live_state,
    parse_config,
    parse_deleted,
    parse_endings,
    parse_record,
    parse_squeue,
    parse_submitted,
)
from paraschut_core.model import ENDED, ENDING, HELD, QUEUED, RUNNING, STUCK, DeleteResult, LiveJob
from tests.samples import Sample, sample


def answer(captured: Sample) -> CommandResult:
    return CommandResult(("sbatch", "job.sh"), captured.status, captured.stdout, captured.stderr, 0.1)


def test_a_queue_of_all_kinds() -> None:
    jobs = parse_squeue(sample("slurm/squeue_all_kinds").stdout)
    assert jobs["31_5"] == LiveJob(
        "31_5", ENDED, "ab12cd34ef-5", "pab12cd34ef_human-map", "NonZeroExitCode", "n1"
    )
    states = {id_: (job.state, job.reason, job.token) for id_, job in jobs.items()}
    assert states["60_4"] == (QUEUED, "Resources", "cancarray-4")
    assert states["58"] == (STUCK, "DependencyNeverSatisfied", "dep000001-1")
    assert states["57"] == (QUEUED, "BeginTime", "requeue01-1")
    assert states["53"] == (RUNNING, "", "time00001-1")
    assert states["59"] == (HELD, "", "susp00001-1")
    assert states["56"] == (ENDED, "NodeDown", "node00001-1")
    assert jobs["32"].ending is not None
    assert jobs["32"].ending.exit_status == 0
    assert jobs["55"].ending is None  # squeue does not tell how it failed


def test_jobs_that_wait() -> None:
    jobs = parse_squeue(sample("slurm/squeue_waiting").stdout)
    assert (jobs["33"].state, jobs["33"].reason) == (HELD, "JobHeldUser")
    assert (jobs["41"].state, jobs["41"].reason) == (STUCK, "PartitionTimeLimit")
    assert (jobs["42"].state, jobs["42"].reason) == (QUEUED, "PartitionDown")
    assert jobs["39"].reason == "Priority"


def test_names_may_hold_the_separator_and_newlines() -> None:
    jobs = parse_squeue(sample("slurm/squeue_waiting").stdout)
    assert jobs["34"].name == "odd|name with | bars"
    assert jobs["35"].name == "two"
    assert "lines" not in jobs
    assert len(jobs) == 21


def test_an_array_that_ended_while_it_waited_has_no_token_of_its_own() -> None:
    assert parse_squeue("47|CANCELLED||JobHeldUser|pab12cd34ef_x\n")["47"].token == ""


def test_no_jobs() -> None:
    assert parse_squeue("") == {}
    assert parse_squeue("CLUSTER: ci\n") == {}


@pytest.mark.parametrize(
    "text",
    ["<html>502 Bad Gateway</html>", "JOBID PARTITION NAME", "12|RUNNING|n1", "12|RUNNING\n13|PENDING||"],
)
def test_garbage_is_an_error(text: str) -> None:
    with pytest.raises(SchedulerError):
        parse_squeue(text)


@pytest.mark.parametrize(
    ("state", "reason", "ours"),
    [
        ("PENDING", "Priority", QUEUED),
        ("PENDING", "Resources", QUEUED),
        ("PENDING", "BeginTime", QUEUED),
        ("PENDING", "Dependency", QUEUED),
        ("PENDING", "JobArrayTaskLimit", QUEUED),
        ("PENDING", "QOSMaxJobsPerUserLimit", QUEUED),
        ("PENDING", "QOSMaxCpuPerUserLimit", QUEUED),
        ("PENDING", "AssocGrpCpuLimit", QUEUED),
        ("PENDING", "ReqNodeNotAvail, UnavailableNodes:n[1-2]", QUEUED),
        ("PENDING", "PartitionDown", QUEUED),
        ("PENDING", "JobHeldAdmin", HELD),
        ("PENDING", "JobHeldUser", HELD),
        ("PENDING", "ReservationDeleted", HELD),
        ("PENDING", "launch failed requeued held", STUCK),
        ("PENDING", "user env retrieval failed requeued held", STUCK),
        ("PENDING", "JobHoldMaxRequeue", STUCK),
        ("PENDING", "PartitionTimeLimit", STUCK),
        ("PENDING", "PartitionConfig", STUCK),
        ("PENDING", "BadConstraints", STUCK),
        ("PENDING", "DependencyNeverSatisfied", STUCK),
        ("PENDING", "QOSMaxWallDurationPerJobLimit", STUCK),
        ("PENDING", "QOSMaxCpuPerNode", STUCK),
        ("PENDING", "QOSMinGRES", STUCK),
        ("PENDING", "AssocMaxNodePerJobLimit", STUCK),
        ("PENDING", "MaxMemPerLimit", STUCK),
        ("PENDING", "AccountNotAllowed", STUCK),
        ("PENDING", "Job's QOS not permitted to use this partition (main allows vip not normal)", STUCK),
        ("CONFIGURING", "None", QUEUED),
        ("POWER_UP_NODE", "None", QUEUED),
        ("REQUEUED", "None", QUEUED),
        ("REQUEUE_FED", "None", QUEUED),
        ("EXPEDITING", "None", QUEUED),
        ("REQUEUE_HOLD", "JobHeldUser", HELD),
        ("SPECIAL_EXIT", "JobHeldUser", HELD),
        ("RESV_DEL_HOLD", "ReservationDeleted", HELD),
        ("SUSPENDED", "None", HELD),
        ("STOPPED", "None", HELD),
        ("RUNNING", "None", RUNNING),
        ("RESIZING", "None", RUNNING),
        ("SIGNALING", "None", RUNNING),
        ("REVOKED", "None", RUNNING),
        ("COMPLETING", "NonZeroExitCode", ENDING),
        ("STAGE_OUT", "None", ENDING),
        ("UPDATE_DB", "None", ENDING),
        ("BOOT_FAIL", "None", ENDED),
        ("CANCELLED", "None", ENDED),
        ("COMPLETED", "None", ENDED),
        ("DEADLINE", "DeadLine", ENDED),
        ("FAILED", "NonZeroExitCode", ENDED),
        ("LAUNCH_FAILED", "None", ENDED),
        ("NODE_FAIL", "NodeDown", ENDED),
        ("OUT_OF_MEMORY", "OutOfMemory", ENDED),
        ("PREEMPTED", "None", ENDED),
        ("RECONFIG_FAIL", "None", ENDED),
        ("TIMEOUT", "TimeLimit", ENDED),
        ("SOMETHING_NEW", "None", "SOMETHING_NEW"),
    ],
)
def test_states(state: str, reason: str, ours: str) -> None:
    assert live_state(state, reason) == ours


ENDINGS = {
    "31_1": ("exit status 1", 1, None, "n1"),
    "31_6": ("exit status 6", 6, None, "n1"),
    "32": ("exit status 0", 0, None, "n1"),
    "46": ("cancelled", None, None, ""),
    "47_3": ("cancelled", None, None, ""),
    "51": ("killed by signal 9 (SIGKILL)", None, 9, "n1"),
    "52": ("could not write its log on n1: is JobDir there?", None, None, "n1"),
    "54": ("cancelled", None, 15, "n1"),
    "55": ("exit status 3", 3, None, "n1"),
    "56": ("node failed: n2", None, 15, "n2"),
    "62": ("killed by signal 9 (SIGKILL)", None, 9, "n1"),
}


def test_endings_while_the_controller_remembers() -> None:
    rows = sample("slurm/squeue_remembered").stdout.splitlines()
    found = parse_endings(rows, {*ENDINGS, "57", "60_1", "999"})
    assert {id_: ending[:4] for id_, ending in found.items()} == ENDINGS


def test_endings_by_the_accounts() -> None:
    rows = sample("slurm/sacct_fields").stdout.splitlines()
    wanted = {"1_2", "2", "3", "4", "5", "6", "7", "8_1", "9", "77"}
    reasons = {id_: ending.reason for id_, ending in parse_endings(rows, wanted).items()}
    assert reasons.pop("6").startswith("cancelled by ")  # a name, or the number where there is none
    assert reasons.pop("9").startswith("cancelled by ")
    assert reasons == {
        "1_2": "exit status 2",
        "2": "exit status 0",
        "3": "killed by signal 9 (SIGKILL)",
        "4": "could not write its log on n1: is JobDir there?",
        "5": "time limit 00:01:00",
        "7": "node failed: n2",
        "8_1": "exit status 0",
    }


def test_the_name_in_the_accounts_leads_to_the_token() -> None:
    rows = sample("slurm/sacct_fields").stdout.splitlines()
    assert parse_endings(rows, {"1_2"})["1_2"].record["name"] == "pab12cd34ef_human-map"
    assert parse_endings(rows, {"9"})["9"].record["name"] == "odd|name"


@pytest.mark.parametrize("state", ["OUT_OF_MEMORY", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL"])
@pytest.mark.parametrize("code", ["0:125", "0:53", "32000", "13568"])
def test_what_slurm_writes_in_place_of_a_signal_is_none(state: str, code: str) -> None:
    (ending,) = parse_endings([f"12|{state}|{code}|10:00|n3|2026-11-22T16:00:50|pabc-1_x"], {"12"}).values()
    assert ending.signal is None
    assert ending.kind not in (exit_kinds.SIGNAL, "")


@pytest.mark.parametrize(
    ("state", "code", "reason"),
    [
        ("OUT_OF_MEMORY", "0:125", "out of memory on n3"),
        ("FAILED", "0:125", "out of memory on n3"),
        ("PREEMPTED", "0:0", "preempted on n3"),
        ("DEADLINE", "0:0", "deadline passed"),
        ("BOOT_FAIL", "0:0", "node did not boot: n3"),
        ("FAILED", "2:0", "exit status 2"),
        ("FAILED", "137:0", "killed by signal 9 (SIGKILL)"),
        ("RECONFIG_FAIL", "0:0", "reconfig fail on n3"),
        ("TIMEOUT", "0:15", "time limit 1:30:00".replace("1:30", "01:30")),
    ],
)
def test_endings_in_words(state: str, code: str, reason: str) -> None:
    row = f"5|{state}|{code}|01:30:00|n3|2026-11-22T12:00:00|pabc-1"
    assert parse_endings([row], {"5"})["5"].reason == reason


def test_a_job_that_never_got_a_node_was_not_killed() -> None:
    row = "6|FAILED|0:1|00:10:00|None assigned|2026-11-22T12:00:00|pabc-1"
    assert parse_endings([row], {"6"})["6"].reason == "failed before it started"


def test_what_runs_has_no_ending() -> None:
    rows = ["5|RUNNING|0:0|10:00|n1|x|p", "6|PENDING|0:0|10:00||x|p", "7|COMPLETING|0:0|10:00|n1|x|p", "cut"]
    assert parse_endings(rows, {"5", "6", "7"}) == {}


@pytest.mark.parametrize(
    ("code", "pair"),
    [("3:0", (3, 0)), ("0:9", (0, 9)), ("768", (3, 0)), ("9", (0, 9)), ("", (0, 0)), ("x:y", (0, 0))],
)
def test_exit_codes(code: str, pair: tuple[int, int]) -> None:
    assert exit_code(code) == pair


def test_ranges_of_ids() -> None:
    assert expand("10_[3-5%2]") == ["10_3", "10_4", "10_5"]
    assert expand("10_[1,7-9]") == ["10_1", "10_7", "10_8", "10_9"]
    assert expand("10_[1-7:3]") == ["10_1", "10_4", "10_7"]
    assert expand("10_3") == ["10_3"]
    assert expand("10") == ["10"]
    assert collapse(["7", "10_3", "10_1", "10_2", "11_5"]) == ["7", "10_[1-3]", "11_5"]
    tasks = [f"10_{n}" for n in (1, 2, 3, 9, 11, 12)]
    assert expand(collapse(tasks)[0]) == tasks


@pytest.mark.parametrize(
    ("text", "id_"),
    [
        (sample("slurm/sbatch_parsable").stdout, "1"),
        ("17;ci\n", "17"),
        ("sbatch: warning: something\n18\n", "18"),
        (sample("slurm/sbatch_plain").stdout, None),
        ("", None),
        ("18 19\n", None),
        ("101\nCore hours left:\n48210\n", None),
        ("Submitted batch job 101\nCore hours left:\n48210\n", None),
        ("101;amber\nUsed: 12 of 50\n", None),
    ],
)
def test_the_id_of_a_submission(text: str, id_: str | None) -> None:
    assert parse_submitted(text) == id_


@pytest.mark.parametrize(
    ("name", "certain"),
    [
        ("err_badpartition", True),
        ("err_badopt", True),
        ("err_mem", True),
        ("down_sbatch", True),
        ("munge_down_sbatch", True),
        ("hang_sbatch", False),
    ],
)
def test_whether_a_failed_submission_is_certain(name: str, certain: bool) -> None:
    executor = SlurmJobExecutor(settings=Settings())
    assert executor.is_rejected(answer(sample(f"slurm/{name}"))) is certain


def test_deleting() -> None:
    denied = sample("slurm/scancel_denied")
    outcome = parse_deleted(denied.status, denied.stderr, ["1", "1_5", "2"])
    assert outcome == {
        "1": DeleteResult(False, "Access/permission denied"),
        "1_5": DeleteResult(False, "Access/permission denied"),
        "2": DeleteResult(True),
    }
    mixed = sample("slurm/scancel_mixed")  # one of them unknown: silence
    assert parse_deleted(mixed.status, mixed.stderr, ["2", "999999"]) == dict.fromkeys(
        ["2", "999999"], DeleteResult(True)
    )
    for name in ("down_scancel", "hang_scancel"):
        failed = sample(f"slurm/{name}")
        id_ = "30" if name == "down_scancel" else "14"
        assert not parse_deleted(failed.status, failed.stderr, [id_])[id_].gone
    bad = sample("slurm/scancel_bad")
    assert parse_deleted(bad.status, bad.stderr, ["1"])["1"] == DeleteResult(
        False, "scancel: error: Invalid job id abc"
    )


def test_the_clusters_settings() -> None:
    config = parse_config(sample("slurm/scontrol_show_config").stdout)
    assert config["MaxArraySize"] == "20001"
    assert config["SLURM_VERSION"] == "22.05.8"


def test_a_jobs_record() -> None:
    record = parse_record(sample("slurm/scontrol_job_cancelled").stdout)
    assert record["JobState"] == "CANCELLED"
    assert record["Command"] == "/home/alice/sl.sh 5"
    assert record["TRES"] == "cpu=16,mem=1G,node=1,billing=16"
    assert record["ReqB:S:C:T"] == "0:0:*:*"
