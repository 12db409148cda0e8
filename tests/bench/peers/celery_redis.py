"""Celery on Redis, results on: prefork with 2 processes; the Redis backend tells results by publish and subscribe."""

import os
import sys

from celery import Celery

from tests.bench.peers.loop import report

URL = os.environ["BENCH_SERVICE"]
app = Celery("celery_redis", broker=URL, backend=URL)
app.conf.update(worker_prefetch_multiplier=4, worker_send_task_events=False)


@app.task(name="noop")
def noop() -> None:
    return None


if __name__ == "__main__":
    report(noop.delay, lambda result: result.get(timeout=10), float(sys.argv[1]))
