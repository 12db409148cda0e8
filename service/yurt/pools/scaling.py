"""A pool as the autoscaler sees it, and what becomes of a decision."""

from dataclasses import replace

from yurt.domain.autoscale import Decision, Idle, Sample, autoscale
from yurt.domain.functions import Scaling
from yurt.domain.records import ContainerState
from yurt.pools.lives import Lives
from yurt.pools.members import Member
from yurt.pools.pool import Pool


def sample_of(pool: Pool, now: float) -> Sample:
    """What the autoscaler decides by. `now` is the monotonic clock's."""
    current = [m for m in pool.members.values() if m.state is not ContainerState.DRAINING]
    ready = [m for m in current if m.state is ContainerState.READY]
    idle = tuple(Idle(m.id, now - m.idle_since) for m in ready if m.idle)
    waiting = len(pool.queue) + sum(m.prefetched for m in ready) + len(pool.recovering)
    if pool.traffic is not None:
        waiting += len(pool.traffic)
    running = sum(m.running for m in ready)
    older = any(m.function.revision < pool.live.revision for m in ready)
    return Sample(
        waiting=waiting,
        running=running,
        busy=len(ready) - len(idle),
        idle=idle,
        starting=len(current) - len(ready),
        draining=len(pool.members) - len(current),
        slots=pool.live.slots,
        target=pool.live.target,
        more_taken=sum(m.taken for m in ready) - running,
        mean_run_s=pool.mean_run_s,
        startup_s=pool.startup_s,
        quiet_s=0.0 if waiting + running else now - pool.active_at,
        upgrading=older,
    )


def rescale(pool: Pool, scaling: Scaling) -> None:
    """The effective scaling changed."""
    pool.live = replace(pool.live, scaling=scaling).of(pool.live.parameters_json)


def scale(pool: Pool, lives: Lives, now: float) -> None:
    """Decide for the pool, and do it: drain, start, let an older revision go."""
    sample = sample_of(pool, now)
    decision = autoscale(sample, pool.live.own_scaling)
    pool.desired, pool.capped = decision.desired, decision.capped
    _drain(pool, lives, decision)
    if sample.upgrading:
        lives.relieve(pool)
    _withdraw(pool, lives, sample, decision.wanted)
    wanted = max(decision.start, _first_of_revision(pool, sample))
    if not wanted and not sample.starting:
        pool.refusal = None  # nothing is missing
    if pool.startup.may_start(now):
        for _ in range(_at_once(pool, wanted, sample.starting)):
            lives.start(pool)


def _drain(pool: Pool, lives: Lives, decision: Decision) -> None:
    for container_id in decision.drain:
        member = pool.members.get(container_id)
        if member is not None and member.idle:
            lives.drain(pool, member, "idle")
    busy = [m for m in pool.members.values() if m.state is ContainerState.READY and not m.idle]
    for member in busy[: decision.excess]:
        lives.drain(pool, member, "max_containers was lowered")


def _withdraw(pool: Pool, lives: Lives, sample: Sample, wanted: int) -> None:
    """Ask no longer for places that nothing waits for; the first one of a new revision is always waited for."""
    if sample.upgrading:
        return
    alive = sample.busy + len(sample.idle) + sample.starting
    held_up = [m for m in pool.members.values() if m.held_up and not m.stopping]
    for member in held_up[: max(0, alive - wanted)]:
        lives.drain(pool, member, "it is not needed any more", grace_s=0)


def _first_of_revision(pool: Pool, sample: Sample) -> int:
    """1 where a new revision needs its first container, one above the maximum if need be."""
    most = pool.live.scaling.max_containers
    needed = sample.upgrading and not any(_serves_current(pool, m) for m in pool.members.values())
    return int(needed and most > 0 and len(pool.members) <= most)


def _serves_current(pool: Pool, member: Member) -> bool:
    return member.function.revision == pool.live.revision and member.state is not ContainerState.DRAINING


def _at_once(pool: Pool, wanted: int, starting: int) -> int:
    """How many to start now: one at a time, while it is not known whether they start."""
    if pool.startup.failures or pool.refusal is not None:
        return min(wanted, 1) if not starting else 0
    return wanted
