"""What a thousand schedules cost the server."""

import time
from collections.abc import Mapping

from tests.bench.bench import Bench
from tests.bench.servers import Server, deploy

SCHEDULES = 1000
MINUTE_S = 60.0


def schedules(bench: Bench) -> Mapping[str, float]:
    """A minute with a thousand paused functions, and a minute in which each of them is called by its schedule once."""
    with bench.yurt() as yurt:
        deploy(yurt, "plain", SCHEDULES, max_containers=0)
        before = _cores(yurt)
        yurt.ask("DELETE", "/v1/apps/plain")
        deploy(yurt, "timed", SCHEDULES, max_containers=0, schedule={"cron": "* * * * *"})
        time.sleep(max(0.0, MINUTE_S / 2 - time.time() % MINUTE_S))  # from the middle of a minute: one tick each
        during = _cores(yurt)
    return {"schedules_percent": 100 * (during - before), "functions_percent": 100 * before}


def _cores(yurt: Server) -> float:
    """How much of a core the server takes, over a minute."""
    begun = yurt.cpu_s()
    time.sleep(MINUTE_S)
    return (yurt.cpu_s() - begun) / MINUTE_S
