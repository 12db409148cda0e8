"""Requests through the gateway, beside the same app behind nginx: latency, rate, and what long ones cost in memory."""

import asyncio
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil
import uvloop

from tests.bench.bench import Bench, Figures
from tests.bench.load import Load, load
from tests.bench.peak import Peak
from tests.bench.servers import Server

GIB = 1 << 30
SOCKETS = 1000

APP = """

PIECE = b"x" * (1 << 18)

async def app(scope, receive, send):
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while (await receive())["type"] != "websocket.disconnect":
            pass
    elif scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        if scope["path"].endswith("/down"):
            for _ in range(1 << 12):
                await send({"type": "http.response.body", "body": PIECE, "more_body": True})
        if scope["path"].endswith("/up"):
            while (await receive())["more_body"]:
                pass
        await send({"type": "http.response.body", "body": b"ok"})
"""


def web(bench: Bench) -> Mapping[str, float]:
    """A no-op through the gateway and through nginx by turns; then 1 GiB down and up, then a thousand WebSockets."""
    figures = Figures()
    with bench.yurt() as yurt:
        yurt.ask("POST", "/v1/apps", {"name": "bench"})
        keys = {"concurrency": {"max_inputs": 1000}, "max_containers": 1, "kind": "asgi", "label": "bench"}
        definition = {"entrypoint": "main:app", "source": {"files": {"main.py": APP}}, **keys}
        yurt.ask("PUT", "/v1/apps/bench/functions/web", definition)
        _run(yurt.port, "/web/bench/", 1, 0.5)
        with nginx(app_port(yurt)) as other:
            for _ in range(bench.rounds):
                one = _run(yurt.port, "/web/bench/", 1, bench.seconds)
                figures.note(web_p50_c1_ms=one.percentile(0.5), web_p99_c1_ms=one.percentile(0.99))
                before = yurt.cpu_s()
                many = _run(yurt.port, "/web/bench/", 64, bench.seconds)
                figures.note(web_rate_c64=many.rate, web_cpu_us=(yurt.cpu_s() - before) / len(many.latencies) * 1e6)
                if other is not None:
                    figures.note(web_rate_c64_ratio=many.rate / _run(other, "/", 64, bench.seconds).rate)
        return {**figures.medians(), **_streams(yurt), **_sockets(yurt)}


def _run(port: int, path: str, connections: int, seconds: float) -> Load:
    seen = uvloop.run(load(port, path, connections=connections, seconds=seconds, body=b"", expected=b"ok"))
    if seen.failures:
        raise RuntimeError(f"{seen.failures} of {len(seen.latencies)} requests failed")
    return seen


def _streams(yurt: Server) -> Mapping[str, float]:
    """How far memory rises, and how long it takes, while 1 GiB goes through in each direction."""
    out: dict[str, float] = {}
    for direction in ("down", "up"):
        before, begun = yurt.rss_mib(), time.monotonic()
        with Peak(yurt) as peak:
            _stream(yurt.port, direction)
        out[f"web_{direction}_mib"] = peak.mib - before
        out[f"web_{direction}_s"] = time.monotonic() - begun
    return out


def _stream(port: int, direction: str) -> None:
    piece = bytes(1 << 18)
    size = GIB if direction == "up" else 0
    with socket.create_connection(("127.0.0.1", port)) as sock:
        head = f"POST /web/bench/{direction} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n"
        sock.sendall(f"{head}Content-Length: {size}\r\n\r\n".encode())
        for _ in range(size // len(piece)):
            sock.sendall(piece)
        seen = 0
        while data := sock.recv(1 << 20):
            seen += len(data)
        if seen < (GIB if direction == "down" else 2):
            raise RuntimeError(f"only {seen} bytes came")


def _sockets(yurt: Server) -> Mapping[str, float]:
    """How far memory rises for a thousand WebSockets that say nothing."""
    before = yurt.rss_mib()
    return {"web_sockets_mib": asyncio.run(_open_sockets(yurt)) - before}


async def _open_sockets(yurt: Server) -> float:
    head = b"GET /web/bench/ws HTTP/1.1\r\nHost: bench\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    head += b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    writers = []
    for _ in range(SOCKETS):
        reader, writer = await asyncio.open_connection("127.0.0.1", yurt.port, limit=1024)
        writer.write(head)
        answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)
        if b" 101 " not in answer:
            raise RuntimeError(answer.decode())
        writers.append(writer)
    rss = yurt.rss_mib()
    for writer in writers:
        writer.close()
    return rss


def app_port(yurt: Server) -> int:
    """Where the container's own server listens."""
    for process in psutil.Process(yurt.process.pid).children(recursive=True):
        for connection in process.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN:
                return int(connection.laddr.port)
    raise RuntimeError("no container listens")


NGINX = """
worker_processes 1;
daemon off;
pid {place}/pid;
error_log {place}/log;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {place}/a; proxy_temp_path {place}/b; fastcgi_temp_path {place}/c;
    uwsgi_temp_path {place}/d; scgi_temp_path {place}/e;
    upstream app {{ server 127.0.0.1:{app}; keepalive 64; }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection "";
            proxy_set_header Host $host; proxy_set_header X-Forwarded-For $remote_addr;
        }}
    }}
}}
"""


@contextmanager
def nginx(app: int) -> Iterator[int | None]:
    """The same app behind nginx, where that is installed: its port, else None."""
    found = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
    if found is None:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="yurt-nginx-") as place:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        config = Path(place) / "conf"
        config.write_text(NGINX.format(place=place, app=app, port=port))
        process = subprocess.Popen([found, "-c", str(config)], stderr=subprocess.DEVNULL)
        try:
            _wait(port)
            yield port
        finally:
            process.terminate()
            process.wait(10)


def _wait(port: int) -> None:
    end = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)
        else:
            return
