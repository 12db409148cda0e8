"""Standard output and error where several inputs run at once: what Python code prints bears its input's mark.

Each stream collects the lines of each input apart, by the context that the printing code runs in, and writes whole
lines between two markers (see `logs`). So lines of two inputs never mix, and never lose their input.

What others print, such as children, bears no mark: it is the input's whose code runs alone. The page says whose that
is, and a marker, where that changes before the supervisor has read everything.
"""

from __future__ import annotations

import io
import os
import sys
import threading
from typing import Any, Dict, Optional, Set, Tuple

from yurt_runner import context
from yurt_runner.fork import Links
from yurt_runner.logs import BEFORE, NO_INPUT, marker
from yurt_runner.printing import Printing

MAX_WRITE_BYTES = 4096 - 2 * 32
"""With its two markers a piece is written at once, so that no child's output comes between (PIPE_BUF)."""
MAX_PART_BYTES = 16 << 10
"""So much of a line is kept until its end comes."""
MAX_PARTS = 4096
"""Of so many inputs, those that ended included: their threads and tasks may go on."""

Key = Tuple[int, int]


class Voices(Printing):
    """Both streams."""

    def __init__(self, links: Links) -> None:
        self._streams: Tuple[_Stream, ...] = tuple(_Stream(fd, links.secret) for fd in (1, 2))
        super().__init__(links)
        self._running: Set[Key] = set()
        self._alone: Key = NO_INPUT
        self._changing = threading.Lock()
        os.register_at_fork(after_in_child=self._forked)

    def begin(self, seq: int, token: int) -> None:
        """An input begins."""
        with self._changing:
            self._running.add((seq, token))
            self._tell_alone()

    def end(self, seq: int, token: int) -> None:
        """An input has ended: what it printed without ending its line is a line too."""
        for stream in self._streams:
            stream.end((seq, token))
        if sys.stdout.closed or sys.stderr.closed:
            self._flush()
        with self._changing:
            if (seq, token) == NO_INPUT and not self._running:
                self._look_back()  # what was printed before the first input is not the first input's
            self._running.discard((seq, token))
            self._tell_alone()

    def _tell_alone(self) -> None:
        """Tell whose code runs alone; whose did, of what it printed and nobody has read.

        So an input looks at the pipes as it ends alone, or as it joins one that ran alone: on average once at most.
        """
        alone = next(iter(self._running)) if len(self._running) == 1 else NO_INPUT
        if alone == self._alone:
            return
        if self._alone != NO_INPUT:
            self._look_back()
        self._alone = alone
        self._page.set_alone(*alone)

    def _look_back(self) -> None:
        """Tell whose is what lies unread, or is being read; that comes second, or a read between would be missed."""
        if self._found() or self._page.reads() % 2:
            self._mark(self._alone[0] | BEFORE, self._alone[1])

    def _open_text(self, fd: int) -> None:
        """Anew: user code may have closed what was there."""
        file: Any = self._streams[fd - 1].file()
        stream = io.TextIOWrapper(file, encoding="utf-8", errors="backslashreplace", write_through=True)
        self._set_text(fd, stream)

    def _forked(self) -> None:
        for stream in self._streams:
            stream.forked()


class _Stream:
    """What is printed to one of the two, of all inputs."""

    def __init__(self, fd: int, secret: bytes) -> None:
        self._fd, self._secret = fd, secret
        self._after = marker(secret, *NO_INPUT)
        self._parts: Dict[Key, bytes] = {}
        self._open: Optional[Key] = None  # who began the line that is not ended
        self._lock = threading.RLock()  # a signal handler of user code may print while its thread prints

    def file(self) -> io.RawIOBase:
        """A binary file that writes here."""
        return _File(self, self._fd)

    def forked(self) -> None:
        """In a child of user code: no other thread is there to release the lock."""
        self._lock = threading.RLock()

    def print(self, data: bytes) -> None:
        """Take what the calling code prints; whole lines leave."""
        key = context.running.get(_NOBODY)[2:]
        with self._lock:
            data = self._parts.pop(key, b"") + data
            end = len(data) if len(data) >= MAX_PART_BYTES else data.rfind(b"\n") + 1
            if end < len(data):
                self._parts[key] = data[end:]
                if len(self._parts) > MAX_PARTS:
                    self.end(next(iter(self._parts)))
            self._write(key, data[:end])

    def flush(self) -> None:
        """Let go what the calling code has printed of a line."""
        key = context.running.get(_NOBODY)[2:]
        with self._lock:
            self._write(key, self._parts.pop(key, b""))

    def end(self, key: Key) -> None:
        """Let go what is left of an input: it is a line."""
        if key in self._parts or self._open == key:
            with self._lock:
                self._write(key, self._parts.pop(key, b"") + b"\n")

    def _write(self, key: Key, data: bytes) -> None:
        if data:
            self._open = None if data.endswith(b"\n") else key
        before, after = (marker(self._secret, *key), self._after) if key != NO_INPUT else (b"", b"")
        for at in range(0, len(data), MAX_WRITE_BYTES):
            piece = before + data[at : at + MAX_WRITE_BYTES] + after
            while piece:
                piece = piece[os.write(self._fd, piece) :]


class _File(io.RawIOBase):
    """See `_Stream.file`."""

    def __init__(self, stream: _Stream, fd: int) -> None:
        self._stream, self._fd = stream, fd

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._fd

    def write(self, data: Any) -> int:
        self._stream.print(bytes(data))
        return len(data)

    def flush(self) -> None:
        super().flush()
        self._stream.flush()


_NOBODY = (b"", 0.0, *NO_INPUT)
