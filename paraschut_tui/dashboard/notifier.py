"""Notifier: shows what happened as a toast, by the bell, and as a notification of the desktop."""

from __future__ import annotations

import os
from collections.abc import Callable

from textual.widget import Widget

from paraschut_core.config import DashboardSettings

from ..dashboard_state import DashboardState
from ..terminal.textual_compat import driver_of
from ..toast import show_toast
from .notifications import Notification, NotificationCollector, desktop_sequence


class Notifier:
    """Reports what became complete, missing, unreachable or reachable again.

    Args:
        screen: shows the toasts.
        settings: how notifications are shown at first.
        clock: epoch seconds.
    """

    def __init__(
        self,
        screen: Widget,
        state: DashboardState,
        settings: DashboardSettings,
        clock: Callable[[], float],
    ) -> None:
        self._screen = screen
        self._state = state
        self._clock = clock
        self._collector = NotificationCollector() if settings.notices else None
        self._desktop_wanted = "auto" if settings.desktop == "off" else settings.desktop
        self.bell = settings.bell
        """Whether the bell rings."""
        self.desktop = settings.desktop
        """How the desktop is notified: "osc9", "osc777", "auto" or "off"."""

    def show_state(self) -> None:
        """Compare a new snapshot with the one before."""
        if self._collector is not None and self._state.snapshot is not None:
            self._collector.take(self._state.snapshot, self._clock())

    def tick(self) -> None:
        """Show what is due."""
        notification = self._collector.due(self._clock()) if self._collector is not None else None
        if notification is not None:
            self._show(notification)

    def _show(self, notification: Notification) -> None:
        text = " · ".join(notification.lines)
        show_toast(self._screen, text, "error" if notification.grave else "information")
        if self.bell:
            self._screen.app.bell()
        sequence = desktop_sequence(self.desktop, text, os.environ)
        driver = driver_of(self._screen.app)
        if sequence and driver is not None:
            driver.write(sequence)
            driver.flush()

    def toggle_bell(self) -> None:
        """Turn the bell on or off."""
        self.bell = not self.bell
        self._report("bell", self.bell)

    def toggle_desktop(self) -> None:
        """Turn notifications of the desktop on or off."""
        self.desktop = self._desktop_wanted if self.desktop == "off" else "off"
        self._report("desktop notifications", self.desktop != "off")

    def _report(self, name: str, on: bool) -> None:
        if self._collector is None:
            self._collector = NotificationCollector()
            self.show_state()
        show_toast(self._screen, f"Notices: {name} {'on' if on else 'off'}.")
