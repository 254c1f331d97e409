"""What can be in a job's metadata: anything that can be stored, and when two of it are the same."""

from __future__ import annotations

import collections
import datetime
import decimal
import math
import pathlib
import zoneinfo
from typing import Any

import numpy as np
from hypothesis import strategies as st


def same(a: Any, b: Any) -> bool:
    """Equal, of equal types all the way down, nan being equal to nan."""
    if type(a) is not type(b):
        return False
    if isinstance(a, float):
        return (a == b and math.copysign(1, a) == math.copysign(1, b)) or (a != a and b != b)
    if isinstance(a, complex):
        return same(a.real, b.real) and same(a.imag, b.imag)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        if isinstance(a, collections.defaultdict) and a.default_factory is not b.default_factory:
            return False
        return same(list(a.items()), list(b.items()))
    if isinstance(a, (set, frozenset)):
        if any(x != x for x in a):
            return same(sorted(map(repr, a)), sorted(map(repr, b)))
        return bool(a == b) and collections.Counter(map(type, a)) == collections.Counter(map(type, b))
    if isinstance(a, (datetime.datetime, datetime.time)):
        return (
            a.replace(tzinfo=None) == b.replace(tzinfo=None) and a.fold == b.fold and same(a.tzinfo, b.tzinfo)
        )
    if isinstance(a, datetime.timezone):
        return bool(a == b and a.tzname(None) == b.tzname(None))
    if isinstance(a, np.ndarray):
        if (a.dtype, a.shape) != (b.dtype, b.shape):
            return False
        return same(list(a.flat), list(b.flat)) if a.dtype == object else a.tobytes() == b.tobytes()
    if isinstance(a, decimal.Decimal):
        return str(a) == str(b)
    return bool(a == b)


texts = st.text(st.characters(exclude_categories=()), max_size=8)
offsets = st.timedeltas(datetime.timedelta(hours=-23), datetime.timedelta(hours=23))
zones = (
    st.none()
    | offsets.map(datetime.timezone)
    | st.builds(datetime.timezone, offsets, texts)
    | st.sampled_from([datetime.timezone.utc, zoneinfo.ZoneInfo("UTC")])
)
atoms = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(1 << 1100), 1 << 1100)
    | st.floats()
    | texts
    | st.binary(max_size=8)
    | st.complex_numbers()
    | st.datetimes(timezones=zones)
    | st.builds(datetime.datetime.replace, st.datetimes(), fold=st.sampled_from([0, 1]))
    | st.dates()
    | st.times(timezones=zones)
    | st.timedeltas()
    | st.builds(range, st.integers(), st.integers(), st.integers(1))
    | st.decimals()
    | texts.map(pathlib.PurePosixPath)
    | texts.map(pathlib.PurePath)
    | texts.map(pathlib.PureWindowsPath)
)
# nan as a key cannot be compared after the round trip; everything else can.
keys = st.recursive(
    (texts | st.integers() | st.booleans() | st.none() | st.binary(max_size=4) | st.dates()),
    lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=3),
    max_leaves=4,
)
values: st.SearchStrategy[Any] = st.recursive(
    atoms | st.binary(max_size=8).map(bytearray),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(keys | st.just("$"), inner, max_size=4)
        | st.dictionaries(keys, inner, max_size=3).map(collections.OrderedDict)
        | st.dictionaries(keys, inner, max_size=3).map(lambda d: collections.defaultdict(list, d))
        | st.dictionaries(keys, st.integers(), max_size=3).map(collections.Counter)
        | st.sets(keys, max_size=4)
        | st.frozensets(keys, max_size=4)
    ),
    max_leaves=12,
)
documents = st.dictionaries(texts | st.just("$"), values, max_size=5)
