"""ActionController: takes each action the same way: target, preview, confirmation, run, result."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import replace
from functools import partial
from typing import Any

from textual.notifications import SeverityLevel
from textual.widget import Widget

from paraschut_core.errors import ParaschutError
from paraschut_core.model import Action, JobKey
from paraschut_core.sanitize import clean_line, plural

from ..backend.backend import Backend
from ..dashboard_state import DashboardState
from ..dialogs.action_history import ActionHistoryScreen
from ..dialogs.action_result import ActionResultScreen
from ..dialogs.confirm import ConfirmScreen
from ..dialogs.edit_value import EditValueScreen
from ..dialogs.prompt import PromptScreen
from ..formatting import clock as clock_time
from ..formatting import count
from ..job_details.value_format import as_typed
from ..job_details.widget import JobDetails
from ..messages import ActionProgress
from ..state_styles import Palette
from ..terminal.terminal_app import discard_typeahead, hold_keys_during
from ..toast import show_toast
from ..widgets.key_hints import KeyHints
from .action_entry import ActionEntry, TargetKind
from .action_registry import ACTIONS, UNDO, entry_of
from .target import TargetSelector
from .types import ActionResult, ActionTarget

RESULTS_KEPT = 20
"""Actions of this session of which the result for each job is kept."""

STAY = 10.0
"""Seconds after which leaving during an action has to be confirmed again."""


class ActionController:
    """Runs the actions that keys start, one at a time.

    Args:
        screen: runs the dialogs and shows the results.
        key_hints: shows progress.
        clock: epoch seconds.
    """

    def __init__(
        self,
        screen: Widget,
        backend: Backend,
        state: DashboardState,
        targets: TargetSelector,
        key_hints: KeyHints,
        clock: Callable[[], float],
    ) -> None:
        self._screen = screen
        self._backend = backend
        self._state = state
        self._targets = targets
        self._key_hints = key_hints
        self._clock = clock
        self._results: deque[ActionResult] = deque(maxlen=RESULTS_KEPT)
        self._leaving = False
        self.busy = ""
        """The action under way, as its dialog calls it; "" if none is."""

    # ------------------------------------------------------------------ start

    def start(self, name: str) -> None:
        """Start the action of that name."""
        # Checked before the worker begins: another one would end the one that waits for an action.
        if not self.is_allowed():
            return
        action = ACTIONS[name]
        if action is UNDO:
            self.run(self._undo())
            return
        target = self._target_of(action)
        if target or action.target is TargetKind.NONE:
            self.run(self._ask_and_run(action, target))
            return
        if action.target is TargetKind.MISSING:
            self._say("Nothing is missing.")
        else:
            reading = "The jobs are still being read." if self._targets.is_loading else ""
            self._say(reading or "There is no job under the cursor.")
        discard_typeahead(self._screen.app)

    def _target_of(self, action: ActionEntry) -> ActionTarget:
        match action.target:
            case TargetKind.JOBS:
                return self._targets.current()
            case TargetKind.BATCHES:
                return self._targets.whole_batches()
            case TargetKind.MISSING:
                return self._targets.all_missing()
            case TargetKind.NONE:
                return ActionTarget("")

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        """Run dialogs in a worker; it replaces the one that waits for an answer, if there is one."""
        self._screen.run_worker(work, group="act", exclusive=True, exit_on_error=False)

    def is_allowed(self) -> bool:
        """Return whether jobs may be changed now; if not, say why."""
        if self._state.read_only:
            self._say("Read-only: nothing can be changed from here.", "warning")
        elif self.busy:
            self._say(f"{self.busy} is still under way; Esc stops it.", "warning")
        else:
            return True
        discard_typeahead(self._screen.app)
        return False

    async def _ask_and_run(self, action: ActionEntry, target: ActionTarget) -> None:
        value, app = "", self._screen.app
        if action.prompt is not None:
            title = f"{action.ask} of {target.title}"
            prompt = PromptScreen(title, action.prompt.label, check=action.prompt.check)
            value = await app.push_screen_wait(prompt)
            if not value:
                return
        action, value = action.variant(target, value) or (action, value)
        ends = self._ends(target) if action.offers_resources else {}
        preview = partial(self._backend.preview, action, target, ends)
        extra = (action.setting(value),) if value else ()
        force = False
        while True:
            screen = ConfirmScreen(action, target, preview, force=force, extra=extra)
            answer = await app.push_screen_wait(screen)
            if answer.yes or not answer.force:
                break
            force = True  # it was asked for: ask once more
        if answer.yes:
            chosen = replace(target, raises=answer.raises)
            if answer.seen is not None:
                chosen = replace(chosen, stamps=answer.seen.stamps, signatures=answer.seen.signatures)
            await self._run_action(action, chosen, force, value)

    def _ends(self, target: ActionTarget) -> dict[JobKey, str]:
        """Return how the target's missing jobs ended, as codes of exit_kinds."""
        chosen, batches = set(target.keys), set(target.batches)
        missing = self._state.missing.items()
        return {key: job.kind for key, job in missing if key in chosen or key.batch_id in batches}

    async def _run_action(self, action: ActionEntry, target: ActionTarget, force: bool, value: str) -> None:
        self._begin_busy(action.ask)
        try:
            result = await self._backend.run(action, target, force=force, value=value)
        finally:
            self._end_busy()
        self._show_result(action, result)

    def _show_result(self, action: ActionEntry, result: ActionResult) -> None:
        """Show the result in one line; failures as a list, job by job."""
        text = action.outcome(result)
        self._results.appendleft(result)
        self._say(text, "error" if result.error else "warning" if result.failures else "information")
        self._backend.request_poll()
        if result.done and not result.failures and not action.keeps_marks:
            self._targets.clear_marks()
        if result.failures:
            self._screen.app.push_screen(ActionResultScreen(self._palette, clean_line(text, 200), result))

    # ------------------------------------------------------------------ while it runs

    def _begin_busy(self, name: str) -> None:
        self.busy = name

    def _end_busy(self) -> None:
        self.busy = ""
        self._key_hints.end_busy()

    def show_progress(self, progress: ActionProgress) -> None:
        """Show how far the action is, if it is for more than one job."""
        if self.busy and progress.total > 1:
            self._key_hints.show_busy(f"{self.busy}: {count(progress.done)} of {count(progress.total)}")

    def stop(self) -> bool:
        """Stop the action under way after the jobs that it is at. Return whether there was one."""
        if not self.busy:
            return False
        self._backend.cancel()
        self._key_hints.show_busy(f"{self.busy}: stopping")
        return True

    def may_leave(self) -> bool:
        """Return whether the dashboard may close; during an action it has to be asked twice."""
        if not self.busy or self._leaving:
            return True
        self._leaving = True
        self._say(
            f"{self.busy} is still under way. Again: stop it behind the jobs it is at, and leave.", "warning"
        )
        self._screen.set_timer(STAY, self._stay)
        return False

    def _stay(self) -> None:
        self._leaving = False

    # ------------------------------------------------------------------ one field of one job

    def edit_field(self, request: JobDetails.EditRequested) -> None:
        """Ask for another value of a field, and set it if the job is still as it was read."""
        name = clean_line(".".join(str(step) for step in request.path), 60)
        if not self.is_allowed():
            return
        if as_typed(request.value) is None:
            kind = clean_line(type(request.value).__name__)
            self._say(f"{name} is a {kind}: nothing to be typed in a line. Set it in Python.", "warning")
            discard_typeahead(self._screen.app)
            return
        self.run(self._edit_field(request, name))

    async def _edit_field(self, request: JobDetails.EditRequested, name: str) -> None:
        job = self._state.job_words(request.key)
        question = EditValueScreen(f"Set {name} of {job}", request.value)
        typed = await self._screen.app.push_screen_wait(question)
        if typed is None:
            return
        self._begin_busy(f"Set {name}")
        try:
            result = await self._backend.edit(request.key, request.rev, request.path, typed.value)
        finally:
            self._end_busy()
        if result.error:
            self._say(result.error, "error")
        else:
            self._say(f"{name} of {job} is set. z undoes it.")
        self._backend.request_poll()

    # ------------------------------------------------------------------ undo and history

    async def _undo(self) -> None:
        try:
            latest, last = await hold_keys_during(self._screen.app, self._backend.latest_actions())
        except ParaschutError as error:
            self._say(str(error), "error")
            return
        extra: tuple[str, ...] = ()
        if latest is not None and (last is None or latest.id > last.id) and not latest.is_undo:
            known = entry_of(latest.verb)
            instead = known.cannot_undo if known is not None else ""
            extra = (
                f"Your latest act, {latest.verb} of {plural(latest.jobs, 'job')} at"
                f" {clock_time(latest.at, self._clock())}, cannot be undone"
                f"{f': {instead}' if instead else ''}.",
            )
        if last is None:
            self._say(extra[0] if extra else "There is nothing to undo.")
            return
        await self._undo_one(last, extra)

    async def _undo_one(self, action: Action, extra: tuple[str, ...] = ()) -> None:
        at = clock_time(action.at, self._clock())
        words = f"{action.verb} of {plural(action.jobs, 'job')} by {clean_line(action.who)} at {at}"
        known = entry_of(action.verb)
        if known is not None and known.undo_warning:
            extra = (*extra, known.undo_warning)
        target = ActionTarget(words)
        answer = await self._screen.app.push_screen_wait(ConfirmScreen(UNDO, target, None, extra=extra))
        if answer.yes:
            await self._run_action(UNDO, target, False, str(action.id))

    def show_history(self) -> None:
        """List the latest actions, to look at or to undo."""
        if not self.busy:
            self.run(self._show_history())

    async def _show_history(self) -> None:
        app = self._screen.app
        while True:
            try:
                actions = await hold_keys_during(app, self._backend.actions())
            except ParaschutError as error:
                self._say(str(error), "error")
                return
            chosen = await app.push_screen_wait(ActionHistoryScreen(self._palette, actions))
            if chosen is None:
                return
            action, undo = chosen
            if undo:
                if self.is_allowed():
                    await self._undo_one(action)
                return
            await self._show_outcomes(action)

    async def _show_outcomes(self, action: Action) -> None:
        """Show the result for each job of an action: as it was kept, else as the events have it."""
        app = self._screen.app
        title = f"{action.verb} of {plural(action.jobs, 'job')}: paraschut {clean_line(action.command)}"
        for kept in self._results:
            if (kept.command, kept.done) == (action.command, action.jobs):
                await app.push_screen_wait(ActionResultScreen(self._palette, title, kept))
                return
        try:
            result = await hold_keys_during(app, self._backend.outcomes(action))
        except ParaschutError as error:
            self._say(str(error), "error")
            return
        await app.push_screen_wait(ActionResultScreen(self._palette, title, result))

    # ------------------------------------------------------------------ shared

    @property
    def _palette(self) -> Palette:
        return Palette(self._screen.app.current_theme)

    def _say(self, text: str, severity: SeverityLevel = "information") -> None:
        show_toast(self._screen, text, severity)
