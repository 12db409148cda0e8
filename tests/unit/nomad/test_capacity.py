"""The GPUs of a cluster, counted."""

from typing import Any

from yurt.outbound.engines.nomad.capacity import capacity_of


def node(*devices: tuple[str, int], pool: str = "default", status: str = "ready", name: str = "n") -> dict[str, Any]:
    return {
        "Status": status,
        "SchedulingEligibility": "eligible",
        "NodePool": pool,
        "NodeResources": {
            "Devices": [
                {
                    "Vendor": "nvidia",
                    "Type": "gpu",
                    "Name": model,
                    "Instances": [{"ID": f"{name}-{model}-{at}", "Healthy": True} for at in range(count)],
                }
                for model, count in devices
            ]
        },
    }


def given(job: str, *ids: str, status: str = "running") -> dict[str, Any]:
    resources = {"Tasks": {"runner": {"Devices": [{"DeviceIDs": list(ids)}]}}}
    return {"JobID": job, "ClientStatus": status, "AllocatedResources": resources}


H100, A40 = "NVIDIA H100 80GB HBM3", "NVIDIA A40"


def test_free_is_what_nobody_was_given() -> None:
    nodes = [node((H100, 4)), node(("Tesla T4", 1), (A40, 2), name="m")]
    allocations = [
        given("ours/dispatch-1", f"n-{H100}-0", f"n-{H100}-1"),
        given("others", f"n-{H100}-2"),
        given("ours/dispatch-0", f"n-{H100}-3", status="complete"),
        {"JobID": "plain", "ClientStatus": "running", "AllocatedResources": None},
    ]
    found = capacity_of(nodes, allocations, {"ours/dispatch-1": "co-1"}, {}, node_pool="default")
    stocks = {stock.type: (stock.total, stock.free, dict(stock.held)) for stock in found.gpus}
    assert stocks == {"H100": (4, 1, {"co-1": 2}), "T4": (1, 1, {})}
    assert found.unmapped == {A40: 2}


def test_a_model_of_the_operators_counts_as_its_type() -> None:
    found = capacity_of([node((A40, 2))], [], {}, {A40: "A10"}, node_pool="default")
    assert [(stock.type, stock.total) for stock in found.gpus] == [("A10", 2)]
    assert found.unmapped == {}


def test_nodes_that_containers_cannot_get_do_not_count() -> None:
    nodes = [node((H100, 1), pool="other"), node((H100, 1), status="down"), {"Status": "ready", "NodePool": "default"}]
    assert capacity_of(nodes, [], {}, {}, node_pool="default").gpus == ()
