"""What the README tells a newcomer to type is typed here, word for word."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from paraschut_core import config
from paraschut_core.cli.group import paraschut

from ..helpers import wait_until
from ..terminal.screen import Terminal

ROOT = Path(__file__).parent.parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")

TYPED = {
    ("Paraschut", "sh"),
    ("Run a batch from the shell", "sh"),
    ("Run a batch from Python", "python"),
    ("Run a batch from Python", "sh"),
    ("Watch jobs in a browser", "sh"),
    ("Watch jobs in a notebook", "sh"),
    ("Configure a project", "toml"),
    ("Move from version 0.6", "sh"),
    ("Contribute", "sh"),
}
"""The sections with blocks, in their languages: each is run by a test below."""


def blocks() -> Iterator[tuple[str, str, str]]:
    """(section, language, text) of every block."""
    for section in re.split(r"^##? (?=[A-Z])", README, flags=re.MULTILINE)[1:]:
        for language, text in re.findall(r"^```(\w*)\n(.*?)^```$", section, re.MULTILINE | re.DOTALL):
            yield section.partition("\n")[0], language, text


def typed(section: str, language: str = "sh") -> list[str]:
    """The blocks of a section in one language."""
    assert (section, language) in TYPED
    return [text for found, of, text in blocks() if (found, of) == (section, language)]


def test_every_block_is_in_a_language_and_a_section_that_are_run() -> None:
    assert {(section, language) for section, language, _ in blocks()} == TYPED
    assert README.count("```") == 2 * len(list(blocks()))
    assert not re.search(r"\n\n    \S", README), "a block without a language is run by nobody"


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A shell in which `paraschut` and `python` are those under test, and no project is set."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PARASCHUT")}
    return {
        **clean,
        "PATH": f"{Path(sys.executable).parent}:{clean['PATH']}",
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
        "XDG_STATE_HOME": str(tmp_path / "state"),
        "PYTHONPATH": str(ROOT),
    }


def shell(text: str, folder: Path, environment: dict[str, str]) -> str:
    """What a shell prints for commands, all of which must do well."""
    done = subprocess.run(
        ["bash", "-euc", text], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def queue(folder: Path, environment: dict[str, str]) -> dict[str, int]:
    counts: dict[str, int] = json.loads(shell("paraschut queue --json", folder, environment))["counts"]
    return counts


# ------------------------------------------------------------------------------------ blocks


def test_the_one_line_at_the_start_installs_and_opens_the_demo(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    clone = tmp_path / "clone"
    clone.mkdir()
    for name in ("paraschut_core", "paraschut_tui", "pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, clone / name)
    ((line,),) = [text.splitlines() for text in typed("Paraschut")]
    # What it depends on is installed here already, and is not fetched again.
    here = os.pathsep.join(path for path in sys.path if "site-packages" in path)
    (tmp_path / "pip.conf").write_text(
        "[install]\nno-build-isolation = false\nno-deps = true\nno-index = true\n"
    )
    environment |= {"PYTHONPATH": here, "PIP_CONFIG_FILE": str(tmp_path / "pip.conf")}
    with Terminal(["/bin/bash", "-c", line], size=(100, 30), env=environment, cwd=clone) as terminal:
        terminal.wait("python/lines", patience=240)
        terminal.press("q")
        assert terminal.wait_end() == 0


def test_the_first_batch_in_the_shell_runs_to_its_end(tmp_path: Path, environment: dict[str, str]) -> None:
    first, completion = typed("Run a batch from the shell")
    shell(first, tmp_path, environment)
    folder = tmp_path / "first"
    wait_until(lambda: queue(folder, environment)["complete"] == 10, "all ten jobs are complete")
    offered = f"{completion}\nCOMP_WORDS=(paraschut qu) COMP_CWORD=1\n_paraschut_completion paraschut\n"
    assert shell(f"{offered}echo ${{COMPREPLY[*]}}", folder, environment).strip() == "queue"


def test_the_first_batch_in_python_runs_to_its_end(tmp_path: Path, environment: dict[str, str]) -> None:
    shell("paraschut init", tmp_path, environment)
    for block in typed("Run a batch from Python", "python"):
        name = re.match(r"# (\w+\.py)\n", block)
        assert name is not None, "a block of Python begins with the name of its file"
        (tmp_path / name[1]).write_text(block, encoding="utf-8")
    (run,) = typed("Run a batch from Python")
    shell(run, tmp_path, environment)
    wait_until(lambda: queue(tmp_path, environment)["complete"] == 10, "all ten jobs are complete")
    results = (
        "import paraschut_core as p; q = p.get_queue(Verbose=False);"
        "print([job['result'] for batch in q for job in q[batch]])"
    )
    answer = shell(f"python -c {shlex.quote(results)}", tmp_path, environment)
    assert json.loads(answer) == [i**2 for i in range(10)]


def test_a_job_that_multiplies_itself_is_completed_by_its_last_spawn(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    shell("paraschut init --executor local", tmp_path, environment)
    (*_, script) = typed("Run a batch from Python", "python")
    (tmp_path / "spawn.py").write_text(script, encoding="utf-8")
    (_, build, _) = typed("Run a batch from Python", "python")
    build = build.replace("map.py", "spawn.py").replace("range(10)", "range(2)")
    shell(f"python - <<'END'\n{build}END", tmp_path, environment)
    wait_until(lambda: queue(tmp_path, environment)["complete"] == 2, "both jobs are complete")
    parts = sorted(log.read_text().splitlines()[0] for log in tmp_path.glob("*/logs/*.out"))
    assert parts == [f"this is the part of spawn {number}" for number in range(4) for job in range(2)]


def test_the_dashboard_is_served_to_a_browser(tmp_path: Path, environment: dict[str, str]) -> None:
    ((install, serve),) = [text.splitlines() for text in typed("Watch jobs in a browser")]
    extra = re.fullmatch(r"pip install '\.\[(\w+)\]'", install)
    assert extra and re.search(rf"^{extra[1]} = \[", (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    shell("paraschut init", tmp_path, environment)
    served = subprocess.Popen(
        shlex.split(serve), cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True
    )
    with served:
        assert served.stdout is not None
        assert "http://127.0.0.1:" in served.stdout.readline()
        served.terminate()
        assert served.wait(60) == 0


def test_the_notebook_is_written(tmp_path: Path, environment: dict[str, str]) -> None:
    (command,) = typed("Watch jobs in a notebook")
    shell(command, tmp_path, environment)  # tests/core/test_notebook.py runs it
    assert json.loads((tmp_path / command.split()[-1]).read_text(encoding="utf-8"))["nbformat"] == 4


def test_the_configuration_that_is_shown_is_one(tmp_path: Path) -> None:
    (text,) = typed("Configure a project", "toml")
    (tmp_path / "paraschut.toml").write_text(text)
    settings = config.read(str(tmp_path / "paraschut.toml"))
    assert (settings.executor, settings.submit.max_jobs) == ("slurm", 500)


def test_an_old_database_is_taken_over(tmp_path: Path, environment: dict[str, str]) -> None:
    shutil.copy(ROOT / "tests" / "legacy" / "small.db", tmp_path / "OLD.db")
    before = (tmp_path / "OLD.db").read_bytes()
    (command,) = typed("Move from version 0.6")
    shell(command, tmp_path, environment)
    assert queue(tmp_path, environment)["total"] > 0
    assert (tmp_path / "OLD.db").read_bytes() == before


def test_its_own_commands_are_the_ones_that_ci_runs() -> None:
    (command,) = typed("Contribute")
    assert f"\n{command}" in (ROOT / ".ci" / "run").read_text()


# ------------------------------------------------------------------------------------ prose


def test_every_command_in_the_text_is_one() -> None:
    found = re.findall(r"`(paraschut [^`\n]+(?:\n[^`\n]+)?)`", README)
    assert len(found) > 10
    for text in found:
        arguments = shlex.split(text)[1:]
        if "--help" in arguments or arguments == ["run"]:
            arguments.remove("--help" if "--help" in arguments else "run")
        with paraschut.make_context("paraschut", list(arguments)) as context:
            rest = [*context._protected_args, *context.args]
            if rest:
                command = paraschut.get_command(context, rest[0])
                assert command is not None, text
                if len(rest) > 1 or not any(p.required for p in command.params):
                    command.make_context(rest[0], rest[1:], parent=context)


def test_every_setting_that_the_readme_names_exists() -> None:
    table = README.split("\n## Settings\n")[1].split("##")[0]
    named = {
        word
        for row in table.splitlines()
        if row.startswith("| `")
        for word in re.findall(r"`([\w\[\]]+)`", row.split("|")[1])
    }
    known = {key for _, key, _, _ in config.describe()} | {
        f"[{section}]" for section, *_ in config.describe()
    }
    assert named
    assert named <= known


def test_every_picture_path_and_section_that_the_readme_names_is_there() -> None:
    for path in re.findall(r"\]\(([\w/.-]+)\)", README):
        assert (ROOT / path).exists(), path
    for path in re.findall(r"`(paraschut_\w+/[\w/.]+|tests/[\w/.]+)`", README):
        assert (ROOT / path).exists(), path
    headings = re.findall(r"^#+ (.*)$", README, re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}
    for anchor in re.findall(r"\]\(#([\w-]+)\)", README):
        assert anchor in anchors, anchor
