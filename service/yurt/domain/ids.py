"""Identifiers: a prefix, a dash and Crockford base32 in lower case.

Things that are made rarely bear a ULID (https://github.com/ulid/spec): 48 bits of milliseconds and 80 random bits, so
they sort by creation. Calls and inputs bear their sequence number and a tag of 64 bits: not guessable, and no random
key stands in an index.
"""

import hashlib
import hmac
from collections.abc import Callable
from functools import lru_cache

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
"""Crockford's, https://www.crockford.com/base32.html, in lower case."""

_VALUES = {char: value for value, char in enumerate(ALPHABET)}
_PAIRS = [high + low for high in ALPHABET for low in ALPHABET]
_SHIFTS = tuple(range(120, -1, -10))
"""Two characters at a time: ids of calls are written on the path of every call."""

_ULID_CHARS = 26
_REMEMBERED = 4096
"""Suffixes of calls that were just made or asked for: each is needed three times within a call."""

_SEQ_CHARS = 13
"""13 characters carry 65 bits, enough for a 64-bit number."""

APP, FUNCTION, CONTAINER, TOKEN, SCHEDULE, SECRET = "ap", "fu", "co", "tk", "sc", "st"
CALL, INPUT = "fc", "in"


def encode(number: int, chars: int) -> str:
    """Write a non-negative number in base32, most significant character first, padded to `chars`."""
    odd = [ALPHABET[number >> 5 * (chars - 1) & 31]] if chars % 2 else []
    return "".join(odd + [_PAIRS[number >> shift & 1023] for shift in _SHIFTS[-(chars // 2) :]])


def decode(text: str) -> int | None:
    """Read a base32 number, or None where a character is not of the alphabet."""
    number = 0
    for char in text:
        value = _VALUES.get(char)
        if value is None:
            return None
        number = number << 5 | value
    return number


def ulid(prefix: str, now_s: float, random_bytes: Callable[[int], bytes]) -> str:
    """Make an id of `prefix` that sorts by `now_s` (seconds since 1970)."""
    stamp = int(now_s * 1000) & (1 << 48) - 1
    return f"{prefix}-{encode(stamp << 80 | int.from_bytes(random_bytes(10), 'big'), _ULID_CHARS)}"


class Tags:
    """Turns sequence numbers into the visible ids of calls and inputs, and back.

    Args:
        key: the store's secret; another store's ids are unknown here.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key
        self.suffix = lru_cache(_REMEMBERED)(self._suffix)
        """The 26 characters after the prefix: the number and its tag."""

    def _suffix(self, seq: int) -> str:
        tag = hashlib.blake2b(seq.to_bytes(8, "big"), key=self._key, digest_size=8).digest()
        return encode(seq << 5 * _SEQ_CHARS | int.from_bytes(tag, "big"), 2 * _SEQ_CHARS)

    def call_id(self, seq: int) -> str:
        """The id of the call with that sequence number."""
        return "fc-" + self.suffix(seq)

    def input_id(self, seq: int) -> str:
        """The id of the input with that sequence number."""
        return "in-" + self.suffix(seq)

    def seq(self, visible: str) -> int | None:
        """The sequence number of an id of this store, or None for anything else."""
        prefix, dash, suffix = visible.partition("-")
        if not dash or prefix not in {CALL, INPUT} or len(suffix) != 2 * _SEQ_CHARS:
            return None
        seq = decode(suffix[:_SEQ_CHARS])
        if seq is None or seq >= 1 << 63 or not hmac.compare_digest(self.suffix(seq).encode(), suffix.encode()):
            return None
        return seq
