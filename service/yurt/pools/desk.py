"""What every pool uses."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from yurt.domain.endings import Ending
from yurt.pools.background import Background
from yurt.pools.followers import Followers
from yurt.pools.inputs import Input
from yurt.pools.items import ItemDesk
from yurt.pools.ledger import Ledger
from yurt.pools.members import Member
from yurt.pools.numbers import Numbers
from yurt.pools.queue import Window
from yurt.pools.stream import Stream
from yurt.pools.timers import Timers
from yurt.ports import Blobs, Clock

if TYPE_CHECKING:
    from yurt.pools.pool import Pool


@dataclass(frozen=True, slots=True)
class Desk:
    """What every pool uses.

    Args:
        items: takes what generators yield.
        followers: who waits for inputs.
        timers: what is due later.
        window: how much of a queue is in memory.
        refill: reads more of a stream from the store.
        left: called with inputs that are now only in the store.
        outdated: called with the number of one of which the store says something new.
        rest: ends what is in the store now and waits.
        scale: asks for a scaling decision soon.
        forget: called when an input has ended.
        retire: called when a container is to take nothing new and end.
        cancel_grace_s: what user code gets after it was told to stop, in seconds.
    """

    ledger: Ledger
    blobs: Blobs
    clock: Clock
    numbers: Numbers
    background: Background
    items: ItemDesk
    followers: Followers
    timers: Timers
    window: Window
    refill: Callable[["Pool", Stream], None]
    left: Callable[[Sequence[Input]], None]
    outdated: Callable[[int], None]
    rest: Callable[["Pool", Ending], None]
    scale: Callable[["Pool"], None]
    forget: Callable[[Input], None]
    retire: Callable[["Pool", Member, str], None]
    cancel_grace_s: Callable[[], float]
