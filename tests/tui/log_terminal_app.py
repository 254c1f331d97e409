"""A job's log on the whole screen, to be run in a pty: python -m tests.tui.log_terminal_app OUT [ERR].

With two files both are shown, side by side. They are looked at often, so that a test need not wait.
"""

from __future__ import annotations

import sys
from typing import cast

from textual.screen import Screen

from paraschut_tui.job_log import following_pane
from paraschut_tui.job_log.screen import LogScreen
from paraschut_tui.job_log.view import LogSources, LogViewState
from paraschut_tui.terminal.terminal_app import TerminalApp


class TerminalLogApp(TerminalApp[None]):
    """Writes and takes keys as the dashboard does."""

    def __init__(self, out: str, *err: str) -> None:
        super().__init__(flow_control=False)  # only the log's own bytes are to be seen
        self._sources = LogSources("JOB 24", {"stdout": [out], "stderr": err})
        self._place = LogViewState("stdout", split=bool(err), numbers=not err)

    def get_default_screen(self) -> Screen[object]:
        return cast("Screen[object]", LogScreen(self._sources, self._place))


def main() -> None:
    """Runs it."""
    following_pane.POLL_SECONDS = 0.03
    TerminalLogApp(*sys.argv[1:]).run()


if __name__ == "__main__":
    main()
