"""The web server by itself: nothing without the secret, a process for each tab, and none left behind."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import psutil
import pytest

from paraschut_core.errors import ParaschutError, UsageError
from paraschut_tui.web.server import DashboardServer, ListenAddress, _announce, listen
from tests.core.cli import CommandLine
from tests.helpers import wait_until

from .conftest import Serve, gone


@asynccontextmanager
async def tab(address: str) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    """What a browser's tab does, without a browser."""
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"{address}ws?width=100&height=30") as socket,
    ):
        yield socket


async def drawn(socket: aiohttp.ClientWebSocketResponse, text: str) -> str:
    """Reads until `text` was drawn; returns all that was."""
    seen = ""
    while text not in seen:
        message = await socket.receive(timeout=60)
        assert message.type in (aiohttp.WSMsgType.BINARY, aiohttp.WSMsgType.TEXT), (message, seen)
        if message.type == aiohttp.WSMsgType.BINARY:
            seen += message.data.decode()
    return seen


# ------------------------------------------------------------------------------------ who gets in


async def test_nothing_is_served_without_the_secret(serve: Serve) -> None:
    served = serve()
    parts = urlsplit(served.address)
    root = f"{parts.scheme}://{parts.netloc}"
    secret = parts.path.strip("/")
    assert len(secret) >= 32
    async with aiohttp.ClientSession() as session:
        wrong = ("", secret[:-1], f"{secret}x", "%00", "x" * len(secret), "é" * 8)
        for folder in wrong:
            for path in ("", "ws", "static/js/textual.js", "page/page.js", "download/x"):
                async with session.get(f"{root}/{folder}/{path}") as answer:
                    assert answer.status == 404, (folder, path)
                    assert secret not in await answer.text()
        for path in ("../..//etc/passwd", "page/../../server.py", "static/", "nothing", "page/"):
            async with session.get(f"{served.address}{path}") as answer:
                assert answer.status in (403, 404), path
        async with session.get(served.address) as answer:
            assert answer.status == 200
            assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
            assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert served.dashboards() == []


async def test_the_secret_is_another_each_time_and_in_no_process_list(serve: Serve) -> None:
    first, second = serve(), serve()
    secrets = [urlsplit(served.address).path.strip("/") for served in (first, second)]
    assert secrets[0] != secrets[1]
    async with tab(second.address) as socket:
        await drawn(socket, "python/lines")
        lines = [psutil.Process(second.process.pid).cmdline(), *(p.cmdline() for p in second.dashboards())]
        assert not any(secret in word for secret in secrets for line in lines for word in line)


# ------------------------------------------------------------------------------------ dashboards come and go


async def test_read_only_reaches_the_dashboards(serve: Serve, demo_project: Path) -> None:
    for arguments, awaited in ((["--read-only"], "read-only"), ([], "python/lines")):
        served = serve(*arguments)
        async with tab(served.address) as socket:
            seen = await drawn(socket, awaited)
        assert ("read-only" in seen) is bool(arguments)
        assert ("act as you" in served.said) is not bool(arguments)
        assert served.close() == ""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_a_signal_to_the_server_ends_all_dashboards(serve: Serve, number: int) -> None:
    served = serve()
    async with tab(served.address) as one, tab(served.address) as other:
        await asyncio.gather(drawn(one, "python/lines"), drawn(other, "python/lines"))
        dashboards = served.dashboards()
        assert len(dashboards) == 2
        assert await asyncio.to_thread(served.end, number) == 0
        gone(dashboards)


async def test_dashboards_end_when_their_server_is_killed(serve: Serve) -> None:
    served = serve()
    async with tab(served.address) as socket:
        await drawn(socket, "python/lines")
        dashboards = served.dashboards()
        assert await asyncio.to_thread(served.end, signal.SIGKILL) == -signal.SIGKILL
        gone(dashboards)


async def test_a_dashboard_that_is_left_closes_its_tab(serve: Serve) -> None:
    served = serve()
    async with tab(served.address) as socket:
        await drawn(socket, "python/lines")
        await socket.send_json(["stdin", "q"])
        while not socket.closed:
            await socket.receive()
        wait_until(lambda: served.dashboards() == [], "its process is gone")


