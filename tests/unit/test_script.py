"""The script that a scheduler gets, run here by real shells as a scheduler would."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from paraschut_core.errors import ScriptError
from paraschut_core.executors.batch import script
from paraschut_core.executors.batch.script import JobIdVariables
from paraschut_core.executors.exit_info import ExitRecord
from paraschut_core.model import JobSpec
from tests.clusters.tools import NASTY, environment_in, group, read, spec, specs
from tests.helpers import wait_until

DIALECT = JobIdVariables("test", "$ID", "${ID}_$TASK", "$TASK", bare=False)


def folder_in(tmp_path: Path) -> str:
    return str(tmp_path / "it's 100% a $job dir/.paraschut/scripts/me")


def run(path: str, task: int | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    extra = {"ID": "7", **({} if task is None else {"TASK": str(task)}), **environment}
    return subprocess.run(
        [path], env={**os.environ, **extra}, capture_output=True, text=True, timeout=60, cwd="/"
    )


def submitted(
    tmp_path: Path, jobs: Sequence[JobSpec], modules: Sequence[str] = (), dialect: JobIdVariables = DIALECT
) -> str:
    return script.write(jobs, dialect, folder_in(tmp_path), modules)


def record_of(tmp_path: Path, id_: str) -> ExitRecord:
    found = script.records(folder_in(tmp_path))
    record = script.read_record(found["test", id_][1])
    assert record is not None
    return record


def test_every_value_arrives_byte_for_byte(tmp_path: Path) -> None:
    path = submitted(tmp_path, [spec(tmp_path, "env -0 > env", environment=NASTY)])
    assert run(path).returncode == 0
    found = environment_in(tmp_path / "env")
    assert {name: found.get(name) for name in NASTY} == NASTY


def test_no_line_of_a_script_looks_like_a_directive_that_is_in_a_value(tmp_path: Path) -> None:
    text = "\n#SBATCH -p nowhere\n#PBS -q nowhere\n#$ -N other\n#BSUB -q x\n# plain"
    jobs = [spec(tmp_path, f"true{text}", environment={"TEXT": text})]
    for rendered in script.render(jobs, DIALECT, "/folder", []):
        hashes = [line for line in rendered.splitlines()[1:] if line.startswith("#")]
        assert not any(line.startswith(("#SBATCH", "#PBS", "#$", "#BSUB")) for line in hashes)


TEXTS = st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]), max_size=20)


@given(value=st.text(st.characters(blacklist_characters="\0"), max_size=40))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_value_arrives(tmp_path: Path, value: str) -> None:
    try:
        os.fsencode(value)
    except UnicodeEncodeError:
        return  # no environment can hold it; it is refused before it comes here
    path = submitted(tmp_path, [spec(tmp_path, "env -0 > env", environment={"VALUE": value})])
    run(path)
    assert environment_in(tmp_path / "env")["VALUE"] == value


@given(
    shared=st.dictionaries(st.from_regex(r"V[A-Za-z0-9_]{0,5}", fullmatch=True), TEXTS, max_size=4),
    own=st.lists(TEXTS, min_size=2, max_size=2),
)
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_values_arrive_in_the_tasks_of_an_array(
    tmp_path: Path, shared: dict[str, str], own: list[str]
) -> None:
    jobs = [
        job._replace(environment={**shared, "OWN": text})
        for job, text in zip(specs(tmp_path, ["env -0 > env"] * 2), own, strict=True)
    ]
    path = submitted(tmp_path, jobs)
    for task, job in enumerate(jobs, 1):
        run(path, task)
        found = environment_in(tmp_path / "env")
        assert {name: found.get(name) for name in job.environment} == job.environment


def test_each_task_of_an_array_gets_its_own_and_what_all_share(tmp_path: Path) -> None:
    shared = group()
    jobs = [
        spec(
            tmp_path,
            f"env -0 > env{n}; exit {n}",
            token=f"{shared}-{n}",
            environment={**NASTY, "N": f"it's {n}", "COMMON": "x,y\nz"},
        )
        for n in (1, 2, 3)
    ]
    path = submitted(tmp_path, jobs)
    for n in (3, 1, 2):
        assert run(path, n).returncode == n
        found = environment_in(tmp_path / f"env{n}")
        assert {name: found.get(name) for name in NASTY} == NASTY
        assert (found["N"], found["COMMON"]) == (f"it's {n}", "x,y\nz")
        assert record_of(tmp_path, f"7_{n}").token == f"{shared}-{n}"


def test_a_task_without_a_job_ends_with_a_word(tmp_path: Path) -> None:
    path = submitted(tmp_path, specs(tmp_path, ["true", "true"]))
    assert run(path, 3).returncode == 125
    assert "there is no job for task" in record_of(tmp_path, "7_3").note


def test_an_array_of_a_thousand_is_small_and_starts_fast(tmp_path: Path) -> None:
    paths = {f"VARIABLE_{n}": f"/a/path/of/some/length/{n}" for n in range(20)}
    jobs = specs(tmp_path, ["exit 0"] * 1000, environment=paths)
    path = submitted(tmp_path, jobs)
    assert os.path.getsize(path) < 10_000
    assert os.path.getsize(f"{path[:-3]}.tasks") < 1_000_000
    one = submitted(tmp_path, [spec(tmp_path, "exit 0", environment=paths)])

    def seconds(path: str, task: int) -> float:
        times = []
        for _ in range(5):
            before = os.times()
            run(path, task)
            after = os.times()
            times.append(after.children_user - before.children_user)
        return min(times)

    # In CPU time and compared with a single job's script, so that a busy machine does not matter.
    assert seconds(path, 1000) < seconds(one, 1) + 0.25


def test_output_goes_to_the_jobs_own_files_and_is_appended(tmp_path: Path) -> None:
    job = spec(tmp_path / "new dir" / "it's", "echo out; echo err >&2; pwd", cwd=tmp_path)
    path = submitted(tmp_path, [job])
    result = run(path)
    assert (result.stdout, result.stderr) == ("", "")
    assert read(job.stdout) == f"out\n{tmp_path}\n"
    assert read(job.stderr) == "err\n"
    run(path)
    assert read(job.stdout).splitlines().count("out") == 2


def test_the_end_is_recorded(tmp_path: Path) -> None:
    job = spec(tmp_path, "exit 3")
    result = run(submitted(tmp_path, [job]))
    record = record_of(tmp_path, "7")
    assert result.returncode == record.status == 3
    assert (record.token, record.host, record.note) == (job.token, os.uname().nodename, "")
    assert record.started <= record.ended


def test_a_command_that_is_killed_is_recorded_and_its_log_stays_clean(tmp_path: Path) -> None:
    job = spec(tmp_path, "kill -9 $$")
    assert run(submitted(tmp_path, [job])).returncode == 137
    assert record_of(tmp_path, "7").status == 137
    assert read(job.stderr) == ""


@pytest.mark.parametrize("name", ["TERM", "USR1", "XCPU"])
def test_a_warning_before_the_kill_reaches_the_command_and_is_noted(tmp_path: Path, name: str) -> None:
    text = f"trap 'echo warned; exit 9' {name}; echo ready; while :; do sleep 0.05; done"
    job = spec(tmp_path, text)
    path = submitted(tmp_path, [job])
    process = subprocess.Popen([path], env={**os.environ, "ID": "7"}, start_new_session=True)
    wait_until(lambda: read(job.stdout) == "ready\n", "the job is ready")
    os.killpg(process.pid, getattr(signal, f"SIG{name}"))
    assert process.wait(60) == 9
    assert read(job.stdout) == "ready\nwarned\n"
    assert record_of(tmp_path, "7")[2:4] == (9, name)


@pytest.mark.parametrize(("name", "last"), [("TERM", 143), ("USR1", 138), ("XCPU", 9), ("TERM", 0)])
def test_a_job_that_ends_in_the_moment_of_a_signal_ends_its_script_with_its_status(
    tmp_path: Path, name: str, last: int
) -> None:
    """The script gets no CPU between the signal and the job's end: it learns of both at once."""
    trap = f"trap 'exit {last}' {name}; " if last < 128 else ""
    job = spec(tmp_path, f"{trap}echo ready; while :; do sleep 0.05; done")
    path = submitted(tmp_path, [job])
    process = subprocess.Popen([path], env={**os.environ, "ID": "7"}, start_new_session=True)
    wait_until(lambda: read(job.stdout) == "ready\n", "the job is ready")
    cpu = min(os.sched_getaffinity(0))
    busy = subprocess.Popen(
        [
            sys.executable,
            "-c",
            f"import os; os.sched_setaffinity(0, {{{cpu}}}); print('busy', flush=True)\nwhile 1: 0",
        ],
        stdout=subprocess.PIPE,
    )
    try:
        assert busy.stdout is not None
        assert busy.stdout.readline() == b"busy\n"
        os.sched_setaffinity(process.pid, {cpu})
        os.sched_setscheduler(process.pid, os.SCHED_IDLE, os.sched_param(0))
        os.killpg(process.pid, getattr(signal, f"SIG{name}"))
        time.sleep(0.15)
    finally:
        busy.kill()
        busy.communicate()
    try:
        assert process.wait(20) == last
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert record_of(tmp_path, "7")[2:4] == (last, name)


