"""Metadata must come back from the database as it was put in, or be refused by name."""

from __future__ import annotations

import collections
import datetime
import decimal
import enum
import json
import math
import pathlib
import sqlite3
import subprocess
import sys
import zoneinfo
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paraschut_core.database.metadata_json import MAX_DEPTH, decode, encode
from paraschut_core.database.metadata_numpy import StoredArray
from paraschut_core.errors import MetadataError
from tests.metadata import documents, same


def is_json(text: str) -> bool:
    """SQLite's opinion of the text."""
    connection = sqlite3.connect(":memory:")
    try:
        return bool(connection.execute("SELECT json_valid(?)", (text,)).fetchone()[0])
    finally:
        connection.close()


def check_round_trip(info: dict[str, Any]) -> str:
    text, conversions = encode(info)
    assert conversions == []
    assert text.isascii()
    assert is_json(text)
    assert same(decode(text), info)
    assert same(decode(encode(decode(text, numpy=False))[0]), info)
    return text


# --------------------------------------------------------------------------- anything that can be stored


@settings(max_examples=400, deadline=None)
@given(documents)
def test_everything_that_can_be_stored_comes_back_the_same(info: dict[str, Any]) -> None:
    check_round_trip(info)


@settings(max_examples=200, deadline=None)
@given(
    st.text(max_size=60)
    | documents.map(lambda info: encode(info)[0]).flatmap(
        lambda text: st.integers(0, len(text)).map(lambda cut: text[:cut] + text[cut + 1 :])
    )
)
def test_damaged_text_raises_only_metadata_error(text: str) -> None:
    try:
        assert isinstance(decode(text), dict)
    except MetadataError:
        pass


@pytest.mark.parametrize(
    "value",
    [
        math.nan,
        math.inf,
        -math.inf,
        -0.0,
        2**100,
        -(2**5000),
        "\0",
        "\ud800",
        "\ud83d\ude00",  # two lone surrogates, which are not the character that they would make
        "😀",
        "שלום ✓\n\x1b[31m",
        (),
        (1, "a", (2.5, None)),
        {1, 2, 3},
        {(1, 2), frozenset({3})},
        frozenset({"x"}),
        b"\x00\xff",
        bytearray(b"abc"),
        1 + 2j,
        complex(math.nan, -0.0),
        datetime.datetime(2021, 2, 3, 4, 5, 6, 789),
        datetime.datetime(2021, 10, 31, 2, 30, tzinfo=zoneinfo.ZoneInfo("UTC"), fold=1),
        datetime.date(1, 1, 1),
        datetime.timedelta(days=-3, microseconds=1),
        datetime.timezone(datetime.timedelta(hours=2), "EET"),
        pathlib.Path("/a/b"),
        pathlib.PureWindowsPath("C:\\a"),
        range(0, 10, 2),
        range(2**100, 2**101, 2**99),
        slice(1, None, 2),
        collections.Counter({"a": 2, "b": 1}),
        collections.OrderedDict([("x", 1), ("a", 2)]),
        collections.defaultdict(int, a=1),
        decimal.Decimal("1.10"),
        {"a": {"b": [1, {"c": (None,)}]}, 5: "intkey", (1, 2): "tuplekey"},
        {"$": "tuple", "v": [1]},
        {"a": 1, "$": [[0, 1, 2]], None: {"$": None}},
        {3: 1, "between": 2, None: 3, "\ud83d\ude00": 4, True: 5},
    ],
    ids=ascii,
)
def test_each_kind_of_value_comes_back_the_same_at_every_place(value: Any) -> None:
    check_round_trip({"field": value, "list": [value, [value]], "dict": {"k": value}})
    if type(value).__hash__ is not None and not isinstance(value, slice):
        check_round_trip({"as_key": {value: value}})


def test_fields_may_be_named_like_the_tag() -> None:
    check_round_trip({"$": "tuple", "v": [1], "name": "x"})


