"""What real daemons cannot be made to do at will: garbage, cut answers, half successes, old versions.

Small stand-ins for the schedulers' commands play it; each answers its n-th call with its n-th answer (and
the last one from then on), and keeps the arguments that it was given.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from paraschut_core.config import PollSettings, Settings, SubmitSettings
from paraschut_core.errors import SchedulerError
from paraschut_core.executors import script
from paraschut_core.executors.pbs import PBSJobExecutor
from paraschut_core.executors.sge import SGEJobExecutor
from paraschut_core.executors.slurm import SlurmJobExecutor
from paraschut_core.model import RUNNING, Deleted, Submitted
from tests.clusters.tools import read, spec, specs
from tests.samples import sample


class Says(NamedTuple):
    """One answer of a stand-in; `then` is shell text that runs at the end, in place of the status."""

    out: str = ""
    err: str = ""
    status: int = 0
    then: str = ""


class Commands:
    """A directory on PATH with stand-ins."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()

    def play(self, name: str, *answers: Says) -> None:
        base = self.folder / f".{name}"
        base.mkdir(exist_ok=True)
        for n, answer in enumerate(answers, 1):
            (base / f"{n}.out").write_text(answer.out)
            (base / f"{n}.err").write_text(answer.err)
            (base / f"{n}.then").write_text(answer.then or f"exit {answer.status}")
        path = self.folder / name
        path.write_text(
            f"""#!/bin/sh
cd {base}
echo >>calls
n=$(wc -l <calls)
printf '%s\\0' "$@" >"args.$n"
while [ ! -e "$n.out" ]; do n=$((n - 1)); done
cat "$n.out"
cat "$n.err" >&2
. "./$n.then"
"""
        )
        path.chmod(0o755)

    def calls(self, name: str) -> int:
        return read(self.folder / f".{name}" / "calls").count("\n")

    def arguments(self, name: str, call: int = 1) -> list[str]:
        return read(self.folder / f".{name}" / f"args.{call}").split("\0")[:-1]


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clean_environment: None) -> Commands:
    made = Commands(tmp_path / "bin")
    for tool in ("cat", "sleep", "wc"):
        (made.folder / tool).symlink_to(shutil.which(tool) or "")
    monkeypatch.setenv("PATH", str(made.folder))  # no real scheduler of this machine is asked
    return made


def settings(tmp_path: Path, **submit: object) -> Settings:
    return Settings(
        job_dir=str(tmp_path / "jobs"),
        resources={},
        poll=PollSettings(timeout=20.0),
        submit=SubmitSettings(**{"timeout": 20.0, **submit}),  # type: ignore[arg-type]  # as the test says
    )


@pytest.fixture
def slurm(tmp_path: Path, commands: Commands) -> SlurmJobExecutor:
    return SlurmJobExecutor(settings=settings(tmp_path))


@pytest.fixture
def sge(tmp_path: Path, commands: Commands) -> SGEJobExecutor:
    return SGEJobExecutor(settings=settings(tmp_path))


@pytest.fixture
def pbs(tmp_path: Path, commands: Commands) -> PBSJobExecutor:
    return PBSJobExecutor(settings=settings(tmp_path))


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


def test_a_warning_before_the_id_does_not_matter(
    slurm: SlurmJobExecutor, commands: Commands, tmp_path: Path
) -> None:
    commands.play("sbatch", Says(out="sbatch: lua: welcome\n17;ci\n", err="sbatch: note\n"))
    assert slurm.submit_many([spec(tmp_path, "true")]) == [Submitted("17")]


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
    for ask in (executor.poll, lambda: executor.find(["abc-1"]), executor.health):
        with pytest.raises(SchedulerError, match=told):
            ask()
    assert executor.get_job_summary("1") == {}


