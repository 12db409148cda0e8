"""`scripts/bench --peers`: Yurt beside Celery and Dramatiq on Redis, bare and with every write on the disk."""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import uvloop

from tests.bench.load import load
from tests.bench.peers.figures import compared, medians, table
from tests.bench.servers import Server, deploy, yurt_server

ROOT = Path(__file__).parents[3]
PATH = "/v1/functions/bench:f0/invocations"
ROUNDS = 3
SECONDS = 3.0
WORKERS: Mapping[str, list[str]] = {
    "celery": ["celery", "-A", "tests.bench.peers.celery_redis", "worker", "-c", "2", "--loglevel", "ERROR",
               "--without-gossip", "--without-mingle", "--without-heartbeat"],
    "dramatiq": ["dramatiq", "tests.bench.peers.dramatiq_redis", "-p", "2", "-t", "4"],
}  # fmt: skip
"""The command of each peer's workers: 2 processes."""
REDIS: Mapping[str, tuple[str, ...]] = {
    "bare": ("--save", "", "--appendonly", "no"),
    "fsync": ("--save", "", "--appendonly", "yes", "--appendfsync", "always"),
}


def interpreter(peer: str) -> Path:
    """The `bin` of the peer's own environment, made and filled if need be. Raises if it cannot be."""
    place = ROOT / "build" / "bench" / peer
    wanted = Path(__file__).with_name(f"{peer}.txt")
    stamp = place / "installed.txt"
    if not stamp.exists() or stamp.read_text() != wanted.read_text():
        venv.create(place, clear=True, with_pip=True)
        command = [str(place / "bin/python"), "-m", "pip", "install", "-q", "-r", str(wanted)]
        subprocess.run(command, check=True, timeout=600, stdout=sys.stderr)
        stamp.write_text(wanted.read_text())
    return place / "bin"


@contextmanager
def started(command: list[str], environment: Mapping[str, str], cwd: Path = ROOT) -> Iterator[None]:
    """A program that is gone at the end."""
    process = subprocess.Popen(
        command, env={**os.environ, **environment}, cwd=cwd, stdout=subprocess.DEVNULL, stderr=sys.stderr
    )
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(5)


@contextmanager
def redis(keeping: str) -> Iterator[str]:
    """The URL of a Redis of its own on a private port."""
    with tempfile.TemporaryDirectory(prefix="yurt-redis-") as place, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        command = ["redis-server", "--bind", "127.0.0.1", "--port", str(port), "--dir", place, *REDIS[keeping]]
        with started(command, {}):
            end = time.monotonic() + 10
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port), 1).close()
                    break
                except ConnectionRefusedError:
                    if time.monotonic() > end:
                        raise
                    time.sleep(0.05)
            yield f"redis://127.0.0.1:{port}/0"


def of_peer(tools: Path, peer: str, url: str) -> dict[str, float]:
    """One round."""
    command = [str(tools / "python"), "-m", f"tests.bench.peers.{peer}_redis", str(SECONDS)]
    environment = {**os.environ, "BENCH_REDIS": url}
    done = subprocess.run(
        command, env=environment, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True, timeout=120
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found


def of_yurt(yurt: Server) -> dict[str, float]:
    """One round through REST."""
    seen = [
        uvloop.run(load(yurt.port, PATH, connections=c, seconds=s, token=yurt.token, expected=b'"success"'))
        for c, s in ((8, 1.0), (1, SECONDS), (64, SECONDS))
    ]
    figures = {f"p{n}_c1_ms": seen[1].percentile(n / 100) for n in (50, 95, 99)}
    return figures | {"rate_c64": seen[2].rate, "errors": float(seen[1].failures + seen[2].failures)}


def main() -> int:
    """Measure peer after peer, each round beside one of Yurt."""
    rows: dict[str, dict[str, float]] = {}
    durable = {"yurt (SQLite)": "yes: a crash of the process"}
    ours: list[dict[str, float]] = []
    with yurt_server() as yurt:
        deploy(yurt, "bench", 1)
        yurt.ask("POST", PATH, {})
        for peer, workers in WORKERS.items():
            try:
                tools = interpreter(peer)
            except (OSError, subprocess.SubprocessError) as error:
                sys.stderr.write(f"{peer} is skipped: {error}\n")
                continue
            for keeping in REDIS:
                name = f"{peer} + Redis {keeping}"
                durable[name] = "Redis: each write on the disk; tasks taken: see docs" if keeping == "fsync" else "no"
                with ExitStack() as stack:
                    url = stack.enter_context(redis(keeping))
                    command = [str(tools / workers[0]), *workers[1:]]
                    stack.enter_context(started(command, {"BENCH_REDIS": url, "PYTHONPATH": str(ROOT)}))
                    pairs = [(of_peer(tools, peer, url), of_yurt(yurt)) for _ in range(ROUNDS)]
                rows[name] = compared([pair[0] for pair in pairs], [pair[1] for pair in pairs])
                ours += [pair[1] for pair in pairs]
    if not ours:
        return 1
    rows = {"yurt (SQLite)": medians(ours), **rows}
    sys.stdout.write(f"{table(rows, durable)}\n{json.dumps({'figures': rows, 'durable': durable})}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
