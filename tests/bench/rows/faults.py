"""A container that is killed, and a caller that floods a queue."""

import json
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import psutil
import uvloop

from tests.bench.bench import Bench, Figures
from tests.bench.load import load
from tests.bench.rows.maps import queue_lines
from tests.bench.servers import Server

LOSSES = 7
SOURCE = (
    "import os, time\n\n\ndef where(path):\n    with open(path, 'a') as file:\n"
    "        file.write(f'{os.getpid()} {time.time()}\\n')\n    time.sleep(60)\n\n\n"
    "def work(ms):\n    time.sleep(ms / 1000)\n"
)
BODY_MS = 20
OUTSTANDING = 40
SLOTS = 4
SAMPLES = 60
FLOOD_S = 10.0
CALL = "/v1/functions/fair:f0/invocations"
QUEUE = "/v1/functions/fair:f0/map"


def lost(bench: Bench) -> Mapping[str, float]:
    """From the kill of a container to the next run of its input in a warm one."""
    with bench.yurt() as yurt:
        yurt.ask("POST", "/v1/apps", {"name": "lost"})
        definition = {"entrypoint": "main:where", "source": {"files": {"main.py": SOURCE}}}
        taken = []
        for number in range(LOSSES):
            name = f"f{number}"
            wanted = {**definition, "min_containers": 2, "max_containers": 2}
            yurt.ask("PUT", f"/v1/apps/lost/functions/{name}", wanted)
            _until(partial(_both_ready, yurt, name))
            taken.append(_one_loss(yurt, name))
            yurt.ask("DELETE", f"/v1/functions/lost:{name}")
    return {"lost_p50_s": statistics.median(taken), "lost_max_s": max(taken)}


def _both_ready(yurt: Server, name: str) -> bool:
    listed = yurt.ask("GET", f"/v1/containers?function_id=lost:{name}&state=ready")["data"]
    return isinstance(listed, list) and len(listed) == 2


def _one_loss(yurt: Server, name: str) -> float:
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o777)
        path = Path(place, "runs")
        path.touch(0o666)
        path.chmod(0o666)
        yurt.ask("POST", f"/v1/functions/lost:{name}/spawn", {"args": [str(path)]})
        _until(path.read_text)
        worker = psutil.Process(int(path.read_text().split()[0]))
        supervisor = worker.parent()
        killed = time.time()
        for process in (worker, supervisor):
            if process is not None:
                process.kill()
        _until(lambda: path.read_text().count("\n") == 2)
        return float(path.read_text().split()[3]) - killed


def _until(condition: Callable[[], object], within_s: float = 60.0) -> None:
    end = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > end:
            raise RuntimeError("it did not come true in time")
        time.sleep(0.01)


def fair(bench: Bench) -> Mapping[str, float]:
    """One caller at a time, alone, beside one that keeps many inputs outstanding, and behind a long queue of it."""
    figures = Figures()
    with bench.yurt() as yurt:
        yurt.ask("POST", "/v1/apps", {"name": "fair"})
        definition = {"entrypoint": "main:work", "source": {"files": {"main.py": SOURCE}}}
        wanted = {**definition, "min_containers": SLOTS, "max_containers": SLOTS}
        yurt.ask("PUT", "/v1/apps/fair/functions/f0", wanted)
        token = str(yurt.ask("POST", "/v1/tokens", {"name": "other", "role": "invoke"})["token"])
        other = replace(yurt, token=token)
        _p95(yurt, SLOTS)
        for _ in range(bench.rounds):
            alone, beside = _p95(yurt), _flooded(yurt, other)
            figures.note(fair_alone_p95_ms=alone, fair_beside_p95_ms=beside, fair_p95_ratio=beside / alone)
        queue_lines(other, f"{QUEUE}?priority=10", [b'{"args":[%d]}\n' % BODY_MS * (bench.inputs // 10)])
        for _ in range(bench.rounds):
            figures.note(fair_queued_p95_ms=_p95(yurt))
        found = figures.medians()
    return {**found, "fair_queued_p95_ratio": found["fair_queued_p95_ms"] / found["fair_alone_p95_ms"]}


def _flooded(yurt: Server, other: Server) -> float:
    body = json.dumps({"args": [BODY_MS]}).encode()
    flood = load(yurt.port, CALL, connections=OUTSTANDING, seconds=FLOOD_S, token=other.token, body=body)
    with ThreadPoolExecutor(1) as thread:
        flooding = thread.submit(uvloop.run, flood)
        time.sleep(1)  # until the queue is as full as it gets
        beside = _p95(yurt)
        if flooding.done():
            raise RuntimeError("the flood ended before the last sample")
    return beside


def _call(yurt: Server) -> float:
    begun = time.perf_counter()
    yurt.ask("POST", CALL, {"args": [BODY_MS]})
    return (time.perf_counter() - begun) * 1000


def _p95(yurt: Server, samples: int = SAMPLES) -> float:
    return statistics.quantiles((_call(yurt) for _ in range(samples)), n=20)[-1]
