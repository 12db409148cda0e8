"""Medians and ratios of what Yurt and its peers measured, and the table of them."""

import statistics
from collections.abc import Mapping, Sequence
from typing import TypeAlias

Figures: TypeAlias = Mapping[str, float]
RATIOS = ("p50_c1_ms", "rate_c64")


def medians(rounds: Sequence[Figures]) -> dict[str, float]:
    """Each figure's median over the rounds; errors add up."""
    out = {name: statistics.median(each[name] for each in rounds) for name in rounds[0]}
    return out | {"errors": sum(each["errors"] for each in rounds)}


def compared(peer: Sequence[Figures], yurt: Mapping[str, Sequence[Figures]]) -> dict[str, float]:
    """The peer's medians, and by store the medians of Yurt's figures divided by the peer's within a round."""
    ratios = {
        f"{store}_{name}_ratio": statistics.median(
            ours[name] / theirs[name] for ours, theirs in zip(rounds, peer, strict=True)
        )
        for store, rounds in yurt.items()
        for name in RATIOS
    }
    return medians(peer) | ratios


def table(rows: Mapping[str, Figures], durable: Mapping[str, str]) -> str:
    """One line a system and store of Yurt. A p50 below 1 x and a rate above 1 x mean that Yurt is ahead."""
    head = f"{'system':<24}{'p50 ms':>8}{'p99 ms':>8}{'calls/s':>9}{'errors':>7}  {'Yurt':<9}{'p50 x':>7}{'rate x':>8}"
    lines = [f"{head}  durable against"]
    for name, row in rows.items():
        own = f"{name:<24}{row['p50_c1_ms']:>8.2f}{row['p99_c1_ms']:>8.2f}{row['rate_c64']:>9.0f}{row['errors']:>7.0f}"
        suffix = f"_{RATIOS[0]}_ratio"
        stores = [key.removesuffix(suffix) for key in row if key.endswith(suffix)]
        for store in stores or [""]:
            ratios = [f"{row[f'{store}_{figure}_ratio']:.2f}" if store else "" for figure in RATIOS]
            lines.append(f"{own}  {store:<9}{ratios[0]:>7}{ratios[1]:>8}  {durable[name]}")
    return "\n".join(lines)
