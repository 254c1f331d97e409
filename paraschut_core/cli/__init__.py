"""The `paraschut` command: hands over to `run` or to the others, and turns errors into exit codes.

`paraschut run` starts with every job that a plain command makes: nothing is imported here that it does
not need.
"""

from __future__ import annotations

import os
import sys

from ..errors import ParaschutError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

INTERRUPTED = 130
BROKEN_PIPE = 141
"""What shells report of a program that a signal ended: 128 + SIGINT, 128 + SIGPIPE."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line (default: this process's own arguments).

    Returns:
        the exit code: 0; 1 for a failure; 2 for misuse; for `run` what the command itself returned.
    """
    _open_streams()
    arguments = list(sys.argv[1:] if argv is None else argv)
    options, rest = global_options(arguments)
    if rest[:1] == ["run"] and not _asks_for_help(rest[1:]):
        from .run import run

        return guarded(
            lambda: run(rest[1:], options.get("--config"), options.get("--db")), "--debug" in options
        )
    from .group import run_command

    return run_command(arguments)


def _open_streams() -> None:
    """Stands /dev/null in for a standard stream that is closed, as cron and daemons have it.

    What is opened next would get its number otherwise, and what is printed would go in there.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            try:
                os.fstat(number)
            except OSError:
                os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest free number: this one
            stream = open(number, mode, closefd=False, encoding="utf-8", errors="replace")  # noqa: SIM115 - stays open
            setattr(sys, name, stream)


def global_options(arguments: list[str]) -> tuple[dict[str, str], list[str]]:
    """The global options that can stand before `run`, and what follows them; others are left to click."""
    found: dict[str, str] = {}
    at = 0
    while at < len(arguments):
        name, equals, value = arguments[at].partition("=")
        if name == "--debug":
            found[name] = ""
        elif name in ("--config", "--db") and equals:
            found[name] = value
        elif name in ("--config", "--db") and at + 1 < len(arguments):
            at += 1
            found[name] = arguments[at]
        else:
            break
        at += 1
    return found, arguments[at:]


def _asks_for_help(arguments: list[str]) -> bool:
    own = arguments[: arguments.index("--")] if "--" in arguments else arguments
    return "--help" in own or "-h" in own


def guarded(call: Callable[[], int], debug: bool) -> int:
    """Call what a command does; whatever goes wrong becomes a line on stderr and an exit code."""
    try:
        status = call()
        sys.stdout.flush()
    except ParaschutError as error:
        complain(error)
        return error.exit_code
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        _forget_output()
        return BROKEN_PIPE
    except OSError as error:
        if debug:
            raise
        complain(_os_error(error))
        return 1
    except Exception as error:
        if debug:
            raise
        complain(f"{type(error).__name__}: {error}. This is a fault of Paraschut; {_kept_traceback()}")
        return 1
    return status


def complain(message: object) -> None:
    """`paraschut: message` on stderr."""
    from ..sanitize import complain as tell  # its patterns cost a millisecond that only trouble is worth

    tell(message)


def _os_error(error: OSError) -> str:
    what = error.strerror or str(error)
    return f"{error.filename}: {what}" if error.filename else what


def _forget_output() -> None:
    """Nobody reads stdout any more: what is still buffered must not fail once more at the exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _kept_traceback() -> str:
    """Write the traceback of the exception under way to a file; report where."""
    import tempfile
    import traceback

    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="paraschut-", suffix=".traceback", delete=False, encoding="utf-8"
        ) as file:
            traceback.print_exc(file=file)
    except OSError:
        return "repeat it with `paraschut --debug ...` to see where."
    return f"where it happened is in {file.name}"
