"""What generators yield, on its way to the server: numbered, put together while the server is busy, kept until stored.

As long as nothing of an input is on its way, its next item is sent at once; meanwhile items gather, and leave together
when the server has stored what it was sent, or when they are many. So the number of messages follows the server's pace.
"""

from __future__ import annotations

from collections import deque
from typing import Deque, Dict, Iterable, List, Optional, Tuple

from yurt_runner.wire import ITEM, ITEM_WINDOW, ITEM_WINDOW_BYTES, pack
from yurt_runner.yields import GRANT

Key = Tuple[int, int]

BLOCK_BYTES = 64 << 10
"""Items are put together up to this size; a larger one goes alone."""


class Parcels:
    """The items of one input that are not known to be stored.

    Attributes:
        gathered: items that were not sent.
        sent: frames that were, each with the number behind its last item.
        first: the number of the first one that is gathered.
    """

    __slots__ = ("first", "gathered", "gathered_bytes", "items_to", "sent", "size_to")

    def __init__(self) -> None:
        self.gathered: List[bytes] = []
        self.gathered_bytes = 0
        self.sent: Deque[Tuple[int, bytes]] = deque()
        self.first = 0
        self.items_to, self.size_to = ITEM_WINDOW, ITEM_WINDOW_BYTES


class Courier:
    """All inputs that yield."""

    def __init__(self) -> None:
        self._parcels: Dict[Key, Parcels] = {}
        self._fresh: Dict[Key, Parcels] = {}

    def take(self, key: Key, item: bytes) -> None:
        """An item came from the worker; see `due`."""
        parcels = self._parcels.get(key)
        if parcels is None:
            parcels = self._parcels[key] = Parcels()
        parcels.gathered.append(item)
        parcels.gathered_bytes += len(item) + 1
        self._fresh[key] = parcels

    def due(self) -> List[bytes]:
        """The frames to send now, of what came since this was asked last."""
        frames: List[bytes] = []
        for key, parcels in self._fresh.items():
            if not parcels.sent or parcels.gathered_bytes >= BLOCK_BYTES:
                frames += self._pack(key, parcels)
        self._fresh.clear()
        return frames

    def rest(self, key: Key) -> List[bytes]:
        """The frames to send before the end of an input."""
        parcels = self._parcels.get(key)
        return self._pack(key, parcels) if parcels else []

    def rest_of_all(self) -> List[bytes]:
        """The frames to send before the worker's end is told."""
        return [frame for key, parcels in self._parcels.items() for frame in self._pack(key, parcels)]

    def all(self) -> List[bytes]:
        """Everything that is not known to be stored, for a new connection."""
        return [frame for parcels in self._parcels.values() for _, frame in parcels.sent]

    def stored(self, key: Key, items: int, items_to: int, size_to: int) -> Tuple[List[bytes], Optional[bytes]]:
        """The server has stored so many items, and gives so much credit.

        Returns:
            The frames to send, and what to tell the worker: enough for the next items, and not each time.
        """
        parcels = self._parcels.get(key)
        if parcels is None:
            return [], None
        while parcels.sent and parcels.sent[0][0] <= items:
            parcels.sent.popleft()
        frames = self._pack(key, parcels) if not parcels.sent else []
        further = items_to - parcels.items_to >= ITEM_WINDOW // 4 or size_to - parcels.size_to >= ITEM_WINDOW_BYTES // 4
        if not further:
            return frames, None
        parcels.items_to, parcels.size_to = items_to, size_to
        return frames, GRANT.pack(*key, items_to, size_to)

    def forget(self, keys: Iterable[Key]) -> None:
        """The ends of these inputs are stored."""
        for key in keys:
            self._parcels.pop(key, None)
            self._fresh.pop(key, None)

    @staticmethod
    def _pack(key: Key, parcels: Parcels) -> List[bytes]:
        """What is gathered, as frames."""
        frames: List[bytes] = []
        items: List[bytes] = []
        size = 0
        for item in parcels.gathered:
            if items and size + len(item) > BLOCK_BYTES:
                frames.append(_packed(key, parcels, items))
                items, size = [], 0
            items.append(item)
            size += len(item) + 1
        if items:
            frames.append(_packed(key, parcels, items))
        parcels.gathered.clear()
        parcels.gathered_bytes = 0
        return frames


def _packed(key: Key, parcels: Parcels, items: List[bytes]) -> bytes:
    meta = b'{"first":%d,"count":%d}' % (parcels.first, len(items))
    frame = pack(ITEM, *key, b"\n".join(items), meta=meta)
    parcels.first += len(items)
    parcels.sent.append((parcels.first, frame))
    return frame
