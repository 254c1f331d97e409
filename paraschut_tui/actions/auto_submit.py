"""AutoSubmitter: submits at intervals what is next, as long as the dashboard is open."""

from __future__ import annotations

from collections.abc import Callable

from textual.widget import Widget

from paraschut_core.sanitize import plural

from ..backend.backend import Backend
from ..dialogs.prompt import PromptScreen
from ..formatting import duration
from ..toast import show_toast
from .action_registry import AUTO_SUBMIT
from .controller import ActionController
from .types import ActionTarget


class AutoSubmitter:
    """Started and stopped by one key.

    Args:
        screen: asks for the interval, and shows what failed.
        controller: tells whether another action is under way.
        clock: epoch seconds.
    """

    def __init__(
        self,
        screen: Widget,
        backend: Backend,
        controller: ActionController,
        clock: Callable[[], float],
    ) -> None:
        self._screen = screen
        self._backend = backend
        self._controller = controller
        self._clock = clock
        self._interval = 0.0
        self._next = 0.0

    @property
    def flag(self) -> str:
        """When it submits next, for the status bar; "" if it is off."""
        if not self._interval:
            return ""
        minutes = max(self._next - self._clock(), 0.0) // 60 * 60
        return f"submits in {duration(minutes)}" if minutes else "submits in <1m"

    def toggle(self) -> None:
        """Ask for an interval and start, or stop."""
        if self._interval:
            self._interval = 0.0
        elif self._controller.is_allowed():
            self._controller.run(self._start())

    async def _start(self) -> None:
        title = "Submit what is next again and again, as long as this screen is open"
        text = await self._screen.app.push_screen_wait(
            PromptScreen(title, "Minutes between two times:", "10")
        )
        if not text:
            return
        try:
            minutes = float(text)
        except ValueError:
            minutes = 0.0
        if not minutes > 0:
            show_toast(self._screen, f"{text!r} is not a number of minutes.", "error")
            return
        self._interval = minutes * 60
        self._next = self._clock()
        self.tick()

    def tick(self) -> None:
        """Submit if it is time to."""
        if self._interval and self._clock() >= self._next and not self._controller.busy:
            self._next = self._clock() + self._interval
            self._screen.run_worker(self._submit(), group="auto", exclusive=True, exit_on_error=False)

    async def _submit(self) -> None:
        result = await self._backend.run(AUTO_SUBMIT, ActionTarget(""))
        if result.error or result.failures:
            show_toast(self._screen, f"Auto-submit: {AUTO_SUBMIT.outcome(result)}", "error")
        elif result.done:
            show_toast(self._screen, f"Auto-submit: {plural(result.done, 'job')} submitted.")
        if result.done:
            self._backend.request_poll()
