"""What can happen to a log while somebody looks at it: nothing of it stops or crashes the viewer."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from paraschut_core.errors import ParaschutError
from paraschut_core.logs import FileChange, FileStatus, open_log
from paraschut_tui.job_log import file_tasks, following_pane, reader
from paraschut_tui.job_log.file_tasks import LogPage, PageRequest
from paraschut_tui.job_log.view import LogSources
from tests.tui.log_app import append, numbered, one, viewing


async def test_a_truncated_log_is_told_and_followed_on(tmp_path: Path) -> None:
    path = numbered(tmp_path / "a", 1000)
    async with viewing(one(path), size=(120, 24)) as log:
        await log.shows("line 1000")
        path.write_text("fresh\n")
        await log.says("stderr was truncated")
        await log.shows("1  fresh")
        assert "line" not in log.text.replace("lines", "")
        append(path, "fresher\n")
        await log.shows("2  fresher")


async def test_a_log_truncated_to_nothing_is_empty(tmp_path: Path) -> None:
    path = numbered(tmp_path / "a", 1000)
    async with viewing(one(path), size=(120, 24)) as log:
        await log.shows("line 1000")
        os.truncate(path, 0)
        await log.shows("stderr is empty")
        append(path, "again\n")
        await log.shows("1  again")


async def test_a_rotated_log_is_told_and_the_new_one_followed(tmp_path: Path) -> None:
    path = numbered(tmp_path / "a", 1000)
    async with viewing(one(path), size=(120, 24)) as log:
        await log.shows("line 1000")
        await log.press("g")  # also where nobody follows: the old place means nothing any more
        path.rename(tmp_path / "a.1")
        numbered(path, 2000, 5001)
        await log.says("stderr was replaced")
        await log.shows("2000  line 7000")


async def test_a_deleted_log_stays_on_the_screen_until_there_is_another(tmp_path: Path) -> None:
    path = numbered(tmp_path / "a", 1000)
    async with viewing(one(path), size=(120, 24)) as log:
        await log.shows("line 1000")
        path.unlink()
        await log.says("stderr was deleted")
        await log.press("pageup", "g", "G", "w", "w")
        await log.shows("line 1000")
        append(path, "new\n")
        await log.says("stderr was replaced")
        await log.shows("1  new")


async def test_what_is_asked_of_a_deleted_log_is_answered(tmp_path: Path) -> None:
    path = numbered(tmp_path / "a", 5000)
    async with viewing(one(path), size=(160, 24)) as log:
        await log.shows("line 5000")
        path.unlink()
        await log.says("stderr was deleted")
        for key, text in (("slash", "line 1"), ("colon", "3"), ("colon", "50%"), ("ampersand", "line")):
            await log.answer(key, text)
        await log.press("escape", "e", "E", "n", "y")
        await log.answer("ctrl+s", str(tmp_path / "copy"))
        await log.says("is not there yet")
        assert not (tmp_path / "copy").exists()


@pytest.mark.parametrize("kind", ["fifo", "directory"])
async def test_a_log_that_becomes_something_else_does_not_block(tmp_path: Path, kind: str) -> None:
    path = numbered(tmp_path / "a", 1000)
    async with viewing(one(path), size=(120, 24)) as log:
        await log.shows("line 1000")
        path.unlink()
        if kind == "fifo":
            os.mkfifo(path)
            await log.says("stderr is a FIFO, not a file")
            path.unlink()
        else:
            path.mkdir()
            await log.says("stderr is a directory")
            path.rmdir()
        numbered(path, 10)
        await log.shows("10  line 10")


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("directory", "is a directory"),
        ("fifo", "is a FIFO, not a file"),
        ("loop", "is a symbolic link that leads back to itself"),
        ("none/deeper", "is not there yet"),
        ("file/deeper", "is not there (a part of its path is not a directory)"),
        ("nul\0", "has a name that no file can have"),
    ],
)
async def test_what_is_no_log_is_named(tmp_path: Path, name: str, why: str) -> None:
    (tmp_path / "directory").mkdir()
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "file").write_text("")
    async with viewing(LogSources("JOB 1", {"stdout": [f"{tmp_path}/{name}"]}), size=(200, 10)) as log:
        await log.shows(f"stdout {why}: {tmp_path}")


async def test_a_log_rewritten_in_place_is_read_anew(tmp_path: Path) -> None:
    path = numbered(tmp_path / "a", 1000)
    async with viewing(one(path), size=(120, 24)) as log:
        await log.shows("line 1000")
        with path.open("r+") as file:
            file.write(path.read_text().replace("line", "LINE"))
        await log.shows("LINE 1000")


async def test_a_log_rewritten_longer_is_noticed(tmp_path: Path) -> None:
    path = numbered(tmp_path / "a", 100)
    async with viewing(one(path), size=(120, 24)) as log:
        await log.shows("line 100")
        with path.open("r+") as file:
            file.write(path.read_text().replace("line", "LINE") + "LINE 101\n")
        await log.shows("LINE 101")
        await log.shows_not("line 9")


async def test_a_search_goes_on_in_the_file_that_takes_the_place(tmp_path: Path) -> None:
    path = numbered(tmp_path / "a", 1000)
    async with viewing(one(path), size=(120, 24)) as log:
        await log.shows("line 1000")
        await log.answer("ampersand", "line 99")
        await log.says("only /line 99/ 11")
        path.rename(tmp_path / "a.1")
        numbered(path, 99)
        await log.says("only /line 99/ 1")
        await log.shows("99  line 99")
        path.write_text("none\n")
        await log.shows("No lines match /line 99/")


async def test_a_file_system_that_does_not_answer_is_told_and_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = numbered(tmp_path / "a", 100)
    answers = threading.Event()

    def hanging_read(*arguments: object) -> LogPage:
        # As over NFS while the server is away: the thread stands, and nothing can end it.
        answers.wait(60)
        return file_tasks.read_page(*arguments)  # type: ignore[arg-type]  # handed on

    monkeypatch.setattr(reader, "read_page", hanging_read)
    monkeypatch.setattr(following_pane, "POLL_SECONDS", 0.02)
    async with viewing(one(path), size=(120, 24)) as log:
        try:
            await log.shows("stderr: the file system does not answer")
            await log.press("g", "G", "j", "slash", "escape")  # keys go on working
        finally:
            answers.set()
        await log.shows("line 100")
        await log.shows_not("does not answer")


def test_a_log_that_shrinks_between_look_and_read_gives_what_is_there(tmp_path: Path) -> None:
    path = numbered(tmp_path / "a", 100_000)
    with open_log(path) as log:
        os.truncate(path, 20)
        for wanted in (PageRequest("tail"), PageRequest("at", 10), PageRequest("at", 500_000)):
            page = file_tasks._read(log, wanted, reader.LineIndex(), lambda: False, print)
            assert [row.text for row in page.rows] == ["line 1", "line 2", "line 3"]
            assert not page.at_end


async def test_jobs_walked_through_quickly_show_the_last_one(tmp_path: Path) -> None:
    paths = [numbered(tmp_path / f"{n}", 50, 1000 * n) for n in range(30)]
    async with viewing() as log:
        for n, path in enumerate(paths):
            log.view.show(one(path, f"JOB {n}"))
            if n % 7 == 0:
                await log.pilot.pause()
        await log.shows("line 29049")
        await log.says("JOB 29")


async def test_closing_the_view_ends_its_threads(tmp_path: Path) -> None:
    path = tmp_path / "big"
    with path.open("wb") as file:
        file.truncate(8 << 30)
    before = threading.active_count()
    async with viewing(one(path), size=(120, 24)) as log:
        await log.until(lambda: log.pane.window.rows, "rows")
        await log.answer("slash", "nowhere")
        await log.press("number_sign")
        await log.until(lambda: log.pane.feed.index.covered, "counting under way")
    assert log.pane.feed.index.covered < 8 << 30
    assert threading.active_count() <= before + 8


def test_what_cannot_be_saved_is_told(tmp_path: Path) -> None:
    path = numbered(tmp_path / "a", 3)
    for target in (tmp_path / "none" / "x", Path("/dev/null/x")):
        with pytest.raises(ParaschutError, match="cannot be written"):
            file_tasks.save(str(path), str(target), None, lambda: False)
    assert file_tasks.save(str(path), str(tmp_path / "copy"), None, lambda: False)[1] == path.stat().st_size
    (tmp_path / "folder").mkdir()
    assert file_tasks.save(str(path), f"{tmp_path}/folder", None, lambda: False)[0] == f"{tmp_path}/folder/a"


def test_a_look_that_is_no_file_never_reads(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "f")
    assert (
        file_tasks.read_page(str(tmp_path / "f"), PageRequest("tail"), reader.LineIndex(), lambda: False).rows
        == []
    )
    index = reader.LineIndex()
    change = file_tasks.read_change(str(tmp_path / "f"), FileStatus("file", "", 10), None, None, 10, index)
    assert change is not None and change.what is FileChange.BLOCKED


@pytest.mark.parametrize(
    "after",
    [
        pytest.param("".join(f"new {n}\n" for n in range(12)), id="longer"),
        pytest.param("old 0\nold 1\n" + "".join(f"new {n}\n" for n in range(12)), id="the same begin"),
        pytest.param("".join(f"new {n}\n" for n in range(6)), id="as long"),
        pytest.param("new 0\n", id="shorter"),
    ],
)
async def test_a_log_that_is_written_anew_in_one_go_is_never_shown_mixed(tmp_path: Path, after: str) -> None:
    path = tmp_path / "a"
    path.write_text("".join(f"old {n}\n" for n in range(6)))
    async with viewing(one(path), size=(120, 30)) as log:
        await log.shows("old 5")
        path.write_text(after)
        await log.shows(after.splitlines()[-1])
        await log.says("was truncated" if len(after) < 30 else "was rewritten")
        shown = [
            line.split(maxsplit=1)[1] for line in log.lines if line.strip() and line.split()[0].isdigit()
        ]
        assert shown == after.splitlines()
