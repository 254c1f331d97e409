"""Acting: the keys that change jobs. Target, question, deed, outcome: the same way for each."""

from __future__ import annotations

from functools import partial

from textual import work

from paraschut_core.errors import ParaschutError
from paraschut_core.model import Action, JobKey
from paraschut_core.text import clean_line

from ..acts import ACTS, outcome
from ..figures import count, duration, plural
from ..headings import batch_name
from ..look import L_MISSING
from ..messages import ActionProgress
from ..outline import BATCH, JOB, STATE, state_label
from ..records import Target, Verdict
from .ask import AskScreen
from .base import DashboardBase
from .confirm import ConfirmScreen
from .help import HelpScreen
from .history import HistoryScreen
from .outcomes import OutcomesScreen

WHOLE = 1000
"""A batch of which more jobs than this, and all, are marked is named whole instead of job by job."""


class Acting(DashboardBase):
    """The part of the main screen that acts upon jobs."""

    _busy = ""
    _auto_period = 0.0
    _auto_next = 0.0

    # ------------------------------------------------------------------ target

    def _target(self) -> Target:
        """The marked jobs; without marks, what the cursor is on: a job, a state's jobs, a batch."""
        if len(self.marks):
            return self._marked()
        if self.pane == "tree" and self.batch_tree.marked:
            return self._whole(sorted(self.batch_tree.marked))
        if self.pane == "tree" and self.batch_tree.cursor is not None:
            return self._under_tree_cursor()
        key = self.grid.cursor
        return Target("nothing") if key is None else Target(self._job_words(key), (key,))

    def _marked(self) -> Target:
        batches = self.marks.batches()
        where = (
            self._batch_words(batches[0]) if len(batches) == 1 else plural(len(batches), "batch", "batches")
        )
        whole: list[int] = []
        keys: list[JobKey] = []
        for batch_id in batches:
            indexes = self.marks.of_batch(batch_id)
            batch = self.snapshot.batches.get(batch_id) if self.snapshot else None
            if batch is not None and batch.total == len(indexes) and len(indexes) > WHOLE:
                whole.append(batch_id)
            else:
                keys.extend(JobKey(batch_id, index) for index in sorted(indexes))
        return Target(f"{plural(len(self.marks), 'marked job')} of {where}", tuple(keys), tuple(whole))

    def _whole(self, batches: list[int]) -> Target:
        """All jobs of these batches."""
        names = ", ".join(self._batch_words(batch_id) for batch_id in batches[:3])
        more = f" and {len(batches) - 3} more" if len(batches) > 3 else ""
        known = self.snapshot.batches if self.snapshot is not None else {}
        jobs = sum(known[batch_id].total for batch_id in batches if batch_id in known)
        return Target(f"{names}{more} ({plural(jobs, 'job')})", batches=tuple(batches))

    def _under_tree_cursor(self) -> Target:
        node = self.batch_tree.cursor
        assert node is not None and self.snapshot is not None  # a tree with a cursor has a snapshot
        if node.kind == BATCH:
            return self._whole([node.batch_id])
        if node.kind == STATE:
            return self._in_state(node.batch_id, node.look)
        key = JobKey(node.batch_id, node.job)
        return Target(self._job_words(key), (key,)) if node.kind >= JOB else Target("nothing")

    def _in_state(self, batch_id: int, look: int) -> Target:
        """A batch's jobs in one state, the missing not among them; or its missing jobs."""
        assert self.snapshot is not None  # there was a row of the tree
        lost = {key.job_index for key in self.snapshot.missing if key.batch_id == batch_id}
        group = self.grid.board.group_of(batch_id)
        if look == L_MISSING:
            indexes = sorted(lost)
        elif group is None or self.scope.query is not None:
            return Target("nothing")
        else:
            part = self.grid.board.groups[group]
            found = (part.indexes[at] for at, code in enumerate(part.states) if code == look)
            indexes = [index for index in found if index not in lost]
        keys = tuple(JobKey(batch_id, index) for index in indexes)
        words = plural(len(keys), f"{state_label(look, self.looks)} job")
        return Target(f"{words} of {self._batch_words(batch_id)}", keys)

    def _batch_target(self) -> Target:
        """The batches of the target, whole: for what is done to batches only."""
        target = self._target()
        batches = sorted({*target.batches, *(key.batch_id for key in target.keys)})
        return self._whole(batches) if batches else Target("nothing")

    def _batch_words(self, batch_id: int) -> str:
        batch = self.snapshot.batches.get(batch_id) if self.snapshot is not None else None
        return batch_name(batch) if batch is not None else str(batch_id)

    def _job_words(self, key: JobKey) -> str:
        return f"job {key.job_index} of {self._batch_words(key.batch_id)}"

    # ------------------------------------------------------------------ keys

    def action_reset(self) -> None:
        self._act("reset", self._target())

    def action_resubmit(self) -> None:
        self._act("resubmit", self._target())

    def action_qdel(self) -> None:
        self._act("qdel", self._target())

    def action_submit_these(self) -> None:
        self._act("submit_these", self._target())

    def action_submit_next(self) -> None:
        self._act("submit_next", Target("what is next"), counted=False)

    def action_collect(self) -> None:
        self._act("collect", self._target())

    def action_clean(self) -> None:
        self._act("clean", self._batch_target(), counted=False)

    def action_remove(self) -> None:
        self._act("remove", self._batch_target())

    def action_boost(self) -> None:
        self._act("boost", self._target(), ask="Priority:")

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

    def action_help(self) -> None:
        keys = self.log_keys()
        self.app.push_screen(HelpScreen(self.palette, self.looks, read_only=self.read_only, log_keys=keys))

    def log_keys(self) -> list[tuple[str, str]]:
        """The log's keys for the help screen."""
        return []

    # ------------------------------------------------------------------ the way of an action

    def _act(self, verb: str, target: Target, *, counted: bool = True, ask: str = "") -> None:
        # Asked before the worker begins: beginning another one would end the one that waits for an action.
        if self._may_not():
            return
        if not target and verb != "submit_next":
            self.say("There is no job under the cursor.")
            return
        self._ask_and_act(verb, target, counted, ask)

    @work(exclusive=True, group="act", exit_on_error=False)
    async def _ask_and_act(self, verb: str, target: Target, counted: bool, ask: str) -> None:
        act = ACTS[verb]
        value = ""
        if ask:
            value = await self.app.push_screen_wait(AskScreen(f"{act.ask} of {target.title}", ask))
            if not value:
                return
        lost = self._reasons(target) if verb == "resubmit" else {}
        preview = partial(self.gateway.preview, target, lost) if counted else None
        force = False
        while True:
            screen = ConfirmScreen(act, target, preview, force=force, extra=(value,) if value else ())
            answer = await self.app.push_screen_wait(screen)
            if answer.yes or not answer.force:
                break
            force = True  # it was asked for: ask once more
        if answer.yes:
            await self._carry_out(verb, target._replace(raises=answer.raises), force, value)

    def _reasons(self, target: Target) -> dict[JobKey, str]:
        """Why those of the target that are missing are so."""
        missing = self.snapshot.missing if self.snapshot is not None else {}
        chosen, batches = set(target.keys), set(target.batches)
        return {key: lost.reason for key, lost in missing.items() if key in chosen or key.batch_id in batches}

    async def _carry_out(self, verb: str, target: Target, force: bool, value: str) -> None:
        self._busy = ACTS[verb].ask
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

    @work(exclusive=True, group="act", exit_on_error=False)
    async def _undo(self) -> None:
        try:
            last = await self.gateway.last_undoable()
        except ParaschutError as error:
            self.say(str(error), "error")
            return
        if last is None:
            self.say("There is nothing to undo.")
            return
        await self._undo_one(last)

    async def _undo_one(self, action: Action) -> None:
        words = f"{action.verb} of {plural(action.jobs, 'job')} by {clean_line(action.who)}"
        answer = await self.app.push_screen_wait(ConfirmScreen(ACTS["undo"], Target(words), None))
        if answer.yes:
            await self._carry_out("undo", Target(words), False, str(action.id))

    @work(exclusive=True, group="act", exit_on_error=False)
    async def _history(self) -> None:
        try:
            actions = await self.gateway.actions()
        except ParaschutError as error:
            self.say(str(error), "error")
            return
        chosen = await self.app.push_screen_wait(HistoryScreen(self.palette, actions))
        if chosen is not None and not self._may_not():
            await self._undo_one(chosen)

    def _may_not(self) -> bool:
        if self.read_only:
            self.say("Read-only: nothing can be changed from here.", "warning")
        elif self._busy:
            self.say(f"{self._busy} is still under way; Esc stops it.", "warning")
        return self.read_only or bool(self._busy)

    def _tell(self, verb: str, verdict: Verdict) -> None:
        """One line about what came of it; failures as a list, job by job."""
        text = outcome(ACTS[verb], verdict)
        self.say(text, "error" if verdict.error else "warning" if verdict.failures else "information")
        self.gateway.poll_now()
        if verdict.done and not verdict.failures:
            self.grid.action_clear()
        if verdict.failures:
            self.app.push_screen(OutcomesScreen(self.palette, clean_line(text, 200), verdict.failures))

    # ------------------------------------------------------------------ auto-submit

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
        text = await self.app.push_screen_wait(AskScreen(title, "Minutes between two times:", "10"))
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
        verdict = await self.gateway.act("submit_next", Target("what is next"))
        if verdict.error or verdict.failures:
            self.say(f"Auto-submit: {outcome(ACTS['submit_next'], verdict)}", "error")
        elif verdict.done:
            self.say(f"Auto-submit: {plural(verdict.done, 'job')} submitted.")
        if verdict.done:
            self.gateway.poll_now()

    def show_flags(self) -> None:
        """Writes beside the database what is special: read-only, when auto-submit comes next."""
        flags = ["read-only"] if self.read_only else []
        if self._auto_period:
            minutes = max(self._auto_next - self.clock(), 0.0) // 60 * 60
            flags.append(f"submits in {duration(minutes)}" if minutes else "submits in <1m")
        if tuple(flags) != self.status.flags:
            self.status.flags = tuple(flags)
            self.status.tick(self.gateway.seen, self.clock())
