"""The catalogue of errors, held against the tree of errors both ways."""

import pkgutil
from collections.abc import Iterator
from importlib import import_module

import msgspec

import yurt
from yurt.domain.errors import AlreadyExists, FieldError, Invalid, NotFound, Unavailable, YurtError
from yurt.inbound.rest.markup import errors
from yurt.inbound.rest.problems import CATALOGUE, STATUS, MethodNotAllowed, problem, status_of


def _below(kind: type[YurtError]) -> Iterator[type[YurtError]]:
    for one in kind.__subclasses__():
        if one.__module__.startswith("yurt."):
            yield one
            yield from _below(one)


def test_every_error_has_one_entry_and_every_entry_an_error() -> None:
    for module in pkgutil.walk_packages(yurt.__path__, "yurt."):
        if not module.name.startswith(("yurt.__main__", "yurt.outbound.store.migrations")):  # those run when imported
            import_module(module.name)
    assert sorted(kind.__name__ for kind in _below(YurtError)) == sorted(entry.kind.__name__ for entry in CATALOGUE)
    assert set(STATUS) == set(_below(YurtError))


def test_codes_are_unique() -> None:
    codes = [entry.kind.code for entry in CATALOGUE] + [code for entry in CATALOGUE for code in entry.codes]

    assert len(codes) == len(set(codes))


def test_the_page_explains_every_code() -> None:
    page = errors().text

    for entry in CATALOGUE:
        for code in (entry.kind.code, *entry.codes):
            assert f"id='{code}'" in page


def test_a_problem_tells_all_it_knows() -> None:
    error = Invalid(
        "/gpu: unknown", errors=[FieldError("/gpu", "unknown", "unknown_key")], extra={"retryable": True, "ahead": 3}
    )

    answer = problem(error, instance="/v1/x", request_id="r1")

    assert answer.status == 422
    assert isinstance(answer.body, bytes)
    assert msgspec.json.decode(answer.body) == {
        "type": "/docs/errors#invalid",
        "title": Invalid.title,
        "status": 422,
        "detail": "/gpu: unknown",
        "instance": "/v1/x",
        "code": "invalid",
        "request_id": "r1",
        "retryable": True,
        "errors": [{"pointer": "/gpu", "message": "unknown", "code": "unknown_key"}],
        "ahead": 3,
    }


def test_a_narrower_code_links_to_its_own_place_if_it_has_one() -> None:
    known = problem(NotFound("", code="environment_not_found"), instance="/", request_id="r")
    unknown = problem(NotFound("", code="something_else"), instance="/", request_id="r")

    for answer, anchor in ((known, "environment_not_found"), (unknown, "not_found")):
        assert isinstance(answer.body, bytes)
        assert msgspec.json.decode(answer.body)["type"] == f"/docs/errors#{anchor}"


def test_retry_after_is_always_there_where_it_helps() -> None:
    assert problem(Unavailable(""), instance="/", request_id="r").headers["Retry-After"] == "2"
    assert problem(Unavailable("", retry_after_s=9), instance="/", request_id="r").headers["Retry-After"] == "9"
    assert "Retry-After" not in problem(AlreadyExists(""), instance="/", request_id="r").headers


def test_a_subclass_without_an_entry_takes_that_of_its_parent() -> None:
    class Narrower(MethodNotAllowed):
        """Not in the catalogue."""

    assert status_of(Narrower("")) == 405
