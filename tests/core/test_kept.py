"""What a job computed is never lost: values that metadata cannot hold, a database or package that is away."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import paraschut_core as psu
from paraschut_core.cli import main
from paraschut_core.errors import ParaschutError, UntrustedError, UsageError
from tests.helpers import BATCH, ROOT, ProjectDir, Script, assert_sound, run_script

TYPES = """
import collections, enum, os
class Frame:
    def __init__(self, rows): self.rows = rows
    def __eq__(self, other): return self.rows == other.rows
    def __repr__(self): return f"Frame({self.rows})"
class Silent(Frame):
    def __repr__(self): raise RuntimeError("no words")
class Colour(enum.Enum):
    RED = 1
class Grade(enum.IntEnum):
    HIGH = 3
class Text(str): pass
Point = collections.namedtuple("Point", "x y")
class Trap:
    def __reduce__(self): return os.mkdir, ("sprung",)
"""


@pytest.fixture
def job(project: ProjectDir) -> dict[str, str]:
    """The environment of a job that was submitted."""
    (project.folder / "things.py").write_text(TYPES)
    project.add(project.job(stdout=[], stderr=[]))
    project.set_columns(state="submit", attempt=1, token="t0")
    return {
        "PARASCHUT_BATCH_ID": str(BATCH),
        "PARASCHUT_JOB_INDEX": "0",
        "PARASCHUT_TOKEN": "t0",
        "PARASCHUT_EXECUTOR": "local",
        "PARASCHUT_JOB_ID": "7",
        "PARASCHUT_DB": str(project.database),
    }


def stored(project: ProjectDir) -> dict[str, object]:
    found: dict[str, object] = json.loads(project.column("metadata"))
    return found


# ------------------------------------------------------------------------------------ values


VALUES = [
    "Frame([1, 2])",
    "{'score': 1, 'frame': Frame([1])}",
    "[1, Frame([2])]",
    "[Frame([n]) for n in range(100)]",
    "Silent([1])",
    "Colour.RED",
    "Grade.HIGH",
    "Text('a')",
    "Point(1, Frame([2]))",
    "{Point(1, 2): 'a'}",
    "ValueError('a')",
    "{1: Frame([2])}",
    "deep(150)",
]


@pytest.mark.parametrize("end", ["set_complete(JobInfo=info)", "update_job(info)"])
@pytest.mark.parametrize("value", VALUES)
def test_a_value_that_metadata_cannot_hold_is_stored_beside_it_and_read_back(
    project: ProjectDir, job: dict[str, str], value: str, end: str
) -> None:
    code = f"""
        import paraschut_core as psu
        from things import *
        def deep(n):
            return [n] if n == 0 else [deep(n - 1)]
        info = psu.get_job_info(SetID=True)
        info["plain"], info["result"] = 42, {value}
        psu.{end}
        assert info["plain"] == 42
        mine = {value}
        assert type(info["result"]) is type(mine), "the job's own object stays as it is"
        def back(found):
            if isinstance(found, dict) and "stored" in found:
                return psu.load_stored(found)
            if isinstance(found, dict):
                return {{key: back(item) for key, item in found.items()}}
            return [back(item) for item in found] if isinstance(found, list) else found
        read = back(psu.get_job_info({BATCH}, 0)["result"])
        assert str(type(read)) == str(type(mine)), (read, mine)
        assert read == mine or str(read) == str(mine)
    """
    run_script(code, **job)
    assert project.state() == ("complete" if "complete" in end else "run")
    assert stored(project)["plain"] == 42
    for path in (project.folder / str(BATCH)).glob("result_0_*"):
        assert path.stat().st_mode & 0o777 == 0o600


def test_what_stands_for_a_value_can_be_looked_for(project: ProjectDir, job: dict[str, str]) -> None:
    code = """
        import paraschut_core as psu
        from things import *
        info = psu.get_job_info(SetID=True)
        info["a"], info["b"], info["c"] = Frame([1]), Colour.RED, Point(1, 2)
        info["d"] = {"lock": __import__("threading").Lock()}
        psu.set_complete(JobInfo=info)
    """
    with Script(code, **job) as script:
        _, said = script.process.communicate(timeout=60)
    assert script.process.returncode == 0, said
    assert "cannot hold a, b, c, d['lock']" in said
    found = psu.get_job_info(BATCH, 0)
    assert (found["a"]["type"], found["a"]["text"]) == ("things.Frame", "Frame([1])")
    assert found["b"]["value"] == 1
    assert found["c"]["value"] == {"x": 1, "y": 2}
    assert "cannot be pickled" in found["d"]["lock"]["error"]
    assert "_thread.lock" in Path(found["d"]["lock"]["text_in"]).read_text()
    with pytest.raises(UsageError, match="not stored whole"):
        psu.load_stored(found["d"]["lock"])
    with pytest.raises(UsageError, match="stands for no stored value"):
        psu.load_stored({"a": 1})


def test_no_stored_value_is_read_by_looking_nor_from_a_file_that_others_may_have_written(
    project: ProjectDir, job: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    code = """
        import paraschut_core as psu
        from things import *
        info = psu.get_job_info(SetID=True)
        info["a"] = Trap()
        psu.set_complete(JobInfo=info)
    """
    run_script(code, **job)
    found = psu.get_job_info(BATCH, 0)["a"]
    psu.get_queue()
    assert main(["info", str(BATCH), "0"]) == 0
    assert main(["queue", "--json"]) == 0
    assert not Path("sprung").exists()
    os.chmod(found["stored"], 0o666)
    with pytest.raises(UntrustedError, match="can be written to by others"):
        psu.load_stored(found)
    os.rename(found["stored"], "moved.pkl")
    os.symlink("moved.pkl", found["stored"])
    with pytest.raises(UntrustedError, match="is a link"):
        psu.load_stored(found)
    assert not Path("sprung").exists()
    os.chmod("moved.pkl", 0o600)
    psu.load_stored("moved.pkl")
    assert Path("sprung").exists(), "read where that is asked for"
    with pytest.raises(ParaschutError, match="Cannot read"):
        psu.load_stored("nowhere.pkl")


# ------------------------------------------------------------------------------------ the database


def newer(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(60)
        file.write((99).to_bytes(4, "big"))


TROUBLES: dict[str, Callable[[Path], object]] = {
    "of a newer format": newer,
    "away": Path.unlink,
    "empty": lambda path: path.write_bytes(b""),
    "no database": lambda path: path.write_bytes(b"being restored" * 100),
    "its folder away": lambda path: None,
}

END = """
    import sys
    import paraschut_core as psu
    from paraschut_core import in_job
    in_job.PAUSES = (float(sys.argv[1]),)
    info = psu.get_job_info(SetID=True)
    print("runs", flush=True)
    sys.stdin.readline()
    info["result"] = 42
    psu.set_complete(JobInfo=info)
