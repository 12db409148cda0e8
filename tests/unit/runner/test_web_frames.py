"""The frames of WebSockets: the cases that the Autobahn test suite made famous, and whole conversations.

That suite itself runs on Python 2 alone; its sections are named where cases are theirs.
"""

import os
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.uri import parse_uri

from yurt_runner.web_frames import Closed, Event, Frames, pack, pack_close
from yurt_runner.websocket import mask

TEXT, BINARY, CONTINUATION, CLOSE, PING, PONG = 1, 2, 0, 8, 9, 10


def frame(kind: int, payload: bytes = b"", *, last: bool = True, reserved: int = 0, masked: bool = True) -> bytes:
    """A frame as a client sends it, right or wrong."""
    size = len(payload)
    first = bytes([(128 if last else 0) | reserved | kind])
    bit = 128 if masked else 0
    if size < 126:
        head = first + bytes([bit | size])
    elif size < 65_536:
        head = first + bytes([bit | 126]) + struct.pack(">H", size)
    else:
        head = first + bytes([bit | 127]) + struct.pack(">Q", size)
    if not masked:
        return head + payload
    key = os.urandom(4)
    return head + key + bytes(mask(key, payload))


def said(*frames: bytes, limit: int = 1 << 20) -> tuple[list[Event], bytes]:
    """What comes of frames, fed byte by byte and at once, which must be the same."""
    data = b"".join(frames)
    whole, split = Frames(limit), Frames(limit)
    events = whole.feed(data)
    pieces = [event for at in range(len(data)) for event in split.feed(data[at : at + 1])]
    assert events == pieces
    return events, b"".join(whole.replies)


def code(*frames: bytes, **options: Any) -> int:
    """The code of the close that frames lead to."""
    last = said(*frames, **options)[0][-1]
    assert isinstance(last, Closed)
    return last.code


def test_messages_of_every_length_form() -> None:  # Autobahn 1
    for size in (0, 1, 125, 126, 127, 128, 65_535, 65_536, 65_537):
        body = b"*" * size
        assert Frames().feed(frame(BINARY, body)) == [body]
        assert Frames().feed(frame(TEXT, body)) == [body.decode()]


def test_pings_are_answered_with_what_they_hold() -> None:  # 2
    for body in (b"", b"hello", bytes(range(125))):
        assert said(frame(PING, body)) == ([], pack(PONG, body))
    assert code(frame(PING, b"x" * 126)) == 1002
    assert said(frame(PONG, b"unasked"))[0] == []


@pytest.mark.parametrize("reserved", [64, 32, 16, 112])
@pytest.mark.parametrize("kind", [TEXT, BINARY, CLOSE, PING, PONG])
def test_reserved_bits_break_it(reserved: int, kind: int) -> None:  # 3
    assert code(frame(kind, b"", reserved=reserved)) == 1002


@pytest.mark.parametrize("kind", [3, 4, 5, 6, 7, 11, 12, 13, 14, 15])
def test_opcodes_that_nobody_knows_break_it(kind: int) -> None:  # 4
    assert said(frame(TEXT, b"first"), frame(kind))[0] == ["first", Closed(1002, "an opcode is unknown", broken=True)]


def test_messages_come_in_pieces_with_pings_between_them() -> None:  # 5
    first, rest = frame(TEXT, b"frag", last=False), frame(CONTINUATION, b"ment")
    assert said(first, rest)[0] == ["fragment"]
    assert said(first, frame(PING, b"now"), rest) == (["fragment"], pack(PONG, b"now"))
    assert code(frame(PING, b"", last=False)) == 1002
    assert code(frame(CONTINUATION, b"nothing before")) == 1002
    assert code(first, frame(TEXT, b"another")) == 1002
    assert code(first, rest, frame(CONTINUATION, b"over")) == 1002
    assert said(frame(BINARY, b"", last=False), frame(CONTINUATION, b"", last=False), frame(CONTINUATION, b""))[0] == [
        b""
    ]


