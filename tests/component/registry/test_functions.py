import asyncio
import json

import pytest

from tests.component.registry.conftest import CODE, ROOT, STAGING, House, Make, Open, plain
from tests.fakes.engine import FakeEngine
from yurt.domain import bundle
from yurt.domain.capacity import Capacity, GpuStock
from yurt.domain.endings import Ending
from yurt.domain.errors import AppStopped, FieldError, Invalid, NotFound, NotSupported, RevisionMoved
from yurt.domain.functions import LiveFunction, Scaling
from yurt.domain.overrides import Override
from yurt.domain.records import Bundle, Outcome, Revision
from yurt.ports import EngineRefused


async def test_a_definition_becomes_a_live_function(house: House, deployed: Make) -> None:
    app_id = await deployed("thumbs")
    sent = plain(memory=256, gpu="h100:2", env={"A": "1"}, timeout=5)
    done = await house.functions.put(ROOT, "thumbs", "resize", sent)
    assert done.created
    live = house.catalog.lookup(ROOT, "thumbs:resize")
    assert live is not None
    assert live is house.catalog.lookup(ROOT, live.function_id)
    assert (live.app_id, live.environment, live.address, live.revision) == (app_id, "main", "thumbs:resize", 1)
    assert (live.memory_mib, live.gpu, live.env, live.timeout_s) == (256, ("H100:2",), {"A": "1"}, 5)
    assert live.scaling == Scaling(0, 10, 0, 60)
    assert house.pools.told == [("deploy", live.function_id, 1)]
    view = await house.functions.get(ROOT, "thumbs:resize")
    assert json.loads(view.revision.definition_json) == sent


async def test_inline_source_is_kept_as_a_bundle_of_the_environment(house: House, deployed: Make) -> None:
    await deployed("thumbs")
    done = await house.functions.put(ROOT, "thumbs", "resize", plain())
    sha256 = done.view.live.source_bundle
    assert sha256 is not None
    assert house.blobs.kept[sha256] == bundle.pack({"main.py": CODE.encode()})
    assert (await house.bundles.get(ROOT, sha256)).size_bytes == len(house.blobs.kept[sha256])
    with pytest.raises(NotFound):
        await house.bundles.get(STAGING, sha256)


async def test_an_equal_definition_makes_no_revision(house: House, deployed: Make) -> None:
    await deployed("thumbs", "resize")
    data = bundle.pack({"main.py": CODE.encode()})
    same = plain(source={"bundle": bundle.name_of(data)}, memory=512, min_containers=0)
    done = await house.functions.put(ROOT, "thumbs", "resize", same)
    assert (done.created, done.view.revision.number) == (False, 1)
    assert house.pools.told == []


async def test_a_change_makes_a_revision(house: House, deployed: Make) -> None:
    await deployed("thumbs", "resize")
    first = (await house.functions.get(ROOT, "thumbs:resize")).function
    done = await house.functions.put(ROOT, "thumbs", "resize", plain(memory=1024))
    assert (done.created, done.view.function.id, done.view.revision.number) == (False, first.id, 2)
    assert (done.view.function.created_at, done.view.function.updated_at) == (first.created_at, house.clock.now())
    code = {"files": {"main.py": CODE + "# changed\n"}}
    only_code = await house.functions.put_all(ROOT, "thumbs", {"resize": plain(memory=1024, source=code)})
    assert [(step.changed, step.view.revision.number) for step in only_code.steps] == [(("source",), 3)]
    assert house.pools.told == [("deploy", first.id, 2), ("deploy", first.id, 3)]
    _, found = await house.functions.revisions(ROOT, first.id, limit=2)
    assert [revision.number for revision in found] == [3, 2]
    _, found = await house.functions.revisions(ROOT, first.id, before=2, limit=2)
    assert [revision.number for revision in found] == [1]


async def test_a_revision_that_does_not_start_is_tried_again_by_the_same_definition(
    house: House, deployed: Make
) -> None:
    await deployed("thumbs", "resize")
    function_id = (await house.functions.get(ROOT, "thumbs:resize")).function.id
    house.pools.failing[function_id] = Ending(Outcome.INIT_FAILURE)
    done = await house.functions.put_all(ROOT, "thumbs", {"resize": plain()})
    assert done.steps[0].changed == ("deploy_error",)
    assert house.pools.told == [("deploy", function_id, 2)]


