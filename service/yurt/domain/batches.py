"""When a batch leaves: one pure decision, made when an input comes, a container has room, or its time is over."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Batches:
    """How a function's inputs are put together.

    Args:
        size: members of a batch at most.
        wait_s: how long its first member waits for others, in seconds, since it became ready.
    """

    size: int
    wait_s: float


@dataclass(frozen=True, slots=True)
class Leave:
    """A batch leaves now, with so many members; or none does (0), and it is looked at again in `in_s` seconds."""

    size: int
    in_s: float = 0.0


def leave(batches: Batches, waiting: int, waited_s: float) -> Leave:
    """Decide whether a container that has room for a batch gets one.

    Args:
        waiting: inputs that are ready.
        waited_s: how long the first of them has been, in seconds; a clock may make it negative.
    """
    if waiting >= batches.size:
        return Leave(batches.size)
    if waiting and waited_s >= batches.wait_s:
        return Leave(waiting)
    return Leave(0, batches.wait_s - max(0.0, waited_s))
