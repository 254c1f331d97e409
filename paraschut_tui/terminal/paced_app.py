"""FlowControlApp: an app that sends its terminal few bytes, and no more of them than the terminal takes."""

from __future__ import annotations

import logging
import os
import select
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import cast

from rich.console import RenderableType
from textual import events
from textual.geometry import Region
from textual.screen import Screen

from .fit_text import UNICODE
from .flow_control import ASK, FlowController
from .frame_buffer import FrameBuffer
from .minimal_updates import minimize, regions_of
from .terminal_app import TerminalApp
from .textual_compat import driver_of, is_batching, is_on_terminal

log = logging.getLogger(__name__)

LOOK = 0.05
"""Seconds between two looks at whether a terminal that is behind has caught up."""

UNKNOWN = 0.5
"""Seconds to wait at the end for the first answer of a terminal that has not given any."""

FEW = 3
"""Looks that are too few to tell that there is no answer."""


class FlowControlApp(TerminalApp[None]):
    """While the terminal is behind, changes gather and are painted at once afterwards, as they are then."""

    def __init__(self) -> None:
        super().__init__()
        self.wire = FlowController(time.monotonic)
        self.glass = FrameBuffer()
        self.alphabet = UNICODE
        self._ask = self._known = False
        self._missed: list[Region] = []
        self._looks = 0
        self._holding: ExitStack | None = None
        self._wondering: Callable[[float], object] | None = None
        self._told: Callable[[float], object] | None = None

    def on_mount(self) -> None:
        self.app_resume_signal.subscribe(self, self._resumed)

    def _resumed(self, _: object) -> None:
        """Paint the whole screen again: others had it, and the answers to what was asked."""
        self.wire.forget()
        self._resume()
        self.repaint_all()

    def on_resize(self) -> None:
        self.glass.invalidate()  # what a terminal shows of what it showed is for it to choose

    def repaint_all(self) -> None:
        """Sends the whole screen, whatever is believed to be on it."""
        self.glass.invalidate()
        self.screen.refresh()

    def on_speed_measured(self, slow: bool) -> None:
        """Told, before anything but an empty screen is painted, how the line is."""

    def _display(self, screen: Screen[object], renderable: RenderableType | None) -> None:
        if self._holding is not None and renderable is not None:
            regions = regions_of(renderable)  # Textual drops what comes while it is held
            self._missed += [self.size.region] if regions is None else regions
        self.ink.use(self.current_theme)
        tight = minimize(renderable, self.glass, self._sent, self.ink, self.alphabet)
        super()._display(screen, cast("RenderableType | None", tight))
        self._ask_behind()
        if self._answers and self.wire.must_wait():
            self._hold()

    def _sent(self, n: int) -> None:
        """`n` bytes are being written."""
        self._ask = self._answers and self.wire.on_sent(n)

    @property
    def paints(self) -> bool:
        """Whether what changes is painted now."""
        return self._holding is None and not is_batching(self)

    def notify_when_drawn(self, told: Callable[[float], object]) -> None:
        """Has `told` called with when the terminal said that it has taken the next paint."""
        self._wondering = told

    def _ask_behind(self) -> None:
        """Asks the terminal whether it has taken what was painted, if somebody wants to know."""
        if self._wondering is not None and (not self._answers or self.wire.mute):
            self._wondering(time.monotonic())
            self._wondering = None
        driver = driver_of(self)
        if (self._ask or (self._wondering is not None and self.wire.ask())) and driver is not None:
            self._ask = False
            self._told, self._wondering = self._wondering, None
            driver.write(ASK)

    @property
    def _answers(self) -> bool:
        """Whether there is a terminal that can be asked."""
        return is_on_terminal(self)

    def on_cursor_position(self, event: events.CursorPosition) -> None:
        """The terminal has taken what was sent before it was asked."""
        told, self._told = self._told, None
        if told is not None:
            told(event.time)
        self._ask = self.wire.on_reply(event.time)
        self._ask_behind()
        log.debug("the terminal answered after %s s; window %d bytes", self.wire.delay, self.wire.window)
        self._resume()

    def _hold(self) -> None:
        if self._holding is None:
            self._looks = 0
            self._holding = ExitStack()
            self._holding.enter_context(self.batch_update())
            self._holding.callback(self.set_interval(LOOK, self._look).stop)

    def _look(self) -> None:
        self._looks += 1
        self._resume()

    def _resume(self) -> None:
        """Sends again, if the terminal has caught up."""
        if self._holding is None or self.wire.must_wait():
            return
        if self.wire.delay is None and self._looks < FEW:
            return  # it may be this process that is late: the answer may be there, and not yet looked at
        if not self._known:
            self._known = True
            self.on_speed_measured(self.wire.slow)
            if self.wire.slow:
                return  # other colours take a moment, and are there at the next look
        self._holding.close()
        self._holding = None
        if self._missed:
            self.screen.refresh(*self._missed)
            self._missed.clear()
        self.screen.check_idle()

    def take_answer(self, patience: float = 3.0) -> None:
        """After the end: takes the answer that a slow line still owes, which else would be typed into the
        shell. Waits `patience` seconds at most, and not long for a terminal that has never answered."""
        if not self.wire.reply_pending or not sys.stdin.isatty():
            return
        if self.wire.delay is None:
            patience = min(patience, UNKNOWN)
        import termios
        import tty

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
