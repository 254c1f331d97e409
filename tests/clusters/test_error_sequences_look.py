"""What real daemons cannot be made to do at will, when they are asked: garbage, cut answers, old versions."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from paraschut_core import exit_kinds
from paraschut_core.config import PollSettings
from paraschut_core.errors import SchedulerError
from paraschut_core.executors.batch.pbs import PBSJobExecutor
from paraschut_core.executors.batch.sge import SGEJobExecutor
from paraschut_core.executors.batch.slurm import SlurmJobExecutor
from paraschut_core.identity import user_name
from paraschut_core.model import HELD, QUEUED, RUNNING, STUCK, ExitInfo
from tests.clusters.stand_ins import NO_JOBS, NO_SUCH_OPTION, Commands, Says, commands, pbs, sge, slurm
from tests.samples import sample

__all__ = ["commands", "pbs", "sge", "slurm"]


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
    assert len(slurm.get_exit_info(ids, 0.0)) == 20_000
    assert commands.calls("sacct") == 3


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


BANNER = "".join(f"*** Welcome! Any error? Call 4711. Hours left: {n} ***\n" for n in (12, 100)) + "-----\n"
SQUEUE_HEADER = "JOBID|STATE|NODELIST|REASON|NAME\n"
NO_XML = sample("sge/qstat_empty_xml").stdout


@pytest.mark.parametrize("name", ["slurm", "sge", "pbs"])
@pytest.mark.parametrize("layout", ["{banner}{answer}", "{answer}{banner}", "{banner}{answer}{banner}"])
def test_a_banner_around_an_answer_hides_no_job_and_no_empty_queue(
    request: pytest.FixtureRequest,
    commands: Commands,
    name: str,
    layout: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    executor = request.getfixturevalue(name)
    for module in ("sge", "pbs"):
        monkeypatch.setattr(f"paraschut_core.executors.batch.{module}.user_name", lambda: "root")
    table = sample("pbs/qstat_as_asked").stdout
    command, full, empty = {
        "slurm": ("squeue", SQUEUE_HEADER + ROW, SQUEUE_HEADER),
        "sge": ("qstat", sample("sge/qstat_xml").stdout, NO_XML),
        "pbs": ("qstat", table, table[: table.index("13075")]),
    }[name]
    commands.play("qselect", Says())
    commands.play(command, Says(out=full))
    expected = executor.poll()
    assert expected
    for answer, jobs in ((full, expected), (empty, {})):
        out = layout.format(banner=BANNER, answer=answer)
        commands.play(command, Says(out=out, err=BANNER))
        assert executor.poll() == jobs


@pytest.mark.parametrize("name", ["slurm", "pbs"])
def test_a_banner_alone_is_an_empty_queue_only_where_the_command_surely_answered(
    request: pytest.FixtureRequest, commands: Commands, name: str
) -> None:
    executor = request.getfixturevalue(name)
    command, proof = {"slurm": ("squeue", SQUEUE_HEADER), "pbs": ("qstat", "pbs_version = 23.06.06\n")}[name]
    # PBS says nothing at all where there are no jobs: its version is asked for.
    again = BANNER.replace("100", "99")
    commands.play(command, Says(out=BANNER + (proof if name == "slurm" else "")), Says(out=again + proof))
    assert executor.poll() == {}
    for nothing in (BANNER, "The batch system is down for maintenance.\n"):
        calls = commands.calls(command)
        commands.play(command, *[Says(out=BANNER)] * calls, Says(out=nothing), Says(out=again))
        with pytest.raises(SchedulerError, match="cannot be understood"):
            executor.poll()


def test_a_banner_with_an_error_behind_it_is_no_empty_queue(
    pbs: PBSJobExecutor, slurm: SlurmJobExecutor, commands: Commands
) -> None:
    commands.play("qstat", Says(out=BANNER + "cannot connect\n"), Says(out=BANNER + "pbs_version = 23.06\n"))
    commands.play("squeue", Says(out=BANNER + SQUEUE_HEADER, err="slurm_load_jobs error: timed out\n"))
    for executor in (pbs, slurm):
        with pytest.raises(SchedulerError):
            executor.poll()


@pytest.mark.parametrize(
    ("name", "command", "whole", "cut"),
    [
        ("slurm", "sacct", "12|FAILED|1:0|00:10:00|n1|2026-11-22T16:00:50|pabc-1_x\n", "|pa"),
        ("pbs", "qstat", "Job Id: 12.host\n    job_state = F\n    Exit_status = 137\n\n", "1"),
        ("sge", "qacct", "jobnumber 12\ntaskid undefined\nfailed 0\nexit_status 137\n", "1"),
        ("sge", "qacct", "jobnumber 12\ntaskid undefined\nfailed 0\nexit_status 137\n", "failed 0\n"),
    ],
)
def test_an_account_that_is_cut_short_tells_no_end(
    request: pytest.FixtureRequest, commands: Commands, name: str, command: str, whole: str, cut: str
) -> None:
    executor = request.getfixturevalue(name)
    commands.play("squeue", Says(err="down\n", status=1))
    commands.play(command, Says(out=whole))
    assert executor.accounts(["12"], 0.0)["12"].exit_status != 0
    commands.play(
        command, *[Says()] * commands.calls(command), Says(out=whole[: whole.rindex(cut) + len(cut)])
    )
    try:
        assert executor.accounts(["12"], 0.0) == {}
    except SchedulerError as error:
        assert "cut short" in str(error) or "down" in str(error)


def test_accounts_that_do_not_exist_are_asked_once(slurm: SlurmJobExecutor, commands: Commands) -> None:
    commands.play("sacct", Says(err=sample("slurm/sacct_none").stderr, status=1))
    commands.play("squeue", Says(out=sample("slurm/squeue_remembered").stdout))
    for _ in range(2):
        assert slurm.get_exit_info(["55"], 0.0)["55"].exit_status == 3
    assert (commands.calls("sacct"), commands.calls("squeue")) == (1, 2)


def test_accounts_in_trouble_are_asked_again(slurm: SlurmJobExecutor, commands: Commands) -> None:
    trouble = Says(err="sacct: error: Problem talking to the database: Connection refused\n", status=1)
    commands.play("sacct", trouble, Says(out=sample("slurm/sacct_fields").stdout))
    commands.play("squeue", Says(err="slurm_load_jobs error: Socket timed out\n", status=1))
    with pytest.raises(SchedulerError, match="Socket timed out"):
        slurm.get_exit_info(["7"], 0.0)
    assert slurm.get_exit_info(["7"], 0.0)["7"].reason == "node failed: n2"
    assert commands.arguments("sacct", 2)[-2:] == ["-j", "7"]


def test_accounting_is_asked_in_one_command_for_all(slurm: SlurmJobExecutor, commands: Commands) -> None:
    commands.play("sacct", Says(out=sample("slurm/sacct_fields").stdout))
    ids = ["1_1", "1_2", "1_3", "1_4", "2", "3", "4", "5", "6", "7", "8_1", "8_5", "9"]
    assert set(slurm.get_exit_info(ids, 0.0)) == set(ids)
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
    endings = slurm.get_exit_info(["12", "13_2", "14", "15"], 0.0)
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
    assert slurm.get_exit_info(["12", "13"], 0.0)["12"].exit_status == 3


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("slurmstepd-n1: error: Exceeded job memory limit\n", "out of memory"),
        ("slurmstepd: error: Detected 1 oom-kill event(s) in StepId=12.batch\n", "out of memory"),
        ("slurmstepd-n1: error: *** JOB 12 ON n1 CANCELLED AT x DUE TO TIME LIMIT ***\n", "time limit"),
        ("slurmstepd-n1: error: *** JOB 12 ON n1 CANCELLED AT x DUE TO NODE FAILURE ***\n", "node failed"),
        ("=>> PBS: job killed: walltime 13 exceeded limit 2\n", "time limit 00:00:02"),
        ("=>> PBS: job killed: cput 4 exceeded limit 3\n", "CPU time limit 00:00:03"),
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
    ending = slurm.get_exit_info(["12"], 0.0)["12"]
    assert ending.reason == reason
    assert ending.record["log"] == said.strip()


@pytest.mark.parametrize("header", ["", "CLUSTER: amber\n", "\n"])
def test_an_error_without_a_job_is_no_answer_whatever_stands_before_it(
    slurm: SlurmJobExecutor, commands: Commands, header: str
) -> None:
    error = "slurm_load_jobs error: Socket timed out on send/recv operation\n"
    commands.play("squeue", Says(out=header, err=error), Says(out=header, err="welcome\n"))
    with pytest.raises(SchedulerError, match="Socket timed out"):
        slurm.poll()
    assert slurm.poll() == {}


def test_without_accounts_and_record_the_schedulers_own_words_are_all_there_is(
    slurm: SlurmJobExecutor, commands: Commands
) -> None:
    folder = Path(slurm._folder())
    folder.mkdir(parents=True)
    said = "slurmstepd-n1: error: *** JOB 12 ON n1 CANCELLED AT x ***\nerror: Exceeded job memory limit"
    (folder / "abc-1.log").write_text(f"{said}\n")
    (folder / "abc-2.log").write_text("module: command not found\n")
    told = slurm.exit_info_from_logs(["abc-1", "abc-2", "abc-3"])
    wanted = ExitInfo("out of memory", record={"log": said}, kind=exit_kinds.MEMORY, source=exit_kinds.LOG)
    assert told == {"abc-1": wanted}


@pytest.mark.parametrize(
    "sacct", [Says(then="exec sleep 60"), Says(err="sacct: error: Connection refused\n", status=1), None]
)
def test_the_controller_is_asked_whatever_is_wrong_with_the_accounts(
    slurm: SlurmJobExecutor,
    commands: Commands,
    sacct: Says | None,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    if sacct is None:  # not installed
        alone = tmp_path / "alone"
        alone.mkdir()
        for name in ("sh", "cat", "wc", "sleep"):
            (alone / name).symlink_to(shutil.which(name) or name)
        monkeypatch.setenv("PATH", f"{commands.folder}{os.pathsep}{alone}")
    else:
        commands.play("sacct", sacct)
    slurm._settings = msgspec.structs.replace(slurm.settings, poll=PollSettings(timeout=2.0))
    fields = ["12", "TIMEOUT", "0", "1:00", "n1", time.strftime("%Y-%m-%dT%H:%M:%S"), "pabc-1_x"]
    commands.play("squeue", Says(out="|".join(fields) + "\n"))
    since = time.time() - 60
    told = slurm.get_exit_info(["12", "13"], since)
    assert {id_: (one.kind, one.source) for id_, one in told.items()} == {
        "12": (exit_kinds.TIME_LIMIT, exit_kinds.ACCOUNT)
    }
    assert slurm.accounts_failure
    commands.play("sacct", Says(out="13|OUT_OF_MEMORY|0:125|00:10:00|n1|2026-11-22T16:00:50|pabc-1_x\n"))
    assert slurm.get_exit_info(["13"], since)["13"].kind == exit_kinds.MEMORY
    assert not slurm.accounts_failure


def test_a_job_that_nobody_lists_is_found_by_its_record(slurm: SlurmJobExecutor, commands: Commands) -> None:
    commands.play("squeue", Says(out=ROW))
    record(slurm, "13_2", "ghijkl-2")
    assert slurm.find_by_token(["abcdef-1", "ghijkl-2", "nosuch-1"]) == {"abcdef-1": "12", "ghijkl-2": "13_2"}


def test_grid_engines_reasons_are_asked_only_for_jobs_in_error_state(
    sge: SGEJobExecutor, commands: Commands
) -> None:
    waiting = sample("sge/qstat_array").stdout.replace("JB_owner>root<", f"JB_owner>{user_name()}<")
    commands.play("qstat", Says(out=waiting))
    assert "12.1" in sge.poll()
    assert commands.calls("qstat") == 1
    stuck = waiting.replace("hqw", "Eqw")
    # The details fail as a whole if one of the jobs is gone meanwhile, and tell of the others.
    details = sample("sge/qstat_j_eqw").stdout.replace("job_number:                 10", "job_number: 12")
    commands.play("qstat", Says(), Says(out=stuck), Says(out=details, err="jobs do not exist: 9\n", status=1))
    jobs = sge.poll()
    assert commands.arguments("qstat", 3) == ["-j", "12"]
    assert "Permission denied" in jobs["12.1"].reason
    assert jobs["12.4"].reason == jobs["12.1"].reason  # the job's reason, where its task has none


def test_very_many_jobs_in_error_state_do_not_fail_the_poll(sge: SGEJobExecutor, commands: Commands) -> None:
    row = "<job_list><JB_job_number>{}</JB_job_number><JB_name>x</JB_name><state>Eqw</state></job_list>"
    rows = "".join(row.format(10**9 + n) for n in range(20_000))
    listing = f"<job_info><queue_info></queue_info><job_info>{rows}</job_info></job_info>"
    told = "job_number:                 1000000000\nerror reason    1:          no disk\n"
    commands.play("qstat", Says(out=listing), Says(out=told))
    jobs = sge.poll()
    assert len(jobs) == 20_000
    assert jobs["1000000000"].reason == "no disk"
    assert jobs["1000019999"].reason == "in error state"
    assert commands.arguments("qstat", 2)[1].count(",") == 999


def test_no_accounting_file_as_yet_is_no_error(sge: SGEJobExecutor, commands: Commands) -> None:
    commands.play("qacct", Says(err="error: /x/accounting: No such file or directory\n", status=1))
    assert sge.get_exit_info(["12"], 0.0) == {}
    commands.play("qacct", Says(err="error: commlib error: got select error\n", status=1))
    with pytest.raises(SchedulerError):
        sge.get_exit_info(["12"], 0.0)


def test_tasks_of_a_held_pbs_array_are_held_and_nobody_asks_without_such_tasks(
    pbs: PBSJobExecutor, commands: Commands
) -> None:
    held, none_held = (Says(out=sample(f"pbs/{name}").stdout) for name in ("held_arrays", "126_qstat_s"))
    commands.play("qstat", none_held, held)
    commands.play("qselect", Says(out=sample("pbs/qselect_held_arrays").stdout), Says(err="oh", status=1))
    assert pbs.poll()
    assert commands.calls("qselect") == 0
    states = {id_: job.state for id_, job in pbs.poll().items()}
    of_arrays = {id_ for id_, state in states.items() if state == HELD} - {"44"}
    assert of_arrays == {"41[1]", "41[2]", "41[3]", "45[1]", "45[2]"}
    assert {states[id_] for id_ in ("42[1]", "42[2]", "46")} == {STUCK}
    assert {states[id_] for id_ in ("43[1]", "43[2]")} == {QUEUED}
    assert pbs.poll()["41[1]"].state == QUEUED  # it fails
    (commands.folder / "qselect").unlink()
    assert pbs.poll()["41[1]"].state == QUEUED


def test_pbs_without_a_wide_table_is_asked_in_the_old_way_from_then_on(
    pbs: PBSJobExecutor, commands: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = Says(err=sample("pbs/torque_style_qstat_t").stderr, status=2)
    listing = Says(out=sample("pbs/torque_style_qstat_f").stdout)
    commands.play("qstat", usage, usage, listing)
    monkeypatch.setattr("paraschut_core.executors.batch.pbs.user_name", lambda: "hs_alice")
    for _ in range(2):
        assert list(pbs.poll()) == ["22"]
    assert [commands.arguments("qstat", call) for call in range(1, 5)] == [
        ["-t", "-n", "-1", "-s", "-w", "-u", "hs_alice"],
        ["-f", "-t"],
        ["-f"],
        ["-f"],
    ]


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


def test_pbs_tells_its_version_limits_and_queues(pbs: PBSJobExecutor, commands: Commands) -> None:
    commands.play("qstat", Says(out=sample("pbs/971_Q_f").stdout), Says(out=sample("pbs/970_B_f").stdout))
    assert pbs.health().splitlines() == [
        "PBS 23.06.06",
        "server_state = Active",
        "max_queued = [u:PBS_GENERIC=5000]",
        "max_array_size = 10000",
        "job_history_enable = True",
        "queue workq: open",
        "queue short: not started, max_queued up to [u:PBS_GENERIC=2000], ncpus up to 4,"
        " walltime up to 00:30:00, max_run up to [u:PBS_GENERIC=50]",
        "queue parked: not started",
    ]


def test_pbs_that_is_down_is_an_error(pbs: PBSJobExecutor, commands: Commands) -> None:
    down = sample("pbs/600_down_qstat")
    commands.play("qstat", Says(err=down.stderr, status=down.status))
    for ask in (
        pbs.poll,
        lambda: pbs.get_exit_info(["1"], 0.0),
        lambda: pbs.find_by_token(["abc-1"]),
        pbs.health,
    ):
        with pytest.raises(SchedulerError, match="cannot connect to server"):
            ask()
    assert pbs.get_job_summary("1") == {}


def test_pbs_without_history_tells_nothing(pbs: PBSJobExecutor, commands: Commands) -> None:
    commands.play("qstat", Says(err=sample("pbs/025_qstat_x_nohist").stderr))
    assert pbs.get_exit_info(["1"], 0.0) == {}


def test_pbs_history_is_asked_for_many_jobs_at_once(pbs: PBSJobExecutor, commands: Commands) -> None:
    unknown = "qstat: Unknown Job Id 99.pbshost\n"
    commands.play("qstat", Says(sample("pbs/140_qstat_xf_selfkill").stdout, err=unknown, status=153))
    assert pbs.get_exit_info(["17", "99"], 0.0)["17"].signal == 9
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
        ("pbs", {"SLURM_JOB_ID": "12", "SLURM_RESTART_COUNT": "1"}, "12", 1),
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
    module = import_module(f"paraschut_core.executors.batch.{kind}")
    assert (module.current_job_id(), module.restart_count()) == (id_, restarts)
    classes: Sequence[type] = (SlurmJobExecutor, SGEJobExecutor, PBSJobExecutor)
    (executor,) = [one for one in classes if one.name == kind]  # type: ignore[attr-defined]  # all have one
    assert executor().get_job_id() == id_
