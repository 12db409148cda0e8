"""A worker that answers HTTP: it loads the app, serves it on a port of its own, and says which.

Requests come from the gateway of the control plane, which has read their heads, and not over the session.
"""

from __future__ import annotations

import asyncio
import importlib
import signal
import socket
import time
from typing import Any, Callable, Dict

from yurt_runner.fork import Links
from yurt_runner.lifespan import Lifespan
from yurt_runner.load import EntrypointError, is_generator, load, split_entrypoint
from yurt_runner.printing import Printing
from yurt_runner.web_http import App, Server
from yurt_runner.wire import READY, meta, pack

CLOSE_WAIT_S = 3.0
"""What requests get to end once the worker was told to, before the app is shut down, in seconds."""


def serve(links: Links, printing: Printing, welcome: Dict[str, Any], source: str, began: float) -> int:
    """Load and serve until told to end; returns the exit status.

    Raises:
        BaseException: it did not come so far; whatever the module, the app or its startup raised.
    """
    web = welcome["web"]

    def ready(port: int) -> None:
        printing.end(0, 0)
        startup_s = round(time.monotonic() - began, 3)
        head = meta(slots=int(welcome.get("slots", 1)), startup_s=startup_s, port=port)
        links.sock.sendall(pack(READY, meta=head))

    if web["kind"] == "web_server":
        from yurt_runner.web_server import serve_own

        until = began + 0.9 * float(welcome.get("startup_timeout_s", 300))  # sooner than the supervisor's own limit
        return serve_own(load(welcome["entrypoint"], source), web, ready, until)
    app = load_app(welcome, source)
    host, port = str(web.get("host") or "127.0.0.1"), int(web.get("listen") or 0)
    return asyncio.run(_serve(app, host, port, ready, lifespan=web["kind"] == "asgi"))


def load_app(welcome: Dict[str, Any], source: str) -> App:
    """The ASGI app of an entrypoint; WSGI apps and plain functions as one.

    Raises:
        EntrypointError: it names no app.
        BaseException: whatever the module raises.
    """
    web, entrypoint, threads = welcome["web"], welcome["entrypoint"], int(welcome.get("slots", 1))
    if web["kind"] == "function":
        from yurt_runner.web_function import endpoint

        function = load(entrypoint, source)
        if is_generator(function):
            raise EntrypointError(f"{entrypoint} is a generator: an endpoint returns its answer. To stream, use ASGI.")
        made: App = endpoint(function, web["method"], threads)
        return made
    found = _found(entrypoint, source)
    if web.get("factory"):
        found = found()
    if not callable(found):
        what = "what it returns" if web.get("factory") else "it"
        raise EntrypointError(f"{entrypoint} is no app: {what} is of type {type(found).__qualname__}.")
    if web["kind"] == "wsgi":
        from yurt_runner.web_wsgi import wsgi

        found = wsgi(found, threads)
    app: App = found
    return app


def _found(entrypoint: str, source: str) -> Any:
    module_name, name = split_entrypoint(entrypoint)
    module = importlib.import_module(module_name)
    if hasattr(module, name):
        return getattr(module, name)
    return load(entrypoint, source)  # it says what there is instead


async def _serve(app: App, host: str, port: int, ready: Callable[[int], None], *, lifespan: bool) -> int:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    life = Lifespan(app) if lifespan else None
    if life is not None:
        await life.startup()
    server = Server(app, life.state if life is not None else {})
    listener = listen(host, port)
    listening = await loop.create_server(server.connection, sock=listener, backlog=2048)
    ready(listener.getsockname()[1])
    await stop.wait()
    listening.close()
    await server.close(CLOSE_WAIT_S)
    if life is not None:
        await life.shutdown()
    return 0


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 lets the system choose."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, port))
    listener.settimeout(0)
    return listener
