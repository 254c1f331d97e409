"""What is asked of a scheduler is what somebody set: resources, directives, and a script's own head."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from paraschut_core.config import Settings, SubmitSettings
from paraschut_core.errors import UsageError
from paraschut_core.executors.batch.base import BatchExecutor
from paraschut_core.executors.batch.directives import directives_in, own_script, resources_of
from paraschut_core.executors.batch.options import parse
from paraschut_core.executors.batch.pbs import PBSJobExecutor
from paraschut_core.executors.batch.sge import SGEJobExecutor
from paraschut_core.executors.batch.slurm import SlurmJobExecutor
from paraschut_core.executors.local import LocalJobExecutor
from paraschut_core.executors.resources import TEMPLATE

KINDS = [SlurmJobExecutor, SGEJobExecutor, PBSJobExecutor]


def options(
    kind: type[BatchExecutor],
    info: dict[str, Any],
    settings: Settings | None = None,
    **consumables: str,
) -> list[str]:
    executor = kind(settings=settings or Settings())
    if isinstance(executor, SGEJobExecutor):
        executor.__dict__["_consumables"] = consumables
    return executor._options(executor._asked(info))


# ------------------------------------------------------------------------------------ resources


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "info",
    [
        {},
        {"resources": {}},
        {"resources": None},
        {"resources": dict(TEMPLATE)},
        {"resources": {**TEMPLATE, "mem": ""}},
        {"resources": dict.fromkeys(TEMPLATE, None)},
    ],
)
def test_what_nobody_set_is_not_asked(kind: type[BatchExecutor], info: dict[str, Any]) -> None:
    assert options(kind, info) == []


@pytest.mark.parametrize(
    ("kind", "asked"),
    [
        (SlurmJobExecutor, ["--mem=4096M"]),
        (SGEJobExecutor, ["-l", "mem_free=4096M"]),
        (PBSJobExecutor, ["-l", "mem=4gb"]),
    ],
)
def test_of_a_template_only_what_was_changed_is_asked(kind: type[BatchExecutor], asked: list[str]) -> None:
    assert options(kind, {"resources": {**TEMPLATE, "mem": "4gb"}}) == asked


def test_an_own_value_that_is_a_templates_is_asked() -> None:
    assert options(SlurmJobExecutor, {"resources": {"mem": "1gb"}}) == ["--mem=1024M"]


@pytest.mark.parametrize("resources", [None, {"mem": ""}, {"mem": None}])
def test_none_of_the_configured_memory_is_asked_if_the_job_wants_none(resources: object) -> None:
    settings = Settings(resources={"pmem": "1gb"})
    assert options(SlurmJobExecutor, {"resources": resources}, settings) == []
    executor = SlurmJobExecutor(resources={"mem": "2gb", "pmem": "1gb"}, settings=settings)
    assert executor._options(executor._asked({"resources": resources})) == []


def test_configured_resources_are_asked_even_if_they_are_the_templates() -> None:
    settings = Settings(resources=dict(TEMPLATE))
    assert options(SlurmJobExecutor, {"resources": dict(TEMPLATE)}, settings) == ["--mem=1024M"]
    assert options(SlurmJobExecutor, {}, settings) == ["--mem=1024M"]


@pytest.mark.parametrize("resources", [None, {}, dict(TEMPLATE), {**TEMPLATE, "mem": "2gb"}])
def test_a_local_job_is_held_to_what_was_set(tmp_path: Path, resources: object) -> None:
    executor = LocalJobExecutor(settings=Settings(job_dir=str(tmp_path)))
    assert "cput" not in executor._resources({"resources": resources})
    assert executor._resources({"resources": {"cput": "04:59:00"}}) == {"cput": "04:59:00"}


def test_defaults_and_own_resources_are_told_apart() -> None:
    configured = {"mem": "1gb", "cpus": 2}
    assert resources_of({}, configured) == (configured, {})
    assert resources_of({"resources": {"mem": "1gb", "cpus": 4}}, configured) == ({"mem": "1gb"}, {"cpus": 4})
    assert resources_of({"resources": None}, configured) == ({}, {})


# ------------------------------------------------------------------------------------ one in another's place


@pytest.mark.parametrize(
    ("kind", "default", "own", "directives", "asked"),
    [
        (SlurmJobExecutor, {"mem": "1gb"}, {"mem-per-cpu": "100M"}, [], ["--mem-per-cpu=100M"]),
        (SlurmJobExecutor, {"mem": "1gb"}, {"mem_per_gpu": "1G"}, [], ["--mem-per-gpu=1G"]),
        (SlurmJobExecutor, {"mem": "1gb"}, {}, ["--mem-per-cpu=1G"], ["--mem-per-cpu=1G"]),
        (SlurmJobExecutor, {"mem": "1gb"}, {}, ["--mem", "2G"], ["--mem", "2G"]),
        (SlurmJobExecutor, {}, {"mem": "1gb", "mem-per-cpu": "100M"}, [], ["--mem-per-cpu=100M"]),
        (SlurmJobExecutor, {"mem-per-cpu": "1G"}, {"mem": "2gb"}, [], ["--mem=2048M"]),
        (SlurmJobExecutor, {"walltime": 60}, {}, ["-t5"], ["-t5"]),
        (SlurmJobExecutor, {"walltime": 60}, {"time": "5"}, [], ["--time=5"]),
        (SlurmJobExecutor, {"gpus": 1}, {}, ["-G", "2"], ["-G", "2"]),
        (SlurmJobExecutor, {"cpus": 4}, {"cpus-per-gpu": "2"}, [], ["--cpus-per-gpu=2"]),
        (
            PBSJobExecutor,
            {"mem": "1gb", "cpus": 2, "walltime": 60},
            {"select": "1:ncpus=4"},
            [],
            ["-l", "walltime=00:01:00,select=1:ncpus=4"],
        ),
        (PBSJobExecutor, {"mem": "1gb"}, {}, ["-lselect=1:mem=2gb"], ["-lselect=1:mem=2gb"]),
        (PBSJobExecutor, {"mem": "1gb"}, {}, ["-l", "mem=2gb"], ["-l", "mem=2gb"]),
        (PBSJobExecutor, {"cpus": 2}, {"nodes": "1:ppn=8"}, [], ["-l", "nodes=1:ppn=8"]),
        (PBSJobExecutor, {"priority": -1}, {}, ["-p", "-5"], ["-p", "-5"]),
        (SGEJobExecutor, {"mem": "1gb"}, {"virtual_free": "2G"}, [], ["-l", "virtual_free=2G"]),
        (SGEJobExecutor, {"walltime": 60}, {}, ["-l", "h_rt=90,hp"], ["-l", "h_rt=90,hp"]),
        (SGEJobExecutor, {"cpus": 4}, {}, ["-pe", "mpi", "8"], ["-pe", "mpi", "8"]),
    ],
)
def test_a_request_of_the_jobs_own_takes_the_place_of_a_default(
    kind: type[BatchExecutor],
    default: dict[str, Any],
    own: dict[str, Any],
    directives: list[str],
    asked: list[str],
) -> None:
    """As the job's own over the settings', and within one job the scheduler's word over the shared one."""
    info = {"resources": own, "directives": directives}
    executor = kind(resources=default, settings=Settings())
    assert executor._options(executor._asked(info)) == asked
    if set(own) <= {"mem-per-cpu", "mem_per_gpu", "cpus-per-gpu", "select", "time", "virtual_free"}:
        assert options(kind, {"resources": {**default, **own}, "directives": directives}) == asked


