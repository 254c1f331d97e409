"""Reads the metadata of a v0.6 job, a compressed pickle, without running anything that is in it.

Four walls: not more than so many bytes are unpacked; the pickle's instructions are looked through before
one is carried out (`_inspect`), so that none is foreign and few bytes cannot grow into much; it may name
only the globals listed here; and what it gets for each of them is a stand-in, which checks what it is
called with and cannot be changed. numpy is not imported: its values are rebuilt from their bytes.
"""

from __future__ import annotations

import collections
import datetime
import decimal
import io
import pathlib
import pickle
import pickletools
import sys
import zlib
import zoneinfo
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from ..errors import MetadataError
from .numpy_pickles import Array, Dtype, from_buffer, new_scalar

MOST_BYTES = 64 << 20
"""Most bytes that one job's metadata may unpack to."""

MOST_STEPS = 5_000_000
"""Most instructions in one pickle, and most elements copied while unpickling."""

_MOST_WORK = 50_000_000  # sum of the sizes of all that is put into something else
_DEEPEST = 1000  # tuples in tuples: their hash is computed recursively, in C


def unpack(blob: bytes) -> object:
    """What v0.6 packed: zlib of a pickle. numpy's values are stand-ins that `metadata_json.encode` can write.

    Raises:
        MetadataError: damaged, too large, or with something in it that cannot be taken over.
    """
    try:
        data = _inflated(blob)
        _inspect(data)
        return _Unpickler(io.BytesIO(data)).load()
    except MetadataError:
        raise
    except Exception as error:  # pickle's documentation: damaged bytes may raise anything
        raise MetadataError(f"damaged ({type(error).__name__}: {error})") from error


