"""Starting and ending containers on a cluster with bad days."""

import pytest

from tests.component.nomad.conftest import Rig
from tests.waiting import until
from yurt.ports import EngineRefused, Leaving, Placed


async def test_a_container_is_one_dispatch_and_its_end_is_told_once(rig: Rig) -> None:
    engine = await rig.open()
    reference = await engine.start(rig.spec())
    assert rig.children() == [reference]
    await until(lambda: Placed("co-1") in rig.reports, "its place")
    rig.double.cluster.finish(rig.allocation_of(), 3)
    end = await rig.end_of()
    assert end.exit_code == 3


async def test_a_dispatch_whose_answer_is_lost_is_found_again(rig: Rig) -> None:
    engine = await rig.open()
    rig.double.knobs.loses_dispatches = 1
    assert await engine.start(rig.spec()) in rig.children()
    assert len(rig.children()) == 1


async def test_a_dispatch_that_is_lost_is_made_again(rig: Rig) -> None:
    engine = await rig.open()
    rig.double.knobs.drops_dispatches = 1
    assert await engine.start(rig.spec()) in rig.children()


async def test_what_was_dispatched_unheard_is_stopped_when_the_house_is_tidied(rig: Rig) -> None:
    engine = await rig.open()
    rig.double.knobs.loses_dispatches = 2
    with pytest.raises(EngineRefused) as refused:
        await engine.start(rig.spec())
    assert refused.value.code == "engine_unreachable"
    (stray,) = rig.children()
    await engine.tidy([rig.spec().function])
    assert rig.double.cluster.jobs[stray]["Stop"]


async def test_a_job_that_somebody_removed_is_registered_again(rig: Rig) -> None:
    engine = await rig.open()
    first = await engine.start(rig.spec())
    rig.double.cluster.deregister(first.rpartition("/dispatch-")[0], purge=True)
    assert await engine.start(rig.spec("co-2")) in rig.children()


async def test_while_nomad_is_away_starts_are_refused_with_since_when(rig: Rig) -> None:
    engine = await rig.open()
    rig.double.knobs.leaderless = True
    rig.double.cut_streams()
    await until(lambda: rig.engine._breaker.is_open, "the breaker")
    with pytest.raises(EngineRefused) as refused:
        await engine.start(rig.spec())
    assert refused.value.code == "engine_unreachable"
    assert (await engine.check() or "").startswith("Nomad is not reachable since 2")
    rig.double.knobs.leaderless = False
    await until(lambda: not rig.engine._breaker.is_open, "an answer")
    assert await engine.check() is None
    assert await engine.start(rig.spec()) in rig.children()


async def test_ends_are_seen_that_came_while_the_stream_was_broken(rig: Rig) -> None:
    engine = await rig.open()
    await engine.start(rig.spec())
    await until(lambda: Placed("co-1") in rig.reports, "its place")
    rig.double.cut_streams()
    rig.double.cluster.finish(rig.allocation_of(), 137, signal=9, oom=True)
    end = await rig.end_of()
    assert (end.signal, end.oom) == (9, True)


async def test_gpus_in_use_hold_a_container_up_until_they_are_free(rig: Rig) -> None:
    engine = await rig.open()
    await engine.start(rig.spec("co-1", gpu=("H100:2",)))
    await engine.start(rig.spec("co-2", gpu=("H100:2",)))
    why = (await rig.held_up("co-2")).why
    assert (why.code, why.message) == ("no_capacity", "All 2 H100 of this cluster are in use.")
    rig.double.cluster.finish(rig.allocation_of("co-1"), 0)
    await until(lambda: Placed("co-2") in rig.reports, "the place of the second")


async def test_a_container_without_a_place_ends_when_it_is_stopped(rig: Rig) -> None:
    engine = await rig.open()
    await engine.start(rig.spec(gpu=("B200",)))
    assert (await rig.held_up()).why.code == "no_such_gpu"
    await engine.stop("co-1", grace_s=0)
    assert "before it had a place" in (await rig.end_of()).reason


async def test_what_a_node_cannot_start_is_a_reason_and_no_crash(rig: Rig) -> None:
    engine = await rig.open()
    rig.double.cluster.starts = False
    await engine.start(rig.spec())
    await until(lambda: Placed("co-1") in rig.reports, "its place")
    rig.double.cluster.fail_to_start(rig.allocation_of(), "Failed to pull `registry.example/thumbs:7`: no such image")
    end = await rig.end_of()
    assert end.refused is not None
    assert end.refused.code == "image_unavailable"


async def test_a_node_that_is_drained_says_so_of_its_containers(rig: Rig) -> None:
    engine = await rig.open()
    await engine.start(rig.spec())
    await until(lambda: Placed("co-1") in rig.reports, "its place")
    node = rig.double.cluster.allocations[rig.allocation_of()]["NodeID"]
    rig.double.cluster.drain(node, 600)
    await until(lambda: any(isinstance(one, Leaving) for one in rig.reports), "the word of the drain")


async def test_jobs_of_functions_come_and_go_with_them(rig: Rig) -> None:
    engine = await rig.open()
    one, two = rig.spec().function, rig.spec(function_id="fu-2", name="crop").function
    await engine.tidy([one, two])
    parents = {name for name, job in rig.double.cluster.jobs.items() if not job.get("ParentID")}
    assert len(parents) == 2
    await engine.tidy([two])
    left = {name for name, job in rig.double.cluster.jobs.items() if not job.get("ParentID")}
    assert [name for name in left if "crop" in name] == list(left)
    assert len(left) == 1


async def test_a_job_of_other_settings_is_registered_anew(rig: Rig) -> None:
    engine = await rig.open()
    await engine.tidy([rig.spec().function])
    (name,) = rig.double.cluster.jobs
    before = rig.double.cluster.jobs[name]["Meta"]["yurt_spec"]
    await engine.close(stop_all=False)
    rig.engine = rig.make(mhz_per_core=999)
    await rig.engine.open(rig.reports.append)
    await rig.engine.start(rig.spec())
    assert rig.double.cluster.jobs[name]["Meta"]["yurt_spec"] != before
