"""How much is kept, and in what portions."""

from dataclasses import dataclass

MIB = 1024 * 1024

LINE_COST_BYTES = 150
"""About what a line costs beside its text, in memory or on disk."""


@dataclass(frozen=True, slots=True)
class LogLimits:
    """The bounds of logs.

    Args:
        segment_bytes: a segment that has grown so large is followed by a new one.
        container_bytes: of a container; beyond it its oldest segment goes.
        total_bytes: of all containers; beyond it the oldest segments of all go.
        buffered_bytes: of lines in memory that wait to be written; what comes beyond it is dropped and counted.
        read_lines: the most lines that one read gives: the newest that match.
        follower_lines: lines that wait for one reader; what comes beyond it the reader misses, and is told so.
        flush_s: how long a line waits in memory, in seconds.
    """

    segment_bytes: int = 4 * MIB
    container_bytes: int = 16 * MIB
    total_bytes: int = 1024 * MIB
    buffered_bytes: int = 16 * MIB
    read_lines: int = 20_000
    follower_lines: int = 10_000
    flush_s: float = 0.1
