"""The local executor with real processes: what runs, in which surroundings, and how it ends."""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from paraschut_core.config import LocalSettings, Settings, SubmitSettings
from paraschut_core.errors import SchedulerError, SubmitError
from paraschut_core.executors.local import LocalJobExecutor
from paraschut_core.executors.local.process import alive, look, table
from paraschut_core.executors.local.queue_store import DaemonSettings, LocalQueue, NewJob
from paraschut_core.model import ENDED, QUEUED, RUNNING, DeleteResult, ExitInfo, JobKey, JobSpec

WITH_TESTS = os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]).rstrip(":")
"""A module path on which a job finds this package of tests."""


def until(condition: Callable[[], Any], what: str, seconds: float = 60.0) -> Any:
    """Waits until `condition` gives something true, and returns it."""
    end = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > end:
            pytest.fail(f"after {seconds:g} s still not: {what}")
        time.sleep(0.02)


class Machine:
    """A local executor with a folder of its own, and the means to look at what it does."""

    def __init__(self, folder: Path, **local: Any) -> None:
        self.folder = folder
        limits = {"slots": 2, "idle_timeout": 1.0, "kill_grace": 0.5} | local
        self.settings = Settings(job_dir=str(folder), local=LocalSettings(**limits))
        self.executor = LocalJobExecutor(settings=self.settings)
        self._count = 0

    def spec(self, script: str, **fields: Any) -> JobSpec:
        self._count += 1
        n = self._count
        spec = JobSpec(
            key=JobKey(1, n),
            attempt=1,
            token=f"token-{n}",
            name=f"test/{n}",
            script=script,
            queue=None,
            resources={},
            directives=(),
            environment={},
            stdout=str(self.folder / "logs" / f"{n}.out"),
            stderr=str(self.folder / "logs" / f"{n}.err"),
            cwd=str(self.folder),
            priority=1,
            job_info={},
        )
        return spec._replace(**fields)

    def submit(self, *scripts: str, **fields: Any) -> list[str]:
        outcomes = self.executor.submit_many([self.spec(script, **fields) for script in scripts])
        assert [outcome.error for outcome in outcomes] == [""] * len(scripts)
        return [str(outcome.id) for outcome in outcomes]

    def endings(self, ids: Sequence[str], seconds: float = 60.0) -> dict[str, ExitInfo]:
        """How the jobs ended, once all have."""

        def all_ended() -> Mapping[str, ExitInfo]:
            found = self.executor.get_exit_info(ids, 0.0)
            return found if len(found) == len(set(ids)) else {}

        return dict(until(all_ended, f"{len(ids)} jobs ended", seconds))

    def ending(self, script: str, **fields: Any) -> ExitInfo:
        """How one job ends that is submitted now."""
        (id_,) = self.submit(script, **fields)
        return self.endings([id_])[id_]

    def states(self) -> dict[str, str]:
        return {id_: job.state for id_, job in self.executor.poll().items()}

    @property
    def queue(self) -> LocalQueue:
        return self.executor._queue()

    def runner(self) -> int:
        """The process number of the runner that lives; 0 if none does."""
        if not self.queue:
            return 0
        serving = self.queue.serving()
        return serving.pid if serving.pid is not None and serving.lives else 0

    def gate(self) -> tuple[str, Path]:
        """A script that runs until the file that comes with it is there."""
        self._count += 1
        file = self.folder / f"gate{self._count}"
        return f"while [ ! -e {file} ]; do sleep 0.05; done", file

    def read(self, name: str) -> str:
        return (self.folder / name).read_text(errors="surrogateescape")

    def close(self) -> None:
        """Ends what is left, and the runner."""
        if not self.folder.is_dir() or not self.queue:
            return
        live = [id_ for id_, state in self.states().items() if state != ENDED]
        self.executor.delete_many({id_: {} for id_ in live})
        runner = self.runner()
        if runner:
            os.kill(runner, signal.SIGTERM)
        until(lambda: not self.runner(), "the runner ended")


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    machine = Machine(tmp_path)
    yield machine
    machine.close()


# ----------------------------------------------------------------------------- what runs


def test_jobs_start_in_the_order_of_their_submission(tmp_path: Path) -> None:
    machine = Machine(tmp_path, slots=1)
    ids = machine.submit(*[f"echo {n} >> order" for n in range(20)])
    machine.endings(ids)
    assert machine.read("order").split() == [str(n) for n in range(20)]
    machine.close()


