"""What a function is doing right now, and what it did in the last five minutes."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from yurt.domain.autoscale import Sample
from yurt.domain.records import ContainerState
from yurt.pools.heart import Heart
from yurt.pools.pool import Pool
from yurt.pools.scaling import sample_of
from yurt.pools.stats import WINDOW_S, Stats, Summary
from yurt.ports import Clock

MAX_POOLS = 100
"""Combinations of parameters that are shown."""


@dataclass(frozen=True, slots=True)
class PoolStats:
    """The figures of one combination of parameters of a class."""

    parameters_json: str
    backlog: int
    running_inputs: int
    starting: int
    busy: int
    idle: int
    draining: int


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
    pools: tuple[PoolStats, ...] | None = None
    """Of a class with parameters: its combinations in use, those with the longest backlog first."""
    num_pools: int | None = None
    """How many there are; `pools` has the first ones."""
    window_s: int = WINDOW_S


def function_stats(heart: Heart, clock: Clock, function_id: str, revision: int) -> FunctionStats:
    """The figures of a function, also of one that never had a container."""
    found = heart.families.all(function_id)
    now, mono = clock.now(), clock.monotonic()
    if not found:
        summary = Stats().summary(mono)
        return FunctionStats(function_id, revision, now, 0, 0, 0, None, 0, 0, 0, 0, 0, None, summary, ())
    live = found[0].live
    several = live.is_family
    pools = found[1:] if several and not (found[0].members or len(found[0].queue)) else found
    samples = [sample_of(pool, mono) for pool in pools]
    limits = (_limited_by(pool, now) for pool in pools)
    waiting = [since for pool in pools if (since := pool.queue.oldest()) is not None]
    room = sum(pool.live.scaling.max_containers * pool.live.slots for pool in pools)
    running = sum(sample.running for sample in samples)
    return FunctionStats(
        function_id=function_id,
        revision=live.revision,
        observed_at=now,
        backlog=sum(sample.waiting for sample in samples),
        running_inputs=running,
        input_headroom=max(0, room - sum(sample.taken for sample in samples)),
        oldest_pending_s=max(0.0, now - min(waiting)) if waiting else None,
        starting=sum(sample.starting for sample in samples),
        busy=sum(sample.busy for sample in samples),
        idle=sum(len(sample.idle) for sample in samples),
        draining=sum(sample.draining for sample in samples),
        desired_containers=sum(pool.desired for pool in pools),
        limited_by=next((limit for limit in limits if limit is not None), None),
        summary=found[0].stats.summary(mono),
        draining_revisions=_older(pools),
        pools=_by_parameters(pools, samples) if several else None,
        num_pools=len(pools) if several else None,
    )


def _by_parameters(pools: Sequence[Pool], samples: Sequence[Sample]) -> tuple[PoolStats, ...]:
    figures = [
        PoolStats(
            pool.live.parameters_json or "{}",
            sample.waiting,
            sample.running,
            sample.starting,
            sample.busy,
            len(sample.idle),
            sample.draining,
        )
        for pool, sample in zip(pools, samples, strict=True)
    ]
    return tuple(sorted(figures, key=lambda one: -one.backlog)[:MAX_POOLS])


def _limited_by(pool: Pool, now: float) -> tuple[str, str, float] | None:
    if pool.refusal is not None:
        return pool.refusal.code, pool.refusal.message, pool.refusal.since
    if pool.capped:
        limit = pool.live.scaling.max_containers
        code = "max_containers" if limit else "paused"
        return code, f"More containers are needed than max_containers allows: {limit}.", now
    return None


def _older(pools: Iterable[Pool]) -> tuple[tuple[int, int, int], ...]:
    containers: Counter[int] = Counter()
    inputs: Counter[int] = Counter()
    for pool in pools:
        for member in pool.members.values():
            revision = member.function.revision
            if revision < pool.live.revision and member.state is not ContainerState.ENDED:
                containers[revision] += 1
                inputs[revision] += member.running
    return tuple((revision, count, inputs[revision]) for revision, count in sorted(containers.items()))
