"""Functions that answer HTTP on a cluster, found through Consul."""

import asyncio
import json
import os
import sys
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from scripts.stack.access import NOMAD_POLICY, YURT_POLICY
from scripts.stack.stack import Stack
from tests.acceptance.served import Served
from tests.cluster import a_stack
from tests.e2e.yurts import PAUSE_S, on, purge, put_site, serving_on
from tests.waiting import until

REQUEST_S = 60


async def visit(served: Served) -> str:
    """One request; the container that answered it."""
    async with asyncio.timeout(REQUEST_S):
        answer = await served.ask("GET", "/web/site--pages/")
    assert answer.status == 200, f"{answer.status} {answer.text}"
    return answer.text


@pytest.fixture
async def served(stack: Stack, tmp_path: Path) -> AsyncIterator[Served]:
    """A server on the shared cluster."""
    async with serving_on(stack, tmp_path) as found:
        yield found


async def test_a_request_finds_a_container_on_the_cluster_from_zero_and_again(served: Served) -> None:
    await put_site(served, "1")
    first = await visit(served)
    assert first.startswith("co-")
    assert await visit(served) == first


async def test_a_redeploy_under_load_loses_no_request(served: Served) -> None:
    await put_site(served, "1", min_containers=1)
    seen = [await visit(served)]
    stop = asyncio.Event()

    async def visits() -> None:
        while not stop.is_set():
            seen.append(await visit(served))
            await asyncio.sleep(PAUSE_S)

    load = [asyncio.create_task(visits()) for _ in range(3)]
    try:
        await put_site(served, "2", min_containers=1)
        async with asyncio.timeout(REQUEST_S):
            while seen[0] in seen[-10:] and not any(task.done() for task in load):
                await asyncio.sleep(PAUSE_S)
        await asyncio.sleep(3)  # for as long as the old container takes to go
    finally:
        stop.set()
        await asyncio.gather(*load)
    assert seen[0] not in seen[-10:]


async def test_without_consul_the_addresses_that_are_known_serve_on(tmp_path: Path) -> None:
    with a_stack("none") as own:
        async with serving_on(own, tmp_path) as served:
            await put_site(served, "1")
            first = await visit(served)
            own.kill("consul")
            for _ in range(20):
                assert await visit(served) == first
            await until(lambda: "consul_away" in served.output, "the word that Consul is away")
            ready = await served.ask("GET", "/readyz")
            assert ready.status == 200
            assert any("Consul has not answered since" in note for note in ready.json["notes"])
            await asyncio.to_thread(own.start, "consul")
            assert await visit(served) == first


async def doctor(served: Served) -> dict[str, dict[str, str]]:
    """What `yurt doctor` finds with the settings of a server, by what it is of."""
    words = [sys.executable, "-m", "yurt", "doctor", "--listen", f"127.0.0.1:{served.port}", *served.flags, "--json"]
    ran = await asyncio.create_subprocess_exec(
        *words, stdout=asyncio.subprocess.PIPE, env={**os.environ, **served.environment}
    )
    async with asyncio.timeout(REQUEST_S):
        said, _ = await ran.communicate()
    return {finding["what"]: finding for finding in json.loads(said)}


async def test_a_token_that_lacks_rights_is_told_and_works_once_it_has_them(stack: Stack, tmp_path: Path) -> None:
    file = tmp_path / "consul.token"
    served = on(stack, tmp_path, "--consul-token-file", str(file))
    policy = stack.consul(
        "PUT", "/v1/acl/policy", {"Name": f"test-{uuid.uuid4()}", "Rules": 'node_prefix "" { policy = "read" }'}
    )
    token = stack.consul("PUT", "/v1/acl/token", {"Policies": [{"ID": policy["ID"]}]})
    file.write_text(token["SecretID"])
    lacking = 'Add to its policy: service_prefix "yurt-" { policy = "read" }'
    try:
        await served.start()
        found = await doctor(served)
        assert found["Nodes with Consul"]["todo"] == found["Consul"]["todo"] == ""
        assert found["Consul token"]["todo"] == lacking
        await until(lambda: "consul_token_insufficient" in served.output, "the word that a right is missing")
        ready = await served.ask("GET", "/readyz")
        assert ready.status == 200
        assert any(lacking in note for note in ready.json["notes"])

        await put_site(served, "1")
        visitor = asyncio.create_task(visit(served))
        stack.consul("PUT", f"/v1/acl/policy/{policy['ID']}", {**policy, "Rules": YURT_POLICY})
        assert (await visitor).startswith("co-")
        assert (await doctor(served))["Consul token"]["todo"] == ""
        assert not any("lacks rights" in note for note in (await served.ask("GET", "/readyz")).json["notes"])
    finally:
        await served.close()
        purge(stack)
        stack.consul("DELETE", f"/v1/acl/token/{token['AccessorID']}")
        stack.consul("DELETE", f"/v1/acl/policy/{policy['ID']}")


async def test_a_nomad_that_may_not_register_services_is_told(tmp_path: Path) -> None:
    with a_stack("none") as own:
        policy = own.consul("GET", "/v1/acl/policy/name/nomad")
        change = f"/v1/acl/policy/{policy['ID']}"
        own.consul("PUT", change, {**policy, "Rules": 'agent_prefix "" { policy = "read" }'})
        async with serving_on(own, tmp_path) as served:
            await put_site(served, "1")
            visitor = asyncio.create_task(visit(served))
            async with asyncio.timeout(REQUEST_S):
                while '"event": "web_server_not_found"' not in served.output:
                    await asyncio.sleep(PAUSE_S)
            notes = (await served.ask("GET", "/readyz")).json["notes"]
            assert any("Consul does not show container co-" in note and "consul.sync" in note for note in notes)
            own.consul("PUT", change, {**policy, "Rules": NOMAD_POLICY})
            assert (await visitor).startswith("co-")
