"""The items of one input that has not ended: what the heart holds of them in memory, which are only numbers."""

from collections import deque
from collections.abc import Callable
from typing import Protocol

from yurt.domain.items import Amount
from yurt.domain.records import ItemBlock


class Told(Protocol):
    """The server's end of a session, as far as credit needs it."""

    def send(self, frame: bytes) -> None:
        """Send a frame; those of one turn of the loop leave in one message."""


class Yielding(Protocol):
    """The container that a generator runs in."""

    @property
    def link(self) -> Told | None:
        """Its session, while there is one."""


class LiveItems:
    """What is known of the items of one input. It is there as soon as the first one has come.

    Args:
        before: what the store had of it when this server began.

    Attributes:
        taken: what the container has sent.
        added: of that, what is with the journal: the rest waits for a large item to become a blob.
        stored: of that, what is committed.
        granted: how far the generator may go, as it was told last.
        member: where it runs; None until that is known again after a restart.
        waiting: blocks that wait, in order.
        then: what is to be done once nothing waits.
    """

    __slots__ = ("added", "granted", "member", "stored", "taken", "then", "waiting")

    def __init__(self, before: Amount) -> None:
        self.taken = self.added = self.stored = before
        self.granted = Amount()
        self.member: Yielding | None = None
        self.waiting: deque[ItemBlock] = deque()
        self.then: Callable[[], None] | None = None
