"""Numbers, times and ages as short text, chosen so that a text changes only when its meaning does."""

from __future__ import annotations

import time

_BOUNDS = (5, 10, 20, 30, 60, 120, 300)


CLIPBOARD_BYTES = 74_994
"""As many bytes as terminals take in one OSC 52 sequence (100,000 once encoded)."""


def cut_for_clipboard(text: str) -> str:
    """Return what terminals take of a text for their clipboard."""
    return text.encode("utf-8", "replace")[:CLIPBOARD_BYTES].decode("utf-8", "ignore")


def count(n: int) -> str:
    """1802 -> "1,802"."""
    return f"{n:,}"


def short(n: int) -> str:
    """At most six columns, never more than there is: 1802 -> "1,802", 783221 -> "783k", 1000000 -> "1.0M"."""
    if n < 100_000:
        return f"{n:,}"
    if n < 1_000_000:
        return f"{n // 1000}k"
    return f"{n // 100_000 / 10}M" if n < 100_000_000 else f"{n // 1_000_000:,}M"


def percent(part: int, whole: int) -> str:
    """Whole percent, where only nothing is 0 % and only all is 100 %."""
    if whole <= 0:
        return "-"
    value = part * 100 // whole
    return f"{max(value, 1) if part else 0}%"


def duration(seconds: float) -> str:
    """A time span, short: `4s`, `12m`, `3h20`, `2d`."""
    s = max(int(seconds), 0)
    if s < 60:
        return f"{s}s"
    if s < 3600:
        return f"{s // 60}m"
    if s < 24 * 3600:
        return f"{s // 3600}h{s % 3600 // 60:02d}"
    if s < 10 * 24 * 3600 and s % 86400 >= 3600:
        return f"{s // 86400}d{s % 86400 // 3600}h"
    return f"{s // 86400}d"


def coarse(seconds: float) -> str:
    """A span whose text changes seldom: tens of seconds under a minute, then minutes, hours, days."""
    s = max(int(seconds), 0)
    return duration(s - s % 10 if 10 <= s < 60 else s)


def span(seconds: float) -> str:
    """A span whose text changes at most once a minute: "<1m" below that."""
    return "<1m" if seconds < 60 else duration(seconds)


def within(age: float, usual: float) -> str:
    """An age as the bound that it keeps to, e.g. "<30s", as long as it is no older than is usual.

    A text such as "4s ago" would have to be sent again every second; "<30s ago" is as true and stays.

    Args:
        age: seconds.
        usual: the age, in seconds, that it may have without anything being wrong.
    """
    bound = next((bound for bound in _BOUNDS if bound >= usual), None)
    if bound is not None and age < bound:
        return f"<{duration(bound)}"
    return coarse(age)


def clock(at: float, now: float) -> str:
    """A moment in local time: `12:31` if today, else with its date."""
    then, today = time.localtime(at), time.localtime(now)
    if then[:3] == today[:3]:
        return time.strftime("%H:%M", then)
    return time.strftime("%Y-%m-%d %H:%M", then)


def bar(part: int, whole: int, width: int) -> tuple[str, str]:
    """A progress bar as its full and its empty half; only all is quite full, only nothing quite empty."""
    if whole <= 0:
        return "", "▱" * width
    full = part * width // whole
    if part and not full:
        full = 1
    return "▰" * full, "▱" * (width - full)
