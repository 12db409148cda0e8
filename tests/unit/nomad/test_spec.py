"""The document of a revision: as in the golden files, and nothing that a user wrote where Nomad interpolates."""

import json
import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.nomad.cases import CASES, GOLDEN, function, golden, settings
from yurt.domain import gpu
from yurt.domain.capacity import Capacity, GpuStock
from yurt.domain.functions import LiveFunction
from yurt.outbound.engines.nomad.spec import (
    DIGEST,
    devices_of,
    job_id,
    prefix_of,
    spec_of,
    variables_of,
    variant_for,
    variants_of,
)
from yurt.ports import EngineRefused


@pytest.mark.parametrize("name", CASES)
def test_a_revision_looks_as_it_should(name: str) -> None:
    """`python -m tests.unit.nomad.cases` writes the files anew; then read what changed."""
    assert golden(name) == (GOLDEN / f"{name}.json").read_text()


hostile = st.text(st.sampled_from("${}%\"\\\n'NOMAD_x.-"), min_size=1, max_size=20)


@given(hostile, hostile, hostile, st.dictionaries(hostile, hostile, max_size=3))
def test_what_users_write_is_never_interpolated(app: str, name: str, environment: str, env: dict[str, str]) -> None:
    one = function(app=app, name=name, environment=environment, env=env, entrypoint=name)
    spec = spec_of(one, settings())
    for place in ("env", "docker", "command", "runner", "devices", "driver", "user"):
        text = json.dumps(spec[place])
        found = set(re.findall(r"\$\{[^}]*\}", text))
        assert found <= {
            "${NOMAD_META_container_id}",
            "${NOMAD_SECRETS_DIR}",
            "${NOMAD_TASK_DIR}",
            "${NOMAD_ALLOC_DIR}",
        }
    assert re.fullmatch(r"[a-z0-9-]+", spec["id"])


@given(st.dictionaries(st.sampled_from(["a", "b"]), hostile))
def test_the_variable_is_the_document_with_nothing_in_it_that_hcl_would_read(document: dict[str, str]) -> None:
    text = variables_of(document)
    assert re.search(r"(?<!\$)\$\{|(?<!%)%\{", text.replace("$${", "").replace("%%{", "")) is None
    literal = text.removeprefix("spec = ").removesuffix("\n").replace("$${", "${").replace("%%{", "%{")
    assert json.loads(json.loads(literal)) == document


@pytest.mark.parametrize("image", ["${attr.kernel}", "a b", "", '"', "x:1\n", "-v"])
def test_an_image_that_is_none_is_refused(image: str) -> None:
    with pytest.raises(EngineRefused) as refused:
        spec_of(function(image=image), settings())
    assert refused.value.code == "image_unavailable"


def test_without_any_image_docker_has_nothing_to_run_in() -> None:
    with pytest.raises(EngineRefused, match="default_image"):
        spec_of(function(image=None), settings())
    assert spec_of(function(image=None), settings(default_image="python:3.12"))["docker"]["image"] == "python:3.12"


names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", fullmatch=True)


@given(names, names, names, st.integers(1, 10**6))
def test_ids_are_readable_bounded_and_of_one_function(app: str, name: str, environment: str, revision: int) -> None:
    one = function(app=app, name=name, environment=environment, revision=revision)
    found = job_id(one, "0123abcd")
    assert found.startswith(prefix_of("0123abcd"))
    assert found.endswith(f"-r{revision}")
    assert len(found) < 120
    assert job_id(replace(one, function_id="fu-2"), "0123abcd") != found
    assert not job_id(one, "0123abc").startswith(prefix_of("0123abcd"))


@pytest.mark.parametrize(
    "changes", [{"memory_mib": 513}, {"cpu": 1.0}, {"gpu": ("T4",)}, {"image": "other:1"}, {"revision": 4}]
)
def test_what_matters_changes_the_digest(changes: dict[str, Any]) -> None:
    def digest(one: LiveFunction) -> str:
        return str(spec_of(one, settings())["meta"][DIGEST])

    assert digest(function(**changes)) != digest(function())
    assert digest(function(env={"A": "b"}, secrets=("s",))) == digest(function())


@given(st.lists(st.sampled_from(gpu.TYPES), min_size=1, max_size=4, unique=True), st.integers(1, 8))
def test_every_choice_can_be_had_and_the_first_is_wanted_most(types: list[str], count: int) -> None:
    wanted = tuple(gpu.canonical(f"{name}:{count}") for name in types)
    (device,) = devices_of(wanted, {})
    pattern = device["constraints"][0]["value"]
    for name in types:
        for model in [gpu.MODELS[one] for one in gpu.EITHER.get(name, (name,))]:
            assert model in pattern
    weights = [affinity["weight"] for affinity in device["affinities"]]
    assert weights == sorted(weights, reverse=True)
    assert all(1 <= weight <= 100 for weight in weights)
    assert (device["count"], len(weights)) == (count, len(types) if len(types) > 1 else 0)


def stocks(**free: int) -> Capacity:
    """Four of each type, some free."""
    return Capacity("this cluster", tuple(GpuStock(name, 4, left) for name, left in free.items()))


@pytest.mark.parametrize(
    ("capacity", "chosen"),
    [
        (stocks(H100=2, L4=4), ("H100:2", "T4:2")),
        (stocks(H100=0, L4=4), ("L4:4",)),
        (stocks(H100=0, L4=0, T4=2), ("H100:2", "T4:2")),
        (stocks(H100=0, L4=0, T4=0), ("H100:2", "T4:2")),
        (stocks(L4=0), ("L4:4",)),
        (stocks(), ("H100:2", "T4:2")),
    ],
)
def test_of_choices_with_several_numbers_the_first_that_can_be_had_is_taken(
    capacity: Capacity, chosen: tuple[str, ...]
) -> None:
    wanted = function(gpu=("H100:2", "L4:4", "T4:2"))
    assert variant_for(wanted, capacity).gpu == chosen
    assert [one.gpu for one in variants_of(wanted)] == [("H100:2", "T4:2"), ("L4:4",)]
    assert len({job_id(one, "0123abcd") for one in variants_of(wanted)}) == 2
