"""Times as they are written down."""

from datetime import UTC, datetime
from email.utils import formatdate
from functools import lru_cache


def rfc3339(seconds: float) -> str:
    """A time (seconds since 1970) as clients and logs have it: UTC, milliseconds, `Z`."""
    whole, milliseconds = divmod(int(seconds * 1000), 1000)
    return f"{_second(whole)}.{milliseconds:03d}Z"


@lru_cache(256)
def _second(whole: int) -> str:
    """The part that changes once a second; three times stand in the answer of every call."""
    return f"{datetime.fromtimestamp(whole, UTC):%Y-%m-%dT%H:%M:%S}"


def http_date(seconds: float) -> str:
    """A time (seconds since 1970) as the header `Date` has it."""
    return _http_second(int(seconds))


@lru_cache(16)
def _http_second(whole: int) -> str:
    return formatdate(whole, usegmt=True)
