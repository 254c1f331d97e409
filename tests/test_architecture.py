"""The walls of the house hold: lint, types, imports between rooms, and what a running job loads."""

from __future__ import annotations

import ast
import importlib
import json
import re
import subprocess
import sys
import sysconfig
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

from tests.helpers import BATCH, ROOT, ProjectDir, run_script

SCRIPTS = Path(sys.executable).parent
CODE = ("paraschut_core", "paraschut_tui", "tests")

# What is slow to import, or belongs to the dashboard and the command line.
THIRD_PARTY = {
    "textual",
    "rich",
    "click",
    "psutil",
    "watchfiles",
    "msgspec",
    "platformdirs",
    "numpy",
    "tomli",
}
SLOW = {
    "dataclasses",
    "logging",
    "subprocess",
    "tomllib",
    "asyncio",
    "inspect",
    "pickle",
    "email",
    "multiprocessing",
}


def run(*arguments: str) -> None:
    """Runs a checker in the project; its own words are the failure."""
    found = [SCRIPTS / arguments[0], Path(sysconfig.get_path("scripts")) / arguments[0]]
    command = next((str(path) for path in found if path.exists()), arguments[0])
    done = subprocess.run(
        [command, *arguments[1:]], cwd=ROOT, capture_output=True, text=True, timeout=280, check=False
    )
    assert done.returncode == 0, f"{' '.join(arguments)}:\n{done.stdout[-6000:]}\n{done.stderr[-2000:]}"


def test_ruff_finds_nothing() -> None:
    run("ruff", "check", "--no-cache", *CODE)


def test_every_file_is_formatted() -> None:
    run("ruff", "format", "--check", "--no-cache", *CODE)


def test_the_types_are_right_in_strict_mode() -> None:
    run("mypy")


def test_the_rooms_import_only_what_they_may() -> None:
    run("lint-imports", "--no-cache")


