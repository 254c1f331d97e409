"""What commands print: tables and lines, rich on a terminal and plain when piped, and progress bars."""

from __future__ import annotations

import json
import math
import os
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

import click

from ..sanitize import clean, clean_line

if TYPE_CHECKING:
    from click._termui_impl import ProgressBar
    from rich.console import Console

    from ..scheduling.submission import Progress

BAR_AFTER = 0.7
"""Seconds that something may take without a progress bar."""


def on_terminal() -> bool:
    """Return whether stdout is a terminal that can show more than plain text."""
    return sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"


def line(text: object = "") -> None:
    """Print text, several lines too, with nothing in it that a terminal acts upon."""
    click.echo(clean(text))


def problem(text: object) -> None:
    """Print one line about what a person must repair: red on a terminal that shows colours."""
    if not on_terminal():
        line(clean_line(text))
        return
    from rich.text import Text

    console().print(Text(clean_line(text), style="red"))


def dump(value: object) -> None:
    """Print JSON: indented for people, in one line for programs."""
    indent = 2 if on_terminal() else None
    try:
        text = json.dumps(value, indent=indent, default=str, allow_nan=False)
    except ValueError:  # JSON has neither infinity nor NaN
        text = json.dumps(_finite(value), indent=indent, default=str)
    click.echo(text)


def _finite(value: object) -> object:
    """The value with numbers that JSON can hold: the largest for infinity, null for NaN."""
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else math.copysign(sys.float_info.max, value)
    if isinstance(value, Mapping):
        return {name: _finite(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(part) for part in value]
    return value


def table(headers: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table: ruled on a terminal, plain columns two blanks apart when piped."""
    cells = [[clean_line("" if value is None else value) for value in row] for row in rows]
    if not on_terminal():
        _plain_table(headers, cells)
        return
    from rich.table import Table
    from rich.text import Text

    ruled = Table(box=None, header_style="bold", pad_edge=False)
    for number, header in enumerate(headers):
        right = bool(cells) and all(_is_number(row[number]) for row in cells)
        ruled.add_column(header, justify="right" if right else "left", overflow="fold")
    for row in cells:
        ruled.add_row(*map(Text, row))
    console().print(ruled)


def console() -> Console:
    """Rich's console on stdout; it honours NO_COLOR itself."""
    from rich.console import Console

    return Console(highlight=False)


def _is_number(text: str) -> bool:
    return not text.strip("0123456789.,-%/ ")


def _plain_table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(headers, *rows, strict=True)]
    for row in (headers, *rows):
        click.echo("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())


def when(at: float | None) -> str:
    """Epoch seconds as local date and time; '' for None."""
    return "" if at is None else time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))


def span(seconds: float) -> str:
    """A span of time as `47s`, `12:05`, `3:12:05` or `2d 03:12:05`."""
    minutes, s = divmod(max(round(seconds), 0), 60)
    hours, m = divmod(minutes, 60)
    days, h = divmod(hours, 24)
    if days:
        return f"{days}d {h:02}:{m:02}:{s:02}"
    return f"{h}:{m:02}:{s:02}" if h else f"{m}:{s:02}" if m else f"{s}s"


class ProgressLine:
    """A progress bar on stderr that appears only on a terminal, and only if the work takes long.

    Use as a context manager; call it with (done, total).
    """

    def __init__(self, label: str) -> None:
        self._label = label
        self._began = time.monotonic()
        self._bar: ProgressBar[Any] | None = None
        self._shown = sys.stderr.isatty()

    def __enter__(self) -> Progress:
        return self._tell

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.render_finish()

    def _tell(self, done: int, total: int) -> None:
        if not self._shown or time.monotonic() - self._began < BAR_AFTER:
            return
        if self._bar is None:
            self._bar = click.progressbar(length=total, label=self._label, file=sys.stderr)
            self._bar.render_progress()
        self._bar.update(done - self._bar.pos)