def test_a_queue_of_the_directives_replaces_the_default() -> None:
    for kind in KINDS:
        assert options(
            kind,
            {"directives": ["-q" if kind is not SlurmJobExecutor else "-p", "long"]},
            Settings(queue="short"),
        )[1:] == ["long"]
        assert options(kind, {"queue": ""}, Settings(queue="short")) == []


# ------------------------------------------------------------------------------------ whole jobs


@pytest.mark.parametrize(
    ("resources", "consumables", "asked"),
    [
        ({"cpus": 4, "vmem": "600mb"}, {}, ["-pe", "smp", "4", "-l", "h_vmem=150M"]),
        ({"cpus": 4, "vmem": "600mb"}, {"h_vmem": "JOB"}, ["-pe", "smp", "4", "-l", "h_vmem=600M"]),
        ({"cpus": 4, "mem": "4gb"}, {"mem_free": "YES"}, ["-pe", "smp", "4", "-l", "mem_free=1024M"]),
        ({"cpus": 4, "mem": "4gb"}, {"mem_free": "NO"}, ["-pe", "smp", "4", "-l", "mem_free=4096M"]),
        ({"cpus": 3, "mem": "1gb"}, {"mem_free": "YES"}, ["-pe", "smp", "3", "-l", "mem_free=342M"]),
        (
            {"cpus": 4, "cput": "01:00:00", "walltime": 60},
            {},
            ["-pe", "smp", "4", "-l", "h_rt=60", "-l", "h_cpu=900"],
        ),
        ({"cpus": 1, "mem": "4gb"}, {"mem_free": "YES"}, ["-l", "mem_free=4096M"]),
        ({"cpus": 4, "gpus": 4}, {"gpu": "YES"}, ["-pe", "smp", "4", "-l", "gpu=1"]),
        ({"cpus": 4, "gpus": 1}, {"gpu": "JOB"}, ["-pe", "smp", "4", "-l", "gpu=1"]),
    ],
)
def test_shared_names_mean_the_whole_job(
    resources: dict[str, Any], consumables: dict[str, str], asked: list[str]
) -> None:
    assert options(SGEJobExecutor, {"resources": resources}, **consumables) == asked


