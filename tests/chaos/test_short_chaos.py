"""Chaos for half a minute, by fixed seeds; `scripts/chaos` runs it for longer, by any."""

import pytest

from tests.chaos.runner import LEAST_SUCCESSES, chaos
from tests.chaos.step import WEIGHTS, WEIGHTS_OF_NOMAD, WEIGHTS_OF_POSTGRES, schedule


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("store", "seed", "storm_s"), [("sqlite", 5, 13.0), ("postgres", 6, 9.0)])
async def test_no_law_is_broken(store: str, seed: int, storm_s: float) -> None:
    report = await chaos(seed, schedule(seed, storm_s, store, pause_s=1.0, longest_s=3.0), storm_s, store)
    assert not report.violations, report.text()
    assert report.facts()["as success"] > LEAST_SUCCESSES


def test_a_seed_says_everything() -> None:
    assert schedule(1, 600) == schedule(1, 600)
    assert schedule(1, 600) != schedule(2, 600)
    assert {step.name for step in schedule(1, 600)} == set(WEIGHTS)
    assert {step.name for step in schedule(1, 600, "postgres")} == {*WEIGHTS, *WEIGHTS_OF_POSTGRES}
    assert {step.name for step in schedule(1, 3600, engine="nomad")} == {*WEIGHTS, *WEIGHTS_OF_NOMAD}
    assert all(step.seconds <= 3 for step in schedule(1, 600, longest_s=3.0))
