"""Secrets in the registry: who may see and change them, who needs them, and how they are encrypted."""

import asyncio
from dataclasses import replace

import pytest

from tests.component.registry.conftest import ROOT, STAGING, House, Make, Open, plain
from yurt.domain.changes import Save
from yurt.domain.errors import Forbidden, InUse, Invalid, NotFound
from yurt.domain.functions import LiveFunction
from yurt.domain.secrets import SecretUnusable

HUSH = "hush-hush-hush"


async def live(house: House, *secrets: str, environment: str = "main", **more: object) -> LiveFunction:
    """A live function that has secrets."""
    app = await house.apps.create(ROOT, name="asks", environment=environment)
    await house.functions.put(ROOT, app.id, "resize", plain(secrets=[*secrets], **more))
    found = house.catalog.function(app.id, "resize")
    assert found is not None
    return found


async def test_values_reach_containers_in_their_order(house: House) -> None:
    await house.secrets.put(ROOT, "one", {"A": "one", "B": "one", "C": "one"})
    await house.secrets.put(ROOT, "two", {"A": "two", "B": "two"})
    function = await live(house, "one", "two", env={"A": "env"})
    assert await house.secrets.variables(function) == {"A": "env", "B": "two", "C": "one"}

    secret, new = await house.secrets.put(ROOT, "one", {"D": "new"})
    assert not new
    assert await house.secrets.variables(function) == {"A": "env", "B": "two", "D": "new"}
    assert secret.keys_json == '["D"]'


async def test_nothing_but_the_names_of_variables_is_stored_to_be_read(house: House) -> None:
    secret, new = await house.secrets.put(ROOT, "openai", {"KEY": HUSH})
    assert new
    assert (secret.environment, secret.name, secret.created_at) == ("main", "openai", secret.updated_at)
    assert HUSH.encode() not in secret.sealed
    assert HUSH not in repr(secret)
    assert "sealed" not in repr(secret)


async def test_a_set_again_secret_stays_the_same_one(house: House) -> None:
    first, _ = await house.secrets.put(ROOT, "openai", {"KEY": "a"})
    house.clock.advance(5)
    second, new = await house.secrets.put(ROOT, "openai", {"KEY": "b"})
    assert (second.id, second.created_at, new) == (first.id, first.created_at, False)
    assert second.updated_at == first.updated_at + 5


async def test_two_that_make_one_secret_make_one(house: House) -> None:
    made = await asyncio.gather(*(house.secrets.put(ROOT, "openai", {"KEY": str(n)}) for n in range(3)))
    assert sorted(new for _, new in made) == [False, False, True]
    assert len(await house.secrets.find(ROOT, before=None, limit=9)) == 1


async def test_each_environment_has_its_own(house: House) -> None:
    await house.secrets.put(ROOT, "openai", {"KEY": "main"})
    await house.secrets.put(STAGING, "openai", {"KEY": "staging"})
    await house.secrets.put(ROOT, "only-main", {"KEY": "x"})
    assert [one.environment for one in await house.secrets.find(STAGING, before=None, limit=9)] == ["staging"]
    assert len(await house.secrets.find(ROOT, before=None, limit=9)) == 3
    assert len(await house.secrets.find(ROOT, environment="staging", before=None, limit=9)) == 1
    for name, environment in (("only-main", None), ("openai", "main")):
        with pytest.raises(NotFound):
            await house.secrets.get(STAGING, name, environment)
        with pytest.raises(NotFound):
            await house.secrets.delete(STAGING, name, environment)
    with pytest.raises(NotFound):
        await house.secrets.put(STAGING, "openai", {"KEY": "x"}, "main")
    function = await live(house, "openai", environment="staging")
    assert await house.secrets.variables(function) == {"KEY": "staging"}


async def test_a_secret_that_does_not_exist_fails_the_deploy_with_all_else(house: House, deployed: Make) -> None:
    await deployed("thumbs", "old")
    await house.secrets.put(ROOT, "openai", {"KEY": "x"})
    await house.secrets.put(ROOT, "there", {"KEY": "x"}, "staging")
    wanted = {"a": plain(secrets=["openai", "opnai"]), "b": plain(secrets=["there"]), "c": plain(memory=1)}
    for dry_run in (True, False):
        with pytest.raises(Invalid) as refused:
            await house.functions.put_all(ROOT, "thumbs", wanted, dry_run=dry_run)
        errors = {error.pointer: error.message for error in refused.value.errors}
        assert list(errors) == ["/functions/c/memory", "/functions/a/secrets/1", "/functions/b/secrets/0"]
        assert "Did you mean openai?" in errors["/functions/a/secrets/1"]
    assert [function.name for function in house.catalog.all()] == ["old"]


