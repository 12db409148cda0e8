"""What the worker and its children print: read from its pipes, cut into lines, given to the right input, bounded.

The pipes carry bytes alone. Whose they are is known in one of two ways. While the same input runs before and after a
read, the end of what was read is its. And where an input ends with output unread, or while a read was under way (the
page counts reads), the worker writes a marker into both pipes: what precedes it belongs to that input.

Where several inputs run at once (the page has several rows), markers stand before and after what Python code prints,
and say whose is what follows, (0, 0) for "nobody knows". That is the input's whose code runs alone, as the page says
before and after a read. Where that changes with output unread, or while a read was under way, the worker writes a
marker that says whose was what precedes it, of what nobody knew (`BEFORE`).
"""

from __future__ import annotations

import json
import os
import select
from typing import Dict, List, Optional, Tuple

from yurt_runner.page import Page
from yurt_runner.wire import PAIR

NO_INPUT = (0, 0)
BEFORE = 1 << 63
"""With the number of an input: the marker is of what precedes it, as far as that bears no mark."""
READ_BYTES = 64 << 10
MAX_LINE_BYTES = 16 << 10
MAX_BATCH_BYTES = 1 << 20
"""Text that is kept until the next batch leaves; what exceeds it is dropped and counted."""
TAIL_BYTES = 4 << 10
"""How much of the last output an error of a crash shows."""
CUT_NOTE = " … (line cut at 16 KiB)"

Key = Tuple[int, int]


def new_secret() -> bytes:
    """What markers begin with. Its first byte ends no text: else the end of a line would wait for a marker's rest."""
    return b"\0" + os.urandom(15)


def marker(secret: bytes, seq: int, token: int) -> bytes:
    """What the worker writes at the end of an input; among many, before what an input prints, and after it."""
    return secret + PAIR.pack(seq, token)


class Batch:
    """Lines on their way to the server."""

    def __init__(self) -> None:
        self._lines: List[Tuple[float, str, int, int, str]] = []
        self._bytes = 0
        self._dropped = 0

    def __bool__(self) -> bool:
        return bool(self._lines or self._dropped)

    @property
    def full(self) -> bool:
        """Whether a further line would be dropped."""
        return self._bytes >= MAX_BATCH_BYTES

    def add(self, now: float, stream: str, key: Key, text: bytes) -> None:
        """One line."""
        if self.full:
            self._dropped += 1
            return
        self._bytes += len(text) + 64  # 64: about what a line costs beside its text
        self._lines.append((now, stream, *key, text.decode("utf-8", "replace")))

    def drop(self, lines: int) -> None:
        """So many lines were not looked at."""
        self._dropped += lines

    def take(self, now: float) -> Tuple[bytes, int]:
        """The payload of a LOG frame, and how many lines were dropped since the last one."""
        rows = [(round(now - at, 3), stream, seq, token, text) for at, stream, seq, token, text in self._lines]
        dropped = self._dropped
        self._lines, self._bytes, self._dropped = [], 0, 0
        return json.dumps(rows, ensure_ascii=False, separators=(",", ":")).encode(), dropped