def test_what_the_scheduler_wrote_reaches_the_jobs_stderr(tmp_path: Path) -> None:
    job = spec(tmp_path, "echo own >&2")
    path = submitted(tmp_path, [job])
    log = Path(folder_in(tmp_path)) / f"{job.token}.log"
    log.write_text("slurmstepd: error: *** JOB 7 CANCELLED DUE TO TIME LIMIT ***\n")
    run(path)
    assert read(job.stderr) == "own\n" + log.read_text()
    assert "TIME LIMIT" in script.scheduler_log(folder_in(tmp_path), job.token)


def test_an_empty_scheduler_log_is_removed(tmp_path: Path) -> None:
    job = spec(tmp_path, "true")
    path = submitted(tmp_path, [job])
    log = Path(folder_in(tmp_path)) / f"{job.token}.log"
    log.touch()
    run(path)
    assert not log.exists()


def test_a_log_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = run(submitted(tmp_path, [spec(tmp_path / "file" / "below", "true")]))
    assert result.returncode == 125
    assert record_of(tmp_path, "7").note == f"could not write its log {record_log(tmp_path)}"


def record_log(tmp_path: Path) -> str:
    return f"{tmp_path}/file/below/{record_of(tmp_path, '7').token}.out"


def test_a_directory_that_cannot_be_entered_is_told(tmp_path: Path) -> None:
    job = spec(tmp_path, "true", cwd=tmp_path / "nowhere")
    assert run(submitted(tmp_path, [job])).returncode == 125
    assert record_of(tmp_path, "7").note == f"could not enter its directory {tmp_path}/nowhere"
    assert "nowhere" in read(job.stderr)


