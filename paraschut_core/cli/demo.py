"""`demo`: the example pipeline, watched in the dashboard or run to its end; the example notebook."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import click

from ..errors import UsageError
from . import complain, output
from .context import CliContext, pass_project

if TYPE_CHECKING:
    from ..project import Project


@click.command()
@click.argument("directory", required=False, metavar="[DIR]")
@click.option("--jobs", type=click.IntRange(3, 500), default=24, metavar="N", help="Map jobs (default 24).")
@click.option("--headless", is_flag=True, help="Run it to its end, without the dashboard.")
@click.option("--notebook", metavar="FILE", help="Only write an example notebook to FILE.")
@pass_project
def demo(project: CliContext, directory: str | None, jobs: int, headless: bool, notebook: str | None) -> int:
    """Run a real example pipeline in DIR (default: ./paraschut-demo).

    Map jobs count the identifiers in Python's own library, a reduce job adds
    them up once all are complete; two batches of plain commands run beside it.
    One map job fails the first time: look at its stderr, reset and resubmit it
    in the dashboard (keys r and s). With --headless that is done for you, and
    the exit status is 0 only if all is complete and the result is right.

    Running it again in DIR goes on where it was. --notebook writes a Jupyter
    notebook instead: it builds, submits, watches and collects a batch.

    \b
    Examples:
      paraschut demo                           # watch it in the dashboard
      paraschut demo --headless --jobs 12 example
      paraschut demo --notebook map_reduce.ipynb
    """
    if project.config or project.database:
        raise UsageError("demo makes a project of its own: leave out --config and --db.")
    if notebook is not None:
        if directory is not None or headless:
            raise UsageError("--notebook only writes FILE: leave out DIR and --headless.")
        return _write_notebook(notebook)
    from ..demo.headless import begin, is_finished
    from ..demo.pipeline import make_project
    from ..project import Project

    settings = make_project(directory or "paraschut-demo", jobs)
    project.use(settings)
    with Project(settings) as ws:
        finished = is_finished(ws)
        if headless:
            return _headless(ws, finished)
        if not finished:
            begin(ws)
    from .group import open_dashboard

    return open_dashboard(project)


def _write_notebook(path: str) -> int:
    import importlib.resources

    text = (importlib.resources.files("paraschut_core.demo") / "map_reduce.ipynb").read_bytes()
    try:
        with open(path, "xb") as file:
            file.write(text)
    except FileExistsError:
        raise UsageError(f"{path} exists and is not replaced: name another file.") from None
    output.line(f"made {path}; open it with: jupyter lab {shlex.quote(path)}")
    return 0


def _headless(ws: Project, finished: bool) -> int:
    from ..demo.headless import begin, recount, run_to_end
    from ..demo.pipeline import read_result
    from ..reporting.queue_report import lines_of, read_queue

    if finished:
        output.line(f"the example in {ws.job_dir} is finished")
    else:
        output.line(f"running the example in {ws.job_dir}")
        begin(ws)
        with output.ProgressLine("jobs") as progress:
            run_to_end(ws, output.line, progress)
    for text in lines_of(read_queue(ws)):
        output.line(text)
    result = read_result(ws.settings)
    with output.ProgressLine("checking") as progress:
        expected = recount(ws, progress)
    _show_result(result)
    if result != expected:
        complain(
            f"the result is wrong: counted at once, the files have {expected['identifiers']:,} identifiers"
        )
        return 1
    output.line("the result is right: it equals a count of all files at once")
    return 0


def _show_result(result: dict[str, object]) -> None:
    top = result.get("top")
    words = ", ".join(f"{name} {count:,}" for name, count in top[:10]) if isinstance(top, list) else ""
    output.line(f"\nidentifiers: {result.get('identifiers'):,}, distinct: {result.get('distinct'):,}")
    output.line(f"most frequent: {words}")


COMMANDS = {"demo": demo}
