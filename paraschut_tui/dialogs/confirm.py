"""ConfirmScreen: asks before an action, with the counts of what it would meet. The default is No."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import ClassVar, NamedTuple

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Button, Static
from textual.worker import Worker

from paraschut_core.errors import ParaschutError
from paraschut_core.sanitize import clean_line

from ..actions.action_entry import ActionEntry, summary
from ..actions.resource_increase import ResourceIncrease
from ..actions.types import ActionTarget, PreviewText
from ..errors import tell_fault
from ..terminal.key_sequencer import GuardedDialog


class Confirmation(NamedTuple):
    """What was answered: yes or no; with `force` also what is done; with these resources raised; upon what
    was seen when it was asked."""

    yes: bool = False
    force: bool = False
    raises: ResourceIncrease = ResourceIncrease()
    seen: PreviewText | None = None


class ConfirmScreen(GuardedDialog[Confirmation]):
    """Asks; the answer is an Answer.

    Enter alone cancels: the focus is on Cancel. `y` says yes, once the counts are painted.

    Args:
        act: the action.
        target: what it is to be done to.
        preview: counts the jobs; None where there is nothing to count.
        force: it was asked for already to include the jobs that are done.
        extra: further lines, such as the value to be set.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "yes", "yes", show=False),
        Binding("n,escape,q", "no", "no", show=False),
        Binding("f", "force", "also those that are done", show=False),
        Binding("m", "more", "more resources or not", show=False),
        Binding("up", "scroll(-1)", "a line up", show=False),
        Binding("down", "scroll(1)", "a line down", show=False),
        Binding("left,right,h,l,tab,shift+tab", "move", "to the other button", show=False),
    ]

    def __init__(
        self,
        act: ActionEntry,
        target: ActionTarget,
        preview: Callable[[], Awaitable[PreviewText]] | None,
        *,
        force: bool = False,
        extra: tuple[str, ...] = (),
    ) -> None:
        super().__init__()
        self._act = act
        self._target = target
        self._count = preview
        self._force = force
        self._extra = extra
        self._preview: PreviewText | None = None
        self._ready = preview is None
        self._more = True

    def compose(self) -> ComposeResult:
        with Vertical(id="dialog", classes="-harsh" if self._act.harsh or self._force else ""):
            yield Static(self._title(), id="dialog-title")
            with VerticalScroll(id="dialog-body", can_focus=False):
                yield Static(Content("counting" if self._count else ""), id="dialog-counts")
                yield Static(self._meaning(), id="dialog-meaning")
            with Horizontal(id="dialog-buttons"):
                yield Button("Cancel (Esc)", id="no", compact=True)
                yield Button(f"{self._act.button} (y)", id="yes", compact=True, disabled=not self._ready)

    def on_mount(self) -> None:
        self.query_one("#no", Button).focus()
        if self._count is not None:
            self.run_worker(self._show_counts(self._count), exit_on_error=False)

    async def _show_counts(self, count: Callable[[], Awaitable[PreviewText]]) -> None:
        counts = self.query_one("#dialog-counts", Static)
        try:
            preview = await count()
        except ParaschutError as error:
            counts.update(Content(f"{clean_line(error)}"))
            return
        self._preview = preview
        n = self._act.count_affected(preview, self._force)
        counts.update(Content("\n".join(clean_line(text) for text in summary(preview))))
        self.query_one("#dialog-meaning", Static).update(self._meaning())
        if n:
            self.call_after_refresh(self._allow)

    def _allow(self) -> None:
        self._ready = True
        self.query_one("#yes", Button).disabled = False

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        told = tell_fault(self, event)
        if told:
            self.query_one("#dialog-counts", Static).update(Content(f"It cannot be counted: {told}"))

    def _title(self) -> Content:
        return Content(clean_line(self._act.question(self._target)))

    def _meaning(self) -> Content:
        preview = self._preview
        lines = [self._act.meaning] if preview is None else self._act.explanation(preview, self._force)
        lines[1:1] = self._extra
        if preview is not None and preview.raises.words:
            lines += ["", f"[{'x' if self._more else ' '}] {preview.raises.words}  (m)"]
        return Content("\n".join(clean_line(text) for text in lines))

    def understands(self, key: str) -> bool:
        return key in self.active_bindings

    def cancel(self) -> None:
        self.dismiss(Confirmation())

    def action_yes(self) -> None:
        if self._ready:
            offered = self._preview.raises if self._preview is not None and self._more else ResourceIncrease()
            self.dismiss(Confirmation(True, self._force, offered, self._preview))

    def action_no(self) -> None:
        self.dismiss(Confirmation())

    def action_force(self) -> None:
        if not self._force and self._preview is not None and self._act.spared(self._preview):
            self.dismiss(Confirmation(force=True))

    def action_more(self) -> None:
        self._more = not self._more
        self.query_one("#dialog-meaning", Static).update(self._meaning())

    def action_scroll(self, lines: int) -> None:
        """Scrolls what does not fit between title and buttons."""
        self.query_one("#dialog-body").scroll_relative(y=lines, animate=False)

    def action_move(self) -> None:
        if self.focused is self.query_one("#no") and self._ready:
            self.query_one("#yes").focus()
        else:
            self.query_one("#no").focus()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        event.stop()
        if event.button.id == "yes":
            if self.was_seen(event.time):  # a click may have been sent before the dialog was there, too
                self.action_yes()
        else:
            self.action_no()
