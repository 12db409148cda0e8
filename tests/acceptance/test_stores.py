"""The server on the stores that wait for a disk: it works, survives its own death, and refuses what would lose data."""

import asyncio
import json
import shutil
from pathlib import Path

import pytest

from tests.acceptance.served import Served, serving
from tests.postgres import PostgresServer

SOURCE = """
def double(number):
    return 2 * number

def long(text):
    return text * 1000
"""
LARGE = "yurt" * 100
"""Above 256 KiB when it comes back: a blob."""
ENDS_S = 60


@pytest.fixture
def url(postgres: PostgresServer) -> str:
    return postgres.url(postgres.database())


@pytest.fixture(params=["power", "postgres"])
def flags(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """What chooses the store."""
    return ("--durability", "power") if request.param == "power" else ("--store", str(request.getfixturevalue("url")))


async def refused(served: Served) -> str:
    """Start a server that will not; what it says."""
    process = await served.launch()
    async with asyncio.timeout(ENDS_S):
        assert await process.wait() == 1
    assert "Traceback" not in served.output
    said = served.output.strip().splitlines()[-1]
    assert said.startswith("yurt cannot start: ")
    return said


async def test_a_server_works_and_goes_on_after_its_death(tmp_path: Path, flags: tuple[str, ...]) -> None:
    async with serving(tmp_path, *flags) as served:
        await served.deploy("sums", SOURCE, "double", "long")
        called = await served.call("sums:double", 21)
        assert called["result"] == 42
        large = await served.call("sums:long", LARGE)
        spawned = await served.ask("POST", "/v1/functions/sums:double/spawn", {"args": [4]})
        assert spawned.status == 202
        ready = await served.ask("GET", "/readyz")
        assert (ready.status, ready.json["parts"]["store"]) == (200, {"ready": True})

        await served.kill()
        await served.start()

        for call, result in ((called, 42), (large, LARGE * 1000)):
            kept = await served.ask("GET", f"/v1/function-calls/{call['call_id']}")
            assert kept.json["result"] == result
        path = f"/v1/function-calls/{spawned.json['call_id']}?wait=20"
        assert (await served.ask("GET", path)).json["result"] == 8
        assert (await served.call("sums:double", 5))["result"] == 10
        metrics = (await served.ask("GET", "/metrics")).text
        assert "yurt_journal_away 0.0" in metrics
        assert await served.stop() == 0


async def test_two_servers_do_not_share_a_database(tmp_path: Path, url: str) -> None:
    (tmp_path / "second").mkdir()
    async with serving(tmp_path, "--store", url) as first:
        second = Served(tmp_path / "second", ("--store", url))
        assert "in use by another server" in await refused(second)
        assert (await first.ask("GET", "/readyz")).status == 200


async def test_two_servers_do_not_share_a_data_directory(tmp_path: Path, url: str, postgres: PostgresServer) -> None:
    async with serving(tmp_path, "--store", url):
        (tmp_path / "second").mkdir()
        second = Served(tmp_path / "second", ("--store", postgres.url(postgres.database())))
        (tmp_path / "second" / "data").symlink_to(tmp_path / "data")
        assert "in use by another server (process " in await refused(second)


async def test_a_data_directory_goes_with_its_store(tmp_path: Path, url: str, postgres: PostgresServer) -> None:
    async with serving(tmp_path, "--store", url):
        pass
    empty = postgres.database()
    reason = await refused(Served(tmp_path, ("--store", postgres.url(empty))))
    assert "is empty, and this data directory belongs to installation" in reason
    assert postgres.psql(empty, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == "0"
    assert "belongs to a store in PostgreSQL" in await refused(Served(tmp_path))
    async with serving(tmp_path, "--store", url) as served:
        assert (await served.ask("GET", "/readyz")).status == 200


async def test_a_directory_with_a_store_in_sqlite_takes_no_other(tmp_path: Path, url: str) -> None:
    async with serving(tmp_path):
        pass
    assert "this data directory belongs to installation" in await refused(Served(tmp_path, ("--store", url)))


async def test_a_database_that_is_not_there(tmp_path: Path, postgres: PostgresServer) -> None:
    secret = "postgresql://yurt:hush@127.0.0.1:1/none"
    served = Served(tmp_path, environment={"YURT_STORE": secret})
    reason = await refused(served)
    assert "127.0.0.1:1/none" in reason
    assert "hush" not in served.output
    shutil.rmtree(tmp_path / "data")
    assert "does not exist" in await refused(Served(tmp_path, ("--store", postgres.url("none"))))


async def test_a_deposed_server_ends_with_the_reason(tmp_path: Path, url: str, postgres: PostgresServer) -> None:
    database = url.rpartition("/")[2]
    async with serving(tmp_path, "--store", url) as served:
        await served.deploy("sums", SOURCE, "double")
        assert (await served.call("sums:double", 1))["result"] == 2
        assert served.process is not None
        before = postgres.psql(database, "SELECT count(*) FROM calls")
        postgres.psql(database, "UPDATE meta SET epoch = epoch + 1")
        answer = await served.ask("POST", "/v1/functions/sums:double/invocations", {"args": [2]})
        assert answer.status == 503
        async with asyncio.timeout(ENDS_S):
            assert await served.process.wait() == 1
        assert postgres.psql(database, "SELECT count(*) FROM calls") == before
        said = [json.loads(line) for line in served.output.splitlines() if line.startswith("{")]
        (end,) = [line for line in said if line["event"] == "server_stopped"]
        assert "Another server has opened the store" in end["reason"]
