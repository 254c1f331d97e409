"""Settings: where they are found, what each means, and what is wrong with a bad one.

They come from, each overriding the one before: the built-in defaults; the configuration file
(`PARASCHUT_CONFIG`, else the nearest `paraschut.toml` from the working directory upwards, else
`paraschut/paraschut.toml` in the user's configuration directory); the variables `PARASCHUT_DB`,
`PARASCHUT_JOB_DIR` and `PARASCHUT_EXECUTOR`; the command line's global options.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct, field

from .errors import ConfigError, NoProjectError, UntrustedError
from .paths import absolute, here
from .security.ownership import open_data

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FILE_NAME = "paraschut.toml"

CONFIG_VARIABLE = "PARASCHUT_CONFIG"
DB_VARIABLE = "PARASCHUT_DB"
JOB_DIR_VARIABLE = "PARASCHUT_JOB_DIR"
EXECUTOR_VARIABLE = "PARASCHUT_EXECUTOR"

Seconds = Annotated[float, Meta(ge=0)]


class LocalSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The local executor: this machine as a small cluster."""

    slots: Annotated[int, Meta(ge=0, description="Jobs that run at once; 0: as many as there are CPUs.")] = 0
    idle_timeout: Annotated[
        float, Meta(ge=0, description="Seconds without a job after which the runner ends.")
    ] = 10.0
    kill_grace: Annotated[
        float, Meta(ge=0, description="Seconds between TERM and KILL when a job is deleted.")
    ] = 5.0


class PollSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How often a scheduler is asked, and when a job counts as missing."""

    interval: Annotated[
        float, Meta(ge=0, description="Seconds between two polls, for all processes of a user together.")
    ] = 15.0
    timeout: Annotated[
        float, Meta(gt=0, description="Seconds after which a scheduler command is given up.")
    ] = 30.0
    grace: Annotated[
        float,
        Meta(ge=0, description="Seconds since it was submitted or last seen before a job can be missing."),
    ] = 30.0
    backoff: Annotated[
        float, Meta(ge=0, description="Longest wait, in seconds, between polls of a scheduler that fails.")
    ] = 300.0


class SubmitSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How jobs are handed to a scheduler."""

    max_jobs: Annotated[
        int, Meta(ge=0, description="Most jobs in the queue, where JobDir/maxjobs does not say another.")
    ] = 1000
    array_size: Annotated[
        int, Meta(ge=1, description="Most tasks in one array, where the cluster allows so many.")
    ] = 1000
    arrays: Annotated[
        bool, Meta(description="Whether jobs of equal queue and resources go out as one array.")
    ] = True
    rate: Annotated[
        float,
        Meta(ge=0, description="Most submit commands a second, of all processes together; 0: no limit."),
    ] = 0.0
    timeout: Annotated[float, Meta(gt=0, description="Seconds after which a submit command is given up.")] = (
        120.0
    )
    directives: Annotated[
        list[str],
        Meta(description="Options added as they are to every submission, e.g. ['--account=lab']."),
    ] = field(default_factory=list)
    modules: Annotated[list[str], Meta(description="Shell lines that run first in every job's script.")] = (
        field(default_factory=list)
    )


class DashboardSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The dashboard."""

    read_only: Annotated[bool, Meta(description="Show only: no key changes anything.")] = False
    theme: Annotated[str, Meta(description="Name of the colour theme; '' is the default.")] = ""
    lean: Annotated[
        bool | Literal["auto"],
        Meta(description="Few bytes: 16 colours, no animation. 'auto': if the line is slow."),
    ] = "auto"
    letters: Annotated[
        bool | Literal["auto"],
        Meta(
            description="Letters and ASCII in place of signs such as a tick. 'auto': where the locale is not "
            "UTF-8, and on the Linux console."
        ),
    ] = "auto"
    mouse: Annotated[bool, Meta(description="Whether the mouse works in the dashboard.")] = True
    notices: Annotated[
        bool,
        Meta(description="Tell when a batch is complete, jobs are missing, the scheduler is lost or back."),
    ] = True
    bell: Annotated[bool, Meta(description="Ring the terminal's bell with each notice.")] = False
    desktop: Annotated[
        Literal["off", "auto", "osc9", "osc777"],
        Meta(
            description="Have the terminal show each notice on the desktop: 'osc9' (iTerm2, kitty, WezTerm, "
            "Windows Terminal), 'osc777' (foot, Ghostty, urxvt, VTE), 'auto'. tmux needs allow-passthrough."
        ),
    ] = "off"


class Settings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything that can be set. v0.6's name of a setting, where there was one, works too."""

    database: Annotated[
        str, Meta(description="The database file; relative to the configuration file. (QFile)")
    ] = "jobs.db"
    job_dir: Annotated[
        str, Meta(description="Where the batches' folders are; default: beside the database. (JobDir)")
    ] = ""
    journal: Annotated[
        Literal["delete", "wal", "auto"],
        Meta(description="SQLite's journal. 'auto': WAL if executor and file system are local."),
    ] = "delete"
    write_timeout: Annotated[
        float, Meta(gt=0, description="Seconds to wait for other writers of the database. (WriteTries)")
    ] = 60.0
    executor: Annotated[
        str,
        Meta(
            description="Who runs the jobs: local, slurm, sge, pbs, file, or a plug-in's name. "
            "(LocalRun = true: local)"
        ),
    ] = "local"
    script_file: Annotated[
        str, Meta(description="The script that the 'file' executor writes; relative to job_dir.")
    ] = "jobs.sh"
    submit_host: Annotated[
        str,
        Meta(
            description="Submit only on hosts whose name holds this; '': wherever commands work. (ServerHost)"
        ),
    ] = ""
    queue: Annotated[
        str | None, Meta(description="Queue or partition of jobs that name none. (DefQueue)")
    ] = None
    resources: Annotated[
        dict[str, Any] | None, Meta(description="Resources of jobs that name none. (DefResource)")
    ] = None
    job_template: Annotated[
        dict[str, Any], Meta(description="Fields that get_job_template adds or replaces. (JobTemplate)")
    ] = field(default_factory=dict)
    log_out: Annotated[
        str, Meta(description="Path of a job's stdout; {fields} as in templates. (LogOut)")
    ] = "{JobDir}/{BatchID}/logs/{name}_{JobIndex:04d}_{subtime}.out"
    log_err: Annotated[str, Meta(description="Path of a job's stderr. (LogErr)")] = (
        "{JobDir}/{BatchID}/logs/{name}_{JobIndex:04d}_{subtime}.err"
    )
    temp_files: Annotated[
        list[str], Meta(description="Patterns that clean_temp_files removes in a batch's folder. (TempFiles)")
    ] = field(default_factory=lambda: ["*.genes.*", "*.len*.npz"])
    local: Annotated[LocalSettings, Meta(description="The local executor.")] = LocalSettings()
    poll: Annotated[PollSettings, Meta(description="Polling the scheduler.")] = PollSettings()
    submit: Annotated[SubmitSettings, Meta(description="Submitting.")] = SubmitSettings()
    dashboard: Annotated[DashboardSettings, Meta(description="The dashboard.")] = DashboardSettings()

    config_file: Annotated[
        str, Meta(description="(Set by the program) the file that these were read from; '' if none.")
    ] = ""


_WORDS = {"journal": ("delete", "wal", "auto"), "dashboard.desktop": ("off", "auto", "osc9", "osc777")}
"""Settings that are one of a few words."""

_V06_NAMES = {
    "QFile": "database",
    "JobDir": "job_dir",
    "DefQueue": "queue",
    "DefResource": "resources",
    "ServerHost": "submit_host",
    "LogOut": "log_out",
    "LogErr": "log_err",
    "TempFiles": "temp_files",
    "JobTemplate": "job_template",
    "WriteTries": "write_timeout",
    "LocalRun": "executor",
}