async def test_if_match_holds_or_nothing_changes(house: House, deployed: Make) -> None:
    await deployed("thumbs", "resize")
    for tags in (["1"], ["7", "2"], ["*"]):
        number = (await house.functions.get(ROOT, "thumbs:resize")).function.revision
        await house.functions.put(ROOT, "thumbs", "resize", plain(memory=600 + number), if_match=tags)
    with pytest.raises(RevisionMoved, match="is at revision 4 by now"):
        await house.functions.put(ROOT, "thumbs", "resize", plain(), if_match=["3"])
    with pytest.raises(RevisionMoved, match="Leave If-Match out"):
        await house.functions.put(ROOT, "thumbs", "crop", plain(), if_match=["*"])
    assert len(house.pools.told) == 3


async def test_of_two_who_saw_the_same_revision_one_wins(house: House, deployed: Make) -> None:
    await deployed("thumbs", "resize")
    puts = [house.functions.put(ROOT, "thumbs", "resize", plain(memory=600 + n), if_match=["1"]) for n in range(4)]
    ended = await asyncio.gather(*puts, return_exceptions=True)
    assert sorted(type(one).__name__ for one in ended) == ["Put", *["RevisionMoved"] * 3]
    assert len(house.pools.told) == 1


async def test_what_is_wrong_with_the_source_is_told_at_its_field(house: House, deployed: Make) -> None:
    await deployed("thumbs")

    async def error(**more: object) -> FieldError:
        with pytest.raises(Invalid) as caught:
            await house.functions.put(ROOT, "thumbs", "resize", plain(**more))
        assert len(caught.value.errors) == 1
        return caught.value.errors[0]

    missing = await error(entrypoint="main:resise")
    assert (missing.pointer, "it defines resize, crop" in missing.message) == ("/entrypoint", True)
    broken = await error(entrypoint="a.b:f", source={"files": {"a/b.py": "def f(:"}})
    assert (broken.pointer, broken.message[:8]) == ("/source/files/a~1b.py", "a/b.py:1")
    absent = await error(source={"bundle": "0" * 64})
    assert (absent.pointer, "was not uploaded to environment main" in absent.message) == ("/source/bundle", True)
    generator = await error(source={"files": {"main.py": "def resize(): yield"}}, retries=2)
    assert (generator.pointer, generator.message) == (
        "/retries",
        "main:resize is a generator, and what it has shown is not run again: leave retries out",
    )
    endpoint = await error(source={"files": {"main.py": "def resize(): yield"}}, web={"method": "GET"})
    assert (endpoint.pointer, "use kind asgi" in endpoint.message) == ("/web", True)
    assert house.blobs.kept == {}
    assert list(house.catalog.all()) == []


async def test_an_uploaded_bundle_is_looked_into(house: House, deployed: Make) -> None:
    await deployed("thumbs")
    data = bundle.pack({"pkg/main.py": CODE.encode()})
    sha256 = bundle.name_of(data)
    await house.bundles.put(ROOT, sha256, data)
    source = {"bundle": sha256}
    done = await house.functions.put(ROOT, "thumbs", "resize", plain(source=source, entrypoint="pkg.main:resize"))
    assert done.view.live.source_bundle == sha256
    with pytest.raises(Invalid, match=r"has no module main; it has pkg\.main"):
        await house.functions.put(ROOT, "thumbs", "resize", plain(source=source))


async def test_a_bundle_of_another_environment_cannot_be_used(house: House, deployed: Make) -> None:
    await deployed("thumbs", environment="staging")
    data = bundle.pack({"main.py": CODE.encode()})
    await house.bundles.put(ROOT, bundle.name_of(data), data)
    with pytest.raises(Invalid, match="was not uploaded to environment staging"):
        await house.functions.put(STAGING, "thumbs", "resize", plain(source={"bundle": bundle.name_of(data)}))


