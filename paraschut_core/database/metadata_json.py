"""Metadata as JSON text and back again, without losing a value or its type.

Text, finite numbers, true, false, None, lists and dicts with text keys are written as themselves, so that
`json_extract(metadata, '$.field')` finds them. Everything else is an object with the key `$`:

    {"$": "tuple", "v": [1, 2]}                 one value of the type named
    {"one": 1, "$": [[1, 5, "x"]]}              a dict {"one": 1, 5: "x"}: [position, key, value]

A user's own key `$` is written in the second form, so no data can be taken for a tag. numpy's scalars
become Python's numbers, the only change of type there is, and reported; its arrays are kept
(metadata_numpy.py). The text is pure ASCII: lone surrogates and NUL survive.

This is on the path of every job's start: what json does not need is imported where it is used.
"""

from __future__ import annotations

import collections
import json
import re

from ..errors import MetadataError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import datetime
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any

MAX_DEPTH = 100
"""Most containers inside one another: a level takes up to four of SQLite's 1000 levels of JSON."""

BIG = 1 << 1000
"""Integers from here on, and from -BIG down, are not written in decimal: Python may refuse to turn more
than 640 digits into a number (sys.set_int_max_str_digits)."""

_ADVICE = "keep plain values (numbers, text, lists, dicts) or put it in a file with generate_data"

_PAIR = "[\ud800-\udbff][\udc00-\udfff]"
"""Two lone surrogates in a row, which JSON would read as one character. Compiled where it is used."""

_BETWEEN = "(?<=[\ud800-\udbff])(?=[\udc00-\udfff])"

_PLAIN = frozenset({str, float, bool, type(None)})
_TEXT = frozenset({str})

dump = json.JSONEncoder(separators=(",", ":"), allow_nan=False, check_circular=False).encode


class Conversion:
    """A value that was stored as another type: where it is, what it was, what it became."""

    __slots__ = ("after", "before", "path")

    def __init__(self, path: str, before: str, after: str) -> None:
        self.path = path
        self.before = before
        self.after = after

    def __str__(self) -> str:
        return f"{self.path}: {self.before} became {self.after}"

    def __repr__(self) -> str:
        return f"Conversion({self.path!r}, {self.before!r}, {self.after!r})"


def encode(info: Mapping[str, object], *, most: int | None = None) -> tuple[str, list[Conversion]]:
    """Metadata as JSON text, and the values in it that changed their type.

    Args:
        info: the metadata.
        most: the most that may be written, in characters of text, each value counting 8 more (for
            input that is not trusted: few bytes with many references to one value make a lot of text).

    Raises:
        MetadataError: a value that cannot be stored without loss; the message names where it is.
    """
    # Nearly all metadata is plain: a look at each value's type is then all that json.dumps lacks.
    if most is None and type(info) is dict and _is_plain(info, 1):
        try:
            text = dump(info)
        except ValueError:
            pass  # a nan or an infinity, which JSON has no word for
        else:
            if "\\ud" not in text:  # surrogates: a pair of lone ones would come back as one character
                return text, []
    writer = Writer(most)
    try:
        return dump(writer.document(info)), writer.conversions
    except RecursionError as error:
        raise writer.error("is nested too deep to be stored from here") from error


def decode(text: str, *, numpy: bool = True) -> dict[str, Any]:
    """The metadata that `encode` wrote.

    Args:
        text: what `encode` returned.
        numpy: whether arrays come as numpy's (imported only if there are any; where it cannot be
            imported, and with False, they come as `StoredArray`, a list that `encode` writes as an
            array again).

    Raises:
        MetadataError: the text is damaged, or holds what only a newer version can read.
    """
    try:
        info = json.loads(text, object_hook=reviver(numpy) if '"$"' in text else None)
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError) as error:
        raise MetadataError(f"Damaged metadata ({error}): {text[:60]!r}") from error
    except RecursionError as error:
        raise MetadataError(f"Damaged metadata (nested too deep): {text[:60]!r}") from error
    if type(info) is not dict:
        raise MetadataError(f"Damaged metadata (not a JSON object): {text[:60]!r}")
    return info


def _is_plain(value: dict[Any, Any], depth: int) -> bool:
    """Return whether JSON can express the dict exactly; types are compared, as a subclass would be lost."""
    return _TEXT.issuperset(map(type, value)) and "$" not in value and _are_plain(value.values(), depth)


def _are_plain(values: Iterable[Any], depth: int) -> bool:
    """The same of what a dict or a list holds."""
    for item in values:
        kind = type(item)
        if kind in _PLAIN:
            continue
        if kind is int:
            if not -BIG < item < BIG:
                return False
        elif depth == MAX_DEPTH:
            return False
        elif kind is dict:
            if not _is_plain(item, depth + 1):
                return False
        elif kind is not list or not _are_plain(item, depth + 1):
            return False
    return True


