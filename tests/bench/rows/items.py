"""Items of a generator that does nothing else, through REST: how many a second, and how soon the first one is there."""

import http.client
import json
import statistics
import time
from collections.abc import Mapping

from tests.bench.bench import Bench, Figures
from tests.bench.servers import Server

SOURCE = "def items(count):\n    for number in range(count):\n        yield number\n"
PATH = "/v1/functions/items:items/invocations"
COUNT = 200_000
FIRSTS = 200


def items(bench: Bench) -> Mapping[str, float]:
    """Stream many items, and single ones one after another."""
    figures = Figures()
    with bench.yurt() as yurt:
        yurt.ask("POST", "/v1/apps", {"name": "items"})
        definition = {"entrypoint": "main:items", "source": {"files": {"main.py": SOURCE}}, "min_containers": 1}
        yurt.ask("PUT", "/v1/apps/items/functions/items", definition)
        connection = http.client.HTTPConnection("127.0.0.1", yurt.port, timeout=600)
        _stream(connection, yurt, 1_000)
        for _ in range(bench.rounds):
            figures.note(items_rate=_stream(connection, yurt, COUNT))
            figures.note(item_first_p50_ms=statistics.median(_first_ms(connection, yurt) for _ in range(FIRSTS)))
        connection.close()
    return figures.medians()


def _ask(connection: http.client.HTTPConnection, yurt: Server, count: int) -> http.client.HTTPResponse:
    headers = {"Authorization": f"Bearer {yurt.token}", "Content-Type": "application/json"}
    connection.request("POST", PATH, b'{"args":[%d]}' % count, headers | {"Accept": "application/x-ndjson"})
    return connection.getresponse()


def _stream(connection: http.client.HTTPConnection, yurt: Server, count: int) -> float:
    """Items a second, from the request to the last line; that line, which has the call, is checked."""
    begun = time.perf_counter()
    answer = _ask(connection, yurt, count)
    lines, rest = 0, b""
    while data := answer.read1(1 << 18):
        lines += data.count(b"\n")
        rest = (rest + data)[-4096:]
    took = time.perf_counter() - begun
    call = json.loads(rest.splitlines()[-1])
    if call["status"] != "success" or call["num_items"] != count or lines != count + 1:
        raise RuntimeError(f"{lines} lines, and at last {call}")
    return count / took


def _first_ms(connection: http.client.HTTPConnection, yurt: Server) -> float:
    """Milliseconds from the request to the first item."""
    begun = time.perf_counter()
    answer = _ask(connection, yurt, 1)
    line = answer.readline()
    took = time.perf_counter() - begun
    answer.read()
    if line != b'{"item":0}\n':
        raise RuntimeError(f"the first line is {line!r}")
    return took * 1000
