"""One server for the tests of a file."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.acceptance.served import Served, serving


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Served]:
    """A server on its local engine, for the tests of one file; each test has apps of its own."""
    async with serving(tmp_path_factory.mktemp("served")) as served:
        yield served
