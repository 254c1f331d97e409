"""What is sent can be read: by contrast where there are colours, else by attributes."""

from __future__ import annotations

import itertools

import pytest
from rich.color import Color, ColorSystem
from rich.style import Style
from textual.color import Color as ThemeColor

from paraschut_tui.state_styles import Palette, themes
from paraschut_tui.terminal.charset import Charset, detect_charset
from paraschut_tui.terminal.style_encoding import CONTRAST, StyleEncoder

THEMES = [theme for theme in themes() if not theme.ansi]
SYSTEMS = [ColorSystem.TRUECOLOR, ColorSystem.EIGHT_BIT, ColorSystem.STANDARD]


def colour(codes: str) -> ThemeColor:
    """The colour of an SGR code, as a terminal shows it that has the usual sixteen."""
    numbers = [int(code) for code in codes.split(";")]
    if numbers[1:2] == [2]:
        return ThemeColor(*numbers[2:])
    if numbers[1:2] == [5]:
        return ThemeColor(*Color.from_ansi(numbers[2]).get_truecolor())
    code = numbers[0] % 10 + (8 if numbers[0] >= 90 else 0)
    return ThemeColor(*Color.from_ansi(code).get_truecolor())


def contrast(one: ThemeColor, two: ThemeColor) -> float:
    """WCAG 2: from 1 to 21."""

    def luminance(colour: ThemeColor) -> float:
        parts = [
            part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in colour.normalized
        ]
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]

    low, high = sorted((luminance(one), luminance(two)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("system", SYSTEMS, ids=lambda one: one.name)
@pytest.mark.parametrize("theme", THEMES, ids=lambda one: one.name)
def test_every_text_stands_out_from_its_background(theme: object, system: ColorSystem) -> None:
    assert theme in THEMES
    chosen = next(one for one in THEMES if one is theme)
    encoder = StyleEncoder(contrast=CONTRAST)
    encoder.use(chosen)
    palette = Palette(chosen)
    ground = palette["base"].bgcolor
    panel = ThemeColor.parse(chosen.panel or "#000000").rich_color
    logs = [Style(color=Color.from_ansi(number), bgcolor=ground) for number in range(256)]
    logs += [
        Style(color=Color.from_ansi(front), bgcolor=Color.from_ansi(back))
        for front, back in itertools.product(range(0, 256, 5), range(0, 256, 5))
    ]
    roles = [style for style in palette.styles.values() if style.color is not None]
    marked = [style + palette["mark"] for style in roles]
    roles += [*marked, *(Style(color=one.color, bgcolor=panel) for one in roles)]
    roles += [style + Style(dim=True) for style in roles]
    for style in (*roles, *logs):
        attributes, front, back = encoder.encode(style, "text", system)
        assert "2" not in attributes.split(";"), "how dim a terminal makes it is not known"
        assert contrast(colour(front), colour(back)) >= CONTRAST - 0.01, (style, front, back)


def test_what_can_be_read_already_is_sent_as_it_is() -> None:
    encoder = StyleEncoder(contrast=CONTRAST)
    style = Style.parse("#d3d7db on #12161b")
    assert encoder.encode(style, "text", ColorSystem.TRUECOLOR) == ("", "38;2;211;215;219", "48;2;18;22;27")
    faint = Style.parse("#37424d on #12161b")
    assert encoder.encode(faint, "│──▰▱", ColorSystem.TRUECOLOR)[1] == "38;2;55;66;77", "a line is no text"


def test_black_and_white_are_not_sent_upon_a_background_that_is_not_known() -> None:
    encoder = StyleEncoder(contrast=CONTRAST)
    for name in ("black", "white", "bright_white"):
        assert encoder.encode(Style(color=name), "text", ColorSystem.STANDARD)[1] == "39"
    assert encoder.encode(Style(color="red"), "text", ColorSystem.STANDARD)[1] == "31"
    assert encoder.encode(Style(bgcolor="blue"), "text", ColorSystem.STANDARD)[1] == "97"
    assert encoder.encode(Style(bgcolor="white"), "text", ColorSystem.STANDARD)[1] == "30"


@pytest.mark.parametrize("theme", themes(), ids=lambda one: one.name)
def test_without_colours_attributes_tell_cursor_and_marks(theme: object) -> None:
    chosen = next(one for one in themes() if one.name == getattr(theme, "name", ""))
    encoder = StyleEncoder(colours=False, contrast=CONTRAST)
    encoder.use(chosen)
    palette = Palette(chosen)

    def sent(style: Style) -> set[str]:
        attributes, front, back = encoder.encode(style, "text", ColorSystem.TRUECOLOR)
        assert (front, back) == ("39", "49")
        return set(attributes.split(";")) - {""}

    assert sent(palette["text"]) == set()
    assert sent(palette["muted"]) == set()
    assert sent(palette["error"]) == {"1"}
    assert sent(palette["cursor"]) == {"1", "7"}
    assert "4" in sent(palette["text"] + palette["mark"])
    looks = [sent(palette["text"] + palette[role]) for role in ("cursor", "mark", "base", "range")]
    assert all(one != two for one, two in itertools.combinations(looks, 2)), looks


@pytest.mark.parametrize(
    ("environment", "letters", "encoding"),
    [
        ({"LC_ALL": "C.UTF-8"}, False, ""),
        ({"LANG": "de_DE.utf8"}, False, ""),
        ({}, False, ""),
        ({"LC_ALL": "en_US.ISO-8859-1"}, True, "ascii"),
        ({"LC_CTYPE": "de_DE.ISO-8859-15@euro", "LANG": "C.UTF-8"}, True, "ascii"),
        ({"LC_ALL": "C", "LANG": "C.UTF-8"}, True, "ascii"),
        ({"LANG": "POSIX"}, True, "ascii"),
        ({"LANG": "C.UTF-8", "TERM": "linux"}, True, ""),
    ],
)
def test_letters_are_used_where_the_locale_or_the_terminal_asks_for_them(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], letters: bool, encoding: str
) -> None:
    class Out:
        encoding = "utf-8"

    monkeypatch.setattr("sys.__stderr__", Out)
    assert detect_charset("auto", environment) == Charset(letters, encoding)
    assert detect_charset(True, environment).letters
    assert detect_charset(False, environment).letters == bool(encoding), "what cannot be sent is replaced"


def test_what_cannot_be_shown_is_replaced_in_its_width() -> None:
    plain = Charset(True, "ascii")
    assert plain.substitute("▰▰▱ ✓ 3 × é日 a…") == "##- c 3 x ??? a~"
    assert Charset(True, "latin-1").substitute("é日✓") == "é??c"
    assert Charset(True).substitute("é日 ▰✓") == "é日 #c"
    assert Charset().substitute("▰✓") == "▰✓"
