"""The report as a table in a Jupyter notebook.

IPython is never imported here: where a notebook runs, it is loaded already.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable
from html import escape
from typing import Any

from ..model import DONE_STATES, JobInfo, JobKey, name_text, state_order
from ..sanitize import clean_line, spans
from .queue_report import QueueReport, indices_of, lines_of

_LONGEST_NAME = 120
_LONGEST_SPANS = 160

# Colours that can be read on white and on black; a missing job is a word as well as a colour.
_LOST = "color:#d03030;font-weight:bold"
_PALE = "opacity:0.65"
_LEFT = ' style="text-align:left;vertical-align:top"'


def show(queue: QueueReport, display: Collection[str] | None = None) -> bool:
    """Show the report as a table if this process is a notebook's kernel; report whether it is.

    Args:
        display: states to show; hides the others, changes no totals.
    """
    ipython: Any = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if getattr(shell, "kernel", None) is None:
        return False
    shown = {"text/plain": "\n".join(lines_of(queue, display)), "text/html": table(queue, display)}
    sys.modules["IPython.display"].display(shown, raw=True)
    return True


def table(queue: QueueReport, display: Collection[str] | None = None) -> str:
    """The report as HTML: a row for each batch, missing jobs marked, and the totals below."""
    missing = queue.missing()
    rows = []
    for batch_id, infos in queue.jobs.items():
        states = indices_of(infos, display)
        if states:
            lost = {info["JobIndex"] for info in missing.get(batch_id, ())}
            rows.append(_row(queue, batch_id, infos, states, lost))
    heads = "".join(f"<th{_LEFT}>{head}</th>" for head in ("batch", "complete", "jobs", "missing"))
    totals = escape(
        "\n".join(lines_of(queue, ())).strip()
    )  # no state, hence no batch: what stands below them
    return (
        f'<table class="paraschut"><thead><tr>{heads}</tr></thead><tbody>{"".join(rows)}</tbody></table>'
        f'<pre class="paraschut">{totals}</pre>'
    )


def _row(
    queue: QueueReport, batch_id: int, infos: list[JobInfo], states: dict[str, list[int]], lost: set[int]
) -> str:
    done = sum(info["state"] in DONE_STATES for info in infos)
    name = escape(clean_line(name_text(infos[0].get("name", "?")), _LONGEST_NAME))
    cells = (
        f'<b>{name}</b><br><span style="{_PALE}">{batch_id}</span>',
        f'{done}/{len(infos)}<br><progress value="{done}" max="{len(infos)}"></progress>',
        "<br>".join(
            _state(queue, batch_id, state, states[state]) for state in sorted(states, key=state_order)
        ),
        f'<span style="{_LOST}">✗ {len(lost)}: {_short(lost)}</span>' if lost else "",
    )
    return "<tr>" + "".join(f"<td{_LEFT}>{cell}</td>" for cell in cells) + "</tr>"


def _state(queue: QueueReport, batch_id: int, state: str, indices: list[int]) -> str:
    """A state, how many jobs are in it, which, and of how many the scheduler says that they run."""
    running = sum(queue.online.get(JobKey(batch_id, index), 0) for index in indices)
    online = f", {running} running" if running else ""
    word = escape(clean_line(state or repr(state), _LONGEST_NAME))
    return f'{word} {len(indices)}{online} <span style="{_PALE}">{_short(indices)}</span>'


def _short(indices: Iterable[int]) -> str:
    return clean_line(spans(indices), _LONGEST_SPANS)
