"""Templates, scripts, data files and adding jobs, as the documents describe them."""

from __future__ import annotations

import os
import pickle
import re
import stat
import time
from pathlib import Path
from typing import Any

import pytest

import paraschut_core as psu
from paraschut_core.errors import (
    ConflictError,
    DuplicateJobError,
    MetadataError,
    ParaschutError,
    ScriptError,
    UnknownJobError,
    UsageError,
)
from tests.helpers import BATCH, ProjectDir, Script, assert_sound

OTHER = BATCH + 1


# ------------------------------------------------------------------------------------ get_job_template


def test_the_template_has_the_documented_smallest_set(project: ProjectDir) -> None:
    assert psu.get_job_template() == {
        "BatchID": None,
        "JobIndex": None,
        "priority": 1,
        "name": ["human", "genome_map"],
        "batch_type": "foo",
        "data": None,
        "script": "",
        "queue": None,
        "resources": {"cput": "04:59:00", "mem": "1gb", "pmem": "1gb", "pvmem": "3gb", "vmem": "3gb"},
        "state": "init",
    }
    assert not project.database.exists(), "asking for a template makes no database"


def test_the_template_is_the_callers_own(project: ProjectDir) -> None:
    psu.get_job_template()["resources"]["mem"] = "64gb"
    assert psu.get_job_template()["resources"]["mem"] == "1gb"


def test_the_configuration_adds_to_the_template(project: ProjectDir) -> None:
    project.configure('queue = "long"\n[resources]\nmem = "8gb"\n[job_template]\npriority = 7\nlab = "x"\n')
    template = psu.get_job_template()
    assert (template["queue"], template["resources"], template["priority"], template["lab"]) == (
        "long",
        {"mem": "8gb"},
        7,
        "x",
    )


def test_a_new_batch_id_is_the_local_time(project: ProjectDir) -> None:
    before = int(time.strftime("%Y%m%d%H%M%S"))
    batch_id = psu.get_job_template(SetID=True)["BatchID"]
    assert before <= batch_id <= int(time.strftime("%Y%m%d%H%M%S")) + 1
    assert isinstance(batch_id, int)


def test_a_thousand_batch_ids_at_once_are_a_thousand_times_of_day(project: ProjectDir) -> None:
    ids = [psu.get_job_template(SetID=True)["BatchID"] for _ in range(1000)]
    assert len(set(ids)) == 1000
    assert ids == sorted(ids)
    for batch_id in ids:
        time.strptime(str(batch_id), "%Y%m%d%H%M%S")


def test_processes_that_ask_at_once_never_get_the_same_batch_id(project: ProjectDir) -> None:
    code = """
        import paraschut_core as psu
        for _ in range(20):
            print(psu.get_job_template(SetID=True)["BatchID"])
    """
    scripts = [Script(code) for _ in range(5)]
    ids = [line for script in scripts for line in script.output().split()]
    assert len(ids) == len(set(ids)) == 100


def test_a_batch_id_that_is_taken_is_passed_over(project: ProjectDir) -> None:
    taken = [int(time.strftime("%Y%m%d%H%M%S", time.localtime(time.time() + n))) for n in range(120)]
    for batch_id in taken[:-1]:
        project.add(project.job(0, batch_id))
    assert psu.get_job_template(SetID=True)["BatchID"] >= taken[-1]


