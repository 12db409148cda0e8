"""DBOS on PostgreSQL: `worker` serves a queue, `queue` calls through it, `direct` runs workflows in the caller itself.

Queues and results are polled; the intervals are far below the defaults of a second.
"""

import os
import sys
import threading

from dbos import DBOS, DBOSClient

from tests.bench.peers.loop import report

URL = os.environ["BENCH_SERVICE"]
VERSION = "bench"
QUEUE_S = 0.01
RESULT_S = 0.002


@DBOS.workflow(name="noop")
def noop() -> None:
    return None


def launch() -> None:
    """Make this process one that runs workflows."""
    config = {"name": "bench", "system_database_url": URL, "application_version": VERSION, "sys_db_pool_size": 16}
    DBOS(config={**config, "log_level": "ERROR", "run_admin_server": False, "run_migrations": False})
    DBOS.launch()


def work() -> None:
    """Serve the queue until the process is ended."""
    launch()
    DBOS.register_queue("bench", polling_interval_sec=QUEUE_S)
    threading.Event().wait()


def queued(seconds: float) -> None:
    """Measure calls through the queue."""
    client = DBOSClient(system_database_url=URL, system_database_pool_size=32, system_database_polling_concurrency=24)
    options = {"queue_name": "bench", "workflow_name": "noop", "app_version": VERSION}
    report(lambda: client.enqueue(options), lambda call: call.get_result(polling_interval_sec=RESULT_S), seconds)
    client.destroy()


def direct(seconds: float) -> None:
    """Measure workflows in this process."""
    launch()
    report(noop, lambda _: None, seconds)
    DBOS.destroy()


if __name__ == "__main__":
    if sys.argv[1] == "worker":
        work()
    else:
        {"queue": queued, "direct": direct}[sys.argv[1]](float(sys.argv[2]))
