"""LogSources: the logs of one job by stream and attempt, and which of them is looked at. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

LATEST = -1


class LogSources(NamedTuple):
    """What a LogView can show of one job.

    `streams` maps a stream's name ("stdout", "stderr", and for spawns "spawn 3 stdout", ...) to its log
    files by attempt, the oldest first; the first stream is shown unless the user has chosen another.
    `title` names the job in the status line. `note` tells why there is no log, where there is none; `over`
    that the job has ended, so that a log that is not there will not come any more.
    """

    title: str
    streams: Mapping[str, Sequence[str]]
    note: str = ""
    over: bool = False


class LogViewState(NamedTuple):
    """Where the user is in a job's logs, to be carried from one view to another.

    `attempt` counts from 0, or is LATEST; `offset` is the byte at the top of the view, None to follow
    the end; `left` the first column; `searches` what was searched for, the latest first;
    `jump` asks to go to the first match of `search`.
    """

    stream: str = ""
    attempt: int = LATEST
    offset: int | None = None
    left: int = 0
    wrap: bool = False
    numbers: bool = True
    split: bool = False
    search: str = ""
    literal: bool = False
    filtering: bool = False
    jump: bool = False
    searches: tuple[str, ...] = ()


class StreamSelection:
    """Which stream and attempt of the present sources are chosen; the choice outlives the sources."""

    def __init__(self) -> None:
        self.sources = LogSources("", {})
        self._wish = ""  # the stream asked for; kept while a job has none of that name
        self._attempt = LATEST

    def use(self, sources: LogSources) -> None:
        """Take other sources. Of another job, the latest attempt is chosen."""
        if not _share_a_file(sources, self.sources):
            self._attempt = LATEST
        self.sources = sources

    def choose(self, stream: str, attempt: int = LATEST) -> None:
        self._wish = stream
        self._attempt = attempt

    @property
    def stream(self) -> str:
        """The stream shown; "" if there is none."""
        streams = self.sources.streams
        if self._wish in streams:
            return self._wish
        return next((name for name, paths in streams.items() if paths), next(iter(streams), ""))

    @property
    def attempts(self) -> int:
        return len(self.sources.streams.get(self.stream, ()))

    @property
    def attempt(self) -> int:
        """The attempt shown, from 0."""
        last = self.attempts - 1
        return last if self._attempt == LATEST else max(min(self._attempt, last), 0)

    @property
    def wanted_attempt(self) -> int:
        """The attempt asked for: LATEST goes on to a new attempt when there is one."""
        return self._attempt

    def path(self, stream: str | None = None) -> str | None:
        """The chosen file of a stream (default: the one shown); None if there is none."""
        paths = self.sources.streams.get(self.stream if stream is None else stream, ())
        if not paths:
            return None
        return paths[max(min(self.attempt, len(paths) - 1), 0)] or None

    def partner(self) -> str:
        """The other one of stdout and stderr, or else the next stream."""
        names = list(self.sources.streams)
        if len(names) < 2:
            return self.stream
        for one, other in (("stdout", "stderr"), ("stderr", "stdout")):
            if self.stream.endswith(one):
                name = self.stream[: -len(one)] + other
                if name in names:
                    return name
        return names[(names.index(self.stream) + 1) % len(names)]

    def groups(self) -> list[str]:
        """Whose streams there are: "" for the job itself, "spawn 0 ", "spawn 1 ", ... in order."""
        return list(dict.fromkeys(_split(name)[0] for name in self.sources.streams))

    def step_group(self, step: int) -> bool:
        """Go to the same stream of the next or previous spawn; return whether there is one."""
        groups = self.groups()
        if len(groups) < 2:
            return False
        prefix, kind = _split(self.stream)
        prefix = groups[(groups.index(prefix) + step) % len(groups)]
        names = [name for name in self.sources.streams if _split(name)[0] == prefix]
        self.choose(prefix + kind if prefix + kind in names else names[0])
        return True

    def step_attempt(self, step: int) -> bool:
        """Go to a later or earlier attempt; return whether there is one. The last one is LATEST."""
        wanted = self.attempt + step
        if not 0 <= wanted < self.attempts:
            return False
        self._attempt = LATEST if wanted == self.attempts - 1 else wanted
        return True

    @property
    def group(self) -> str:
        """Whose streams are shown: "" for the job's own, "spawn 3"."""
        return _split(self.stream)[0].strip()

    def choose_group(self, group: str) -> bool:
        """Go to the same stream of a spawn, or of the job itself (""); return whether there is one."""
        prefix, kind = f"{group} " if group else "", _split(self.stream)[1]
        names = [name for name in self.sources.streams if _split(name)[0] == prefix]
        if names:
            self.choose(prefix + kind if prefix + kind in names else names[0])
        return bool(names)

    def shown_names(self) -> dict[str, str]:
        """The streams of the present group, and what each is called within it."""
        prefix = _split(self.stream)[0]
        return {name: name[len(prefix) :] for name in self.sources.streams if _split(name)[0] == prefix}


def _share_a_file(one: LogSources, other: LogSources) -> bool:
    """Return whether two sources are of the same job: titles change with its state, former logs stay."""
    paths = {path for files in other.streams.values() for path in files}
    return any(path in paths for files in one.streams.values() for path in files)


def _split(name: str) -> tuple[str, str]:
    """ "spawn 3 stderr" as "spawn 3 " and "stderr"."""
    head, space, kind = name.rpartition(" ")
    return head + space, kind
