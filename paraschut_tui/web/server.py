"""The web server of the dashboard: one page at an address that ends in a secret.

It runs one event loop. Each tab is a process of its own, whose pipes a `Session` connects with the tab.
"""

from __future__ import annotations

import asyncio
import hmac
import importlib.resources
import ipaddress
import os
import secrets
import signal
import socket
from collections.abc import Callable, Sequence
from typing import NamedTuple

import textual_serve
from aiohttp import web
from aiohttp.typedefs import Handler
from textual_serve.download_manager import DownloadManager

from paraschut_core.errors import ParaschutError, UsageError

from .session import Session, screen_size

FIRST_PORT = 8000
_PORTS = 50
_MOST_TABS = 20
"""Most tabs at a time. Each is a process; a page that reloads itself in a loop must not fill the machine."""

_HEADERS = {
    # Everything that the page loads comes from here, and no other site learns its address.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; font-src 'self'; "
        "img-src 'self' data:; connect-src 'self' ws: wss:; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'self'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}

_NOT_FOUND = "Not found. Open the whole address that `paraschut serve` printed; it ends in a secret.\n"


class ListenAddress(NamedTuple):
    """Where the server listens."""

    listener: socket.socket
    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        return ipaddress.ip_address(self.listener.getsockname()[0].partition("%")[0]).is_loopback

    def address(self, secret: str) -> str:
        """Return the address for the browser."""
        unbound = ipaddress.ip_address(self.listener.getsockname()[0].partition("%")[0]).is_unspecified
        host = socket.gethostname() if unbound else self.host
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}/{secret}/"


def listen(host: str, port: int | None) -> ListenAddress:
    """Listen on a port of `host`.

    Args:
        port: None: the first free one from 8000 on; 0: any.

    Raises:
        UsageError: `host` is no name or address of this machine.
        ParaschutError: the port cannot be taken.
    """
    try:
        family, _, _, _, place = socket.getaddrinfo(host, port or 0, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError) as error:
        raise UsageError(f"--host {host!r}: {getattr(error, 'strerror', None) or error}.") from error
    wanted = range(FIRST_PORT, FIRST_PORT + _PORTS) if port is None else [port]
    problem: OSError | None = None
    for number in wanted:
        try:
            listener = socket.create_server((place[0], number, *place[2:]), family=family)
        except OSError as error:
            problem = error
            continue
        return ListenAddress(listener, host, listener.getsockname()[1])
    assert problem is not None
    why = os.strerror(problem.errno) if problem.errno else str(problem)
    which = f"{wanted[0]}" if len(wanted) == 1 else f"{wanted[0]}-{wanted[-1]}"
    raise ParaschutError(
        f"Cannot listen on port {which} of {host}: {why}. Choose another with --port (0: any free port)."
    )


class DashboardServer:
    """Serves the dashboard under /SECRET/, with a process for each tab.

    The port is open to every user of this machine, and to every page in the user's own browser. So nothing is
    served without the secret. There is no cookie: browsers would send it with the requests of foreign pages.

    Args:
        command: the dashboard's argument list.
        secret: the part of the address that nobody can guess.
    """

    def __init__(self, command: Sequence[str], secret: str) -> None:
        self._command = command
        self._secret = secret
        self._downloads = DownloadManager()
        self._sessions: set[Session] = set()

    def application(self) -> web.Application:
        """Return the web application with its routes."""
        page = importlib.resources.files(__package__) / "page"
        static = importlib.resources.files(textual_serve) / "static"
        app = web.Application(middlewares=[self._guard])
        app.add_routes(
            [
                web.get("/{secret}/", self._index),
                web.get("/{secret}/ws", self._attend),
                web.static("/{secret}/page".replace("{secret}", self._secret), str(page)),
                web.static("/{secret}/static".replace("{secret}", self._secret), str(static)),
            ]
        )
        app.on_shutdown.append(self._end_all)
        return app

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        given = request.path.split("/")[1]
        if not hmac.compare_digest(given.encode(), self._secret.encode()):
            return web.Response(status=404, text=_NOT_FOUND, headers=_HEADERS)
        try:
            answer = await handler(request)
        except web.HTTPException as error:
            answer = web.Response(status=error.status, text=f"{error.reason}\n")
        if not answer.prepared:
            answer.headers.update(_HEADERS)
        return answer

    async def _index(self, request: web.Request) -> web.StreamResponse:
        page = importlib.resources.files(__package__) / "page" / "index.html"
        return web.Response(text=page.read_text(encoding="utf-8"), content_type="text/html")

    async def _attend(self, request: web.Request) -> web.StreamResponse:
        if len(self._sessions) >= _MOST_TABS:
            return web.Response(status=503, text=f"{_MOST_TABS} dashboards are open. Close one first.\n")
        tab = web.WebSocketResponse(heartbeat=15, max_msg_size=1 << 20)
        await tab.prepare(request)
        session = Session(self._command, tab, self._downloads)
        self._sessions.add(session)
        try:
            await session.start(*_asked_size(request))
            await session.attend()
            await session.stop()
        finally:
            await session.end()
            self._sessions.discard(session)
        return tab

    async def _end_all(self, app: web.Application) -> None:
        await asyncio.gather(*(session.end() for session in list(self._sessions)))


def _asked_size(request: web.Request) -> tuple[int, int]:
    try:
        return screen_size(int(request.query["width"]), int(request.query["height"]))
    except (KeyError, ValueError):
        return 80, 24


def run(
    command: Sequence[str],
    host: str,
    port: int | None,
    say: Callable[[str], None],
    *,
    read_only: bool = False,
) -> int:
    """Serve until SIGINT, SIGTERM or SIGHUP; then end all dashboards.

    Args:
        command: the dashboard's argument list.
        host, port: where to listen; see `listen`.
        say: prints a line for the user.
        read_only: the dashboards of that command change nothing.

    Returns:
        the exit code.
    """
    place = listen(host, port)
    secret = secrets.token_hex(16)
    with place.listener:
        return asyncio.run(_serve(DashboardServer(command, secret), place, secret, say, read_only))


async def _serve(
    server: DashboardServer, place: ListenAddress, secret: str, say: Callable[[str], None], read_only: bool
) -> int:
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:  # as under nohup
            asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    runner = web.AppRunner(server.application(), access_log=None, shutdown_timeout=2.0)
    await runner.setup()
    try:
        await web.SockSite(runner, place.listener).start()
        _announce(place, place.address(secret), say, read_only=read_only)
        await stopped.wait()
    finally:
        await runner.cleanup()
    return 0


def _announce(place: ListenAddress, address: str, say: Callable[[str], None], *, read_only: bool) -> None:
    rights = (
        "see the jobs and their logs"
        if read_only
        else "act as you: submit, delete and remove jobs, read logs"
    )
    say(f"The dashboard is at  {address}")
    say(f"Anyone with this address can {rights}.")
    if place.is_loopback:
        say("It is reachable from this machine only. To open it on your own machine, run there:")
        say(f"  ssh -L {place.port}:{place.host}:{place.port} {socket.gethostname()}")
    else:
        better = "ssh -L" if read_only else "ssh -L, or at least add --read-only"
        say(
            "Warning: it is reachable from other machines, without encryption. Better omit --host and use\n"
            f"{better}."
        )
    say("Ctrl-C stops it, and the dashboards in all browsers.")
