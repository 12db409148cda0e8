"""The heart: every pool and every input that has not ended, behind the calls that the use cases make."""

from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from yurt.domain.changes import Change, MapInput, Save
from yurt.domain.endings import cancelled
from yurt.domain.errors import AppStopped, TooManyPending, Unavailable
from yurt.domain.functions import LiveFunction
from yurt.domain.ids import Tags
from yurt.domain.maps import stopped_by
from yurt.domain.reasons import PendingReason, explain
from yurt.domain.records import Block, CallKind, Result, Target, Timer, TimerKind
from yurt.pools.background import Background
from yurt.pools.desk import Desk
from yurt.pools.families import Families
from yurt.pools.followers import Followers
from yurt.pools.functions import LiveFunctions
from yurt.pools.inputs import Input, NewCall, resumed, timers_of
from yurt.pools.items import ItemDesk
from yurt.pools.ledger import Ledger
from yurt.pools.live_map import LiveMap
from yurt.pools.lives import Lives
from yurt.pools.maps import Maps
from yurt.pools.members import Member
from yurt.pools.numbers import Numbers
from yurt.pools.pool import Pool
from yurt.pools.queue import WINDOW, Window
from yurt.pools.reach import Reach
from yurt.pools.reasons import waiting_of
from yurt.pools.recovery import Recovery
from yurt.pools.stored import Stored
from yurt.pools.timers import Timers
from yurt.pools.traffic import Traffic, not_callable, refuse_calls
from yurt.ports import Blobs, Clock, WaitingInput
from yurt.ports import Maps as StoredMaps


@dataclass(frozen=True, slots=True)
class Limits:
    """How many inputs of one function may wait, how many of them are in memory, and what one may yield.

    Args:
        item_bytes: the most that is stored of what one generator yields.
    """

    pending: int = 5_000_000
    window: Window = WINDOW
    item_bytes: int = 1 << 30


