import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.stack import configs
from scripts.stack.access import ConsulTokens
from scripts.stack.gpus import parse_gpus
from scripts.stack.plan import PORTS, Plan

HOME = Path("/somewhere")
TOKENS = ConsulTokens("all", "agents", "nomad", "yurt")


def plan(first_port: int = 5000, nodes: int = 2) -> Plan:
    return Plan(home=HOME, first_port=first_port, nodes=(parse_gpus("h100:1"),) * nodes)


@given(first=st.integers(1024, 19900), other=st.integers(1024, 19900), nodes=st.integers(1, 4))
def test_two_stacks_share_no_port(first: int, other: int, nodes: int) -> None:
    mine, theirs = plan(first, nodes), plan(other, nodes)
    assert len(set(mine.ports())) == len(mine.ports())
    if abs(first - other) >= PORTS:
        assert not set(mine.ports()) & set(theirs.ports())
    if 1 <= abs(first // PORTS - other // PORTS) < 30:
        ranges = {node.task_ports for stack in (mine, theirs) for node in stack.all_nodes()}
        assert len(ranges) == 2 * nodes


@pytest.mark.parametrize("port", [80, 19990, 25000, 65530])
def test_ports_that_are_others_are_refused(port: int) -> None:
    with pytest.raises(ValueError, match="out of range"):
        plan(port)


@pytest.mark.parametrize("nodes", [0, 5])
def test_too_few_and_too_many_nodes_are_refused(nodes: int) -> None:
    with pytest.raises(ValueError, match="1 to 4"):
        plan(nodes=nodes)


def test_every_agent_listens_on_the_loopback_alone() -> None:
    stack = plan()
    node = stack.node(1)
    for config in (configs.nomad_server(stack, TOKENS), configs.nomad_client(stack, node, TOKENS)):
        assert 'bind_addr = "127.0.0.1"' in config
        assert "0.0.0.0" not in config
    for config in (configs.consul_server(stack, TOKENS), configs.consul_client(stack, node, TOKENS)):
        agent = json.loads(config)
        assert (agent["bind_addr"], agent["client_addr"]) == ("127.0.0.1", "127.0.0.1")


def test_a_node_registers_services_with_an_agent_that_no_other_node_uses() -> None:
    addresses = [node.consul_http for node in plan(nodes=4).all_nodes()]
    assert len(set(addresses)) == 4


def test_every_agent_of_consul_refuses_who_shows_no_token() -> None:
    stack = plan()
    for config in (configs.consul_server(stack, TOKENS), configs.consul_client(stack, stack.node(1), TOKENS)):
        acl = json.loads(config)["acl"]
        assert (acl["enabled"], acl["default_policy"]) == (True, "deny")


def test_an_agent_is_told_its_own_tokens_alone() -> None:
    stack = plan()
    node = stack.node(1)
    assert '"all"' in configs.consul_server(stack, TOKENS)
    for config in (
        configs.nomad_server(stack, TOKENS),
        configs.nomad_client(stack, node, TOKENS),
        configs.consul_client(stack, node, TOKENS),
    ):
        assert '"all"' not in config
        assert '"yurt"' not in config