def test_gpus_that_slots_cannot_share_are_refused() -> None:
    with pytest.raises(UsageError, match="multiple of the 4"):
        options(SGEJobExecutor, {"resources": {"cpus": 4, "gpus": 2}}, gpu="YES")


def test_the_slots_of_a_directive_count_too() -> None:
    info = {"resources": {"mem": "4gb"}, "directives": ["-pe", "mpi", "4"]}
    assert options(SGEJobExecutor, info, mem_free="YES") == ["-l", "mem_free=1024M", "-pe", "mpi", "4"]


# ------------------------------------------------------------------------------------ a script's own head


def script(folder: Path, *lines: str, name: str = "job.sh") -> str:
    path = folder / name
    path.write_text("\n".join(["#!/bin/bash", *lines, "echo ran", ""]))
    path.chmod(0o755)
    return str(path)


HEADS = [
    (SlurmJobExecutor, ["#SBATCH --mem=2G -A lab", "#SBATCH -t 5"], ["--mem=2G", "-A", "lab", "-t", "5"]),
    (PBSJobExecutor, ["#PBS -l nodes=1:ppn=8", "#PBS -A lab"], ["-l", "nodes=1:ppn=8", "-A", "lab"]),
    (SGEJobExecutor, ["#$ -pe smp 8", "#$ -P lab"], ["-pe", "smp", "8", "-P", "lab"]),
]


@pytest.mark.parametrize(("kind", "lines", "asked"), HEADS)
def test_the_directives_of_a_jobs_own_script_are_options(
    tmp_path: Path, kind: type[BatchExecutor], lines: list[str], asked: list[str]
) -> None:
    path = script(tmp_path, "", "# a comment", *lines)
    assert options(kind, {"script": path}) == asked
    assert options(kind, {"script": "./job.sh 5 'a b'", "cwd": str(tmp_path)}) == asked
    added = f"/usr/bin/python -P -m paraschut_core.cli run 1 2 --submit -- {path} x"
    assert options(kind, {"script": added}) == asked
    for other in (
        f"bash {path}",
        f"{path} && {path}",
        "true",
        f"{added[: -len(path) - 2]}/bin/bash -c '{path}'",
    ):
        assert options(kind, {"script": other}) == []


