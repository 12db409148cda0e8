"""When a call is to begin, and how long it may wait for that."""

from dataclasses import dataclass

MAX_WAIT_S = 7 * 86_400
"""The longest `delay` and `queue_timeout`, in seconds."""


@dataclass(frozen=True, slots=True)
class Timing:
    """What a caller says about a call's beginning.

    Args:
        delay_s: it does not begin earlier, in seconds from its acceptance.
        queue_timeout_s: it ends as `expired` unless its first attempt begins so soon after the delay; None: no
            limit.
    """

    delay_s: float = 0.0
    queue_timeout_s: float | None = None
