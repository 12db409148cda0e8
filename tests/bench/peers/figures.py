"""Medians and ratios of what Yurt and its peers measured, and the table of them."""

import statistics
from collections.abc import Mapping, Sequence

Figures = Mapping[str, float]


def medians(rounds: Sequence[Figures]) -> dict[str, float]:
    """Each figure's median over the rounds; errors add up."""
    out = {name: statistics.median(each[name] for each in rounds) for name in rounds[0]}
    return out | {"errors": sum(each["errors"] for each in rounds)}


def compared(peer: Sequence[Figures], yurt: Sequence[Figures]) -> dict[str, float]:
    """The peer's medians, and the medians of Yurt's figures divided by the peer's within a round."""
    ratios = {
        f"yurt_{name}_ratio": statistics.median(
            ours[name] / theirs[name] for ours, theirs in zip(yurt, peer, strict=True)
        )
        for name in ("p50_c1_ms", "rate_c64")
    }
    return medians(peer) | ratios


def table(rows: Mapping[str, Figures], durable: Mapping[str, str]) -> str:
    """One line a system. A p50 ratio below 1 and a rate ratio above 1 mean that Yurt is ahead."""
    head = f"{'system':<22}{'p50 ms':>9}{'p99 ms':>9}{'calls/s':>9}{'errors':>8}{'p50 x':>8}{'rate x':>8}  durable"
    lines = [head]
    for name, row in rows.items():
        p50, rate = row.get("yurt_p50_c1_ms_ratio", 1.0), row.get("yurt_rate_c64_ratio", 1.0)
        lines.append(
            f"{name:<22}{row['p50_c1_ms']:>9.2f}{row['p99_c1_ms']:>9.2f}{row['rate_c64']:>9.0f}"
            f"{row['errors']:>8.0f}{p50:>8.2f}{rate:>8.2f}  {durable[name]}"
        )
    return "\n".join(lines)