def test_without_a_writable_database_a_batch_id_is_still_given(
    project: ProjectDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PARASCHUT_DB", str(project.folder / "nowhere" / "jobs.db"))
    first, second = (psu.get_job_template(SetID=True)["BatchID"] for _ in range(2))
    assert first < second


# ------------------------------------------------------------------------------------ generate_script


@pytest.fixture
def template(project: ProjectDir) -> Path:
    path = project.folder / "map.template.sh"
    path.write_text("#!/bin/sh\n# {name} of {batch_type}\necho {JobIndex} {{literal}} '{data[genome]}'\n")
    return path


def test_a_script_file_is_filled_in_and_made_executable(project: ProjectDir, template: Path) -> None:
    info = project.job(3, data={"genome": "hg38"})
    returned = psu.generate_script(info, str(template))
    made = project.folder / str(BATCH) / f"map.template_{BATCH}_3.sh"
    assert returned is info
    assert info["script"] == str(made)
    assert made.read_text() == ("#!/bin/sh\n# ['human', 'genome_map'] of foo\necho 3 {literal} 'hg38'\n")
    assert os.access(made, os.X_OK)
    assert template.read_text().startswith("#!/bin/sh\n# {name}"), "the template is as it was"


def test_the_template_defaults_to_the_jobs_script(project: ProjectDir, template: Path) -> None:
    info = project.job(3, data={"genome": "x"}, script=str(template))
    assert psu.generate_script(info)["script"].endswith(f"map.template_{BATCH}_3.sh")


def test_a_script_without_extension_gets_none(project: ProjectDir) -> None:
    (project.folder / "run").write_text("#!/bin/sh\n")
    assert psu.generate_script(project.job(1), "run")["script"].endswith(f"/run_{BATCH}_1")


def test_any_other_string_is_a_command_line_filled_in_in_place(project: ProjectDir) -> None:
    info = project.job(3, script="python map.py --index {JobIndex:03d} --pattern '{{3}}'")
    assert psu.generate_script(info)["script"] == "python map.py --index 003 --pattern '{3}'"
    assert not (project.folder / str(BATCH)).exists()


def test_its_own_output_is_refused_and_stays_as_it_is(project: ProjectDir, template: Path) -> None:
    info = psu.generate_script(project.job(3, data={"genome": "x"}), str(template))
    made = Path(info["script"])
    before = made.read_text()
    with pytest.raises(ScriptError, match="generate_script itself made"):
        psu.generate_script(info)
    assert made.read_text() == before


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("echo\necho {chromosome}\n", r"line 2: there is no field \{chromosome\}"),
        ("echo {\n", r"line 1: .*\{\{"),
        ("a\nb\nawk }\n", r"line 3: .*\}\}"),
        ("{JobIndex.__class__}\n", "no field"),
        ("{}\n", "line 1"),
        ("{JobIndex:x<1000000000000000}\n", "line 1"),
    ],
)
def test_a_fault_in_a_template_is_named_with_its_line(project: ProjectDir, text: str, complaint: str) -> None:
    path = project.folder / "t.sh"
    path.write_text(text)
    with pytest.raises(ScriptError, match=complaint):
        psu.generate_script(project.job(), str(path))
    assert not (project.folder / str(BATCH)).exists()


def test_a_fault_in_a_command_line_names_the_field(project: ProjectDir) -> None:
    with pytest.raises(ScriptError, match=r"no field \{gnome\}"):
        psu.generate_script(project.job(script="map {gnome}"))
    with pytest.raises(ScriptError, match="There is no script"):
        psu.generate_script(project.job(script=""))


def test_a_template_that_is_no_text_is_an_error(project: ProjectDir) -> None:
    path = project.folder / "binary"
    path.write_bytes(b"\x7fELF\xff\xfe\x00")
    with pytest.raises(ScriptError, match="Cannot read the script template"):
        psu.generate_script(project.job(), str(path))


def test_a_job_directory_that_cannot_be_written_to_is_an_error(project: ProjectDir, template: Path) -> None:
    (project.folder / str(BATCH)).write_text("a file in the way")
    with pytest.raises(ParaschutError, match="Cannot write"):
        psu.generate_script(project.job(data={"genome": "x"}), str(template))


# ------------------------------------------------------------------------------------ generate_data


def test_data_is_saved_beside_the_batch_and_its_path_put_into_the_job(project: ProjectDir) -> None:
    data = {"matrix": [[1, 2], [3, 4]], "name": "x"}
    info = psu.generate_data(project.job(5), data)
    path = project.folder / str(BATCH) / "data_5.pkl"
    assert info["data"] == str(path)
    assert pickle.loads(path.read_bytes()) == data
    assert stat.S_IMODE(path.stat().st_mode) & 0o111 == 0
    assert [p.name for p in path.parent.iterdir()] == ["data_5.pkl"], "nothing temporary is left"


def test_data_that_cannot_be_pickled_is_an_error_and_leaves_no_file(project: ProjectDir) -> None:
    with pytest.raises(UsageError, match="cannot be pickled"):
        psu.generate_data(project.job(5), lambda: 0)
    assert not (project.folder / str(BATCH)).exists()


def test_data_needs_a_batch_and_an_index(project: ProjectDir) -> None:
    with pytest.raises(UsageError, match="BatchID must be an integer"):
        psu.generate_data(psu.get_job_template(), 1)


# ------------------------------------------------------------------------------------ adding


def counted(project: ProjectDir) -> tuple[int, int]:
    """(batches, jobs) in the index; (0, 0) if there is none."""
    if not project.database.exists():
        return 0, 0
    return project.sql("SELECT (SELECT count(*) FROM batch), (SELECT count(*) FROM job)")[0]


