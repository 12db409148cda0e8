"""Fixtures of the heart's tests."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.component.pools.rig import Rig


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    """A heart on an empty store."""
    rig = await Rig(tmp_path / "data").open()
    yield rig
    await rig.close()
