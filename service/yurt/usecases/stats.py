"""What a function is doing right now, and what it did in the last five minutes."""

from collections import Counter
from dataclasses import dataclass

from yurt.domain.records import ContainerState
from yurt.pools.heart import Heart
from yurt.pools.pool import Pool
from yurt.pools.scaling import sample_of
from yurt.pools.stats import WINDOW_S, Stats, Summary
from yurt.ports import Clock


@dataclass(frozen=True, slots=True)
class FunctionStats:
    """The figures of one function; times in seconds unless the name says otherwise."""

    function_id: str
    revision: int
    observed_at: float
    backlog: int
    running_inputs: int
    input_headroom: int
    oldest_pending_s: float | None
    starting: int
    busy: int
    idle: int
    draining: int
    desired_containers: int
    limited_by: tuple[str, str, float] | None
    summary: Summary
    draining_revisions: tuple[tuple[int, int, int], ...]
    """(revision, containers, running inputs) of older revisions."""
    window_s: int = WINDOW_S


def function_stats(heart: Heart, clock: Clock, function_id: str, revision: int) -> FunctionStats:
    """The figures of a function, also of one that never had a container."""
    pool = heart.pools.get(function_id)
    now, mono = clock.now(), clock.monotonic()
    if pool is None:
        summary = Stats().summary(mono)
        return FunctionStats(function_id, revision, now, 0, 0, 0, None, 0, 0, 0, 0, 0, None, summary, ())
    sample = sample_of(pool, mono)
    oldest = pool.queue.oldest()
    room = pool.live.scaling.max_containers * pool.live.slots - sample.running
    return FunctionStats(
        function_id=function_id,
        revision=pool.live.revision,
        observed_at=now,
        backlog=sample.waiting,
        running_inputs=sample.running,
        input_headroom=max(0, room),
        oldest_pending_s=max(0.0, now - oldest) if oldest is not None else None,
        starting=sample.starting,
        busy=sample.busy,
        idle=len(sample.idle),
        draining=sample.draining,
        desired_containers=pool.desired,
        limited_by=_limited_by(pool, now),
        summary=pool.stats.summary(mono),
        draining_revisions=_older(pool),
    )


def _limited_by(pool: Pool, now: float) -> tuple[str, str, float] | None:
    if pool.refusal is not None:
        return pool.refusal.code, pool.refusal.message, pool.refusal.since
    if pool.capped:
        limit = pool.live.scaling.max_containers
        code = "max_containers" if limit else "paused"
        return code, f"More containers are needed than max_containers allows: {limit}.", now
    return None


def _older(pool: Pool) -> tuple[tuple[int, int, int], ...]:
    containers: Counter[int] = Counter()
    inputs: Counter[int] = Counter()
    for member in pool.members.values():
        revision = member.function.revision
        if revision < pool.live.revision and member.state is not ContainerState.ENDED:
            containers[revision] += 1
            inputs[revision] += member.running
    return tuple((revision, count, inputs[revision]) for revision, count in sorted(containers.items()))
