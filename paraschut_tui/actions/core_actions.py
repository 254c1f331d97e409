"""`core`: the core's actions, imported at their first use, so that the screen opens fast."""

from __future__ import annotations

from typing import TYPE_CHECKING

__all__ = ["core"]

if TYPE_CHECKING:
    from paraschut_core import actions as core
else:

    class _LazyModule:
        def __getattr__(self, name: str) -> object:
            from paraschut_core import actions

            return getattr(actions, name)

    core = _LazyModule()
