"""Frames out of a stream of bytes."""

from __future__ import annotations

from typing import List, Union

from yurt_runner.wire import HEAD, MAX_MESSAGE_BYTES, ProtocolError


class Splitter:
    """Cuts frames off a stream that arrives in pieces."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> List[bytes]:
        """The frames that `data` completes, each whole.

        Raises:
            ProtocolError: a frame is larger than `MAX_MESSAGE_BYTES`.
        """
        if self._buffer:
            self._buffer += data
            if len(self._buffer) < _size(self._buffer, 0):
                return []
            data = bytes(self._buffer)
            self._buffer.clear()
        frames: List[bytes] = []
        at, end = 0, len(data)
        while at < end:
            behind = at + _size(data, at)
            if behind > end:
                self._buffer += data[at:]
                break
            frames.append(data[at:behind])  # a frame that is all there is, as one mostly is, is not copied
            at = behind
        return frames


def _size(data: Union[bytes, bytearray], at: int) -> int:
    """Of the frame that begins there; of its head, while that is not whole."""
    if len(data) - at < HEAD.size:
        return HEAD.size
    size: int = sum(HEAD.unpack_from(data, at)[:2])
    if size > MAX_MESSAGE_BYTES:
        raise ProtocolError("a frame is too large")
    return HEAD.size + size