def _inflated(blob: bytes) -> bytes:
    stream = zlib.decompressobj()
    data = stream.decompress(blob, MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise MetadataError(f"too large: more than {MOST_BYTES >> 20} MB when unpacked")
    if not stream.eof:
        raise MetadataError("damaged: cut off")
    return data


# --------------------------------------------------------------------------- instructions

# Those that pickles of plain data have, protocols 2 to 5, and those that make objects of classes, so that
# the message can name the class. Not among them: what refers to something outside (PERSID, EXT,
# NEXT_BUFFER), or is older than Python 3.
_INSTRUCTIONS = frozenset(
    "PROTO FRAME STOP MARK NONE NEWTRUE NEWFALSE BININT BININT1 BININT2 LONG1 LONG4 BINFLOAT"  # noqa: SIM905
    " BINUNICODE SHORT_BINUNICODE BINUNICODE8 BINBYTES SHORT_BINBYTES BINBYTES8 BYTEARRAY8 EMPTY_TUPLE TUPLE"
    " TUPLE1 TUPLE2 TUPLE3 EMPTY_LIST APPEND APPENDS EMPTY_DICT SETITEM SETITEMS EMPTY_SET ADDITEMS FROZENSET"
    " GLOBAL STACK_GLOBAL REDUCE BUILD NEWOBJ NEWOBJ_EX BINGET LONG_BINGET BINPUT LONG_BINPUT MEMOIZE".split()
)
_PREFIXES = {
    pickletools.TAKEN_FROM_ARGUMENT1: 1,
    pickletools.TAKEN_FROM_ARGUMENT4: 4,
    pickletools.TAKEN_FROM_ARGUMENT4U: 4,
    pickletools.TAKEN_FROM_ARGUMENT8U: 8,
}

_Size = tuple[int, int]  # depth, and number of values, of something on the stack or in the memo
_ATOM: _Size = (1, 1)


class _Instruction(NamedTuple):
    """What an instruction does to the stack, and how long it is."""

    name: str
    length: int  # of its argument
    prefix: int  # bytes at the argument's beginning that say how much longer it is
    takes: int  # values from the stack
    takes_mark: bool  # before them, everything down to a mark
    gives: bool  # one value to the stack


def _instruction(opcode: pickletools.OpcodeInfo) -> _Instruction:
    length = 0 if opcode.arg is None else opcode.arg.n
    prefix = _PREFIXES.get(length, 0)
    before = opcode.stack_before
    mark = pickletools.markobject in before
    takes = before.index(pickletools.markobject) if mark else len(before)
    return _Instruction(opcode.name, prefix or length, prefix, takes, mark, bool(opcode.stack_after))


_BY_CODE = {
    ord(opcode.code): _instruction(opcode) for opcode in pickletools.opcodes if opcode.name in _INSTRUCTIONS
}


def _inspect(data: bytes) -> None:
    """Look through all instructions, keeping account of how large a thing each of them makes.

    Raises:
        MetadataError: an instruction that is not allowed, or more than is.
        LookupError, ValueError, TypeError: no pickle.
    """
    stack: list[_Size | None] = []  # None is a mark
    memo: list[_Size] = []
    end = len(data)
    place = steps = work = 0
    while True:
        steps += 1
        found = _BY_CODE.get(data[place])
        if found is None:
            raise MetadataError(
                f"holds what no plain data needs (pickle's instruction {data[place : place + 1]!r})"
            )
        name, length, prefix, takes, takes_mark, gives = found
        place += 1
        number = int.from_bytes(data[place : place + length], "little") if length > 0 else 0
        if length < 0:  # GLOBAL has two lines
            length = data.index(b"\n", data.index(b"\n", place) + 1) + 1 - place
        place += length + (number if prefix else 0)
        if place > end:
            raise MetadataError("damaged: cut off")
        if name == "STOP":
            return
        if name == "MARK":
            stack.append(None)
        elif name == "MEMOIZE" or name.endswith("BINPUT"):
            _remember(memo, stack[-1], len(memo) if name == "MEMOIZE" else number)
        elif name.endswith("BINGET"):
            stack.append(memo[number])
        elif takes or takes_mark:
            depth, size = _taken(stack, takes, takes_mark)
            stack.append((depth + 1, size + 1))
            work += size
            if depth > _DEEPEST:
                raise MetadataError(f"nested deeper than {_DEEPEST} levels")
        elif gives:
            stack.append(_ATOM)
        if steps > MOST_STEPS or work > _MOST_WORK:
            raise MetadataError("too large: it would grow beyond all measure")


def _remember(memo: list[_Size], top: _Size | None, number: int) -> None:
    """Keep the top of the stack under its number: the next one, as a far one would make a huge list."""
    if top is None or number > len(memo):
        raise ValueError("a pickle's memo must be filled in order, with values")
    if number == len(memo):
        memo.append(top)
    else:
        memo[number] = top


def _taken(stack: list[_Size | None], takes: int, takes_mark: bool) -> _Size:
    """Take values from the stack: their greatest depth, and the sum of their sizes."""
    depth = size = 0
    if takes_mark:
        while (part := stack.pop()) is not None:
            depth = max(depth, part[0])
            size += part[1]
    for _ in range(takes):
        part = stack.pop()
        if part is None:
            raise ValueError("a mark where a value should be")
        depth = max(depth, part[0])
        size += part[1]
    return depth, size


# --------------------------------------------------------------------------- globals


class _Known:
    """Stands for a global in the pickle: may be called with what it accepts, and that is all."""

    __slots__ = ("call", "factory", "name")

    def __init__(self, name: str, call: Callable[..., object] | None, factory: type | None = None) -> None:
        self.name = name
        self.call = call
        self.factory = factory

    def __call__(self, *arguments: object) -> object:
        if self.call is None:
            raise MetadataError(f"calls {self.name}, which no plain data does")
        return self.call(*arguments)

    def __setstate__(self, state: object) -> None:
        # Without this method, pickle would set any attribute that it is told to.
        raise MetadataError(f"changes {self.name}, which no plain data does")


class _Unpickler(pickle.Unpickler):
    """Knows the globals of this module and no other."""

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file)
        self._copied = 0
        self._ndarray = _Known("numpy.ndarray", None)
        calls: dict[str, Callable[..., object]] = {
            "builtins.set": lambda *items: set(self._items(*items)),
            "builtins.frozenset": lambda *items: frozenset(self._items(*items)),
            "collections.Counter": lambda *counts: collections.Counter(self._counts(*counts)),
            "numpy.core.multiarray._reconstruct": self._new_array,
            "builtins.getattr": self._attribute,
            **_CALLS,
        }
        self._known = {name: _Known(name, call) for name, call in calls.items()}
        self._known["numpy.ndarray"] = self._ndarray
        self._known[_ZONE] = _Known(_ZONE, None)
        for kind in (bool, bytes, dict, float, frozenset, int, list, set, str, tuple):
            name = f"builtins.{kind.__name__}"
            self._known[name] = _Known(name, calls.get(name), kind)

    def find_class(self, module: str, name: str) -> object:
        """The stand-in of a global. Raises MetadataError for any other."""
        module = _MODULES.get(module, module)
        known = self._known.get(f"{module}.{name}")
        if known is None:
            raise MetadataError(f"holds an object of {module}.{name}, which cannot be taken over")
        return known

    def persistent_load(self, pid: object) -> object:
        """Nothing is kept outside of the pickle. Raises MetadataError."""
        raise MetadataError("refers to something outside of it")

    def _spend(self, count: int) -> None:
        self._copied += count
        if self._copied > MOST_STEPS:
            raise MetadataError("too large: it would grow beyond all measure")

    def _items(self, items: object = ()) -> Sequence[object]:
        if not isinstance(items, (list, tuple)):
            raise MetadataError(f"makes a set of a {type(items).__name__}")
        self._spend(len(items))
        return items

    def _counts(self, counts: object) -> dict[Any, int]:
        if type(counts) is not dict:
            raise MetadataError(f"makes a Counter of a {type(counts).__name__}")
        self._spend(len(counts))
        return counts

    def _new_array(self, kind: object, shape: object, code: object) -> object:
        if kind is not self._ndarray:
            raise MetadataError("holds a special kind of numpy array, which cannot be taken over")
        return Array()

    def _attribute(self, owner: object, name: object) -> object:
        if owner is not self._known[_ZONE] or name != "_unpickle":
            raise MetadataError("looks up an attribute, which no plain data does")
        return self._known[_ZONE + "._unpickle"]