@pytest.mark.parametrize(
    "answer",
    [
        Says(err=sample("slurm/squeue_baduser").stderr),  # with status 0
        Says(err="slurm_load_jobs error: Access/permission denied\n", status=1),
        Says(err=sample("slurm/munge_down_squeue").stderr, status=1),
        Says(err=sample("slurm/noconf_squeue").stderr, status=1),
    ],
)
def test_a_user_that_slurm_does_not_know_or_let_in_has_no_empty_queue(
    slurm: SlurmJobExecutor, commands: Commands, answer: Says
) -> None:
    commands.play("squeue", answer)
    with pytest.raises(SchedulerError, match="squeue"):
        slurm.poll()


def test_very_many_ended_jobs_fit_into_the_commands(slurm: SlurmJobExecutor, commands: Commands) -> None:
    row = "{}|FAILED|1:0|00:10:00|n1|2026-11-22T16:00:50|pabc-1_x"
    ids = [str(10**9 + n) for n in range(20_000)]
    commands.play("sacct", Says(out="\n".join(map(row.format, ids)) + "\n"))
    assert len(slurm.explain(ids, 0.0)) == 20_000
    assert commands.calls("sacct") == 3


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
    assert "cannot write" in outcome.error
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
    assert pbs.submit_many([lone]) == [Submitted("26")]
    assert f"{folder}/abcdefghij-1.log" in commands.arguments("qsub", 2)
    assert "-J" not in commands.arguments("qsub", 2)


def test_many_ids_are_deleted_in_few_commands(slurm: SlurmJobExecutor, commands: Commands) -> None:
    commands.play("scancel", Says())
    ids = [*(f"7_{n}" for n in range(1, 1001)), *(str(n) for n in range(100, 1600))]
    assert all(outcome.gone for outcome in slurm.delete_many({id_: {} for id_ in ids}).values())
    assert commands.calls("scancel") == 3
    assert commands.arguments("scancel") == ["7_[1-1000]"]


def test_pbs_deletes_one_by_one_and_tells_which_failed(pbs: PBSJobExecutor, commands: Commands) -> None:
    unknown = Says(err="qdel: Unknown Job Id 2.pbshost\n", status=153)
    refused = Says(err="qdel: Unauthorized Request  3.pbshost\n", status=159)
    commands.play("qdel", Says(), unknown, refused, Says())
    tasks = {f"4[{n}]": Deleted(True) for n in range(1, 1001)}
    assert pbs.delete_many({id_: {} for id_ in ("1", "2", "3", *tasks)}) == {
        "1": Deleted(True),
        "2": Deleted(True),
        "3": Deleted(False, "Unauthorized Request"),
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


# ------------------------------------------------------------------------------------ looking

ROW = "12|RUNNING|n1|None|pabcdef-1_x\n"


@pytest.mark.parametrize(
    "answer",
    [
        Says(err=sample("slurm/down_scancel").stderr, status=1),
        Says(out="<html>502 Bad Gateway</html>\n"),
        Says(out="12|RUNNING|n1"),
        Says(err="slurm_load_jobs error: Unable to contact slurm controller\n"),  # with status 0
        Says(out=ROW, then="kill -9 $$"),
    ],
)
def test_no_answer_and_no_sense_are_errors_and_the_next_poll_is_believed(
    slurm: SlurmJobExecutor, commands: Commands, answer: Says
) -> None:
    commands.play("squeue", answer, answer, Says(out=ROW))
    for _ in range(2):
        with pytest.raises(SchedulerError):
            slurm.poll()
    assert slurm.poll()["12"].state == RUNNING


def test_accounts_that_do_not_exist_are_asked_once(slurm: SlurmJobExecutor, commands: Commands) -> None:
    commands.play("sacct", Says(err=sample("slurm/sacct_none").stderr, status=1))
    commands.play("squeue", Says(out=sample("slurm/squeue_remembered").stdout))
    for _ in range(2):
        assert slurm.explain(["55"], 0.0)["55"].exit_status == 3
    assert (commands.calls("sacct"), commands.calls("squeue")) == (1, 2)


def test_accounts_in_trouble_are_asked_again(slurm: SlurmJobExecutor, commands: Commands) -> None:
    trouble = Says(err="sacct: error: Problem talking to the database: Connection refused\n", status=1)
    commands.play("sacct", trouble, Says(out=sample("slurm/sacct_fields").stdout))
    commands.play("squeue", Says(err="slurm_load_jobs error: Socket timed out\n", status=1))
    with pytest.raises(SchedulerError, match="Socket timed out"):
        slurm.explain(["7"], 0.0)
    assert slurm.explain(["7"], 0.0)["7"].reason == "node failed: n2"
    assert commands.arguments("sacct", 2)[-2:] == ["-j", "7"]


def test_accounting_is_asked_in_one_command_for_all(slurm: SlurmJobExecutor, commands: Commands) -> None:
    commands.play("sacct", Says(out=sample("slurm/sacct_fields").stdout))
    ids = ["1_1", "1_2", "1_3", "1_4", "2", "3", "4", "5", "6", "7", "8_1", "8_5", "9"]
    assert set(slurm.explain(ids, 0.0)) == set(ids)
    assert commands.calls("sacct") == 1
    assert commands.arguments("sacct")[-1] == "1,2,3,4,5,6,7,8,9"
    assert not (commands.folder / "squeue").exists()


def record(executor: SlurmJobExecutor, id_: str, token: str, **changes: str) -> None:
    fields = {"id": id_, "token": token, "status": "0", "signal": "", "host": "n9", "started": "5e9"}
    fields |= {"ended": "5e9", "note": ""} | changes
    folder = Path(executor._folder()) / "ended"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"slurm~{id_}~{token}").write_text("".join(f"{k}={v}\n" for k, v in fields.items()))


