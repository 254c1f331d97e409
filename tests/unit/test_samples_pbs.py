"""Every kind of answer that was captured from OpenPBS 23.06, and from Slurm's commands in Torque's manner."""

from __future__ import annotations

import pytest

from paraschut_core.config import Settings
from paraschut_core.errors import SchedulerError
from paraschut_core.executors.batch.pbs import PBSJobExecutor
from paraschut_core.executors.batch.pbs_parser import (
    parse_deleted,
    parse_endings,
    parse_full,
    parse_queues,
    parse_records,
    parse_submitted,
    parse_table,
)
from paraschut_core.executors.batch.run_command import CommandResult
from paraschut_core.model import ENDED, ENDING, HELD, QUEUED, RUNNING, DeleteResult
from tests.samples import sample


@pytest.mark.parametrize(
    ("name", "id_"),
    [
        ("pbs/002_qsub_opts", "2"),
        ("pbs/003_qsub_select", "3"),
        ("pbs/004_qsub_old_cput_pmem_pvmem_vmem", "4"),
        ("pbs/005_qsub_old_nodes_ppn", "5"),
        ("pbs/006_qsub_old_mix", "6"),
        ("pbs/008_qsub_j_oe", "8"),
        ("pbs/101_qsub_rc3", "16"),
        ("pbs/107_qsub_dep", "22"),
        ("pbs/110_qsub_array", "25"),
        ("pbs/924_y_priority", "21"),
        ("torque/pbs_qsub_plain", "1"),
        ("torque/pbs_qsub_arrayJ", "13"),
    ],
)
def test_accepted_submissions_have_an_id(name: str, id_: str) -> None:
    captured = sample(name)
    assert (captured.status, parse_submitted(captured.stdout)) == (0, id_)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("pbs/007_qsub_select_plus_ncpus", 'cannot be used with "select"'),
        ("pbs/010_qsub_badqueue", "Unknown queue"),
        ("pbs/011_qsub_disabledq", "Queue is not enabled"),
        ("pbs/012_qsub_badresource", "Unknown resource Resource_List.nosuchres"),
        ("pbs/013_qsub_badwalltime", "Illegal attribute or resource value Resource_List.walltime"),
        ("pbs/014_qsub_toolong_walltime", "Job violates queue and/or server resource limits"),
        ("pbs/015_qsub_noscript", "No such file or directory"),
        ("pbs/016_qsub_badopt", "invalid option -- 'Y'"),
        ("pbs/019_qsub_mem_float", "Illegal attribute or resource value Resource_List.mem"),
        ("pbs/602_down_qsub", "cannot connect to server"),
        ("pbs/606_badhost_qsub", "Unknown Host"),
        ("pbs/904_space_script", "illegal -N value"),
        ("pbs/912_crlf", "script contains cr, lf"),
        ("pbs/918_select_pmem", 'Resource invalid in "select" specification: pmem'),
        ("pbs/920_walltime_days", "Illegal attribute or resource value Resource_List.walltime"),
        ("pbs/925_cwd_d", "invalid option -- 'd'"),
        ("pbs/927_t_arr_torque", "invalid option -- 't'"),
        ("torque/pbs_qsub_badq", "invalid partition specified: nosuch"),
        ("torque/down_qsub", "Unable to contact slurm controller"),
    ],
)
def test_refused_submissions_have_no_id_and_a_reason_and_are_certain(name: str, why: str) -> None:
    captured = sample(name)
    answer = CommandResult(("qsub", "job.sh"), captured.status, captured.stdout, captured.stderr, 0.1)
    executor = PBSJobExecutor(settings=Settings())
    assert captured.status > 0
    assert parse_submitted(captured.stdout) is None
    assert executor.is_rejected(answer)
    assert why in str(answer.failure())


TABLE = {"20": HELD, "21": QUEUED, "22": HELD, "23": QUEUED, "24": RUNNING}


@pytest.mark.parametrize(
    ("name", "states"),
    [
        ("pbs/021_qstat_u", {"13": RUNNING, "14": QUEUED}),
        ("pbs/121_qstat_u", {"18": RUNNING, "19": ENDING, **TABLE}),
        ("pbs/125_qstat_a", {"18": RUNNING, **TABLE, "29": ENDING}),
        ("pbs/804_qstat_uw", {"0": RUNNING}),
        ("pbs/806_qstat_tu", {"0": RUNNING}),
        ("pbs/814_qstat_uw", {"1": RUNNING}),
        ("pbs/313_other_user", {}),
        ("torque/pbs_qstat_u", {"20": RUNNING, "23": ENDED, "24": QUEUED}),
    ],
)
def test_tables_of_one_user(name: str, states: dict[str, str]) -> None:
    jobs = parse_table(sample(name).stdout)
    assert {id_: jobs[id_].state for id_ in states} == states
    assert bool(jobs) is bool(states)


