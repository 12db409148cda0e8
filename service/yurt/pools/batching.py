"""The batches of a pool: put together from what waits, in the order of the queue, and handed out as one."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from yurt.domain.batches import Batches, leave
from yurt.pools.frames import input_frame
from yurt.pools.inputs import Input
from yurt.pools.members import BatchMember
from yurt_runner import wire

if TYPE_CHECKING:
    from yurt.pools.pool import Pool

MAX_BATCH_BYTES = 64 << 20
"""Arguments of the members of one batch together; what would exceed it waits for the next one."""


class Batcher:
    """Hands out batches, and looks again when the time of the first member is over."""

    def __init__(self, pool: "Pool") -> None:
        self._pool = pool
        self._looks_at: float | None = None  # when it looks again, on the monotonic clock

    def hand_out(self, member: BatchMember) -> bool:
        """Give a batch to a container that has room for one, if one is to leave; returns whether one did."""
        batches = member.function.batches
        size = 0 if batches is None else self._leaving(batches)
        items: list[Input] = []
        inline = 0
        while len(items) < size and (item := self._pool.queue.pop()) is not None:
            inline += len(item.args or b"")
            if items and inline > MAX_BATCH_BYTES:
                self._pool.queue.push(item)
                break
            items.append(item)
        if items:
            self._give(items, member)
        return bool(items)

    def filling(self) -> tuple[int, int, float] | None:
        """Of the batch that a container waits for: its members, how many it may have, when it leaves (since 1970)."""
        pool = self._pool
        has_room = any(isinstance(one, BatchMember) and one.has_slot_free for one in pool.members.values())
        if self._looks_at is None or not has_room or pool.live.batches is None or not len(pool.queue):
            return None
        in_s = self._looks_at - pool.desk.clock.monotonic()
        return len(pool.queue), pool.live.batches.size, pool.desk.clock.now() + in_s

    def _leaving(self, batches: Batches) -> int:
        pool = self._pool
        waiting = len(pool.queue)
        now = pool.desk.clock.monotonic()
        if waiting < batches.size and self._looks_at is not None and now < self._looks_at:
            return 0
        oldest = pool.queue.oldest()
        due = leave(batches, waiting, pool.desk.clock.now() - oldest if oldest is not None else 0.0)
        if not due.size:
            self._looks_at = now + due.in_s
            pool.desk.background.wait("fill-batch", self._look_again(self._looks_at, due.in_s))
        return due.size

    async def _look_again(self, at: float, in_s: float) -> None:
        await self._pool.desk.clock.sleep(in_s)
        if self._looks_at == at:
            self._looks_at = None
            self._pool.pump()

    def _give(self, items: Sequence[Input], member: BatchMember) -> None:
        pool = self._pool
        for item in items:
            pool.dispatch(item, member)
        member.take_batch(items)
        if pool.desk.followers.watchers:
            for item in items:
                pool.desk.followers.changed(item.seq)
        if not member.has_target_free:
            pool.free.pop(member.id, None)
        if any(item.blob is not None for item in items):
            pool.desk.background.run("send-batch", self._send([(item, item.token) for item in items], member))
        else:
            self._send_all([(item, item.args or b"") for item in items], member)

    def _send_all(self, members: Sequence[tuple[Input, bytes]], member: BatchMember) -> None:
        """Send a batch: consecutive frames."""
        if member.link is None:
            return
        last = len(members) - 1
        for place, (item, args) in enumerate(members):
            member.link.send(input_frame(item, args, flags=wire.MORE if place < last else 0))

    async def _send(self, items: Sequence[tuple[Input, int]], member: BatchMember) -> None:
        """Send a batch of which some have large arguments, once these are read."""
        read: list[tuple[Input, int, bytes]] = []
        size = 0
        for item, token in items:
            args = item.args if item.blob is None else await self._pool.read_blob(item, item.blob, member, token)
            if args is None:
                continue
            size += len(args)
            if read and size > MAX_BATCH_BYTES:
                break
            read.append((item, token, args))
        mine = [(item, args) for item, token, args in read if self._has(member, item, token) and not item.ending]
        self._send_all(mine, member)
        sent = {item.seq for item, _ in mine}
        for item, token in items:
            if item.seq not in sent and self._has(member, item, token):
                self._pool.returned(member, item.seq, token)

    @staticmethod
    def _has(member: BatchMember, item: Input, token: int) -> bool:
        return member.held.get(item.seq) is item and item.token == token
