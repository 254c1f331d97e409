"""Which of several Slurm clusters is meant: by its configuration, by the environment, by a job's options."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Sequence

_CONFIGURATIONS = ("/etc/slurm/slurm.conf", "/etc/slurm-llnl/slurm.conf", "/run/slurm/conf/slurm.conf")
_NAME = re.compile(r"^\s*ClusterName\s*=\s*([^\s#]+)", re.IGNORECASE | re.MULTILINE)
_INCLUDE = re.compile(r"^\s*Include\s+(\S+)", re.IGNORECASE | re.MULTILINE)

_CLUSTERS = "--clusters"


def configured_cluster() -> str:
    """The cluster that Slurm's commands talk to, where that can be told without asking it; else ''."""
    asked = os.environ.get("SLURM_CLUSTERS", "")
    if asked and "," not in asked and asked != "all":
        return asked
    named = os.environ.get("SLURM_CONF")
    for path in (named,) if named else _usual_places():
        found = _name_in(path)
        if found:
            return found
    # Inside a job that uses what its node fetched from the controller, wherever that is kept.
    return os.environ.get("SLURM_CLUSTER_NAME", "") if not named else ""


def _usual_places() -> list[str]:
    command = shutil.which("squeue")
    beside = [os.path.join(os.path.dirname(os.path.dirname(command)), "etc", "slurm.conf")] if command else []
    return [*beside, *_CONFIGURATIONS]


def _name_in(path: str, depth: int = 3) -> str:
    """The name in a configuration, or in one that it includes."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            text = file.read()
    except OSError:
        return ""
    if found := _NAME.search(text):
        return found[1].strip("\"'")
    if depth:
        for name in _INCLUDE.findall(text):
            if inner := _name_in(os.path.join(os.path.dirname(path), name), depth - 1):
                return inner
    return ""


def cluster_in(words: Sequence[str]) -> str:
    """The clusters that options of sbatch name ('' if none), in lower case; the last word counts."""
    found = os.environ.get("SBATCH_CLUSTERS", "")
    for word, following in zip(words, [*words[1:], ""], strict=False):
        name, is_set, value = word.partition("=")
        # getopt takes the beginning of a long option's name, where no other begins alike.
        if len(name) > len("--cl") and _CLUSTERS.startswith(name) and name != "--cluster-constraint":
            found = value if is_set else following
        elif word == "-M":
            found = following
        elif word.startswith("-M"):
            found = word[2:]
    return found.strip().lower()
