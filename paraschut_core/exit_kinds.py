"""Codes of how an attempt ended and of which source reported it. Code decides by these, never by the words.

Sources in the order in which they are believed: the job itself (set_complete), the scheduler's account, the
job's wrapper, and last its absence. Pure; every running job imports this module.
"""

from __future__ import annotations

# ------------------------------------------------------------------------------------ kinds

COMPLETED = "completed"
"""The scheduler reports success: more than exit status 0, which a signal may have caused."""

EXIT = "exit"
SIGNAL = "signal"
"""A signal ended it, or it ended with exit status 0 after a signal that was to end it."""

TIME_LIMIT = "time-limit"
CPU_LIMIT = "cpu-limit"
MEMORY = "memory"
NODE = "node"
PREEMPTED = "preempted"
CANCELLED = "cancelled"
DEADLINE = "deadline"
NOT_STARTED = "not-started"
"""It ended before its own command started."""

UNSAID = "unsaid"
"""It ended with exit status 0 and did not report that it is complete."""

GONE = "gone"
"""It left the queue; nothing more is known."""

CUT_SHORT = "cut-short"
"""It is not known whether its submission took place."""

UNKNOWN = "unknown"

LOST = frozenset((GONE, CUT_SHORT))
"""Kinds of jobs whose end nothing reported: it is only known that they are gone."""

VAGUE = frozenset((EXIT, SIGNAL, UNSAID, UNKNOWN))
"""Kinds that tell how a process ended, not why: another source may know more."""

# ------------------------------------------------------------------------------------ sources

JOB = "job"
ACCOUNT = "account"
WRAPPER = "wrapper"
"""`paraschut run`, which completes a job whose command ended well."""

SCRIPT = "script"
"""The script that the scheduler runs around a job."""

LOG = "log"
"""The scheduler's messages in the job's log."""

SETTLED_AFTER = 60.0
"""Seconds after which an end that only a wrapper reported counts, if the account reports nothing."""

# ------------------------------------------------------------------------------------ signals

_ENDING = frozenset(("TERM", "INT", "HUP", "QUIT", "XCPU"))


def signal_name(number: int) -> str:
    """SIGKILL for 9; SIG40 for one without a name of its own (of the real-time ones)."""
    import signal

    try:
        return signal.Signals(number).name
    except ValueError:
        return f"SIG{number}"


def ends_a_job(name: str) -> bool:
    """Return whether a signal of this name (TERM or SIGTERM) is sent to end a job.

    Exit status 0 after such a signal proves nothing. A job is free in what it does at USR1, USR2 and CONT.
    """
    return name.removeprefix("SIG") in _ENDING


# ------------------------------------------------------------------------------------ rows without a code

_BEGINNINGS = (
    ("time limit", TIME_LIMIT),
    ("CPU time limit", CPU_LIMIT),
    ("out of memory", MEMORY),
    ("node ", NODE),
    ("lost on ", NODE),
    ("machine rebooted", NODE),
    ("preempted", PREEMPTED),
    ("cancelled", CANCELLED),
    ("deleted", CANCELLED),
    ("deadline passed", DEADLINE),
    ("runner was killed while starting it", UNKNOWN),
    ("could not ", NOT_STARTED),
    ("cannot ", NOT_STARTED),
    ("failed before it started", NOT_STARTED),
    ("exit status 0 without", UNSAID),
    ("killed by signal", SIGNAL),
    ("exit status", EXIT),
)


def kind_of(reason: str, exit_status: int | None, signal: int | None) -> str:
    """Return the kind of an end that came without a code, from an executor that a user wrote."""
    if signal is not None:
        return SIGNAL
    return EXIT if exit_status is not None else kind_of_words(reason)


def kind_of_words(reason: str) -> str:
    """Return the kind of an end that an earlier version recorded in words alone.

    Nothing else may decide by a sentence.
    """
    return next((kind for words, kind in _BEGINNINGS if reason.startswith(words)), UNKNOWN)
