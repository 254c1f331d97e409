"""The characters that a terminal can show, and substitutes for the others."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import NamedTuple

from rich.cells import cell_len

_PLAIN: dict[int, str] = {
    **dict.fromkeys(range(0x2500, 0x2580), "-"),
    **dict.fromkeys(range(0x2580, 0x25A0), "#"),
    **dict.fromkeys(range(0x2801, 0x2900), ":"),
    **{ord(one): "|" for one in "│┃┆┇┊┋║╎╏▏▌▐▕"},
    **{ord(one): "+" for one in "┌┐└┘├┤┬┴┼╔╗╚╝╠╣╦╩╬╭╮╯╰╋┏┓┗┛"},
    0x2800: " ",
    **{ord(one): other for one, other in zip("▰▱▾▸▲▼●○■×…·▶▷◌✓✗⁂", "#-v>^v*o#x~-R>hcx*", strict=True)},
    **{ord(one): other for one, other in zip("←→↑↓–—‘’“”␀␛␍␊", "<>^v--''\"\"0^mj", strict=True)},
}


class Charset(NamedTuple):
    """The characters that a terminal can show.

    `letters`: states are letters, and bars are ASCII. `encoding`: characters outside it are replaced; "": all
    can be shown.
    """

    letters: bool = False
    encoding: str = ""

    def substitute(self, text: str) -> str:
        """Return a safe text with substitutes for what cannot be shown, of the same width."""
        if not self.letters or text.isascii():
            return text
        text = text.translate(_PLAIN)
        if not self.encoding or text.isascii():
            return text
        return "".join(
            one if _can_encode(one, self.encoding) else "?" * cell_len(one)
            for one in text
            if cell_len(one) or one < "\x80"
        )


def detect_charset(letters: bool | str, environment: Mapping[str, str]) -> Charset:
    """Return what this terminal can show.

    Args:
        letters: whether states are letters (the setting); "auto": if the locale or the terminal needs that.
        environment: the environment's variables: locale and TERM.
    """
    codeset = _codeset(environment)
    sent = getattr(sys.__stderr__, "encoding", None) or "utf-8"
    encoding = "" if codeset is None else "ascii" if _is_utf8(sent) else sent
    on_console = letters == "auto" and environment.get("TERM") == "linux"
    return Charset(letters is True or encoding != "" or on_console, encoding)


def _codeset(environment: Mapping[str, str]) -> str | None:
    """Return the locale's encoding; None: it is UTF-8 or not known."""
    name = next((environment[one] for one in ("LC_ALL", "LC_CTYPE", "LANG") if environment.get(one)), "")
    if name in ("C", "POSIX"):
        return "ascii"
    codeset = name.partition("@")[0].partition(".")[2]
    return None if not codeset or _is_utf8(codeset) else codeset


def _is_utf8(name: str) -> bool:
    return name.lower().replace("-", "") == "utf8"


def _can_encode(character: str, encoding: str) -> bool:
    try:
        character.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True