def test_the_history_shows_ended_jobs_as_ended() -> None:
    jobs = parse_table(sample("pbs/124_qstat_xu").stdout)
    assert [jobs[id_].state for id_ in ("15", "16", "17")] == [ENDED] * 3


@pytest.mark.parametrize(
    "name",
    [
        *("pbs/120_qstat", "pbs/122_qstat_t", "pbs/123_qstat_x", "pbs/958_qstat", "pbs/310_q", "pbs/311_Q"),
        *("torque/pbs_qstat_B", "torque/pbs_qstat_Q"),
    ],
)
def test_other_tables_are_never_taken_for_the_one_that_was_asked_for(name: str) -> None:
    with pytest.raises(SchedulerError):
        parse_table(sample(name).stdout)


@pytest.mark.parametrize(
    ("name", "user", "jobs"),
    [
        ("pbs/146_qstat_held", "pbsuser", {"20": (HELD, "", "")}),
        ("pbs/147_qstat_wait", "pbsuser", {"21": (QUEUED, "waiting for its time", "")}),
        ("pbs/148_qstat_dep", "pbsuser", {"22": (HELD, "", "")}),
        (
            "pbs/321_f_multi_live",
            "pbsuser",
            dict.fromkeys(["54", "55", "56"], (QUEUED, "Queue not started.", "")),
        ),
        ("pbs/416_f_tab", "pbsuser", {"74": (QUEUED, "Queue not started.", "")}),
        ("pbs/809_b_f", "pbsuser", {"0": (RUNNING, "", "cluster-head01-long")}),
        (
            "pbs/955_susp_f",
            "pbsuser",
            {"30": (HELD, "Job held by pbsuser on Sun Nov 22 13:11:37 2026", "pbshost")},
        ),
        ("pbs/145_qstat_xf_badout", "pbsuser", {"29": (ENDING, "", "pbshost")}),
        ("pbs/133_qstat_f_array", "pbsuser", {}),  # a whole array: its tasks count
        ("pbs/026_qstat_xf_nohist", "pbsuser", {}),
        ("torque/pbs_qstat_f", "hs_alice", {"1": (ENDED, "", "n1"), "2": (ENDED, "", "n2")}),
        ("torque/pbs_qstat_f_id", "hs_alice", {"20": (RUNNING, "", "n1")}),
        ("torque/pbs_qstat_f_pending", "hs_alice", {"24": (QUEUED, "", "")}),
        ("torque/pbs_qstat_f_failed", "hs_alice", {"23": (ENDED, "", "n1")}),
        ("torque/pbs_qstat_f_all", "hs_alice", {}),
    ],
)
def test_whole_records(name: str, user: str, jobs: dict[str, tuple[str, str, str]]) -> None:
    found = parse_records(sample(name).stdout, user)
    assert {id_: (job.state, job.reason, job.host) for id_, job in found.items()} == jobs


def test_a_value_with_tabs_and_control_characters_stays_within_its_field() -> None:
    record = parse_full(sample("pbs/416_f_tab").stdout)["74"]
    assert record["Output_Path"] == "pbshost:/home/pbsuser/w/o with space.txt"
    assert record["job_state"] == "Q"


def test_a_bad_interpreter_is_told() -> None:
    text = sample("pbs/144_qstat_xf_badinterp").stdout
    assert parse_endings(text, {"28"}, 0.0)["28"].reason == "could not start its script on pbshost"


@pytest.mark.parametrize(
    ("name", "id_", "gone"),
    [
        ("pbs/430_qdel_running", "75", True),
        ("pbs/434_qdel_x_hist", "75", True),
        ("pbs/441_qdel_sub", "76[3]", True),
        ("torque/pbs_qdel_ok", "20", True),
        ("torque/pbs_qdel_denied", "20", False),
        ("torque/pbs_qdel_unknown", "999999", False),  # silent: the queue is asked (PBSJobExecutor)
        ("torque/down_qdel", "30", False),
    ],
)
def test_deleting(name: str, id_: str, gone: bool) -> None:
    captured = sample(name)
    outcome = parse_deleted(captured.status, f"{captured.stdout}\n{captured.stderr}", [id_])
    assert outcome[id_].gone is gone
    assert outcome == {id_: DeleteResult(gone, outcome[id_].error)}
    assert bool(outcome[id_].error) is not gone


def test_queues_and_their_limits() -> None:
    assert list(parse_queues(sample("torque/pbs_qstat_Qf").stdout)) == [
        "queue main: open",
        "queue short: open",
        "queue down: open",
    ]
    text = """\
Queue: short
    queue_type = Execution
    resources_max.walltime = 00:10:00
    enabled = True
    started = True

Queue: disabledq
    queue_type = Execution
    max_run = [u:PBS_GENERIC=3]
    started = False
"""
    assert list(parse_queues(text)) == [
        "queue short: open, walltime up to 00:10:00",
        "queue disabledq: not enabled and not started, max_run up to [u:PBS_GENERIC=3]",
    ]
