"""The dashboard over made-up jobs, to be run in a pty: a line on fd 3 makes something happen.

Usage: python -m tests.tui.budget_app JOBS. Commands: `change N`, `missing N`, `quiet`, `quit`; each is
answered with the CPU seconds that the process has used so far.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time

from paraschut_core.config import Settings
from paraschut_core.model import JobRow
from paraschut_tui.app import ParaschutApp

from .fake import NOW, FakeBatch, FakeGateway

BATCH = 20261122101500


class BudgetApp(ParaschutApp):
    """Takes commands from file descriptor 3 and answers on 4."""

    def on_mount(self) -> None:
        asyncio.get_running_loop().add_reader(3, self._command)
        super().on_mount()

    def _command(self) -> None:
        words = os.read(3, 100).decode().split()
        gateway = self.gateway
        assert isinstance(gateway, FakeGateway)
        if words[0] == "quit":
            self.exit()
        elif words[0] in ("change", "missing"):
            gateway.publish(self._changes(gateway, int(words[1]), "R" if words[0] == "change" else "!"))
        os.write(4, f"{time.process_time()}\n".encode())

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
    started = time.monotonic()
    app = BudgetApp(Settings(), gateway=gateway, clock=lambda: NOW)
    app.call_later(lambda: os.write(4, f"ready {time.monotonic() - started}\n".encode()))
    app.run()


if __name__ == "__main__":
    main()
