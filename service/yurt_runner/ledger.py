"""What the runner holds of its inputs, from INPUT until ACK."""

from __future__ import annotations

import json
from collections import deque
from typing import Deque, Dict, Iterable, List, Optional, Sequence, Tuple

from yurt_runner.wire import MORE, Frame, pack, with_more

Key = Tuple[int, int]

MAX_HANDED = 64
"""Inputs or batches with the worker at once: enough for a wake of the worker to serve many short ones."""
MAX_HANDED_BYTES = 1 << 20
"""Bytes with the worker at once, beyond what it runs now."""


def number_of(meta: bytes) -> int:
    """The number of the attempt that an INPUT's meta part tells; 1 where it makes no sense."""
    try:
        number = json.loads(meta).get("number", 1)
    except (ValueError, AttributeError):
        return 1
    return int(number) if isinstance(number, (int, float)) else 1


class Held:
    """One input that has not ended.

    Args:
        frame: the INPUT, whole, as the worker gets it.
        meta: of that frame.

    Attributes:
        told: STARTED was sent.
        cancelled: it runs in a batch, and its caller wants it to end.
    """

    __slots__ = ("_batch", "cancelled", "frame", "key", "meta", "told")

    def __init__(self, frame: Frame) -> None:
        self.key: Key = (frame.seq, frame.token)
        self.meta = frame.meta
        self.frame = pack(frame.kind, frame.seq, frame.token, frame.payload, meta=frame.meta, slot=frame.slot)
        self.told = False
        self.cancelled = False
        self._batch: Optional[List[Held]] = None

    @property
    def number(self) -> int:
        """Of the attempt; read only when somebody asks, which is seldom."""
        return number_of(self.meta)

    @property
    def unit(self) -> Sequence[Held]:
        """What runs together with it, itself included, in order. The first one's key stands for all."""
        return self._batch or (self,)

    @property
    def size(self) -> int:
        """Of its unit, in bytes."""
        return len(self.frame) if self._batch is None else sum(len(one.frame) for one in self._batch)

    @property
    def lead(self) -> Key:
        """The key that stands for its unit."""
        return self._batch[0].key if self._batch else self.key

    def join(self, first: Held) -> None:
        """Be the next member of the batch that `first` leads."""
        if first._batch is None:
            first._batch = [first]
        first._batch.append(self)
        self._batch = first._batch

    def part(self) -> None:
        """Leave the batch, which has not begun."""
        if self._batch:
            self._batch.remove(self)
            self._batch = None

    def frames(self) -> bytes:
        """The unit as the worker gets it: all but the last say that more follow."""
        if self._batch is None:
            return self.frame
        *more, last = (one.frame for one in self._batch)
        return b"".join([with_more(frame) for frame in more] + [last])


class Done:
    """One output that the server has not acknowledged."""

    __slots__ = ("frame", "meta")

    def __init__(self, frame: bytes, meta: bytes) -> None:
        self.frame = frame
        self.meta = meta


