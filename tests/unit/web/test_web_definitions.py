"""What a definition may say of a function that answers HTTP, and what it may not."""

from typing import Any

import pytest

from yurt.domain.definitions import parse_definition
from yurt.domain.errors import Invalid
from yurt.domain.web import Kind, WebPlaces

PLAIN: dict[str, Any] = {"entrypoint": "main:app", "source": {"files": {"main.py": "app = 1\n"}}}


def refused(value: dict[str, Any]) -> dict[str, str]:
    with pytest.raises(Invalid) as caught:
        parse_definition(PLAIN | value)
    return {error.pointer: error.message for error in caught.value.errors}


def test_every_kind_is_read_with_its_keys() -> None:
    assert parse_definition(PLAIN | {"kind": "asgi", "factory": True, "label": "shop"}).kind is Kind.ASGI
    assert parse_definition(PLAIN | {"kind": "wsgi", "requires_auth": True}).requires_auth
    assert parse_definition(PLAIN | {"kind": "web_server", "port": 8000.0}).port == 8000
    endpoint = parse_definition(PLAIN | {"web": {"method": "POST"}})
    assert endpoint.web is not None
    assert (endpoint.kind, endpoint.web.method, endpoint.answers_http) == (Kind.FUNCTION, "POST", True)
    assert not parse_definition(PLAIN).answers_http


@pytest.mark.parametrize(
    ("value", "at"),
    [
        ({"kind": "asgi", "retries": 3}, "/retries"),
        ({"kind": "wsgi", "schedule": {"period": {"minutes": 5}}}, "/schedule"),
        ({"kind": "web_server", "single_use_containers": True}, "/single_use_containers"),
        ({"web": {"method": "GET"}, "retries": {"max_retries": 1}}, "/retries"),
        ({"kind": "asgi", "port": 8000}, "/port"),
        ({"kind": "web_server", "factory": True}, "/factory"),
        ({"factory": True}, "/factory"),
        ({"port": 8000}, "/port"),
        ({"kind": "asgi", "web": {"method": "GET"}}, "/web"),
        ({"label": "shop"}, "/label"),
        ({"requires_auth": True}, "/requires_auth"),
        ({"kind": "asgi", "label": "---"}, "/label"),
        ({"kind": "asgi", "label": ""}, "/label"),
        ({"kind": "asgi", "label": "x" * 201}, "/label"),
        ({"kind": "web_server", "port": 0}, "/port"),
        ({"kind": "web_server", "port": 65_536}, "/port"),
        ({"kind": "web_server", "port": "8000"}, "/port"),
        ({"kind": "web_sever"}, "/kind"),
        ({"kind": 7}, "/kind"),
        ({"web": {"method": "get"}}, "/web/method"),
        ({"web": {"methods": ["GET"]}}, "/web/methods"),
        ({"web": True}, "/web"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_place(value: dict[str, Any], at: str) -> None:
    assert list(refused(value)) == [at]


def test_what_asks_for_nothing_is_accepted() -> None:
    parse_definition(
        PLAIN | {"kind": "asgi", "retries": 0, "schedule": None, "web": None, "port": None, "factory": False}
    )


def test_a_kind_comes_with_the_right_word() -> None:
    assert "Did you mean asgi?" in refused({"kind": "asg"})["/kind"]


def test_places_are_shown_by_host_and_by_path() -> None:
    assert WebPlaces("https://{label}.apps.example/", "http://127.0.0.1:1/web/").urls("shop") == (
        "https://shop.apps.example/",
        "http://127.0.0.1:1/web/shop/",
    )
    assert WebPlaces().urls("shop") == ()
