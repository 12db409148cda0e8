"""The autoscaler: what it must never do, what it must always do, and the cases that people know it by."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from yurt.domain.autoscale import Decision, Idle, Sample, autoscale
from yurt.domain.functions import Scaling


@st.composite
def scalings(draw: st.DrawFn) -> Scaling:
    most = draw(st.integers(0, 20))
    return Scaling(
        min_containers=draw(st.integers(0, most)),
        max_containers=most,
        buffer_containers=draw(st.integers(0, 5)),
        scaledown_window_s=draw(st.floats(2, 1200)),
    )


@st.composite
def samples(draw: st.DrawFn) -> Sample:
    idle = draw(st.lists(st.floats(0, 5000), max_size=12))
    busy = draw(st.integers(0, 12))
    slots = draw(st.integers(1, 8))
    waiting = draw(st.integers(0, 300))
    running = draw(st.integers(busy, busy * slots))
    return Sample(
        waiting=waiting,
        running=running,
        busy=busy,
        idle=tuple(Idle(f"co-{index}", age) for index, age in enumerate(idle)),
        starting=draw(st.integers(0, 5)),
        draining=draw(st.integers(0, 5)),
        slots=slots,
        target=draw(st.none() | st.integers(1, slots)),
        mean_run_s=draw(st.none() | st.floats(0.0001, 100)),
        startup_s=draw(st.none() | st.floats(0.01, 60)),
        quiet_s=0.0 if waiting + running else draw(st.floats(0, 5000)),
        upgrading=draw(st.booleans()),
    )


def alive(sample: Sample) -> int:
    return sample.busy + len(sample.idle) + sample.starting


@given(samples(), scalings())
def test_it_never_starts_beyond_the_maximum(sample: Sample, scaling: Scaling) -> None:
    decision = autoscale(sample, scaling)
    if decision.start:
        total = alive(sample) + sample.draining + decision.start
        assert total <= scaling.max_containers + sample.upgrading


@given(samples(), scalings())
def test_it_never_drains_below_the_floor(sample: Sample, scaling: Scaling) -> None:
    decision = autoscale(sample, scaling)
    left = alive(sample) - len(decision.drain) - decision.excess
    assert left >= min(alive(sample), scaling.min_containers)


@given(samples(), scalings())
def test_it_drains_each_container_once_and_only_idle_ones(sample: Sample, scaling: Scaling) -> None:
    decision = autoscale(sample, scaling)
    assert len(set(decision.drain)) == len(decision.drain)
    assert set(decision.drain) <= {idle.container_id for idle in sample.idle}


@given(samples(), scalings())
def test_it_does_not_start_and_drain_at_once(sample: Sample, scaling: Scaling) -> None:
    decision = autoscale(sample, scaling)
    assert not (decision.start and (decision.drain or decision.excess))


@given(samples(), scalings())
def test_an_idle_container_within_its_window_stays_unless_the_maximum_was_lowered(
    sample: Sample, scaling: Scaling
) -> None:
    decision = autoscale(sample, scaling)
    most = scaling.max_containers + (sample.upgrading and scaling.max_containers > 0)
    over = max(0, alive(sample) - most)
    young = {idle.container_id for idle in sample.idle if idle.for_s < scaling.scaledown_window_s}
    assert len(young & set(decision.drain)) <= over


@given(samples(), scalings())
def test_what_waits_gets_a_container_if_there_is_room(sample: Sample, scaling: Scaling) -> None:
    decision = autoscale(sample, scaling)
    room = scaling.max_containers - alive(sample) - sample.draining
    if sample.waiting and alive(sample) == 0 and room > 0:
        assert decision.start >= 1


@given(scalings(), st.integers(0, 400), st.integers(1, 8), st.data())
def test_it_settles(scaling: Scaling, waiting: int, slots: int, data: st.DataObject) -> None:
    """Applying decisions until nothing changes ends, and the floor is kept: no flapping."""
    busy, idle = 0, 0
    target = data.draw(st.integers(1, slots))
    for _ in range(50):
        running = min(waiting, (busy + idle) * slots)
        busy_now = -(-running // slots)
        idle_now = busy + idle - busy_now
        sample = Sample(
            waiting=waiting - running,
            running=running,
            busy=busy_now,
            idle=tuple(Idle(str(index), 1e9) for index in range(idle_now)),
            starting=0,
            draining=0,
            slots=slots,
            target=target,
            quiet_s=0.0 if waiting else 1e9,
        )
        decision = autoscale(sample, scaling)
        busy, idle = busy_now, idle_now + decision.start - len(decision.drain)
        if not decision.start and not decision.drain and not decision.excess:
            break
    else:
        raise AssertionError("it flaps")
    assert busy + idle >= min(scaling.min_containers, scaling.max_containers)
    assert busy + idle >= min(-(-waiting // target), scaling.max_containers), "there are as many as the target asks for"


@given(samples(), scalings())
def test_without_a_target_of_its_own_a_container_is_meant_to_be_full(one: Sample, scaling: Scaling) -> None:
    assert autoscale(replace(one, target=None), scaling) == autoscale(replace(one, target=one.slots), scaling)


@given(samples(), scalings())
def test_a_lower_target_never_asks_for_fewer(one: Sample, scaling: Scaling) -> None:
    low = autoscale(one, scaling)
    high = autoscale(replace(one, target=one.slots), scaling)
    assert (low.wanted, low.start) >= (high.wanted, 0)


@given(samples(), scalings())
def test_what_runs_above_the_target_asks_for_more(one: Sample, scaling: Scaling) -> None:
    target = one.target or one.slots
    wanted = autoscale(one, scaling).wanted
    assert wanted >= min(-(-one.running // target), scaling.max_containers)


def sample(**values: object) -> Sample:
    base: dict[str, object] = {"waiting": 0, "running": 0, "busy": 0, "idle": (), "starting": 0, "draining": 0}
    return Sample(**{**base, **values})  # type: ignore[arg-type]


def test_the_first_input_starts_one_container() -> None:
    assert autoscale(sample(waiting=1), Scaling()).start == 1


def test_one_waiting_input_and_one_idle_container_start_nothing() -> None:
    assert autoscale(sample(waiting=1, idle=(Idle("a", 1),)), Scaling()).start == 0


def test_a_starting_container_counts() -> None:
    assert autoscale(sample(waiting=1, starting=1), Scaling()).start == 0


def test_it_starts_at_most_what_is_allowed() -> None:
    decision = autoscale(sample(waiting=100), Scaling(max_containers=3))
    assert (decision.start, decision.capped) == (3, True)


def test_it_aims_at_the_target_and_bursts_to_the_maximum() -> None:
    def started(running: int, waiting: int = 0, *, busy: int = 1) -> int:
        one = sample(waiting=waiting, running=running, busy=busy, slots=64, target=32)
        return autoscale(one, Scaling(max_containers=100)).start

    assert started(32) == 0
    assert started(33) == 1, "above the target"
    assert started(64, 1) == 2, "full, and one waits"
    assert started(0, 64, busy=0) == 2, "new ones are for the target"
    assert started(60, busy=2) == 0


def test_a_batch_takes_all_its_slots() -> None:
    full = sample(waiting=1, running=3, more_taken=29, busy=1, slots=32)
    assert autoscale(full, Scaling()).start == 1


def test_paused_starts_nothing_and_drains_all() -> None:
    paused = Scaling(max_containers=0)
    assert autoscale(sample(waiting=5), paused).start == 0
    assert autoscale(sample(idle=(Idle("a", 0), Idle("b", 0))), paused).drain == ("a", "b")
    assert autoscale(sample(running=2, busy=2), paused).excess == 2


def test_the_floor_is_kept_warm() -> None:
    assert autoscale(sample(quiet_s=1e9), Scaling(min_containers=2)).start == 2
    assert autoscale(sample(idle=(Idle("a", 1e9), Idle("b", 1e9)), quiet_s=1e9), Scaling(min_containers=2)).drain == ()


def test_a_buffer_is_kept_only_while_there_is_work() -> None:
    scaling = Scaling(buffer_containers=2)
    assert autoscale(sample(running=1, busy=1), scaling).start == 2
    assert autoscale(sample(quiet_s=1e9), scaling).start == 0


def test_the_longest_idle_goes_first() -> None:
    decision = autoscale(sample(idle=(Idle("young", 61), Idle("old", 100)), quiet_s=61), Scaling(min_containers=1))
    assert decision == Decision(desired=1, start=0, drain=("old",), wanted=1)


def test_no_container_is_started_for_what_is_done_before_it_could_be_ready() -> None:
    busy = sample(waiting=64, running=1, busy=1, mean_run_s=0.0005, startup_s=0.1)
    assert autoscale(busy, Scaling()).start == 0
    slow = sample(waiting=64, running=1, busy=1, mean_run_s=1.0, startup_s=0.1)
    assert autoscale(slow, Scaling(max_containers=100)).start == 64


def test_inputs_that_take_less_than_a_start_share_the_further_containers() -> None:
    short = sample(waiting=450, running=1, busy=1, mean_run_s=0.001, startup_s=0.1)
    assert autoscale(short, Scaling(max_containers=100)).start == 4  # 100 are reached before, 350 in as long again


@given(samples(), scalings())
def test_what_is_wanted_is_at_least_the_floor_and_at_most_the_maximum(one: Sample, scaling: Scaling) -> None:
    wanted = autoscale(one, scaling).wanted
    assert min(scaling.min_containers, scaling.max_containers) <= wanted <= scaling.max_containers
