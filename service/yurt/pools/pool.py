"""The queue of a function and the containers that serve it: which input goes where."""

from collections.abc import Iterable
from functools import partial

import structlog

from yurt.domain.blame import History, Verdict, container_lost, runs_alone
from yurt.domain.changes import Change, HoldBack, Save
from yurt.domain.endings import Ending, cancelled, expired
from yurt.domain.errors import NotFound, Unavailable
from yurt.domain.functions import LiveFunction
from yurt.domain.items import not_again
from yurt.domain.reasons import Refusal
from yurt.domain.records import Outcome, Result, Timer, TimerKind
from yurt.domain.retry import Again, after_failure
from yurt.domain.startup import Startup
from yurt.pools.batching import Batcher
from yurt.pools.desk import Desk
from yurt.pools.frames import input_frame
from yurt.pools.inputs import Input
from yurt.pools.ledger import BLOB_RETRY_S
from yurt.pools.members import BatchMember, Member
from yurt.pools.outputs import read_output
from yurt.pools.queue import Queue
from yurt.pools.stats import Stats
from yurt.pools.traffic import Traffic
from yurt_runner import wire

log = structlog.get_logger(__name__)
SHORT_DELAY_S = 1.0
"""Delays of retries up to this are not stored: a restart of the server takes as long."""

LOOK_AGAIN_S = 1.0
"""How soon an input is looked at again that is overdue while a container may be about to begin it, in seconds."""

