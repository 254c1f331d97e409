"""The texts of titles and legends, as parts of lines. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich.cells import cell_len

from paraschut_core.model import INIT, Snapshot, logs_of_spawns
from paraschut_core.sanitize import clean_line, plural

from ..actions.types import JobRecord
from ..batch_tree.model import priority_of
from ..batch_tree.short_names import fold
from ..formatting import count, percent, short
from ..job_grid.marked_jobs import MarkedJobs
from ..job_grid.model import GridModel
from ..state_styles import L_MISSING, StateStyles
from ..widgets.styled_line import Part, width_of

if TYPE_CHECKING:
    from ..dashboard_state import DashboardState
    from ..job_grid.contents import GridContents
    from ..job_grid.widget import JobGrid

Sides = tuple[list[Part], list[Part]]

MOST_LOOKED_UP = 10_000
"""Most marks of a batch that are looked up one by one among the matches of a filter."""


def tree_title(snapshot: Snapshot, focused: bool, grouping: str, marked: int) -> Sides:
    """Return the title of the tree: how many batches there are, how many are marked, and their order."""
    left: list[Part] = [
        (" BATCHES", "accent-bold" if focused else "bold"),
        (f" {len(snapshot.batches)}", "muted"),
    ]
    right: list[Part] = [(f"by {grouping} ", "muted")] if grouping != "time" else []
    return left, [(f"{marked} marked ", "accent"), *right] if marked else right


def grid_title(
    state: DashboardState,
    jobs: int,
    contents: GridContents,
    grid: JobGrid,
    focused: bool,
    as_of: str = "",
) -> Sides:
    """Return the title of the grid: what it shows, how many jobs are marked, which filter is in force.

    Args:
        jobs: how many there are in all.
        as_of: the time of what is shown, if that may be outdated.
    """
    snapshot, error = state.snapshot, contents.error
    assert snapshot is not None  # titles are written with a snapshot only
    head = "accent-bold" if focused else "bold"
    right: list[Part] = marked_parts(grid.marks, grid.board, grid.range_size)
    right += [(f"as of {as_of} ", "warning")] if as_of else []
    total = grid.board.total
    if state.query is not None:
        left: list[Part] = [(" FILTER", head), (f"  {clean_line(state.query.text)}", "accent")]
        if contents.reading and contents.searched < 1.0:
            left += [("  ", "base"), *search_parts(contents)]
        elif grid.board.matching and not error:
            left.append((f"  {plural(total, 'match', 'matches')} of {count(jobs)}", "muted"))
        right.append(("Esc clears ", "muted"))
    elif len(contents.batches) == 1 and contents.batches[0] in snapshot.batches:
        batch = snapshot.batches[contents.batches[0]]
        left = [(f" {clean_line(batch.name) or '(no name)'}", head), (f"  {batch.batch_id}", "muted")]
        left.append((f"  {plural(batch.total, 'job')}", "muted"))
        priority = priority_of(batch)
        if priority and priority != "1":
            left.append((f"  priority {priority}", "muted"))
        why = snapshot.blocked.get(batch.batch_id)
        if why:
            left.append((f"  {clean_line(why, 200)}", _role(snapshot, batch.batch_id)))
    elif contents.batches:
        left = [
            (f" {plural(len(contents.batches), 'batch', 'batches')}", head),
            (f"  {plural(total, 'job')}", "muted"),
        ]
    else:
        left = [(" JOBS", head)]
    if contents.reading and state.query is None:
        left.append(("  reading", "muted"))
    if grid.sorting_now:
        left.append(("  sorting", "muted"))
    if error:
        left.append((f"  {clean_line(error)}", "error"))
        right.insert(0, ("  ! says all  ", "muted"))
    return left, right


def search_parts(contents: GridContents) -> list[Part]:
    """Return how far a search is, and how many jobs it has found."""
    if not contents.searched:
        return [("looking", "muted")]
    return [(f"{count(contents.found)} so far, {contents.searched:.0%}", "muted")]


def marked_parts(marks: MarkedJobs, board: GridModel, ranged: int = 0) -> list[Part]:
    """Return how many jobs are marked, and how many of the shown jobs are if some are hidden.

    Args:
        ranged: how many jobs are in the open range.
    """
    total = len(marks)
    of_range: list[Part] = [(f"range of {count(ranged)} ", "accent")] if ranged else []
    if not total:
        return of_range
    here = 0
    for group in board.groups:
        indexes = marks.of_batch(group.batch_id)
        if board.matching and len(indexes) < MOST_LOOKED_UP:
            here += sum(1 for index in indexes if group.position(index) is not None)
        else:
            here += min(len(indexes), len(group))
    words = f"{count(total)} marked" if here == total else f"{count(total)} marked, {count(here)} of these"
    return [*of_range, (f"{words} ", "accent")]


def group_heading(snapshot: Snapshot, batch_id: int, jobs: int, matching: bool) -> list[Part]:
    """Return the heading of the jobs of one of several batches."""
    batch = snapshot.batches.get(batch_id)
    name = clean_line(batch.name) if batch is not None else ""
    of = f" of {count(batch.total)}" if matching and batch is not None else ""
    return [(f"   {name or batch_id}", "bold"), (f"  {batch_id}  {count(jobs)}{of}", "muted")]


def batch_line(
    snapshot: Snapshot,
    batches: Sequence[int],
    batch_id: int | None,
    missing_by_state: Mapping[int, Mapping[int, int]],
    looks: StateStyles,
    marked: Sequence[Part],
    width: int,
    place: int = 0,
) -> Sides:
    """Return the tree folded into one line, for narrow screens.

    A long name is cut to make room for the reason why its batch is blocked.

    Args:
        batches: the BatchIDs in the order of the tree.
        batch_id: the batch to show.
        missing_by_state: per batch, how many jobs of each state are missing.
        marked: how many jobs are marked.
        width: of the line, in columns.
        place: of the character in which the batch's name differs from the others.
    """
    if batch_id is None or batch_id not in snapshot.batches:
        return [(" no batches", "muted")], []
    batch = snapshot.batches[batch_id]
    at = batches.index(batch_id) if batch_id in batches else 0
    missing = sum(missing_by_state.get(batch_id, {}).values())
    priority = priority_of(batch)
    figures: list[Part] = [
        (f"  {percent(batch.complete, batch.total)}", "success"),
        (f" {short(batch.complete)}/{short(batch.total)}", "muted"),
        (f"  {looks.glyph(L_MISSING)}{count(missing)}" if missing else "", "error"),
        (f"  p{priority}" if priority not in ("", "1") else "", "muted"),
        (" ▸", "accent" if at < len(batches) - 1 else "line"),
    ]
    right: list[Part] = [*marked, (f"{at + 1}/{len(batches)} ", "muted")]
    why = clean_line(snapshot.blocked.get(batch_id, ""), 200)
    name = clean_line(batch.name) or "(no name)"
    room = width - 4 - width_of(figures) - width_of(right) - min(len(why) + 2 if why else 0, width // 3)
    left: list[Part] = [
        (" ◂ ", "accent" if at else "line"),
        (fold(name, max(min(room, cell_len(name)), 8), place), "bold"),
        *figures,
    ]
    return [*left, (f"  {why}", _role(snapshot, batch_id))] if why else left, right


def _role(snapshot: Snapshot, batch_id: int) -> str:
    """Return the colour of why a batch is blocked: red if somebody has to repair something."""
    return "error" if batch_id in snapshot.refused else "warning"


def legend(board: GridModel, looks: StateStyles, indent: int, width: int) -> list[Part]:
    """Return the states of the shown jobs with their counts, missing jobs first; without names if they do not
    fit in `width` columns."""
    counts = board.counts()
    parts: list[Part] = []
    for words in (True, False):
        parts = [(" " * max(indent, 1), "base")]
        for code in looks.legend_order():
            if counts.get(code):
                look = looks.looks[code]
                name = f"{look.label} " if words else ""
                parts.append((f"{looks.glyph(code)} ", look.role))
                parts.append((f"{name}{count(counts[code])}   ", "error" if code == L_MISSING else "muted"))
        if width_of(parts) - 3 <= width:
            break
    return parts


def job_title(snapshot: Snapshot, record: JobRecord, looks: StateStyles) -> list[Part]:
    """Return the title of a job's log with its state: "JOB 24  ✗ missing: time limit  attempt 2"."""
    key, row = record.key, record.row
    parts: list[Part] = [(f"JOB {key.job_index}", "bold"), ("  ", "base")]
    if row is None:
        return parts
    live, missing = snapshot.live.get(key), snapshot.missing.get(key)
    code = looks.of(looks.code(row.state), live, missing is not None)
    look = looks.looks[code]
    words = look.label if code == L_MISSING else clean_line(row.state) or "(empty)"
    if missing is not None and missing.reason:
        words += f": {clean_line(missing.reason)}"
    parts.append((f"{looks.glyph(code)} {words}", look.role))
    if live is not None and live.reason and missing is None:
        parts.append((f" ({clean_line(live.reason)})", "warning"))
    if row.state == INIT and key.batch_id in snapshot.refused:
        parts.append((f": {clean_line(snapshot.blocked.get(key.batch_id, ''), 200)}", "error"))
    if row.hostname and missing is None:
        parts.append((f"  on {clean_line(row.hostname)}", "muted"))
    if row.attempt:
        parts.append((f"  attempt {row.attempt}", "muted"))
    return parts


