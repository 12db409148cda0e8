"""Which failures are tried again, how often, and when."""

from hypothesis import given
from hypothesis import strategies as st

from yurt.domain.blame import History, container_lost
from yurt.domain.records import Outcome
from yurt.domain.retry import RetryPolicy, after_failure

policies = st.builds(
    RetryPolicy,
    max_retries=st.integers(0, 10),
    initial_delay_s=st.floats(0, 60),
    backoff_coefficient=st.floats(1, 10),
    max_delay_s=st.floats(1, 60),
)
own = st.sampled_from([Outcome.USER_ERROR, Outcome.TIMEOUT, Outcome.CRASHED, Outcome.OUT_OF_MEMORY])
others = st.sampled_from(
    [Outcome.CANCELLED, Outcome.INIT_FAILURE, Outcome.INTERNAL_ERROR, Outcome.EXPIRED, Outcome.SUCCESS]
)


@given(policies, st.lists(st.one_of(own, st.just(None)), max_size=40))
def test_losses_use_no_retry_and_failures_one_each(policy: RetryPolicy, ends: list[Outcome | None]) -> None:
    history, failures = History(), 0
    for number, outcome in enumerate(ends, 1):
        assert history.number == number
        if outcome is None:
            history = container_lost(history).history
            continue
        again = after_failure(policy, history, outcome)
        assert (again is None) == (failures == policy.max_retries)
        if again is None:
            break
        failures += 1
        assert again.history == History(number + 1, failures, history.losses)
        history = again.history
    assert failures <= policy.max_retries


@given(policies, others)
def test_what_is_not_the_functions_own_failure_is_not_tried_again(policy: RetryPolicy, outcome: Outcome) -> None:
    assert after_failure(policy, History(), outcome) is None


@given(policies)
def test_delays_grow_to_the_largest_one(policy: RetryPolicy) -> None:
    delays = [policy.delay_s(retry) for retry in range(1, 11)]
    assert delays == sorted(delays)
    assert delays[0] == min(policy.initial_delay_s, policy.max_delay_s)
    assert delays[-1] <= policy.max_delay_s
