"""What user code may know of the input it works on. Imported by user code, so it loads nothing heavy."""

from __future__ import annotations

import time
from contextvars import ContextVar

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, List, Tuple


class InputInterrupted(BaseException):
    """An input is to end now. Not an `Exception`, so that a broad `except Exception` lets it pass."""


class InputCancelled(InputInterrupted):
    """The input was cancelled."""

    def __init__(self, message: str = "the input was cancelled") -> None:
        super().__init__(message)


class InputTimeout(InputInterrupted):
    """The input ran over the timeout of its function."""

    def __init__(self, message: str = "the function ran for more than its timeout") -> None:
        super().__init__(message)


class InputContext:
    """One input, as its function may see it.

    Args:
        call_id: the call it belongs to (`fc-…`).
        input_id: the input (`in-…`).
        attempt: 1 for the first try, 2 for the first retry, and so on.
        deadline: when the attempt times out, in seconds since 1970 by this machine's clock.
        metadata: what the caller attached to the call.
    """

    __slots__ = ("attempt", "call_id", "deadline", "input_id", "metadata")

    def __init__(self, *, call_id: str, input_id: str, attempt: int, deadline: float, metadata: Dict[str, str]) -> None:
        self.call_id = call_id
        self.input_id = input_id
        self.attempt = attempt
        self.deadline = deadline
        self.metadata = metadata

    def __repr__(self) -> str:
        return f"<InputContext {self.input_id} of {self.call_id}, attempt {self.attempt}>"


running: ContextVar[Tuple[bytes, float, int, int]] = ContextVar("yurt_input")
"""The meta part of the INPUT frame being worked on, its deadline on the monotonic clock, its seq and its token.

Taken apart only on demand: most functions never ask."""


batch: ContextVar[Tuple[bytes, ...]] = ContextVar("yurt_batch")
"""The meta parts of the batch being worked on, that of the first member first."""


def current() -> InputContext:
    """The input that the calling code works on; in a batched function, the first of the batch.

    It is bound to the context (`contextvars`): tasks that the function starts see it, threads only if they are run in a
    copy of its context.

    Raises:
        RuntimeError: no input is being worked on here.
    """
    meta, deadline = _running("current")
    return _input(meta, deadline)


def current_batch() -> List[InputContext]:
    """The inputs that the calling code works on, in the order of the lists it was given; one where nothing is batched.

    Raises:
        RuntimeError: as `current`.
    """
    meta, deadline = _running("current_batch")
    return [_input(one, deadline) for one in batch.get((meta,))]


def _running(name: str) -> Tuple[bytes, float]:
    try:
        meta, deadline, _, _ = running.get()
    except LookupError:
        raise RuntimeError(
            f"yurt_runner.{name}() was called outside of an input: call it from the function that Yurt runs, "
            "or from a thread started with contextvars.copy_context().run"
        ) from None
    return meta, deadline


def _input(meta: bytes, deadline: float) -> InputContext:
    import json

    values = json.loads(meta or b"{}")
    return InputContext(
        call_id=values.get("call_id", ""),
        input_id=values.get("input_id", ""),
        attempt=values.get("number", 1),
        deadline=time.time() + deadline - time.monotonic(),
        metadata=dict(values.get("metadata") or {}),
    )
