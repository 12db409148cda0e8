"""Procrastinate on PostgreSQL: workers are woken by NOTIFY.

It keeps no results: to read one back is to see that the job ended. Clients look every millisecond, by the library's own
call.
"""

import os
import sys
import time
from functools import partial

from procrastinate import App, PsycopgConnector, SyncPsycopgConnector
from procrastinate.jobs import Status

from tests.bench.peers.loop import report

URL = os.environ["BENCH_SERVICE"]
LOOK_S = 0.001
PATIENCE_S = 10.0
app = App(connector=PsycopgConnector(conninfo=URL))


@app.task(name="noop")
async def noop() -> None:
    return None


def ended(client: App, job: int) -> None:
    """Wait until a job did what it had to."""
    end = time.monotonic() + PATIENCE_S
    while (status := client.job_manager.get_job_status(job)) != Status.SUCCEEDED:
        if status == Status.FAILED or time.monotonic() > end:
            raise RuntimeError(f"job {job}: {status}")
        time.sleep(LOOK_S)


if __name__ == "__main__":
    with App(connector=SyncPsycopgConnector(conninfo=URL, min_size=8, max_size=64)).open() as caller:
        report(caller.configure_task("noop").defer, partial(ended, caller), float(sys.argv[1]))