async def test_garbage_from_a_tab_harms_nobody(serve: Serve) -> None:
    served = serve()
    garbage = ("[]", "{}", "null", '["stdin", 5]', '["resize", {"width": -5, "height": 1e99}]', '["resize"]')
    async with tab(served.address) as socket:
        await drawn(socket, "python/lines")
        for text in garbage:
            await socket.send_str(text)
        await socket.send_bytes(b"\xff\xfe")
        await socket.send_json(["resize", {"width": 10**9, "height": -1}])
        await socket.send_json(["resize", {"width": 120, "height": 40}])
        await socket.send_json(["stdin", "?"])
        await drawn(socket, "of the focused pane")
    async with tab(served.address) as socket:
        await drawn(socket, "python/lines")
        await socket.send_str("no JSON")
        while not socket.closed:
            await socket.receive()
    async with tab(served.address) as socket:
        await drawn(socket, "python/lines")


async def test_a_dashboard_that_cannot_start_says_why_on_the_servers_terminal(
    serve: Serve, demo_project: Path
) -> None:
    served = serve()
    (demo_project / "jobs.db").unlink()
    async with tab(served.address) as socket:
        while not socket.closed:
            await socket.receive()
    assert "There is no database" in served.close()


async def test_more_tabs_than_are_sane_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clean_environment: None
) -> None:
    monkeypatch.setattr("paraschut_tui.web.server._MOST_TABS", 1)
    monkeypatch.setattr("paraschut_tui.web.session.GRACE", 0.2)  # this process has to be told by a signal
    waiting = [sys.executable, "-c", "import sys; sys.stdin.read()"]
    runner = aiohttp.web.AppRunner(DashboardServer(waiting, "secret").application())
    await runner.setup()
    place = listen("127.0.0.1", 0)
    await aiohttp.web.SockSite(runner, place.listener).start()
    address = place.address("secret")
    try:
        async with tab(address):
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                async with tab(address):
                    pass
            assert refused.value.status == 503
    finally:
        await runner.cleanup()


# ------------------------------------------------------------------------------------ where it listens


def test_without_a_port_the_first_free_one_is_taken_and_a_given_one_is_not_replaced() -> None:
    first = listen("127.0.0.1", None)
    second = listen("127.0.0.1", None)
    with first.listener, second.listener:
        assert 8000 <= first.port < second.port
        with pytest.raises(ParaschutError, match=f"port {first.port} of 127.0.0.1.*in use.*--port"):
            listen("127.0.0.1", first.port)


@pytest.mark.parametrize("host", ["no.such.host.invalid", "300.1.2.3", "", "a" * 100, "é.invalid"])
def test_a_host_that_is_none_is_misuse(host: str) -> None:
    with pytest.raises((UsageError, ParaschutError)) as refused:
        listen(host or "\0", 0).listener.close()
    assert "--host" in str(refused.value)


def test_an_address_of_another_machine_cannot_be_listened_on() -> None:
    with pytest.raises(ParaschutError, match=r"192\.0\.2\.1"):
        listen("192.0.2.1", 0)


@pytest.mark.parametrize(
    ("host", "warned"), [("127.0.0.1", False), ("::1", False), ("0.0.0.0", True), ("::", True)]
)
def test_whoever_opens_the_port_to_other_machines_is_warned(host: str, warned: bool) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as bound:  # bound, never listening
        try:
            bound.bind((host, 0))
        except OSError:
            pytest.skip("this machine has no IPv6")
        said: list[str] = []
        place = ListenAddress(bound, host, 8000)
        _announce(place, place.address("secret"), said.append, read_only=False)
    text = "\n".join(said)
    assert ("Warning" in text) is warned
    assert "act as you" in text and "ssh -L" in text
    assert max(map(len, text.splitlines())) <= 100


# ------------------------------------------------------------------------------------ the command


def test_without_the_extra_the_message_has_the_pip_command(demo_project: Path, tmp_path: Path) -> None:
    hidden = tmp_path / "without"
    hidden.mkdir()
    (hidden / "textual_serve.py").write_text("raise ModuleNotFoundError('none', name='textual_serve')")
    done = subprocess.run(
        [sys.executable, "-m", "paraschut_core.cli", "serve"],
        cwd=demo_project,
        env={"PYTHONPATH": f"{hidden}:{Path(__file__).parents[2]}", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert f"{sys.executable} -m pip install 'paraschut[web]'" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_without_a_database_it_does_not_start(tmp_path: Path, clean_environment: None) -> None:
    with CommandLine(tmp_path / "project") as cli:
        assert "There is no database" in cli("serve", status=1).err
        assert cli("serve", "--port", "99999", status=2).err.startswith("paraschut: ")
