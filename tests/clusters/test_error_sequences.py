"""What real daemons cannot be made to do at will, when jobs are submitted and deleted: half successes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from paraschut_core.errors import SchedulerError
from paraschut_core.executors.batch import script
from paraschut_core.executors.batch.pbs import PBSJobExecutor
from paraschut_core.executors.batch.sge import SGEJobExecutor
from paraschut_core.executors.batch.slurm import SlurmJobExecutor
from paraschut_core.model import DeleteResult, SubmitResult
from tests.clusters.stand_ins import (
    NO_JOBS,
    NO_SUCH_OPTION,
    Commands,
    Says,
    commands,
    pbs,
    settings,
    sge,
    slurm,
)
from tests.clusters.tools import spec, specs
from tests.samples import sample

__all__ = ["commands", "pbs", "sge", "slurm"]


# ------------------------------------------------------------------------------------ submitting

DOWN = sample("slurm/down_sbatch").stderr
HUNG = sample("slurm/hang_sbatch").stderr


@pytest.mark.parametrize(
    ("answer", "certain"),
    [
        (Says(err=DOWN, status=1), True),
        (Says(err=HUNG, status=1), False),
        (Says(), False),  # success, and no id
        (Says(out="Submitted batch job 12\n"), False),  # another version's words
        (Says(out="<html>\n"), False),
        (Says(out="12\n", err="sbatch: error: something\n", status=1), False),  # an id, and a failure
        (Says(then="kill -9 $$"), False),
        (
            Says(err="sbatch: error: Batch job submission failed: Zero Bytes were transmitted\n", status=1),
            False,
        ),
    ],
)
def test_a_submission_is_certain_only_if_nothing_can_be_in_the_queue(
    slurm: SlurmJobExecutor, commands: Commands, tmp_path: Path, answer: Says, certain: bool
) -> None:
    commands.play("sbatch", answer)
    outcomes = slurm.submit_many(specs(tmp_path, ["true", "true"]))
    assert [(outcome.id, outcome.certain) for outcome in outcomes] == [(None, certain)] * 2
    assert outcomes[0].error.startswith("sbatch --parsable")
    kept = [name for name in os.listdir(slurm._folder()) if name.endswith(".tasks")]
    assert bool(kept) is not certain  # what may yet run needs its script


@pytest.mark.parametrize(
    "said",
    [
        Says(out="101\nCore hours left:\n48210\n"),
        Says(out="Submitted batch job 101\n"),  # a wrapper that drops options
        Says(out="Submitted batch job 101\nCore hours left:\n48210\n"),
        Says(out="Submitted batch job 101\n", err="wrapper: quota script failed\n", status=1),
        Says(),
    ],
)
def test_where_the_answer_leaves_a_doubt_the_token_in_the_queue_tells_the_id(
    slurm: SlurmJobExecutor, commands: Commands, tmp_path: Path, said: Says
) -> None:
    commands.play("sbatch", said)
    row = "{}|RUNNING|n1|None|p{}_x\n"
    commands.play("squeue", Says(out=row.format("101", "abcdefghij-1") + row.format("48210", "other-1")))
    assert slurm.submit_many([spec(tmp_path, "true", token="abcdefghij-1")]) == [SubmitResult("101")]
    tasks = "".join(row.format(f"101_{n}", "abcdefghij") for n in (1, 2))
    commands.play("squeue", Says(out=tasks))
    both = [spec(tmp_path, "true", token=f"abcdefghij-{n}") for n in (1, 2)]
    assert slurm.submit_many(both) == [SubmitResult("101_1"), SubmitResult("101_2")]


def test_a_failed_command_with_a_number_in_its_answer_is_a_refusal_only_if_the_queue_says_so(
    slurm: SlurmJobExecutor, commands: Commands, tmp_path: Path
) -> None:
    commands.play("sbatch", Says(out="You have 3 projects\n", err="sbatch: error: Invalid qos\n", status=1))
    commands.play("squeue", Says(), Says(err="slurm_load_jobs error: down\n", status=1))
    assert [o.certain for _ in range(2) for o in slurm.submit_many([spec(tmp_path, "true")])] == [True, False]


def test_a_warning_before_the_id_does_not_matter(
    slurm: SlurmJobExecutor, commands: Commands, tmp_path: Path
) -> None:
    commands.play("sbatch", Says(out="sbatch: lua: welcome\n17;ci\n", err="sbatch: note\n"))
    assert slurm.submit_many([spec(tmp_path, "true")]) == [SubmitResult("17")]


def test_no_command_is_a_certain_refusal(slurm: SlurmJobExecutor, tmp_path: Path) -> None:
    (outcome,) = slurm.submit_many([spec(tmp_path, "true")])
    assert outcome.certain
    assert "command not found: sbatch" in outcome.error
    assert not slurm.isconnected()
    with pytest.raises(SchedulerError, match="command not found: squeue"):
        slurm.poll()


@pytest.mark.parametrize("kind", [SlurmJobExecutor, SGEJobExecutor, PBSJobExecutor])
@pytest.mark.parametrize(
    ("mode", "told"),
    [(None, "command not found"), (0o644, "permission denied"), (0o755, "cannot run")],
)
def test_commands_that_cannot_be_run_are_one_clear_error_and_nothing_was_submitted(
    tmp_path: Path, commands: Commands, kind: type, mode: int | None, told: str
) -> None:
    executor = kind(settings=settings(tmp_path))
    if mode is not None:
        for name in executor.commands:
            (commands.folder / name).write_text("no program")
            (commands.folder / name).chmod(mode)
    (outcome,) = executor.submit_many([spec(tmp_path, "true")])
    assert (outcome.id, outcome.certain) == (None, True)
    assert told in outcome.error
    deleted = executor.delete_many({"1": {}})["1"]
    assert not deleted.gone
    assert told in deleted.error
    for ask in (executor.poll, lambda: executor.find_by_token(["abc-1"]), executor.health):
        with pytest.raises(SchedulerError, match=told):
            ask()
    assert executor.get_job_summary("1") == {}


def test_a_submission_that_waits_too_long_is_uncertain(tmp_path: Path, commands: Commands) -> None:
    text = "sbatch: error: Slurm temporarily unable to accept job, sleeping and retrying\n"
    commands.play("sbatch", Says(err=text, then="exec sleep 60"))
    executor = SlurmJobExecutor(settings=settings(tmp_path, timeout=1.0))
    (outcome,) = executor.submit_many([spec(tmp_path, "true")])
    assert (outcome.id, outcome.certain) == (None, False)
    assert "temporarily unable to accept job" in outcome.error


def test_jobs_not_numbered_from_one_go_out_one_by_one(
    slurm: SlurmJobExecutor, commands: Commands, tmp_path: Path
) -> None:
    commands.play(
        "sbatch", Says(out="1\n"), Says(err="sbatch: error: Invalid qos\n", status=1), Says(out="3\n")
    )
    jobs = [spec(tmp_path, "true", token=f"abcdef-{n}") for n in (2, 5, 6)]
    assert [outcome.id for outcome in slurm.submit_many(jobs)] == ["1", None, "3"]
    assert "--job-name=pabcdef-5_human-genome_map" in commands.arguments("sbatch", 2)


def test_a_job_that_cannot_be_written_down_is_refused_before_any_command(
    slurm: SlurmJobExecutor, commands: Commands, tmp_path: Path
) -> None:
    commands.play("sbatch", Says(out="1\n"))
    for bad in (
        spec(tmp_path, "true", resources={"mem": "lots"}),
        spec(tmp_path, "true", queue="-x"),
        spec(tmp_path, "true", directives=["--comment=a\nb"]),
        spec(tmp_path, "true", environment={"a b": "1"}),
        spec(tmp_path, ""),
        spec(tmp_path, "true", token="no_token-1"),
    ):
        (outcome,) = slurm.submit_many([bad])
        assert (outcome.id, outcome.certain) == (None, True)
        assert outcome.error
    (tmp_path / "jobs" / ".paraschut").mkdir(parents=True, exist_ok=True)
    (tmp_path / "jobs" / ".paraschut" / "scripts").write_text("in the way")
    (outcome,) = slurm.submit_many([spec(tmp_path, "true")])
    assert (outcome.id, outcome.certain) == (None, True)
    assert "scripts is a link or no directory" in outcome.error
    assert commands.calls("sbatch") == 0


# ------------------------------------------------------------------------------------ the commands themselves


def test_what_sbatch_is_told(tmp_path: Path, commands: Commands) -> None:
    commands.play("sbatch", Says(out="5\n"))
    executor = SlurmJobExecutor(
        queue="main", resources={"cpus": 2}, settings=settings(tmp_path, directives=["--account=lab"])
    )
    jobs = specs(tmp_path, ["true"] * 3, resources={"mem": "1gb"}, directives=["--account=lab", "--nice"])
    assert [outcome.id for outcome in executor.submit_many(jobs)] == ["5_1", "5_2", "5_3"]
    group = jobs[0].token[:-2]
    folder = executor._folder()
    assert commands.arguments("sbatch") == [
        "--parsable",
        "--partition=main",
        "--mem=1024M",
        "--cpus-per-task=2",
        "--account=lab",
        "--nice",
        f"--job-name=p{group}_human-genome_map",
        f"--chdir={tmp_path}",
        f"--output={folder}/{group}-%a.log",
        "--open-mode=append",
        "--array=1-3",
        f"{folder}/{group}.sh",
    ]


def test_what_grid_engines_qsub_is_told(sge: SGEJobExecutor, commands: Commands, tmp_path: Path) -> None:
    commands.play("qsub", Says(out="5.1-2:1\n"))
    jobs = specs(tmp_path, ["true"] * 2, queue="all.q", resources={"walltime": 60})
    assert [outcome.id for outcome in sge.submit_many(jobs)] == ["5.1", "5.2"]
    group = jobs[0].token[:-2]
    folder = sge._folder()
    assert commands.arguments("qsub") == [
        *("-q", "all.q", "-l", "h_rt=60", "-terse", "-C", "", "-b", "n"),
        *("-N", f"p{group}_human-genome_map", "-S", script.shell(), "-wd", folder),
        *("-j", "y", "-o", f"{folder}/{group}-$TASK_ID.log", "-t", "1-2", f"{folder}/{group}.sh"),
    ]


def test_what_pbss_qsub_is_told(pbs: PBSJobExecutor, commands: Commands, tmp_path: Path) -> None:
    commands.play("qsub", Says(out="25[].pbshost\n"), Says(out="26.pbshost\n"))
    jobs = specs(tmp_path, ["true"] * 2, queue="workq", resources={"walltime": 60, "mem": "1gb"})
    assert [outcome.id for outcome in pbs.submit_many(jobs)] == ["25[1]", "25[2]"]
    group = jobs[0].token[:-2]
    folder = pbs._folder()
    assert commands.arguments("qsub") == [
        *("-q", "workq", "-l", "walltime=00:01:00,mem=1gb"),
        *("-N", f"p{group}_hum", "-S", script.shell(), "-j", "oe"),
        *("-o", f"{folder}/{group}-^array_index^.log", "-J", "1-2", f"{folder}/{group}.sh"),
    ]
    lone = spec(tmp_path, "true", token="abcdefghij-1")
    assert pbs.submit_many([lone]) == [SubmitResult("26")]
    assert f"{folder}/abcdefghij-1.log" in commands.arguments("qsub", 2)
    assert "-J" not in commands.arguments("qsub", 2)


def test_many_ids_are_deleted_in_few_commands(slurm: SlurmJobExecutor, commands: Commands) -> None:
    commands.play("scancel", Says())
    ids = [*(f"7_{n}" for n in range(1, 1001)), *(str(n) for n in range(100, 1600))]
    assert all(outcome.gone for outcome in slurm.delete_many({id_: {} for id_ in ids}).values())
    assert commands.calls("scancel") == 3
    assert commands.arguments("scancel") == ["7_[1-1000]"]


def test_a_scheduler_that_hangs_is_not_asked_for_the_next_thousand(
    tmp_path: Path, commands: Commands
) -> None:
    commands.play("scancel", Says(), Says(then="exec sleep 60"))
    executor = SlurmJobExecutor(settings=settings(tmp_path, timeout=3.0))
    outcome = executor.delete_many({str(n): {} for n in range(1, 5001)})
    assert [deleted.gone for deleted in outcome.values()] == [True] * 1000 + [False] * 4000
    assert "not answering" in outcome["5000"].error
    assert commands.calls("scancel") == 2


def test_pbs_deletes_one_by_one_and_tells_which_failed(pbs: PBSJobExecutor, commands: Commands) -> None:
    unknown = Says(err="qdel: Unknown Job Id 2.pbshost\n", status=153)
    refused = Says(err="qdel: Unauthorized Request  3.pbshost\n", status=159)
    commands.play("qdel", Says(), unknown, refused, Says())
    tasks = {f"4[{n}]": DeleteResult(True) for n in range(1, 1001)}
    assert pbs.delete_many({id_: {} for id_ in ("1", "2", "3", *tasks)}) == {
        "1": DeleteResult(True),
        "2": DeleteResult(True),
        "3": DeleteResult(False, "Unauthorized Request"),
        **tasks,
    }
    assert [commands.arguments("qdel", n) for n in range(1, 5)] == [["1"], ["2"], ["3"], ["4[1-1000]"]]


def test_pbs_that_hangs_is_not_asked_for_each_job_anew(tmp_path: Path, commands: Commands) -> None:
    commands.play("qdel", Says(), Says(then="exec sleep 60"))
    executor = PBSJobExecutor(settings=settings(tmp_path, timeout=1.0))
    outcome = executor.delete_many({"1": {}, "2": {}, "3": {}})
    assert [outcome[id_].gone for id_ in ("1", "2", "3")] == [True, False, False]
    assert "not answering" in outcome["3"].error
    assert commands.calls("qdel") == 2


def test_the_limit_on_arrays_is_asked_once_a_day(
    tmp_path: Path, slurm: SlurmJobExecutor, commands: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_CLUSTERS", "amber")  # else the cluster's name is asked for, too
    commands.play("scontrol", Says(out="MaxArraySize            = 501\n"))
    assert slurm.max_batch_size() == 500
    assert SlurmJobExecutor(settings=settings(tmp_path)).max_batch_size() == 500
    assert commands.calls("scontrol") == 1


def test_a_cluster_that_does_not_answer_has_the_usual_limit(
    slurm: SlurmJobExecutor, commands: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_CLUSTERS", "amber")
    commands.play("scontrol", Says(err="down\n", status=1), Says(out="MaxArraySize            = 11\n"))
    assert slurm.max_batch_size() == 1000
    assert slurm.max_batch_size() == 10


def test_their_deletes_fail_without_a_word_of_jobs_that_are_gone_so_the_queue_is_asked(
    pbs: PBSJobExecutor, commands: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("paraschut_core.executors.batch.pbs.user_name", lambda: "hs_alice")
    silent = sample("torque/pbs_qdel_done")
    denied = sample("torque/pbs_qdel_denied")
    failed = Says(status=silent.status)
    commands.play("qdel", Says(), failed, failed, Says(out=denied.stdout, status=denied.status))
    commands.play("qstat", NO_SUCH_OPTION, NO_SUCH_OPTION, Says(out=sample("torque/pbs_qstat_f_id").stdout))
    outcome = pbs.delete_many({id_: {} for id_ in ("19", "20", "23", "21")})
    assert {id_: deleted.gone for id_, deleted in outcome.items()} == {
        "19": True,
        "20": False,  # it is still there, running
        "23": True,
        "21": False,
    }
    assert "Access/permission denied" in outcome["21"].error
    assert commands.calls("qstat") == 3  # once, in the way that is found then


def test_arrays_are_made_only_where_they_are_openpbss(pbs: PBSJobExecutor, commands: Commands) -> None:
    """Torque, and Slurm's commands in its manner, list the tasks of theirs otherwise."""
    torque = "Server: head\n    server_state = Active\n    scheduling = True\n    pbs_version = 6.1.2\n"
    down = sample("pbs/600_down_qstat")
    for answer, limit in [
        (Says(out=sample("pbs/970_B_f").stdout), 10_000),
        (Says(out=torque), 1),
        (NO_JOBS, 1),
        (Says(out=sample("torque/pbs_qstat_B").stdout), 1),
    ]:
        commands.play("qstat", *[answer] * 9)
        assert pbs.array_limit() == limit
    commands.play("qstat", *[Says(err=down.stderr, status=down.status)] * 9)
    with pytest.raises(SchedulerError, match="cannot connect"):
        pbs.array_limit()