def test_a_batch_is_added_whole_and_said_so(project: ProjectDir, capsys: pytest.CaptureFixture[str]) -> None:
    psu.add_batch_to_queue(BATCH, [project.job(index) for index in range(3)])
    assert f"batch {BATCH} (size 3) added to queue ({project.database})" in capsys.readouterr().out
    assert project.states() == {0: "init", 1: "init", 2: "init"}


def test_a_batch_of_one_job_may_be_given_as_that_job(project: ProjectDir) -> None:
    psu.add_batch_to_queue(BATCH, project.job(4))
    psu.add_job_to_queue(project.job(5))
    assert list(project.states()) == [4, 5]


def test_jobs_of_another_batch_id_are_refused_and_nothing_is_written(project: ProjectDir) -> None:
    with pytest.raises(UsageError, match=f"do not match BatchID={BATCH}.*{OTHER}"):
        psu.add_batch_to_queue(BATCH, [project.job(0), project.job(1, OTHER)])
    assert counted(project) == (0, 0)


def test_a_batch_that_is_there_already_is_refused(project: ProjectDir) -> None:
    psu.add_batch_to_queue(BATCH, [project.job(0)])
    with pytest.raises(DuplicateJobError, match=f"BatchID {BATCH} is in the index already"):
        psu.add_batch_to_queue(BATCH, [project.job(1)])
    assert project.states() == {0: "init"}


def test_a_job_index_twice_in_the_list_is_refused_and_nothing_is_written(project: ProjectDir) -> None:
    with pytest.raises(DuplicateJobError, match=f"{BATCH}/1 is twice"):
        psu.add_batch_to_queue(BATCH, [project.job(index) for index in (0, 1, 2, 1)])
    assert counted(project) == (0, 0)


def test_a_job_that_is_there_already_is_refused_and_nothing_is_written(project: ProjectDir) -> None:
    project.add(project.job(0), project.job(1, note="first"))
    with pytest.raises(DuplicateJobError, match=f"{BATCH}/1 is in the index already"):
        psu.add_job_to_queue([project.job(2), project.job(1), project.job(0, OTHER)])
    assert counted(project) == (1, 2)
    assert psu.get_job_info(BATCH, 1)["note"] == "first"
    psu.add_job_to_queue([project.job(2), project.job(0, OTHER)])
    assert counted(project) == (2, 4)


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"JobIndex": None}, "JobIndex"),
        ({"JobIndex": "0 or 1"}, "must be an integer"),
        ({"JobIndex": -1}, "must not be negative"),
        ({"JobIndex": 2**70}, "too large"),
        ({"name": None}, "name"),
        ({"state": 3}, "state must be text"),
        ({"state": "\ud800"}, "half a character"),
        ({"priority": "high"}, "priority must be a finite number"),
        ({"priority": float("nan")}, "priority must be a finite number"),
        ({"priority": 2**70}, "too large"),
        ({"result": object()}, "result"),
    ],
)
def test_a_job_that_cannot_be_stored_is_named_and_nothing_is_written(
    project: ProjectDir, fields: dict[str, Any], complaint: str
) -> None:
    with pytest.raises((UsageError, MetadataError), match=complaint):
        psu.add_batch_to_queue(BATCH, [project.job(7), project.job(8) | fields])
    assert counted(project) == (0, 0)


def test_no_jobs_are_no_batch(project: ProjectDir) -> None:
    with pytest.raises(UsageError, match="no jobs"):
        psu.add_batch_to_queue(BATCH, [])


def test_set_index_numbers_from_zero_and_on_from_the_highest_after_a_gap(project: ProjectDir) -> None:
    jobs = [project.job(None) for _ in range(3)]  # type: ignore[arg-type]  # set_index gives the numbers
    psu.add_batch_to_queue(BATCH, jobs, set_index=True)
    assert [job["JobIndex"] for job in jobs] == [0, 1, 2]
    project.add(project.job(9))
    psu.add_job_to_queue([project.job(), project.job(0, OTHER), project.job()], set_index=True)
    assert list(project.states()) == [0, 1, 2, 9, 10, 11]
    assert list(project.states(OTHER)) == [0]