@pytest.mark.parametrize(("kind", "lines", "asked"), HEADS)
def test_jobs_are_grouped_by_their_scripts_directives(
    tmp_path: Path, kind: type[BatchExecutor], lines: list[str], asked: list[str]
) -> None:
    executor = kind(settings=Settings())
    one, same = script(tmp_path, *lines, name="1.sh"), script(tmp_path, *lines, "", name="2.sh")
    other = script(tmp_path, lines[0], name="3.sh")
    keys = [executor.batch_key({"script": path}) for path in (one, same, other)]
    assert keys[0] == keys[1] != keys[2]


def test_the_first_command_ends_the_head_and_other_schedulers_lines_are_comments(tmp_path: Path) -> None:
    lines = ["#PBS -q long", "##SBATCH --mem=1G", "# SBATCH --mem=1G", "#SBATCHED -A x", "#SBATCH -A lab"]
    path = script(tmp_path, *lines, "cd /tmp", "#SBATCH --mem=9G")
    assert directives_in(path, "#SBATCH") == ("-A", "lab")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("--comment='a b'", ("--comment=a b",)),
        ('--comment="it\'s" -A lab', ("--comment=it's", "-A", "lab")),
        ("-A lab # the lab", ("-A", "lab")),
        ("--comment=a#b", ("--comment=a#b",)),
        ("\t-A\tlab\r", ("-A", "lab")),
        ("-A a\\ b", ("-A", "a b")),
    ],
)
def test_directives_are_split_as_a_shell_would(tmp_path: Path, line: str, words: tuple[str, ...]) -> None:
    assert directives_in(script(tmp_path, f"#SBATCH {line}"), "#SBATCH") == words


def test_quotes_that_do_not_match_are_told_with_their_line(tmp_path: Path) -> None:
    executor = SlurmJobExecutor(settings=Settings(job_dir=str(tmp_path)))
    assert "job.sh, line 2" in executor.check({"script": script(tmp_path, "#SBATCH --comment='a")})


def test_a_script_that_changes_is_read_again(tmp_path: Path) -> None:
    assert directives_in(script(tmp_path, "#SBATCH -A one"), "#SBATCH") == ("-A", "one")
    assert directives_in(script(tmp_path, "#SBATCH -A other"), "#SBATCH") == ("-A", "other")


def test_what_is_no_text_has_no_directives(tmp_path: Path) -> None:
    (tmp_path / "program").write_bytes(b"\x7fELF\0\n#SBATCH -A lab\n")
    assert directives_in(str(tmp_path / "program"), "#SBATCH") == ()
    assert directives_in(str(tmp_path), "#SBATCH") == ()
    assert directives_in(str(tmp_path / "gone"), "#SBATCH") == ()
    assert own_script("no/such/file 5", str(tmp_path)) is None


