"""Paths as people type them, through links and automounted homes, as the nodes of a cluster know them."""

from __future__ import annotations

import os


def here() -> str:
    """The working directory under the name by which it was entered, where the environment still tells that.

    A node may not have the path behind a link or an automounted home. Raises FileNotFoundError: it is gone.
    """
    entered = os.environ.get("PWD", "")
    if os.path.isabs(entered) and os.path.normpath(entered) == entered:
        try:
            if os.path.samefile(entered, "."):
                return entered
        except OSError:
            pass  # left behind by a process that went elsewhere
    return os.getcwd()


def absolute(path: str | os.PathLike[str]) -> str:
    """The path from the root on, no link followed."""
    text = os.fspath(path)
    return os.path.normpath(text if os.path.isabs(text) else os.path.join(here(), text))


def current_umask() -> int:
    """This process's file mode mask, which cannot be asked for without a risk to other threads."""
    try:
        with open("/proc/self/status", encoding="ascii", errors="replace") as status:
            for line in status:
                if line.startswith("Umask:"):
                    return int(line.split()[1], 8)
    except (OSError, ValueError):
        pass  # no such file or line on this system: ask the other way, which other threads can notice
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
