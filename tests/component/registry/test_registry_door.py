"""Apps, functions and bundles through HTTP."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from tests.component.doors import Answered, Door, served
from tests.component.registry.conftest import CODE, House, plain
from yurt.domain import bundle
from yurt.domain.endings import Ending
from yurt.domain.records import Outcome, Role
from yurt.domain.web import WebPlaces
from yurt.inbound.rest import apps, bundles, deploys, docs, functions, registry_shapes, secrets
from yurt.inbound.rest.answers import cursor
from yurt.inbound.rest.pages import Pages
from yurt.inbound.rest.readiness import Health, Phase
from yurt.metrics import Metrics
from yurt.usecases.apps import Apps
from yurt.usecases.bundles import Bundles
from yurt.usecases.environments import Environments
from yurt.usecases.functions import Functions
from yurt.usecases.secrets import Secrets
from yurt.usecases.tokens import Tokens

OPERATIONS = (
    *apps.OPERATIONS,
    *functions.OPERATIONS,
    *deploys.OPERATIONS,
    *bundles.OPERATIONS,
    *secrets.OPERATIONS,
    *docs.OPERATIONS,
)


@dataclass
class DoorServices:
    environments: Environments
    tokens: Tokens
    health: Health
    apps: Apps
    functions: Functions
    bundles: Bundles
    secrets: Secrets
    metrics: Metrics = field(default_factory=Metrics)
    web: WebPlaces = field(default_factory=WebPlaces)
    pages: Pages = field(default_factory=Pages)


@pytest.fixture
async def door(house: House) -> AsyncIterator[Door]:
    registry = house.registry
    tokens = Tokens(registry.store, house.clock, registry.random_bytes, registry.environments)
    health = Health({}, ())
    health.phase = Phase.SERVING
    services = DoorServices(
        registry.environments, tokens, health, house.apps, house.functions, house.bundles, house.secrets
    )
    users = {"root": (Role.ADMIN, None), "reader": (Role.READ, None), "staging": (Role.DEPLOY, "staging")}
    async with served(services, tokens, OPERATIONS, users) as made:
        yield made


def pointers(answered: Answered) -> list[str]:
    return [error["pointer"] for error in answered.json["errors"]]


async def test_an_app_from_creation_to_its_end(door: Door) -> None:
    made = await door.ask("POST", "/v1/apps", {"name": "thumbs", "tags": {"team": "media"}})
    assert made.status == 201
    app = registry_shapes.App.model_validate_json(made.text)
    assert made.json == {
        "app_id": app.app_id,
        "name": "thumbs",
        "state": "deployed",
        "environment": "main",
        "tags": {"team": "media"},
        "created_at": "2027-01-15T08:00:00.000Z",
        "containers_running": 0,
    }
    assert made.headers["Location"] == f"/v1/apps/{app.app_id}"
    for ref in (app.app_id, "thumbs", "thumbs?environment=main"):
        assert (await door.ask("GET", f"/v1/apps/{ref}")).json == made.json

    taken = await door.ask("POST", "/v1/apps", {"name": "thumbs"})
    assert (taken.status, taken.json["code"], taken.json["app_id"]) == (409, "already_exists", app.app_id)

    for _ in range(2):
        assert (await door.ask("DELETE", f"/v1/apps/{app.app_id}")).status == 204
    assert (await door.ask("DELETE", "/v1/apps/thumbs")).status == 404
    stopped = await door.ask("GET", f"/v1/apps/{app.app_id}")
    assert (stopped.json["state"], stopped.json["stopped_at"]) == ("stopped", "2027-01-15T08:00:00.000Z")


async def test_ephemeral_apps_show_and_renew_their_time(door: Door, house: House) -> None:
    made = await door.ask("POST", "/v1/apps", {"name": "dev", "ephemeral": True, "ttl": 30})
    assert (made.json["state"], made.json["expires_at"]) == ("ephemeral", "2027-01-15T08:00:30.000Z")
    house.clock.advance(10)
    renewed = await door.ask("POST", "/v1/apps/dev/renew")
    assert (renewed.status, renewed.json["expires_at"]) == (200, "2027-01-15T08:00:40.000Z")
    default = await door.ask("POST", "/v1/apps", {"name": "dev2", "ephemeral": True})
    assert default.json["expires_at"] == "2027-01-15T08:01:10.000Z"
    await door.ask("POST", "/v1/apps", {"name": "thumbs"})
    assert (await door.ask("POST", "/v1/apps/thumbs/renew")).status == 409
    await door.ask("DELETE", f"/v1/apps/{made.json['app_id']}")
    gone = await door.ask("POST", f"/v1/apps/{made.json['app_id']}/renew")
    assert (gone.status, gone.json["code"]) == (409, "app_stopped")


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({}, ["/name"]),
        ({"name": "ap-x"}, ["/name"]),
        ({"name": "!"}, ["/name"]),
        ({"name": "a", "ttl": 30}, ["/ttl"]),
        ({"name": "a", "ttl": 14, "ephemeral": True}, ["/ttl"]),
        ({"name": "a", "tag": {}}, ["/tag"]),
        ({"name": "a", "tags": {"x": 1}}, ["/tags/x"]),
        ({"name": "a", "tags": {"": "x"}}, ["/tags/"]),
    ],
)
async def test_a_bad_app_is_refused(door: Door, body: dict[str, object], where: list[str]) -> None:
    refused = await door.ask("POST", "/v1/apps", body)
    assert (refused.status, pointers(refused)) == (422, where)


async def test_an_unknown_environment_is_told(door: Door) -> None:
    for answered in (
        await door.ask("POST", "/v1/apps", {"name": "a", "environment": "nowhere"}),
        await door.ask("GET", "/v1/apps?environment=nowhere"),
        await door.ask("GET", "/v1/functions/a:b?environment=nowhere"),
    ):
        assert (answered.status, answered.json["code"]) == (404, "environment_not_found")


async def test_apps_are_listed_by_pages_and_filters(door: Door, house: House) -> None:
    for name in ("a", "b", "c"):
        await door.ask("POST", "/v1/apps", {"name": name})
        house.clock.advance(1)
    await door.ask("DELETE", "/v1/apps/b")
    first = (await door.ask("GET", "/v1/apps?limit=2")).json
    assert [app["name"] for app in first["data"]] == ["c", "b"]
    second = (await door.ask("GET", f"/v1/apps?limit=2&cursor={first['next_cursor']}")).json
    assert ([app["name"] for app in second["data"]], "next_cursor" in second) == (["a"], False)
    stopped = (await door.ask("GET", "/v1/apps?state=stopped")).json
    assert [app["name"] for app in stopped["data"]] == ["b"]
    unknown = await door.ask("GET", "/v1/apps?state=running")
    assert (unknown.status, pointers(unknown)) == (422, ["?state"])
    assert (await door.ask("GET", "/v1/apps?cursor=x")).status == 404


async def test_a_function_from_registration_to_its_end(door: Door) -> None:
    await door.ask("POST", "/v1/apps", {"name": "thumbs"})
    sent = plain(memory=1024, gpu=["a10g:2", "T4"], image=None, min_containers=1, retries=0)
    made = await door.ask("PUT", "/v1/apps/thumbs/functions/resize", sent)
    assert (made.status, made.headers["ETag"]) == (201, '"1"')
    function = registry_shapes.Function.model_validate_json(made.text)
    assert made.json["definition"] == sent
    assert (function.gpu, function.memory, function.min_containers, function.max_containers) == ("A10:2", 1024, 1, 10)
    assert "300.0" not in made.text
    warned = {"warnings": made.json["warnings"]}
    assert [warning["code"] for warning in made.json["warnings"]] == ["no_such_gpu"]
    assert "image" not in made.json
    assert made.headers["Location"] == f"/v1/functions/{function.function_id}"

    for path in (f"functions/{function.function_id}", "functions/thumbs:resize", "apps/thumbs/functions/resize"):
        got = await door.ask("GET", f"/v1/{path}")
        assert (got.status, got.json | warned, got.headers["ETag"]) == (200, made.json, '"1"')

    same = await door.ask("PUT", "/v1/apps/thumbs/functions/resize", sent, headers={"If-Match": '"1"'})
    assert (same.status, same.headers["ETag"]) == (200, '"1"')
    changed = await door.ask("PUT", "/v1/apps/thumbs/functions/resize", plain(), headers={"If-Match": 'W/"1"'})
    assert (changed.status, changed.headers["ETag"]) == (200, '"2"')
    moved = await door.ask("PUT", "/v1/apps/thumbs/functions/resize", sent, headers={"If-Match": '"1"'})
    assert (moved.status, moved.json["code"], moved.json["revision"]) == (412, "revision_moved", 2)
    for tags, status in (
        ("1", 412),
        ('"1", "x"', 412),
        ("*", 200),
        ('"9", 3', 200),
        ('"a,b" , "3"', 200),
        ('"a,b"', 412),
        ('"3" "3"', 400),
        ("", 400),
        ("x", 400),
        ("{}", 400),
    ):
        again = await door.ask("PUT", "/v1/apps/thumbs/functions/resize", sent, headers={"If-Match": tags})
        assert again.status == status, tags

    listed = (await door.ask("GET", "/v1/apps/thumbs/functions")).json["data"]
    assert [one["function_id"] for one in listed] == [function.function_id]
    assert "definition" not in listed[0]

    for _ in range(2):
        assert (await door.ask("DELETE", f"/v1/functions/{function.function_id}")).status == 204
    assert (await door.ask("DELETE", "/v1/apps/thumbs/functions/resize")).status == 404
    assert "deleted_at" in (await door.ask("GET", f"/v1/functions/{function.function_id}")).json


async def test_what_is_wrong_with_a_definition_is_told_at_once(door: Door) -> None:
    await door.ask("POST", "/v1/apps", {"name": "thumbs"})
    path = "/v1/apps/thumbs/functions/resize"
    refused = await door.ask("PUT", path, plain(gpu="H1OO", memory="1", priority=3))
    assert (refused.status, sorted(pointers(refused))) == (422, ["/gpu", "/memory", "/priority"])
    assert (await door.ask("PUT", path, [])).status == 422
    assert (await door.ask("PUT", path, data=b"{", headers={"Content-Type": "application/json"})).status == 400
    huge = await door.ask("PUT", path, data=b'{"memory": 1e999}', headers={"Content-Type": "application/json"})
    assert huge.status in {400, 422}
    deep = await door.ask("PUT", path, data=b"[" * 100_000, headers={"Content-Type": "application/json"})
    assert deep.status == 400
    nested = b'{"x": ' + b"[" * 900 + b"]" * 900 + b"}"
    assert (await door.ask("PUT", path, data=nested, headers={"Content-Type": "application/json"})).status == 422
    big = await door.ask(
        "PUT", path, data=b'{"memory": 1' + b"0" * 400 + b"}", headers={"Content-Type": "application/json"}
    )
    assert big.status in {400, 422}
    image = await door.ask("PUT", path, plain(image="python:3.12"))
    assert [warning["code"] for warning in image.json["warnings"]] == ["image_ignored"]


async def test_a_dry_run_of_an_app_that_is_not_there(door: Door) -> None:
    path = "/v1/apps/thumbs/functions?dry_run=true"
    dry = await door.ask("PUT", path, {"functions": {"resize": plain()}})
    registry_shapes.Deploy.model_validate(dry.json)
    nothing: list[str] = []
    assert dry.json == {
        "created": ["resize"],
        "updated": nothing,
        "unchanged": nothing,
        "removed": nothing,
        "warnings": nothing,
    }
    refused = await door.ask("PUT", path, {"functions": {"resize": plain(gpu="H1OO")}})
    assert (refused.status, pointers(refused)) == (422, ["/functions/resize/gpu"])
    assert (await door.ask("GET", "/v1/apps")).json["data"] == []


async def test_a_deploy_of_many(door: Door, house: House) -> None:
    app_id = (await door.ask("POST", "/v1/apps", {"name": "thumbs"})).json["app_id"]
    path = "/v1/apps/thumbs/functions"
    await door.ask("PUT", path, {"functions": {"resize": plain(), "old": plain()}})
    wanted = {"functions": {"resize": plain(timeout=5), "crop": plain(image="x")}, "prune": True}
    dry = await door.ask("PUT", path + "?dry_run=true", wanted)
    done = await door.ask("PUT", path, wanted)
    assert dry.json == done.json
    registry_shapes.Deploy.model_validate(done.json)
    assert done.json == {
        "app_id": app_id,
        "created": ["crop"],
        "updated": [{"name": "resize", "changed": ["timeout"], "revision": 2}],
        "unchanged": [],
        "removed": ["old"],
        "warnings": [
            {
                "code": "image_ignored",
                "function": "crop",
                "pointer": "/functions/crop/image",
                "message": "This engine ignores images: the function runs with the interpreter of its containers.",
            }
        ],
    }
    assert sorted(live.name for live in house.catalog.all()) == ["crop", "resize"]
    again = await door.ask("PUT", path, wanted)
    assert again.json["unchanged"] == ["resize", "crop"]


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({}, ["/functions"]),
        ([], [""]),
        ({"functions": [], "prune": 1, "purge": True}, ["/purge", "/functions", "/prune"]),
        ({"functions": {"a b": plain(), "c": {}}}, ["/functions/a b", "/functions/c/entrypoint"]),
    ],
)
async def test_a_bad_deploy_is_refused_whole(door: Door, house: House, body: object, where: list[str]) -> None:
    await door.ask("POST", "/v1/apps", {"name": "thumbs"})
    refused = await door.ask("PUT", "/v1/apps/thumbs/functions", body)
    assert (refused.status, pointers(refused)) == (422, where)
    assert list(house.catalog.all()) == []


async def test_revisions_and_rollback(door: Door) -> None:
    await door.ask("POST", "/v1/apps", {"name": "thumbs"})
    for memory in (100, 200, 300):
        await door.ask("PUT", "/v1/apps/thumbs/functions/resize", plain(memory=memory))
    back = await door.ask("POST", "/v1/functions/thumbs:resize/rollback", {"revision": 1})
    assert (back.status, back.headers["ETag"], back.json["memory"]) == (200, '"4"', 100)
    first = (await door.ask("GET", "/v1/functions/thumbs:resize/revisions?limit=3")).json
    rows = [registry_shapes.Revision.model_validate(row) for row in first["data"]]
    assert [(row.revision, row.current, row.rollback_of) for row in rows] == [
        (4, True, 1),
        (3, False, None),
        (2, False, None),
    ]
    assert rows[0].definition == plain(memory=100, source={"bundle": rows[0].bundle})
    rest = (await door.ask("GET", f"/v1/functions/thumbs:resize/revisions?cursor={first['next_cursor']}")).json
    assert [row["revision"] for row in rest["data"]] == [1]
    for key, status in ((-1, 404), ("x", 404), (2**60, 200)):
        forged = cursor("revisions", key)
        assert (await door.ask("GET", f"/v1/functions/thumbs:resize/revisions?cursor={forged}")).status == status
    bad = await door.ask("POST", "/v1/functions/thumbs:resize/rollback", {"revision": 9})
    assert (bad.status, bad.json["code"]) == (404, "not_found")


async def test_the_autoscaler_is_overridden_and_lifted(door: Door) -> None:
    await door.ask("POST", "/v1/apps", {"name": "thumbs"})
    made = await door.ask("PUT", "/v1/apps/thumbs/functions/resize", plain(max_containers=4))
    path = "/v1/functions/thumbs:resize/autoscaler"
    done = await door.ask("PATCH", path, {"max_containers": 0, "sticky": True})
    assert done.status == 200
    registry_shapes.Autoscaler.model_validate(done.json)
    scaling = {"min_containers": 0, "max_containers": 10, "buffer_containers": 0, "scaledown_window": 60}
    assert done.json == {
        "function_id": made.json["function_id"],
        "default": scaling,
        "defined": {"max_containers": 4},
        "override": {"max_containers": 0, "sticky": True},
        "effective": {**scaling, "max_containers": 0},
    }
    assert (await door.ask("GET", "/v1/functions/thumbs:resize")).json["max_containers"] == 0
    lifted = await door.ask("PATCH", path, {"max_containers": None})
    assert (lifted.json["override"], lifted.json["effective"]["max_containers"]) == ({"sticky": True}, 4)
    assert (await door.ask("PATCH", path, {})).status == 200
    for bad in ({"max_container": 1}, {"scaledown_window": 1}, {"min_containers": 5}, {"sticky": "yes"}):
        assert (await door.ask("PATCH", path, bad)).status == 422


async def test_a_deploy_error_is_shown_while_it_lasts(door: Door, house: House) -> None:
    await door.ask("POST", "/v1/apps", {"name": "thumbs"})
    made = await door.ask("PUT", "/v1/apps/thumbs/functions/resize", plain())
    house.pools.failing[made.json["function_id"]] = Ending(Outcome.INIT_FAILURE, error={"message": "no module x"})
    shown = await door.ask("GET", "/v1/functions/thumbs:resize")
    assert shown.json["deploy_error"] == {"outcome": "init_failure", "message": "no module x"}


async def test_a_bundle_is_uploaded_seen_and_used(door: Door) -> None:
    data = bundle.pack({"main.py": CODE.encode()})
    path = f"/v1/bundles/{bundle.name_of(data)}"
    zipped = {"Content-Type": "application/zip"}
    assert (await door.ask("PUT", path, data=data, headers={"Content-Type": "text/plain"})).status == 415
    assert (await door.ask("HEAD", path)).status == 404
    first = await door.ask("PUT", path, data=data, headers=zipped)
    again = await door.ask("PUT", path, data=data, headers={"Content-Type": "application/octet-stream"})
    assert (first.status, again.status, again.json) == (201, 200, first.json)
    registry_shapes.Bundle.model_validate(first.json)
    assert (await door.ask("HEAD", path)).status == 200
    assert (await door.ask("HEAD", path, by="staging")).status == 404
    await door.ask("POST", "/v1/apps", {"name": "thumbs"})
    used = await door.ask("PUT", "/v1/apps/thumbs/functions/resize", plain(source={"bundle": bundle.name_of(data)}))
    assert used.status == 201
    wrong = await door.ask("PUT", "/v1/bundles/" + "0" * 64, data=data, headers=zipped)
    assert (wrong.status, pointers(wrong)) == (422, ["{sha256}"])
    evil = bundle.name_of(b"PK evil")
    assert (await door.ask("PUT", f"/v1/bundles/{evil}", data=b"PK evil", headers=zipped)).status == 422


async def test_each_role_and_each_binding_has_its_bounds(door: Door) -> None:
    await door.ask("POST", "/v1/apps", {"name": "thumbs"})
    made = await door.ask("PUT", "/v1/apps/thumbs/functions/resize", plain())
    function_id = made.json["function_id"]
    assert (await door.ask("GET", "/v1/apps/thumbs", by="reader")).status == 200
    changes: tuple[tuple[str, str, object], ...] = (
        ("POST", "/v1/apps", {"name": "x"}),
        ("DELETE", "/v1/apps/thumbs", None),
        ("PUT", "/v1/apps/thumbs/functions/resize", plain(memory=100)),
        ("PUT", "/v1/apps/thumbs/functions", {"functions": {}, "prune": True}),
        ("DELETE", f"/v1/functions/{function_id}", None),
        ("POST", f"/v1/functions/{function_id}/rollback", {"revision": 1}),
        ("PATCH", f"/v1/functions/{function_id}/autoscaler", {"max_containers": 0}),
    )
    for method, path, body in changes:
        assert (await door.ask(method, path, body, by="reader")).status == 403, (method, path)
        if path != "/v1/apps":
            assert (await door.ask(method, path, body, by="staging")).status == 404, (method, path)
    assert (await door.ask("GET", f"/v1/functions/{function_id}")).json == made.json
    assert (await door.ask("GET", "/v1/apps", by="staging")).json == {"data": []}


async def test_the_document_has_every_operation_of_the_contract(door: Door) -> None:
    document = (await door.ask("GET", "/openapi.json")).json
    rows = [row for path in document["paths"].values() for row in path.values() if isinstance(row, dict)]
    found = {row["operationId"] for row in rows}
    assert {"listApps", "createApp", "getApp", "stopApp", "listFunctions", "getFunction"} <= found
    assert {row.operation_id for row in OPERATIONS} <= found


HUSH = "hush-hush-hush"


async def test_a_secret_from_its_making_to_its_end(door: Door, house: House) -> None:
    path = "/v1/secrets/openai"
    made = await door.ask("PUT", path, {"values": {"KEY": HUSH, "ORG": "x"}})
    assert (made.status, made.json["keys"], made.json["environment"]) == (201, ["KEY", "ORG"], "main")
    assert secrets.Secret.model_validate_json(made.text).secret_id.startswith("st-")
    house.clock.advance(1)
    again = await door.ask("PUT", path, {"values": {"KEY": HUSH}})
    assert (again.status, again.json["keys"], again.json["secret_id"]) == (200, ["KEY"], made.json["secret_id"])
    shown = await door.ask("GET", path, by="reader")
    assert shown.json == again.json
    await door.ask("POST", "/v1/apps", {"name": "thumbs"})
    put = await door.ask("PUT", "/v1/apps/thumbs/functions/resize", plain(secrets=["openai"]))
    assert (put.status, put.json["definition"]["secrets"]) == (201, ["openai"])
    used = await door.ask("DELETE", path)
    assert (used.status, used.json["code"]) == (409, "in_use")
    assert "thumbs:resize" in used.json["detail"]
    rotated = await door.ask("POST", "/v1/secret-key/rotate")
    assert (rotated.status, rotated.json["made"], rotated.json["secrets"]) == (200, True, 1)
    await door.ask("DELETE", "/v1/apps/thumbs")
    gone = await door.ask("DELETE", path)
    assert (gone.status, gone.text) == (204, "")
    assert (await door.ask("DELETE", path)).status == 404
    answers = (made, again, shown, put, used, rotated)
    assert HUSH not in "".join(answer.text for answer in answers)


async def test_secrets_page_by_cursor(door: Door, house: House) -> None:
    for name in ("a", "b", "c"):
        await door.ask("PUT", f"/v1/secrets/{name}", {"values": {"KEY": HUSH}})
        house.clock.advance(1)
    await door.ask("PUT", "/v1/secrets/d?environment=staging", {"values": {"KEY": HUSH}})
    first = await door.ask("GET", "/v1/secrets?limit=2&environment=main")
    assert [one["name"] for one in first.json["data"]] == ["c", "b"]
    second = await door.ask("GET", f"/v1/secrets?limit=2&environment=main&cursor={first.json['next_cursor']}")
    assert ([one["name"] for one in second.json["data"]], "next_cursor" in second.json) == (["a"], False)
    assert [one["name"] for one in (await door.ask("GET", "/v1/secrets", by="staging")).json["data"]] == ["d"]
    assert len((await door.ask("GET", "/v1/secrets")).json["data"]) == 4
    assert (await door.ask("GET", f"/v1/secrets?cursor={cursor('apps', 'x')}")).status == 404
    assert (await door.ask("GET", "/v1/secrets?environment=none")).status == 404


async def test_a_name_that_is_none_is_refused_in_words(door: Door) -> None:
    refused = await door.ask("POST", "/v1/apps", {"name": "two words"})

    assert (refused.status, pointers(refused)) == (422, ["/name"])
    assert "must be a name: 1 to 64 letters" in refused.json["errors"][0]["message"]
    assert refused.json["errors"][0]["message"].endswith(', got "two words"')


@pytest.mark.parametrize(
    ("body", "at"),
    [
        ({}, ["/values"]),
        ({"values": HUSH}, ["/values"]),
        ({"values": {}}, ["/values"]),
        ({"valeus": {"A": HUSH}}, ["/valeus", "/values"]),
        ({"values": {"A": HUSH}, "name": HUSH}, ["/name"]),
        ({"values": {"A": 7, "B": [HUSH], "YURT_A": HUSH, "C": HUSH}}, ["/values/YURT_A", "/values/A", "/values/B"]),
        ({"values": {"A": HUSH * 9999}}, ["/values"]),
    ],
)
async def test_wrong_values_are_named_and_never_repeated(door: Door, body: object, at: list[str]) -> None:
    refused = await door.ask("PUT", "/v1/secrets/openai", body)
    assert (refused.status, pointers(refused)) == (422, at)
    assert HUSH not in refused.text
    assert HUSH not in "".join(door.lines)


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (f'"{HUSH}"', 422),
        (f'["{HUSH}"]', 422),
        (f'{{"values": {{"A": "{HUSH}"', 400),
        (f'{{"values": {{"A": "{HUSH}", "B": 1e999}}}}', 400),
        ("", 400),
    ],
)
async def test_what_is_no_body_of_a_secret(door: Door, data: str, status: int) -> None:
    refused = await door.ask("PUT", "/v1/secrets/openai", data=data, headers={"Content-Type": "application/json"})
    assert refused.status == status
    assert HUSH not in refused.text


@pytest.mark.parametrize(
    ("method", "path", "by", "status"),
    [
        ("PUT", "/v1/secrets/openai", "reader", 403),
        ("DELETE", "/v1/secrets/openai", "reader", 403),
        ("POST", "/v1/secret-key/rotate", "staging", 403),
        ("GET", "/v1/secrets/openai?environment=main", "staging", 404),
        ("PUT", "/v1/secrets/openai?environment=main", "staging", 404),
        ("DELETE", "/v1/secrets/openai?environment=main", "staging", 404),
        ("GET", "/v1/secrets?environment=main", "staging", 404),
        ("PUT", "/v1/secrets/a%20b", "root", 422),
        ("GET", "/v1/secrets/a%20b", "root", 404),
        ("PUT", "/v1/secrets/openai?colour=red", "root", 422),
    ],
)
async def test_who_may_do_what_with_secrets(door: Door, method: str, path: str, by: str, status: int) -> None:
    await door.ask("PUT", "/v1/secrets/openai", {"values": {"KEY": HUSH}})
    body = {"values": {"KEY": "other"}} if method == "PUT" else None
    refused = await door.ask(method, path, body, by=by)
    assert refused.status == status, refused.text
    nobody = await door.ask(method, path.partition("?")[0], body, headers={"Authorization": ""})
    assert nobody.status == 401


async def test_a_deploy_names_the_secret_that_is_not_there(door: Door) -> None:
    await door.ask("POST", "/v1/apps", {"name": "thumbs"})
    await door.ask("PUT", "/v1/secrets/openai", {"values": {"KEY": HUSH}})
    refused = await door.ask("PUT", "/v1/apps/thumbs/functions/resize", plain(secrets=["opnai"]))
    assert (refused.status, pointers(refused)) == (422, ["/secrets/0"])
    assert 'no secret "opnai"' in refused.text.replace("\\", "")
    assert "Did you mean openai?" in refused.text
