"""Definitions and calls that ask one kind of function for what is another's: refused, each by the field's name."""

from typing import Any

import pytest

from tests.acceptance.served import Served

pytestmark = pytest.mark.asyncio(loop_scope="module")

SOURCE = """
import asyncio

def plain(x=1):
    return x

def needs(x):
    return x

def stream(n=1):
    yield n

async def astream(n=1):
    yield n

def listed(items):
    return items

def unnamed(*items):
    return items

def nothing():
    return []

async def app(scope, receive, send):
    pass

def make_app(name):
    return app

def start_server(port):
    pass

class Model:
    def __init__(self, size: int = 1, fast: bool = False):
        self.size = size

    def load(self):
        pass

    def load_from(self, path):
        pass

    def run(self, x=1):
        return x

    def needs(self, x):
        return x

    def stream(self):
        yield 1

class Strict:
    def __init__(self, name):
        self.name = name

    def run(self):
        return self.name
"""

CLASS = {"kind": "class", "entrypoint": "main:Model", "methods": ["run"]}
ASGI = {"kind": "asgi", "entrypoint": "main:app"}
BATCHING = {"max_batch_size": 4, "wait_ms": 10}
PERIOD = {"period": {"minutes": 5}}


def of(name: str, **keys: Any) -> dict[str, Any]:
    """A definition of a plain function."""
    return {"entrypoint": f"main:{name}", **keys}


