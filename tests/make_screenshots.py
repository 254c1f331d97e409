"""Makes the pictures in screenshots/ from the real program on the real demo.

`python -m tests.make_screenshots [NAME...]` makes all of them, or those named.

Each is taken as SVG and PNG, at 80x24 and 160x50, after the keys that lead to it. Most show the demo, whose
local executor works meanwhile, at the moment when its failing job has been found missing. `large` shows a
project of 7,200 jobs: some run, some wait, some failed.
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

import paraschut_core as psu
from paraschut_core import config
from paraschut_core.config import Settings
from paraschut_core.demo.headless import begin
from paraschut_core.demo.pipeline import make_project
from paraschut_core.project import Project
from paraschut_core.reporting.queue_report import read_queue
from paraschut_tui.app import ParaschutApp
from tests.helpers import as_added

FOLDER = Path(__file__).resolve().parent.parent / "screenshots"
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


LARGE = Shot("large", ("M",), "CUDA error")

TRAIN = 'for n in 1 2 3 4; do echo "epoch $n of 40: loss 0.$((71 - 9 * n))"; done; sleep 600'
FAIL = """cat >&2 <<END
Traceback (most recent call last):
  File "train.py", line 88, in main
    loss = step(model, batch)
  File "train.py", line 41, in step
    output = model(batch.to(device))
RuntimeError: CUDA error: out of memory
END
exit 1"""


def run_large(folder: str) -> Settings:
    """Makes a project of thousands of jobs; waits until some run and others have failed."""
    os.mkdir(folder)
    os.chdir(folder)
    Path("paraschut.toml").write_text(
        'database = "jobs.db"\nexecutor = "local"\n[local]\nslots = 48\n[poll]\ngrace = 0.0\n'
    )

    def add(name: str, scripts: list[str], done: int = 0, **fields: object) -> int:
        template = psu.get_job_template(SetID=True)
        jobs = [
            {**template, "name": name.split("/"), "script": script, **fields, "state": "complete"}
            if index < done
            else {**template, "name": name.split("/"), "script": script, **fields}
            for index, script in enumerate(scripts)
        ]
        psu.add_batch_to_queue(template["BatchID"], jobs, set_index=True)
        return int(template["BatchID"])

    add("human/align", ["true"] * 3000, done=3000)
    failing = {1203, 1207, 1213, 1221, 1222, 1230}
    scripts = [as_added(FAIL if index in failing else TRAIN) for index in range(1500)]
    train = add("human/train", scripts, done=1200, priority=2)
    add("human/evaluate", ["true"] * 1500, priority=1)
    add("mouse/align", ["true"] * 900, done=412)
    add("mouse/train", ["true"] * 300)
    psu.submit_one_job(train, range(1200, 1340))
    settings = config.load()
    deadline = time.monotonic() + PATIENCE
    with Project(settings) as ws:
        while len(read_queue(ws).missing().get(train, ())) < len(failing):
            if time.monotonic() > deadline:
                raise SystemExit("the failing jobs were never found missing")
            time.sleep(0.5)
    return settings


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
        await until(lambda: shows(" missing"), "what is missing")
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
        shots = [shot for shot in SHOTS if not wanted or shot.name in wanted]
        if shots:
            settings = run_demo(os.path.join(folder, "demo"))
        for shot in shots:
            make(settings, shot, folder)
        if not wanted or LARGE.name in wanted:
            settings = run_large(os.path.join(folder, "project"))
            try:
                make(settings, LARGE, folder)
            finally:
                psu.qdel_batch(psu.get_queue(Verbose=False))
                os.chdir("/")


def make(settings: Settings, shot: Shot, folder: str) -> None:
    """Writes one picture, in both sizes and forms."""
    for size in SIZES:
        svg = without_paths(asyncio.run(take(settings, shot, size)), folder)
        path = FOLDER / f"{shot.name}-{size[0]}x{size[1]}.svg"
        path.write_text(svg, encoding="utf-8")
        drawn = svg.replace("Fira Code", "DejaVu Sans Mono")  # the one that is installed
        cairosvg.svg2png(bytestring=drawn.encode(), write_to=str(path.with_suffix(".png")))
        print(path.name)


if __name__ == "__main__":
    main()
