"""Resources: the shared names, sizes and times, and what each scheduler is asked for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paraschut_core.config import Settings
from paraschut_core.errors import UsageError
from paraschut_core.executors.batch.base import BatchExecutor
from paraschut_core.executors.batch.pbs import PBSJobExecutor
from paraschut_core.executors.batch.sge import SGEJobExecutor
from paraschut_core.executors.batch.slurm import SlurmJobExecutor
from paraschut_core.executors.resources import (
    TEMPLATE,
    clock,
    mebibytes,
    parse_size,
    parse_time,
    pbs_size,
    read,
    slurm_time,
)

DEFAULT = TEMPLATE


def asked(kind: type[BatchExecutor], resources: dict[str, object], queue: str | None = None) -> list[str]:
    executor = kind(settings=Settings())
    return executor.options(read(resources, bare=executor.default_size_unit), queue)


@given(st.integers(min_value=0, max_value=1 << 60))
def test_a_size_survives_pbs_spelling(size: int) -> None:
    assert parse_size(pbs_size(size)) == size


@given(st.integers(min_value=1, max_value=1 << 50))
def test_a_size_in_mebibytes_is_never_too_small_and_hardly_too_large(size: int) -> None:
    assert 0 <= (mebibytes(size) << 20) - size < 1 << 20


@given(st.integers(min_value=1, max_value=10**8))
def test_a_time_survives_every_spelling(seconds: int) -> None:
    assert parse_time(clock(seconds)) == seconds
    assert parse_time(slurm_time(seconds)) == seconds
    assert parse_time(str(seconds)) == seconds
    assert parse_time(seconds) == seconds
    assert parse_time(float(seconds)) == seconds
    assert parse_time(f"{seconds}s") == seconds


@given(st.text(max_size=12))
def test_any_text_is_a_time_above_zero_or_an_error(text: str) -> None:
    try:
        assert parse_time(text) > 0
    except UsageError as error:
        assert "not a time" in str(error)


@given(st.text(max_size=12))
def test_any_text_is_a_size_or_an_error(text: str) -> None:
    try:
        assert parse_size(text) >= 0
    except UsageError as error:
        assert "not a size" in str(error)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1gb", 1 << 30),
        ("1GB", 1 << 30),
        ("1G", 1 << 30),
        ("2Gi", 2 << 30),
        ("500mb", 500 << 20),
        ("1.5g", 3 << 29),
        ("100", 100),
        ("100b", 100),
        ("1gw", 8 << 30),
        (1024, 1024),
        (" 3 kb ", 3 << 10),
    ],
)
def test_sizes_as_people_write_them(text: object, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text",
    ["lots", "-1gb", "1 potato", "", "gb", True, "1e3", "1gb2", "٣gb\n", "9" * 5000, f"{'9' * 400}.5g"],
)
def test_what_is_no_size(text: object) -> None:
    with pytest.raises(UsageError):
        parse_size(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("04:59:00", 17940),
        ("30:00", 1800),
        ("3600", 3600),
        ("1-12:00:00", 129600),
        ("1-12", 129600),
        ("1-12:30", 131400),
        ("90m", 5400),
        ("1.5h", 5400),
        ("2d", 172800),
        ("100:00:00", 360000),
        ("1h30m", 5400),
        ("1d 12h", 129600),
        ("90 min", 5400),
        ("2 hours", 7200),
        ("1 day 30 seconds", 86430),
        (0.5, 1),
    ],
)
def test_times_as_people_write_them(text: object, seconds: int) -> None:
    assert parse_time(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        "0",
        "00:00:00",
        "tomorrow",
        "-5",
        "1:2:3:4",
        "",
        float("inf"),
        True,
        "1h30",
        "1 moment",
        "h",
        "9" * 5000,
        f"{'9' * 400}h",
    ],
)
def test_what_is_no_time(text: object) -> None:
    with pytest.raises(UsageError):
        parse_time(text)


def test_none_and_empty_drop_a_resource() -> None:
    dropped: dict[str, object] = dict.fromkeys(DEFAULT)
    assert read({**DEFAULT, **dropped, "gpus": "", "exclusive": False}) == read({})
    assert read({"gpus": 0}) == read({"gpus": "0"}) == read({})


def test_smp_and_ncpus_are_cpus() -> None:
    assert read({"smp": 4}) == read({"ncpus": "4"}) == read({"cpus": 4.0})


@pytest.mark.parametrize(
    "resources",
    [
        {"cpus": 0},
        {"cpus": "many"},
        {"cpus": 2, "smp": 3},
        {"mem": "much"},
        {"walltime": "long"},
        {"bad name": 1},
        {"-x": 1},
        {"constraint": "a\nb"},
        {"priority": "high"},
        {"priority": 5000},
        {"priority": 0.5},
    ],
)
def test_bad_values_are_told_by_name(resources: dict[str, object]) -> None:
    with pytest.raises(UsageError) as error:
        read(resources)
    assert list(resources)[-1] in str(error.value)


def test_the_default_resources_suit_each_scheduler() -> None:
    assert asked(SlurmJobExecutor, DEFAULT) == ["--mem=1024M"]
    assert asked(SGEJobExecutor, DEFAULT) == [
        "-l",
        "h_cpu=17940",
        "-l",
        "mem_free=1024M",
        "-l",
        "h_vmem=3072M",
    ]
    assert asked(PBSJobExecutor, DEFAULT) == ["-l", "cput=04:59:00,mem=1gb,pmem=1gb,pvmem=3gb,vmem=3gb"]


def test_the_shared_names_in_slurms_words() -> None:
    wanted = {"cpus": 4, "mem": "1.5gb", "walltime": "1-00:30:00", "gpus": "a100:2", "nodes": 2}
    assert asked(SlurmJobExecutor, wanted, "main") == [
        "--partition=main",
        "--mem=1536M",
        "--time=1-00:30:00",
        "--cpus-per-task=4",
        "--nodes=2",
        "--gres=gpu:a100:2",
    ]
    own = {"constraint": "avx2", "exclusive": True, "mem_per_cpu": "2G", "mem": "0"}
    assert asked(SlurmJobExecutor, own) == ["--mem=0", "--constraint=avx2", "--exclusive", "--mem-per-cpu=2G"]
    assert asked(SlurmJobExecutor, {"pmem": "2gb"}) == ["--mem=2048M"]


def test_the_shared_names_in_grid_engines_words() -> None:
    wanted = {"cpus": 4, "mem": "1.5gb", "walltime": "30:00", "gpus": 1, "nodes": 1, "s_rt": "00:29:00"}
    assert asked(SGEJobExecutor, wanted, "all.q") == [
        *("-q", "all.q"),
        *("-pe", "smp", "4"),
        *("-l", "h_rt=1800"),
        *("-l", "mem_free=1536M"),
        *("-l", "gpu=1"),
        *("-l", "s_rt=00:29:00"),
    ]
    assert asked(SGEJobExecutor, {"cpus": 16, "pe": "openmpi"}) == ["-pe", "openmpi", "16"]
    assert asked(SGEJobExecutor, {"cpus": 1}) == []
    for bad in ({"nodes": 2}, {"s_rt": "1,2"}):
        with pytest.raises(UsageError):
            asked(SGEJobExecutor, dict(bad))


def test_the_shared_names_in_pbss_words() -> None:
    wanted = {"cpus": 4, "mem": "1.5gb", "walltime": 5400, "gpus": 1}
    assert asked(PBSJobExecutor, wanted, "workq") == [
        *("-q", "workq"),
        *("-l", "ncpus=4,ngpus=1,walltime=01:30:00,mem=1536mb"),
    ]
    assert asked(PBSJobExecutor, {"nodes": 2, "cpus": 4}) == ["-l", "nodes=2:ppn=4"]
    assert asked(PBSJobExecutor, {"nodes": "1:ppn=4"}) == ["-l", "nodes=1:ppn=4"]
    assert asked(PBSJobExecutor, {"mem": "100"}) == ["-l", "mem=100b"]
    assert asked(PBSJobExecutor, {"select": "2:ncpus=4", "place": "scatter"}) == [
        *("-l", "select=2:ncpus=4,place=scatter"),
    ]
    with pytest.raises(UsageError):
        asked(PBSJobExecutor, {"site": "a b"})


@pytest.mark.parametrize("kind", [SlurmJobExecutor, SGEJobExecutor])
def test_a_memory_without_a_unit_is_refused_where_it_would_mean_something_else(
    kind: type[BatchExecutor],
) -> None:
    executor = kind(settings=Settings())
    assert "no unit" in executor.check({"script": "true", "resources": {"mem": 4000}})


def test_a_priority_below_zero_lets_others_go_first_everywhere() -> None:
    assert asked(SlurmJobExecutor, {"priority": -100}) == ["--nice=100"]
    assert asked(SGEJobExecutor, {"priority": "-100"}) == ["-p", "-100"]
    assert asked(PBSJobExecutor, {"priority": -100, "cpus": 2}) == ["-l", "ncpus=2", "-p", "-100"]


def test_jobs_share_an_array_only_if_they_ask_for_the_same() -> None:
    executor = SlurmJobExecutor(queue="main", resources={"mem": "1gb"}, settings=Settings())
    same = executor.batch_key({"resources": {"walltime": 60}})
    assert same == executor.batch_key({"resources": {"walltime": "60"}, "queue": "main"})
    assert same != executor.batch_key({"resources": {"walltime": 61}})
    assert same != executor.batch_key({"resources": {"walltime": 60}, "queue": "short"})
    assert same != executor.batch_key({"resources": {"walltime": 60}, "directives": ["--nice"]})
    assert isinstance(hash(same), int)
