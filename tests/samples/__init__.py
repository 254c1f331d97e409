"""Answers of real schedulers, as captured: command, exit status, standard output, standard error."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

FOLDER = Path(__file__).parent


class Sample(NamedTuple):
    """One captured answer."""

    command: str
    status: int
    stdout: str
    stderr: str


def sample(name: str) -> Sample:
    """The answer kept in `<name>.txt`, e.g. sample("slurm/sacct_none")."""
    text = (FOLDER / f"{name}.txt").read_text(encoding="utf-8", errors="replace")
    status = re.search(r"^--+ ?rc=(-?[0-9]+)", text, re.MULTILINE)
    command, _, rest = text.partition("\n")
    stdout = _part(rest, "stdout")
    return Sample(command.removeprefix("$ "), int(status[1]) if status else 0, stdout, _part(rest, "stderr"))


def _part(text: str, name: str) -> str:
    pattern = rf"^--+ ?{name}\n(.*?)(?=^--+ ?(?:stdout|stderr|rc=)|\Z)"
    match = re.search(pattern, text, re.MULTILINE | re.DOTALL)
    return match[1] if match else ""
