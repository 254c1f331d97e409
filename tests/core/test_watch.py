"""Changes of the file are noticed, whoever makes them, and whatever becomes of the file."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from paraschut_core.database.connection import Database
from paraschut_core.monitoring import file_watcher
from paraschut_core.monitoring.file_watcher import ChangeDetector, changes
from tests.helpers import run_script


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "jobs.db"
    with Database(path, create=True) as db:
        assert db.connection
    return path


def write(path: Path) -> None:
    with Database(path) as db, db.transaction() as tx:
        tx.connection.execute("INSERT INTO tombstone VALUES (?, 1)", (tx.rev,))


@pytest.fixture
def detector(path: Path) -> ChangeDetector:
    made = ChangeDetector(str(path))
    made.changed()
    assert not made.changed()
    return made


def test_a_commit_is_a_change_once(path: Path, detector: ChangeDetector) -> None:
    write(path)
    assert detector.changed()
    assert not detector.changed()
    detector.close()


def test_a_commit_of_another_process_is_a_change(path: Path, detector: ChangeDetector) -> None:
    run_script(
        """
        import sqlite3, sys
        other = sqlite3.connect(sys.argv[1])
        other.execute("UPDATE revision SET rev = 9")
        other.commit()
        """,
        path,
    )
    assert detector.changed()
    detector.close()


def test_a_rollback_is_none(path: Path, detector: ChangeDetector) -> None:
    with pytest.raises(ZeroDivisionError), Database(path) as db, db.transaction() as tx:
        tx.connection.execute("INSERT INTO tombstone VALUES (1, 1)")
        raise ZeroDivisionError
    assert not detector.changed()
    detector.close()


def test_a_replaced_file_is_a_change_and_so_is_what_is_written_to_it(
    path: Path, detector: ChangeDetector
) -> None:
    other = path.with_name("other.db")
    Database(other, create=True).rows("SELECT 1")
    os.replace(other, path)
    assert detector.changed()
    assert not detector.changed()
    write(path)
    assert detector.changed()
    detector.close()


def test_a_removed_file_is_a_change_and_its_return_is_one(path: Path, detector: ChangeDetector) -> None:
    content = path.read_bytes()
    path.unlink()
    assert detector.changed()
    assert not detector.changed()
    path.write_bytes(content)
    assert detector.changed()
    assert not detector.changed()
    write(path)
    assert detector.changed()
    detector.close()


def test_a_file_that_is_no_database_any_more_raises_nothing(path: Path, detector: ChangeDetector) -> None:
    path.unlink()
    path.write_text("not a database, but longer than a hundred bytes " * 9)
    detector.changed()
    detector.close()


def test_a_file_locked_for_writing_counts_as_changed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    detector = ChangeDetector(str(path))
    detector._database.timeout = 0.1
    detector.changed()
    blocker = sqlite3.connect(path, isolation_level=None)
    blocker.execute("BEGIN EXCLUSIVE")
    assert detector.changed()
    blocker.execute("COMMIT")
    blocker.close()
    assert detector.changed()
    assert not detector.changed()
    detector.close()


# ------------------------------------------------------------------------------------ as an async iterator


async def next_change(iterator: AsyncIterator[None], seconds: float = 30.0) -> None:
    await asyncio.wait_for(anext(iterator), seconds)


@pytest.mark.parametrize("inotify", [True, False])
async def test_changes_come_with_inotify_and_without_it(
    path: Path, inotify: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without: as on a network file system, where inotify sees no writer of another host."""
    if not inotify:

        async def nothing(path: str, nudge: asyncio.Event) -> None:
            await asyncio.Event().wait()

        monkeypatch.setattr(file_watcher, "_nudges", nothing)
        monkeypatch.setattr(file_watcher, "LOOK_SECONDS", 0.05)
    iterator = changes(str(path))
    for _ in range(3):
        change = asyncio.ensure_future(next_change(iterator))
        await asyncio.sleep(0)
        writer = asyncio.get_running_loop().run_in_executor(None, write_until, path, change.done)
        await change
        await writer
    await iterator.aclose()  # type: ignore[attr-defined]  # it is an async generator


def write_until(path: Path, done: Callable[[], bool]) -> None:
    """Writes until somebody has noticed: the iterator may not be watching yet."""
    import time

    end = time.monotonic() + 30
    while not done() and time.monotonic() < end:
        write(path)
        time.sleep(0.05)


async def test_an_abandoned_iterator_leaves_no_thread(path: Path) -> None:
    import threading

    iterator = changes(str(path))
    change = asyncio.ensure_future(next_change(iterator))
    await asyncio.sleep(0.05)
    change.cancel()
    await asyncio.gather(change, return_exceptions=True)
    await iterator.aclose()  # type: ignore[attr-defined]  # it is an async generator
    names = [thread.name for thread in threading.enumerate()]
    assert not any(name.startswith("paraschut-watch") for name in names), names


async def test_a_commit_is_told_of_long_before_the_next_look(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_watcher, "LOOK_SECONDS", 600.0)
    iterator = changes(str(path))
    change = asyncio.ensure_future(next_change(iterator))
    await asyncio.get_running_loop().run_in_executor(None, write_until, path, change.done)
    await change
    await iterator.aclose()  # type: ignore[attr-defined]  # it is an async generator
