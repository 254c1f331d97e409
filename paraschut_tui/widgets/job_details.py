"""JobDetails: all metadata of a job and its history, as lines."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence

from textual.strip import Strip

from paraschut_core.model import Event, JobInfo, Spawn
from paraschut_core.text import clean_line

from ..records import JobRecord
from ..strips import Part, line
from .text_pane import TextPane

_FIRST = (
    "BatchID",
    "JobIndex",
    "name",
    "batch_type",
    "state",
    "priority",
    "attempt",
    "script",
    "queue",
    "resources",
)


class JobDetails(TextPane):
    """Takes the log's place on a key."""

    def show(self, title: Sequence[Part], record: JobRecord | None, note: str = "") -> None:
        """Shows a job's record, or `note` where there is none."""
        lines: list[list[Part]] = [list(title), []]
        if record is None or record.error:
            lines.append([("  ", "base"), (clean_line(record.error if record else note), "warning")])
        else:
            lines += _fields(record.info)
            lines += _spawn_lines(record.spawns)
            lines += _history(record.events)
        self.set_lines(lines)

    def build_line(self, row: int, width: int) -> Strip:
        if row == 0 and self._lines and self.has_focus:
            first, *rest = self._lines[0]
            return line([(" ", "base"), (first[0], "accent-bold"), *rest], width, self.palette)
        return super().build_line(row, width)

    def cursor_moved(self) -> None:
        self.repaint_row(0)


def _fields(info: JobInfo) -> list[list[Part]]:
    names = [name for name in _FIRST if name in info]
    names += sorted(name for name in info if name not in _FIRST and name != "rev")
    width = max((len(clean_line(name, 24)) for name in names), default=0)
    lines: list[list[Part]] = []
    for name in names:
        lines += _value(clean_line(name, 24).ljust(width), info[name], 0)
    return lines


def _value(name: str, value: object, depth: int) -> list[list[Part]]:
    """A field as lines: a mapping or a list of mappings takes one for each entry."""
    head: list[Part] = [("  " * depth + name + "  ", "muted")]
    if isinstance(value, Mapping) and value and depth < 6:
        width = max(len(clean_line(key, 24)) for key in value)
        lines = [head]
        for key, entry in value.items():
            lines += _value(clean_line(key, 24).ljust(width), entry, depth + 1)
        return lines
    if isinstance(value, str):
        first, *rest = value.split("\n") or [""]
        indent = " " * (2 * depth + len(name) + 2)
        return [
            [*head, (clean_line(first, 4000), "text")],
            *([(indent + clean_line(r, 4000), "text")] for r in rest[:200]),
        ]
    role = "secondary" if isinstance(value, (int, float)) and not isinstance(value, bool) else "text"
    if value is None or isinstance(value, bool):
        role = "muted"
    return [[*head, (clean_line(json.dumps(value, default=str, ensure_ascii=False), 4000), role)]]


def _spawn_lines(spawns: Sequence[Spawn]) -> list[list[Part]]:
    if not spawns:
        return []
    lines: list[list[Part]] = [[], [("spawns", "bold")]]
    for spawn in spawns:
        where = f"  {clean_line(spawn.cluster_id or spawn.submit_id or '-')}"
        lines.append(
            [(f"  {spawn.spawn_id:>4}  ", "secondary"), (clean_line(spawn.state), "text"), (where, "muted")]
        )
    return lines


def _history(events: Sequence[Event]) -> list[list[Part]]:
    if not events:
        return []
    lines: list[list[Part]] = [[], [("history", "bold")]]
    for event in events:
        at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(event.at))
        change = f"{event.before or '-'} → {event.after}" if event.after is not None else ""
        lines.append(
            [
                (f"  {at}  ", "muted"),
                (f"{event.attempt:>2}  ", "muted"),
                (f"{clean_line(change):<20}  ", "text"),
                (clean_line(event.why), "text"),
                (f"  {clean_line(event.who)}", "muted"),
            ]
        )
    return lines