@pytest.mark.parametrize("slots", [1, 3])
def test_never_more_jobs_at_once_than_slots(tmp_path: Path, slots: int) -> None:
    machine = Machine(tmp_path, slots=slots)
    (tmp_path / "in").mkdir()
    script = "mkdir in/$PARASCHUT_JOB_ID; ls in | wc -l >> most; sleep 0.1; rmdir in/$PARASCHUT_JOB_ID"
    machine.endings(machine.submit(*[script] * 12))
    counts = [int(word) for word in machine.read("most").split()]
    assert len(counts) == 12
    assert max(counts) == slots
    machine.close()


def test_max_workers_overrides_the_settings(tmp_path: Path) -> None:
    machine = Machine(tmp_path, slots=1)
    machine.executor = LocalJobExecutor(2, settings=machine.settings)
    script, gate = machine.gate()
    ids = machine.submit(script, script, script)
    until(lambda: sorted(machine.states().values()) == [QUEUED, RUNNING, RUNNING], "two of three run")
    gate.touch()
    machine.endings(ids)
    machine.close()


def test_500_jobs_run_none_lost_none_twice(machine: Machine) -> None:
    ids = machine.submit(*["sh -c 'echo $PARASCHUT_JOB_ID >> ran'"] * 500)
    endings = machine.endings(ids, 240)
    assert {ending.reason for ending in endings.values()} == {"exit status 0"}
    assert sorted(machine.read("ran").split()) == sorted(ids)


def test_a_script_file_runs_without_a_shell(machine: Machine) -> None:
    script = machine.folder / "a script; with 'odd' $name.py"
    script.write_text(f"#!{sys.executable}\nimport os\nprint(os.getppid(), __file__)\n")
    script.chmod(0o755)
    assert machine.ending(str(script), stdout=str(machine.folder / "out")).exit_status == 0
    parent, path = machine.read("out").split(" ", 1)
    assert path.strip() == str(script)
    assert int(parent) == machine.runner()


def test_an_executable_file_without_shebang_is_run_by_sh(machine: Machine) -> None:
    script = machine.folder / "plain"
    script.write_text('echo "$0 and $#"\n')
    script.chmod(0o755)
    assert machine.ending(str(script), stdout=str(machine.folder / "out")).exit_status == 0
    assert machine.read("out") == f"{script} and 0\n"


def test_a_command_line_is_split_as_a_shell_would(machine: Machine) -> None:
    script = f"""{sys.executable} -c 'import sys; print(sys.argv[1:])' "a b" c\\ d '' -x"""
    machine.ending(script, stdout=str(machine.folder / "out"))
    assert machine.read("out") == "['a b', 'c d', '', '-x']\n"