async def test_an_image_is_accepted_with_a_warning(house: House, deployed: Make) -> None:
    await deployed("thumbs")
    done = await house.functions.put(ROOT, "thumbs", "resize", plain(image="python:3.12"))
    assert [(warned.code, warned.pointer) for warned in done.warnings] == [("image_ignored", "/image")]
    all_done = await house.functions.put_all(ROOT, "thumbs", {"resize": plain(image="python:3.12")})
    assert [warned.pointer for warned in all_done.warnings] == ["/functions/resize/image"]


async def test_a_gpu_that_no_container_will_have_is_warned_of(house: House, deployed: Make) -> None:
    await deployed("thumbs")
    done = await house.functions.put(ROOT, "thumbs", "resize", plain(gpu="H100"))
    assert [(warned.code, warned.pointer) for warned in done.warnings] == [("no_such_gpu", "/gpu")]


async def test_requirements_on_an_engine_that_installs_nothing_are_not_supported(house: House, deployed: Make) -> None:
    house.registry.requirements = False
    await deployed("thumbs")
    with pytest.raises(NotSupported) as caught:
        await house.functions.put(ROOT, "thumbs", "resize", plain(requirements=["pillow"]))
    assert [(error.pointer, error.code) for error in caught.value.errors] == [("/requirements", "not_supported")]


async def test_what_the_engine_cannot_install_is_warned_of(house: House, deployed: Make) -> None:
    async def foresee(function: LiveFunction) -> EngineRefused | None:
        return EngineRefused("no_installer", "There is no uv.") if function.requirements else None

    house.registry.foresee = foresee
    await deployed("thumbs")
    done = await house.functions.put(ROOT, "thumbs", "resize", plain(requirements=["Pillow == 11.*"]))
    assert [(one.code, one.pointer) for one in done.warnings] == [("no_installer", "/requirements")]
    assert done.view.live.requirements == ("pillow==11.*",)


async def test_a_gpu_that_is_there_is_not_warned_of(house: House, deployed: Make) -> None:
    engine = FakeEngine()
    engine.has = Capacity("this fake", (GpuStock("T4", total=1, free=0),))
    house.registry.capacity = engine.capacity
    await deployed("thumbs")
    assert (await house.functions.put(ROOT, "thumbs", "resize", plain(gpu=["H100", "T4"]))).warnings == ()
    engine.has = Capacity("this fake", reason="It does not answer.")
    assert (await house.functions.put(ROOT, "thumbs", "crop", plain(gpu="H100"))).warnings == ()


async def test_a_bulk_deploy_is_all_or_nothing_and_names_every_error(house: House, deployed: Make) -> None:
    await deployed("thumbs", "resize")
    with pytest.raises(Invalid) as caught:
        await house.functions.put_all(
            ROOT,
            "thumbs",
            {
                "ok": plain(),
                "bad": plain(memory=1, gpu="x"),
                "a/b": plain(),
                "gone": plain(entrypoint="main:gone"),
                "s": 3,
            },
        )
    assert {error.pointer for error in caught.value.errors} == {
        "/functions/bad/memory",
        "/functions/bad/gpu",
        "/functions/a~1b",
        "/functions/gone/entrypoint",
        "/functions/s",
    }
    assert [live.name for live in house.catalog.all()] == ["resize"]
    assert house.pools.told == []


async def test_it_is_not_supported_only_where_nothing_else_is_wrong(house: House, deployed: Make) -> None:
    house.registry.requirements = False
    await deployed("thumbs")
    lacking = {"a": plain(requirements=["x"]), "b": plain(requirements=["y"])}
    with pytest.raises(NotSupported):
        await house.functions.put_all(ROOT, "thumbs", lacking)
    with pytest.raises(Invalid) as caught:
        await house.functions.put_all(ROOT, "thumbs", lacking | {"c": plain(memory=1)})
    assert not isinstance(caught.value, NotSupported)


