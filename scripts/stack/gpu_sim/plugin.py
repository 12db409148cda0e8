"""The device plugin `yurt_gpu_sim`: any number of GPUs of any model, as Nomad's plugin for NVIDIA reports real ones.

A Nomad client starts it (`plugin "yurt_gpu_sim"`), with the node's name and GPUs in its configuration:

    config { node = "node-1", gpus = ["NVIDIA H100 80GB HBM3/81559:2"] }

A file `sick` in the directory `watched`, with one device id a line, makes those GPUs unhealthy within a second.
"""

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import msgspec

from scripts.stack.gpu_sim import wire
from scripts.stack.gpus import PLUGIN as NAME
from scripts.stack.gpus import Gpus, parse_gpus

COOKIE = "e4327c2e01eabfd75a8a67adb114fb34a757d57eee7728d857a8cec6e91a7255"
"""Nomad sets it in what it starts, so that a plugin can tell a person to let it be."""

API = "v0.1.0"
DEVICE = 3
SERVING = 1
LOOK_S = 0.5
DRIVER = "580.95.05"


def group(gpus: Gpus, node: str, sick: set[str]) -> Any:
    """What is reported of the GPUs of one model."""
    return wire.DeviceGroup(
        vendor="nvidia",
        device_type="gpu",
        device_name=gpus.model,
        devices=[
            wire.Device(id=name, healthy=name not in sick, health_description="said to be sick" if name in sick else "")
            for name in gpus.ids(node)
        ],
        attributes={
            "memory": wire.Attribute(int_val=gpus.memory_mib, unit="MiB"),
            "driver_version": wire.Attribute(string_val=DRIVER),
        },
    )


class Plugin:
    """The calls that Nomad makes."""

    def __init__(self) -> None:
        self.node = ""
        self.gpus: tuple[Gpus, ...] = ()
        self.watched: Path | None = None

    def plugin_info(self, _request: Any, _context: grpc.ServicerContext) -> Any:
        """What this is."""
        return wire.PluginInfo(type=DEVICE, plugin_api_versions=[API], plugin_version=API, name=NAME)

    def config_schema(self, _request: Any, _context: grpc.ServicerContext) -> Any:
        """What may stand in the block `config`."""
        kinds = {"node": "string", "gpus": "list(string)", "watched": "string"}
        fields = {name: wire.Spec(attr=wire.Attr(name=name, type=kind)) for name, kind in kinds.items()}
        return wire.ConfigSchema(spec=wire.Spec(object=wire.Object(attributes=fields)))

    def set_config(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Take what stands there."""
        config = msgspec.msgpack.decode(request.msgpack_config) if request.msgpack_config else {}
        try:
            self.gpus = tuple(gpus for text in config.get("gpus") or () for gpus in parse_gpus(text))
        except ValueError as error:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"gpus: {error}")
        self.node = config.get("node") or ""
        self.watched = Path(config["watched"]) if config.get("watched") else None
        return wire.Empty()

    def fingerprint(self, _request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        """All GPUs at once and after each change; the end of the stream would mean that there are none."""
        sent = None
        while context.is_active():
            found = wire.Fingerprint(device_group=[group(gpus, self.node, self._sick()) for gpus in self.gpus])
            if found != sent:
                yield found
                sent = found
            time.sleep(LOOK_S)

    def reserve(self, request: Any, context: grpc.ServicerContext) -> Any:
        """What a task gets that was given these GPUs."""
        known = {name for gpus in self.gpus for name in gpus.ids(self.node)}
        if unknown := sorted(set(request.device_ids) - known):
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"no such GPUs: {', '.join(unknown)}")
        envs = {"NVIDIA_VISIBLE_DEVICES": ",".join(request.device_ids)}
        return wire.ReserveResponse(container_res=wire.Reservation(envs=envs))

    def stats(self, _request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        """Nothing, in a stream that stays open: there is nothing to measure."""
        while context.is_active():
            time.sleep(LOOK_S)
        yield from ()

    def shutdown(self, _request: Any, _context: grpc.ServicerContext) -> Any:
        """End soon. Nomad starts a plugin three times as it starts, and waits 2 s for one that does not answer this."""
        threading.Timer(0, os._exit, (0,)).start()
        return wire.Empty()

    def _sick(self) -> set[str]:
        try:
            return set((self.watched / "sick").read_text().split()) if self.watched else set()
        except FileNotFoundError:
            return set()


def unary(
    call: Callable[[Any, grpc.ServicerContext], Any], request: Any = wire.Empty
) -> "grpc.RpcMethodHandler[Any, Any]":
    """A call with one answer."""
    return grpc.unary_unary_rpc_method_handler(call, request.FromString, lambda answer: answer.SerializeToString())


def stream(call: Callable[[Any, grpc.ServicerContext], Iterator[Any]]) -> "grpc.RpcMethodHandler[Any, Any]":
    """A call with many answers."""
    return grpc.unary_stream_rpc_method_handler(call, wire.Empty.FromString, lambda answer: answer.SerializeToString())


def services(plugin: Plugin) -> "dict[str, dict[str, grpc.RpcMethodHandler[Any, Any]]]":
    """The services that Nomad expects of a device plugin."""
    return {
        "grpc.health.v1.Health": {"Check": unary(lambda _request, _context: wire.Health(status=SERVING))},
        "plugin.GRPCController": {"Shutdown": unary(plugin.shutdown)},
        "hashicorp.nomad.plugins.base.proto.BasePlugin": {
            "PluginInfo": unary(plugin.plugin_info),
            "ConfigSchema": unary(plugin.config_schema),
            "SetConfig": unary(plugin.set_config, wire.SetConfig),
        },
        "hashicorp.nomad.plugins.device.DevicePlugin": {
            "Fingerprint": stream(plugin.fingerprint),
            "Reserve": unary(plugin.reserve, wire.ReserveRequest),
            "Stats": stream(plugin.stats),
        },
    }


def start(plugin: Plugin) -> tuple[grpc.Server, int]:
    """Serve on a free port; the server and the port."""
    server = grpc.server(ThreadPoolExecutor(max_workers=8))  # two streams hold a thread each
    for name, handlers in services(plugin).items():
        server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(name, handlers)])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return server, port


def main() -> None:
    """Serve until Nomad says to stop."""
    if os.environ.get("NOMAD_PLUGIN_MAGIC_COOKIE") != COOKIE:
        sys.exit(f"{NAME} is a device plugin of Nomad: a Nomad client starts it")
    server, port = start(Plugin())
    print(f"1|2|tcp|127.0.0.1:{port}|grpc", flush=True)
    server.wait_for_termination()


if __name__ == "__main__":
    main()
