"""`backup` and `recover`: copies while jobs write, and what is left of damaged files."""

from __future__ import annotations

import os
import random
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.core.cli import CommandLine
from tests.helpers import Script, assert_sound, wait_until


@pytest.fixture
def cli(tmp_path: Path, clean_environment: None) -> Iterator[CommandLine]:
    with CommandLine(tmp_path / "project") as command_line:
        yield command_line


# ------------------------------------------------------------------------------------ backup


def test_a_copy_is_a_database_like_any_other(cli: CommandLine) -> None:
    batch = cli.add("--range", "0-9", "true")
    cli("backup", "copy.db")
    assert_sound(cli.folder / "copy.db")
    assert f"{batch}: commands" in cli("--db", "copy.db", "queue").out
    assert sorted(path.name for path in cli.folder.glob("copy.db*")) == ["copy.db"]


def test_a_copy_of_a_file_with_wal_is_whole_in_itself(cli: CommandLine) -> None:
    cli.add("--range", "0-9", "true")
    with sqlite3.connect(cli.database) as writer:
        writer.execute("PRAGMA journal_mode = wal")
        writer.execute("UPDATE job SET state = 'in the log'")
        writer.commit()
        cli("backup", "copy.db")
    assert sorted(path.name for path in cli.folder.glob("copy.db*")) == ["copy.db"]
    with sqlite3.connect(cli.folder / "copy.db") as copy:
        assert copy.execute("SELECT DISTINCT state FROM job").fetchall() == [("in the log",)]


def test_what_is_there_is_not_replaced_unless_forced(cli: CommandLine) -> None:
    cli.add("true")
    (cli.folder / "copy.db").write_text("mine")
    assert "is there already" in cli("backup", "copy.db", status=2).err
    assert (cli.folder / "copy.db").read_text() == "mine"
    cli("backup", "--force", "copy.db")
    assert_sound(cli.folder / "copy.db")


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("jobs.db", "is the database itself"),
        (".", "is a directory"),
        ("nowhere/copy.db", "there is no directory"),
    ],
)
def test_a_target_that_cannot_be_is_refused(target: str, message: str, cli: CommandLine) -> None:
    cli.add("true")
    assert message in cli("backup", "--force", target, status=2).err


def test_a_copy_made_while_others_write_is_of_one_moment(cli: CommandLine) -> None:
    cli.add("--range", "0-999", "true")
    writing = """
        import sqlite3, sys
        c = sqlite3.connect(sys.argv[1], timeout=60, isolation_level=None)
        n = 0
        while True:
            n += 1
            c.execute("BEGIN IMMEDIATE")
            c.execute("UPDATE job SET state = ? WHERE JobIndex < 500", (f"s{n}",))
            c.execute("UPDATE job SET state = ? WHERE JobIndex >= 500", (f"s{n}",))
            c.execute("COMMIT")
            if n == 1:
                print("writing", flush=True)
    """
    with Script(writing, cli.database) as writer:
        assert writer.line() == "writing"
        for number in range(5):
            copy = cli.folder / f"copy-{number}.db"
            cli("backup", copy)
            assert_sound(copy)
            with sqlite3.connect(copy) as connection:
                assert len(connection.execute("SELECT DISTINCT state FROM job").fetchall()) == 1


def test_a_damaged_database_is_not_copied_as_if_it_were_whole(cli: CommandLine) -> None:
    _damage(cli)
    answer = cli("backup", "copy.db", status=1)
    assert "damaged" in answer.err and "paraschut recover" in answer.err
    assert not list(cli.folder.glob("copy.db*"))


# ------------------------------------------------------------------------------------ recover


def _damage(cli: CommandLine, jobs: int = 2000, where: float = 0.6, size: int = 9000) -> int:
    batch = cli.add("--name", "human/map", "--range", f"0-{jobs - 1}", "echo {JobIndex}")
    with open(cli.database, "r+b") as file:
        file.seek(int(cli.database.stat().st_size * where))
        file.write(random.Random(1).randbytes(size))
    return batch