def log_streams(record: JobRecord, errors_first: bool) -> tuple[dict[str, tuple[str, ...]], str]:
    """Return the log files of each stream, oldest attempt first, and what to say if there are none.

    Args:
        errors_first: put stderr before stdout, because the job failed.
    """
    if record.error:
        return {}, clean_line(record.error)
    streams: dict[str, tuple[str, ...]] = {}
    for name in ("stderr", "stdout") if errors_first else ("stdout", "stderr"):
        value = record.info.get(name)
        paths = [value] if isinstance(value, str) else list(value) if isinstance(value, (list, tuple)) else []
        streams[name] = tuple(path for path in paths if isinstance(path, str) and path)
    had = zip(*logs_of_spawns(record.info).values(), strict=True)
    for number, *paths in [(s.spawn_id, s.stdout, s.stderr) for s in record.spawns] or had:
        for name, path in zip(("stdout", "stderr"), paths, strict=True):
            if path:
                streams[f"spawn {number} {name}"] = (str(path),)
    if any(streams.values()):
        return streams, ""
    return {}, "No log yet: the job was not submitted so far."


def no_batches(snapshot: Snapshot) -> list[list[Part]]:
    """Return what a dashboard without batches says, line by line."""
    if snapshot.database.error:
        return [[(clean_line(snapshot.database.error), "error")]]
    return [
        [("No batches yet. Add one:", "text")],
        [],
        [("paraschut add --name map --range 0-99 'python map.py {JobIndex}'", "accent")],
    ]
