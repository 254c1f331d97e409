"""v0.6's module `utils`, for scripts that import it: see compat."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .compat import former, names

__all__ = names("utils")

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        return former("utils", name)


def __dir__() -> list[str]:
    return __all__
