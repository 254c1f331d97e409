"""The values that JSON has no word for: how each is written with a tag, and read again."""

from __future__ import annotations

import collections
import datetime
import re
from binascii import a2b_base64, b2a_base64
from collections.abc import Callable, Mapping
from typing import Any

from ..errors import MetadataError
from .metadata_json import BIG, MAX_DEPTH, Conversion, dump

_ADVICE = "keep plain values (numbers, text, lists, dicts) or put it in a file with generate_data"

# Two lone surrogates in a row, which JSON would read as one character.
_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")
_BETWEEN = re.compile("(?<=[\ud800-\udbff])(?=[\udc00-\udfff])")


class Placeholder:
    """A value whose own type is not at hand; it says itself how it is written."""

    __slots__ = ()

    def written(self, writer: Writer) -> object:
        """The JSON form of the value."""
        raise NotImplementedError(type(self).__name__)


class Writer:
    """Turns one job's metadata into what JSON can express, and knows where in it it is.

    Args:
        most: see `codec.encode`.
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
        write = _BY_TYPE.get(kind) or _BY_NAME.get(f"{kind.__module__}.{kind.__qualname__}")
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
        """Writes a container, unless it holds itself or is nested too deep."""
        if id(value) in self._open:
            raise self.error("contains itself: it would have no end")
        if len(self._open) >= MAX_DEPTH:
            raise self.error(f"is nested deeper than {MAX_DEPTH} levels")
        self._open.add(id(value))
        written = write(self, value)
        self._open.discard(id(value))
        return written

    def converted(self, value: object, before: str) -> object:
        """Writes `value` in the place of something of the type `before`, and notes it."""
        self.conversions.append(Conversion(self.where, before, type(value).__name__))
        return self.value(value)

    def charge(self, amount: int) -> None:
        """Counts what is written against the limit, if there is one. Raises MetadataError."""
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
        base = next((base.__name__ for base in kind.__mro__[1:] if base in _BY_TYPE), "")
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


# --------------------------------------------------------------------------- writing, type by type


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
    return _tag("str", _BETWEEN.split(value)) if _PAIR.search(value) else value


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
        if isinstance(name, str) and name != "$" and not _PAIR.search(name):
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
    usual = datetime.timezone(offset).tzname(None)
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
    datetime.datetime: _write_moment,
    datetime.time: _write_moment,
    datetime.date: _write_date,
    datetime.timedelta: _write_delta,
    datetime.timezone: _write_offset,
    collections.Counter: _write_dict_like,
    collections.OrderedDict: _write_dict_like,
    collections.defaultdict: _write_defaultdict,
}

_PATHS = ("PosixPath", "PurePosixPath", "WindowsPath", "PureWindowsPath")

# By name, as these modules are slow to import only for comparing types.
_BY_NAME: dict[str, Callable[[Writer, Any], object]] = {
    "zoneinfo.ZoneInfo": _write_zone,
    "decimal.Decimal": _write_as_text,
    **{f"pathlib.{name}": _write_as_text for name in _PATHS},
    **{f"pathlib._local.{name}": _write_as_text for name in _PATHS},  # Python 3.13
}

_FACTORIES: dict[str, type] = {
    kind.__name__: kind for kind in (bool, bytes, dict, float, frozenset, int, list, set, str, tuple)
}


# --------------------------------------------------------------------------- reading


def reviver(numpy: bool) -> Callable[[dict[str, Any]], object]:
    """What json.loads calls for each object, innermost first: makes values of the tagged ones.

    Args:
        numpy: see `codec.decode`.
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
    kind = datetime.datetime if found["$"] == "datetime" else datetime.time
    return kind.fromisoformat(found["v"]).replace(tzinfo=found.get("tz"), fold=found.get("fold", 0))


def _read_offset(found: dict[str, Any]) -> object:
    offset = datetime.timedelta(*found["v"])
    return datetime.timezone(offset, found["name"]) if "name" in found else datetime.timezone(offset)


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
    "bytes": lambda found: a2b_base64(found["v"]),
    "bytearray": lambda found: bytearray(a2b_base64(found["v"])),
    "datetime": _read_moment,
    "time": _read_moment,
    "date": lambda found: datetime.date.fromisoformat(found["v"]),
    "timedelta": lambda found: datetime.timedelta(*found["v"]),
    "timezone": _read_offset,
    "ZoneInfo": _read_zone,
    "Counter": lambda found: collections.Counter(found["v"]),
    "OrderedDict": lambda found: collections.OrderedDict(found["v"]),
    "defaultdict": _read_defaultdict,
    "Decimal": _read_decimal,
    **dict.fromkeys(_PATHS, _read_path),
}
