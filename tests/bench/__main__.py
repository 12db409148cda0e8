"""`scripts/bench`: warm calls beside a bare echo, cold starts, memory. Prints a table, and JSON with `--json`."""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Mapping

import psutil
import uvloop

from tests.bench.load import Load, load
from tests.bench.servers import Server, deploy, echo_server, yurt_server

PATH = "/v1/functions/bench:f0/invocations"
CONNECTIONS = (1, 64)
COLD_STARTS = 20
FINISHED_CALLS = 10_000

BARS: Mapping[str, tuple[str, float]] = {
    "p50_c1_ms": ("<=", 0.9),
    "p50_c1_ratio": ("<=", 4.0),
    "p99_c1_ms": ("<=", 4.0),
    "rate_c64": (">=", 6000.0),
    "rate_c64_ratio": (">=", 0.35),
    "cpu_c64_ratio": ("<=", 3.0),
    "cold_start_p50_ms": ("<=", 200.0),
    "runner_pss_mib": ("<=", 25.0),
    "server_rss_mib": ("<=", 150.0),
}
"""What is promised on two cores with everything on them."""


def run_load(server: Server, connections: int, seconds: float) -> tuple[Load, float]:
    """One round; returns it with the server's processor time per call in microseconds."""
    before = server.cpu_s()
    expected = b'"success"' if server.token else b""
    seen = uvloop.run(
        load(server.port, PATH, connections=connections, seconds=seconds, token=server.token, expected=expected)
    )
    if seen.failures:
        raise RuntimeError(f"{seen.failures} of {len(seen.latencies)} calls failed")
    return seen, (server.cpu_s() - before) / len(seen.latencies) * 1e6


def warm(echo: Server, yurt: Server, rounds: int, seconds: float) -> dict[str, float]:
    """Interleaved rounds; medians, and medians of the ratios within a round."""
    figures: dict[str, list[float]] = {}

    def note(name: str, value: float) -> None:
        figures.setdefault(name, []).append(value)

    for connections in CONNECTIONS:
        run_load(yurt, connections, 0.5)
        for _ in range(rounds):
            floor, floor_cpu = run_load(echo, connections, seconds)
            seen, cpu = run_load(yurt, connections, seconds)
            note(f"p50_c{connections}_ms", seen.percentile(0.5))
            note(f"p99_c{connections}_ms", seen.percentile(0.99))
            note(f"echo_p50_c{connections}_ms", floor.percentile(0.5))
            note(f"p50_c{connections}_ratio", seen.percentile(0.5) / floor.percentile(0.5))
            note(f"rate_c{connections}", seen.rate)
            note(f"echo_rate_c{connections}", floor.rate)
            note(f"rate_c{connections}_ratio", seen.rate / floor.rate)
            note(f"cpu_c{connections}_us", cpu)
            note(f"cpu_c{connections}_ratio", cpu / floor_cpu)
    return {name: statistics.median(values) for name, values in figures.items()}


def cold(yurt: Server) -> dict[str, float]:
    """From no container to the first result, for functions that were never called."""
    deploy(yurt, "cold", COLD_STARTS)
    taken = []
    for number in range(COLD_STARTS):
        begun = time.perf_counter()
        yurt.ask("POST", f"/v1/functions/cold:f{number}/invocations", {})
        taken.append((time.perf_counter() - begun) * 1000)
    pss = [_pss_mib(process) for process in psutil.Process(yurt.process.pid).children()]
    yurt.ask("DELETE", "/v1/apps/cold")
    return {
        "cold_start_p50_ms": statistics.median(taken),
        "cold_start_max_ms": max(taken),
        "runner_pss_mib": statistics.median(pss),
    }


def _pss_mib(supervisor: psutil.Process) -> float:
    family = [supervisor, *supervisor.children(recursive=True)]
    return sum(process.memory_full_info().pss for process in family) / (1 << 20)


def memory() -> dict[str, float]:
    """A fresh server with one app, 100 functions and 10,000 finished calls."""
    with yurt_server() as yurt:
        deploy(yurt, "bench", 100)
        done = 0
        while done < FINISHED_CALLS:
            seen, _ = run_load(yurt, 64, 0.5)
            done += len(seen.latencies)
        return {"server_rss_mib": yurt.rss_mib(), "server_rss_calls": float(done)}


def measure(rounds: int, seconds: float) -> dict[str, float]:
    """Everything."""
    figures = memory()
    with echo_server() as echo, yurt_server() as yurt:
        deploy(yurt, "bench", 1)
        yurt.ask("POST", PATH, {})
        figures |= warm(echo, yurt, rounds, seconds)
        figures |= cold(yurt)
    return figures


_HOLDS: Mapping[str, Callable[[float, float], bool]] = {
    "<=": lambda value, bar: value <= bar,
    ">=": lambda value, bar: value >= bar,
}


def table(figures: Mapping[str, float]) -> str:
    """The figures with their bars, one a line."""
    lines = []
    for name, value in figures.items():
        sign, bar = BARS.get(name, ("", 0.0))
        verdict = f"{sign} {bar:g}  {'ok' if _HOLDS[sign](value, bar) else 'MISSED'}" if sign else ""
        lines.append(f"{name:<24}{value:>12.3f}  {verdict}")
    return "\n".join(lines)


def main() -> int:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="interleaved rounds of each load")
    parser.add_argument("--seconds", type=float, default=2.0, help="length of a round")
    parser.add_argument("--json", action="store_true", help="print JSON alone")
    options = parser.parse_args()
    figures = measure(options.rounds, options.seconds)
    rounded = {name: round(value, 3) for name, value in figures.items()}
    sys.stdout.write((json.dumps(rounded) if options.json else f"{table(figures)}\n{json.dumps(rounded)}") + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
