"""What a job asks of a scheduler: what somebody set, what is only a default, and its own script's words."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from ...errors import UsageError
from ..standalone import directives_of

if TYPE_CHECKING:
    from ...config import Settings
    from ...model import JobInfo

_HEAD = 1 << 16
"""Bytes of a script that are searched for directives."""

_RUNNER = ["-m", "paraschut_core.cli", "run"]


class JobRequest(NamedTuple):
    """What one job asks for, from the weakest to the strongest.

    `defaults` and `default_queue` are of all jobs (the settings'), `general` the settings' directives; `head`
    are the words of the directives in the job's own script; `own`, `queue` and `directives` are the job's.
    """

    default_queue: str | None
    defaults: dict[str, Any]
    general: tuple[str, ...]
    head: tuple[str, ...]
    queue: str | None
    own: dict[str, Any]
    directives: tuple[str, ...]

    @property
    def resources(self) -> dict[str, Any]:
        return {**self.defaults, **self.own}

    @property
    def words(self) -> str:
        """The same for jobs that ask for the same, in whatever order."""
        queue = self.default_queue if self.queue is None else self.queue
        if not self.head and not self.general:  # then nothing stands between the defaults and the job's own
            return repr((queue, _sorted(self.resources), self.directives))
        own = (self.queue is None, _sorted(self.defaults), _sorted(self.own))
        return repr((queue, own, self.general, self.head, self.directives))


def _sorted(resources: Mapping[str, Any]) -> list[tuple[str, str]]:
    return sorted((name, str(value)) for name, value in resources.items())


# ------------------------------------------------------------------------------------ resources


def resources_of(
    info: Mapping[str, Any], configured: Mapping[str, Any] | None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """A job's resources: those that it has because all have them, and those that somebody set for it.

    A job that names none has the configured ones; `resources=None` asks for nothing. What a job has from
    `get_job_template` and is as it was there was not set for it: where nothing is configured, these
    documented values are not asked for at all.
    """
    from ..resources import TEMPLATE

    if "resources" not in info:
        return dict(configured or {}), {}
    given = info["resources"]
    if not isinstance(given, Mapping):
        return {}, {}
    if configured is None:
        untouched = TEMPLATE if given.keys() >= TEMPLATE.keys() else {}
        return {}, {name: value for name, value in given.items() if untouched.get(name) != value}
    return (
        {name: value for name, value in given.items() if name in configured and configured[name] == value},
        {name: value for name, value in given.items() if name not in configured or configured[name] != value},
    )


def asked_of(
    info: JobInfo, settings: Settings, queue: str | None, resources: Mapping[str, Any], head: tuple[str, ...]
) -> JobRequest:
    """What a job asks for, by its metadata.

    Args:
        queue, resources: the executor's own defaults.
        head: the words of the directives in the job's own script.

    Raises:
        UsageError: its directives cannot be used.
    """
    defaults, own = resources_of(info, settings.resources)
    if info.get("resources", "") is not None:
        defaults = {**resources, **defaults}
    if "mem" in own and own["mem"] in (None, "", False):
        defaults.pop("pmem", None)  # where memory is one thing, none of it is wanted
    given = info.get("queue")
    default_queue = settings.queue if given and given == settings.queue else queue or settings.queue
    general = tuple(settings.submit.directives)
    directives = tuple(directives_of(info))
    if directives[: len(general)] == general:
        directives = directives[len(general) :]  # whoever made the job's list has put them in already
    return JobRequest(
        default_queue,
        defaults,
        general,
        head,
        None if given is None or given == settings.queue else str(given),
        own,
        directives,
    )


# ------------------------------------------------------------------------------------ a job's own script


def own_script(script: str, cwd: str) -> str | None:
    """The file that a job's command runs by itself, alone or with arguments; None if it is another command.

    A command that `paraschut add` made is looked through; a line for a shell may run anything.
    """
    path = os.path.join(cwd, script)
    if os.path.isfile(path):
        return path
    try:
        words = shlex.split(script)
    except ValueError:
        return None
    if _RUNNER[1] in words and "--" in words:
        start = words.index(_RUNNER[1])
        if words[start - 1 : start + 2] == _RUNNER:
            words = words[words.index("--", start) + 1 :]
    elif re.search(r"[|&;<>()$`\n]", script):
        return None
    if not words or os.sep not in words[0]:
        return None
    path = os.path.join(cwd, words[0])
    return path if os.path.isfile(path) else None


def directives_in(path: str, prefix: str) -> tuple[str, ...]:
    """The words of the directives in the head of a script, as a shell would split them.

    The head ends with the first line that is neither blank nor a comment.

    Raises:
        UsageError: the quotes of one do not match.
    """
    try:
        found = os.stat(path)
        return _directives_in(path, prefix, found.st_mtime_ns, found.st_size)
    except OSError:
        return ()  # whether it can be run is found out elsewhere


@lru_cache(maxsize=64)
def _directives_in(path: str, prefix: str, changed: int, size: int) -> tuple[str, ...]:
    with open(path, "rb") as file:
        lines = file.read(_HEAD).decode("utf-8-sig", "surrogateescape").split("\n")
    words: list[str] = []
    for number, line in enumerate(lines, 1):
        line = line.strip()
        if line and not line.startswith("#"):
            break
        rest = line[len(prefix) :]
        if not line.startswith(prefix) or not (rest[:1].isspace() or rest.startswith("-")):
            continue
        try:
            found = shlex.split(rest)
        except ValueError as error:
            raise UsageError(f"{path}, line {number}: {line!r} cannot be split: {error}") from error
        comment = next((place for place, word in enumerate(found) if word.startswith("#")), len(found))
        words += found[:comment]
    return tuple(words)
