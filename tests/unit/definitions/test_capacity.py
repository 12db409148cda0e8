import re
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yurt.domain import gpu
from yurt.domain.capacity import Capacity, GpuStock, Shortage, choose


def machine(*stocks: tuple[str, int, int], unmapped: dict[str, int] | None = None) -> Capacity:
    return Capacity("this machine", tuple(GpuStock(*stock) for stock in stocks), unmapped or {})


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("NVIDIA H100 80GB HBM3", "H100"),
        ("NVIDIA H100 NVL", "H100"),
        ("NVIDIA A10G", "A10"),
        ("A100-SXM4-40GB", "A100-40GB"),
        ("NVIDIA A100 80GB PCIe", "A100-80GB"),
        ("Tesla T4", "T4"),
        ("NVIDIA L40S", "L40S"),
        ("NVIDIA L40", None),
        ("NVIDIA A100-SXM4-40GB MIG 3g.20gb", None),
        ("NVIDIA H100 80GB HBM3 (MIG)", None),
        ("NVIDIA GeForce RTX 4090", None),
    ],
)
def test_a_product_name_has_one_type_or_none(model: str, name: str | None) -> None:
    assert gpu.type_of(model, {}) == name


def test_the_operator_says_what_else_is_what() -> None:
    assert gpu.type_of("NVIDIA A40", {"NVIDIA A40": "A10"}) == "A10"


def test_each_type_stands_for_models_of_its_own() -> None:
    assert set(gpu.MODELS) == set(gpu.TYPES) - set(gpu.EITHER)
    assert all(pattern.startswith("^") and pattern.endswith("$") for pattern in gpu.MODELS.values())
    assert all(re.compile(pattern) for pattern in gpu.MODELS.values())


@pytest.mark.parametrize(
    ("wanted", "stocks", "chosen"),
    [
        (["H100"], [("H100", 2, 1)], ("H100", 1)),
        (["H100:2", "T4"], [("H100", 2, 1), ("T4", 1, 1)], ("T4", 1)),
        (["T4", "H100"], [("H100", 2, 2), ("T4", 1, 1)], ("T4", 1)),
        (["A100:2"], [("A100-40GB", 2, 1), ("A100-80GB", 2, 2)], ("A100-80GB", 2)),
    ],
)
def test_the_first_choice_that_can_be_had_is_taken(
    wanted: Sequence[str], stocks: list[tuple[str, int, int]], chosen: tuple[str, int]
) -> None:
    found = choose(wanted, machine(*stocks))
    assert not isinstance(found, Shortage)
    assert (found[0].type, found[1]) == chosen


@pytest.mark.parametrize(
    ("wanted", "capacity", "code", "message"),
    [
        (["H100"], machine(("H100", 8, 0)), "no_capacity", "All 8 H100 of this machine are in use."),
        (["T4"], machine(("T4", 1, 0)), "no_capacity", "The only T4 of this machine is in use."),
        (
            ["H100:2"],
            machine(("H100", 4, 1)),
            "no_capacity",
            "Of the 4 H100 of this machine 1 is free; 2 are needed together.",
        ),
        (["H100", "T4"], machine(), "no_such_gpu", "This machine has no H100 or T4: it has no GPUs."),
        (["H100:4"], machine(("H100", 2, 2)), "no_such_gpu", "This machine has no H100:4: it has 2 H100."),
        (["H100:9", "T4"], machine(("T4", 1, 0)), "no_capacity", "The only T4 of this machine is in use."),
        (
            ["T4"],
            machine(unmapped={"NVIDIA A40": 2}),
            "no_such_gpu",
            (
                "This machine has no T4: it has no GPU of a known type; no type stands for 2 NVIDIA A40, which"
                " gpu_models of the settings can change."
            ),
        ),
        (["A100:4"], machine(("A100-40GB", 2, 2), ("A100-80GB", 2, 2)), "no_such_gpu", None),
    ],
)
def test_in_use_and_not_there_are_told_apart(
    wanted: Sequence[str], capacity: Capacity, code: str, message: str | None
) -> None:
    found = choose(wanted, capacity)
    assert isinstance(found, Shortage)
    assert found.code == code
    assert message in {None, found.message}
    assert set(found.details) == {"gpu", "total", "free"}


requests = st.builds("{}:{}".format, st.sampled_from(gpu.TYPES), st.integers(1, 8)).map(gpu.canonical)
stocks = st.builds(
    lambda name, total, used: GpuStock(name, total, max(0, total - used)),
    st.sampled_from(sorted(gpu.MODELS)),
    st.integers(1, 8),
    st.integers(0, 8),
)


@given(
    st.lists(requests, min_size=1, max_size=4),
    st.lists(stocks, max_size=5, unique_by=lambda stock: stock.type).map(tuple),
)
def test_what_is_chosen_is_free_and_was_asked_for(wanted: list[str], has: tuple[GpuStock, ...]) -> None:
    found = choose(wanted, Capacity("this machine", has))
    possible = [
        (stock, count)
        for name, count in map(gpu.split, wanted)
        for stock in has
        if stock.type in gpu.EITHER.get(name, (name,)) and stock.total >= count
    ]
    if not isinstance(found, Shortage):
        assert found in possible
        assert found[0].free >= found[1]
    else:
        assert all(stock.free < count for stock, count in possible)
        assert found.code == ("no_capacity" if possible else "no_such_gpu")
