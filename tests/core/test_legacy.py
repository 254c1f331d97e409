"""A v0.6 database is read whole, value by value, and nothing in it is ever run."""

from __future__ import annotations

import ast
import builtins
import collections
import copyreg
import datetime
import gzip
import hashlib
import importlib
import math
import os
import pathlib
import pickle
import re
import shutil
import sqlite3
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paraschut_core.database.connection import Database
from paraschut_core.database.metadata_json import decode, encode
from paraschut_core.errors import DatabaseError, MetadataError, NotADatabaseError
from paraschut_core.migration_v06.old_database import (
    LegacyBatch,
    LegacyError,
    LegacyJob,
    LegacySpawn,
    read_legacy,
)
from paraschut_core.migration_v06.safe_unpickle import MOST_BYTES, unpack
from paraschut_core.model import JobKey
from tests.metadata import documents, same

DATA = Path(__file__).parent.parent / "legacy"

# --------------------------------------------------------------------------- what v0.6 itself says


def array(values: list[Any], dtype: Any = None) -> Any:
    return np.array(values, dtype=dtype)


NAMESPACE = {
    "__builtins__": {"frozenset": frozenset, "range": range},
    "array": array,
    "float32": np.float32,
    "nan": math.nan,
    "inf": math.inf,
    "datetime": datetime,
    "Counter": collections.Counter,
    "OrderedDict": collections.OrderedDict,
}


def listed(name: str) -> dict[JobKey, dict[str, Any]]:
    """Every job as v0.6 listed it."""
    path = DATA / f"{name}.jobs.txt"
    if path.exists():
        text = path.read_text(encoding="utf-8")
    else:
        text = gzip.decompress(path.with_suffix(".txt.gz").read_bytes()).decode("utf-8")
    jobs: dict[JobKey, dict[str, Any]] = {}
    for batch_id, index, info in re.findall(r"^\((\d+), (\d+)\) (\{.*?\})$(?=\n\(|\n*\Z)", text, re.M | re.S):
        jobs[JobKey(int(batch_id), int(index))] = eval(ast.unparse(ast.parse(info)), NAMESPACE)
    return jobs


def with_spawns(job: LegacyJob, spawns: list[LegacySpawn]) -> dict[str, Any]:
    """A job's metadata with its spawns' lists in it, as v0.6 gives them."""
    own = [entry.spawn for entry in spawns if entry.key == job.key]
    if not own:
        return job.info
    return {
        **job.info,
        "stdout": [spawn.stdout for spawn in own],
        "stderr": [spawn.stderr for spawn in own],
        "ClusterID": [spawn.cluster_id for spawn in own],
        "SpawnID": [spawn.spawn_id for spawn in own],
        "spawn_state": [spawn.state for spawn in own],
    }


@pytest.mark.parametrize(("name", "count"), [("small", 30), ("medium", 2000)])
def test_every_field_of_every_job_is_what_v06_reads(name: str, count: int) -> None:
    expected = listed(name)
    assert len(expected) == count
    with read_legacy(DATA / f"{name}.db") as old:
        jobs = [job for job in old.jobs() if isinstance(job, LegacyJob)]
        spawns = [spawn for spawn in old.spawns() if isinstance(spawn, LegacySpawn)]
        assert old.job_count == count
    assert len(jobs) == count
    assert len(spawns) == {"small": 3, "medium": 30}[name]
    for job in jobs:
        wanted = expected.pop(job.key)
        del wanted["md5"]
        found = with_spawns(job, spawns)
        assert list(found) == list(wanted)
        for field, value in wanted.items():
            assert same(found[field], value), (job.key, field, found[field], value)
    assert expected == {}


