"""The driver that draws a dashboard into a browser's tab: Textual's own, which also ends with its server."""

from __future__ import annotations

from textual.drivers import web_driver
from textual.drivers.web_driver import WebDriver
from textual.messages import ExitApp

from ..terminal.textual_compat import read_by_tokens

HOOKS = (
    (WebDriver, "run_input_thread"),  # overridden: its end means that the server is gone
    (web_driver, "XTermParser"),  # replaced: keys come through the tokenizer
)
"""What Textual does not document."""
FIELDS = ((WebDriver, "exit_event"),)  # read: whether the dashboard ends already

read_by_tokens(web_driver)


class TabDriver(WebDriver):
    """Leave the dashboard when the other end of its pipes is closed."""

    def run_input_thread(self) -> None:
        super().run_input_thread()
        # Its input has ended: the dashboard is left already, or its server was killed.
        if not self.exit_event.is_set():
            self.send_message(ExitApp())
