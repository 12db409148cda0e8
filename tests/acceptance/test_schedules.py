"""Schedules of a real server, with real containers: each tick once, whatever is killed."""

import asyncio
import shutil
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.served import Served, command, serving
from tests.postgres import PostgresServer

SOURCE = """
import yurt_runner


def tick():
    return yurt_runner.current().metadata.get("scheduled_for", "by hand")


def slow():
    import time

    time.sleep(3600)
"""


async def calls_of(server: Served, function: str) -> list[Any]:
    """The calls that schedules made of a function, the first one first."""
    found = (
        await server.ask("GET", f"/v1/functions/{function}/invocations?kind=schedule&include=result&limit=200")
    ).json
    return list(reversed(found["data"]))


async def comes_true(condition: Callable[[], Awaitable[object]], what: str) -> None:
    async with asyncio.timeout(60):
        while not await condition():
            await asyncio.sleep(0.1)


async def only(server: Served, function: str) -> dict[str, Any]:
    (found,) = (await server.ask("GET", f"/v1/schedules?function_id={function}")).json["data"]
    assert isinstance(found, dict)
    return found


def no_tick_twice(calls: list[Any]) -> None:
    ticks = [call["metadata"]["scheduled_for"] for call in calls]
    assert len(set(ticks)) == len(ticks)
    assert ticks == sorted(ticks)


async def test_ticks_go_on_after_a_kill_and_none_comes_twice(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        await server.deploy("clock", SOURCE, "tick", schedule={"period": {"seconds": 1}})

        async def successes(more_than: int) -> bool:
            done = [call for call in await calls_of(server, "clock:tick") if call["status"] == "success"]
            return len(done) > more_than

        await comes_true(lambda: successes(2), "three calls")
        for _ in range(2):
            before = await calls_of(server, "clock:tick")
            await server.kill()
            await asyncio.sleep(2.5)  # ticks are missed meanwhile
            await server.start()
            await comes_true(lambda: successes(len(before) + 2), "calls after the restart")  # noqa: B023
            calls = await calls_of(server, "clock:tick")
            no_tick_twice(calls)
            assert [call["call_id"] for call in calls[: len(before)]] == [call["call_id"] for call in before]
        for call in calls:
            if call["status"] == "success":
                assert call["result"] == call["metadata"]["scheduled_for"], "the function knows its tick"


async def test_another_server_that_takes_the_store_over_goes_on_with_the_ticks(
    tmp_path: Path, postgres: PostgresServer
) -> None:
    database = postgres.database()
    store = ("--store", postgres.url(database))
    async with serving(tmp_path, *store) as first:
        await first.deploy("clock", SOURCE, "tick", schedule={"period": {"seconds": 1}})
        await comes_true(lambda: calls_of(first, "clock:tick"), "the first call")
        assert first.process is not None
        first.process.send_signal(signal.SIGSTOP)
        postgres.psql(
            "postgres", f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'"
        )
        shutil.copytree(first.data, tmp_path / "second" / "data")
        async with serving(tmp_path / "second", *store) as second:
            before = await calls_of(second, "clock:tick")
            first.process.send_signal(signal.SIGCONT)
            async with asyncio.timeout(60):
                assert await first.process.wait() == 1, "it finds that the store is no longer its own"

            async def goes_on() -> bool:
                return bool((await calls_of(second, "clock:tick"))[len(before) + 2 :])

            await comes_true(goes_on, "calls of the second server")
            no_tick_twice(await calls_of(second, "clock:tick"))


async def test_paused_resumed_and_run_by_hand(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        await server.deploy("hand", SOURCE, "tick", schedule={"period": {"seconds": 1}})
        schedule_id = (await only(server, "hand:tick"))["schedule_id"]

        async def begun() -> bool:
            return "last_call_id" in await only(server, "hand:tick")

        await comes_true(begun, "the first call")
        connection = ("--url", server.url, "--token", server.token)
        assert (await command("schedule", "pause", schedule_id, *connection)).code == 0
        paused = await only(server, "hand:tick")
        assert paused["state"] == "paused"
        before = await calls_of(server, "hand:tick")
        await server.deploy("hand", SOURCE + "\n# another revision\n", "tick", schedule={"period": {"seconds": 1}})
        await server.kill()
        await server.start()
        ran = await command("schedule", "run", schedule_id, *connection)
        assert ran.code == 0, ran.err
        call = (await server.ask("GET", f"/v1/function-calls/{ran.out.strip()}?wait=30")).json
        assert (call["kind"], call["result"]) == ("schedule", "by hand")
        assert call["metadata"] == {"schedule_id": schedule_id}
        assert len(await calls_of(server, "hand:tick")) == len(before) + 1, "nothing else came while it was paused"
        listed = await command("schedules", "--app", "hand", *connection)
        assert schedule_id in listed.out
        assert "every 1 seconds" in listed.out
        assert (await command("schedule", "resume", schedule_id, *connection)).code == 0

        async def goes_on() -> bool:
            return bool((await calls_of(server, "hand:tick"))[len(before) + 1 :])

        await comes_true(goes_on, "calls after it was resumed")
        await server.ask("DELETE", "/v1/apps/hand")
        assert (await command("schedule", "run", schedule_id, *connection)).code == 3


@pytest.mark.asyncio(loop_scope="module")
async def test_what_overlaps_is_skipped_where_that_is_asked_for(server: Served) -> None:
    schedule = {"period": {"seconds": 1}, "overlap": "skip"}
    await server.deploy("slow", SOURCE, "slow", schedule=schedule)

    async def skipped() -> bool:
        return "last_skipped_at" in await only(server, "slow:slow")

    await comes_true(skipped, "a tick without a call")
    assert len(await calls_of(server, "slow:slow")) == 1
    await server.ask("DELETE", "/v1/apps/slow")


@pytest.mark.asyncio(loop_scope="module")
async def test_a_function_that_needs_arguments_gets_no_schedule(server: Served) -> None:
    await server.ask("POST", "/v1/apps", {"name": "needs"})
    definition = {
        "entrypoint": "main:add",
        "source": {"files": {"main.py": "def add(a, b=2):\n    return a + b\n"}},
        "schedule": {"cron": "* * * * *"},
    }
    refused = await server.ask("PUT", "/v1/apps/needs/functions/add", definition)
    assert refused.status == 422
    assert [error["pointer"] for error in refused.json["errors"]] == ["/schedule"]
    assert "give a default to a" in refused.json["errors"][0]["message"]
