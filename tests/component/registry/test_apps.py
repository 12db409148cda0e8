import asyncio
from dataclasses import replace

import pytest

from tests.component.registry.conftest import ROOT, STAGING, House, Make, Open, plain
from yurt.domain.errors import AlreadyExists, AppStopped, Invalid, NotEphemeral, NotFound
from yurt.domain.records import AppState


async def test_a_new_app_lives_in_the_environment_that_was_meant(house: House) -> None:
    by_default = await house.apps.create(ROOT, name="thumbs", tags={"team": "media"})
    by_token = await house.apps.create(STAGING, name="thumbs")
    by_name = await house.apps.create(ROOT, name="other", environment="staging")
    assert [app.environment for app in (by_default, by_token, by_name)] == ["main", "staging", "staging"]
    assert (by_default.state, by_default.created_by) == (AppState.DEPLOYED, "tk-root")
    assert await house.apps.get(ROOT, by_default.id) == by_default
    assert await house.apps.get(STAGING, "thumbs") == by_token


async def test_an_unknown_environment_is_refused_and_not_made(house: House) -> None:
    with pytest.raises(NotFound) as caught:
        await house.apps.create(ROOT, name="thumbs", environment="stagging")
    assert caught.value.reason == "environment_not_found"


async def test_a_token_cannot_create_or_see_elsewhere(house: House, deployed: Make) -> None:
    app_id = await deployed("thumbs")
    with pytest.raises(NotFound):
        await house.apps.create(STAGING, name="thumbs", environment="main")
    for ref in (app_id, "thumbs"):
        with pytest.raises(NotFound):
            await house.apps.get(STAGING, ref)
        with pytest.raises(NotFound):
            await house.apps.stop(STAGING, ref)
        with pytest.raises(NotFound):
            await house.apps.renew(STAGING, ref)
        with pytest.raises(NotFound):
            await house.functions.put(STAGING, ref, "resize", plain())


@pytest.mark.parametrize("name", ["ap-1", "fu-x", "", "-a", "a" * 65, "a b", "a:b", "ä", "a\n"])
async def test_a_bad_name_is_refused(house: House, name: str) -> None:
    with pytest.raises(Invalid) as caught:
        await house.apps.create(ROOT, name=name)
    assert [error.pointer for error in caught.value.errors] == ["/name"]


async def test_bad_tags_and_times_are_all_named(house: House) -> None:
    with pytest.raises(Invalid) as caught:
        await house.apps.create(ROOT, name="!", tags={"k" * 64: "", "a/b": "v" * 64, "ok": "", "c": "\0"}, ttl_s=14)
    wrong = ["/name", "/ttl", "/tags/" + "k" * 64, "/tags/a~1b", "/tags/c"]
    assert [error.pointer for error in caught.value.errors] == wrong
    with pytest.raises(Invalid):
        await house.apps.create(ROOT, name="a", tags={str(n): "" for n in range(65)})


async def test_a_live_name_is_taken_and_its_bearer_named(house: House, deployed: Make) -> None:
    app_id = await deployed("thumbs")
    with pytest.raises(AlreadyExists) as caught:
        await house.apps.create(ROOT, name="thumbs")
    assert caught.value.extra == {"app_id": app_id}
    await house.apps.stop(ROOT, "thumbs")
    assert (await house.apps.create(ROOT, name="thumbs")).id != app_id


async def test_of_two_at_once_one_gets_the_name(house: House) -> None:
    made = await asyncio.gather(*(house.apps.create(ROOT, name="thumbs") for _ in range(5)), return_exceptions=True)
    assert sorted(type(one).__name__ for one in made) == ["AlreadyExists"] * 4 + ["App"]


async def test_stopping_takes_everything_out_and_tells_the_pools(house: House, deployed: Make) -> None:
    app_id = await deployed("thumbs", "resize", "crop")
    ids = {live.function_id for live in house.catalog.functions_of(app_id)}
    await house.apps.stop(ROOT, "thumbs")
    assert set(house.pools.told) == {("retire", function_id, "app_stopped") for function_id in ids}
    assert list(house.catalog.all()) == []
    stopped = await house.apps.get(ROOT, app_id)
    assert (stopped.state, stopped.stopped_by, stopped.stopped_at) == (AppState.STOPPED, "tk-root", house.clock.now())


async def test_stopping_again_is_fine_by_id_and_not_found_by_name(house: House, deployed: Make) -> None:
    app_id = await deployed("thumbs", "resize")
    await house.apps.stop(ROOT, app_id)
    house.pools.told.clear()
    house.clock.advance(60)
    before = await house.apps.get(ROOT, app_id)
    await house.apps.stop(ROOT, app_id)
    assert await house.apps.get(ROOT, app_id) == before
    assert house.pools.told == []
    with pytest.raises(NotFound, match=rf"{app_id}\) was stopped at 2027-"):
        await house.apps.stop(ROOT, "thumbs")


