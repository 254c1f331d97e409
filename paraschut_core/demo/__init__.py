"""The example pipeline: a real map-reduce over the Python standard library's own sources."""

from __future__ import annotations
