"""Environments over HTTP."""

from tests.component.rest.conftest import Door
from yurt.domain.records import App, Role


async def test_main_is_there_from_the_start(door: Door) -> None:
    answer = await door.ask("GET", "/v1/environments")

    assert answer.status == 200
    assert [one["name"] for one in answer.json()["data"]] == ["main"]


async def test_put_creates_once(door: Door) -> None:
    created = await door.ask("PUT", "/v1/environments/staging")
    again = await door.ask("PUT", "/v1/environments/staging")

    assert (created.status, again.status) == (201, 200)
    assert created.json() == again.json() == (await door.ask("GET", "/v1/environments/staging")).json()


async def test_a_name_that_is_none_is_invalid_to_make_and_not_found_to_read(door: Door) -> None:
    made = await door.ask("PUT", "/v1/environments/-x%00")
    read = await door.ask("GET", "/v1/environments/-x%00")

    assert made.status == 422
    assert made.json()["errors"][0]["pointer"] == "{name}"
    assert read.status == 404


async def test_delete_refuses_live_apps_and_main(door: Door) -> None:
    await door.ask("PUT", "/v1/environments/staging")
    app = App("ap-1", "staging", "thumbs", "{}", door.clock.now(), "tk-1")
    door.store.kept[App, ("ap-1",)] = app

    in_use = await door.ask("DELETE", "/v1/environments/staging")
    main = await door.ask("DELETE", "/v1/environments/main")
    del door.store.kept[App, ("ap-1",)]
    gone = await door.ask("DELETE", "/v1/environments/staging")

    assert (in_use.status, in_use.json()["code"]) == (409, "in_use")
    assert "thumbs" in in_use.json()["detail"]
    assert main.status == 409
    assert gone.status == 204
    assert (await door.ask("GET", "/v1/environments/staging")).json()["code"] == "environment_not_found"


async def test_who_may_make_a_missing_environment_is_told_how(door: Door) -> None:
    hint = "PUT /v1/environments/staging makes it."
    deployer = await door.token(Role.DEPLOY)

    assert (await door.ask("GET", "/v1/environments/staging")).json()["detail"].endswith(hint)
    assert hint not in (await door.ask("GET", "/v1/environments/staging", token=deployer)).json()["detail"]


async def test_a_delete_that_fails_leaves_the_environment(door: Door) -> None:
    await door.ask("PUT", "/v1/environments/staging")
    door.store.away = True

    answer = await door.ask("DELETE", "/v1/environments/staging")

    assert (answer.status, answer.headers["Retry-After"]) == (503, "7")
    assert (await door.ask("GET", "/v1/environments/staging")).status == 200


async def test_a_bound_token_sees_its_own_alone(door: Door) -> None:
    await door.ask("PUT", "/v1/environments/staging")
    bound = await door.token(Role.ADMIN, "staging")

    listed = await door.ask("GET", "/v1/environments", token=bound)
    other = await door.ask("GET", "/v1/environments/main", token=bound)
    make = await door.ask("PUT", "/v1/environments/third", token=bound)
    take = await door.ask("DELETE", "/v1/environments/staging", token=bound)

    assert [one["name"] for one in listed.json()["data"]] == ["staging"]
    assert (other.status, make.status, take.status) == (404, 403, 403)


async def test_pages_follow_one_another(door: Door) -> None:
    names = ["a", "b", "c", "d", "main"]
    for name in names[:-1]:
        await door.ask("PUT", f"/v1/environments/{name}")

    seen: list[str] = []
    query = {"limit": "2"}
    for _ in range(3):
        body = (await door.ask("GET", "/v1/environments", params=query)).json()
        seen += [one["name"] for one in body["data"]]
        query["cursor"] = body.get("next_cursor", "")

    assert seen == names
    assert query["cursor"] == ""
