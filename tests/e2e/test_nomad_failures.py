"""A Nomad cluster that fails in parts, beneath a server that goes on."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from scripts.stack.stack import SERVER, Stack
from tests.acceptance.served import Served
from tests.cluster import a_stack
from tests.e2e.conftest import WORK, Cluster
from tests.e2e.test_nomad_calls import LONG_S, reason, running, spawned, state
from tests.waiting import until


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """A cluster for one test, which may break it."""
    with a_stack("h100:1", "t4:1") as stack:
        yield Cluster(stack)


def node_of(stack: Stack, container: dict[str, object]) -> str:
    """The name of the agent that runs a container."""
    return str(container["NodeName"])


async def test_without_nomads_server_warm_calls_go_on_and_others_wait(
    serve: Callable[..., Served], cluster: Cluster
) -> None:
    server = await serve().start()
    await server.deploy("warm", WORK, "pid", memory=64, scaledown_window=600)
    await server.deploy("cold", WORK, "pid", memory=64)
    first = await server.call("warm:pid")
    cluster.stack.kill(SERVER)
    began = time.monotonic()
    for _ in range(50):
        assert (await server.call("warm:pid"))["result"] == first["result"]
    assert time.monotonic() - began < LONG_S
    waiting = await spawned(server, "cold:pid")
    why = await reason(server, waiting, "engine_unreachable")
    assert "Nomad" in why["message"]
    assert (await server.ask("GET", "/readyz", headers={})).status == 503
    cluster.stack.start(SERVER)
    assert (await state(server, waiting, wait_s=60))["status"] == "success"
    assert (await server.call("warm:pid"))["result"] == first["result"]


async def test_containers_go_on_when_their_nodes_agent_is_killed(
    serve: Callable[..., Served], cluster: Cluster, tmp_path: Path
) -> None:
    server = await serve().start()
    await server.deploy("work", WORK, "hold", memory=64)
    call_id = await spawned(server, "work:hold", str(tmp_path / "gate"))
    await running(server, call_id)
    (container,) = cluster.containers(server)
    name = node_of(cluster.stack, container)
    cluster.stack.kill(name)
    cluster.stack.start(name)
    (tmp_path / "gate").touch()
    ended = await state(server, call_id, wait_s=30)
    assert (ended["status"], ended["attempts"]) == ("success", 1)
    assert [one["ID"] for one in cluster.containers(server)] == [container["ID"]]


async def test_a_node_that_is_drained_loses_its_containers_after_their_work(
    serve: Callable[..., Served], cluster: Cluster, tmp_path: Path
) -> None:
    server = await serve().start()
    await server.deploy("work", WORK, "hold", memory=64)
    call_id = await spawned(server, "work:hold", str(tmp_path / "gate"))
    await running(server, call_id)
    (container,) = cluster.containers(server)
    drain = {"DrainSpec": {"Deadline": 600_000_000_000, "IgnoreSystemJobs": True}}
    cluster.stack.nomad("POST", f"/v1/node/{container['NodeID']}/drain", drain)
    second = await spawned(server, "work:hold", str(tmp_path / "gate"))
    await running(server, second)
    (tmp_path / "gate").touch()
    for one in (call_id, second):
        ended = await state(server, one, wait_s=30)
        assert (ended["status"], ended["attempts"]) == ("success", 1)
    await until(
        lambda: all(one["NodeID"] != container["NodeID"] for one in cluster.containers(server)), "the empty node"
    )
