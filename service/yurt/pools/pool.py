"""The queue of a function and the containers that serve it: which input goes where."""

from collections.abc import Iterable
from functools import partial

import structlog

from yurt.domain.blame import runs_alone
from yurt.domain.changes import Change
from yurt.domain.endings import Ending, cancelled, expired
from yurt.domain.errors import NotFound, Unavailable
from yurt.domain.functions import LiveFunction
from yurt.domain.items import not_again
from yurt.domain.reasons import Refusal
from yurt.domain.records import Outcome, Timer, TimerKind
from yurt.domain.startup import Startup
from yurt.pools.batching import Batcher
from yurt.pools.desk import Desk
from yurt.pools.endings import Endings
from yurt.pools.frames import input_frame
from yurt.pools.inputs import Input
from yurt.pools.ledger import BLOB_RETRY_S
from yurt.pools.members import BatchMember, Member
from yurt.pools.queue import Queue
from yurt.pools.stats import Stats
from yurt.pools.traffic import Traffic
from yurt_runner import wire

log = structlog.get_logger(__name__)
LOOK_AGAIN_S = 1.0
"""How soon an input is looked at again that is overdue while a container may be about to begin it, in seconds."""

_WEIGHT = 0.2
"""How much the newest run counts in the mean that prefetch and scaling go by."""


