"""Who this process is: the user by number, never by what the environment says."""

from __future__ import annotations

import os
from functools import cache


def user_name(uid: int | None = None) -> str:
    """The name of a user (default: of this process's); the number where it has none, as in a container.

    The environment is not asked: USER and LOGNAME stay as they were under `su`.
    """
    import pwd

    uid = os.getuid() if uid is None else uid
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


@cache
def user_folder() -> str:
    """This process's user as a part of a path that every scheduler's commands take.

    Names of directory services may hold what the commands replace or split at (`CORP\\mia`). What is changed
    gets the user's number, so that two names never become one.
    """
    import re

    name = user_name()
    safe = re.sub(r"[^\w.+@-]|^[.-]", "_", name)
    return name if safe == name else f"{safe}-{os.getuid()}"


def same_user(one: str, other: str) -> bool:
    """Whether two authors of events (user@host:pid) are one user, on whatever hosts."""
    names = [author.partition("@")[0] for author in (one, other)]
    # Where a user has no name, as in a container, the number stands for it.
    first, second = (user_name(int(n)) if n.isascii() and n.isdigit() and len(n) < 10 else n for n in names)
    return first == second
