"""The command `paraschut` as such: help, exit codes, error messages, start-up, terminals."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import sqlite3
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from paraschut_core.cli import guarded, main
from paraschut_core.cli.group import SECTIONS
from paraschut_core.errors import ParaschutError, UsageError
from tests.core.cli import COMMAND, CommandLine
from tests.helpers import ROOT, wait_until

HEAVY = ["textual", "rich", "psutil", "watchfiles", "msgspec", "paraschut_tui"]


@pytest.fixture
def cli(tmp_path: Path, clean_environment: None) -> Iterator[CommandLine]:
    with CommandLine(tmp_path / "project") as command_line:
        yield command_line


def _modules_after(arguments: list[str], cwd: Path) -> set[str]:
    """The modules that are loaded once a command line has been run in a fresh process."""
    code = (
        "import sys\nfrom paraschut_core.cli import main\n"
        f"main({arguments!r})\nprint('MODULES', *sys.modules, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": ROOT},
    )
    return set(done.stderr.rpartition("MODULES")[2].split())


# ------------------------------------------------------------------------------------ help


def test_short_help_in_the_list_belongs_to_a_command_that_is_there() -> None:
    from importlib import import_module

    for commands in SECTIONS.values():
        for name, (module, _) in commands.items():
            command = import_module(f"paraschut_core.cli.{module}").COMMANDS[name]
            assert command.name == name


def test_help_loads_nothing_heavy(cli: CommandLine) -> None:
    loaded = _modules_after(["--help"], cli.folder)
    assert "click" in loaded
    assert not loaded & set(HEAVY)


def test_run_loads_nothing_that_a_job_does_not_need(cli: CommandLine) -> None:
    batch = cli.add("true")
    arguments = ["--db", str(cli.database), "run", str(batch), "0", "--", "true"]
    loaded = _modules_after(arguments, cli.folder)
    assert not loaded & {
        *HEAVY,
        "click",
        "argparse",
        "subprocess",
        "pathlib",
        "logging",
        "paraschut_core.config",
    }
    assert cli.states(batch) == {0: "complete"}


def test_version_is_shown(cli: CommandLine) -> None:
    assert cli("--version").out.startswith("paraschut, version ")


# ------------------------------------------------------------------------------------ misuse


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["frobnicate"], "No such command 'frobnicate'"),
        (["queue", "--frob"], "No such option"),
        (["reset"], "No jobs selected"),
        (["reset", "x"], "BATCH must be a number"),
        (["reset", "5"], "There is no batch 5"),
        (["--read-only", "queue"], "belong to the dashboard"),
        (["submit", "--times", "3"], "--times needs --every"),
        (["queue", "--filter", "nonsense ="], "Cannot use this Filter"),
        (["info"], "Missing argument"),
        ([], "The dashboard needs a terminal"),
    ],
)
def test_misuse_is_one_message_on_stderr_and_exit_code_2(
    arguments: list[str], message: str, cli: CommandLine
) -> None:
    cli.add("true")
    answer = cli(*arguments, status=2)
    assert answer.err.startswith("paraschut: ")
    assert message in answer.err
    assert "Traceback" not in answer.err
    assert answer.out == ""


def test_without_a_project_the_message_says_how_to_get_one(
    tmp_path: Path,
    clean_environment: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["queue"]) == 2
    err = capsys.readouterr().err
    assert "paraschut init" in err and "paraschut demo" in err


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        ("executor = ", "not valid TOML"),
        ("exekutor = 'local'", "Did you mean executor?"),
        ("[local]\nslots = 'many'", "local.slots"),
        ("executor = 'nobody'", "There is no executor 'nobody'"),
    ],
)
def test_a_broken_configuration_is_named(toml: str, message: str, cli: CommandLine) -> None:
    cli.add("true")
    (cli.folder / "paraschut.toml").write_text(toml)
    assert message in cli("queue", status=2).err


def test_each_kind_of_wrong_database_has_its_own_message(cli: CommandLine) -> None:
    text = cli.folder / "text.db"
    text.write_text("nothing of the kind " * 100)
    empty = cli.folder / "empty.db"
    empty.touch()
    foreign = cli.folder / "foreign.db"
    connection = sqlite3.connect(foreign)
    connection.execute("CREATE TABLE notes (x)")
    connection.close()
    legacy = Path(ROOT) / "tests" / "legacy" / "small.db"
    expected = {
        cli.folder: "is a directory",
        cli.folder / "nowhere.db": "There is no database",
        text: "is not a database",
        empty: "is empty",
        foreign: "foreign.db",
    }
    if legacy.exists():
        expected[legacy] = "import"
    for path, message in expected.items():
        answer = cli("--db", path, "queue", status=1)
        assert message in answer.err, path
        assert "Traceback" not in answer.err
    messages = {cli("--db", path, "queue", status=1).err.replace(str(path), "") for path in expected}
    assert len(messages) == len(expected)


def test_what_a_user_typed_cannot_reach_the_terminal_as_a_control_sequence(cli: CommandLine) -> None:
    answer = cli("--db", "\x1b]0;evil\x07.db", "queue", status=1)
    assert "\x1b" not in answer.err and "\x07" not in answer.err


# ------------------------------------------------------------------------------------ errors


def test_exit_codes_are_those_of_the_errors(capsys: pytest.CaptureFixture[str]) -> None:
    def fail(error: BaseException) -> int:
        def call() -> int:
            raise error

        return guarded(call, debug=False)

    assert guarded(lambda: 0, debug=False) == 0
    assert fail(ParaschutError("it failed")) == 1
    assert fail(UsageError("it was misused")) == 2
    assert fail(KeyboardInterrupt()) == 130
    assert fail(FileNotFoundError(2, "No such file or directory", "a file")) == 1
    assert capsys.readouterr().err.splitlines() == [
        "paraschut: it failed",
        "paraschut: it was misused",
        "paraschut: a file: No such file or directory",
    ]


def test_a_fault_of_the_program_is_one_line_and_a_file_with_the_traceback(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def call() -> int:
        return 1 // 0

    assert guarded(call, debug=False) == 1
    err = capsys.readouterr().err
    assert len(err.splitlines()) == 1
    path = Path(err.split()[-1])
    assert "ZeroDivisionError" in path.read_text()
    path.unlink()
    with pytest.raises(ZeroDivisionError):
        guarded(call, debug=True)


def test_a_reader_that_goes_away_is_no_error(cli: CommandLine) -> None:
    cli.add("--range", "0-20000", "true")
    process = cli.start("info", cli.sql("SELECT BatchID FROM batch")[0][0])
    assert process.stdout is not None and process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(60) == 141
    assert process.stderr.read() == ""
    process.stderr.close()


def test_ctrl_c_ends_quietly_with_130(cli: CommandLine) -> None:
    cli.add("true")
    process = cli.start("submit", "--every", "60", "--max-jobs", "0")
    assert process.stdout is not None
    while "submitted: 0" not in process.stdout.readline():
        assert process.poll() is None
    os.kill(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err.strip()) == (130, "")


def test_a_full_disk_under_stdout_is_said(cli: CommandLine) -> None:
    cli.add("true")
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [*COMMAND, "queue"], cwd=cli.folder, stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 1
    assert "No space left" in done.stderr and "Traceback" not in done.stderr


def test_modules_in_the_working_directory_are_not_imported(cli: CommandLine) -> None:
    for name in ("json", "signal", "sqlite3", "select", "click"):
        (cli.folder / f"{name}.py").write_text("raise SystemExit('the wrong module')")
    batch = cli.add("echo fine")
    cli.process("run", batch, 0, "--", "true")
    assert cli.states(batch) == {0: "complete"}
    assert "running/complete/total: 0/1/1" in cli.process("queue").out


# ------------------------------------------------------------------------------------ terminals


def _on_terminal(
    cli: CommandLine, *arguments: object, keys: str = "", prompt: str = "]: ", **environment: str
) -> tuple[int, str]:
    """Runs a command in a terminal of its own; returns its exit code and what it wrote there.

    Args:
        keys: what is typed once `prompt` has been written.
    """
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        cwd=cli.folder,
        env={**os.environ, "TERM": "xterm-256color", "LANG": "C.UTF-8", **environment},
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
    )
    os.close(slave)
    written = b""

    def ended() -> bool:
        nonlocal written, keys
        while select.select([master], [], [], 0.05)[0]:
            try:
                data = os.read(master, 65536)
            except OSError:  # how Linux says that the other side is closed
                break
            written += data
            if keys and prompt.encode() in written:
                os.write(master, keys.encode())
                keys = ""
        return process.poll() is not None

    try:
        wait_until(ended, "the command has ended")
    finally:
        process.kill()
        process.wait()
        os.close(master)
    return process.returncode, written.decode()


def test_a_table_is_ruled_on_a_terminal_and_plain_when_piped(cli: CommandLine) -> None:
    batch = cli.add("--name", "human/map", "--range", "0-3", "true")
    status, shown = _on_terminal(cli, "queue")
    assert status == 0
    assert "\x1b[1m" in shown and "init 0-3" in shown
    piped = cli("queue").out
    assert "\x1b" not in piped
    assert f"\n{batch}: human/map\n{{'init': [0, 1, 2, 3]}}\n" in piped


def test_names_reach_the_terminal_as_text_never_as_markup(cli: CommandLine) -> None:
    cli.add("--name", "[/bold]\x1b[31mred", "true")
    status, shown = _on_terminal(cli, "queue", NO_COLOR="1")
    assert status == 0
    assert "[/bold]" in shown and "\x1b[31m" not in shown


def test_no_color_is_honoured(cli: CommandLine) -> None:
    cli.add("true")
    _, coloured = _on_terminal(cli, "doctor")
    _, plain = _on_terminal(cli, "doctor", NO_COLOR="1")
    assert "\x1b[32m" in coloured
    assert "\x1b" not in plain


def test_removing_asks_on_a_terminal_and_no_is_the_default(cli: CommandLine) -> None:
    batch = cli.add("--name", "precious", "true")
    status, shown = _on_terminal(cli, "remove", batch, keys="\n")
    assert status == 1
    assert "precious" in shown and "1 job " in shown
    assert cli.states(batch) == {0: "init"}
    status, _ = _on_terminal(cli, "remove", batch, keys="y\n")
    assert status == 0
    assert cli.states(batch) == {}


def test_a_reset_of_many_batches_asks_on_a_terminal(cli: CommandLine) -> None:
    batches = [cli.add("true"), cli.add("true")]
    cli.sql("UPDATE job SET state = 'odd'")
    status, shown = _on_terminal(cli, "reset", "--filter", "state == 'odd'", keys="n\n")
    assert status == 1 and "2 jobs of 2 batches" in shown
    assert [cli.states(batch) for batch in batches] == [{0: "odd"}] * 2
    status, _ = _on_terminal(cli, "reset", "--filter", "state == 'odd'", "--yes")
    assert status == 0
    assert [cli.states(batch) for batch in batches] == [{0: "init"}] * 2


def test_where_there_is_no_database_a_terminal_shows_what_to_do(cli: CommandLine) -> None:
    status, shown = _on_terminal(cli, keys="q", prompt="Enter chooses")
    assert status == 0
    assert "There is no database" in shown
    assert "See it work: the demo" in shown
    assert "\x1b[?1049l" in shown  # the terminal is as it was
    assert not cli.database.exists()


@pytest.mark.parametrize("signalled", [False, True])
@pytest.mark.parametrize("pause", [0.0, 0.05, 0.1, 1.0])
def test_an_app_whose_terminal_is_gone_ends(cli: CommandLine, pause: float, signalled: bool) -> None:
    """Also where no SIGHUP comes, the terminal not being its session's own; and while it starts."""
    cli.add("true")
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    process = subprocess.Popen(
        COMMAND,
        cwd=cli.folder,
        env={**os.environ, "TERM": "xterm-256color"},
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
    )
    os.close(slave)
    try:
        written = b""
        while b"\x1b[?1049h" not in written:
            assert select.select([master], [], [], 60)[0], "no screen came"
            written += os.read(master, 65536)
        end = time.monotonic() + pause
        while (left := end - time.monotonic()) > 0:
            if select.select([master], [], [], left)[0]:
                os.read(master, 65536)
        if signalled:
            process.terminate()
        os.close(master)
        process.wait(30)
    finally:
        process.kill()
        process.wait()


def test_a_stream_that_is_not_utf8_is_no_obstacle(cli: CommandLine) -> None:
    cli.add("--name", "naïve→", "true")
    environment = {**os.environ, "PYTHONIOENCODING": "latin-1"}
    out = subprocess.run(
        [*COMMAND, "queue"], cwd=cli.folder, env=environment, capture_output=True, check=True
    ).stdout
    assert "naïve?".encode("latin-1") in out
