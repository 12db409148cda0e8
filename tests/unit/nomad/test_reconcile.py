"""What is done so that the cluster holds what it should."""

from hypothesis import given
from hypothesis import strategies as st

from yurt.outbound.engines.nomad.reconcile import FEW, KEPT_S, PURGED_AT_ONCE, Job, reconcile

parents = st.sampled_from([f"p{number}" for number in range(4)])


@st.composite
def clusters(draw: st.DrawFn) -> tuple[list[Job], dict[str, str], set[str], dict[str, float]]:
    top = [Job(name, digest=draw(st.sampled_from("ab")), over=draw(st.booleans())) for name in draw(st.sets(parents))]
    children = [
        Job(f"c{number}", draw(parents), f"co-{number}", over=draw(st.booleans()))
        for number in range(draw(st.integers(0, 30)))
    ]
    wanted = draw(st.dictionaries(parents, st.sampled_from("ab")))
    known = {job.container_id for job in children if draw(st.booleans())}
    ages = {job.id: draw(st.sampled_from([0.0, KEPT_S])) for job in children if job.over}
    return [*top, *children], wanted, known, ages


@given(clusters())
def test_only_what_nobody_knows_is_ended(case: tuple[list[Job], dict[str, str], set[str], dict[str, float]]) -> None:
    jobs, wanted, known, ages = case
    actions = reconcile(jobs, wanted, known, ages)
    by_id = {job.id: job for job in jobs}
    for name in (*actions.stop, *actions.spared):
        assert by_id[name].parent
        assert not by_id[name].over
        assert by_id[name].container_id not in known
    alive = [job for job in jobs if job.parent and not job.over]
    unknown = [job for job in alive if job.container_id not in known]
    assert len(actions.stop) + len(actions.spared) == len(unknown)
    if len(alive) > FEW:
        assert 2 * len(actions.stop) <= len(alive)
    else:
        assert not actions.spared


@given(clusters())
def test_jobs_of_revisions_follow_what_is_wanted(
    case: tuple[list[Job], dict[str, str], set[str], dict[str, float]],
) -> None:
    jobs, wanted, known, ages = case
    actions = reconcile(jobs, wanted, known, ages)
    there = {job.id: job for job in jobs if not job.parent}
    right = {name for name, digest in wanted.items() if name in there and there[name].digest == digest}
    right = {name for name in right if not there[name].over}
    assert set(actions.register) == wanted.keys() - right
    assert not set(actions.retire) & wanted.keys()
    busy = {job.parent for job in jobs if job.parent and not job.over}
    assert set(actions.retire) == there.keys() - wanted.keys() - busy


@given(clusters())
def test_only_what_is_over_for_long_is_forgotten(
    case: tuple[list[Job], dict[str, str], set[str], dict[str, float]],
) -> None:
    jobs, wanted, known, ages = case
    actions = reconcile(jobs, wanted, known, ages)
    by_id = {job.id: job for job in jobs}
    assert len(actions.purge) <= PURGED_AT_ONCE
    for name in actions.purge:
        assert by_id[name].parent
        assert by_id[name].over
        assert ages[name] >= KEPT_S


@given(clusters())
def test_what_was_done_is_not_done_again(case: tuple[list[Job], dict[str, str], set[str], dict[str, float]]) -> None:
    jobs, wanted, known, ages = case
    actions = reconcile(jobs, wanted, known, ages)
    gone = {*actions.retire, *actions.purge}
    after = [job for job in jobs if job.id not in gone and job.id not in actions.register]
    after = [
        job if job.id not in actions.stop else Job(job.id, job.parent, job.container_id, over=True) for job in after
    ]
    after += [Job(name, digest=wanted[name]) for name in actions.register]
    again = reconcile(after, wanted, known, dict.fromkeys(ages, 0.0))
    assert (again.register, again.stop, again.purge) == ((), (), ())