def test_an_executable_file_runs_by_its_own_interpreter(tmp_path: Path) -> None:
    program = tmp_path / "it's a program.py"
    program.write_text("#!/usr/bin/env python3\nimport sys\nprint(sys.argv[1:])\n")
    program.chmod(0o755)
    job = spec(tmp_path, str(program))
    run(submitted(tmp_path, [job]))
    assert read(job.stdout) == "[]\n"


@pytest.mark.parametrize(
    "line", ["echo 'a  b' | tr a-z A-Z", "X=1; echo A  B\n", "-x 2>/dev/null || echo 'A  B'"]
)
def test_a_command_line_is_the_shells(tmp_path: Path, line: str) -> None:
    job = spec(tmp_path, line)
    run(submitted(tmp_path, [job]))
    assert " ".join(read(job.stdout).split()) == "A B"


def test_a_job_does_not_read_its_submitters_input(tmp_path: Path) -> None:
    job = spec(tmp_path, "cat; echo end")
    path = submitted(tmp_path, [job])
    subprocess.run([path], env={**os.environ, "ID": "7"}, input=b"secret", timeout=60, check=True)
    assert read(job.stdout) == "end\n"


def test_module_lines_run_first_and_their_effect_stays(tmp_path: Path) -> None:
    job = spec(tmp_path, "echo $FROM_MODULE $OWN", environment={"OWN": "own"})
    lines = ["export FROM_MODULE=loaded OWN=module", "echo loading >&2"]
    run(submitted(tmp_path, [job], modules=lines))
    assert read(job.stdout) == "loaded own\n"
    assert read(job.stderr) == "loading\n"


def test_search_paths_are_carried_only_where_the_scheduler_drops_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    job = spec(tmp_path, "echo $PATH")
    for bare, carried in ((True, True), (False, False)):
        path = submitted(tmp_path, [job], dialect=DIALECT._replace(bare=bare))
        run(path, PATH="/usr/bin:/bin")
        assert (f"{tmp_path}/bin" in read(job.stdout)) is carried
        os.unlink(job.stdout)


