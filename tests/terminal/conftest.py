"""A project that the dashboards of a module share: two batches whose jobs are complete."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from .screen import clean_environment, paraschut

SCRIPT = """
import paraschut_core as psu
for name in (["human", "map"], ["mouse", "map"]):
    job = psu.get_job_template(SetID=True)
    psu.add_batch_to_queue(job["BatchID"], [
        {**job, "name": name, "JobIndex": i, "script": "true", "state": "complete"} for i in range(3)
    ])
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    subprocess.run([*paraschut("init", str(folder))], check=True, capture_output=True)
    subprocess.run(
        [sys.executable, "-c", SCRIPT], cwd=folder, env=clean_environment(), check=True, capture_output=True
    )
    return folder