async def test_a_secret_in_use_cannot_go(house: House) -> None:
    await house.secrets.put(ROOT, "openai", {"KEY": "x"})
    await house.secrets.put(ROOT, "openai", {"KEY": "x"}, "staging")
    function = await live(house, "openai")
    with pytest.raises(InUse, match="asks:resize"):
        await house.secrets.delete(ROOT, "openai")
    await house.secrets.delete(STAGING, "openai")

    await house.functions.put(ROOT, "asks", "resize", plain())
    await house.secrets.delete(ROOT, "openai")
    with pytest.raises(NotFound):
        await house.secrets.get(ROOT, "openai")
    with pytest.raises(SecretUnusable, match="no secret openai in environment main any more"):
        await house.secrets.variables(function)  # of a revision that still serves
    with pytest.raises(Invalid) as refused:
        await house.functions.rollback(ROOT, "asks:resize", 1)
    assert [error.pointer for error in refused.value.errors] == ["/revision"]
    assert "openai" in refused.value.detail


async def test_a_secret_that_goes_while_a_deploy_is_under_way(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    await house.apps.create(ROOT, name="asks")
    await house.secrets.put(ROOT, "openai", {"KEY": "x"})
    keep = house.blobs.put

    async def slowly(data: bytes) -> str:
        """The source is kept after the definition was found right, and before it is committed."""
        await house.secrets.delete(ROOT, "openai")
        return await keep(data)

    monkeypatch.setattr(house.blobs, "put", slowly)
    with pytest.raises(Invalid) as refused:
        await house.functions.put(ROOT, "asks", "resize", plain(secrets=["openai"]))
    assert [error.pointer for error in refused.value.errors] == ["/secrets/0"]
    assert list(house.catalog.all()) == []


async def test_an_environment_with_secrets_stays(house: House) -> None:
    await house.secrets.put(ROOT, "openai", {"KEY": "x"}, "staging")
    with pytest.raises(InUse, match="openai"):
        await house.registry.environments.delete(ROOT, "staging")
    await house.secrets.delete(ROOT, "openai", "staging")
    await house.registry.environments.delete(ROOT, "staging")


async def test_secrets_outlive_a_restart(open_house: Open) -> None:
    async with open_house() as first:
        await first.secrets.put(ROOT, "openai", {"KEY": HUSH})
        await live(first, "openai")
    async with open_house() as second:
        (function,) = second.catalog.all()
        assert await second.secrets.variables(function) == {"KEY": HUSH}
        with pytest.raises(InUse):
            await second.secrets.delete(ROOT, "openai")


async def test_a_rotation_encrypts_everything_anew(open_house: Open) -> None:
    async with open_house() as first:
        for name in ("one", "two"):
            await first.secrets.put(ROOT, name, {name.upper(): HUSH})
        function = await live(first, "one", "two")
        before = {one.id: one for one in await first.secrets.find(ROOT, before=None, limit=9)}
        done = await first.secrets.rotate(ROOT)
        assert (done.made, done.secrets) == (True, 2)
        for after in await first.secrets.find(ROOT, before=None, limit=9):
            old = before[after.id]
            assert after.key_id == done.key_id != old.key_id
            assert replace(after, key_id=old.key_id, sealed=old.sealed) == old
        assert await first.secrets.variables(function) == {"ONE": HUSH, "TWO": HUSH}
    async with open_house() as second:
        assert await second.secrets.variables(function) == {"ONE": HUSH, "TWO": HUSH}


async def test_the_key_of_all_environments_is_not_rotated_from_one(house: House) -> None:
    with pytest.raises(Forbidden):
        await house.secrets.rotate(STAGING)


async def test_a_row_that_was_moved_or_damaged_gives_nothing_away(house: House) -> None:
    mine, _ = await house.secrets.put(STAGING, "mine", {"KEY": "mine"})
    theirs, _ = await house.secrets.put(ROOT, "theirs", {"KEY": HUSH})
    function = await live(house, "mine", environment="staging")
    for stolen in (theirs.sealed, mine.sealed[:-1], b""):
        await house.registry.store.journal.write(Save(replace(mine, sealed=stolen)))
        with pytest.raises(SecretUnusable, match="secret mine of environment staging cannot be decrypted") as told:
            await house.secrets.variables(function)
        assert HUSH not in repr(told.value)
    for _ in range(2):
        with pytest.raises(InUse, match="Set it again"):
            await house.secrets.rotate(ROOT)
    assert (await house.secrets.get(ROOT, "theirs")).key_id == theirs.key_id
    await house.secrets.put(STAGING, "mine", {"KEY": "again"})
    assert (await house.secrets.rotate(ROOT)).secrets == 2
    assert await house.secrets.variables(function) == {"KEY": "again"}


async def test_a_secret_of_another_name_is_near(house: House) -> None:
    await house.secrets.put(ROOT, "openai", {"KEY": "x"})
    with pytest.raises(NotFound, match="Did you mean openai"):
        await house.secrets.get(ROOT, "opnai")
