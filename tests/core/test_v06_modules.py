"""v0.6's modules and the names in them go on to work, with a warning; see paraschut_core.compat."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import paraschut_core as psu
from paraschut_core import compat, config

from ..helpers import BATCH, ROOT, ProjectDir, run_script

MODULES = ("config", "dal", "executor", "job_factory", "manage", "utils")
NAMES = [(module, name) for module in MODULES for name in compat.names(module)]


@pytest.fixture
def index(project: ProjectDir) -> ProjectDir:
    project.configure('executor = "file"\nqueue = "long"\n')
    psu.add_batch_to_queue(
        BATCH, [{**psu.get_job_template(), "BatchID": BATCH, "JobIndex": i} for i in (0, 1)]
    )
    return project


@pytest.mark.parametrize(("module", "name"), NAMES)
def test_each_name_is_there_and_warns_at_the_line_that_asks(
    index: ProjectDir, module: str, name: str
) -> None:
    with pytest.warns(DeprecationWarning, match=name) as caught:
        value = getattr(importlib.import_module(f"paraschut_core.{module}"), name)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    if name in psu.__all__ and name not in ("DefResource", "TempFiles", "ClusterID", "JobDir"):
        assert value == getattr(psu, name)
    with pytest.warns(DeprecationWarning):
        assert getattr(getattr(psu, module), name) is not None or name == "ClusterID"


@pytest.mark.parametrize("module", MODULES)
def test_what_v06_had_not_or_is_of_no_use_is_an_attribute_error(index: ProjectDir, module: str) -> None:
    for name in ("unpack_job", "nothing", "__wrapped__"):
        with pytest.raises(AttributeError, match=name):
            getattr(importlib.import_module(f"paraschut_core.{module}"), name)
    with pytest.warns(DeprecationWarning) as caught:
        psu.get_batch_info(BATCH)  # type: ignore[attr-defined]  # v0.6's
    assert caught[0].filename == __file__
    with pytest.raises(AttributeError, match="nothing"):
        psu.nothing  # type: ignore[attr-defined]  # that is what is tested


def test_the_settings_are_found_in_the_module_of_that_name(index: ProjectDir) -> None:
    with pytest.warns(DeprecationWarning):
        assert psu.config.QFile == str(index.database)  # type: ignore[attr-defined]  # v0.6's
        assert psu.config.JobDir == f"{index.folder}/"  # type: ignore[attr-defined]  # v0.6's
        assert psu.config.JobTemplate["queue"] == "long"  # type: ignore[attr-defined]  # v0.6's
        assert psu.config.Hostname == os.uname().nodename  # type: ignore[attr-defined]  # v0.6's
    assert config.load().queue == "long", "and the module is what it was"


SCRIPT = """
import paraschut_core as psu
from paraschut_core import dal, utils, manage
from paraschut_core.config import JobDir, QFile
from paraschut_core.job_factory import *
from paraschut_core.manage import *

B = {batch}
batch = dal.get_batch_info(B)
for job in batch:
    job['parts'] = utils.make_iter('one')
dal.update_batch(batch)
assert [job['parts'] for job in psu.get_batch_info(B)] == [['one']] * 2
assert dal.get_job_indices(B) == [0, 1]
conn = dal.open_db()
assert conn.execute(f'SELECT count(*) FROM job WHERE BatchID={{B}}').fetchall() == [(2,)]
dal.close_db(conn)
set_batch_field(B, {{'x': 1}})
assert len(manage.get_sql_queue('JobIndex < 5')[B]) == 2
assert get_job_template(SetID=True)['BatchID'] < utils.get_id()
assert len(str(utils.get_time())) == 14
d = {{}}
utils.dict_append(d, 'a', 1)
utils.dict_append(d, 'a', 2)
assert d == {{'a': [1, 2]}} and utils.isiterable(d) and not utils.isiterable(1)
job = {{'submit_id': '5', 'ClusterID': ['5', '6']}}
assert dal.get_internal_ids(job) == ['5', '6']
dal.remove_internal_id(job, '5')
assert job == {{'ClusterID': ['6']}}
out, err = utils.get_log_paths(psu.get_job_info(B, 0))
assert out.startswith(JobDir) and out.endswith('.0.out') and err.endswith('.0.err')
manage.submit_jobs(Executor=manage.DefaultJobExecutor)
"""


def test_a_script_that_uses_the_modules_runs(index: ProjectDir) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "always", "-c", SCRIPT.format(batch=BATCH)],
        env={**os.environ, "PYTHONPATH": ROOT},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "DeprecationWarning: paraschut_core.dal.get_batch_info" in done.stderr
    assert set(index.states().values()) == {"init"}, "the jobs have no script"


OWN = """
import subprocess
import paraschut_core as psu
from paraschut_core import executor, utils

class Own(executor.ClusterJobExecutor):
    name = 'own'
    def isconnected(self):
        return True
    def submit(self, JobInfo, Spawn=False):
        OutFile, ErrFile = utils.get_log_paths(JobInfo)
        submit_id = '77'
        executor.update_fields(JobInfo, submit_id, Spawn, OutFile, ErrFile)
        return submit_id
    def qstat(self):
        return {'77': ['job', 'Q']}

psu.submit_one_job(%d, 0, Executor=Own())
"""


def test_an_executor_of_v06_with_its_helpers_submits(index: ProjectDir) -> None:
    psu.set_job_field(BATCH, 0, {"script": "true"})
    run_script(textwrap.dedent(OWN) % BATCH)
    info = psu.get_job_info(BATCH, 0)
    assert (info["state"], info["submit_id"]) == ("submit", "77")
    assert len(info["stdout"]) == len(info["stderr"]) == 1, "the log of this attempt, once"
    assert Path(info["stdout"][0]).parent.is_dir()


def test_neither_the_package_nor_a_job_loads_them() -> None:
    code = (
        "import paraschut_core as psu, sys; psu.get_job_info; print([m for m in sys.modules if 'paras' in m])"
    )
    loaded = run_script(code)
    assert "'paraschut_core.api'" in loaded
    for module in ("compat", "dal", "executor'", "job_factory", "manage", "utils"):
        assert f"paraschut_core.{module}" not in loaded
