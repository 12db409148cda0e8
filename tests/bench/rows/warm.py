"""Warm calls beside a bare echo: latency, rate, processor time; spawns."""

from collections.abc import Mapping

import uvloop

from tests.bench.bench import Bench, Figures
from tests.bench.load import Load, load
from tests.bench.servers import Server, deploy, echo_server

CALL = "/v1/functions/bench:f0/invocations"
SPAWN = "/v1/functions/bench:f0/spawn"
CONNECTIONS = (1, 64)


def run_load(
    server: Server,
    connections: int,
    seconds: float,
    path: str = CALL,
    expected: bytes = b'"success"',
    *,
    body: bytes = b"{}",
) -> tuple[Load, float]:
    """One round; returns it with the server's processor time per call in microseconds.

    Raises:
        RuntimeError: an answer did not contain `expected`.
    """
    before = server.cpu_s()
    seen = uvloop.run(
        load(
            server.port,
            path,
            connections=connections,
            seconds=seconds,
            token=server.token,
            expected=expected if server.token else b"",
            body=body,
        )
    )
    if seen.failures:
        raise RuntimeError(f"{seen.failures} of {len(seen.latencies)} calls failed")
    return seen, (server.cpu_s() - before) / len(seen.latencies) * 1e6


def warm(bench: Bench) -> Mapping[str, float]:
    """Interleaved rounds; medians, and medians of the ratios within a round."""
    figures = Figures()
    with echo_server() as echo, bench.yurt() as yurt:
        deploy(yurt, "bench", 1)
        yurt.ask("POST", CALL, {})
        for count in CONNECTIONS:
            run_load(yurt, count, 0.5)
            for _ in range(bench.rounds):
                floor, floor_cpu = run_load(echo, count, bench.seconds)
                seen, cpu = run_load(yurt, count, bench.seconds)
                own = {
                    f"p50_c{count}_ms": seen.percentile(0.5),
                    f"p99_c{count}_ms": seen.percentile(0.99),
                    f"echo_p50_c{count}_ms": floor.percentile(0.5),
                    f"p50_c{count}_ratio": seen.percentile(0.5) / floor.percentile(0.5),
                    f"rate_c{count}": seen.rate,
                    f"echo_rate_c{count}": floor.rate,
                    f"rate_c{count}_ratio": seen.rate / floor.rate,
                    f"cpu_c{count}_us": cpu,
                    f"cpu_c{count}_ratio": cpu / floor_cpu,
                }
                figures.note(**own)
    return figures.medians()


def spawn(bench: Bench) -> Mapping[str, float]:
    """How fast calls are accepted while they are run, with 64 connections."""
    figures = Figures()
    for _ in range(bench.rounds):
        with bench.yurt() as yurt:
            deploy(yurt, "bench", 1)
            yurt.ask("POST", CALL, {})
            seen, cpu = run_load(yurt, 64, bench.seconds, SPAWN, b'"call_id"')
            figures.note(spawn_rate_c64=seen.rate, spawn_p50_c64_ms=seen.percentile(0.5), spawn_cpu_us=cpu)
    return figures.medians()
