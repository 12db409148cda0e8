import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.served import Served
from tests.commands import Yurt, in_process


@pytest.fixture(scope="module")
def server() -> Iterator[Served]:
    """A server for tests that have no loop, since commands bring their own."""
    with asyncio.Runner() as runner, tempfile.TemporaryDirectory(prefix="yurt-acceptance-") as place:
        Path(place).chmod(0o711)  # containers may be of another user
        served = Served(Path(place))
        try:
            yield runner.run(served.start())
        finally:
            runner.run(served.close())


@pytest.fixture
def yurt(server: Served, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Yurt:
    monkeypatch.setenv("YURT_URL", server.url)
    monkeypatch.setenv("YURT_TOKEN", server.token)
    return in_process(capsys)