def test_where_nobody_remembers_the_jobs_own_record_tells(
    slurm: SlurmJobExecutor, commands: Commands
) -> None:
    commands.play("sacct", Says(err=sample("slurm/sacct_none").stderr, status=1))
    commands.play("squeue", Says())
    record(slurm, "12", "abc-1", status="3")
    record(slurm, "13_2", "abd-2", status="143", signal="TERM")
    record(slurm, "14", "abe-1", status="125", note="could not write its log /x")
    endings = slurm.explain(["12", "13_2", "14", "15"], 0.0)
    assert {id_: ending[:4] for id_, ending in endings.items()} == {
        "12": ("exit status 3", 3, None, "n9"),
        "13_2": ("killed by signal 15 (SIGTERM) after SIGTERM from the scheduler", None, 15, "n9"),
        "14": ("could not write its log /x on n9", 125, None, "n9"),
    }


def test_the_record_is_enough_while_the_scheduler_does_not_answer(
    slurm: SlurmJobExecutor, commands: Commands
) -> None:
    commands.play("sacct", Says(err="no\n", status=1))
    commands.play("squeue", Says(err="no\n", status=1))
    record(slurm, "12", "abc-1", status="3")
    assert slurm.explain(["12", "13"], 0.0)["12"].exit_status == 3


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("slurmstepd-n1: error: Exceeded job memory limit\n", "out of memory"),
        ("slurmstepd: error: Detected 1 oom-kill event(s) in StepId=12.batch\n", "out of memory"),
        ("slurmstepd-n1: error: *** JOB 12 ON n1 CANCELLED AT x DUE TO TIME LIMIT ***\n", "time limit"),
        ("slurmstepd-n1: error: *** JOB 12 ON n1 CANCELLED AT x DUE TO NODE FAILURE ***\n", "node failed"),
        ("=>> PBS: job killed: walltime 13 exceeded limit 2\n", "time limit"),
        ("=>> PBS: job killed: cput 4 exceeded limit 3\n", "CPU time limit"),
        ("something else\n", "killed by signal 9 (SIGKILL)"),
    ],
)
def test_the_schedulers_own_words_sharpen_a_vague_reason(
    slurm: SlurmJobExecutor, commands: Commands, said: str, reason: str
) -> None:
    commands.play("sacct", Says(out="12|FAILED|0:9|00:10:00|n1|2026-11-22T16:00:50|pabc-1_x\n"))
    folder = Path(slurm._folder())
    folder.mkdir(parents=True)
    (folder / "abc-1.log").write_text(said)
    ending = slurm.explain(["12"], 0.0)["12"]
    assert ending.reason == reason
    assert ending.record["log"] == said.strip()


