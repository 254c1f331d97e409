"""`paraschut run`: a plain command as a job, with real processes, signals and a database in trouble."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.core.cli import COMMAND, CommandLine, locked
from tests.helpers import ROOT, wait_until


@pytest.fixture
def cli(tmp_path: Path, clean_environment: None) -> Iterator[CommandLine]:
    with CommandLine(tmp_path / "project") as command_line:
        yield command_line


def _job(cli: CommandLine, batch: int) -> Any:
    return cli("info", batch, 0, "--json").json


def _python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


# ------------------------------------------------------------------------------------ how it ends


def test_a_command_that_ends_well_completes_the_job(cli: CommandLine) -> None:
    batch = cli.add("true")
    answer = cli.process("run", batch, 0, "--", "echo", "hello  world")
    assert (answer.out, answer.err) == ("hello  world\n", "")
    assert cli.states(batch) == {0: "complete"}


def test_a_failing_command_leaves_the_job_to_be_found_missing_with_its_exit_status(cli: CommandLine) -> None:
    batch = cli.add("true")
    cli.process("run", batch, 0, "--", "sh", "-c", "exit 7", status=7)
    assert cli.states(batch) == {0: "run"}
    report = cli("queue", "--json").json
    assert report["batches"][0]["missing"] == [0]
    reason = report["reasons"][f"{batch}/0"]
    assert (reason["reason"], reason["exit_status"], reason["signal"]) == ("exit status 7", 7, None)


def test_a_command_that_a_signal_ends_gives_128_and_the_signal(cli: CommandLine) -> None:
    batch = cli.add("true")
    cli.process("run", batch, 0, "--", "sh", "-c", "kill -KILL $$", status=128 + 9)
    assert _job(cli, batch)["ending"] == "killed by signal 9 (SIGKILL)"
    assert cli.sql("SELECT exit_status, signal FROM ending") == [(None, 9)]


def test_a_command_that_is_not_there_gives_127(cli: CommandLine) -> None:
    batch = cli.add("true")
    answer = cli.process("run", batch, 0, "--", "no-such-command", status=127)
    assert answer.err == "paraschut: command not found: no-such-command\n"
    assert _job(cli, batch)["ending"] == "exit status 127"


def test_a_file_that_is_not_executable_gives_126(cli: CommandLine) -> None:
    batch = cli.add("true")
    (cli.folder / "script.sh").write_text("#!/bin/sh\n")
    answer = cli.process("run", batch, 0, "--", "./script.sh", status=126)
    assert "./script.sh is not executable" in answer.err


def test_a_script_without_an_interpreter_line_is_run_by_sh_and_one_with_a_wrong_one_is_explained(
    cli: CommandLine,
) -> None:
    batch = cli.add("true")
    script = cli.folder / "script"
    script.write_text('echo "got $1"\n')
    script.chmod(0o755)
    assert cli.process("run", batch, 0, "--", "./script", "a b").out == "got a b\n"
    script.write_text("#!/no/such/interpreter\n")
    answer = cli.process("run", batch, 0, "--", "./script", status=127)
    assert "the interpreter that its first line names is not there" in answer.err


def test_what_the_job_said_of_itself_stays(cli: CommandLine) -> None:
    batch = cli.add("--range", "0-1", "true")
    complete = f"""
