"""In Jupyter the report is a table; the example notebook runs; both are in what is published."""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
import zipfile
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nbclient
import nbformat
import pytest
from hypothesis import given
from hypothesis import strategies as st

import paraschut_core as psu
from paraschut_core.model import JobKey, MissingJob
from paraschut_core.monitoring.liveness import Liveness
from paraschut_core.reporting import notebook
from paraschut_core.reporting.queue_report import QueueReport
from tests.core.cli import CommandLine
from tests.helpers import BATCH, ROOT, ProjectDir, Scheduler, run_script

EXAMPLE = Path(ROOT) / "paraschut_core" / "demo" / "map_reduce.ipynb"
TAGS = {"table", "thead", "tbody", "tr", "th", "td", "b", "br", "span", "progress", "pre"}


class Page(HTMLParser):
    """The tags of a page, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture
def displayed(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, str]]:
    """What a kernel would have been given to show; this process looks like one."""
    shown: list[dict[str, str]] = []
    shell = SimpleNamespace(kernel=object())

    def display(bundle: dict[str, str], raw: bool) -> None:
        assert raw
        shown.append(bundle)

    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    monkeypatch.setitem(sys.modules, "IPython.display", SimpleNamespace(display=display))
    return shown


def queue_of(info: dict[str, Any], missing: dict[JobKey, MissingJob]) -> QueueReport:
    """A report of one job."""
    nothing: dict[str, Any] = {field: {} for field in Liveness._fields}
    return QueueReport({BATCH: [info]}, Liveness(**{**nothing, "missing": missing}), {}, "slurm", True, "", 0)


# ------------------------------------------------------------------------------------ the table


def test_in_a_kernel_the_report_is_a_table_with_the_missing_marked(
    project: ProjectDir,
    scheduler: Scheduler,
    displayed: list[dict[str, str]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    project.configure('executor = "file"\n[poll]\ngrace = 0\ninterval = 0\n')
    project.add(
        *(project.job(i, state=state) for i, state in enumerate(["init", "run", "complete", "complete"]))
    )
    project.sql("UPDATE job SET ClusterID = '7', submit_id = '7' WHERE JobIndex = 1")
    for _ in range(3):
        assert psu.get_queue(Executor=scheduler) is None
    assert capsys.readouterr().out == ""
    bundle = displayed[-1]
    page = Page(bundle["text/html"])
    assert "human/genome_map" in page.text and str(BATCH) in page.text
    assert "2/4" in page.text and "complete 2" in page.text and "2-3" in page.text
    assert "✗ 1: 1" in page.text
    for text in (page.text, bundle["text/plain"]):
        assert f"missing jobs: {{{BATCH}: [1]}}" in text
    psu.get_queue(Executor=scheduler, Display=["init"])
    shown = Page(displayed[-1]["text/html"]).text
    assert "init 1" in shown and "complete 2" not in shown
    assert "running/complete/total: 0/2/4" in shown
    assert isinstance(psu.get_queue(Verbose=False, Executor=scheduler), dict)


@given(name=st.text(), state=st.text(), reason=st.text())
def test_no_name_state_or_reason_becomes_markup(name: str, state: str, reason: str) -> None:
    key = JobKey(BATCH, 0)
    info = {"BatchID": BATCH, "JobIndex": 0, "name": name, "state": state, "attempt": 1}
    html = notebook.table(queue_of(info, {key: MissingJob(reason, 0.0)}))
    page = Page(html)
    assert set(page.tags) <= TAGS
    assert page.tags.count("td") == 4
    assert not any(ord(character) < 32 and character not in "\n\t" for character in html)


def test_a_hostile_name_is_shown_as_it_is() -> None:
    name = "</td><script>alert(1)</script>&amp;\x1b[2J"
    info = {"BatchID": BATCH, "JobIndex": 0, "name": name, "state": "<b>", "attempt": 1}
    assert "</td><script>alert(1)</script>&amp;␛[2J" in Page(notebook.table(queue_of(info, {}))).text


@pytest.mark.parametrize("before", ["", "import IPython"])
def test_outside_a_kernel_the_report_is_printed(project: ProjectDir, before: str) -> None:
    project.configure('executor = "file"\n')
    project.add(project.job())
    out = run_script(f"{before}\nimport paraschut_core as psu\npsu.get_queue()")
    assert f"{BATCH}: human/genome_map\n{{'init': [0]}}" in out


def test_the_core_never_imports_ipython(project: ProjectDir) -> None:
    project.configure('executor = "file"\n')
    project.add(project.job())
    out = run_script("import sys, paraschut_core as psu\npsu.get_queue()\nprint('IPython' in sys.modules)")
    assert out.splitlines()[-1] == "False"


# ------------------------------------------------------------------------------------ the example


def test_the_example_notebook_runs_from_its_first_cell_to_its_last(
    tmp_path: Path, clean_environment: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", ROOT)
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    cells = nbformat.read(EXAMPLE, as_version=4)
    nbclient.NotebookClient(
        cells, timeout=240, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    outputs = [output for cell in cells.cells for output in cell.get("outputs", ())]
    tables = [
        Page(output.data["text/html"]).text for output in outputs if "text/html" in output.get("data", {})
    ]
    assert "init 13" in tables[0] and "complete 13" in tables[-2] and "collected 13" in tables[-1]
    assert float(outputs[-1].data["text/plain"]) == pytest.approx(3.1416, abs=0.01)
    database = tmp_path / "paraschut-notebook" / "jobs.db"
    attempts = dict(CommandLine.sql_in(database, "SELECT JobIndex, attempt FROM job"))
    assert attempts == {index: 2 if index == 4 else 1 for index in range(13)}


def test_the_example_holds_nothing_of_the_machine_that_it_was_made_on() -> None:
    example = json.loads(EXAMPLE.read_text(encoding="utf-8"))
    assert set(example["metadata"]) == {"kernelspec", "language_info"}
    assert example["metadata"]["language_info"] == {"name": "python"}
    nbformat.validate(example)
    for cell in example["cells"]:
        assert cell["metadata"] == {}
        if cell["cell_type"] == "code":
            assert cell["outputs"] == [] and cell["execution_count"] is None


def test_the_command_writes_the_notebook_and_overwrites_nothing(
    tmp_path: Path, clean_environment: None
) -> None:
    with CommandLine(tmp_path / "project") as cli:
        path = cli.folder / "my notebook.ipynb"
        assert "jupyter lab 'my notebook.ipynb'" in cli("demo", "--notebook", path.name).out
        assert path.read_bytes() == EXAMPLE.read_bytes()
        path.write_text("mine")
        assert "exists and is not replaced" in cli("demo", "--notebook", path.name, status=2).err
        assert path.read_text() == "mine"
        assert "No such file" in cli("demo", "--notebook", "no/such/folder.ipynb", status=1).err
        assert "leave out DIR" in cli("demo", "--notebook", "x.ipynb", "folder", status=2).err


def test_wheel_and_sdist_hold_every_file_that_is_read_at_run_time(tmp_path: Path) -> None:
    built = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-d", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    wheel = set(zipfile.ZipFile(next(tmp_path.glob("*.whl"))).namelist())
    with tarfile.open(next(tmp_path.glob("*.tar.gz"))) as archive:
        sdist = {name.partition("/")[2] for name in archive.getnames()}
    needed = {
        str(path.relative_to(ROOT))
        for package in ("paraschut_core", "paraschut_tui")
        for path in Path(ROOT, package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {"paraschut_core/demo/map_reduce.ipynb", "paraschut_tui/web/page/index.html"} < needed
    assert needed <= wheel
    assert needed | {"README.md", "LICENSE", "pyproject.toml"} <= sdist