def test_text_is_utf8_over_the_borders_of_its_pieces() -> None:  # 6
    text = "Hello-µ@ßöäüàá-UTF-8!! κόσμε 𐀀"
    data = text.encode()
    for at in range(len(data)):
        assert said(frame(TEXT, data[:at], last=False), frame(CONTINUATION, data[at:]))[0] == [text]
    for bad in (b"\xce\xba\xed\xa0\x80edited", b"\xf4\x90\x80\x80", b"\xc0\xaf", b"\xfe", b"\xce"):
        assert code(frame(TEXT, bad)) == 1007
    assert code(frame(TEXT, b"\xf4\x90", last=False)) == 1007, "what can become no text is refused at once"


def test_closes_have_codes_that_are_for_the_wire() -> None:  # 7
    for good in (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999):
        assert said(frame(CLOSE, struct.pack(">H", good) + b"why"))[0] == [Closed(good, "why", broken=False)]
    for bad in (0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535):
        assert code(frame(CLOSE, struct.pack(">H", bad))) == 1002
    assert said(frame(CLOSE))[0] == [Closed(1005, "", broken=False)]
    assert code(frame(CLOSE, b"\x03")) == 1002
    assert code(frame(CLOSE, struct.pack(">H", 1000) + b"\xce")) == 1007
    assert code(frame(CLOSE, struct.pack(">H", 1000) + b"x" * 124)) == 1002
    assert said(frame(CLOSE, b""), frame(TEXT, b"too late"))[0] == [Closed(1005, "", broken=False)]


def test_messages_have_a_limit_also_in_pieces() -> None:  # 9
    assert code(frame(BINARY, b"x" * 2000), limit=1000) == 1009
    pieces = [frame(BINARY, b"x" * 400, last=False), *(frame(CONTINUATION, b"x" * 400, last=False) for _ in range(3))]
    assert code(*pieces, limit=1000) == 1009


def test_a_client_masks_what_it_sends() -> None:
    assert code(frame(TEXT, b"bare", masked=False)) == 1002


MESSAGES = st.lists(st.text(max_size=300) | st.binary(max_size=300), max_size=8)


@given(MESSAGES, st.lists(st.integers(1, 50), min_size=1))
def test_a_client_that_nobody_here_wrote_is_understood(messages: list[str | bytes], cuts: list[int]) -> None:
    client = ClientProtocol(parse_uri("ws://here/"), state=State.OPEN)
    for message in messages:
        if isinstance(message, str):
            client.send_text(message.encode())
        else:
            client.send_binary(message)
    data = b"".join(client.data_to_send())
    ours, events, at = Frames(), [], 0
    for turn in range(len(data)):
        size = cuts[turn % len(cuts)]
        events += ours.feed(data[at : at + size])
        at += size
    assert events == messages


@given(MESSAGES)
def test_it_understands_us(messages: list[str | bytes]) -> None:
    client = ClientProtocol(parse_uri("ws://here/"), state=State.OPEN)
    for message in messages:
        client.receive_data(pack(TEXT, message.encode()) if isinstance(message, str) else pack(BINARY, message))
    client.receive_data(pack_close(4001, "enough"))
    seen = [one for one in client.events_received() if isinstance(one, Frame)]
    texts = [bytes(one.data).decode() if one.opcode is Opcode.TEXT else bytes(one.data) for one in seen[:-1]]
    assert texts == messages
    assert bytes(seen[-1].data) == struct.pack(">H", 4001) + b"enough"


@pytest.mark.parametrize("reason", ["é" * 100, "x" + "é" * 100, "x" * 200, "\ud800"])
def test_a_reason_that_is_too_long_is_cut_between_characters(reason: str) -> None:
    said = pack_close(4001, reason)[4:]
    assert len(said) <= 123
    assert reason.encode("utf-8", "replace").startswith(said.decode().encode())


@given(st.binary(max_size=200))
def test_nothing_that_comes_breaks_the_reader(data: bytes) -> None:
    frames = Frames(1000)
    frames.feed(data)
    frames.feed(data)
