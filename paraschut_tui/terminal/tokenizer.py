"""Tokenizer: split the bytes of a terminal into keys, sequences and pasted text (ECMA-48). Pure.

A terminal sends keys, reports of the mouse and answers to questions on one line, and it may send bytes that
are none of these. A sequence is one token: a half of it is never a key.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto
from typing import NamedTuple

ESCAPE_LIMIT = 0.1
"""Seconds after an escape character without a further byte, after which it is the key Esc."""

LATE_LIMIT = 0.5
"""Seconds after an escape character within which `[` or `O` still belong to it: the line was slow."""

SEQUENCE_LIMIT = 1.0
"""Seconds of silence after which a sequence has no rest."""

LONGEST = 5.0
"""Seconds that a sequence may take as a whole: a key that is held down does not keep it open."""

PASTE_LIMIT = 2.0
"""Seconds of silence after which a paste counts as finished."""

REST_LIMIT = 30.0
"""Seconds after an unfinished paste within which its rest may still come."""

REST = 16
"""Bytes that come in one piece, above which they are the rest of an unfinished paste, not keys."""

MOST_PARAMETERS = 64
"""Bytes of a control sequence; a longer one is read to its end and dropped."""

MOST_PASTED = 1 << 20
"""Bytes of one paste; more are dropped."""

_ESC = 0x1B
_STRINGS = b"]PX^_"  # OSC, DCS, SOS, PM, APC behind an escape character
_CANCEL = (0x18, 0x1A)
_BELL = 0x07
_C1 = {
    0x8F: "ss3",
    0x9B: "csi",
    0x90: "string",
    0x98: "string",
    0x9D: "string",
    0x9E: "string",
    0x9F: "string",
}
_C1_END = 0x9C
_PASTE_END = b"\x1b[201~"
_PRIVATE = "<=>?"


class TokenKind(Enum):
    """What a token is."""

    CHARACTER = auto()
    """One character that was typed, or a control character such as Enter."""
    ESCAPE = auto()
    """The key Esc."""
    SEQUENCE = auto()
    """A complete control sequence: a key, a report or an answer."""
    PASTE = auto()
    UNREADABLE = auto()
    """Bytes that are none of these; `text` is empty."""


class Token(NamedTuple):
    """One key, sequence or paste that a terminal sent."""

    kind: TokenKind
    text: str = ""


UNREADABLE = Token(TokenKind.UNREADABLE)
ESCAPE = Token(TokenKind.ESCAPE, "\x1b")


class Tokenizer:
    """Cuts bytes into tokens.

    Call `feed` with what was read and `idle` when nothing comes, both with the time of a monotonic clock.
    """

    def __init__(self) -> None:
        self._tokens: list[Token] = []
        self._state: Callable[[int], None] = self._ground
        self._held = bytearray()  # the sequence, character or paste under way
        self._began = self._last = 0.0
        self._silent = False  # the Esc of this sequence has acted: swallow the rest
        self._overlong = False
        self._eight_bit = False
        self._more = 0  # bytes of a character or a mouse report that are still to come
        self._escaped = False  # within a string: the byte before was an escape character
        self._behind = False  # whether more bytes of the same piece follow this one
        self._rest_until = 0.0

    # ------------------------------------------------------------------ from outside

    def feed(self, data: bytes, now: float) -> list[Token]:
        """Return the tokens that are complete with these bytes."""
        self._expire(now, arrived=True)
        if self._state == self._ground and now < self._rest_until:
            data = self._rest_of_paste(data)
        self._last = now
        last = len(data) - 1
        for at, byte in enumerate(data):
            self._behind = at < last
            if self._state == self._ground:
                self._began = now
            self._state(byte)
        return self._taken()

    def idle(self, now: float) -> list[Token]:
        """Return the tokens that are complete because nothing more came."""
        self._expire(now, arrived=False)
        return self._taken()

    @property
    def deadline(self) -> float | None:
        """When to call `idle` next; None: not before more bytes came."""
        return self._limit()

    def _taken(self) -> list[Token]:
        tokens, self._tokens = self._tokens, []
        return tokens

    def _emit(self, token: Token) -> None:
        self._tokens.append(token)

    def _to_ground(self) -> None:
        self._state = self._ground
        self._held.clear()
        self._silent = self._overlong = self._eight_bit = self._escaped = False
        self._more = 0

    # ------------------------------------------------------------------ time

    def _limit(self) -> float | None:
        state = self._state
        if state == self._ground:
            return None
        if state == self._after_escape:
            return self._began + ESCAPE_LIMIT
        if state == self._late:
            return self._began + LATE_LIMIT
        if state == self._paste:
            return self._last + PASTE_LIMIT
        return min(self._last + SEQUENCE_LIMIT, self._began + LONGEST)

    def _expire(self, now: float, *, arrived: bool) -> None:
        """End a sequence that took too long. Esc waits for bytes that have just arrived: we may be late."""
        limit = self._limit()
        if limit is None or now < limit:
            return
        if self._state == self._after_escape:
            if not arrived:
                self._emit(ESCAPE)
                self._state = self._late
        elif self._state == self._late:
            self._to_ground()
        elif self._state == self._paste:
            self._end_paste()
            self._rest_until = now + REST_LIMIT
        else:
            if not self._silent:
                self._emit(UNREADABLE)
            self._to_ground()

    # ------------------------------------------------------------------ states

    def _ground(self, byte: int) -> None:
        if byte == _ESC:
            self._began = self._last
            self._state = self._after_escape
        elif byte < 0x80:
            self._emit(Token(TokenKind.CHARACTER, chr(byte)))
        elif byte in _C1:
            self._begin(_C1[byte])
            self._eight_bit = True
        elif 0xC2 <= byte <= 0xF4:
            self._held[:] = (byte,)
            self._more = 1 if byte < 0xE0 else 2 if byte < 0xF0 else 3
            self._state = self._character
        else:
            self._emit(UNREADABLE)

    def _begin(self, what: str) -> None:
        self._held[:] = b"\x1b[" if what == "csi" else b"\x1bO" if what == "ss3" else b""
        self._state = {"csi": self._csi, "ss3": self._ss3, "string": self._string}[what]

    def _after_escape(self, byte: int) -> None:
        if byte == 0x5B:
            self._begin("csi")
        elif byte == 0x4F:
            self._begin("ss3")
        elif byte in _STRINGS:
            self._begin("string")
        elif byte == 0x5C:  # the end of a string that is not open: of one whose rest came late
            self._to_ground()
            self._emit(UNREADABLE)
        else:  # alt and a key
            self._to_ground()
            self._emit(ESCAPE)
            self._ground(byte)

    def _late(self, byte: int) -> None:
        """Drop what may be the rest of a sequence whose Esc has already acted."""
        self._to_ground()
        if byte == 0x5B or byte == 0x4F:
            self._begin("csi" if byte == 0x5B else "ss3")
            self._silent = True
        elif byte in _STRINGS and self._behind:  # one byte alone was typed
            self._begin("string")
            self._silent = True
        else:
            self._ground(byte)

    def _csi(self, byte: int) -> None:
        held = self._held
        if len(held) == 2 and byte == 0x5B:  # the Linux console's F1 to F5 have one more
            held.append(byte)
        elif 0x20 <= byte <= 0x3F and not (len(held) == 3 and held[2] == 0x5B):
            self._overlong = self._overlong or len(held) > MOST_PARAMETERS
            if not self._overlong:
                held.append(byte)
        elif 0x40 <= byte <= 0x7E:
            held.append(byte)
            self._control_sequence(held.decode("ascii"))
        else:
            self._broken(byte)

    def _ss3(self, byte: int) -> None:
        if 0x30 <= byte <= 0x3B and len(self._held) < 8:  # modifiers, as some terminals send them
            self._held.append(byte)
        elif byte == 0x20 or 0x40 <= byte <= 0x7E:
            self._held.append(byte)
            self._complete(self._held.decode("ascii"))
        else:
            self._broken(byte)

    def _string(self, byte: int) -> None:
        """Drop everything up to the terminator."""
        if self._escaped:
            self._escaped = False
            if byte == 0x5C:
                self._to_ground()
            else:  # another sequence begins: this one has no end
                self._broken_off()
                self._began = self._last
                self._after_escape(byte)
        elif byte == _ESC:
            self._escaped = True
        elif byte == _BELL or (self._eight_bit and byte == _C1_END):
            self._to_ground()
        elif byte in _CANCEL:
            self._broken_off()

    def _report(self, byte: int) -> None:
        """Drop a report of the mouse in the oldest form: three bytes, each of any value above 31."""
        if byte == _ESC:
            self._broken(byte)
            return
        self._more -= 1
        if not self._more:
            self._to_ground()

    def _character(self, byte: int) -> None:
        if not 0x80 <= byte <= 0xBF:
            self._broken(byte)
            return
        self._held.append(byte)
        self._more -= 1
        if self._more:
            return
        try:
            text = self._held.decode("utf-8")
        except UnicodeDecodeError:
            text = ""
        self._to_ground()
        if not text:
            self._emit(UNREADABLE)
        elif ord(text) in _C1:
            self._begin(_C1[ord(text)])
        elif 0x80 <= ord(text) <= 0x9F:
            self._emit(UNREADABLE)
        else:
            self._emit(Token(TokenKind.CHARACTER, text))

    def _paste(self, byte: int) -> None:
        if len(self._held) < MOST_PASTED or byte in _PASTE_END:
            self._held.append(byte)
        if byte == 0x7E and self._held.endswith(_PASTE_END):
            del self._held[-len(_PASTE_END) :]
            self._end_paste()

    # ------------------------------------------------------------------ ends

    def _control_sequence(self, text: str) -> None:
        body, final = text[2:-1], text[-1]
        if self._overlong:
            self._broken_off()
        elif text == "\x1b[M":
            self._more = 3
            self._state = self._report
        elif text == "\x1b[200~":  # also behind an Esc that acted: what is pasted is no command
            self._to_ground()
            self._state = self._paste
        elif text == "\x1b[201~":
            self._to_ground()
            self._rest_until = 0.0
        elif final == "t" or (body[:1] in tuple(_PRIVATE) and not _is_wanted(body, final)):
            self._to_ground()  # an answer that was not asked for
        else:
            self._complete(text)

    def _complete(self, text: str) -> None:
        if not self._silent:
            self._emit(Token(TokenKind.SEQUENCE, text))
        self._to_ground()

    def _end_paste(self) -> None:
        text = self._held.decode("utf-8", "replace").replace("\0", "")
        self._to_ground()
        self._emit(Token(TokenKind.PASTE, text))

    def _broken(self, byte: int) -> None:
        """End a sequence or a character that has no end; another one begins with `byte`."""
        self._broken_off()
        self._began = self._last
        self._ground(byte)

    def _broken_off(self) -> None:
        if not self._silent:
            self._emit(UNREADABLE)
        self._to_ground()

    def _rest_of_paste(self, data: bytes) -> bytes:
        """Emit the rest of an unfinished paste; return the bytes behind it."""
        end = data.find(_PASTE_END)
        if end >= 0:
            self._rest_until = 0.0
            rest, data = data[:end], data[end + len(_PASTE_END) :]
        elif len(data) > REST and _ESC not in data:
            rest, data = data, b""
        else:
            return data
        self._emit(Token(TokenKind.PASTE, rest.decode("utf-8", "replace").replace("\0", "")))
        return data


def _is_wanted(body: str, final: str) -> bool:
    """Return whether a private sequence is a report of the mouse or an answer to Textual's question."""
    return (body[0] == "<" and final in "mM") or (final == "y" and body.startswith("?2026;"))