def test_a_job_that_nobody_lists_is_found_by_its_record(slurm: SlurmJobExecutor, commands: Commands) -> None:
    commands.play("squeue", Says(out=ROW))
    record(slurm, "13_2", "ghijkl-2")
    assert slurm.find(["abcdef-1", "ghijkl-2", "nosuch-1"]) == {"abcdef-1": "12", "ghijkl-2": "13_2"}


def test_the_limit_on_arrays_is_asked_once_a_day(
    tmp_path: Path, slurm: SlurmJobExecutor, commands: Commands
) -> None:
    commands.play("scontrol", Says(out="MaxArraySize            = 501\n"))
    assert slurm.chunk_limit() == 500
    assert SlurmJobExecutor(settings=settings(tmp_path)).chunk_limit() == 500
    assert commands.calls("scontrol") == 1


def test_a_cluster_that_does_not_answer_has_the_usual_limit(
    slurm: SlurmJobExecutor, commands: Commands
) -> None:
    commands.play("scontrol", Says(err="down\n", status=1), Says(out="MaxArraySize            = 11\n"))
    assert slurm.chunk_limit() == 1000
    assert slurm.chunk_limit() == 10


def test_grid_engines_reasons_are_asked_only_for_jobs_in_error_state(
    sge: SGEJobExecutor, commands: Commands
) -> None:
    commands.play("qstat", Says(out=sample("sge/qstat_array").stdout))
    sge.poll()
    assert commands.calls("qstat") == 1
    stuck = sample("sge/qstat_array").stdout.replace("hqw", "Eqw")
    # The details fail as a whole if one of the jobs is gone meanwhile, and tell of the others.
    details = sample("sge/qstat_j_eqw").stdout.replace("job_number:                 10", "job_number: 12")
    commands.play("qstat", Says(), Says(out=stuck), Says(out=details, err="jobs do not exist: 9\n", status=1))
    jobs = sge.poll()
    assert commands.arguments("qstat", 3) == ["-j", "12"]
    assert "Permission denied" in jobs["12.1"].reason
    assert jobs["12.4"].reason == jobs["12.1"].reason  # the job's reason, where its task has none


def test_no_accounting_file_as_yet_is_no_error(sge: SGEJobExecutor, commands: Commands) -> None:
    commands.play("qacct", Says(err="error: /x/accounting: No such file or directory\n", status=1))
    assert sge.explain(["12"], 0.0) == {}
    commands.play("qacct", Says(err="error: commlib error: got select error\n", status=1))
    with pytest.raises(SchedulerError):
        sge.explain(["12"], 0.0)


