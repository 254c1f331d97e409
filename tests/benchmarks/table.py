"""Results: rows with what they are compared to and held to, as a table, as JSON, as Markdown."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from paraschut_core.cli import output

from .measure import Cost, Spread, ratios, turns


class Goal(NamedTuple):
    """What a row is held to: its ratio, or its own value (in the row's unit)."""

    of: str
    most: float | None = None
    least: float | None = None

    def met(self, ratio: Spread | None, value: Spread) -> bool:
        """Whether the median keeps to it."""
        found = value.median if self.of == "value" or ratio is None else ratio.median
        return (self.most is None or found <= self.most) and (self.least is None or found >= self.least)

    def __str__(self) -> str:
        limit = f"≤ {self.most:g}" if self.most is not None else f"≥ {self.least:g}"
        return f"{limit}×" if self.of == "ratio" else limit


def ratio_most(limit: float) -> Goal:
    return Goal("ratio", most=limit)


def ratio_least(limit: float) -> Goal:
    return Goal("ratio", least=limit)


def value_most(limit: float) -> Goal:
    return Goal("value", most=limit)


class Row(NamedTuple):
    """One line of a table. `short` is what the README's table calls it, "" if it is not there."""

    what: str
    unit: str
    ours: Spread
    rival: str = ""
    theirs: Spread | None = None
    ratio: Spread | None = None
    cpu: Spread | None = None
    goal: Goal | None = None
    note: str = ""
    short: str = ""

    @property
    def verdict(self) -> str:
        if self.goal is None:
            return ""
        return f"{self.goal} {'met' if self.goal.met(self.ratio, self.ours) else 'MISSED'}"

    def as_dict(self) -> dict[str, Any]:
        """The row for JSON."""
        return {
            name: value._asdict() if isinstance(value, (Spread, Goal)) else value
            for name, value in self._asdict().items()
        } | {"met": None if self.goal is None else self.goal.met(self.ratio, self.ours)}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Row:
        """The row that `as_dict` gave."""
        kinds: Mapping[str, Callable[..., Any]] = {
            **dict.fromkeys(("ours", "theirs", "ratio", "cpu"), Spread),
            "goal": Goal,
        }
        return cls(
            **{
                name: kinds[name](**fields[name]) if name in kinds and fields[name] else fields[name]
                for name in cls._fields
            }
        )


class Table:
    """The results of one benchmark.

    Args:
        name, title: which one.
        tell: is given a line whenever something is about to be measured.
    """

    def __init__(self, name: str, title: str, tell: Callable[[str], object] = lambda text: None) -> None:
        self.name = name
        self.title = title
        self.rows: list[Row] = []
        self.absent: list[str] = []
        self.error = ""
        self.seconds = 0.0
        self.tell = tell

    # ------------------------------------------------------------------ fill

    def add(self, row: Row) -> None:
        self.rows.append(row)

    def value(self, what: str, unit: str, values: Sequence[float], **more: Any) -> None:
        """A row of measurements that stand for themselves."""
        self.add(Row(what, unit, Spread.of(values), **more))

    def compare(
        self, what: str, unit: str, ours: Sequence[float], rival: str, theirs: Sequence[float], **more: Any
    ) -> None:
        """A row of measurements beside those of a rival, taken in the same rounds."""
        self.add(
            Row(what, unit, Spread.of(ours), rival, Spread.of(theirs), ratio=ratios(ours, theirs), **more)
        )

    def race(
        self,
        what: str,
        ours: Callable[[], Cost],
        rival: str,
        theirs: Callable[[], Cost],
        *,
        rounds: int,
        unit: str = "ms",
        **more: Any,
    ) -> None:
        """Has two ways run in turns, and adds the row of their costs."""
        self.tell(what)
        mine, others = turns(rounds, ours, theirs)
        self.costs(what, mine, rival, others, unit=unit, **more)

    def costs(
        self,
        what: str,
        ours: Sequence[Cost],
        rival: str,
        theirs: Sequence[Cost],
        *,
        unit: str = "ms",
        **more: Any,
    ) -> None:
        """A row of costs that were taken in turns: time on the clock, and the ratio of CPU beside it."""
        scale = {"s": 1.0, "ms": 1e3, "µs": 1e6}[unit]
        self.compare(
            what,
            unit,
            [cost.wall * scale for cost in ours],
            rival,
            [cost.wall * scale for cost in theirs],
            cpu=ratios([cost.cpu for cost in ours], [cost.cpu for cost in theirs]),
            **more,
        )

    def lacks(self, what: str) -> None:
        """Says what could not be compared on this machine, and why."""
        self.absent.append(what)

    # ------------------------------------------------------------------ show

    def show(self) -> None:
        """Prints it."""
        output.line(f"\n{self.title}\n")
        if self.rows:
            headers = ("", "paraschut", "against", "", "ratio", "CPU", "goal")
            output.table(headers, [_cells(row) for row in self.rows])
        for row in self.rows:
            if row.note:
                output.line(f"  {row.what}: {row.note}")
        for what in self.absent:
            output.line(f"  not compared: {what}")
        if self.error:
            output.line(f"  FAILED: {self.error}")

    def as_dict(self) -> dict[str, Any]:
        """The table for JSON."""
        return {
            "name": self.name,
            "title": self.title,
            "seconds": round(self.seconds, 1),
            "rows": [row.as_dict() for row in self.rows],
            "absent": self.absent,
            "error": self.error,
        }


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.what,
        _shown(row.ours, row.unit),
        row.rival,
        _shown(row.theirs, row.unit),
        _shown(row.ratio, "×"),
        _shown(row.cpu, "×"),
        row.verdict,
    )


def _shown(spread: Spread | None, unit: str) -> str:
    """`1.23 s (1.20–1.31)`; without the spread where there is none."""
    if spread is None:
        return ""
    gap = "" if unit in ("×", "%") else " "
    text = f"{figure(spread.median)}{gap}{unit}".rstrip()
    if figure(spread.low) == figure(spread.high):
        return text
    return f"{text} ({figure(spread.low)}–{figure(spread.high)})"


def figure(value: float) -> str:
    """A number with three digits that mean something."""
    if value == round(value) and abs(value) < 1e15:
        return f"{value:,.0f}"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    if abs(value) >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if abs(value) >= 1 else f"{value:.3g}"


# ------------------------------------------------------------------------------------ Markdown


def markdown(report: Mapping[str, Any]) -> str:
    """The README's table of a run's JSON: a line for each row that has a short name."""
    machine = report["machine"]
    lines = [f"| on {machine['cores']} cores, shared | against | |", "|---|---|---|"]
    for table in report["benchmarks"]:
        for fields in table["rows"]:
            row = Row.from_dict(fields)
            if row.short:
                lines.append(f"| {row.short} | {row.rival} | {_in_words(row)} |")
    return "\n".join(lines)


def _in_words(row: Row) -> str:
    """A row's ratio with its spread, or its value where it is compared with nothing."""
    return _shown(row.ours, row.unit) if row.ratio is None else _shown(row.ratio, "×")