@pytest.mark.parametrize("name", ["small", "medium"])
def test_batches_and_states_are_what_v06_prints(name: str) -> None:
    printed = (DATA / f"{name}.get_queue.txt").read_text(encoding="utf-8")
    expected = re.findall(r"^(\d{14}): (.*)\n(\{.*\})$", printed, re.M)
    with read_legacy(DATA / f"{name}.db") as old:
        names = {b.batch_id: b.name for b in old.batches() if isinstance(b, LegacyBatch)}
        jobs = [job for job in old.jobs() if isinstance(job, LegacyJob)]
    assert names == {int(batch_id): title for batch_id, title, _ in expected}
    for batch_id, _, states in expected:
        found: dict[str, list[int]] = {}
        for job in jobs:
            if job.key.batch_id == int(batch_id):
                found.setdefault(job.info["state"], []).append(job.key.job_index)
        assert {state: sorted(indexes) for state, indexes in found.items()} == ast.literal_eval(states)


def test_only_numpy_numbers_change_their_form_and_each_is_noted() -> None:
    with read_legacy(DATA / "small.db") as old:
        notes = {job.key.job_index: job.notes for job in old.jobs() if job.notes}  # type: ignore[union-attr]  # no errors in there
    assert notes[7] == ["np_int: numpy.int64 became int", "np_bool: numpy.bool_ became bool"]
    assert notes[4] == ["result: numpy.float32 became float"]
    assert set(notes) == {0, 1, 2, 3, 4, 7}


def test_the_old_file_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    shutil.copy(DATA / "medium.db", path)
    os.utime(path, (1_000_000_000, 1_000_000_000))
    path.chmod(0o444)
    before = (path.read_bytes(), path.stat().st_mtime_ns, path.stat().st_ino)
    with read_legacy(path) as old:
        list(old.batches()), list(old.jobs()), list(old.spawns())
    assert (path.read_bytes(), path.stat().st_mtime_ns, path.stat().st_ino) == before
    assert [p.name for p in tmp_path.iterdir()] == ["old.db"]


def test_numpy_is_not_imported_where_it_is_not_and_arrays_are_kept(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['numpy'] = None\n"
        "from paraschut_core.migration_v06.old_database import read_legacy\n"
        "from paraschut_core.database.metadata_json import encode\n"
        "jobs = {job.key.job_index: job for job in read_legacy(sys.argv[1]).jobs()"
        " if job.key.batch_id == 20210101120000}\n"
        "assert jobs[7].info['arr'] == [0, 1, 2, 3, 4] and jobs[3].info['result'] == 50.183325\n"
        "print(encode(jobs[7].info)[0])"
    )
    out = subprocess.run(
        [sys.executable, "-c", code, DATA / "small.db"], capture_output=True, text=True, check=True
    ).stdout
    info = decode(out)
    assert same(info["arr"], np.arange(5))
    assert same(info["arr2"], np.array([[1.5, 2.5]], dtype=np.float32))


# --------------------------------------------------------------------------- a database of one's own


class OldDatabase:
    """Writes a v0.6 database."""

    def __init__(self, path: Path) -> None:
        self.path = path
        connection = sqlite3.connect(path)
        connection.executescript(
            "CREATE TABLE batch(BatchID INT PRIMARY KEY, name TEXT NOT NULL, batch_type TEXT NOT NULL);"
            "CREATE TABLE job(idx INTEGER PRIMARY KEY AUTOINCREMENT, BatchID INT NOT NULL,"
            " JobIndex INT NOT NULL, state TEXT NOT NULL, priority INT NOT NULL, metadata TEXT NOT NULL,"
            " md5 TEXT NOT NULL);"
            "CREATE TABLE spawn(idx INTEGER PRIMARY KEY AUTOINCREMENT, BatchID INT NOT NULL,"
            " JobIndex INT NOT NULL, SpawnID INT NOT NULL, ClusterID TEXT NOT NULL, stdout TEXT NOT NULL,"
            " stderr TEXT NOT NULL, spawn_state TEXT NOT NULL);"
            "INSERT INTO batch VALUES (1, 'a/b', 'foo')"
        )
        connection.close()

    def execute(self, sql: str, *values: object) -> None:
        connection = sqlite3.connect(self.path)
        with connection:
            connection.execute(sql, values)
        connection.close()

    def add(self, index: int, blob: bytes, md5: str = "", **columns: object) -> None:
        row = {"BatchID": 1, "state": "init", "priority": 1, **columns}
        self.execute(
            "INSERT INTO job (BatchID, JobIndex, state, priority, metadata, md5) VALUES (?, ?, ?, ?, ?, ?)",
            row["BatchID"], index, row["state"], row["priority"], blob, md5 or hashlib.md5(blob).hexdigest(),
        )  # fmt: skip

    def add_info(
        self,
        index: int,
        fields: Mapping[str, Any] | None = None,
        *,
        md5: str = "",
        columns: Mapping[str, object] | None = None,
    ) -> None:
        info = {"BatchID": 1, "JobIndex": index, "priority": 1, "name": ["a", "b"], "batch_type": "foo"}
        info |= {"state": "init", **(fields or {})}
        self.add(index, zlib.compress(pickle.dumps(info, 4)), md5, **(columns or {}))

    def jobs(self) -> list[LegacyJob | LegacyError]:
        with read_legacy(self.path) as old:
            return list(old.jobs())

    def job(self) -> LegacyJob:
        (job,) = self.jobs()
        assert isinstance(job, LegacyJob), job
        return job


