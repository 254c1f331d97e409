"""Lets a function take the arguments of its namesake in v0.6. Every running job loads this module."""

from __future__ import annotations

from functools import wraps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from typing import Any, ParamSpec, TypeVar

    _P = ParamSpec("_P")
    _R = TypeVar("_R")


def takes(order: str, *, ignored: str = "", **renamed: str) -> Callable[[Callable[_P, _R]], Callable[_P, _R]]:
    """Make a function take every argument of v0.6, by position and by keyword.

    A parameter that the function still has keeps its meaning. The others are ignored, and each call with
    any of them gives one DeprecationWarning.

    Args:
        order: v0.6's parameters in v0.6's order, as words.
        ignored: parameters of today's function that have no effect any more, as words.
        renamed: v0.6's name of a parameter, and today's.
    """

    def decorate(function: Callable[_P, _R]) -> Callable[_P, _R]:
        code = function.__code__
        title = function.__qualname__.removesuffix(".__init__")
        positional = code.co_varnames[: code.co_argcount]
        own = frozenset(code.co_varnames[: code.co_argcount + code.co_kwonlyargcount])
        former = order.split()
        names = [*former, *(name for name in positional if name not in (*former, *renamed.values()))]
        useless = {name for name in names if name not in own and name not in renamed} | {*ignored.split()}
        special = useless | renamed.keys()
        # As many leading arguments as mean the same in both: they need no translation.
        same = 0
        for name, today in zip(names, positional, strict=False):
            if renamed.get(name, name) != today or name in useless:
                break
            same += 1

        @wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> _R:
            if len(args) > same or not special.isdisjoint(kwargs):
                kwargs = _translated(title, names, useless, renamed, args, kwargs)
                args = ()
            return function(*args, **kwargs)

        return wrapper

    return decorate


def _translated(
    function: str,
    names: Sequence[str],
    useless: Collection[str],
    renamed: Mapping[str, str],
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
) -> dict[str, Any]:
    """v0.6's arguments as today's function takes them, all by keyword."""
    if len(args) > len(names):
        raise TypeError(f"{function}() takes {len(names)} positional arguments but {len(args)} were given")
    given: dict[str, Any] = {}
    for name, value in (*zip(names, args, strict=False), *kwargs.items()):
        name = renamed.get(name, name)
        if name in given:
            raise TypeError(f"{function}() got multiple values for argument {name!r}")
        given[name] = value
    gone = [name for name in given if name in useless]
    if gone:
        warn(f"{function}: {', '.join(gone)} of version 0.6 has no effect any more", depth=3)
    return {name: value for name, value in given.items() if name not in gone}


def warn(message: str, depth: int) -> None:
    """Give a DeprecationWarning for the line `depth` calls above the caller's own."""
    import warnings

    warnings.warn(message, DeprecationWarning, stacklevel=depth + 1)