def load(config: str | None = None, database: str | None = None, cwd: str | None = None) -> Settings:
    """The settings in force.

    Args:
        config: a configuration file, over every other way to name one.
        database: a database file, over every other way to name one.
        cwd: where the search for paraschut.toml starts (default: the working directory).

    Raises:
        ConfigError: the file cannot be read, or a key or value in it cannot be used.
    """
    try:
        cwd = absolute(cwd or here())
    except FileNotFoundError:
        raise ConfigError("The working directory is not there any more: cd to one that is.") from None
    env = os.environ
    chosen = config or env.get(CONFIG_VARIABLE)
    path = chosen or _nearest(cwd)
    named = database or env.get(DB_VARIABLE)
    if path:
        path = absolute(os.path.expanduser(path))
        settings = read(path, found=not chosen)
    elif named:
        settings = Settings()
    else:
        raise NoProjectError(
            f"No {FILE_NAME} in {cwd} or above it, and no database is named. Make both with "
            "`paraschut init`, name one with --db FILE or PARASCHUT_DB, or look around with `paraschut demo`."
        )
    changes: dict[str, Any] = {}
    if named:
        changes["database"] = absolute(os.path.expanduser(named))
        if not path:
            changes["job_dir"] = os.path.dirname(changes["database"])
    if database is None or not named:
        job_dir = env.get(JOB_DIR_VARIABLE)
    else:
        # A database named on the command line is another project than the one in the environment.
        job_dir = env.get(JOB_DIR_VARIABLE) if env.get(DB_VARIABLE) in (None, named) else None
    if job_dir:
        changes["job_dir"] = absolute(os.path.expanduser(job_dir))
    if env.get(EXECUTOR_VARIABLE):
        changes["executor"] = env[EXECUTOR_VARIABLE]
    settings = msgspec.structs.replace(settings, **changes)
    if not settings.job_dir:
        settings = msgspec.structs.replace(settings, job_dir=os.path.dirname(settings.database))
    return settings


