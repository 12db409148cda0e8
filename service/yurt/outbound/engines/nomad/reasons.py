"""Why Nomad has no place for a container: from the metrics of an evaluation or a plan, pure."""

from collections.abc import Mapping
from typing import Any

from yurt.domain import gpu
from yurt.domain.capacity import Capacity, Shortage, choose
from yurt.domain.functions import LiveFunction
from yurt.ports import EngineRefused

_DEVICES = "devices:"
_NO_DEVICES = "missing devices"
_CONSUL = "${attr.consul."
"""Nomad itself asks this of nodes that services are to be registered on."""


def why_not(metrics: Mapping[str, Any], function: LiveFunction, capacity: Capacity) -> EngineRefused:
    """What stands in the way of a container, in words for people.

    Args:
        metrics: of its group, as Nomad's scheduler gives them where it failed.
        function: whose container it is.
        capacity: the GPUs of the cluster, as far as they are known.
    """
    exhausted: Mapping[str, int] = metrics.get("DimensionExhausted") or {}
    filtered: Mapping[str, int] = metrics.get("ConstraintFiltered") or {}
    if function.gpu and any(reason.startswith(_DEVICES) for reason in exhausted):
        return _busy_gpus(function, capacity)
    if function.gpu and _NO_DEVICES in filtered:
        return _absent_gpus(function, capacity)
    if exhausted:
        return EngineRefused("no_capacity", _full(function, exhausted))
    if filtered:
        lacking = sorted((_thing(reason), count) for reason, count in filtered.items())
        found = "; ".join(f"{count} lack {reason}" for reason, count in lacking)
        return EngineRefused("no_capacity", f"No node can run {function.address}: {found}.")
    return EngineRefused("no_capacity", f"No node may run {function.address}: {_scope(metrics)}.")


def is_for_ever(metrics: Mapping[str, Any]) -> bool:
    """Whether no node could ever take it, however idle: for another reason than its GPUs."""
    filtered: Mapping[str, int] = metrics.get("ConstraintFiltered") or {}
    return not (metrics.get("DimensionExhausted") or {}) and _NO_DEVICES not in filtered


def lacks_consul(metrics: Mapping[str, Any]) -> bool:
    """Whether it could be placed, were there a Consul agent that the agents of Nomad may read."""
    return is_for_ever(metrics) and any(_CONSUL in reason for reason in metrics.get("ConstraintFiltered") or {})


def _thing(reason: str) -> str:
    return "a Consul agent that Nomad may read" if _CONSUL in reason else reason.removeprefix("missing ")


def _busy_gpus(function: LiveFunction, capacity: Capacity) -> EngineRefused:
    found = choose(function.gpu, capacity)
    if isinstance(found, Shortage) and found.code == "no_capacity":
        return EngineRefused(found.code, found.message, found.details)
    name, count = gpu.split(function.gpu[0])
    message = f"No node of this cluster has {' or '.join(function.gpu)} free now."
    return EngineRefused("no_capacity", message, {"gpu": f"{name}:{count}"})


def _absent_gpus(function: LiveFunction, capacity: Capacity) -> EngineRefused:
    found = choose(function.gpu, capacity)
    if isinstance(found, Shortage) and found.code == "no_such_gpu":
        return EngineRefused(found.code, found.message, found.details)
    name, count = gpu.split(function.gpu[0])
    has = ", ".join(f"{stock.total} {stock.type}" for stock in capacity.gpus)
    message = f"No node of this cluster has {' or '.join(function.gpu)} together. In all it has {has or 'none'}."
    return EngineRefused("no_such_gpu", message, {"gpu": f"{name}:{count}"})


def _full(function: LiveFunction, exhausted: Mapping[str, int]) -> str:
    asked = f"{function.memory_mib} MiB of memory and {function.cpu:g} cores"
    found = ", ".join(f"{reason} on {count}" for reason, count in sorted(exhausted.items()))
    return f"No node has room for a container of {function.address}, which asks for {asked}. Used up: {found}."


def _scope(metrics: Mapping[str, Any]) -> str:
    available = metrics.get("NodesAvailable") or {}
    if not metrics.get("NodesInPool", 1):
        return "the node pool of this server's settings has no node"
    if not any(available.values()):
        return "none is ready in the datacenters and the node pool of this server's settings"
    return "Nomad does not say why"
