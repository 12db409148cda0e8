"""Epochs: the upper half of every number that a life of the server gives out."""

from datetime import UTC, datetime

from yurt.outbound.store.errors import StoreRefused

ZERO = datetime(2026, 1, 1, tzinfo=UTC)
LIMIT = 2**31
"""An epoch takes 31 bits, so that a sequence number stays positive in 64."""


def following_epoch(stored: int, now: float) -> int:
    """The epoch after `stored`: larger than it, and than every second before `now`.

    Being bound to the clock it is also larger than the epochs of lives that a restored or power-struck store has
    forgotten.

    Args:
        stored: the last epoch of the store, 0 for none.
        now: seconds since 1970.

    Raises:
        StoreRefused: it would not fit. Only a clock that is far ahead, or was once, leads there.
    """
    epoch = max(stored + 1, int(now - ZERO.timestamp()))
    if epoch >= LIMIT:
        year = datetime.fromtimestamp(min(now, 2e11), UTC).year
        raise StoreRefused(
            f"The clock of this machine says the year {year}, and the store was last opened with epoch {stored}: "
            f"the next epoch would be {epoch}, of at most {LIMIT - 1}. Set the clock right"
            + (", then restore the store from a copy made before the clock was wrong." if stored + 1 >= LIMIT else ".")
        )
    return epoch
