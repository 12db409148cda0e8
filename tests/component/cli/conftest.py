from collections.abc import Iterator

import pytest

from tests.commands import Yurt, in_process
from tests.component.cli.fake_api import TOKEN, FakeApi, running


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeApi]:
    with running(FakeApi()) as api:
        monkeypatch.setenv("YURT_URL", api.url)
        monkeypatch.setenv("YURT_TOKEN", TOKEN)
        yield api


@pytest.fixture
def yurt(capsys: pytest.CaptureFixture[str]) -> Yurt:
    return in_process(capsys)