"""


@pytest.mark.parametrize("trouble", TROUBLES)
def test_a_job_that_ends_while_the_database_cannot_take_it_is_taken_in_later(
    project: ProjectDir, job: dict[str, str], trouble: str, tmp_path: Path
) -> None:
    whole = tmp_path / "whole.db"
    with Script(END, 0.05, **job) as script:
        assert script.line() == "runs"
        shutil.copy(project.database, whole)
        TROUBLES[trouble](project.database)
        if trouble == "its folder away":
            os.rename(project.folder, tmp_path / "elsewhere")
        said = script.process.communicate("\n", timeout=60)[1]
    assert script.process.returncode == 1
    assert "Trying again in" in said
    assert "is kept in" in said
    path = Path(said.partition("is kept in ")[2].split(": ")[0].split(". Move")[0])
    assert path.stat().st_mode & 0o777 == 0o600
    if trouble == "its folder away":
        os.rename(tmp_path / "elsewhere", project.folder)
        folder = Path(f"{project.database}.results-{os.getuid()}")
        folder.mkdir(mode=0o700)
        shutil.move(path, folder)
    shutil.copy(whole, project.database)
    assert project.state() == "run"
    psu.submit_jobs()
    assert project.state() == "complete"
    assert stored(project)["result"] == 42
    assert not list(Path(f"{project.database}.results-{os.getuid()}").iterdir())
    assert_sound(project.database)


def test_a_database_that_is_back_in_time_takes_it_at_once(project: ProjectDir, job: dict[str, str]) -> None:
    with Script(END, 3, **job) as script:
        assert script.line() == "runs"
        whole = project.database.read_bytes()
        project.database.write_bytes(b"being restored" * 100)
        assert script.process.stdin is not None and script.process.stderr is not None
        script.process.stdin.write("\n")
        script.process.stdin.flush()
        assert "Trying again in 3" in script.process.stderr.readline()
        project.database.write_bytes(whole)
        script.output()
    assert project.state() == "complete"


def test_a_kept_end_of_an_attempt_that_was_replaced_is_refused(
    project: ProjectDir, job: dict[str, str]
) -> None:
    with Script(END, 0.01, **job) as script:
        assert script.line() == "runs"
        whole = project.database.read_bytes()
        newer(project.database)
        script.process.communicate("\n", timeout=60)
    project.database.write_bytes(whole)
    project.set_columns(state="submit", attempt=2, token="t1")
    psu.submit_jobs()
    assert project.state() != "complete"
    (left,) = Path(f"{project.database}.results-{os.getuid()}").iterdir()
    assert left.name.endswith(".refused")


def test_kept_ends_that_others_put_there_or_that_are_broken_do_no_harm(project: ProjectDir) -> None:
    project.add(project.job())
    folder = Path(f"{project.database}.results-{os.getuid()}")
    folder.mkdir(mode=0o700)
    for name, text in (("a", "{"), ("b", "[]"), ("c", "{}"), ("d", '{"BatchID": "x"}'), ("e", "null")):
        (folder / f"{name}.json").write_text(text)
        (folder / f"{name}.json").chmod(0o600)
    (folder / "f.json").write_text("{}")
    (folder / "f.json").chmod(0o666)
    psu.set_job_field(BATCH, 0, {"x": 1}, {})
    assert {path.name for path in folder.iterdir()} == {f"{name}.json.refused" for name in "abcdef"}
    folder.chmod(0o777)
    (folder / "g.json").write_text("{}")
    psu.set_job_field(BATCH, 0, {"x": 2}, {})
    assert (folder / "g.json").exists(), "a folder that others may write to is not looked into"


@pytest.mark.parametrize("nonsense", ["None", "'high'", "object()"])
def test_a_job_that_sets_a_priority_that_is_none_fails_and_loses_nothing(
    project: ProjectDir, job: dict[str, str], nonsense: str
) -> None:
    code = f"""
        import paraschut_core as psu
        info = psu.get_job_info(SetID=True)
        info["result"], info["priority"] = 42, {nonsense}
        psu.set_complete(JobInfo=info)
    """
    with Script(code, **job) as script:
        assert "priority must be a finite number" in script.failure()
    psu.submit_jobs()
    assert (project.state(), project.column("priority"), stored(project)["result"]) == ("complete", 1, 42)


@pytest.mark.parametrize(("command", "state"), [("true", "complete"), ("false", "run")])
def test_the_end_of_a_command_is_kept_too(
    project: ProjectDir, job: dict[str, str], command: str, state: str
) -> None:
    code = f"""
        import sys
        from paraschut_core import in_job
        from paraschut_core.cli import main
        in_job.PAUSES = (0.01,)
        sys.exit(main(["run", "--", "sh", "-c", "cp jobs.db whole; : >jobs.db; {command}"]))
    """
    with Script(code, **job) as script:
        assert "is kept in" in script.failure()
    shutil.copy("whole", project.database)
    psu.set_batch_field(BATCH, {"x": 1}, {})
    assert project.state() == state
    if command == "false":
        assert project.sql("SELECT exit_status FROM ending") == [(1,)]


# ------------------------------------------------------------------------------------ the package


@pytest.mark.parametrize("fate", ["removed", "broken", "unreadable parts"])
@pytest.mark.parametrize("executor", ["local", "slurm"])
def test_a_job_ends_well_though_its_package_was_replaced_while_it_ran(
    project: ProjectDir, job: dict[str, str], tmp_path: Path, fate: str, executor: str
) -> None:
    package = tmp_path / "site" / "paraschut_core"
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(Path(ROOT) / "paraschut_core", package, ignore=ignore)
    code = """
        import sys
        sys.dont_write_bytecode = True
        import paraschut_core as psu
        assert psu.__file__.startswith(sys.argv[1])
        info = psu.get_job_info(SetID=True)
        print("runs", flush=True)
        sys.stdin.readline()
        info["result"] = {(1, 2), (3, 4)}
        info["other"] = object
        psu.set_complete(JobInfo=info, Submit=True)
    """
    with Script(
        code, package.parent, first=package.parent, **{**job, "PARASCHUT_EXECUTOR": executor}
    ) as script:
        assert script.line() == "runs"
        if fate == "removed":
            shutil.rmtree(package.parent)
        else:
            for path in package.rglob("*.py"):
                path.write_text("raise ImportError('another version')\n" if fate == "broken" else "x = (\n")
        _, said = script.process.communicate("\n", timeout=60)
    assert script.process.returncode == 0, said
    assert project.state() == "complete"
    assert "the next jobs were not submitted" in said
