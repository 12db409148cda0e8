"""Where an allocation may go, and why it may not: what Nomad's scheduler says, in its words."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from tests.fakes.nomad.shapes import Json

MISSING_DEVICES = "missing devices"
MISSING_CONSUL = "${attr.consul.version} semver >= 1.8.0"
EXHAUSTED_DEVICES = "devices: no devices match request"


@dataclass
class Gpus:
    """GPUs of one model in one node."""

    model: str
    memory_mib: int
    ids: list[str]
    sick: set[str] = field(default_factory=set)

    def shape(self) -> Json:
        """As a node reports them."""
        return {
            "Vendor": "nvidia",
            "Type": "gpu",
            "Name": self.model,
            "Instances": [
                {"ID": name, "Healthy": name not in self.sick, "HealthDescription": "", "Locality": None}
                for name in self.ids
            ],
            "Attributes": {
                "memory": {"Bool": None, "Float": None, "Int": self.memory_mib, "String": None, "Unit": "MiB"}
            },
        }


@dataclass
class Node:
    """A node of the double."""

    id: str
    name: str
    gpus: list[Gpus] = field(default_factory=list)
    memory_mib: int = 16_000
    cpu_mhz: int = 8_000
    drivers: tuple[str, ...] = ("raw_exec", "docker")
    consul: bool = True
    pool: str = "default"
    status: str = "ready"
    eligible: bool = True
    drain: Json | None = None


@dataclass
class Refusal:
    """Why no node takes an allocation."""

    nodes: int
    filtered: dict[str, int] = field(default_factory=dict)
    exhausted: dict[str, int] = field(default_factory=dict)

    def shape(self, pool: str) -> Json:
        """As an evaluation tells it."""
        return {
            "NodesEvaluated": self.nodes,
            "NodesFiltered": sum(self.filtered.values()),
            "NodesInPool": self.nodes,
            "NodePool": pool,
            "NodesAvailable": {"dc1": self.nodes} if self.nodes else {},
            "ClassFiltered": None,
            "ConstraintFiltered": self.filtered or None,
            "NodesExhausted": sum(self.exhausted.values()),
            "ClassExhausted": None,
            "DimensionExhausted": self.exhausted or None,
            "CoalescedFailures": 0,
        }


def _matches(request: Json, gpus: Gpus) -> bool:
    if request["Name"] not in {"gpu", "nvidia/gpu", f"nvidia/gpu/{gpus.model}"}:
        return False
    return all(_holds(constraint, gpus) for constraint in request.get("Constraints") or [])


def _holds(constraint: Json, gpus: Gpus) -> bool:
    left, operand, right = (constraint.get(name, "") for name in ("LTarget", "Operand", "RTarget"))
    if left == "${device.model}":
        if operand == "regexp":
            return re.search(right, gpus.model) is not None
        return bool(gpus.model == right)
    if left == "${device.attr.memory}" and operand == ">=":
        amount = re.fullmatch(r"(\d+) ?(MiB|GiB)", right)
        return amount is not None and gpus.memory_mib >= int(amount[1]) * (1024 if amount[2] == "GiB" else 1)
    raise AssertionError(f"the double knows no such constraint of a device: {constraint}")


def _take(request: Json, node: Node, used: set[str]) -> tuple[list[Json], str]:
    """The devices for a request, or why there are none."""
    count = request.get("Count") or 1
    fitting = [gpus for gpus in node.gpus if _matches(request, gpus)]
    if not any(len([name for name in gpus.ids if name not in gpus.sick]) >= count for gpus in fitting):
        return [], MISSING_DEVICES
    for gpus in sorted(fitting, key=lambda gpus: -_liking(request, gpus)):
        free = [name for name in gpus.ids if name not in used and name not in gpus.sick]
        if len(free) >= count:
            given = {"Vendor": "nvidia", "Type": "gpu", "Name": gpus.model, "DeviceIDs": free[:count]}
            return [given], ""
    return [], EXHAUSTED_DEVICES


def _liking(request: Json, gpus: Gpus) -> float:
    affinities = request.get("Affinities") or []
    return float(sum(affinity["Weight"] for affinity in affinities if _holds(affinity, gpus)))


def _resources(allocation: Json, name: str, key: str) -> int:
    return sum(int(task[name][key]) for task in allocation["AllocatedResources"]["Tasks"].values())


def place(job: Json, group: Json, nodes: Iterable[Node], live: list[Json]) -> tuple[Node, Json] | Refusal:
    """The node for a group of a job with the devices of each task, or why there is none.

    Args:
        live: the allocations that use something.
    """
    candidates = [
        node for node in nodes if node.status == "ready" and node.eligible and job["NodePool"] in {node.pool, "all"}
    ]
    refusal = Refusal(len(candidates))
    for node in candidates:
        here = [allocation for allocation in live if allocation["NodeID"] == node.id]
        devices, why_not = _fit(group, node, here)
        if not why_not:
            return node, devices
        kind = refusal.filtered if why_not.startswith(("missing", "${attr.")) else refusal.exhausted
        kind[why_not] = kind.get(why_not, 0) + 1
    return refusal


def _fit(group: Json, node: Node, here: list[Json]) -> tuple[Json, str]:
    if any(task["Driver"] not in node.drivers for task in group["Tasks"]):
        return {}, "missing drivers"
    if group.get("Services") and not node.consul:
        return {}, MISSING_CONSUL
    used = {
        name
        for allocation in here
        for task in allocation["AllocatedResources"]["Tasks"].values()
        for device in task["Devices"] or []
        for name in device["DeviceIDs"]
    }
    devices: Json = {}
    for task in group["Tasks"]:
        for request in (task.get("Resources") or {}).get("Devices") or []:
            given, why_not = _take(request, node, used)
            if why_not:
                return {}, why_not
            used.update(given[0]["DeviceIDs"])
            devices.setdefault(task["Name"], []).extend(given)
    wanted = [task.get("Resources") or {} for task in group["Tasks"]]
    if (
        sum(each.get("MemoryMB") or 300 for each in wanted)
        + sum(_resources(allocation, "Memory", "MemoryMB") for allocation in here)
        > node.memory_mib
    ):
        return {}, "memory"
    if (
        sum(each.get("CPU") or 100 for each in wanted)
        + sum(_resources(allocation, "Cpu", "CpuShares") for allocation in here)
        > node.cpu_mhz
    ):
        return {}, "cpu"
    return devices, ""
