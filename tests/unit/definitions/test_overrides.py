from hypothesis import given
from hypothesis import strategies as st

from yurt.domain.definitions import parse_definition
from yurt.domain.functions import Scaling
from yurt.domain.overrides import Override, defined_scaling, effective_scaling, override_problem

NUMBERS = st.integers(0, 12)
SCALINGS = st.tuples(NUMBERS, NUMBERS, NUMBERS).map(lambda n: Scaling(min(n[0], n[1]), n[1], n[2], 60))
OVERRIDES = st.builds(
    Override,
    min_containers=st.none() | NUMBERS,
    max_containers=st.none() | NUMBERS,
    buffer_containers=st.none() | NUMBERS,
    scaledown_window=st.none() | st.integers(2, 1200),
    sticky=st.booleans(),
)


@given(SCALINGS, OVERRIDES)
def test_what_is_in_force_never_contradicts_itself_and_follows_the_override(defined: Scaling, one: Override) -> None:
    found = effective_scaling(defined, one)
    assert 0 <= found.min_containers <= found.max_containers
    assert one.max_containers in {None, found.max_containers}
    assert one.buffer_containers in {None, found.buffer_containers}
    assert one.scaledown_window in {None, found.scaledown_window_s}
    if one.min_containers is not None and override_problem(defined, one) is None and found.max_containers > 0:
        assert found.min_containers == one.min_containers


@given(SCALINGS)
def test_an_empty_override_changes_nothing(defined: Scaling) -> None:
    assert Override().empty
    assert effective_scaling(defined, Override()) == effective_scaling(defined, None) == defined
    assert override_problem(defined, Override()) is None


@given(OVERRIDES, OVERRIDES)
def test_a_patch_changes_what_it_names_and_nothing_else(one: Override, other: Override) -> None:
    assert one.patched(Override()) == one
    assert one.patched(other) == other
    patched = one.patched(Override(max_containers=None))
    assert patched == one.model_copy(update={"max_containers": None})


def test_a_lowered_default_never_undercuts_a_minimum() -> None:
    definition = parse_definition({"entrypoint": "m:f", "min_containers": 8})
    assert defined_scaling(definition, default_max=3) == Scaling(8, 8, 0, 60)