def test_exported_shell_functions_reach_the_job(tmp_path: Path) -> None:
    job = spec(tmp_path, "module")
    run(submitted(tmp_path, [job]), **{"BASH_FUNC_module%%": "() { echo a module; }"})
    assert read(job.stdout) == "a module\n"


def test_the_names_of_a_jobs_variables_are_known_to_it(tmp_path: Path) -> None:
    job = spec(tmp_path, "echo $PARASCHUT_VARIABLES", environment={"A": "1", "PARASCHUT_TOKEN": "x-1"})
    run(submitted(tmp_path, [job]))
    assert read(job.stdout) == "A PARASCHUT_TOKEN\n"


def test_a_job_keeps_its_submitters_umask(tmp_path: Path) -> None:
    job = spec(tmp_path, "umask")
    before = os.umask(0o027)
    try:
        path = submitted(tmp_path, [job])
    finally:
        os.umask(before)
    run(path)
    assert read(job.stdout).strip().endswith("027")
    assert stat.S_IMODE(os.stat(job.stdout).st_mode) == 0o640


def test_scripts_are_their_users_alone(tmp_path: Path) -> None:
    path = submitted(tmp_path, specs(tmp_path, ["true", "true"]))
    assert stat.S_IMODE(os.stat(os.path.dirname(path)).st_mode) == 0o700
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o700
    assert stat.S_IMODE(os.stat(f"{path[:-3]}.tasks").st_mode) == 0o600


@pytest.mark.parametrize(
    ("environment", "why"),
    [
        ({"a-b": "1"}, "cannot be exported"),
        ({"": "1"}, "cannot be exported"),
        ({"1A": "1"}, "cannot be exported"),
        ({"UID": "1"}, "belongs to the shell"),
        ({"A": "\0"}, "NUL"),
    ],
)
def test_variables_that_no_shell_can_export_are_refused(
    tmp_path: Path, environment: dict[str, str], why: str
) -> None:
    with pytest.raises(ScriptError, match=why):
        submitted(tmp_path, [spec(tmp_path, "true", environment=environment)])


