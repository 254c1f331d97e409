"""The commands that look at jobs and act upon them, on real jobs of the local executor."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.core.cli import COMMAND, CommandLine
from tests.helpers import wait_until


@pytest.fixture
def cli(tmp_path: Path, clean_environment: None) -> Iterator[CommandLine]:
    with CommandLine(tmp_path / "project") as command_line:
        yield command_line


def _run_mixed(cli: CommandLine) -> int:
    """A batch whose jobs 0 and 2 complete, and whose job 1 fails."""
    command = "echo out {JobIndex}; echo err {JobIndex} >&2; [ {JobIndex} != 1 ] || [ -e mended ]"
    batch = cli.add("--name", "human/map", "--type", "ribo", "--range", "0-2", command)
    cli("submit")
    wait_until(lambda: _is_settled(cli, batch), "jobs 0 and 2 are complete, 1 is missing, and none is left")
    return batch


def _is_settled(cli: CommandLine, batch: int) -> bool:
    report = cli("queue", "--json", "--filter", f"BatchID == {batch}").json
    states, missing = report["batches"][0]["states"], report["batches"][0]["missing"]
    return missing == [1] and states == {"complete": [0, 2], "run": [1]} and not report["queue"]["total"]


# ------------------------------------------------------------------------------------ the whole path


def test_the_whole_path_from_a_new_directory_to_all_complete(tmp_path: Path, clean_environment: None) -> None:
    with CommandLine(tmp_path / "new") as cli:
        os.unlink(cli.folder / "paraschut.toml")
        out = cli("init").out
        assert "paraschut.toml" in out and "jobs.db" in out
        batch = _run_mixed(cli)

        report = cli("queue").out
        assert f"\n{batch}: human/map\n" in report
        assert f"missing jobs: {{{batch}: [1]}}" in report
        assert f"  {batch}/1: exit status 1" in report
        assert cli("log", batch, 1, "-e").out.endswith("err 1\n")

        (cli.folder / "mended").touch()
        assert "1 resubmitted" in cli("resubmit", "--missing", "--yes").out
        cli.wait_for(batch, "complete")
        assert cli("queue", "--json").json["counts"] == {
            "total": 3,
            "running": 0,
            "complete": 3,
            "missing": 0,
        }


def test_init_keeps_what_is_there_and_knows_the_executors(cli: CommandLine) -> None:
    (cli.folder / "paraschut.toml").write_text("# mine\n")
    cli("init")
    assert (cli.folder / "paraschut.toml").read_text() == "# mine\n"
    assert "already exist" in cli("init").out
    assert "set executor = 'slurm' in it" in cli("init", "--executor", "slurm", status=2).err
    assert "There is no executor 'nonsense'" in cli("init", "--executor", "nonsense", "other", status=2).err
    assert not (cli.folder / "other" / "paraschut.toml").exists()


def test_what_init_writes_means_what_it_says(cli: CommandLine) -> None:
    cli("init", "other", "--executor", "file")
    path = cli.folder / "other" / "paraschut.toml"
    commented = path.read_text()
    rows = cli("--config", path, "config", "--json").json
    assert {row["setting"] for row in rows if row["from"] == "file"} == {"executor"}
    # With every setting uncommented the values are the same: what is shown are the defaults.
    path.write_text(re.sub(r"(?m)^# (\w+ = )", r"\1", commented).replace('job_dir = ""', ""))
    again = cli("--config", path, "config", "--json").json
    same = [{row["setting"]: row["value"] or None for row in found} for found in (rows, again)]  # "" is none
    assert same[0] == same[1]


# ------------------------------------------------------------------------------------ queue


def test_queue_as_json_has_the_documented_form(cli: CommandLine) -> None:
    batch = _run_mixed(cli)
    report = cli("queue", "--json").json
    assert report["batches"] == [
        {
            "BatchID": batch,
            "name": "human/map",
            "batch_type": "ribo",
            "states": {"complete": [0, 2], "run": [1]},
            "online": [],
            "missing": [1],
        }
    ]
    assert report["counts"] == {"total": 3, "running": 0, "complete": 2, "missing": 1}
    assert report["queue"] == {
        "executor": "local",
        "connected": True,
        "total": 0,
        "error": "",
        "failing_since": None,
        "notice": "",
        "orphans": "",
    }
    reason = report["reasons"][f"{batch}/1"]
    assert {"reason": "exit status 1", "exit_status": 1, "signal": None}.items() <= reason.items()


def test_queue_shows_what_is_asked_for(cli: CommandLine) -> None:
    batch = _run_mixed(cli)
    other = cli.add("--name", "other", "true")
    states = {
        b["BatchID"]: b["states"] for b in cli("queue", "--json", "--display", "init,run").json["batches"]
    }
    assert states == {batch: {"run": [1]}, other: {"init": [0]}}
    filtered = cli("queue", "--json", "--filter", 'name LIKE "%map%" AND JobIndex < 2').json
    assert [b["states"] for b in filtered["batches"]] == [{"complete": [0], "run": [1]}]
    assert filtered["counts"]["total"] == 2


def test_queue_marks_running_jobs_and_resets_missing_ones(cli: CommandLine) -> None:
    batch = _run_mixed(cli)
    sleeper = cli.add("sleep 300")
    cli("submit", sleeper)
    wait_until(lambda: f"\n{sleeper}: commands\n{{'run': ['0*']}}\n" in cli("queue").out, "the sleeper runs")
    assert cli("queue", "--json").json["counts"]["running"] == 1
    out = cli("queue", "--report-missing", "--reset-missing").out
    assert "err 1" in out and "reset: 1 missing jobs" in out
    assert cli.states(batch)[1] == "init"
    assert cli.states(sleeper) == {0: "run"}
    cli("qdel", sleeper)


# ------------------------------------------------------------------------------------ log, info, history


def test_log_prints_streams_lines_and_matches(cli: CommandLine) -> None:
    batch = cli.add("seq 0 99; echo warning >&2")
    cli("submit")
    cli.wait_for(batch, "complete")

    def lines(*options: object) -> list[str]:
        return cli("log", batch, 0, *options).out.splitlines()[3:]

    assert lines() == list(map(str, range(100)))
    assert lines("--lines", "0-1,50") == ["0", "1", "50"]
    assert lines("--tail", 2) == ["98", "99"]
    assert lines("--grep", "^9.$") == [str(n) for n in range(90, 100)]
    assert lines("--stderr") == ["warning"]
    assert "warning" in cli("log", batch, 0, "--both").out
    assert "log index too large" in cli("log", batch, 0, "--index", 5).out
    assert "is not a regular expression" in cli("log", batch, 0, "--grep", "(", status=2).err
    assert "There is no job 7" in cli("log", batch, 7, status=2).err
    assert f"[[[stdout log for {batch}/commands/job_0:]]]" in cli("log", batch, 0).out


def test_a_log_that_is_gone_is_said_and_nothing_fails(cli: CommandLine) -> None:
    batch = _run_mixed(cli)
    for path in cli.folder.glob("*/logs/*"):
        path.unlink()
    assert "log is missing." in cli("log", batch, 0).out
    assert "log unknown" in cli("log", cli.add("true"), 0).out


def test_a_log_is_followed_until_its_job_ends(cli: CommandLine) -> None:
    batch = cli.add(
        "for i in 1 2 3; do echo line $i; sleep 0.3; done; while [ ! -e stop ]; do sleep 0.1; done; echo end"
    )
    cli("submit")
    process = cli.start("log", batch, 0, "-f")
    assert process.stdout is not None
    seen = [process.stdout.readline() for _ in range(3)]
    assert seen == ["line 1\n", "line 2\n", "line 3\n"]
    assert process.poll() is None
    (cli.folder / "stop").touch()
    out, err = process.communicate(timeout=60)
    assert out == "end\n"
    assert process.returncode == 0
    assert "Traceback" not in err


def _finished(cli: CommandLine, command: str) -> int:
    """A batch of one job that has run this command."""
    batch = cli.add("--", "sh", "-c", command.replace("{", "{{").replace("}", "}}"))
    cli("submit")
    wait_until(lambda: cli.sql("SELECT state FROM job") == [("complete",)], "the job is complete")
    return batch


_BAR = r"printf '\033[31m10%%\033[0m\r20%%\r\033[32mall done\033[0m\n\033[2J\007x\n'"


@pytest.mark.parametrize("follow", [(), ("-f",)])
def test_a_log_in_a_pipe_is_plain_text(cli: CommandLine, follow: tuple[str, ...]) -> None:
    batch = _finished(cli, _BAR)
    lines = cli("log", batch, 0, *follow).out.splitlines()
    assert lines[-2:] == ["all done", "␇x"]


@pytest.mark.parametrize("follow", [(), ("-f",)])
def test_a_log_on_a_terminal_keeps_its_colours_alone(cli: CommandLine, follow: tuple[str, ...]) -> None:
    batch = _finished(cli, _BAR)
    words = shlex.join([*COMMAND, "log", str(batch), "0", *follow])
    done = subprocess.run(
        ["script", "-qec", words, "/dev/null"], cwd=cli.folder, capture_output=True, text=True, timeout=60
    )
    assert "\x1b[32mall done\x1b[0m" in done.stdout
    assert "\x1b[2J" not in done.stdout and "10%" not in done.stdout and "␛" not in done.stdout


def test_an_expression_means_the_same_on_the_command_line_and_no_warning_is_printed(cli: CommandLine) -> None:
    batch = _finished(cli, "echo 'a[1]'; echo 77")
    answer = cli("log", batch, 0, "--grep", "[[:digit:]]{2}")
    assert answer.out.splitlines()[-1] == "77" and answer.err == ""
    assert "no class" in cli("log", batch, 0, "--grep", "[[:foo:]]", status=2).err


def test_info_shows_a_job_its_fields_and_a_batch(cli: CommandLine) -> None:
    batch = _run_mixed(cli)
    assert cli("info", batch, 1, "state").out == "run\n"
    assert cli("info", batch, 1, "state", "attempt", "--json").json == {"state": "run", "attempt": 1}
    assert cli("info", batch, 1, "--json").json["ending"] == "exit status 1"
    assert "has no field frob" in cli("info", batch, 1, "frob", status=2).err
    shown = cli("info", batch).out
    assert "human/map (ribo), 2/3 complete" in shown and "exit status 1" in shown
    listed = cli("info", batch, "--json").json
    assert listed["states"] == {"run": 1, "complete": 2}
    assert [job["state"] for job in listed["jobs"]] == ["complete", "run", "complete"]


def test_history_and_actions_tell_who_did_what(cli: CommandLine) -> None:
    batch = _run_mixed(cli)
    cli("reset", batch, 1)
    changes = [(e["before"], e["after"]) for e in cli("history", batch, 1, "--json").json if e["after"]]
    assert changes == [("init", "submit"), ("submit", "run"), ("run", "init")]
    assert "reset" in cli("history", batch, 1).out
    action = cli("actions", "--json").json[0]
    assert (action["verb"], action["jobs"], action["command"]) == ("reset", 1, f"reset {batch} 1")
    assert f"reset {batch} 1" in cli("actions").out


def test_spawns_of_a_job_are_shown(cli: CommandLine) -> None:
    batch = cli.add("true")
    assert "no spawns" in cli("spawns", batch, 0).out
    cli.sql("INSERT INTO spawn (BatchID, JobIndex, SpawnID, spawn_state) VALUES (?, 0, 4, 'run')", batch)
    assert cli("spawns", batch, 0, "--json").json[0]["spawn_id"] == 4


# ------------------------------------------------------------------------------------ acts


def test_reset_leaves_complete_jobs_alone_unless_forced(cli: CommandLine) -> None:
    batch = _run_mixed(cli)
    out = cli("reset", batch).out
    assert "1 reset, 2 left alone (state is complete)" in out
    assert cli.states(batch) == {0: "complete", 1: "init", 2: "complete"}
    assert f"not reset: {batch} 0: state is complete" in cli("reset", batch, 0, status=1).out
    cli("reset", batch, "0-2", "--force", "--yes")
    assert set(cli.states(batch).values()) == {"init"}


def test_undo_takes_the_last_act_back(cli: CommandLine) -> None:
    batch = _run_mixed(cli)
    cli("reset", batch, "--force", "--yes")
    assert "3 taken back (undo of reset)" in cli("undo").out
    assert cli.states(batch) == {0: "complete", 1: "run", 2: "complete"}
    assert "nothing to undo" in cli("undo", status=2).err
    assert "cannot be undone" in cli("undo", 999, status=2).err


def test_set_changes_fields_and_parts_of_fields(cli: CommandLine) -> None:
    batch = cli.add("--range", "0-2", "--var", "A=1", "--resource", "pmem=1gb", "true")
    cli.sql("UPDATE job SET state = 'complete' WHERE JobIndex = 2")
    cli(
        "set", batch, "0-1", "priority=2.5", "note=plain text", "tags=[1, 2]", "resources.mem=8gb", "vars.B=2"
    )
    job = cli("info", batch, 0, "--json").json
    assert (job["priority"], job["note"], job["tags"]) == (2.5, "plain text", [1, 2])
    assert (job["resources"]["mem"], job["resources"]["pmem"]) == ("8gb", "1gb")
    assert job["vars"] == {"A": "1", "B": 2}
    assert "2 changed, 1 left alone" in cli("set", batch, "x=1").out
    assert "3 changed" in cli("set", batch, "x=1", "--force", "--yes").out
    assert (
        "1 changed, 2 left alone (note is plain text)"
        in cli("set", batch, "x=2", "--unless", "note=plain text").out
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["priority=high"], "priority must be a finite number"),
        (["BatchID=5"], "belongs to the index"),
        (["attempt=5"], "belongs to the index"),
        ([], "Set what?"),
        (["=5"], "Write FIELD=VALUE"),
    ],
)
def test_set_refuses_what_cannot_be(words: list[str], message: str, cli: CommandLine) -> None:
    batch = cli.add("true")
    assert message in cli("set", batch, *words, status=2).err


def test_boost_and_collect(cli: CommandLine) -> None:
    batch = _run_mixed(cli)
    cli("boost", batch)
    assert cli("info", batch, 0, "priority").out == "101\n"
    cli("boost", batch, 0, "--by", -100.5)
    assert cli("info", batch, 0, "priority").out == "0.5\n"
    assert "2 collected, 1 left alone (not complete)" in cli("collect", batch).out
    assert cli.states(batch) == {0: "collected", 1: "run", 2: "collected"}


def test_qdel_ends_a_running_job_and_puts_it_back(cli: CommandLine) -> None:
    batch = cli.add("echo $$ > pid; exec sleep 300")
    cli("submit")
    pid = int(
        wait_until(lambda: (cli.folder / "pid").exists() and (cli.folder / "pid").read_text(), "it runs")
    )
    assert "delete it instead" in cli("reset", batch).out
    assert "1 deleted from the queue" in cli("qdel", batch).out
    assert cli.states(batch) == {0: "init"}
    with pytest.raises(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)
    assert "not in the queue" in cli("qdel", batch).out


def test_resubmit_asks_for_other_resources_if_told(cli: CommandLine) -> None:
    batch = _run_mixed(cli)
    (cli.folder / "mended").touch()
    cli("resubmit", batch, 1, "--resource", "mem=8gb")
    cli.wait_for(batch, "complete")
    job = cli("info", batch, 1, "--json").json
    assert (job["resources"]["mem"], job["attempt"]) == ("8gb", 2)
    assert len(job["stdout"]) == 2


def test_selections_mean_what_they_say(cli: CommandLine) -> None:
    batch, other = cli.add("--range", "0-9", "true"), cli.add("--range", "0-9", "true")
    cli.sql("UPDATE job SET state = 'odd'")

    def reset(*words: object) -> set[tuple[int, int]]:
        done = {tuple(key) for key in cli("reset", "--json", "--yes", *words).json["done"]}
        cli.sql("UPDATE job SET state = 'odd'")
        return done

    assert reset(batch, 3, "5-7,9") == {(batch, i) for i in (3, 5, 6, 7, 9)}
    assert reset(batch, "8-20") == {(batch, 8), (batch, 9)}
    assert reset(f"{batch},{other}") == {(b, i) for b in (batch, other) for i in range(10)}
    assert reset("--filter", f"BatchID == {other} AND JobIndex < 2") == {(other, 0), (other, 1)}
    assert "no job matches" in cli("reset", "--filter", "priority > 50").out
    assert "There is no job 20-30" in cli("reset", batch, "20-30", status=2).err
    assert "cannot be combined with BATCH" in cli("reset", batch, "--filter", "1=1", status=2).err
    assert "exactly one BATCH" in cli("reset", f"{batch},{other}", 1, status=2).err
    assert "no job matches" in cli("reset", "--missing").out


# ------------------------------------------------------------------------------------ submit


def test_submit_keeps_to_the_limit_and_the_priorities(cli: CommandLine) -> None:
    high = cli.add("--priority", "2", "--range", "0-2", "while [ ! -e go ]; do sleep 0.1; done")
    cli("add", "--batch", high, "--priority", "1", "true")
    assert "submitted: 2" in cli("submit", "--max-jobs", 2).out
    assert "max jobs: 2\nin queue: 2\nsubmitted: 0" in cli("submit", "--max-jobs", 2).out
    (cli.folder / "go").touch()
    wait_until(lambda: sorted(cli.states(high).values()).count("complete") == 2, "two are complete")
    answer = cli("submit", "--json").json
    assert [entry[:2] for entry in answer["submitted"]] == [[high, 2]]
    wait_until(lambda: list(cli.states(high).values()).count("complete") == 3, "three are complete")
    assert cli("submit", high).out == "submitted: 1\n"
    cli.wait_for(high, "complete")


def test_single_jobs_are_submitted_whatever_their_priority(cli: CommandLine) -> None:
    batch = cli.add("--priority", "2", "--range", "0-2", "true")
    cli("set", batch, 2, "priority=1")
    assert "1 submitted" in cli("submit", batch, 2).out
    assert "already in state" in cli("submit", batch, 2, status=1).out


def test_a_job_that_cannot_be_submitted_is_named_and_the_others_go(cli: CommandLine) -> None:
    batch = cli.add("--range", "0-1", "true")
    cli("set", batch, 0, "script=/no/such/script")
    answer = cli("submit", status=1)
    assert f"not submitted: {batch}/0: its script does not exist" in answer.out
    assert "submitted: 1" in answer.out


def test_submitting_again_and_again_goes_on_for_as_often_as_told(cli: CommandLine) -> None:
    cli.add("true")
    assert cli("submit", "--every", 0.001, "--times", 3).out.count("submitted: ") == 3


# ------------------------------------------------------------------------------------ remove, clean


def test_remove_takes_rows_and_folder_and_asks_first(cli: CommandLine) -> None:
    batch = _run_mixed(cli)
    assert "Not a terminal; pass --yes to confirm" in cli("remove", batch, status=2).err
    assert (cli.folder / str(batch)).is_dir()
    assert "1 batch removed" in cli("remove", batch, "--yes").out
    assert not (cli.folder / str(batch)).exists()
    assert "There is no batch" in cli("remove", batch, "--yes", status=2).err
    assert "Remove which batches?" in cli("remove", status=2).err


def test_remove_by_state_takes_batches_all_of_whose_jobs_are_in_it(cli: CommandLine) -> None:
    mixed, done = _run_mixed(cli), cli.add("true")
    cli("submit", done)
    cli.wait_for(done, "complete")
    cli("remove", "--by-state", "complete", "--yes")
    assert cli.states(done) == {} and len(cli.states(mixed)) == 3
    assert "no batch is selected" in cli("remove", "--by-state", "collected", "--yes").out


def test_a_batch_with_jobs_in_the_queue_is_not_removed_unless_forced(cli: CommandLine) -> None:
    batch = cli.add("sleep 300")
    cli("submit")
    assert "delete them first" in cli("remove", batch, "--yes", status=1).out
    cli("qdel", batch)
    cli("remove", batch, "--yes")


def test_clean_removes_temporary_files_and_folders_only(cli: CommandLine) -> None:
    batch = cli.add("--range", "0-1", "true")
    folder = cli.folder / str(batch)
    (folder / "0").mkdir(parents=True)
    for name in ("a.tmp", "keep.txt", "0/scratch"):
        (folder / name).touch()
    assert "--yes" in cli("clean", batch, status=2).err
    answer = cli("clean", "--yes", "--json", "--pattern", "*.tmp").json
    assert answer == {"files": {str(batch): 1}, "folders": [str(folder / "0")], "left": []}
    assert [path.name for path in folder.iterdir()] == ["keep.txt"]
    assert "leads out of" in cli("clean", "--yes", "--pattern", "../*", status=2).err


# ------------------------------------------------------------------------------------ config


def test_config_says_where_each_setting_is_from(
    cli: CommandLine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cli.add("true")
    rows = {row["setting"]: row for row in cli("config", "--json").json}
    assert (rows["executor"]["from"], rows["local.slots"]["value"]) == ("file", 2)
    assert (rows["local.slots"]["from"], rows["submit.rate"]["from"]) == ("file", "default")
    assert "kill_grace" in cli("config").out
    monkeypatch.setenv("PARASCHUT_JOB_DIR", str(tmp_path))
    monkeypatch.setenv("PARASCHUT_DB", str(tmp_path / "env.db"))
    rows = {row["setting"]: row for row in cli("config", "--json").json}
    assert rows["database"] | {"meaning": ""} == {
        "setting": "database",
        "value": str(tmp_path / "env.db"),
        "from": "PARASCHUT_DB",
        "meaning": "",
    }
    assert rows["job_dir"]["from"] == "PARASCHUT_JOB_DIR"
    rows = {row["setting"]: row for row in cli("--db", "x.db", "config", "--json").json}
    assert rows["database"]["from"] == "--db"
