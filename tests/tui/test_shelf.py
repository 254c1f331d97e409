"""What is remembered of a database: kept whole, by database, through kills and beside other dashboards."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from paraschut_core.config import Settings
from paraschut_core.model import JobKey
from paraschut_tui.app import ParaschutApp
from paraschut_tui.batch_tree.model import NodePath
from paraschut_tui.job_grid.columns import ColumnSetting, SortKey
from paraschut_tui.session.session_state import SessionState
from paraschut_tui.session.store import MOST, SessionSaver, SessionStore
from tests.helpers import ROOT
from tests.terminal.screen import Terminal, paraschut
from tests.tui.textual_internals import toasts

from .fake import NOW, FakeBatch, FakeGateway
from .project import PATIENCE, add_batch, main_screen, make_project, until

FULL = SessionState(
    (NodePath(5), NodePath(5, "run"), NodePath(5, "", 3)), JobKey(5, 3), "name", "rows",
    (ColumnSetting("index", 2), ColumnSetting("meta.x")),
    (SortKey("host", True),), ("a", "b"), (("c", "d"),), "nord",
    "state:missing", True, 50, 0.25, "6h", row=NodePath(5, "run", 3, 1), row_below=7, job_below=8,
    log_wrap=True, log_numbers=False, log_split=True, searches=("error", "loss"),
)  # fmt: skip


def test_what_is_remembered_comes_back_for_its_own_database_only(tmp_path: Path) -> None:
    shelf = SessionStore(str(tmp_path / "deep" / "down"))
    shelf.remember("/x/jobs.db", "/x/paraschut.toml", FULL)
    assert shelf.recall("/x/jobs.db") == (FULL, "")
    assert shelf.recall("/y/jobs.db") == (SessionState(), "")


def test_what_an_older_version_did_not_know_is_as_at_first(tmp_path: Path) -> None:
    shelf = SessionStore(str(tmp_path))
    shelf.remember("/x/jobs.db", "", FULL)
    (path,) = tmp_path.iterdir()
    path.write_text(path.read_text().replace('"details": true, ', ""))
    assert shelf.recall("/x/jobs.db") == (FULL._replace(details=False), "")


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"memory": 3}', '{"memory": {"open": 3}}', "\x00", "\xff"]
)
def test_a_file_that_cannot_be_used_is_passed_over_with_a_notice_and_replaced(
    tmp_path: Path, content: str
) -> None:
    shelf = SessionStore(str(tmp_path))
    shelf.remember("/x/jobs.db", "", FULL)
    (path,) = tmp_path.iterdir()
    path.write_bytes(content.encode("latin-1"))
    memory, problem = shelf.recall("/x/jobs.db")
    assert memory == SessionState()
    assert str(path) in problem
    assert shelf.recent() == []
    shelf.remember("/x/jobs.db", "", FULL)
    assert shelf.recall("/x/jobs.db") == (FULL, "")


def test_the_latest_used_databases_come_first_and_only_so_many_are_kept(tmp_path: Path) -> None:
    shelf = SessionStore(str(tmp_path))
    for n in range(MOST + 5):
        shelf.remember(f"/{n}/jobs.db", f"/{n}/paraschut.toml", SessionState())
        os.utime(shelf._path(f"/{n}/jobs.db"), (n, n))
    (tmp_path / "half.json.123").write_text("{")
    os.utime(tmp_path / "half.json.123", (0, 0))
    (tmp_path / "new.json.124").write_text("{")
    shelf.tidy()
    recent = shelf.recent()
    assert len(recent) == MOST
    assert (recent[0].database, recent[0].config) == (f"/{MOST + 4}/jobs.db", f"/{MOST + 4}/paraschut.toml")
    assert [path.name for path in tmp_path.iterdir() if not path.name.endswith(".json")] == ["new.json.124"]


def test_where_nothing_can_be_written_nothing_fails() -> None:
    shelf = SessionStore("/proc/nowhere")
    shelf.remember("/x/jobs.db", "", FULL)
    shelf.tidy()
    assert shelf.recall("/x/jobs.db") == (SessionState(), "")


def test_two_dashboards_on_one_database_keep_each_others_filters(tmp_path: Path) -> None:
    shelf = SessionStore(str(tmp_path))
    first = SessionState(filters=("old",))
    shelf.remember("/x/jobs.db", "", first)
    one, two = (SessionSaver(shelf, "/x/jobs.db", "", first) for _ in range(2))
    one.keep(first._replace(filters=("old", "mine"), saved=(("mine", "kept"),)))
    until_kept(shelf, lambda memory: "mine" in memory.filters)
    two.keep(first._replace(filters=("yours",), cursor=JobKey(1, 2)))
    until_kept(shelf, lambda memory: "yours" in memory.filters)
    two.keep(first._replace(filters=(), cursor=JobKey(1, 3)))
    one.close()
    two.close()
    memory, _ = shelf.recall("/x/jobs.db")
    assert (memory.filters, memory.saved, memory.cursor) == (("mine",), (("mine", "kept"),), JobKey(1, 3))


def test_who_writes_waits_for_another_dashboard_that_is_about_to(tmp_path: Path) -> None:
    shelf = SessionStore(str(tmp_path))
    with SessionStore(str(tmp_path)).alone():
        keeper = SessionSaver(shelf, "/x/jobs.db", "", SessionState())
        keeper.keep(SessionState(filters=("mine",)))
        keeper.close(patience=0.3)
        assert shelf.recall("/x/jobs.db") == (SessionState(), "")
        shelf.remember("/x/jobs.db", "", SessionState(filters=("theirs",)))
    until_kept(shelf, lambda memory: set(memory.filters) == {"mine", "theirs"})


def until_kept(shelf: SessionStore, holds: object) -> None:
    end = time.monotonic() + PATIENCE
    while not holds(shelf.recall("/x/jobs.db")[0]):  # type: ignore[operator]  # a predicate
        assert time.monotonic() < end
        time.sleep(0.01)


async def test_a_file_that_cannot_be_read_is_told_on_the_screen(tmp_path: Path) -> None:
    shelf = SessionStore(str(tmp_path))
    shelf.remember("jobs.db", "", FULL)
    next(tmp_path.iterdir()).write_text("{")
    gateway = FakeGateway([FakeBatch(5, "a", "ccc")])
    app = ParaschutApp(Settings(), gateway=gateway, clock=lambda: NOW, session_store=shelf)
    async with app.run_test() as pilot:
        await until(pilot, lambda: any("cannot read saved state" in text for text in toasts(app)))
        assert main_screen(app).jobs.grid.density == "cells"
    app.close()


def test_the_screen_comes_back_as_it_was_after_a_kill(tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    settings = make_project(project)
    batch = add_batch(settings, "human/map", ["true"] * 30)
    state = tmp_path / "state"
    argv = paraschut("--db", settings.database)
    environment = {"XDG_STATE_HOME": str(state), "PYTHONPATH": str(ROOT)}
    shown = Terminal(argv, cwd=project, env=environment)
    shown.wait("human/map")
    shown.press("c")
    shown.press("G")
    shown.press("/")
    shown.wait("Esc goes back")
    shown.press("index:>20\r")
    shown.wait("9 matches")
    shelf = SessionStore(str(state / "paraschut" / "dashboards"))
    end = time.monotonic() + PATIENCE
    while shelf.recall(settings.database)[0].filter != "index:>20":
        assert time.monotonic() < end, "it was never kept"
        shown.read(0.05)
    shown.signal(signal.SIGKILL)
    shown.wait_end()
    shown.close()

    memory, problem = shelf.recall(settings.database)
    assert (memory.density, memory.cursor, problem) == ("rows", JobKey(batch, 29), "")
    again = Terminal(argv, cwd=project, env=environment)
    try:
        again.wait("9 matches")
        assert "index:>20" in again.text
        assert "STATE" in again.text  # rows
    finally:
        again.close()
