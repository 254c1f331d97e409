"""What users and strangers write into fields, names, logs and files is never taken for a command."""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import paraschut_core as psu
from paraschut_core.config import Settings
from paraschut_core.errors import ParaschutError
from paraschut_core.executors.batch.pbs import PBSJobExecutor
from paraschut_core.executors.batch.sge import SGEJobExecutor
from paraschut_core.executors.batch.slurm import SlurmJobExecutor
from tests.core.cli import CommandLine
from tests.helpers import BATCH, ProjectDir, Scheduler, Script, wait_until

ATTACKS = [
    "$(touch pwned)",
    "`touch pwned`",
    "; touch pwned #",
    "'; touch pwned; '",
    '"; touch pwned; "',
    "x\ntouch pwned\n",
    "x\n#SBATCH --wrap=touch\\ pwned\n#$ -sync y\n#PBS -v X\n",
    "|touch pwned",
    "&& touch pwned",
    "-x",
    "--wrap=touch pwned",
    "${IFS}touch${IFS}pwned",
    "$((`touch pwned`))",
]
"""Texts that do something if any shell or scheduler takes them for its own words."""

FIELDS = ["name", "batch_type", "note", "queue", "vars", "resources", "resource name", "directives", "cwd"]


def attacked(project: ProjectDir, field: str, attack: str) -> dict[str, object]:
    """A job that says a word, and has the attack in one field."""
    info: dict[str, object] = project.job(script="echo hello", note="x")
    values: dict[str, object] = {
        "vars": {"VALUE": attack},
        "resources": {"mem": attack},
        "resource name": {attack: "1"},
        "directives": [attack],
        "cwd": str(project.folder / attack),
    }
    info["resources" if field == "resource name" else field] = values.get(field, attack)
    return info


@pytest.mark.parametrize("executor", ["local", "file"])
@pytest.mark.parametrize("field", FIELDS)
def test_no_field_of_a_job_reaches_a_shell_as_words(project: ProjectDir, field: str, executor: str) -> None:
    project.configure("[local]\nidle_timeout = 1\n")
    jobs = []
    for index, attack in enumerate(ATTACKS):
        jobs.append(attacked(project, field, attack) | {"JobIndex": index})
    project.add(*jobs)
    run = psu.LocalJobExecutor() if executor == "local" else psu.FileJobExecutor("run.sh")
    try:
        psu.submit_jobs(Executor=run)
    except ParaschutError:
        assert field in ("resources", "directives", "cwd"), "one bad field keeps the others from running"
    if executor == "file" and Path("run.sh").exists():
        subprocess.run(["sh", "run.sh"], capture_output=True, check=False, stdin=subprocess.DEVNULL)
    elif executor == "local":
        wait_until(lambda: not [job for job in run.poll().values() if job.state != "ended"], "all have ended")
    assert not list(project.folder.parent.rglob("pwned"))


RECORDER = """#!/bin/sh
printf '%s\\0' "$@" >"$RECORD.$$"
echo 12345
"""


@pytest.mark.parametrize(
    ("kind", "command"), [(SlurmJobExecutor, "sbatch"), (SGEJobExecutor, "qsub"), (PBSJobExecutor, "qsub")]
)
@pytest.mark.parametrize("field", FIELDS)
def test_no_field_of_a_job_becomes_an_option_of_the_scheduler_or_a_word_of_its_script(
    project: ProjectDir,
    monkeypatch: pytest.MonkeyPatch,
    kind: type[SlurmJobExecutor | SGEJobExecutor | PBSJobExecutor],
    command: str,
    field: str,
) -> None:
    """Each job is submitted to a command that notes its arguments; then its script is run by a shell."""
    tools = project.folder / "tools"
    tools.mkdir()
    (tools / command).write_text(RECORDER)
    (tools / command).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("RECORD", str(project.folder / "words"))
    settings = Settings(job_dir=str(project.folder), database=str(project.database), resources={})
    executor = kind(settings=settings)
    submitted = 0
    for attack in ATTACKS:
        for record in project.folder.glob("words.*"):
            record.unlink()
        info = attacked(project, field, attack)
        outcome = None
        try:
            outcome = executor.submit(info)
        except ParaschutError:
            continue  # refused: as good
        if outcome == "failed":
            continue
        submitted += 1
        (record,) = project.folder.glob("words.*")
        words = record.read_bytes().decode(errors="replace").split("\0")[:-1]
        script = next(word for word in reversed(words) if word.endswith(".sh"))
        if field != "directives":  # they are the user's own options: as they are, each one word
            assert attack not in words, "the field is a word of its own, and may be taken for an option"
            assert not [word for word in words if word.startswith("--wrap")]
        else:
            assert words.count(attack) == 1
        lines = Path(script).read_text().splitlines()
        assert not [line for line in lines if re.match(r"#(SBATCH|\$|PBS|BSUB) ?", line)]
        subprocess.run(
            ["sh", script],
            cwd=project.folder,
            capture_output=True,
            check=False,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "SLURM_JOB_ID": "1", "JOB_ID": "1", "PBS_JOBID": "1"},
        )
        assert not list(project.folder.parent.rglob("pwned")), attack
    assert submitted or field in ("resources", "queue", "cwd", "resource name")


