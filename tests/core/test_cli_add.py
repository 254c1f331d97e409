"""`paraschut add`: jobs from command templates, and that no value in them can become a command."""

from __future__ import annotations

import json
import shlex
import string
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from paraschut_core.errors import ParaschutError, ScriptError, UsageError
from paraschut_core.executors.shell import shell
from paraschut_core.jobs.command_template import Template
from tests.core.cli import CommandLine


@pytest.fixture
def cli(tmp_path: Path, clean_environment: None) -> Iterator[CommandLine]:
    with CommandLine(tmp_path / "project") as command_line:
        yield command_line


def _commands(cli: CommandLine, *arguments: object, stdin: bytes = b"") -> list[str]:
    return [job["command"] for job in cli("add", "--dry-run", "--json", *arguments, stdin=stdin).json]


# ------------------------------------------------------------------------------------ templates

HOSTILE = (
    "; touch hacked",
    "$(touch hacked)",
    "`touch hacked`",
    "' ; touch hacked ; '",
    '" ; touch hacked ; "',
    "a\\",
    "-n",
    "~",
    "*",
    "{JobIndex}",
    "{{x}}",
    "two  blanks",
    "line\nbreak",
    "!!",
    "$HOME",
    "# no comment",
    "&",
    "",
    "ü→",
)


def _output(argv: list[str], folder: Path) -> str:
    """What a command prints; `echo` would not do, since it takes -n for an option."""
    done = subprocess.run(argv, cwd=folder, capture_output=True, check=True)
    return done.stdout.decode("utf-8", "surrogateescape")


@pytest.mark.parametrize(
    "template",
    [
        "printf %s {item}",  # split here, no shell
        'printf %s "{item}"',
        "printf %s '{item}'",
        "true; printf %s {item}",  # the rest are lines for a shell
        'true; printf %s "{item}"',
        "true; printf %s '{item}'",
        'X={item}; printf %s "$X"',
        "true && printf %s \"\"{item}''",
    ],
)
@pytest.mark.parametrize("item", HOSTILE)
def test_a_value_is_that_value_wherever_its_field_stands(template: str, item: str, tmp_path: Path) -> None:
    assert _output(Template([template]).fill({"item": item, "JobIndex": 7}), tmp_path) == item
    assert list(tmp_path.iterdir()) == []


@settings(max_examples=60)
@given(
    item=st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), max_size=30),
    around=st.sampled_from(["{}", '"{}"', "'{}'", '"a b"{}', "'x'{}"]),
)
@example(item="'\"$(id)`id`\\", around='"{}"')
def test_no_text_breaks_out_of_its_place(item: str, around: str) -> None:
    line = "true; printf %s " + around.replace("{}", "{item}")
    expected = {"{}": "", '"{}"': "", "'{}'": "", '"a b"{}': "a b", "'x'{}": "x"}[around] + item
    assert _output(Template([line]).fill({"item": item}), Path("/")) == expected


@pytest.mark.parametrize(
    "template",
    [
        'echo "$(cat {item})"',
        "echo `cat {item}`",
        "cat <<END\n{item}\nEND",
        "true # {item}",
        "echo ${{X:-{item}}}",
    ],
)
def test_where_quotes_follow_other_rules_only_plain_values_are_taken(template: str) -> None:
    plain = Template([template]).fill({"item": "file-1.txt"})
    assert "file-1.txt" in plain[2]
    with pytest.raises(UsageError, match="--var ITEM="):
        Template([template]).fill({"item": "a b"})


def test_a_template_without_shell_syntax_needs_no_shell() -> None:
    assert Template(["python map.py {JobIndex:04d} 'a b'"]).fill({"JobIndex": 7}) == [
        "python",
        "map.py",
        "0007",
        "a b",
    ]
    assert Template(["map {item!r} {part[key one]}"]).fill({"item": "x y", "part": {"key one": "p q"}}) == [
        "map",
        "'x y'",
        "p q",
    ]


@pytest.mark.parametrize(
    "line", ["a | b", "a > b", "a $X", "X=1 a", "cd /tmp", "a; b", "a *", '"$X"', "a && b"]
)
def test_a_template_with_shell_syntax_is_given_to_a_shell(line: str) -> None:
    assert Template([line]).fill({}) == [shell(), "-c", line]


def test_several_words_are_taken_as_they_are() -> None:
    words = ["printf", "%s", "$X;{item}", "a b"]
    assert Template(words).fill({"item": "'"}) == ["printf", "%s", "$X;'", "a b"]


