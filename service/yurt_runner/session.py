"""The session's connection: dial, dial again, credentials, and giving up.

A broken connection is not the end: the runner goes on working and dials again until its grace is over.
"""

from __future__ import annotations

import os
import socket
from typing import Optional, Protocol, Tuple

from yurt_runner.faults import complain
from yurt_runner.loop import READ, WRITE, Loop
from yurt_runner.start import Start, read_address
from yurt_runner.websocket import NORMAL, PROTOCOL_ERROR, Refused, WebSocket
from yurt_runner.wire import PROTOCOL, ProtocolError

DIAL_TIMEOUT_S = 5.0
"""From the start of a dial to the server's agreement."""
SILENT_PEER_MS = 15_000
"""Bytes not acknowledged by the peer's kernel for so long end the connection: as long as a lease."""
READ_BYTES = 64 << 10
"""Below what makes the allocator map memory for each read, and unmap it again."""


def backoff_s(failures: int, down_s: float, jitter: float) -> float:
    """How long to wait before the next dial, in seconds.

    0.1 s doubling, at most 0.5 s during the first 10 s without a server and at most 2 s later; times 0.5 to 1. For the
    first 3 s it does not double: a server that starts again is there by then, and its calls wait for containers.

    Args:
        failures: dials that failed since there was a session.
        down_s: how long there has been none, in seconds.
        jitter: 0 to 1.
    """
    cap = 0.1 if down_s < 3 else 0.5 if down_s < 10 else 2.0
    base: float = min(0.1 * 2 ** min(failures, 10), cap)
    return base * (0.5 + jitter / 2)


class Handler(Protocol):
    """Whoever uses the session."""

    def connected(self) -> None:
        """The server agreed: say hello."""

    def message(self, message: bytes) -> None:
        """A message came. A ProtocolError that this raises closes the connection."""

    def disconnected(self) -> None:
        """The connection is gone; it is dialled again, unless `closed` was asked for."""

    def closed(self) -> None:
        """The server closed cleanly."""

    def ended(self, reason: str) -> None:
        """There will be no session any more: refused, or the grace is over."""


