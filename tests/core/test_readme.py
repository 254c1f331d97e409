"""What the README tells a newcomer to type is typed here, word for word."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from paraschut_core import config

from ..helpers import wait_until

ROOT = Path(__file__).parent.parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A shell in which `paraschut` and `python` are those under test, and no project is set."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PARASCHUT")}
    return {
        **clean,
        "PATH": f"{Path(sys.executable).parent}:{clean['PATH']}",
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
        "PYTHONPATH": str(ROOT),
    }


def queue(folder: Path, environment: dict[str, str]) -> dict[str, int]:
    answer = subprocess.run(
        ["paraschut", "queue", "--json"], cwd=folder, env=environment, capture_output=True, check=True
    )
    counts: dict[str, int] = json.loads(answer.stdout)["counts"]
    return counts


def test_the_first_batch_in_the_shell_runs_to_its_end(tmp_path: Path, environment: dict[str, str]) -> None:
    folder = tmp_path / "shell"
    folder.mkdir()
    (block,) = blocks("sh")
    done = subprocess.run(
        ["sh", "-eu", "-c", block], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    wait_until(lambda: queue(folder, environment)["complete"] == 10, "all ten jobs are complete")


def test_the_first_batch_in_python_runs_to_its_end(tmp_path: Path, environment: dict[str, str]) -> None:
    folder = tmp_path / "python"
    folder.mkdir()
    subprocess.run(["paraschut", "init"], cwd=folder, env=environment, capture_output=True, check=True)
    for block in blocks("python"):
        name = re.match(r"# (\w+\.py)\n", block)
        assert name is not None, "a block of Python begins with the name of its file"
        (folder / name[1]).write_text(block, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "build.py"], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    wait_until(lambda: queue(folder, environment)["complete"] == 10, "all ten jobs are complete")
    results = (
        "import paraschut_core as p; q = p.get_queue(Verbose=False);"
        "print([job['result'] for batch in q for job in q[batch]])"
    )
    answer = subprocess.run(
        [sys.executable, "-c", results],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(answer.stdout) == [i**2 for i in range(10)]


def test_every_setting_that_the_readme_names_exists() -> None:
    table = README.split("## Configuration")[1].split("##")[0]
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


def test_every_picture_and_path_that_the_readme_names_is_there() -> None:
    for path in re.findall(r"\]\(([\w/.-]+)\)", README):
        assert (ROOT / path).exists(), path
    for path in re.findall(r"`(paraschut_\w+/[\w/.]+|tests/[\w/.]+)`", README):
        assert (ROOT / path).exists(), path


def test_its_own_commands_are_the_ones_that_ci_runs() -> None:
    command = "python3 -m venv .venv && .venv/bin/pip install -e '.[test]' && .venv/bin/pytest"
    assert f"\n    {command}\n" in README
    assert f"\n{command}\n" in (ROOT / ".ci" / "run").read_text()
