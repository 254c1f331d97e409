"""What a terminal sends is cut into keys and whole sequences; half of one is never a key."""

from __future__ import annotations

import os
import random

import pytest
from textual import events

from paraschut_tui.terminal.textual_compat import UNREADABLE, TerminalReader
from paraschut_tui.terminal.tokenizer import LONGEST, PASTE_LIMIT, SEQUENCE_LIMIT, Tokenizer, TokenKind

ROUNDS = int(os.environ.get("PARASCHUT_TEST_ROUNDS", "0")) or 5_000


def told(*pieces: bytes | float, then: float = 9.0) -> str:
    """What pieces of bytes are, with pauses of seconds between them, in short: Esc is ␛, a sequence <..>, a
    paste «..», what cannot be read ¿."""
    tokenizer, now, tokens = Tokenizer(), 1000.0, []
    for piece in (*pieces, then):
        if isinstance(piece, bytes):
            tokens += tokenizer.feed(piece, now)
            continue
        end = now + piece
        while (at := tokenizer.deadline) is not None and at <= end:
            now = max(now, at)
            tokens += tokenizer.idle(now)
        now = end
    short = {TokenKind.ESCAPE: "␛", TokenKind.UNREADABLE: "¿"}
    forms = {TokenKind.SEQUENCE: "<{}>", TokenKind.PASTE: "«{}»", TokenKind.CHARACTER: "{}"}
    return "".join(
        short[one.kind] if one.kind in short else forms[one.kind].format(one.text.replace("\x1b", ""))
        for one in tokens
    )


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        ([b"abc"], "abc"),
        (["é漢😀".encode()], "é漢😀"),
        ([b"\xc3", 0.05, b"\xa9"], "é"),
        ([b"\x1b[A\x1bOB\x1b[1;5C"], "<[A><OB><[1;5C>"),
        ([b"\x1b[[A"], "<[[A>"),
        ([b"\x1b[", 0.3, b"1;", 0.3, b"5C"], "<[1;5C>"),
        # Esc, and alt with a key
        ([b"\x1b"], "␛"),
        ([b"\x1bky"], "␛ky"),
        ([b"\x1b", 0.07, b"k", 0.07, b"y"], "␛ky"),
        ([b"\x1b\x1b"], "␛␛"),
        ([b"\x1b\x1b[A"], "␛<[A>"),
        ([b"\x1b", 0.15, b"k"], "␛k"),
        ([b"\x1b\r"], "␛\r"),
        # the rest of a sequence whose Esc has acted
        ([b"\x1b", 0.15, b"[D"], "␛"),
        ([b"\x1b", 0.15, b"OD"], "␛"),
        ([b"\x1b", 0.15, b"[", 0.4, b"1;5D"], "␛"),
        ([b"\x1b", 0.15, b"[D", b"D"], "␛D"),
        ([b"\x1b", 0.6, b"[", 0.1, b"D"], "␛[D"),
        ([b"\x1b", 0.15, b"]11;rgb:1e1e\x1b\\", b"y"], "␛y"),
        ([b"\x1b", 0.15, b"]"], "␛]"),
        ([b"\x1b", 0.15, b"[200~D\x1b[201~"], "␛«D»"),
        # halves
        ([b"\x1b["], "¿"),
        ([b"\x1b[", 0.9, b"D"], "<[D>"),
        ([b"\x1b[", SEQUENCE_LIMIT + 0.1, b"D"], "¿D"),
        ([b"\x1b[12\x1b[A"], "¿<[A>"),
        ([b"\x1b[12\r"], "¿\r"),
        ([b"\x1b[" + b"1;" * 500 + b"D", b"y"], "¿y"),
        ([b"\x1b[1\xc3\xa9"], "¿é"),
        # answers that were not asked for
        ([b"\x1b]11;rgb:1e1e/1e1e/1e1e\x1b\\", b"x"], "x"),
        ([b"\x1b]11;rgb:1e1e/1e1e/1e1e\x07x"], "x"),
        ([b"\x1b[?1;2cx"], "x"),
        ([b"\x1b[>0;276;0cx"], "x"),
        ([b"\x1b[?997;1nx"], "x"),
        ([b"\x1b[48;5;5;5;5tx"], "x"),
        ([b"\x1bP>|tmux 3.3a\x1b\\x"], "x"),
        ([b"\x1b_Gi=1;OK\x1b\\x"], "x"),
        ([b"\x1b^private\x1b\\x"], "x"),
        ([b"\x1bXstring\x1b\\x"], "x"),
        ([b"\x1bP1", 0.5, b"r", 0.5, b"ry\x1b", 0.3, b"\\x"], "x"),
        ([b"\x1b]11;rgb", SEQUENCE_LIMIT + 0.1, b"x"], "¿x"),
        ([b"\x1b]0;a\x18x"], "¿x"),
        ([b"\x1b]0;a\x1b[Ax"], "¿<[A>x"),
        ([b"\x1b\\x"], "¿x"),
        ([b"\x1b[?2026;2$y"], "<[?2026;2$y>"),
        ([b"\x9bA\x9d0;t\x9cx"], "<[A>x"),
        (["\x9bA".encode()], "<[A>"),
        # reports of the mouse
        ([b"\x1b[<0;10;10M"], "<[<0;10;10M>"),
        ([b"\x1b[M \x84*x"], "x"),
        ([b"\x1b[M\xff\xff\xffx"], "x"),
        ([b"\x1b[M ", 0.2, b"D", 0.2, b"Dx"], "x"),
        # what is no text
        ([b"\xfc"], "¿"),
        ([b"M\xfcller"], "M¿ller"),
        ([b"\xc3"], "¿"),
        ([b"\xc0\xaf"], "¿¿"),
        ([b"\xed\xa0\x80"], "¿"),
        ([b"\xf5\x80"], "¿¿"),
        ([b"\x80"], "¿"),
        # pastes
        ([b"\x1b[200~D\x1b[Ay\r\n\x1b[201~x"], "«D[Ay\r\n»x"),
        ([b"\x1b[200~M\xfcller\x1b[201~"], "«M\ufffdller»"),
        ([b"\x1b[200~abc", PASTE_LIMIT + 0.5, b"x"], "«abc»x"),
        ([b"\x1b[200~abc", PASTE_LIMIT - 0.1, b"D\x1b[201~x"], "«abcD»x"),
        ([b"\x1b[200~abc", PASTE_LIMIT + 0.5, b"Dy\x1b[201~x"], "«abc»«Dy»x"),
        ([b"\x1b[200~abc", PASTE_LIMIT + 0.5, b"y" * 20, b"x"], "«abc»«yyyyyyyyyyyyyyyyyyyy»x"),
        ([b"\x1b[201~x"], "x"),
    ],
)
def test_bytes_are_cut_into_keys_and_whole_sequences(pieces: list[bytes | float], expected: str) -> None:
    assert told(*pieces) == expected