@pytest.mark.parametrize(
    ("kind", "line", "default", "own", "asked"),
    [
        (SlurmJobExecutor, "#SBATCH --mem=2G", {"mem": "1gb"}, {}, ["--mem=2G"]),
        (SlurmJobExecutor, "#SBATCH --mem-per-cpu=2G", {"mem": "1gb"}, {}, ["--mem-per-cpu=2G"]),
        (SlurmJobExecutor, "#SBATCH --mem=2G", {"mem": "1gb"}, {"mem": "4gb"}, ["--mem=4096M"]),
        (SlurmJobExecutor, "#SBATCH --mem-per-cpu=2G", {}, {"mem": "4gb"}, ["--mem=4096M"]),
        (
            PBSJobExecutor,
            "#PBS -l mem=2gb,walltime=60",
            {},
            {"mem": "4gb"},
            ["-l", "mem=4gb", "-l", "walltime=60"],
        ),
        (PBSJobExecutor, "#PBS -l nodes=1:ppn=8", {"cpus": 2}, {}, ["-l", "nodes=1:ppn=8"]),
        (PBSJobExecutor, "#PBS -l nodes=1:ppn=8", {}, {"cpus": 2}, ["-l", "ncpus=2"]),
        (SGEJobExecutor, "#$ -pe smp 8", {"cpus": 2}, {}, ["-pe", "smp", "8"]),
        (SGEJobExecutor, "#$ -pe smp 8", {}, {"cpus": 2}, ["-pe", "smp", "2"]),
        (SGEJobExecutor, "#$ -pe smp 8", {"vmem": "8gb"}, {}, ["-l", "h_vmem=1024M", "-pe", "smp", "8"]),
    ],
)
def test_a_script_wins_over_defaults_and_the_jobs_own_fields_over_it(
    tmp_path: Path,
    kind: type[BatchExecutor],
    line: str,
    default: dict[str, Any],
    own: dict[str, Any],
    asked: list[str],
) -> None:
    info = {"script": script(tmp_path, line), "resources": {**default, **own}}
    assert options(kind, info, Settings(resources=default)) == asked


def test_directives_of_the_job_win_over_its_script_and_that_over_the_settings(tmp_path: Path) -> None:
    path = script(tmp_path, "#SBATCH -A script --qos=script -t 5")
    settings = Settings(submit=SubmitSettings(directives=["--account=all", "--qos=all", "--nice"]))
    info = {"script": path, "directives": ["--qos", "own"]}
    assert options(SlurmJobExecutor, info, settings) == ["--nice", "-A", "script", "-t", "5", "--qos", "own"]


@pytest.mark.parametrize(
    ("kind", "line"),
    [
        (SlurmJobExecutor, "#SBATCH --array=1-5"),
        (SlurmJobExecutor, "#SBATCH -a1-5"),
        (SlurmJobExecutor, "#SBATCH -D /tmp"),
        (SlurmJobExecutor, "#SBATCH lab"),
        (PBSJobExecutor, "#PBS -J 1-5"),
        (PBSJobExecutor, "#PBS -t 1-5"),
        (PBSJobExecutor, "#PBS -I"),
        (SGEJobExecutor, "#$ -t 1-5"),
        (SGEJobExecutor, "#$ -wd /tmp"),
    ],
)
def test_a_directive_that_would_change_what_a_job_is_is_refused(
    tmp_path: Path, kind: type[BatchExecutor], line: str
) -> None:
    executor = kind(settings=Settings(job_dir=str(tmp_path)))
    assert "its script has the directive" in executor.check({"script": script(tmp_path, line)})


@pytest.mark.parametrize(
    ("kind", "line", "left"),
    [
        (SlurmJobExecutor, "#SBATCH -J me -o out --error=err --wait", "-J me, -o out, --error=err, --wait"),
        (PBSJobExecutor, "#PBS -N me -o out -j oe -W block=true", "-N me, -o out, -j oe, -W block=true"),
        (SGEJobExecutor, "#$ -N me -o out -j y -cwd -sync y", "-N me, -o out, -j y, -cwd, -sync y"),
    ],
)
def test_names_and_logs_of_a_script_are_left_out_and_told_once(
    tmp_path: Path,
    kind: type[BatchExecutor],
    line: str,
    left: str,
    caplog: pytest.LogCaptureFixture,
    clean_environment: None,
) -> None:
    executor = kind(settings=Settings(job_dir=str(tmp_path)))
    path = script(tmp_path, line)
    with caplog.at_level(logging.WARNING):
        assert executor._options(executor._asked({"script": path})) == []
        assert executor._options(executor._asked({"script": path})) == []
    assert [record.getMessage().count(left) for record in caplog.records] == [1]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("text", ["a,b='x,y',c=(1,2)", "", ",,", "a"])
