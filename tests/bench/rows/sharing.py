"""Inputs that share a container: many at once on one event loop, and batches beside the same work one by one."""

from collections.abc import Mapping

from tests.bench.bench import Bench, Figures
from tests.bench.rows.warm import run_load
from tests.bench.servers import Server

AT_ONCE = 64
CONNECTIONS = 64
BODY = b'{"args":[1]}'
SOURCE = """
import asyncio, time

async def nap(x):
    await asyncio.sleep(0.01)
    return x

def one(x):
    time.sleep(0.005)
    return x

def many(xs):
    time.sleep(0.005)
    return xs
"""
KEYS: Mapping[str, Mapping[str, object]] = {
    "nap": {"concurrency": {"max_inputs": AT_ONCE}},
    "one": {},
    "many": {"batching": {"max_batch_size": 32, "wait_ms": 5}},
}


def sharing(bench: Bench) -> Mapping[str, float]:
    """Calls by 64 connections of functions that have one container each; rates, and the ratio within a round."""
    figures = Figures()
    with bench.yurt() as yurt:
        _deploy(yurt)
        for name in KEYS:
            _rate(yurt, name, 0.5)
        for _ in range(bench.rounds):
            one, many = _rate(yurt, "one", bench.seconds), _rate(yurt, "many", bench.seconds)
            at_once = _rate(yurt, "nap", bench.seconds)
            figures.note(concurrent_rate=at_once, unbatched_rate=one, batched_rate=many, batched_rate_ratio=many / one)
    return figures.medians()


def _deploy(yurt: Server) -> None:
    yurt.ask("POST", "/v1/apps", {"name": "sharing"})
    plain = {"source": {"files": {"main.py": SOURCE}}, "max_containers": 1}
    functions = {name: {"entrypoint": f"main:{name}", **plain, **keys} for name, keys in KEYS.items()}
    yurt.ask("PUT", "/v1/apps/sharing/functions", {"functions": functions})


def _rate(yurt: Server, name: str, seconds: float) -> float:
    seen, _ = run_load(yurt, CONNECTIONS, seconds, f"/v1/functions/sharing:{name}/invocations", body=BODY)
    return seen.rate
