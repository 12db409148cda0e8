"""A closed loop of clients, timed; run by the peer's interpreter, so standard library alone."""

import json
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
SHAPES = ((64, 1), (4, 16), (1, 64))
"""How 64 calls are kept in flight: by so many threads, so many each. A peer's rate is its best one."""


def percentile(latencies: list[float], share: float) -> float:
    """By nearest rank, in milliseconds."""
    ordered = sorted(latencies)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1000


def phase(
    send: Callable[[], T], read: Callable[[T], object], shape: tuple[int, int], seconds: float
) -> tuple[list[float], int, float]:
    """Latencies of the calls whose result was read, the number of those that failed, and the time taken."""
    threads, window = shape
    latencies: list[float] = []
    errors: list[str] = []
    begun = time.perf_counter()

    def client() -> None:
        flying: deque[tuple[float, T]] = deque()
        while (now := time.perf_counter()) < begun + seconds or flying:
            try:
                if len(flying) < window and now < begun + seconds:
                    flying.append((now, send()))
                else:
                    sent, call = flying.popleft()
                    read(call)
                    latencies.append(time.perf_counter() - sent)
            except Exception as error:  # noqa: BLE001  # counted, and the first one is shown
                errors.append(repr(error))

    clients = [threading.Thread(target=client) for _ in range(threads)]
    for thread in clients:
        thread.start()
    for thread in clients:
        thread.join()
    if errors:
        sys.stderr.write(f"{len(errors)} calls failed, the first with {errors[0]}\n")
    return latencies, len(errors), time.perf_counter() - begun


def report(send: Callable[[], T], read: Callable[[T], object], seconds: float) -> None:
    """Warm up, measure with one call and with 64 in flight, print one JSON object."""
    phase(send, read, (8, 1), 1.0)
    alone, failed, _ = phase(send, read, (1, 1), seconds)
    figures: dict[str, float] = {f"p{n}_c1_ms": percentile(alone, n / 100) for n in (50, 95, 99)}
    for shape in SHAPES:
        many, failed_many, taken = phase(send, read, shape, seconds)
        failed += failed_many
        figures[f"rate_{shape[0]}_threads"] = len(many) / taken
    best = max(figures[f"rate_{threads}_threads"] for threads, _ in SHAPES)
    sys.stdout.write(json.dumps({**figures, "rate_c64": best, "errors": failed}) + "\n")
