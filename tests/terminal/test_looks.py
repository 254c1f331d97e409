"""What is on a terminal can be read by everybody: colours, no colours, other locales, names with emoji."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from textual.color import Color

from tests.tui.terminal.test_style_encoding import contrast

from .screen import Terminal, clean_environment, paraschut

NAMES = ["ok ✔️ done", "⚠️ check ❤️", "🇩🇪 👨‍👩‍👧", "a\u202eb\u2066c", "日本 é"]

SCRIPT = r"""
import sys, paraschut_core as psu
job = psu.get_job_template(SetID=True)
script = r"printf '\033[31mred\033[m \033[34mblue\033[30mblack\033[0;2;32mdim\033[38;5;17mnavy\n' >&2; exit 7"
psu.add_batch_to_queue(job["BatchID"], [{**job, "JobIndex": 0, "name": ["colours"], "script": script}])
psu.submit_jobs()
for name in sys.argv[1:]:
    job = psu.get_job_template(SetID=True)
    psu.add_batch_to_queue(job["BatchID"], [
        {**job, "name": [name], "JobIndex": i, "script": "true", "state": "complete"} for i in range(3)
    ])
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    subprocess.run([*paraschut("init", str(folder))], check=True, capture_output=True)
    argv = [sys.executable, "-c", SCRIPT, *NAMES]
    subprocess.run(argv, cwd=folder, env=clean_environment(), check=True, capture_output=True)
    return folder


def set_to(folder: Path, **settings: str | bool) -> list[str]:
    """The command line of the dashboard with these settings."""
    lines = [
        f"{name} = {str(value).lower() if value is True else repr(value)}" for name, value in settings.items()
    ]
    path = folder / f"{'-'.join(settings)}.toml"
    path.write_text("\n".join(['database = "jobs.db"', "[dashboard]", *lines, ""]))
    return paraschut("--config", str(path))


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is remembered from one test to the next."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))


def leave(terminal: Terminal) -> None:
    terminal.press("q")
    assert terminal.wait_end() == 0
    assert terminal.restored


@pytest.mark.parametrize("theme", ["paraschut", "paraschut-light"])
def test_all_that_is_sent_stands_out_from_its_background(project: Path, theme: str) -> None:
    with Terminal(set_to(project, theme=theme), cwd=project) as terminal:
        terminal.wait("1 missing")
        terminal.press("M")
        terminal.wait("red blueblackdimnavy")
        terminal.settle(0.5)
        for keys in ("", "s", "\x1b?"):
            terminal.press(keys)
            terminal.settle(0.5)
            faint = set()
            for row in terminal.screen.buffer.values():
                for place in range(terminal.screen.columns):
                    char = row[place]
                    if char.data.strip() and not "\u2500" <= char.data <= "\u259f" and char.data not in "▰▱":
                        assert len(char.fg) == len(char.bg) == 6, (char, "all colours are exact ones")
                        if contrast(Color.parse(f"#{char.fg}"), Color.parse(f"#{char.bg}")) < 4.49:
                            faint.add((char.data, char.fg, char.bg))
            assert not faint
        terminal.press("\x1b")
        terminal.settle(0.5)
        leave(terminal)


@pytest.mark.parametrize("kind", ["xterm", "xterm-256color"])
def test_without_colours_none_is_sent_and_the_cursor_is_seen(project: Path, kind: str) -> None:
    environment = {"NO_COLOR": "1", "TERM": kind, "COLORTERM": "" if kind == "xterm" else "truecolor"}
    with Terminal(paraschut(), cwd=project, env=environment) as terminal:
        terminal.wait("1 missing")
        terminal.settle(0.5)
        terminal.press(" /")
        terminal.wait("Esc goes back")
        terminal.press("xy")
        terminal.settle(0.5)
        chars = [row[place] for row in terminal.screen.buffer.values() for place in range(160)]
        assert {(char.fg, char.bg) for char in chars} == {("default", "default")}
        assert any(char.reverse for char in chars), "the cursor of the line of text"
        terminal.press("\x1b")
        terminal.settle(0.5)
        chars = [row[place] for row in terminal.screen.buffer.values() for place in range(160)]
        assert any(char.reverse and char.bold for char in chars), "the cursor"
        leave(terminal)


@pytest.mark.parametrize(
    "environment",
    [
        {"LC_ALL": "en_US.ISO-8859-1"},
        {"TERM": "linux"},
        {},
    ],
    ids=str,
)
def test_letters_and_ascii_bars_where_signs_cannot_be_shown(
    project: Path, environment: dict[str, str]
) -> None:
    command = paraschut() if environment else set_to(project, letters=True)
    with Terminal(command, cwd=project, env=environment) as terminal:
        terminal.wait("! 1 missing")
        terminal.wait("c 15 / 16")
        terminal.settle(0.5)
        assert "###" in terminal.text
        assert "✓" not in terminal.text
        assert "▰" not in terminal.text
        if "ISO" in environment.get("LC_ALL", "") or environment.get("LC_ALL") == "POSIX":
            assert terminal.raw.isascii()
        leave(terminal)


def test_names_with_emoji_flags_and_controls_keep_the_columns(project: Path) -> None:
    with Terminal(paraschut(), cwd=project, size=(140, 30)) as terminal:
        terminal.wait("1 missing")
        terminal.settle(0.5)
        text = terminal.text
        for shown in ("ok ✔ done", "⚠ check ❤", "DE 👨👩👧", "a\ufffdb\ufffdc"):
            assert shown in text.replace("👨 ", "👨").replace("👩 ", "👩").replace("👧 ", "👧"), shown
        assert sum(line.count("100% 3/3") for line in text.splitlines()) == len(NAMES)
        terminal.press("/\x1b[200~x\u202ey\u2066\x1b[201~")
        terminal.wait("xy")
        terminal.settle(0.5)
        assert "\u202e".encode() not in terminal.raw
        assert "\u2066".encode() not in terminal.raw
        assert "\ufe0f".encode() not in terminal.raw
        terminal.press("\x1b")
        terminal.settle(0.5)
        leave(terminal)


def test_a_dialog_shows_title_counts_and_buttons_on_any_terminal(project: Path) -> None:
    with Terminal(paraschut(), cwd=project, size=(60, 10)) as terminal:
        terminal.wait("colours")
        for size in ((60, 10), (30, 8), (80, 24)):
            terminal.resize(*size)
            terminal.settle(0.5)
            for keys, title in (("D", "Remove"), ("r", "Reset")):
                terminal.press(keys)
                for shown in (title, "1 job:", "Cancel (Esc)", "(y)"):
                    terminal.wait(shown, patience=20)
                terminal.settle(0.3)
                shown_at = [
                    at for at, line in enumerate(terminal.text.splitlines()) if "(y)" in line or title in line
                ]
                assert shown_at[0] < shown_at[-1]
                terminal.press("\x1b[B\x1b[B")
                terminal.settle(0.3)
                for shown in (title, "Cancel (Esc)", "(y)"):
                    assert shown in terminal.text, "also when the rest was scrolled"
                terminal.press("\x1b")
                terminal.wait(lambda text: "(y)" not in text, "the dialog is closed")
        terminal.press("q")
        assert terminal.wait_end() == 0
