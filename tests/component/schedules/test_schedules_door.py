"""Schedules through HTTP."""

import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from tests.component.doors import Door, served
from tests.component.pools.rig import NoPost
from tests.component.schedules.conftest import EVERY_MINUTE, ROOT, Server, plain
from yurt.domain.records import Role
from yurt.domain.web import WebPlaces
from yurt.inbound.rest import apps, calls, deploys, schedules
from yurt.inbound.rest.call_shapes import Shaper
from yurt.inbound.rest.pages import Pages
from yurt.inbound.rest.readiness import Health, Phase
from yurt.metrics import Metrics
from yurt.ports import Clock
from yurt.usecases.apps import Apps
from yurt.usecases.callbacks import Callbacks
from yurt.usecases.calls import Calls
from yurt.usecases.environments import Environments
from yurt.usecases.functions import Functions
from yurt.usecases.maps import MapDesk
from yurt.usecases.redrives import Redrives
from yurt.usecases.schedules import Schedules
from yurt.usecases.tokens import Tokens

UNKNOWN = "sc-01kag5vvn0c6c3xz2v1jqhd4rt"


@dataclass
class DoorServices:
    environments: Environments
    tokens: Tokens
    apps: Apps
    functions: Functions
    schedules: Schedules
    calls: Calls
    callbacks: Callbacks
    redrives: Redrives
    shaper: Shaper
    health: Health
    clock: Clock
    metrics: Metrics = field(default_factory=Metrics)
    web: WebPlaces = field(default_factory=WebPlaces)
    pages: Pages = field(default_factory=Pages)


@pytest.fixture
async def door(server: Server) -> AsyncIterator[Door]:
    registry, rig = server.registry, server.rig
    tokens = Tokens(registry.store, rig.clock, registry.random_bytes, registry.environments)
    callbacks = Callbacks(rig.store, NoPost(), rig.clock, registry.environments, os.urandom)
    calls_desk = rig.desk()
    maps = MapDesk(rig.heart, rig.store, rig.tags, rig.clock, callbacks)
    health = Health({}, ())
    health.phase = Phase.SERVING
    services = DoorServices(
        registry.environments,
        tokens,
        server.apps,
        server.functions,
        server.schedules,
        calls_desk,
        callbacks,
        Redrives(calls_desk, maps, rig.store, rig.tags),
        Shaper(rig.tags),
        health,
        rig.clock,
    )
    await registry.environments.put(ROOT, "staging")
    users = {
        "root": (Role.ADMIN, None),
        "reader": (Role.READ, None),
        "caller": (Role.INVOKE, None),
        "staging": (Role.DEPLOY, "staging"),
    }
    operations = (*schedules.OPERATIONS, *apps.OPERATIONS, *deploys.OPERATIONS, *calls.OPERATIONS)
    async with served(services, tokens, operations, users) as made:
        yield made


async def scheduled(server: Server, **schedule: object) -> str:
    """Deploy `demo:work` with a schedule; its id."""
    await server.deploy(schedule or EVERY_MINUTE)
    return server.only().held.record.id


async def test_a_schedule_is_shown_with_its_next_and_last_calls(server: Server, door: Door) -> None:
    schedule_id = await scheduled(server, cron="0 9 * * 1-5", timezone="Europe/Berlin", overlap="skip")
    function_id = server.only().held.record.function_id
    shown = (await door.ask("GET", f"/v1/schedules/{schedule_id}", by="reader")).json
    schedules.Schedule.model_validate(shown)
    assert shown == {
        "schedule_id": schedule_id,
        "function_id": function_id,
        "function": "demo:work",
        "app_id": server.only().held.record.app_id,
        "environment": "main",
        "state": "active",
        "cron": "0 9 * * 1-5",
        "timezone": "Europe/Berlin",
        "overlap": "skip",
        "created_at": "2027-01-15T12:00:00.000Z",
        "next_at": "2027-01-18T08:00:00.000Z",
        "recent_calls": [],
    }
    for _ in range(2):
        await server.pass_time(3 * 86_400, step=3600)
    shown = (await door.ask("GET", f"/v1/schedules/{schedule_id}")).json
    (first,) = shown["recent_calls"]
    assert (first["scheduled_for"], first["manual"]) == ("2027-01-18T08:00:00.000Z", False)
    assert (shown["last_call_id"], shown["last_call_at"]) == (first["call_id"], "2027-01-18T08:00:00.000Z")
    assert shown["last_skipped_at"] == "2027-01-21T08:00:00.000Z"
    call = (await door.ask("GET", f"/v1/function-calls/{first['call_id']}")).json
    assert (call["kind"], call["status"]) == ("schedule", "pending")
    assert call["metadata"] == {"schedule_id": schedule_id, "scheduled_for": "2027-01-18T08:00:00.000Z"}
    (listed,) = (await door.ask("GET", f"/v1/function-calls?kind=schedule&metadata.schedule_id={schedule_id}")).json[
        "data"
    ]
    assert listed["call_id"] == first["call_id"]


async def test_a_period_is_shown_by_its_parts(server: Server, door: Door) -> None:
    schedule_id = await scheduled(server, period={"minutes": 5, "seconds": 0.5})
    shown = (await door.ask("GET", f"/v1/schedules/{schedule_id}")).json
    assert shown["period"] == {"minutes": 5, "seconds": 0.5}
    assert shown["next_at"] == "2027-01-15T12:05:00.500Z"
    assert "cron" not in shown
    assert "timezone" not in shown


