"""What is decided about the items of generators: what is taken, how far a generator may go on, and what ends it."""

from typing import NamedTuple

from yurt.domain.endings import Ending
from yurt.domain.json_value import MAX_DEPTH, is_json_value
from yurt.domain.records import Outcome

BLOCK_BYTES = 64 << 10
"""About how many bytes of items are put together into one block, which is one row."""

LIST_BYTES = 64 << 20
"""The most bytes of items that are answered as one JSON list."""


class Amount(NamedTuple):
    """So many items, and their bytes."""

    items: int = 0
    bytes: int = 0


def add(one: Amount, other: Amount) -> Amount:
    """Both together."""
    return Amount(one.items + other.items, one.bytes + other.bytes)


def credit(stored: Amount, callers: list[Amount], window: Amount) -> Amount:
    """How far a generator may go, counted from its first item: a window beyond what is stored, and seen.

    Args:
        stored: what is committed.
        callers: how far those who called it and read along have come. The furthest of them counts; with none of them
            nobody holds it back but the store.
    """
    seen = Amount(max(one.items for one in callers), max(one.bytes for one in callers)) if callers else stored
    return add(Amount(min(seen.items, stored.items), min(seen.bytes, stored.bytes)), window)


def lines_of(data: bytes, count: int) -> bytes | None:
    """Items as a container sent them, one a line, as they may be kept; None where they are not `count` JSON values."""
    if b"\r" in data:
        data = data.replace(b"\r", b" ")  # white space of JSON, and in an event the end of a line
    lines = data.split(b"\n")
    if len(lines) != count or not all(map(is_json_value, lines)):
        return None
    return data


def not_again(items: int, why: str) -> Ending:
    """The ending of an input whose attempt is lost after items of it were stored: it is not run again."""
    message = f"{why} {_items(items)} shown before, so the call was not run again; they are kept."
    return Ending(Outcome.INTERNAL_ERROR, error={"type": "ContainerLost", "message": message})


def too_much(items: int, limit_bytes: int) -> Ending:
    """The ending of an input whose items are more than may be stored of one."""
    message = (
        f"The generator yielded more than the {limit_bytes >> 20} MiB that are stored of one call "
        f"(--generator-limit-bytes). {_items(items)} stored before, and are kept."
    )
    return Ending(Outcome.USER_ERROR, error={"type": "TooManyItems", "message": message})


def not_in_maps() -> Ending:
    """The ending of an input of a map whose function turned out to be a generator."""
    message = f"The function is a generator, and a map takes a function that returns: {ONE_BY_ONE}."
    return Ending(Outcome.USER_ERROR, error={"type": "GeneratorInMap", "message": message})


def no_retries(entrypoint: str) -> str:
    """Why a generator cannot have retries."""
    return f"{entrypoint} is a generator, and what it has shown is not run again: leave retries out"


def forged(what: str) -> Ending:
    """The ending of an input of which its container said what cannot be."""
    message = f"The container sent {what}; the items before it are kept."
    return Ending(Outcome.INTERNAL_ERROR, error={"type": "ProtocolError", "message": message})


ONE_BY_ONE = "call it once for each input"
NOT_JSON = f"items that are not JSON values at most {MAX_DEPTH} deep"
GAP = "items with a gap before them"


def _items(count: int) -> str:
    return "1 item was" if count == 1 else f"{count} items were"
