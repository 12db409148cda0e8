"""An input that waits, as its pool sees it."""

from yurt.domain.reasons import Waiting
from yurt.domain.records import ContainerState
from yurt.pools.inputs import Input
from yurt.pools.pool import Pool


def waiting_of(pool: Pool, item: Input) -> Waiting:
    """What stands between an input and a container, which `yurt.domain.reasons.explain` puts into words."""
    now, mono = pool.desk.clock.now(), pool.desk.clock.monotonic()
    current = [m for m in pool.members.values() if m.state is not ContainerState.DRAINING]
    starting = [m for m in current if m.state is ContainerState.STARTING]
    begun = min((m.record.created_at for m in starting), default=None)
    ahead, exact = pool.queue.ahead(item)
    error = pool.start_error.error if pool.start_error is not None else {}
    retry = pool.startup.not_before
    comes_back = item.member is None and item not in pool.queue  # once it is stored that its attempt is over
    return Waiting(
        address=pool.live.address,
        ahead=ahead,
        ahead_exact=exact,
        since=item.queued_at,
        ready=len(current) - len(starting),
        starting=len(starting),
        starting_since=begun,
        max_containers=pool.live.scaling.max_containers,
        recovering=item.seq in pool.recovering,
        start_at=item.start_at,
        attempts=item.history.number - 1,
        start_failures=pool.startup.failures,
        start_error=f"{error.get('type')}: {error.get('message')}"[:500] if error else None,
        retry_at=now + retry - mono if retry > mono else None,
        held_up=sum(member.held_up for member in starting),
        refusal=pool.refusal,
        filling=pool.batcher.filling() if item in pool.queue else None,
        store_away=pool.desk.ledger.away if comes_back or len(starting) == len(current) else None,
    )
