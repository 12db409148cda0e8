"""How an input ends: its outcome and the error that a caller sees."""

from collections.abc import Mapping

import msgspec

from yurt.domain.naming import MAIN
from yurt.domain.records import Outcome

MAX_TEXT = 64 << 10
"""Characters kept of a message or a traceback that a container sent."""

_HINTS = {
    Outcome.USER_ERROR: "The function raised. Logs: yurt logs --call {call}",
    Outcome.TIMEOUT: "Raise the function's timeout, or make the work smaller. Logs: yurt logs --call {call}",
    Outcome.CRASHED: "The process that ran the function ended. Logs: yurt logs --call {call}",
    Outcome.OUT_OF_MEMORY: "Raise the function's memory. Logs: yurt logs --call {call}",
    Outcome.EXPIRED: "Raise max_containers of {function}, or the call's queue_timeout.",
    Outcome.INTERNAL_ERROR: "This is not the function's fault. Call it again.",
}

_FROM_CONTAINER = frozenset(
    {"type", "module", "message", "traceback", "exit_code", "signal", "last_output", "limit_s", "limit_mib", "phase"}
)
"""What a container may say about an error; everything else is the server's to say."""


class Ending(msgspec.Struct, frozen=True):
    """How an attempt that ends its input ended.

    Args:
        value: the returned value as JSON, on success.
        error: what is known of the error, otherwise.
        run_s: how long user code ran, where it did.
        items: how many items it yielded, where it is a generator's.
        hint: what to do, where that is not what is to be done after every such outcome.
    """

    outcome: Outcome
    value: bytes | None = None
    error: Mapping[str, object] = {}
    run_s: float | None = None
    items: int | None = None
    hint: str | None = None


def cancelled(by: str) -> Ending:
    """The ending of an input that was cancelled, by: token, app_stopped, function_deleted, map_failed, disconnect."""
    message = {
        "app_stopped": "The app was stopped.",
        "function_deleted": "The function was deleted.",
        "map_failed": "Another input of the map failed, and the map was not to go on then.",
        "disconnect": "The caller went away, and had asked that this cancels the call.",
    }.get(by, "The call was cancelled.")
    return Ending(Outcome.CANCELLED, error={"type": "Cancelled", "message": message, "by": by})


def expired() -> Ending:
    """The ending of an input whose first attempt did not begin in time."""
    return Ending(
        Outcome.EXPIRED, error={"type": "QueueTimeout", "message": "The call did not begin within its queue_timeout."}
    )


def without_start(ending: Ending, address: str, environment: str) -> Ending:
    """The ending of inputs that no container could be started for; what that says is in the logs of no call."""
    todo = "No container of the function could start."
    if ending.outcome is Outcome.TIMEOUT:
        todo = "Raise the function's startup_timeout, or have it do less as it starts."
    where = "" if environment == MAIN else f" -e {environment}"
    return msgspec.structs.replace(ending, hint=f"{todo} Logs: yurt logs {address}{where}")


def from_container(said: Mapping[str, object]) -> dict[str, object]:
    """What is kept of an error that a container reported: known members only, texts cut."""
    kept: dict[str, object] = {}
    for name in _FROM_CONTAINER & said.keys():
        value = said[name]
        if isinstance(value, str):
            kept[name] = value if len(value) <= MAX_TEXT else value[:MAX_TEXT] + "…"
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            kept[name] = value
    kept.setdefault("type", "Error")
    kept.setdefault("message", "")
    return kept


def describe(
    ending: Ending,
    *,
    call_id: str,
    input_id: str,
    index: int,
    attempt: int,
    container_id: str | None,
    address: str,
) -> dict[str, object]:
    """The error as a caller sees it: what happened, to which input, where, and what to do."""
    error: dict[str, object] = {"outcome": ending.outcome.value, **ending.error}
    error |= {"input_id": input_id, "index": index, "attempt": attempt}
    if container_id is not None:
        error["container_id"] = container_id
    if ending.outcome is not Outcome.CANCELLED:
        error["retries_left"] = 0
    hint = ending.hint or _HINTS.get(ending.outcome, "").format(call=call_id, function=address)
    if hint:
        error["hint"] = hint
    return error
