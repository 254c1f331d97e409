"""Makes the pictures in screenshots/ from the real program on the real demo.

`python -m tests.make_screenshots [NAME...]` makes all of them, or those named.

Each is taken as SVG and PNG, at 80x24 and 160x50, after the keys that lead to it. The demo's local executor
works meanwhile; the pictures are of the moment when its failing job has been found missing.
"""

from __future__ import annotations

import asyncio
import html
import os
import re
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import cairosvg

from paraschut_core.config import Settings
from paraschut_core.demo.headless import begin
from paraschut_core.demo.pipeline import make_project
from paraschut_core.project import Project
from paraschut_core.reporting.queue_report import read_queue
from paraschut_tui.app import ParaschutApp

FOLDER = Path(__file__).parent.parent / "screenshots"
SIZES = ((80, 24), (160, 50))
PATIENCE = 90.0


class Shot(NamedTuple):
    """A picture: its name, the keys before it, and what must be on the screen."""

    name: str
    keys: tuple[str, ...]
    shows: str


SHOTS = (
    Shot("dashboard", ("M",), "exit status 3"),
    Shot("rows", ("M", "c"), "exit status 3"),
    Shot("details", ("M", "i"), "exit status 3"),
    Shot("resubmit", ("M", "s"), "Resubmit job"),
    Shot("filter", ("slash", *"state", "colon", *"missing", "enter"), "state:missing"),
    Shot("log", ("M", "enter", "plus"), "Traceback"),
    Shot("overview", ("V",), "why attempts failed"),
    Shot("help", ("question_mark",), "resubmit"),
)


def run_demo(folder: str) -> Settings:
    """Starts the demo and waits until its failing job is missing and much of the rest is done."""
    settings = make_project(folder, 60)
    deadline = time.monotonic() + PATIENCE
    with Project(settings) as ws:
        begin(ws)
        while True:
            queue = read_queue(ws)
            if queue.missing() and queue.complete >= 40:
                return settings
            if time.monotonic() > deadline:
                raise SystemExit("the demo's failing job was never found missing")
            time.sleep(0.3)


async def take(settings: Settings, shot: Shot, size: tuple[int, int]) -> str:
    """The SVG of one picture."""
    app = ParaschutApp(settings)

    def shows(text: str) -> bool:
        return text in words_of(app.export_screenshot())

    async with app.run_test(size=size) as pilot:
        await until(lambda: shows("1 missing"), "the missing job")
        for key in shot.keys:
            await pilot.press(key)
        await until(lambda: shows(shot.shows), shot.shows)
        await asyncio.sleep(1.0)  # the log of the job under the cursor is read in a thread
        return app.export_screenshot(title="paraschut")


async def until(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not holds():
        if time.monotonic() > deadline:
            raise SystemExit(f"the screen never showed {what}")
        await asyncio.sleep(0.2)


def words_of(svg: str) -> str:
    """The text in a picture."""
    return html.unescape(re.sub(r"<[^>]+>", "", svg)).replace("\xa0", " ")


def without_paths(svg: str, folder: str) -> str:
    """The picture without this machine's own directories."""
    svg = re.sub(r"[^\s<>&;]*/paraschut-\w{1,8}", "~", svg.replace(folder, "~"))
    for path, shown in ((sys.executable, "python"), (sysconfig.get_path("stdlib"), "/usr/lib/python3")):
        svg = svg.replace(path, shown)
    return svg


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for name in [name for name in os.environ if name.startswith("PARASCHUT")]:
        del os.environ[name]
    os.environ["USER"] = "alice"
    wanted = sys.argv[1:]
    with tempfile.TemporaryDirectory(prefix="paraschut-") as folder:
        settings = run_demo(os.path.join(folder, "demo"))
        for shot in SHOTS if not wanted else [shot for shot in SHOTS if shot.name in wanted]:
            for size in SIZES:
                svg = without_paths(asyncio.run(take(settings, shot, size)), folder)
                path = FOLDER / f"{shot.name}-{size[0]}x{size[1]}.svg"
                path.write_text(svg, encoding="utf-8")
                drawn = svg.replace("Fira Code", "DejaVu Sans Mono")  # the one that is installed
                cairosvg.svg2png(bytestring=drawn.encode(), write_to=str(path.with_suffix(".png")))
                print(path.name)


if __name__ == "__main__":
    main()
