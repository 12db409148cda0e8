"""The real parser and the double make the same job of a revision's document."""

from typing import Any

import pytest

from tests.contract.nomad.worlds import World, real_world
from tests.fakes.nomad.rendering import parse_function
from tests.unit.nomad.cases import CASES
from yurt.outbound.engines.nomad.jobspecs import read_template
from yurt.outbound.engines.nomad.spec import spec_of, variables_of


def within(small: Any, large: Any, place: str = "job") -> list[str]:
    """Where the first says something that the second does not. What is not said, and nothing, are the same."""
    if isinstance(small, dict) and isinstance(large, dict):
        return [told for key in small for told in within(small[key], large.get(key), f"{place}.{key}")]
    if isinstance(small, list) and isinstance(large, list) and len(small) == len(large):
        return [told for at, one in enumerate(small) for told in within(one, large[at], f"{place}[{at}]")]
    return [] if small == large or (not small and not large) else [f"{place}: {small!r} is {large!r}"]


@pytest.mark.parametrize("case", CASES)
async def test_the_double_renders_as_the_real_parser_does(case: str, request: pytest.FixtureRequest) -> None:
    hcl, variables = read_template(None), variables_of(spec_of(*CASES[case]))
    async with real_world(request.getfixturevalue("stack")) as real:
        body = {"JobHCL": hcl, "Variables": variables, "Canonicalize": False}
        parsed = await real.ask("POST", "/v1/jobs/parse", body)
    assert not within(parse_function(hcl, variables), parsed)


async def test_a_template_that_is_broken_is_refused_with_its_place(world: World) -> None:
    body = {"JobHCL": 'job "x" {\n  type = \n}\n', "Variables": 'spec = "{}"\n', "Canonicalize": False}
    answer = await world.call("POST", "/v1/jobs/parse", body)
    assert answer.status in {400, 500}
    assert ":" in answer.text
