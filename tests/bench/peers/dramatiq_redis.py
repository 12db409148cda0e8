"""Dramatiq on Redis with results: 2 processes of 4 threads; a result is awaited by a blocking pop."""

import os
import sys

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend

from tests.bench.peers.loop import report

URL = os.environ["BENCH_SERVICE"]
broker = RedisBroker(url=URL)
broker.add_middleware(Results(backend=RedisBackend(url=URL)))
dramatiq.set_broker(broker)


@dramatiq.actor(store_results=True)
def noop() -> None:
    return None


if __name__ == "__main__":
    report(noop.send, lambda message: message.get_result(block=True, timeout=10_000), float(sys.argv[1]))
