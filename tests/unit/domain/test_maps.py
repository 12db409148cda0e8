"""How maps end."""

from hypothesis import given
from hypothesis import strategies as st

from yurt.domain.maps import Counts, counted, end_of, ends_the_rest, stopped_by
from yurt.domain.records import CallStatus, Map, Outcome

ENDS = [outcome for outcome in Outcome if outcome is not Outcome.CONTAINER_LOST]
maps = st.builds(
    Map,
    seq=st.just(1),
    return_exceptions=st.booleans(),
    sealed_at=st.none() | st.just(1.0),
    cancelled_by=st.none() | st.just("token"),
    failed_seq=st.none() | st.just(7),
)


@given(st.lists(st.sampled_from(ENDS)))
def test_every_end_is_counted_once(ends: list[Outcome]) -> None:
    counts = Counts()
    for outcome in ends:
        counts = counted(counts, outcome)
    assert counts.total == len(ends)
    assert counts.success == ends.count(Outcome.SUCCESS)
    assert counts.terminated == ends.count(Outcome.CANCELLED)


@given(maps, st.integers(0, 9), st.integers(0, 9))
def test_a_map_ends_when_it_is_sealed_and_all_have_ended(record: Map, accepted: int, ended: int) -> None:
    status = end_of(record, accepted, Counts(success=ended))
    assert (status is not None) == (record.sealed_at is not None and ended >= accepted)
    if status is not None and record.cancelled_by is not None:
        assert status is CallStatus.TERMINATED
    elif status is not None:
        assert status is (CallStatus.SUCCESS if record.failed_seq is None else CallStatus.FAILURE)


@given(maps, st.sampled_from(ENDS))
def test_one_failure_ends_the_rest_once(record: Map, outcome: Outcome) -> None:
    ends = ends_the_rest(record, outcome)
    assert not (ends and (record.return_exceptions or outcome in {Outcome.SUCCESS, Outcome.CANCELLED}))
    if stopped_by(record) is not None:
        assert not ends
