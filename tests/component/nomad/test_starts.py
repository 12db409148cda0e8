"""Starting and ending containers on a cluster with bad days."""

import pytest

from tests.component.nomad.conftest import Rig
from yurt.ports import Ended, EngineRefused, HeldUp, Leaving, Placed


async def test_a_container_is_one_dispatch_and_its_end_is_told_once(rig: Rig) -> None:
    await rig.open()
    reference = await rig.run()
    assert rig.children() == [reference]
    rig.double.cluster.finish(rig.allocation_of(), 3)
    end = await rig.end_of()
    assert end.exit_code == 3


async def test_a_dispatch_whose_answer_is_lost_is_one_container(rig: Rig) -> None:
    await rig.open()
    rig.double.knobs.loses_dispatches = 1
    reference = await rig.run()
    assert rig.children() == [reference]
    assert rig.double.cluster.jobs[reference]["Meta"]["container_id"] == "co-1"


async def test_a_dispatch_that_is_lost_is_made_again(rig: Rig) -> None:
    await rig.open()
    rig.double.knobs.drops_dispatches = 1
    reference = await rig.run()
    assert rig.children() == [reference]


async def test_what_was_dispatched_unheard_is_stopped_when_the_house_is_tidied(rig: Rig) -> None:
    engine = await rig.open()
    rig.double.knobs.loses_dispatches = 2
    with pytest.raises(EngineRefused) as refused:
        await engine.start(rig.spec())
    assert refused.value.code == "engine_unreachable"
    (stray,) = rig.children()
    await engine.tidy([rig.spec().function])
    assert rig.double.cluster.jobs[stray]["Stop"]


async def test_a_job_that_somebody_purged_is_registered_again(rig: Rig) -> None:
    await rig.open()
    first = await rig.run()
    rig.double.cluster.deregister(first.rpartition("/dispatch-")[0], purge=True)
    assert await rig.run("co-2") in rig.children()


async def test_gpus_in_use_hold_a_container_up_until_they_are_free(rig: Rig) -> None:
    engine = await rig.open()
    holder = await rig.run("co-1", gpu=("H100:2",))
    await engine.start(rig.spec("co-2", gpu=("H100:2",)))
    why = (await rig.report(HeldUp, "co-2")).why
    assert (why.code, why.message) == ("no_capacity", "All 2 H100 of this cluster are in use.")
    await engine.stop("co-1", grace_s=1)
    await rig.end_of("co-1")
    await rig.report(Placed, "co-2")
    assert holder in rig.double.cluster.jobs


async def test_a_container_without_a_place_ends_when_it_is_stopped(rig: Rig) -> None:
    engine = await rig.open()
    await engine.start(rig.spec(gpu=("B200",)))
    assert (await rig.report(HeldUp)).why.code == "no_such_gpu"
    await engine.stop("co-1", grace_s=0)
    assert "before it had a place" in (await rig.end_of()).reason


async def test_what_a_node_cannot_start_is_a_reason_and_no_crash(rig: Rig) -> None:
    await rig.open()
    rig.double.cluster.starts = False
    await rig.run()
    rig.double.cluster.fail_to_start(rig.allocation_of(), "Failed to pull `registry.example/thumbs:7`: no such image")
    end = await rig.end_of()
    assert end.refused is not None
    assert end.refused.code == "image_unavailable"


async def test_a_node_that_is_drained_is_left(rig: Rig) -> None:
    await rig.open()
    await rig.run()
    rig.double.cluster.drain(rig.node_of(), 600)
    assert "emptied" in (await rig.report(Leaving)).reason


async def test_a_node_whose_drain_began_while_nobody_looked_is_left(rig: Rig) -> None:
    await rig.open()
    await rig.run()
    await rig.run("co-2")
    await rig.engine.close(stop_all=False)
    rig.double.cluster.drain(rig.node_of(), 600)
    rig.double.cluster.finish(rig.allocation_of("co-2"), 0)
    await rig.reopen()
    assert "emptied" in (await rig.report(Leaving)).reason


@pytest.mark.parametrize("purge", [False, True])
async def test_a_container_without_a_place_whose_job_somebody_stopped_has_ended(rig: Rig, purge: bool) -> None:
    engine = await rig.open()
    job_id = await engine.start(rig.spec(gpu=("B200",)))
    await rig.report(HeldUp)
    rig.double.cluster.deregister(job_id, purge=purge)
    await engine.tidy([rig.spec().function])
    assert "before it had a place" in (await rig.end_of()).reason


async def test_a_container_that_waits_for_its_place_stays_when_the_house_is_tidied(rig: Rig) -> None:
    engine = await rig.open()
    await engine.start(rig.spec(gpu=("B200",)))
    await rig.report(HeldUp)
    await engine.tidy([rig.spec().function])
    await engine.tidy([rig.spec().function])
    assert rig.told(Ended) == []


async def test_a_node_that_is_lost_takes_its_containers(rig: Rig) -> None:
    await rig.open()
    await rig.run()
    rig.double.cluster.lose(rig.allocation_of())
    assert "was lost" in (await rig.end_of()).reason


async def test_an_allocation_that_vanishes_is_a_container_that_ended(rig: Rig) -> None:
    await rig.open()
    rig.double.cluster.vanish(await rig.run())
    rig.double.cut_streams()
    assert "does not know it any more" in (await rig.end_of()).reason


async def test_a_container_that_vanished_without_a_word_has_ended_once_it_is_stopped(rig: Rig) -> None:
    engine = await rig.open()
    rig.double.cluster.vanish(await rig.run())
    await engine.stop("co-1", grace_s=0)
    assert "does not know it any more" in (await rig.end_of()).reason
