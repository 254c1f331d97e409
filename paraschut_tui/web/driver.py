"""Draws a dashboard into a browser's tab: Textual's own driver for that, which also ends with its server."""

from __future__ import annotations

import asyncio

from textual.drivers import web_driver
from textual.drivers.web_driver import WebDriver
from textual.messages import ExitApp

from ..terminal.textual_compat import read_by_tokens

read_by_tokens(web_driver)


class TabDriver(WebDriver):
    """Leaves the dashboard when nobody is at the other end of its pipes any more."""

    def start_application_mode(self) -> None:
        self._loop = asyncio.get_running_loop()
        super().start_application_mode()

    def run_input_thread(self) -> None:
        super().run_input_thread()
        # Its input has ended: the dashboard is left already, or its server was killed.
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._app.post_message, ExitApp())