async def test_a_bulk_deploy_says_what_it_did_and_prunes_only_when_told(house: House, deployed: Make) -> None:
    app_id = await deployed("thumbs", "resize", "crop", "old")
    ids = {live.name: live.function_id for live in house.catalog.functions_of(app_id)}
    wanted = {"resize": plain(memory=1024, cpu=1), "crop": plain(), "new": plain()}

    dry = await house.functions.put_all(ROOT, "thumbs", wanted, prune=True, dry_run=True)
    assert house.pools.told == []
    assert sorted(live.name for live in house.catalog.all()) == ["crop", "old", "resize"]

    kept = await house.functions.put_all(ROOT, "thumbs", wanted)
    assert [(step.view.function.name, step.changed) for step in kept.steps] == [
        ("resize", ("cpu", "memory")),
        ("crop", ()),
        ("new", None),
    ]
    assert [(step.view.function.name, step.changed) for step in dry.steps] == [
        (step.view.function.name, step.changed) for step in kept.steps
    ]
    assert (dry.removed, kept.removed) == (("old",), ())
    assert house.pools.told[0] == ("deploy", ids["resize"], 2)

    house.pools.told.clear()
    pruned = await house.functions.put_all(ROOT, "thumbs", wanted, prune=True)
    assert pruned.removed == ("old",)
    assert house.pools.told == [("retire", ids["old"], "function_deleted")]
    assert house.catalog.lookup(ROOT, "thumbs:old") is None


async def test_a_dry_run_stores_nothing(house: House, deployed: Make) -> None:
    await deployed("thumbs")
    await house.functions.put_all(ROOT, "thumbs", {"resize": plain()}, dry_run=True)
    assert house.blobs.kept == {}
    assert await house.registry.store.records.find(Revision, {}) == []
    assert await house.registry.store.records.find(Bundle, {}) == []


async def test_a_dry_run_of_an_app_that_is_not_there_checks_all_and_makes_none(house: House) -> None:
    functions = {"resize": plain(), "crop": plain(image="x")}
    dry = await house.functions.put_all(ROOT, "thumbs", functions, dry_run=True)
    assert dry.app is None
    assert [(step.view.live.address, step.changed) for step in dry.steps] == [
        ("thumbs:resize", None),
        ("thumbs:crop", None),
    ]
    assert [warned.code for warned in dry.warnings] == ["image_ignored"]
    assert (list(house.catalog.apps()), house.blobs.kept, house.pools.told) == ([], {}, [])
    wrong = {"resize": plain(gpu="H1OO"), "crop": plain(entrypoint="main:nothing"), "flip": plain(secrets=["key"])}
    with pytest.raises(Invalid) as refused:
        await house.functions.put_all(ROOT, "thumbs", wrong, dry_run=True)
    assert [error.pointer for error in refused.value.errors] == [
        "/functions/resize/gpu",
        "/functions/crop/entrypoint",
        "/functions/flip/secrets/0",
    ]
    with pytest.raises(Invalid, match="is not a name"):
        await house.functions.put_all(ROOT, "my app", functions, dry_run=True)
    for dry_run, app, environment in ((False, "thumbs", None), (True, "ap-0", None), (True, "thumbs", "nowhere")):
        with pytest.raises(NotFound):
            await house.functions.put_all(ROOT, app, functions, environment=environment, dry_run=dry_run)


async def test_deleting_frees_the_name_and_is_idempotent_by_id(house: House, deployed: Make) -> None:
    await deployed("thumbs", "resize")
    function_id = (await house.functions.get(ROOT, "thumbs:resize")).function.id
    await house.functions.delete(ROOT, "thumbs:resize")
    await house.functions.delete(ROOT, function_id)
    assert house.pools.told == [("retire", function_id, "function_deleted")]
    assert (await house.functions.get(ROOT, function_id)).function.deleted_by == "tk-root"
    with pytest.raises(NotFound, match="It was deleted at 2027-"):
        await house.functions.delete(ROOT, "thumbs:resize")
    with pytest.raises(NotFound, match="It was deleted at 2027-"):
        await house.functions.delete_in(ROOT, "thumbs", "resize")
    again = await house.functions.put(ROOT, "thumbs", "resize", plain())
    assert again.created
    assert again.view.function.id != function_id
    await house.functions.delete_in(ROOT, "thumbs", "resize")
    assert list(house.catalog.all()) == []


