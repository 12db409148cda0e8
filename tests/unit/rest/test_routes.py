"""The table of routes: what leads where."""

import pytest

from yurt.inbound.routes import Routes


@pytest.fixture
def routes() -> Routes[str]:
    made: Routes[str] = Routes()
    made.add("GET", "/v1/things/{thing}", "thing")
    made.add("GET", "/v1/things/{name}/parts/{part}", "part")
    made.add("GET", "/v1/things/self", "self")
    made.add("PUT", "/v1/things/{thing}", "put")
    return made


def _found(routes: Routes[str], method: str, path: str) -> tuple[str, dict[str, str]] | None:
    match = routes.find(method, path)
    return (match.handler, dict(match.values)) if match is not None else None


def test_parameters_are_named_by_their_route_and_decoded(routes: Routes[str]) -> None:
    assert _found(routes, "GET", "/v1/things/a%20b") == ("thing", {"thing": "a b"})
    assert _found(routes, "GET", "/v1/things/a/parts/b%2Fc") == ("part", {"name": "a", "part": "b/c"})


def test_a_fixed_part_comes_before_a_parameter(routes: Routes[str]) -> None:
    assert _found(routes, "GET", "/v1/things/self") == ("self", {})


def test_a_fixed_part_that_leads_nowhere_does_not_hide_a_parameter(routes: Routes[str]) -> None:
    assert _found(routes, "PUT", "/v1/things/self") == ("put", {"thing": "self"})
    assert _found(routes, "GET", "/v1/things/self/parts/1") == ("part", {"name": "self", "part": "1"})


@pytest.mark.parametrize(
    "path", ["/", "/v1/things", "/v1/things/", "/v1/things/a/", "/v1//things/a", "/v1/things/" + 300 * "a/"]
)
def test_other_paths_lead_nowhere(routes: Routes[str], path: str) -> None:
    assert routes.find("GET", path) is None
    assert routes.methods(path) == []


def test_the_methods_of_a_path_are_those_of_every_route_that_fits(routes: Routes[str]) -> None:
    assert routes.methods("/v1/things/self") == ["GET", "HEAD", "PUT"]


def test_a_head_is_asked_for_where_the_whole_is(routes: Routes[str]) -> None:
    assert _found(routes, "HEAD", "/v1/things/self") == ("self", {})
    routes.add("HEAD", "/v1/things/self", "head")
    assert _found(routes, "HEAD", "/v1/things/self") == ("head", {})
    routes.add("POST", "/v1/things", "post")
    assert routes.find("HEAD", "/v1/things") is None
    assert routes.methods("/v1/things") == ["POST"]


def test_long_paths_are_found_too(routes: Routes[str]) -> None:
    assert _found(routes, "GET", "/v1/things/" + 500 * "a") == ("thing", {"thing": 500 * "a"})


def test_a_route_has_one_handler(routes: Routes[str]) -> None:
    with pytest.raises(ValueError, match="two handlers"):
        routes.add("GET", "/v1/things/{other}", "again")


def test_a_route_that_is_added_later_is_found(routes: Routes[str]) -> None:
    assert routes.find("GET", "/v2") is None
    routes.add("GET", "/v2", "two")
    assert _found(routes, "GET", "/v2") == ("two", {})