async def test_nothing_can_be_deployed_into_a_stopped_app(house: House, deployed: Make) -> None:
    app_id = await deployed("thumbs")
    await house.apps.stop(ROOT, app_id)
    with pytest.raises(AppStopped):
        await house.functions.put(ROOT, app_id, "resize", plain())
    with pytest.raises(NotFound):
        await house.functions.put(ROOT, "thumbs", "resize", plain())


async def test_the_list_is_newest_first_filtered_and_paged(house: House, deployed: Make) -> None:
    ids = [await deployed(name) for name in ("a", "b", "c")]
    other = await deployed("d", environment="staging")
    house.clock.advance(1)
    short = (await house.apps.create(ROOT, name="e", ttl_s=60)).id
    await house.apps.stop(ROOT, "a")

    async def listed(principal: object = ROOT, **filters: object) -> list[str]:
        assert principal in {ROOT, STAGING}
        found = await house.apps.find(STAGING if principal == STAGING else ROOT, limit=50, **filters)  # type: ignore[arg-type]
        return [app.id for app in found]

    assert await listed() == [short, other, *reversed(ids)]
    assert await listed(STAGING) == [other]
    assert await listed(environment="staging") == [other]
    assert await listed(state=AppState.STOPPED) == [ids[0]]
    assert await listed(state=AppState.EPHEMERAL) == [short]
    assert await listed(state=AppState.DEPLOYED) == [other, ids[2], ids[1]]
    assert await listed(name="b") == [ids[1]]
    page = await house.apps.find(ROOT, before=other, limit=2)
    assert [app.id for app in page] == [ids[2], ids[1]]
    with pytest.raises(NotFound):
        await listed(environment="nowhere")
    with pytest.raises(NotFound):
        await listed(STAGING, environment="main")


async def test_running_containers_are_counted_also_while_a_stopped_app_drains(house: House, deployed: Make) -> None:
    app_id = await deployed("thumbs", "resize", "crop")
    for live in house.catalog.functions_of(app_id):
        house.pools.running[live.function_id] = 2
    await house.apps.stop(ROOT, app_id)
    assert await house.apps.containers_running(await house.apps.get(ROOT, app_id)) == 4


async def test_an_ephemeral_app_lives_as_long_as_it_is_renewed(house: House) -> None:
    app = await house.apps.create(ROOT, name="thumbs-dev", ttl_s=60)
    assert app.expires_at == house.clock.now() + 60
    await house.functions.put(ROOT, app.id, "resize", plain())
    house.clock.advance(59)
    renewed = await house.apps.renew(ROOT, "thumbs-dev")
    assert renewed.expires_at == house.clock.now() + 60
    house.clock.advance(59)
    await house.apps.expire(house.clock.now())
    assert (await house.apps.get(ROOT, app.id)).state == AppState.EPHEMERAL
    house.clock.advance(1)
    await house.apps.expire(house.clock.now())
    ended = await house.apps.get(ROOT, app.id)
    assert (ended.state, ended.stopped_by) == (AppState.STOPPED, "expired")
    assert house.pools.told[-1][0] == "retire"
    with pytest.raises(AppStopped):
        await house.apps.renew(ROOT, app.id)


async def test_an_app_that_is_renewed_while_it_expires_lives_on(house: House) -> None:
    app = await house.apps.create(ROOT, name="thumbs-dev", ttl_s=60)
    house.clock.advance(60)
    async with house.registry.changing():
        expiring = asyncio.create_task(house.apps.expire(house.clock.now()))
        await asyncio.sleep(0)
        house.catalog.put_app(replace(app, expires_at=house.clock.now() + 60))
    await expiring
    assert house.catalog.app(ROOT, app.id) is not None


async def test_a_deployed_app_is_not_renewed(house: House, deployed: Make) -> None:
    with pytest.raises(NotEphemeral, match="not ephemeral"):
        await house.apps.renew(ROOT, await deployed("thumbs"))


async def test_the_time_of_a_restart_does_not_count(open_house: Open) -> None:
    async with open_house() as house:
        app = await house.apps.create(ROOT, name="thumbs-dev", ttl_s=60)
        house.clock.advance(3600)
    async with open_house() as house:
        assert house.apps.due(house.clock.now())
        await house.apps.renew_all(house.clock.now())
        assert not house.apps.due(house.clock.now() + 59)
        assert (await house.apps.get(ROOT, app.id)).expires_at == house.clock.now() + 60
