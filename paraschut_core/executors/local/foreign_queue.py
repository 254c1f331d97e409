"""A queue of another machine, or of a container, in the same job directory: it is only looked at."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from ... import exit_kinds
from ...model import ENDED, ExitInfo, LiveJob
from .machine import is_gone
from .queue_store import LocalQueue

_WENT = ExitInfo("its container is gone", kind=exit_kinds.NODE, source=exit_kinds.ACCOUNT)


class ForeignQueue(NamedTuple):
    """The queue of `machine`, as its file tells; in a container that is gone, all has ended."""

    machine: str
    queue: LocalQueue

    @property
    def is_gone(self) -> bool:
        """Whether its container is certainly gone."""
        return is_gone(self.machine)

    def jobs(self) -> dict[str, LiveJob]:
        """Its jobs, as `poll` tells of them."""
        jobs, _ = self.queue.jobs()
        if not self.is_gone:
            return jobs
        return {
            id_: job if job.state == ENDED else job._replace(state=ENDED, reason=_WENT.reason, ending=_WENT)
            for id_, job in jobs.items()
        }

    def endings(self, ids: Iterable[str]) -> dict[str, ExitInfo]:
        """How those of `ids` ended that have."""
        wanted = list(ids)
        ended = self.queue.endings(wanted)
        return {**dict.fromkeys(self.queue.live(wanted), _WENT), **ended} if self.is_gone else ended
