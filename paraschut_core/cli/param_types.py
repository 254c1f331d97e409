"""Click parameter types for finite, bounded numbers."""

from __future__ import annotations

import math

import click

_MOST_THINGS = 2**31
_LARGEST = 1e15


class PositiveInt(click.ParamType):  # type: ignore[type-arg]  # generic in the newest click alone
    """A count. A number above the largest possible count means all."""

    name = "number"

    def __init__(self, least: int = 1) -> None:
        self._least = least

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            number = int(str(value))
        except ValueError:
            self.fail(f"{str(value)[:40]!r} is not a whole number.", param, ctx)
        if number < self._least:
            self.fail(f"{number} is less than {self._least}.", param, ctx)
        return min(number, _MOST_THINGS)


class FiniteFloat(click.ParamType):  # type: ignore[type-arg]  # as above
    """A finite number within bounds."""

    name = "number"

    def __init__(self, least: float = -_LARGEST, most: float = _LARGEST) -> None:
        self._least, self._most = least, most

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            number = float(str(value))
        except ValueError:
            number = math.nan
        if math.isnan(number):
            self.fail(f"{str(value)[:40]!r} is not a number.", param, ctx)
        if not self._least <= number <= self._most:
            self.fail(f"{number:g} is not between {self._least:g} and {self._most:g}.", param, ctx)
        return number