@pytest.fixture
def old(tmp_path: Path) -> OldDatabase:
    return OldDatabase(tmp_path / "old.db")


def test_a_bad_row_is_named_and_the_others_go_on(old: OldDatabase) -> None:
    old.add_info(0)
    old.add(1, b"no zlib")
    old.add(2, zlib.compress(b"no pickle"))
    old.add(3, zlib.compress(pickle.dumps([1])))
    old.add(4, zlib.compress(pickle.dumps({}))[:-3])
    old.add(5, b"")
    old.add_info(6)
    jobs = old.jobs()
    assert [type(job) for job in jobs] == [LegacyJob, *[LegacyError] * 5, LegacyJob]
    errors = [job for job in jobs if isinstance(job, LegacyError)]
    assert [error.row for error in errors] == [f"job row {i + 1} (1/{i})" for i in range(1, 6)]
    assert "a list, not a dict" in errors[2].message
    assert "cut off" in errors[3].message
    assert all(error.message.startswith("its metadata cannot be taken over: ") for error in errors)


def test_columns_of_a_wrong_type_are_named(old: OldDatabase) -> None:
    wrong: list[dict[str, object]] = [
        {"BatchID": "x"}, {"state": b"\xff"}, {"priority": "high"}, {"BatchID": 1.5}
    ]  # fmt: skip
    for columns in wrong:
        old.add_info(0, columns=columns)
    old.add_info(1)
    old.execute("INSERT INTO job VALUES (90, 1, 2, CAST(x'ff' AS TEXT), 1, x'00', '')")
    old.execute("INSERT INTO job VALUES (91, 1, 3, 'init', 1, 'text', '')")
    messages = [job.message if isinstance(job, LegacyError) else "" for job in old.jobs()]
    for message, words in zip(
        messages,
        [
            "BatchID is 'x'",
            "state is b'\\xff'",
            "priority is 'high'",
            "BatchID is 1.5",
            "",
            "UTF-8",
            "not packed",
        ],
        strict=True,
    ):
        assert words in message


def test_a_wrong_checksum_is_noted_on_a_row_that_reads_and_told_of_one_that_does_not(
    old: OldDatabase,
) -> None:
    old.add_info(0, {"result": 1}, md5="0" * 32)
    old.add(1, b"damaged", md5="0" * 32)
    good, bad = old.jobs()
    assert isinstance(good, LegacyJob)
    assert good.info["result"] == 1
    assert "checksum is wrong" in good.notes[0]
    assert isinstance(bad, LegacyError)
    assert "checksum is wrong" in bad.message


