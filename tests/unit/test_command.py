"""One scheduler command: its environment, its time-out, its errors. The commands are real processes."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from paraschut_core.executors.batch import run_command
from paraschut_core.executors.batch.run_command import (
    CommandNotFoundError,
    CommandResult,
    CommandTimeoutError,
    environment,
    run,
)
from tests.clusters.tools import read
from tests.helpers import wait_until


def script(folder: Path, name: str, text: str) -> str:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def test_an_answer_has_status_and_both_outputs() -> None:
    answer = run(["sh", "-c", "echo out; echo err >&2; exit 3"], timeout=30)
    assert (answer.status, answer.stdout, answer.stderr) == (3, "out\n", "err\n")
    assert answer.seconds > 0


def test_the_failure_names_command_reason_and_status() -> None:
    error = run(["sh", "-c", "echo 'sh: error: no such partition' >&2; exit 3"], timeout=30).failure()
    assert str(error).startswith("sh -c ")
    assert str(error).endswith(": no such partition (exit status 3)")


def test_text_goes_in_and_broken_utf8_comes_out_readable() -> None:
    answer = run(["cat"], timeout=30, input="naïve \udcff")
    assert answer.stdout == "naïve \ufffd"


def test_a_command_that_is_not_there_is_told_with_advice() -> None:
    with pytest.raises(
        CommandNotFoundError, match=r"command not found: no-such-sbatch .*login node.*module load"
    ):
        run(["no-such-sbatch", "--parsable"], timeout=30)


def test_a_command_that_may_not_be_run_is_told(tmp_path: Path) -> None:
    (tmp_path / "sbatch").write_text("not executable")
    with pytest.raises(CommandNotFoundError, match="permission denied"):
        run([str(tmp_path / "sbatch")], timeout=30)


def test_too_many_arguments_are_told() -> None:
    with pytest.raises(CommandNotFoundError, match="too many or too long"):
        run(["true", *["x" * 100_000] * 100], timeout=30)


def test_a_time_out_ends_the_command_and_its_children(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    text = f"sleep 300 & echo $$ $! > {pids}; echo retrying >&2; wait"
    began = time.monotonic()
    with pytest.raises(CommandTimeoutError, match=r"sh -c .*: not answering for 0\.5 s \(retrying\)"):
        run(["sh", "-c", text], timeout=0.5)
    assert time.monotonic() - began < 30
    for pid in read(pids).split():
        wait_until(lambda pid=pid: _ended(pid), f"process {pid} ended")


def _ended(pid: str) -> bool:
    return read(f"/proc/{pid}/stat").rpartition(")")[2].strip()[:1] in ("", "Z")


def test_a_child_that_keeps_the_pipes_does_not_hold_us(tmp_path: Path) -> None:
    # It leaves the process group, so that the kill does not reach it, and holds standard output open.
    helper = (
        "import os, time\n"
        "os.setsid()\n"
        f"open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid()))\n"
        "time.sleep(60)\n"
    )
    began = time.monotonic()
    with pytest.raises(CommandTimeoutError):
        run(["sh", "-c", f'{sys.executable} -c "$1" & sleep 60', "sh", helper], timeout=1.5)
    assert time.monotonic() - began < 30
    pid = wait_until(lambda: read(tmp_path / "pid"), "the helper told its number")
    os.kill(int(pid), 9)


def test_variables_that_change_the_answer_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    dropped = {
        "SQUEUE_FORMAT": "%i",
        "SBATCH_OUTPUT": "x",
        "SBATCH_ARRAY_INX": "1-5",
        "SBATCH_WAIT": "1",
        "SBATCH_EXPORT": "NONE",
        "PMI_RANK": "3",
        "PMIX_RANK": "3",
        "OMPI_COMM_WORLD_RANK": "3",
        "OMPI_MCA_ess_base_jobid": "12",
        "SACCT_FORMAT": "x",
        "SLURM_TIME_FORMAT": "relative",
        "SLURM_MEM_PER_NODE": "1",
        "SLURM_EXPORT_ENV": "NONE",
        "PBS_JOBID": "1.x",
        "PBS_O_PATH": "/bin",
        "SGE_TASK_ID": "undefined",
        "JOB_ID": "3",
        "NSLOTS": "4",
    }
    kept = {
        "SBATCH_ACCOUNT": "lab",
        "SBATCH_PARTITION": "long",
        "SBATCH_QOS": "high",
        "SBATCH_TIMELIMIT": "60",
        "SBATCH_RESERVATION": "course",
        "SBATCH_CONSTRAINT": "avx2",
        "SLURM_CONF": "/x",
        "SGE_ROOT": "/y",
        "SGE_QMASTER_PORT": "1",
        "PBS_SERVER": "z",
        "PBS_CONF_FILE": "/pbs.conf",
        "HOME": "/home/me",
    }
    for name, value in {**dropped, **kept, "LC_ALL": "de_DE.UTF-8"}.items():
        monkeypatch.setenv(name, value)
    clean = environment()
    assert not set(dropped) & set(clean)
    assert {name: clean.get(name) for name in kept} == kept
    assert clean["LC_ALL"] == "C"


def test_common_words_are_dropped_only_inside_a_grid_engine_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SGE_TASK_ID", raising=False)
    monkeypatch.setenv("QUEUE", "the user's own")
    assert environment()["QUEUE"] == "the user's own"


def test_a_job_that_submits_another_keeps_its_own_variables_to_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PARASCHUT_VARIABLES", "SAMPLE PARASCHUT_TOKEN")
    monkeypatch.setenv("SAMPLE", "1")
    monkeypatch.setenv("PARASCHUT_TOKEN", "abc-1")
    assert not {"SAMPLE", "PARASCHUT_TOKEN", "PARASCHUT_VARIABLES"} & set(environment())


def test_a_submitted_job_inherits_the_users_locale(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    assert environment(run_command.user_locale())["LC_ALL"] == "de_DE.UTF-8"
    monkeypatch.delenv("LC_ALL")
    assert "LC_ALL" not in environment(run_command.user_locale())


def test_commands_are_counted_by_name(tmp_path: Path) -> None:
    path = script(tmp_path, "counted-command", "exit 0")
    run([path], timeout=30)
    run([path], timeout=30)
    assert run_command.COUNTS["counted-command"] == 2


def test_what_a_command_says_cannot_reach_the_terminal() -> None:
    error = run(["sh", "-c", "printf 'bad\\033[2J\\nsecond\\n' >&2; exit 1"], timeout=30).failure()
    assert "\x1b" not in str(error)
    assert "\n" not in str(error)


BANNER = [
    f"Welcome to the cluster, line {n}: maintenance is on Monday, see the pages of the site"
    for n in range(12)
]


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
@pytest.mark.parametrize("place", ["before", "behind", "around"])
@pytest.mark.parametrize(
    ("name", "line", "said"),
    [
        ("sbatch", "sbatch: error: AssocMaxSubmitJobLimit", "AssocMaxSubmitJobLimit"),
        (
            "squeue",
            "slurm_load_jobs error: Unable to contact slurm controller",
            "slurm_load_jobs error: Unable",
        ),
        ("qsub", "qsub: Unknown queue", "Unknown queue"),
        ("qsub", "Unable to run job: job rejected: no such queue", "Unable to run job"),
        ("qsub", "error: commlib error: got select error (Connection refused)", "commlib error: got select"),
    ],
)
def test_a_banner_hides_no_error(name: str, line: str, said: str, place: str, stream: str) -> None:
    lines = {"before": [*BANNER, line], "behind": [line, *BANNER], "around": [*BANNER, line, *BANNER]}[place]
    text = "\n".join(lines) + "\n"
    banner = "".join(f"{line}\n" for line in BANNER)
    out, err = (text, banner) if stream == "stdout" else (banner, text)
    answer = CommandResult((f"/usr/bin/{name}",), 1, out, err, 0.1)
    assert answer.message.startswith(said)
    assert said in str(answer.failure())
    assert line in answer.text


def test_of_a_long_answer_without_an_error_the_last_lines_are_shown() -> None:
    answer = CommandResult(("sbatch",), 1, "", "\n".join([*BANNER, "the partition is closed"]), 0.1)
    assert answer.message.endswith("the partition is closed")
    assert len(answer.message) <= 400


def test_open_mpis_settings_are_the_users_outside_of_its_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMPI_MCA_btl", "self,tcp")
    monkeypatch.setenv("OMPI_UNIVERSE_SIZE", "4")
    assert environment().get("OMPI_MCA_btl") == "self,tcp"
    assert "OMPI_UNIVERSE_SIZE" not in environment()
    monkeypatch.setenv("OMPI_COMM_WORLD_RANK", "0")
    assert "OMPI_MCA_btl" not in environment()


def test_other_ends_of_lines_are_read_as_usual_ones() -> None:
    assert run(["printf", "12\\r\\n13\\n"], timeout=30).stdout == "12\n13\n"


@pytest.mark.parametrize(("token", "kept"), [("", False), ("abc-1", True)])
def test_defaults_of_sbatch_inside_a_job_are_the_users_only_if_it_is_ours(
    monkeypatch: pytest.MonkeyPatch, token: str, kept: bool
) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "1")
    monkeypatch.setenv("SBATCH_ACCOUNT", "lab")
    monkeypatch.delenv("PARASCHUT_TOKEN", raising=False)
    if token:
        monkeypatch.setenv("PARASCHUT_TOKEN", token)
    assert ("SBATCH_ACCOUNT" in environment()) is kept
    assert "SLURM_JOB_ID" not in environment()
