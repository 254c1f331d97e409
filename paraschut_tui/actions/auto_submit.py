"""AutoSubmitter: submits what is next again and again, as long as the dashboard is open."""

from __future__ import annotations

from textual import work

from ..dialogs.prompt import PromptScreen
from ..formatting import count, duration, plural
from .action_registry import AUTO_SUBMIT
from .controller import ActionController
from .types import ActionTarget


class AutoSubmitter(ActionController):
    """The part of the main screen that submits by itself."""

    _auto_period = 0.0
    _auto_next = 0.0

    def action_auto_submit(self) -> None:
        """Begins or ends the periodic submission of what is next."""
        if self._auto_period:
            self._auto_period = 0.0
            self.show_flags()
        elif not self._may_not():
            self._begin_auto_submit()

    @work(exclusive=True, group="act", exit_on_error=False)
    async def _begin_auto_submit(self) -> None:
        title = "Submit what is next again and again, as long as this screen is open"
        text = await self.app.push_screen_wait(PromptScreen(title, "Minutes between two times:", "10"))
        if not text:
            return
        try:
            minutes = float(text)
        except ValueError:
            minutes = 0.0
        if not minutes > 0:
            self.say(f"{text!r} is not a number of minutes.", "error")
            return
        self._auto_period = minutes * 60
        self._auto_next = self.clock()
        self.tick_auto_submit()

    def tick_auto_submit(self) -> None:
        """Submits if it is time to."""
        if not self._auto_period:
            return
        if self.clock() >= self._auto_next and not self._busy and not self.read_only:
            self._auto_next = self.clock() + self._auto_period
            self._submit_again()
        self.show_flags()

    @work(exclusive=True, group="auto", exit_on_error=False)
    async def _submit_again(self) -> None:
        verdict = await self.gateway.run(AUTO_SUBMIT, ActionTarget(""))
        if verdict.error or verdict.failures:
            self.say(f"Auto-submit: {AUTO_SUBMIT.outcome(verdict)}", "error")
        elif verdict.done:
            self.say(f"Auto-submit: {plural(verdict.done, 'job')} submitted.")
        if verdict.done:
            self.gateway.request_poll()

    def show_flags(self) -> None:
        """Writes beside the database what is special: read-only, when auto-submit comes next; filter and
        marks where the jobs that they are about are not to be seen."""
        flags = [*self.notices, *(["read-only"] if self.read_only else [])]
        hidden = any(self.has_class(name) for name in ("-zoom-log", "-zoom-tree", "-batches"))
        if hidden and self.scope.query is not None:
            flags.append("filter in force")
        if hidden and len(self.marks):
            flags.append(f"{count(len(self.marks))} marked")
        if self._auto_period:
            minutes = max(self._auto_next - self.clock(), 0.0) // 60 * 60
            flags.append(f"submits in {duration(minutes)}" if minutes else "submits in <1m")
        if tuple(flags) != self.status.flags:
            self.status.flags = tuple(flags)
            self.status.tick(self.gateway.seen, self.clock())
