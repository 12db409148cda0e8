"""Running command lines of `yurt` in this process, and waiting in tests that have no loop."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import pytest

from yurt.cli.main import run


@dataclass(frozen=True)
class Ran:
    """How a command line ended."""

    code: int
    out: str
    err: str


class Yurt(Protocol):
    """Runs one command line."""

    def __call__(self, *arguments: object) -> Ran: ...


def in_process(capsys: pytest.CaptureFixture[str]) -> Yurt:
    """Run command lines in this process, as the installed command does in its own."""

    def ran(*arguments: object) -> Ran:
        code = run([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Ran(code, captured.out, captured.err)

    return ran


def wait_until(condition: Callable[[], object], within_s: float = 30) -> None:
    """As `tests.waiting.until`, for tests that have no loop.

    Raises:
        AssertionError: it was not true within `within_s` seconds.
    """
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, f"the condition did not come true within {within_s} s"
        time.sleep(0.01)