def test_literal_braces_are_doubled() -> None:
    assert Template(["awk '{{ print $1 }}' {item}"]).fill({"item": "f"}) == ["awk", "{ print $1 }", "f"]


@pytest.mark.parametrize(
    ("template", "error"),
    [
        ("", "There is no command"),
        ("  ", "There is no command"),
        ("echo 'open", "quotes"),
        ("echo {open", "literal braces"),
        ("echo }", "literal braces"),
        ("echo \\", "quotes"),
        ("echo a\0b", "NUL"),
    ],
)
def test_a_template_that_cannot_be_read_is_refused(template: str, error: str) -> None:
    with pytest.raises(UsageError, match=error):
        Template([template])


def test_a_field_that_is_not_there_is_named() -> None:
    with pytest.raises(ScriptError, match=r"no field \{itme\}"):
        Template(["echo {itme}"]).fill({"item": 1})
    with pytest.raises(ScriptError):
        Template(["echo {item.__class__}"]).fill({"item": 1})
    with pytest.raises(UsageError, match="NUL"):
        Template(["echo {item}"]).fill({"item": "a\0b"})


@settings(max_examples=200)
@given(st.text(string.printable, max_size=40))
def test_any_template_is_filled_or_refused(text: str) -> None:
    try:
        argv = Template([text]).fill({"item": "x", "JobIndex": 0})
    except ParaschutError:
        return
    assert argv and all("\0" not in word for word in argv)


# ------------------------------------------------------------------------------------ add


def test_ranges_make_the_jobs_of_these_numbers(cli: CommandLine) -> None:
    batch = cli.add("--range", "0-2,7", "--range", "10", "echo {JobIndex} {BatchID}")
    assert sorted(cli.states(batch)) == [0, 1, 2, 7, 10]
    assert cli("info", batch, 7, "command").out == f"echo 7 {batch}\n"


def test_a_list_makes_a_job_of_each_line(cli: CommandLine) -> None:
    (cli.folder / "items").write_text("one\ntwo words\n\nthree's\n")
    expected = ["echo one", "echo 'two words'", "echo 'three'\"'\"'s'"]
    assert _commands(cli, "--list", "items", "echo {item}") == expected
    assert _commands(cli, "--list", "-", "echo {item}", stdin=b"one\r\ntwo words\nthree's") == expected


@pytest.mark.parametrize("source", ["file", "stdin"])
def test_a_byte_order_mark_is_no_part_of_the_first_job(cli: CommandLine, source: str) -> None:
    mark = b"\xef\xbb\xbf"
    lists = {"--list": mark + b"one\r\ntwo\r\n", "--jsonl": mark + b'{"item": "one"}\n{"item": "two"}\n'}
    for option, data in lists.items():
        (cli.folder / "items").write_bytes(data)
        where = "items" if source == "file" else "-"
        found = _commands(cli, option, where, "echo {item}", stdin=data if source == "stdin" else b"")
        assert found == ["echo one", "echo two"]


def test_a_file_name_that_is_not_utf8_reaches_the_command(cli: CommandLine) -> None:
    name = b"caf\xe9"
    batch = cli("add", "--json", "--list", "-", "touch {item}", stdin=name + b"\n").json["BatchID"]
    cli("submit")
    cli.wait_for(batch, "complete")
    assert name in [path.name.encode("utf-8", "surrogateescape") for path in cli.folder.iterdir()]


def test_json_lines_give_each_job_its_fields(cli: CommandLine) -> None:
    lines = [{"sample": "a b", "priority": 3, "n": 1}, {"sample": "c", "JobIndex": 5, "vars": {"X": "1"}}]
    (cli.folder / "jobs.jsonl").write_text("\n".join(map(json.dumps, lines)))
    batch = cli.add("--jsonl", "jobs.jsonl", "--var", "S={sample}", "map {sample}")
    job = cli("info", batch, 0, "--json").json
    assert (job["command"], job["priority"], job["n"], job["vars"]) == ("map 'a b'", 3, 1, {"S": "a b"})
    job = cli("info", batch, 5, "--json").json
    assert job["vars"] == {"X": "1", "S": "c"}


def test_what_all_jobs_have_is_taken_from_the_options(cli: CommandLine) -> None:
    batch = cli.add(
        *("--name", "human/map", "--type", "ribo", "--priority", "2", "--queue", "long"),
        *("--resource", "mem=4gb", "--resource", "cput=", "--cwd", "/tmp", "--var", "X=a=b"),
        *("--directive=--hold", "--directive", "-A", "--directive", "my lab", "true"),
    )
    job = cli("info", batch, 0, "--json").json
    assert job["name"] == ["human", "map"]
    assert (job["batch_type"], job["priority"], job["queue"], job["cwd"]) == ("ribo", 2, "long", "/tmp")
    assert (job["resources"]["mem"], job["resources"]["cput"]) == ("4gb", "")
    assert job["vars"] == {"X": "a=b"}
    assert job["directives"] == ["--hold", "-A", "my lab"]