# ------------------------------------------------------------------------------------ other values


class Placeholder:
    """A value whose own type is not at hand; it says itself how it is written."""

    __slots__ = ()

    def written(self, writer: Writer) -> object:
        """The JSON form of the value."""
        raise NotImplementedError(type(self).__name__)


class Writer:
    """Turns one job's metadata into what JSON can express, and knows where in it it is.

    Args:
        most: see `encode`.
    """

    def __init__(self, most: int | None = None) -> None:
        self.conversions: list[Conversion] = []
        self._left = most
        self._path: list[object] = []
        self._open: set[int] = set()

    def document(self, info: Mapping[str, object]) -> object:
        """The JSON form of the whole. Raises MetadataError."""
        self._open.add(id(info))
        return _write_items(self, dict(info))

    def value(self, value: Any) -> object:
        """The JSON form of one value. Raises MetadataError."""
        kind = type(value)
        self.charge(8)
        write = _writer_of(kind)
        if write is not None:
            return write(self, value)
        if isinstance(value, Placeholder):
            return value.written(self)
        if kind.__module__.partition(".")[0] == "numpy":
            from . import metadata_numpy

            return metadata_numpy.write(self, value)
        raise self.unknown(value)

    def at(self, part: object, value: object) -> object:
        """The JSON form of the element `part` (an index or a key) of what is being written."""
        self._path.append(part)
        written = self.value(value)
        self._path.pop()
        return written

    def inside(self, value: Any, write: Callable[[Writer, Any], object]) -> object:
        """Write a container, unless it holds itself or is nested too deep."""
        if id(value) in self._open:
            raise self.error("contains itself: it would have no end")
        if len(self._open) >= MAX_DEPTH:
            raise self.error(f"is nested deeper than {MAX_DEPTH} levels")
        self._open.add(id(value))
        written = write(self, value)
        self._open.discard(id(value))
        return written

    def converted(self, value: object, before: str) -> object:
        """Write `value` in the place of something of the type `before`, and record it."""
        self.conversions.append(Conversion(self.where, before, type(value).__name__))
        return self.value(value)

    def charge(self, amount: int) -> None:
        """Count what is written against the limit, if there is one. Raises MetadataError."""
        if self._left is not None:
            self._left -= amount
            if self._left < 0:
                raise self.error("is too large: with it, the limit for one job's metadata is passed")

    @property
    def where(self) -> str:
        """The place that is being written, as one would write it in Python: `result[3].model`."""
        text = ""
        for part in self._path:
            if isinstance(part, str) and part.isidentifier():
                text += f".{part}" if text else part
            else:
                text += f"[{_short(part)}]"
        return text or "metadata"

    def error(self, what: str) -> MetadataError:
        return MetadataError(f"{self.where}: {what}")

    def unknown(self, value: object) -> MetadataError:
        """The error for a value of a type that cannot be stored."""
        kind = type(value)
        name = (
            kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
        )
        base = next((base.__name__ for base in kind.__mro__[1:] if _writer_of(base)), "")
        return self.error(
            f"cannot store an object of type {name}; " + (f"make it a plain {base}" if base else _ADVICE)
        )


def _short(part: object) -> str:
    if isinstance(part, tuple) and len(part) < 9:
        return "(" + ", ".join(map(_short, part)) + ("," if len(part) == 1 else "") + ")"
    if type(part) not in (str, bytes, int, float, bool, type(None)):
        return f"<{type(part).__name__}>"
    text = ascii(part)
    return text if len(text) <= 40 else text[:37] + "..."


# ------------------------------------------------------------------------------------ writing


def _tag(kind: str, value: object, **more: object) -> dict[str, object]:
    return {"$": kind, "v": value, **more}


def _write_plain(writer: Writer, value: object) -> object:
    return value


def _write_int(writer: Writer, value: int) -> object:
    return value if -BIG < value < BIG else _tag("int", hex(value))


def _write_float(writer: Writer, value: float) -> object:
    return value if value - value == 0 else _tag("float", repr(value))


def _write_text(writer: Writer, value: str) -> object:
    writer.charge(len(value))
    return _tag("str", re.split(_BETWEEN, value)) if re.search(_PAIR, value) else value


def _elements(writer: Writer, value: list[Any] | tuple[Any, ...]) -> list[object]:
    return [writer.at(index, element) for index, element in enumerate(value)]


def _write_list(writer: Writer, value: list[Any]) -> object:
    return writer.inside(value, _elements)


