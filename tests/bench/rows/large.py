"""A MiB in and a MiB out."""

import http.client
import json
import statistics
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from tests.bench.bench import Bench
from tests.bench.peak import Peak
from tests.bench.servers import Server, deploy

SIZE = 1 << 20
CLIENTS = 8
CALLS = 20
PATH = "/v1/functions/large:f0/invocations"


def large(bench: Bench) -> Mapping[str, float]:
    """The latency of one at a time, and the server's peak of memory with eight."""
    with bench.yurt() as yurt:
        deploy(yurt, "large", 1, entrypoint="main:echo", max_containers=CLIENTS)
        _calls(yurt, 5)
        taken = _calls(yurt, CALLS * bench.rounds)
        with Peak(yurt) as peak, ThreadPoolExecutor(CLIENTS) as threads:
            together = [time for one in threads.map(lambda _: _calls(yurt, CALLS), range(CLIENTS)) for time in one]
    return {
        "large_p50_ms": statistics.median(taken),
        "large_c8_p50_ms": statistics.median(together),
        "large_rss_mib": peak.mib,
    }


def _calls(yurt: Server, count: int) -> list[float]:
    """Milliseconds of each."""
    body = json.dumps({"args": ["x" * SIZE]}).encode()
    headers = {"Authorization": f"Bearer {yurt.token}", "Content-Type": "application/json"}
    connection = http.client.HTTPConnection("127.0.0.1", yurt.port, timeout=60)
    taken = []
    for _ in range(count):
        begun = time.perf_counter()
        connection.request("POST", PATH, body, headers)
        answer = connection.getresponse()
        data = answer.read()
        taken.append((time.perf_counter() - begun) * 1000)
        if answer.status != 200 or len(data) < SIZE:
            raise RuntimeError(f"{answer.status}: {data[:200]!r}")
    connection.close()
    return taken
