"""The simulated GPUs, asked as Nomad asks."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import msgspec
import pytest

from scripts.stack.gpu_sim import wire
from scripts.stack.gpu_sim.plugin import Plugin, start
from scripts.stack.gpus import parse_gpus

BASE = "/hashicorp.nomad.plugins.base.proto.BasePlugin"
DEVICE = "/hashicorp.nomad.plugins.device.DevicePlugin"


class Caller:
    """Calls a plugin."""

    def __init__(self, channel: grpc.Channel) -> None:
        self._channel = channel

    def ask(self, path: str, answer: Any, request: Any = None) -> Any:
        call: Any = self._channel.unary_unary(path, lambda message: message.SerializeToString(), answer.FromString)
        return call(request or wire.Empty(), timeout=10)

    def stream(self, path: str, answer: Any) -> Any:
        call: Any = self._channel.unary_stream(path, lambda message: message.SerializeToString(), answer.FromString)
        return call(wire.Empty(), timeout=10)

    def configure(self, **config: object) -> None:
        request = wire.SetConfig(msgpack_config=msgspec.msgpack.encode(config))
        self.ask(f"{BASE}/SetConfig", wire.Empty, request)


@pytest.fixture
def caller() -> Iterator[Caller]:
    server, port = start(Plugin())
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield Caller(channel)
    server.stop(grace=None).wait(10)


def test_it_says_that_it_is_a_device_plugin(caller: Caller) -> None:
    info = caller.ask(f"{BASE}/PluginInfo", wire.PluginInfo)
    assert (info.type, info.name, list(info.plugin_api_versions)) == (3, "yurt_gpu_sim", ["v0.1.0"])
    schema = caller.ask(f"{BASE}/ConfigSchema", wire.ConfigSchema)
    assert schema.spec.object.attributes["gpus"].attr.type == "list(string)"


def test_it_reports_the_gpus_of_its_configuration_at_once(caller: Caller) -> None:
    caller.configure(node="node-1", gpus=["h100:2", "NVIDIA L20/46068:1"])
    first = next(caller.stream(f"{DEVICE}/Fingerprint", wire.Fingerprint))
    groups = {group.device_name: group for group in first.device_group}
    assert {name: len(group.devices) for name, group in groups.items()} == {"NVIDIA H100 80GB HBM3": 2, "NVIDIA L20": 1}
    assert all(device.healthy for group in groups.values() for device in group.devices)
    memory = groups["NVIDIA L20"].attributes["memory"]
    assert (memory.int_val, memory.unit) == (46068, "MiB")


def test_a_gpu_that_is_said_to_be_sick_is_reported_so(caller: Caller, tmp_path: Path) -> None:
    caller.configure(node="node-1", gpus=["t4:2"], watched=str(tmp_path))
    reports = caller.stream(f"{DEVICE}/Fingerprint", wire.Fingerprint)
    next(reports)
    sick = parse_gpus("t4:2")[0].ids("node-1")[0]
    (tmp_path / "sick").write_text(sick)
    changed = next(reports)
    assert {device.id: device.healthy for device in changed.device_group[0].devices}[sick] is False
    assert sum(device.healthy for device in changed.device_group[0].devices) == 1
    reports.cancel()


def test_a_task_sees_the_gpus_that_it_was_given(caller: Caller) -> None:
    caller.configure(node="node-1", gpus=["t4:2"])
    ids = parse_gpus("t4:2")[0].ids("node-1")
    given = caller.ask(f"{DEVICE}/Reserve", wire.ReserveResponse, wire.ReserveRequest(device_ids=ids))
    assert dict(given.container_res.envs) == {"NVIDIA_VISIBLE_DEVICES": ",".join(ids)}


def test_gpus_that_it_does_not_have_are_refused(caller: Caller) -> None:
    with pytest.raises(grpc.RpcError, match="no such GPUs: GPU-0"):
        caller.ask(f"{DEVICE}/Reserve", wire.ReserveResponse, wire.ReserveRequest(device_ids=["GPU-0"]))


def test_a_configuration_that_is_wrong_is_refused(caller: Caller) -> None:
    with pytest.raises(grpc.RpcError, match="is not MODEL:COUNT"):
        caller.configure(gpus=["h100"])
