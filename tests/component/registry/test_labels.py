"""Labels of functions that answer HTTP, over deploys, deletions and restarts."""

import pytest

from tests.component.registry.conftest import ROOT, House, Make, Open, plain
from yurt.domain.errors import Invalid, NotSupported


def asgi(**keys: object) -> dict[str, object]:
    source = {"files": {"main.py": "async def app(scope, receive, send):\n    pass\n"}}
    return plain(entrypoint="main:app", kind="asgi", source=source, **keys)


def labels(house: House) -> dict[str, str]:
    """By address."""
    return {live.address: live.web.label for live in house.catalog.all() if live.web is not None}


async def test_no_two_functions_bear_the_same_label(house: House, deployed: Make) -> None:
    await deployed("shop")
    await deployed("shop", environment="staging")
    wanted = {"a": asgi(label="x"), "b": asgi(label="X"), "c": asgi()}
    await house.functions.put_all(ROOT, "shop", wanted)
    found = labels(house)
    assert (found["shop:a"], found["shop:c"]) == ("x", "c--shop")
    assert found["shop:b"].startswith("x-")
    await house.functions.put(ROOT, "shop", "c", asgi(), environment="staging")
    both = [live.web.label for live in house.catalog.all() if live.web is not None and live.name == "c"]
    assert sorted(both) == ["c--shop", "c--shop--staging"]


async def test_a_label_stays_over_deploys_and_restarts_and_goes_with_its_function(open_house: Open) -> None:
    async with open_house() as house:
        app = await house.apps.create(ROOT, name="shop")
        await house.functions.put_all(ROOT, "shop", {"a": asgi(label="x"), "b": asgi(label="x")})
        before = labels(house)
        await house.functions.put(ROOT, "shop", "a", asgi(label="y"))
        await house.functions.put(ROOT, "shop", "b", asgi(label="x", memory=1024))
        assert labels(house) == {"shop:a": "y", "shop:b": before["shop:b"]}, "b keeps the one that it is known by"
    async with open_house() as house:
        assert labels(house) == {"shop:a": "y", "shop:b": before["shop:b"]}
        live = house.catalog.lookup(ROOT, "shop:a")
        assert live is not None
        assert house.registry.labels.function_id("y") == live.function_id
        await house.functions.delete(ROOT, live.function_id)
        assert house.registry.labels.function_id("y") is None
        await house.functions.put(ROOT, "shop", "c", asgi(label="y"))
        assert labels(house)["shop:c"] == "y"
        await house.apps.stop(ROOT, app.id)
        assert house.registry.labels.function_id("y") is None
    async with open_house() as house:
        await house.apps.create(ROOT, name="other")
        await house.functions.put(ROOT, "other", "d", asgi(label="y"))
        assert labels(house) == {"other:d": "y"}


async def test_a_label_passes_within_one_deploy(house: House, deployed: Make) -> None:
    await deployed("shop")
    await house.functions.put_all(ROOT, "shop", {"old": asgi(label="x")})
    await house.functions.put_all(ROOT, "shop", {"new": asgi(label="x")}, prune=True)
    assert labels(house) == {"shop:new": "x"}


async def test_a_rollback_has_the_label_of_its_revision(house: House, deployed: Make) -> None:
    await deployed("shop")
    for label in ("x", "y"):
        await house.functions.put(ROOT, "shop", "a", asgi(label=label))
    await house.functions.rollback(ROOT, "shop:a", 1)
    assert labels(house) == {"shop:a": "x"}


async def test_what_is_called_does_not_become_what_answers_http_nor_the_other_way_round(
    house: House, deployed: Make
) -> None:
    await deployed("shop", "called")
    await house.functions.put(ROOT, "shop", "web", asgi())
    for name, definition in (("called", asgi()), ("web", plain())):
        with pytest.raises(Invalid) as caught:
            await house.functions.put(ROOT, "shop", name, definition)
        assert [error.pointer for error in caught.value.errors] == ["/kind"]
    assert (await house.functions.put(ROOT, "shop", "web", asgi(memory=1024))).view.revision.number == 2


async def test_an_engine_that_finds_no_servers_has_none(house: House, deployed: Make) -> None:
    await deployed("shop")
    house.registry.finds_servers = False
    with pytest.raises(NotSupported) as caught:
        await house.functions.put(ROOT, "shop", "web", asgi())
    assert [error.pointer for error in caught.value.errors] == ["/kind"]


async def test_what_would_surprise_is_said(house: House, deployed: Make) -> None:
    await deployed("shop")
    source = {"files": {"main.py": "def serve():\n    pass\n"}}
    own = plain(entrypoint="main:serve", kind="web_server", source=source, port=8000)
    done = await house.functions.put(ROOT, "shop", "own", own)
    assert [(one.code, one.pointer) for one in done.warnings] == [
        ("web_unreachable", "/kind"),
        ("one_at_a_time", "/concurrency"),
        ("port_shared", "/port"),
    ]
    again = await house.functions.put(ROOT, "shop", "own", own | {"port": None, "concurrency": {"max_inputs": 1}})
    assert [one.code for one in again.warnings] == ["web_unreachable"]


@pytest.mark.parametrize(
    ("source", "entrypoint", "keys", "at"),
    [
        ("class App:\n    pass\n", "main:App", {"kind": "asgi"}, "/entrypoint"),
        ("app = 1\n", "main:ap", {"kind": "wsgi"}, "/entrypoint"),
        ("def make(settings):\n    pass\n", "main:make", {"kind": "asgi", "factory": True}, "/factory"),
        ("def serve(port):\n    pass\n", "main:serve", {"kind": "web_server"}, "/kind"),
        ("def pieces():\n    yield 1\n", "main:pieces", {"web": {"method": "GET"}}, "/web"),
    ],
)
async def test_an_entrypoint_fits_its_kind(
    house: House, deployed: Make, source: str, entrypoint: str, keys: dict[str, object], at: str
) -> None:
    await deployed("shop")
    with pytest.raises(Invalid) as caught:
        await house.functions.put(
            ROOT, "shop", "a", plain(entrypoint=entrypoint, source={"files": {"main.py": source}}, **keys)
        )
    assert [error.pointer for error in caught.value.errors] == [at]
