"""DashboardBase: the widgets of the dashboard's one screen, and what its parts share."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from typing import TypeVar

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.widget import Widget
from textual.worker import Worker

from paraschut_core.model import JobKey, Snapshot
from paraschut_core.sanitize import clean_line

from ..actions.types import ActionResult
from ..backend.backend import ThreadedBackend
from ..batch_tree.widget import BatchTree
from ..errors import tell_fault
from ..filter.bar import FilterBar
from ..job_details.widget import JobDetails
from ..job_grid.contents import GridContents
from ..job_grid.marked_jobs import MarkedJobs
from ..job_grid.widget import JobGrid
from ..job_log.view import LogView
from ..state_styles import Palette, StateStyles
from ..terminal.terminal_app import hold_keys_during
from ..terminal.textual_compat import SteadyScreen
from ..widgets.key_hints import KeyHints
from ..widgets.text_line import TextLine
from .status_bar import StatusBar

T = TypeVar("T")

KEPT = 20
"""Acts of this session of which it is kept what became of each job."""


class DashboardBase(SteadyScreen[None]):
    """Widgets and state; what happens with them is in the classes that build upon this one.

    Args:
        gateway: the project.
        palette, looks: colours and glyphs.
        clock: epoch seconds; frozen in tests.
        read_only: no key changes anything.
    """

    AUTO_FOCUS = "#grid"

    def __init__(
        self,
        gateway: ThreadedBackend,
        palette: Palette,
        looks: StateStyles,
        clock: Callable[[], float],
        *,
        read_only: bool = False,
    ) -> None:
        super().__init__()
        self.gateway = gateway
        self.palette = palette
        self.looks = looks
        self.clock = clock
        self.read_only = read_only
        self.notices: tuple[str, ...] = ()
        """Words about the terminal, to stand in the status bar."""
        self.snapshot: Snapshot | None = None
        self.spawn_wanted: tuple[JobKey, int | None] | None = None
        """Which spawn's log is to be shown of a job (None: the job's own), as the tree's cursor has it."""
        self.marks = MarkedJobs()
        self.verdicts: deque[ActionResult] = deque(maxlen=KEPT)
        self.status = StatusBar(palette, looks, gateway.settings.poll.interval, id="status")
        self.batch_tree = BatchTree(palette, looks, id="tree")
        self.grid = JobGrid(palette, looks, self.marks, clock, id="grid")
        self.log_view = LogView(id="log")
        self.details = JobDetails(palette, clock, id="details")
        self.filter_bar = FilterBar(palette, id="filter")
        self.key_line = KeyHints(palette, read_only=read_only, id="keys")
        self.scope = GridContents(gateway, looks, self.grid, self.write_headings)

    def compose(self) -> ComposeResult:
        yield self.status
        with Horizontal(id="upper"):
            with Vertical(id="left"):
                yield TextLine(self.palette, id="tree-title")
                yield self.batch_tree
            with Vertical(id="right"):
                yield TextLine(self.palette, id="batch-line")
                yield TextLine(self.palette, id="grid-title")
                yield TextLine(self.palette, id="legend")
                yield TextLine(self.palette, id="ruler")
                yield self.grid
        with Vertical(id="lower"):
            yield self.log_view
            yield self.details
        yield self.filter_bar
        yield self.key_line

    @property
    def pane(self) -> str:
        """Which pane has the focus: "tree", "grid" or "log"."""
        widget: Widget | None = self.focused
        while widget is not None and widget is not self:
            if widget is self.batch_tree:
                return "tree"
            if widget is self.log_view or widget is self.details:
                return "log"
            widget = widget.parent if isinstance(widget.parent, Widget) else None
        return "grid"

    def stop_action(self) -> bool:
        """Stops an action that is under way. Returns whether there was one."""
        return False

    def action_help(self) -> None:
        """Lists all keys."""

    def complete_details(self) -> None:
        """Reads for the details what is only read once somebody looks at it: script, scheduler's record."""

    def write_headings(self) -> None:
        """Writes all titles and legends anew; each sends only the columns that differ."""
        raise NotImplementedError

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        tell_fault(self, event)

    async def before_keys(self, reading: Awaitable[T]) -> T:
        """Waits for what decides where the next keys go; these wait, too."""
        return await hold_keys_during(self.app, reading)

    def say(self, text: str, severity: str = "information") -> None:
        """One line that comes and goes. The text may be anybody's: it is never taken for markup."""
        level = "error" if severity == "error" else "warning" if severity == "warning" else "information"
        self.notify(clean_line(text, 400), severity=level, markup=False)  # type: ignore[arg-type]  # one of three
