"""Which characters a terminal can show, and what stands for those that it cannot."""

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
    """What can be shown.

    `letters`: states are letters, bars are ASCII; `encoding`: characters beyond it are replaced ("": all are
    shown).
    """

    letters: bool = False
    encoding: str = ""

    def shown(self, text: str) -> str:
        """Safe text in what can be shown of it, as wide as it is."""
        if not self.letters or text.isascii():
            return text
        text = text.translate(_PLAIN)
        if not self.encoding or text.isascii():
            return text
        return "".join(
            one if _can(one, self.encoding) else "?" * cell_len(one)
            for one in text
            if cell_len(one) or one < "\x80"
        )


def alphabet(wanted: bool | str, environment: Mapping[str, str]) -> Charset:
    """The alphabet of this terminal.

    Args:
        wanted: whether letters are (the setting); "auto": as locale and terminal are.
    """
    codeset = _codeset(environment)
    sent = getattr(sys.__stderr__, "encoding", None) or "utf-8"
    encoding = "" if codeset is None else "ascii" if _is_utf8(sent) else sent
    letters = wanted is True or encoding != "" or (wanted == "auto" and environment.get("TERM") == "linux")
    return Charset(letters, encoding)


def _codeset(environment: Mapping[str, str]) -> str | None:
    """The locale's encoding; None: it is UTF-8, or the locale does not say."""
    name = next((environment[one] for one in ("LC_ALL", "LC_CTYPE", "LANG") if environment.get(one)), "")
    if name in ("C", "POSIX"):
        return "ascii"
    codeset = name.partition("@")[0].partition(".")[2]
    return None if not codeset or _is_utf8(codeset) else codeset


def _is_utf8(name: str) -> bool:
    return name.lower().replace("-", "") == "utf8"


def _can(character: str, encoding: str) -> bool:
    try:
        character.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True
