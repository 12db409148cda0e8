"""Cold starts, and memory at rest."""

import statistics
import time
from collections.abc import Mapping

import psutil

from tests.bench.bench import Bench
from tests.bench.rows.warm import run_load
from tests.bench.servers import deploy

COLD_STARTS = 20
FINISHED_CALLS = 10_000


def cold(bench: Bench) -> Mapping[str, float]:
    """From no container to the first result, for functions that were never called."""
    with bench.yurt() as yurt:
        deploy(yurt, "cold", COLD_STARTS)
        taken = []
        for number in range(COLD_STARTS):
            begun = time.perf_counter()
            yurt.ask("POST", f"/v1/functions/cold:f{number}/invocations", {})
            taken.append((time.perf_counter() - begun) * 1000)
        pss = [_pss_mib(process) for process in psutil.Process(yurt.process.pid).children()]
    return {
        "cold_start_p50_ms": statistics.median(taken),
        "cold_start_max_ms": max(taken),
        "runner_pss_mib": statistics.median(pss),
    }


def _pss_mib(supervisor: psutil.Process) -> float:
    family = [supervisor, *supervisor.children(recursive=True)]
    return sum(process.memory_full_info().pss for process in family) / (1 << 20)


def memory(bench: Bench) -> Mapping[str, float]:
    """A fresh server with one app, 100 functions and 10,000 finished calls."""
    with bench.yurt() as yurt:
        deploy(yurt, "bench", 100)
        done = 0
        while done < FINISHED_CALLS:
            seen, _ = run_load(yurt, 64, 0.5)
            done += len(seen.latencies)
        return {"server_rss_mib": yurt.rss_mib(), "server_rss_calls": float(done)}
