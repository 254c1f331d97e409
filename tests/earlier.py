"""The version before the file first grew: its package, kept in samples/, and the files that it makes."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from tests.helpers import BATCH, ProjectDir, Script


@pytest.fixture(scope="session")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package as it was before its file first grew."""
    folder = tmp_path_factory.mktemp("earlier")
    with tarfile.open(Path(__file__).parent / "samples" / "paraschut_core_2.tar.gz") as packed:
        packed.extractall(folder)
    return folder


@pytest.fixture
def old(project: ProjectDir, earlier: Path) -> Path:
    """A file that the earlier version made, with jobs of its own: one runs, two wait."""
    code = f"""
        import os, sys
        import paraschut_core as psu
        assert psu.__file__.startswith(sys.argv[1]), psu.__file__
        from paraschut_core.db.connection import Database
        Database("jobs.db", create=True).rows("SELECT 1")
        for index in range(3):
            psu.add_job_to_queue({{**psu.get_job_template(), "BatchID": {BATCH}, "JobIndex": index,
                                   "name": "a", "batch_type": "b", "script": "true"}})
        with Database("jobs.db") as db, db.transaction() as tx:
            tx.connection.execute("UPDATE job SET state = 'submit', attempt = 1, token = 't' || JobIndex,"
                                  " rev = ?", (tx.rev,))
        """
    run_earlier(earlier, code)
    assert project.sql("SELECT count(*) FROM sqlite_master WHERE name = 'addition'") == [(0,)]
    return project.database


def run_earlier(earlier: Path, code: str, **environment: str) -> str:
    """Runs a process of the earlier version to its good end."""
    with Script(code, earlier, first=earlier, **environment) as script:
        return script.output()


def as_job(index: int) -> dict[str, str]:
    """The environment of a job that the earlier version submitted."""
    return {
        "PARASCHUT_BATCH_ID": str(BATCH),
        "PARASCHUT_JOB_INDEX": str(index),
        "PARASCHUT_ATTEMPT": "1",
        "PARASCHUT_TOKEN": f"t{index}",
        "PARASCHUT_EXECUTOR": "file",
        "PARASCHUT_DB": "jobs.db",
    }