async def test_a_rollback_is_a_new_revision_of_an_old_definition(house: House, deployed: Make) -> None:
    await deployed("thumbs", "resize")
    await house.functions.put(ROOT, "thumbs", "resize", plain(memory=1024, source={"files": {"main.py": CODE + "#"}}))
    view = await house.functions.rollback(ROOT, "thumbs:resize", 1)
    assert (view.revision.number, view.revision.rollback_of, view.live.memory_mib) == (3, 1, 512)
    first = await house.registry.store.records.get(Revision, view.function.id, 1)
    assert first is not None
    assert (first.definition_json, first.bundle) == (view.revision.definition_json, view.revision.bundle)
    assert house.pools.told[-1] == ("deploy", view.function.id, 3)
    for number in (9, 0):
        with pytest.raises(NotFound, match=f"has no revision {number}; the latest is 3"):
            await house.functions.rollback(ROOT, "thumbs:resize", number)


async def test_an_override_acts_at_once_and_is_composed(house: House, deployed: Make) -> None:
    await deployed("thumbs")
    await house.functions.put(ROOT, "thumbs", "resize", plain(min_containers=1, max_containers=4))
    done = await house.functions.rescale(ROOT, "thumbs:resize", Override(max_containers=6))
    done = await house.functions.rescale(ROOT, "thumbs:resize", Override(scaledown_window=5))
    assert done.default == Scaling(0, 10, 0, 60)
    assert done.defined == {"min_containers": 1, "max_containers": 4}
    assert done.override == Override(max_containers=6, scaledown_window=5)
    assert done.effective == Scaling(1, 6, 0, 5)
    live = house.catalog.lookup(ROOT, "thumbs:resize")
    assert live is not None
    assert live.scaling == done.effective
    assert house.pools.told[-1] == ("rescale", live.function_id, done.effective)
    lifted = await house.functions.rescale(ROOT, "thumbs:resize", Override(max_containers=None, scaledown_window=None))
    assert lifted.effective == Scaling(1, 4, 0, 60)
    assert (await house.functions.get(ROOT, "thumbs:resize")).function.override_json is None


async def test_zero_pauses_whatever_the_minimum(house: House, deployed: Make) -> None:
    await deployed("thumbs")
    await house.functions.put(ROOT, "thumbs", "resize", plain(min_containers=2))
    done = await house.functions.rescale(ROOT, "thumbs:resize", Override(max_containers=0))
    assert (done.effective.min_containers, done.effective.max_containers) == (0, 0)


@pytest.mark.parametrize(
    ("patch", "pointer"), [({"min_containers": 5}, "/min_containers"), ({"max_containers": 1}, "/max_containers")]
)
async def test_an_override_that_contradicts_is_refused(
    house: House, deployed: Make, patch: dict[str, int], pointer: str
) -> None:
    await deployed("thumbs")
    await house.functions.put(ROOT, "thumbs", "resize", plain(min_containers=2, max_containers=4))
    with pytest.raises(Invalid) as caught:
        await house.functions.rescale(ROOT, "thumbs:resize", Override(**patch))  # type: ignore[arg-type]
    assert [error.pointer for error in caught.value.errors] == [pointer]


@pytest.mark.parametrize("sticky", [True, False])
async def test_an_override_outlives_a_redeploy_only_when_sticky(open_house: Open, sticky: bool) -> None:
    async with open_house() as house:
        await house.apps.create(ROOT, name="thumbs")
        await house.functions.put(ROOT, "thumbs", "resize", plain())
        await house.functions.rescale(ROOT, "thumbs:resize", Override(max_containers=3, sticky=sticky))
        await house.functions.put(ROOT, "thumbs", "resize", plain())
        unchanged = house.catalog.lookup(ROOT, "thumbs:resize")
        assert unchanged is not None
        assert unchanged.scaling.max_containers == 3
        done = await house.functions.put(ROOT, "thumbs", "resize", plain(memory=1024))
        assert done.view.live.scaling.max_containers == (3 if sticky else 10)
    async with open_house() as house:
        reloaded = house.catalog.lookup(ROOT, "thumbs:resize")
        assert reloaded == done.view.live


async def test_after_a_restart_the_catalog_is_the_same(open_house: Open) -> None:
    async with open_house() as house:
        await house.apps.create(ROOT, name="thumbs")
        await house.apps.create(ROOT, name="gone")
        for app in ("thumbs", "gone"):
            await house.functions.put_all(ROOT, app, {"resize": plain(gpu=["h100", "a10g"]), "crop": plain()})
        await house.functions.delete(ROOT, "thumbs:crop")
        await house.apps.stop(ROOT, "gone")
        before = list(house.catalog.all())
    async with open_house() as house:
        assert [live.address for live in before] == ["thumbs:resize"]
        assert list(house.catalog.all()) == before
        assert house.pools.told == []
        assert (await house.functions.put(ROOT, "thumbs", "crop", plain())).created


