"""Journal: the latest lines of the program's own log, kept for the screen that tells what went wrong."""

from __future__ import annotations

import logging
from collections import deque

KEPT = 200
"""Lines kept."""

_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class Journal(logging.Handler):
    """Listens to what `paraschut_core` and `paraschut_tui` log; writes nothing to the terminal."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self._lines: deque[str] = deque(maxlen=KEPT)
        self.setFormatter(logging.Formatter(_FORMAT, "%H:%M:%S"))
        self._levels: dict[str, int] = {}

    def open(self) -> None:
        """Begins to listen."""
        for name in ("paraschut_core", "paraschut_tui"):
            logger = logging.getLogger(name)
            self._levels[name] = logger.level
            logger.addHandler(self)
            if logger.getEffectiveLevel() > logging.INFO:
                logger.setLevel(logging.INFO)

    def close(self) -> None:
        """Stops listening and leaves the loggers as they were."""
        for name, level in self._levels.items():
            logger = logging.getLogger(name)
            logger.removeHandler(self)
            logger.setLevel(level)
        self._levels.clear()
        super().close()

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.append(self.format(record))

    def lines(self) -> list[str]:
        """What was said, the oldest first."""
        return list(self._lines)