import sys; sys.path.insert(0, {ROOT!r})
import paraschut_core as psu
job = psu.get_job_info({batch}, 0)
job["result"] = 42
psu.set_complete(JobInfo=job)
"""
    cli.process("run", batch, 0, "--", *_python(complete), PARASCHUT_DB=str(cli.database))
    assert _job(cli, batch)["result"] == 42
    assert [e["to"] for e in _events(cli, batch, 0)].count("complete") == 1
    own_state = complete.replace(f"{batch}, 0", f"{batch}, 1").replace(
        "psu.set_complete(JobInfo=job)", "job['state'] = 'needs review'; psu.update_job(job)"
    )
    cli.process("run", batch, 1, "--", *_python(own_state), PARASCHUT_DB=str(cli.database))
    assert cli.states(batch) == {0: "complete", 1: "needs review"}


def _events(cli: CommandLine, batch: int, job: int) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = cli("history", batch, job, "--json").json
    return [{**event, "to": event["after"]} for event in events]


# ------------------------------------------------------------------------------------ which job


def test_inside_a_job_its_number_may_be_left_out(cli: CommandLine) -> None:
    batch = cli.add("true")
    inside = {
        "PARASCHUT_DB": str(cli.database),
        "PARASCHUT_BATCH_ID": str(batch),
        "PARASCHUT_JOB_INDEX": "0",
    }
    cli.process("run", "--", "true", **inside)
    assert cli.states(batch) == {0: "complete"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["1", "0", "true"], "no `--` before the command"),
        (["1", "0", "--"], "no command after `--`"),
        (["1", "--", "true"], "Give both BATCH and JOB"),
        (["1", "x", "--", "true"], "BATCH and JOB are numbers, not 'x'"),
        (["1", "0", "--frob", "--", "true"], "run has no option --frob"),
        (["--", "true"], "Which job?"),
        (["1", "0", "--", "true"], "There is no batch 1"),
    ],
)
def test_misuse_is_told_and_nothing_is_run(arguments: list[str], message: str, cli: CommandLine) -> None:
    cli.add("true")
    answer = cli.process("run", *arguments, status=2)
    assert message in answer.err


def test_a_stale_attempt_stops_before_the_command(cli: CommandLine) -> None:
    batch = cli.add("true")
    cli.sql("UPDATE job SET state = 'submit', token = 'now-1', attempt = 2, submit_id = '17'")
    inside = {"PARASCHUT_BATCH_ID": str(batch), "PARASCHUT_JOB_INDEX": "0", "PARASCHUT_TOKEN": "before-1"}
    answer = cli.process("run", batch, 0, "--", "touch", "was-run", status=1, **inside)
    assert f"Job {batch}/0 must not start" in answer.err
    assert not (cli.folder / "was-run").exists()
    assert cli.states(batch) == {0: "submit"}


def test_the_end_of_an_attempt_that_was_replaced_while_it_ran_is_not_written_down(cli: CommandLine) -> None:
    batch = cli.add("true")
    replace = "import sqlite3, sys\nc = sqlite3.connect('jobs.db', timeout=60)\nwith c:\n"
    replace += "    c.execute(\"UPDATE job SET attempt = 5, state = 'submit', token = 'new-1'\")\n"
    answer = cli.process("run", batch, 0, "--", *_python(replace), status=1)
    assert "is at attempt 5 by now" in answer.err
    assert cli.states(batch) == {0: "submit"}


def test_the_global_options_hold_for_run_and_for_its_command(cli: CommandLine, tmp_path: Path) -> None:
    batch = cli.add("true")
    code = "import os; print(os.environ['PARASCHUT_DB'])"
    process = subprocess.run(
        [
            *COMMAND,
            "--db",
            os.path.relpath(cli.database, tmp_path),
            "run",
            str(batch),
            "0",
            "--",
            *_python(code),
        ],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": ROOT},
        capture_output=True,
        text=True,
        check=True,
    )
    assert process.stdout.strip() == str(cli.database)
    assert cli.states(batch) == {0: "complete"}


# ------------------------------------------------------------------------------------ signals

_CATCHES_TERM = """
import signal, sys, time
def caught(*_):
    sys.exit(5)
signal.signal(signal.SIGTERM, caught)
print("ready", flush=True)
time.sleep(300)
"""


def _started(cli: CommandLine, batch: int, code: str) -> subprocess.Popen[str]:
    process = cli.start("run", batch, 0, "--", *_python(code))
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def _kill_group(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def test_a_signal_to_this_process_alone_is_passed_on(cli: CommandLine) -> None:
    batch = cli.add("true")
    process = _started(cli, batch, _CATCHES_TERM)
    try:
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(60) == 5
    finally:
        _kill_group(process)
    assert _job(cli, batch)["ending"] == "exit status 5"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGUSR1])
def test_a_signal_to_the_group_ends_the_command_and_is_written_down(number: int, cli: CommandLine) -> None:
    batch = cli.add("true")
    sleeps = (
        "import signal, time; signal.signal(signal.SIGINT, signal.SIG_DFL); "
        "print('ready', flush=True); time.sleep(300)"
    )
    process = _started(cli, batch, sleeps)
    try:
        os.killpg(process.pid, number)
        assert process.wait(60) == 128 + number
    finally:
        _kill_group(process)
    assert f"killed by signal {int(number)} " in _job(cli, batch)["ending"]


def test_a_signal_to_the_group_reaches_a_command_that_handles_it_quickly_once(cli: CommandLine) -> None:
    batch = cli.add("true")
    counts = """
