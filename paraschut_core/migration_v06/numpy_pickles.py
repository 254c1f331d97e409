"""What stands for numpy's values in a v0.6 pickle: rebuilt from their bytes, without numpy."""

from __future__ import annotations

import math
import struct
import sys
from collections.abc import Sequence
from typing import Any

from ..database.metadata_json import Placeholder, Writer
from ..database.metadata_numpy import StoredArray
from ..errors import MetadataError

MOST_VALUES = 5_000_000
"""Most values in one array."""

_FORMATS = {
    "b1": "?", "i1": "b", "u1": "B", "i2": "h", "u2": "H", "i4": "i", "u4": "I", "i8": "q", "u8": "Q",
    "f2": "e", "f4": "f", "f8": "d", "c8": "f", "c16": "d", "M8": "q", "m8": "q",
}  # fmt: skip
_NAMES = {"b": "bool_", "i": "int", "u": "uint", "f": "float", "c": "complex", "U": "str_", "S": "bytes_"}
_NATIVE = "<" if sys.byteorder == "little" else ">"


class Dtype:
    """Stands for a numpy.dtype: what it is called with, and what pickle adds."""

    __slots__ = ("code", "order", "unit")

    def __init__(self, code: object, *_: object) -> None:
        if type(code) is not str or not (code in _FORMATS or code[:1] in ("U", "S", "O")):
            raise MetadataError(
                f"holds numpy values of the type {str(code)[:20]!r}, which cannot be taken over"
            )
        self.code = code
        self.order = "|"
        self.unit = ""

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, order, subtype, names, fields = state[:5]
        if (subtype, names, fields) != (None, None, None) or order not in ("<", ">", "|", "="):
            raise MetadataError("holds a structured numpy array, which cannot be taken over")
        self.order = _NATIVE if order == "=" else order
        if self.code in ("M8", "m8"):
            name, count = state[8][1][:2]
            name = name.decode("ascii") if isinstance(name, bytes) else name
            self.unit = "" if name == "generic" else f"[{name}]" if count == 1 else f"[{int(count)}{name}]"

    @property
    def text(self) -> str:
        """As numpy writes it: `<f8`."""
        single = self.code in ("b1", "i1", "u1") or self.code[0] in "SO"
        order = "|" if single else _NATIVE if self.order == "|" else self.order
        return order + ("O" if self.code[0] == "O" else self.code) + self.unit

    @property
    def size(self) -> int:
        """Bytes of one value."""
        number = int(self.code[1:])
        return 4 * number if self.code[0] == "U" else number

    def values(self, raw: object, count: int) -> list[Any]:
        """The values in so many bytes. Raises MetadataError if these are not as many as they should be."""
        kind, size = self.code[0], 0 if self.code[0] == "O" else self.size
        if kind == "O" or not isinstance(raw, (bytes, bytearray)) or len(raw) != count * size:
            raise MetadataError("damaged: a numpy value has not the size that it should have")
        if kind == "U":
            codec = "utf-32-le" if self.text[0] == "<" else "utf-32-be"
            pieces = (raw[i * size : (i + 1) * size] for i in range(count))
            return [piece.decode(codec, "surrogatepass").rstrip("\0") for piece in pieces]
        if kind == "S":
            return [bytes(raw[i * size : (i + 1) * size]).rstrip(b"\0") for i in range(count)]
        order = self.text[0].replace("|", "<")
        if kind == "c":
            numbers = struct.unpack(f"{order}{2 * count}{_FORMATS[self.code]}", raw)
            return [complex(*pair) for pair in zip(numbers[::2], numbers[1::2], strict=True)]
        return list(struct.unpack(f"{order}{count}{_FORMATS[self.code]}", raw))


class Scalar(Placeholder):
    """Stands for one of numpy's numbers, texts or times."""

    __slots__ = ("dtype", "value")

    def __init__(self, dtype: Dtype, value: object) -> None:
        self.dtype = dtype
        self.value = value

    def __setstate__(self, state: object) -> None:
        # Without this method, pickle would set any attribute that it is told to.
        raise MetadataError("changes a number of numpy's, which no plain data does")

    def written(self, writer: Writer) -> object:
        """As Python's number or text, which is noted; times as they are."""
        kind = self.dtype.code[0]
        if kind in "Mm":
            return StoredArray(self.dtype.text, (), [self.value], scalar=True).written(writer)
        bits = str(8 * self.dtype.size) if kind in "iufc" else ""
        return writer.converted(self.value, f"numpy.{_NAMES[kind]}{bits}")


class Array(Placeholder):
    """Stands for a numpy.ndarray."""

    __slots__ = ("stored",)

    def __init__(self) -> None:
        self.stored = StoredArray("|b1", (0,), [])

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, fortran, raw = state
        self.fill(shape, dtype, raw, "F" if fortran else "C", None)

    def fill(self, shape: object, dtype: object, raw: object, order: object, axes: object) -> None:
        """Take the shape, the values, and their order in memory.

        `order` is numpy's letter; with K, `axes` are the shape's dimensions from the first of the result on.
        """
        if not isinstance(dtype, Dtype) or type(shape) is not tuple:
            raise MetadataError("damaged: a numpy array without a type or a shape")
        if not all(type(length) is int and length >= 0 for length in shape) or len(shape) > 64:
            raise MetadataError("damaged: a numpy array of an impossible shape")
        count = math.prod(shape)
        if count > MOST_VALUES:
            raise MetadataError(f"too large: a numpy array of {count:,} values")
        if dtype.code[0] == "O":  # a list, always in the order of C
            if type(raw) is not list or len(raw) != count:
                raise MetadataError("damaged: a numpy array has not as many values as it should have")
            self.stored = StoredArray(dtype.text, shape, raw)
            return
        values = dtype.values(raw, count)
        steps = [math.prod(shape[i + 1 :]) for i in range(len(shape))]
        if order == "F":
            steps = [math.prod(shape[:i]) for i in range(len(shape))]
        elif order == "K" and isinstance(axes, tuple) and sorted(axes) == list(range(len(shape))):
            shape, steps = tuple(shape[axis] for axis in axes), [steps[axis] for axis in axes]
        elif order != "C":
            raise MetadataError("damaged: a numpy array in no known order")
        self.stored = StoredArray(dtype.text, shape, _picked(values, shape, steps))

    def written(self, writer: Writer) -> object:
        """As the array that it was."""
        return self.stored.written(writer)


def _picked(values: list[Any], shape: Sequence[int], steps: Sequence[int]) -> list[Any]:
    """Values with the last index running fastest; a `steps` is how far apart neighbours are."""
    places = [0]
    for length, step in zip(shape, steps, strict=True):
        places = [place + step * index for place in places for index in range(length)]
    return [values[place] for place in places]


def new_scalar(dtype: object, raw: object = b"") -> object:
    if not isinstance(dtype, Dtype):
        raise MetadataError("damaged: a numpy value without a type")
    return raw if dtype.code[0] == "O" else Scalar(dtype, dtype.values(raw, 1)[0])


def from_buffer(raw: object, dtype: object, shape: object, order: object, axes: object = None) -> object:
    """How protocol 5 writes arrays."""
    array = Array()
    array.fill(shape, dtype, raw, order, axes)
    return array
