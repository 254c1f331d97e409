"""SearchMatches: where a search has found something so far, in the order of the file. Pure."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Sequence

from paraschut_core.logs import Pattern

MOST = 1_000_000
"""Matching rows remembered; the search ends there."""


class SearchMatches:
    """Offsets of the matching rows of one search, which goes from a place to the end, then back to the begin.

    Args:
        pattern: what is searched for.
        origin: where the search began.
    """

    def __init__(self, pattern: Pattern, origin: int) -> None:
        self.pattern = pattern
        self.origin = origin
        self.searched_to = origin
        """Up to which byte the rows from `origin` on have been searched."""
        self.searched = 0
        """How many bytes have been searched."""
        self.given_up = 0
        """Rows of which it is not known whether they match: it took too long to tell."""
        self.done = False
        """Whether all of the file, as it was, has been searched."""
        self.broken = False
        """Whether the search ended early, and is not to go on."""
        self._ahead = array("Q")
        self._behind = array("Q")  # from the origin backwards: descending

    def __len__(self) -> int:
        return len(self._ahead) + len(self._behind)

    def __getitem__(self, place: int) -> int:
        behind = len(self._behind)
        return self._behind[behind - 1 - place] if place < behind else self._ahead[place - behind]

    @property
    def full(self) -> bool:
        """Whether there were more than can be remembered."""
        return len(self) >= MOST

    def add_ahead(self, offsets: Sequence[int], start: int, stop: int) -> None:
        """Add what the part from `start` to `stop` has; a part that is searched again is replaced."""
        while self._ahead and self._ahead[-1] >= start:
            self._ahead.pop()
        self._ahead.extend(offsets[: max(MOST - len(self), 0)])
        self.searched_to = stop

    def add_behind(self, offsets: Sequence[int]) -> None:
        """Add what an earlier part of the file has, ascending."""
        self._behind.extend(list(reversed(offsets))[: max(MOST - len(self), 0)])

    def all(self) -> list[int]:
        return [*reversed(self._behind), *self._ahead]

    def place_of(self, offset: int) -> int:
        """Return how many hits are before the byte `offset`: the place of the first one at or after it."""
        return bisect_left(range(len(self)), offset, key=self.__getitem__)

    def next(self, offset: int) -> int | None:
        """The first hit at or after the byte `offset`."""
        place = self.place_of(offset)
        return self[place] if place < len(self) else None

    def previous(self, offset: int) -> int | None:
        """The last hit before the byte `offset`."""
        place = self.place_of(offset)
        return self[place - 1] if place else None

    def around(self, offset: int, span: int) -> tuple[list[int], bool, bool]:
        """Up to `span` hits on either side of the byte `offset`, and whether they include the first and
        the last of all found so far."""
        place = self.place_of(offset)
        low, high = max(place - span, 0), min(place + span, len(self))
        return [self[at] for at in range(low, high)], low == 0, high == len(self)
