"""Epochs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yurt.outbound.store import StoreRefused
from yurt.outbound.store.identity import LIMIT, ZERO, following_epoch

START = ZERO.timestamp()


def test_the_first_epoch_is_the_age_of_2026() -> None:
    assert following_epoch(0, START + 12.9) == 12


def test_a_clock_before_2026_counts_up_from_what_is_stored() -> None:
    assert following_epoch(0, 0.0) == 1
    assert following_epoch(41, START - 1e9) == 42


@given(stored=st.integers(0, LIMIT - 2), seconds=st.floats(-1e10, LIMIT - 1))
def test_it_is_above_the_stored_one_and_not_below_the_clock(stored: int, seconds: float) -> None:
    epoch = following_epoch(stored, START + seconds)
    assert stored < epoch < LIMIT
    assert epoch >= int(seconds)


@pytest.mark.parametrize("seconds", [LIMIT, LIMIT + 1e6, 1e12, 1e18])
def test_a_clock_too_far_ahead_is_named(seconds: float) -> None:
    with pytest.raises(StoreRefused, match="clock"):
        following_epoch(0, START + seconds)


def test_used_up_epochs_ask_for_a_copy() -> None:
    with pytest.raises(StoreRefused, match="restore the store"):
        following_epoch(LIMIT - 1, START)