class Session:
    """One session over any number of connections."""

    def __init__(self, loop: Loop, start: Start, handler: Handler) -> None:
        address = read_address(start.url)
        self._loop, self._handler, self._grace_s = loop, handler, start.grace_s
        self._address, self._local = address, start.socket
        self._path = f"{address.path}/v1/containers/{start.container_id}/session"
        self.credential = start.start_token
        self.welcomed = False
        self._socket: Optional[socket.socket] = None
        self._web: Optional[WebSocket] = None
        self._out = bytearray()
        self._failures = 0
        self._down_since = loop.now()
        self._over = False

    def start(self) -> None:
        """Dial, and keep the grace."""
        self._loop.after("grace", self._grace_s, self._give_up)
        self._dial()

    @property
    def open(self) -> bool:
        """Whether messages can be sent."""
        return self._web is not None and self._web.opened and not self._web.closed

    @property
    def unsent_bytes(self) -> int:
        """What waits for the peer to read."""
        return len(self._out)

    def send(self, message: bytes) -> None:
        """Send one message; it is lost if the connection breaks."""
        web = self._web
        if web and web.opened and not web.closed:
            self._write(web.pack(message))

    def welcome(self, credential: str) -> None:
        """The server has taken the runner in; `credential` is good for the dials to come."""
        self.credential, self.welcomed, self._failures = credential, True, 0
        self._loop.drop("grace")

    def close(self) -> None:
        """Say the WebSocket goodbye; `closed` follows when the server has answered."""
        if self._web and self.open:
            self._write(self._web.pack_close(NORMAL))

    def stop(self) -> None:
        """Dial no more."""
        self._over = True
        self._loop.drop("dial")
        self._loop.drop("grace")
        self._hang_up()

    def _dial(self) -> None:
        try:
            sock = self._connect_here() if self._local else self._connect()
        except OSError:
            self._lost()
            return
        headers = (("Authorization", f"Bearer {self.credential}"),)
        self._web = WebSocket(self._address.netloc, self._path, headers, PROTOCOL)
        self._out += self._web.request
        self._loop.watch(sock.fileno(), self._ready, READ | WRITE)
        self._loop.after("dial", DIAL_TIMEOUT_S, self._lost)

    def _connect_here(self) -> socket.socket:
        """On one machine a socket in the file system is quicker than a port, by a twentieth of a short call."""
        self._socket = sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(0)
        sock.connect(self._local)
        return sock

    def _connect(self) -> socket.socket:
        family, kind, proto, _, address = self._resolved()
        self._socket = sock = socket.socket(family, kind, proto)
        sock.settimeout(0)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SILENT_PEER_MS)
        sock.connect_ex(address)
        return sock

    def _resolved(self) -> Tuple[int, int, int, str, Tuple[object, ...]]:
        """Where to dial: the host's addresses in turn. As bytes, so that no codec for names is loaded."""
        host = self._address.host.encode()
        found = socket.getaddrinfo(host, self._address.port, type=socket.SOCK_STREAM)
        return found[self._failures % len(found)]

    def _ready(self, events: int) -> None:
        try:
            if events & WRITE:
                self._flush()
            if events & ~WRITE:
                self._read()
        except BlockingIOError:
            pass
        except ProtocolError as error:
            self._fail(str(error))
        except OSError:
            self._lost()

    def _read(self) -> None:
        web = self._web
        if not self._socket or web is None:
            return
        data = self._socket.recv(READ_BYTES)
        was_open = web.opened
        try:
            messages = web.feed(data, ended=not data)
        except Refused as refused:
            self._refused(refused)
            return
        if web.opened and not was_open:
            self._loop.drop("dial")
            self._handler.connected()
        for message in messages:
            self._handler.message(message)
        if web.replies:
            self._answer(web)
        closed = web.closed
        if closed:
            self._handler.closed()
        if not data or closed:
            self._lost()

    def _answer(self, web: WebSocket) -> None:
        for reply in web.replies:
            self._write(reply)
        web.replies.clear()

    def _refused(self, refused: Refused) -> None:
        if 400 <= refused.status < 500:
            self.stop()
            self._handler.ended(f"the control plane refused the session with {refused}")
        else:
            self._lost()

    def _fail(self, reason: str) -> None:
        complain(f"{reason}; dialling again")
        if self._web and self.open:
            self._write(self._web.pack_close(PROTOCOL_ERROR))
        self._lost()

    def _write(self, data: bytes) -> None:
        if not self._out and self._socket:
            try:
                data = data[self._socket.send(data) :]
            except BlockingIOError:
                pass
            except OSError:
                return  # the break shows on reading too, and is dealt with there
        if data:
            self._out += data
            self._watch()

    def _flush(self) -> None:
        if self._socket and self._out:
            del self._out[: self._socket.send(self._out)]
        self._watch()

    def _watch(self) -> None:
        if self._socket:
            self._loop.watch(self._socket.fileno(), self._ready, READ | WRITE if self._out else READ)

    def _hang_up(self) -> None:
        if self._socket:
            self._loop.forget(self._socket.fileno())
            self._socket.close()
        self._socket = self._web = None
        self._out.clear()

    def _lost(self) -> None:
        """The connection, or the attempt at one, is gone: dial again after a while."""
        was_welcomed, self.welcomed = self.welcomed, False
        self._hang_up()
        if self._over:
            return
        now = self._loop.now()
        if was_welcomed:
            self._down_since = now
            self._loop.after("grace", self._grace_s, self._give_up)
        self._handler.disconnected()
        wait = backoff_s(self._failures, now - self._down_since, os.urandom(1)[0] / 255)
        self._failures += 1
        self._loop.after("dial", wait, self._dial)

    def _give_up(self) -> None:
        self.stop()
        self._handler.ended(f"no control plane for {self._grace_s:g} s")
