"""Metrics for Prometheus, with a registry of their own."""

from bisect import bisect_left
from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0)
"""Upper bounds of durations in seconds: from a warm call to a long wait."""

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Requests(Collector):
    """Counts and durations of requests.

    The library's own counters take locks and look labels up by tuples of strings; this is on the path of every call, so
    it counts in plain dictionaries and makes the library's shapes when somebody looks.
    """

    def __init__(self) -> None:
        self._counts: dict[tuple[str, int], int] = {}
        self._buckets: dict[str, list[int]] = {}
        self._sums: dict[str, float] = {}

    def observe(self, operation: str, status: int, took_s: float) -> None:
        """Count one answered request."""
        key = (operation, status)
        self._counts[key] = self._counts.get(key, 0) + 1
        buckets = self._buckets.get(operation)
        if buckets is None:
            buckets = self._buckets[operation] = [0] * (len(BUCKETS_S) + 1)
        buckets[bisect_left(BUCKETS_S, took_s)] += 1
        self._sums[operation] = self._sums.get(operation, 0.0) + took_s

    def collect(self) -> Iterator[Metric]:
        """The library's shapes."""
        counts = CounterMetricFamily("yurt_http_requests", "Requests answered.", labels=["operation", "status"])
        for (operation, status), count in self._counts.items():
            counts.add_metric([operation, str(status)], count)
        yield counts
        durations = HistogramMetricFamily(
            "yurt_http_request_duration_seconds", "Until the handler was done.", labels=["operation"]
        )
        for operation, buckets in self._buckets.items():
            durations.add_metric([operation], _cumulative(buckets), self._sums[operation])
        yield durations


def _cumulative(buckets: list[int]) -> list[tuple[str, float]]:
    total, out = 0, []
    for bound, count in zip((*map(str, BUCKETS_S), "+Inf"), buckets, strict=True):
        total += count
        out.append((bound, float(total)))
    return out


class Gauges(Collector):
    """Numbers that are read when somebody looks."""

    def __init__(self) -> None:
        self._reads: list[tuple[str, str, Callable[[], float]]] = []

    def watch(self, name: str, description: str, read: Callable[[], float]) -> None:
        """Show what `read` returns under `name`; it must be quick and not raise."""
        self._reads.append((name, description, read))

    def collect(self) -> Iterator[Metric]:
        """The library's shapes."""
        for name, description, read in self._reads:
            yield GaugeMetricFamily(name, description, value=read())


class Metrics:
    """All metrics of this process. Further collectors can be added to `registry`."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Requests()
        self.gauges = Gauges()
        self.registry.register(self.requests)
        self.registry.register(self.gauges)
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)

    def text(self) -> bytes:
        """What a scraper reads, in the text format that `CONTENT_TYPE` names."""
        return generate_latest(self.registry)