MAX_REASON = 1_000
"""Characters kept of why an attempt failed that did not end its input."""

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
        recovering: inputs of an earlier life that a container may hold, until that is known.
        traffic: its requests, where the function answers HTTP.
        batcher: puts batches together, where the function is batched.
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
        self.held_back = 0
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
        self._settling: dict[tuple[int, int], Member] = {}

    # ------------------------------------------------------------------ inputs in

    def enqueue(self, item: Input) -> None:
        """Take an input whose acceptance is committed, or that is to run once more; not one that has been ended."""
        if item.ending:
            return
        if self.retired_by is not None:
            self._end(item, cancelled(self.retired_by))
            return
        if item.items is not None:
            self._end(item, not_again(item.items.added.items, "The container that ran it is gone."))
            return
        if not self.queue and self._goes_at_once(item):
            return
        if not self.queue.push(item):
            self.desk.left((item,))
        self.pump()

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
        self._end(item, expired())

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
            self._end(item, Ending(Outcome.INTERNAL_ERROR, error=lost), member)
        self.freed(member)

    # ------------------------------------------------------------------ what containers say

    def output(self, member: Member, frame: wire.Frame) -> None:
        """An attempt has ended. Only the one that holds the input's current token can speak for it."""
        item = member.held.get(frame.seq)
        if item is None or item.token != frame.token:
            if (frame.seq, frame.token) not in self._settling:
                self._acknowledge(member, frame.seq, frame.token)
            return
        member.release(frame.seq)
        ending = read_output(frame)
        if ending.run_s is not None:
            self._observe(ending.run_s)
        if item.over:
            self._acknowledge(member, item.seq, item.token)
        else:
            self._settling[item.seq, item.token] = member
            if not item.ending:
                if item.items is None and not ending.items:
                    self._attempt_ended(item, ending, member)
                else:
                    self.desk.items.ended(item, ending, lambda last: self._end(item, last, member))
        self.freed(member)

    def items(self, member: Member, frame: wire.Frame) -> None:
        """A generator yielded. Only the attempt that holds the input's current token can speak for it."""
        item = member.held.get(frame.seq)
        if item is None or item.token != frame.token or item.ending:
            return
        if item.started_at is None:
            self.started(member, item.seq, item.token, 0.0)
        refusal = self.desk.items.take(item, member, frame)
        if refusal is not None:
            self._end(item, refusal, member)
            self._interrupt(item, member, self.desk.cancel_grace_s())

    def _attempt_ended(self, item: Input, ending: Ending, member: Member) -> None:
        """An attempt speaks for its input: that ends, or has a retry left."""
        again = None
        if ending.outcome is not Outcome.SUCCESS:
            again = after_failure(member.function.retries, item.history, ending.outcome)
        if again is None:
            self._end(item, ending, member)
        else:
            self._retry(item, ending, again)

    def _retry(self, item: Input, ending: Ending, again: Again) -> None:
        """Write that the attempt failed; the next one is made once that is committed."""
        token, said = item.token, f"{ending.error.get('type')}: {ending.error.get('message')}"[:MAX_REASON]
        if item.started_at is None and ending.run_s is not None:
            item.started_at = self.desk.clock.now() - ending.run_s
        timer: Timer | None = None
        first: tuple[Change, ...] = ()
        if again.delay_s > SHORT_DELAY_S:
            item.timed = True
            timer = Timer(item.seq, TimerKind.START, self.desk.timers.now() + again.delay_s)
            first = (Save(timer), *self._out_of_queue(item))
        done = partial(self._retried, item, token, timer or again.delay_s)
        self.desk.ledger.again([(item, again.history)], ending.outcome, said, first, done)
        item.history, item.min_token = again.history, token + 1
        item.member, item.started_at, item.claimed = None, None, False
        self.desk.followers.changed(item.seq)

    @staticmethod
    def _out_of_queue(item: Input) -> tuple[Change, ...]:
        return () if item.group is not None else (HoldBack(item.seq, item.queue, item.caller, item.priority),)

    def _retried(self, item: Input, token: int, pause: Timer | float, error: Exception | None) -> None:
        """The failed attempt is committed, or was refused by a closing store."""
        if error is not None:
            log.error("retry_refused", input_id="in-" + item.suffix, error=str(error))
            return
        answered = self._settling.pop((item.seq, token), None)
        if answered is not None:
            self._acknowledge(answered, item.seq, token)
        if isinstance(pause, Timer):
            self.hold_back(item, pause)
        elif pause:
            self.park(item, pause)
        else:
            self.enqueue(item)

    def _observe(self, run_s: float) -> None:
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
            self._observe(for_s)

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
            self.desk.ledger.unclaim(item, partial(self.unclaimed, item))
        else:
            self.enqueue(item)

    def unclaimed(self, item: Input, error: Exception | None) -> None:
        """It is committed, or was refused by a closing store, that no container holds the input any more."""
        if error is None:
            self.enqueue(item)

    # ------------------------------------------------------------------ ends

    def _end(self, item: Input, ending: Ending, member: Member | None = None) -> None:
        revision = member.function.revision if member is not None else self._revision_of(item)
        seen = partial(self._seen, item, ending.run_s)
        self.desk.ledger.end(item, ending, self.live.address, revision, seen)

    def _revision_of(self, item: Input) -> int:
        member = self.members.get(item.member.id) if item.member is not None else None
        return (member.function if member is not None else self.live).revision

    def _seen(self, item: Input, run_s: float | None, result: Result) -> None:
        """The result is committed: now, and only now, it is shown."""
        item.over = True
        answered = self._settling.pop((item.seq, item.token), None)
        if answered is not None:
            self._acknowledge(answered, item.seq, item.token)
        waited = item.dispatched_at - item.queued_at if item.dispatched_at is not None else None
        self.stats.ended(self.desk.clock.monotonic(), result.outcome, waited, run_s)
        self.desk.forget(item)
        followers = self.desk.followers
        for waiter in followers.waiters.pop(item.seq, ()):
            waiter(result)
        if followers.watchers:
            followers.changed(item.seq)
        if item.group is not None:
            item.group.after_end(item, result)

    @staticmethod
    def _acknowledge(member: Member, seq: int, token: int) -> None:
        if member.link is not None:
            member.link.acknowledge(seq, token)

    def cancel(self, item: Input, by: str, *, grace_s: float) -> bool:
        """End an input as cancelled; its container is told to stop the work, which keeps the slot until it has.

        Returns False where the input is already ending in another way.
        """
        if item.ending:
            return False
        self.queue.discard(item)
        self.recovering.pop(item.seq, None)
        self.parked.discard(item.seq)
        self._end(item, cancelled(by))
        member = self.members.get(item.member.id) if item.member is not None else None
        if member is not None:
            self._interrupt(item, member, grace_s)
        return True

    @staticmethod
    def _interrupt(item: Input, member: Member, grace_s: float) -> None:
        """Tell a container to stop the work, which keeps the slot until it has."""
        if member.link is not None:
            member.link.send(wire.pack(wire.CANCEL, item.seq, item.token, meta=wire.meta(grace_s=grace_s)))

    def overran(self, item: Input, member: Member) -> None:
        """End an input that ran over its timeout although its container should have seen to that."""
        limit = member.function.timeout_s
        message = f"The function ran over its timeout of {limit:g} s and could not be stopped."
        error = {"type": "FunctionTimeout", "message": message, "limit_s": limit, "phase": "run"}
        ending = Ending(Outcome.TIMEOUT, error=error)
        again = after_failure(member.function.retries, item.history, ending.outcome)
        if again is None:
            self._end(item, ending, member)
        else:
            member.release(item.seq)
            self._retry(item, ending, again)

    def fail_queued(self, ending: Ending) -> None:
        """End everything that waits."""
        self.desk.rest(self, ending)
        for item in list(self.queue):
            self.fail(item, ending)

    def fail(self, item: Input, ending: Ending) -> None:
        """End an input, if it waits to run."""
        if item.member is None and item.start_at is None and not item.ending:
            self.queue.discard(item)
            self._end(item, ending)

    def lost(self, member: Member, message: str, first: Iterable[Change]) -> None:
        """The container is gone, or given up: its inputs run elsewhere, with blame for those that it ran.

        `first` is committed in the same transaction, before any of them runs elsewhere.
        """
        held = [item for item in member.held.values() if not item.ending]
        ran = {item.seq for item in held if item.started_at is not None or member.has_slot(item)}
        member.held.clear()
        self.members.pop(member.id, None)
        self.free.pop(member.id, None)
        again: list[tuple[Input, History]] = []
        for item in held:
            if item.items is not None:
                self._end(item, not_again(item.items.added.items, message), member)
                continue
            verdict = container_lost(item.history) if item.seq in ran else Verdict(None, item.history)
            if verdict.final is not None:
                error = {"type": "ContainerLost", "message": f"{message} This was loss {verdict.history.losses}."}
                self._end(item, Ending(Outcome.INTERNAL_ERROR, error=error), member)
            else:
                again.append((item, verdict.history))
        done = partial(self._again, member, again)
        self.desk.ledger.again(again, Outcome.CONTAINER_LOST, message, tuple(first), done)
        self.desk.scale(self)

    def _again(self, member: Member, items: list[tuple[Input, History]], error: Exception | None) -> None:
        if error is not None:
            log.error("requeue_refused", function_id=self.live.function_id, inputs=len(items), error=str(error))
            return
        for item, history in items:
            item.history = history
            if item.member is not member:
                continue  # meanwhile another container said that it holds a later attempt
            item.member, item.started_at, item.claimed = None, None, False
            item.min_token = item.token + 1
            self.desk.followers.changed(item.seq)
            self.enqueue(item)