def test_plain_values_stay_plain_json_that_sqlite_reaches() -> None:
    info = {
        "name": ["a", "b"],
        "n": 3,
        "f": 1.5,
        "deep": {"x": [{"y": "z"}]},
        "t": (7, 8),
        "d": {"k": 1, 5: 2},
    }
    connection = sqlite3.connect(":memory:")
    found = connection.execute(
        "SELECT json_extract(t, '$.n'), json_extract(t, '$.f'), json_extract(t, '$.deep.x[0].y'),"
        " json_extract(t, '$.name[1]'), json_extract(t, '$.t.v[1]'), json_extract(t, '$.d.k')"
        " FROM (SELECT ? AS t)",
        (encode(info)[0],),
    ).fetchone()
    connection.close()
    assert found == (3, 1.5, "z", "b", 8, 1)


def test_plain_metadata_is_written_as_json_dumps_writes_it() -> None:
    info = {"name": ["a"], "x": None, "y": True, "z": {"a": 1.5, "é": "\n"}}
    assert encode(info)[0] == json.dumps(info, separators=(",", ":"))


def test_equal_sets_give_equal_text() -> None:
    one, two = set(range(0, 16, 8)), set(range(8, -1, -8))  # both fall into one place of a small hash table
    assert list(one) != list(two)
    assert encode({"s": one})[0] == encode({"s": two})[0]


# --------------------------------------------------------------------------- numpy


ARRAYS = [
    np.arange(5),
    np.array([[1.5, 2.5]], dtype=np.float32),
    np.array([math.nan, math.inf, -0.0]),
    np.array([], dtype=np.int8),
    np.zeros((0, 3)),
    np.array(7),
    np.arange(6, dtype=">i4").reshape(2, 3),
    np.asfortranarray(np.arange(6).reshape(2, 3)),
    np.arange(10)[::2],
    np.array([2**63], dtype=np.uint64),
    np.array([True, False]),
    np.array([1 + 2j, complex(math.nan, 0)], dtype=np.complex64),
    np.array(["a", "שלום", "\ud83d\ude00"]),
    np.array([[b"a", b"\xff"]]),
    np.array(["2021-02-03T04:05:06.789", "NaT"], dtype="M8[ns]"),
    np.array([1, 2], dtype=">m8[h]"),
    np.array([{"a": (1,)}, None, [1, 2]], dtype=object),
    np.array([[[1], (2,)], ["x", {3}]], dtype=object),
    np.array([0.1], dtype=np.float16),
]


@pytest.mark.parametrize("array", ARRAYS, ids=repr)
def test_numpy_arrays_come_back_as_arrays(array: Any) -> None:
    text = check_round_trip({"arr": array, "nested": [(array,)]})
    back = decode(text)["arr"]
    assert (back.dtype, back.shape) == (array.dtype, array.shape)


@pytest.mark.parametrize(
    ("scalar", "plain"),
    [
        (np.int64(7), 7),
        (np.uint64(2**64 - 1), 2**64 - 1),
        (np.float64(0.1), 0.1),
        (np.float32(0.1), float(np.float32(0.1))),
        (np.float16(0.5), 0.5),
        (np.longdouble(0.5), 0.5),
        (np.float64("nan"), math.nan),
        (np.bool_(True), True),
        (np.complex64(1 + 2j), 1 + 2j),
        (np.str_("a\0"), "a\0"),
        (np.bytes_(b"a\0"), b"a\0"),
    ],
    ids=repr,
)
def test_numpy_scalars_become_plain_values_and_are_reported(scalar: Any, plain: Any) -> None:
    text, conversions = encode({"result": [0, {"x": scalar}], "keys": {5: {scalar: 1}}})
    assert is_json(text)
    assert same(decode(text), {"result": [0, {"x": plain}], "keys": {5: {plain: 1}}})
    before = f"numpy.{type(scalar).__name__}"
    assert str(conversions[0]) == f"result[1].x: {before} became {type(plain).__name__}"
    assert len(conversions) == 2
    assert conversions[1].path.startswith("keys[5]")


@pytest.mark.parametrize("scalar", [np.datetime64("2021-02-03T04:05:06.789123456"), np.timedelta64(5, "h")])
def test_numpy_times_come_back_as_numpy_times(scalar: Any) -> None:
    check_round_trip({"when": scalar, "all": [scalar]})


