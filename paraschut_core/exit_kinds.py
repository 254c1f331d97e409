"""How an attempt ended, as codes, and who said so. Words are for people; whatever decides looks at these.

The order of who is believed: the job itself (set_complete), the scheduler's account, the job's wrapper, and
silence last. Pure; every running job imports this.
"""

from __future__ import annotations

# ------------------------------------------------------------------------------------ kinds

COMPLETED = "completed"
"""The scheduler's own verdict that all went well: more than exit status 0, which a signal may have caused."""

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
"""It never came as far as its own command."""

UNSAID = "unsaid"
"""It ended with exit status 0 and never said that it is complete."""

GONE = "gone"
"""It left the queue, and nobody can tell more."""

CUT_SHORT = "cut-short"
"""Nobody can tell whether its submission took place."""

UNKNOWN = "unknown"

LOST = frozenset((GONE, CUT_SHORT))
"""Kinds of jobs of whose end nothing was said: all that is known is that they are gone."""

VAGUE = frozenset((EXIT, SIGNAL, UNSAID, UNKNOWN))
"""Kinds that say how a process ended and not why: another source may know more."""

# ------------------------------------------------------------------------------------ sources

JOB = "job"
ACCOUNT = "account"
WRAPPER = "wrapper"
"""`paraschut run`, which completes a job whose command ended well."""

SCRIPT = "script"
"""The script that a scheduler was given, of which the job itself knows nothing."""

LOG = "log"
"""What the scheduler wrote into the job's log."""

SETTLED_AFTER = 60.0
"""Seconds after which an end that only a wrapper told counts as the end, if the account says nothing."""

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
    """The kind of an end without a code, as an executor that somebody else wrote tells it."""
    if signal is not None:
        return SIGNAL
    return EXIT if exit_status is not None else kind_of_words(reason)


def kind_of_words(reason: str) -> str:
    """The kind of an end that was written down without one: by a job of an older version, in the local
    queue's file. Nothing else may decide by a sentence."""
    return next((kind for words, kind in _BEGINNINGS if reason.startswith(words)), UNKNOWN)
