"""Two of everything that a site has twice: users, clusters, projects, containers, versions, directories.

What is looked at from the wrong side proves nothing, and each job runs exactly once: jobs count that
themselves, by a line that each appends to a file at its start.
"""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from pathlib import Path

import pytest

from paraschut_core.db.connection import who_am_i
from paraschut_core.identity import same_user, user_name
from tests.helpers import Project

NOBODY_THERE = 54321
"""A user's number that no file knows."""


# ------------------------------------------------------------------------------------ users


@pytest.mark.parametrize("said", ["anna", "root", ""])
def test_who_one_is_goes_by_the_number_whatever_the_environment_says(
    monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    """`su` keeps USER and LOGNAME as they were."""
    for name in ("USER", "LOGNAME"):
        monkeypatch.setenv(name, said)
    mine = pwd.getpwuid(os.getuid()).pw_name
    assert who_am_i().startswith(f"{mine}@")
    assert same_user(who_am_i(), f"{mine}@elsewhere:7")
    assert same_user(who_am_i(), f"{os.getuid()}@container:7"), "where a user has no name, as in a container"
    assert not same_user(who_am_i(), f"{os.getuid() + 1}@container:7")
    assert user_name(NOBODY_THERE) == str(NOBODY_THERE)


def as_user(uid: int) -> list[str]:
    """The start of a command that runs as the user of that number, with this one's rights to files."""
    return ["unshare", "--user", f"--map-user={uid}", f"--map-group={uid}"]


@pytest.fixture(scope="session")
def users() -> None:
    """Whether this machine lets a process be another user."""
    demand([*as_user(NOBODY_THERE), "true"], "no namespace for a user here")


def demand(command: list[str], why: str) -> None:
    """Fails, or outside of CI skips, where a command that the test needs does not work."""
    tried = subprocess.run(command, capture_output=True, text=True, check=False)
    if tried.returncode:
        why = f"{why}: {tried.stderr.strip()}"
        pytest.fail(why) if os.environ.get("CI") == "true" else pytest.skip(why)


HOME = ("HOME", "USER", "LOGNAME", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME")


def homeless(folder: Path, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """What a command comes to as a user without an entry and without a home."""
    known = {name: value for name, value in os.environ.items() if name not in (*HOME, "PARASCHUT_DB")}
    return subprocess.run(
        [*as_user(NOBODY_THERE), *command],
        cwd=folder,
        env={**known, **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize("inside", [True, False])
def test_a_user_without_name_and_home_is_no_reason_to_crash(
    project: Project, users: None, tmp_path: Path, inside: bool
) -> None:
    folder = project.folder if inside else tmp_path / "outside"
    folder.mkdir(exist_ok=True)
    if inside:
        project.configure('executor = "local"\n[local]\nidle_timeout = 0.5\n')
        project.add_many(1)
    for command in (
        ("add", "--submit", "true"),
        ("queue",),
        ("submit",),
        ("doctor",),
        ("config",),
        ("init",),
    ):
        done = homeless(folder, sys.executable, "-m", "paraschut_core.cli", *command)
        assert "Traceback" not in done.stderr + done.stdout
        assert "This is a fault of Paraschut" not in done.stderr, done.stderr
    code = "from paraschut_tui.memory.shelf import Shelf; print(Shelf().recall('x')[1])"
    assert homeless(folder, sys.executable, "-c", code).stdout == "\n"