def test_where_columns_and_metadata_differ_the_columns_count(old: OldDatabase) -> None:
    fields = {"state": "run", "priority": np.float64(2), "JobIndex": 5}
    old.add_info(3, fields, columns={"state": "init", "priority": 2})
    job = old.job()
    assert job.key == (1, 3)
    assert (job.info["state"], job.info["JobIndex"]) == ("init", 3)
    assert same(job.info["priority"], 2.0)
    assert job.notes == [
        "priority: numpy.float64 became float",
        "JobIndex: 5 in the metadata, 3 in its column, which counts",
        "state: 'run' in the metadata, 'init' in its column, which counts",
    ]


def test_fields_that_are_missing_are_taken_from_the_columns(old: OldDatabase) -> None:
    old.add(0, zlib.compress(pickle.dumps({"name": "x"})), state="complete", priority=0.5)
    job = old.job()
    assert job.info == {"name": "x", "BatchID": 1, "JobIndex": 0, "state": "complete", "priority": 0.5}
    assert len(job.notes) == 4


def test_fields_with_a_name_that_is_ours_get_another_and_md5_goes(old: OldDatabase) -> None:
    info = {"rev": 1, "rev_": 2, "attempt": "x", "token": None, "md5": "of itself"}
    old.add(0, zlib.compress(pickle.dumps(info)))
    job = old.job()
    assert list(job.info.items())[:4] == [("rev__", 1), ("rev_", 2), ("attempt_", "x"), ("token_", None)]
    assert "md5" not in job.info
    assert job.notes[0].startswith("rev: renamed to rev__")


def test_of_two_jobs_with_one_number_the_first_counts(old: OldDatabase) -> None:
    for n in range(2):
        old.add_info(4, {"n": n})
    first, second = old.jobs()
    assert isinstance(first, LegacyJob)
    assert first.info["n"] == 0
    assert second == LegacyError("job row 2 (1/4)", "has the number of another job, in row 1")


def test_a_batch_without_a_row_is_made_from_its_jobs(old: OldDatabase) -> None:
    old.add(0, b"unreadable", BatchID=7)
    old.add_info(1, {"BatchID": 7, "name": ["c", "d"]}, columns={"BatchID": 7})
    with read_legacy(old.path) as database:
        _, batch = database.batches()
    assert isinstance(batch, LegacyBatch)
    assert batch[:3] == (7, "c/d", "foo")
    assert "7/1" in batch.notes[0]


def test_a_spawn_id_given_twice_is_given_once(old: OldDatabase) -> None:
    for spawn_id, cluster_id in [(0, "a"), (2, "b"), (2, "c"), (0, "")]:
        old.execute("INSERT INTO spawn VALUES (NULL, 1, 0, ?, ?, 'o', 'e', 'run')", spawn_id, cluster_id)
    old.execute("INSERT INTO spawn VALUES (NULL, 1, 0, 'x', 'a', 'o', 'e', 'run')")
    with read_legacy(old.path) as database:
        error, *spawns = database.spawns()
    assert isinstance(error, LegacyError)
    assert "SpawnID is 'x'" in error.message
    assert [(s.spawn.spawn_id, s.spawn.cluster_id) for s in spawns if isinstance(s, LegacySpawn)] == [
        (0, "a"), (2, "b"), (3, "c"), (4, None),
    ]  # fmt: skip
    assert "given twice" in spawns[2].notes[0]  # type: ignore[union-attr]  # seen above to be a spawn


def test_a_damaged_page_costs_only_the_rows_on_it(old: OldDatabase) -> None:
    for index in range(300):
        old.add_info(index, {"text": os.urandom(200)})
    data = bytearray(old.path.read_bytes())
    size = int.from_bytes(data[16:18], "big")
    page = len(data) // size // 2 * size
    data[page : page + size] = b"\xee" * size
    old.path.write_bytes(data)
    jobs = old.jobs()
    good = [job for job in jobs if isinstance(job, LegacyJob)]
    assert 50 < len(good) < 300
    assert any(isinstance(job, LegacyError) for job in jobs)


# --------------------------------------------------------------------------- other files


