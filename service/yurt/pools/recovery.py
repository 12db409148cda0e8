"""After a restart of the server: whose inputs run where, before any of them runs a second time."""

from collections.abc import Iterable
from functools import partial

from yurt.pools.inputs import Input
from yurt.pools.members import LEASE_S, Member
from yurt.pools.pool import Pool
from yurt.pools.sessions import Held
from yurt.ports import Clock
from yurt_runner import wire

WAIT_S = 5.0
"""How long inputs of an earlier life wait for the containers of their function to say what they hold, in seconds."""


class Recovery:
    """Holds back the inputs of earlier lives until it is known which of them still run.

    Args:
        inputs: every input that has not ended, by seq.
    """

    def __init__(self, inputs: dict[int, Input], clock: Clock) -> None:
        self._inputs = inputs
        self._clock = clock
        self._begun = clock.monotonic()

    def begin(self) -> None:
        """Everything was taken over: the waiting begins, for before that no container could say hello."""
        self._begun = self._clock.monotonic()

    def hold(self, pool: Pool, item: Input) -> None:
        """Keep an input of an earlier life back, unless no container could hold it."""
        if pool.members:
            pool.recovering[item.seq] = item
        else:
            pool.enqueue(item)

    def adopt(self, pool: Pool, member: Member, holds: Iterable[Held]) -> None:
        """Take over what a reconnecting container holds, and tell it to stop what is no longer its own.

        What it was given and does not hold never arrived, or came back while nobody listened: it is queued again.
        """
        told = set()
        for held in holds:
            told.add((held.seq, held.token))
            item = self._inputs.get(held.seq)
            if item is not None and item.member is member and item.token == held.token and not item.ending:
                pool.desk.items.adopted(item, member)
                continue
            if item is not None and self._may_adopt(pool, item, held):
                self._take(pool, member, item, held)
            elif not held.done and member.link is not None:
                member.link.send(wire.pack(wire.CANCEL, held.seq, held.token, meta=wire.meta(grace_s=0)))
        for item in list(member.held.values()):
            if (item.seq, item.token) not in told:
                pool.returned(member, item.seq, item.token)
        self.release(pool)

    @staticmethod
    def _may_adopt(pool: Pool, item: Input, held: Held) -> bool:
        """Whether the report may make this attempt the input's current one.

        It was not given up, and the input waits, or bears the lower token of an attempt that was adopted before.
        """
        if item.ending or held.token < item.min_token or item.queue != pool.id:
            return False
        waits = item.seq in pool.recovering or item in pool.queue
        return waits or (item.member is not None and item.token < held.token)

    def _take(self, pool: Pool, member: Member, item: Input, held: Held) -> None:
        pool.recovering.pop(item.seq, None)
        pool.queue.discard(item)
        before = pool.members.get(item.member.id) if item.member is not None else None
        if before is not None:
            before.release(item.seq)
            if before.link is not None:
                before.link.send(wire.pack(wire.CANCEL, item.seq, item.token, meta=wire.meta(grace_s=0)))
        item.token, item.member = held.token, member
        now = self._clock.now()
        item.dispatched_at = now
        item.started_at = now - held.for_s if held.for_s is not None else None
        item.runs_since = self._clock.monotonic() - (held.for_s or 0.0)
        member.adopt(item, held.for_s)
        pool.desk.items.adopted(item, member)
        pool.desk.followers.changed(item.seq)

    def release(self, pool: Pool) -> None:
        """Queue the held-back inputs that no container can hold any more, and let the store be read for more."""
        silent = [m for m in pool.members.values() if not m.greeted and m.ended is None]
        waited = self._clock.monotonic() - self._begun
        if not silent or waited >= WAIT_S:
            pool.queue.release()
        for item in list(pool.recovering.values()):
            claim = item.claim
            claimed_by = pool.members.get(claim.container_id) if claim is not None else None
            if claimed_by is not None and not claimed_by.greeted and waited < LEASE_S:
                continue
            if silent and waited < WAIT_S:
                continue
            del pool.recovering[item.seq]
            if item.claimed and item.items is None:
                item.claimed = False
                pool.desk.ledger.unclaim(item, partial(pool.written, item))
            else:
                pool.enqueue(item)
