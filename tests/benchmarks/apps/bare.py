"""The least that a Textual application can be: one line of text."""

from __future__ import annotations

from textual.app import App, ComposeResult
from textual.widgets import Static

READY = "ready to use"


class Bare(App[None]):
    """Shows that it is there."""

    def compose(self) -> ComposeResult:
        yield Static(READY)


if __name__ == "__main__":
    Bare().run()