def test_what_is_no_v06_database_is_told_apart(tmp_path: Path) -> None:
    new, text, foreign = tmp_path / "new.db", tmp_path / "text.db", tmp_path / "foreign ?#%.db"
    Database(new, create=True).connection.close()
    text.write_text("no database " * 100)
    connection = sqlite3.connect(foreign)
    connection.execute("CREATE TABLE job (x)")
    connection.close()
    with pytest.raises(NotADatabaseError, match="of this Paraschut"):
        read_legacy(new)
    with pytest.raises(NotADatabaseError, match="not an SQLite database"):
        read_legacy(text)
    with pytest.raises(NotADatabaseError, match=r"not a database of Paraschut 0\.6: it has no batch"):
        read_legacy(foreign)
    with pytest.raises(DatabaseError, match="no database"):
        read_legacy(tmp_path / "nowhere.db")
    with pytest.raises(DatabaseError, match="no database"):
        read_legacy(tmp_path)


# --------------------------------------------------------------------------- unpickling


def read_back(value: Any, protocol: int) -> Any:
    return decode(encode({"x": unpack(zlib.compress(pickle.dumps(value, protocol)))})[0])["x"]


@settings(max_examples=300, deadline=None)
@given(documents, st.integers(2, 5))
def test_whatever_can_be_stored_can_be_taken_over_from_any_protocol(
    info: dict[str, Any], protocol: int
) -> None:
    as_pickle_keeps_it = pickle.loads(pickle.dumps(info, protocol))  # it loses `fold` up to protocol 3
    assert same(read_back(info, protocol), as_pickle_keeps_it)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize(
    "value",
    [
        np.arange(6).reshape(2, 3),
        np.asfortranarray(np.arange(24).reshape(2, 3, 4)),
        np.arange(24).reshape(2, 3, 4).transpose(1, 0, 2),
        np.array(3.5),
        np.zeros((0, 2)),
        np.array([1, 2], dtype=">i4"),
        np.array([1.5], dtype=np.float16),
        np.array([1 + 2j], dtype=np.complex64),
        np.array([True]),
        np.array(["ab", "שלום"]),
        np.array([b"ab", b""]),
        np.array(["2021-02-03", "NaT"], dtype="M8[D]"),
        np.array([3], dtype="m8[15m]"),
        np.array([{"a": (1, np.array([2]))}, None, [1]], dtype=object),
        np.asfortranarray(np.array([[1, "a"], [None, 2.5]], dtype=object)),
        np.datetime64("2021-02-03T04:05"),
        {(1, 2.5): {"k"}},
        pathlib.PurePosixPath("/a/b"),
    ],
    ids=repr,
)
def test_arrays_are_rebuilt_from_every_protocol(value: Any, protocol: int) -> None:
    assert same(read_back(value, protocol), value)


@pytest.mark.parametrize(
    ("scalar", "plain"),
    [(np.int8(-3), -3), (np.uint64(2**63), 2**63), (np.float32(0.5), 0.5), (np.bool_(False), False),
     (np.complex128(1j), 1j), (np.str_("aא"), "aא"), (np.bytes_(b"\xff"), b"\xff")],
    ids=repr,
)  # fmt: skip
def test_numpy_scalars_become_plain_values(scalar: Any, plain: Any) -> None:
    assert same(read_back({"a": [scalar], (scalar, 1): scalar}, 4), {"a": [plain], (plain, 1): plain})


def test_shared_values_and_strings_of_the_memo_are_read() -> None:
    shared = ["x" * 300]
    assert same(read_back([shared, shared, {"k": shared}], 3), [shared, shared, {"k": shared}])


@pytest.mark.parametrize(
    "value",
    [
        np.longdouble(1),
        np.zeros(1, dtype=[("a", int)]),
        np.ma.masked_array([1], [True]),
        np.dtype(int),
        np.float64,
    ],
    ids=repr,
)
def test_what_of_numpy_cannot_be_taken_over_is_refused(value: Any) -> None:
    with pytest.raises(MetadataError):
        read_back([value], 4)


# --------------------------------------------------------------------------- hostile pickles


