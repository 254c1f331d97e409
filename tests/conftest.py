"""Fixtures for all tests: a project of its own for each, nothing of this machine's configuration in it."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.earlier import earlier, old
from tests.helpers import ProjectDir, Scheduler

__all__ = ["earlier", "old"]  # fixtures

# A shell starts what it runs in the background deaf to Ctrl-C, nohup deaf to a hang-up: all that tests start
# would be, too.
signal.signal(signal.SIGINT, signal.default_int_handler)
for _ignored in (signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
    if signal.getsignal(_ignored) == signal.SIG_IGN:
        signal.signal(_ignored, signal.SIG_DFL)

# The machines that run these are slow and shared: how long an example takes says nothing about the code.
settings.register_profile("paraschut", deadline=None)
settings.load_profile("paraschut")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--cluster",
        action="append",
        default=[],
        metavar="NAME",
        help="of the tests that need a scheduler's daemons, run those for NAME only (slurm, sge, ...)",
    )


QUICK = ("unit/", "core/test_actions", "core/test_api_docs", "core/test_changes", "core/test_filters",
         "core/test_history", "core/test_near", "core/test_poll_record", "core/test_stats",
         "test_project_files")  # fmt: skip
"""Files, by the beginning of their paths below tests/, that start few processes."""


@pytest.hookimpl(tryfirst=True)  # before `-m` chooses
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        path = item.path.relative_to(Path(__file__).parent).as_posix()
        if path.startswith(QUICK):
            item.add_marker(pytest.mark.quick)
    wanted = set(config.getoption("--cluster"))
    if not wanted:
        return
    kept, left = [], []
    for item in items:
        marker = item.get_closest_marker("cluster")
        (kept if marker is None or marker.args[0] in wanted else left).append(item)
    config.hook.pytest_deselected(items=left)
    items[:] = kept


Tally = Callable[[int, int, str], None]


@pytest.fixture
def tally(record_property: Callable[[str, object], None]) -> Tally:
    """Notes what a fault was tried on: how often, how much was lost or done twice, and a remark.

    The notes are printed as a table at the end of the run; a loss fails the test.
    """

    def note(tries: int, losses: int, remark: str) -> None:
        record_property("fault", (tries, losses, remark))
        assert losses == 0, f"{losses} losses in {tries} tries: {remark}"

    return note


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    rows = list(_faults(terminalreporter))
    if not rows:
        return
    terminalreporter.section("faults")
    terminalreporter.line(f"{'tries':>7} {'losses':>7}  fault")
    for name, (tries, losses, remark) in sorted(rows):
        words = name.rpartition("::test_")[2].replace("_", " ")
        terminalreporter.line(f"{tries:>7,} {losses:>7,}  {words}{f' ({remark})' if remark else ''}")


def _faults(reporter: pytest.TerminalReporter) -> Iterator[tuple[str, tuple[int, int, str]]]:
    """(test, (tries, losses, remark)) of each fault; a test that keeps no count tries once for each case."""
    cases: Counter[str] = Counter()
    failures: Counter[str] = Counter()
    for outcome in ("passed", "failed"):
        for report in reporter.getreports(outcome):
            noted = [value for name, value in getattr(report, "user_properties", ()) if name == "fault"]
            for value in noted:
                yield report.nodeid, value
            if not noted and report.nodeid.startswith("tests/faults/"):
                test = report.nodeid.partition("[")[0]
                cases[test] += 1
                failures[test] += outcome == "failed"
    for test, tries in cases.items():
        yield test, (tries, failures[test], "")


@pytest.fixture(scope="session", autouse=True)
def state_of_nobody(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What dashboards remember is not put beside what the user's own do."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No PARASCHUT_* variable and no scheduler's; no configuration of the user's."""
    for name in list(os.environ):
        if name.startswith(("PARASCHUT_", "SLURM_", "SGE_", "PBS_")) or name in ("JOB_ID", "RESTARTED"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "no configuration"))


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clean_environment: None) -> ProjectDir:
    """An empty project directory; PARASCHUT_DB names its database, which is not there yet."""
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PARASCHUT_DB", str(folder / "jobs.db"))
    return ProjectDir(folder)


@pytest.fixture
def scheduler() -> Scheduler:
    """A scheduler in memory, of which the test says what it answers."""
    return Scheduler()
