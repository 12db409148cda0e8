"""What the gateway bears with."""

from dataclasses import dataclass

HELD_BYTES = 64 << 10
"""Of a body that nobody takes yet; the connection is read no further then, and no container is bothered before."""

MAX_HEADERS = 256
MAX_PIPELINED = 16
"""Requests that a client sends ahead; the connection is read no further then."""

LINGER_S = 2.0
"""How long the rest of a request is swallowed after it was refused, so that the client reads the answer first."""


@dataclass(frozen=True, slots=True)
class GatewayLimits:
    """Each with the status that it is answered with.

    Args:
        head_bytes: of request line and headers (431).
        body_bytes: of a body (413).
        idle_s: without a byte of a request (408), or without a reader of the response, in seconds.
        keep_s: between two requests of a connection, in seconds; it is then closed without a word.
        wait_s: for a container, in seconds (504).
        waiting: requests of one function that wait for a container (503).
    """

    head_bytes: int = 64 << 10
    body_bytes: int = 4 << 30
    idle_s: float = 60
    keep_s: float = 75
    wait_s: float = 300
    waiting: int = 1000
