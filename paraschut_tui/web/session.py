"""Session: one tab of a browser, the dashboard's process, and the pipes between the two."""

from __future__ import annotations

import asyncio
import os
import signal
from asyncio.subprocess import PIPE, Process
from collections.abc import Sequence

from aiohttp import WSMsgType, web
from textual_serve.app_service import AppService
from textual_serve.download_manager import DownloadManager

from paraschut_core.security.child_python import environment

HOOKS = (
    (AppService, "_build_environment"),  # overridden: the dashboard finds its package and its driver
    (AppService, "_open_app_process"),  # overridden: an argument list, not a line for a shell
)
FIELDS = ((AppService, "_process"), (AppService, "_stdin"))  # set where the process is started
"""What textual-serve does not document."""

GRACE = 8.0
"""Seconds that a dashboard has to end when the server ends; then it gets signals."""

_LARGEST = 500
"""Columns and rows of the largest screen that a browser may ask for."""


class Session(AppService):
    """A dashboard in a process of its own, drawn in one tab.

    Args:
        command: the dashboard's argument list.
        socket: the tab's web socket.
    """

    def __init__(self, command: Sequence[str], socket: web.WebSocketResponse, downloads: DownloadManager):
        super().__init__(
            command[0],
            write_bytes=self._write,
            write_str=socket.send_str,
            close=self._close,
            download_manager=downloads,
        )
        self._arguments = command
        self._socket = socket

    async def _write(self, data: bytes) -> None:
        try:
            await self._socket.send_bytes(data)
        except ConnectionError:
            pass  # the tab is gone; its dashboard's output is still read, so that it can end

    async def _close(self) -> None:
        await self._socket.close()

    def _build_environment(self, width: int = 80, height: int = 24) -> dict[str, str]:
        return {
            **super()._build_environment(width, height),
            "PYTHONPATH": environment().get("PYTHONPATH", ""),
            "TEXTUAL_DRIVER": "paraschut_tui.web.driver:TabDriver",
        }

    async def _open_app_process(self, width: int = 80, height: int = 24) -> Process:
        # A group of its own: Ctrl-C in the server's terminal is for the server, which ends the others.
        self._process = process = await asyncio.create_subprocess_exec(
            *self._arguments,
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            env=self._build_environment(width, height),
            start_new_session=True,
        )
        self._stdin = process.stdin
        return process

    async def run(self) -> None:
        """Forward what the dashboard draws until it ends; then close the tab's socket."""
        await super().run()
        await self._close()

    async def attend(self) -> None:
        """Forward what the tab sends until either side ends."""
        async for message in self._socket:
            if message.type == WSMsgType.TEXT:
                await self._forward(message.json())

    async def _forward(self, envelope: object) -> None:
        match envelope:
            case ["stdin", str(keys)]:
                await self.send_bytes(keys.encode("utf-8", "replace"))
            case ["resize", {"width": int(width), "height": int(height)}]:
                await self.set_terminal_size(*screen_size(width, height))
            case ["ping", sent]:
                await self._socket.send_json(["pong", sent])
            case ["focus"]:
                await self.focus()
            case ["blur"]:
                await self.blur()

    async def end(self) -> None:
        """End the process: ask it, then terminate it, then kill it."""
        process = self._process
        if process is None:
            return
        try:
            await asyncio.wait_for(self.stop(), GRACE)
        except asyncio.TimeoutError:
            pass
        for number in (signal.SIGTERM, signal.SIGKILL):
            if process.returncode is not None:
                return
            try:
                os.killpg(process.pid, number)
            except ProcessLookupError:
                return  # it has ended already
            try:
                await asyncio.wait_for(process.wait(), GRACE / 4)
            except asyncio.TimeoutError:
                pass


def screen_size(width: int, height: int) -> tuple[int, int]:
    """Return the columns and rows that a browser asked for, within bounds."""
    return min(max(width, 1), _LARGEST), min(max(height, 1), _LARGEST)
