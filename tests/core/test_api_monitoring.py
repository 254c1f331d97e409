"""get_queue, print_log, get_job_info and get_qstat as the documents describe them."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import paraschut_core as psu
from paraschut_core.errors import FilterError, StaleJobError, UnknownJobError, UsageError
from paraschut_core.model import ENDED, ENDING, RUNNING, ExitInfo, LiveJob
from tests.helpers import BATCH, ProjectDir, Scheduler, SchedulerDownError

OTHER = BATCH + 1


@pytest.fixture
def report(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """What get_queue prints."""

    def printed(**options: Any) -> str:
        capsys.readouterr()
        assert psu.get_queue(**options) is None
        return capsys.readouterr().out

    return printed


@pytest.fixture
def pipeline(project: ProjectDir, scheduler: Scheduler) -> Scheduler:
    """A batch with a job in each state, one missing, and a second batch."""
    project.configure('executor = "file"\n[poll]\ngrace = 0\ninterval = 0\n')
    states = ["init", "submit", "run", "run", "complete", "collected", "needs_review"]
    project.add(*(project.job(index, state=state) for index, state in enumerate(states)))
    project.add(
        project.job(0, OTHER, name="most_excellent_job"), project.job(1, OTHER, name="most_excellent_job")
    )
    for index, name in ((1, "a"), (2, "b"), (3, "lost")):
        columns = {"submit_id": name, "token": f"t-{index}", "submitted_at": 1.0, "changed_at": 1.0}
        project.set_columns(index, **columns, **({"ClusterID": name} if index > 1 else {}))
    scheduler.live = {
        "a": LiveJob("a", "queued"),
        "b": LiveJob("b", RUNNING),
        "other": LiveJob("other", RUNNING),
    }
    return scheduler


# ------------------------------------------------------------------------------------ get_queue


def test_the_printed_report_is_v06s_line_by_line(pipeline: Scheduler, report: Callable[..., str]) -> None:
    report(Executor=pipeline)
    printed = report(Executor=pipeline)
    assert printed.startswith(
        f"""
{BATCH}: human/genome_map
{{'init': [0], 'submit': [1], 'run': ['2*', 3], 'complete': [4], 'collected': [5], 'needs_review': [6]}}

{OTHER}: most_excellent_job
{{'init': [0, 1]}}

missing jobs: {{{BATCH}: [3]}}

