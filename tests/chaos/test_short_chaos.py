"""Chaos for half a minute, by fixed seeds; `scripts/chaos` runs it for longer, by any."""

import pytest

from tests.chaos.nemesis import WEIGHTS, schedule
from tests.chaos.runner import chaos

STORM_S = 22.0


@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", [4])
async def test_no_law_is_broken(seed: int) -> None:
    report = await chaos(seed, schedule(seed, STORM_S, pause_s=1.0, longest_s=3.0), STORM_S)
    assert not report.violations, report.text()
    facts = report.facts()
    assert facts["calls that ended"] > 50
    assert facts["as success"] > 20


def test_a_seed_says_everything() -> None:
    assert schedule(1, 600) == schedule(1, 600)
    assert schedule(1, 600) != schedule(2, 600)
    assert {step.name for step in schedule(1, 600)} == set(WEIGHTS)
    assert all(step.seconds <= 3 for step in schedule(1, 600, longest_s=3.0))
