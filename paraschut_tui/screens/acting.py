"""Acting: the keys that change jobs. Target, question, deed, outcome: the same way for each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual import work
from textual.screen import Screen

from paraschut_core.model import JobKey, Snapshot
from paraschut_core.text import clean_line

from ..acts import ACTS, outcome
from ..figures import plural
from ..headings import batch_name
from ..look import L_MISSING, Looks, Palette
from ..marks import Marks
from ..outline import BATCH, JOB, STATE, state_label
from ..records import Target, Verdict
from .ask import AskScreen
from .confirm import ConfirmScreen
from .help import HelpScreen
from .history import HistoryScreen
from .outcomes import OutcomesScreen

if TYPE_CHECKING:
    from ..gateway import Gateway
    from ..messages import ActionProgress
    from ..widgets.batch_tree import BatchTree
    from ..widgets.job_grid import JobGrid


class Acting(Screen[None]):
    """The part of the main screen that acts upon jobs."""

    gateway: Gateway
    palette: Palette
    looks: Looks
    marks: Marks
    snapshot: Snapshot | None
    read_only: bool
    batch_tree: BatchTree
    grid: JobGrid

    @property
    def pane(self) -> str:
        """Which pane has the focus."""
        raise NotImplementedError

    # ------------------------------------------------------------------ target

    def _target(self) -> Target:
        """The marked jobs; without marks, what the cursor is on: a job, a state's jobs, a batch."""
        if len(self.marks):
            return self._marked()
        if self.pane == "tree" and self.batch_tree.cursor is not None:
            return self._under_tree_cursor()
        key = self.grid.cursor
        return Target("nothing") if key is None else Target(self._job_words(key), (key,))

    def _marked(self) -> Target:
        batches = self.marks.batches()
        names = [self._batch_words(batch_id) for batch_id in batches]
        where = names[0] if len(names) == 1 else plural(len(names), "batch", "batches")
        whole: list[int] = []
        keys: list[JobKey] = []
        for batch_id in batches:
            indexes = self.marks.of_batch(batch_id)
            batch = self.snapshot.batches.get(batch_id) if self.snapshot else None
            if batch is not None and batch.total == len(indexes) and len(indexes) > 1000:
                whole.append(batch_id)  # all of it: no need to name a million jobs
            else:
                keys.extend(JobKey(batch_id, index) for index in sorted(indexes))
        title = f"{plural(len(self.marks), 'marked job')} of {where}"
        return Target(title, tuple(keys), tuple(whole))

    def _under_tree_cursor(self) -> Target:
        node = self.batch_tree.cursor
        assert node is not None and self.snapshot is not None  # a tree with a cursor has a snapshot
        batch = self.snapshot.batches[node.batch_id]
        if node.kind == BATCH:
            return Target(f"{batch_name(batch)} ({plural(batch.total, 'job')})", batches=(node.batch_id,))
        if node.kind == STATE:
            group = self.grid.board.group_of(node.batch_id)
            if node.look == L_MISSING:
                indexes = [key.job_index for key in self.snapshot.missing if key.batch_id == node.batch_id]
            elif group is not None:
                part = self.grid.board.groups[group]
                indexes = [part.indexes[at] for at, code in enumerate(part.states) if code == node.look]
                lost = self.snapshot.missing
                indexes = [index for index in indexes if JobKey(node.batch_id, index) not in lost]
            else:
                return Target("nothing")
            keys = tuple(JobKey(node.batch_id, index) for index in sorted(indexes))
            words = f"{plural(len(keys), f'{state_label(node.look, self.looks)} job')} of {batch_name(batch)}"
            return Target(words, keys)
        key = JobKey(node.batch_id, node.job)
        return Target(self._job_words(key), (key,)) if node.kind >= JOB else Target("nothing")

    def _batch_target(self) -> Target:
        """The batches of the target, whole: for what is done to batches only."""
        target = self._target()
        batches = sorted({*target.batches, *(key.batch_id for key in target.keys)})
        names = ", ".join(self._batch_words(batch_id) for batch_id in batches[:3])
        more = f" and {len(batches) - 3} more" if len(batches) > 3 else ""
        return Target(f"{names}{more}", batches=tuple(batches))

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
        self._act("submit_next", Target("what is next"), count=False)

    def action_collect(self) -> None:
        self._act("collect", self._target())

    def action_clean(self) -> None:
        self._act("clean", self._batch_target(), count=False)

    def action_remove(self) -> None:
        self._act("remove", self._batch_target())

    def action_boost(self) -> None:
        self._act("boost", self._target(), ask="Priority:")

    def action_edit(self) -> None:
        self._act("edit", self._target(), ask="field=value:")

    def action_undo(self) -> None:
        self._undo()

    def action_history(self) -> None:
        self._history()

    def action_help(self) -> None:
        self.app.push_screen(
            HelpScreen(self.palette, self.looks, read_only=self.read_only, log_keys=self.log_keys())
        )

    def log_keys(self) -> list[tuple[str, str]]:
        """The log's keys for the help screen."""
        return []

    # ------------------------------------------------------------------ the way of an action

    @work(exclusive=True, group="act", exit_on_error=False)
    async def _act(self, verb: str, target: Target, *, count: bool = True, ask: str = "") -> None:
        if self._may_not():
            return
        if not target and count:
            self.notify("There is no job under the cursor.", markup=False)
            return
        act = ACTS[verb]
        value = ""
        if ask:
            answer = await self.app.push_screen_wait(AskScreen(f"{act.ask} of {target.title}", ask))
            if not answer:
                return
            value = answer
        extra = (value,) if value else ()
        force = False
        while True:
            preview = (lambda: self.gateway.preview(target)) if count else None
            answer = await self.app.push_screen_wait(
                ConfirmScreen(act, target, preview, force=force, extra=extra)
            )
            if answer != "force":
                break
            force = True
        if answer == "yes":
            self._say(verb, await self.gateway.act(verb, target, force=force, value=value))

    @work(exclusive=True, group="act", exit_on_error=False)
    async def _undo(self) -> None:
        if self._may_not():
            return
        last = next((a for a in await self.gateway.actions() if a.can_undo and not a.undone), None)
        if last is None:
            self.notify("There is nothing to undo.", markup=False)
            return
        await self._undo_one(last.id, f"{last.verb} of {plural(last.jobs, 'job')} by {clean_line(last.who)}")

    async def _undo_one(self, action_id: int, words: str) -> None:
        answer = await self.app.push_screen_wait(ConfirmScreen(ACTS["undo"], Target(words), None))
        if answer == "yes":
            self._say("undo", await self.gateway.act("undo", Target(words), value=str(action_id)))

    @work(exclusive=True, group="act", exit_on_error=False)
    async def _history(self) -> None:
        actions = await self.gateway.actions()
        chosen = await self.app.push_screen_wait(HistoryScreen(self.palette, actions))
        if chosen is not None and not self._may_not():
            await self._undo_one(chosen.id, f"{chosen.verb} of {plural(chosen.jobs, 'job')}")

    def _may_not(self) -> bool:
        if self.read_only:
            self.notify("Read-only: nothing can be changed from here.", severity="warning", markup=False)
        return self.read_only

    def _say(self, verb: str, verdict: Verdict) -> None:
        """One line about what came of it; failures as a list, job by job."""
        severity = "error" if verdict.error else "warning" if verdict.failures else "information"
        text = clean_line(outcome(ACTS[verb], verdict), 300)
        self.notify(text, severity=severity, markup=False)  # type: ignore[arg-type]  # one of the three literals
        self.gateway.poll_now()
        if verdict.done and not verdict.failures:
            self.marks.clear()
            self.grid.repaint_changed()
            self.grid.post_message(self.grid.MarksChanged())
        if verdict.failures:
            self.app.push_screen(OutcomesScreen(self.palette, text, verdict.failures))

    def on_action_progress(self, message: ActionProgress) -> None:
        message.stop()
