"""ActionController: the keys that change jobs. Target, question, deed, outcome: the same way for each."""

from __future__ import annotations

from dataclasses import replace
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
from .action_entry import ActionEntry, TargetKind
from .action_registry import ACTIONS, UNDO, entry_of
from .target import TargetSelector
from .types import ActionResult, ActionTarget


class ActionController(TargetSelector):
    """The part of the main screen that acts upon jobs."""

    _busy = ""
    _leaving = False

    # ------------------------------------------------------------------ keys

    def action_do(self, name: str) -> None:
        """Start an action of the registry."""
        # Asked before the worker begins: a new worker would end the one that waits for an action.
        if self._may_not():
            return
        action = ACTIONS[name]
        if action is UNDO:
            self._undo()
            return
        target = self._target_of(action)
        if target or action.target is TargetKind.NONE:
            self._ask_and_run(action, target)
            return
        if action.target is TargetKind.MISSING:
            self.say("Nothing is missing.")
        else:
            reading = "The jobs are still being read." if self.scope.loading else ""
            self.say(reading or "There is no job under the cursor.")
        discard_typeahead(self.app)

    def _target_of(self, action: ActionEntry) -> ActionTarget:
        match action.target:
            case TargetKind.JOBS:
                return self._target()
            case TargetKind.BATCHES:
                return self._batch_target()
            case TargetKind.MISSING:
                return self._all_missing()
            case TargetKind.NONE:
                return ActionTarget("")

    def action_history(self) -> None:
        if not self._busy:
            self._history()

    # ------------------------------------------------------------------ the way of an action

    @work(exclusive=True, group="act", exit_on_error=False)
    async def _ask_and_run(self, action: ActionEntry, target: ActionTarget) -> None:
        value = ""
        if action.prompt is not None:
            title = f"{action.ask} of {target.title}"
            prompt = PromptScreen(title, action.prompt.label, check=action.prompt.check)
            value = await self.app.push_screen_wait(prompt)
            if not value:
                return
        action, value = action.variant(target, value) or (action, value)
        ends = self._ends(target) if action.offers_resources else {}
        preview = partial(self.gateway.preview, action, target, ends)
        extra = (action.setting(value),) if value else ()
        force = False
        while True:
            screen = ConfirmScreen(action, target, preview, force=force, extra=extra)
            answer = await self.app.push_screen_wait(screen)
            if answer.yes or not answer.force:
                break
            force = True  # it was asked for: ask once more
        if answer.yes:
            chosen = replace(target, raises=answer.raises)
            if answer.seen is not None:
                chosen = replace(chosen, stamps=answer.seen.stamps, signatures=answer.seen.signatures)
            await self._run_action(action, chosen, force, value)

    def _ends(self, target: ActionTarget) -> dict[JobKey, str]:
        """How those of the target that are missing ended, as codes of exit_kinds."""
        missing = self.snapshot.missing if self.snapshot is not None else {}
        chosen, batches = set(target.keys), set(target.batches)
        return {key: lost.kind for key, lost in missing.items() if key in chosen or key.batch_id in batches}

    async def _run_action(self, action: ActionEntry, target: ActionTarget, force: bool, value: str) -> None:
        self._busy = action.ask
        try:
            result = await self.gateway.run(action, target, force=force, value=value)
        finally:
            self._busy = ""
            self.key_line.end_busy()
        self._tell(action, result)

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
            known = entry_of(latest.verb)
            instead = known.cannot_undo if known is not None else ""
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
        known = entry_of(action.verb)
        if known is not None and known.undo_warning:
            extra = (*extra, known.undo_warning)
        answer = await self.app.push_screen_wait(ConfirmScreen(UNDO, ActionTarget(words), None, extra=extra))
        if answer.yes:
            await self._run_action(UNDO, ActionTarget(words), False, str(action.id))

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

    def _tell(self, action: ActionEntry, result: ActionResult) -> None:
        """Show the result in one line; failures as a list, job by job."""
        text = action.outcome(result)
        self.verdicts.appendleft(result)
        self.say(text, "error" if result.error else "warning" if result.failures else "information")
        self.gateway.request_poll()
        if result.done and not result.failures and not action.keeps_marks:
            self.grid.action_clear()
        if result.failures:
            self.app.push_screen(ActionResultScreen(self.palette, clean_line(text, 200), result))
