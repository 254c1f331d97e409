"""Both logs of a job in a real terminal, to be run in a pty: python -m tests.tui.log_terminal_app OUT ERR.

The files are looked at often, so that a test need not wait.
"""

from __future__ import annotations

import sys
from typing import cast

from rich.console import RenderableType
from textual.screen import Screen

from paraschut_tui.tight import tightened
from paraschut_tui.widgets import log_follow
from paraschut_tui.widgets.log_view import LogPlace, LogSources
from tests.tui.log_app import LogApp


class TerminalLogApp(LogApp):
    """Writes as the dashboard does."""

    def _display(self, screen: Screen[object], renderable: RenderableType | None) -> None:
        super()._display(screen, cast("RenderableType | None", tightened(renderable)))


def main() -> None:
    """Runs it."""
    out, err = sys.argv[1:]
    log_follow.POLL_SECONDS = 0.03
    app = TerminalLogApp()
    app.view.show(
        LogSources("JOB 24", {"stdout": [out], "stderr": [err]}),
        LogPlace(split=True, numbers=False),
    )
    app.run()


if __name__ == "__main__":
    main()
