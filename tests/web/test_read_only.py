"""What is shown to others with `serve --read-only` gives them none of its user's rights."""

from __future__ import annotations

import asyncio
import os
import re
import sqlite3
import subprocess
import sys
import textwrap
from pathlib import Path

import aiohttp
import pytest

from paraschut_core.demo.pipeline import make_project
from tests.helpers import ROOT

from .conftest import Serve
from .test_server import drawn, tab

SECRET = "the-words-of-the-owner"


def contents(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Every file with its time and bytes."""
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.read_bytes())
        for path in folder.rglob("*")
        if path.is_file() and not path.is_symlink()
    }


async def quiet(socket: aiohttp.ClientWebSocketResponse, seconds: float = 1.0) -> str:
    """All that is drawn until nothing more is."""
    seen = ""
    while True:
        try:
            message = await socket.receive(timeout=seconds)
        except asyncio.TimeoutError:
            return seen
        if message.type == aiohttp.WSMsgType.BINARY:
            seen += message.data.decode()
        elif message.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED):
            return seen


def plain(drawing: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", " ", drawing)


def set_logs(database: Path, path: str) -> None:
    """Whoever writes the database names any file as the log of every job."""
    with sqlite3.connect(database) as connection:
        connection.execute(
            "UPDATE job SET metadata = json_set(metadata, '$.stdout', json_array(?),"
            " '$.stderr', json_array(?), '$.script', ?)",
            (path, path, path),
        )


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    file = tmp_path / "private" / "secret.txt"
    file.parent.mkdir()
    file.write_text(f"{SECRET}\n")
    file.chmod(0o600)
    return file


@pytest.fixture
def logs(demo_project: Path, secret: Path) -> Path:
    """A batch's folder of logs: one of its own, and what others might put there or beside it."""
    batch = min(int(path.name) for path in demo_project.iterdir() if path.name.isdigit())
    logs = demo_project / str(batch) / "logs"
    logs.mkdir(exist_ok=True)
    (logs / "own.out").write_text("words-of-the-job\n")
    (logs / "link.out").symlink_to(secret)
    (logs / "hard.out").hardlink_to(secret)
    (demo_project / "99999").symlink_to(secret.parent)
    (demo_project / "beside.txt").write_text(f"{SECRET}\n")
    return logs


async def test_a_tab_shows_the_logs_of_the_project_and_no_other_file(
    serve: Serve, demo_project: Path, logs: Path, secret: Path
) -> None:
    served = serve("--read-only", f"--batch={logs.parent.name}")
    set_logs(demo_project / "jobs.db", str(logs / "own.out"))
    async with tab(served.address) as socket:
        await drawn(socket, "words-of-the-job")
    set_logs(demo_project / "jobs.db", str(secret))
    async with tab(served.address) as socket:
        seen = await drawn(socket, "python/")
        for keys in ("\t", "\r", "l", "\t", "v", "s", "o"):
            await socket.send_json(["stdin", keys])
            seen += await quiet(socket, 0.2)
    assert SECRET not in plain(seen)
    assert "words-of-the-job" not in plain(seen)


def test_only_the_projects_own_logs_can_be_opened(demo_project: Path, logs: Path, secret: Path) -> None:
    refused = [
        secret,
        logs / "link.out",
        logs / "hard.out",
        demo_project / "99999" / secret.name,
        demo_project / "beside.txt",
        demo_project / "jobs.db",
        f"{logs}/../../../private/{secret.name}",
        f"{logs}//own.out",
        "/proc/self/environ",
        "own.out",
    ]
    code = """
        import sys
        from paraschut_core import config, logs
        from paraschut_core.security.confinement import confine
        confine(config.load())
        for path in sys.argv[1:]:
            print(logs.stat_log(path).kind)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, [logs / "own.out", *refused])],
        cwd=demo_project,
        env={**os.environ, "PYTHONPATH": ROOT},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["file", *["failed"] * len(refused)]


async def test_no_other_database_is_opened_and_nothing_is_written_or_started(
    serve: Serve, demo_project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_project(str(tmp_path / "other"), 4)
    mark = tmp_path / "mark"
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\ntouch {mark}\n")
    program.chmod(0o755)
    for name in ("PAGER", "EDITOR", "VISUAL"):
        monkeypatch.setenv(name, str(program))
    monkeypatch.setenv("TMUX", "x")
    served = serve("--read-only")
    before = contents(tmp_path)
    async with tab(served.address) as socket:
        seen = await drawn(socket, "python/lines")
        for keys in ("\x0f", *str(tmp_path / "other" / "jobs.db"), "\r"):
            await socket.send_json(["stdin", keys])
        seen += await quiet(socket)
        await socket.send_json(["stdin", "\x1b"])
        for keys in (*"lLtTvVeEdDrRsSwWyYoOpPxXcCgG!|@#:", "\x13", "\x10", "\x05", "\r", "y", "\x1b"):
            await socket.send_json(["stdin", keys])
            seen += await quiet(socket, 0.1)
    assert contents(tmp_path) == before
    assert not mark.exists()
    assert not (demo_project / ".paraschut").exists()
    served.close()


# ------------------------------------------------------------------------------------ the backend itself

ATTEMPTS = {
    "write": "open(outside, 'a')",
    "make": "os.open(outside + '.new', os.O_CREAT | os.O_WRONLY)",
    "read": "open(outside).read()",
    "read from its folder": "os.chdir(os.path.dirname(outside)) or open(os.path.basename(outside)).read()",
    "remove": "os.unlink(outside)",
    "rename": "os.rename(outside, outside + '.new')",
    "folder": "os.mkdir(outside + '.d')",
    "link": "os.symlink(outside, outside + '.l')",
    "temporary": "__import__('tempfile').mkstemp()",
    "program": "subprocess.run(['true'])",
    "shell": "subprocess.run('true', shell=True)",
    "system": "os.system('true')",
    "spawn": "os.posix_spawn('/bin/true', ['true'], {})",
    "exec": "os.execv('/bin/true', ['true'])",
    "fork": "os.fork()",
    "submit": "subprocess.run(['sbatch'])",
    "hold": "subprocess.run(['scontrol', 'hold', '1'])",
    "kill": "os.kill(os.getppid(), 15)",
    "connect": "__import__('socket').create_connection(('127.0.0.1', 9), 1)",
    "other database": "__import__('sqlite3').connect(outside + '.db')",
    "database to write": "__import__('sqlite3').connect('file:' + database + '?mode=rw', uri=True)",
    "log": "__import__('paraschut_core.logs').logs.open_log(outside)",
    "act": "ws.db.transaction().__enter__()",
    "submit jobs": "submission.submit_keys(ws, [JobKey(batch, 0)])[0].id or 1 / 0",
}


def test_a_confined_process_is_refused_what_it_has_no_use_for(tmp_path: Path) -> None:
    make_project(str(tmp_path / "demo"), 4)
    outside = tmp_path / "outside"
    outside.write_text(SECRET)
    code = """
        import os, subprocess, sys
        from paraschut_core import config
        from paraschut_core.scheduling import submission
        from paraschut_core.security.confinement import confine
        from paraschut_core.database.changes import read_batches
        from paraschut_core.model import JobKey
        from paraschut_core.project import Project
        outside, database = sys.argv[1], os.path.abspath("jobs.db")
        settings = config.load()
        confine(settings)
        ws = Project(settings)
        batch = min(read_batches(ws.db))
        for name, attempt in eval(sys.argv[2]).items():
            try:
                print(name, "done:", eval(attempt), flush=True)
            except Exception as error:
                print(name, "refused:", type(error).__name__, error, flush=True)
    """
    before = contents(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), str(outside), repr(ATTEMPTS)],
        cwd=tmp_path / "demo",
        env={**os.environ, "PYTHONPATH": ROOT},
        capture_output=True,
        text=True,
        check=False,
    )
    assert len(done.stdout.splitlines()) == len(ATTEMPTS), done
    for name in ATTEMPTS:
        assert f"\n{name} refused: " in f"\n{done.stdout}", done.stdout
    assert SECRET not in done.stdout
    assert contents(tmp_path) == before


def test_a_confined_process_still_shows_and_polls(tmp_path: Path) -> None:
    make_project(str(tmp_path / "demo"), 4)
    code = """
        from paraschut_core import config
        from paraschut_core.security.confinement import confine
        from paraschut_core.monitoring.monitor import Monitor
        from paraschut_core.project import Project
        settings = config.load()
        confine(settings)
        snapshot = Monitor(Project(settings)).poll()
        print(len(snapshot.batches), snapshot.database.error, snapshot.scheduler.error)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        cwd=tmp_path / "demo",
        env={**os.environ, "PYTHONPATH": ROOT},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == ["3"], done
