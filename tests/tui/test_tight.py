"""The tightened updates show exactly what Textual's own would."""

from __future__ import annotations

import io

import pyte
from hypothesis import given, settings
from hypothesis import strategies as st
from paraschut_tui.tight import tightened
from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from textual._compositor import ChopsUpdate, LayoutUpdate
from textual.geometry import Region
from textual.strip import Strip

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
spans = st.tuples(st.integers(0, HEIGHT - 1), st.integers(0, WIDTH - 2), st.integers(1, WIDTH)).filter(
    lambda span: span[1] < span[2]
)


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


@given(
    st.lists(lines, min_size=HEIGHT, max_size=HEIGHT),
    st.lists(lines, min_size=HEIGHT, max_size=HEIGHT),
    st.lists(spans, min_size=1, max_size=4, unique_by=lambda span: span[0]),
    st.integers(1, WIDTH - 1),
)
@settings(max_examples=60, deadline=None)
def test_pieces_of_lines_look_the_same(
    before: list[Strip], after: list[Strip], changed: list[tuple[int, int, int]], cut: int
) -> None:
    whole = LayoutUpdate([[row] for row in before], Region(0, 0, WIDTH, HEIGHT)).render_segments(console())
    # Outside the changed columns the lines are as they were: that is what makes sending less right.
    mixed = []
    for y in range(HEIGHT):
        span = next((span for span in changed if span[0] == y), None)
        if span is None:
            mixed.append(before[y])
        else:
            parts = [before[y].crop(0, span[1]), after[y].crop(span[1], span[2]), before[y].crop(span[2], WIDTH)]
            mixed.append(Strip.join(parts))
    # ... which holds for whole characters only: a cut through a wide one is sent as two blanks.
    base = LayoutUpdate([[row] for row in mixed], Region(0, 0, WIDTH, HEIGHT)).render_segments(console())
    chops = [{0: row.crop(0, cut), cut: row.crop(cut, WIDTH)} for row in mixed]
    update = ChopsUpdate(chops, sorted(changed), [[cut, WIDTH]] * HEIGHT)
    tight = tightened(update)
    assert screen(base, update.render_segments(console())) == screen(base, tight.render_segments(console()))  # type: ignore[attr-defined]
    del whole


def test_what_is_not_known_is_left_as_it_is() -> None:
    assert tightened(None) is None
    assert tightened("text") == "text"
