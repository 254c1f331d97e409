"""HealthScreen: how the database and the scheduler are, in full; and what went wrong lately."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen

from paraschut_core.model import Snapshot
from paraschut_core.sanitize import clean, clean_line

from ..formatting import duration
from ..state_styles import Palette
from ..widgets.styled_line import Part
from ..widgets.text_view import TextView


class HealthScreen(ModalScreen[None]):
    """Closed by Esc, Enter or q.

    Args:
        journal: lines of the program's log, the latest last.
        now: epoch seconds.
        filter_error: what is wrong with the filter.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,enter,q,exclamation_mark", "dismiss", "close", show=False)
    ]

    def __init__(
        self,
        palette: Palette,
        snapshot: Snapshot | None,
        journal: Sequence[str],
        now: float,
        filter_error: str = "",
    ) -> None:
        super().__init__()
        self._palette = palette
        self._lines: list[list[Part]] = [[("STATUS", "accent-bold"), ("   Esc closes", "muted")], []]
        if filter_error:
            self._lines += [[("filter", "bold")], *_error(filter_error), []]
        if snapshot is not None:
            self._lines += _database(snapshot, now)
            self._lines += _scheduler(snapshot, now)
        self._lines += [[("lately", "bold")]]
        entries: list[list[Part]] = [
            [("  ", "base"), (part, "text")] for text in journal for part in clean(text).splitlines()
        ]
        self._lines += entries or [[("  nothing went wrong", "muted")]]

    def compose(self) -> ComposeResult:
        with Vertical(id="sheet"):
            yield TextView(self._palette)

    def on_resize(self) -> None:
        pane = self.query_one(TextView)
        self.call_after_refresh(lambda: pane.set_lines(_wrapped(self._lines, pane.size.width - 2)))


def _wrapped(lines: Sequence[list[Part]], width: int) -> list[list[Part]]:
    """The lines, with text that is too long for one going on below itself."""
    wrapped = []
    for parts in lines:
        *before, (text, role) = parts or [("", "base")]
        indent = sum(len(one) for one, _ in before)
        first, *rest = textwrap.wrap(text, max(width - indent, 20), drop_whitespace=False) or [""]
        wrapped.append([*before, (first, role)])
        wrapped += [[(" " * indent, "base"), (part.lstrip(), role)] for part in rest]
    return wrapped


def _database(snapshot: Snapshot, now: float) -> list[list[Part]]:
    health = snapshot.database
    lines = [[("database", "bold")], _entry("file", health.path), _entry("revision", str(snapshot.rev))]
    lines.append(_entry("read", _moment(health.read_at, now)))
    lines += [_entry("notice", health.notice)] if health.notice else []
    return [*lines, *_error(health.error), []]


def _scheduler(snapshot: Snapshot, now: float) -> list[list[Part]]:
    health = snapshot.scheduler
    lines = [[("scheduler", "bold")], _entry("executor", health.executor)]
    lines.append(_entry("polled", _moment(health.polled_at, now)))
    lines.append(_entry("holds", f"{health.total:,} jobs"))
    if health.failing_since is not None:
        lines.append(_entry("failing", f"since {_moment(health.failing_since, now)}"))
    return [*lines, *_error(health.error), []]


def _entry(name: str, text: str) -> list[Part]:
    return [(f"  {name:<10}", "muted"), (clean_line(text), "text")]


def _error(text: str) -> list[list[Part]]:
    return [[("  ", "base"), (clean_line(part), "error")] for part in clean(text).splitlines()]


def _moment(at: float, now: float) -> str:
    if not at:
        return "never"
    return f"{time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(at))}, {duration(now - at)} ago"
