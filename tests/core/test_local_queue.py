"""The local executor's queue file, and the pure parts around it."""

from __future__ import annotations

import os
import shlex
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paraschut_core.errors import SchedulerError, ScriptError, UsageError
from paraschut_core.executors.local.daemon_store import KEPT_DAYS, DaemonStore, EndRecord
from paraschut_core.executors.local.journal import Journal, ProcessExit, ProcessStart
from paraschut_core.executors.local.launcher import arguments, clock, encoded, packed, seconds, unpacked
from paraschut_core.executors.local.process import alive, look, members, send, start_of, table
from paraschut_core.executors.local.queue_store import DaemonSettings, LocalQueue, NewJob
from paraschut_core.executors.shell import shell

from .test_local_executor import Machine, until

LIMITS = DaemonSettings(2, 1.0, 1.0)


def task(token: str = "t") -> NewJob:
    return NewJob(token, "name", b"true", b"", b"/", b"/dev/null", b"/dev/null", 0o22, None, None)


@pytest.fixture
def queue(tmp_path: Path) -> LocalQueue:
    return LocalQueue(str(tmp_path / "queue"), timeout=0.2)


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    machine = Machine(tmp_path)
    yield machine
    machine.close()


# ----------------------------------------------------------------------------- command lines


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("true", ["true"]),
        ("tool -x 'a b' \"c d\" e\\ f", ["tool", "-x", "a b", "c d", "e f"]),
        ("python -c 'print(1); x = [2]'", ["python", "-c", "print(1); x = [2]"]),
        ('python -c "print(1); x = [2]"', ["python", "-c", "print(1); x = [2]"]),
        ('say "a \\"b\\" c\\n"', ["say", 'a "b" c\\n']),
        ("say größe", ["say", "größe"]),
    ],
)
def test_no_shell_where_none_is_needed(script: str, words: list[str]) -> None:
    assert arguments(script, "/") == words


@pytest.mark.parametrize(
    "script",
    [
        "a | b",
        "a && b",
        "a > file",
        "a $HOME",
        'a "$HOME"',
        'a "\\$HOME"',
        "a `b`",
        "a *.txt",
        "A=1 b",
        "A='x y' b",
        "cd /tmp",
        "exit 3",
        "a\nb",
        "a \\\n b",
        "a ~/x",
        "a 'b' # c",
        "if true",
    ],
)
def test_shell_syntax_goes_to_the_shell(script: str) -> None:
    assert arguments(script, "/") == [shell(), "-c", script]


@settings(deadline=None, max_examples=300)
@given(st.text(st.sampled_from(" ab'\"\\$x;\n="), min_size=1, max_size=12))
def test_splitting_agrees_with_the_shell(text: str) -> None:
    script = "printf %s\\\\0 " + text
    try:
        words = arguments(script, "/")
    except ScriptError:
        return  # refused; nothing would run that differs
    if words[0] == shell():
        return
    wanted = subprocess.run([shell(), "-c", script], capture_output=True, check=True)
    ours = subprocess.run(words, capture_output=True, check=True)
    assert ours.stdout == wanted.stdout


def test_an_executable_file_is_found_from_the_jobs_directory(tmp_path: Path) -> None:
    script = tmp_path / "my job.sh"
    script.write_text("#!/bin/sh\n")
    with pytest.raises(ScriptError, match="chmod"):
        arguments(str(script), "/")
    script.chmod(0o700)
    assert arguments("my job.sh", str(tmp_path)) == [str(script)]
    assert arguments(shlex.quote(str(script)) + " --flag", "/") == [str(script), "--flag"]


@pytest.mark.parametrize("script", ["", "  ", "a 'b", "a\0b"])
def test_a_script_that_can_never_run_is_refused(script: str) -> None:
    with pytest.raises(ScriptError):
        arguments(script, "/")


@given(st.dictionaries(st.text(min_size=1), st.text()))
def test_environments_survive_packing(variables: dict[str, str]) -> None:
    try:
        own = encoded(variables)
    except (ScriptError, UnicodeEncodeError):
        return
    assert unpacked(packed(own)) == own


@pytest.mark.parametrize(
    ("limit", "total"),
    [
        (None, None),
        ("", None),
        ("UNLIMITED", None),
        (90, 90.0),
        (0.5, 0.5),
        ("90", 90.0),
        ("1:30", 90.0),
        ("04:59:00", 17940.0),
        ("2-1:00:01", 2 * 86400 + 3601.0),
        ("1-12", 1.5 * 86400),
        (" 0:01.5 ", 1.5),
        ("1h", 3600.0),
        ("1h30m", 5400.0),
    ],
)
def test_time_limits_are_understood(limit: object, total: float | None) -> None:
    assert seconds(limit, "walltime") == total


