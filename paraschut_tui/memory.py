"""What the dashboard remembers from one time to the next: open branches, cursor, columns, filters.

It is kept in one small file in the user's state directory, by database. Nothing depends on it: a file that
cannot be read or written costs nothing but the convenience.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

from paraschut_core.model import JobKey

from .columns import DEFAULT, Chosen, SortKey
from .outline import BATCH, NodeKey

log = logging.getLogger(__name__)

PROJECTS = 50
"""Databases remembered, the latest used."""


class Memory(NamedTuple):
    """What is remembered of one database."""

    open: tuple[NodeKey, ...] = ()
    cursor: JobKey | None = None
    grouping: str = "time"
    density: str = "cells"
    columns: tuple[Chosen, ...] = DEFAULT
    sorting: tuple[SortKey, ...] = ()
    filters: tuple[str, ...] = ()
    saved: tuple[str, ...] = ()
    theme: str = ""


def state_file() -> str:
    """Where it is kept."""
    import platformdirs

    return os.path.join(platformdirs.user_state_dir("paraschut"), "dashboard.json")


def recall(database: str, path: str = "") -> Memory:
    """What is remembered of a database; nothing if that cannot be read."""
    entry = _read(path or state_file()).get(os.path.realpath(database))
    try:
        return _decoded(entry) if isinstance(entry, dict) else Memory()
    except (TypeError, ValueError, KeyError) as error:
        log.info("what was remembered of %s cannot be used: %s", database, error)
        return Memory()


def remember(database: str, memory: Memory, path: str = "") -> None:
    """Writes down what to remember of a database."""
    path = path or state_file()
    entries = _read(path)
    entries[os.path.realpath(database)] = _encoded(memory)
    latest = sorted(entries, key=lambda name: -_at(entries[name]))[:PROJECTS]
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        part = f"{path}.{os.getpid()}"
        with open(part, "w", encoding="utf-8") as file:
            json.dump({name: entries[name] for name in latest}, file)
        os.replace(part, path)
    except OSError as error:
        log.info("cannot remember in %s: %s", path, error)


def _read(path: str) -> dict[str, Any]:
    try:
        with open(path, encoding="utf-8") as file:
            entries = json.load(file)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        log.info("cannot read %s: %s", path, error)
        return {}
    return entries if isinstance(entries, dict) else {}


def _at(entry: object) -> float:
    at = entry.get("at") if isinstance(entry, Mapping) else None
    return float(at) if isinstance(at, (int, float)) else 0.0


def _encoded(memory: Memory) -> dict[str, Any]:
    # Branches below a batch's states name looks, which are numbered anew each time.
    branches = [node.batch_id for node in memory.open if node.kind == BATCH]
    return {**memory._asdict(), "open": branches, "at": time.time()}


def _decoded(entry: dict[str, Any]) -> Memory:
    columns = tuple(Chosen(str(name), int(wider)) for name, wider in entry["columns"])
    return Memory(
        tuple(NodeKey(BATCH, int(batch_id)) for batch_id in entry["open"]),
        JobKey(*map(int, entry["cursor"])) if entry["cursor"] else None,
        str(entry["grouping"]) if entry["grouping"] in ("time", "name", "type") else "time",
        "rows" if entry["density"] == "rows" else "cells",
        columns or DEFAULT,
        tuple(SortKey(str(name), bool(down)) for name, down in entry["sorting"]),
        tuple(map(str, entry["filters"])),
        tuple(map(str, entry["saved"])),
        str(entry["theme"]),
    )
