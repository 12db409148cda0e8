"""Errors as values, for what the supervisor has to report when the worker cannot speak for itself."""

from __future__ import annotations

import json
import signal
import sys
from typing import Any, Dict, NamedTuple, Optional, Tuple

MODULE = "yurt_runner"

_STARVED = (
    "annot allocate memory",
    "can't allocate memory",
    "failed to map segment from shared object",
    "std::bad_alloc",
    "Thread creation failed",
    "pthread_create failed",
    "can't start new thread",
)
"""The stacks of threads are memory, too."""


def fault(name: str, message: str, *, traceback: str = "", **extra: Any) -> Dict[str, Any]:
    """The error of an OUTPUT or FAILED frame: what happened, and the fields that go with its outcome."""
    return {"type": name, "module": MODULE, "message": message, "traceback": traceback, **extra}


def as_json(error: Dict[str, Any]) -> bytes:
    """The payload of such a frame."""
    text = json.dumps(error, separators=(",", ":"), ensure_ascii=False)
    return text.encode("utf-8", "backslashreplace")


class Cause(NamedTuple):
    """Why the worker's process ends, and what that means for what it ran.

    Args:
        reason: as BYE says it.
        outcome: of the input that is to blame, or of the startup; None leaves it to the server, as nobody's fault.
        error: that goes with the outcome.
        forced: (seq, token) of the input that did not end when it was interrupted, if that is why.
    """

    reason: str
    outcome: Optional[str] = None
    error: Optional[Dict[str, Any]] = None
    forced: Optional[Tuple[int, int]] = None


class Ending(NamedTuple):
    """How the worker's process ended: one of the two is set."""

    exit_code: Optional[int]
    signal: Optional[int]

    @property
    def killed(self) -> bool:
        """SIGKILL: whoever sent it, it proves nothing against the input."""
        return self.signal == signal.SIGKILL

    def facts(self) -> Dict[str, Any]:
        """As the fields of an error and of BYE."""
        if self.signal is None:
            return {"exit_code": self.exit_code}
        return {"signal": signal_name(self.signal)}

    def __str__(self) -> str:
        if self.signal is None:
            return f"exited with code {self.exit_code}"
        return f"was ended by {signal_name(self.signal)}"


def ending(code: int) -> Ending:
    """From an exit code as `os.waitstatus_to_exitcode` gives it."""
    return Ending(None, -code) if code < 0 else Ending(code, None)


def signal_name(number: int) -> str:
    """`SIGSEGV`, or `signal 40` for one without a name."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def crashed(how: Ending, doing: str, last_output: str, kept_mib: Optional[int] = None) -> Dict[str, Any]:
    """The worker ended by itself.

    Args:
        doing: what it was at, as "while it ran the function".
        last_output: the end of what it printed.
        kept_mib: the memory limit that the kernel kept, in MiB, or None.
    """
    message = f"The process {how} {doing}."
    if kept_mib is not None and starved(last_output):
        message = f"{message} {limit_advice(kept_mib)}"
    return fault("Crashed", message, **how.facts(), last_output=last_output)


def starved(said: str) -> bool:
    """Whether it is said, as libraries and the loader of libraries say it, that the kernel gave no memory."""
    return any(words in said for words in _STARVED)


def limit_advice(limit_mib: int) -> str:
    """What may be why a library was given no memory, and what to do."""
    return f"The memory limit of {limit_mib} MiB may be why: what libraries map counts, used or not; raise `memory`."


def out_of_memory(limit_mib: int, *, traceback: str = "") -> Dict[str, Any]:
    """The memory limit was exceeded."""
    message = f"The function used more than its memory limit of {limit_mib} MiB. Raise `memory`, or use less."
    return fault("OutOfMemory", message, traceback=traceback, limit_mib=limit_mib)


def timed_out(
    limit_s: float, *, phase: str, forced_after_s: Optional[float] = None, traceback: str = ""
) -> Dict[str, Any]:
    """A time limit was exceeded.

    Args:
        phase: `startup` or `run`.
        forced_after_s: it went on for so long after it was interrupted, and was killed.
    """
    if phase == "startup":
        message = f"The function's module was not imported within its startup_timeout of {limit_s:g} s."
    else:
        message = f"The function ran for more than its timeout of {limit_s:g} s."
    if forced_after_s is not None:
        message += f" It did not end within {forced_after_s:g} s of being interrupted, so its process was killed."
    return fault("InputTimeout", message, traceback=traceback, limit_s=limit_s, phase=phase)


def cancelled(*, forced_after_s: Optional[float] = None, traceback: str = "") -> Dict[str, Any]:
    """The input was cancelled."""
    message = "The input was cancelled."
    if forced_after_s is not None:
        message += f" It did not end within {forced_after_s:g} s of being interrupted, so its process was killed."
    return fault("InputCancelled", message, traceback=traceback)


def complain(text: str) -> None:
    """A line for whoever reads the runner's own standard error: the engine's log."""
    sys.stderr.write(f"yurt runner: {text}\n")
    sys.stderr.flush()