@pytest.mark.parametrize(
    "value",
    [
        np.longdouble(1) / 3,
        np.array([1], dtype=np.longdouble),
        np.zeros(2, dtype=[("a", int)]),
        np.ma.masked_array([1], [True]),
        np.dtype(int),
        np.float64,
    ],
    ids=repr,
)
def test_what_of_numpy_cannot_be_kept_is_refused(value: Any) -> None:
    with pytest.raises(MetadataError, match=r"^deep\[0\].x: "):
        encode({"deep": [{"x": value}]})


def test_without_numpy_an_array_is_a_list_that_is_stored_as_an_array_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text, _ = encode({"arrays": ARRAYS})
    monkeypatch.setitem(sys.modules, "numpy", None)  # importing numpy now fails
    info = decode(text)
    assert info["arrays"][0] == [0, 1, 2, 3, 4]
    assert info["arrays"][6] == [[0, 1, 2], [3, 4, 5]]
    assert isinstance(info["arrays"][1], StoredArray)
    assert (info["arrays"][1].dtype, info["arrays"][1].shape) == ("<f4", (1, 2))
    info["arrays"][0][0] = 9
    again, conversions = encode(info)
    assert conversions == []
    monkeypatch.undo()
    assert same(decode(again)["arrays"][0], np.array([9, 1, 2, 3, 4]))
    assert same(decode(again)["arrays"][1:], ARRAYS[1:])


@pytest.mark.parametrize(
    "change", [lambda a: a.append([1]), lambda a: a[0].append(1), lambda a: a[0].insert(0, "x")]
)
def test_a_stored_array_that_is_changed_out_of_shape_becomes_a_list_and_is_reported(change: Any) -> None:
    info = decode(encode({"a": np.arange(4).reshape(2, 2)})[0], numpy=False)
    change(info["a"])
    text, conversions = encode(info)
    assert [str(c) for c in conversions] == ["a: array of <i8 became list"]
    assert same(decode(text)["a"], list(info["a"]))


def test_neither_encoding_nor_decoding_plain_metadata_imports_more_than_json() -> None:
    code = (
        "import sys, sqlite3, json, paraschut_core.errors; before = set(sys.modules)\n"
        "from paraschut_core.database.metadata_json import encode, decode\n"
        "decode(encode({'a': [1, 'x', {'b': None}]})[0])\n"
        "print(*sorted(set(sys.modules) - before))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.split() == ["paraschut_core.database", "paraschut_core.database.metadata_json"]


def test_nothing_imports_numpy_unless_there_is_an_array_to_make() -> None:
    code = (
        "import sys\n"
        "from paraschut_core.database.metadata_json import encode, decode\n"
        "info = decode(encode({'a': (1, {2})})[0]); text = sys.stdin.read(); decode(text, numpy=False)\n"
        "assert 'numpy' not in sys.modules; decode(text); assert 'numpy' in sys.modules"
    )
    text = encode({"arr": np.arange(3)})[0]
    subprocess.run([sys.executable, "-c", code], input=text, text=True, check=True)


# --------------------------------------------------------------------------- what is refused


class Model:
    pass


class Point(NamedTuple):
    x: int


class Colour(enum.IntEnum):
    RED = 1


class Table(dict[str, int]):
    pass


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (
            Model(),
            r"result\[3\]\.model: cannot store an object of type .*Model; keep plain values .* generate_data",
        ),
        (Point(1), r"result\[3\]\.model: .*Point; make it a plain tuple"),
        (Colour.RED, r"result\[3\]\.model: .*Colour; make it a plain int"),
        (Table(), r"result\[3\]\.model: .*Table; make it a plain dict"),
        (len, r"result\[3\]\.model: .*builtin_function_or_method"),
        (collections.defaultdict(lambda: 1), r"result\[3\]\.model: .*defaultdict"),
        ({Model(): 1}, r"result\[3\]\.model\[<Model>\]: "),
        ({(1, "a b"): Model()}, r"result\[3\]\.model\[\(1, 'a b'\)\]: "),
        ({"a b": Model()}, r"result\[3\]\.model\['a b'\]: "),
    ],
)
def test_what_cannot_be_stored_is_refused_with_its_place(value: Any, message: str) -> None:
    with pytest.raises(MetadataError, match=message):
        encode({"name": "x", "result": [0, 1, 2, {"model": value}]})


