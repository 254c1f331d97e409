"""v0.6's module `executor`, for scripts that import it: see compat."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .compat import former, names

__all__ = names("executor")

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        return former("executor", name)


def __dir__() -> list[str]:
    return __all__
