"""KeyHints: the bottom line. The most useful keys of the pane that has the focus."""

from __future__ import annotations

from .. import keymap
from ..state_styles import Palette
from .styled_line import Part, width_of
from .text_line import TextLine


class KeyHints(TextLine):
    """Shows as many keys as fit, the most useful first; `?` always."""

    def __init__(self, palette: Palette, *, read_only: bool, id: str | None = None) -> None:  # noqa: A002 - Textual's own word
        super().__init__(palette, id=id)
        self._read_only = read_only
        self._pane = ""
        self._busy = False

    def show_pane(self, pane: str) -> None:
        """Shows the keys of one pane: "tree", "grid", "log" or "details"."""
        self._pane = pane
        if self._busy:
            return
        self.show(self._parts(self.size.width or 80))

    def show_busy(self, text: str) -> None:
        """Shows what is under way in place of the keys."""
        self._busy = True
        self.show([(f" {text}", "accent"), ("   Esc stops", "muted")])

    def end_busy(self) -> None:
        """Shows the keys again."""
        if self._busy:
            self._busy = False
            self.show_pane(self._pane)

    def on_resize(self) -> None:
        self._painted = None
        if self._pane:
            self.show_pane(self._pane)

    def _parts(self, width: int) -> list[Part]:
        parts: list[Part] = [(" ", "base")]
        table = keymap.key_line(self._pane)
        offered = [key for key in table if not (key.changes and self._read_only)]
        last = [key for key in offered if key.action == "help"]
        reserve = width_of(part for key in last for part in _entry(key))
        for key in offered:
            if key in last:
                continue
            entry = _entry(key)
            if width_of(parts) + width_of(entry) + reserve > width:
                break
            parts += entry
        for key in last:
            parts += _entry(key)
        return parts


def _entry(key: keymap.Key) -> list[Part]:
    return [(keymap.short_name(key), "accent-bold"), (f" {key.label}   ", "muted")]
