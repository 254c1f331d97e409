"""The local executor: a queue file and a detached runner that make one machine a small cluster."""

from __future__ import annotations

from .executor import LocalJobExecutor

__all__ = ["LocalJobExecutor"]