# ------------------------------------------------------------------------------------ the terminal

NASTY = "\x1b]0;owned\x07\x1b[2J\x9b31m\x1b]52;c;cHduZWQ=\x07[/red][@click=app.quit]\u202e\u200b\r\x08"
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u200b]")

READS = [
    ["queue"],
    ["queue", "--json"],
    ["queue", "--filter", f"name LIKE '%{NASTY}%'"],
    ["info", BATCH, 0],
    ["info", BATCH, 0, "--json"],
    ["history", BATCH, 0],
    ["log", BATCH, 0],
    ["log", BATCH, 0, "--stream", "stderr"],
    ["log", BATCH, 0, "--grep", NASTY],
    ["spawns", BATCH, 0],
    ["actions"],
    ["doctor"],
    ["config"],
    ["submit", "--dry-run"],
    [NASTY],
    ["queue", NASTY],
    ["info", NASTY, 0],
    ["--db", NASTY, "queue"],
    ["--config", NASTY, "queue"],
    ["set", BATCH, f"{NASTY}=1"],
    ["run", NASTY, "--", "true"],
    ["import", NASTY],
    ["recover", f"/{NASTY}/x"],
]


@pytest.fixture
def hostile(project: ProjectDir) -> CommandLine:
    """A project of which every text that comes from outside is an attack upon the terminal."""
    cli = CommandLine(project.folder)
    log = project.folder / "log"
    log.write_text(f"line {NASTY}\n" * 3)
    project.add(
        project.job(
            name=["a", NASTY], batch_type=NASTY, note=NASTY, stdout=[str(log)], stderr=[str(log)], queue=NASTY
        ),
        project.job(1, state=f"odd {NASTY}"),
    )
    scheduler = Scheduler()
    psu.set_batch_field(BATCH, {"note": NASTY + "2"})
    psu.get_job_info(BATCH, 0, SetID=True, ClusterID=NASTY)
    project.set_columns(0, hostname=NASTY, claimed_by=f"{NASTY}@{NASTY}:1")
    psu.get_queue(Verbose=False, Executor=scheduler)
    return cli


@pytest.mark.parametrize("words", READS, ids=lambda words: str(words[0])[:10].strip("\x1b") if words else "")
def test_no_command_prints_what_a_terminal_would_act_upon(hostile: CommandLine, words: list[object]) -> None:
    answer = hostile(*words, status=None)
    for text in (answer.out, answer.err):
        found = CONTROL.search(text.replace("\\u001b", "").replace("\n", ""))
        assert found is None, (
            f"{found.group()!r} in {text[max(found.start() - 80, 0) : found.start() + 40]!r}"
        )
    assert "Traceback" not in answer.err


def test_the_reports_of_the_documented_functions_are_safe_too(
    hostile: CommandLine, capsys: pytest.CaptureFixture[str]
) -> None:
    psu.get_queue(Executor=Scheduler())
    psu.print_log(BATCH, 0)
    psu.print_log(BATCH, 0, LogKey="stderr")
    printed = capsys.readouterr()
    for text in (printed.out, printed.err):
        assert CONTROL.search(text.replace("\n", "")) is None


