"""Permits between supervisor and worker: in both hands of one process, on real sockets."""

import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from threading import Lock
from typing import Any

import pytest

from yurt_runner import wire
from yurt_runner.fork import Links, Worker
from yurt_runner.inbox import SMALL_BYTES, Inbox
from yurt_runner.ledger import Held, Ledger
from yurt_runner.loop import Loop
from yurt_runner.page import Page
from yurt_runner.pipe import Pipe

FRAME_OF_NOTHING = len(wire.pack(wire.INPUT, 1, 1))


@dataclass
class Ends:
    """Both sides. `turn` sees to what waits on the supervisor's."""

    pipe: Pipe
    inbox: Inbox
    loop: Loop

    def turn(self) -> None:
        self.loop.after("now", 0.0, lambda: None)
        self.loop.turn()

    def taken(self, most: int = 1 << 30) -> list[int]:
        """What the worker begins with, until there is no permit."""
        seqs: list[int] = []
        while len(seqs) < most:
            frame = self.inbox.permitted(wait=False)
            if frame is None:
                break
            seqs.append(frame.seq)
        return seqs


@pytest.fixture
def ends() -> Iterator[Ends]:
    sock, worker_sock = socket.socketpair()
    permits, worker_permits = socket.socketpair(type=socket.SOCK_SEQPACKET)
    sock.settimeout(0)
    permits.settimeout(0)
    page, nothing, lock = Page(), -1, Lock()
    other: Any = None
    worker = Worker(os.getpid(), sock, permits, other, worker_permits, nothing, nothing, nothing, page, b"")
    links: Any = Links(worker_sock, worker_permits, other, nothing, nothing, (nothing, nothing), page, b"", lock, lock)
    loop = Loop()
    yield Ends(Pipe(loop, worker, lambda _: None, lambda: None), Inbox(links), loop)
    for one in (sock, worker_sock, permits, worker_permits):
        one.close()


def held(seq: int, size: int = 0) -> Held:
    return Held(wire.Frame(wire.INPUT, 0, 0, seq, seq, b"", b"x" * size))


def batch(*seqs: int) -> Held:
    ledger = Ledger()
    for seq in seqs:
        ledger.add(wire.Frame(wire.INPUT, wire.MORE if seq != seqs[-1] else 0, 0, seq, seq, b"", b""))
    return ledger.hand_over()[0]


def keys(*seqs: int) -> list[tuple[int, int]]:
    return [(seq, seq) for seq in seqs]


@pytest.mark.parametrize("size", [0, SMALL_BYTES - FRAME_OF_NOTHING, SMALL_BYTES - FRAME_OF_NOTHING + 1, 9000])
def test_an_input_comes_with_its_permit_or_behind_it(ends: Ends, size: int) -> None:
    ends.pipe.hand([held(1, size)])
    frame = ends.inbox.permitted(wait=False)
    assert frame is not None
    assert (frame.seq, frame.token, frame.payload) == (1, 1, b"x" * size)
    assert ends.taken() == []


def test_what_was_read_back_is_not_begun_and_what_follows_is(ends: Ends) -> None:
    ends.pipe.hand([held(1), held(2, 9000), batch(3, 4), held(5)])
    assert ends.taken(1) == [1]
    assert ends.pipe.unused() == keys(2, 3, 5)
    ends.pipe.hand([held(6), held(7, 9000)])
    assert ends.taken() == [6, 7]


def test_permits_for_which_there_is_no_room_follow_in_their_order(ends: Ends) -> None:
    seqs = list(range(1, 1001))
    ends.pipe.hand([held(seq, 9000 if seq % 100 == 0 else 1000) for seq in seqs])
    begun: list[int] = []
    while len(begun) < len(seqs):
        some = ends.taken()
        assert some, "the worker waits for what the supervisor has"
        begun += some
        ends.turn()
    assert begun == seqs
    ends.pipe.hand([held(1001)])
    assert ends.taken() == [1001]


def test_permits_for_which_there_is_no_room_are_taken_back_too(ends: Ends) -> None:
    ends.pipe.hand([held(seq, 1000) for seq in range(1, 1001)])
    assert ends.taken(3) == [1, 2, 3]
    assert ends.pipe.unused() == keys(*range(4, 1001))
    ends.turn()
    assert ends.taken() == []
    ends.pipe.hand([held(1001)])
    assert ends.taken() == [1001]
