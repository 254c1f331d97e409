"""The dashboard's log view by itself. Usage: python -m tests.benchmarks.apps.log FILE"""

from __future__ import annotations

import sys

from paraschut_tui.job_log.view import LogSources
from tests.tui.log_app import LogApp


class OneLog(LogApp):
    """Shows one file."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path

    def on_mount(self) -> None:
        self.view.show(LogSources("a log", {"stdout": (self.path,)}))
        super().on_mount()


if __name__ == "__main__":
    OneLog(sys.argv[1]).run(mouse=False)
