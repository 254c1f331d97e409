"""What the project's own files say of themselves is true: CONTRIBUTING.md, and the workflow of its tests."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")

PLACES = ("", "paraschut_core", "paraschut_tui")
"""Where a path in CONTRIBUTING.md may begin."""


def named_paths() -> list[str]:
    return sorted(set(re.findall(r"`([\w./-]+(?:\.(?:py|toml|md|sql|txt)|/))`", TEXT)))


@pytest.mark.parametrize("path", named_paths())
def test_a_path_that_contributors_are_told_exists(path: str) -> None:
    assert any((ROOT / place / path).exists() for place in PLACES)


def test_each_room_is_on_the_map() -> None:
    rooms = [
        folder.name
        for package in ("paraschut_core", "paraschut_tui")
        for folder in (ROOT / package).iterdir()
        if (folder / "__init__.py").exists()
    ]
    assert [room for room in rooms if f"`{room}/`" not in TEXT] == []


CLASSES = {name for name in re.findall(r"`([A-Z]\w+)[`.]", TEXT) if "_" not in name} - {"NamedTuple"}


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_a_class_that_contributors_are_told_exists(name: str) -> None:
    found = [
        path
        for package in ("paraschut_core", "paraschut_tui")
        for path in (ROOT / package).rglob("*.py")
        if re.search(rf"^class {name}\b", path.read_text(encoding="utf-8"), re.MULTILINE)
    ]
    assert found


def test_the_workflow_runs_the_projects_own_ci_on_each_version_of_python() -> None:
    workflow: dict[Any, Any] = yaml.safe_load(
        (ROOT / ".github/workflows/test.yml").read_text(encoding="utf-8")
    )
    assert workflow.keys() == {"name", True, "permissions", "jobs"}  # YAML 1.1 reads `on` as true
    assert workflow[True].keys() == {"push", "pull_request"}
    (job,) = workflow["jobs"].values()
    assert job.keys() <= {"runs-on", "timeout-minutes", "strategy", "container", "steps"}
    assert job["strategy"]["matrix"]["python"] == ["3.10", "3.11", "3.12", "3.13", "3.14"]
    assert "${{ matrix.python }}" in job["container"]
    assert [step.get("run") or step["uses"].partition("@")[0] for step in job["steps"]] == [
        "actions/checkout",
        ".ci/run",
    ]
    assert job["steps"][1]["env"] == {"CI": "true"}
    assert (ROOT / ".ci/run").stat().st_mode & 0o111


def test_the_versions_of_python_are_those_that_the_package_supports() -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert 'requires-python = ">=3.10"' in project
