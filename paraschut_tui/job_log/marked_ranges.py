"""MarkedRanges: the marked bytes of a log, as few stretches. Pure."""

from __future__ import annotations

from bisect import bisect_right

Range = tuple[int, int]


class MarkedRanges:
    """Stretches of bytes, in order, that neither overlap nor touch."""

    def __init__(self) -> None:
        self._all: list[Range] = []

    def __bool__(self) -> bool:
        return bool(self._all)

    def __contains__(self, offset: int) -> bool:
        at = bisect_right(self._all, offset, key=lambda one: one[0]) - 1
        return at >= 0 and offset < self._all[at][1]

    def all(self) -> list[Range]:
        return list(self._all)

    def add(self, start: int, end: int) -> None:
        """Mark the bytes from `start` up to (without) `end`."""
        apart = []
        for low, high in self._all:
            if high < start or low > end:
                apart.append((low, high))
            else:
                start, end = min(start, low), max(end, high)
        self._all = sorted([*apart, (start, end)])

    def remove(self, start: int, end: int) -> None:
        """Unmark them."""
        kept: list[Range] = []
        for low, high in self._all:
            pieces = ((low, min(high, start)), (max(low, end), high))
            kept.extend(piece for piece in pieces if piece[0] < piece[1])
        self._all = kept

    def clear(self) -> None:
        self._all.clear()
