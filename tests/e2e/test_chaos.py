"""Chaos on a cluster for a moment, by a fixed seed; `scripts/chaos --engine nomad` runs it for longer, by any."""

import pytest

from tests.chaos.runner import LEAST_SUCCESSES, chaos
from tests.chaos.step import schedule
from tests.cluster import need_programs

SEED = 10
STORM_S = 8.0


@pytest.mark.timeout(600)
async def test_no_law_is_broken_on_a_cluster() -> None:
    need_programs()
    steps = schedule(SEED, STORM_S, engine="nomad", pause_s=0.8, longest_s=2.0)
    report = await chaos(SEED, steps, STORM_S, engine="nomad")
    assert not report.violations, report.text()
    assert report.facts()["as success"] > LEAST_SUCCESSES
