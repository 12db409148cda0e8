"""Bad days of the cluster: what runs goes on, what is new waits with the reason, and then runs."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from scripts.stack.stack import Stack
from tests.acceptance.served import Served
from tests.cluster import a_stack
from tests.e2e.yurts import SOURCE, Load, node_of, on, result_of, runs, serving_on, spawn, waits_for

SERVERS_AWAY_S = 60


@dataclass
class Ours:
    """A cluster that a test may break, and a server on it with the app `days`."""

    stack: Stack
    served: Served


@pytest.fixture
async def ours(tmp_path: Path) -> AsyncIterator[Ours]:
    """A cluster with two nodes; `where` has a warm container."""
    with a_stack("none", "none") as own:
        async with serving_on(own, tmp_path) as served:
            await served.deploy("days", SOURCE, "where", "rest", max_containers=2)
            await served.call("days:where")
            yield Ours(own, served)


async def test_without_nomad_servers_warm_calls_go_on_and_cold_ones_wait(ours: Ours) -> None:
    async with Load(ours.served, "days:where") as load:
        await load.more()
        ours.stack.kill("nomad")
        cold = await spawn(ours.served, "days:rest", 0.01)
        reason = await waits_for(ours.served, cold, "engine_unreachable")
        assert "since" in reason
        await asyncio.sleep(SERVERS_AWAY_S)
        await load.more()
        ready = await ours.served.ask("GET", "/readyz")
        await asyncio.to_thread(ours.stack.start, "nomad")
        assert (await result_of(ours.served, cold))["number"] == 0.01
        await load.more()
    assert len({result["container"] for result in load.results}) == 1
    assert ready.status == 503 or "nomad" in ready.text.lower()


async def test_without_consul_functions_are_called_and_started(ours: Ours) -> None:
    async with Load(ours.served, "days:where") as load:
        await load.more()
        ours.stack.kill("consul")
        assert (await ours.served.call("days:rest", 0.01))["status"] == "success"
        await load.more()
        await asyncio.to_thread(ours.stack.start, "consul")
        await load.more()
    assert len({result["container"] for result in load.results}) == 1


async def test_what_runs_on_a_node_outlives_its_agent(ours: Ours) -> None:
    first = (await ours.served.call("days:where"))["result"]
    call_id = await spawn(ours.served, "days:rest", 8)
    await runs(ours.served, call_id)
    for node in ("node-1", "node-2"):
        ours.stack.kill(node)
    async with Load(ours.served, "days:where") as load:
        await load.more(20)
        for node in ("node-1", "node-2"):
            await asyncio.to_thread(ours.stack.start, node)
        result = await result_of(ours.served, call_id)
        await load.more()
    assert result["number"] == 8
    assert {each["container"] for each in load.results} == {first["container"]}
    after = (await ours.served.call("days:rest", 0.01))["result"]
    assert after["container"] == result["container"]


async def test_a_node_that_is_drained_finishes_what_runs_and_the_rest_moves(ours: Ours) -> None:
    call_id = await spawn(ours.served, "days:rest", 6)
    await runs(ours.served, call_id)
    warm = (await ours.served.call("days:where"))["result"]
    nodes = {node["Name"]: node["ID"] for node in ours.stack.nomad("GET", "/v1/nodes")}
    drained = node_of(ours.stack, warm["allocation"])
    async with Load(ours.served, "days:where") as load:
        await load.more()
        spec = {"DrainSpec": {"Deadline": 300_000_000_000, "IgnoreSystemJobs": False}, "MarkEligible": False}
        ours.stack.nomad("PUT", f"/v1/node/{nodes[drained]}/drain", spec)
        async with asyncio.timeout(120):
            while node_of(ours.stack, (await ours.served.call("days:where"))["result"]["allocation"]) == drained:
                await asyncio.sleep(0.1)
        await load.more()
    result = await result_of(ours.served, call_id)
    assert result["number"] == 6
    call = (await ours.served.ask("GET", f"/v1/function-calls/{call_id}")).json
    assert call.get("attempts", 1) == 1


async def test_a_server_that_was_killed_finds_its_containers_again(ours: Ours) -> None:
    warm = (await ours.served.call("days:where"))["result"]
    call_id = await spawn(ours.served, "days:rest", 8)
    await runs(ours.served, call_id)
    waiting = await spawn(ours.served, "days:rest", 0.5)
    await ours.served.kill()
    await ours.served.start()
    assert (await ours.served.call("days:where"))["result"]["container"] == warm["container"]
    assert (await result_of(ours.served, call_id))["number"] == 8
    assert (await result_of(ours.served, waiting))["number"] == 0.5
    children = [job for job in ours.stack.nomad("GET", "/v1/jobs?prefix=yurt-") if job["ParentID"]]
    assert len([job for job in children if job["Status"] != "dead"]) <= 3


async def test_two_servers_on_one_cluster_touch_only_their_own(ours: Ours, tmp_path: Path) -> None:
    before = (await ours.served.call("days:where"))["result"]
    other = on(ours.stack, tmp_path / "other")
    other.place.mkdir()
    try:
        await other.start()
        await other.deploy("days", SOURCE, "where")
        theirs = (await other.call("days:where"))["result"]
        assert theirs["container"] != before["container"]
        await other.ask("DELETE", "/v1/apps/days")
    finally:
        await other.close()
    assert (await ours.served.call("days:where"))["result"]["container"] == before["container"]