class Call:
    """Pickles as a call of anything."""

    def __init__(self, call: Callable[..., object], *arguments: object, state: object = None) -> None:
        self.reduced = (call, arguments) if state is None else (call, arguments, state)

    def __reduce__(self) -> Any:
        return self.reduced


def text(value: str) -> bytes:
    return b"\x8c" + bytes([len(value)]) + value.encode()


def glob(module: str, name: str) -> bytes:
    return text(module) + text(name) + b"\x93"


def number(value: int, size: int) -> bytes:
    return value.to_bytes(size, "little")


START = b"\x80\x04"
HUGE = number(10**10, 8)
ORDERED = glob("collections", "OrderedDict")
SCALAR = glob("numpy.core.multiarray", "scalar")
RANGE = glob("builtins", "range") + b"J\xff\xff\xff\x7f\x85R"
STRUCTURE = b"(K\x03" + text("<") + b"NN}K\x08K\x08K\x00tb"
MATRIX = glob("numpy.core.multiarray", "_reconstruct") + glob("numpy", "matrix")
NEW_ARRAY = glob("numpy.core.multiarray", "_reconstruct") + glob("numpy", "ndarray") + b"K\x00\x85C\x01b\x87R"


def dtype(code: str, state: bytes = b"") -> bytes:
    return glob("numpy", "dtype") + text(code) + b"\x89\x88\x87R" + state


def array_of(shape: bytes, kind: bytes, raw: bytes) -> bytes:
    return NEW_ARRAY + b"(K\x01" + shape + kind + b"\x89" + raw + b"tb."


def deep(levels: int) -> bytes:
    return b")" + b"\x85" * levels


def doubled(levels: int) -> bytes:
    """A tuple of two of a tuple of two of ...: small in memory, and it takes 2**levels steps to hash."""
    return b"K\x01" + b"".join(b"\x94h" + bytes([i]) + b"\x86" for i in range(levels))


def doubled_lists(levels: int) -> bytes:
    return b"]" + b"".join(b"\x94]h" + bytes([i]) + b"ah" + bytes([i]) + b"a" for i in range(levels))


