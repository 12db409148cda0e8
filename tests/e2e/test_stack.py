"""The cluster that tests run on, itself."""

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from scripts.stack.configs import MINIMAL_POLICY
from scripts.stack.gpus import parse_gpus
from scripts.stack.http import Refused, call
from scripts.stack.leftovers import CGROUPS
from scripts.stack.stack import Failed, Stack
from tests.cluster import CACHE, a_stack

TASK_STARTS_S = 60


def sleeper(name: str, model: str) -> dict[str, Any]:
    """A job that sleeps with one GPU."""
    constraint = {"LTarget": "${device.model}", "Operand": "=", "RTarget": model}
    task = {
        "Name": "main",
        "Driver": "raw_exec",
        "Config": {"command": "sleep", "args": ["600"]},
        "Resources": {
            "CPU": 10,
            "MemoryMB": 16,
            "Devices": [{"Name": "nvidia/gpu", "Count": 1, "Constraints": [constraint]}],
        },
    }
    return {"ID": name, "Name": name, "Type": "batch", "TaskGroups": [{"Name": "main", "Count": 1, "Tasks": [task]}]}


def run(stack: Stack, name: str, model: str) -> dict[str, Any]:
    """Run a sleeper; its allocation once it runs."""
    stack.nomad("POST", "/v1/jobs", {"Job": sleeper(name, model)})
    deadline = time.monotonic() + TASK_STARTS_S
    while time.monotonic() < deadline:
        for allocation in stack.nomad("GET", f"/v1/job/{name}/allocations"):
            if allocation["ClientStatus"] == "running":
                return dict(allocation)
        time.sleep(0.05)
    pytest.fail(f"{name} does not run: {stack.nomad('GET', f'/v1/job/{name}/evaluations')}")


@pytest.fixture
def purged(stack: Stack) -> Iterator[list[str]]:
    """Names of jobs that are gone at the end."""
    names: list[str] = []
    yield names
    for name in names:
        stack.nomad("DELETE", f"/v1/job/{name}?purge=true")


def test_gpus_are_where_they_were_said_to_be(stack: Stack, purged: list[str]) -> None:
    for name, model, node in [("on-t4", "Tesla T4", "node-1"), ("on-l4", "NVIDIA L4", "node-2")]:
        purged.append(name)
        assert run(stack, name, model)["NodeName"] == node


def test_the_token_may_do_what_yurt_needs_and_no_more(stack: Stack) -> None:
    address, token = stack.plan.nomad_address, stack.token()
    assert call("GET", f"{address}/v1/jobs", token) is not None
    assert len(call("GET", f"{address}/v1/nodes", token)) == 2
    for path in ("/v1/agent/self", "/v1/acl/tokens", "/v1/operator/scheduler/configuration"):
        with pytest.raises(Refused, match="403"):
            call("GET", f"{address}{path}", token)
    for path in ("/v1/jobs", "/v1/nodes"):
        with pytest.raises(Refused, match="403"):
            call("GET", f"{address}{path}")
    assert "scale-job" not in MINIMAL_POLICY


def test_the_token_of_consul_may_find_functions_and_no_more(stack: Stack) -> None:
    address, token = stack.plan.consul_address, stack.consul_tokens().yurt
    assert [node["Node"] for node in call("GET", f"{address}/v1/catalog/nodes", token)] == ["consul", "node-2"]
    assert all(name.startswith("yurt-") for name in call("GET", f"{address}/v1/catalog/services", token))
    assert "nomad" in stack.consul("GET", "/v1/catalog/services")
    for path in ("agent/self", "acl/tokens"):
        with pytest.raises(Refused, match="403"):
            call("GET", f"{address}/v1/{path}", token)
    with pytest.raises(Refused, match="403"):
        call("PUT", f"{address}/v1/agent/service/register", token, {"Name": "yurt-site"})
    assert call("GET", f"{address}/v1/catalog/nodes") == []


def test_tokens_are_for_their_owner_alone(stack: Stack) -> None:
    secrets = {path: path.read_text() for path in stack.home.glob("*.token")}
    assert len(secrets) == 6
    commands = [" ".join(process.info["cmdline"] or []) for process in psutil.process_iter(["cmdline"])]
    for path in stack.home.iterdir():
        held = path.is_file() and any(secret in path.read_text() for secret in secrets.values())
        assert not held or path.stat().st_mode & 0o077 == 0, path
    assert not [command for command in commands for secret in secrets.values() if secret in command]


def test_a_stack_in_another_folder_with_other_ports_is_its_own_and_leaves_nothing(stack: Stack) -> None:
    with a_stack("t4:1") as other:
        allocation = run(other, "asleep", "Tesla T4")
        home, ports = other.home, other.plan.ports()
        assert not stack.nomad("GET", "/v1/jobs")
        assert list(CGROUPS.glob(f"**/{allocation['ID']}*"))
        assert str(home) in Path("/proc/mounts").read_text()
    assert not home.exists()
    assert not list(CGROUPS.glob(f"**/{allocation['ID']}*"))
    assert str(home) not in Path("/proc/mounts").read_text()
    listening = {
        found.laddr.port for found in psutil.net_connections("tcp") if found.laddr and found.status == "LISTEN"
    }
    assert not set(ports) & listening
    assert stack.nomad("GET", "/v1/status/leader")


def test_agents_that_were_killed_start_again_and_their_tasks_go_on() -> None:
    with a_stack("h100:1") as own:
        before = run(own, "asleep", "NVIDIA H100 80GB HBM3")
        for role in own.roles():
            own.kill(role)
        assert not own.running()
        again = Stack.found(own.home)
        assert again is not None
        again.up(CACHE)
        after = run(again, "asleep", "NVIDIA H100 80GB HBM3")
        assert after["ID"] == before["ID"]
        assert after["TaskStates"]["main"]["Restarts"] == 0
        assert set(again.running()) == set(own.roles())
        pids = again.running()
        again.up(CACHE)
        assert again.running() == pids


def test_a_port_that_is_taken_is_named(stack: Stack) -> None:
    plan = type(stack.plan)(home=stack.home / "other", first_port=stack.plan.first_port, nodes=(parse_gpus("none"),))
    with pytest.raises(Failed, match=f"in use: {stack.plan.nomad_http}, "):
        Stack(plan).up(CACHE)


def test_a_folder_with_other_things_is_left_alone(stack: Stack, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("precious")
    plan = type(stack.plan)(home=tmp_path, first_port=stack.plan.first_port, nodes=(parse_gpus("none"),))
    with pytest.raises(Failed, match="holds something else"):
        Stack(plan).up(CACHE)
    assert (tmp_path / "thesis.txt").read_text() == "precious"


def test_the_command_prints_what_the_shell_evaluates(stack: Stack) -> None:
    script = f'eval "$(scripts/hashistack env --dir {stack.home})" && echo "$NOMAD_ADDR $NOMAD_TOKEN"'
    ran = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert ran.stdout.split() == [stack.plan.nomad_address, stack.token()]


def test_a_folder_that_tasks_could_not_reach_is_refused(stack: Stack, tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    plan = type(stack.plan)(home=closed / "stack", first_port=stack.plan.first_port, nodes=(parse_gpus("none"),))
    with pytest.raises(Failed, match=f"only its owner can enter {closed}"):
        Stack(plan).up(CACHE)
    assert not (closed / "stack").exists()
