"""Exceptions of user code as errors that callers can read: type, message, and a traceback of user code alone."""

from __future__ import annotations

import os
import sys
import traceback
from types import TracebackType
from typing import Any, Dict, Optional, Set

from yurt_runner.faults import fault

MAX_TEXT_BYTES = 64 << 10
"""The longest message, and the longest traceback."""
MAX_FRAMES = 200
"""Of each traceback in a chain; a RecursionError has 1,000."""


def _here() -> None:
    """Its code object knows where this package lies, be it a folder or an archive."""


_RUNNER = os.path.dirname(_here.__code__.co_filename) + os.sep
_IMPORT = ("<frozen importlib", os.sep + os.path.join("importlib", "__init__.py"))


def describe(error: BaseException, source: str) -> Dict[str, Any]:
    """The error of `error`. Survives exceptions that cannot be printed.

    Args:
        source: the folder with the user's code; paths in it are shown relative to it.
    """
    kind = type(error)
    return {
        "type": clean(kind.__qualname__, 1000),
        "module": clean(str(kind.__module__), 1000),
        "message": clean(message_of(error), MAX_TEXT_BYTES),
        "traceback": trace(error, source),
    }


def message_of(error: BaseException) -> str:
    """`str(error)`, or what stands for it where that fails."""
    if isinstance(error, SystemExit):
        return f"sys.exit({error.code!r})"
    try:
        return str(error)
    except Exception as second:  # noqa: BLE001 - user code runs in `__str__`, and may raise anything
        return f"<{type(error).__qualname__} cannot be printed: its __str__ raised {type(second).__qualname__}>"


def trace(error: BaseException, source: str) -> str:
    """The traceback of `error`, causes included, without the frames of the runner."""
    try:
        whole = traceback.TracebackException(type(error), error, error.__traceback__, limit=-MAX_FRAMES)
        _trim(whole, set())
        text = "".join(whole.format())
    except Exception as second:  # noqa: BLE001 - formatting calls user code, such as `__str__` of a cause
        text = f"<the traceback cannot be shown: {type(second).__qualname__}>\n"
    return clean(text.replace(f'File "{source}{os.sep}', 'File "'), MAX_TEXT_BYTES)


def _trim(one: traceback.TracebackException, seen: Set[int]) -> None:
    """Take the frames of the runner out, and those of the import machinery at the top."""
    if id(one) in seen:
        return
    seen.add(id(one))
    frames = [frame for frame in one.stack if not frame.filename.startswith(_RUNNER)]
    while frames and any(part in frames[0].filename for part in _IMPORT):
        del frames[0]
    one.stack[:] = frames
    following = [one.__cause__, one.__context__, *(getattr(one, "exceptions", None) or ())]
    for other in following:
        if other is not None:
            _trim(other, seen)


def raised_by_call(trace_back: Optional[TracebackType]) -> bool:
    """Whether an exception came up at the call itself in `Work.run`, no frame of the callee being there yet."""
    return trace_back is not None and trace_back.tb_next is not None and trace_back.tb_next.tb_next is None


def raised_at_call(trace_back: Optional[TracebackType]) -> bool:
    """The same for the function itself that makes the call, and catches what comes of it."""
    return trace_back is not None and trace_back.tb_next is None


def clean(text: str, limit: int) -> str:
    """Text that UTF-8 can hold, at most about `limit` bytes; what is longer loses its middle."""
    data = text.encode("utf-8", "backslashreplace")
    if len(data) <= limit:
        return data.decode()
    half = limit // 2
    note = f"\n… {len(data) - 2 * half} bytes left out …\n"
    return data[:half].decode("utf-8", "ignore") + note + data[-half:].decode("utf-8", "ignore")


def note(text: str) -> None:
    """A line for the author of the function, on its standard error."""
    sys.stderr.write(clean(text, MAX_TEXT_BYTES).rstrip("\n") + "\n")


def signature_of(function: Any) -> str:
    """`resize(width: int, height: int = 1)`, or the bare name where that is not known."""
    import inspect

    name = getattr(function, "__name__", "the function")
    try:
        return f"{name}{inspect.signature(function)}"
    except (TypeError, ValueError):
        return f"{name}(…)"


def wrong_arguments(error: TypeError, function: Any) -> Dict[str, Any]:
    """The error of a call whose arguments do not fit."""
    message = f"{message_of(error)}. The function is {signature_of(function)}."
    return {**fault("TypeError", clean(message, MAX_TEXT_BYTES)), "module": "builtins"}
