"""Notifier: notices of what happened, by a message, the bell, or a notification of the desktop."""

from __future__ import annotations

import os

from paraschut_core.config import DashboardSettings
from paraschut_core.model import Snapshot

from ..terminal.textual_compat import driver_of
from .base import DashboardBase
from .notifications import Notification, NotificationCollector, desktop_sequence


class Notifier(DashboardBase):
    """The part of the main screen that tells what became complete, missing, lost or back."""

    tells_by_bell = False
    tells_by_desktop = "off"

    _notices: NotificationCollector | None = None

    def begin_telling(self, settings: DashboardSettings) -> None:
        """Tells from now on, in the ways that the settings say."""
        self._notices = NotificationCollector() if settings.notices else None
        self.tells_by_bell = settings.bell
        self.tells_by_desktop = settings.desktop

    def note(self, snapshot: Snapshot) -> None:
        """Takes note of a newer snapshot."""
        if self._notices is not None:
            self._notices.take(snapshot, self.clock())

    def tell(self) -> None:
        """Tells what is to be told by now."""
        notice = self._notices.due(self.clock()) if self._notices is not None else None
        if notice is not None:
            self._tell_of(notice)

    def _tell_of(self, notice: Notification) -> None:
        self.say(" · ".join(notice.lines), "error" if notice.grave else "information")
        if self.tells_by_bell:
            self.app.bell()
        sequence = desktop_sequence(self.tells_by_desktop, " · ".join(notice.lines), os.environ)
        driver = driver_of(self.app)
        if sequence and driver is not None:
            driver.write(sequence)
            driver.flush()

    def toggle_bell(self) -> None:
        self.tells_by_bell = not self.tells_by_bell
        self._said("bell", self.tells_by_bell)

    def toggle_desktop(self) -> None:
        wanted = self.gateway.settings.dashboard.desktop
        on = "auto" if wanted == "off" else wanted
        self.tells_by_desktop = on if self.tells_by_desktop == "off" else "off"
        self._said("desktop notifications", self.tells_by_desktop != "off")

    def _said(self, what: str, on: bool) -> None:
        if self._notices is None:
            self._notices = NotificationCollector()
            if self.snapshot is not None:
                self.note(self.snapshot)
        self.say(f"Notices: {what} {'on' if on else 'off'}.")
