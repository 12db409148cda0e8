"""The WebSocket client without I/O, against frames put together by hand."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yurt_runner.websocket import BINARY, CLOSE, CONTINUATION, PING, TEXT, Refused, WebSocket, accept_for, mask
from yurt_runner.wire import ProtocolError

KEY_OF_THE_RFC = b"dGhlIHNhbXBsZSBub25jZQ=="


def frame(payload: bytes, kind: int = BINARY, *, last: bool = True, rsv: int = 0, masked: bool = False) -> bytes:
    """One frame as a server sends it."""
    size, first = len(payload), (128 if last else 0) | rsv | kind
    flag = 128 if masked else 0
    if size < 126:
        return bytes((first, flag | size)) + payload
    if size < 65536:
        return struct.pack(">BBH", first, flag | 126, size) + payload
    return struct.pack(">BBQ", first, flag | 127, size) + payload


def agreement(socket: WebSocket, protocol: str = "yurt.1") -> bytes:
    """The server's 101."""
    key = next(line for line in socket.request.split(b"\r\n") if line.startswith(b"Sec-WebSocket-Key: ")).split()[1]
    head = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nsec-websocket-ACCEPT: "
    return head + accept_for(key) + b"\r\nSec-WebSocket-Protocol: " + protocol.encode() + b"\r\n\r\n"


def dialled(limit: int = 1 << 20) -> WebSocket:
    return WebSocket("host:1", "/path", [("Authorization", "Bearer t")], "yurt.1", limit)


def opened(limit: int = 1 << 20) -> WebSocket:
    socket = dialled(limit)
    assert socket.feed(agreement(socket)) == []
    assert socket.opened
    return socket


def test_the_accept_of_the_rfc() -> None:
    assert accept_for(KEY_OF_THE_RFC) == b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def test_the_request_carries_credential_and_protocol() -> None:
    lines = dialled().request.split(b"\r\n")

    assert lines[0] == b"GET /path HTTP/1.1"
    assert b"Authorization: Bearer t" in lines
    assert b"Sec-WebSocket-Protocol: yurt.1" in lines
    assert lines[-2:] == [b"", b""]


@given(st.binary(min_size=4, max_size=4), st.binary(max_size=5000))
def test_masking_is_xor_and_its_own_inverse(key: bytes, data: bytes) -> None:
    masked = bytes(mask(key, data))

    assert masked == bytes(byte ^ key[index % 4] for index, byte in enumerate(data))
    assert bytes(mask(key, masked)) == data


@given(st.binary(min_size=4, max_size=4), st.integers(0, 3))
def test_masking_of_large_data(key: bytes, extra: int) -> None:
    data = bytes(range(256)) * 8 + b"x" * extra

    assert bytes(mask(key, data)) == bytes(byte ^ key[index % 4] for index, byte in enumerate(data))


@given(st.lists(st.binary(max_size=300), max_size=8), st.integers(1, 400))
def test_messages_survive_any_cut(payloads: list[bytes], step: int) -> None:
    socket, messages = dialled(), []
    stream = agreement(socket) + b"".join(map(frame, payloads))
    for at in range(0, len(stream), step):
        messages += socket.feed(stream[at : at + step])

    assert messages == payloads


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536, 200_000])
def test_every_length_both_ways(size: int) -> None:
    payload = bytes(size)
    sent = WebSocket.pack(payload)
    length = {126: 2, 127: 8}.get(sent[1] & 127, 0)
    start = 2 + length

    assert opened().feed(frame(payload)) == [payload]
    assert sent[0] == 128 | BINARY
    assert sent[1] & 128
    assert bytes(mask(sent[start : start + 4], sent[start + 4 :])) == payload


def test_pieces_make_one_message_and_control_may_come_between() -> None:
    socket = opened()
    pieces = [
        frame(b"a", last=False),
        frame(b"?", PING),
        frame(b"b", CONTINUATION, last=False),
        frame(b"c", CONTINUATION),
    ]

    assert socket.feed(b"".join(pieces)) == [b"abc"]
    assert len(socket.replies) == 1


def test_a_ping_is_answered_with_its_payload() -> None:
    socket = opened()
    socket.feed(frame(b"are you there", PING))
    (pong,) = socket.replies

    assert pong[0] == 128 | 10
    assert bytes(mask(pong[2:6], pong[6:])) == b"are you there"


def test_a_close_is_echoed_and_ends_the_messages() -> None:
    socket = opened()

    assert socket.feed(frame(struct.pack(">H", 1001), CLOSE) + frame(b"late")) == []
    assert socket.closed
    assert bytes(mask(socket.replies[0][2:6], socket.replies[0][6:])) == struct.pack(">H", 1001)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (frame(b"x", TEXT), "text"),
        (frame(b"x", 3), "neither binary nor control"),
        (frame(b"x", CONTINUATION), "out of order"),
        (frame(b"x", last=False) + frame(b"y"), "out of order"),
        (frame(b"x", masked=True), "masked"),
        (frame(b"x", rsv=64), "extension"),
        (frame(b"x", PING, last=False), "control frame"),
        (frame(b"x" * 126, PING), "control frame"),
        (frame(b"x" * 1001), "larger than 1000"),
        (frame(b"x" * 600, last=False) + frame(b"x" * 600, CONTINUATION), "larger than 1000"),
    ],
)
def test_what_the_protocol_forbids_is_refused(data: bytes, words: str) -> None:
    with pytest.raises(ProtocolError, match=words):
        opened(limit=1000).feed(data)


def test_a_refusal_brings_status_and_text() -> None:
    socket = dialled()
    assert socket.feed(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 5\r\n\r\nno") == []

    with pytest.raises(Refused, match="HTTP 403: no no") as caught:
        socket.feed(b" no")
    assert caught.value.status == 403


def test_a_refusal_that_breaks_off_still_has_its_status() -> None:
    socket = dialled()
    with pytest.raises(Refused, match="HTTP 502"):
        socket.feed(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 500\r\n\r\nno", ended=True)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"SSH-2.0-OpenSSH\r\n\r\n", "not HTTP"),
        (b"HTTP/1.1 101 ok\r\nSec-WebSocket-Accept: wrong\r\n\r\n", "does not fit its key"),
        (b"x" * 70_000, "too long"),
    ],
)
def test_an_answer_that_is_no_agreement_is_refused(answer: bytes, words: str) -> None:
    with pytest.raises(ProtocolError, match=words):
        dialled().feed(answer)


def test_another_protocol_is_not_agreed_to() -> None:
    socket = dialled()
    with pytest.raises(ProtocolError, match=r"yurt\.1"):
        socket.feed(agreement(socket, "yurt.2"))