def test_processes_that_add_jobs_with_set_index_at_once_all_get_numbers_of_their_own(
    project: ProjectDir,
) -> None:
    project.add(project.job(0))
    code = """
        import paraschut_core as psu, sys
        for n in range(10):
            job = psu.get_job_template()
            job |= {"BatchID": int(sys.argv[1]), "script": "true", "who": sys.argv[2]}
            psu.add_job_to_queue([job, dict(job)], set_index=True)
    """
    scripts = [Script(code, BATCH, n) for n in range(4)]
    for script in scripts:
        script.output()
    assert list(project.states()) == list(range(81))
    assert_sound(project.database)


def test_build_script_makes_each_jobs_script(project: ProjectDir, template: Path) -> None:
    jobs = [project.job(index, data={"genome": "x"}, script=str(template)) for index in range(2)]
    psu.add_batch_to_queue(BATCH, jobs, build_script=True)
    for index in range(2):
        script = psu.get_job_info(BATCH, index)["script"]
        assert re.search(rf"echo {index} ", Path(script).read_text())


def test_a_refused_job_does_not_write_over_the_script_of_the_one_that_is_there(
    project: ProjectDir, template: Path
) -> None:
    psu.add_job_to_queue(project.job(0, data={"genome": "first"}, script=str(template)), build_script=True)
    made = Path(psu.get_job_info(BATCH, 0)["script"])
    before = made.read_text()
    with pytest.raises(DuplicateJobError):
        psu.add_job_to_queue(
            project.job(0, data={"genome": "other"}, script=str(template)), build_script=True
        )
    assert made.read_text() == before


def test_names_with_any_code_point_are_kept(project: ProjectDir) -> None:
    for batch, name in ((BATCH, ["a\ud800", "b\0c"]), (OTHER, "δοκιμή 'x' \"y\"; DROP TABLE job;--")):
        project.add(project.job(0, batch, name=name))
        assert psu.get_job_info(batch, 0)["name"] == name


# ------------------------------------------------------------------------------------ update_job


def test_update_job_writes_back_what_was_changed(project: ProjectDir) -> None:
    project.add(project.job())
    info = psu.get_job_info(BATCH, 0)
    info |= {"result": [1.5, None], "priority": 3, "state": "needs_review"}
    psu.update_job(info)
    again = psu.get_job_info(BATCH, 0)
    assert (again["result"], again["priority"], again["state"]) == ([1.5, None], 3, "needs_review")
    info["result"] = []
    psu.update_job(info)
    assert psu.get_job_info(BATCH, 0)["result"] == []
    assert_sound(project.database)


def test_update_job_with_a_stale_copy_writes_nothing_and_says_who_was_faster(project: ProjectDir) -> None:
    project.add(project.job())
    stale, fresh = psu.get_job_info(BATCH, 0), psu.get_job_info(BATCH, 0)
    fresh["note"] = "mine"
    psu.update_job(fresh)
    stale["note"] = "yours"
    with pytest.raises(ConflictError, match=rf"{BATCH}/0 was changed by .+@.+:{os.getpid()} at 20"):
        psu.update_job(stale)
    assert psu.get_job_info(BATCH, 0)["note"] == "mine"


def test_update_job_notices_a_change_made_by_anybodys_own_sql(project: ProjectDir) -> None:
    project.add(project.job())
    info = psu.get_job_info(BATCH, 0)
    project.sql("UPDATE job SET priority = 9")
    with pytest.raises(ConflictError):
        psu.update_job(info)
    assert project.column("priority") == 9


def test_update_job_of_what_is_not_there_or_was_never_read_is_an_error(project: ProjectDir) -> None:
    project.add(project.job())
    with pytest.raises(UsageError, match="not read from the index"):
        psu.update_job(project.job())
    with pytest.raises(UnknownJobError):
        psu.update_job(project.job(1) | {"rev": 1})


def test_update_job_compares_arrays_too(project: ProjectDir) -> None:
    numpy = pytest.importorskip("numpy")
    project.add(project.job(matrix=numpy.arange(6.0)))
    info = psu.get_job_info(BATCH, 0)
    info["matrix"] = info["matrix"] * 2
    psu.update_job(info)
    psu.update_job(info)
    assert list(psu.get_job_info(BATCH, 0)["matrix"]) == [0, 2, 4, 6, 8, 10]


def test_update_job_does_not_overwrite_damaged_metadata(project: ProjectDir) -> None:
    project.add(project.job())
    project.set_columns(metadata="[broken")
    info = psu.get_job_info(BATCH, 0)
    with pytest.raises(MetadataError, match="nothing was written"):
        psu.update_job(info | {"note": "x"})
    assert project.column("metadata") == "[broken"
