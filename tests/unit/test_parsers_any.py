"""What holds for any text that a scheduler's command may print, and for any job that it may show."""

from __future__ import annotations

from xml.sax.saxutils import escape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paraschut_core.errors import SchedulerError
from paraschut_core.executors.batch import pbs_parser, sge_parser, slurm_parser
from paraschut_core.executors.exit_info import job_name, token_of
from paraschut_core.model import ENDED, HELD, LIVE_STATES, QUEUED, RUNNING

# Pieces of real answers, so that more than garbage is tried.
PIECES = [
    *(
        "12",
        "12_3",
        "12_[3-9%2,11]",
        "12.4",
        "12[7].server",
        "12[].server",
        "-----",
        "|",
        "\n",
        "\t",
        " ",
        ":",
    ),
    *("RUNNING", "PENDING", "FAILED", "CANCELLED by 0", "None", "0:9", "n[1-2]", "Job Id: 12.server\n"),
    *("    job_state = R\n", "Exit_status = 271", "error reason    1:  x", "job_number:  12", "=" * 40),
    *("jobnumber    12\n", "taskid  3\n", "failed   37  : x\n", "exit_status 137 (Killed)\n"),
    *(
        'job "12" does not exist',
        "root has deleted job 12",
        "1-9:2",
        "1-9:0",
        "qdel: Unknown Job Id 12.server",
    ),
    *("<job_info>", "<queue_info/>", "<job_list>", "<tasks>1-5:0</tasks>", "</job_list>", "</job_info>"),
]
ANSWERS = st.lists(st.sampled_from(PIECES) | st.text(max_size=8), max_size=25).map("".join)
IDS = ["12", "12_3", "12.3", "12[3]"]

POLLS = [
    slurm_parser.parse_squeue,
    sge_parser.parse_qstat,
    pbs_parser.parse_table,
    lambda text: pbs_parser.parse_records(text, "me"),
]


@pytest.mark.parametrize("parse", POLLS)
@given(text=ANSWERS)
def test_any_answer_to_a_poll_is_understood_or_an_error(parse, text: str) -> None:  # type: ignore[no-untyped-def]
    try:
        jobs = parse(text)
    except SchedulerError:
        return
    assert all(id_ == job.id for id_, job in jobs.items())


@given(text=ANSWERS, status=st.integers(-15, 255))
def test_any_other_answer_tells_something_or_nothing(text: str, status: int) -> None:
    for parse in (slurm_parser.parse_deleted, sge_parser.parse_deleted, pbs_parser.parse_deleted):
        outcome = parse(status, text, IDS)
        assert set(outcome) == set(IDS)
        assert all(deleted.gone or deleted.error for deleted in outcome.values())
    for submitted in (
        slurm_parser.parse_submitted,
        sge_parser.parse_submitted,
        pbs_parser.parse_submitted,
    ):
        assert (submitted(text) or "1").isdigit()
    wanted = set(IDS)
    assert set(slurm_parser.parse_endings(text.split("\n"), wanted)) <= wanted
    assert set(sge_parser.parse_endings(text, wanted, 0.0)) <= wanted
    assert set(pbs_parser.parse_endings(text, wanted, 0.0)) <= wanted
    sge_parser.parse_reasons(text)
    sge_parser.parse_details(text)
    slurm_parser.parse_record(text)
    slurm_parser.parse_config(text)
    pbs_parser.parse_full(text)


NAMES = st.text(st.characters(blacklist_categories=["Cs", "Cc"]), max_size=20)
JOBS = st.lists(
    st.tuples(
        st.integers(1, 10**9),
        st.none() | st.integers(0, 10**7),
        st.sampled_from([("RUNNING", RUNNING), ("PENDING", QUEUED), ("SUSPENDED", HELD), ("FAILED", ENDED)]),
        NAMES,
    ),
    max_size=20,
    unique_by=lambda job: job[:2],
)


@given(JOBS)
def test_whatever_jobs_are_called_slurms_list_tells_them_apart(jobs: list) -> None:  # type: ignore[type-arg]
    text = "".join(
        f"{number}{'' if task is None else f'_{task}'}|{state}|n1|None|{name}\n"
        for number, task, (state, _), name in jobs
    )
    found = slurm_parser.parse_squeue(text)
    assert [(job.id, job.state, job.name) for job in found.values()] == [
        (f"{number}{'' if task is None else f'_{task}'}", ours, name)
        for number, task, (_, ours), name in jobs
    ]


@given(JOBS)
def test_whatever_jobs_are_called_grid_engines_list_tells_them_apart(jobs: list) -> None:  # type: ignore[type-arg]
    letters = {RUNNING: "r", QUEUED: "qw", HELD: "hqw", ENDED: "z"}
    rows = [
        f"<job_list><JB_job_number>{number}</JB_job_number><JB_name>{escape(name).replace('&lt;', '%lt;')}"
        f"</JB_name><state>{letters[ours]}</state>"
        f"{'' if task is None else f'<tasks>{task}</tasks>'}</job_list>"
        for number, task, (_, ours), name in jobs
        if "%lt;" not in name and name.isprintable()
    ]
    found = sge_parser.parse_qstat(f"<job_info><queue_info>{''.join(rows)}</queue_info></job_info>")
    assert len(found) == len(rows)
    assert {job.state for job in found.values()} <= {*LIVE_STATES, ENDED}


@given(st.lists(st.tuples(st.integers(1, 5), st.integers(0, 200)), min_size=1, unique=True))
def test_ids_put_together_mean_the_same_ids(pairs: list[tuple[int, int]]) -> None:
    slurm = [f"{job}_{task}" for job, task in pairs]
    assert sorted(i for short in slurm_parser.collapse(slurm) for i in slurm_parser.expand(short)) == sorted(
        slurm
    )
    pbs = [f"{job}[{task}]" for job, task in pairs]
    words = dict(pbs_parser.ranges(pbs))
    assert sorted(id_ for meant in words.values() for id_ in meant) == sorted(pbs)
    assert len(words) <= len(pbs)


@given(name=st.text(max_size=80), limit=st.integers(15, 63), number=st.none() | st.integers(1, 999))
def test_the_token_is_found_in_the_name_of_a_job_whatever_it_is_called(
    name: str, limit: int, number: int | None
) -> None:
    made = job_name("ab12cd34ef", number, name, limit)
    assert len(made) <= limit
    assert set(made) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._+-")
    assert token_of(made, None if number else 7) == f"ab12cd34ef-{number or 7}"