RAW = {
    "persistent id": b"K\x01Q.",
    "persistent id as text": b"Pabc\n.",
    "extension": b"\x82\x01.",
    "extension of 4 bytes": b"\x84\x01\x00\x00\x00.",
    "new object": ORDERED + b")\x81.",
    "new object with names": ORDERED + b")}\x92.",
    "instance of protocol 0": b"(ios\nsystem\n.",
    "object of protocol 1": b"(" + ORDERED + b"o.",
    "buffer outside": b"\x97.",
    "read-only buffer": b"C\x01a\x98.",
    "decimal number": b"I" + b"9" * 100_000 + b"\n.",
    "string of Python 2": b"S'a'\n.",
    "duplicate": b"]2.",
    "attributes of a class by state": ORDERED + b"}" + text("fromkeys") + b"K\x01sb.",
    "attributes of a class by slots": ORDERED + b"N}" + text("__init__") + b"K\x01s\x86b.",
    "attributes of a numpy number": SCALAR + dtype("i1") + b"C\x01a\x86RN}" + text("dtype") + b"Ns\x86b.",
    "zeroth of January": glob("datetime", "date") + b"C\x04\x07\xe4\x01\x00\x85R.",
    "25 o'clock": glob("datetime", "time") + b"C\x06\x19\x00\x00\x00\x00\x00\x85R.",
    "attributes of a list": b"]N}" + text("append") + b"K\x01s\x86b.",
    "append to a class": ORDERED + b"K\x01a.",
    "item of a class": ORDERED + b"K\x01K\x02s.",
    "attribute lookup": glob("builtins", "getattr") + ORDERED + text("fromkeys") + b"\x86R.",
    "attribute lookup by a dotted name": glob("collections", "OrderedDict.fromkeys") + b"]\x85R.",
    "list of a range": glob("builtins", "list") + RANGE + b"\x85R.",
    "set of a range": glob("builtins", "set") + RANGE + b"\x85R.",
    "frozenset of a range": glob("builtins", "frozenset") + RANGE + b"\x85R.",
    "Counter of a range": glob("collections", "Counter") + RANGE + b"\x85R.",
    "bytes of a number": glob("builtins", "bytes") + b"\x8a\x05" + number(10**10, 5) + b"\x85R.",
    "bytearray of a number": glob("builtins", "bytearray") + b"\x8a\x05" + number(10**10, 5) + b"\x85R.",
    "integer of text": glob("builtins", "int") + text("9" * 200) + b"\x85R.",
    "defaultdict of a call": glob("collections", "defaultdict") + ORDERED + b"\x85R.",
    "memo far away": b"K\x01r" + number(2**31, 4) + b".",
    "memo that is not there": b"j" + number(2**31, 4) + b".",
    "huge frame": b"\x95" + HUGE + b"K\x01.",
    "huge bytes": b"\x8e" + HUGE + b"a.",
    "huge bytearray": b"\x96" + HUGE + b"a.",
    "huge text": b"\x8d" + HUGE + b"a.",
    "huge number": b"\x8b" + number(2**31 - 1, 4) + b"a.",
    "negative length": b"\x8b" + number(2**32 - 1, 4) + b"a.",
    "deep tuple": deep(1_000_000) + b".",
    "deep tuple as a key": b"}" + deep(1_000_000) + b"K\x01s.",
    "deep list": b"]" * 1_000_000 + b"a" * 999_999 + b".",
    "doubled tuple as a key": b"}" + doubled(60) + b"K\x01s.",
    "doubled tuple in a set": b"\x8f(" + doubled(60) + b"\x90.",
    "doubled tuple in a frozenset": b"(" + doubled(60) + b"\x91.",
    "doubled tuple": doubled(60) + b".",
    "doubled lists": doubled_lists(60) + b".",
    "list in itself": b"]\x94h\x00a.",
    "huge array": array_of(b"\x8a\x06" + number(10**12, 6) + b"\x85", dtype("i8"), b"C\x00"),
    "array of the wrong size": array_of(b"K\x09\x85", dtype("i8"), b"C\x01a"),
    "array of a negative shape": array_of(b"J\xff\xff\xff\xff\x85", dtype("i8"), b"C\x00"),
    "array of no shape": array_of(b"N", dtype("i8"), b"C\x00"),
    "array of no type": array_of(b"K\x01\x85", b"N", b"C\x01a"),
    "objects from bytes": array_of(b"K\x01\x85", dtype("O8"), b"C\x08aaaaaaaa"),
    "object array in itself": NEW_ARRAY + b"\x94(K\x01K\x01\x85" + dtype("O8") + b"\x89]h\x00atb.",
    "structured type": SCALAR + dtype("V8") + b"C\x08aaaaaaaa\x86R.",
    "structure by state": SCALAR + dtype("i8", STRUCTURE) + b"C\x08aaaaaaaa\x86R.",
    "unknown type": SCALAR + dtype("x" * 50) + b"C\x08aaaaaaaa\x86R.",
    "type of a huge text": SCALAR + dtype("U999999999") + b"C\x04aaaa\x86R.",
    "matrix": MATRIX + b"K\x00\x85C\x01b\x87R.",
    "nothing": b"",
    "no end": b"K\x01",
    "end of nothing": b".",
    "mark": b"(.",
    "unknown instruction": b"\xff.",
}  # fmt: skip


@pytest.mark.parametrize("name", RAW)
def test_a_hostile_pickle_is_refused_before_it_does_harm(name: str) -> None:
    begin = time.monotonic()
    with pytest.raises(MetadataError):
        encode({"x": unpack(zlib.compress(START + RAW[name]))}, most=1_000_000)
    assert time.monotonic() - begin < 60  # most would take years, or all memory


def test_an_instance_that_is_given_attributes_is_stored_without_them() -> None:
    shadowed = ORDERED + b")RN}" + text("items") + glob("builtins", "set") + b"s\x86bK\x01K\x02s."
    assert same(
        decode(encode({"x": unpack(zlib.compress(START + shadowed))})[0])["x"],
        collections.OrderedDict({1: 2}),
    )


