"""A demo project that nobody runs, and `paraschut serve` on it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from paraschut_core.demo.pipeline import make_project
from tests.helpers import wait_until

Serve = Callable[..., "Served"]


class Served:
    """A running `paraschut serve`."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.folder = folder
        self.process = subprocess.Popen(
            [sys.executable, "-m", "paraschut_core.cli", "serve", *arguments],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        assert self.process.stdout is not None
        self.said = ""
        for line in self.process.stdout:
            self.said += line
            if "Ctrl-C" in line:
                break
        self.address = next((word for word in self.said.split() if word.startswith("http")), "")
        assert self.address, self.said

    def dashboards(self) -> list[psutil.Process]:
        """The processes behind the tabs."""
        return psutil.Process(self.process.pid).children()

    def end(self, number: int = signal.SIGTERM) -> int:
        """Sends it a signal and returns its exit status; negative: it was killed."""
        self.process.send_signal(number)
        return self.process.wait(30)

    def close(self) -> str:
        """Ends it if it still runs; returns what else it printed."""
        if self.process.poll() is None:
            self.process.terminate()
        out, _ = self.process.communicate(timeout=30)
        return str(out)


@pytest.fixture
def demo_project(tmp_path: Path, clean_environment: None) -> Path:
    folder = tmp_path / "demo"
    make_project(str(folder), 6)
    return folder


@pytest.fixture
def serve(demo_project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """Starts `paraschut serve ARGUMENTS` in the demo's folder, on a free port."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("PYTHONPATH", os.path.dirname(os.path.dirname(os.path.dirname(__file__))))
    started = []

    def start(*arguments: str) -> Served:
        served = Served(demo_project, "--port", "0", *arguments)
        started.append(served)
        return served

    yield start
    for served in started:
        served.close()


def gone(processes: list[psutil.Process]) -> None:
    """Waits until all of the processes have ended."""
    wait_until(
        lambda: all(not p.is_running() or p.status() == psutil.STATUS_ZOMBIE for p in processes),
        "the dashboards have ended",
        30,
    )