async def test_who_is_bound_elsewhere_finds_nothing_and_learns_nothing(house: House, deployed: Make) -> None:
    await deployed("thumbs", "resize")
    function_id = next(iter(house.catalog.all())).function_id
    for ref in (function_id, "thumbs:resize"):
        assert house.catalog.lookup(STAGING, ref) is None
        assert house.catalog.lookup(STAGING, ref, "main") is None
        error = await house.functions.missing(STAGING, ref)
        assert isinstance(error, NotFound)
        assert "main" not in error.detail
        with pytest.raises(NotFound):
            await house.functions.get(STAGING, ref)
        with pytest.raises(NotFound):
            await house.functions.delete(STAGING, ref)
        with pytest.raises(NotFound):
            await house.functions.rollback(STAGING, ref, 1)
        with pytest.raises(NotFound):
            await house.functions.rescale(STAGING, ref, Override())


@pytest.mark.parametrize(
    ("ref", "environment", "says"),
    [
        ("thumbs:resise", None, "Did you mean resize?"),
        ("thumbs:zzz", None, "It has crop, resize."),
        ("thumbs:old", None, "It was deleted at 2027-"),
        ("thumb:resize", None, "Did you mean thumbs?"),
        ("zzz:resize", None, "There are thumbs."),
        ("gone:resize", None, "was stopped at 2027-"),
        ("thumbs:resize", "staging", "thumbs:resize does exist in environment main: send ?environment=main."),
        ("only:resize", None, "only:resize does exist in environment staging"),
        ("thumbs:resize", "nowhere", "nowhere"),
        ("resize", None, 'There is no function "resize"'),
        ("fu-00000000000000000000000000", None, "There is no function"),
        (":", None, "There is no function"),
    ],
)
async def test_a_missing_function_is_answered_with_what_helps(
    house: House, deployed: Make, ref: str, environment: str | None, says: str
) -> None:
    await deployed("thumbs", "resize", "crop", "old")
    await deployed("gone", "resize")
    await deployed("only", "resize", environment="staging")
    await house.apps.stop(ROOT, "gone")
    await house.functions.delete(ROOT, "thumbs:old")
    error = await house.functions.missing(ROOT, ref, environment)
    assert isinstance(error, NotFound)
    assert says in error.detail


async def test_a_stopped_or_deleted_function_by_id_is_a_conflict(house: House, deployed: Make) -> None:
    app_id = await deployed("thumbs", "resize", "crop")
    ids = {live.name: live.function_id for live in house.catalog.functions_of(app_id)}
    await house.functions.delete(ROOT, ids["crop"])
    await house.apps.stop(ROOT, app_id)
    for name, says in (("resize", "was stopped at"), ("crop", "was deleted at")):
        error = await house.functions.missing(ROOT, ids[name])
        assert isinstance(error, AppStopped)
        assert says in error.detail
        assert f"by name: thumbs:{name}" in error.detail
        assert isinstance(await house.functions.missing(STAGING, ids[name]), NotFound)
    await house.functions.delete(ROOT, ids["resize"])
    assert (await house.functions.get(ROOT, ids["resize"])).function.deleted_at is None


async def test_the_list_of_functions_is_newest_first_and_paged(house: House, deployed: Make) -> None:
    app_id = await deployed("thumbs")
    for name in ("a", "b", "c"):
        await house.functions.put(ROOT, app_id, name, plain())
        house.clock.advance(1)
    await house.functions.delete(ROOT, "thumbs:b")
    found = await house.functions.find(ROOT, "thumbs", limit=50)
    assert [view.function.name for view in found] == ["c", "a"]
    rest = await house.functions.find(ROOT, "thumbs", before=found[0].function.id, limit=50)
    assert [view.function.name for view in rest] == ["a"]
    await house.apps.stop(ROOT, app_id)
    assert len(await house.functions.find(ROOT, app_id, limit=50)) == 2