class Heart:
    """Accepts calls, and knows what is open.

    Attributes:
        inputs: every input that has not ended and is in memory, by seq.
        stored: brings the others there.
        items: takes what generators yield, and tells who reads it.
        reach: reaches those whose turn it is not, wherever they are.
        maps: every map that has not ended.
        followers: who waits for inputs, also for those that are only in the store.
        timers: what is due later.
        pools: the pools of live functions and of retired ones that still have containers, by queue: that of the
            function itself, and those of combinations of parameters.
        families: which of them belong to one function.
        functions: is told which functions live, and what scaling they have.
    """

    def __init__(
        self,
        *,
        ledger: Ledger,
        blobs: Blobs,
        clock: Clock,
        numbers: Numbers,
        tags: Tags,
        background: Background,
        reads: StoredMaps,
        limits: Limits,
    ) -> None:
        self.inputs: dict[int, Input] = {}
        self.followers = Followers()
        self.timers = Timers(clock)
        self.pools: dict[str, Pool] = {}
        self.families = Families(self.pools, self._new_pool)
        self.recovery = Recovery(self.inputs, clock)
        self._clock = clock
        self._numbers = numbers
        self._tags = tags
        self._ledger = ledger
        self._limits = limits
        self._background = background
        self._lives: Lives | None = None
        self._closed = False
        self.items = self._new_items(blobs, background)
        self.traffic_of: Callable[[Pool], Traffic | None] = lambda _: None
        self.maps = self._new_maps(blobs, background)
        self.stored = self._new_stored(reads, background, limits.window.stream)
        self.reach = self._new_reach(background)
        self.functions = self._new_functions(background)
        self._desk = self._new_desk(blobs, background, limits.window)

    def _new_items(self, blobs: Blobs, background: Background) -> ItemDesk:
        return ItemDesk(
            ledger=self._ledger,
            blobs=blobs,
            clock=self._clock,
            background=background,
            inputs=self.inputs,
            limit_bytes=self._limits.item_bytes,
        )

    def _new_maps(self, blobs: Blobs, background: Background) -> Maps:
        return Maps(
            ledger=self._ledger,
            blobs=blobs,
            clock=self._clock,
            numbers=self._numbers,
            tags=self._tags,
            background=background,
            take=self.accept_inputs,
            cancel=self.cancel,
            full=self._full,
            ended=self.followers.ended,
            rest=self._rest_of_map,
        )

    def _new_stored(self, reads: StoredMaps, background: Background, page: int) -> Stored:
        return Stored(
            reads=reads,
            inputs=self.inputs,
            maps=self.maps.open,
            make=self._input_of_row,
            tags=self._tags,
            ledger=self._ledger,
            clock=self._clock,
            background=background,
            page=page,
        )

    def _new_reach(self, background: Background) -> Reach:
        return Reach(
            inputs=self.inputs,
            maps=self.maps.open,
            pools=self.pools,
            families=self.families,
            stored=self.stored,
            timers=self.timers,
            background=background,
            left=self._left,
            cancel=self.cancel,
            end_orphan=self.end_orphan,
        )

    def _new_functions(self, background: Background) -> LiveFunctions:
        return LiveFunctions(
            pools=self.pools,
            new_pool=self._new_pool,
            families=self.families,
            inputs=self.inputs,
            maps=self.maps,
            stored=self.stored,
            reach=self.reach,
            lives=lambda: self.lives,
            background=background,
            clock=self._clock,
        )

    def _new_pool(self, live: LiveFunction) -> Pool:
        pool = Pool(live, self._desk)
        pool.traffic = self.traffic_of(pool) if live.web is not None else None
        return pool

    def _new_desk(self, blobs: Blobs, background: Background, window: Window) -> Desk:
        return Desk(
            ledger=self._ledger,
            blobs=blobs,
            clock=self._clock,
            numbers=self._numbers,
            background=background,
            items=self.items,
            followers=self.followers,
            timers=self.timers,
            window=window,
            refill=self.stored.refill,
            left=self._left,
            outdated=self.stored.outdated,
            rest=self.reach.fail_rest,
            scale=self.functions.want_scale,
            forget=self._forget,
            retire=self._retire_member,
            cancel_grace_s=lambda: self.lives.cancel_grace_s,
        )

    def attach(self, lives: Lives) -> None:
        """Say who starts and ends containers."""
        self._lives = lives

    @property
    def lives(self) -> Lives:
        """Who starts and ends containers."""
        if self._lives is None:
            raise RuntimeError("the heart has no engine yet")
        return self._lives

    # ------------------------------------------------------------------ calls

    def accept(
        self,
        live: LiveFunction,
        call: NewCall,
        more: Callable[[int], Sequence[Change]],
        done: Callable[[Exception | None], None],
    ) -> Input:
        """Accept a call: durable first, then queued; `done` is called after the commit, or with what refused it.

        One whose caller waits for its end may begin before that, where a container takes it at once.

        Args:
            more: given the call's sequence number, what to write in the same transaction.

        Raises:
            AppStopped: the function has just been retired.
            NotCallable: it answers HTTP.
            TooManyPending: the function's queue is full, or it has too many.
            Unavailable: the server is stopping, or the journal takes nothing now.
        """
        pool = self._open_to(live, call)
        item = self._input_of_call(live, call)
        seq = item.seq

        def committed(error: Exception | None) -> None:
            if later:
                self._written_late(item, error)
                done(error)
                return
            pool.coming -= at_once
            if error is None:
                self.stored.newest = seq
                if seq not in self.inputs:  # else it was looked for, and ended, before its acceptance was heard of
                    self.inputs[seq] = item
                    self._accepted(pool, item, timers)
            else:
                self._ledger.refused(seq)
                self.followers.forget(seq)
            done(error)

        timers = () if call.timing is None else timers_of(item, call.timing, self.timers.now())
        at_once = not timers and call.blob is None and call.kind != CallKind.SCHEDULE and pool.has_room()
        changes = (*more(seq), *map(Save, timers)) if timers else more(seq)
        later = at_once and call.waits and not changes and self._ledger.prompt
        self._ledger.accept(item, changes, committed, at_once=at_once, later=later)
        if later:
            self.inputs[seq] = item
            pool.enqueue(item)
        else:
            pool.coming += at_once
        return item

    def _input_of_call(self, live: LiveFunction, call: NewCall) -> Input:
        """The input of a new call, with its number."""
        seq = self._numbers.next()
        return Input(
            seq=seq,
            suffix=self._tags.suffix(seq),
            function_id=live.function_id,
            app_id=live.app_id,
            kind=call.kind,
            caller=call.caller,
            priority=call.priority,
            created_at=self._clock.now(),
            metadata_json=call.metadata_json,
            args=call.args,
            blob=call.blob,
            target=None if call.target is None else replace(call.target, seq=seq),
        )

    def _written_late(self, item: Input, error: Exception | None) -> None:
        """An input that was begun before its acceptance is written; or that is refused, and then it never was."""
        if error is not None:
            item.ending = item.over = True
            self._ledger.refused(item.seq)
            self._forget(item)
            self.followers.forget(item.seq)

    def settle(self) -> None:
        """Now and then: see to it that a start has few calls to look for."""
        self._ledger.settle()

    def _open_to(self, live: LiveFunction, call: NewCall) -> Pool:
        """The pool that takes a call; raises as `accept` does."""
        pool, target = self.pools.get(live.function_id), call.target
        if target is not None:
            pool = self.families.asked(live, target.queue, target.parameters_json)
        if pool is None or pool.retired_by is not None:
            raise AppStopped(f"{live.address} was stopped or deleted.")
        if pool.traffic is not None:
            raise not_callable(live)
        if self._closed:
            raise Unavailable("The server is shutting down.", code="shutting_down", retry_after_s=5)
        if len(pool.queue) + pool.held_back >= self._limits.pending:
            raise TooManyPending(
                f"{live.address} has {len(pool.queue)} pending inputs, which is the limit.", retry_after_s=5
            )
        return pool

    def _accepted(self, pool: Pool, item: Input, timers: Sequence[Timer]) -> None:
        """An input is committed: it waits in the queue, or in the store for its time."""
        if item.target is not None and (home := self._home(item)) is not pool:
            if home is None:
                self.end_orphan(item)
                return
            pool = home  # the one that was asked for had nothing left in it meanwhile
        start = None
        for timer in timers:
            if timer.kind == TimerKind.START:
                start = timer
            else:
                self.timers.keep(timer)
        if start is None:
            pool.enqueue(item)
        else:
            pool.hold_back(item, start)

    def _home(self, item: Input) -> Pool | None:
        """The pool of an input, which is made where parameters have none any more; None if the function is gone."""
        pool = self.pools.get(item.queue)
        if pool is None and item.target is not None:
            return self.families.home(item.function_id, item.target.parameters_json)
        return pool

    def _full(self, function_id: str, target: Target | None) -> bool:
        """Whether the queue of a map takes no more inputs now.

        Raises:
            AppStopped: it has been retired.
            Unavailable: the server is stopping.
        """
        pool = self.pools.get(function_id)
        if pool is not None and target is not None:
            pool = self.families.asked(pool.live, target.queue, target.parameters_json)
        if pool is None or pool.retired_by is not None:
            raise AppStopped("The function was stopped or deleted.")
        refuse_calls(pool.live)
        if self._closed:
            raise Unavailable("The server is shutting down.", code="shutting_down", retry_after_s=5)
        return len(pool.queue) >= self._limits.pending

    def accept_inputs(self, found: LiveMap, block: Block, rows: Sequence[MapInput]) -> None:
        """Queue inputs of a map that are committed: `rows`, which are in `block`, at its end."""
        by = stopped_by(found.record)
        pool = self.home_of_map(found)
        for at, row in enumerate(rows):
            if by is None and pool is not None and not pool.queue.takes(found):
                pool.queue.leave(found, len(rows) - at, row.seq)
                pool.pump()
                return
            item = self.input_of(found, row.seq, block.first_idx + row.seq - block.first_seq, row.args, row.args_blob)
            if by is not None:
                self.cancel(item, by)
            elif pool is not None:
                pool.enqueue(item)
            else:
                self.end_orphan(item)

    def home_of_map(self, found: LiveMap) -> Pool | None:
        """The pool of a map's inputs, as `_home`."""
        if found.target is None:
            return self.pools.get(found.queue)
        return self.families.home(found.accepted.function_id, found.target.parameters_json)

    def _input_of_row(self, found: LiveMap, row: WaitingInput) -> Input:
        """An input of a map, as the store has it."""
        item = self.seen_of_row(found, row)
        self.inputs[item.seq] = found.open[item.seq] = item
        return item

    def seen_of_row(self, found: LiveMap, row: WaitingInput) -> Input:
        """An input of a map, as the store has it, to look at: it is not brought into memory."""
        item = self._made(found, row.seq, found.span.index(row.seq), row.args, row.args_blob)
        resumed(item, row)
        return item

    def input_of(self, found: LiveMap, seq: int, index: int, args: bytes | None, blob: str | None) -> Input:
        """An input of a map, which is open from now on."""
        item = self._made(found, seq, index, args, blob)
        self.inputs[seq] = found.open[seq] = item
        return item

    def _made(self, found: LiveMap, seq: int, index: int, args: bytes | None, blob: str | None) -> Input:
        row = found.accepted
        return Input(
            seq=seq,
            suffix=self._tags.suffix(seq),
            function_id=row.function_id,
            app_id=row.app_id,
            kind=CallKind.MAP,
            caller=row.caller,
            priority=row.priority,
            created_at=row.created_at,
            metadata_json=row.metadata_json,
            args=args,
            blob=blob,
            group=found,
            index=index,
            target=found.target,
        )

    def _left(self, items: Sequence[Input]) -> None:
        """These are only in the store from now on."""
        for item in items:
            self.inputs.pop(item.seq, None)
            if item.group is not None:
                item.group.left(item)

    def _rest_of_map(self, found: LiveMap) -> AsyncGenerator[list[Input]]:
        return self.reach.rest_of_map(found)

    def state_of_map(self, found: LiveMap) -> tuple[int, PendingReason | None]:
        """How many inputs of a map run, and where none does why its first open one waits."""
        pool = self.pools.get(found.queue)
        held = (item for member in pool.members.values() for item in member.held.values()) if pool is not None else ()
        running = sum(1 for item in held if item.group is found and item.running and not item.over)
        first = next(iter(found.open.values()), None)
        if first is None or running:
            return running, None
        reason = self.pending_reason(first)
        return (0, reason) if reason is not None else (1, None)

    def hurry(self) -> None:
        """Commit and send at once if no other input is open: a lone call gains from not waiting for company."""
        if len(self.inputs) > 1:
            return
        self._ledger.hurry()
        for item in self.inputs.values():
            if item.member is not None:
                item.member.flush()

    def restore(self, item: Input) -> None:
        """Take an input of an earlier life of the server; one whose function is gone ends as cancelled."""
        self.inputs[item.seq] = item
        pool = self._home(item)
        if pool is not None:
            self.recovery.hold(pool, item)
        else:
            self.end_orphan(item)

    def end_orphan(self, item: Input) -> None:
        """End an input of a function that is gone."""
        if not item.ending:
            self._ledger.end(item, cancelled("app_stopped"), item.function_id, None, partial(self._orphan_ended, item))

    def _orphan_ended(self, item: Input, result: Result) -> None:
        self._forget(item)
        self.followers.ended(item.seq, result)
        if item.group is not None:
            item.group.after_end(item, result)

    def cancel(self, item: Input, by: str) -> bool:
        """End an input as cancelled; False if it is already ending."""
        pool = self.pools.get(item.queue)
        if pool is None:
            self.end_orphan(item)
            return True
        return pool.endings.cancel(item, by, grace_s=self.lives.cancel_grace_s)

    def pending_reason(self, item: Input) -> PendingReason | None:
        """Why the input does not run, or None if it does."""
        pool = self.pools.get(item.queue)
        if pool is None or item.running:
            return None
        return explain(waiting_of(pool, item))

    def _retire_member(self, pool: Pool, member: Member, why: str) -> None:
        self.lives.drain(pool, member, why)

    def _forget(self, item: Input) -> None:
        self.inputs.pop(item.seq, None)
        self.stored.outdated(item.seq)

    def close(self) -> None:
        """Accept nothing more, start nothing more, hand nothing more out: what runs may end."""
        self._closed = True
        self._ledger.write_all()
        self.functions.close()
        for pool in self.pools.values():
            pool.pause()

    def running(self) -> int:
        """Inputs that containers run now."""
        return sum(member.running for _, member in self.lives)
