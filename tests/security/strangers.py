"""A second user for tests: made by the system's own command, and removed at the end."""

from __future__ import annotations

import os
import pwd
import shutil
import stat
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.helpers import ROOT

_WORKER = os.environ.get("PYTEST_XDIST_WORKER", "")
NAMES = (f"psu-me{_WORKER}", f"psu-him{_WORKER}")


def require_root() -> None:
    """Leaves a test out where no users can be made; never in CI."""
    if os.geteuid() != 0:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("only root can act as several users")


class User:
    """A user of the system."""

    def __init__(self, name: str) -> None:
        require_root()
        subprocess.run(["userdel", name], check=False, capture_output=True)  # of a run that was killed
        subprocess.run(["useradd", "--no-create-home", "--shell", "/bin/sh", name], check=True)
        self.entry = pwd.getpwnam(name)
        self.name, self.uid, self.gid = name, self.entry.pw_uid, self.entry.pw_gid

    def remove(self) -> None:
        subprocess.run(["userdel", self.name], check=True, capture_output=True)

    def own(self, *paths: Path) -> None:
        """Makes these theirs, with all that is in them."""
        for top in paths:
            found = [top, *top.rglob("*")] if top.is_dir() and not top.is_symlink() else [top]
            for path in found:
                os.chown(path, self.uid, self.gid, follow_symlinks=False)

    def run(
        self, *words: object, cwd: Path, umask: int = 0o022, status: int | None = None, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Runs a command as this user."""
        done = subprocess.run(
            list(map(str, words)),
            cwd=cwd,
            env=self.environment(**environment),
            user=self.uid,
            group=self.gid,
            extra_groups=[],
            umask=umask,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert status in (None, done.returncode), done
        return done

    def environment(self, **more: str) -> dict[str, str]:
        kept = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "USER": self.name}
        if python() != sys.executable:
            kept["PYTHONPATH"] = os.pathsep.join([ROOT, sysconfig.get_path("purelib")])
        return {**kept, **more}


def python() -> str:
    """An interpreter that every user can run, with which this project works."""
    own = os.path.realpath(sys.executable)
    if all(os.stat(folder).st_mode & stat.S_IXOTH for folder in Path(own).parents):
        return sys.executable
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    found = shutil.which(f"python{version}", path="/usr/local/bin:/usr/bin")
    if found is None:
        pytest.fail(f"no Python {version} that other users can run")
    return found


def plant_modules(folder: Path, mark: Path, *, package: bool = True) -> None:
    """Puts a file beside every name that a program may import: each notes that it was run."""
    text = f"open({str(mark)!r}, 'a').write(__name__ + '\\n')\n"
    names = {*sys.stdlib_module_names, "click", "msgspec", "textual", "rich", "platformdirs", "aiohttp"}
    for name in sorted(names):
        (folder / f"{name}.py").write_text(text)
    if package:
        for name in ("paraschut_core", "paraschut_tui"):
            (folder / name).mkdir()
            (folder / name / "__init__.py").write_text(text)
