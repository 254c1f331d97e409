"""Near misses of states, fields and resources are asked about; own words stay free; all is checked first."""

from __future__ import annotations

import pytest

from paraschut_core.cli import suggestions
from tests.core.cli import CommandLine
from tests.core.test_cli import _on_terminal
from tests.helpers import BATCH, ProjectDir


@pytest.fixture
def cli(project: ProjectDir) -> CommandLine:
    return CommandLine(project.folder)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was asked; the answer is no."""
    questions: list[str] = []

    def confirm(question: str, yes: bool) -> bool:
        questions.append(question)
        return False

    monkeypatch.setattr(suggestions, "at_terminal", lambda: True)
    monkeypatch.setattr(suggestions, "confirm", confirm)
    return questions


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("state=completed", "complete"),
        ("state=Complete", "complete"),
        ("state=done", "complete"),
        ("state=runing", "run"),
        ("state=queued", "submit"),
        ("prio=5", "priority"),
        ("priorty=5", "priority"),
        ("Queue=long", "queue"),
        ("partition=long", "queue"),
        ("resource.mem=4gb", "resources"),
        ("resources.memory=4gb", "mem"),
        ("resources.walltme=4h", "walltime"),
    ],
)
def test_set_asks_about_what_looks_like_another_word(
    project: ProjectDir, cli: CommandLine, asked: list[str], word: str, meant: str
) -> None:
    project.add_many(2)
    before = project.sql("SELECT state, priority, metadata FROM job")
    cli("set", BATCH, word, status=1)
    assert f"did you mean {meant}?" in asked[0]
    assert project.sql("SELECT state, priority, metadata FROM job") == before
    assert "did you mean" in cli("set", BATCH, word, "--yes").err
    assert len(asked) == 1
    assert project.sql("SELECT state, priority, metadata FROM job") != before


@pytest.mark.parametrize(
    "word", ["state=checked", "state=foo", "threshold=0.5", "state=complete", "queue=long"]
)
def test_own_words_and_known_ones_are_not_asked_about_but_new_ones_are_said(
    project: ProjectDir, cli: CommandLine, asked: list[str], word: str
) -> None:
    project.add_many(2)
    said = cli("set", BATCH, 0, word).err
    name, _, value = word.partition("=")
    new = {"threshold": "new field threshold"}.get(
        name, f"new state {value}" if value in ("checked", "foo") else ""
    )
    assert new in said and ("new" in said) is bool(new)
    assert cli("set", BATCH, 0, word, "--force", "--yes").err == "", "it is known by now"
    assert asked == []


@pytest.mark.parametrize(
    ("executor", "word", "meant"),
    [
        ("local", "memory=4gb", "mem"),
        ("local", "time=4:00", "walltime"),
        ("local", "cores=2", "cpus"),
        ("slurm", "memory=4gb", "mem"),
        ("slurm", "time=4:00", ""),
        ("slurm", "mem-per-cpu=100M", ""),
        ("slurm", "constraint=haswell", ""),
        ("sge", "h_vmem=4G", ""),
        ("sge", "gpu=1", ""),
        ("pbs", "ngpus=1", ""),
        ("pbs", "select=1:ncpus=2", ""),
        ("pbs", "time=4:00", "walltime"),
        ("local", "licenses=foo", ""),
    ],
)
def test_resources_that_look_like_others_are_asked_about_and_schedulers_own_pass(
    project: ProjectDir, cli: CommandLine, asked: list[str], executor: str, word: str, meant: str
) -> None:
    (project.folder / "paraschut.toml").write_text(f'executor = "{executor}"\n')
    cli("add", "--name", "a", "--resource", word, "true", status=1 if meant else 0)
    assert [f"did you mean {meant}?" in question for question in asked] == ([True] if meant else [])
    added = project.sql("SELECT count(*) FROM job") if project.database.exists() else [(0,)]
    assert added == [(0 if meant else 1,)]
    if not meant:
        return
    batch = project.add_many(1) and BATCH
    project.set_columns(state="complete")
    cli("resubmit", batch, 0, "--force", "--resource", word, status=1)
    assert project.state() == "complete"


@pytest.mark.parametrize("word", ["mem=abc", "mem=foo", "walltime=soon", "cpus=many"])
@pytest.mark.parametrize("command", ["add", "set", "resubmit"])
def test_a_wrong_size_or_time_changes_nothing(
    project: ProjectDir, cli: CommandLine, command: str, word: str
) -> None:
    project.add_many(1)
    project.set_columns(state="complete")
    before = project.sql("SELECT * FROM job")
    words = {
        "add": ["add", "--name", "a", "--resource", word, "true"],
        "set": ["set", BATCH, 0, f"resources.{word}", "--force", "--yes"],
        "resubmit": ["resubmit", BATCH, 0, "--force", "--yes", "--resource", word],
    }[command]
    answer = cli(*words, status=None)
    assert answer.status in (1, 2) and word.partition("=")[0] in answer.out + answer.err
    assert project.sql("SELECT * FROM job") == before


def test_it_is_asked_at_a_real_terminal(project: ProjectDir, cli: CommandLine) -> None:
    project.add_many(1)
    status, shown = _on_terminal(cli, "set", BATCH, 0, "state=completed", keys="n\r", prompt="[y/N]")
    assert status == 1 and "did you mean complete?" in shown
    assert project.state() == "init"
