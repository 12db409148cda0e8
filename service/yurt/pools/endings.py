"""What becomes of attempts: an input ends by one, or runs once more."""

from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING

import structlog

from yurt.domain.blame import History, Verdict, container_lost
from yurt.domain.changes import Change, Save
from yurt.domain.endings import Ending, cancelled
from yurt.domain.items import not_again
from yurt.domain.records import Outcome, Result, Timer, TimerKind
from yurt.domain.retry import Again, after_failure
from yurt.pools.inputs import Input
from yurt.pools.members import Member
from yurt.pools.outputs import read_output
from yurt_runner import wire

if TYPE_CHECKING:
    from yurt.pools.pool import Pool

log = structlog.get_logger(__name__)
SHORT_DELAY_S = 1.0
"""Delays of retries up to this are not stored: a restart of the server takes as long."""

MAX_REASON = 1_000
"""Characters kept of why an attempt failed that did not end its input."""


class Endings:
    """Ends the inputs of a pool, or has them run again. Nothing of that is shown, or begun, before it is committed."""

    def __init__(self, pool: "Pool") -> None:
        self._pool = pool
        self._desk = pool.desk
        self._settling: dict[tuple[int, int], Member] = {}  # whose outputs are not committed yet, by seq and token

    # ------------------------------------------------------------------ the end of an attempt

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
            self._pool.observe(ending.run_s)
        if item.over:
            self._acknowledge(member, item.seq, item.token)
        else:
            self._settling[item.seq, item.token] = member
            if not item.ending:
                if item.items is None and not ending.items:
                    self._attempt_ended(item, ending, member)
                else:
                    self._desk.items.ended(item, ending, lambda last: self.end(item, last, member))
        self._pool.freed(member)

    def _attempt_ended(self, item: Input, ending: Ending, member: Member) -> None:
        """An attempt speaks for its input: that ends, or has a retry left."""
        again = None
        if ending.outcome is not Outcome.SUCCESS:
            again = after_failure(member.function.retries, item.history, ending.outcome)
        if again is None:
            self.end(item, ending, member)
        else:
            self._retry(item, ending, again)

    def _retry(self, item: Input, ending: Ending, again: Again) -> None:
        """Write that the attempt failed; the next one is made once that is committed."""
        token, said = item.token, f"{ending.error.get('type')}: {ending.error.get('message')}"[:MAX_REASON]
        if item.started_at is None and ending.run_s is not None:
            item.started_at = self._desk.clock.now() - ending.run_s
        timer: Timer | None = None
        first: tuple[Change, ...] = ()
        if again.delay_s > SHORT_DELAY_S:
            item.timed = True
            timer = Timer(item.seq, TimerKind.START, self._desk.timers.now() + again.delay_s)
            first = (Save(timer), *self._desk.ledger.out_of_queue(item))
        done = partial(self._retried, item, token, timer or again.delay_s)
        self._desk.ledger.again([(item, again.history)], ending.outcome, said, first, done)
        item.history, item.min_token = again.history, token + 1
        item.member, item.started_at, item.claimed = None, None, False
        self._desk.followers.changed(item.seq)

    def _retried(self, item: Input, token: int, pause: Timer | float, error: Exception | None) -> None:
        """The failed attempt is committed, or was refused by a closing store."""
        if error is not None:
            log.error("retry_refused", input_id="in-" + item.suffix, error=str(error))
            return
        answered = self._settling.pop((item.seq, token), None)
        if answered is not None:
            self._acknowledge(answered, item.seq, token)
        if isinstance(pause, Timer):
            self._pool.hold_back(item, pause)
        elif pause:
            self._pool.park(item, pause)
        else:
            self._pool.enqueue(item)

    def overran(self, item: Input, member: Member) -> None:
        """End an input that ran over its timeout although its container should have seen to that."""
        limit = member.function.timeout_s
        message = f"The function ran over its timeout of {limit:g} s and could not be stopped."
        error = {"type": "FunctionTimeout", "message": message, "limit_s": limit, "phase": "run"}
        ending = Ending(Outcome.TIMEOUT, error=error)
        again = after_failure(member.function.retries, item.history, ending.outcome)
        if again is None:
            self.end(item, ending, member)
        else:
            member.release(item.seq)
            self._retry(item, ending, again)

    def lost(self, member: Member, message: str, first: Iterable[Change]) -> None:
        """See `Pool.lost`: inputs run elsewhere, with blame for those that the container ran."""
        held = [item for item in member.held.values() if not item.ending]
        ran = {item.seq for item in held if item.started_at is not None or member.has_slot(item)}
        member.held.clear()
        again: list[tuple[Input, History]] = []
        for item in held:
            if item.items is not None:
                self.end(item, not_again(item.items.added.items, message), member)
                continue
            verdict = container_lost(item.history) if item.seq in ran else Verdict(None, item.history)
            if verdict.final is not None:
                error = {"type": "ContainerLost", "message": f"{message} This was loss {verdict.history.losses}."}
                self.end(item, Ending(Outcome.INTERNAL_ERROR, error=error), member)
            else:
                again.append((item, verdict.history))
        done = partial(self._again, member, again)
        self._desk.ledger.again(again, Outcome.CONTAINER_LOST, message, tuple(first), done)

    def _again(self, member: Member, items: list[tuple[Input, History]], error: Exception | None) -> None:
        if error is not None:
            log.error("requeue_refused", function_id=self._pool.live.function_id, inputs=len(items), error=str(error))
            return
        for item, history in items:
            item.history = history
            if item.member is not member:
                continue  # meanwhile another container said that it holds a later attempt
            item.member, item.started_at, item.claimed = None, None, False
            item.min_token = item.token + 1
            self._desk.followers.changed(item.seq)
            self._pool.enqueue(item)

    # ------------------------------------------------------------------ the end of an input

    def end(self, item: Input, ending: Ending, member: Member | None = None) -> None:
        """End an input; `member` is the container that its current attempt speaks through, if one does."""
        revision = member.function.revision if member is not None else self._revision_of(item)
        seen = partial(self._seen, item, ending.run_s)
        self._desk.ledger.end(item, ending, self._pool.live.address, revision, seen)

    def _revision_of(self, item: Input) -> int:
        member = self._pool.members.get(item.member.id) if item.member is not None else None
        return (member.function if member is not None else self._pool.live).revision

    def _seen(self, item: Input, run_s: float | None, result: Result) -> None:
        """The result is committed: now, and only now, it is shown."""
        item.over = True
        answered = self._settling.pop((item.seq, item.token), None)
        if answered is not None:
            self._acknowledge(answered, item.seq, item.token)
        waited = item.dispatched_at - item.queued_at if item.dispatched_at is not None else None
        self._pool.stats.ended(self._desk.clock.monotonic(), result.outcome, waited, run_s)
        self._desk.forget(item)
        followers = self._desk.followers
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
        self._pool.queue.discard(item)
        self._pool.recovering.pop(item.seq, None)
        self._pool.parked.discard(item.seq)
        self.end(item, cancelled(by))
        member = self._pool.members.get(item.member.id) if item.member is not None else None
        if member is not None:
            self.interrupt(item, member, grace_s)
        return True

    @staticmethod
    def interrupt(item: Input, member: Member, grace_s: float) -> None:
        """Tell a container to stop the work, which keeps the slot until it has."""
        if member.link is not None:
            member.link.send(wire.pack(wire.CANCEL, item.seq, item.token, meta=wire.meta(grace_s=grace_s)))

    def fail_queued(self, ending: Ending) -> None:
        """End everything that waits."""
        self._desk.rest(self._pool, ending)
        for item in list(self._pool.queue):
            self.fail(item, ending)

    def fail(self, item: Input, ending: Ending) -> None:
        """End an input, if it waits to run."""
        if item.member is None and item.start_at is None and not item.ending:
            self._pool.queue.discard(item)
            self.end(item, ending)