def cyclic() -> list[Any]:
    one: list[Any] = []
    one.append({"again": one})
    odd: dict[Any, Any] = {}
    odd[1] = (odd,)
    array = np.empty(1, dtype=object)
    array[0] = array
    info: dict[str, Any] = {}
    info["self"] = info
    return [{"loop": one}, {"loop": odd}, {"loop": array}, info]


@pytest.mark.parametrize("info", cyclic(), ids=["list", "dict", "array", "whole"])
def test_what_contains_itself_is_refused(info: Any) -> None:
    with pytest.raises(MetadataError, match=r"^(loop|self).*contains itself"):
        encode(info)


@pytest.mark.parametrize("levels", [MAX_DEPTH, 5000, 200_000])
@pytest.mark.parametrize("wrap", [lambda v: [v], lambda v: {"k": v}, lambda v: (v,), lambda v: {1: v}])
def test_what_is_nested_too_deep_is_refused(wrap: Any, levels: int) -> None:
    value: Any = 1
    for _ in range(levels):
        value = wrap(value)
    with pytest.raises(MetadataError, match="deeper than 100 levels"):
        encode({"deep": value})


@pytest.mark.parametrize(
    "wrap", [lambda v: [v], lambda v: (v,), lambda v: {1: v}, lambda v: collections.OrderedDict({1: v})]
)
def test_the_deepest_nesting_allowed_is_valid_for_sqlite_and_comes_back(wrap: Any) -> None:
    value: Any = 1
    for _ in range(MAX_DEPTH - 1):
        value = wrap(value)
    check_round_trip({"deep": value})


def test_shared_values_are_no_cycles() -> None:
    shared = [1]
    check_round_trip({"a": [shared, shared], "b": (shared, {"c": shared})})


def test_the_limit_stops_a_few_references_from_becoming_a_lot_of_text() -> None:
    value: list[Any] = ["x" * 100]
    for _ in range(40):
        value = [value, value]
    with pytest.raises(MetadataError, match="too large"):
        encode({"bomb": value}, most=1_000_000)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        "[1]",
        '{"a":{"$":"unknown","v":1}}',
        '{"a":{"$":"set","v":[[1]]}}',
        '{"a":{"$":"tuple"}}',
        '{"a":{"$":{},"v":1}}',
        '{"a":{"$":null}}',
        '{"a":{"$":[[1]]}}',
        '{"a":{"$":"ndarray","v":[1],"dtype":"V8","shape":[1]}}',
        '{"a":{"$":"ndarray","v":[1],"dtype":"<i8","shape":[5]}}',
        '{"a":{"$":"ndarray","v":[300],"dtype":"|i1","shape":[1]}}',
        '{"a":{"$":"bytes","v":"a"}}',
        '{"a":{"$":"date","v":"tomorrow"}}',
        '{"a":{"$":"range","v":[1,2,0]}}',
        '{"a":{"$":"Decimal","v":"x"}}',
        '{"a":{"$":"defaultdict","factory":"eval","v":{}}}',
        '{"a":{"$":"ZoneInfo","v":"No/Where"}}',
        '{"a":{"$":"ZoneInfo","v":"../../etc/passwd"}}',
        '{"$":"tuple","v":[]}',
        "{" * 100_000,
        '{"a":' * 100_000,
        '{"a":' + "9" * 6000 + "}",
    ],
    ids=lambda text: text[:40],
)
def test_text_that_cannot_be_read_raises_metadata_error(text: str) -> None:
    if text.endswith("9}") and not hasattr(sys, "set_int_max_str_digits"):
        assert decode(text)["a"] > 0
        return
    with pytest.raises(MetadataError):
        decode(text)
