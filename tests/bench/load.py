"""A closed loop of keep-alive connections: each sends its next request when the last one is answered.

It speaks as little HTTP as the two servers need, so that it costs little beside them.
"""

import asyncio
import time
from dataclasses import dataclass, field

END = b"\r\n\r\n"
LENGTH = b"content-length:"


@dataclass(slots=True)
class Load:
    """What one run saw. Latencies in seconds."""

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    failures: int = 0

    @property
    def rate(self) -> float:
        """Answers in a second."""
        return len(self.latencies) / self.seconds

    def percentile(self, share: float) -> float:
        """A latency by nearest rank, in milliseconds."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1000


class _Client(asyncio.Protocol):
    """One connection."""

    def __init__(self, request: bytes, expected: bytes, load: Load, end: float) -> None:
        self._request = request
        self._expected = expected
        self._load = load
        self._end = end
        self._buffer = b""
        self._sent = 0.0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._send()

    def _send(self) -> None:
        self._sent = time.perf_counter()
        self._transport.write(self._request)  # type: ignore[attr-defined]  # it is a socket's transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head = self._buffer.find(END)
        if head < 0:
            return
        low = self._buffer[:head].lower()
        at = low.index(LENGTH) + len(LENGTH)
        size = int(low[at:].split(b"\r\n", 1)[0])
        if len(self._buffer) < head + len(END) + size:
            return
        now = time.perf_counter()
        self._load.latencies.append(now - self._sent)
        if self._expected not in self._buffer:
            self._load.failures += 1
        self._buffer = b""
        if now < self._end:
            self._send()
        else:
            self._transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():
            self.done.set_result(None)


async def load(
    port: int,
    path: str,
    *,
    connections: int,
    seconds: float,
    token: str = "",
    body: bytes = b"{}",
    expected: bytes = b"",
) -> Load:
    """Send POSTs for so long; `expected` must stand in each answer, or it counts as a failure."""
    lines = [f"POST {path} HTTP/1.1", "Host: bench", "Content-Type: application/json", f"Content-Length: {len(body)}"]
    if token:
        lines.append(f"Authorization: Bearer {token}")
    request = ("\r\n".join(lines) + "\r\n\r\n").encode() + body
    out = Load()
    begun = time.perf_counter()
    loop = asyncio.get_running_loop()
    clients = []
    for _ in range(connections):
        _, client = await loop.create_connection(
            lambda: _Client(request, expected, out, begun + seconds), "127.0.0.1", port
        )
        clients.append(client.done)
    await asyncio.wait_for(asyncio.gather(*clients), seconds + 30)
    out.seconds = time.perf_counter() - begun
    return out
