"""What a terminal sends that is no key: in a real terminal, with a dialog that would remove a batch."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tui.terminal.test_tokenizer import random_input

from .screen import Terminal, paraschut

ROUNDS = int(os.environ.get("PARASCHUT_TEST_ROUNDS", "0")) or 75


def jobs(project: Path) -> str:
    done = subprocess.run([*paraschut("queue", "--json")], cwd=project, capture_output=True, check=True)
    return done.stdout.decode()


@pytest.fixture(scope="module")
def terminal(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminal]:
    state = str(tmp_path_factory.mktemp("state"))
    before = jobs(project)
    with Terminal(paraschut(), cwd=project, env={"XDG_STATE_HOME": state}) as opened:
        opened.wait("mouse/map")
        opened.settle()
        yield opened
        opened.press("q")
        assert opened.wait_end() == 0
        assert opened.restored
    assert jobs(project) == before


def send(terminal: Terminal, *pieces: bytes | float) -> None:
    """Sends pieces, each as one packet, with pauses of seconds between them."""
    for piece in pieces:
        if isinstance(piece, bytes):
            os.write(terminal.process.fileno(), piece)
        else:
            time.sleep(piece)


def closed(text: str) -> bool:
    return "Remove batch" not in text and "(y)" not in text


CANCELS: list[list[bytes | float]] = [
    [b"\x1bky"],
    [b"\x1b", 0.07, b"k", 0.07, b"y"],
    [b"\x1by"],
    [b"\x1b\x1b[Ay"],
    [b"\xfcy"],
    [b"\x1b[99zy"],
    [b"\x1b[1;1;1:99999999999uy"],
    [b"\x1b[121;3uy"],
    [b"\x1b[", 1.2, b"y"],
    [b"\x1b[12\x1b[By"],
    [b"\x1b\\y"],
    ["é".encode()],
    [b"k"],
    [b"\x1b[200~y\r\x1b[201~y"],
    [b"\x1b", 0.2, b"[y"],
]


@pytest.mark.parametrize("pieces", CANCELS, ids=ascii)
def test_what_a_question_does_not_understand_cancels_it_and_nothing_behind_it_confirms(
    terminal: Terminal, project: Path, pieces: list[bytes | float]
) -> None:
    terminal.ask("D", "Remove ")
    send(terminal, *pieces)
    terminal.wait(closed, "the question is closed")
    terminal.settle(0.3)
    assert "human/map" in terminal.text
    assert "mouse/map" in terminal.text
    send(terminal, b"\x1b")
    terminal.settle(0.2)


@pytest.mark.parametrize(
    "answer",
    [
        b"\x1b]11;rgb:1e1e/1e1e/1e1e\x1b\\",
        b"\x1b[?1;2c",
        b"\x1b[?62;1;9y",
        b"\x1bP>|yyy\x1b\\",
        b"\x1b[M \x84*",
        b"\x1b[48;5;5;5;5t",
        b"\x1b[12;1R",
        b"\x1b[I",
    ],
    ids=ascii,
)
def test_an_answer_that_was_not_asked_for_does_nothing(terminal: Terminal, answer: bytes) -> None:
    terminal.settle(0.3)
    before = terminal.text
    send(terminal, answer)
    terminal.settle(0.5)
    assert terminal.text == before
    terminal.ask("D", "Remove ")
    before = terminal.text
    send(terminal, answer)
    terminal.settle(0.5)
    assert terminal.text == before, "a question is still open"
    send(terminal, b"\x1b")
    terminal.wait(closed, "the question is closed")


@pytest.mark.parametrize(
    "pieces",
    [
        [b"\x1b", 0.15, b"[D"],
        [b"\x1b", 0.3, b"OD"],
        [b"\x1b", 0.15, b"[1;", 0.3, b"5D"],
        [b"\x1b[", 0.5, b"D"],
        [b"\x1b", 0.15, b"]11;r", 0.3, b"D\x1b\\"],
        [b"\x1b[M ", 0.3, b"D", 0.3, b"D"],
        [b"\x1bP", 0.3, b"D", 0.3, b"s\x1b", 0.3, b"\\"],
    ],
    ids=ascii,
)
def test_half_a_sequence_is_never_a_command(terminal: Terminal, pieces: list[bytes | float]) -> None:
    send(terminal, *pieces)
    terminal.settle(0.6)
    assert closed(terminal.text), terminal.text
    assert "Remove" not in terminal.text


@pytest.mark.parametrize(
    ("opens", "shown"),
    [(b"?", "of the focused pane"), (b"/", "Esc goes back"), (b":", "type some letters"), (b"@", "ACTIONS")],
    ids=ascii,
)
def test_alt_and_a_letter_leave_what_is_open_as_esc_does(
    terminal: Terminal, opens: bytes, shown: str
) -> None:
    send(terminal, opens)
    terminal.wait(lambda text: shown.lower() in text.lower(), shown)
    terminal.settle(0.3)
    send(terminal, b"\x1bk")
    terminal.wait(lambda text: shown.lower() not in text.lower(), "it is closed")


def test_a_paste_that_never_ends_leaves_the_keys_working(terminal: Terminal) -> None:
    send(terminal, b"\x1b[200~abc", 2.5)
    send(terminal, b"?")
    terminal.wait("of the focused pane", patience=10)
    send(terminal, b"\x1b")
    terminal.wait(lambda text: "of the focused pane" not in text, "the help closed")


@pytest.mark.parametrize("opens", [b"", b"D", b"e"], ids=ascii)
def test_random_input_answers_no_question_and_changes_no_job(
    terminal: Terminal, project: Path, opens: bytes
) -> None:
    """Random bytes may open what a key opens; a question is closed by them, never answered with yes."""
    chance = random.Random(opens)
    for _ in range(max(ROUNDS // 3, 1)):
        send(terminal, opens)
        terminal.read(0.02)
        sent = b"".join(
            b"" if byte in b"qy\x11\x1a\r" else bytes([byte]) for byte in random_input(chance)
        )  # these keys mean what they say
        send(terminal, sent)
        terminal.read(0.02)
        assert terminal.process.isalive(), (sent, terminal.text)
    send(terminal, 2.2)
    for _ in range(8):
        send(terminal, b"\x1b")
        terminal.settle(0.25)
    terminal.wait(lambda text: "BATCHES" in text and closed(text), "the main screen")
    assert "2 batches" in terminal.text or ("human/map" in terminal.text and "mouse/map" in terminal.text)


YES = (b"y", b"Y", b"\r", b"\n", b"y\r", b"\ry", b"yy")


def unwanted(chance: random.Random) -> bytes:
    """What no question understands, with a `y` or Enter in it and behind it, as one packet."""
    yes = chance.choice(YES)
    first = chance.choice(
        [
            lambda: b"\x1b" + bytes([chance.choice(b"xD!0\x7f")]),
            lambda: b"\x1b[%dz" % chance.randrange(40, 99),
            lambda: b"\x1b[%d;%du" % (chance.choice([121, 13, 89]), chance.randrange(3, 9)),
            lambda: b"\x1b[" + bytes([chance.choice(b"EGLN")]),
            lambda: bytes([chance.choice(b"mxD#0")]),
            lambda: "é€日😀"[chance.randrange(4)].encode(),
            lambda: bytes([chance.randrange(0x80, 0x100)]),
            lambda: b"\x1b[200~" + yes + random_input(chance).replace(b"\x1b", b"") + yes + b"\x1b[201~",
            lambda: b"\x1b" + chance.choice([b"[15~", b"OP", b"[24~"]) + yes,
            lambda: b"n",
        ]
    )()
    middle = random_input(chance).replace(b"\x11", b"").replace(b"\x1a", b"").replace(b"q", b"")
    return first + yes + (middle + yes if chance.random() < 0.5 else b"")


def test_no_random_input_with_a_yes_behind_it_confirms(terminal: Terminal) -> None:
    """What is not understood closes a question with no, and what comes with it is not taken for an answer."""
    chance = random.Random(4)
    tried = []
    opened = 0
    for _ in range(max(ROUNDS // 5, 1)):
        send(terminal, b"D")
        for _ in range(40):
            terminal.read(0.05)
            if not closed(terminal.text):
                opened += 1
                break
        tried.append(unwanted(chance))
        send(terminal, tried[-1])
        terminal.read(0.05)
        assert terminal.process.isalive(), (tried[-2:], terminal.text)
        send(terminal, b"\x1b", 0.12, b"\x1b", 0.12)
        terminal.read(0.03)
    for _ in range(8):
        send(terminal, b"\x1b")
        terminal.settle(0.3)
    terminal.wait(lambda text: "BATCHES" in text and closed(text), "the main screen")
    assert opened > len(tried) // 3, "questions were open"
    assert "human/map" in terminal.text, tried
    assert "mouse/map" in terminal.text, tried


def test_an_error_of_its_own_ends_with_1_and_one_line_and_the_traceback_is_in_the_debug_log(
    project: Path, tmp_path: Path
) -> None:
    log = tmp_path / "debug.log"
    code = (
        "import sys; from paraschut_tui.dashboard.screen import MainScreen\n"
        "def broken(self): raise ValueError('secret\\x1b[31m of the program')\n"
        "MainScreen.action_help = broken\n"
        "from paraschut_core.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    argv = [sys.executable, "-c", code, "--debug-log", str(log)]
    with Terminal(argv, cwd=project) as opened:
        opened.wait("human/map")
        opened.press("?")
        assert opened.wait_end() == 1
        assert opened.restored
        said = opened.raw[opened.raw.rindex(b"\x1b[?1049l") :].decode()
    assert "ValueError: secret␛[31m of the program. This is a fault of Paraschut" in said
    assert "Traceback" not in said
    assert said.count("\n") == 1
    assert "in broken" in log.read_text()
