"""What a real terminal is sent when something happens: one message, one bell, one notification; and what the
screens cost that open over the dashboard."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from .screen import Terminal, clean_environment, paraschut

ADD = """
import paraschut_core as psu
job = psu.get_job_template(SetID=True)
psu.add_batch_to_queue(job["BatchID"], [
    {**job, "JobIndex": i, "name": ["human", "map"], "script": "true"} for i in range(40)
])
"""

COMPLETE = """
import paraschut_core as psu
(batch,) = psu.get_queue(Verbose=False)
psu.set_batch_field(batch, {"state": "complete"}, Unless={})
"""


def run(code: str, folder: Path) -> None:
    subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=clean_environment(), check=True, capture_output=True
    )


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Forty jobs that wait."""
    subprocess.run([*paraschut("init", str(tmp_path))], check=True, capture_output=True)
    run(ADD, tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("desktop", "sequence"),
    [
        ("osc9", rb"\x1b\]9;[^\x07\x1b]*human/map[^\x07\x1b]*(\x07|\x1b\\)"),
        ("osc777", rb"\x1b\]777;notify;[^\x07\x1b]*human/map[^\x07\x1b]*(\x07|\x1b\\)"),
        ("off", None),
    ],
)
def test_a_batch_that_becomes_complete_rings_and_notifies_once(
    project: Path, desktop: str, sequence: bytes | None
) -> None:
    bell = "true" if sequence else "false"
    settings = f'executor = "local"\n[dashboard]\nbell = {bell}\ndesktop = "{desktop}"\n'
    (project / "paraschut.toml").write_text(settings)
    with Terminal(paraschut(), cwd=project) as terminal:
        terminal.wait("0 / 40")
        terminal.settle()
        before = len(terminal.raw)
        run(COMPLETE, project)
        terminal.wait("40 / 40")
        terminal.wait("human/map is complete")
        terminal.read(2.0)
        sent = terminal.raw[before:]
        found = re.findall(sequence, sent) if sequence else []
        assert len(found) == (1 if sequence else 0)
        rest = re.sub(rb"\x1b\][^\x07\x1b]*(\x07|\x1b\\)", b"", sent)
        assert rest.count(b"\x07") == (1 if sequence else 0), "the bell"
        assert not sequence or re.search(rb"\x1b\](9|777);", sent)
        terminal.press("q")
        assert terminal.wait_end() == 0


@pytest.mark.parametrize(
    ("key", "shows", "most"),
    [("V", "why attempts failed", 18_000), (":", "COMMANDS", 18_000), ("?", "of the focused pane", 18_000)],
)
def test_a_screen_that_opens_costs_one_paint_and_nothing_while_it_rests(
    project: Path, key: str, shows: str, most: int
) -> None:
    with Terminal(paraschut(), size=(160, 50), cwd=project) as terminal:
        terminal.wait("0 / 40")
        terminal.settle(quiet=1.5)
        before = terminal.bytes
        terminal.press(key)
        terminal.wait(shows)
        terminal.settle(quiet=1.5)
        assert terminal.bytes - before <= most
        before = terminal.bytes
        terminal.read(4.0)
        assert terminal.bytes - before <= 200
        terminal.press("\x1b")
        terminal.wait("BATCHES")
        terminal.press("q")
        assert terminal.wait_end() == 0
