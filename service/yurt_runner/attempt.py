"""One attempt at one input: arguments in, user code, result or error out."""

from __future__ import annotations

import time
from typing import Any, Callable, Dict, NamedTuple, Optional, Protocol, Tuple, Type

from yurt_runner import faults
from yurt_runner.context import InputCancelled, InputInterrupted, InputTimeout
from yurt_runner.errors import clean, describe, raised_by_call, trace, wrong_arguments
from yurt_runner.memory import name_limit
from yurt_runner.page import TIMEOUT
from yurt_runner.values import SerializationError, decode, encode
from yurt_runner.wire import OUTCOMES, OUTPUT, Frame, pack

SUCCESS, USER_ERROR, TIMED_OUT, OUT_OF_MEMORY, CANCELLED, INTERNAL = (
    OUTCOMES.index(name)
    for name in ("success", "user_error", "timeout", "out_of_memory", "cancelled", "internal_error")
)


class Terms(NamedTuple):
    """What holds for every attempt.

    Args:
        function: as errors name it.
        source: the folder with the user's code.
        timeout_s: of one attempt, in seconds.
        memory_mib: the memory limit, in MiB.
    """

    function: Callable[..., Any]
    source: str
    timeout_s: float
    memory_mib: int


Result = Tuple[int, bytes]
"""Index into OUTCOMES, and the payload."""


class Work(Protocol):
    """What an attempt does. A worker chooses where and when: the main thread, a thread of many, a task.

    Each kind of function has its own. `run` and `run_async` are all that an interrupt is raised in; what they raise
    ends the attempt, and `errors.raised_by_call` counts on it that they call the function themselves.
    """

    is_async: bool
    """Whether `run_async` is to be used, on an event loop, instead of `run`."""

    def run(self, frame: Frame) -> Result:
        """From an INPUT to its result: arguments, user code, the value as JSON."""

    async def run_async(self, frame: Frame) -> Result:
        """The same for coroutine functions."""

    def output(self, frame: Frame, result: Result, since: float) -> bytes:
        """The OUTPUT frames of an input that began at `since` (monotonic)."""


class Plain:
    """The work of a plain function."""

    def __init__(self, function: Callable[..., Any], *, is_async: bool) -> None:
        self._function = function
        self.is_async = is_async

    def run(self, frame: Frame) -> Result:
        """See `Work`."""
        args, kwargs = arguments(frame)
        return success(self._function(*args, **kwargs))

    async def run_async(self, frame: Frame) -> Result:
        """See `Work`."""
        args, kwargs = arguments(frame)
        return success(await self._function(*args, **kwargs))

    @staticmethod
    def output(frame: Frame, result: Result, since: float) -> bytes:
        """See `Work`."""
        return output(frame, result, since)


def arguments(frame: Frame) -> Tuple[Tuple[Any, ...], Dict[str, Any]]:
    """The arguments of an input.

    Raises:
        ValueError: see `values.decode`.
    """
    args, kwargs = decode(frame.payload)
    return tuple(args), kwargs


def success(value: object) -> Result:
    """Of what a function returned.

    Raises:
        SerializationError: it has no JSON form.
    """
    return SUCCESS, encode(value)


def failure(error: BaseException, terms: Terms) -> Result:
    """Of what a function raised, or what its result raised when it was encoded."""
    if isinstance(error, MemoryError):
        text = trace(error, terms.source)
        return OUT_OF_MEMORY, faults.as_json(faults.out_of_memory(terms.memory_mib, traceback=text))
    if isinstance(error, SerializationError):
        return USER_ERROR, faults.as_json(faults.fault("SerializationError", clean(str(error), 64 << 10)))
    if isinstance(error, TypeError) and raised_by_call(error.__traceback__):
        return USER_ERROR, faults.as_json(wrong_arguments(error, terms.function))
    return USER_ERROR, faults.as_json(name_limit(describe(error, terms.source), terms.memory_mib))


def interrupted(reason: int, error: Optional[BaseException], terms: Terms) -> Result:
    """Of an attempt that was interrupted, however it then ended.

    Args:
        reason: `page.CANCEL` or `page.TIMEOUT`.
        error: what came out of the function, with the place where it was interrupted.
    """
    text = trace(error, terms.source) if error is not None else ""
    if reason == TIMEOUT:
        return TIMED_OUT, faults.as_json(faults.timed_out(terms.timeout_s, phase="run", traceback=text))
    return CANCELLED, faults.as_json(faults.cancelled(traceback=text))


def interruption(reason: int) -> Type[InputInterrupted]:
    """What is raised in user code."""
    return InputTimeout if reason == TIMEOUT else InputCancelled


def output(frame: Frame, result: Result, since: float) -> bytes:
    """The OUTPUT of an input that began at `since` (monotonic)."""
    flags, payload = result
    meta = b'{"run_s":%.6f}' % (time.monotonic() - since)
    return pack(OUTPUT, frame.seq, frame.token, payload, meta=meta, flags=flags)
