"""FlowController: how fast the terminal's line is, and whether it has taken what it was sent. Pure.

What is written for a slow line piles up in buffers on the way (ssh's, TCP's): nothing blocks, and the screen
falls ever further behind the truth. So now and then the terminal is asked where its cursor is; it answers
when it has taken all that came before. While more is on the way than the line takes in a quarter of a second,
nothing is sent; what changes meanwhile is painted afterwards, once, as it is then.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

ASK = "\x1b[6n"
"""Asks a terminal where its cursor is."""

SLOW = 0.25
"""Seconds for an answer from which on a line is slow; also how much of what it takes may be on the way."""

STALLED = 1.0
"""Seconds without an answer after which nothing more is sent."""

MUTE = 3.0
"""Seconds after which a terminal that has never answered is taken for one that does not."""

LOST = 30.0
"""Seconds after which an answer is no longer waited for."""

LEAST, MOST = 600, 64_000
"""Bounds of the bytes that may be on the way."""

EVERY = 16_000
"""Bytes after which a fast line is asked."""


class FlowController:
    """The line to one terminal.

    Args:
        clock: seconds that only grow; the same that answers are stamped with.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._asked_at: float | None = None
        self._asked = 0  # bytes sent up to the question, since the answer before
        self._since = 0  # bytes sent since the question
        self._rates: deque[float] = deque(maxlen=8)
        self.mute = False
        """Whether this is a terminal that does not answer."""
        self.delay: float | None = None
        """Seconds that the latest answer took; None before the first."""

    @property
    def slow(self) -> bool:
        """Whether the latest answer took long, or the first is overdue."""
        return (self._waited() if self.delay is None else self.delay) > SLOW

    @property
    def reply_pending(self) -> bool:
        """Whether an answer is still to come."""
        return self._asked_at is not None

    @property
    def window(self) -> float:
        """Bytes that may be on the way: none before it is known how fast the line is."""
        return min(max(max(self._rates) * SLOW, LEAST), MOST) if self._rates else 0

    def on_sent(self, n: int) -> bool:
        """Takes down that `n` bytes were sent. Returns whether to ask behind them."""
        self._since += n
        due = self._since >= min(EVERY, self.window / 2)
        return due and self.ask()

    def on_reply(self, at: float) -> bool:
        """Takes down an answer that came at `at`. Returns whether to ask again."""
        if self._asked_at is None:
            return False  # nobody asked: a key that looks like an answer
        self.mute = False
        self.delay = max(at - self._asked_at, 1e-6)
        if self._asked >= LEAST / 2 or not self._rates:
            self._rates.append(self._asked / self.delay)  # of less it would be the delay alone that tells
        self._asked_at, self._asked = None, 0
        return self._since > self.window / 2 and self.ask()

    def forget(self) -> None:
        """No longer waits for an answer."""
        self._asked_at, self._asked, self._since = None, 0, 0

    def must_wait(self) -> bool:
        """Whether nothing may be sent now."""
        if self._asked_at is None or self.mute:
            return False
        waited = self._waited()
        if self.delay is None:
            # At first no longer than it takes to tell slow from fast; a slow one then gets one paint.
            self.mute = waited > MUTE
            return not self.mute and (waited <= SLOW or self._since > LEAST)
        if waited > LOST:
            self._asked_at, self._asked = None, 0
            return False
        return self._asked + self._since > self.window or waited > STALLED

    def _waited(self) -> float:
        return 0.0 if self._asked_at is None else self._clock() - self._asked_at

    def ask(self) -> bool:
        """Takes down that the terminal is asked now. Returns whether to: not while an answer is to come."""
        if self._asked_at is not None:
            return False
        self._asked_at = self._clock()
        self._asked, self._since = self._since, 0
        return True