def test_pbs_without_a_wide_table_is_asked_in_the_old_way_from_then_on(
    pbs: PBSJobExecutor, commands: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = Says(err=sample("pbs/torque_style_qstat_t").stderr, status=2)
    listing = Says(out=sample("pbs/torque_style_qstat_f").stdout)
    commands.play("qstat", usage, usage, listing)
    monkeypatch.setattr("paraschut_core.executors.pbs.user_name", lambda: "hs_alice")
    for _ in range(2):
        assert list(pbs.poll()) == ["22"]
    assert [commands.arguments("qstat", call) for call in range(1, 5)] == [
        ["-t", "-n", "-1", "-s", "-w", "-u", "hs_alice"],
        ["-f", "-t"],
        ["-f"],
        ["-f"],
    ]


NO_SUCH_OPTION = Says(err=sample("torque/pbs_qstat_t").stderr, status=2)
NO_JOBS = Says(status=sample("torque/pbs_qstat_f_all").status)


def test_slurms_commands_in_torques_manner_say_that_there_are_no_jobs_by_failing(
    pbs: PBSJobExecutor, commands: Commands
) -> None:
    commands.play("qstat", NO_SUCH_OPTION, NO_SUCH_OPTION, NO_JOBS)
    assert pbs.poll() == {}
    for name in ("down_qstat", "hang_qstat", "noconf_qstat"):
        failed = sample(f"torque/{name}")
        commands.play("qstat", *[Says(err=failed.stderr, status=failed.status)] * 9)
        with pytest.raises(SchedulerError, match=r"qstat -f"):
            pbs.poll()


def test_their_deletes_fail_without_a_word_of_jobs_that_are_gone_so_the_queue_is_asked(
    pbs: PBSJobExecutor, commands: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("paraschut_core.executors.pbs.user_name", lambda: "hs_alice")
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
    server = (
        "Server: pbshost\n    server_state = Active\n    max_array_size = 10000\n    pbs_version = 23.06.06\n"
    )
    torque = "Server: head\n    server_state = Active\n    scheduling = True\n    pbs_version = 6.1.2\n"
    down = sample("pbs/600_down_qstat")
    for answer, limit in [
        (Says(out=server), 10_000),
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


def test_pbs_that_is_down_is_an_error(pbs: PBSJobExecutor, commands: Commands) -> None:
    down = sample("pbs/600_down_qstat")
    commands.play("qstat", Says(err=down.stderr, status=down.status))
    for ask in (pbs.poll, lambda: pbs.explain(["1"], 0.0), lambda: pbs.find(["abc-1"]), pbs.health):
        with pytest.raises(SchedulerError, match="cannot connect to server"):
            ask()
    assert pbs.get_job_summary("1") == {}


def test_pbs_without_history_tells_nothing(pbs: PBSJobExecutor, commands: Commands) -> None:
    commands.play("qstat", Says(err=sample("pbs/025_qstat_x_nohist").stderr))
    assert pbs.explain(["1"], 0.0) == {}


def test_pbs_history_is_asked_for_many_jobs_at_once(pbs: PBSJobExecutor, commands: Commands) -> None:
    unknown = "qstat: Unknown Job Id 99.pbshost\n"
    commands.play("qstat", Says(sample("pbs/140_qstat_xf_selfkill").stdout, err=unknown, status=153))
    assert pbs.explain(["17", "99"], 0.0)["17"].signal == 9
    assert commands.arguments("qstat") == ["-x", "-f", "17", "99"]


@pytest.mark.parametrize(
    ("kind", "variables", "id_", "restarts"),
    [
        ("slurm", {"SLURM_JOB_ID": "12"}, "12", 0),
        (
            "slurm",
            {"SLURM_ARRAY_JOB_ID": "12", "SLURM_ARRAY_TASK_ID": "3", "SLURM_RESTART_COUNT": "2"},
            "12_3",
            2,
        ),
        ("sge", {"JOB_ID": "12", "SGE_TASK_ID": "undefined", "RESTARTED": "0"}, "12", 0),
        ("sge", {"JOB_ID": "12", "SGE_TASK_ID": "3", "RESTARTED": "1"}, "12.3", 1),
        ("pbs", {"PBS_JOBID": "12.pbshost"}, "12", 0),
        ("pbs", {"PBS_JOBID": "12[3].pbshost.example.org"}, "12[3]", 0),
        ("slurm", {}, None, 0),
        ("sge", {}, None, 0),
        ("pbs", {}, None, 0),
    ],
)  # fmt: skip
def test_a_job_knows_its_id_by_its_environment(
    clean_environment: None,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    variables: dict[str, str],
    id_: str | None,
    restarts: int,
) -> None:
    from importlib import import_module

    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    module = import_module(f"paraschut_core.executors.{kind}")
    assert (module.current_job_id(), module.restart_count()) == (id_, restarts)
    classes: Sequence[type] = (SlurmJobExecutor, SGEJobExecutor, PBSJobExecutor)
    (executor,) = [one for one in classes if one.name == kind]  # type: ignore[attr-defined]  # all have one
    assert executor().get_job_id() == id_
