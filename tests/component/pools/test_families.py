"""Classes with parameters: a queue and containers for each combination that is in use, and for none that is not."""

import json
from typing import Any

import pytest

from tests.component.pools.rig import Played, Rig
from yurt.domain.classes import ClassSpec, Parameter, aim
from yurt.domain.errors import AppStopped, TooManyPending
from yurt.domain.records import Block, Target
from yurt.domain.timing import Timing
from yurt.pools import families
from yurt.pools.live_map import LiveMap, NewMap
from yurt.pools.pool import Pool
from yurt.usecases.backlog import Backlog
from yurt.usecases.stats import function_stats
from yurt_runner import wire

SPEC = ClassSpec(("run", "size"), ("load",), parameters=(Parameter(name="model", type="str", default="small"),))


def to(model: str = "small", method: str = "run") -> Target:
    """The target of a call."""
    target = aim(SPEC, "fu-1", "demo:work", method, {"model": model})
    assert target is not None
    return target


async def deploy(rig: Rig, revision: int = 1, **values: Any) -> Pool:
    return await rig.deploy(revision, of_class=SPEC, **values)


def pool_of(rig: Rig, model: str = "small") -> Pool:
    return rig.heart.pools[to(model).queue]


def models(rig: Rig) -> list[str]:
    """What the containers that were asked for are made with."""
    return [json.loads(spec.function.parameters_json or "{}").get("model") for spec in rig.engine.started]


async def box_of(rig: Rig, model: str, *, ready: bool = True) -> Played:
    """The last container that was asked for with these parameters, played."""
    await rig.scale()
    return await rig.boot(max(at for at, one in enumerate(models(rig)) if one == model), ready=ready)


def gone(rig: Rig, box: Played) -> None:
    """The container has ended, and its last words are heard."""
    rig.engine.end(box.member.id)
    box.hang_up()


async def test_each_combination_has_containers_of_its_own(rig: Rig) -> None:
    await deploy(rig)
    small, large, again = await rig.call(target=to()), await rig.call(target=to("large")), await rig.call(target=to())
    await rig.scale()
    assert sorted(models(rig)) == ["large", "small", "small"]
    box = await box_of(rig, "large")
    assert [frame.seq for frame in box.inputs] == [large.seq]
    box.answer(box.inputs[0])
    await rig.settle()
    assert (await rig.result(large)).outcome == "success"
    assert {small.seq, again.seq} == set(rig.heart.inputs), "those wait for a container of theirs"


async def test_a_container_is_told_its_parameters_and_an_input_its_method(rig: Rig) -> None:
    await deploy(rig)
    await rig.call(target=to("large", "size"))
    box = await rig.container()
    welcome = json.loads(box.talk.of(wire.WELCOME)[0].meta)
    assert welcome["kind"] == "class"
    assert welcome["class"] == {
        "methods": ["run", "size"],
        "enter": ["load"],
        "exit": [],
        "parameters": [["model", "str", "large"]],
    }
    assert json.loads(box.inputs[0].meta)["method"] == "size"
    assert (await rig.row(box.member.id)).parameters_json == '{"model":"large"}'


async def test_a_class_without_parameters_waits_in_the_functions_own_queue(rig: Rig) -> None:
    pool = await rig.deploy(of_class=ClassSpec(("run",)))
    await rig.call(target=Target(0, "fu-1", "run"))
    assert (len(pool.queue), list(rig.heart.pools)) == (1, ["fu-1"])
    box = await rig.container()
    assert json.loads(box.inputs[0].meta)["method"] == "run"


async def test_a_combination_is_forgotten_once_nothing_is_left_of_it(rig: Rig) -> None:
    await deploy(rig, scaledown_window_s=5)
    item = await rig.call(target=to("large"))
    box = await rig.container()
    box.answer(box.inputs[0])
    await rig.result(item)
    await rig.tick(1)
    assert to("large").queue in rig.heart.pools, "its container is idle"
    await rig.tick(10)
    gone(rig, box)
    await rig.tick(1)
    assert list(rig.heart.pools) == ["fu-1"]
    await rig.call(target=to("large"))
    assert len(pool_of(rig, "large").queue) == 1, "it is made anew"


async def test_what_is_on_its_way_between_two_containers_keeps_its_pool(rig: Rig) -> None:
    await deploy(rig)
    item = await rig.call(target=to("large"))
    box = await rig.container()
    box.say(wire.STARTED, item.seq, item.token, for_s=1.0)
    pool = pool_of(rig, "large")
    rig.lives.disconnected(box.pool, box.member)
    rig.engine.end(box.member.id)  # the loss is not committed yet: neither queued nor held
    rig.heart.functions.scale(list(rig.heart.pools.values()))
    assert pool_of(rig, "large") is pool
    await rig.settle()
    assert len(pool.queue) == 1


async def test_figures_outlive_a_combination(rig: Rig) -> None:
    await deploy(rig, scaledown_window_s=5)
    item = await rig.call(target=to("large"))
    box = await rig.container()
    box.answer(box.inputs[0])
    await rig.result(item)
    await rig.tick(10)
    gone(rig, box)
    await rig.tick(1)
    stats = function_stats(rig.heart, rig.clock, "fu-1", 1)
    assert (stats.summary.calls["success"], stats.num_pools, stats.pools) == (1, 0, ())


