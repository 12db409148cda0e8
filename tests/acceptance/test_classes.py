"""Classes as callers over REST live them, and over the end of the server."""

import asyncio
from typing import Any

import pytest

from tests.acceptance.served import Answer, Served

pytestmark = pytest.mark.asyncio(loop_scope="module")

SOURCE = """
import asyncio, os, time

class Counter:
    def load(self):
        if self.name == "broken":
            raise ValueError("no model is called broken")
        self.count = 0
        print("loaded", self.name)

    def add(self, by=1):
        self.count += by
        return [self.name, self.count, os.environ["YURT_CONTAINER_ID"]]

    async def size(self):
        await asyncio.sleep(0)
        return [self.name, len(self.salt)]

    def nap(self, seconds):
        print("napping")
        time.sleep(seconds)
        return self.count

    def close(self):
        print("closing", self.name, self.count)

class Single:
    def run(self, word="nothing"):
        return word
"""
PARAMETERS = [{"name": "name", "type": "str", "default": "small"}, {"name": "salt", "type": "bytes", "default": ""}]
COUNTER: dict[str, Any] = {
    "kind": "class",
    "methods": ["add", "size", "nap"],
    "enter": ["load"],
    "exit": ["close"],
    "parameters": PARAMETERS,
}


async def deploy(server: Served, app: str, name: str = "Counter", **keys: object) -> None:
    await server.deploy(app, SOURCE, name, **(COUNTER if name == "Counter" else {"kind": "class"}) | keys)


async def invoke(server: Served, address: str, method: str | None, *args: object, **parameters: object) -> Answer:
    body: dict[str, object] = {"args": args, "parameters": parameters}
    if method is not None:
        body["method"] = method
    return await server.ask("POST", f"/v1/functions/{address}/invocations", body)


async def result(server: Served, address: str, method: str | None, *args: object, **parameters: object) -> Any:
    answer = await invoke(server, address, method, *args, **parameters)
    assert answer.status == 200, answer.text
    assert answer.json["status"] == "success", answer.text
    return answer.json["result"]


async def test_state_stays_and_each_combination_has_its_own(server: Served) -> None:
    await deploy(server, "counted")
    name, count, container = await result(server, "counted:Counter", "add", 2)
    assert (name, count) == ("small", 2)
    assert await result(server, "counted:Counter", "add", 3) == ["small", 5, container]
    assert await result(server, "counted:Counter", "size", salt="AAA=") == ["small", 2]
    other = await result(server, "counted:Counter", "add", name="large")
    assert (other[:2], other[2] == container) == (["large", 1], False)


async def test_a_call_shows_what_it_was_for(server: Served) -> None:
    await deploy(server, "shown")
    call = (await invoke(server, "shown:Counter", "add", name="large")).json
    found = (await server.ask("GET", f"/v1/function-calls/{call['call_id']}?include=args")).json
    assert (found["method"], found["parameters"], found["args"]) == ("add", {"name": "large", "salt": ""}, [])
    listed = (await server.ask("GET", "/v1/functions/shown:Counter/invocations")).json["data"][0]
    assert (listed["method"], listed["parameters"]) == ("add", {"name": "large", "salt": ""})
    function = (await server.ask("GET", "/v1/functions/shown:Counter")).json
    assert (function["kind"], function["methods"]) == ("class", ["add", "size", "nap"])
    assert function["parameters"] == PARAMETERS
    containers = (await server.ask("GET", "/v1/containers?function_id=shown:Counter")).json["data"]
    assert [one["parameters"] for one in containers] == [{"name": "large", "salt": ""}]
    stats = (await server.ask("GET", "/v1/functions/shown:Counter/stats")).json
    assert (stats["num_pools"], stats["containers"]["total"]) == (1, 1)
    assert stats["pools"][0]["parameters"] == {"name": "large", "salt": ""}