async def test_pausing_resuming_and_running(server: Server, door: Door) -> None:
    schedule_id = await scheduled(server)
    for _ in range(2):
        paused = await door.ask("POST", f"/v1/schedules/{schedule_id}/pause")
        assert (paused.status, paused.json["state"]) == (200, "paused")
        assert "next_at" not in paused.json
    ran = await door.ask("POST", f"/v1/schedules/{schedule_id}/run", by="caller")
    assert (ran.status, ran.json["kind"], ran.json["status"]) == (202, "schedule", "pending")
    where = f"/v1/function-calls/{ran.json['call_id']}"
    assert ran.headers["Yurt-Call-Id"] == ran.json["call_id"]
    assert ran.headers["Location"] == ran.headers["Content-Location"] == where
    assert ran.json["pending_reason"]["message"]
    for _ in range(2):
        resumed = await door.ask("POST", f"/v1/schedules/{schedule_id}/resume")
        assert (resumed.status, resumed.json["state"]) == (200, "active")
    assert resumed.json["next_at"] == "2027-01-15T12:01:00.000Z"
    (recent,) = resumed.json["recent_calls"]
    assert (recent["call_id"], recent["manual"]) == (ran.json["call_id"], True)


async def test_lists_are_paged_and_filtered(server: Server, door: Door) -> None:
    for name in ("a", "b", "c"):
        server.rig.clock.advance(1)
        await server.functions.put_all(ROOT, "demo", {name: plain(schedule=EVERY_MINUTE)})
    server.rig.clock.advance(1)
    await server.apps.create(ROOT, name="other", environment="staging")
    await server.functions.put_all(ROOT, "other", {"d": plain(schedule=EVERY_MINUTE)}, environment="staging")

    async def names(query: str, by: str = "root") -> list[str]:
        answered = await door.ask("GET", f"/v1/schedules{query}", by=by)
        assert answered.status == 200, answered.text
        return [one["function"] for one in answered.json["data"]]

    assert await names("") == ["other:d", "demo:c", "demo:b", "demo:a"]
    assert await names("", by="staging") == await names("?environment=staging") == ["other:d"]
    assert await names("?app_id=demo") == ["demo:c", "demo:b", "demo:a"]
    assert await names("?function_id=demo:b") == ["demo:b"]
    assert await names("?function_id=other:d&environment=staging") == ["other:d"]
    first = (await door.ask("GET", "/v1/schedules?limit=3")).json
    assert await names(f"?limit=3&cursor={first['next_cursor']}") == ["demo:a"]
    assert all("recent_calls" not in one for one in first["data"])


@pytest.mark.parametrize(
    ("query", "status", "pointer"),
    [
        ("?limit=0", 422, "?limit"),
        ("?limit=201", 422, "?limit"),
        ("?state=active", 422, "?state"),
        ("?function_id=a/b", 422, "?function_id"),
        ("?cursor=x", 404, None),
        ("?function_id=demo:nothing", 404, None),
        ("?app_id=nothing", 404, None),
        ("?environment=nowhere", 404, None),
    ],
)
async def test_what_a_list_cannot_be_asked(door: Door, query: str, status: int, pointer: str | None) -> None:
    answered = await door.ask("GET", f"/v1/schedules{query}")
    assert answered.status == status, answered.text
    if pointer is not None:
        assert [error["pointer"] for error in answered.json["errors"]] == [pointer]


@pytest.mark.parametrize("what", ["", "/pause", "/resume", "/run"])
async def test_who_may_not_is_refused(server: Server, door: Door, what: str) -> None:
    schedule_id = await scheduled(server)
    method = "POST" if what else "GET"
    path = f"/v1/schedules/{schedule_id}{what}"
    assert (await door.ask(method, path, by="")).status == 401
    assert (await door.ask(method, path, by="staging")).status == 404, "it is of another environment"
    assert (await door.ask(method, f"/v1/schedules/{UNKNOWN}{what}")).status == 404
    assert (await door.ask(method, f"/v1/schedules/sc-1{what}")).status == 404
    assert (await door.ask(method, f"{path}?force=true")).status == 422
    expected = {"": 200, "/pause": 403, "/resume": 403, "/run": 403}[what]
    assert (await door.ask(method, path, by="reader")).status == expected
    expected = {"": 200, "/pause": 403, "/resume": 403, "/run": 202}[what]
    assert (await door.ask(method, path, by="caller")).status == expected


async def test_a_run_that_the_queue_has_no_room_for(server: Server, door: Door) -> None:
    schedule_id = await scheduled(server)
    for _ in range(5):
        server.rig.clock.advance(1)
        assert (await door.ask("POST", f"/v1/schedules/{schedule_id}/run")).status == 202
    full = await door.ask("POST", f"/v1/schedules/{schedule_id}/run")
    assert (full.status, full.json["code"]) == (429, "too_many_pending")


async def test_the_schedule_of_a_stopped_app_is_gone(server: Server, door: Door) -> None:
    schedule_id = await scheduled(server)
    await server.apps.stop(ROOT, "demo")
    gone = await door.ask("POST", f"/v1/schedules/{schedule_id}/run")
    assert gone.status == 404
    assert "goes with its function" in gone.json["detail"]
    assert (await door.ask("GET", "/v1/schedules")).json == {"data": []}


async def test_wrong_schedules_are_refused_all_at_once(door: Door) -> None:
    functions = {
        "a": plain(schedule={"cron": "* * *"}),
        "b": plain(schedule=EVERY_MINUTE, entrypoint="main:needs"),
        "c": plain(schedule={"period": {"days": 0}}),
        "d": plain(schedule=EVERY_MINUTE | {"timezone": "Mars/Olympus"}),
    }
    refused = await door.ask("PUT", "/v1/apps/demo/functions", {"functions": functions})
    assert refused.status == 422
    assert sorted(error["pointer"] for error in refused.json["errors"]) == [
        "/functions/a/schedule/cron",
        "/functions/b/schedule",
        "/functions/c/schedule/period",
        "/functions/d/schedule/timezone",
    ]
