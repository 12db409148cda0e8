"""A queue of a million: accepting it, what it does to others, killing the server under it, draining it."""

import statistics
import tempfile
import threading
import time
import urllib.error
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bench.bench import Bench
from tests.bench.peak import Peak
from tests.bench.rows.maps import lines, queue_lines
from tests.bench.servers import Server, deploy, start

QUEUED = "/v1/functions/queued:f0"
OTHER = "/v1/functions/other:f0"
SPAWNS = 100
RESTARTS = 3
CONTAINERS = 2
PATIENCE_S = 300.0


@dataclass
class _Home:
    """A server that can be killed and started again: one function whose queue grows, one with a warm container."""

    place: Path
    flags: tuple[str, ...]
    yurt: Server

    def restart(self) -> float:
        """Seconds from the start after `kill -9` to the answer of a call in the container that lived through it."""
        self.yurt.process.kill()
        self.yurt.process.wait(30)
        begun = time.perf_counter()
        self.yurt = start(self.place, self.flags, f"127.0.0.1:{self.yurt.port}")
        self.yurt.ask("POST", f"{OTHER}/invocations", {})
        return time.perf_counter() - begun


@contextmanager
def _home(bench: Bench) -> Iterator[_Home]:
    with bench.empty() as flags, tempfile.TemporaryDirectory(prefix="yurt-bench-") as place:
        home = _Home(Path(place), flags, start(Path(place), flags))
        try:
            deploy(home.yurt, "queued", 1, max_containers=0)
            deploy(home.yurt, "other", 1, min_containers=1)
            home.yurt.ask("POST", f"{OTHER}/invocations", {})
            yield home
        finally:
            home.yurt.process.terminate()
            home.yurt.process.wait(60)


def backlog(bench: Bench) -> Mapping[str, float]:
    """Accept, disturb, kill, start again, drain: on one store."""
    with _home(bench) as home:
        figures = _accept(home.yurt, bench.inputs)
        figures |= _restarts(home, bench.inputs)
        return figures | _drain(home.yurt, bench.inputs)


def restart(bench: Bench) -> Mapping[str, float]:
    """The same kill with a tenth in the queue."""
    count = bench.inputs // 10
    with _home(bench) as home:
        queue_lines(home.yurt, f"{QUEUED}/map", lines(count))
        return _restarts(home, count)


def _restarts(home: _Home, count: int) -> dict[str, float]:
    taken = [home.restart() for _ in range(RESTARTS)]
    return {f"restart_{count}_s": statistics.median(taken), f"restart_{count}_max_s": max(taken)}


def _accept(yurt: Server, count: int) -> dict[str, float]:
    body = list(lines(count))  # what is made while it is sent would slow down the clients that are timed beside it
    over = threading.Event()
    alone, beside = list[float](), list[float]()

    def others() -> None:
        while not over.wait(0.02):
            beside.append(_spawn_ms(yurt))

    for _ in range(SPAWNS):
        time.sleep(0.02)  # the rhythm of `others`
        alone.append(_spawn_ms(yurt))
    thread = threading.Thread(target=others)
    before = yurt.rss_mib()
    thread.start()
    try:
        with Peak(yurt) as peak:
            begun = time.perf_counter()
            queue_lines(yurt, f"{QUEUED}/map", body)
            took = time.perf_counter() - begun
    finally:
        over.set()
        thread.join()
    return {
        "accept_million_s": took * 1_000_000 / count,
        "accept_million_mib": peak.mib - before,
        "spawn_alone_p50_ms": statistics.median(alone),
        "spawn_beside_p50_ms": statistics.median(beside),
        "accept_spawn_p50_ratio": statistics.median(beside) / statistics.median(alone),
    }


def _spawn_ms(yurt: Server) -> float:
    begun = time.perf_counter()
    yurt.ask("POST", f"{OTHER}/spawn", {})
    return (time.perf_counter() - begun) * 1000


def _drain(yurt: Server, count: int) -> dict[str, float]:
    yurt.ask("PATCH", f"{QUEUED}/autoscaler", {"min_containers": CONTAINERS, "max_containers": CONTAINERS})
    begun = last = time.perf_counter()
    left = count
    while left and time.perf_counter() - last < PATIENCE_S:
        time.sleep(0.1)
        try:
            now = yurt.ask("GET", f"{QUEUED}/stats")
        except urllib.error.URLError as error:
            raise RuntimeError("the server ended while it drained its queue") from error
        waiting = int(str(now["backlog"])) + int(str(now["running_inputs"]))
        if waiting < left:
            left, last = waiting, time.perf_counter()
    return {"drain_rate": (count - left) / (last - begun), "drain_left": float(left)}
