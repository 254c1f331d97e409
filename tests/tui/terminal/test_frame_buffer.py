"""The tightened updates show exactly what Textual's own would."""

from __future__ import annotations

import io
import itertools

import pyte
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region
from textual.strip import Strip

from paraschut_tui.terminal.frame_buffer import FrameBuffer
from paraschut_tui.terminal.textual_compat import ChopsUpdate, LayoutUpdate

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
    st.builds(lambda text, style: Segment(text, style), st.text("ab ✓日月", min_size=1, max_size=6), styles),
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
    tight = FrameBuffer().minimize(update)
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
    frame = FrameBuffer()
    frame.update(0, 0, old)
    parts = frame.update(0, 0, new)
    if not parts:
        assert screen(painted(old)) == screen(painted(new))
        return
    update = ChopsUpdate([{0: new}], [(0, *part) for part in parts], [[WIDTH]])
    tight = FrameBuffer().minimize(update)
    assert tight is not update
    sent = tight.render_segments(console())  # type: ignore[attr-defined]  # it is an update, as what it came from
    assert screen(painted(old), sent) == screen(painted(new))


@st.composite
def updates(draw: st.DrawFn) -> LayoutUpdate | ChopsUpdate | None:
    """A whole screen, some stretches of its lines, cut anywhere, or None: the window was disturbed."""
    rows = draw(st.lists(lines, min_size=HEIGHT, max_size=HEIGHT))
    kind = draw(st.sampled_from(["whole", "parts", "parts", "parts", "disturbed"]))
    if kind == "disturbed":
        return None
    if kind == "whole":
        at = draw(st.integers(0, WIDTH))
        pieces = [[row.crop(0, at), row.crop(at, WIDTH)] for row in rows]
        return LayoutUpdate(pieces, Region(0, 0, WIDTH, HEIGHT))  # type: ignore[arg-type]  # lists are iterable
    cuts = [sorted(draw(st.sets(st.integers(1, WIDTH - 1), max_size=3))) for _ in rows]
    chops, ends = [], []
    for row, cut in zip(rows, cuts, strict=True):
        bounds = [0, *cut, WIDTH]
        pairs = list(itertools.pairwise(bounds))
        chops.append({first: row.crop(first, last) for first, last in pairs})
        ends.append([last for _, last in pairs])
    spans = []
    for y in sorted(draw(st.sets(st.integers(0, HEIGHT - 1), min_size=1))):
        ends_of = sorted(draw(st.sets(st.integers(0, WIDTH), min_size=2, max_size=2)))
        spans.append((y, ends_of[0], ends_of[1]))
    return ChopsUpdate(chops, spans, ends)


@given(st.lists(lines, min_size=HEIGHT, max_size=HEIGHT), st.lists(updates(), max_size=8))
@settings(max_examples=200, deadline=None)
def test_what_is_there_already_is_not_sent_and_the_screen_is_the_same(
    rows: list[Strip], later: list[LayoutUpdate | ChopsUpdate | None]
) -> None:
    first = LayoutUpdate([[row] for row in rows], Region(0, 0, WIDTH, HEIGHT))
    glass = FrameBuffer()
    every: list[str] = []
    fewer: list[str] = []
    for update in (first, *later):
        if update is None:
            for outputs in (every, fewer):
                outputs.append("\x1b[0m\x1b[2J")
            glass.invalidate()
            continue
        every.append(FrameBuffer().minimize(update).render_segments(console()))  # type: ignore[attr-defined]
        fewer.append(glass.minimize(update).render_segments(console()))  # type: ignore[attr-defined]
        assert screen(*every) == screen(*fewer)
        assert glass.minimize(update).render_segments(console()) == ""  # type: ignore[attr-defined]


def test_what_is_not_known_is_left_as_it_is() -> None:
    assert FrameBuffer().minimize(None) is None
    assert FrameBuffer().minimize("text") == "text"