def _write_tuple(writer: Writer, value: tuple[Any, ...]) -> object:
    return _tag("tuple", writer.inside(value, _elements))


def _members(writer: Writer, value: set[Any] | frozenset[Any]) -> list[object]:
    # Sets have no order: one is made up, so that equal sets give equal text.
    return sorted((writer.value(element) for element in value), key=dump)


def _write_set(writer: Writer, value: set[Any] | frozenset[Any]) -> object:
    return _tag(type(value).__name__, writer.inside(value, _members))


def _write_items(writer: Writer, value: dict[Any, Any]) -> dict[str, object]:
    plain: dict[str, object] = {}
    others: list[object] = []
    for position, (key, item) in enumerate(dict.items(value)):
        name = key if type(key) is str else writer.at(key, key)  # a numpy string becomes a plain one
        if isinstance(name, str) and name != "$" and not re.search(_PAIR, name):
            writer.charge(len(name))
            plain[name] = writer.at(name, item)
        else:
            others.append([position, writer.value(name) if type(key) is str else name, writer.at(key, item)])
    if others:
        plain["$"] = others
    return plain


def _write_dict(writer: Writer, value: dict[Any, Any]) -> object:
    return writer.inside(value, _write_items)


def _write_dict_like(writer: Writer, value: dict[Any, Any]) -> object:
    return _tag(type(value).__name__, _write_dict(writer, value))


def _write_defaultdict(writer: Writer, value: collections.defaultdict[Any, Any]) -> object:
    factory: object = value.default_factory
    name = next((name for name, kind in _FACTORIES.items() if kind is factory), None)
    if name is None and factory is not None:
        raise writer.error(f"cannot store a defaultdict of {factory!r}; make it a plain dict")
    return _tag("defaultdict", _write_dict(writer, value), factory=name)


def _write_bytes(writer: Writer, value: bytes | bytearray) -> object:
    from binascii import b2a_base64

    writer.charge(len(value))
    return _tag(type(value).__name__, b2a_base64(value, newline=False).decode("ascii"))


def _write_complex(writer: Writer, value: complex) -> object:
    return _tag("complex", [_write_float(writer, value.real), _write_float(writer, value.imag)])


def _write_span(writer: Writer, value: range | slice) -> object:
    parts = [writer.value(part) for part in (value.start, value.stop, value.step)]
    return _tag(type(value).__name__, parts)


def _write_moment(writer: Writer, value: datetime.datetime | datetime.time) -> object:
    # The zone is written by itself: isoformat drops its name.
    more: dict[str, object] = {}
    if value.tzinfo is not None:
        more["tz"] = writer.value(value.tzinfo)
    if value.fold:
        more["fold"] = 1
    return _tag(type(value).__name__, value.replace(tzinfo=None).isoformat(), **more)


def _write_date(writer: Writer, value: datetime.date) -> object:
    return _tag("date", value.isoformat())


def _write_delta(writer: Writer, value: datetime.timedelta) -> object:
    return _tag("timedelta", [value.days, value.seconds, value.microseconds])


def _write_offset(writer: Writer, value: datetime.timezone) -> object:
    offset, name = value.utcoffset(None), value.tzname(None)
    usual = type(value)(offset).tzname(None)
    more = {} if name == usual else {"name": writer.value(name)}
    return _tag("timezone", [offset.days, offset.seconds, offset.microseconds], **more)


def _write_zone(writer: Writer, value: Any) -> object:
    if value.key is None:
        raise writer.error("cannot store a time zone without a name")
    return _tag("ZoneInfo", value.key)


def _write_as_text(writer: Writer, value: object) -> object:
    return _tag(type(value).__name__, writer.value(str(value)))


_BY_TYPE: dict[type, Callable[[Writer, Any], object]] = {
    str: _write_text,
    int: _write_int,
    float: _write_float,
    bool: _write_plain,
    type(None): _write_plain,
    list: _write_list,
    dict: _write_dict,
    tuple: _write_tuple,
    set: _write_set,
    frozenset: _write_set,
    bytes: _write_bytes,
    bytearray: _write_bytes,
    complex: _write_complex,
    range: _write_span,
    slice: _write_span,
    collections.Counter: _write_dict_like,
    collections.OrderedDict: _write_dict_like,
    collections.defaultdict: _write_defaultdict,
}

_PATHS = ("PosixPath", "PurePosixPath", "WindowsPath", "PureWindowsPath")

# By name, as these modules are slow to import only for comparing types.
_BY_NAME: dict[str, Callable[[Writer, Any], object]] = {
    "datetime.datetime": _write_moment,
    "datetime.time": _write_moment,
    "datetime.date": _write_date,
    "datetime.timedelta": _write_delta,
    "datetime.timezone": _write_offset,
    "zoneinfo.ZoneInfo": _write_zone,
    "decimal.Decimal": _write_as_text,
    **{f"pathlib.{name}": _write_as_text for name in _PATHS},
    **{f"pathlib._local.{name}": _write_as_text for name in _PATHS},  # Python 3.13
}