@pytest.mark.parametrize("begin", [b"\x1b]", b"\x1b[", b"\x1bP", b"\x1bO", b"\x1b[200~"])
def test_no_sequence_stays_open_for_ever(begin: bytes) -> None:
    key = b"1" if begin != b"\x1b]" else b"x"
    held: list[bytes | float] = [begin]
    for _ in range(int((LONGEST + 2) / 0.05)):
        held += [key, 0.05]
    assert told(*held, PASTE_LIMIT + 0.1, b"q").endswith("q")


@pytest.mark.parametrize(
    ("sent", "keys"),
    [
        (b"a", ["a"]),
        (b"\x1b[A", ["up"]),
        (b"\x1bOA", ["up"]),
        (b"\x1b[[A", ["f1"]),
        (b"\x1b[Z", ["shift+tab"]),
        (b"\x1b[121u", ["y"]),
        (b"\x1b[121;3u", ["alt+y"]),
        (b"\x1b[99z", [UNREADABLE]),
        (b"\x1b[99999999999999u", [UNREADABLE]),
        (b"\x1b[1;1;1:99999999999u", [UNREADABLE]),
        (b"\x1bky", ["escape", "k", "y"]),
        (b"\x1b[9999y", [UNREADABLE]),
    ],
)
def test_sequences_are_the_keys_that_textual_knows(sent: bytes, keys: list[str]) -> None:
    reader = TerminalReader()
    found = reader.feed(sent) + reader.feed(b"z")
    assert [one.key for one in found if isinstance(one, events.Key)] == [*keys, "z"]


def random_input(chance: random.Random) -> bytes:
    """Bytes as a terminal may send them, whole, cut and mixed."""
    parts = []
    for _ in range(chance.randrange(1, 6)):
        parts.append(
            chance.choice(
                (
                    lambda: chance.randbytes(chance.randrange(1, 12)),
                    lambda: b"\x1b[" + chance.randbytes(chance.randrange(5)),
                    lambda: b"\x1b[" + b"".join(chance.choices([b"1", b";", b"?", b"<", b"M", b"u"], k=6)),
                    lambda: b"\x1b" + chance.choice([b"]", b"P", b"X", b"^", b"_"]) + chance.randbytes(4),
                    lambda: b"\x1b\\",
                    lambda: b"\x1b[M" + chance.randbytes(3),
                    lambda: b"\x1b[<%d;%d;%dM" % tuple(chance.randrange(-3, 300) for _ in range(3)),
                    lambda: b"\x1b[200~" + chance.randbytes(9) + chance.choice([b"", b"\x1b[201~"]),
                    lambda: chr(chance.randrange(0x10FFFF)).encode("utf-8", "replace"),
                    lambda: b"\x1b" + bytes([chance.randrange(256)]),
                    lambda: b"\x1b[%du" % chance.randrange(2_000_000),
                    lambda: b"\x1b[%d;%d;%du" % tuple(chance.randrange(70_000) for _ in range(3)),
                )
            )()
        )
    return b"".join(parts)


def test_no_input_breaks_the_reader_and_the_next_key_is_a_key() -> None:
    chance = random.Random(1)
    reader = TerminalReader()
    for tried in range(ROUNDS):
        tokenizer, now = Tokenizer(), 0.0
        sent = random_input(chance)
        for at in range(0, len(sent), 3):
            piece = sent[at : at + 3]
            for token in tokenizer.feed(piece, now):
                reader._messages(token)
            now += chance.choice((0.0, 0.01, 0.2, 0.7))
            tokenizer.idle(now)
        now += 40.0
        tokenizer.idle(now)
        tokenizer.idle(now + 40.0)
        assert [token.text for token in tokenizer.feed(b"x", now + 80.0)] == ["x"], (tried, sent)
