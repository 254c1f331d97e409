"""Curves of numbers over time, drawn by plotext in the colours of our palette."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from ..widgets.styled_line import Part, width_of

_SGR = re.compile(r"\x1b\[([0-9;]*)m")


class Curve(NamedTuple):
    """Numbers, one a point, the latest last; the role of its colour; whether the area below is filled."""

    values: Sequence[float]
    role: str
    filled: bool = False


@lru_cache(maxsize=1)
def load() -> Any:
    """plotext. It takes a moment to import and is needed only where something is drawn: call this from a
    thread before the screen does."""
    import plotext

    return plotext


def draw(
    curves: Sequence[Curve], width: int, height: int, ticks: Sequence[tuple[int, str]]
) -> list[list[Part]]:
    """Lines of exactly `width` columns.

    Args:
        ticks: points to name below, and their names.
    """
    plot = load()
    plot.clear_figure()
    plot.theme("clear")
    plot.limit_size(False, False)
    plot.plot_size(width, height)
    top = max((value for curve in curves for value in curve.values), default=0)
    plot.plot([0, 1], [0, 0], marker=" ")  # without any points there would be no axes
    for number, curve in enumerate(curves, 1):
        for places in _stretches(curve.values):
            values = [curve.values[at] for at in places]
            plot.plot(list(places), values, marker="hd", color=number, fillx=curve.filled)
    plot.xaxes(True, False)
    plot.yaxes(True, False)
    plot.xlim(0, max(max((len(curve.values) for curve in curves), default=2) - 1, 1))
    top = nice(top)
    plot.ylim(0, top)
    marks = [0.0, top / 2, top] if height >= 6 else [0.0, top]
    plot.yticks(marks, [figure(mark) for mark in marks])
    plot.xticks([at for at, _ in ticks], [text for _, text in ticks])
    roles = ["line", *(curve.role for curve in curves)]
    return [_parts(line, roles, width) for line in plot.build().splitlines()[:height]]


def _stretches(values: Sequence[float]) -> list[range]:
    """Where there is something to draw: a line along the axis would look like little, not like nothing."""
    found: list[range] = []
    for at, value in enumerate(values):
        if value <= 0:
            continue
        if found and found[-1].stop == at:
            found[-1] = range(found[-1].start, at + 1)
        else:
            found.append(range(at, at + 1))
    return found


def _parts(line: str, roles: Sequence[str], width: int) -> list[Part]:
    """A line of plotext's as parts; its colour n is the n-th curve's role."""
    parts: list[Part] = []
    role = "muted"
    at = 0
    for match in _SGR.finditer(line):
        if match.start() > at:
            parts.append((line[at : match.start()], role))
        code = match[1].rpartition("38;5;")[2] if "38;5;" in match[1] else ""
        role = roles[int(code)] if code.isdigit() and int(code) < len(roles) else "muted"
        at = match.end()
    if at < len(line):
        parts.append((line[at:], role))
    missing = width - width_of(parts)
    return [*parts, (" " * missing, "base")] if missing > 0 else parts


def nice(top: float) -> float:
    """The end of an axis that reaches to `top`: at least 1, and a number that reads easily in halves."""
    if top <= 1:
        return 1.0
    step = 10.0 ** (len(str(int(top))) - 1)
    return next(step * n for n in (1, 2, 4, 6, 8, 10) if step * n >= top)


def figure(value: float) -> str:
    """A number beside the axis."""
    if value >= 10_000:
        return f"{value / 1000:g}k"
    return f"{value:g}"
