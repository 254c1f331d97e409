"""Whatever a text is, it takes as many columns as were counted for it, and acts on nothing."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.segment import Segment
from textual.strip import Strip
from wcwidth import wcwidth

from paraschut_core.sanitize import clean, clean_line
from paraschut_tui.terminal.fit_text import fitted, fitted_text
from paraschut_tui.terminal.frame_buffer import columns

EMOJI = ["✔️", "⚠️", "❤️", "🇩🇪", "👨‍👩‍👧", "👍🏽", "1️⃣", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "☎︎", "🫩"]
pieces = st.lists(
    st.one_of(
        st.text(max_size=4),
        st.sampled_from(EMOJI),
        st.sampled_from(
            [*"\x1b\x9b\r\b\t\0\u202e\u2066\u200b\u200d\ufeff\u0301\u1160\u3099\ufe0f", "e" + "\u0301" * 30]
        ),
    ),
    max_size=8,
).map("".join)


def columns_of(text: str) -> int:
    """The columns that a terminal moves on by; controls, and what joins with its neighbour, are refused."""
    widths = [wcwidth(character) for character in text]
    assert min(widths, default=0) >= 0, ascii(text)
    assert not set(text) & set("\u200d\ufe0e\ufe0f\u202e\u2066\u00ad"), ascii(text)
    assert not any(0x1F1E6 <= ord(one) <= 0x1F1FF or 0x1F3FB <= ord(one) <= 0x1F3FF for one in text)
    return sum(widths)


@given(pieces)
@settings(max_examples=400, deadline=None)
def test_the_width_of_the_layout_is_the_number_of_columns_sent(text: str) -> None:
    assert columns_of(fitted_text(text)) == cell_len(text)
    line = clean_line(text)
    assert columns_of(line) == cell_len(line)
    assert fitted_text(line) == line
    assert clean(line) == line
    strip = Strip([Segment(text), Segment("end")])
    assert len(columns(fitted(strip))) == strip.cell_length


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("ok ✔️ done/⚠️ check", "ok ✔ done/⚠ check"),
        ("🇩🇪", "DE"),
        ("👨‍👩‍👧", "👨👩👧"),
        ("👍🏽", "👍"),
        ("a\u202eb", "a\ufffdb"),
        ("a\x1b[31mb", "a␛[31mb"),
        ("a\u200db", "a\ufffdb"),
        ("é日本", "é日本"),
    ],
)
def test_a_line_from_outside_is_made_fit_to_be_shown(text: str, shown: str) -> None:
    assert clean_line(text) == shown
