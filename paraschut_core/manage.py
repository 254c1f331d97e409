"""v0.6's module `manage`, for scripts that import it: see compat."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .compat import former, names

# Making the default executor needs a project: not for everybody who takes all names.
__all__ = [name for name in names("manage") if name != "DefaultJobExecutor"]

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        return former("manage", name)


def __dir__() -> list[str]:
    return __all__
