"""The memory page that supervisor and worker share, so that each knows at once what the other does.

The worker writes what it runs (`Mark`); the supervisor reads it for timeouts, for `started`, and to know what a dead
worker was doing. The supervisor writes whom to interrupt, and how often it has read the log pipes.
"""

from __future__ import annotations

import mmap
import struct
from typing import NamedTuple, Optional, Tuple

_MARK = struct.Struct("@QQQd")
_ASK = struct.Struct("@QQQ")
_WORD = struct.Struct("@Q")
# Offsets. The number of the turn stands before and after its mark: see `mark`.
_MARK_AT, _MARK_END = 0, 32
_ASK_AT, _READS_AT, _MEMORY_AT = 64, 128, 136

CANCEL = 1
TIMEOUT = 2


class Mark(NamedTuple):
    """What the worker runs.

    Args:
        turn: changes whenever an input begins or ends.
        seq: of the input, 0 for none.
        token: of the attempt.
        since: when its user code began, on the monotonic clock (which all processes share).
    """

    turn: int
    seq: int
    token: int
    since: float

    @property
    def key(self) -> Optional[Tuple[int, int]]:
        """(seq, token), or None while nothing runs."""
        return (self.seq, self.token) if self.seq else None


class Page:
    """See the module. Made before the fork."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, mmap.PAGESIZE)
        self._turn = 0

    def begin(self, seq: int, token: int, since: float) -> None:
        """Worker: (seq, token) begins; (0, 0) for "nothing runs"."""
        self._turn = turn = self._turn + 1
        _MARK.pack_into(self._memory, _MARK_AT, turn, seq, token, since)
        _WORD.pack_into(self._memory, _MARK_END, turn)

    def mark(self) -> Mark:
        """Supervisor: what runs now.

        The writer sets the turn, the mark, the turn at the end; the reader goes the other way round, so two equal turns
        enclose one whole mark. A writer that was stopped half-way leaves them unequal: then nothing is said to run.
        """
        for _ in range(3):
            (end,) = _WORD.unpack_from(self._memory, _MARK_END)
            _, seq, token, since = _MARK.unpack_from(self._memory, _MARK_AT)
            (turn,) = _WORD.unpack_from(self._memory, _MARK_AT)
            if turn == end:
                return Mark(turn, seq, token, since)
        return Mark(-1, 0, 0, 0.0)

    def ask(self, seq: int, token: int, reason: int) -> None:
        """Supervisor: (seq, token) is to be interrupted, for `CANCEL` or `TIMEOUT`. A signal follows."""
        _ASK.pack_into(self._memory, _ASK_AT, token, reason, seq)

    def asked(self) -> Tuple[int, int, int]:
        """Worker: the last `ask`, as (seq, token, reason)."""
        token, reason, seq = _ASK.unpack_from(self._memory, _ASK_AT)
        return seq, token, reason

    def count_read(self) -> None:
        """Supervisor: called before and after each read of a log pipe; odd while one is under way."""
        _WORD.pack_into(self._memory, _READS_AT, self.reads() + 1)

    def reads(self) -> int:
        """How often `count_read` was called."""
        (count,) = _WORD.unpack_from(self._memory, _READS_AT)
        return int(count)

    def set_out_of_memory(self) -> None:
        """Worker: it ends because it ran out of memory outside of user code."""
        self._memory[_MEMORY_AT] = 1

    def out_of_memory(self) -> bool:
        """Supervisor: whether the worker said so."""
        return self._memory[_MEMORY_AT] == 1
