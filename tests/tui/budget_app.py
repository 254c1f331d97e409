"""The dashboard over made-up jobs, to be run in a pty: a command on a FIFO makes something happen.

Usage: python -m tests.tui.budget_app JOBS FIFO ANSWERS. The file ANSWERS gets `ready` with the seconds until
the jobs stood on the screen (by the clock, and of CPU), then for each command (`change N`, `missing N`,
`cpu`, `quit`) the CPU seconds that the process has used so far.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time

from textual.timer import Timer

from paraschut_core.config import Settings
from paraschut_core.model import JobRow
from paraschut_tui.app import ParaschutApp, has_16_colors
from paraschut_tui.dashboard.screen import MainScreen

from .fake import NOW, FakeBatch, FakeGateway

BATCH = 20261122101500


class BudgetApp(ParaschutApp):
    """Takes commands from one file descriptor and answers on another."""

    commands = answers = -1
    started = started_cpu = 0.0
    waiting: Timer

    def on_mount(self) -> None:
        asyncio.get_running_loop().add_reader(self.commands, self._command)
        self.waiting = self.set_interval(0.005, self._look_whether_ready)

    def _look_whether_ready(self) -> None:
        screen = self.screen_stack[0]
        if isinstance(screen, MainScreen) and screen.jobs.grid.board.total:
            self.waiting.stop()
            self.call_after_refresh(self._say, "ready")

    def _say(self, text: str) -> None:
        if text == "ready":
            text = f"ready {time.monotonic() - self.started} {time.process_time() - self.started_cpu}"
        os.write(self.answers, f"{text}\n".encode())

    def _command(self) -> None:
        words = os.read(self.commands, 100).decode().split()
        gateway = self.gateway
        assert isinstance(gateway, FakeGateway)
        if words[0] == "quit":
            self.exit()
        elif words[0] in ("change", "missing"):
            gateway.publish(self._changes(gateway, int(words[1]), "R" if words[0] == "change" else "!"))
        self._say(str(time.process_time()))

    @staticmethod
    def _changes(gateway: FakeGateway, n: int, letter: str) -> list[JobRow]:
        letters = gateway.batches[BATCH].letters
        at = letters.index("i")
        return [gateway.change(BATCH, at + 7 * i, letter) for i in range(n)]


def main() -> None:
    """Runs it."""
    jobs = int(sys.argv[1])
    pattern = "c" * 300 + "R" * 20 + "q" * 30 + "i" * 650
    letters = (pattern * (jobs // len(pattern) + 1))[:jobs]
    gateway = FakeGateway(
        [FakeBatch(BATCH, "human/genome_map", letters), FakeBatch(BATCH - 1, "mouse/align", "c" * 100)]
    )
    app = BudgetApp(Settings(), gateway=gateway, clock=lambda: NOW, low_bandwidth=has_16_colors())
    app.commands = os.open(sys.argv[2], os.O_RDWR | os.O_NONBLOCK)
    app.answers = os.open(sys.argv[3], os.O_WRONLY | os.O_APPEND)
    app.started, app.started_cpu = time.monotonic(), time.process_time()
    app.run()


if __name__ == "__main__":
    main()
