"""Runs on the SQLite of Enterprise Linux 8: 3.26, made here from its sources; an older one is said first."""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
import sys
import tarfile
import textwrap
from pathlib import Path

import pytest

from tests.earlier import as_job, run_earlier
from tests.helpers import BATCH, ROOT, ProjectDir, assert_sound, run_script

PACKAGE = "better-sqlite3@5.2.1"
"""A package of npm's that holds the sources of SQLite 3.26.0."""
SHA256 = "a8e1cd40565f580423326b84c5870c21457e91f2844da1e49f9be672b3b9fd61"
OPTIONS = (
    "-O0 -w -fPIC -shared -DSQLITE_ENABLE_JSON1 -DSQLITE_ENABLE_DESERIALIZE -DSQLITE_ENABLE_COLUMN_METADATA"
    " -DSQLITE_THREADSAFE=1 -DHAVE_USLEEP=1"
)

# Tests that run a second time, on the old library; those that try speed or many processes find nothing there.
AGAIN = ("test_connection", "test_history", "test_changes", "test_api_spawns")
ONCE = "not does_not_grow and not forty_real_processes"

pytestmark = pytest.mark.xdist_group("old sqlite")


@pytest.fixture(scope="session")
def old_library(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment in which a Python finds SQLite 3.26.0; the library is made once in a test run."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "sqlite-3.26.0"
    folder.mkdir(exist_ok=True)
    made = folder / "libsqlite3.so.0"
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            try:
                make(folder, made)
            except (OSError, subprocess.CalledProcessError) as error:
                if os.environ.get("CI"):
                    raise
                pytest.skip(f"SQLite 3.26.0 cannot be made here: {error}")
    environment = {"LD_PRELOAD": str(made)}
    found = run_script("import sqlite3; print(sqlite3.sqlite_version)", **environment).strip()
    if found != "3.26.0" and not os.environ.get("CI"):
        pytest.skip(f"this Python does not take another SQLite than its own, {found}")
    assert found == "3.26.0"
    return environment


def make(folder: Path, target: Path) -> None:
    """Fetches the sources with npm and compiles them."""
    subprocess.run(
        ["npm", "pack", "--silent", PACKAGE], cwd=folder, check=True, capture_output=True, timeout=120
    )
    (packed,) = folder.glob("*.tgz")
    assert hashlib.sha256(packed.read_bytes()).hexdigest() == SHA256
    with tarfile.open(packed) as package:
        package.extract("package/deps/sqlite3.tar.gz", folder)
    with tarfile.open(folder / "package/deps/sqlite3.tar.gz") as sources:
        sources.extract("sqlite3.c", folder)
    half = folder / "half.so"
    command = ["cc", *OPTIONS.split(), "sqlite3.c", "-o", str(half), "-lpthread", "-ldl", "-lm"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=240)
    half.replace(target)


@pytest.mark.timeout(600)
def test_the_tests_of_the_database_pass_on_it(old_library: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-n", "0", "-p", "no:cacheprovider", "-k", ONCE]
        + [f"tests/core/{name}.py" for name in AGAIN],
        cwd=ROOT,
        env={**os.environ, **old_library},
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:]
    assert " passed" in done.stdout


WRITE = f"""
    from paraschut_core.database.connection import Database
    with Database("jobs.db") as db, db.transaction() as tx:
        tx.connection.execute("UPDATE job SET state = 'run', rev = ? WHERE BatchID = {BATCH}", (tx.rev,))
"""


def test_it_reads_a_file_of_an_earlier_version_and_mends_its_triggers_when_it_writes(
    project: ProjectDir, old: Path, old_library: dict[str, str]
) -> None:
    before = old.read_bytes()
    code = """
        from paraschut_core.database.connection import Database
        with Database("jobs.db", read_only=True) as db:
            print(db.rows("SELECT count(*) FROM job_view"), db.rows("SELECT sum(n) FROM counter"))
    """
    assert run_script(code, **old_library) == "[(3,)] [(3,)]\n"
    assert old.read_bytes() == before
    run_script(WRITE, **old_library)
    assert_sound(old)
    names = [name for (name,) in project.sql("SELECT name FROM sqlite_master WHERE type = 'trigger'")]
    assert sorted(names) == sorted(set(names)), "none is there twice"
    assert project.sql("SELECT count(*) FROM sqlite_master WHERE sql LIKE '%CONFLICT DO UPDATE%'") == [(0,)]
    run_script(WRITE.replace("'run'", "'submit'"))
    run_script(WRITE.replace("'run'", "'failed'"), **old_library)
    assert_sound(old)


def test_a_job_of_the_earlier_version_ends_in_a_file_whose_triggers_it_mended(
    project: ProjectDir, old: Path, earlier: Path, old_library: dict[str, str]
) -> None:
    run_script(WRITE, **old_library)
    project.sql("UPDATE job SET state = 'submit'")
    run_earlier(earlier, "import paraschut_core as psu\npsu.set_complete()", **as_job(1))
    assert project.state(1) == "complete"
    assert_sound(old)


def test_what_no_old_sqlite_knows_is_explained(project: ProjectDir, old_library: dict[str, str]) -> None:
    project.add(project.job())
    code = """
        import paraschut_core as psu
        psu.get_queue(Filter="metadata ->> '$.name' = 'a'")
    """
    with pytest.raises(
        AssertionError, match=r"SQLite 3\.26\.0, this Python's, has no ->>: write json_extract"
    ):
        run_script(code, **old_library)


@pytest.mark.parametrize(
    ("lie", "said"),
    [
        ("sqlite3.sqlite_version_info = (3, 25, 3)", "needs 3.26 or newer"),
        ("sqlite_library.JSON_BUILT_IN = (9,); sqlite3.connect = no_json", "built with its JSON functions"),
    ],
)
def test_a_library_that_cannot_be_used_is_said_first_and_leaves_no_file(
    project: ProjectDir, lie: str, said: str
) -> None:
    project.database.write_bytes(b"no database at all")
    commands = (["init"], ["add", "--name", "a", "true"], ["queue"], ["doctor"])
    code = f"""
        import sqlite3
        from paraschut_core.cli import main
        from paraschut_core.database import sqlite_library
        connect = sqlite3.connect
        def no_json(*a, **k):
            connection = connect(*a, **k)
            connection.set_authorizer(lambda kind, one, two, *_: 1 if "json" in str(two) else 0)
            return connection
        {lie}
        for command in {commands}:
            print("exit status", main(["--db", "new.db", *command]), flush=True)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=True,
    )
    said_of_each = done.stdout.split("exit status 1\n")
    assert [said in text for text in said_of_each] == [True] * len(commands) + [False], said_of_each
    assert "damaged" not in "".join(said_of_each)
    assert not Path("new.db").exists()