@pytest.mark.parametrize(
    "limit", ["soon", "0", 0, -1, "1:2:3:4", "-1", "x-1:00", "::", True, "1x", "0h", float("inf")]
)
def test_other_time_limits_are_refused_by_name(limit: object) -> None:
    with pytest.raises(UsageError, match="walltime"):
        seconds(limit, "walltime")


def test_clock_shows_long_times() -> None:
    assert clock(17940) == "04:59:00"
    assert clock(2 * 86400 + 61) == "48:01:01"


# ----------------------------------------------------------------------------- the file


def test_ids_are_in_order_and_of_this_queue_alone(queue: LocalQueue, tmp_path: Path) -> None:
    first, _ = queue.add([task(), task()], b"A=1", LIMITS)
    second, _ = queue.add([task()], b"A=1", LIMITS)
    numbers = [int(id_.partition(".")[2]) for id_ in first + second]
    assert numbers == sorted(set(numbers))
    elsewhere, _ = LocalQueue(str(tmp_path / "other")).add([task()], b"", LIMITS)
    assert elsewhere[0] not in first + second
    assert set(queue.jobs()[0]) == {*first, *second}
    assert queue.live([*first, elsewhere[0], "x"]) == set(first)


def test_a_number_is_not_given_out_again_after_its_job_was_forgotten(queue: LocalQueue) -> None:
    (first,), _ = queue.add([task()], b"", LIMITS)
    queue.withdraw([first])
    (second,), _ = queue.add([task()], b"", LIMITS)
    assert first != second
    assert set(queue.jobs()[0]) == {second}


def test_many_processes_add_at_once_and_nothing_is_lost(queue: LocalQueue) -> None:
    code = (
        "import sys; from paraschut_core.executors.local.queue_store import *;"
        f"t = {tuple(task())!r}; q = LocalQueue({queue.folder!r});"
        "[print(*q.add([NewJob(*t)] * 5, b'X=1', DaemonSettings(2, 1.0, 1.0))[0]) for _ in range(10)]"
    )
    writers = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) for _ in range(4)]
    ids = [id_ for writer in writers for id_ in writer.communicate(timeout=120)[0].decode().split()]
    assert len(ids) == 200
    assert set(ids) == set(queue.jobs()[0])