# ------------------------------------------------------------------------------------ SQL, pickle

SQL = [
    "x'); DROP TABLE job; --",
    'x"; DROP TABLE job; --',
    "a]b",
    "$.x",
    "a.b",
    "state\x00",
    "'",
    '"',
    "x' OR '1'='1",
]


@pytest.mark.parametrize("name", SQL)
def test_names_of_fields_and_states_are_never_sql(project: ProjectDir, name: str) -> None:
    project.add_many(3)
    calls = [
        lambda: psu.set_batch_field(BATCH, {name: 1}),
        lambda: psu.set_batch_field(BATCH, {"state": name}, Unless={name: [name]}),
        lambda: psu.set_job_field(BATCH, 0, {"note": name}),
        lambda: psu.remove_batch_by_state(name),
        lambda: psu.add_job_to_queue(project.job(9, **{name: name})),
        lambda: psu.get_queue(Verbose=False, Filter=name, Executor=Scheduler()),
        lambda: psu.submit_jobs(Executor=Scheduler(), Filter=f"name = '{name}'"),
    ]
    for call in calls:
        try:
            call()
        except ParaschutError:
            pass  # refused in clear words
    tables = {row[0] for row in project.sql("SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert {"job", "batch", "event"} <= tables
    assert project.sql("SELECT count(*) FROM job WHERE JobIndex < 3") in ([(3,)], [(0,)])


def test_a_pickle_is_never_loaded_wherever_it_lies(project: ProjectDir) -> None:
    """As metadata, as a job's data, as a database: what would run code when it is loaded does not."""
    code = f"""
        import pickle, sys
        class Evil:
            def __reduce__(self):
                import os
                return os.system, ("touch {project.folder}/pwned",)
        sys.stdout.buffer.write(pickle.dumps(Evil()))
    """
    made = subprocess.run(
        [sys.executable, "-c", "\n".join(line[8:] for line in code.splitlines())],
        capture_output=True,
        check=True,
    ).stdout
    assert b"touch" in made
    data = project.folder / "data.pkl"
    data.write_bytes(made)
    project.add(project.job(data=str(data)))
    project.set_columns(0, metadata=made)
    psu.get_queue(Verbose=False, Executor=Scheduler())
    with pytest.raises(ParaschutError):
        psu.update_job({**psu.get_job_info(BATCH, 0), "note": 1})
    project.database.with_name("evil.db").write_bytes(made)
    for words in (["queue"], ["info", BATCH, 0], ["import", "evil.db"], ["--db", "evil.db", "queue"]):
        CommandLine(project.folder)(*words, status=None)
    assert not (project.folder / "pwned").exists()


# ------------------------------------------------------------------------------------ pagers, editors

PATHS = ["-c :!touch pwned", "+!touch pwned", "a; touch pwned", "$(touch pwned)", "x\ny", "--help"]


@pytest.mark.parametrize("name", PATHS)
def test_a_logs_name_is_one_argument_and_no_option_of_pager_or_editor(project: ProjectDir, name: str) -> None:
    """The command line's and the dashboard's way to open a program: no shell, and the path is absolute."""
    from paraschut_tui.job_log.external_programs import editor, pager

    for variables, of in (({"PAGER": "less -R '-P x y'"}, pager), ({"EDITOR": "vi -u 'a b'"}, editor)):
        words = of(variables)
        assert words[0] in ("less", "vi")
        assert len(words) == 3
    hostile = {"PAGER": "less; touch pwned", "EDITOR": "$(touch pwned)", "VISUAL": "vi && touch pwned"}
    for words in (pager(hostile), editor(hostile)):
        show = [sys.executable, "-c", "import json, sys; print(json.dumps(sys.argv[1:]))", *words[1:]]
        path = os.path.abspath(project.folder / name)
        out = Script(
            "import subprocess, sys; sys.exit(subprocess.run(sys.argv[1:]).returncode)", *show, path
        ).output()
        assert json.loads(out)[-1] == path
        assert path.startswith("/")
    assert not list(itertools.chain(project.folder.rglob("pwned"), Path.cwd().glob("pwned")))
