"""Paths keep the names by which people go there: no link is followed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from paraschut_core.config import load
from paraschut_core.executors.batch.script import script_dir
from paraschut_core.paths import absolute, here
from paraschut_core.project import Project
from tests.helpers import run_script

pytestmark = pytest.mark.usefixtures("clean_environment")


@pytest.fixture
def linked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home behind a link, entered as a shell enters it."""
    (tmp_path / "disk7" / "mia" / "project").mkdir(parents=True)
    (tmp_path / "home").symlink_to(tmp_path / "disk7")
    project = tmp_path / "home" / "mia" / "project"
    monkeypatch.chdir(project)
    monkeypatch.setenv("PWD", str(project))
    return project


def test_the_working_directory_has_the_name_it_was_entered_by(linked: Path) -> None:
    assert os.getcwd() != str(linked)
    assert here() == str(linked)
    assert absolute("a/../b") == f"{linked}/b"
    assert absolute("/x/./y") == "/x/y"


@pytest.mark.parametrize("wrong", ["", "relative", "/", "/no/such", "{0}/../project", "{0}/"])
def test_a_pwd_that_is_not_the_working_directory_is_not_believed(
    linked: Path, monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    monkeypatch.setenv("PWD", wrong.format(linked))
    assert here() == os.getcwd()


def test_settings_jobs_and_logs_are_named_through_the_link(linked: Path) -> None:
    (linked / "paraschut.toml").write_text('database = "jobs.db"\nexecutor = "local"\n')
    settings = load()
    assert settings.database == f"{linked}/jobs.db"
    assert settings.job_dir == str(linked)
    assert settings.config_file == f"{linked}/paraschut.toml"
    assert script_dir(settings.job_dir).startswith(f"{linked}/")
    assert load(database="other.db").database == f"{linked}/other.db"


def test_what_a_job_is_told_is_named_through_the_link(linked: Path) -> None:
    told = (
        "import paraschut_core as psu\n"
        "from paraschut_core.in_job import settings\n"
        "from paraschut_core.scheduling.submission import log_paths, make_spec\n"
        "from paraschut_core.project import Project\n"
        "info = psu.get_job_template(SetID=True) | {'JobIndex': 0, 'script': 'true'}\n"
        "psu.add_job_to_queue(info)\n"
        "with Project(settings()) as ws:\n"
        "    out, err = log_paths(ws, info | {'attempt': 1, 'subtime': 1}, 0)\n"
        "    spec = make_spec(ws, info | {'attempt': 1, 'stdout': [out], 'stderr': [err]}, 'abc-1')\n"
        "told = [spec.environment[f'PARASCHUT_{n}'] for n in ('DB', 'JOB_DIR')]\n"
        "print(spec.cwd, spec.stdout, *told, sep='\\n')\n"
    )
    (linked / "paraschut.toml").write_text('database = "jobs.db"\nexecutor = "local"\n')
    for line in run_script(told, PWD=str(linked)).splitlines():
        assert line.startswith(str(linked)), line


# ------------------------------------------------------------------------------------ logs as in version 0.6


@pytest.mark.parametrize(
    ("job_dir", "pattern", "path"),
    [
        ("example", "example/{BatchID}/logs/x.out", "example/7/logs/x.0.out"),
        ("example/", "./example/x.out", "example/x.0.out"),
        ("a/example", "a/example/x.out", "a/example/x.0.out"),
        ("example", "logs/x.out", "example/logs/x.0.out"),
        ("example", "examples/x.out", "example/examples/x.0.out"),
        ("", "example/x.out", "example/x.0.out"),
        ("example", "{JobDir}/x.out", "example/x.0.out"),
        ("example", "example/{submit_id}.out", "example/7-3-1.0.out"),
        ("example", "{ClusterID}_{name}.out", "example/7-3-1_job.0.out"),
    ],
)
def test_patterns_of_logs_may_begin_with_the_job_directory_and_name_the_submission(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, job_dir: str, pattern: str, path: str
) -> None:
    from paraschut_core.scheduling.submission import log_paths

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PWD", str(tmp_path))
    lines = [f'log_out = "{pattern}"', *([f'job_dir = "{job_dir}"'] if job_dir else [])]
    (tmp_path / "paraschut.toml").write_text("\n".join(lines))
    with Project(load(), create=True) as ws:
        info = {"BatchID": 7, "JobIndex": 3, "attempt": 1, "name": "job", "subtime": 1}
        assert log_paths(ws, info, 0)[0] == str(tmp_path / path)
