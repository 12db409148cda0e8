"""What it costs to look whether a large cluster holds what it should, on the double of a cluster."""

import asyncio
import logging
import multiprocessing
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from multiprocessing.connection import Connection

import structlog

from tests.bench.bench import Bench
from tests.fakes.nomad.placing import Node
from tests.fakes.nomad.server import NomadDouble
from tests.unit.nomad.cases import function, settings
from yurt.domain.functions import LiveFunction
from yurt.outbound.engines.nomad import NomadEngine

FUNCTIONS = 1000
CONTAINERS = 5
"""Of each function."""

REGISTERING_MAY_TAKE_S = 300.0


def reconciling(bench: Bench) -> Mapping[str, float]:
    """The processor time of the engine, over its threads, for one look in which nothing is to be done."""
    del bench  # no server, and no store
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    functions = [
        function(function_id=f"fu-{number}", name=f"f{number}", image=None, revision=1) for number in range(FUNCTIONS)
    ]
    with _double() as pipe:
        cpu_s = asyncio.run(_measure(pipe, functions))
    return {"reconcile_cpu_s": cpu_s}


async def _measure(pipe: Connection, functions: list[LiveFunction]) -> float:
    port = pipe.recv()
    asked = settings(address=f"http://127.0.0.1:{port}", token="yurts-token", driver="raw_exec")
    first = NomadEngine(asked)
    await first.open(lambda _: None)
    async with asyncio.timeout(REGISTERING_MAY_TAKE_S):
        await first.tidy(functions)
    await first.close(stop_all=False)
    pipe.send(CONTAINERS)
    found = pipe.recv()
    engine = NomadEngine(asked)
    observed = await engine.open(lambda _: None)
    if len(observed) != found:
        raise RuntimeError(f"{len(observed)} of {found} containers were found")
    await engine.tidy(functions)
    before = time.process_time()
    await engine.tidy(functions)
    cpu_s = time.process_time() - before
    await engine.close(stop_all=False)
    return cpu_s


@contextmanager
def _double() -> Iterator[Connection]:
    """The double in a process of its own, so that its work is not counted."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(there,), daemon=True)
    process.start()
    try:
        yield here
    finally:
        process.terminate()
        process.join(10)


def _serve(pipe: Connection) -> None:
    asyncio.run(_serve_double(pipe))


async def _serve_double(pipe: Connection) -> None:
    double = await NomadDouble([Node("n-1", "rack-1")]).start()
    pipe.send(double.port)
    each = await asyncio.to_thread(pipe.recv)
    cluster = double.cluster
    made = [cluster.have_running(parent, f"co-{parent}-{n}") for parent in list(cluster.jobs) for n in range(each)]
    pipe.send(len(made))
    await asyncio.get_running_loop().create_future()
