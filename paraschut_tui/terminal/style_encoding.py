"""StyleEncoder and AnsiWriter: styles as codes that the terminal understands and the user can read.

Colours come from themes, logs and the library. After all of them, a text that would not stand out against its
background is made lighter or darker here. Without colours, attributes take their place.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from rich.cells import cell_len
from rich.color import Color, ColorSystem, ColorType
from rich.color_triplet import ColorTriplet
from rich.segment import Segment
from rich.style import Style
from textual.color import Color as ThemeColor
from textual.theme import Theme

SgrCodes = tuple[str, str, str]
"""Attributes, foreground and background of a style as SGR codes."""

_UNKNOWN: SgrCodes = ("?", "?", "?")

CONTRAST = 4.5
"""Contrast that a text has at least with its background (WCAG's AA)."""

APART = 3.0
"""Contrast of two backgrounds that makes one the reverse of the other where there are no colours."""

DIFFERENT = 1.25
"""Contrast of two backgrounds from which on they mean something where there are no colours."""

_STEPS = 10
_DIMMED = 0.35  # as much of the background is in a dim text

_ATTRIBUTES = (
    ("bold", "1"),
    ("dim", "2"),
    ("italic", "3"),
    ("underline", "4"),
    ("blink", "5"),
    ("reverse", "7"),
    ("strike", "9"),
)
_EXTREMES = (0, 7, 15)  # black and the whites: on a background that is not known they may not be seen
_BLACK, _WHITE = ColorTriplet(0, 0, 0), ColorTriplet(255, 255, 255)


class ColorPair(NamedTuple):
    """A style's colours."""

    front: Color | None
    back: Color | None


class StyleEncoder:
    """Turns styles into SGR codes.

    Args:
        colours: whether any are sent (NO_COLOR).
        contrast: the contrast that each text is to have at least; 0: no text is changed.
    """

    def __init__(self, *, colours: bool = True, contrast: float = 0.0) -> None:
        self.colours = colours
        self.contrast = contrast
        self._theme: Theme | None = None
        self._ground: ColorTriplet | None = None
        self._codes_of: dict[tuple[Style | None, bool, ColorSystem], SgrCodes] = {}

    def use(self, theme: Theme) -> None:
        """Use a theme's background as the one that carries no meaning."""
        if theme is not self._theme:
            self._theme = theme
            self._ground = None
            if not theme.ansi and theme.background:
                self._ground = ColorTriplet(*ThemeColor.parse(theme.background).rgb)
            self._codes_of.clear()

    def encode(self, style: Style | None, text: str, system: ColorSystem) -> SgrCodes:
        """Return the codes of a style for a text."""
        is_read = not _is_decoration(text)
        key = (style, is_read, system)
        codes = self._codes_of.get(key)
        if codes is None:
            if len(self._codes_of) > 4096:  # a log of a million colours
                self._codes_of.clear()
            codes = self._codes_of[key] = self._encode(style, is_read, system)
        return codes

    def _encode(self, style: Style | None, is_read: bool, system: ColorSystem) -> SgrCodes:
        if style is None:
            return ("", "39", "49")
        switches = {name for name, _ in _ATTRIBUTES if getattr(style, name)}
        if not self.colours:
            return (_codes(self._without_colours(switches, style)), "39", "49")
        pair = ColorPair(style.color, style.bgcolor)
        if self.contrast and is_read:
            pair = self._readable(pair, switches, system)
        front, back = pair
        return (
            _codes(switches),
            ";".join(front.downgrade(system).get_ansi_codes(True)) if front else "39",
            ";".join(back.downgrade(system).get_ansi_codes(False)) if back else "49",
        )

    def _without_colours(self, switches: set[str], style: Style) -> set[str]:
        """Return attributes that express what the background expressed."""
        swapped = "reverse" in switches
        back = style.color if swapped else style.bgcolor
        if back is None or back.is_default:
            return switches - {"dim"}
        switches = switches - {"dim", "reverse"}
        apart = APART if self._ground is None else _contrast(back.get_truecolor(), self._ground)
        if apart >= APART:
            return switches | {"reverse"}
        return switches | {"underline"} if apart >= DIFFERENT else switches

    def _readable(self, pair: ColorPair, switches: set[str], system: ColorSystem) -> ColorPair:
        front, back = pair
        if back is None or back.is_default:
            if front is not None and front.type is ColorType.STANDARD and front.number in _EXTREMES:
                return ColorPair(None, back)
            return pair
        ground = _sent(back, system)
        if front is None or front.is_default:
            lighter = _contrast(_WHITE, ground) >= _contrast(_BLACK, ground)
            return ColorPair(Color.from_triplet(_WHITE if lighter else _BLACK), back)
        wanted = front.get_truecolor()
        if "dim" in switches:  # how much dimmer terminals make it differs
            switches.discard("dim")
            wanted = _mixed(wanted, back.get_truecolor(), _DIMMED)
            front = Color.from_triplet(wanted)
        if _contrast(_sent(front, system), ground) >= self.contrast:
            return ColorPair(front, back)
        goal = _WHITE if _contrast(_WHITE, ground) >= _contrast(_BLACK, ground) else _BLACK
        for step in range(1, _STEPS + 1):
            front = Color.from_triplet(_mixed(wanted, goal, step / _STEPS))
            if _contrast(_sent(front, system), ground) >= self.contrast:
                break
        return ColorPair(front, back)


class AnsiWriter:
    """Write styled text with as few codes as possible: only what differs from the style before."""

    def __init__(self, system: ColorSystem, encoder: StyleEncoder) -> None:
        self._system = system
        self._encoder = encoder
        self._out: list[str] = []
        self._at = (-1, -1)
        self._current = _UNKNOWN

    def move(self, x: int, y: int) -> None:
        """Go to a column and a row, both counted from 0."""
        if self._at != (x, y):
            self._out.append(f"\x1b[{y + 1};{x + 1}H")
            self._at = (x, y)

    def write(self, segments: Iterable[Segment]) -> None:
        """Write at the present place."""
        for text, style, _ in segments:
            codes = self._encoder.encode(style, text, self._system)
            blank = (
                text.isspace()
                and "4" not in codes[0] + self._current[0]
                and "7" not in codes[0] + self._current[0]
            )
            if blank and codes[2] == self._current[2]:
                codes = self._current  # the foreground of spaces cannot be seen
            if codes != self._current:
                self._out.append(self._change(codes))
                self._current = codes
            self._out.append(text)
            self._at = (self._at[0] + cell_len(text), self._at[1])

    def text(self) -> str:
        """Return what was written; the terminal's style is plain afterwards."""
        return "".join(self._out) + "\x1b[0m" if self._out else ""

    def _change(self, codes: SgrCodes) -> str:
        old = self._current
        if codes[0] != old[0]:  # attributes cannot be taken back one by one everywhere
            return f"\x1b[{';'.join(code for code in ('0', *codes) if code not in ('', '39', '49'))}m"
        changed = [new for new, before in zip(codes[1:], old[1:], strict=True) if new != before]
        return f"\x1b[{';'.join(changed)}m"


def _codes(switches: set[str]) -> str:
    return ";".join(code for name, code in _ATTRIBUTES if name in switches)


def _is_decoration(text: str) -> bool:
    """Return whether a text consists of lines, bars and blanks."""
    return all(one == " " or "\u2500" <= one <= "\u259f" or one in "\u25b0\u25b1" for one in text)


def _sent(colour: Color, system: ColorSystem) -> ColorTriplet:
    """Return a colour as the terminal receives it."""
    return colour.downgrade(system).get_truecolor()


def _mixed(one: ColorTriplet, two: ColorTriplet, part: float) -> ColorTriplet:
    return ColorTriplet(*(round(a + (b - a) * part) for a, b in zip(one, two, strict=True)))


def _luminance(colour: ColorTriplet) -> float:
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else float(((part + 0.055) / 1.055) ** 2.4)
        for part in (value / 255 for value in colour)
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _contrast(one: ColorTriplet, two: ColorTriplet) -> float:
    """Return the contrast of two colours, from 1 to 21 (WCAG 2)."""
    low, high = sorted((_luminance(one), _luminance(two)))
    return (high + 0.05) / (low + 0.05)