import signal, sys, time
got = 0
def caught(*_):
    global got
    got += 1
signal.signal(signal.SIGUSR1, signal.SIG_IGN)
signal.signal(signal.SIGTERM, caught)
print("ready", flush=True)
while not got:
    time.sleep(0.01)
sys.exit(10 + got)
"""
    process = _started(cli, batch, counts)
    try:
        os.killpg(process.pid, signal.SIGTERM)
        assert process.wait(60) == 11
    finally:
        _kill_group(process)


def test_what_nohup_ignores_stays_ignored(cli: CommandLine) -> None:
    batch = cli.add("true")
    mask = "grep SigIgn /proc/self/status"
    hangup = 1 << (signal.SIGHUP - 1)
    plain = cli.process("run", batch, 0, "--", "sh", "-c", mask).out
    process = subprocess.run(
        ["sh", "-c", f"trap '' HUP; exec \"$@\" -- sh -c '{mask}'", "sh", *COMMAND, "run", str(batch), "0"],
        cwd=cli.folder,
        env={**os.environ, "PYTHONPATH": ROOT},
        capture_output=True,
        text=True,
        check=True,
    )
    assert not int(plain.split()[1], 16) & hangup
    assert int(process.stdout.split()[1], 16) & hangup


def test_the_command_starts_with_no_signal_blocked_or_ignored(cli: CommandLine) -> None:
    batch = cli.add("true")
    out = cli.process("run", batch, 0, "--", "grep", "-E", "Sig(Ign|Blk)", "/proc/self/status").out
    masks = {line.split()[0]: int(line.split()[1], 16) for line in out.splitlines()}
    assert not masks["SigBlk:"]
    assert not masks["SigIgn:"] & (1 << (signal.SIGPIPE - 1))


_LEAVES = """
import signal, sys, time
got = []
signal.signal(signal.SIGUSR1, lambda *_: got.append("USR1"))
signal.signal(signal.SIGUSR2, lambda *_: got.append("USR2"))
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGXCPU):
    signal.signal(number, lambda *_: sys.exit(0))
print("ready", flush=True)
end = time.monotonic() + 60
while not got and time.monotonic() < end:
    time.sleep(0.01)
time.sleep(1.5)
open("got", "w").write(" ".join(got))
"""


@pytest.mark.parametrize("to", [os.kill, os.killpg])
@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGHUP", "SIGXCPU"])
def test_exit_status_0_after_a_signal_to_end_it_is_no_proof(cli: CommandLine, name: str, to: Any) -> None:
    batch = cli.add("--chain", "--priority", "2", "true")
    cli("add", "--batch", batch, "--priority", "1", "touch later")
    process = cli.start("run", batch, 0, "--submit", "--", *_python(_LEAVES))
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    try:
        to(process.pid, getattr(signal, name))
        assert process.wait(60) == 0
    finally:
        _kill_group(process)
    assert cli.states(batch) == {0: "run", 1: "init"}
    assert f"exit status 0 after {name}" in _job(cli, batch)["ending"]
    assert cli.sql("SELECT kind, source, confirmed, chain FROM ended") == [("signal", "wrapper", 0, 1)]


@pytest.mark.parametrize("to", [os.kill, os.killpg])
@pytest.mark.parametrize("name", ["SIGUSR1", "SIGUSR2"])
def test_a_warning_reaches_the_command_once_and_keeps_it_from_nothing(
    cli: CommandLine, name: str, to: Any
) -> None:
    batch = cli.add("true")
    process = _started(cli, batch, _LEAVES)
    try:
        to(process.pid, getattr(signal, name))
        assert process.wait(60) == 0
    finally:
        _kill_group(process)
    assert (cli.folder / "got").read_text() == name.removeprefix("SIG")
    assert cli.states(batch) == {0: "complete"}


def test_a_job_that_said_itself_that_it_is_complete_is_so_whatever_ended_it(cli: CommandLine) -> None:
    batch = cli.add("true")
    said = f"""