def read(path: str, *, found: bool = False) -> Settings:
    """The settings in one file, its relative paths made absolute.

    Args:
        found: by searching, not named: then another user may have put it in our way, and what it says is run
            as our jobs.

    Raises:
        ConfigError: it cannot be read or used.
    """
    try:
        with open(open_data(path) if found else path, "rb") as file:
            data = tomllib.loads(file.read().decode("utf-8-sig"))
    except UntrustedError as error:
        raise ConfigError(f"{error} If you trust it, name it: paraschut --config {path}") from error
    except FileNotFoundError:
        raise ConfigError(f"There is no configuration file {path}.") from None
    except IsADirectoryError:
        raise ConfigError(f"{path} is a directory: name the {FILE_NAME} in it.") from None
    except OSError as error:
        raise ConfigError(f"Cannot read the configuration {path}: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from error
    data = _modern(path, data)
    _check_keys(path, data, Settings, "")
    try:
        settings = msgspec.convert(data, Settings)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{path}: {_readable(str(error))}") from error
    folder = os.path.dirname(path)

    def beside(value: str) -> str:
        return os.path.normpath(os.path.join(folder, os.path.expanduser(value)))

    return msgspec.structs.replace(
        settings,
        log_out=_in_job_dir(settings.log_out, settings.job_dir),
        log_err=_in_job_dir(settings.log_err, settings.job_dir),
        database=beside(settings.database),
        job_dir=beside(settings.job_dir) if settings.job_dir else os.path.dirname(beside(settings.database)),
        config_file=path,
    )


def _in_job_dir(pattern: str, job_dir: str) -> str:
    """A log's pattern; one that begins with the job directory as written, as v0.6's did, lies in it."""
    folder = os.path.normpath(job_dir) if job_dir else "."
    relative = pattern.removeprefix("./")
    if folder == "." or os.path.isabs(folder) or not relative.startswith(f"{folder}/"):
        return pattern
    return "{JobDir}" + relative[len(folder) :]


def describe() -> list[tuple[str, str, object, str]]:
    """Every setting as (section, key, default, description), in the order to show them."""
    rows: list[tuple[str, str, object, str]] = []

    def walk(section: str, struct: type[Struct]) -> None:
        hints = _hints(struct)
        for info in msgspec.structs.fields(struct):
            if info.name == "config_file":
                continue
            kind = hints[info.name]
            description = next((m.description for m in kind.__metadata__ if m.description), "")
            inner = kind.__origin__
            if isinstance(inner, type) and issubclass(inner, Struct):
                walk(info.name, inner)
                continue
            default = info.default_factory() if callable(info.default_factory) else info.default
            rows.append((section, info.name, default, description))

    walk("", Settings)
    return rows


def _nearest(folder: str) -> str | None:
    while True:
        candidate = os.path.join(folder, FILE_NAME)
        if os.path.isfile(candidate):
            return candidate
        parent = os.path.dirname(folder)
        if parent == folder:
            break
        folder = parent
    import platformdirs

    try:
        candidate = os.path.join(platformdirs.user_config_dir("paraschut"), FILE_NAME)
    except RuntimeError:
        return None  # a user without a home has no configuration in it
    return candidate if os.path.isfile(candidate) else None


def _modern(path: str, data: dict[str, Any]) -> dict[str, Any]:
    """v0.6's names of settings, put under today's."""
    modern: dict[str, Any] = {}
    for key, value in data.items():
        new = _V06_NAMES.get(key, key)
        if new in modern or (new != key and new in data):
            raise ConfigError(f"{path}: {key} and {new} are two names of one setting; keep {new}.")
        if key == "LocalRun":
            if not isinstance(value, bool):
                raise ConfigError(f"{path}: LocalRun must be true or false, not {value!r}.")
            value = "local" if value else "pbs"  # v0.6's two defaults
        elif key == "WriteTries" and isinstance(value, int):
            value = float(max(value, 1) * 3)  # v0.6 waited about 3 s a try
        modern[new] = value
    return modern


def _hints(struct: type[Struct]) -> dict[str, Any]:
    from typing import get_type_hints

    return get_type_hints(struct, include_extras=True)


def _check_keys(path: str, data: dict[str, Any], struct: type[Struct], section: str) -> None:
    """Unknown keys, named with what is allowed (msgspec names only the key)."""
    allowed = [info.name for info in msgspec.structs.fields(struct) if info.name != "config_file"]
    hints = _hints(struct)
    for key, value in data.items():
        if key not in allowed:
            import difflib

            near = difflib.get_close_matches(key, allowed, n=1)
            guess = f" Did you mean {near[0]}?" if near else ""
            where = f" in [{section}]" if section else ""
            raise ConfigError(f"{path}: unknown key {key!r}{where}.{guess} Allowed: {', '.join(allowed)}.")
        inner = getattr(hints[key], "__origin__", None)
        if isinstance(inner, type) and issubclass(inner, Struct) and isinstance(value, dict):
            _check_keys(path, value, inner, key)


def _readable(message: str) -> str:
    """msgspec's message with the key first: "local.slots: expected `int`, got `str`"."""
    what, _, where = message.partition(" - at `$.")
    key = where.rstrip("`")
    if key in _WORDS and "enum" in what:
        what = f"{what}; allowed: {', '.join(_WORDS[key])}"
    if not key:
        return what
    return f"{key}: {what[0].lower()}{what[1:]}"


if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """v0.6's module of this name held the settings themselves."""
        if name.startswith("_"):
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return importlib.import_module(".compat", __package__).former("config", name)
