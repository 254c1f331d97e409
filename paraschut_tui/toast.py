"""Toasts: lines that appear over the screen for some seconds."""

from __future__ import annotations

from textual.notifications import SeverityLevel
from textual.widget import Widget

from paraschut_core.sanitize import clean_line


def show_toast(widget: Widget, text: str, severity: SeverityLevel = "information") -> None:
    """Show one line of text from any source; it is never read as markup."""
    widget.notify(clean_line(text, 400), severity=severity, markup=False)
