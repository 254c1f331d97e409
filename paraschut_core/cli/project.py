"""`init` and `config`: a project's configuration, made and shown."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping

import click

from ..errors import UsageError
from ..paths import absolute, here
from . import output
from .context import CliContext, json_option, pass_project


@click.command()
@click.argument("directory", default=".", metavar="[DIR]")
@click.option(
    "--executor", default="local", metavar="NAME", help="local, slurm, sge, pbs, file or a plug-in."
)
@pass_project
def init(project: CliContext, directory: str, executor: str) -> int:
    """Create a project in DIR (default: here): paraschut.toml and the database.

    The file lists every setting with its default. Existing files are kept.

    \b
    Examples:
      paraschut init                           # here, on this machine
      paraschut init --executor slurm projects/human
    """
    from .. import config
    from ..executors import make
    from ..jobs.builder import write_whole
    from ..project import open_database

    folder = absolute(os.path.expanduser(directory))
    path = absolute(project.config) if project.config else os.path.join(folder, config.FILE_NAME)
    if os.path.lexists(folder) and not os.path.isdir(folder):
        raise UsageError(f"{folder} is not a directory; name another: paraschut init DIR")
    made = []
    if os.path.lexists(path):
        if executor != "local":
            raise UsageError(f"{path} exists: set executor = {executor!r} in it.")
    else:
        _check_executor(executor)
        given = {"executor": executor}
        if project.database:
            given["database"] = absolute(os.path.expanduser(project.database))
        write_whole(path, toml(given).encode(), mode=0o666)
        made.append(path)
    settings = config.load(config=path, database=project.database)
    make(settings)
    there = os.path.exists(settings.database) and os.path.getsize(settings.database) > 0
    os.makedirs(settings.job_dir, exist_ok=True)
    with open_database(settings, create=True) as database:
        database.rows("SELECT rev FROM revision")
    if not there:
        made.append(settings.database)
    output.line("made " + " and ".join(made) if made else f"{path} and {settings.database} already exist")
    output.line("Next: paraschut add --help, or look at an example with: paraschut demo")
    return 0


def _check_executor(name: str) -> None:
    from ..config import Settings
    from ..executors import make

    make(Settings(executor=name, job_dir=here()))


def toml(given: Mapping[str, object]) -> str:
    """A paraschut.toml: every setting with its default and what it means, commented out but for `given`."""
    from .. import config

    lines = [
        "# Paraschut's settings. Lines that begin with # show the defaults.",
        "# Paths are relative to this file; see them in force with: paraschut config",
    ]
    section = ""
    for group, key, default, description in config.describe():
        if group != section:
            section = group
            lines += ["", f"[{section}]"]
        lines += ["", *_comment(description)]
        if not group and key in given:
            lines.append(f"{key} = {_toml_value(given[key])}")
        else:
            shown = {} if key == "resources" and default is None else default
            lines.append(f"# {key} = {_toml_value(shown)}")
    return "\n".join(lines) + "\n"


def _comment(text: str) -> list[str]:
    import textwrap

    return textwrap.wrap(text, 78, initial_indent="# ", subsequent_indent="# ")


def _toml_value(value: object) -> str:
    """A setting as TOML; JSON's way to write text, numbers and lists is TOML's too."""
    if value is None:
        return '""'
    if isinstance(value, dict):
        return "{ " + "".join(f"{name} = {_toml_value(item)}, " for name, item in value.items())[:-2] + " }"
    return json.dumps(value)


@click.command("config")
@json_option
@pass_project
def show_config(project: CliContext, as_json: bool) -> int:
    """Show every setting: its value, where it is from, and what it means.

    \b
    Examples:
      paraschut config
      paraschut --db jobs.db config            # as it is for another database
      paraschut config --json | python3 -m json.tool
    """
    rows = settings_table(project)
    if as_json:
        output.dump([dict(zip(("setting", "value", "from", "meaning"), row, strict=True)) for row in rows])
        return 0
    shown = [(name, _toml_value(value), origin, meaning) for name, value, origin, meaning in rows]
    output.line(f"configuration: {project.settings.config_file or 'no file'}")
    output.table(("setting", "value", "from", "meaning"), shown)
    return 0


def settings_table(project: CliContext) -> list[tuple[str, object, str, str]]:
    """(name, value, where it is from, meaning) of every setting."""
    from .. import config

    settings = project.settings
    written = _written(settings.config_file)
    rows: list[tuple[str, object, str, str]] = []
    for section, key, _, description in config.describe():
        holder = getattr(settings, section) if section else settings
        name = f"{section}.{key}" if section else key
        origin = _override(project, name) or ("file" if name in written else "default")
        rows.append((name, getattr(holder, key), origin, description))
    return rows


def _override(project: CliContext, name: str) -> str:
    from .. import config

    variables = {
        "database": config.DB_VARIABLE,
        "job_dir": config.JOB_DIR_VARIABLE,
        "executor": config.EXECUTOR_VARIABLE,
    }
    if name == "database" and project.database:
        return "--db"
    variable = variables.get(name, "")
    return variable if os.environ.get(variable) else ""


def _written(path: str) -> set[str]:
    """The names of the settings that the file sets, v0.6's names under today's."""
    from .. import config

    if not path:
        return set()
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    with open(path, "rb") as file:
        data = tomllib.load(file)
    names = set()
    for key, value in data.items():
        if isinstance(value, dict) and key in ("local", "poll", "submit", "dashboard"):
            names |= {f"{key}.{inner}" for inner in value}
        else:
            names.add(config._V06_NAMES.get(key, key))
    return names


COMMANDS = {"init": init, "config": show_config}
