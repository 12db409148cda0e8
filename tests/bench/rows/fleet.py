"""Containers on a Nomad cluster: beside the local engine, and many of them."""

import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from tests.bench.bench import Bench, Figures
from tests.bench.rows.warm import CALL, run_load
from tests.bench.servers import Server, deploy, yurt_server
from tests.cluster import a_stack, engine_flags

STARTS = 20
CROWD = 50
IDLE_S = 20.0
CROWD_MAY_TAKE_S = 120.0
LOOK_S = 0.05
SMALL = {"memory": 64, "cpu": 0.01}


@contextmanager
def nomad(bench: Bench, *more: str) -> Iterator[Server]:
    """A server with an empty store, on a cluster of one node; `more` are flags of the server."""
    with a_stack("none") as stack, bench.empty() as flags, yurt_server(*engine_flags(stack), *flags, *more) as server:
        yield server


def warm_on_nomad(bench: Bench) -> Mapping[str, float]:
    """Interleaved rounds of warm calls through a container of either engine."""
    figures = Figures()
    with bench.yurt() as local, nomad(bench) as fleet:
        for server in (local, fleet):
            deploy(server, "bench", 1)
            server.ask("POST", CALL, {})
            run_load(server, 1, 0.5)
        for _ in range(bench.rounds):
            floor, _ = run_load(local, 1, bench.seconds)
            seen, _ = run_load(fleet, 1, bench.seconds)
            figures.note(
                local_p50_c1_ms=floor.percentile(0.5),
                nomad_p50_c1_ms=seen.percentile(0.5),
                nomad_p50_c1_ratio=seen.percentile(0.5) / floor.percentile(0.5),
            )
    return figures.medians()


def start_on_nomad(bench: Bench) -> Mapping[str, float]:
    """One container after another, from its dispatch until it is ready, as the server saw it."""
    with nomad(bench) as server:
        return _starts(server, "nomad")


def start_in_docker(bench: Bench) -> Mapping[str, float]:
    """The same in docker, with an image that the node has: `YURT_TEST_IMAGE`, as for the tests."""
    image = os.environ.get("YURT_TEST_IMAGE")
    if image is None:
        sys.stderr.write("docker: skipped, since YURT_TEST_IMAGE names no image; scripts/base-image makes one\n")
        return {}
    flags = ("--nomad-driver", "docker", "--default-image", image, "--nomad-python", "python3")
    with nomad(bench, *flags) as server:
        return _starts(server, "docker")


def _starts(server: Server, name: str) -> Mapping[str, float]:
    figures = Figures()
    deploy(server, "cold", STARTS, **SMALL)
    for number in range(STARTS):
        begun = time.perf_counter()
        server.ask("POST", f"/v1/functions/cold:f{number}/invocations", {})
        figures.note(**{f"{name}_cold_call_p50_ms": (time.perf_counter() - begun) * 1000})
    for one in _containers(server):
        figures.note(**{f"{name}_ready_p50_ms": (_time(one["ready_at"]) - _time(one["created_at"])) * 1000})
    return figures.medians()


def crowd_on_nomad(bench: Bench) -> Mapping[str, float]:
    """From none to fifty containers, all ready; then what the server takes of a core while they have nothing to do."""
    with nomad(bench) as server:
        begun = time.perf_counter()
        deploy(server, "crowd", 1, min_containers=CROWD, max_containers=CROWD, **SMALL)
        while sum("ready_at" in one for one in _containers(server)) < CROWD:
            if time.perf_counter() - begun > CROWD_MAY_TAKE_S:
                raise RuntimeError(f"{CROWD} containers were not ready within {CROWD_MAY_TAKE_S:g} s")
            time.sleep(LOOK_S)
        ready_s = time.perf_counter() - begun
        before = server.cpu_s()
        time.sleep(IDLE_S)
        return {"crowd_s": ready_s, "crowd_idle_percent": 100 * (server.cpu_s() - before) / IDLE_S}


def _containers(server: Server) -> list[Mapping[str, Any]]:
    found: Any = server.ask("GET", "/v1/containers?limit=200")["data"]
    return list(found)


def _time(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
