"""The GPUs of a cluster, from its nodes and its allocations: pure."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from yurt.domain import gpu
from yurt.domain.capacity import Capacity, GpuStock

PLACE = "this cluster"
_DONE = frozenset({"complete", "failed", "lost"})


def capacity_of(
    nodes: Iterable[Mapping[str, Any]],
    allocations: Iterable[Mapping[str, Any]],
    containers: Mapping[str, str],
    further: Mapping[str, str],
    *,
    node_pool: str,
) -> Capacity:
    """What there is, what is free and which of our containers hold the rest.

    Args:
        nodes: of the cluster, with their resources; those of another pool, and those that take nothing new, are left
            out.
        allocations: with what each was given.
        containers: our containers by the id of their job.
        further: the operator's own types by product name.
        node_pool: that of our containers.
    """
    usable = [node for node in nodes if _usable(node, node_pool)]
    models = {
        instance["ID"]: str(device["Name"])
        for node in usable
        for device in _gpus(node)
        for instance in device.get("Instances") or ()
        if instance.get("Healthy")
    }
    held: dict[str, Counter[str]] = {}
    used: Counter[str] = Counter()
    for allocation in allocations:
        if allocation.get("ClientStatus") in _DONE:
            continue
        holder = containers.get(str(allocation.get("JobID")))
        for device in _given(allocation):
            name = gpu.type_of(models[device], further) if device in models else None
            if name is not None:
                used[name] += 1
                if holder is not None:
                    held.setdefault(name, Counter())[holder] += 1
    types = Counter(name for model in models.values() if (name := gpu.type_of(model, further)) is not None)
    unmapped = Counter(model for model in models.values() if gpu.type_of(model, further) is None)
    stocks = [
        GpuStock(name, types[name], max(0, types[name] - used[name]), dict(held.get(name, {})))
        for name in gpu.TYPES
        if types[name]
    ]
    return Capacity(PLACE, tuple(stocks), dict(unmapped))


def _usable(node: Mapping[str, Any], node_pool: str) -> bool:
    ready = node.get("Status") == "ready" and node.get("SchedulingEligibility") == "eligible"
    return ready and (node_pool == "all" or node.get("NodePool", node_pool) == node_pool)


def _gpus(node: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    devices = (node.get("NodeResources") or {}).get("Devices") or ()
    return [device for device in devices if (device.get("Vendor"), device.get("Type")) == ("nvidia", "gpu")]


def _given(allocation: Mapping[str, Any]) -> list[str]:
    tasks = (allocation.get("AllocatedResources") or {}).get("Tasks") or {}
    return [
        device
        for task in tasks.values()
        for group in (task or {}).get("Devices") or ()
        for device in group.get("DeviceIDs") or ()
    ]
