"""What the runner holds of its inputs, from INPUT until ACK."""

from __future__ import annotations

import json
from collections import deque
from typing import Deque, Dict, Iterable, List, Optional, Tuple

from yurt_runner.wire import Frame, pack

Key = Tuple[int, int]

MAX_HANDED = 64
"""Inputs with the worker at once: enough for a wake of the worker to serve many short ones."""
MAX_HANDED_BYTES = 1 << 20
"""Bytes with the worker at once, unless a single input is larger."""


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
    """

    __slots__ = ("frame", "key", "meta", "told")

    def __init__(self, frame: Frame) -> None:
        self.key: Key = (frame.seq, frame.token)
        self.meta = frame.meta
        self.frame = pack(frame.kind, frame.seq, frame.token, frame.payload, meta=frame.meta, slot=frame.slot)
        self.told = False  # whether STARTED was sent

    @property
    def number(self) -> int:
        """Of the attempt; read only when somebody asks, which is seldom."""
        return number_of(self.meta)


class Done:
    """One output that the server has not acknowledged."""

    __slots__ = ("frame", "meta")

    def __init__(self, frame: bytes, meta: bytes) -> None:
        self.frame = frame
        self.meta = meta


class Ledger:
    """Inputs in three places: waiting here, handed to the worker, done and not yet acknowledged."""

    def __init__(self) -> None:
        self.waiting: Deque[Held] = deque()
        self.handed: Dict[Key, Held] = {}
        self.done: Dict[Key, Done] = {}

    def add(self, frame: Frame) -> bool:
        """Take an INPUT. False: it is here already."""
        key = (frame.seq, frame.token)
        if key in self.handed or key in self.done or any(held.key == key for held in self.waiting):
            return False
        self.waiting.append(Held(frame))
        return True

    def hand_over(self) -> List[Held]:
        """The inputs that may go to the worker now; they are handed from here on."""
        out: List[Held] = []
        room = MAX_HANDED_BYTES - sum(len(held.frame) for held in self.handed.values()) if self.waiting else 0
        while self.waiting and len(self.handed) < MAX_HANDED:
            room -= len(self.waiting[0].frame)
            if room < 0 and self.handed:
                break
            held = self.waiting.popleft()
            self.handed[held.key] = held
            out.append(held)
        return out

    def finish(self, key: Key, frame: bytes) -> bool:
        """An output of a handed input. False: no such input is handed."""
        held = self.handed.pop(key, None)
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
            if held.key == key:
                self.waiting.remove(held)
                self.handed[key] = held
                return True
        return False

    def take_back(self, unused: Iterable[Key]) -> List[Key]:
        """Everything that has not begun: what waits here, and `unused` of what was handed. It is held no more."""
        keys = [key for key in unused if self.handed.pop(key, None)]
        keys += [held.key for held in self.waiting]
        self.waiting.clear()
        return keys

    def report(self, running: Optional[Key], seconds: float) -> List[Tuple[int, int, int, Optional[float], bool]]:
        """`holds` of HELLO: (seq, token, number, seconds since its start or None, done)."""
        rows: List[Tuple[int, int, int, Optional[float], bool]] = []
        rows += [(*key, number_of(done.meta), None, True) for key, done in self.done.items()]
        for key, held in self.handed.items():
            rows.append((*key, held.number, seconds if key == running else None, False))
        rows += [(*held.key, held.number, None, False) for held in self.waiting]
        return rows
