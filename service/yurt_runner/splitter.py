"""Frames out of a stream of bytes."""

from __future__ import annotations

from typing import List

from yurt_runner.wire import HEAD, MAX_MESSAGE_BYTES, Frame, ProtocolError


class Splitter:
    """Cuts frames off a stream that arrives in pieces."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> List[Frame]:
        """The frames that `data` completes.

        Raises:
            ProtocolError: a frame is larger than `MAX_MESSAGE_BYTES`.
        """
        buffer = self._buffer
        buffer += data
        if len(buffer) < HEAD.size or len(buffer) < HEAD.size + sum(HEAD.unpack_from(buffer)[:2]):
            self._check(buffer)
            return []
        whole = memoryview(bytes(buffer))
        frames, at = [], 0
        while len(whole) - at >= HEAD.size:
            meta_size, size, kind, flags, slot, seq, token = HEAD.unpack_from(whole, at)
            start = at + HEAD.size
            body = start + meta_size
            if body + size > len(whole):
                break
            meta, payload = bytes(whole[start:body]), bytes(whole[body : body + size])
            frames.append(Frame(kind, flags, slot, seq, token, meta, payload))
            at = body + size
        del buffer[:at]
        return frames

    @staticmethod
    def _check(buffer: bytearray) -> None:
        if len(buffer) >= HEAD.size and sum(HEAD.unpack_from(buffer)[:2]) > MAX_MESSAGE_BYTES:
            raise ProtocolError("a frame is too large")