class Ledger:
    """Inputs in three places: waiting here, handed to the worker, done and not yet acknowledged.

    Attributes:
        rows: how many inputs, or batches, the worker runs at once.
    """

    def __init__(self) -> None:
        self.waiting: Deque[Held] = deque()
        self.handed: Dict[Key, Held] = {}
        self.done: Dict[Key, Done] = {}
        self.rows = 1
        self._handed_bytes = 0
        self._batches = False  # there have been any
        self._open: Optional[Held] = None  # the first member of a batch of which more are to come

    @property
    def units(self) -> int:
        """What is with the worker, a batch counting once."""
        if not self._batches:
            return len(self.handed)
        return len({held.lead for held in self.handed.values()})

    def add(self, frame: Frame) -> bool:
        """Take an INPUT. False: it is here already."""
        key = (frame.seq, frame.token)
        if key in self.handed or key in self.done or (self.waiting and self._waits(key)):
            if not frame.flags & MORE:
                self.close_batch()
            return False
        held = Held(frame)
        if self._open is not None or frame.flags & MORE:
            self._join(held, more=bool(frame.flags & MORE))
        else:
            self.waiting.append(held)
        return True

    def _waits(self, key: Key) -> bool:
        if self._batches:
            return any(one.key == key for held in self.waiting for one in held.unit)
        return any(held.key == key for held in self.waiting)

    def _join(self, held: Held, *, more: bool) -> None:
        first, self._batches = self._open or held, True
        if first is not held:
            held.join(first)
        self._open = first if more else None
        if not more:
            self.waiting.append(first)

    def close_batch(self) -> None:
        """Nothing more comes of a batch that is half here: it runs as it is."""
        if self._open is not None:
            self.waiting.append(self._open)
            self._open = None

    def hand_over(self) -> List[Held]:
        """What may go to the worker now, the first one for each batch; it is handed from here on."""
        out: List[Held] = []
        units, most = self.units if self.waiting else 0, max(MAX_HANDED, self.rows)
        while self.waiting and units + len(out) < most:
            size = self.waiting[0].size
            if self._handed_bytes + size > MAX_HANDED_BYTES and self.handed and units + len(out) >= self.rows:
                break
            held = self.waiting.popleft()
            self.handed[held.key] = held
            for one in held.unit[1:]:
                self.handed[one.key] = one
            self._handed_bytes += size
            out.append(held)
        return out

    def _release(self, key: Key) -> Optional[Held]:
        held = self.handed.pop(key, None)
        if held is not None:
            self._handed_bytes -= len(held.frame)
        return held

    def finish(self, key: Key, frame: bytes) -> bool:
        """An output of a handed input. False: no such input is handed."""
        held = self._release(key)
        if held is None:
            return False
        self.done[key] = Done(frame, held.meta)
        return True

    def acknowledge(self, keys: Iterable[Key]) -> None:
        """The server has these outputs."""
        for key in keys:
            self.done.pop(key, None)

    def cancel_waiting(self, key: Key) -> bool:
        """Whether the input waits here. If so it is handed to nobody, and can be finished."""
        for held in self.waiting:
            for one in held.unit:
                if one.key == key:
                    self._part(held, one)
                    return True
        return False

    def _part(self, first: Held, held: Held) -> None:
        """Take one out of what waits; the rest of its batch keeps the place."""
        rest = [one for one in first.unit if one is not held]
        place = self.waiting.index(first)
        del self.waiting[place]
        if rest:
            self.waiting.insert(place, rest[0])
        held.part()
        self.handed[held.key] = held
        self._handed_bytes += len(held.frame)

    def cancel_handed(self, key: Key) -> Optional[Key]:
        """Note that a handed input is to end. Returns whom to interrupt: nobody while others in its batch go on."""
        held = self.handed[key]
        held.cancelled = True
        return held.lead if all(one.cancelled for one in held.unit) else None

    def part_handed(self, key: Key) -> List[Held]:
        """Take an input that has not begun out of its unit. Returns what is to be handed again: what is left of it."""
        held = self.handed[key]
        rest = [one for one in held.unit if one is not held]
        held.part()
        return rest[:1]

    def take_back(self, unused: Iterable[Key]) -> List[Key]:
        """Everything that has not begun: what waits here, and `unused` of what was handed. It is held no more.

        Args:
            unused: the keys that stand for units.
        """
        self.close_batch()
        units = [self.handed[key].unit for key in unused if key in self.handed]
        keys = [held.key for unit in units for held in unit if self._release(held.key)]
        keys += [one.key for held in self.waiting for one in held.unit]
        self.waiting.clear()
        return keys

    def report(self, running: Dict[Key, float]) -> List[Tuple[int, int, int, Optional[float], bool]]:
        """`holds` of HELLO: (seq, token, number, seconds since its start or None, done).

        Args:
            running: what runs, by the keys that stand for units, and for how long, in seconds.
        """
        rows: List[Tuple[int, int, int, Optional[float], bool]] = []
        rows += [(*key, number_of(done.meta), None, True) for key, done in self.done.items()]
        for key, held in self.handed.items():
            rows.append((*key, held.number, running.get(held.lead), False))
        rows += [(*one.key, one.number, None, False) for held in self.waiting for one in held.unit]
        return rows
