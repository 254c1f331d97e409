"""The main screens as pictures, each at 80x24 and 160x50, over a made-up project in which time stands still.

After a change that is meant, look at the report that a failing run names, then: pytest --snapshot-update.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from textual.keys import _character_to_key
from textual.pilot import Pilot

from paraschut_core.config import Settings
from paraschut_core.model import Action, Spawn
from paraschut_tui.app import ParaschutApp
from tests.tui.textual_internals import screen_text

from .fake import NOW, FakeBatch, FakeGateway
from .project import PATIENCE, main_screen, until

SIZES = [(80, 24), (160, 50)]
MAP, REDUCE, MOUSE = 20261122101500, 20261121090000, 20261120080000

Compare = Callable[..., bool]


@pytest.fixture(autouse=True)
def same_everywhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """One time zone and one language, whatever the machine's are."""
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.delenv("NO_COLOR", raising=False)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def genome() -> list[FakeBatch]:
    letters = (
        "c" * 24
        + "!"
        + "c" * 120
        + "!"
        + "c" * 500
        + "!"
        + "c" * 208
        + "R" * 12
        + "r" * 2
        + "q" * 30
        + "h" * 8
    )
    return [
        FakeBatch(MAP, "human/genome_map", letters + "i" * (1200 - len(letters)), priority=2),
        FakeBatch(REDUCE, "human/genome_reduce", "i" * 40, held_back="waits for priority 2"),
        FakeBatch(MOUSE, "mouse/align", "c" * 1100 + "C" * 60),
    ]


def many() -> list[FakeBatch]:
    kinds = [
        "c" * 90 + "!" * 3,
        "c" * 40 + "R" * 9 + "q" * 11,
        "i" * 70,
        "C" * 30,
        "c" * 5 + "S" * 3 + "x" * 4,
    ]
    return [
        FakeBatch(
            20261101000000 + n,
            f"project_{n % 4}/step_{n:02}",
            kinds[n % 5] * (n + 1),
            custom={"x": "checked"},
        )
        for n in range(40)
    ]


def no_jobs() -> list[FakeBatch]:
    return []


def nothing(gateway: FakeGateway) -> None:
    """The scheduler and the database answer."""


def disconnected(gateway: FakeGateway) -> None:
    gateway.scheduler = gateway.scheduler._replace(
        polled_at=NOW - 300, failing_since=NOW - 240, error="slurm_load_jobs error: Connection refused"
    )


def no_database(gateway: FakeGateway) -> None:
    gateway.database = gateway.database._replace(error="locked by another process", read_at=NOW - 240)


def multiplied(gateway: FakeGateway) -> None:
    gateway.spawns = [
        Spawn(n, f"55{n}", "run" if n else "complete", f"spawn{n}.out", f"spawn{n}.err") for n in range(3)
    ]


def history(gateway: FakeGateway) -> None:
    gateway.acts = [
        Action(3, NOW - 60, "eve@login1:311", "resubmit", 3, f"resubmit {MAP} 24,145,646", False, False),
        Action(2, NOW - 4000, "eve@login1:311", "reset", 1200, f"reset {MOUSE} --force", True, True),
        Action(1, NOW - 90000, "adam@login2:9", "set", 40, f"set {REDUCE} priority=1", False, True),
    ]


class Scene(NamedTuple):
    """A picture: the jobs, the keys that lead to it, what is the matter, and what the app is told."""

    jobs: Callable[[], list[FakeBatch]] = genome
    keys: tuple[str, ...] = ()
    health: Callable[[FakeGateway], None] = nothing
    options: dict[str, Any] = {}  # noqa: RUF012 - nobody changes it
    theme: str = ""