# Where globals moved between versions; all are looked up by one name.
_MODULES = {
    "__builtin__": "builtins",
    "pathlib._local": "pathlib",
    "numpy._core.multiarray": "numpy.core.multiarray",
    "numpy._core.numeric": "numpy.core.numeric",
}


def _plain(make: Callable[..., Any], *kinds: type) -> Callable[..., Any]:
    """A call that accepts only arguments of these very types: none of them can be huge by itself."""

    def call(*arguments: object) -> Any:
        for argument in arguments:
            if type(argument) not in kinds:
                raise MetadataError(f"gives a {type(argument).__name__} to {make.__name__}")
        return make(*arguments)

    return call


def _moment(kind: type[datetime.date | datetime.time], *kinds: type) -> Callable[..., object]:
    make = _plain(kind, *kinds)

    def call(*arguments: object) -> object:
        moment = make(*arguments)
        moment.replace()  # from bytes, Python makes a 0th of January without a word; this looks
        return moment

    return call


def _new_bytes(*arguments: object) -> bytes:
    if arguments == ():
        return b""
    raise MetadataError("makes bytes in a way that no plain data does")


def _new_bytearray(source: object = b"", encoding: object = "latin-1") -> bytearray:
    if isinstance(source, bytes):  # a number would ask for that many bytes
        return bytearray(source)
    return bytearray(_latin(source, encoding))


def _latin(text: object, encoding: object) -> bytes:
    """How protocol 2 writes bytes."""
    if type(text) is str and encoding in ("latin1", "latin-1"):
        return text.encode("latin-1")
    raise MetadataError("makes bytes in a way that no plain data does")


def _new_defaultdict(factory: object = None) -> object:
    if factory is None:
        return collections.defaultdict(None)
    if isinstance(factory, _Known) and factory.factory is not None:
        return collections.defaultdict(factory.factory)
    raise MetadataError("holds a defaultdict whose factory cannot be taken over")


def _new_zone(key: object, *_: object) -> object:
    if type(key) is not str:
        raise MetadataError("holds a time zone without a name")
    return zoneinfo.ZoneInfo(key)


_ZONE = "zoneinfo.ZoneInfo"

_CALLS: dict[str, Callable[..., object]] = {
    "builtins.bytes": _new_bytes,
    "builtins.bytearray": _new_bytearray,
    "builtins.complex": _plain(complex, float),
    "builtins.range": _plain(range, int),
    "builtins.xrange": _plain(range, int),  # protocol 2's word for it
    "builtins.slice": _plain(slice, int, type(None)),
    "_codecs.encode": _latin,
    "collections.OrderedDict": _plain(collections.OrderedDict),
    "collections.defaultdict": _new_defaultdict,
    "datetime.datetime": _moment(datetime.datetime, bytes, datetime.timezone, zoneinfo.ZoneInfo),
    "datetime.date": _moment(datetime.date, bytes),
    "datetime.time": _moment(datetime.time, bytes, datetime.timezone, zoneinfo.ZoneInfo),
    "datetime.timedelta": _plain(datetime.timedelta, int),
    "datetime.timezone": _plain(datetime.timezone, datetime.timedelta, str),
    _ZONE + "._unpickle": _new_zone,
    "decimal.Decimal": _plain(decimal.Decimal, str),
    "pathlib.PurePosixPath": _plain(pathlib.PurePosixPath, str),
    "pathlib.PureWindowsPath": _plain(pathlib.PureWindowsPath, str),
    "pathlib.PosixPath": _plain(pathlib.Path if sys.platform != "win32" else pathlib.PurePosixPath, str),
    "pathlib.WindowsPath": _plain(pathlib.Path if sys.platform == "win32" else pathlib.PureWindowsPath, str),
    "numpy.dtype": Dtype,
    "numpy.core.multiarray.scalar": new_scalar,
    "numpy.core.numeric._frombuffer": from_buffer,
}
