"""Whose a job is: the queue that it was submitted to, and the user by number, not by the environment."""

from __future__ import annotations

import os
from functools import cache
from typing import NamedTuple


class QueueName(NamedTuple):
    """What tells one queue from all others: written `kind@place#uid`, as the column `executor` keeps it.

    `kind` is the executor's name. `place` is the cluster, cell, server, machine or file that holds the
    queue ('' where nobody noted it: rows of earlier versions, executors that users wrote). `via` is the
    cluster whose commands reach it, where that is another one (`slurm@beryl<amber#1000`).
    """

    kind: str
    place: str = ""
    uid: int | None = None
    via: str = ""

    def __str__(self) -> str:
        via = f"<{self.via}" if self.via else ""
        uid = "" if self.uid is None else f"#{self.uid}"
        return f"{self.shown}{via}{uid}"

    @property
    def shown(self) -> str:
        """The queue as people are told of it."""
        return f"{self.kind}@{self.place}" if self.place else self.kind

    @property
    def is_mine(self) -> bool:
        """Whether it is this user's, as far as the name tells."""
        return self.uid is None or self.uid == os.getuid()


@cache
def queue_name(text: str) -> QueueName:
    """A queue's name as `str` wrote it."""
    rest, found, uid = text.rpartition("#")
    if not (found and uid.isascii() and uid.isdigit()):
        rest, uid = text, ""
    kind, _, place = rest.partition("@")
    place, _, via = place.partition("<")
    return QueueName(kind, place, int(uid) if uid else None, via)


def belongs_to(who: str, claimed_by: str | None, executor: str | None) -> bool:
    """Return whether a submission is that author's (user@host:pid), by the queue that was noted, else by who
    claimed it."""
    noted = queue_name(executor or "")
    if noted.uid is not None:
        return noted.is_mine
    return not claimed_by or same_user(claimed_by, who)


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
    """Return whether two authors of events (user@host:pid) are one user, on whatever hosts."""
    names = [author.partition("@")[0] for author in (one, other)]
    # Where a user has no name, as in a container, the number stands for it.
    first, second = (user_name(int(n)) if n.isascii() and n.isdigit() and len(n) < 10 else n for n in names)
    return first == second
