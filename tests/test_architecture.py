"""The walls of the house hold: lint, types, imports between rooms, and what a running job loads."""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.helpers import BATCH, ROOT, ProjectDir, run_script

SCRIPTS = Path(sys.executable).parent
CODE = ("paraschut_core", "paraschut_tui", "tests")

# What is slow to import, or belongs to the dashboard and the command line.
THIRD_PARTY = {
    "textual",
    "rich",
    "click",
    "psutil",
    "watchfiles",
    "msgspec",
    "platformdirs",
    "numpy",
    "tomli",
}
SLOW = {
    "dataclasses",
    "logging",
    "subprocess",
    "tomllib",
    "asyncio",
    "inspect",
    "pickle",
    "email",
    "multiprocessing",
}


def run(*arguments: str) -> None:
    """Runs a checker in the project; its own words are the failure."""
    found = [SCRIPTS / arguments[0], Path(sysconfig.get_path("scripts")) / arguments[0]]
    command = next((str(path) for path in found if path.exists()), arguments[0])
    done = subprocess.run(
        [command, *arguments[1:]], cwd=ROOT, capture_output=True, text=True, timeout=280, check=False
    )
    assert done.returncode == 0, f"{' '.join(arguments)}:\n{done.stdout[-6000:]}\n{done.stderr[-2000:]}"


def test_ruff_finds_nothing() -> None:
    run("ruff", "check", "--no-cache", *CODE)


def test_every_file_is_formatted() -> None:
    run("ruff", "format", "--check", "--no-cache", *CODE)


def test_the_types_are_right_in_strict_mode() -> None:
    run("mypy")


def test_the_rooms_import_only_what_they_may() -> None:
    run("lint-imports", "--no-cache")


# ------------------------------------------------------------------------------------ what is loaded


def loaded(code: str, **environment: str) -> set[str]:
    """The modules in sys.modules after `code` ran in a process of its own."""
    out = run_script(f"{code}\nimport json, sys; print(json.dumps(sorted(sys.modules)))", **environment)
    return set(json.loads(out.splitlines()[-1]))


def roots(modules: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in modules}


def test_importing_the_package_loads_nothing_of_anybody_elses() -> None:
    before, after = loaded(""), loaded("import paraschut_core")
    assert not roots(after - before) & THIRD_PARTY
    assert not (after - before) & SLOW
    assert {name for name in after - before if not name.startswith("paraschut_core")} <= {"__future__"}


@pytest.mark.parametrize("executor", ["", "local", "file", "slurm", "sge", "pbs"])
def test_a_running_job_loads_nothing_slow_on_its_way(project: ProjectDir, executor: str) -> None:
    """get_job_info(SetID=True) and set_complete: every job pays for their imports."""
    project.add(project.job())
    variables = {
        "PARASCHUT_BATCH_ID": str(BATCH),
        "PARASCHUT_JOB_INDEX": "0",
        "PARASCHUT_EXECUTOR": executor,
        "PARASCHUT_JOB_ID": "5",
        "SLURM_JOB_ID": "5",
        "JOB_ID": "5",
        "PBS_JOBID": "5.host",
    }
    start = "import paraschut_core as psu\ninfo = psu.get_job_info(SetID=True)"
    before = loaded("")
    modules = loaded(start, **variables) - before
    assert project.column("ClusterID") in ("5", None)
    assert not roots(modules) & THIRD_PARTY
    assert not modules & SLOW
    if executor in ("", "local", "file"):  # the others ask their scheduler for its record of the job
        modules = loaded(f"{start}\ninfo['x'] = 1\npsu.set_complete(JobInfo=info)", **variables) - before
        assert project.state() == "complete"
        assert not roots(modules) & THIRD_PARTY
        assert not modules & SLOW


def test_the_command_line_tells_its_help_without_the_dashboard() -> None:
    modules = loaded(
        "import sys\nfrom paraschut_core.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass"
    )
    assert "textual" not in roots(modules)


def test_no_file_names_a_path_of_the_machine_it_was_written_on() -> None:
    for folder in ("paraschut_core", "paraschut_tui"):
        for path in Path(ROOT, folder).rglob("*.py"):
            text = path.read_text()
            assert "/work/" not in text, path
            assert "/home/" not in text, path
