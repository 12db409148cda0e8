"""Ordered maps of inputs that do nothing, answered to the last line."""

import http.client
import json
import time
from collections.abc import Iterable, Iterator, Mapping

from tests.bench.bench import Bench, Figures
from tests.bench.servers import Server, deploy

SIZES = (10_000, 100_000)
CONTAINERS = 2
LINES_A_CHUNK = 1_000


def ordered_maps(bench: Bench) -> Mapping[str, float]:
    """Seconds from the first byte sent to the last line read."""
    figures = Figures()
    with bench.yurt() as yurt:
        deploy(yurt, "bench", 1, min_containers=CONTAINERS, max_containers=CONTAINERS)
        _map(yurt, 1_000)
        for size in SIZES:
            for _ in range(bench.rounds):
                figures.note(**{f"map_{size}_s": _map(yurt, size)})
    return figures.medians()


def lines(count: int) -> Iterator[bytes]:
    """NDJSON, some lines at a time."""
    for start in range(0, count, LINES_A_CHUNK):
        yield b"".join(b'{"args":[%d]}\n' % n for n in range(start, min(start + LINES_A_CHUNK, count)))


def post_lines(yurt: Server, path: str, body: Iterable[bytes], **headers: str) -> http.client.HTTPResponse:
    """Stream inputs, and return the answer's head."""
    connection = http.client.HTTPConnection("127.0.0.1", yurt.port, timeout=600)
    told = {"Authorization": f"Bearer {yurt.token}", "Content-Type": "application/x-ndjson", **headers}
    connection.request("POST", path, body, told, encode_chunked=True)
    return connection.getresponse()


def queue_lines(yurt: Server, path: str, body: Iterable[bytes]) -> None:
    """Return when all inputs are stored.

    Raises:
        RuntimeError: they were not accepted.
    """
    answer = post_lines(yurt, path, body, Prefer="respond-async")
    data = answer.read()
    if answer.status != 202:
        raise RuntimeError(f"{answer.status}: {data[:300]!r}")


def _map(yurt: Server, count: int) -> float:
    begun = time.perf_counter()
    answer = post_lines(yurt, "/v1/functions/bench:f0/map", lines(count))
    if answer.status != 200:
        raise RuntimeError(f"{answer.status}: {answer.read()[:300]!r}")
    for index, line in enumerate(answer):
        if json.loads(line)["index"] != index:
            raise RuntimeError(f"line {index} is {line!r}")
    if index != count - 1:
        raise RuntimeError(f"{index + 1} of {count} lines came")
    return time.perf_counter() - begun
