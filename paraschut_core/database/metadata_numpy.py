"""numpy's arrays and scalars in the metadata, and what stands for an array where numpy is not."""

from __future__ import annotations

import itertools
import math
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from .metadata_json import Placeholder, Writer

_KINDS = "biufcUSMmO"
"""Kinds of numpy.dtype that can be stored: all but structured ones, longdouble and new string types."""

_MEMBERS: dict[str, tuple[type, ...]] = {
    "b": (bool,),
    "i": (int,),
    "u": (int,),
    "f": (float, int),
    "c": (complex, float, int),
    "U": (str,),
    "S": (bytes,),
    "M": (int,),
    "m": (int,),
}


class StoredArray(list[Any], Placeholder):
    """An array as nested lists, where numpy cannot be imported; it is stored as an array again.

    `dtype` is numpy's name for it ("<f8"), `shape` the length of each dimension. Times (kinds M and m)
    are counts of their unit. An array without dimensions is a list of its only element.
    """

    __slots__ = ("dtype", "scalar", "shape")

    def __init__(
        self, dtype: str, shape: Sequence[int], values: Sequence[Any], *, scalar: bool = False
    ) -> None:
        super().__init__(_nested(values, shape))
        self.dtype = dtype
        self.shape = tuple(shape)
        self.scalar = scalar

    def written(self, writer: Writer) -> object:
        """As an array; as a list (and reported) if it was changed so that it is none any more."""
        values = _flat(self, self.shape)
        members = _MEMBERS.get(self.dtype[1:2])
        if values is None or (members and not all(type(value) in members for value in values)):
            return writer.converted(list(self), f"array of {self.dtype}")
        return writer.inside(
            self, lambda writer, _: _tag(writer, self.dtype, self.shape, values, scalar=self.scalar)
        )


def write(writer: Writer, value: Any) -> object:
    """The JSON form of something of numpy's. Raises MetadataError."""
    numpy = sys.modules.get("numpy")
    if numpy is not None and type(value) is numpy.ndarray:
        return writer.inside(value, _write_array)
    if numpy is not None and isinstance(value, numpy.generic):
        return _write_scalar(writer, value)
    raise writer.unknown(value)


def _write_scalar(writer: Writer, value: Any) -> object:
    """Numbers and text as Python's; times, for which Python has no equal, as an array of one."""
    before = f"numpy.{type(value).__name__}"
    kind = value.dtype.kind
    if kind in "Mm":
        return _tag(writer, value.dtype.str, (), [int(value.view("i8"))], scalar=True)
    plain: object = value.item()
    if kind in "US":  # item() drops NULs at the end
        plain = str.__str__(value) if kind == "U" else bytes.__getitem__(value, slice(None))
    elif kind in "fc" and not isinstance(plain, (float, complex)):
        plain = float(value) if kind == "f" else complex(value)
        if plain != value and value == value:
            raise writer.error(
                f"{before} {value} has no equal among Python's numbers; round it, or keep text"
            )
    if type(plain) not in (bool, int, float, complex, str, bytes):
        raise writer.unknown(value)
    return writer.converted(plain, before)


def _write_array(writer: Writer, value: Any) -> object:
    dtype = value.dtype
    if dtype.kind not in _KINDS or (dtype.kind in "fc" and dtype.char in "gG"):
        raise writer.error(
            f"cannot store an array of {dtype}; save it in a file (numpy.save) and keep the path"
        )
    values = value.ravel()
    if dtype.kind in "Mm":
        values = values.view(dtype.byteorder + "i8")
    elements = list(values) if dtype.kind == "O" else values.tolist()
    return _tag(writer, dtype.str, value.shape, elements)


def _tag(
    writer: Writer, dtype: str, shape: Sequence[int], values: Sequence[Any], *, scalar: bool = False
) -> dict[str, object]:
    kind = dtype[1]
    if kind in "biuMm" or (kind == "f" and all(map(math.isfinite, values))):
        writer.charge(8 * len(values))
        written: Sequence[object] = values
    else:
        places: Iterable[object] = (
            itertools.product(*map(range, shape)) if len(shape) > 1 else range(len(values))
        )
        written = [writer.at(place, value) for place, value in zip(places, values, strict=True)]
    tag: dict[str, object] = {"$": "ndarray", "v": written, "dtype": dtype, "shape": list(shape)}
    if scalar:
        tag["scalar"] = True
    return tag


def read(found: dict[str, Any], numpy: bool) -> object:
    """The array of a tag: numpy's where it may be and is there, else a StoredArray.

    Raises:
        ValueError, TypeError, LookupError, ArithmeticError: the tag is damaged.
    """
    dtype, shape, values = found["dtype"], found["shape"], found["v"]
    scalar = found.get("scalar", False)
    if dtype[1] not in _KINDS or math.prod(shape) != len(values):
        raise ValueError(f"no array of {dtype} and shape {shape}")
    if not numpy:
        return StoredArray(dtype, shape, values, scalar=scalar)
    try:
        import numpy as np
    except ImportError:
        return StoredArray(dtype, shape, values, scalar=scalar)
    if dtype[1] in "Mm":
        array = np.array(values, dtype=dtype[0] + "i8").view(dtype)
    elif dtype[1] == "O":
        array = np.empty(len(values), dtype=object)
        for index, value in enumerate(values):  # numpy would make dimensions of nested lists
            array[index] = value
    else:
        array = np.array(values, dtype=dtype)
    array = array.reshape(shape)
    return array[()] if scalar else array


def _nested(values: Sequence[Any], shape: Sequence[int]) -> list[Any]:
    """Values in the order of C as lists in lists."""
    if len(shape) <= 1:
        return list(values)
    size = math.prod(shape[1:])
    return [_nested(values[i * size : (i + 1) * size], shape[1:]) for i in range(shape[0])]


def _flat(values: Sequence[Any], shape: Sequence[int]) -> list[Any] | None:
    """What `_nested` was made of; None if the lists do not have that shape."""
    if len(values) != (shape[0] if shape else 1):
        return None
    if len(shape) <= 1:
        return list(values)
    flat: list[Any] = []
    for part in values:
        inner = _flat(part, shape[1:]) if type(part) is list else None
        if inner is None:
            return None
        flat += inner
    return flat