def test_a_locked_file_is_named_and_nothing_is_added(queue: LocalQueue) -> None:
    queue.add([task()], b"", LIMITS)
    other = sqlite3.connect(queue.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(SchedulerError, match=r"stayed locked .* by this process itself"):
        queue.add([task()], b"", LIMITS)
    other.execute("ROLLBACK")
    other.close()
    assert len(queue.jobs()[0]) == 1


def test_a_file_of_something_else_is_left_alone(queue: LocalQueue) -> None:
    os.makedirs(queue.folder)
    Path(queue.path).write_text("these are notes of mine, not a database\n" * 40)
    with pytest.raises(SchedulerError, match="damaged"):
        queue.add([task()], b"", LIMITS)
    Path(queue.path).unlink()
    with sqlite3.connect(queue.path) as other:
        other.execute("CREATE TABLE mine (x)")
    with pytest.raises(SchedulerError, match="not a local queue"):
        queue.add([task()], b"", LIMITS)


def test_reading_before_the_first_job_makes_nothing(queue: LocalQueue) -> None:
    assert not queue
    with pytest.raises(SchedulerError, match="cannot be opened"):
        queue.jobs()
    assert not os.path.exists(queue.folder)


def test_the_code_of_an_end_decides_and_the_words_where_an_earlier_runner_kept_nothing_else(
    queue: LocalQueue,
) -> None:
    (one, other), _ = queue.add([task("one"), task("other")], b"", LIMITS)
    store = DaemonStore(queue.folder)
    nothing = (None, None, None, None)
    store.record(
        [],
        [
            EndRecord("in any words", None, 9, 0.1, 1, time.time(), *nothing, number, "memory")
            for number in (1, 2)
        ],
    )
    with queue.opened() as connection:
        connection.execute("DELETE FROM ended WHERE number = 2")
        connection.execute("UPDATE job SET reason = 'time limit 00:01:00' WHERE number = 2")
    assert [queue.endings([id_])[id_].kind for id_ in (one, other)] == ["memory", "time-limit"]
    live, _ = queue.jobs()
    assert [live[id_].ending.kind for id_ in (one, other) if live[id_].ending] == ["memory", "time-limit"]
    with queue.opened() as connection:
        connection.execute("DROP TABLE ended")  # as an earlier version made the file
    assert [queue.endings([id_])[id_].kind for id_ in (one, other)] == ["unknown", "time-limit"]


def test_what_ended_long_ago_is_forgotten_with_its_environment(queue: LocalQueue) -> None:
    ids, _ = queue.add([task("old"), task("new")], b"OLD=1", LIMITS)
    queue.add([task("later")], b"NEW=1", LIMITS)
    ledger = DaemonStore(queue.folder)
    old, new, later = (entry.number for entry in ledger.waiting(0, 10))
    long_ago = time.time() - (KEPT_DAYS + 1) * 86400
    nothing = (None, None, None, None)
    ended = [
        EndRecord("exit status 0", 0, None, 0.1, 1, long_ago, *nothing, old, "exit"),
        EndRecord("exit status 0", 0, None, 0.1, 1, time.time(), *nothing, new, "exit"),
    ]
    ledger.record([], ended)
    ledger.prune()
    assert set(queue.endings(ids)) == {ids[1]}
    ledger.record(
        [],
        [EndRecord("exit status 0", 0, None, 0.1, 1, long_ago, *nothing, new, "exit")],
    )
    ledger.prune()
    assert queue.endings(ids) == {}
    with queue.opened() as connection:
        assert connection.execute("SELECT variables FROM environment").fetchall() == [(b"NEW=1",)]
    assert [entry.number for entry in ledger.waiting(0, 10)] == [later]
    ledger.close()


def test_a_runner_does_not_retire_while_jobs_wait(queue: LocalQueue) -> None:
    (id_,), serving = queue.add([task()], b"", LIMITS)
    assert serving.pid is None
    ledger = DaemonStore(queue.folder)
    ledger.register(os.getpid(), start_of(os.getpid()), "boot")
    assert not ledger.retire()
    assert queue.serving().pid == os.getpid()
    queue.withdraw([id_])
    assert ledger.retire()
    assert queue.serving().pid is None
    ledger.close()


def test_only_one_that_lives_counts_as_the_runner(queue: LocalQueue) -> None:
    queue.add([task()], b"", LIMITS)
    ledger = DaemonStore(queue.folder)
    me, start = os.getpid(), start_of(os.getpid())
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    for pid, since, booted, lives in [
        (me, start, boot, True),
        (me, start + 1, boot, False),  # the number was given to another process since
        (me, start, "another boot", False),
    ]:
        ledger.register(pid, since, booted)
        assert queue.serving().lives is lives
    ledger.close()


def test_jobs_submitted_while_the_runner_is_about_to_end_are_served(tmp_path: Path) -> None:
    machine = Machine(tmp_path, idle_timeout=0.0)  # it ends as soon as it may
    for round_ in range(25):
        ids = machine.submit("true")
        # No poll, no delete: nothing but the submission itself sees to it that they are served.
        assert machine.endings(ids)[ids[0]].exit_status == 0, round_
    until(lambda: not machine.runner(), "the runner ended")
    machine.close()


# ----------------------------------------------------------------------------- the journal


def test_the_journal_tells_what_happened(tmp_path: Path) -> None:
    journal = Journal(str(tmp_path), "boot-1")
    journal.empty()
    for number in (1, 2, 3):
        Path(journal.marker(number)).touch()
    journal.started(1, 100, 5000)
    journal.started(2, 101, 5001)
    journal.ended(1, ProcessExit(256, 1.5, 0.25, 4096))
    noted = Journal(str(tmp_path), "boot-2").read()
    assert noted.starts == {1: ProcessStart(100, 5000, "boot-1"), 2: ProcessStart(101, 5001, "boot-1")}
    assert noted.exits == {1: ProcessExit(256, 1.5, 0.25, 4096)}
    assert noted.markers == {3}


@pytest.mark.parametrize("cut", range(1, 14))
def test_a_line_that_was_cut_short_spoils_no_other(tmp_path: Path, cut: int) -> None:
    journal = Journal(str(tmp_path), "b")
    journal.empty()
    journal.started(1, 100, 5000)
    file = tmp_path / "journal"
    file.write_bytes(file.read_bytes()[:-cut])
    journal.started(2, 101, 5001)
    assert journal.read().starts == {2: ProcessStart(101, 5001, "b")}


# ----------------------------------------------------------------------------- processes


def test_a_process_is_known_by_number_and_start_time() -> None:
    child = subprocess.Popen(["sleep", "600"])
    start = start_of(child.pid)
    assert alive(child.pid, start)
    assert not alive(child.pid, start + 1)
    assert not send(child.pid, start + 1, 9)
    assert child.poll() is None
    assert send(child.pid, start, 9)
    until(lambda: look(child.pid) is None, "it is dead, though nobody waited for it")
    assert child.wait() == -9
    assert not send(child.pid, start, 9)


def test_a_reused_session_number_brings_no_strangers_into_a_job() -> None:
    child = subprocess.Popen(["sleep", "600"], start_new_session=True)
    try:
        processes = table()
        found = members(processes, child.pid, processes[child.pid].start, "x.1")
        assert [process.pid for process in found] == [child.pid]
        assert members(processes, child.pid, processes[child.pid].start - 100, "x.1") == []
    finally:
        child.kill()
        child.wait()