REFUSED: dict[str, tuple[dict[str, Any], list[str]]] = {
    # generators
    "batching on a generator": (of("stream", batching=BATCHING), ["/batching"]),
    "batching on an async generator": (of("astream", batching=BATCHING), ["/batching"]),
    "retries on a generator": (of("stream", retries=2), ["/retries"]),
    "a policy of retries on an async generator": (of("astream", retries={"max_retries": 1}), ["/retries"]),
    "a generator as an endpoint": (of("stream", web={"method": "GET"}), ["/web"]),
    # batching
    "batching of what names no arguments": (of("unnamed", batching=BATCHING), ["/batching"]),
    "batching of what takes nothing": (of("nothing", batching=BATCHING), ["/batching"]),
    "a batch of nothing": (of("listed", batching={**BATCHING, "max_batch_size": 0}), ["/batching/max_batch_size"]),
    "a batch of too many": (of("listed", batching={**BATCHING, "max_batch_size": 1001}), ["/batching/max_batch_size"]),
    "a wait below zero": (of("listed", batching={**BATCHING, "wait_ms": -1}), ["/batching/wait_ms"]),
    "a wait that is text": (of("listed", batching={**BATCHING, "wait_ms": "10"}), ["/batching/wait_ms"]),
    "a batch without its time": (of("listed", batching={"max_batch_size": 4}), ["/batching/wait_ms"]),
    "batching that is a number": (of("listed", batching=4), ["/batching"]),
    "batching with an unknown key": (of("listed", batching={**BATCHING, "wait": 1}), ["/batching/wait"]),
    # concurrency
    "no inputs at all": (of("plain", concurrency={"max_inputs": 0}), ["/concurrency/max_inputs"]),
    "inputs that are true": (of("plain", concurrency={"max_inputs": True}), ["/concurrency/max_inputs"]),
    "a target above the most": (
        of("plain", concurrency={"max_inputs": 2, "target_inputs": 3}),
        ["/concurrency/target_inputs"],
    ),
    "concurrency that is a number": (of("plain", concurrency=4), ["/concurrency"]),
    "several inputs in a container for one": (
        of("plain", concurrency={"max_inputs": 2}, single_use_containers=True),
        ["/concurrency/max_inputs"],
    ),
    # functions that answer HTTP
    "retries of an app": ({**ASGI, "retries": 1}, ["/retries"]),
    "retries of an endpoint": (of("plain", web={"method": "GET"}, retries=1), ["/retries"]),
    "batching of an app": ({**ASGI, "batching": BATCHING}, ["/batching"]),
    "a schedule of an app": ({**ASGI, "schedule": PERIOD}, ["/schedule"]),
    "an app in containers for one input": ({**ASGI, "single_use_containers": True}, ["/single_use_containers"]),
    "a port of an app": ({**ASGI, "port": 80}, ["/port"]),
    "a port that is none": (of("plain", kind="web_server", port=70_000), ["/port"]),
    "a port that is text": (of("plain", kind="web_server", port="80"), ["/port"]),
    "a server that needs arguments": (of("start_server", kind="web_server"), ["/kind"]),
    "a maker of apps that needs arguments": (of("make_app", kind="asgi", factory=True), ["/factory"]),
    "a maker of functions": (of("plain", factory=True), ["/factory"]),
    "a label of what is called": (of("plain", label="x"), ["/label"]),
    "credentials of what is called": (of("plain", requires_auth=True), ["/requires_auth"]),
    "an unknown method of HTTP": (of("plain", web={"method": "FETCH"}), ["/web/method"]),
    "web that is text": (of("plain", web="GET"), ["/web"]),
    "an endpoint with an unknown key": (of("plain", web={"methods": ["GET"]}), ["/web/methods"]),
    "a label without a letter": ({**ASGI, "label": "--"}, ["/label"]),
    "an endpoint that is an app": ({**ASGI, "web": {"method": "GET"}}, ["/web"]),
    "methods of a class on an app": ({**ASGI, "methods": ["run"]}, ["/methods"]),
    # schedules
    "a schedule of what needs arguments": (of("needs", schedule=PERIOD), ["/schedule"]),
    "a schedule without a time": (of("plain", schedule={}), ["/schedule"]),
    "a schedule that is text": (of("plain", schedule="0 9 * * *"), ["/schedule"]),
    "cron that is none": (of("plain", schedule={"cron": "61 * * * *"}), ["/schedule/cron"]),
    "a zone that is none": (
        of("plain", schedule={"cron": "0 9 * * *", "timezone": "Europe/Berlni"}),
        ["/schedule/timezone"],
    ),
    "a schedule of a class with two methods": (
        {**CLASS, "methods": ["run", "load"], "schedule": PERIOD},
        ["/schedule"],
    ),
    "a schedule of a method that needs arguments": ({**CLASS, "methods": ["needs"], "schedule": PERIOD}, ["/schedule"]),
    # classes
    "a class without the method": ({**CLASS, "methods": ["ran"]}, ["/methods/0"]),
    "a class without methods": ({"kind": "class", "entrypoint": "main:Model"}, ["/methods"]),
    "a class without the hook": ({**CLASS, "enter": ["lod"], "exit": ["leave"]}, ["/enter/0", "/exit/0"]),
    "a hook that needs arguments": ({**CLASS, "enter": ["load_from"]}, ["/enter/0"]),
    "a class that is a function": ({**CLASS, "entrypoint": "main:plain"}, ["/kind"]),
    "a function that is a class": (of("Model"), ["/kind"]),
    "methods of a function": (of("plain", methods=["run"]), ["/methods"]),
    "hooks of a function": (of("plain", enter=["run"], exit=["run"]), ["/enter", "/exit"]),
    "parameters of a function": (of("plain", parameters=[{"name": "size", "type": "int"}]), ["/parameters"]),
    "a parameter of no type": ({**CLASS, "parameters": [{"name": "size", "type": "float"}]}, ["/parameters/0/type"]),
    "a parameter without a type": ({**CLASS, "parameters": [{"name": "size"}]}, ["/parameters/0/type"]),
    "a parameter that is no name": (
        {**CLASS, "parameters": [{"name": "the size", "type": "int"}]},
        ["/parameters/0/name"],
    ),
    "a default of another type": (
        {**CLASS, "parameters": [{"name": "size", "type": "int", "default": "1"}]},
        ["/parameters/0/default"],
    ),
    "a parameter that the class does not take": (
        {**CLASS, "parameters": [{"name": "length", "type": "int"}]},
        ["/parameters/0/name"],
    ),
    "a parameter that is not declared": ({**CLASS, "entrypoint": "main:Strict"}, ["/parameters"]),
    "a parameter twice": (
        {**CLASS, "parameters": [{"name": "size", "type": "int"}, {"name": "size", "type": "int"}]},
        ["/parameters/1/name"],
    ),
    "a class as an endpoint": ({**CLASS, "web": {"method": "GET"}}, ["/web"]),
    "an unknown kind": (of("plain", kind="klass"), ["/kind"]),
    # the rest
    "an option of an installer": (of("plain", requirements=["-r x.txt"]), ["/requirements/0"]),
    "another app's functions": (of("plain", may_call=["other"]), ["/may_call/0"]),
    "an unknown GPU": (of("plain", gpu="H1OO"), ["/gpu"]),
    "a secret that is not there": (of("plain", secrets=["nothing"]), ["/secrets/0"]),
    "more kept warm than there may be": (of("plain", min_containers=3, max_containers=2), ["/min_containers"]),
    "all at once": (
        {**ASGI, "retries": 1, "port": 1, "gpu": "x", "requirements": ["two words"], "tiemout": 1},
        ["/gpu", "/port", "/requirements/0", "/retries", "/tiemout"],
    ),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_a_definition_is_refused_by_the_fields_name(server: Served, name: str) -> None:
    definition, pointers = REFUSED[name]
    await server.ask("POST", "/v1/apps", {"name": "wrong"})
    body = {"source": {"files": {"main.py": SOURCE}}, **definition}
    answer = await server.ask("PUT", "/v1/apps/wrong/functions/f", body)
    assert answer.status == 422, answer.text
    assert sorted(error["pointer"] for error in answer.json["errors"]) == pointers, answer.text
    assert all(len(error["message"]) >= len("is missing") for error in answer.json["errors"])
    assert answer.json["detail"]


SIZED = {**CLASS, "parameters": [{"name": "size", "type": "int"}, {"name": "fast", "type": "bool", "default": False}]}
FUNCTIONS: dict[str, dict[str, Any]] = {
    "plain": of("plain"),
    "stream": of("stream"),
    "app": ASGI,
    "endpoint": of("plain", web={"method": "GET"}),
    "model": {**SIZED, "methods": ["run", "needs"]},
}

WRONG_CALLS: dict[str, tuple[str, str, dict[str, Any], int, list[str]]] = {
    "an app is not called": ("invocations", "app", {}, 409, []),
    "an app is not spawned": ("spawn", "app", {}, 409, []),
    "an endpoint is not called": ("invocations", "endpoint", {}, 409, []),
    "an app is not mapped": ("map", "app", {"inputs": [{}]}, 409, []),
    "a method of a function": ("invocations", "plain", {"method": "run"}, 422, ["/method"]),
    "parameters of a function": ("invocations", "plain", {"parameters": {"size": 1}}, 422, ["/parameters"]),
    "a class without a method": ("invocations", "model", {"parameters": {"size": 1}}, 422, ["/method"]),
    "an unknown method": ("invocations", "model", {"method": "rnu", "parameters": {"size": 1}}, 422, ["/method"]),
    "a parameter that is missing": ("invocations", "model", {"method": "run"}, 422, ["/parameters/size"]),
    "a parameter of another type": (
        "invocations",
        "model",
        {"method": "run", "parameters": {"size": "1", "fast": 1}},
        422,
        ["/parameters/fast", "/parameters/size"],
    ),
    "an unknown parameter": (
        "spawn",
        "model",
        {"method": "run", "parameters": {"size": 1, "length": 2}},
        422,
        ["/parameters/length"],
    ),
    "parameters that are a list": ("spawn", "model", {"method": "run", "parameters": [1]}, 422, ["/parameters"]),
    "a method that is a number": ("spawn", "model", {"method": 1, "parameters": {"size": 1}}, 422, ["/method"]),
}


@pytest.mark.parametrize("name", WRONG_CALLS)
async def test_a_call_is_refused_by_the_fields_name(server: Served, name: str) -> None:
    how, function, body, status, pointers = WRONG_CALLS[name]
    await server.ask("POST", "/v1/apps", {"name": "kinds"})
    definitions = {key: {"source": {"files": {"main.py": SOURCE}}, **one} for key, one in FUNCTIONS.items()}
    put = await server.ask("PUT", "/v1/apps/kinds/functions", {"functions": definitions})
    assert put.status == 200, put.text
    answer = await server.ask("POST", f"/v1/functions/kinds:{function}/{how}", body)
    assert answer.status == status, answer.text
    assert sorted(error["pointer"] for error in answer.json.get("errors", [])) == pointers, answer.text


async def test_a_generator_does_not_run_in_a_map(server: Served) -> None:
    await server.deploy("gen", SOURCE, "stream")
    answer = await server.ask("POST", "/v1/functions/gen:stream/map", {"inputs": [{"args": [1]}]})
    assert "generator" in answer.text


async def test_what_only_the_code_can_tell_is_told_by_the_first_call(server: Served) -> None:
    source = "def make():\n    def inner():\n        yield 1\n    return inner\n\nhidden = make()\n"
    await server.deploy("hidden", source, "hidden", retries=2)
    ended = await server.call("hidden:hidden")
    assert ended["error"]["outcome"] == "init_failure"
    assert "retries" in ended["error"]["message"]