@pytest.mark.parametrize(
    ("kind", "submit", "refusal"),
    [
        (
            SlurmJobExecutor,
            "sbatch",
            "sbatch: error: AssocMaxSubmitJobLimit\nsbatch: error: Batch job submission failed: Job violates "
            "accounting/QOS policy (job submit limit, user's size and/or time limits)\n",
        ),
        (PBSJobExecutor, "qsub", "qsub: would exceed queue generic's per-user limit of jobs in 'Q' state\n"),
        (
            SGEJobExecutor,
            "qsub",
            "Unable to run job: job rejected: you tried to submit a job with more than 20 tasks\nExiting.\n",
        ),
    ],
)
def test_of_jobs_that_are_too_many_a_part_goes_out(
    tmp_path: Path, commands: Commands, kind: type, submit: str, refusal: str
) -> None:
    executor = kind(settings=settings(tmp_path))
    no = Says(err=refusal, status=1)
    commands.play(submit, no, no, Says(out="7\n"))
    jobs = specs(tmp_path, ["true"] * 100)
    outcomes = executor.submit_many(jobs)
    assert [outcome.id for outcome in outcomes] == [executor.task_id("7", n) for n in range(1, 7)] + [
        None
    ] * 94
    assert all(outcome.certain and outcome.error for outcome in outcomes[6:])
    assert commands.calls(submit) == 3
    tasks = Path(executor._folder(), f"{jobs[0].token[:-2]}.tasks").read_text()
    assert "\n6)" in tasks and "\n7)" not in tasks
    commands.play(submit, *[no] * 9)
    assert {outcome.id for outcome in executor.submit_many(specs(tmp_path, ["true"] * 100))} == {None}
    assert commands.calls(submit) == 3 + 4  # 100, 25, 6, 1: and no more


def test_an_uncertain_part_is_uncertain_and_the_rest_is_not(
    slurm: SlurmJobExecutor, commands: Commands, tmp_path: Path
) -> None:
    no = Says(err="sbatch: error: Batch job submission failed: Invalid job array specification\n", status=1)
    commands.play("sbatch", no, Says(err=HUNG, status=1))
    outcomes = slurm.submit_many(specs(tmp_path, ["true"] * 8))
    assert [(outcome.id, outcome.certain) for outcome in outcomes] == [(None, False)] * 2 + [(None, True)] * 6
