"""Synonyms and near misses of words that have a meaning. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping

from .model import COLLECTED, COMPLETE, INIT, RUN, SPAWN, SUBMIT

STATE_SYNONYMS = {
    "completed": COMPLETE, "done": COMPLETE, "finished": COMPLETE, "success": COMPLETE,
    "running": RUN, "started": RUN, "submitted": SUBMIT, "queued": SUBMIT, "pending": SUBMIT,
    "initial": INIT, "ready": INIT, "new": INIT, "reset": INIT, "collect": COLLECTED, "spawned": SPAWN,
}  # fmt: skip


def near(word: str, known: Iterable[str], others: Mapping[str, str]) -> str:
    """The known word that was probably meant; '' if the word is known, or like none."""
    words = list(known)
    if word in words:
        return ""
    lower = word.lower()
    if lower in others or lower in words:
        return others.get(lower, lower)
    all_words = [*words, *others]
    found = difflib.get_close_matches(lower, all_words, n=1, cutoff=0.8) if len(lower) > 3 else []
    return others.get(found[0], found[0]) if found else ""