def test_lists_are_parsed_and_never_lost(kind: type[BatchExecutor], text: str) -> None:
    found = parse(["-l", text, "stray", "-x"], kind.grammar)
    assert [word for option in found for word in option.words] == ["-l", text, "stray", "-x"]


@pytest.mark.parametrize(
    ("lines", "asked"),
    [
        (["#PBS -q long@server -A lab -V"], ["--partition=long", "--account=lab"]),
        (["#PBS -l walltime=01:30:00,mem=2gb"], ["--time=0-01:30:00", "--mem=2048M"]),
        (["#PBS -l pmem=500mb", "#PBS -lngpus=2"], ["--mem-per-cpu=500M", "--gres=gpu:2"]),
        (["#PBS -l nodes=2:ppn=4"], ["--nodes=2", "--ntasks=8", "--cpus-per-task=1"]),
        (
            ["#PBS -l select=2:ncpus=8:mpiprocs=4:mem=1gb"],
            ["--nodes=2", "--ntasks=8", "--cpus-per-task=2", "--mem=1024M"],
        ),
        (["#PBS -l ncpus=8"], ["--cpus-per-task=8"]),
        (["#PBS -m ae -M a@b.c -r n"], ["--mail-type=FAIL,END", "--mail-user=a@b.c", "--no-requeue"]),
        (
            ["#PBS -W depend=afterok:12 -v A=1,B -h"],
            ["--dependency=afterok:12", "--export=ALL,A=1,B", "--hold"],
        ),
        (["#PBS -l mem=2gb -q long", "#SBATCH --mem-per-cpu=1G"], ["--partition=long", "--mem-per-cpu=1G"]),
        (["#PBS -q long", "#SBATCH --ignore-pbs"], ["--ignore-pbs"]),
    ],
)
def test_lines_for_pbs_in_a_script_for_slurm_are_read_as_sbatch_reads_them(
    tmp_path: Path, lines: list[str], asked: list[str]
) -> None:
    assert options(SlurmJobExecutor, {"script": script(tmp_path, *lines)}) == asked


def test_lines_for_pbs_win_over_defaults_and_not_over_the_job_and_can_be_ignored(tmp_path: Path) -> None:
    path = script(tmp_path, "#PBS -l mem=2gb,walltime=60 -q long")
    settings = Settings(resources={"mem": "1gb", "walltime": 30}, queue="main")
    found = options(SlurmJobExecutor, {"script": path, "resources": {"walltime": 90}}, settings)
    assert sorted(found) == ["--mem=2048M", "--partition=long", "--time=0-00:01:30"]
    ignoring = Settings(submit=SubmitSettings(directives=["--ignore-pbs"]))
    assert options(SlurmJobExecutor, {"script": path}, ignoring) == ["--ignore-pbs"]


def test_what_slurm_has_no_word_for_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    executor = SlurmJobExecutor(settings=Settings(job_dir=str(tmp_path)))
    path = script(tmp_path, "#PBS -N me -j oe -l cput=60,nodes=n1+n2 -A lab", "#BSUB -n 4", "#BSUB -W 60")
    for _ in range(3):
        assert executor._options(executor._asked({"script": path})) == ["--account=lab"]
    (record,) = caplog.records
    left = "#PBS -N me, #PBS -j oe, #PBS -l cput=60, #PBS -l nodes=n1+n2, #BSUB -n 4 -W 60"
    assert left in record.getMessage()


@pytest.mark.parametrize("line", ["#PBS -J 1-5", "#PBS -t 1-5", "#PBS -l walltime=soon", "#PBS -l mem=much"])
def test_a_line_for_pbs_that_makes_an_array_or_no_sense_is_refused(tmp_path: Path, line: str) -> None:
    executor = SlurmJobExecutor(settings=Settings(job_dir=str(tmp_path)))
    assert "#PBS -" in executor.check({"script": script(tmp_path, line)})