def test_what_is_whole_is_saved_whole(cli: CommandLine) -> None:
    batch = cli.add("--name", "human/map", "--range", "0-99", "true")
    cli("set", batch, 5, "note=kept")
    cli("recover", "saved.db")
    assert_sound(cli.folder / "saved.db")
    assert cli("--db", "saved.db", "info", batch, 5, "note").out == "kept\n"
    assert (
        cli("--db", "saved.db", "history", batch, 5, "--json").json == cli("history", batch, 5, "--json").json
    )


def test_of_a_damaged_file_all_rows_outside_the_damage_are_saved(cli: CommandLine) -> None:
    batch = _damage(cli)
    before = cli.database.read_bytes()
    out = cli("recover", "saved.db", status=1).out
    assert "unreadable" in out
    assert cli.database.read_bytes() == before
    assert_sound(cli.folder / "saved.db")
    states = cli("--db", "saved.db", "info", batch, "--json").json
    saved = states["states"]["init"]
    assert 1900 < saved < 2000
    assert cli("--db", "saved.db", "info", batch, 0, "command").out == "echo 0\n"
    assert cli("--db", "saved.db", "info", batch, 1999, "command").out == "echo 1999\n"


@pytest.mark.parametrize("seed", range(20))
def test_no_damage_is_met_without_a_message(seed: int, cli: CommandLine) -> None:
    batch = cli.add("--range", "0-299", "true")
    dice = random.Random(seed)
    with open(cli.database, "r+b") as file:
        size = cli.database.stat().st_size
        if seed % 3 == 2:
            file.truncate(dice.randrange(size))
        for _ in range(dice.randrange(1, 20)):
            # Page 1 says where the tables are: now and then that is hit too.
            file.seek(dice.randrange(4096 if seed % 4 == 0 else size))
            file.write(dice.randbytes(dice.choice((1, 40, 3000))))
    for command in (["queue"], ["info", batch], ["doctor"], ["backup", "copy.db"], ["recover", "saved.db"]):
        answer = cli(*command, status=None)
        assert answer.status in (0, 1), (command, answer)
        assert "fault of Paraschut" not in answer.err, (command, answer)
    if (cli.folder / "saved.db").exists():
        assert_sound(cli.folder / "saved.db")
    assert not list(cli.folder.glob(".paraschut-recover-*"))


def test_jobs_whose_batch_is_lost_get_one_that_is_named_as_they_are(cli: CommandLine) -> None:
    batch = cli.add("--name", "human/map", "--type", "ribo", "--range", "0-3", "true")
    cli.sql("DELETE FROM batch")
    cli("recover", "saved.db")
    assert f"\n{batch}: human/map\n" in cli("--db", "saved.db", "queue").out


def test_a_write_that_a_crash_cut_short_is_undone_in_the_copy_only(cli: CommandLine) -> None:
    batch = cli.add("--range", "0-2999", "true")
    dying = """
        import os, sqlite3, sys
        c = sqlite3.connect(sys.argv[1], isolation_level=None)
        c.execute("PRAGMA cache_size = 5")
        c.execute("BEGIN IMMEDIATE")
        c.execute("UPDATE job SET state = 'half done'")
        print("written", flush=True)
        sys.stdin.read()
        os._exit(0)
    """
    with Script(dying, cli.database) as script:
        assert script.line() == "written"
        script.kill()
    journal = cli.folder / "jobs.db-journal"
    wait_until(journal.exists, "the journal is left behind")
    before = journal.read_bytes()
    cli("recover", "saved.db")
    assert journal.read_bytes() == before
    assert cli("--db", "saved.db", "info", batch, "--json").json["states"] == {"init": 3000}


def test_recover_refuses_to_replace_anything_and_explains_what_is_no_database(cli: CommandLine) -> None:
    cli.add("true")
    (cli.folder / "saved.db").touch()
    assert "is there already" in cli("recover", "saved.db", status=2).err
    text = cli.folder / "text.db"
    text.write_text("no database " * 1000)
    assert "Nothing can be read of" in cli("--db", "text.db", "recover", "new.db", status=1).err
    assert "There is no database" in cli("--db", "nowhere.db", "recover", "new.db", status=2).err
    assert not os.path.exists(cli.folder / "new.db")
