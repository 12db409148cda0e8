"""A WSGI app (PEP 3333) as an ASGI app: each request runs in a thread."""

from __future__ import annotations

import asyncio
import io
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Awaitable, Callable, Dict, Iterable, List, Optional, Tuple

Receive = Callable[[], Awaitable[Dict[str, Any]]]
Send = Callable[[Dict[str, Any]], Awaitable[None]]
Start = Tuple[str, List[Tuple[str, str]]]


def wsgi(app: Callable[..., Iterable[bytes]], threads: int) -> Any:
    """The ASGI app. `threads` are requests at once."""
    pool = ThreadPoolExecutor(threads, thread_name_prefix="yurt-wsgi")

    async def asgi(scope: Dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await send({"type": "websocket.close"})
            return
        first = await receive()
        if first["type"] == "http.disconnect":
            return
        loop = asyncio.get_running_loop()
        reader = io.BufferedReader(Input(first, receive, loop), 64 << 10)
        await loop.run_in_executor(pool, Run(app, environ_of(scope, reader), send, loop))

    return asgi


class Input(io.RawIOBase):
    """The body of a request, read from a thread."""

    def __init__(self, first: Dict[str, Any], receive: Receive, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._receive, self._loop = receive, loop
        self._data, self._more = memoryview(first["body"]), bool(first.get("more_body"))

    def readable(self) -> bool:
        """It is for reading."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Wait for the next piece. Raises ConnectionError where the client is gone."""
        while not self._data and self._more:
            message = asyncio.run_coroutine_threadsafe(self._next(), self._loop).result()
            if message["type"] == "http.disconnect":
                raise ConnectionResetError("the client went away")
            self._data, self._more = memoryview(message["body"]), bool(message.get("more_body"))
        size = min(len(buffer), len(self._data))
        buffer[:size] = self._data[:size]
        self._data = self._data[size:]
        return size

    async def _next(self) -> Dict[str, Any]:
        return await self._receive()


class Run:
    """One request in its thread."""

    def __init__(
        self, app: Callable[..., Iterable[bytes]], environ: Dict[str, Any], send: Send, loop: asyncio.AbstractEventLoop
    ) -> None:
        self._app, self._environ, self._to_client, self._loop = app, environ, send, loop
        self._start: Optional[Start] = None
        self._begun = False

    def __call__(self) -> None:
        """Run the app and send what it makes, piece by piece."""
        pieces = self._app(self._environ, self._start_response)
        try:
            done = False
            for piece in pieces:
                if piece:
                    done = self._whole(piece)
                    self._send(piece, more=not done)
                    if done:
                        break
            if not done:
                self._send(b"", more=False)
        finally:
            close = getattr(pieces, "close", None)
            if close is not None:
                close()

    def _start_response(
        self, status: str, headers: List[Tuple[str, str]], exc_info: Any = None
    ) -> Callable[[bytes], None]:
        if exc_info is not None:
            try:
                if self._begun:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None
        elif self._start is not None:
            raise RuntimeError("start_response was called twice")
        self._start = (status, list(headers))
        return self._write

    def _write(self, data: bytes) -> None:
        self._send(data, more=True)

    def _whole(self, piece: bytes) -> bool:
        """Whether a first piece is all of the body, by its announced length: it then leaves with the head."""
        if self._begun or self._start is None:
            return False
        return any(name.lower() == "content-length" and value == str(len(piece)) for name, value in self._start[1])

    def _send(self, data: bytes, *, more: bool) -> None:
        messages: List[Dict[str, Any]] = []
        if not self._begun:
            if self._start is None:
                raise RuntimeError("the app sent a body before it called start_response")
            status, headers = self._start
            pairs = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
            messages.append({"type": "http.response.start", "status": int(status[:3]), "headers": pairs})
            self._begun = True
        messages.append({"type": "http.response.body", "body": data, "more_body": more})
        asyncio.run_coroutine_threadsafe(self._send_all(messages), self._loop).result()

    async def _send_all(self, messages: List[Dict[str, Any]]) -> None:
        for message in messages:
            await self._to_client(message)


def environ_of(scope: Dict[str, Any], reader: Any) -> Dict[str, Any]:
    """The environment of a request. Text in it is bytes as latin-1, as the standard has it."""
    root = scope["root_path"].encode().decode("latin-1")
    environ: Dict[str, Any] = {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": root,
        "PATH_INFO": scope["path"].encode().decode("latin-1")[len(root) :],
        "QUERY_STRING": scope["query_string"].decode("latin-1"),
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "SERVER_NAME": scope["server"][0],
        "SERVER_PORT": str(scope["server"][1]),
        "REMOTE_ADDR": scope["client"][0],
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope["scheme"],
        "wsgi.input": reader,
        "wsgi.input_terminated": True,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1").replace("-", "_").upper(), raw_value.decode("latin-1")
        if b"_" in raw_name:
            continue  # it would pass for the one with dashes
        key = name if name in {"CONTENT_TYPE", "CONTENT_LENGTH"} else f"HTTP_{name}"
        environ[key] = f"{environ[key]},{value}" if key in environ else value
    host = environ.get("HTTP_HOST", "")
    if host:
        server, colon, port = host.rpartition(":")
        named = colon and port.isdigit()
        environ["SERVER_NAME"] = server if named else host
        environ["SERVER_PORT"] = port if named else ("443" if scope["scheme"] == "https" else "80")
    return environ
