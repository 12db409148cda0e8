"""kill -9 at any moment: what was acknowledged is there, whole, and nothing has to be repaired."""

import asyncio
import random
import sys

from tests.contract.store.conftest import SqliteStores
from tests.contract.store.making import pending
from yurt.domain.records import Payload
from yurt.ports import Store

KILLS = 10


async def acknowledged(directory: str, after_lines: int) -> list[tuple[str, int]]:
    """Run a server until it has said so many words, and kill it."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.contract.store.killed_server", directory, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    async with asyncio.timeout(60):
        said = [await process.stdout.readline() for _ in range(after_lines)]
        process.kill()
        rest = await process.stdout.read()
        await process.wait()
    lines = b"".join([*said, rest]).decode().splitlines()
    return [(word, int(seq)) for word, seq in (line.split() for line in lines)]


async def must_be_there(store: Store, said: list[tuple[str, int]]) -> None:
    for word, seq in said:
        found = await store.calls.get(seq)
        assert found is not None, f"{seq} was {word} and is lost"
        assert found.call.args == Payload(b"%d" % seq)
        if word == "ended":
            assert found.result is not None, f"the end of {seq} is lost"
            assert found.result.value == Payload(b"%d" % seq)
    open_inputs = {item.call.seq for item in await pending(store)}
    ended = {seq for word, seq in said if word == "ended"}
    assert not open_inputs & ended


async def test_nothing_acknowledged_is_lost(sqlite_stores: SqliteStores) -> None:
    chance = random.Random(7)
    said: list[tuple[str, int]] = []
    for _ in range(KILLS):
        heard = await acknowledged(str(sqlite_stores.directory), chance.choice([1, 10, 300, 3000]))
        assert heard
        assert not {seq for _, seq in heard} & {seq for _, seq in said}, "a number was used twice"
        said += heard
    store = await sqlite_stores.open()
    await must_be_there(store, said[-2000:] + chance.sample(said, min(len(said), 2000)))
    assert await store.check() is None
