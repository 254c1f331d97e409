"""ActionController: the keys that change jobs. Target, question, deed, outcome: the same way for each."""

from __future__ import annotations

from functools import partial

from textual import work

from paraschut_core.errors import ParaschutError
from paraschut_core.model import Action, JobKey
from paraschut_core.sanitize import clean_line

from ..dialogs.action_history import ActionHistoryScreen
from ..dialogs.action_result import ActionResultScreen
from ..dialogs.confirm import ConfirmScreen
from ..dialogs.prompt import PromptScreen
from ..formatting import clock, count, plural
from ..messages import ActionProgress
from ..terminal.terminal_app import discard_typeahead
from .action_registry import ACTIONS, outcome
from .runner import wrong_field, wrong_number
from .target import TargetSelector
from .types import ActionResult, ActionTarget

_INSTEAD = {
    "submit": "delete the jobs from the queue instead (d)",
    "resubmit": "delete the jobs from the queue instead (d)",
    "remove": "what was removed is gone",
    "clean": "what was removed is gone",
}
"""What to say of acts that cannot be undone."""


class ActionController(TargetSelector):
    """The part of the main screen that acts upon jobs."""

    _busy = ""
    _leaving = False

    # ------------------------------------------------------------------ keys

    def action_reset(self) -> None:
        self._act("reset", self._target())

    def action_resubmit(self) -> None:
        self._act("resubmit", self._target())

    def action_reset_missing(self) -> None:
        self._act_on_missing("reset")

    def action_resubmit_missing(self) -> None:
        self._act_on_missing("resubmit")

    def _act_on_missing(self, verb: str) -> None:
        target = self._all_missing()
        if target:
            self._act(verb, target)
        else:
            self.say("Nothing is missing.")

    def action_qdel(self) -> None:
        self._act("qdel", self._target())

    def action_submit_these(self) -> None:
        target = self._target()
        self._act("submit_batch" if target.batches and not target.keys else "submit_these", target)

    def action_submit_next(self) -> None:
        self._act("submit_next", ActionTarget("what is next"))

    def action_collect(self) -> None:
        self._act("collect", self._target())

    def action_clean(self) -> None:
        self._act("clean", self._batch_target())

    def action_remove(self) -> None:
        self._act("remove", self._batch_target())

    def action_boost(self) -> None:
        self._act("priority", self._target(), ask="Priority, or +100 to add to what they have:")

    def action_edit(self) -> None:
        self._act(
            "edit", self._target(), ask="field=value (resources.mem=8gb, queue=long; the value may be JSON):"
        )

    def action_undo(self) -> None:
        if not self._may_not():
            self._undo()

    def action_history(self) -> None:
        if not self._busy:
            self._history()

    # ------------------------------------------------------------------ the way of an action

    def _act(self, verb: str, target: ActionTarget, *, ask: str = "") -> None:
        # Asked before the worker begins: beginning another one would end the one that waits for an action.
        if self._may_not():
            return
        if not target and verb != "submit_next":
            reading = "The jobs are still being read." if self.scope.loading else ""
            self.say(reading or "There is no job under the cursor.")
            discard_typeahead(self.app)
            return
        self._ask_and_act(verb, target, ask)

    @work(exclusive=True, group="act", exit_on_error=False)
    async def _ask_and_act(self, verb: str, target: ActionTarget, ask: str) -> None:
        value = ""
        if ask:
            title = f"{ACTIONS[verb].ask} of {target.title}"
            value = await self.app.push_screen_wait(PromptScreen(title, ask, check=_CHECKS[verb]))
            if not value:
                return
            if verb == "priority" and value[0] in "+-":
                verb, value = "boost", value.removeprefix("+")
        lost = self._reasons(target) if verb == "resubmit" else {}
        preview = partial(self.gateway.preview, verb, target, lost)
        force = False
        while True:
            screen = ConfirmScreen(
                ACTIONS[verb], target, preview, force=force, extra=_shown(verb, value) if value else ()
            )
            answer = await self.app.push_screen_wait(screen)
            if answer.yes or not answer.force:
                break
            force = True  # it was asked for: ask once more
        if answer.yes:
            chosen = target._replace(raises=answer.raises)
            if answer.seen is not None:
                chosen = chosen._replace(stamps=answer.seen.stamps, signatures=answer.seen.signatures)
            await self._carry_out(verb, chosen, force, value)

    def _reasons(self, target: ActionTarget) -> dict[JobKey, str]:
        """How those of the target that are missing ended, as codes of exit_kinds."""
        missing = self.snapshot.missing if self.snapshot is not None else {}
        chosen, batches = set(target.keys), set(target.batches)
        return {key: lost.kind for key, lost in missing.items() if key in chosen or key.batch_id in batches}

    async def _carry_out(self, verb: str, target: ActionTarget, force: bool, value: str) -> None:
        self._busy = ACTIONS[verb].ask
        try:
            verdict = await self.gateway.act(verb, target, force=force, value=value)
        finally:
            self._busy = ""
            self.key_line.end_busy()
        self._tell(verb, verdict)

    def on_action_progress(self, message: ActionProgress) -> None:
        message.stop()
        if self._busy and message.total > 1:
            self.key_line.show_busy(f"{self._busy}: {count(message.done)} of {count(message.total)}")

    def stop_action(self) -> bool:
        """Stops the action under way behind the jobs that it is at. Returns whether there was one."""
        if not self._busy:
            return False
        self.gateway.cancel()
        self.key_line.show_busy(f"{self._busy}: stopping")
        return True

    def may_leave(self) -> bool:
        """Whether the dashboard may close: with an action under way it takes a second time to say so."""
        if not self._busy or self._leaving:
            return True
        self._leaving = True
        self.say(
            f"{self._busy} is still under way. Again: stop it behind the jobs it is at, and leave.", "warning"
        )
        self.set_timer(10.0, self._stay)
        return False

    def _stay(self) -> None:
        self._leaving = False

    # ------------------------------------------------------------------ undo and history

    @work(exclusive=True, group="act", exit_on_error=False)
    async def _undo(self) -> None:
        try:
            latest, last = await self.before_keys(self.gateway.latest_actions())
        except ParaschutError as error:
            self.say(str(error), "error")
            return
        extra: tuple[str, ...] = ()
        if latest is not None and (last is None or latest.id > last.id) and not latest.is_undo:
            instead = _INSTEAD.get(latest.verb, "")
            extra = (
                f"Your latest act, {latest.verb} of {plural(latest.jobs, 'job')} at"
                f" {clock(latest.at, self.clock())}, cannot be undone{f': {instead}' if instead else ''}.",
            )
        if last is None:
            self.say(extra[0] if extra else "There is nothing to undo.")
            return
        await self._undo_one(last, extra)

    async def _undo_one(self, action: Action, extra: tuple[str, ...] = ()) -> None:
        at = clock(action.at, self.clock())
        words = f"{action.verb} of {plural(action.jobs, 'job')} by {clean_line(action.who)} at {at}"
        if action.verb == "qdel":
            extra = (*extra, "What the deletion ended stays ended: its jobs become missing.")
        answer = await self.app.push_screen_wait(
            ConfirmScreen(ACTIONS["undo"], ActionTarget(words), None, extra=extra)
        )
        if answer.yes:
            await self._carry_out("undo", ActionTarget(words), False, str(action.id))

    @work(exclusive=True, group="act", exit_on_error=False)
    async def _history(self) -> None:
        while True:
            try:
                actions = await self.before_keys(self.gateway.actions())
            except ParaschutError as error:
                self.say(str(error), "error")
                return
            chosen = await self.app.push_screen_wait(ActionHistoryScreen(self.palette, actions))
            if chosen is None:
                return
            action, undo = chosen
            if undo:
                if not self._may_not():
                    await self._undo_one(action)
                return
            await self._show_act(action)

    async def _show_act(self, action: Action) -> None:
        """What became of each job of an act: as it was told then, else as the events have it."""
        title = f"{action.verb} of {plural(action.jobs, 'job')}: paraschut {clean_line(action.command)}"
        for kept in self.verdicts:
            if (kept.command, kept.done) == (action.command, action.jobs):
                await self.app.push_screen_wait(ActionResultScreen(self.palette, title, kept))
                return
        try:
            verdict = await self.before_keys(self.gateway.outcomes(action))
        except ParaschutError as error:
            self.say(str(error), "error")
            return
        await self.app.push_screen_wait(ActionResultScreen(self.palette, title, verdict))

    # ------------------------------------------------------------------ what is told

    def _may_not(self) -> bool:
        if self.read_only:
            self.say("Read-only: nothing can be changed from here.", "warning")
        elif self._busy:
            self.say(f"{self._busy} is still under way; Esc stops it.", "warning")
        else:
            return False
        discard_typeahead(self.app)
        return True

    def _tell(self, verb: str, verdict: ActionResult) -> None:
        """One line about what came of it; failures as a list, job by job."""
        text = outcome(ACTIONS[verb], verdict)
        self.verdicts.appendleft(verdict)
        self.say(text, "error" if verdict.error else "warning" if verdict.failures else "information")
        self.gateway.request_poll()
        if verdict.done and not verdict.failures and verb not in _KEEPING_MARKS:
            self.grid.action_clear()
        if verdict.failures:
            self.app.push_screen(ActionResultScreen(self.palette, clean_line(text, 200), verdict))


def _shown(verb: str, value: str) -> tuple[str, ...]:
    """The value that was typed, as the dialog repeats it."""
    return ({"priority": f"priority={value}", "boost": f"+{value}"}.get(verb, value).replace("+-", "-"),)


_KEEPING_MARKS = ("edit", "priority", "boost")
"""Acts after which one goes on with the same jobs: a next key must not hit others."""

_CHECKS = {"edit": wrong_field, "priority": wrong_number}
"""What is wrong with what was typed, said before anything else is asked."""