def test_the_unpickler_changed_no_class() -> None:
    assert collections.OrderedDict.fromkeys("a") == {"a": None}
    assert list(collections.OrderedDict(a=1).items()) == [("a", 1)]


RECONSTRUCTOR = copyreg._reconstructor  # type: ignore[attr-defined]  # what protocols 0 and 1 call


def calls(target: Path) -> dict[str, object]:
    """Pickles that would make a file if they were run."""
    command, code = f"touch {target}", f"open({str(target)!r}, 'w').close()"
    return {
        "os.system": Call(os.system, command),
        "subprocess": Call(subprocess.Popen, ["touch", str(target)]),
        "eval": Call(eval, code),
        "exec": Call(exec, code),
        "open": Call(open, str(target), "w"),
        "import": Call(builtins.__import__, "antigravity"),
        "getattr": Call(getattr, os.system, "__self__"),
        "nested pickle": Call(pickle.loads, pickle.dumps(Call(os.system, command))),
        "pathlib": Call(Path.touch, target),
        "deep inside": {"a": [(1, {2: Call(os.system, command)})]},
        "a class with a state": Call(collections.OrderedDict, state=Call(os.system, command)),
        "a module": Call(importlib.import_module, "this"),
        "compiled code": Call(compile, code, "x", "exec"),
        "reconstructor": Call(RECONSTRUCTOR, Call, object, None),
        "numpy file": Call(np.fromfile, "/etc/passwd"),
        "numpy code": Call(np.load, "x.npy", None, True),
    }


@pytest.mark.parametrize("name", calls(Path("x")))
@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_code_in_a_pickle_is_not_run_and_the_row_is_named(name: str, protocol: int, old: OldDatabase) -> None:
    target = old.path.parent / "ran"
    old.add(0, zlib.compress(pickle.dumps({"x": calls(target)[name]}, protocol)))
    old.add_info(1)
    bad, good = old.jobs()
    assert isinstance(bad, LegacyError), bad
    assert bad.row == "job row 1 (1/0)"
    assert isinstance(good, LegacyJob)
    assert not target.exists()


def test_the_message_names_the_global_that_is_refused() -> None:
    with pytest.raises(MetadataError, match=r"an object of posix\.system, which cannot be taken over"):
        unpack(zlib.compress(pickle.dumps(Call(os.system, "true"))))
    with pytest.raises(MetadataError, match=r"an object of .*test_legacy\.OldDatabase, which cannot"):
        unpack(zlib.compress(pickle.dumps([object.__new__(OldDatabase)])))


def test_few_bytes_do_not_unpack_to_many() -> None:
    bomb = zlib.compressobj(9)
    blob = b"".join(bomb.compress(bytes(1 << 20)) for _ in range((MOST_BYTES >> 20) + 8)) + bomb.flush()
    assert len(blob) < 1 << 20
    with pytest.raises(MetadataError, match="more than 64 MB"):
        unpack(blob)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60), documents, st.integers(0, 5000), st.integers(0, 255))
def test_random_bytes_give_a_value_or_a_metadata_error(
    junk: bytes, info: dict[str, Any], place: int, byte: int
) -> None:
    good = bytearray(pickle.dumps(info, 4))
    good[place % len(good)] = byte
    for data in (START + junk + b".", bytes(good)):
        try:
            encode({"x": unpack(zlib.compress(data))}, most=1_000_000)
        except MetadataError:
            pass


def test_large_honest_metadata_is_read(old: OldDatabase) -> None:
    info = {"table": [{"gene": f"g{i}", "score": i / 7} for i in range(5000)], "arr": np.arange(100_000.0)}
    old.add_info(0, info)
    job = old.job()
    assert same({field: job.info[field] for field in info}, info)


def test_a_float_is_the_same_bit_by_bit() -> None:
    values = [struct.unpack("<d", struct.pack("<q", bits))[0] for bits in (1, -1 << 63, 0x3FB999999999999A)]
    assert same(read_back(values, 4), values)