async def test_what_does_not_fit_is_refused_at_its_place(server: Served) -> None:
    await deploy(server, "strict")
    for body, places in (
        ({}, ["/method"]),
        ({"method": "ad"}, ["/method"]),
        ({"method": 3}, ["/method"]),
        ({"method": "add", "parameters": []}, ["/parameters"]),
        ({"method": "add", "parameters": {"name": 3, "slat": "x"}}, ["/parameters/name", "/parameters/slat"]),
        ({"method": "add", "parameters": {"name": 1 << 70}}, ["/parameters/name"]),
    ):
        answer = await server.ask("POST", "/v1/functions/strict:Counter/spawn", body)
        assert answer.status == 422, answer.text
        assert [error["pointer"] for error in answer.json["errors"]] == places, answer.text
    assert "Did you mean add?" in (await invoke(server, "strict:Counter", "ad")).text
    assert (await server.ask("GET", "/v1/functions/strict:Counter/invocations")).json["data"] == []


async def test_a_class_with_one_method_is_called_without_its_name(server: Served) -> None:
    await deploy(server, "single", "Single", methods=["run"])
    assert await result(server, "single:Single", None, "word") == "word"
    assert await result(server, "single:Single", "run") == "nothing"


async def test_a_function_becomes_no_class(server: Served) -> None:
    await server.deploy("fixed", "def Single(): return 1", "Single")
    source = {"files": {"main.py": SOURCE}}
    definition = {"entrypoint": "main:Single", "kind": "class", "methods": ["run"], "source": source}
    answer = await server.ask("PUT", "/v1/apps/fixed/functions/Single", definition)
    assert (answer.status, answer.json["errors"][0]["pointer"]) == (422, "/kind")
    refused = await server.ask("POST", "/v1/functions/fixed:Single/invocations", {"method": "run"})
    assert (refused.status, refused.json["errors"][0]["pointer"]) == (422, "/method")


async def test_all_that_the_source_lacks_is_told_at_once(server: Served) -> None:
    definition = COUNTER | {
        "entrypoint": "main:Counter",
        "source": {"files": {"main.py": SOURCE}},
        "methods": ["add", "sise"],
        "enter": ["nap"],
    }
    await server.ask("POST", "/v1/apps", {"name": "lacking"})
    answer = await server.ask("PUT", "/v1/apps/lacking/functions/Counter", definition)
    assert answer.status == 422
    assert [error["pointer"] for error in answer.json["errors"]] == ["/methods/1", "/enter/0"]
    assert "Did you mean size?" in answer.json["errors"][0]["message"]


async def test_a_failing_enter_ends_only_the_calls_of_its_parameters(server: Served) -> None:
    await deploy(server, "failing")
    broken = asyncio.create_task(invoke(server, "failing:Counter", "add", name="broken"))
    assert (await result(server, "failing:Counter", "add"))[:2] == ["small", 1]
    error = (await broken).json["error"]
    assert (error["outcome"], error["type"]) == ("init_failure", "ValueError")
    assert "in load" in error["traceback"]
    assert "deploy_error" not in (await server.ask("GET", "/v1/functions/failing:Counter")).json


async def test_exit_hooks_run_when_the_app_is_stopped(server: Served) -> None:
    await deploy(server, "stopped")
    call = (await invoke(server, "stopped:Counter", "add", 4)).json
    container = call["result"][2]
    assert (await server.ask("DELETE", "/v1/apps/stopped")).status == 204
    lines = await server.logs(f"/v1/containers/{container}", "closing small 4")
    assert [line["text"] for line in lines] == ["loaded small", "closing small 4"]


async def test_exit_hooks_run_when_a_new_revision_serves(server: Served) -> None:
    await deploy(server, "renewed")
    container = (await result(server, "renewed:Counter", "add", 4))[2]
    await deploy(server, "renewed", memory=256)
    await server.logs(f"/v1/containers/{container}", "closing small 4")


