"""A dashboard with a made-up action: run as a program, because keys read the actions at import."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from paraschut_core.actions import ActionReport, set_fields
from paraschut_tui.actions.action_entry import ActionEntry
from paraschut_tui.actions.action_registry import ACTIONS
from paraschut_tui.actions.operations import ActionCall


def suspend(call: ActionCall) -> ActionReport:
    """Stands for a function of the core."""
    keys = call.selection.resolve(call.project)
    return set_fields(call.project, keys, {"suspended": True}, {}, verb="suspend", command=call.command)


ACTIONS["suspend"] = ActionEntry(
    name="suspend",
    run=suspend,
    ask="Suspend",
    past="suspended",
    meaning="They keep their place in the queue.",
    key="H",
    label="suspend",
    help="suspend: keep from running",
    undo_warning="Jobs that were suspended wait at the end of the queue.",
)


async def main(folder: Path) -> None:
    from tests.helpers import Scheduler
    from tests.tui.project import add_batch, dashboard, info_of, make_project, until
    from tests.tui.user import confirm, shown, told

    settings = make_project(folder)
    batch_id = add_batch(settings, "human/map", ["true"] * 2)
    async with dashboard(settings, Scheduler(), size=(180, 60)) as (pilot, screen):
        await until(pilot, lambda: "H suspend" in screen.key_hints.text, "the key line")
        await pilot.press("question_mark")
        await until(pilot, lambda: "suspend: keep from running" in shown(pilot), "the help")
        await pilot.press("escape", "colon", *"suspend keep")
        await until(pilot, lambda: "H  Suspend: keep from running" in shown(pilot), "the palette")
        await pilot.press("enter")
        said = await confirm(pilot)
        assert "Suspend job 0 of human/map?" in said and "They keep their place in the queue." in said
        await told(pilot, "1 suspended · z undoes")
        assert info_of(settings, batch_id, 0)["suspended"] is True
        await pilot.press("@")
        await until(pilot, lambda: f"paraschut suspend {batch_id} 0" in shown(pilot), "the history")
        await pilot.press("z")
        assert "Jobs that were suspended wait at the end of the queue." in await confirm(pilot)
        await told(pilot, "1 restored")
    assert "suspended" not in info_of(settings, batch_id, 0)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
