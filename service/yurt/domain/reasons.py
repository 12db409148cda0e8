"""Why a call waits: one sentence for people, a code for programs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from yurt.domain.times import rfc3339


@dataclass(frozen=True, slots=True)
class PendingReason:
    """Why an input does not run yet.

    Args:
        code: one of the codes of the REST reference; the list may grow.
        message: one sentence or two for people.
        since: since when, in seconds since 1970.
        ahead: inputs of the function that come first; an estimate unless `ahead_exact`.
        retry_at: when the next try is due, if one is.
        details: further facts, by name.
    """

    code: str
    message: str
    since: float
    ahead: int = 0
    ahead_exact: bool = True
    retry_at: float | None = None
    details: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why the engine starts no container of a function now.

    Args:
        code: of pending reasons.
        message: for people.
        since: since when, in seconds since 1970.
        details: further facts, by name.
    """

    code: str
    message: str
    since: float
    details: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Waiting:
    """What is known when an input waits.

    Args:
        address: `app:function`.
        ahead: inputs of the function before it.
        since: when it was accepted.
        ready, starting: containers of the function.
        starting_since: when the oldest starting one was begun.
        max_containers: the effective maximum; 0 is a pause.
        recovering: the server has just started and asks the containers what they hold.
        start_at: until when the input is held back, seconds since 1970.
        attempts: of the input that ended.
        start_failures: starts in a row that failed.
        start_error: the last failed start, in one line.
        retry_at: when the next start is due, seconds since 1970.
        held_up: those of the starting ones for which the engine has no place yet.
        refusal: the engine's last one, while it refuses.
        store_away: why the store takes nothing now, where the input waits for it.
        filling: how many are in the batch that a container waits for, how many it may have, and when it leaves at the
            latest, seconds since 1970.
    """

    address: str
    ahead: int
    ahead_exact: bool
    since: float
    ready: int
    starting: int
    starting_since: float | None
    max_containers: int
    recovering: bool = False
    start_at: float | None = None
    attempts: int = 0
    start_failures: int = 0
    start_error: str | None = None
    retry_at: float | None = None
    held_up: int = 0
    refusal: Refusal | None = None
    store_away: str | None = None
    filling: tuple[int, int, float] | None = None


def explain(waiting: Waiting) -> PendingReason:
    """The reason that stands in the way most."""
    code, message, since, retry_at, details = _reason(waiting)
    return PendingReason(
        code,
        message,
        waiting.since if since is None else since,
        ahead=waiting.ahead,
        ahead_exact=waiting.ahead_exact,
        retry_at=retry_at,
        details=details,
    )


_Reason: TypeAlias = tuple[str, str, float | None, float | None, Mapping[str, object]]


def _reason(waiting: Waiting) -> _Reason:
    if waiting.recovering:
        text = "The server has just started and is asking the running containers what they hold."
        return "recovering", text, None, None, {}
    if waiting.start_at is not None:
        return _held_back(waiting.start_at, waiting.attempts)
    if waiting.max_containers == 0:
        text = f"{waiting.address} is paused: its max_containers is 0. Raise it with PATCH …/autoscaler."
        return "paused", text, None, None, {}
    if waiting.store_away is not None:
        text = f"The store cannot be written: {waiting.store_away}. This goes on once it can."
        return "store_unavailable", text, None, None, {}
    none_comes = waiting.ready == 0 or 0 < waiting.starting == waiting.held_up
    if waiting.refusal is not None and none_comes:
        refusal = waiting.refusal
        return refusal.code, refusal.message, refusal.since, waiting.retry_at, refusal.details
    if waiting.ready == 0 and waiting.start_failures:
        return "crash_backoff", _backing_off(waiting), None, waiting.retry_at, {}
    if waiting.filling is not None:
        return _filling(*waiting.filling)
    ahead = _ahead(waiting.ahead)
    if waiting.starting:
        text = f"A container of {waiting.address} is starting.{ahead}"
        return "container_starting", text, waiting.starting_since, None, {}
    if waiting.ready >= waiting.max_containers:
        limit = waiting.max_containers
        text = f"{waiting.address} runs {waiting.ready} of at most {limit} containers, and all are busy.{ahead}"
        return "max_containers", text, None, None, {"max_containers": limit}
    return "queued", f"Waiting for a free slot.{ahead}", None, None, {}


def _held_back(start_at: float, attempts: int) -> _Reason:
    at = rfc3339(start_at)
    if attempts:
        text = f"Retrying at {at}: attempt {attempts} failed."
        return "retry_backoff", text, None, start_at, {"attempts": attempts}
    return "delayed", f"The caller asked to wait until {at}.", None, start_at, {}


def _filling(here: int, size: int, leaves_at: float) -> _Reason:
    are = "input is" if here == 1 else "inputs are"
    text = f"Waiting for a batch of {size} to fill: {here} {are} here. It leaves at {rfc3339(leaves_at)} at the latest."
    return "filling_batch", text, None, leaves_at, {"max_batch_size": size}


def _backing_off(waiting: Waiting) -> str:
    times = "start" if waiting.start_failures == 1 else f"{waiting.start_failures} starts"
    return f"The last {times} of {waiting.address} failed: {waiting.start_error}"


def _ahead(count: int) -> str:
    if not count:
        return ""
    return f" {count} {'input' if count == 1 else 'inputs'} of this function {'is' if count == 1 else 'are'} ahead."