def test_a_job_knows_its_id_as_version_06_told_it_and_its_directory(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PBS_ENVIRONMENT", raising=False)
    monkeypatch.setenv("PWD", "/elsewhere")
    spec = machine.spec("echo $PBS_JOBID $PWD $PARASCHUT_VARIABLES; env", environment={"A": "1"})
    monkeypatch.setenv("PMI_RANK", "3")
    monkeypatch.setenv("PARASCHUT_VARIABLES", "OF_THE_SUBMITTER")
    monkeypatch.setenv("OF_THE_SUBMITTER", "1")
    (outcome,) = machine.executor.submit_many([spec])
    machine.endings([str(outcome.id)])
    first, *variables = Path(spec.stdout).read_text().splitlines()
    assert first == f"{outcome.id} {machine.folder} A"
    assert not any(line.startswith(("PMI_RANK=", "OF_THE_SUBMITTER=")) for line in variables)


def test_inside_a_real_pbs_job_the_id_is_pbss(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PBS_ENVIRONMENT", "PBS_BATCH")
    monkeypatch.setenv("PBS_JOBID", "12.server")
    spec = machine.spec("echo $PBS_JOBID")
    (outcome,) = machine.executor.submit_many([spec])
    machine.endings([str(outcome.id)])
    assert Path(spec.stdout).read_text() == "12.server\n"


@pytest.mark.parametrize("limit", ["1m", "2 hours", "90s"])
def test_times_are_written_as_for_a_cluster(machine: Machine, limit: str) -> None:
    assert machine.executor.check({"script": "true", "resources": {"walltime": limit}}) == ""


def test_shell_syntax_gets_a_shell(machine: Machine) -> None:
    machine.ending("echo one | tr a-z A-Z; echo $((2+3))", stdout=str(machine.folder / "out"))
    assert machine.read("out") == "ONE\n5\n"
    assert machine.ending("exit 7").exit_status == 7


# ----------------------------------------------------------------------------- surroundings


def test_the_environment_arrives_byte_for_byte(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    own = {
        "A_NEWLINE": "one\ntwo\n",
        "A_QUOTE": 'it\'s "quoted"',
        "A_DOLLAR": "$HOME `id` $(id) \\n",
        "UNICODE_Ä": "größe ☃ 日本",
        "DASH": "-n --help",
        "COMMA": "a,b=c,,",
        "EMPTY": "",
        "NOT_UTF8": os.fsdecode(b"\xff\xfe"),
        "PATH": os.environ["PATH"],
    }
    monkeypatch.setenv("FROM_SUBMITTER", "yes, 'it' is\n")
    dump = f"{sys.executable} -c 'import os; os.write(1, repr(os.environb).encode())'"
    (id_,) = machine.submit(dump, environment=own, stdout=str(machine.folder / "out"))
    machine.endings([id_])
    found = eval(machine.read("out"), {"environ": dict})  # what repr() wrote in our own job
    for name, value in own.items():
        assert found[os.fsencode(name)] == os.fsencode(value)
    assert found[b"FROM_SUBMITTER"] == b"yes, 'it' is\n"
    assert found[b"PARASCHUT_JOB_ID"] == id_.encode()


def test_one_copy_of_the_environment_serves_many_jobs(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.endings(machine.submit(*["true"] * 20))
    monkeypatch.setenv("PARASCHUT_JOB_ID", "abc.1")  # as in a job that submits others
    machine.endings(machine.submit("true"))
    with machine.queue.opened() as connection:
        assert connection.execute("SELECT count(*) FROM environment").fetchone() == (1,)


def test_cwd_stdin_session_and_file_mode_mask(machine: Machine) -> None:
    folder = machine.folder / "a place"
    folder.mkdir()
    code = (
        "import os, sys; mask = os.umask(0);"
        "print(os.getcwd(), sys.stdin.read() == '', os.getsid(0) == os.getpid() == os.getpgid(0), mask)"
    )
    old = os.umask(0o027)
    try:
        (id_,) = machine.submit(f'{sys.executable} -c "{code}"', cwd=str(folder), stdout=str(folder / "out"))
    finally:
        os.umask(old)
    machine.endings([id_])
    assert (folder / "out").read_text() == f"{folder} True True {0o027}\n"
    assert stat.S_IMODE((folder / "out").stat().st_mode) == 0o640


def test_a_job_starts_with_default_signals_and_no_open_files_of_the_runner(machine: Machine) -> None:
    machine.ending("grep SigIgn /proc/self/status; ls -l /proc/self/fd", stdout=str(machine.folder / "out"))
    ignored, *files = machine.read("out").splitlines()
    assert int(ignored.split()[1], 16) & 0x7FFFFFFF == 0  # above are two that the C library keeps for itself
    assert not [line for line in files if ".paraschut" in line or "pipe:" in line]


def test_logs_are_appended_to_and_their_folders_made(machine: Machine) -> None:
    out = machine.folder / "deep" / "er" / "x.out"
    for word in ("one", "two"):
        machine.ending(f"sh -c 'echo {word}; echo {word} >&2'", stdout=str(out), stderr=str(out))
    assert out.read_text() == "one\none\ntwo\ntwo\n"


def test_a_log_that_cannot_be_opened_ends_the_job_with_its_name(machine: Machine) -> None:
    (machine.folder / "file").write_text("")
    in_file = machine.ending("touch ran", stdout=str(machine.folder / "file" / "x.out"))
    assert in_file.reason.startswith(f"cannot make the log directory {machine.folder}/file")
    is_folder = machine.ending("touch ran", stderr=str(machine.folder))
    assert is_folder.reason == f"cannot open the log {machine.folder}: is a directory"
    assert is_folder.exit_status is None
    assert not (machine.folder / "ran").exists()


def test_a_working_directory_that_is_gone_ends_the_job_with_its_name(machine: Machine) -> None:
    ending = machine.ending("touch ran", cwd=str(machine.folder / "gone"))
    assert ending.reason == (
        f"cannot enter its working directory {machine.folder}/gone: no such file or directory"
    )


# ----------------------------------------------------------------------------- how it ends


def test_exit_status_signal_host_and_usage_are_kept(machine: Machine) -> None:
    before = time.time()
    ids = machine.submit("sh -c 'exit 3'", "sh -c 'kill -9 $$'", "true")
    three, killed, fine = (machine.endings(ids)[id_] for id_ in ids)
    assert (three.reason, three.exit_status, three.signal) == ("exit status 3", 3, None)
    assert (killed.reason, killed.exit_status, killed.signal) == ("killed by signal 9 (SIGKILL)", None, 9)
    assert (fine.reason, fine.exit_status, fine.host) == ("exit status 0", 0, os.uname().nodename)
    record = fine.record
    assert before - 1 <= record["queued_at"] <= record["started_at"] <= record["ended_at"] <= time.time() + 1
    assert record["pid"] > 0
    assert record["max_rss"] > 100_000
    assert record["cpu_time"] >= 0


def test_a_command_that_is_not_there_is_named(machine: Machine) -> None:
    ids = machine.submit("no-such-command --flag", "/no/such/file x")
    endings = machine.endings(ids)
    assert endings[ids[0]].reason == "command not found: no-such-command"
    assert endings[ids[1]].reason == "command not found: /no/such/file"


def test_a_missing_interpreter_is_told_from_a_missing_script(machine: Machine) -> None:
    script = machine.folder / "bad.py"
    script.write_text("#!/no/such/python\n")
    script.chmod(0o755)
    assert "interpreter" in machine.ending(str(script)).reason


def test_commands_are_found_in_the_jobs_own_path(machine: Machine) -> None:
    tool = machine.folder / "bin" / "my-tool"
    tool.parent.mkdir()
    tool.write_text("#!/bin/sh\necho found\n")
    tool.chmod(0o755)
    ending = machine.ending(
        "my-tool", environment={"PATH": f"{tool.parent}:/bin"}, stdout=str(machine.folder / "out")
    )
    assert ending.exit_status == 0
    assert machine.read("out") == "found\n"


def test_walltime_ends_the_job_and_says_so(machine: Machine) -> None:
    ending = machine.ending(
        "sh -c 'trap : TERM; while :; do sleep 0.1; done'", resources={"walltime": "0:01"}
    )
    assert ending.reason == "time limit 00:00:01"
    assert ending.signal == signal.SIGKILL  # it ignored TERM
    assert machine.ending("true", resources={"walltime": 3600}).exit_status == 0


def test_cput_ends_a_process_that_computes_too_long(machine: Machine) -> None:
    ending = machine.ending(f"{sys.executable} -c 'while True: pass'", resources={"cput": 1})
    assert ending.reason == "CPU time limit 00:00:01 (cput)"
    assert ending.signal == signal.SIGXCPU


def test_the_memory_resource_is_not_enforced(machine: Machine) -> None:
    ending = machine.ending(
        f"{sys.executable} -c 'bytearray(100_000_000)'", resources={"mem": "1mb", "vmem": "1mb"}
    )
    assert ending.exit_status == 0


def test_what_cannot_run_is_refused_when_submitted_and_others_are_not(machine: Machine) -> None:
    data = machine.folder / "data.txt"
    data.write_text("")
    specs = [
        machine.spec("true"),
        machine.spec(""),
        machine.spec(str(data)),
        machine.spec("echo 'unbalanced"),
        machine.spec("true", resources={"walltime": "soon"}),
        machine.spec("true", environment={"A=B": "x"}),
        machine.spec("true"),
    ]
    outcomes = machine.executor.submit_many(specs)
    assert [outcome.id is not None for outcome in outcomes] == [True, *[False] * 5, True]
    assert all(outcome.certain for outcome in outcomes)
    for outcome, words in zip(
        outcomes[1:6], ("no script", "chmod", "quotes", "walltime", "A=B"), strict=True
    ):
        assert words in outcome.error
    assert machine.executor.check({"script": "true", "resources": {"walltime": "soon"}}) != ""
    assert machine.executor.check({"script": "true", "resources": {"walltime": "1-0:0:0"}}) == ""


# ----------------------------------------------------------------------------- poll and delete


def test_poll_shows_queued_running_and_ended_with_tokens(machine: Machine) -> None:
    assert machine.executor.poll() == {}
    script, gate = machine.gate()
    ids = machine.submit("sh -c 'exit 4'", script, script, "true")
    expected = [ENDED, RUNNING, RUNNING, QUEUED]
    until(lambda: [machine.states()[id_] for id_ in ids] == expected, f"states are {expected}")
    jobs = machine.executor.poll()
    assert [jobs[id_].token for id_ in ids] == [f"token-{n}" for n in (2, 3, 4, 5)]
    assert jobs[ids[0]].ending == machine.executor.get_exit_info([ids[0]], 0)[ids[0]]
    assert jobs[ids[1]].host == os.uname().nodename
    assert "slot" in jobs[ids[3]].reason
    assert dict(machine.executor.qstat()) == {
        ids[1]: ["test/3", "R"],
        ids[2]: ["test/4", "R"],
        ids[3]: ["test/5", "Q"],
    }
    gate.touch()
    machine.endings(ids)


def test_any_process_sees_and_deletes_the_jobs(machine: Machine) -> None:
    script, _ = machine.gate()
    ids = machine.submit(script, script, script)
    code = (
        "import sys; from paraschut_core.config import *;"
        "from paraschut_core.executors.local import LocalJobExecutor;"
        f"e = LocalJobExecutor(settings=Settings(job_dir={str(machine.folder)!r}));"
        "live = e.poll(); gone = e.delete_many({i: {} for i in live});"
        "print(sorted(live) == sorted(gone) and all(d.gone for d in gone.values()), *sorted(live))"
    )
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert other.stdout.split() == ["True", *sorted(ids)], other.stderr
    assert set(machine.states().values()) == {ENDED}


def test_a_queued_job_that_is_deleted_never_runs(machine: Machine) -> None:
    script, gate = machine.gate()
    blockers = machine.submit(script, script)
    queued = machine.submit("touch ran")
    assert machine.executor.delete_many({queued[0]: {}}) == {queued[0]: DeleteResult(True)}
    ending = machine.executor.get_exit_info(queued, 0)[queued[0]]
    assert (ending.reason, ending.exit_status, ending.host) == ("deleted", None, "")
    gate.touch()
    machine.endings(blockers)
    assert not (machine.folder / "ran").exists()


_FAMILY = """
import os, subprocess, sys, time
here, sleep = sys.argv[1], [sys.executable, "-c", "import time; time.sleep(600)"]
def stubborn():
    import signal
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
children = [
    subprocess.Popen(sleep),
    subprocess.Popen(sleep, start_new_session=True),
    subprocess.Popen(sleep, preexec_fn=stubborn),
]
# A daemon: in a session of its own, and no longer anybody's child.
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        with open(here + "/daemon", "w") as file:
            file.write(str(os.getpid()))
        os.execv(sys.executable, sleep)
    os._exit(0)
os.wait()
while not (os.path.exists(here + "/daemon") and os.path.getsize(here + "/daemon")):
    time.sleep(0.01)
daemon = int(open(here + "/daemon").read())
with open(here + "/family.new", "w") as file:
    print(os.getpid(), daemon, *[child.pid for child in children], file=file)
os.rename(here + "/family.new", here + "/family")
time.sleep(600)
"""


def test_deleting_a_running_job_ends_all_of_its_processes(machine: Machine) -> None:
    (machine.folder / "family.py").write_text(_FAMILY)
    (id_,) = machine.submit(f"{sys.executable} family.py {machine.folder}")
    until((machine.folder / "family").exists, "the job has started its family")
    family = [int(word) for word in machine.read("family").split()]
    assert all(look(pid) for pid in family)
    assert machine.executor.delete_many({id_: {}})[id_].gone
    assert [pid for pid in family if look(pid)] == []
    ending = machine.executor.get_exit_info([id_], 0)[id_]
    assert (ending.reason, ending.signal) == ("deleted", signal.SIGTERM)


def test_a_deleted_jobs_neighbours_live_on(machine: Machine) -> None:
    script, gate = machine.gate()
    ids = machine.submit(script, script)
    until(lambda: set(machine.states().values()) == {RUNNING}, "both run")
    assert machine.executor.delete_many({ids[0]: {}})[ids[0]].gone
    assert machine.states() == {ids[0]: ENDED, ids[1]: RUNNING}
    gate.touch()
    assert machine.endings(ids)[ids[1]].exit_status == 0


def test_a_stopped_job_can_be_deleted(machine: Machine) -> None:
    (id_,) = machine.submit("sh -c 'touch here; kill -STOP $$'")
    until(lambda: (machine.folder / "here").exists(), "the job has started")
    assert machine.executor.delete_many({id_: {}})[id_].gone


def test_deleting_1000_jobs_at_once(machine: Machine) -> None:
    script, _ = machine.gate()
    ids = machine.submit(*[script] * 1000)
    outcome = machine.executor.delete_many({id_: {} for id_ in ids})
    assert len(outcome) == 1000
    assert all(deleted.gone for deleted in outcome.values())
    assert len(machine.executor.get_exit_info(ids, 0)) == 1000


def test_deleting_what_is_over_counts_as_gone_and_what_was_never_here_does_not(machine: Machine) -> None:
    assert not machine.executor.delete_many({"abc.1": {}})["abc.1"].gone
    (id_,) = machine.submit("true")
    machine.endings([id_])
    own, strange = [id_, id_ + "9" * 30, id_.replace(".", ".x")], ["abc.1", "", "77"]
    deleted = machine.executor.delete_many({i: {} for i in (*own, *strange)})
    assert {i: told.gone for i, told in deleted.items()} == {
        **dict.fromkeys(own, True),
        **dict.fromkeys(strange, False),
    }
    assert machine.executor.get_exit_info([id_], 0)[id_].reason == "exit status 0"


def test_the_queue_of_another_host_is_shown_and_left_alone(machine: Machine) -> None:
    (own,) = machine.submit("true")
    machine.endings([own])
    folder = Path(machine.queue.folder)
    other = LocalQueue(str(folder.with_name(folder.name.rpartition("@")[0] + "@elsewhere")))
    task = NewJob("token-x", "x", b"true", b"", b"/", b"/dev/null", b"/dev/null", 0o22, None, None)
    (id_,), _ = other.add([task], b"", DaemonSettings(1, 1.0, 1.0))
    assert machine.states() == {own: ENDED, id_: QUEUED}
    deleted = machine.executor.delete_many({id_: {}})[id_]
    assert not deleted.gone
    assert "elsewhere" in deleted.error
    assert machine.states()[id_] == QUEUED


# ----------------------------------------------------------------------------- one job, and from within


def test_the_one_job_methods_work_on_metadata(machine: Machine) -> None:
    info = {
        "BatchID": 7,
        "JobIndex": 3,
        "name": ["human", "map"],
        "script": "sh -c 'echo $GREETING'",
        "vars": {"GREETING": "hello, you"},
        "stdout": ["old.out", str(machine.folder / "new.out")],
    }
    id_ = machine.executor.submit(info)
    machine.endings([id_])
    assert machine.read("new.out") == "hello, you\n"
    script, _ = machine.gate()
    id_ = machine.executor.submit({"script": script, "BatchID": 7, "JobIndex": 4})
    assert machine.executor.delete({"submit_id": id_}) is True
    assert machine.executor.get_exit_info([id_], 0)[id_].reason == "deleted"
    assert machine.executor.submit({"script": ""}) == "failed"


def test_a_job_asks_for_its_id_and_usage_without_heavy_imports(machine: Machine) -> None:
    code = """
import json, sys
before = set(sys.modules)
from paraschut_core.executors.local import LocalJobExecutor
executor = LocalJobExecutor()
id, summary = executor.get_job_id(), executor.get_job_summary()
heavy = {"psutil", "msgspec", "sqlite3", "subprocess", "logging", "dataclasses", "pathlib", "asyncio",
         "paraschut_core.config"}
print(json.dumps([id, summary, sorted(heavy & (set(sys.modules) - before))]))
"""
    (machine.folder / "ask.py").write_text(code)
    (id_,) = machine.submit(f"{sys.executable} ask.py", stdout=str(machine.folder / "out"))
    ending = machine.endings([id_])[id_]
    assert ending.exit_status == 0, (machine.folder / "logs" / "1.err").read_text()
    found, summary, heavy = json.loads(machine.read("out"))
    assert heavy == []
    assert found == summary["job_id"] == id_
    assert summary["pid"] == ending.record["pid"]
    assert summary["host"] == os.uname().nodename
    assert summary["cpu_time"] > 0
    assert summary["max_rss"] > 1_000_000
    assert abs(summary["started_at"] - ending.record["started_at"]) < 5
    other = machine.executor.get_job_summary(id_)
    assert (other["state"], other["exit_status"]) == (ENDED, 0)
    assert machine.executor.get_job_summary() == {}
    assert machine.executor.get_job_summary("none.1") == {}


def test_a_job_submits_another(machine: Machine) -> None:
    code = (
        "from tests.core.test_local_executor import Machine; from pathlib import Path;"
        f"print(*Machine(Path({str(machine.folder)!r})).submit('sh -c \"echo $PARASCHUT_JOB_ID >> child\"'))"
    )
    (machine.folder / "parent.py").write_text(code)
    (id_,) = machine.submit(
        f"{sys.executable} parent.py",
        environment={"PYTHONPATH": WITH_TESTS},
        stdout=str(machine.folder / "out"),
    )
    assert machine.endings([id_])[id_].exit_status == 0, (machine.folder / "logs" / "1.err").read_text()
    (child,) = machine.read("out").split()
    assert machine.endings([child])[child].exit_status == 0
    assert machine.read("child").split() == [child]


def test_isconnected_says_whether_the_job_directory_can_be_used(tmp_path: Path) -> None:
    assert LocalJobExecutor(settings=Settings(job_dir=str(tmp_path / "new"))).isconnected()
    (tmp_path / "file").write_text("")
    assert not LocalJobExecutor(settings=Settings(job_dir=str(tmp_path / "file" / "x"))).isconnected()


def test_a_queue_whose_maker_is_at_it_or_was_killed_is_made(machine: Machine) -> None:
    """SQLite's file is there before its tables are."""
    Path(machine.queue.folder).mkdir(parents=True)
    Path(machine.queue.path).touch()
    assert machine.executor.poll() == {}
    assert {ending.reason for ending in machine.endings(machine.submit("true")).values()} == {"exit status 0"}


def test_bad_arguments_and_folders_are_explained(tmp_path: Path) -> None:
    with pytest.raises(SubmitError, match="max_workers=-1"):
        LocalJobExecutor(-1)
    (tmp_path / "file").write_text("")
    machine = Machine(tmp_path)
    machine.executor = LocalJobExecutor(settings=Settings(job_dir=str(tmp_path / "file")))
    with pytest.raises(SchedulerError, match="set job_dir"):
        machine.executor.submit_many([machine.spec("true")])


def test_the_queues_folder_is_for_its_user_alone_and_leaves_room_for_others(machine: Machine) -> None:
    machine.folder.chmod(0o2770)
    machine.endings(machine.submit("true"))
    folder = Path(machine.queue.folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(folder.parent.stat().st_mode) == 0o2770


def test_no_process_is_left_behind(machine: Machine) -> None:
    ids = machine.submit("true", "sleep 0.2", "sh -c 'sleep 0.1; true'")
    endings = machine.endings(ids)
    assert not [process for process in table().values() if process.job in ids]
    assert not any(alive(ending.record["pid"], 0) for ending in endings.values())


def test_the_lines_of_the_settings_run_before_a_local_job_too_and_one_that_fails_keeps_it_from_running(
    tmp_path: Path,
) -> None:
    def ended(modules: list[str], script: str) -> tuple[int | None, str]:
        machine = Machine(tmp_path)
        settings = msgspec.structs.replace(machine.settings, submit=SubmitSettings(modules=modules))
        machine.executor = LocalJobExecutor(settings=settings)
        ending = machine.ending(script, token=f"token-{len(list(tmp_path.iterdir()))}-{script}")
        said = "".join((tmp_path / "logs" / f"1.{kind}").read_text() for kind in ("out", "err"))
        shutil.rmtree(tmp_path / "logs")
        return ending.exit_status, said

    (tmp_path / "tool").mkdir()
    (tmp_path / "tool" / "of-the-module").write_text("echo tool \"$1\" $COLOUR '$0'\n")
    (tmp_path / "tool" / "of-the-module").chmod(0o755)
    lines = ["if true", "then COLOUR='dark blue'; export COLOUR", "fi", f"PATH={tmp_path}/tool:$PATH"]
    assert ended(lines, "of-the-module 'a b'") == (0, "tool a b dark blue $0\n")
    assert ended(lines, 'of-the-module "$COLOUR" | cat; exit 3') == (3, "tool dark blue dark blue $0\n")
    status, said = ended(["echo before", "no-such-module x"], "echo ran")
    assert (status, said.splitlines()[0]) == (125, "before")
    assert said.splitlines()[-1] == "no-such-module x failed with exit status 127"
    assert "ran\n" not in said
