"""Asking less often while nobody answers."""

from yurt.outbound.engines.nomad.breaker import LONGEST_PAUSE_S, Breaker


def test_it_opens_with_a_failure_and_closes_with_an_answer() -> None:
    breaker = Breaker()
    assert breaker.may_ask(0)
    breaker.failed(0, 1000, "refused")
    assert breaker.is_open
    assert not breaker.may_ask(0.4)
    assert breaker.may_ask(0.6)
    breaker.failed(1, 1001, "refused again")
    assert (breaker.since, breaker.reason) == (1000, "refused again")
    breaker.succeeded()
    assert breaker.may_ask(1)
    assert not breaker.is_open


def test_pauses_grow_and_are_bounded() -> None:
    breaker = Breaker()
    for number in range(100):
        breaker.failed(number, number, "away")
    assert not breaker.may_ask(99 + LONGEST_PAUSE_S - 0.1)
    assert breaker.may_ask(99 + LONGEST_PAUSE_S)
