"""What every engine does, whatever its containers are."""

import asyncio
import signal

import pytest

from tests.contract.engine import stand_ins
from tests.contract.engine.harness import Site, running
from tests.waiting import until
from yurt.ports import EngineRefused


async def test_a_started_container_is_told_what_it_needs(site: Site) -> None:
    engine, alive = await site.open(stand_ins.OBEDIENT)
    assert alive == []
    reference = await engine.start(site.spec())
    told = await site.note("told")
    assert told.pop("scratch")
    assert await site.knows("co-1", told.pop("start_token"))
    assert told == {"url": site.url or str(site.board), "container_id": "co-1", "grace_s": 7, "rest": ""}
    assert reference


async def test_the_credential_is_neither_in_the_arguments_nor_in_the_environment(site: Site) -> None:
    engine, _ = await site.open(stand_ins.OBEDIENT)
    await engine.start(site.spec())
    credential = (await site.note("told"))["start_token"]
    assert credential not in str(await site.note("facts"))


async def test_a_container_that_is_asked_to_stop_ends_by_itself(site: Site) -> None:
    engine, _ = await site.open(stand_ins.OBEDIENT)
    await engine.start(site.spec())
    await site.note("alive")
    await engine.stop("co-1", grace_s=60)
    end = await site.end_of()
    assert (end.exit_code, end.signal, end.oom) == (0, None, False)
    assert site.noted("asked-to-leave")


async def test_a_container_that_will_not_stop_is_ended_after_its_grace(site: Site) -> None:
    engine, _ = await site.open(stand_ins.STUBBORN)
    await engine.start(site.spec())
    await site.note("alive")
    await engine.stop("co-1", grace_s=60)
    await site.note("asked-to-leave")
    if engine.capabilities.kill_after_s is None:
        assert site.ended == []
        await engine.stop("co-1", grace_s=0.05)
    end = await site.end_of()
    assert (end.exit_code, end.signal) == (None, signal.SIGKILL)
    assert "SIGKILL" in end.reason


async def test_without_grace_a_container_ends_at_once(site: Site) -> None:
    engine, _ = await site.open(stand_ins.STUBBORN)
    await engine.start(site.spec())
    await site.note("alive")
    await engine.stop("co-1", grace_s=0)
    assert (await site.end_of()).signal == signal.SIGKILL
    assert engine.capabilities.kill_after_s is not None or not site.noted("asked-to-leave")


async def test_a_crash_is_reported_with_exit_code_and_last_output(site: Site) -> None:
    engine, _ = await site.open(stand_ins.CRASHING)
    await engine.start(site.spec())
    end = await site.end_of()
    assert (end.exit_code, end.signal) == (3, None)
    assert "code 3" in end.reason
    assert "no such option" in end.reason


async def test_a_fatal_signal_is_reported_by_name(site: Site) -> None:
    engine, _ = await site.open(stand_ins.SEGFAULTING)
    await engine.start(site.spec())
    end = await site.end_of()
    assert (end.exit_code, end.signal) == (None, signal.SIGSEGV)
    assert "SIGSEGV" in end.reason


@pytest.mark.parametrize("program", [stand_ins.CRASHING_WITH_CHILDREN, stand_ins.STUBBORN_WITH_CHILDREN])
async def test_nothing_of_a_container_outlives_it(site: Site, program: str) -> None:
    engine, _ = await site.open(program)
    await engine.start(site.spec())
    children = await site.note("children")
    await engine.stop("co-1", grace_s=0)
    await site.end_of()
    await until(lambda: not any(running(pid) for pid in children), "the end of all children")


@pytest.mark.parametrize("grace_s", [0, 0.05])
async def test_force_reaches_what_hides_from_a_look_at_sessions_and_environments(site: Site, grace_s: float) -> None:
    engine, _ = await site.open(stand_ins.STUBBORN_WITH_A_WORKER)
    await engine.start(site.spec())
    (child,) = await site.note("children")
    await engine.stop("co-1", grace_s=grace_s)
    await site.end_of()
    await until(lambda: not running(child), "the end of the worker's child")