def test_every_module_has_its_layer() -> None:
    """A package stands in the contracts, or each of its modules does: nothing is imported past them."""
    contracts = tomllib.loads(Path(ROOT, "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = [layer for contract in contracts for layer in contract.get("layers", ())]
    named = {name.strip(" ()") for layer in layers for name in re.split("[|:]", layer)}
    for path, tree in modules():
        name = path.removesuffix(".py").replace("/", ".")
        above = {name.rsplit(".", n)[0] for n in range(name.count(".") + 1)}
        is_bare = name.endswith(".__init__") and not any(map(is_import, ast.walk(tree)))
        assert above & named or is_bare or name == "paraschut_core.__init__", f"{name} is in no layer"


def is_import(node: ast.AST) -> bool:
    """Whether code imports something of the project's own."""
    return isinstance(node, ast.ImportFrom) and (
        node.level > 0 or (node.module or "").startswith("paraschut_")
    )


# ------------------------------------------------------------------------------------ classes and names


def modules(*folders: str) -> Iterator[tuple[str, ast.Module]]:
    """Each module's path in the project and its syntax tree; those of the production code by default."""
    for folder in folders or ("paraschut_core", "paraschut_tui"):
        for path in sorted(Path(ROOT, folder).rglob("*.py")):
            yield str(path.relative_to(ROOT)), ast.parse(path.read_text())


def name_of(base: ast.expr) -> str:
    """The last name of a base class, without its parameters."""
    base = base.value if isinstance(base, ast.Subscript) else base
    return base.attr if isinstance(base, ast.Attribute) else getattr(base, "id", "")


def classes() -> Iterator[tuple[str, ast.ClassDef]]:
    for path, tree in modules():
        yield from ((path, node) for node in ast.walk(tree) if isinstance(node, ast.ClassDef))


MEANT_TO_BE_EXTENDED = {"JobExecutor", "BatchExecutor"}
"""Base classes for the schedulers that users add."""

STILL_WITH_ONE_USER = {
    "FollowingPane",
}
"""Base classes that are to go: remove a name here with the class. None is added."""


STAND_INS = {"CompositorUpdate"}
"""Names of a library's classes that are defined where the library lacks them."""


def test_a_base_class_has_two_users_or_is_meant_to_be_extended() -> None:
    bases_of = {node.name: [name_of(base) for base in node.bases] for _, node in classes()}
    found = {name: bases for name, bases in bases_of.items() if name not in STAND_INS}

    def is_open(name: str) -> bool:
        """Whether a class is abstract, a protocol or an error by its bases or by its name's convention."""
        bases = found.get(name, [])
        return (
            name in MEANT_TO_BE_EXTENDED
            or name.endswith(("Error", "Exception"))
            or any(base in ("ABC", "Protocol") or base.endswith(("Error", "Exception")) for base in bases)
        )

    users = Counter(base for bases in found.values() for base in bases if base in found)
    made = {
        name_of(node.func) for _, tree in modules() for node in ast.walk(tree) if isinstance(node, ast.Call)
    }
    single = {name for name, n in users.items() if n == 1 and name not in made and not is_open(name)}
    assert single - STILL_WITH_ONE_USER == set(), (
        "compose instead: a base class with one user is a file cut in two"
    )
    assert STILL_WITH_ONE_USER - single == set(), "it is gone: remove it from STILL_WITH_ONE_USER"


def test_no_two_classes_have_one_name() -> None:
    """A class within another has its name by that: `JobGrid.OpenRequested`."""
    names = Counter(
        node.name for _, tree in modules() for node in tree.body if isinstance(node, ast.ClassDef)
    )
    assert [name for name, n in names.items() if n > 1] == []


PATTERNS = {
    "__init__.py": "a package",
    "__main__.py": "what `python -m` runs",
    "errors.py": "the errors of a package",
    "base.py": "what the executors of a room extend",
    "model.py": "the data of a room, without Textual",
    "widget.py": "the widget that shows a room's model",
    "screen.py": "the screen of a room",
}
"""File names that say which part of its room a file is; any number of rooms may have one."""

PAIRS = {
    "orphans.py": "the action, and its rows in the database",
    "spawns.py": "spawning, and its rows in the database",
    "statistics.py": "the report, and its queries in the database",
}
"""File names of one thing in two layers."""

OF_V06 = {f"paraschut_core/{name}.py" for name in ("dal", "executor", "job_factory", "manage", "utils")}
"""Import paths of version 0.6."""


def test_no_two_files_of_unlike_things_have_one_name() -> None:
    """A file of `cli` is called by its command, and may do so beside what that command calls."""
    paths = [Path(path) for path, _ in modules() if path not in OF_V06]
    names = Counter(path.name for path in paths if path.parent != Path("paraschut_core/cli"))
    twice = {name for name, n in names.items() if n > 1 and name not in PATTERNS}
    assert twice == set(PAIRS)
    assert not [name for name in PAIRS if names[name] > 2], "one thing in two layers, not in more"


# ------------------------------------------------------------------------------------ Textual


COMPAT = {"paraschut_tui/terminal/textual_compat.py", "tests/tui/textual_internals.py"}
"""Where the dashboard and its tests use what Textual does not document."""


def private_names_of_textual() -> dict[str, set[str]]:
    """The names with an underscore that Textual's classes define or set on themselves, by class."""
    import textual

    found: dict[str, set[str]] = {}
    for path in Path(textual.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                names = found.setdefault(node.name, set())
                for part in ast.walk(node):
                    if isinstance(part, (ast.FunctionDef, ast.AsyncFunctionDef)):
                        names.add(part.name)
                    elif isinstance(part, ast.Attribute) and name_of(part.value) == "self":
                        names.add(part.attr)
    return {
        owner: {name for name in names if name.startswith("_") and not name.startswith("__")}
        for owner, names in found.items()
    }


def attributes(tree: ast.AST) -> Iterator[tuple[int, str, bool]]:
    """The attributes with an underscore that code names: the line, the name, whether it is one of `self`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__"):
            yield node.lineno, node.attr, name_of(node.value) == "self"


def definitions(tree: ast.AST) -> set[str]:
    """What code defines: methods, and what it sets on `self` or in a class."""
    return {
        getattr(node, "name", None) or getattr(node, "attr", None) or getattr(node, "id", "")
        for node in ast.walk(tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        or (isinstance(node, (ast.Attribute, ast.Name)) and isinstance(node.ctx, ast.Store))
    }


def test_what_textual_does_not_document_is_named_in_one_module_alone() -> None:
    private = private_names_of_textual()
    everywhere = set[str]().union(*private.values()) - {"_replace", "_asdict", "_fields"}  # a NamedTuple's
    code = [*modules("paraschut_core", "paraschut_tui"), *modules("tests")]
    ours = set[str]().union(*(definitions(tree) for path, tree in code if path not in COMPAT))
    found = []
    for path, tree in code:
        if path in COMPAT:
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and re.match(r"textual(\.\w+)*\._", node.module or ""):
                found.append(f"{path}:{node.lineno}: {node.module}")
        for line, name, of_self in attributes(tree):
            if not of_self and name in everywhere - ours:
                found.append(f"{path}:{line}: {name}")
    for path, node in classes():
        module = path.removesuffix(".py").replace("/", ".")
        owner = getattr(importlib.import_module(module), node.name, None) if "_tui/" in path else None
        theirs = [base for base in getattr(owner, "__mro__", ()) if base.__module__.startswith("textual.")]
        if theirs and path not in COMPAT:
            names = {name for _, name, of_self in attributes(node) if of_self} | definitions(node)
            hidden = names & set[str]().union(*(private.get(base.__name__, set()) for base in theirs))
            found += [f"{path}:{node.lineno}: {node.name}.{name} is a name of Textual's" for name in hidden]
    assert not found, f"move these to one of {COMPAT}:\n" + "\n".join(found)


def test_no_handler_calls_the_one_that_it_replaces() -> None:
    """Textual calls `on_x` of every class, so a base class's handler would run twice."""
    allowed = {("paraschut_tui/terminal/terminal_app.py", "on_event")}  # what calls handlers, not one
    for path, tree in modules():
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and re.match("_?on_", node.attr):
                of_base = isinstance(node.value, ast.Call) and name_of(node.value.func) == "super"
                assert not of_base or (path, node.attr) in allowed, (
                    f"{path}:{node.lineno}: super().{node.attr}"
                )


# ------------------------------------------------------------------------------------ what is loaded


def loaded(code: str, **environment: str) -> set[str]:
    """The modules in sys.modules after `code` ran in a process of its own."""
    out = run_script(f"{code}\nimport json, sys; print(json.dumps(sorted(sys.modules)))", **environment)
    return set(json.loads(out.splitlines()[-1]))


def roots(modules: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in modules}


def test_importing_the_package_loads_nothing_of_anybody_elses() -> None:
    before, after = loaded(""), loaded("import paraschut_core")
    assert not roots(after - before) & THIRD_PARTY
    assert not (after - before) & SLOW
    assert {name for name in after - before if not name.startswith("paraschut_core")} <= {"__future__"}


@pytest.mark.parametrize("executor", ["", "local", "file", "slurm", "sge", "pbs"])
def test_a_running_job_loads_nothing_slow_on_its_way(project: ProjectDir, executor: str) -> None:
    """get_job_info(SetID=True) and set_complete: every job pays for their imports."""
    project.add(project.job())
    variables = {
        "PARASCHUT_BATCH_ID": str(BATCH),
        "PARASCHUT_JOB_INDEX": "0",
        "PARASCHUT_EXECUTOR": executor,
        "PARASCHUT_JOB_ID": "5",
        "SLURM_JOB_ID": "5",
        "JOB_ID": "5",
        "PBS_JOBID": "5.host",
    }
    start = "import paraschut_core as psu\ninfo = psu.get_job_info(SetID=True)"
    before = loaded("")
    modules = loaded(start, **variables) - before
    assert project.column("ClusterID") in ("5", None)
    assert not roots(modules) & THIRD_PARTY
    assert not modules & SLOW
    if executor in ("", "local", "file"):  # the others ask their scheduler for its record of the job
        modules = loaded(f"{start}\ninfo['x'] = 1\npsu.set_complete(JobInfo=info)", **variables) - before
        assert project.state() == "complete"
        assert not roots(modules) & THIRD_PARTY
        assert not modules & SLOW


def test_the_command_line_tells_its_help_without_the_dashboard() -> None:
    modules = loaded(
        "import sys\nfrom paraschut_core.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass"
    )
    assert "textual" not in roots(modules)


def test_no_file_names_a_path_of_the_machine_it_was_written_on() -> None:
    for folder in ("paraschut_core", "paraschut_tui"):
        for path in Path(ROOT, folder).rglob("*.py"):
            text = path.read_text()
            assert "/work/" not in text, path
            assert "/home/" not in text, path
