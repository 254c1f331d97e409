"""The tightened updates show exactly what Textual's own would."""

from __future__ import annotations

import io

import pyte
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from textual._compositor import ChopsUpdate, LayoutUpdate
from textual.geometry import Region
from textual.strip import Strip

from paraschut_tui.terminal.tight import tightened
from paraschut_tui.widgets.line import differences

WIDTH, HEIGHT = 24, 3

styles = st.builds(
    Style,
    color=st.sampled_from([None, "red", "#102030", "#ffeedd", "default"]),
    bgcolor=st.sampled_from([None, "#000000", "blue", "default"]),
    bold=st.booleans(),
    underline=st.booleans(),
    reverse=st.booleans(),
)
segments = st.lists(
    st.builds(lambda text, style: Segment(text, style), st.text("ab ✓日", min_size=1, max_size=6), styles),
    min_size=1,
    max_size=6,
)
lines = segments.map(lambda parts: Strip(parts).adjust_cell_length(WIDTH, Style(bgcolor="#000000")))


def console() -> Console:
    return Console(file=io.StringIO(), color_system="truecolor", force_terminal=True, width=WIDTH)


def screen(*outputs: str) -> list[object]:
    """What a terminal shows after these outputs; the foreground of blanks, which nobody sees, left out."""
    terminal = pyte.Screen(WIDTH, HEIGHT)
    stream = pyte.Stream(terminal)
    for output in outputs:
        stream.feed(output)
    shown: list[object] = []
    for y in range(HEIGHT):
        for x in range(WIDTH):
            char = terminal.buffer[y][x]
            if char.data == " " and not char.underscore and not char.reverse:
                shown.append((" ", char.bg))
            else:
                shown.append(char._replace(italics=False, blink=False))
    return shown


@given(st.lists(lines, min_size=HEIGHT, max_size=HEIGHT))
@settings(max_examples=60, deadline=None)
def test_a_whole_screen_looks_the_same(rows: list[Strip]) -> None:
    update = LayoutUpdate([[row] for row in rows], Region(0, 0, WIDTH, HEIGHT))
    tight = tightened(update)
    assert tight is not update
    one, two = update.render_segments(console()), tight.render_segments(console())  # type: ignore[attr-defined]
    assert screen(one) == screen(two)
    assert len(two) <= len(one) + 8 * HEIGHT


def painted(row: Strip) -> str:
    return LayoutUpdate([[row]], Region(0, 0, WIDTH, HEIGHT)).render_segments(console())


@given(lines, lines, st.integers(0, 12))
@settings(max_examples=150, deadline=None)
def test_sending_only_the_differences_leads_to_the_new_line(old: Strip, new: Strip, same: int) -> None:
    new = Strip.join([old.crop(0, same), new.crop(same, WIDTH)])  # lines mostly stay as they are in part
    parts = differences(old, new)
    if not parts:
        assert screen(painted(old)) == screen(painted(new))
        return
    update = ChopsUpdate([{0: new}], [(0, *part) for part in parts], [[WIDTH]])
    tight = tightened(update)
    assert tight is not update
    sent = tight.render_segments(console())  # type: ignore[attr-defined]  # it is an update, as what it came from
    assert screen(painted(old), sent) == screen(painted(new))


def test_what_is_not_known_is_left_as_it_is() -> None:
    assert tightened(None) is None
    assert tightened("text") == "text"
