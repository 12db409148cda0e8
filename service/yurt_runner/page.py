"""The memory page that supervisor and worker share, so that each knows at once what the other does.

The worker writes what it runs, a row for each input (or batch) that it may run at once (`Mark`), and in one more which
of them runs alone; the supervisor reads it for timeouts, for `started`, to know whose output it reads, and what a dead
worker was doing. The supervisor writes whom to interrupt, and how often it has read the log pipes.
"""

from __future__ import annotations

import mmap
import struct
from typing import Dict, List, NamedTuple, Optional, Tuple

MAX_ROWS = 1000
"""So many inputs, or batches, a worker runs at once at most."""

_MARK = struct.Struct("@QQQd")
_ASK = struct.Struct("@QQQ")
_WORD = struct.Struct("@Q")
_READS_AT, _MEMORY_AT, _LEAVE_AT, _ASKS_AT = 0, 8, 9, 16
# A row: the mark with the number of its turn before and after it (see `mark`), then an ask.
_ROWS_AT, _ROW_BYTES, _END, _ASK_AT = 64, 64, 32, 40
_WORDS_OF_ROW = _ROW_BYTES // 8
_FIRST_SEQ = _ROWS_AT // 8 + 1
_ALONE_ROW = MAX_ROWS

CANCEL = 1
TIMEOUT = 2


class Mark(NamedTuple):
    """What a row of the worker runs.

    Args:
        turn: changes whenever an input begins or ends there.
        seq: of the input, 0 for none; of a batch, of its first member.
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


_NOTHING = Mark(-1, 0, 0, 0.0)


class Page:
    """See the module. Made before the fork.

    Attributes:
        rows: how many are in use. Each side sets it for itself, once it knows the function.
    """

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, _ROWS_AT + (MAX_ROWS + 1) * _ROW_BYTES)  # a page is real once it is written
        self._words = memoryview(self._memory).cast("Q")
        self._turns = [0] * (MAX_ROWS + 1)
        self.rows = 1

    def begin(self, seq: int, token: int, since: float, row: int = 0) -> None:
        """Worker: (seq, token) begins in that row; (0, 0) for "nothing runs"."""
        self._turns[row] = turn = self._turns[row] + 1
        at = _ROWS_AT + row * _ROW_BYTES
        _MARK.pack_into(self._memory, at, turn, seq, token, since)
        _WORD.pack_into(self._memory, at + _END, turn)

    def mark(self, row: int = 0) -> Mark:
        """Supervisor: what runs now in that row.

        The writer sets the turn, the mark, the turn at the end; the reader goes the other way round, so two equal turns
        enclose one whole mark. A writer that was stopped half-way leaves them unequal: then nothing is said to run.
        """
        at = _ROWS_AT + row * _ROW_BYTES
        for _ in range(3):
            (end,) = _WORD.unpack_from(self._memory, at + _END)
            _, seq, token, since = _MARK.unpack_from(self._memory, at)
            (turn,) = _WORD.unpack_from(self._memory, at)
            if turn == end:
                return Mark(turn, seq, token, since)
        return _NOTHING

    def marks(self) -> List[Mark]:
        """Supervisor: what runs now, in all rows."""
        seqs = self._words[_FIRST_SEQ : _FIRST_SEQ + self.rows * _WORDS_OF_ROW : _WORDS_OF_ROW].tolist()
        found = (self.mark(row) for row, seq in enumerate(seqs) if seq)
        return [mark for mark in found if mark.seq]

    def set_alone(self, seq: int, token: int) -> None:
        """Worker with several rows: the code of that input alone runs; (0, 0) for none's, or that of several."""
        self.begin(seq, token, 0.0, _ALONE_ROW)

    def alone(self) -> Mark:
        """Supervisor: what `set_alone` said last."""
        return self.mark(_ALONE_ROW)

    def ask(self, seq: int, token: int, reason: int) -> None:
        """Supervisor: (seq, token) is to be interrupted, for `CANCEL` or `TIMEOUT`. A signal follows.

        As many asks are kept as there are rows: a worker that has not read one yet goes on with nothing else.
        """
        count = self.asks()
        at = _ROWS_AT + count % self.rows * _ROW_BYTES + _ASK_AT
        _ASK.pack_into(self._memory, at, token, reason, seq)
        _WORD.pack_into(self._memory, _ASKS_AT, count + 1)

    def asks(self) -> int:
        """How often `ask` was called."""
        (count,) = _WORD.unpack_from(self._memory, _ASKS_AT)
        return int(count)

    def asked(self, row: int = 0) -> Tuple[int, int, int]:
        """Worker: the last `ask` that was kept in that row, as (seq, token, reason)."""
        token, reason, seq = _ASK.unpack_from(self._memory, _ROWS_AT + row * _ROW_BYTES + _ASK_AT)
        return seq, token, reason

    def count_read(self) -> None:
        """Supervisor: called before and after each read of a log pipe; odd while one is under way."""
        _WORD.pack_into(self._memory, _READS_AT, self.reads() + 1)

    def reads(self) -> int:
        """How often `count_read` was called."""
        (count,) = _WORD.unpack_from(self._memory, _READS_AT)
        return int(count)

    def set_leaving(self) -> None:
        """Supervisor: the worker is to end, for nothing is left to do. SIGTERM follows."""
        self._memory[_LEAVE_AT] = 1

    def leaving(self) -> bool:
        """Worker: whether SIGTERM comes from the supervisor."""
        return self._memory[_LEAVE_AT] == 1

    def clear(self) -> None:
        """Worker: nothing runs any more, in any row."""
        for row in range(self.rows):
            self.begin(0, 0, 0.0, row)
        self.set_alone(0, 0)

    def set_out_of_memory(self) -> None:
        """Worker: it ends because it ran out of memory outside of user code."""
        self._memory[_MEMORY_AT] = 1

    def out_of_memory(self) -> bool:
        """Supervisor: whether the worker said so."""
        return self._memory[_MEMORY_AT] == 1


class Asks:
    """Whom the worker is to interrupt, for workers that run several at once."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._seen = 0
        self._reasons: Dict[Tuple[int, int], int] = {}

    def waiting(self) -> List[Tuple[int, int]]:
        """Everyone who was asked for and not taken, as (seq, token)."""
        page, count = self._page, self._page.asks()
        for number in range(max(self._seen, count - page.rows), count):
            seq, token, reason = page.asked(number % page.rows)
            self._reasons[seq, token] = reason
        self._seen = count
        while len(self._reasons) > 2 * page.rows:  # those that had ended before they were read
            del self._reasons[next(iter(self._reasons))]
        return list(self._reasons)

    def take(self, key: Tuple[int, int]) -> int:
        """Why that input is to end, and forget it; 0 for not."""
        if self._page.asks() != self._seen:
            self.waiting()
        return self._reasons.pop(key, 0) if self._reasons else 0
