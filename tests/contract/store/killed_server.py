"""A server's store in a process of its own, to be killed: accepts and ends calls, and says which are acknowledged.

Run as `python -m tests.contract.store.killed_server <data directory>`.
"""

import asyncio
import os
import sys
import time
from functools import partial
from pathlib import Path

from tests.contract.store.making import accept, complete
from yurt.domain.changes import Accept
from yurt.outbound.store import open_store


class WallClock:
    """The real time."""

    now = staticmethod(time.time)
    monotonic = staticmethod(time.monotonic)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def say(word: str, seq: int) -> None:
    os.write(1, f"{word} {seq}\n".encode())  # in one piece, and gone at once: nothing is lost in a buffer


async def main(directory: Path) -> None:
    store = await open_store(directory, clock=WallClock())
    first = store.identity.epoch << 32

    def accepted(call: Accept, error: Exception | None) -> None:
        if error is None:
            say("accepted", call.seq)
            store.journal.add([complete(call, value=b"%d" % call.seq)], partial(ended, call.seq))

    def ended(seq: int, error: Exception | None) -> None:
        if error is None:
            say("ended", seq)

    for number in range(1, 1 << 30):
        call = accept(0)._replace(seq=first + number, args=b"%d" % (first + number))
        store.journal.add([call], partial(accepted, call))
        if number % 7 == 0:
            await asyncio.sleep(0)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
