"""`python -m tests.benchmarks [NAME...]`: measures Paraschut beside what people would use instead.

Each benchmark prints a table: medians, the middle half of the measurements in brackets, and the ratio to
its rival, which is run in turns with it. Each runs in a process of its own; one that fails says so, and
the others go on.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from typing import Any

from paraschut_core import __version__

from .table import Table, markdown

NAMES = ("database", "refresh", "overhead", "local", "finishers", "log", "dashboard", "submit")

LIMIT = 300.0
"""Seconds that one benchmark may take; then it has to show what it has."""

GRACE = 30.0


class TookTooLongError(Exception):
    """This benchmark was told to come to an end."""


def main(argv: list[str] | None = None) -> int:
    """Returns 0, 1 if a benchmark failed, 2 for misuse. A missed goal is no failure."""
    options = _options(argv)
    if options.markdown:
        print(options.markdown)
        return 0
    names = options.names or list(NAMES)
    if len(names) == 1:
        results = [_measured(names[0], options.quick)]
    else:
        results = [_in_a_process(name, options.quick) for name in names]
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(_report(results, options.quick), file, indent=1)
            file.write("\n")
    return 1 if any(result["error"] for result in results) else 0


def _options(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks",
        description=str(__doc__),
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"which ones: {', '.join(NAMES)} (default: all)"
    )
    parser.add_argument(
        "--quick", action="store_true", help="small sizes: whether it works, not how fast it is"
    )
    parser.add_argument("--json", metavar="FILE", help="write the results there as well")
    parser.add_argument(
        "--markdown",
        metavar="FILE",
        type=_table_of,
        help="print the README's table of such a file; measure nothing",
    )
    options = parser.parse_args(argv)
    unknown = set(options.names).difference(NAMES)
    if unknown:
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    return options


def _table_of(path: str) -> str:
    """The README's table of a file that --json wrote."""
    try:
        with open(path, encoding="utf-8") as file:
            return markdown(json.load(file))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise argparse.ArgumentTypeError(f"{path} holds no results that --json wrote: {error}") from error


def _measured(name: str, quick: bool) -> dict[str, Any]:
    """Runs one benchmark in this process and prints its table."""
    module = importlib.import_module(f".{name}", __package__)
    table = Table(name, module.TITLE, tell=lambda what: print(f"{name}: {what}", file=sys.stderr, flush=True))
    began = time.monotonic()
    signal.signal(signal.SIGTERM, _give_up)
    try:
        module.run(table, quick=quick)
    except Exception as error:  # noqa: BLE001 - whatever goes wrong with one is no reason to lose the others
        traceback.print_exc()
        table.error = f"{type(error).__name__}: {error}"
    table.seconds = time.monotonic() - began
    table.show()
    return table.as_dict()


def _give_up(*_: object) -> None:
    signal.signal(signal.SIGTERM, lambda *_: None)  # once is enough
    raise TookTooLongError(f"not done after {LIMIT:g} s: is the machine busy?")


def _in_a_process(name: str, quick: bool) -> dict[str, Any]:
    """Runs one benchmark in a process of its own, which cannot take the others down with it."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "result.json")
        argv = [
            sys.executable,
            "-m",
            "tests.benchmarks",
            name,
            "--json",
            path,
            *(["--quick"] if quick else []),
        ]
        process = subprocess.Popen(argv, start_new_session=True)
        try:
            process.wait(LIMIT)
        except subprocess.TimeoutExpired:
            process.terminate()
            try:
                process.wait(GRACE)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        except KeyboardInterrupt:
            process.terminate()
            raise
        try:
            with open(path, encoding="utf-8") as file:
                return dict(json.load(file)["benchmarks"][0])
        except (OSError, ValueError, LookupError):
            table = Table(name, name)
            table.error = f"it ended without results, with status {process.returncode}"
            table.show()
            return table.as_dict()


def _report(results: list[dict[str, Any]], quick: bool) -> dict[str, Any]:
    return {
        "version": __version__,
        "at": time.strftime("%Y-%m-%d %H:%M:%S"),
        "quick": quick,
        "machine": {
            "cores": len(os.sched_getaffinity(0)),
            "system": platform.platform(),
            "python": platform.python_version(),
        },
        "benchmarks": results,
    }


if __name__ == "__main__":
    sys.exit(main())