async def test_the_end_is_told_once(site: Site) -> None:
    engine, _ = await site.open(stand_ins.CRASHING)
    for number in range(5):
        await engine.start(site.spec(f"co-{number}"))
    await until(lambda: len(site.ended) >= 5, "five ends")
    await engine.close(stop_all=True)
    assert sorted(end.container_id for end in site.ended) == [f"co-{number}" for number in range(5)]


async def test_containers_outlive_the_engine_and_are_found_by_the_next(site: Site) -> None:
    first, _ = await site.open(stand_ins.OBEDIENT, ended=[])
    references = {name: await first.start(site.spec(name)) for name in ("co-1", "co-2")}
    for name in references:
        await site.note("alive", name)
    await first.close(stop_all=False)

    second, alive = await site.open(stand_ins.OBEDIENT)
    assert {found.container_id: found.engine_ref for found in alive} == references
    await second.stop("co-1", grace_s=60)
    await site.end_of("co-1")
    assert site.noted("asked-to-leave", "co-1")
    assert not site.noted("asked-to-leave", "co-2")
    assert [end.container_id for end in site.ended] == ["co-1"]


async def test_after_a_close_nothing_is_reported(site: Site) -> None:
    reports: list[object] = []
    first, _ = await site.open(stand_ins.OBEDIENT, ended=reports)  # type: ignore[arg-type]
    await first.start(site.spec())
    await site.note("alive")
    await first.close(stop_all=False)
    second, _ = await site.open(stand_ins.OBEDIENT)
    await second.stop("co-1", grace_s=0)
    await site.end_of()
    assert reports == []


async def test_closing_with_stop_all_leaves_no_container(site: Site) -> None:
    engine, _ = await site.open(stand_ins.STUBBORN_WITH_CHILDREN)
    await engine.start(site.spec())
    children = await site.note("children")
    await site.note("alive")
    await engine.close(stop_all=True)
    assert [end.container_id for end in site.ended] == ["co-1"]
    assert not any(running(pid) for pid in children)


async def test_stopping_what_is_unknown_or_gone_does_nothing(site: Site) -> None:
    engine, _ = await site.open(stand_ins.CRASHING)
    await engine.stop("co-never", grace_s=0)
    await engine.start(site.spec())
    await site.end_of()
    await engine.stop("co-1", grace_s=0)
    assert len(site.ended) == 1


async def test_a_container_that_asks_for_a_gpu_that_is_not_there_learns_the_reason(site: Site) -> None:
    engine, _ = await site.open(stand_ins.OBEDIENT)
    why = await site.why_not(engine, site.spec(gpu=("B200:2",)))
    assert why.code == "no_such_gpu"
    assert "B200:2" in why.message
    await engine.stop("co-1", grace_s=0)
    assert not site.noted("alive")


async def test_an_engine_that_is_closed_refuses(site: Site) -> None:
    engine, _ = await site.open(stand_ins.OBEDIENT)
    await engine.close(stop_all=True)
    with pytest.raises(EngineRefused) as refused:
        await engine.start(site.spec())
    assert refused.value.code == "engine_unreachable"


async def test_a_working_engine_says_so(site: Site) -> None:
    engine, _ = await site.open(stand_ins.OBEDIENT)
    assert await engine.check() is None
    assert engine.capabilities.name
    await engine.close(stop_all=True)
    await engine.close(stop_all=True)


async def test_many_containers_at_once(site: Site) -> None:
    engine, _ = await site.open(stand_ins.OBEDIENT)
    names = [f"co-{number}" for number in range(8)]
    await asyncio.gather(*(engine.start(site.spec(name)) for name in names))
    for name in names:
        await site.note("alive", name)
    for name in names:
        await engine.stop(name, grace_s=60)
    await until(lambda: len(site.ended) == len(names), "all ends")
    assert {end.exit_code for end in site.ended} == {0}