SCENES = {
    "missing": Scene(),
    "empty": Scene(no_jobs),
    "one batch": Scene(lambda: genome()[2:]),
    "many batches": Scene(many),
    "disconnected": Scene(health=disconnected),
    "no database": Scene(health=no_database),
    "read only": Scene(options={"read_only": True}),
    "filter": Scene(keys=("slash", *"state:missing", "enter")),
    "filter being typed": Scene(keys=("slash", *"sql:bad")),
    "no match": Scene(keys=("slash", *"nothing", "enter")),
    "rows": Scene(keys=("c", "space", "space")),
    "marks": Scene(keys=("m", "g", "v", "l", "l", "l", "j")),
    "dialog": Scene(keys=("m", "s")),
    "harsh dialog": Scene(keys=("b", "D")),
    "details": Scene(keys=("i",)),
    "a field being set": Scene(keys=("i", "enter", "G", *("up",) * 5, "e")),
    "a job's script": Scene(keys=("i", "enter", *("down",) * 8, "enter")),
    "spawns": Scene(keys=("i", "enter", "G"), health=multiplied),
    "log": Scene(keys=("enter",)),
    "log of an earlier attempt": Scene(keys=("enter", "[")),
    "log searched": Scene(keys=("enter", "/", *"job|chunk 8", "enter")),
    "log filtered": Scene(keys=("enter", "&", *"error", "enter")),
    "both logs": Scene(keys=("enter", "O")),
    "log not there": Scene(keys=("enter", "[", "o")),
    "log on the whole screen": Scene(keys=("enter", "+")),
    "a spawn's log": Scene(keys=("enter", "}"), health=multiplied),
    "batches": Scene(keys=("b", "down")),
    "help": Scene(keys=("question_mark",)),
    "columns": Scene(keys=("w", "down", "s")),
    "history": Scene(keys=("@",), health=history),
    "how it is": Scene(keys=("exclamation_mark",), health=disconnected),
    "overview": Scene(keys=("V",)),
    "overview of a batch": Scene(keys=("V", "a", "1"), theme="paraschut-16"),
    "overview without jobs": Scene(no_jobs, keys=("V",)),
    "help of the overview": Scene(keys=("V", "question_mark")),
    "help of the log": Scene(keys=("enter", "question_mark")),
    "palette": Scene(keys=("colon", *"mouse")),
    "other sizes": Scene(keys=(")", ")", "<")),
    "high contrast": Scene(keys=("space",), theme="paraschut-contrast"),
    "high contrast on white": Scene(keys=("space",), theme="paraschut-contrast-light"),
    "sixteen colours": Scene(keys=("space",), theme="paraschut-16"),
    "light": Scene(keys=("space",), theme="paraschut-light"),
}


@pytest.mark.parametrize("size", SIZES, ids=["80x24", "160x50"])
@pytest.mark.parametrize("name", SCENES)
def test_a_screen_looks_as_it_did(
    snap_compare: Compare, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, size: tuple[int, int]
) -> None:
    scene = SCENES[name]
    monkeypatch.chdir(tmp_path)  # so that the logs' paths are the same everywhere
    lines = [f"[12:{n // 60:02}:{n % 60:02}] chunk {n}/90 done" for n in range(90)]
    Path("map.out").write_text("\n".join(lines) + "\n")
    lines[5:] = ["slurmstepd: error: *** JOB 5512 ON n12 CANCELLED DUE TO TIME LIMIT ***"]
    Path("map.err").write_text("\n".join(lines) + "\n")
    gateway = FakeGateway(scene.jobs())
    scene.health(gateway)
    Path("map.0.err").write_text("Traceback: out of memory\n")
    Path("spawn0.err").write_text("spawn 0 is done\n")
    gateway.log = {"stdout": ("map.0.out", "map.out"), "stderr": ("map.0.err", "map.err")}
    app = ParaschutApp(Settings(), gateway=gateway, clock=lambda: NOW, **scene.options)
    if scene.theme:
        app.theme = scene.theme

    async def go(pilot: Pilot[None]) -> None:
        screen = main_screen(app)
        await until(pilot, lambda: screen.state.snapshot is not None and not screen.jobs.contents.loading)
        await rest(pilot)
        for key in scene.keys:
            await pilot.press(key if len(key) > 1 or key.isalnum() else _character_to_key(key))
        await rest(pilot)

    assert snap_compare(app, terminal_size=size, run_before=go)


async def rest(pilot: Pilot[None]) -> None:
    """Waits until the screen has stayed the same for half a second."""
    last, since = "", time.monotonic()
    end = since + PATIENCE
    while time.monotonic() - since < 0.5:
        assert time.monotonic() < end, "the screen never came to rest"
        await pilot.pause(0.05)
        now = screen_text(pilot.app)
        if now != last:
            last, since = now, time.monotonic()
