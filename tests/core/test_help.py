"""What `--help` says is readable at 80 columns and true: each example in it is run."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from paraschut_core import config
from paraschut_core.cli.group import SECTIONS, paraschut
from paraschut_core.jobs.builder import add_jobs, template
from paraschut_core.project import Project
from tests.core.cli import CommandLine
from tests.helpers import ROOT, wait_until

COMMANDS = [name for commands in SECTIONS.values() for name in commands]
STAYS = {
    r"paraschut( demo| --filter .*)?": "\x1b[?1049h",
    r"paraschut serve.*": "Ctrl-C stops it",
    r"paraschut submit --every.*": "submitted:",
    r"paraschut demo --headless.*": "running the example",  # its end has a test of its own
}
"""Examples that go on until their user ends them, and what each shows once it is under way."""

BATCH = 20250101120000


def examples(text: str) -> list[str]:
    """The command lines under `Examples:`; one that ends in a backslash goes on."""
    block = re.search(r"^  Examples:\n((?:    .*\n)+)", text, re.MULTILINE)
    assert block, f"no examples in:\n{text}"
    return [line.strip() for line in block[1].replace("\\\n", "").splitlines()]


@pytest.fixture
def cli(tmp_path: Path, clean_environment: None) -> Iterator[CommandLine]:
    with CommandLine(tmp_path / "project") as command_line:
        yield command_line


@pytest.mark.parametrize("command", [*COMMANDS, ""])
def test_help_of_every_command_has_examples_and_fits_80_columns(command: str, cli: CommandLine) -> None:
    text = cli(*command.split(), "--help").out
    assert max(map(len, text.splitlines())) <= 80
    assert any(f"paraschut {command}" in line for line in examples(text))


def test_main_help_lists_every_command(cli: CommandLine) -> None:
    text = cli("--help").out
    listed = {line.split()[0] for line in text.splitlines() if line.startswith("  ") and line.split()}
    assert set(COMMANDS) <= listed


# ------------------------------------------------------------------------------------ examples are run


@pytest.fixture(scope="module")
def example_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with what the examples name: a batch with logs, old and damaged databases, input files."""
    folder = tmp_path_factory.mktemp("example") / "project"
    with CommandLine(folder) as cli:
        with Project(config.read(str(folder / "paraschut.toml")), create=True) as ws:
            common = {**template(ws), "BatchID": BATCH, "name": ["human", "map"], "resources": {}}
            log = str(folder / "job.log")
            job = {**common, "script": "true", "stdout": [log], "stderr": [log]}
            spawns = {"SpawnID": [0, 1, 2], "stdout": [log] * 3, "stderr": [log] * 3}
            multiplied = {7: {"spawn_logs": spawns}}
            add_jobs(ws, [{**job, "JobIndex": i, **multiplied.get(i, {})} for i in range(100)])
        for priority in range(12):  # for `undo 12`
            cli("set", BATCH, "99", f"priority={priority}")
    (folder / "job.log").write_text("line\nError: none\n" * 20)
    shutil.copy(Path(ROOT) / "tests" / "legacy" / "small.db", folder / "old.db")
    shutil.copy(folder / "jobs.db", folder / "damaged.db")
    (folder / "map.py").write_text("print('mapped')\n")
    (folder / "a.bam").touch()
    return folder


def all_examples() -> list[str]:
    """Every command line in every help."""
    found: list[str] = []
    for command in ["", *COMMANDS]:
        context = paraschut.make_context("paraschut", [], resilient_parsing=True)
        shown = paraschut if not command else paraschut.get_command(context, command)
        assert shown is not None
        found += examples(shown.get_help(click.Context(shown, info_name=command, terminal_width=80)))
    return found


def in_bash(line: str) -> str:
    """The example as bash can run it: other shells' own words are left out."""
    if "completion" in line and "bash" not in line:
        return re.search(r"paraschut completion \w+", line)[0]  # type: ignore[index]
    return line


@pytest.mark.parametrize("line", all_examples())
def test_every_example_in_the_help_works(line: str, example_project: Path, tmp_path: Path) -> None:
    folder = tmp_path / "project"
    shutil.copytree(example_project, folder)
    command = line.partition("  #")[0].strip()
    under_way = next((shown for pattern, shown in STAYS.items() if re.fullmatch(pattern, command)), None)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PARASCHUT_")}
    environment |= {
        "PATH": f"{Path(sys.executable).parent}:{environment['PATH']}",
        "PYTHONPATH": ROOT,
        "TERM": "xterm-256color",
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
        "XDG_STATE_HOME": str(tmp_path / "state"),
    }
    terminal, inside = pty.openpty()
    fcntl.ioctl(inside, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    process = subprocess.Popen(
        ["bash", "-c", in_bash(line)],
        cwd=folder,
        env=environment,
        stdin=inside,
        stdout=inside,
        stderr=inside,
        start_new_session=True,
    )
    os.close(inside)
    os.write(terminal, b"y\n")  # to whoever asks
    shown = b""

    def done() -> bool:
        nonlocal shown
        while select.select([terminal], [], [], 0.02)[0]:
            try:
                shown += os.read(terminal, 65536)
            except OSError:  # how Linux says that the other side is closed
                break
        return process.poll() is not None or (under_way is not None and under_way.encode() in shown)

    try:
        wait_until(done, f"{command} ends or is under way", 120)
        assert process.poll() in ((None,) if under_way else (0,)), shown.decode()
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
        os.close(terminal)
        process.wait(60)


# ------------------------------------------------------------------------------------ completion


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_completion_script_is_printed_for_each_shell(
    shell: str, cli: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = cli("completion", shell).out
    assert f"_PARASCHUT_COMPLETE={shell}_complete" in script
    monkeypatch.setenv("SHELL", f"/usr/bin/{shell}")
    assert cli("completion").out == script


def test_an_unknown_shell_is_misuse(cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHELL", "/bin/tcsh")
    assert "bash, zsh, fish" in cli("completion", status=2).err
    assert "tcsh" in cli("completion", "tcsh", status=2).err


def completions(cli: CommandLine, words: str) -> dict[str, str]:
    """What bash is offered after `words`, by what it is."""
    answer = cli.process(
        _PARASCHUT_COMPLETE="zsh_complete", COMP_WORDS=words, COMP_CWORD=str(len(words.split(" ")) - 1)
    ).out.splitlines()
    return dict(zip(answer[1::3], answer[2::3], strict=True))


def test_commands_and_batches_are_completed(cli: CommandLine) -> None:
    assert set(completions(cli, "paraschut re")) == {"reset", "resubmit", "remove", "recover"}
    assert completions(cli, "paraschut reset ") == {}  # no database yet
    first, second = cli.add("--name", "human/map", "true"), cli.add("--name", "\x1b[31mmouse", "true")
    assert completions(cli, "paraschut reset ") == {str(second): "␛[31mmouse", str(first): "human/map"}
    assert list(completions(cli, "paraschut log ")) == [str(second), str(first)]
    assert completions(cli, f"paraschut reset {first} ") == {}
    other = str(cli.folder / "none.db")
    assert completions(cli, f"paraschut --db {other} reset ") == {}
