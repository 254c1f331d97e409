"""Flow control: no more bytes are sent than the terminal's line takes.

What is written for a slow line piles up in buffers on the way (ssh's, TCP's). Nothing blocks, and the screen
falls ever further behind. So now and then the terminal is asked for its cursor's position; it answers when it
has drawn everything that came before. While more is on the way than the line takes in a quarter of a second,
nothing is sent. What changes meanwhile is painted once afterwards, as it is then.

`SendWindow` measures the line and is pure; `FlowControl` holds back and resumes the updates of one app.
"""

from __future__ import annotations

import logging
import os
import select
import sys
import termios
import time
import tty
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from textual.app import App
from textual.geometry import Region

from .textual_compat import answers_questions, driver_of, is_batching, regions_of

log = logging.getLogger(__name__)

ASK_POSITION = "\x1b[6n"
"""Asks a terminal for its cursor's position."""

SLOW = 0.25
"""Seconds for an answer from which on a line is slow; also how much of what it takes may be on the way."""

STALLED = 1.0
"""Seconds without an answer after which nothing more is sent."""

MUTE = 3.0
"""Seconds after which a terminal that has never answered counts as one that does not answer."""

LOST = 30.0
"""Seconds after which an answer is no longer expected."""

LEAST, MOST = 600, 64_000
"""Bounds of the bytes that may be on the way."""

EVERY = 16_000
"""Bytes after which a fast line is asked."""

CHECK_SECONDS = 0.05
"""Seconds between two checks of whether a terminal that is behind has caught up."""

FEW_CHECKS = 3
"""Checks that are too few to conclude that no answer comes."""

FIRST_REPLY_SECONDS = 0.5
"""Seconds to wait at the end for the first answer of a terminal that has not given any."""


class SendWindow:
    """The bytes on the way to one terminal, and how many may be.

    Args:
        clock: seconds that only grow; the same that answers are stamped with.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._asked_at: float | None = None
        self._asked = 0  # bytes sent up to the question, since the answer before
        self._since = 0  # bytes sent since the question
        self._rates: deque[float] = deque(maxlen=8)
        self.no_replies = False
        """Whether the terminal does not answer."""
        self.delay: float | None = None
        """Seconds that the latest answer took; None before the first."""

    @property
    def is_slow(self) -> bool:
        """Whether the latest answer took long, or the first is overdue."""
        return (self._waited() if self.delay is None else self.delay) > SLOW

    @property
    def reply_pending(self) -> bool:
        """Whether an answer is still to come."""
        return self._asked_at is not None

    @property
    def size(self) -> float:
        """Bytes that may be on the way: none before the line's speed is known."""
        return min(max(max(self._rates) * SLOW, LEAST), MOST) if self._rates else 0

    def on_sent(self, n: int) -> bool:
        """Record that `n` bytes were sent. Return whether to ask behind them."""
        self._since += n
        due = self._since >= min(EVERY, self.size / 2)
        return due and self.ask()

    def on_reply(self, at: float) -> bool:
        """Record an answer that came at `at`. Return whether to ask again."""
        if self._asked_at is None:
            return False  # a key that looks like an answer
        self.no_replies = False
        self.delay = max(at - self._asked_at, 1e-6)
        if self._asked >= LEAST / 2 or not self._rates:
            self._rates.append(self._asked / self.delay)  # of fewer bytes the delay alone would be measured
        self._asked_at, self._asked = None, 0
        return self._since > self.size / 2 and self.ask()

    def forget(self) -> None:
        """Expect no answer any more."""
        self._asked_at, self._asked, self._since = None, 0, 0

    def must_wait(self) -> bool:
        """Return whether nothing may be sent now."""
        if self._asked_at is None or self.no_replies:
            return False
        waited = self._waited()
        if self.delay is None:
            # At first no longer than it takes to know fast from slow; a slow line then gets one paint.
            self.no_replies = waited > MUTE
            return not self.no_replies and (waited <= SLOW or self._since > LEAST)
        if waited > LOST:
            self._asked_at, self._asked = None, 0
            return False
        return self._asked + self._since > self.size or waited > STALLED

    def ask(self) -> bool:
        """Record that the terminal is asked now. Return whether to ask: not while an answer is pending."""
        if self._asked_at is not None:
            return False
        self._asked_at = self._clock()
        self._asked, self._since = self._since, 0
        return True

    def _waited(self) -> float:
        return 0.0 if self._asked_at is None else self._clock() - self._asked_at


