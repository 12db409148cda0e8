"""The shapes of the session between a container and the control plane.

A WebSocket carries binary messages; a message is one or more frames. A frame is a head (`HEAD`), a meta part (one JSON
object, or nothing) and a payload (bytes that only the ends look into). Durations are seconds; no wall clock crosses the
wire. Unknown frame types are ignored by both ends, so that either can learn new ones first.
"""

import json
import struct
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Union

PROTOCOL = "yurt.1"
"""The WebSocket subprotocol; an end that does not know it refuses the upgrade and names what it knows."""

HEAD = struct.Struct("<IIBBHQQ")
"""Meta length, payload length, type, flags, slot, seq, token: 28 bytes."""

MAX_MESSAGE_BYTES = 80 << 20
"""The largest message either end accepts: a 64 MiB body, its envelope and some room."""

# From the runner.
HELLO = 1
"""meta: protocol, runner, python, executable, instance (hex), pid, holds [[seq, token, number, seconds, done], …]."""
READY = 2
"""meta: slots, startup_s, and generator (true) where the function is one."""
FAILED = 3
"""Startup failed. meta: phase (`import`, `startup`), outcome (`init_failure`, `timeout`, `crashed`, `out_of_memory`);
payload: the error as JSON."""
STARTED = 4
"""User code of (seq, token) has begun and runs for over 10 ms. meta: for_s."""
OUTPUT = 5
"""The end of (seq, token). flags: index into OUTCOMES. meta: run_s, and items (how many) of a generator. payload: the
value, nothing of a generator, or the error as JSON."""
ITEM = 6
"""Items that the generator of (seq, token) yielded; what is not stored yet is sent again on a new connection.
meta: first (the number of the first of them), count. payload: one JSON value a line."""
LOG = 7
"""payload: a JSON array of [age_s, stream, seq, token, text]; seq and token are 0 for lines of no input.
meta: dropped."""
BEAT = 8
"""meta: busy [[seq, for_s], …], rss_mib, cpu_s, silent_s."""
BYE = 9
"""The runner leaves. meta: reason, and exit_code or signal of its worker where that ended."""
RETURN = 10
"""(seq, token) was recalled, or its container leaves, before its user code began."""

# From the server.
WELCOME = 65
"""meta: see `Welcome`. payload: the source as a zip archive, if it is small enough to travel here."""
INPUT = 66
"""(seq, token) to run. meta: number, call_id, input_id, metadata?. payload: `{"args": […], "kwargs": {…}}`.
A batch is consecutive INPUTs, all but the last with the flag `MORE`; each has an OUTPUT of its own."""
RECALL = 67
"""Give back, by RETURN, every input whose user code has not begun."""
ACK = 68
"""Outputs that are committed. payload: PAIRs of (seq, token)."""
CREDIT = 69
"""How far the generator of (seq, token) may go. payload: CREDITED."""
CANCEL = 70
"""Raise in the user code of (seq, token); by force after meta grace_s."""
DRAIN = 71
"""Take nothing new, finish what runs, run exit hooks, say BYE. meta: grace_s (then by force), reason."""

MORE = 1
"""A flag of INPUT: the next INPUT belongs to the same batch."""

_FLAGS_AT = 9

PAIR = struct.Struct("<QQ")
"""(seq, token), as in the payload of ACK."""

CREDITED = struct.Struct("<QQQ")
"""Items that are stored; items and bytes that may be sent in all."""

ITEM_WINDOW, ITEM_WINDOW_BYTES = 4096, 1 << 20
"""Items, and their bytes, that a generator may yield before it is told that any are stored. It stops once either is
reached: a single item may be larger."""

OUTCOMES = (
    "success",
    "user_error",
    "timeout",
    "init_failure",
    "out_of_memory",
    "crashed",
    "internal_error",
    "expired",
    "cancelled",
)
"""How an attempt ended; OUTPUT carries the index in its flags."""


class Frame(NamedTuple):
    """One frame, taken apart."""

    kind: int
    flags: int
    slot: int
    seq: int
    token: int
    meta: bytes
    payload: bytes

    def header(self) -> Dict[str, Any]:
        """The meta part as a dictionary, empty where there is none.

        Raises:
            ProtocolError: it is not one JSON object.
        """
        if not self.meta:
            return {}
        try:
            value = json.loads(self.meta)
        except (ValueError, RecursionError) as error:
            raise ProtocolError("a frame's meta part is not JSON") from error
        if not isinstance(value, dict):
            raise ProtocolError("a frame's meta part is not a JSON object")
        return value


class ProtocolError(Exception):
    """The other end sent what the protocol does not allow; the message says what."""


def pack(
    kind: int,
    seq: int = 0,
    token: int = 0,
    payload: Union[bytes, memoryview] = b"",
    *,
    meta: Optional[bytes] = None,
    flags: int = 0,
    slot: int = 0,
) -> bytes:
    """Put one frame together. `meta` is the JSON text of an object, or None."""
    head = meta or b""
    return HEAD.pack(len(head), len(payload), kind, flags, slot, seq, token) + head + payload


def with_more(frame: bytes) -> bytes:
    """The same INPUT frame, which others of its batch follow."""
    return frame[:_FLAGS_AT] + bytes((MORE,)) + frame[_FLAGS_AT + 1 :]


def meta(**values: Any) -> bytes:
    """The meta part of a frame: compact JSON."""
    return json.dumps(values, separators=(",", ":"), ensure_ascii=False).encode()


def messages(frames: List[bytes], limit: int) -> Iterator[bytes]:
    """Put frames together into messages, in order.

    Args:
        frames: as `pack` makes them; emptied on the way, so that large ones are let go as soon as they were sent.
        limit: of one message, in bytes; a frame that is larger is a message of its own.
    """
    frames.reverse()
    while frames:
        parts = [frames.pop()]
        size = len(parts[0])
        while frames and size + len(frames[-1]) <= limit:
            parts.append(frames.pop())
            size += len(parts[-1])
        yield parts[0] if len(parts) == 1 else b"".join(parts)


def unpack(message: bytes) -> List[Frame]:
    """Take a message apart into its frames.

    Raises:
        ProtocolError: the message ends inside a frame.
    """
    frames = []
    at, end = 0, len(message)
    while at < end:
        if end - at < HEAD.size:
            raise ProtocolError("a message ends inside a frame's head")
        meta_size, size, kind, flags, slot, seq, token = HEAD.unpack_from(message, at)
        start = at + HEAD.size
        body = start + meta_size
        at = body + size
        if at > end:
            raise ProtocolError("a message ends inside a frame")
        frames.append(Frame(kind, flags, slot, seq, token, message[start:body], message[body:at]))
    return frames