import sys; sys.path.insert(0, {ROOT!r})
import paraschut_core as psu
psu.set_complete({batch}, 0)
"""
    process = cli.start("run", batch, 0, "--", *_python(said + _LEAVES), PARASCHUT_DB=str(cli.database))
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    try:
        os.killpg(process.pid, signal.SIGTERM)
        assert process.wait(60) == 0
    finally:
        _kill_group(process)
    assert cli.states(batch) == {0: "complete"}


def test_a_command_that_used_up_its_cpu_time_is_not_complete_and_the_reason_names_the_limit(
    cli: CommandLine,
) -> None:
    batch = cli.add("true")
    code = "import signal, sys\nsignal.signal(signal.SIGXCPU, lambda *_: sys.exit(0))\nwhile True: pass"
    limited = ["sh", "-c", 'ulimit -S -t 1; exec "$@"', "sh", *COMMAND, "run", str(batch), "0", "--"]
    environment = {**os.environ, "PYTHONPATH": ROOT}
    done = subprocess.run([*limited, *_python(code)], cwd=cli.folder, env=environment, check=False)
    assert done.returncode == 0
    assert cli.states(batch) == {0: "run"}
    assert _job(cli, batch)["ending"] == "CPU time limit 00:00:01 (cput)"


# ------------------------------------------------------------------------------------ trouble


def test_a_result_waits_for_a_locked_database(cli: CommandLine) -> None:
    batch = cli.add("true")
    waits = "import os, time\nprint('ready', flush=True)\nwhile not os.path.exists('go'): time.sleep(0.01)"
    process = _started(cli, batch, waits)
    with locked(cli.database):
        (cli.folder / "go").touch()
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(2)  # the command has ended, and nobody can write that down yet
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert cli.states(batch) == {0: "complete"}


def test_a_result_that_cannot_be_written_is_tried_again_and_then_told(cli: CommandLine) -> None:
    batch = cli.add("true")
    hidden = cli.folder / "hidden.db"
    code = f"""
import sys
sys.path.insert(0, {ROOT!r})
import paraschut_core.cli.run as run
run.in_job.PAUSES = (0.01, float(sys.argv[1]))
sys.exit(run.run([{str(batch)!r}, "0", "--", "mv", "jobs.db", "hidden.db"], None, "jobs.db"))
"""

    def start(pause: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", code, pause], cwd=cli.folder, stderr=subprocess.PIPE, text=True
        )

    _, err = start("0.01").communicate(timeout=120)
    assert err.count("Trying again") == 2
    assert f"paraschut set {batch} 0 state=complete" in err
    hidden.rename(cli.database)
    assert cli.states(batch) == {0: "run"}

    process = start("3")
    wait_until(hidden.exists, "the command took the database away")
    hidden.rename(cli.database)  # before the last try
    process.communicate(timeout=120)
    assert process.returncode == 0
    assert cli.states(batch) == {0: "complete"}


def test_many_at_once_lose_nothing(cli: CommandLine) -> None:
    batch = cli.add("--range", "0-39", "true")
    processes = [cli.start("run", batch, index, "--", "true") for index in range(40)]
    answers = [(process.communicate(timeout=240)[1], process.returncode) for process in processes]
    assert answers == [("", 0)] * 40
    assert set(cli.states(batch).values()) == {"complete"}
    with sqlite3.connect(cli.database) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_what_is_next_is_submitted_if_asked_for(cli: CommandLine) -> None:
    first = cli.add("--name", "first", "--priority", "2", "--chain", "true")
    cli("add", "--batch", first, "--priority", "1", "touch later")
    cli("submit")
    cli.wait_for(first, "complete")
    assert (cli.folder / "later").exists()
