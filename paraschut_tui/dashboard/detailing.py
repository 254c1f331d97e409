"""DetailLoader: what the details pane asks for: reading a script, asking the scheduler, setting a field."""

from __future__ import annotations

from textual import work

from paraschut_core.model import JobKey
from paraschut_core.sanitize import clean_line

from ..actions.controller import ActionController
from ..dialogs.edit_value import EditValueScreen
from ..job_details.model import JobDetailsData
from ..job_details.value_format import Path, as_typed
from ..job_details.widget import JobDetails
from ..terminal.terminal_app import discard_typeahead


class DetailLoader(ActionController):
    """The part of the main screen that serves the details of the job under the cursor."""

    def on_job_details_status_reported(self, message: JobDetails.StatusReported) -> None:
        message.stop()
        self.say(message.text)

    def on_job_details_node_opened(self, message: JobDetails.NodeOpened) -> None:
        message.stop()
        self.complete_details()

    def complete_details(self) -> None:
        if self.has_class("-details"):
            self._complete_details()

    @work(exclusive=True, group="details", exit_on_error=False)
    async def _complete_details(self) -> None:
        sight = self.details.sight
        if sight is None or sight.record.error:
            return
        info = sight.record.info
        if sight.script is None:
            script = await self.gateway.script(info)
            sight = self._still(sight.record.key)
            if sight is None:
                return
            self.details.take(sight._replace(script=script))
        if self.details.is_open("scheduler"):
            summary = await self.gateway.summary(info)
            sight = self._still(sight.record.key)
            if sight is not None and summary != sight.summary:
                self.details.take(sight._replace(summary=summary))

    def _still(self, key: JobKey) -> JobDetailsData | None:
        """What the details show now, if that is still this job."""
        sight = self.details.sight
        return sight if sight is not None and sight.record.key == key else None

    def on_job_details_edit_requested(self, message: JobDetails.EditRequested) -> None:
        message.stop()
        name = clean_line(".".join(str(step) for step in message.path), 60)
        if self._may_not():
            return
        if as_typed(message.value) is None:
            kind = clean_line(type(message.value).__name__)
            self.say(f"{name} is a {kind}: nothing to be typed in a line. Set it in Python.", "warning")
            discard_typeahead(self.app)
            return
        self._edit(message.key, name, message.path, message.value, message.rev)

    @work(exclusive=True, group="act", exit_on_error=False)
    async def _edit(self, key: JobKey, name: str, path: Path, old: object, rev: int) -> None:
        """Asks for the value, and sets it if the job is still as it was read."""
        typed = await self.app.push_screen_wait(EditValueScreen(f"Set {name} of {self._job_words(key)}", old))
        if typed is None:
            return
        self._busy = f"Set {name}"
        try:
            verdict = await self.gateway.edit(key, rev, path, typed.value)
        finally:
            self._busy = ""
            self.key_line.end_busy()
        if verdict.error:
            self.say(verdict.error, "error")
        else:
            self.say(f"{name} of {self._job_words(key)} is set. z undoes it.")
        self.gateway.request_poll()
