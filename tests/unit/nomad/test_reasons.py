"""Why there is no place for a container, in words."""

from typing import Any

import pytest

from tests.unit.nomad.cases import function
from yurt.domain.capacity import Capacity, GpuStock
from yurt.outbound.engines.nomad.reasons import is_for_ever, why_not

BUSY: dict[str, Any] = {"ConstraintFiltered": None, "DimensionExhausted": {"devices: no devices match request": 1}}
ABSENT: dict[str, Any] = {"ConstraintFiltered": {"missing devices": 2}, "DimensionExhausted": None}


def cluster(total: int, free: int) -> Capacity:
    return Capacity("this cluster", (GpuStock("H100", total, free),), {"NVIDIA A40": 1})


def test_busy_gpus_and_those_that_are_not_there_are_told_apart() -> None:
    wants = function(gpu=("H100:2",))
    busy = why_not(BUSY, wants, cluster(8, 0))
    assert (busy.code, busy.message) == ("no_capacity", "All 8 H100 of this cluster are in use.")
    assert busy.details == {"gpu": "H100:2", "total": 8, "free": 0}
    absent = why_not(ABSENT, function(gpu=("B200",)), cluster(8, 8))
    assert absent.code == "no_such_gpu"
    assert "8 H100" in absent.message
    assert "NVIDIA A40" in absent.message


def test_gpus_that_are_on_several_nodes_are_not_together() -> None:
    assert why_not(BUSY, function(gpu=("H100:4",)), cluster(8, 4)).code == "no_capacity"
    apart = why_not(ABSENT, function(gpu=("H100:4",)), cluster(8, 8))
    assert apart.code == "no_such_gpu"
    assert "H100:4 together" in apart.message


@pytest.mark.parametrize(
    ("metrics", "words"),
    [
        ({"DimensionExhausted": {"memory": 3, "cpu": 1}}, "Used up: cpu on 1, memory on 3"),
        ({"ConstraintFiltered": {"missing drivers": 2}}, "2 lack drivers"),
        (
            {"ConstraintFiltered": {"${attr.consul.version} semver >= 1.8.0": 3}},
            "3 lack a Consul agent that Nomad may read",
        ),
        ({"NodesInPool": 0}, "node pool"),
        ({"NodesInPool": 4, "NodesAvailable": {"dc1": 0}}, "datacenters"),
    ],
)
def test_other_reasons_are_named(metrics: dict[str, Any], words: str) -> None:
    why = why_not(metrics, function(), Capacity("this cluster"))
    assert why.code == "no_capacity"
    assert words in why.message
    assert "thumbs:resize" in why.message


def test_what_time_may_change_is_not_for_ever() -> None:
    assert not is_for_ever({"DimensionExhausted": {"memory": 1}})
    assert not is_for_ever(ABSENT)  # told by the capacity, with what there is
    assert is_for_ever({"ConstraintFiltered": {"missing drivers": 2}})
    assert is_for_ever({"NodesInPool": 0})
