"""NotificationCollector: turns changes between snapshots into few notifications. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

from paraschut_core.model import Batch, JobKey, Snapshot
from paraschut_core.sanitize import clean_line, plural

from ..formatting import coarse, count

SETTLE = 1.0
"""Seconds without more changes after which a notification is due."""

LONGEST = 5.0
"""Most seconds that a change waits for more changes."""

PAUSE = 10.0
"""Least seconds between two notifications."""

UNREACHABLE_AFTER = 30.0
"""Seconds that a scheduler fails before that is reported: a poll may time out once."""

_NAMED = 3


class Notification(NamedTuple):
    """One notification. `lines` are clean; `grave` if somebody has to do something."""

    lines: tuple[str, ...]
    grave: bool


class NotificationCollector:
    """Compares each snapshot with the one before. What the first snapshot has is not reported."""

    def __init__(self) -> None:
        self._last: Snapshot | None = None
        self._reported: dict[JobKey, float] = {}
        self._complete: dict[int, Batch] = {}
        self._missing: dict[JobKey, str] = {}
        self._unreachable_reported = False
        self._back = False
        self._since: float | None = None
        self._latest = 0.0
        self._quiet_until = 0.0

    def take(self, snapshot: Snapshot, now: float) -> None:
        """Record what is new in a snapshot (`now` in epoch seconds)."""
        if snapshot.database.error:
            return
        last, self._last = self._last, snapshot
        fresh = {key: job for key, job in snapshot.missing.items() if self._reported.get(key) != job.since}
        self._reported.update((key, job.since) for key, job in fresh.items())
        if last is None:
            self._unreachable_reported = snapshot.scheduler.failing_since is not None
            return
        before = len(self._complete) + len(self._missing) + self._back
        for batch_id, batch in snapshot.batches.items():
            if _is_complete(batch) and not _is_complete(last.batches.get(batch_id)):
                self._complete[batch_id] = batch
        self._complete = {
            n: batch for n, batch in self._complete.items() if _is_complete(snapshot.batches.get(n))
        }
        self._missing.update((key, job.reason) for key, job in fresh.items())
        self._missing = {key: why for key, why in self._missing.items() if key in snapshot.missing}
        if self._unreachable_reported and snapshot.scheduler.failing_since is None:
            self._unreachable_reported, self._back = False, True
        count = len(self._complete) + len(self._missing) + self._back
        if count > before:
            self._latest = now
            self._since = now if self._since is None else self._since

    def due(self, now: float) -> Notification | None:
        """Return the notification that is due now, None if none is."""
        unreachable = self._newly_unreachable(now)
        waited = self._since is not None and (now - self._latest >= SETTLE or now - self._since >= LONGEST)
        if not (unreachable or waited) or now < self._quiet_until or self._last is None:
            return None
        lines = []
        if self._missing:
            lines.append(_missing_line(self._missing, self._last.batches))
        if unreachable:
            since = self._last.scheduler.failing_since or now
            lines.append(f"{_scheduler(self._last)} has not answered for {coarse(now - since)}")
            self._unreachable_reported = True
        elif self._back:
            lines.append(f"{_scheduler(self._last)} answers again")
        if self._complete:
            lines.append(_complete_line(self._complete))
        grave = bool(self._missing) or unreachable
        self._complete, self._missing, self._back, self._since = {}, {}, False, None
        if not lines:
            return None
        self._quiet_until = now + PAUSE
        return Notification(tuple(lines), grave)

    def _newly_unreachable(self, now: float) -> bool:
        if self._last is None or self._unreachable_reported:
            return False
        since = self._last.scheduler.failing_since
        return since is not None and now - since >= UNREACHABLE_AFTER


def _is_complete(batch: Batch | None) -> bool:
    return batch is not None and 0 < batch.total == batch.complete


def _scheduler(snapshot: Snapshot) -> str:
    return clean_line(snapshot.scheduler.executor, 24)


def _name(batch_id: int, batch: Batch | None) -> str:
    return (clean_line(batch.name, 40) if batch is not None else "") or str(batch_id)


def _complete_line(complete: Mapping[int, Batch]) -> str:
    names = [_name(batch_id, batch) for batch_id, batch in complete.items()]
    if len(names) == 1:
        (batch,) = complete.values()
        return f"{names[0]} is complete: {plural(batch.total, 'job')}"
    return f"{count(len(names))} batches are complete: {_listed(names)}"


def _missing_line(missing: Mapping[JobKey, str], batches: Mapping[int, Batch]) -> str:
    where = dict.fromkeys(key.batch_id for key in missing)
    names = _listed([_name(batch_id, batches.get(batch_id)) for batch_id in where])
    reasons = Counter(clean_line(why, 40) for why in missing.values() if why)
    why = ", ".join(f"{reason} ({n})" if n > 1 else reason for reason, n in reasons.most_common(_NAMED))
    verb = "is" if len(missing) == 1 else "are"
    return f"{plural(len(missing), 'job')} of {names} {verb} missing" + (f": {why}" if why else "")


def _listed(names: list[str]) -> str:
    more = f" and {count(len(names) - _NAMED)} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


# ------------------------------------------------------------------------------------ the desktop


def desktop_sequence(kind: str, text: str, environment: Mapping[str, str]) -> str:
    """Return the sequence that makes the terminal show a desktop notification; "" if `kind` is "off".

    In tmux and screen it is wrapped so that they pass it on (tmux: `set -g allow-passthrough on`).

    Args:
        kind: "osc9", "osc777", "auto" or "off".
        text: from any source; nothing in it reaches the terminal as a command.
        environment: the process's variables.
    """
    if kind == "auto":
        kind = _kind_of(environment)
    if kind not in ("osc9", "osc777"):
        return ""
    line = clean_line(text, 200)
    # OSC 9 with a number first means something else to some; semicolons separate the fields of OSC 777.
    body = f"9;Paraschut: {line}" if kind == "osc9" else f"777;notify;Paraschut;{line.replace(';', ',')}"
    sequence = f"\x1b]{body}\x07"
    if environment.get("TMUX"):
        return f"\x1bPtmux;{sequence.replace(chr(27), chr(27) * 2)}\x1b\\"
    if environment.get("STY"):
        return f"\x1bP{sequence}\x1b\\"
    return sequence


def _kind_of(environment: Mapping[str, str]) -> str:
    term = environment.get("TERM", "")
    vte = environment.get("VTE_VERSION") or term.startswith(("rxvt", "foot"))
    return "osc777" if vte else "osc9"
