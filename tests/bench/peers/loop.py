"""A closed loop of threads, timed; run by the peer's interpreter, so standard library alone."""

import json
import sys
import threading
import time
from collections.abc import Callable


def percentile(latencies: list[float], share: float) -> float:
    """By nearest rank, in milliseconds."""
    ordered = sorted(latencies)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1000


def phase(call: Callable[[], None], clients: int, seconds: float) -> tuple[list[float], int, float]:
    """Latencies of the calls that were answered, the number of those that failed, and the time taken."""
    latencies: list[float] = []
    errors: list[str] = []
    begun = time.perf_counter()

    def client() -> None:
        while (sent := time.perf_counter()) < begun + seconds:
            try:
                call()
            except Exception as error:  # noqa: BLE001  # counted, and the first one is shown
                errors.append(repr(error))
            else:
                latencies.append(time.perf_counter() - sent)

    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        sys.stderr.write(f"{len(errors)} calls failed, the first with {errors[0]}\n")
    return latencies, len(errors), time.perf_counter() - begun


def report(call: Callable[[], None], seconds: float) -> None:
    """Warm up, measure with one client and with 64, print one JSON object."""
    phase(call, 8, 1.0)
    alone, failed_alone, _ = phase(call, 1, seconds)
    many, failed_many, taken = phase(call, 64, seconds)
    figures: dict[str, float] = {f"p{n}_c1_ms": percentile(alone, n / 100) for n in (50, 95, 99)}
    figures |= {"rate_c64": len(many) / taken, "errors": failed_alone + failed_many}
    sys.stdout.write(json.dumps(figures) + "\n")
