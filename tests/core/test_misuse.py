"""Whatever is typed wrongly is answered by one clear line and an exit code, never by a traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.core.cli import CommandLine
from tests.helpers import ROOT

HUGE = "9" * 30


@pytest.fixture
def cli(tmp_path: Path, clean_environment: None) -> Iterator[CommandLine]:
    with CommandLine(tmp_path / "project") as command_line:
        yield command_line


@pytest.fixture
def batch(cli: CommandLine) -> str:
    return str(cli.add("--name", "human/map", "--range", "0-5", "true"))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (f"info {HUGE}", f"There is no batch {HUGE}"),
        (f"info BATCH {HUGE}", "There is no job"),
        ("info -5", "No such option"),
        ("log BATCH", "Missing argument"),
        ("log BATCH 0 --tail 0", "0 is less than 1"),
        ("log BATCH 0 --tail many", "'many' is not a whole number"),
        ("log BATCH 0 --lines 9-1", "runs backwards"),
        (f"reset BATCH 0-{HUGE}", "the maximum is"),
        ("set BATCH 0 priority=abc", "priority must be a finite number"),
        ("set BATCH 0 priority=1e400", "finite number"),
        ("set BATCH 0 priority=-Infinity", "finite number"),
        ("set BATCH 0 resources=5", "resources.NAME=VALUE"),
        ("set BATCH 0 vars=text", "vars.NAME=VALUE"),
        ("set BATCH 0 BatchID=7", "belongs to the index"),
        ("set BATCH 0 =5", "Write FIELD=VALUE"),
        ("set BATCH 0", "Set what?"),
        ("boost BATCH --by nan", "'nan' is not a number"),
        ("boost BATCH --by inf", "is not between"),
        ("boost BATCH --by 1e308", "is not between"),
        ("add --priority nan true", "'nan' is not a number"),
        ("add --range 5-1 true", "runs backwards"),
        (f"add --range 0-{HUGE} true", "the maximum is"),
        (f"add --batch {HUGE} true", "--batch"),
        ("add --list /nonexistent true", "Cannot read /nonexistent"),
        ("add --list / true", "Is a directory"),
        ("add --jsonl paraschut.toml true", "no JSON"),
        ("add --cwd /nonexistent true", "no such directory"),
        ("add --var A-B=1 true", "cannot be the name of an environment variable"),
        ("add {nothing}", "no field {nothing}"),
        ("add {", "{{ and }}"),
        ("submit --every nan", "'nan' is not a number"),
        ("submit --every 1e300", "is not between"),
        ("submit --every -1", "is not between"),
        ("submit --min-priority inf", "is not between"),
        ("doctor --probe --wait nan", "'nan' is not a number"),
        ("doctor --wait -1", "is not between"),
        (f"undo {HUGE}", "cannot be undone"),
        ("undo -- -1", "-1 is less than 1"),
        ("actions --last 0", "0 is less than 1"),
        ("queue --filter x=1", "there is no column x"),
        ("queue --filter 1;", "would end it"),
        ("queue extra", "unexpected extra argument"),
        ("init paraschut.toml", "is not a directory"),
        ("init --executor ../x new", "There is no executor"),
        ("backup .", "is a directory"),
        ("backup jobs.db", "the database itself"),
        ("backup /nonexistent/copy.db", "there is no directory"),
        ("recover jobs.db", "the database itself"),
        ("remove ../..", "BATCH must be a number"),
        ("clean --pattern ../../*", "leads out of"),
        ("demo .", "holds no example"),
        (f"demo --jobs {HUGE}", "--jobs"),
        ("serve --port 70000", "--port"),
        ("serve --host 300.1.1.1", "--host '300.1.1.1'"),
        (f"--batch {HUGE}", "There is no batch"),
        ("--db= queue", "--db needs a file name"),
        ("--config= queue", "--config needs a file name"),
        ("--db= run BATCH 0 -- true", "got an empty string"),
        ("--config / queue", "is a directory"),
        ("--config /nonexistent queue", "no configuration file"),
        (f"run {HUGE} 5 -- true", "too large"),
        ("run x y -- true", "are numbers"),
    ],
)
def test_misuse_is_said_in_one_line_with_exit_code_2(
    line: str, message: str, cli: CommandLine, batch: str
) -> None:
    answer = cli(*line.replace("BATCH", batch).split(" "), status=2)
    assert answer.err.startswith("paraschut: ") and message in answer.err
    assert "Traceback" not in answer.err and "fault of Paraschut" not in answer.err
    assert len(answer.err) < 1000
    assert answer.out == ""


@pytest.mark.parametrize("line", ["actions --last", "history BATCH --last", "log BATCH 0 --tail"])
def test_a_number_beyond_all_bounds_means_all(line: str, cli: CommandLine, batch: str) -> None:
    assert cli(*line.replace("BATCH", batch).split(), HUGE).err == ""


def run(cli: CommandLine, line: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A command line as a shell of its own starts it; `paraschut` is the one under test."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG"))}
    return subprocess.run(
        ["bash", "-c", f'paraschut() {{ "{sys.executable}" -m paraschut_core.cli "$@"; }}\n{line}'],
        cwd=cli.folder,
        env={**clean, "PYTHONPATH": ROOT, **environment},
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )


@pytest.mark.parametrize(
    ("line", "status"),
    [
        ("paraschut queue >&-", 0),
        ("paraschut queue <&- >&- 2>&-", 0),
        ("paraschut add --list - true <&-", 2),
        ("paraschut nothing 2>&-", 2),
        ("paraschut queue >&- 2>&-", 0),
    ],
)
def test_closed_streams_are_no_fault(line: str, status: int, cli: CommandLine, batch: str) -> None:
    done = run(cli, line)
    assert done.returncode == status, done.stderr
    assert "fault of Paraschut" not in done.stderr


def test_what_a_closed_stream_was_to_show_goes_into_no_file(cli: CommandLine, batch: str) -> None:
    before = cli.database.read_bytes()[:16]
    assert run(cli, f"paraschut run {batch} 0 -- echo hello >&- 2>&-").returncode == 0
    assert cli.database.read_bytes()[:16] == before
    assert cli.states(int(batch))[0] == "complete"


def test_arguments_that_are_not_utf8_are_stored_or_refused_and_never_a_fault(
    cli: CommandLine, batch: str
) -> None:
    for line, status in (
        (f"paraschut set {batch} 0 note=$'a\\xffb'", 0),
        ("paraschut add --name $'\\xff\\xfe' \"echo $'\\xff'\"", 0),
        ("paraschut info $'\\xff'", 2),
        ("paraschut $'\\xff'", 2),
        ("paraschut --db $'\\xff.db' queue", 1),
        ("paraschut queue --filter $'name = \"\\xff\"'", 2),
    ):
        done = run(cli, line)
        assert done.returncode == status, (line, done.stderr)
        assert "fault of Paraschut" not in done.stderr
    assert "note" in run(cli, "paraschut actions").stdout


@pytest.mark.parametrize("command", ["queue", "config", "actions", "--help", "info BATCH"])
def test_a_locale_without_letters_is_no_obstacle(command: str, cli: CommandLine, batch: str) -> None:
    cli("add", "--name", "naïve→", "echo ü")
    line = f"paraschut {command.replace('BATCH', batch)}"
    done = run(cli, line, LC_ALL="C", LANG="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", ["config", "--help", "queue", "doctor"])
def test_a_reader_that_wants_one_line_only_gets_no_complaint(
    command: str, cli: CommandLine, batch: str
) -> None:
    done = run(cli, f"set -o pipefail; paraschut {command} | head -n 1")
    assert done.stderr == ""
    assert done.returncode in (0, 141)


def test_a_working_directory_that_is_gone_is_said(cli: CommandLine) -> None:
    done = run(cli, "mkdir gone; cd gone; rmdir ../gone; paraschut queue")
    assert done.returncode == 2
    assert "working directory is not there" in done.stderr


def test_a_file_that_cannot_be_read_or_written_is_named(cli: CommandLine, batch: str) -> None:
    if os.geteuid() == 0:
        pytest.skip("root can read and write everything")
    cli.database.chmod(0o400)
    assert str(cli.database) in cli("set", batch, "0", "x=1", status=1).err
    (cli.folder / "paraschut.toml").chmod(0)
    assert "paraschut.toml" in cli("queue", status=2).err