async def test_a_map_is_of_one_method_and_one_combination(server: Served) -> None:
    await deploy(server, "mapped", max_containers=1)
    body = b'{"args":[1]}\n{"args":[2]}\n{"args":[3]}\n'
    path = "/v1/functions/mapped:Counter/map?method=add&parameters.name=large"
    headers = {"Content-Type": "application/x-ndjson"}
    answer = await server.ask("POST", path, data=body, headers=headers)
    assert [line.partition('"result":')[2][:9] for line in answer.text.splitlines()] == ['["large",'] * 3
    call = (await server.ask("GET", f"/v1/function-calls/{answer.headers['Yurt-Call-Id']}")).json
    assert (call["method"], call["parameters"]["name"]) == ("add", "large")
    listed = {"inputs": [{}], "method": "size", "parameters": {"salt": "AA=="}}
    answer = await server.ask("POST", "/v1/functions/mapped:Counter/map", listed)
    assert answer.text == '{"index":0,"status":"success","result":["small",1]}\n'
    for path, wrong, place in (
        ("map?method=ad", {"inputs": []}, "?method"),
        ("map?method=add&parameters.nmae=x", {"inputs": []}, "?parameters.nmae"),
        ("map?method=add", {"inputs": [], "method": "add"}, "?method"),
        ("map?method=add", {"inputs": [{"method": "add"}]}, "/inputs/0"),
    ):
        answer = await server.ask("POST", f"/v1/functions/mapped:Counter/{path}", wrong)
        assert (answer.status, answer.json["errors"][0]["pointer"]) == (422, place), answer.text


async def test_an_idempotency_key_counts_what_a_call_is_for(server: Served) -> None:
    await deploy(server, "keyed")
    headers = {"Idempotency-Key": "once"}
    path = "/v1/functions/keyed:Counter/invocations"
    first = await server.ask("POST", path, {"method": "add"}, headers=headers)
    same = await server.ask("POST", path, {"method": "add", "parameters": {"name": "small"}}, headers=headers)
    other = await server.ask("POST", path, {"method": "add", "parameters": {"name": "large"}}, headers=headers)
    assert first.json["call_id"] == same.json["call_id"]
    assert (same.headers["Idempotency-Replayed"], other.status) == ("true", 422)


async def test_a_redrive_is_for_the_same_method_and_parameters(server: Served) -> None:
    await deploy(server, "again")
    failed = (await invoke(server, "again:Counter", "add", "no number", name="large")).json
    assert failed["status"] == "failure"
    answer = await server.ask("POST", f"/v1/function-calls/{failed['call_id']}/redrive")
    assert answer.status == 202, answer.text
    assert (answer.json["method"], answer.json["parameters"]["name"]) == ("add", "large")


async def test_a_schedule_calls_the_method_with_the_defaults(server: Served) -> None:
    schedule = {"period": {"years": 1}, "overlap": "skip"}
    await deploy(server, "timed", methods=["add"], schedule=schedule)
    (made,) = (await server.ask("GET", "/v1/schedules?function_id=timed:Counter")).json["data"]
    run = await server.ask("POST", f"/v1/schedules/{made['schedule_id']}/run")
    assert run.status == 202, run.text
    call = (await server.ask("GET", f"/v1/function-calls/{run.json['call_id']}?wait=30")).json
    assert (call["kind"], call["method"], call["result"][:2]) == ("schedule", "add", ["small", 1])


async def test_an_override_is_for_all_combinations(server: Served) -> None:
    await deploy(server, "paused")
    path = "/v1/functions/paused:Counter"
    assert (await server.ask("PATCH", f"{path}/autoscaler", {"max_containers": 0})).status == 200
    calls = [
        (await server.ask("POST", f"{path}/spawn", {"method": "add", "parameters": {"name": name}})).json
        for name in ("small", "large")
    ]
    assert [call["pending_reason"]["code"] for call in calls] == ["paused", "paused"]
    assert (await server.ask("POST", f"{path}/cancel-pending")).json == {"cancelled": 2}
    needy = [{"name": "name", "type": "str"}]
    await deploy(server, "paused", parameters=needy, enter=[], exit=[])
    refused = await server.ask("PATCH", f"{path}/autoscaler", {"min_containers": 1})
    assert (refused.status, refused.json["errors"][0]["pointer"]) == (422, "/min_containers")
