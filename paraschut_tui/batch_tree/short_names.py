"""Names of batches in a narrow column: cut so that those that differ also look different. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import pairwise

from ..widgets.styled_line import fit


def differences(names: Iterable[str]) -> dict[str, int]:
    """For each name the place of the first character that tells it from those most like it."""
    ordered = sorted(set(names))
    common = [_same(one, two) for one, two in pairwise(ordered)]
    return {name: max([*common[at - 1 : at], *common[at : at + 1], 0]) for at, name in enumerate(ordered)}


def _same(one: str, two: str) -> int:
    """How many characters two names begin with in common."""
    pairs = enumerate(zip(one, two, strict=False))
    return next((at for at, (a, b) in pairs if a != b), min(len(one), len(two)))


def fold(name: str, width: int, place: int) -> str:
    """`name` in exactly `width` columns; what is left out shows as `…`, and `place` is not.

    Args:
        place: of the character that matters, see `differences`.
    """
    if len(name) <= width or width < 8 or place < width - 2:
        return fit(name, width)
    head = width // 3
    tail = width - head - 1
    if place >= len(name) - tail:
        return fit(f"{name[:head]}…{name[len(name) - tail :]}", width)
    start = place - (tail - 1) // 2
    return fit(f"{name[:head]}…{name[start : start + tail - 1]}…", width)


def date_of(batch_id: int) -> str:
    """When a batch was made, as its id tells: "11-22 10:15"; else the id."""
    digits = str(batch_id)
    if len(digits) != 14:
        return digits
    return f"{digits[4:6]}-{digits[6:8]} {digits[8:10]}:{digits[10:12]}"


def repeated(names: Mapping[int, str]) -> set[str]:
    """Names that several batches have."""
    return {name for name, n in Counter(names.values()).items() if n > 1}