class Stream:
    """One of the two pipes."""

    def __init__(self, name: str, fd: int, page: Page, secret: bytes, batch: Batch) -> None:
        self.fd = fd
        self._name, self._page, self._secret, self._batch = name, page, secret, batch
        self._rest = b""  # a marker's beginning, or bytes whose owner is not yet known
        self._owner: Key = NO_INPUT  # the best guess for them
        self._voice: Key = NO_INPUT  # whose is what follows, where the last marker said so
        self._held: List[Tuple[Key, bool, bytes]] = []  # owner, whether a marker said so, text
        self._line = bytearray()
        self._line_key: Key = NO_INPUT
        self._cut = False
        self.tail = b""

    @property
    def unsettled(self) -> bool:
        """Whether it holds bytes whose owner is not yet known."""
        return bool(self._rest or self._held)

    def read(self, now: float) -> Optional[bool]:
        """Read once. True: there may be more. False: not now. None: the pipe has ended.

        Args:
            now: monotonic time in seconds.
        """
        if self._page.rows > 1:
            return self._read_voices(now)
        before = self._page.mark()
        self._page.count_read()
        try:
            data = os.read(self.fd, READ_BYTES)
        except BlockingIOError:
            return False
        finally:
            self._page.count_read()
        after = self._page.mark()
        if not data:
            return None
        self._owner = after.key or NO_INPUT
        self._rest += data
        self._take_marked(now)
        if before.turn == after.turn:
            self._take_unmarked(now)
        return len(data) == READ_BYTES

    def _read_voices(self, now: float) -> Optional[bool]:
        """As `read`, where several inputs run at once.

        The page's count is odd from before the first look at who runs alone until after the second: a worker that
        changes it meanwhile sees that, and a marker follows.
        """
        self._page.count_read()
        before = self._page.alone()
        try:
            data = os.read(self.fd, READ_BYTES)
        except BlockingIOError:
            return False
        finally:
            after = self._page.alone()
            self._page.count_read()
        if not data:
            return None
        older = len(self._held)
        self._hear(data, after.key or NO_INPUT)
        if before.turn == after.turn or all(marked for _, marked, _ in self._held):
            older = len(self._held)
        self._release(now, older)
        return len(data) == READ_BYTES

    def _hear(self, data: bytes, alone: Key) -> None:
        """Cut what was read at its markers; what has none is the input's that runs alone, unless one follows."""
        self._rest += data
        size = len(self._secret) + PAIR.size
        while 0 <= (at := self._rest.find(self._secret)) <= len(self._rest) - size:
            self._hold(self._rest[:at], alone)
            seq, token = PAIR.unpack_from(self._rest, at + len(self._secret))
            if seq & BEFORE:
                key = (seq - BEFORE, token)
                self._held = [(owner if marked else key, True, text) for owner, marked, text in self._held]
            else:
                self._voice = (seq, token)
            self._rest = self._rest[at + size :]
        at = self._unmarked_end()
        self._hold(self._rest[:at], alone)
        self._owner = alone if self._voice == NO_INPUT else self._voice
        self._rest = self._rest[at:]

    def _hold(self, text: bytes, alone: Key) -> None:
        if text:
            marked = self._voice != NO_INPUT
            self._held.append((self._voice if marked else alone, marked, text))

    def _release(self, now: float, count: int) -> None:
        """The first so many that are held get the owner that was found, or guessed, for them."""
        for key, _, text in self._held[:count]:
            self._text(now, key, text)
        del self._held[:count]

    def settle(self, now: float) -> None:
        """Bytes whose owner stayed unknown go to whatever ran when they were read."""
        self._release(now, len(self._held))
        if self._rest:
            self._take_unmarked(now)

    def finish(self, now: float) -> None:
        """Nothing follows: what is left is a line too."""
        self._release(now, len(self._held))
        self._text(now, self._owner, self._rest)
        self._rest = b""
        self._end_line(now)

    def _take_marked(self, now: float) -> None:
        size = len(self._secret) + PAIR.size
        while True:
            at = self._rest.find(self._secret)
            if at < 0 or len(self._rest) < at + size:
                return
            seq, token = PAIR.unpack_from(self._rest, at + len(self._secret))
            self._text(now, (seq, token), self._rest[:at])
            self._end_line(now)
            self.tail = b""
            self._rest = self._rest[at + size :]

    def _take_unmarked(self, now: float) -> None:
        """All of the rest but what may be the beginning of a marker."""
        at = self._unmarked_end()
        self._text(now, self._owner, self._rest[:at])
        self._rest = self._rest[at:]

    def _unmarked_end(self) -> int:
        """Where the rest may begin a marker."""
        at = self._rest.find(self._secret)
        if at < 0:
            at = len(self._rest)
            for size in range(min(len(self._secret) - 1, at), 0, -1):
                if self._rest.endswith(self._secret[:size]):
                    return at - size
        return at

    def _text(self, now: float, key: Key, data: bytes) -> None:
        if not data:
            return
        if key != self._line_key:
            self._end_line(now)
            self._line_key, self.tail = key, b""
        self.tail = (self.tail + data)[-TAIL_BYTES:]
        if self._batch.full:  # not even looked at: a gigabyte must not cost the supervisor its time
            self._skip(data)
            return
        *whole, last = data.split(b"\n")
        for piece in whole:
            self._extend(now, piece)
            self._end_line(now, empty=not self._cut)
        self._extend(now, last)

    def _skip(self, data: bytes) -> None:
        """Count the lines of `data` as dropped; one that goes on counts once, where it begins."""
        ends = data.count(b"\n")
        begins_new = ends > 0 or not self._cut
        goes_on = not data.endswith(b"\n")
        self._batch.drop(ends - (self._cut and ends > 0) + (goes_on and begins_new))
        self._line.clear()
        self._cut = goes_on

    def _extend(self, now: float, piece: bytes) -> None:
        if self._cut:
            return
        self._line += piece
        if len(self._line) > MAX_LINE_BYTES:
            text = bytes(self._line[:MAX_LINE_BYTES]) + CUT_NOTE.encode()
            self._batch.add(now, self._name, self._line_key, text)
            self._line.clear()
            self._cut = True

    def _end_line(self, now: float, *, empty: bool = False) -> None:
        if self._line or empty:
            self._batch.add(now, self._name, self._line_key, bytes(self._line))
        self._line.clear()
        self._cut = False


class LogBook:
    """Both pipes of a worker."""

    def __init__(self, stdout: int, stderr: int, page: Page, secret: bytes) -> None:
        self.batch = Batch()
        self.streams: Dict[int, Stream] = {
            fd: Stream(name, fd, page, secret, self.batch) for name, fd in (("stdout", stdout), ("stderr", stderr))
        }
        self._ready = select.poll()
        for fd in self.streams:
            self._ready.register(fd, select.POLLIN)

    @property
    def pending(self) -> bool:
        """Whether there is anything that a tick should see to."""
        return bool(self.batch) or any(stream.unsettled for stream in self.streams.values())

    def read(self, fd: int, now: float, *, reads: int = 16) -> bool:
        """Read one pipe: at most `reads` times 64 KiB. False: it has ended."""
        for _ in range(reads):
            more = self.streams[fd].read(now)
            if not more:
                return more is not None
        return True

    def drain(self, now: float, *, reads: int = 32) -> None:
        """Read what is there: at most `reads` times 64 KiB of each, so that a flood cannot hold up the session."""
        for fd, _ in self._ready.poll(0):
            self.read(fd, now, reads=reads)

    def settle(self, now: float) -> None:
        """See `Stream.settle`."""
        for stream in self.streams.values():
            stream.settle(now)

    def finish(self, now: float) -> None:
        """The worker has ended and the pipes are drained."""
        for stream in self.streams.values():
            stream.finish(now)

    def last_output(self) -> str:
        """The end of what was printed last, standard error last: at most 4 KiB."""
        tails = b"".join(stream.tail for stream in self.streams.values())
        return tails[-TAIL_BYTES:].decode("utf-8", "replace")
