"""Counts and latencies of a function over the last five minutes."""

from collections import deque
from dataclasses import dataclass, field

from yurt.domain.records import CallStatus, status_of

WINDOW_S = 300
_BUCKET_S = 10
_SAMPLES = 256
"""Latencies kept of each 10 s, evenly thinned: percentiles need no more."""


@dataclass(slots=True)
class _Samples:
    values: list[float] = field(default_factory=list)
    seen: int = 0
    stride: int = 1

    def add(self, value: float) -> None:
        self.seen += 1
        if self.seen % self.stride:
            return
        self.values.append(value)
        if len(self.values) >= _SAMPLES:
            del self.values[::2]
            self.stride *= 2


@dataclass(slots=True)
class _Bucket:
    begun: float
    calls: dict[CallStatus, int] = field(default_factory=dict)
    cold_starts: int = 0
    queue: _Samples = field(default_factory=_Samples)
    run: _Samples = field(default_factory=_Samples)
    startup: _Samples = field(default_factory=_Samples)


class Stats:
    """Rolling figures, in buckets of ten seconds. Times come from the monotonic clock."""

    def __init__(self) -> None:
        self._buckets: deque[_Bucket] = deque()

    def _bucket(self, now: float) -> _Bucket:
        buckets = self._buckets
        if not buckets or now - buckets[-1].begun >= _BUCKET_S:
            buckets.append(_Bucket(now))
            while buckets[0].begun < now - WINDOW_S:
                buckets.popleft()
        return buckets[-1]

    def ended(self, now: float, outcome: str, queue_s: float | None, run_s: float | None) -> None:
        """An input ended; how long it waited and ran, where it did."""
        bucket = self._bucket(now)
        status = status_of(outcome)
        bucket.calls[status] = bucket.calls.get(status, 0) + 1
        if queue_s is not None:
            bucket.queue.add(queue_s)
        if run_s is not None:
            bucket.run.add(run_s)

    def started(self, now: float, startup_s: float) -> None:
        """A container became ready."""
        bucket = self._bucket(now)
        bucket.cold_starts += 1
        bucket.startup.add(startup_s)

    def summary(self, now: float) -> "Summary":
        """The figures of the window."""
        recent = [bucket for bucket in self._buckets if bucket.begun >= now - WINDOW_S]
        calls = {
            status.value: sum(bucket.calls.get(status, 0) for bucket in recent)
            for status in (CallStatus.SUCCESS, CallStatus.FAILURE, CallStatus.TERMINATED)
        }
        return Summary(
            calls,
            sum(bucket.cold_starts for bucket in recent),
            percentiles([value for bucket in recent for value in bucket.queue.values]),
            percentiles([value for bucket in recent for value in bucket.startup.values]),
            percentiles([value for bucket in recent for value in bucket.run.values]),
        )


@dataclass(frozen=True, slots=True)
class Summary:
    """Counts by the contract's status, and percentiles in milliseconds (empty where nothing was seen)."""

    calls: dict[str, int]
    cold_starts: int
    queue_ms: dict[str, float]
    startup_ms: dict[str, float]
    run_ms: dict[str, float]


def percentiles(seconds: list[float]) -> dict[str, float]:
    """p50, p95 and p99 by nearest rank, in milliseconds."""
    if not seconds:
        return {}
    ordered = sorted(seconds)
    last = len(ordered) - 1
    return {name: round(ordered[round(last * share)] * 1000, 3) for name, share in _SHARES}


_SHARES = (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))
