"""What a running job has used so far, as it asks itself: a few system calls, no imports to speak of."""

from __future__ import annotations

import os
import resource
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def own_summary(job_id: str) -> dict[str, Any]:
    """The summary of the job `job_id`, which this process belongs to."""
    unit = 1 if os.uname().sysname == "Darwin" else 1024
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    summary: dict[str, Any] = {
        "job_id": job_id,
        "host": os.uname().nodename,
        "pid": os.getpid(),
        "cpu_time": sum(usage.ru_utime + usage.ru_stime for usage in (own, children)),
        "max_rss": max(own.ru_maxrss, children.ru_maxrss) * unit,
    }
    started = _started_at(os.getsid(0))
    if started is not None:
        summary["started_at"] = started
    return summary


def _started_at(pid: int) -> float | None:
    """When the process `pid` started, in epoch seconds; a job's first process leads its session."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            ticks = int(file.read().rpartition(b")")[2].split()[19])
        with open("/proc/uptime", "rb") as file:
            uptime = float(file.read().split()[0])
    except OSError:
        return None  # not Linux, or a session whose leader has ended
    return round(time.time() - uptime + ticks / os.sysconf("SC_CLK_TCK"), 2)