def test_jobs_are_added_to_a_batch_that_is_there(cli: CommandLine) -> None:
    batch = cli.add("--name", "human/map", "--type", "ribo", "--range", "0-2", "true")
    assert cli.add("--batch", batch, "--list", __file__, "true") == batch
    assert len(cli.states(batch)) > 10
    job = cli("info", batch, 3, "--json").json
    assert (job["name"], job["batch_type"]) == (["human", "map"], "ribo")
    assert "is in the index already" in cli("add", "--batch", batch, "--range", "1", "true", status=2).err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--range", "5-1", "true"], "runs backwards"),
        (["--range", "a", "true"], "not a number or a range"),
        (["--range", "0-99999999", "true"], "the maximum is"),
        (["--range", "0", "--list", "x", "true"], "only one of"),
        (["--list", "nowhere", "true"], "Cannot read nowhere"),
        (["--jsonl", "bad.jsonl", "true"], "line 2: no JSON"),
        (["--jsonl", "state.jsonl", "true"], "the field state cannot be given"),
        (["--list", "empty", "true"], "is empty"),
        (["--batch", "5", "true"], "There is no batch 5"),
        (["--var", "X", "true"], "write NAME=VALUE"),
        (["--var", "1X=2", "true"], "cannot be the name of an environment variable"),
        (["--cwd", "/no/where", "true"], "no such directory"),
        (["--range", "0,1,0", "true"], "twice in the list"),
        (["--range", "0-1", "echo {nothing}"], "no field {nothing}"),
        ([], "Missing argument"),
    ],
)
def test_misuse_adds_nothing(arguments: list[str], message: str, cli: CommandLine) -> None:
    (cli.folder / "bad.jsonl").write_text('{"a": 1}\nnonsense\n')
    (cli.folder / "state.jsonl").write_text('{"state": "complete"}\n')
    (cli.folder / "empty").write_text("\n")
    cli.add("true")
    assert message in cli("add", *arguments, status=2).err
    assert cli.sql("SELECT count(*) FROM job") == [(1,)]


def test_the_script_runs_anywhere_and_says_what_it_runs(cli: CommandLine, tmp_path: Path) -> None:
    batch = cli.add("echo {JobIndex} > out")
    script: Any = cli("info", batch, 0, "script").out
    words = shlex.split(script)
    assert words[-3:] == [shell(), "-c", "echo 0 > out"]
    assert "run" in words and str(batch) in words
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    subprocess.run(
        ["sh", "-c", script],
        cwd=elsewhere,
        check=True,
        env={"PATH": "/usr/bin:/bin", "PARASCHUT_DB": str(cli.database)},
    )
    assert (elsewhere / "out").read_text() == "0\n"
    assert cli.states(batch) == {0: "complete"}


def test_jobs_are_submitted_at_once_if_asked_for(cli: CommandLine) -> None:
    answer = cli("add", "--name", "now", "--range", "0-3", "--submit", "echo {JobIndex}")
    assert "4 submitted" in answer.out
    batch = cli.sql("SELECT BatchID FROM batch")[0][0]
    cli.wait_for(batch, "complete")


def test_ten_thousand_jobs_are_added_in_one_go(cli: CommandLine) -> None:
    batch = cli.add("--range", "0-9999", "python map.py {JobIndex}")
    assert cli.sql("SELECT n FROM counter WHERE BatchID = ?", batch) == [(10_000,)]


def test_with_json_what_was_added_and_submitted_is_one_object(cli: CommandLine) -> None:
    answer = cli("add", "--json", "--submit", "--range", "0-1", "true").json
    assert answer["JobIndex"] == [0, 1]
    assert answer["submitted"]["done"] == [[answer["BatchID"], 0], [answer["BatchID"], 1]]


def test_with_json_what_was_added_is_told_where_the_submission_fails(
    cli: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    (cli.folder / "paraschut.toml").write_text("executor = 'slurm'\n")
    monkeypatch.setenv("PATH", str(cli.folder))
    failed = cli("add", "--json", "--submit", "true", status=1)
    assert failed.json["JobIndex"] == [0]
    assert failed.json["submitted"]["failed"][0][:2] == [failed.json["BatchID"], 0]