class FlowControl:
    """Holds back the updates of an app's screen while its terminal is behind.

    Args:
        app: the app. Its terminal's answers come to `on_reply`.
        enabled: whether to ask the terminal at all.
        speed_measured: called once with whether the line is slow, before the first jobs are painted.
    """

    def __init__(self, app: App[Any], *, enabled: bool, speed_measured: Callable[[bool], None]) -> None:
        self._app = app
        self._enabled = enabled
        self._speed_measured = speed_measured
        self._is_measured = False
        self._window = SendWindow(time.monotonic)
        self._must_ask = False
        self._held: ExitStack | None = None
        self._checks = 0
        self._deferred_regions: list[Region] = []
        self._next_drawn: Callable[[float], object] | None = None
        self._asked_drawn: Callable[[float], object] | None = None

    @property
    def is_painting(self) -> bool:
        """Whether what changes is painted now."""
        return self._held is None and not is_batching(self._app)

    def notify_when_drawn(self, callback: Callable[[float], object]) -> None:
        """Call `callback(time)` once the terminal confirms that it has drawn the next update."""
        self._next_drawn = callback

    def before_update(self, update: object) -> None:
        """Note where an update changes the screen if it is held back: Textual drops it then."""
        if self._held is not None and update is not None:
            regions = regions_of(update)
            self._deferred_regions += [self._app.size.region] if regions is None else regions

    def on_sent(self, n: int) -> None:
        """Record that `n` bytes are being written."""
        self._must_ask = self._can_ask and self._window.on_sent(n)

    def after_update(self) -> None:
        """Ask behind an update, and hold back the next ones if the terminal is behind."""
        self._ask()
        if self._can_ask and self._window.must_wait():
            self._hold()

    def on_reply(self, at: float) -> None:
        """Go on: the terminal has drawn what was sent before it was asked. Its answer came at `at`."""
        callback, self._asked_drawn = self._asked_drawn, None
        if callback is not None:
            callback(at)
        self._must_ask = self._window.on_reply(at)
        self._ask()
        log.debug("the terminal answered after %s s; window %d bytes", self._window.delay, self._window.size)
        self._resume()

    def restart(self) -> None:
        """Expect no answer to what was asked before: another program had the terminal."""
        self._window.forget()
        self._resume()

    @property
    def _can_ask(self) -> bool:
        return self._enabled and answers_questions(self._app)

    def _ask(self) -> None:
        if self._next_drawn is not None and (not self._can_ask or self._window.no_replies):
            self._next_drawn(time.monotonic())
            self._next_drawn = None
        driver = driver_of(self._app)
        if driver is not None and (self._must_ask or (self._next_drawn is not None and self._window.ask())):
            self._must_ask = False
            self._asked_drawn, self._next_drawn = self._next_drawn, None
            driver.write(ASK_POSITION)

    def _hold(self) -> None:
        if self._held is None:
            self._checks = 0
            self._held = ExitStack()
            self._held.enter_context(self._app.batch_update())
            self._held.callback(self._app.set_interval(CHECK_SECONDS, self._check).stop)

    def _check(self) -> None:
        self._checks += 1
        self._resume()

    def _resume(self) -> None:
        """Send again, if the terminal has caught up."""
        if self._held is None or self._window.must_wait():
            return
        if self._window.delay is None and self._checks < FEW_CHECKS:
            return  # this process may be late: the answer may be there, and not yet read
        if not self._is_measured:
            self._is_measured = True
            self._speed_measured(self._window.is_slow)
            if self._window.is_slow:
                return  # other colours take a moment, and are there at the next check
        self._held.close()
        self._held = None
        if self._deferred_regions:
            self._app.screen.refresh(*self._deferred_regions)
            self._deferred_regions.clear()
        self._app.screen.check_idle()

    def drain_reply(self, patience: float = 3.0) -> None:
        """Read the answer that a slow line still owes after the end; the shell would take it for typed text.

        Args:
            patience: seconds to wait at most. A terminal that has never answered is not waited for that long.
        """
        if not self._window.reply_pending or not sys.stdin.isatty():
            return
        if self._window.delay is None:
            patience = min(patience, FIRST_REPLY_SECONDS)
        terminal = sys.stdin.fileno()
        end = time.monotonic() + patience
        try:
            before = termios.tcgetattr(terminal)
            tty.setcbreak(terminal)
            try:
                taken = b""
                while b"R" not in taken and (left := end - time.monotonic()) > 0:
                    if select.select([terminal], [], [], left)[0]:
                        taken += os.read(terminal, 100) or b"R"
            finally:
                termios.tcsetattr(terminal, termios.TCSADRAIN, before)
        except (OSError, termios.error):
            pass  # the terminal is gone, and its answer with it
