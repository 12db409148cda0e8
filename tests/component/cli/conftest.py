import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from tests.component.cli.fake_api import TOKEN, FakeApi, running
from yurt.cli.main import run


@dataclass(frozen=True)
class Ran:
    """How a command line ended."""

    code: int
    out: str
    err: str


Yurt = Callable[..., Ran]


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeApi]:
    with running(FakeApi()) as api:
        monkeypatch.setenv("YURT_URL", api.url)
        monkeypatch.setenv("YURT_TOKEN", TOKEN)
        yield api


@pytest.fixture
def yurt(capsys: pytest.CaptureFixture[str]) -> Yurt:
    """Run one command line."""

    def ran(*arguments: object) -> Ran:
        code = run([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Ran(code, captured.out, captured.err)

    return ran


def wait_until(condition: Callable[[], object], within_s: float = 20) -> None:
    """As `tests.waiting.until`, for tests that have no loop."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, f"the condition did not come true within {within_s} s"
        time.sleep(0.01)