class Pool:
    """Queue and containers of one function, or of one combination of parameters of a class.

    Attributes:
        id: of its queue.
        live: the current revision.
        members: its containers by id, those of an older revision included while they drain.
        startup: how the starts of the current revision went.
        start_error: the ending of the last failed start, while starts fail.
        refusal: why the engine starts no container now.
        parked: inputs that may not run yet, for a moment, by seq.
        held_back: how many others wait in the store for a time of their own.
        coming: how many were accepted because a container has room for them, and are not committed yet.
        recovering: inputs of an earlier life that a container may hold, until that is known.
        traffic: its requests, where the function answers HTTP.
        batcher: puts batches together, where the function is batched.
        endings: what becomes of its inputs' attempts.
    """

    def __init__(self, live: LiveFunction, desk: Desk) -> None:
        self.id = live.queue
        self.live = live
        self.desk = desk
        window = desk.window if live.batches is None else desk.window.holding(live.batches.size)
        self.queue = Queue(partial(desk.refill, self), desk.left, window)
        self.members: dict[str, Member] = {}
        self.free: dict[str, Member] = {}
        self.recovering: dict[int, Input] = {}
        self.parked: set[int] = set()
        self.held_back = self.coming = 0
        self.startup = Startup()
        self.start_error: Ending | None = None
        self.refusal: Refusal | None = None
        self.traffic: Traffic | None = None
        self.stats = Stats()
        self.mean_run_s: float | None = None
        self.startup_s: float | None = None
        self.active_at = desk.clock.monotonic()
        self.desired, self.capped = 0, False
        self.retired_by: str | None = None
        self.paused = False
        self._reserved: Member | None = None
        self.batcher = Batcher(self)
        self.endings = Endings(self)

    # ------------------------------------------------------------------ inputs in

    def enqueue(self, item: Input) -> None:
        """Take an input whose acceptance is committed, or that is to run once more; not one that has been ended."""
        if item.ending:
            return
        if self.retired_by is not None:
            self.endings.end(item, cancelled(self.retired_by))
            return
        if item.items is not None:
            self.endings.end(item, not_again(item.items.added.items, "The container that ran it is gone."))
            return
        if not self.queue and self._goes_at_once(item):
            return
        if self.desk.ledger.place(item, partial(self.written, item)):
            return
        if not self.queue.push(item):
            self.desk.left((item,))
        self.pump()

    def has_room(self) -> bool:
        """Whether an input that is accepted now will go to a container at once, as far as can be told."""
        if self.paused or self.queue or self.live.batches is not None:
            return False
        room, mean = -self.coming, self.mean_run_s
        for member in self.members.values():
            if member.works and member is not self._reserved:
                room += member.room(mean)
                if room > 0:
                    return True
        return False

    def _goes_at_once(self, item: Input) -> bool:
        """Hand an input out past an empty queue, if somebody has room."""
        if self.paused or runs_alone(item.history):
            return False
        member = self._with_room()
        if member is None or isinstance(member, BatchMember) or (item.blob is not None and not member.has_slot_free):
            return False
        self._hand_out(item, member)
        return True

    def overdue(self, item: Input) -> None:
        """The time in which an input's first attempt must begin is over."""
        if item.ending or item.history.number > 1 or item.running or item.claimed:
            return
        member = self.members.get(item.member.id) if item.member is not None else None
        if member is not None or item.seq in self.recovering or self.queue.held:
            if member is not None and not member.recalled:
                self.recall(member)
            self.desk.timers.arm(item.seq, TimerKind.EXPIRE, LOOK_AGAIN_S)
            return
        self.queue.discard(item)
        self.parked.discard(item.seq)
        self.endings.end(item, expired())

    def park(self, item: Input, in_s: float) -> None:
        """Hold a committed input back for a moment; it then takes its place in the queue."""
        if item.ending or self.retired_by is not None:
            self.enqueue(item)
            return
        item.start_at = self.desk.clock.now() + in_s
        self.parked.add(item.seq)
        self.desk.timers.arm(item.seq, TimerKind.START, in_s)
        self.desk.followers.changed(item.seq)

    def unpark(self, item: Input) -> None:
        """The time of a parked input has come."""
        if item.seq in self.parked:
            self.parked.discard(item.seq)
            self.begin(item)

    def begin(self, item: Input) -> None:
        """An input that was held back may run."""
        self.desk.outdated(item.seq)
        item.start_at = None
        item.queued_at = self.desk.clock.now()
        self.desk.followers.changed(item.seq)
        self.enqueue(item)

    def hold_back(self, item: Input, timer: Timer) -> None:
        """Leave a committed input to the store until its time comes."""
        if item.ending or self.retired_by is not None:
            self.enqueue(item)
            return
        item.start_at = timer.due_at
        self.held_back += 1
        self.desk.timers.keep(timer)
        self.desk.left((item,))
        self.desk.outdated(item.seq)
        self.desk.followers.changed(item.seq)

    def pump(self) -> None:
        """Hand out inputs while somebody has room; ask for more containers if some are left."""
        if self.paused:
            return
        queue = self.queue
        if queue.has_alone:
            self._pump_alone()
        else:
            self._reserved = None
        while len(queue) and (member := self._with_room()) is not None:
            if isinstance(member, BatchMember):
                if not self.batcher.hand_out(member):
                    break
            elif not self._hand_out_next(member, member.room(self.mean_run_s)):
                break
        if len(queue):
            self.desk.scale(self)

    def _hand_out_next(self, member: Member, room: int) -> bool:
        """Give so many inputs to a container, at least one; returns whether there may be more to hand out."""
        queue = self.queue
        for _ in range(max(1, room)):
            item = queue.pop()
            if item is None:
                return False
            if item.blob is not None and not member.has_slot_free:
                queue.push(item)  # a large one is not sent ahead: it would only fill memories
                return False
            self._hand_out(item, member)
        return True

    def pause(self) -> None:
        """Hand nothing more out, and take back what only waits in a container."""
        self.paused = True
        for member in self.members.values():
            if member.prefetched:
                self.recall(member)

    def _with_room(self) -> Member | None:
        """A container below its target, else the one with the most room, be it ahead of the input's turn.

        Of the free ones it is the one that was freed last, so that the others may become idle.
        """
        free = self.free
        while free:
            member = next(reversed(free.values()))
            if member.has_target_free and member is not self._reserved:
                return member
            free.popitem()
        mean = self.mean_run_s
        best, room = None, 0
        for member in self.members.values():
            if member.works and member is not self._reserved and (here := member.room(mean)) > room:
                best, room = member, here
        return best

    def _pump_alone(self) -> None:
        """Give inputs that must run alone to containers that hold nothing.

        While one is left a container is kept from getting others: under steady load none would ever be empty.
        """
        working = [member for member in self.members.values() if member.works]
        for member in working:
            if not member.held and (item := self.queue.pop_alone()) is not None:
                member.alone = True
                self._hand_out(item, member)
        if not self.queue.has_alone:
            self._reserved = None
        elif self._reserved not in working or self._reserved.alone:
            others = [member for member in working if not member.alone]
            self._reserved = min(others, key=lambda member: len(member.held), default=None)

    def _hand_out(self, item: Input, member: Member) -> None:
        self.dispatch(item, member)
        member.take(item)
        if len(member.held) >= member.target:
            self.free.pop(member.id, None)
        member.used = member.function.single_use_containers
        followers = self.desk.followers
        if followers.watchers:
            followers.changed(item.seq)
        if item.blob is not None:
            self.desk.background.run("send-input", self._send_blob(item, item.blob, member, item.token))
        elif member.link is not None and item.args is not None:
            member.link.send(input_frame(item, item.args))

    def dispatch(self, item: Input, member: Member) -> None:
        """An attempt begins: this container alone may speak for it."""
        item.token = self.desk.numbers.next()
        item.member = member
        item.dispatched_at = self.desk.clock.now()
        item.started_at = None

    async def _send_blob(self, item: Input, blob: str, member: Member, token: int) -> None:
        args = await self.read_blob(item, blob, member, token)
        if args is not None and member.link is not None:
            member.link.send(input_frame(item, args))

    async def read_blob(self, item: Input, blob: str, member: Member, token: int) -> bytes | None:
        """The arguments of an input that a container was given, or None where it has it no more, or they are lost."""
        while member.held.get(item.seq) is item and item.token == token:
            try:
                args = await self.desk.blobs.get(blob)
            except NotFound:
                self._arguments_lost(item, blob, member)
            except Unavailable as error:
                log.warning("arguments_not_read", call_id="fc-" + item.suffix, reason=str(error))
                await self.desk.clock.sleep(BLOB_RETRY_S)
            else:
                return args if item.token == token else None
        return None

    def _arguments_lost(self, item: Input, blob: str, member: Member) -> None:
        if member.release(item.seq) is None:
            return
        if not item.ending:
            message = f"The arguments of this call, blob {blob}, are not in the store."
            lost = {"type": "ArgumentsLost", "message": message}
            self.endings.end(item, Ending(Outcome.INTERNAL_ERROR, error=lost), member)
        self.freed(member)

    # ------------------------------------------------------------------ what containers say

    def items(self, member: Member, frame: wire.Frame) -> None:
        """A generator yielded. Only the attempt that holds the input's current token can speak for it."""
        item = member.held.get(frame.seq)
        if item is None or item.token != frame.token or item.ending:
            return
        if item.started_at is None:
            self.started(member, item.seq, item.token, 0.0)
        refusal = self.desk.items.take(item, member, frame)
        if refusal is not None:
            self.endings.end(item, refusal, member)
            self.endings.interrupt(item, member, self.desk.cancel_grace_s())

    def observe(self, run_s: float) -> None:
        """A run took so long."""
        mean = self.mean_run_s
        self.mean_run_s = run_s if mean is None else mean + _WEIGHT * (run_s - mean)

    def freed(self, member: Member) -> None:
        """A slot of the container is free again."""
        if not member.held:
            member.recalled = member.alone = False
            member.idle_since = self.active_at = self.desk.clock.monotonic()
            if member.used:
                self.desk.retire(self, member, "single use")
                return
        if member.has_target_free:
            self.free[member.id] = member
        elif isinstance(member, BatchMember):
            return
        if len(self.queue):
            self.pump()
        elif not member.held:
            self._recall_stuck()

    def started(self, member: Member, seq: int, token: int, for_s: float) -> None:
        """User code of an input has begun and takes a while: what waits behind it goes elsewhere if that helps."""
        item = member.held.get(seq)
        if item is None or item.token != token:
            return
        if item.started_at is None:
            item.started_at = self.desk.clock.now() - for_s
            item.runs_since = self.desk.clock.monotonic() - for_s
            self.desk.followers.changed(item.seq)
        self._observe_long(for_s)
        if member.prefetched and not member.recalled and (self.free or self._may_grow()):
            self.recall(member)

    def _observe_long(self, for_s: float) -> None:
        if self.mean_run_s is None or for_s > self.mean_run_s:
            self.observe(for_s)

    def _may_grow(self) -> bool:
        return len(self.members) < self.live.scaling.max_containers

    def _recall_stuck(self) -> None:
        """Nothing is queued and a container is free: take back what waits behind an input that takes long."""
        for member in self.members.values():
            if member.prefetched and not member.recalled and any(i.started_at for i in member.held.values()):
                self.recall(member)

    def recall(self, member: Member) -> None:
        """Ask for everything back that has not begun."""
        if member.link is not None:
            member.recalled = True
            member.link.send(wire.pack(wire.RECALL))

    def returned(self, member: Member, seq: int, token: int) -> None:
        """An input comes back before its user code began: nobody's fault, it waits at its old place."""
        item = member.held.get(seq)
        if item is None or item.token != token:
            return
        member.release(seq)
        member.recalled = member.recalled and bool(member.prefetched)
        if not item.ending:
            self._requeue(item)
        self.freed(member)

    def _requeue(self, item: Input) -> None:
        item.member, item.started_at = None, None
        item.min_token = item.token + 1
        self.desk.followers.changed(item.seq)
        if item.claimed and item.items is None:
            item.claimed = False
            self.desk.ledger.unclaim(item, partial(self.written, item))
        else:
            self.enqueue(item)

    def written(self, item: Input, error: Exception | None) -> None:
        """What the store must know before the input waits is committed, or was refused by a closing store."""
        if error is None:
            self.enqueue(item)

    def lost(self, member: Member, message: str, first: Iterable[Change]) -> None:
        """The container is gone, or given up: its inputs run elsewhere, or end.

        `first` is committed in the same transaction, before any of them runs elsewhere.
        """
        self.members.pop(member.id, None)
        self.free.pop(member.id, None)
        self.endings.lost(member, message, first)
        self.desk.scale(self)
