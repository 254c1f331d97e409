"""v0.6's module `job_factory`, for scripts that import it: see compat."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .compat import former, names

__all__ = names("job_factory")

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        return former("job_factory", name)


def __dir__() -> list[str]:
    return __all__
