"""An unknown command names the one that was probably meant; `help` and `-h` show the help."""

from __future__ import annotations

import pytest

from tests.core.cli import CommandLine
from tests.helpers import ProjectDir


@pytest.fixture
def cli(project: ProjectDir) -> CommandLine:
    return CommandLine(project.folder)


@pytest.mark.parametrize(
    ("typed", "meant"), [("queu", "queue"), ("kill", "qdel"), ("retry", "resubmit"), ("qstat", "queue")]
)
def test_an_unknown_command_names_the_one_that_was_meant(cli: CommandLine, typed: str, meant: str) -> None:
    assert f"Did you mean {meant}?" in cli(typed, status=2).err


def test_a_command_like_none_is_unknown(cli: CommandLine) -> None:
    answer = cli("xyzzy", status=2)
    assert "xyzzy" in answer.err and "Did you mean" not in answer.err


@pytest.mark.parametrize("asked", [["help", "queue"], ["queue", "-h"]])
def test_help_has_three_forms(cli: CommandLine, asked: list[str]) -> None:
    # A process of its own: click keeps a command's help option from its first use.
    assert cli.process(*asked).out == cli.process("queue", "--help").out
