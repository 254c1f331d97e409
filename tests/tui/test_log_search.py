"""Finding jobs by what they wrote: many logs, read once, given up at once, shown as they are found."""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from textual.message import Message

from paraschut_core.errors import FilterError
from paraschut_core.filtering.language import LogTerm, parse
from paraschut_core.filtering.log_terms import latest_logs
from paraschut_core.logs import Pattern, SearchAbortedError
from paraschut_core.model import JobKey, Spawn
from paraschut_core.project import Project, open_database
from paraschut_tui.app import ParaschutApp
from paraschut_tui.backend import job_loader, log_matcher
from paraschut_tui.backend.log_matcher import JobLogs, LogMatcher
from paraschut_tui.backend.worker_thread import Request
from paraschut_tui.dashboard import screen as dashboard_screen
from paraschut_tui.messages import JobsLoaded
from paraschut_tui.state_styles import StateStyles

from .project import add_batch, main_screen, make_project, until

CUDA = LogTerm("CUDA error")


@pytest.fixture
def hunt() -> Iterator[LogMatcher]:
    hunt = LogMatcher()
    yield hunt
    hunt.stop()


def quarries(paths: Sequence[Path | str]) -> Iterator[JobLogs]:
    return (JobLogs(JobKey(1, n), {"stderr": str(path)}) for n, path in enumerate(paths))


def found(hunt: LogMatcher, paths: Sequence[Path | str], *terms: LogTerm) -> list[int]:
    search = hunt.search(quarries(paths), terms or (CUDA,), lambda: False)
    return [key.job_index for key, name in search if name is not None]


def written(folder: Path, *texts: str) -> list[Path]:
    for n, text in enumerate(texts):
        (folder / f"{n}").write_text(text)
    return [folder / f"{n}" for n in range(len(texts))]


# --------------------------------------------------------------------------- terms


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ('log:"CUDA error"', [LogTerm("CUDA error")]),
        ("log:oom host:n1", [LogTerm("oom")]),
        ('log:~"CUDA .* [0-9]+"', [LogTerm("CUDA .* [0-9]+", True)]),
        ("log:/scratch/me", [LogTerm("/scratch/me")]),
        ("!log:done NOT log:~a|b", [LogTerm("done", wanted=False), LogTerm("a|b", True, wanted=False)]),
        ("LOG:x", [LogTerm("x")]),
    ],
)
def test_what_is_wanted_in_logs_is_understood(text: str, terms: list[LogTerm]) -> None:
    assert list(parse(text).log) == terms


def test_an_expression_that_is_none_is_told_while_typing() -> None:
    with pytest.raises(FilterError, match="is not a regular expression"):
        parse("log:~(")


# --------------------------------------------------------------------------- the hunt


def test_the_jobs_come_in_their_order_with_the_log_that_holds_it(hunt: LogMatcher, tmp_path: Path) -> None:
    written(tmp_path, "a\n", "CUDA error\n", "b CUDA error: x\n")
    logs = [{"stderr": str(tmp_path / "0"), "stdout": str(tmp_path / "2")}, {"stderr": str(tmp_path / "1")}]
    search = hunt.search((JobLogs(JobKey(1, n), log) for n, log in enumerate(logs)), [CUDA], lambda: False)
    assert list(search) == [(JobKey(1, 0), "stdout"), (JobKey(1, 1), "stderr")]


def test_all_terms_must_hold_and_those_not_wanted_must_not(hunt: LogMatcher, tmp_path: Path) -> None:
    paths = written(tmp_path, "CUDA error\ndone 17\n", "CUDA error\n", "done 3\n", "")
    assert found(hunt, paths, CUDA, LogTerm(r"done \d+", True)) == [0]
    assert found(hunt, paths, CUDA, LogTerm("done", wanted=False)) == [1]
    assert found(hunt, paths, LogTerm("CUDA error", wanted=False)) == [2, 3]


def test_what_is_no_log_does_not_match_and_does_not_block(hunt: LogMatcher, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "dir").mkdir()
    places = [tmp_path / "fifo", tmp_path / "dir", tmp_path / "none", "nul\0", "/dev/zero"]
    assert found(hunt, places) == []


