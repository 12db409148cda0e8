"""What is promised of a machine of two cores with everything on it, by store; figures are medians."""

from collections.abc import Mapping
from typing import TypeAlias

Bars: TypeAlias = Mapping[str, tuple[str, float]]
"""By figure: `<=` or `>=`, and the bar."""

FAST: Bars = {
    "p50_c1_ms": ("<=", 0.9),
    "p50_c1_ratio": ("<=", 4.0),
    "p99_c1_ms": ("<=", 4.0),
    "rate_c64": (">=", 6000.0),
    "rate_c64_ratio": (">=", 0.35),
    "cpu_c64_ratio": ("<=", 3.0),
    "spawn_rate_c64": (">=", 6000.0),
    "cold_start_p50_ms": ("<=", 200.0),
    "runner_pss_mib": ("<=", 25.0),
    "server_rss_mib": ("<=", 150.0),
    "large_p50_ms": ("<=", 20.0),
    "large_rss_mib": ("<=", 150.0),
    "map_10000_s": ("<=", 0.7),
    "map_100000_s": ("<=", 7.0),
    "accept_million_s": ("<=", 15.0),
    "accept_million_mib": ("<=", 60.0),
    "accept_spawn_p50_ratio": ("<=", 1.5),
    "drain_rate": (">=", 20_000.0),
    "restart_100000_s": ("<=", 1.0),
    "restart_1000000_s": ("<=", 3.0),
    "lost_p50_s": ("<=", 1.0),
    "fair_p95_ratio": ("<=", 2.0),
    "fair_queued_p95_ratio": ("<=", 2.0),
    "schedules_percent": ("<=", 1.0),
    "items_rate": (">=", 30_000.0),
    "item_first_p50_ms": ("<=", 3.0),
    "concurrent_rate": (">=", 3000.0),
    "batched_rate_ratio": (">=", 15.0),
    "web_p50_c1_ms": ("<=", 1.5),
    "web_rate_c64": (">=", 2500.0),
    "web_rate_c64_ratio": (">=", 0.5),
    "web_down_mib": ("<=", 16.0),
    "web_up_mib": ("<=", 16.0),
    "web_sockets_mib": ("<=", 60.0),
}
"""SQLite at the level `process`."""

SAFE: Bars = {
    **{name: bar for name, bar in FAST.items() if name != "cpu_c64_ratio"},
    "p50_c1_ms": ("<=", 2.0),
    "p50_c1_ratio": ("<=", 10.0),
    "p99_c1_ms": ("<=", 12.0),
    "rate_c64": (">=", 3500.0),
    "rate_c64_ratio": (">=", 0.25),
    "spawn_rate_c64": (">=", 3500.0),
    "large_p50_ms": ("<=", 25.0),
    "map_10000_s": ("<=", 1.5),
    "map_100000_s": ("<=", 12.0),
    "accept_million_s": ("<=", 30.0),
    "drain_rate": (">=", 8000.0),
    "restart_100000_s": ("<=", 2.0),
    "restart_1000000_s": ("<=", 5.0),
}
"""SQLite at the level `power`, and PostgreSQL."""


FLEET: Bars = {
    "nomad_p50_c1_ratio": ("<=", 1.2),
    "nomad_ready_p50_ms": ("<=", 500.0),
    "docker_ready_p50_ms": ("<=", 900.0),
    "crowd_s": ("<=", 15.0),
    "crowd_idle_percent": ("<=", 3.0),
    "reconcile_cpu_s": ("<=", 1.0),
}
"""The Nomad engine, with the cluster on the same machine."""


def holds(bar: tuple[str, float], value: float) -> bool:
    """Whether a figure is on the right side of its bar."""
    sign, limit = bar
    return value <= limit if sign == "<=" else value >= limit


def table(figures: Mapping[str, float], bars: Bars) -> str:
    """The figures with their bars, one a line."""
    lines = []
    for name, value in figures.items():
        bar = bars.get(name)
        verdict = f"{bar[0]} {bar[1]:g}  {'ok' if holds(bar, value) else 'MISSED'}" if bar else ""
        lines.append(f"{name:<28}{value:>14.3f}  {verdict}".rstrip())
    return "\n".join(lines)