def _writer_of(kind: type) -> Callable[[Writer, Any], object] | None:
    return _BY_TYPE.get(kind) or _BY_NAME.get(f"{kind.__module__}.{kind.__qualname__}")


_FACTORIES: dict[str, type] = {
    kind.__name__: kind for kind in (bool, bytes, dict, float, frozenset, int, list, set, str, tuple)
}


# ------------------------------------------------------------------------------------ reading


def reviver(numpy: bool) -> Callable[[dict[str, Any]], object]:
    """What json.loads calls for each object, innermost first: makes values of the tagged ones.

    Args:
        numpy: see `decode`.
    """

    def revive(found: dict[str, Any]) -> object:
        if "$" not in found:
            return found
        kind = found["$"]
        if isinstance(kind, list):
            return _read_dict(found)
        if kind == "ndarray":
            from . import metadata_numpy

            return metadata_numpy.read(found, numpy)
        read = _READERS.get(kind)
        if read is None:
            raise MetadataError(
                f"The metadata hold a value of the kind {kind!r}, which this version of Paraschut does not "
                "know. Update Paraschut: pip install -U paraschut"
            )
        return read(found)

    return revive


def _read_dict(found: dict[str, Any]) -> dict[Any, Any]:
    others = found.pop("$")
    items: list[tuple[Any, Any]] = list(found.items())
    for position, key, value in others:
        items.insert(position, (key, value))
    return dict(items)


def _read_moment(found: dict[str, Any]) -> object:
    import datetime

    kind = datetime.datetime if found["$"] == "datetime" else datetime.time
    return kind.fromisoformat(found["v"]).replace(tzinfo=found.get("tz"), fold=found.get("fold", 0))


def _read_offset(found: dict[str, Any]) -> object:
    import datetime

    offset = datetime.timedelta(*found["v"])
    return datetime.timezone(offset, found["name"]) if "name" in found else datetime.timezone(offset)


def _read_bytes(found: dict[str, Any]) -> bytes:
    from binascii import a2b_base64

    return a2b_base64(found["v"])


def _read_date(found: dict[str, Any]) -> object:
    import datetime

    return datetime.date.fromisoformat(found["v"])


def _read_delta(found: dict[str, Any]) -> object:
    import datetime

    return datetime.timedelta(*found["v"])


def _read_zone(found: dict[str, Any]) -> object:
    import zoneinfo

    try:
        return zoneinfo.ZoneInfo(found["v"])
    except zoneinfo.ZoneInfoNotFoundError as error:
        raise MetadataError(
            f"The metadata hold a time in the zone {found['v']!r}, which this machine does not know. "
            "Install the time zones: pip install tzdata"
        ) from error


def _read_defaultdict(found: dict[str, Any]) -> object:
    name = found["factory"]
    return collections.defaultdict(None if name is None else _FACTORIES[name], found["v"])


def _read_decimal(found: dict[str, Any]) -> object:
    import decimal

    return decimal.Decimal(found["v"])


def _read_path(found: dict[str, Any]) -> object:
    import pathlib

    try:
        return getattr(pathlib, found["$"])(found["v"])
    except NotImplementedError:  # the other system's path: it can be looked at, not opened
        return getattr(pathlib, "Pure" + found["$"])(found["v"])


_READERS: dict[object, Callable[[dict[str, Any]], object]] = {
    "int": lambda found: int(found["v"], 16),
    "float": lambda found: float(found["v"]),
    "str": lambda found: "".join(found["v"]),
    "complex": lambda found: complex(*found["v"]),
    "tuple": lambda found: tuple(found["v"]),
    "set": lambda found: set(found["v"]),
    "frozenset": lambda found: frozenset(found["v"]),
    "range": lambda found: range(*found["v"]),
    "slice": lambda found: slice(*found["v"]),
    "bytes": _read_bytes,
    "bytearray": lambda found: bytearray(_read_bytes(found)),
    "datetime": _read_moment,
    "time": _read_moment,
    "date": _read_date,
    "timedelta": _read_delta,
    "timezone": _read_offset,
    "ZoneInfo": _read_zone,
    "Counter": lambda found: collections.Counter(found["v"]),
    "OrderedDict": lambda found: collections.OrderedDict(found["v"]),
    "defaultdict": _read_defaultdict,
    "Decimal": _read_decimal,
    **dict.fromkeys(_PATHS, _read_path),
}