total jobs on server queue: 3
running/complete/total: 1/2/9
"""
    )


def test_an_empty_index_is_reported_with_all_its_lines(
    project: ProjectDir, report: Callable[..., str]
) -> None:
    project.workspace().db.connection.close()
    assert report(Executor=Scheduler()) == (
        "\nmissing jobs: {}\n\ntotal jobs on server queue: 0\nrunning/complete/total: 0/0/0\n"
    )


def test_the_reason_of_a_missing_job_is_printed_after_the_report(
    pipeline: Scheduler, report: Callable[..., str]
) -> None:
    pipeline.endings["lost"] = ExitInfo("out of memory on n12", 137, 9)
    report(Executor=pipeline)
    assert f"  {BATCH}/3: out of memory on n12\n" in report(Executor=pipeline)


def test_a_spawn_job_shows_one_star_for_each_online_spawn(
    project: ProjectDir, scheduler: Scheduler, report: Callable[..., str]
) -> None:
    project.add(project.job(6, state="spawn"))
    for spawn_id, id_ in enumerate(("s0", "s1", "s2", "s3")):
        project.sql(
            "INSERT INTO spawn (BatchID, JobIndex, SpawnID, spawn_state, submit_id) VALUES (?, 6, ?, ?, ?)",
            (BATCH, spawn_id, "complete" if id_ == "s3" else "run", id_),
        )
    scheduler.live = {
        "s0": LiveJob("s0", RUNNING),
        "s1": LiveJob("s1", ENDING),
        "s2": LiveJob("s2", "queued"),
    }
    printed = report(Executor=scheduler)
    assert "{'spawn': ['6**']}" in printed
    assert "running/complete/total: 2/0/1" in printed


def test_a_job_that_the_queue_only_remembers_is_not_online(
    pipeline: Scheduler, report: Callable[..., str]
) -> None:
    pipeline.live["b"] = LiveJob("b", ENDED)
    printed = report(Executor=pipeline)
    assert "'run': [2, 3]" in printed
    assert "total jobs on server queue: 2\n" in printed


def test_display_hides_states_and_changes_no_totals(pipeline: Scheduler, report: Callable[..., str]) -> None:
    report(Executor=pipeline)
    whole = report(Executor=pipeline)
    shown = report(Executor=pipeline, Display=["run", "complete"])
    assert f"{BATCH}: human/genome_map\n{{'run': ['2*', 3], 'complete': [4]}}\n" in shown
    assert str(OTHER) not in shown
    tail = re.escape(whole[whole.index("missing jobs:") :])
    assert re.search(tail + r"\Z", shown)


def test_display_takes_any_iterable_of_states_and_one_state(
    pipeline: Scheduler, report: Callable[..., str]
) -> None:
    expected = "{'needs_review': [6]}"
    for display in ({"needs_review"}, ("needs_review",), iter(["needs_review"]), "needs_review"):
        printed = report(Executor=pipeline, Display=display)
        assert expected in printed
        assert "'init'" not in printed


def test_filter_chooses_the_jobs_and_the_totals(pipeline: Scheduler, report: Callable[..., str]) -> None:
    printed = report(Executor=pipeline, Filter='name LIKE "%excellent%" AND batch_type=="foo"')
    assert str(BATCH) not in printed
    assert "running/complete/total: 0/0/2" in printed


def test_a_bad_filter_is_an_error_that_shows_it(pipeline: Scheduler) -> None:
    with pytest.raises(FilterError, match="stat"):
        psu.get_queue(Executor=pipeline, Filter="stat = 'run'")


def test_without_verbose_the_jobs_are_returned_and_nothing_is_printed(
    pipeline: Scheduler, capsys: pytest.CaptureFixture[str]
) -> None:
    jobs = psu.get_queue(Verbose=False, Executor=pipeline)
    assert capsys.readouterr().out == ""
    assert {batch: [info["JobIndex"] for info in infos] for batch, infos in jobs.items()} == {
        BATCH: [0, 1, 2, 3, 4, 5, 6],
        OTHER: [0, 1],
    }
    assert jobs[BATCH][2] | {"rev": 0} == {
        "BatchID": BATCH,
        "JobIndex": 2,
        "priority": 1,
        "name": ["human", "genome_map"],
        "batch_type": "foo",
        "data": None,
        "script": "true",
        "queue": None,
        "resources": {},
        "state": "run",
        "submit_id": "b",
        "ClusterID": "b",
        "attempt": 0,
        "rev": 0,
    }


def test_what_get_queue_returns_serves_as_B(pipeline: Scheduler, project: ProjectDir) -> None:
    chosen = psu.get_queue(Verbose=False, Executor=pipeline, Filter=f"BatchID = {OTHER}")
    psu.set_batch_field(chosen, {"note": "x"})
    psu.boost_batch_priority(chosen, 5)
    assert psu.get_job_info(OTHER, 1)["note"] == "x"
    assert psu.get_job_info(OTHER, 1)["priority"] == 6
    psu.submit_one_batch(chosen, Executor=pipeline)
    assert project.states(OTHER) == {0: "submit", 1: "submit"}
    psu.qdel_batch(chosen, Executor=pipeline)
    assert project.states(OTHER) == {0: "init", 1: "init"}
    psu.remove_batch(chosen)
    assert project.states(OTHER) == {}
    assert len(project.states(BATCH)) == 7


def test_reset_missing_puts_the_missing_back_and_clears_their_temporary_folders(
    pipeline: Scheduler, project: ProjectDir, report: Callable[..., str]
) -> None:
    folders = {index: project.folder / str(BATCH) / str(index) for index in (2, 3)}
    for folder in folders.values():
        folder.mkdir(parents=True)
        (folder / "scratch").write_text("x")
    report(Executor=pipeline)
    printed = report(Executor=pipeline, ResetMissing=True)
    assert f"missing jobs: {{{BATCH}: [3]}}" in printed
    assert project.states()[3] == "init"
    assert project.column("submit_id", 3) is None
    assert project.column("ClusterID", 3) is None
    assert project.states()[2] == "run"
    assert not folders[3].exists()
    assert folders[2].exists()


def test_reset_missing_leaves_alone_what_was_submitted_again_meanwhile(
    pipeline: Scheduler, project: ProjectDir
) -> None:
    from paraschut_core.actions import reset_missing
    from paraschut_core.reporting.queue_report import read_queue

    with project.workspace(pipeline) as ws:
        read_queue(ws)
        queue = read_queue(ws)
        assert list(queue.stamps()) == [(BATCH, 3)]
        scratch = project.folder / str(BATCH) / "3"
        scratch.mkdir(parents=True)
        psu.set_job_field(BATCH, 3, Executor=pipeline)
        psu.submit_one_job(BATCH, 3, Executor=pipeline)
        report = reset_missing(ws, queue.stamps())
    assert report.outcomes[0].message == "it was submitted again meanwhile"
    assert project.states()[3] == "submit"
    assert scratch.exists()


def test_report_missing_prints_their_stderr(
    pipeline: Scheduler, project: ProjectDir, report: Callable[..., str]
) -> None:
    log = project.folder / "lost.err"
    log.write_text("Traceback\nValueError: no genome\n")
    psu.set_job_field(BATCH, 3, {"stderr": [str(log)]}, {})
    report(Executor=pipeline)
    project.set_columns(3, changed_at=1.0)
    report(Executor=pipeline)
    printed = report(Executor=pipeline, ReportMissing=True)
    assert f"[[[stderr log for {BATCH}/human/genome_map/job_3:]]]" in printed
    assert "ValueError: no genome\n" in printed
    assert "job_2:" not in printed


def test_a_silent_scheduler_is_said_and_the_index_shown_all_the_same(
    pipeline: Scheduler, report: Callable[..., str]
) -> None:
    pipeline.fault = SchedulerDownError("squeue: connection refused")
    printed = report(Executor=pipeline)
    assert "'submit': [1], 'run': [2, 3]" in printed
    assert "missing jobs: {}" in printed
    assert re.search("fake does not answer since [0-9: -]+: squeue: connection refused\n", printed)


def test_a_damaged_row_is_shown_as_such_and_all_others_work(
    pipeline: Scheduler, project: ProjectDir, report: Callable[..., str]
) -> None:
    project.set_columns(0, metadata='{"name": ["human", "geno')
    printed = report(Executor=pipeline)
    assert f"{OTHER}: most_excellent_job" in printed
    assert "running/complete/total: 1/2/9" in printed
    assert f"the metadata of job {BATCH}/0 cannot be read" in printed


def test_names_from_outside_cannot_act_upon_the_terminal(
    project: ProjectDir, scheduler: Scheduler, report: Callable[..., str]
) -> None:
    project.add(project.job(name="a\x1b[2Jb\nc"))
    printed = report(Executor=scheduler)
    assert "\x1b" not in printed
    assert f"{BATCH}: a␛[2Jb c\n" in printed


# ------------------------------------------------------------------------------------ print_log


@pytest.fixture
def logged(project: ProjectDir) -> Path:
    """Two jobs; the first was submitted three times, its second log is gone."""
    project.configure('executor = "file"\n')
    paths = [project.folder / f"job_0.{n}.out" for n in range(3)]
    paths[0].write_text("first 0\nfirst 1\n")
    paths[2].write_text("".join(f"line {n}\n" for n in range(20)) + "no end of line")
    other = project.folder / "job_1.0.out"
    other.write_text("the other job\n")
    project.add(
        project.job(0, stdout=[str(path) for path in paths], stderr=[]), project.job(1, stdout=[str(other)])
    )
    return paths[1]


def log(capsys: pytest.CaptureFixture[str], *arguments: Any, **options: Any) -> str:
    capsys.readouterr()
    psu.print_log(*arguments, **options)
    return capsys.readouterr().out


HEADER = f"\n[[[stdout log for {BATCH}/human/genome_map/job_0:]]]\n\n"


def test_a_log_has_a_header_and_whole_lines(logged: Path, capsys: pytest.CaptureFixture[str]) -> None:
    printed = log(capsys, BATCH, 0)
    assert printed == HEADER + "".join(f"line {n}\n" for n in range(20)) + "no end of line\n"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"LogIndex": 0}, "first 0\nfirst 1\n"),
        ({"LogIndex": -3}, "first 0\nfirst 1\n"),
        ({"LogIndex": 2, "Lines": range(2)}, "line 0\nline 1\n"),
        ({"Lines": [19, 3]}, "line 3\nline 19\n"),
        ({"Lines": iter([20])}, "no end of line\n"),
        ({"RegEx": "1[0-2]$"}, "line 10\nline 11\nline 12\n"),
        ({"RegEx": "line 1", "Lines": range(12)}, "line 1\nline 10\nline 11\n"),
        ({"RegEx": "nothing like it"}, ""),
        ({"LogIndex": 3}, "log index too large\n"),
        ({"LogIndex": -4}, "log index too small\n"),
        ({"LogKey": "stderr"}, "log unknown\n"),
    ],
)
def test_a_logs_history_lines_and_messages(
    logged: Path, capsys: pytest.CaptureFixture[str], options: dict[str, Any], expected: str
) -> None:
    header = HEADER.replace("stdout", options.get("LogKey", "stdout"))
    assert log(capsys, BATCH, 0, **options) == header + expected


def test_a_missing_log_is_said_with_its_path(logged: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert log(capsys, BATCH, 0, LogIndex=1) == f"{HEADER}log is missing.\n{logged}\n"


def test_batches_jobs_and_log_indices_may_be_iterables(
    logged: Path, project: ProjectDir, capsys: pytest.CaptureFixture[str]
) -> None:
    project.add(project.job(0, OTHER), project.job(1, OTHER))
    printed = log(capsys, [BATCH, OTHER], range(2), LogIndex=[0, -1])
    headers = re.findall(r"log for (\d+)/human/genome_map/job_(\d):", printed)
    assert headers == [(str(b), j) for b in (BATCH, OTHER) for j in "0011"]
    assert "first 1\n" in printed
    assert "line 19\n" in printed
    assert printed.count("the other job") == 2


def test_a_log_of_an_unknown_job_or_stream_is_an_error(logged: Path) -> None:
    with pytest.raises(UnknownJobError, match="its jobs are 0 to 1"):
        psu.print_log(BATCH, 7)
    with pytest.raises(UsageError, match="LogKey"):
        psu.print_log(BATCH, 0, LogKey="stdlog")


def test_a_log_cannot_act_upon_the_terminal(logged: Path, capsys: pytest.CaptureFixture[str]) -> None:
    logged.write_bytes(b"\x1b[31mred\xff\x9b2J\n")
    assert "\x1b" not in log(capsys, BATCH, 0, LogIndex=1)


# ------------------------------------------------------------------------------------ get_job_info


def test_get_job_info_returns_all_metadata(project: ProjectDir) -> None:
    project.add(project.job(4, result={"score": 1.5}, tags=("a", "b")))
    info = psu.get_job_info(BATCH, 4)
    assert info["result"] == {"score": 1.5}
    assert info["tags"] == ("a", "b")
    assert (info["BatchID"], info["JobIndex"], info["state"], info["priority"]) == (BATCH, 4, "init", 1)


def test_an_unknown_job_is_an_error_that_says_what_there_is(project: ProjectDir) -> None:
    project.add(project.job(2), project.job(5))
    with pytest.raises(UnknownJobError, match=f"no job 3 in batch {BATCH}: its jobs are 2 to 5"):
        psu.get_job_info(BATCH, 3)
    with pytest.raises(UnknownJobError, match="no batch 77"):
        psu.get_job_info(77, 0)
    with pytest.raises(UsageError, match="must be an integer"):
        psu.get_job_info("1 OR 1=1", 0)


def test_set_id_records_id_host_and_state(project: ProjectDir) -> None:
    import os

    project.add(project.job())
    info = psu.get_job_info(BATCH, 0, SetID=True, ClusterID="77")
    assert (info["state"], info["ClusterID"], info["hostname"]) == ("run", "77", os.uname().nodename)
    assert project.state() == "run"
    assert project.column("ClusterID") == "77"
    assert project.column("submit_id") == "77"
    assert project.column("started_at") is not None
    again = psu.get_job_info(BATCH, 0)
    assert {field: again[field] for field in info} == info


def test_set_id_refuses_another_id_than_the_submitted_one(project: ProjectDir, scheduler: Scheduler) -> None:
    project.add(project.job())
    psu.submit_one_job(BATCH, 0, Executor=scheduler)
    with pytest.raises(StaleJobError, match="submitted as 1001"):
        psu.get_job_info(BATCH, 0, SetID=True, ClusterID="1002")
    assert project.state() == "submit"
    assert psu.get_job_info(BATCH, 0, SetID=True, ClusterID="1001")["state"] == "run"


def test_set_id_refuses_a_second_process_and_a_finished_job(project: ProjectDir) -> None:
    project.add(project.job())
    psu.get_job_info(BATCH, 0, SetID=True, ClusterID="5")
    project.set_columns(submit_id=None)
    with pytest.raises(StaleJobError, match="it runs as 5"):
        psu.get_job_info(BATCH, 0, SetID=True, ClusterID="6")
    psu.set_complete(BATCH, 0)
    with pytest.raises(StaleJobError, match="complete already"):
        psu.get_job_info(BATCH, 0, SetID=True, ClusterID="6")


def test_set_id_asked_twice_by_the_same_job_is_no_matter(project: ProjectDir) -> None:
    project.add(project.job())
    first = psu.get_job_info(BATCH, 0, SetID=True, ClusterID="5")
    assert psu.get_job_info(BATCH, 0, SetID=True, ClusterID="5") == first


def test_inside_a_job_the_environment_tells_which_it_is(
    project: ProjectDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.add(project.job(0), project.job(1))
    with pytest.raises(UsageError, match="Which job"):
        psu.get_job_info()
    monkeypatch.setenv("PARASCHUT_BATCH_ID", str(BATCH))
    monkeypatch.setenv("PARASCHUT_JOB_INDEX", "1")
    assert psu.get_job_info()["JobIndex"] == 1
    assert psu.get_job_info(BATCH)["JobIndex"] == 1
    assert psu.get_job_info(JobIndex=0)["JobIndex"] == 0


def test_a_damaged_row_is_not_overwritten_by_the_job_that_starts(project: ProjectDir) -> None:
    from paraschut_core.errors import MetadataError

    project.add(project.job())
    project.set_columns(metadata="{broken")
    assert "cannot be read" in psu.get_job_info(BATCH, 0)["unreadable"]
    with pytest.raises(MetadataError, match="nothing was written"):
        psu.get_job_info(BATCH, 0, SetID=True, ClusterID="5")
    assert project.column("metadata") == "{broken"


# ------------------------------------------------------------------------------------ get_qstat


def test_get_qstat_outside_of_a_job_is_empty(project: ProjectDir) -> None:
    assert psu.get_qstat() == {}


def test_get_qstat_inside_a_job_is_its_record(project: ProjectDir, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARASCHUT_JOB_ID", "12")
    record = psu.get_qstat()
    assert record["job_id"] == "12"
    assert record["max_rss"] > 0


def test_get_qstat_of_another_job_asks_the_executor(project: ProjectDir, scheduler: Scheduler) -> None:
    class Accounting(Scheduler):
        def get_job_summary(self, ClusterID: str | None = None) -> dict[str, Any]:
            return {"asked for": ClusterID}

    assert psu.get_qstat("17", Executor=Accounting()) == {"asked for": "17"}
