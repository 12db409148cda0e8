"""A queue of a million: accepting it, what it does to others, killing the server under it, draining it."""

import statistics
import tempfile
import threading
import time
import urllib.error
from collections.abc import Mapping
from pathlib import Path

from tests.bench.bench import Bench
from tests.bench.rows.maps import post_lines
from tests.bench.servers import Server, deploy, start

OTHER = "/v1/functions/other:f0"
PATIENCE_S = 300.0


def backlog(bench: Bench) -> Mapping[str, float]:
    """Accept, disturb, kill, start again, drain: on one store."""
    with tempfile.TemporaryDirectory(prefix="yurt-bench-") as place:
        yurt = start(Path(place), bench.flags)
        try:
            deploy(yurt, "queued", 1, max_containers=0)
            deploy(yurt, "other", 1, min_containers=1)
            yurt.ask("POST", f"{OTHER}/invocations", {})
            figures = _accept(yurt, bench)
            yurt.process.kill()
            yurt.process.wait(30)
            begun = time.perf_counter()
            yurt = start(Path(place), bench.flags, f"127.0.0.1:{yurt.port}")
            yurt.ask("POST", f"{OTHER}/invocations", {})
            figures[f"restart_{bench.inputs}_s"] = time.perf_counter() - begun
            return figures | _drain(yurt, bench)
        finally:
            yurt.process.terminate()
            yurt.process.wait(60)


def _accept(yurt: Server, bench: Bench) -> dict[str, float]:
    alone = statistics.median(_spawn_ms(yurt) for _ in range(200))
    beside: list[float] = []
    over = threading.Event()

    def others() -> None:
        while not over.wait(0.02):
            beside.append(_spawn_ms(yurt))

    thread = threading.Thread(target=others)
    before = yurt.rss_mib()
    thread.start()
    begun = time.perf_counter()
    try:
        answer = post_lines(yurt, "/v1/functions/queued:f0/map", bench.inputs, Prefer="respond-async")
        data = answer.read()
        took = time.perf_counter() - begun
    finally:
        over.set()
        thread.join()
    if answer.status != 202:
        raise RuntimeError(f"{answer.status}: {data[:300]!r}")
    return {
        "accept_million_s": took * 1_000_000 / bench.inputs,
        "accept_million_mib": yurt.rss_mib() - before,
        "spawn_alone_p50_ms": alone,
        "spawn_beside_p50_ms": statistics.median(beside),
        "accept_spawn_p50_ratio": statistics.median(beside) / alone,
    }


def _spawn_ms(yurt: Server) -> float:
    begun = time.perf_counter()
    yurt.ask("POST", f"{OTHER}/spawn", {})
    return (time.perf_counter() - begun) * 1000


def _drain(yurt: Server, bench: Bench) -> dict[str, float]:
    yurt.ask("PATCH", "/v1/functions/queued:f0/autoscaler", {"min_containers": 2, "max_containers": 2})
    begun = last = time.perf_counter()
    left = bench.inputs
    while left and time.perf_counter() - last < PATIENCE_S:
        time.sleep(0.5)
        try:
            now = yurt.ask("GET", "/v1/functions/queued:f0/stats")
        except urllib.error.URLError as error:
            raise RuntimeError("the server ended while it drained its queue") from error
        count = int(str(now["backlog"])) + int(str(now["running_inputs"]))
        if count < left:
            left, last = count, time.perf_counter()
    return {"drain_rate": (bench.inputs - left) / (last - begun), "drain_left": float(left)}
