"""Names made to take a terminal over: on no screen does anything of them reach it but plain characters."""

from __future__ import annotations

import random
import re
import unicodedata

import pytest
from rich.console import Console
from textual.keys import _character_to_key
from textual.pilot import Pilot

from paraschut_core.config import Settings
from paraschut_core.model import Action
from paraschut_tui.actions.types import ActionResult, JobMessage
from paraschut_tui.app import ParaschutApp
from paraschut_tui.terminal.frame_buffer import FrameBuffer
from tests.tui.textual_internals import full_update

from .fake import NOW, FakeBatch, FakeGateway
from .project import main_screen, until

PIECES = [
    "\x1b]52;c;ZXZpbA==\x07", "\x1b]2;renamed\x07", "\x1bkrenamed\x1b\\", "\x1bP+q\x1b\\", "\x1b[2J",
    "\x1b[31m", "\x9b31m", "\x9d52;c;eA==\x9c", "\x90x\x9c", "\x07", "\x08\x08", "\r", "\n", "\t", "\0",
    "\x7f", "\x0e", "\x1b", "[/]", "[/x]", "[@click=app.quit]", "[bold]", "[link=x]", "\\[", "$foo", "{x}",
    "%s", "\u202e", "\u2066", "\u200f", "\ufeff", "\u2028", "\u00e9", "e\u0301\u0302\u0303", "\u65e5\u672c",
    "\U0001f469\u200d\U0001f467", "\ud800", "plain", "/", " ",
]  # fmt: skip
"""What hostile text is made of."""

SEQUENCE = re.compile(r"\x1b\[[0-9;]*[mH]")
"""What we write ourselves: styles, and where to write."""

KEYS = [
    "c", "c", "i", "i", "enter", "escape", "b", "down", "right", "b", "m", "s", "escape", "R", "escape", "D",
    "escape", "exclamation_mark", "escape", "at", "escape", "question_mark", "escape", "w", "escape", "L",
    "L", "p", "escape",
]  # fmt: skip
"""Through all screens."""


def hostile(chance: random.Random) -> str:
    return "".join(chance.choice(PIECES) for _ in range(chance.randint(1, 9)))


def painted(app: ParaschutApp) -> str:
    """All that a terminal would be sent of the present screen."""
    console = Console(color_system="truecolor", force_terminal=True, width=app.size.width, file=None)
    update = full_update(app)
    return FrameBuffer().minimize(update).render_segments(console)  # type: ignore[attr-defined]  # it is an update


def check(app: ParaschutApp, where: str) -> None:
    rest = SEQUENCE.sub("", painted(app))
    bad = {
        c for c in rest if unicodedata.category(c) in ("Cc", "Cs") or c in "\u202e\u2066\u200f\ufeff\u2028"
    }
    assert not bad, (where, bad)


@pytest.mark.parametrize("seed", range(6))
async def test_nothing_but_characters_reaches_the_terminal(seed: int) -> None:
    chance = random.Random(seed)
    batches = [
        FakeBatch(
            20260101000000 + n,
            hostile(chance),
            "iqhRrSc!x" * 3,
            held_back=hostile(chance),
            batch_type=hostile(chance),
            custom={"x": hostile(chance)},
            reason=hostile(chance),
        )
        for n in range(4)
    ]
    gateway = FakeGateway(batches)
    gateway.scheduler = gateway.scheduler._replace(
        executor=hostile(chance), failing_since=NOW - 60, error=hostile(chance)
    )
    gateway.database = gateway.database._replace(path=f"/data/{hostile(chance)}", notice=hostile(chance))
    gateway.acts = [Action(1, NOW - 9, hostile(chance), hostile(chance), 3, hostile(chance), False, True)]
    failures = tuple(JobMessage(key, hostile(chance)) for key in batches[0].keys("iq"))
    gateway.result = ActionResult(1, failures=failures, note=hostile(chance), left=failures, made=failures)
    app = ParaschutApp(Settings(), gateway=gateway, clock=lambda: NOW)
    async with app.run_test(size=(100, 40)) as pilot:
        await _walk(pilot, app)


async def _walk(pilot: Pilot[None], app: ParaschutApp) -> None:
    screen = main_screen(app)
    await until(pilot, lambda: screen.state.snapshot is not None and not screen.jobs.contents.loading)
    check(app, "first")
    for key in KEYS:
        await pilot.press(key if len(key) > 1 or key.isalnum() else _character_to_key(key))
        await pilot.pause()
        check(app, key)
    await pilot.press("S", "y")
    await pilot.pause()
    check(app, "outcomes")
    assert app.is_running, "a name has quit the program"