def test_a_log_is_read_again_only_from_where_it_grew(
    hunt: LogMatcher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = written(tmp_path, "x\n" * 1000, "CUDA error\n" + "x\n" * 1000)
    starts: list[int] = []
    really = log_matcher.find_next

    def noting(log: object, pattern: Pattern, offset: int, cancelled: object) -> int | None:
        starts.append(offset)
        return really(log, pattern, offset, cancelled)  # type: ignore[arg-type]  # handed on

    monkeypatch.setattr(log_matcher, "find_next", noting)
    assert found(hunt, paths) == [1]
    assert starts == [0, 0]
    assert found(hunt, paths) == [1]
    assert starts == [0, 0], "nothing was written: nothing is read"
    with paths[0].open("a") as file:
        file.write("CUDA ")
    assert found(hunt, paths) == [1]
    with paths[0].open("a") as file:
        file.write("error\n")
    assert found(hunt, paths) == [0, 1]
    assert starts[2:] == [1998, 2000], "the unfinished line once more"


def test_a_log_that_was_replaced_or_truncated_is_read_anew(hunt: LogMatcher, tmp_path: Path) -> None:
    paths = written(tmp_path, "CUDA error\n" + "x" * 100, "x\n" * 10)
    assert found(hunt, paths) == [0]
    paths[0].write_text("nothing\n")
    paths[1].rename(tmp_path / "old")
    paths[1].write_text("CUDA error in another file, longer than the one before\n")
    assert found(hunt, paths) == [1]


def test_a_pattern_that_takes_for_ever_ends_the_hunt_with_a_reason(hunt: LogMatcher, tmp_path: Path) -> None:
    paths = written(tmp_path, ("a" * 900 + "!\n") * 50)
    with pytest.raises(SearchAbortedError, match="takes too long"):
        found(hunt, paths, LogTerm("(a|aa)+$", True))


def test_nobody_waits_for_a_file_that_hangs(
    hunt: LogMatcher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    release, stopped = threading.Event(), threading.Event()
    monkeypatch.setattr(log_matcher, "stat_log", lambda path: release.wait(60))
    search = hunt.search(quarries(["/nfs/a"]), [CUDA], stopped.is_set)
    threading.Timer(0.2, stopped.set).start()
    began = time.monotonic()
    try:
        assert list(search) == []
        assert time.monotonic() - began < 10
    finally:
        release.set()


def test_the_latest_logs_are_those_of_the_last_attempt_and_of_every_spawn() -> None:
    spawns = [Spawn(0, "1", "run", "/b.out", "/b.err"), Spawn(1, "2", "run", "/s1.out", "")]
    info = {"stdout": ["/a.out", "/b.out"], "stderr": "/b.err"}
    assert latest_logs(info, spawns) == {
        "stderr": "/b.err",
        "stdout": "/b.out",
        "spawn 1 stdout": "/s1.out",
    }
    assert latest_logs({"stdout": [], "stderr": None}) == {}


def test_what_is_found_is_sent_while_the_search_goes_on_and_a_newer_one_ends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_loader, "_PAUSE", 0.0)
    project = make_project(tmp_path)
    batch = add_batch(project, "map", ["true"] * 300, stdout=[str(tmp_path / "log")])
    (tmp_path / "log").write_text("CUDA error\n")
    posted: queue.SimpleQueue[JobsLoaded] = queue.SimpleQueue()
    newer: list[Request] = []
    restart = False

    def post(message: Message) -> None:
        assert isinstance(message, JobsLoaded)
        posted.put(message)
        if restart and not newer:
            newer.append(loader.load(wanted, ()))

    def until_done() -> list[JobsLoaded]:
        messages = [posted.get(timeout=20)]
        while not messages[-1].done:
            messages.append(posted.get(timeout=20))
        return messages

    loader = job_loader.JobLoader(lambda: open_database(project, read_only=True), StateStyles(), post)
    wanted = job_loader.JobQuery(query=parse("log:CUDA"))
    loader.load(wanted, ())
    messages = until_done()
    shares = [message.searched for message in messages]
    assert len(messages) > 2 and shares == sorted(shares) and 0 < shares[0] < 1
    assert len(messages[-1].cells[0].indexes) == 300
    assert set(loader.matching_log.values()) == {"stdout"} and JobKey(batch, 7) in loader.matching_log
    restart = True
    older = loader.load(wanted, ())
    messages = [posted.get(timeout=20)]
    assert messages[0].request is older and not messages[0].done
    assert len(loader.matching_log) == 300, "a log that opens meanwhile opens where the match was"
    assert {message.request for message in until_done()} == set(newer), "nothing more of the older one"
    loader.stop()


# --------------------------------------------------------------------------- on the screen


async def test_the_job_that_wrote_it_is_found_and_its_log_opens_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dashboard_screen, "SEARCH_LOGS_EVERY", 1)
    project = make_project(tmp_path)
    batch = add_batch(project, "map", ["true"] * 1200)
    log = tmp_path / "logs"
    log.mkdir()
    with Project(project) as ws:
        from paraschut_core.actions import set_fields

        for index in (7, 700):
            text = "".join(f"step {n}\n" for n in range(300))
            (log / f"{index}.out").write_text(text + f"CUDA error {index}\n" + text)
            (log / f"{index}.err").write_text("nothing\n")
            fields = {name: [str(log / f"{index}.{name[3:]}")] for name in ("stdout", "stderr")}
            set_fields(ws, [JobKey(batch, index)], fields, {})
    app = ParaschutApp(project)
    async with app.run_test(size=(160, 50)) as pilot:
        screen = main_screen(app)
        await until(pilot, lambda: screen.jobs.grid.board.total == 1200, "the jobs")
        await pilot.press("slash", *'log:"cuda')
        await pilot.press("space", *'error"', "enter")
        await until(
            pilot, lambda: screen.jobs.grid.board.total == 2 and not screen.jobs.contents.loading, "two jobs"
        )
        await pilot.press("g")
        view = screen.lower.log_view
        await until(pilot, lambda: "CUDA error 7" in row_at(app), "the line itself")
        assert view.place.stream == "stdout" and "1 of 1" in view.status_text
        await pilot.press("right")
        await until(pilot, lambda: "CUDA error 700" in row_at(app), "the next job's")
        # What is written later is found too, though nothing in the database tells of it.
        (log / "7.err").write_text("nothing\n")
        (log / "700.out").write_text("gone\n")
        await until(pilot, lambda: screen.jobs.grid.board.total == 1, "the one that still holds it")
        await pilot.press("escape")
        await until(pilot, lambda: screen.jobs.grid.board.total == 1200, "all jobs again")
    app.gateway.close()


def row_at(app: ParaschutApp) -> str:
    """The current line of the log."""
    pane = main_screen(app).lower.log_view.pane
    if pane.current is None or not pane.window.rows:
        return ""
    return pane.window.rows[pane.window.index_at(pane.current)].text
