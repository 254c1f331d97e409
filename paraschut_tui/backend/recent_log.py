"""RecentLogHandler: the latest lines of the program's own log, kept for the health dialog."""

from __future__ import annotations

import logging
from collections import deque

from paraschut_core.errors import UsageError

KEPT = 200
"""Lines kept."""

_TIME = "%Y-%m-%d %H:%M:%S"
_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


_NAMES = ("paraschut_core", "paraschut_tui")


def log_to(path: str) -> None:
    """Append the program's own log to a file.

    Raises:
        UsageError: the file cannot be written.
    """
    try:
        handler = logging.FileHandler(path, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise UsageError(f"Cannot write the log {path}: {error.strerror}.") from error
    handler.setFormatter(
        logging.Formatter("%(asctime)s.%(msecs)03d %(levelname)s %(threadName)s %(name)s: %(message)s", _TIME)
    )
    for name in _NAMES:
        logging.getLogger(name).addHandler(handler)
        logging.getLogger(name).setLevel(logging.DEBUG)


class RecentLogHandler(logging.Handler):
    """Keeps what `paraschut_core` and `paraschut_tui` log; writes nothing to the terminal."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self._lines: deque[str] = deque(maxlen=KEPT)
        self.setFormatter(logging.Formatter(_FORMAT, "%H:%M:%S"))
        self._levels: dict[str, int] = {}

    def open(self) -> None:
        """Begin to record."""
        for name in _NAMES:
            logger = logging.getLogger(name)
            self._levels[name] = logger.level
            logger.addHandler(self)
            if logger.getEffectiveLevel() > logging.INFO:
                logger.setLevel(logging.INFO)

    def close(self) -> None:
        """Stop, and restore the levels of the loggers."""
        for name, level in self._levels.items():
            logger = logging.getLogger(name)
            logger.removeHandler(self)
            logger.setLevel(level)
        self._levels.clear()
        super().close()

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.append(self.format(record))

    def lines(self) -> list[str]:
        """The lines, the oldest first."""
        return list(self._lines)