def test_scripts_that_cannot_run_are_refused(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("")
    for text in ("", "  ", "a\0b", f"{tmp_path}/plain"):
        with pytest.raises(ScriptError):
            submitted(tmp_path, [spec(tmp_path, text)])


@pytest.mark.parametrize("token", ["abc", "abc-", "-1", "a_b-1", "a/b-1", "a b-1", "abc-1\n"])
def test_strange_tokens_are_refused(token: str) -> None:
    with pytest.raises(ScriptError):
        script.split_token(token)


def test_a_record_of_an_earlier_job_of_that_number_does_not_count(tmp_path: Path) -> None:
    run(submitted(tmp_path, [spec(tmp_path, "true")]))
    path = script.records(folder_in(tmp_path))["test", "7"][1]
    record = script.read_record(path)
    assert record is not None
    assert script.read_record(path, since=record.ended + 3600) is None
    assert script.read_record(path, since=record.ended - 3600) == record


def test_a_broken_record_is_no_record(tmp_path: Path) -> None:
    path = tmp_path / "test~7~abc-1"
    for text in ("", "id=7\n", "id=7\ntoken=abc-1\nstatus=x\nsignal=\nhost=h\nstarted=1\nended=2\nnote=\n"):
        path.write_text(text)
        assert script.read_record(str(path)) is None
    assert script.read_record(str(tmp_path / "nowhere")) is None


def test_the_sweep_takes_what_is_old_and_not_in_the_queue(tmp_path: Path) -> None:
    folder = Path(folder_in(tmp_path))
    waiting, ended = specs(tmp_path, ["true", "true"]), [spec(tmp_path, "true")]
    submitted(tmp_path, waiting)
    run(submitted(tmp_path, ended))
    in_queue = {script.split_token(waiting[0].token)[0]}
    later = os.stat(folder).st_mtime + (script.KEPT_DAYS + 1) * 86400
    assert script.remove_old_files(str(folder), in_queue, now=later - 2 * 86400) == 0
    assert (
        script.remove_old_files(str(folder), in_queue, now=later) == 2
    )  # the script and the record of the ended job
    kept = next(iter(in_queue))
    assert sorted(os.listdir(folder)) == sorted([".swept", f"{kept}.sh", f"{kept}.tasks", "ended"])
    assert script.remove_old_files(str(folder), set(), now=later + 60) == 0  # not so soon again
    assert script.remove_old_files(str(folder), set(), now=later + 90000) == 2


def test_the_text_of_a_script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a scheduler is given, in whole: a change of it should be seen."""
    job = spec("/logs", "run it", token="abc-1", environment={"A": "it's"}, cwd="/work")
    monkeypatch.setattr(script, "shell", lambda: "/bin/bash")
    monkeypatch.setattr(script, "current_umask", lambda: 0o022)
    text, tasks = script.render([job], DIALECT, "/folder", ["module load x"])
    assert tasks == ""
    assert text == read(Path(__file__).with_name("script_pinned.sh"))


@pytest.mark.parametrize("last", ["true", "export B=2"])
@pytest.mark.parametrize(
    "line", ["false", "module load nowhere", "true && false", "if true\nthen false\nfi", ". /no/such/file"]
)
def test_a_module_line_that_fails_keeps_the_job_from_running(tmp_path: Path, line: str, last: str) -> None:
    job = spec(tmp_path, "echo ran")
    ended = run(submitted(tmp_path, [job], modules=["export A=1", *line.split("\n"), last]))
    assert ended.returncode == 125
    assert read(job.stdout) == ""
    record = record_of(tmp_path, "7")
    assert "failed with exit status" in record.note
    assert line.split()[0] in record.note


@pytest.mark.parametrize(
    "lines",
    [
        ["[ -f /no/such/file ] && . /no/such/file"],
        ["false || true"],
        ["if false", "then echo no", "else export B=2", "fi"],
        ["for n in 1 2; do", "  false || export N=$n", "done"],
        ["export LONG=a\\", "b"],
        ["cat <<END >/dev/null", "false", "END"],
        ["f() {", "  false", "  true", "}", "f"],
    ],
)
def test_a_module_line_that_only_tests_keeps_no_job_from_running(tmp_path: Path, lines: list[str]) -> None:
    job = spec(tmp_path, "echo ran")
    assert run(submitted(tmp_path, [job], modules=lines)).returncode == 0
    assert read(job.stdout) == "ran\n"


def test_functions_are_carried_where_the_scheduler_drops_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BASH_FUNC_module%%", '() {  echo "it\'s\n#$ -N module $*"\n}')
    monkeypatch.setenv("MODULEPATH", "/sw/modules")
    job = spec(tmp_path, "module load x; echo $MODULEPATH")
    path = submitted(tmp_path, [job], dialect=DIALECT._replace(bare=True))
    assert not any(line.startswith("#$") for line in read(path).splitlines())
    run(path, **{"BASH_FUNC_module%%": "() { :; }"})
    assert read(job.stdout) == "it's\n#$ -N module load x\n/sw/modules\n"


@pytest.mark.parametrize(
    "name", ["CORP\\mia", "a b", "$mia", "mia:1", "x,y", ".mia", "-mia", "a/b", "müller"]
)
def test_a_users_name_is_made_fit_for_a_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    from paraschut_core import identity

    monkeypatch.setattr(identity, "user_name", lambda: name)
    identity.user_folder.cache_clear()
    try:
        found = identity.user_folder()
    finally:
        identity.user_folder.cache_clear()
    assert found.isprintable()
    assert not set("\\$:,/ ~'\"%") & set(found)
    assert found[0] not in ".-"
    assert found == name or found.endswith(f"-{os.getuid()}")


@pytest.mark.parametrize("name", ["mia", "mia.b", "m-1", "mia@corp.example"])
def test_a_plain_users_name_stays_as_it_is(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    from paraschut_core import identity

    monkeypatch.setattr(identity, "user_name", lambda: name)
    identity.user_folder.cache_clear()
    try:
        assert identity.user_folder() == name
    finally:
        identity.user_folder.cache_clear()


def test_what_a_scheduler_says_after_a_job_failed_is_kept(tmp_path: Path) -> None:
    job = spec(tmp_path, "exit 3", token="late-1")
    path = submitted(tmp_path, [job])
    log = Path(os.path.dirname(path), "late-1.log")
    log.touch()
    run(path)
    assert log.exists()
