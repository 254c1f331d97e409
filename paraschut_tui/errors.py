"""Faults of our own: told in a line, kept whole in the log, never swallowed."""

from __future__ import annotations

import logging

from textual.widget import Widget
from textual.worker import Worker, WorkerState

from paraschut_core.sanitize import clean_line

log = logging.getLogger(__name__)


def fault_line(error: BaseException) -> str:
    """What is told of an error that nobody foresaw."""
    return f"{type(error).__name__}: {clean_line(error, 200)}. This is a fault of Paraschut; ! shows more."


def tell_fault(screen: Widget, event: Worker.StateChanged) -> str:
    """Tells of a worker that failed. Returns what it told, "" if it did not fail."""
    error = event.worker.error
    if event.state is not WorkerState.ERROR or error is None:
        return ""
    log.error("fault in %s", event.worker.name, exc_info=error)
    text = fault_line(error)
    screen.notify(text, severity="error", markup=False)
    return text
