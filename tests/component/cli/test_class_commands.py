"""Classes on the command line: which method, with which parameters."""

import json
from pathlib import Path

import pytest

from tests.commands import Yurt
from tests.component.cli.fake_api import FakeApi
from yurt.cli.failures import Refused

PARAMETERS = [
    {"name": "model", "type": "str", "default": "small"},
    {"name": "width", "type": "int", "default": 3},
    {"name": "deep", "type": "bool", "default": False},
    {"name": "salt", "type": "bytes", "default": ""},
]


@pytest.fixture
def classes(api: FakeApi) -> FakeApi:
    """The class `app:Model`, and a function with a dot in its name."""
    api.functions["app"] = {
        "Model": {"kind": "class", "methods": ["run"], "parameters": PARAMETERS},
        "plain.name": {"kind": "function"},
        "plain": {"kind": "function"},
    }
    return api


def asked(api: FakeApi) -> tuple[str, object]:
    """Where the last call went, and what it was."""
    return [path for method, path, _ in api.requests if method == "POST"][-1], api.bodies[-1]


def test_a_dot_leads_to_a_method(classes: FakeApi, yurt: Yurt) -> None:
    assert yurt("call", "app:Model.run", "text").code == 0
    path, body = asked(classes)
    assert path == "/v1/functions/app:Model/invocations"
    assert body == {"args": ["text"], "kwargs": {}, "method": "run"}


def test_a_function_may_have_a_dot_in_its_name(classes: FakeApi, yurt: Yurt) -> None:
    assert yurt("call", "app:plain.name").code == 0
    assert asked(classes) == ("/v1/functions/app:plain.name/invocations", {"args": [], "kwargs": {}})


def test_what_is_not_there_is_named_as_it_was_written(classes: FakeApi, yurt: Yurt) -> None:
    for words in ("app:Modle.run", "app:plain.run", "app:Model.run-it"):
        ran = yurt("call", words)
        assert ran.code == 3
        assert f"There is no function {words}." in ran.err


def test_parameters_are_read_by_their_types(classes: FakeApi, yurt: Yurt, tmp_path: Path) -> None:
    salt = tmp_path / "salt"
    salt.write_bytes(b"\xff\x00")
    words = ["--param", "model=3", "--param", "width=7", "--param", "deep=true", "--param", f"salt=@{salt}"]
    assert yurt("call", "app:Model", *words).code == 0
    _, body = asked(classes)
    assert body == {
        "args": [],
        "kwargs": {},
        "parameters": {"model": "3", "width": 7, "deep": True, "salt": "/wA="},
    }


def test_what_fits_no_type_goes_as_it_is(classes: FakeApi, yurt: Yurt) -> None:
    yurt("spawn", "app:Model.run", "--param", "width=wide", "--param", "other=1")
    assert asked(classes)[1] == {
        "args": [],
        "kwargs": {},
        "method": "run",
        "parameters": {"width": "wide", "other": "1"},
    }


def test_a_parameter_without_a_name_is_wrong_usage(classes: FakeApi, yurt: Yurt) -> None:
    ran = yurt("call", "app:Model.run", "--param", "large")
    assert (ran.code, "has no name" in ran.err) == (2, True)
    missing = yurt("call", "app:Model.run", "--param", "salt=@nowhere")
    assert (missing.code, "nowhere cannot be read" in missing.err) == (2, True)


def test_a_plain_function_is_called_without_a_look_at_it(classes: FakeApi, yurt: Yurt) -> None:
    assert yurt("call", "app:plain").code == 0
    assert [method for method, path, _ in classes.requests if path == "/v1/functions/app:plain"] == []


def test_lists_show_methods_and_parameters(classes: FakeApi, yurt: Yurt) -> None:
    classes.apps["ap-1"] = {"app_id": "ap-1", "name": "app", "state": "deployed"}
    for name, one in classes.functions["app"].items():
        one.update(name=name, revision=1, timeout=300, memory=512, function_id=f"fu-{name}")
    shown = yurt("functions", "app").out
    assert "app:Model" in shown
    assert "run" in shown
    assert json.loads(yurt("functions", "app", "--json").out)[0]["methods"] == ["run"]


@pytest.mark.parametrize("pointer", ["/method", "?method"])
def test_a_method_that_is_not_named_is_asked_for_in_the_commands_own_words(pointer: str) -> None:
    refused = Refused(422, {"errors": [{"pointer": pointer, "message": "is missing: app:Model has run"}]})

    assert refused.todo == "A method is called as APP:CLASS.METHOD."
