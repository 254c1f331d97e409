"""The documentation of the public functions is complete: each argument, what is returned, an example."""

from __future__ import annotations

import ast
import inspect
import itertools
import os
import re
import subprocess
import textwrap
from collections.abc import Callable
from typing import Any

import pytest

from paraschut_core import _API, api
from paraschut_core.executors import base
from tests.helpers import ProjectDir, wait_until

FUNCTIONS = {name: getattr(api, name) for name in _API}


def section(function: Callable[..., Any], title: str) -> str:
    """The text of one section of a docstring, "" if there is none."""
    text = inspect.cleandoc(function.__doc__ or "")
    match = re.search(rf"^{title}:\n((?: .*\n?|\n)+)", text, re.MULTILINE)
    return match[1] if match else ""


def returns_nothing(function: Callable[..., Any]) -> bool:
    return inspect.signature(function).return_annotation == "None"


@pytest.mark.parametrize("name", FUNCTIONS)
def test_each_parameter_is_documented_in_order_with_its_default(name: str) -> None:
    function = inspect.unwrap(FUNCTIONS[name])
    parameters = inspect.signature(function).parameters.values()
    described = re.findall(r"^    (\*{0,2}\w+): ", section(function, "Args"), re.MULTILINE)
    wanted = [f"**{p.name}" if p.kind is p.VAR_KEYWORD else p.name for p in parameters]
    assert described == wanted
    text = re.split(r"^    \*{0,2}\w+: ", section(function, "Args"), flags=re.MULTILINE)[1:]
    for parameter, words in zip(parameters, text, strict=True):
        if parameter.default is not parameter.empty:
            assert re.search(r"default|without effect", words), f"{parameter.name}: its default is not said"


@pytest.mark.parametrize("name", FUNCTIONS)
def test_what_is_returned_is_documented(name: str) -> None:
    function = inspect.unwrap(FUNCTIONS[name])
    assert bool(section(function, "Returns")) == (not returns_nothing(function))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_each_has_an_example_of_itself_that_is_python(name: str) -> None:
    example = section(inspect.unwrap(FUNCTIONS[name]), "Example")
    code = "\n".join(line.strip()[4:] for line in example.splitlines() if line.strip()[:3] in (">>>", "..."))
    called = [
        node.func.attr
        for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    ]
    assert name in called


@pytest.mark.parametrize("name", FUNCTIONS)
def test_named_errors_exist(name: str) -> None:
    from paraschut_core import errors
    from paraschut_core.logs.safe_regex import SearchAbortedError

    known = {*vars(errors), SearchAbortedError.__name__}
    raised = re.findall(r"^    (\w+): ", section(inspect.unwrap(FUNCTIONS[name]), "Raises"), re.MULTILINE)
    assert set(raised) <= known


# ------------------------------------------------------------------------------------ executors

REMOTE = """#!/bin/sh
# A scheduler of three words: an id is a process's number.
case $1 in
  run) shift; sh -c "$1" >/dev/null 2>&1 & echo $! ;;
  list) for id in $(cat ids); do kill -0 "$id" 2>/dev/null && echo "$id"; done; true ;;
  end) kill "$2" ;;
esac
"""


def test_the_example_of_an_executor_runs_and_lists_and_deletes_a_job(
    project: ProjectDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = inspect.cleandoc(base.__doc__ or "").splitlines()
    start = lines.index("    class Remote(JobExecutor):")
    code = itertools.takewhile(lambda line: not line or line.startswith("    "), lines[start:])
    names: dict[str, Any] = {"os": os, "subprocess": subprocess, **vars(base)}
    exec(textwrap.dedent("\n".join(code)), names)  # noqa: S102 - the example itself is what is tested
    assert issubclass(names["Remote"], base.JobExecutor)
    program = project.folder / "remote"
    program.write_text(REMOTE)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{project.folder}:{os.environ['PATH']}")
    executor = names["Remote"]()
    id_ = executor.submit({"script": "sleep 600"})
    (project.folder / "ids").write_text(id_)
    assert executor.qstat() == {id_: ["", "R"]}
    assert {key: job.state for key, job in executor.poll().items()} == {id_: "running"}
    assert executor.delete({"submit_id": id_})
    wait_until(lambda: executor.qstat() == {}, "the job has ended")


@pytest.mark.parametrize("name", [name for name in vars(base.JobExecutor) if not name.startswith("_")])
def test_each_method_of_an_executor_documents_its_parameters(name: str) -> None:
    method = vars(base.JobExecutor)[name]
    if not inspect.isfunction(method) or name == "built_in":
        return
    described = re.findall(r"^    (\w+): ", section(method, "Args"), re.MULTILINE)
    assert described == list(inspect.signature(method).parameters)[1:]
