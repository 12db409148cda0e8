"""What the runner holds of its inputs, from INPUT until ACK."""

from __future__ import annotations

from collections import deque
from typing import Deque, Dict, Iterable, List, Optional, Tuple

from yurt_runner.wire import Frame, pack

Key = Tuple[int, int]

MAX_HANDED = 64
"""Inputs with the worker at once: enough for a wake of the worker to serve many short ones."""
MAX_HANDED_BYTES = 1 << 20
"""Bytes with the worker at once, unless a single input is larger."""


class Held:
    """One input that has not ended.

    Args:
        frame: the INPUT, whole, as the worker gets it.
        number: of the attempt.
    """

    __slots__ = ("frame", "key", "number", "told")

    def __init__(self, frame: Frame) -> None:
        number = frame.header().get("number", 1)
        self.key: Key = (frame.seq, frame.token)
        self.number = int(number) if isinstance(number, (int, float)) else 1
        self.frame = pack(frame.kind, frame.seq, frame.token, frame.payload, meta=frame.meta, slot=frame.slot)
        self.told = False  # whether STARTED was sent


class Done:
    """One output that the server has not acknowledged."""

    __slots__ = ("frame", "number")

    def __init__(self, frame: bytes, number: int) -> None:
        self.frame = frame
        self.number = number


class Ledger:
    """Inputs in three places: waiting here, handed to the worker, done and not yet acknowledged."""

    def __init__(self) -> None:
        self.waiting: Deque[Held] = deque()
        self.handed: Dict[Key, Held] = {}
        self.done: Dict[Key, Done] = {}

    def add(self, frame: Frame) -> bool:
        """Take an INPUT. False: it is here already.

        Raises:
            ProtocolError: its meta part is not a JSON object.
        """
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
        self.done[key] = Done(frame, held.number)
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
        rows += [(*key, done.number, None, True) for key, done in self.done.items()]
        for key, held in self.handed.items():
            rows.append((*key, held.number, seconds if key == running else None, False))
        rows += [(*held.key, held.number, None, False) for held in self.waiting]
        return rows
