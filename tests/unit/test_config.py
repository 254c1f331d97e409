"""Settings: where they are found, what overrides what, and what is wrong with a bad one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

import paraschut_core as psu
from paraschut_core import config
from paraschut_core.config import Settings, describe, load, read
from paraschut_core.errors import ConfigError
from paraschut_core.executors.resources import TEMPLATE
from tests.helpers import run_script

pytestmark = pytest.mark.usefixtures("clean_environment")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    deep = tmp_path / "project" / "a" / "b"
    deep.mkdir(parents=True)
    monkeypatch.chdir(deep)
    return tmp_path / "project"


def configure(folder: Path, text: str) -> Path:
    path = folder / "paraschut.toml"
    path.write_text(text)
    return path


# ------------------------------------------------------------------------------------ where


def test_the_file_is_found_by_walking_up_and_its_paths_are_relative_to_it(folder: Path) -> None:
    configure(folder, 'database = "db/jobs.db"\njob_dir = "../jobs"\n')
    settings = load()
    assert settings.database == str(folder / "db" / "jobs.db")
    assert settings.job_dir == str(folder.parent / "jobs")
    assert settings.config_file == str(folder / "paraschut.toml")


def test_the_nearest_file_is_taken(folder: Path) -> None:
    configure(folder, 'executor = "slurm"\n')
    configure(folder / "a", 'executor = "sge"\n')
    assert load().executor == "sge"
    assert load(cwd=str(folder)).executor == "slurm"


def test_the_users_own_file_is_the_last_resort(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = folder / "xdg"
    (home / "paraschut").mkdir(parents=True)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home))
    configure(home / "paraschut", 'executor = "pbs"\n')
    assert load().executor == "pbs"
    configure(folder, 'executor = "sge"\n')
    assert load().executor == "sge"


def test_without_any_file_or_database_the_error_says_what_to_do(folder: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"No paraschut.toml in .*paraschut init.*PARASCHUT_DB.*paraschut demo"
    ):
        load()


def test_a_database_alone_makes_its_own_folder_the_job_directory(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert load(database="x.db").database == str(folder / "a" / "b" / "x.db")
    monkeypatch.setenv("PARASCHUT_DB", str(folder / "jobs.db"))
    settings = load()
    assert (settings.database, settings.job_dir, settings.config_file) == (
        str(folder / "jobs.db"),
        str(folder),
        "",
    )


def test_the_job_directory_defaults_to_the_databases_folder(folder: Path) -> None:
    configure(folder, 'database = "index/jobs.db"\n')
    assert load().job_dir == str(folder / "index")


def test_variables_override_the_file_and_options_override_variables(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(folder, 'database = "file.db"\nexecutor = "slurm"\njob_dir = "file"\n')
    other = folder / "other.toml"
    other.write_text('executor = "pbs"\n')
    monkeypatch.setenv("PARASCHUT_DB", "variable.db")
    monkeypatch.setenv("PARASCHUT_JOB_DIR", "variable")
    monkeypatch.setenv("PARASCHUT_EXECUTOR", "sge")
    here = folder / "a" / "b"
    settings = load()
    assert (settings.database, settings.job_dir, settings.executor) == (
        str(here / "variable.db"),
        str(here / "variable"),
        "sge",
    )
    assert load(database=str(folder / "option.db")).database == str(folder / "option.db")
    monkeypatch.delenv("PARASCHUT_EXECUTOR")
    monkeypatch.setenv("PARASCHUT_CONFIG", str(other))
    assert load().executor == "pbs"
    assert load(config=str(folder / "paraschut.toml")).executor == "slurm"


def test_a_database_named_as_an_option_does_not_take_the_job_directory_of_the_environments_project(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PARASCHUT_DB", str(folder / "one" / "jobs.db"))
    monkeypatch.setenv("PARASCHUT_JOB_DIR", str(folder / "one" / "jobs"))
    assert load(database=str(folder / "two" / "jobs.db")).job_dir == str(folder / "two")
    assert load().job_dir == str(folder / "one" / "jobs")


def test_a_tilde_is_the_home_directory(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(folder))
    configure(folder, 'database = "~/x.db"\n')
    assert load().database == str(folder / "x.db")
    monkeypatch.setenv("PARASCHUT_DB", "~/y.db")
    assert load().database == str(folder / "y.db")


# ------------------------------------------------------------------------------------ what is wrong


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('databse = "x"', r"unknown key 'databse'\. Did you mean database\?"),
        (
            "[poll]\nintervall = 3",
            r"unknown key 'intervall' in \[poll\]\. Did you mean interval\? Allowed: interval,",
        ),
        ("zzz = 1", r"unknown key 'zzz'\. Allowed: database, job_dir"),
        ('[local]\nslots = "four"', r"local\.slots: expected `int`, got `str`"),
        ("[local]\nslots = -1", r"local\.slots: expected `int` >= 0"),
        ("write_timeout = 0", r"write_timeout: expected `float` > 0"),
        ('journal = "truncate"', "journal: .*allowed: delete, wal, auto"),
        ('poll = "often"', "poll: expected `object`, got `str`"),
        ("LocalRun = 3", "LocalRun must be true or false, not 3"),
        ('QFile = "a"\ndatabase = "b"', "QFile and database are two names of one setting"),
        ('LocalRun = true\nexecutor = "slurm"', "LocalRun and executor are two names"),
        ("= 3", "is not valid TOML"),
        ('config_file = "x"', "unknown key 'config_file'"),
    ],
)
def test_a_fault_names_file_key_and_what_is_allowed(folder: Path, text: str, complaint: str) -> None:
    path = configure(folder, text)
    with pytest.raises(ConfigError, match=complaint) as raised:
        load()
    assert str(path) in str(raised.value)
    assert raised.value.exit_code == 2


def test_a_file_that_cannot_be_read_is_named(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"no configuration file .*/nowhere.toml"):
        load(config=str(folder / "nowhere.toml"))
    with pytest.raises(ConfigError, match=r"is a directory: name the paraschut\.toml in it"):
        load(config=str(folder))
    (folder / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="is not valid TOML"):
        read(str(folder / "binary.toml"))


# ------------------------------------------------------------------------------------ v0.6


def test_v06s_names_mean_the_same(folder: Path) -> None:
    configure(
        folder,
        """
        QFile = "queue.db"
        JobDir = "jobs"
        LocalRun = true
        DefQueue = "long"
        DefResource = {mem = "2gb"}
        ServerHost = "login"
        LogOut = "{JobDir}/{JobIndex}.o"
        LogErr = "{JobDir}/{JobIndex}.e"
        TempFiles = ["*.tmp"]
        WriteTries = 20
        JobTemplate = {priority = 5, lab = "x"}
        """,
    )
    settings = load()
    assert settings.database == str(folder / "queue.db")
    assert settings.job_dir == str(folder / "jobs")
    assert settings.executor == "local"
    assert (settings.queue, settings.resources, settings.submit_host) == ("long", {"mem": "2gb"}, "login")
    assert (settings.log_out, settings.log_err) == ("{JobDir}/{JobIndex}.o", "{JobDir}/{JobIndex}.e")
    assert (settings.temp_files, settings.write_timeout) == (["*.tmp"], 60.0)
    assert settings.job_template == {"priority": 5, "lab": "x"}
    configure(folder, "LocalRun = false\n")
    assert load().executor == "pbs"


def test_the_packages_v06_names_give_the_settings_in_force(folder: Path) -> None:
    configure(folder, 'database = "jobs.db"\nqueue = "long"\nexecutor = "local"\n')
    names = "QFile, JobDir, DefQueue, DefResource, ServerHost, LogOut, LogErr, TempFiles, LocalRun, ClusterID"
    out = run_script(f"import paraschut_core as psu\nfor n in '{names}'.split(', '): print(getattr(psu, n))")
    assert out.splitlines() == [
        str(folder / "jobs.db"),
        f"{folder}/",
        "long",
        str(TEMPLATE),
        "",
        Settings().log_out,
        Settings().log_err,
        str(Settings().temp_files),
        "True",
        "None",
    ]


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        psu.nothing


def test_every_documented_name_is_exported_and_can_be_had(folder: Path) -> None:
    configure(folder, "")
    out = run_script(
        "import paraschut_core as psu\nfor n in psu.__all__: getattr(psu, n)\n"
        "print(set(psu.__all__) <= set(dir(psu)))"
    )
    assert out == "True\n"


# ------------------------------------------------------------------------------------ documented


def test_every_setting_is_described_and_has_a_default_that_is_allowed() -> None:
    rows = describe()
    assert len(rows) > 25
    for section, key, default, description in rows:
        assert len(description) > 10, key
        owner: Any = getattr(Settings(), section) if section else Settings()
        assert getattr(owner, key) == default
    assert {"", "local", "poll", "submit", "dashboard"} == {section for section, *_ in rows}


def test_the_defaults_written_out_are_read_back_as_the_defaults(folder: Path) -> None:
    import json

    lines: dict[str, list[str]] = {}
    for section, key, default, _ in describe():
        if default is not None and default != {}:
            value = (
                json.dumps(default)
                if not isinstance(default, dict)
                else ("{" + ", ".join(f"{k} = {json.dumps(v)}" for k, v in default.items()) + "}")
            )
            lines.setdefault(section, []).append(f"{key} = {value}")
    text = "\n".join(lines.pop("")) + "".join(
        f"\n[{section}]\n" + "\n".join(rest) for section, rest in lines.items()
    )
    configure(folder, text)
    found = load()
    expected = config.msgspec.structs.replace(
        Settings(),
        database=str(folder / "jobs.db"),
        job_dir=str(folder),
        config_file=str(folder / "paraschut.toml"),
    )
    assert found == expected


def test_settings_cannot_be_changed_by_accident() -> None:
    with pytest.raises(AttributeError):
        Settings().executor = "slurm"  # type: ignore[misc]  # which is what is tested
    assert os.environ.get("PARASCHUT_EXECUTOR") is None