async def test_figures_are_those_of_all_combinations(rig: Rig) -> None:
    await deploy(rig)
    for model in ("small", "large", "large"):
        await rig.call(target=to(model))
    await rig.scale()
    stats = function_stats(rig.heart, rig.clock, "fu-1", 1)
    assert (stats.backlog, stats.starting, stats.num_pools) == (3, 3, 2)
    assert stats.pools is not None
    assert [(one.parameters_json, one.backlog) for one in stats.pools] == [
        ('{"model":"large"}', 2),
        ('{"model":"small"}', 1),
    ]


async def test_too_many_combinations_at_once_are_refused(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(families, "MAX_QUEUES", 2)
    await deploy(rig)
    await rig.call(target=to("a"))
    await rig.call(target=to("b"))
    with pytest.raises(TooManyPending) as refused:
        await rig.call(target=to("c"))
    assert refused.value.reason == "too_many_parameter_sets"
    await rig.call(target=to("a"))


# ------------------------------------------------------------------ scaling


async def test_the_floor_is_for_calls_without_parameters(rig: Rig) -> None:
    pool = await deploy(rig, min_containers=1)
    await rig.scale()
    assert models(rig) == ["small"]
    await rig.call(target=to("large"))
    await rig.scale()
    assert models(rig) == ["small", "large"]
    assert pool.members == {}, "the class itself has none"
    rig.heart.functions.rescale("fu-1", rig.heart.pools[to().queue].live.scaling)
    await rig.scale()
    assert len(rig.engine.started) == 2


async def test_a_floor_that_is_raised_later_makes_the_pool(rig: Rig) -> None:
    pool = await deploy(rig)
    await rig.scale()
    assert rig.engine.started == []
    scaling = type(pool.live.scaling)(min_containers=2)
    rig.heart.functions.rescale("fu-1", scaling)
    await rig.scale()
    assert models(rig) == ["small", "small"]
    await rig.tick(1)
    assert to().queue in rig.heart.pools


async def test_the_maximum_is_for_each_combination(rig: Rig) -> None:
    await deploy(rig, max_containers=1)
    for model in ("small", "small", "large", "large"):
        await rig.call(target=to(model))
    await rig.scale()
    assert sorted(models(rig)) == ["large", "small"]


async def test_a_pause_is_for_all(rig: Rig) -> None:
    pool = await deploy(rig)
    rig.heart.functions.rescale("fu-1", type(pool.live.scaling)(max_containers=0))
    item = await rig.call(target=to("large"))
    await rig.scale()
    assert rig.engine.started == []
    reason = rig.heart.pending_reason(item)
    assert reason is not None
    assert reason.code == "paused"


# ------------------------------------------------------------------ deploys and ends


async def test_a_new_revision_is_that_of_every_combination(rig: Rig) -> None:
    await deploy(rig)
    for model in ("small", "large"):
        await rig.call(target=to(model))
    old = [await box_of(rig, model) for model in ("small", "large")]
    for box in old:
        box.answer(box.inputs[0])
    await rig.settle()
    await deploy(rig, 2)
    await rig.scale()
    assert [spec.function.revision for spec in rig.engine.started] == [1, 1, 2, 2]
    assert sorted(models(rig)[2:]) == ["large", "small"]


async def test_what_is_deleted_ends_in_every_combination(rig: Rig) -> None:
    await deploy(rig)
    items = [await rig.call(target=to(model)) for model in ("small", "large", "large")]
    delayed = await rig.call(target=to("later"), timing=Timing(60, None))
    box = await box_of(rig, "large")
    rig.heart.functions.retire("fu-1", by="function_deleted")
    for item in (*items, delayed):
        assert (await rig.result(item)).outcome == "cancelled"
        assert b"function_deleted" in ((await rig.result(item)).error_json or b"")
    assert box.talk.of(wire.DRAIN)
    with pytest.raises(AppStopped):
        await rig.call(target=to("new"))
    for container_id in list(rig.engine.alive):
        rig.engine.end(container_id)
    box.hang_up()
    await rig.tick(2)
    assert rig.heart.pools == {}


async def test_what_waits_is_cancelled_in_every_combination(rig: Rig) -> None:
    await deploy(rig, max_containers=0)
    items = [await rig.call(target=to(model)) for model in ("small", "large", "large")]
    items.append(await rig.call(target=to("later"), timing=Timing(60, None)))
    assert await Backlog(rig.heart, rig.clock).cancel("fu-1") == 4
    for item in items:
        assert (await rig.result(item)).outcome == "cancelled"


async def test_a_combination_that_cannot_start_ends_its_own_inputs_alone(rig: Rig) -> None:
    await deploy(rig)
    bad, good = await rig.call(target=to("bad")), await rig.call(target=to("good"))
    for wait in (0, 2, 4):
        await rig.tick(wait)
        (await box_of(rig, "bad", ready=False)).start_failed("no such model")
        await rig.settle()
    assert (await rig.result(bad)).outcome == "init_failure"
    await rig.tick(1)
    assert to("bad").queue in rig.heart.pools, "it says when to try again"
    assert rig.heart.functions.deploy_error("fu-1") is not None
    box = await box_of(rig, "good")
    box.answer(box.inputs[0])
    assert (await rig.result(good)).outcome == "success"
    assert rig.heart.functions.deploy_error("fu-1") is None, "with other parameters it starts"
    await rig.tick(200)
    assert to("bad").queue not in rig.heart.pools


# ------------------------------------------------------------------ a restart


async def test_what_waits_is_found_again_in_its_queue(rig: Rig) -> None:
    pool = await deploy(rig)
    item, delayed = await rig.call(target=to("large", "size")), await rig.call(target=to("b"), timing=Timing(60, None))
    pool = await rig.reopen(pool)
    assert (len(pool.queue), len(pool_of(rig, "large").queue), pool_of(rig, "b").held_back) == (0, 1, 1)
    box = await rig.container()
    assert models(rig) == ["large"]
    assert json.loads(box.inputs[0].meta)["method"] == "size"
    box.answer(box.inputs[0])
    assert (await rig.result(item)).outcome == "success"
    await rig.tick(61)
    assert len(pool_of(rig, "b").queue) == 1
    box = await box_of(rig, "b")
    assert [frame.seq for frame in box.inputs] == [delayed.seq]


async def test_what_runs_is_adopted_by_its_pool(rig: Rig) -> None:
    pool = await deploy(rig)
    item = await rig.call(target=to("large"))
    box = await rig.container()
    frame = box.inputs[0]
    await rig.reopen(pool)
    talk = await box.reconnect([[frame.seq, frame.token, 1, 4.5, False]])
    entry = rig.lives.get(box.member.id)
    assert entry is not None
    assert entry[0] is pool_of(rig, "large")
    Played(rig, *entry, talk, box.credential).answer(frame, "from before")
    result = await rig.result(item)
    assert result.value is not None
    assert result.value.data == b'"from before"'
    assert len(rig.engine.started) == 1


async def test_the_first_defaults_hold_for_what_was_accepted_with_them(rig: Rig) -> None:
    await deploy(rig, max_containers=0)
    item = await rig.call(target=to())
    other = ClassSpec(("run",), parameters=(Parameter(name="model", type="str", default="huge"),))
    await rig.deploy(2, of_class=other)
    box = await rig.container()
    assert (models(rig), [frame.seq for frame in box.inputs]) == (["small"], [item.seq])


async def test_what_waits_when_a_class_gets_parameters_runs_with_their_defaults(rig: Rig) -> None:
    await rig.deploy(of_class=ClassSpec(("run",)), max_containers=0)
    item = await rig.call(target=Target(0, "fu-1", "run"))
    pool = await deploy(rig, 2, min_containers=1)
    await rig.scale()
    boxes = [await rig.boot(at) for at in range(len(rig.engine.started))]
    welcomes = [json.loads(box.talk.of(wire.WELCOME)[0].meta) for box in boxes]
    assert [one["class"]["parameters"] for one in welcomes] == [[["model", "str", "small"]]] * 2
    (box,) = [box for box in boxes if box.inputs]
    assert box.pool is pool, "the other one is kept warm for calls to come"
    box.answer(box.inputs[0])
    assert (await rig.result(item)).outcome == "success"


# ------------------------------------------------------------------ maps


async def begin_map(rig: Rig, pool: Pool, count: int) -> LiveMap:
    found = rig.heart.maps.begin(pool.live, NewMap("tk-1", target=to("large", "size")))
    await rig.heart.maps.add(found, [b"{}"] * count)
    await rig.heart.maps.seal(found, truncated=False)
    return found


async def test_a_map_is_of_one_method_and_one_combination(rig: Rig) -> None:
    pool = await deploy(rig, max_containers=1)
    found = await begin_map(rig, pool, 3)
    assert len(pool_of(rig, "large").queue) == 3
    pool = await rig.reopen(pool)
    assert len(pool_of(rig, "large").queue) == 3
    again = rig.heart.maps.open[found.seq]
    assert again.target == found.target
    box = await rig.container()
    while len(box.inputs) < 3:
        box.answer(box.inputs[-1])
        await rig.settle()
    box.answer(box.inputs[-1])
    await rig.settle()
    assert {json.loads(frame.meta)["method"] for frame in box.inputs} == {"size"}
    assert found.seq not in rig.heart.maps.open


async def test_a_map_whose_pool_was_forgotten_between_two_blocks_goes_on(rig: Rig) -> None:
    pool = await deploy(rig, max_containers=0)
    found = rig.heart.maps.begin(pool.live, NewMap("tk-1", target=to("large")))
    await rig.tick(1)
    assert list(rig.heart.pools) == ["fu-1"]
    await rig.heart.maps.add(found, [b"{}"])
    assert len(pool_of(rig, "large").queue) == 1
    assert [type(block) for block in found.span.blocks] == [Block]
