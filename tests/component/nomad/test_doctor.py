"""What the doctor says of a cluster."""

from collections.abc import Iterable

from tests.component.nomad.conftest import TOKEN, Rig
from tests.fakes.nomad.server import RIGHTS
from tests.unit.nomad.cases import settings
from yurt.outbound.engines.nomad import Doctor
from yurt.ports import Finding


async def examine(rig: Rig, **changes: object) -> dict[str, Finding]:
    """All findings, by what they are of."""
    asked = {"address": rig.double.address, "token": TOKEN, "driver": "raw_exec", **changes}
    return {finding.what: finding async for finding in Doctor(settings(**asked), "/healthz").examine()}


def wrong(findings: dict[str, Finding]) -> Iterable[str]:
    """What is not as it should be."""
    return [name for name, finding in findings.items() if finding.todo]


def let_trials_end(rig: Rig, output: str) -> None:
    """Let every task end as soon as it starts."""
    cluster = rig.double.cluster

    def end(allocation: dict[str, object]) -> None:
        cluster.output[str(allocation["ID"]), "stdout"] = output
        cluster.finish(str(allocation["ID"]), 0)

    cluster.on_start = end


async def test_a_cluster_that_is_as_it_should_be(rig: Rig) -> None:
    let_trials_end(rig, "reached")
    findings = await examine(rig)
    assert wrong(findings) == []
    assert "2 H100 (2 free)" in findings["GPUs"].said
    assert list(rig.double.cluster.jobs) == []


async def test_the_missing_right_is_named(rig: Rig) -> None:
    let_trials_end(rig, "reached")
    rig.double.tokens = {TOKEN: RIGHTS - {"dispatch-job"}}
    findings = await examine(rig)
    assert wrong(findings) == ["Right dispatch-job"]
    assert 'capabilities = ["dispatch-job"' in findings["Right dispatch-job"].todo


async def test_a_server_that_tasks_do_not_reach_is_told(rig: Rig) -> None:
    let_trials_end(rig, "")
    findings = await examine(rig)
    assert wrong(findings) == ["Trial"]
    assert "--public-url" in findings["Trial"].todo


async def test_a_node_pool_or_a_driver_that_nobody_has(rig: Rig) -> None:
    let_trials_end(rig, "reached")
    assert "Nodes" in wrong(await examine(rig, node_pool="gpus"))
    for node in rig.double.cluster.nodes.values():
        node.drivers = ("docker",)
    assert "--nomad-driver" in (await examine(rig))["Nodes"].todo


async def test_without_a_token_nothing_else_is_looked_at(rig: Rig) -> None:
    assert list(await examine(rig, token="")) == ["Nomad", "Token"]
    assert "--nomad-token-file" in (await examine(rig, token="nobodys"))["Token"].todo


async def test_nodes_without_consul_are_told_to_who_finds_servers_through_it(rig: Rig) -> None:
    let_trials_end(rig, "reached")
    assert "Nodes with Consul" not in await examine(rig)
    assert wrong(await examine(rig, finds_servers=True)) == []
    nodes = list(rig.double.cluster.nodes.values())
    nodes[0].consul = False
    assert len(nodes) == 1 or wrong(await examine(rig, finds_servers=True)) == []
    for node in nodes:
        node.consul = False
    findings = await examine(rig, finds_servers=True)
    assert wrong(findings) == ["Nodes with Consul"]
    assert 'agent_prefix "" { policy = "read" }' in findings["Nodes with Consul"].todo
    assert list(rig.double.cluster.jobs) == []
