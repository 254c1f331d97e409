"""The dashboard where people really have it: inside tmux, and at the far end of ssh."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..helpers import wait_until
from .screen import Terminal, clean_environment, paraschut

HOSTILE = "evil\x1b]2;renamed\x07\x1bkrenamed\x1b\\ [/x] [@click=app.quit]\x9b31m"


def needs(program: str) -> str:
    """The program's path; where it is not installed the test fails in CI and is skipped elsewhere."""
    path = shutil.which(program) or shutil.which(program, path="/usr/sbin:/sbin")
    if path is None:
        if os.environ.get("CI"):
            pytest.fail(f"{program} is not installed")
        pytest.skip(f"{program} is not installed")
    return path


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project whose batch has a name made to take over a terminal."""
    subprocess.run([*paraschut("init", str(tmp_path))], check=True, capture_output=True)
    script = (
        "import sys, paraschut_core as p; j = p.get_job_template(SetID=True);"
        "p.add_batch_to_queue(j['BatchID'], [{**j, 'JobIndex': i, 'name': [sys.argv[1]], 'script': 'true'}"
        " for i in range(50)])"
    )
    subprocess.run(
        [sys.executable, "-c", script, HOSTILE.encode().decode("utf-8")],
        cwd=tmp_path,
        env=clean_environment(),
        check=True,
        capture_output=True,
    )
    return tmp_path


def test_in_tmux_it_paints_and_a_hostile_name_neither_renames_the_window_nor_acts(project: Path) -> None:
    tmux = [needs("tmux"), "-u", "-S", str(project / "tmux.sock"), "-f", "/dev/null"]
    environment = clean_environment()

    def run(*arguments: str) -> str:
        answer = subprocess.run(
            [*tmux, *arguments], capture_output=True, text=True, env=environment, cwd=project
        )
        return answer.stdout

    def shown() -> str:
        return run("capture-pane", "-p", "-t", "work")

    try:
        run("new-session", "-d", "-s", "work", "-n", "mine", "-x", "120", "-y", "40", *paraschut())
        wait_until(lambda: "evil" in shown(), "the batch is shown")
        assert "[/x] [@click=app.quit]" in shown()
        assert run("display-message", "-p", "-t", "work", "#{window_name}/#{pane_title}").startswith("mine/")
        assert "renamed" not in run("display-message", "-p", "-t", "work", "#{pane_title}")
        run("send-keys", "-t", "work", "?")
        wait_until(lambda: "of the focused pane" in shown(), "the help opened")
        run("send-keys", "-t", "work", "Escape")
        wait_until(lambda: "of the focused pane" not in shown(), "the help closed")
        run("send-keys", "-t", "work", "q")
        wait_until(lambda: "work" not in run("list-sessions"), "it ended")
    finally:
        run("kill-server")


@pytest.fixture
def ssh(tmp_path: Path) -> Iterator[list[str]]:
    """An ssh command line to a real sshd on loopback that lets this user in."""
    sshd, client, keygen = needs("sshd"), needs("ssh"), needs("ssh-keygen")
    folder = tmp_path / "sshd"
    folder.mkdir(mode=0o700)
    for name in ("host", "user"):
        subprocess.run([keygen, "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
    (folder / "authorized").write_bytes((folder / "user.pub").read_bytes())
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (folder / "config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nPidFile {folder}/pid\n"
        f"AuthorizedKeysFile {folder}/authorized\nStrictModes no\nUsePAM no\nPasswordAuthentication no\n"
        "PermitRootLogin prohibit-password\n"
    )
    if os.geteuid() == 0:
        os.makedirs("/run/sshd", mode=0o755, exist_ok=True)
    server = subprocess.Popen([sshd, "-D", "-e", "-f", str(folder / "config")], stderr=subprocess.PIPE)
    options = {
        "StrictHostKeyChecking": "no",
        "UserKnownHostsFile": str(folder / "known"),
        "IdentitiesOnly": "yes",
        "LogLevel": "ERROR",
    }
    command = [client, "-F", "/dev/null", "-i", str(folder / "user"), "-p", str(port)]
    for name, value in options.items():
        command += ["-o", f"{name}={value}"]
    command.append(f"{getpass.getuser()}@127.0.0.1")

    def answers() -> bool:
        assert server.poll() is None, server.stderr.read().decode() if server.stderr else ""
        return subprocess.run([*command, "true"], capture_output=True).returncode == 0

    try:
        wait_until(answers, "sshd lets us in")
        yield command
    finally:
        server.terminate()
        server.wait(10)


def test_over_ssh_it_paints_answers_keys_and_survives_a_cut_line(project: Path, ssh: list[str]) -> None:
    words = " ".join(["cd", str(project), "&&", "LC_ALL=C.UTF-8", *paraschut()])
    with Terminal([*ssh[:1], "-tt", *ssh[1:], words], size=(100, 30)) as terminal:
        terminal.wait("evil")
        terminal.press("?")
        terminal.wait("of the focused pane")
        terminal.press("\x1b")
        terminal.wait(lambda text: "of the focused pane" not in text, "the help closed")
        terminal.press("q")
        assert terminal.wait_end() == 0
        assert terminal.restored
    # The line is cut: the dashboard at the far end ends too, and the database is whole.
    with Terminal([*ssh[:1], "-tt", *ssh[1:], f"echo pid $$; {words}"], size=(100, 30)) as terminal:
        terminal.wait("evil")
        terminal.signal(9)
        terminal.wait_end()
    assert b"ok" in subprocess.run(
        [
            sys.executable,
            "-c",
            "import sqlite3; print(*sqlite3.connect('jobs.db').execute('PRAGMA integrity_check'))",
        ],
        cwd=project,
        capture_output=True,
        check=True,
    ).stdout.replace(b"('ok',)", b"ok")
    wait_until(lambda: not _dashboards_in(project), "the dashboard at the far end ended")


def _dashboards_in(folder: Path) -> list[int]:
    import psutil

    found = []
    for process in psutil.process_iter(["cmdline", "cwd"]):
        command = process.info["cmdline"] or []
        if "paraschut_core.cli" in command and process.info["cwd"] == str(folder):
            found.append(process.pid)
    return found
