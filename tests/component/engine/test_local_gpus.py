"""GPUs of the local engine: found, lent to one container at a time, and free again when it has ended."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.component.engine.nvidia import install
from tests.contract.engine import stand_ins
from tests.contract.engine.harness import Site
from yurt.outbound.engines.local import LocalEngine, LocalSettings, gpus
from yurt.ports import Engine, EngineRefused

T4, H100 = "Tesla T4", "NVIDIA H100 80GB HBM3"


@asynccontextmanager
async def opened(site: Site) -> AsyncIterator[Engine]:
    engine, _ = await site.open(stand_ins.OBEDIENT)
    try:
        yield engine
    finally:
        await engine.close(stop_all=True)


async def visible(site: Site, container_id: str) -> str | None:
    variable: str | None = (await site.note("facts", container_id))["environ"].get("CUDA_VISIBLE_DEVICES")
    return variable


async def stocks(engine: Engine) -> dict[str, tuple[int, int, dict[str, int]]]:
    return {one.type: (one.total, one.free, dict(one.held)) for one in (await engine.capacity()).gpus}


async def test_gpus_are_lent_and_come_back(site: Site, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(root, monkeypatch, T4, H100, H100, H100)
    async with opened(site) as engine:
        assert await stocks(engine) == {"H100": (3, 3, {}), "T4": (1, 1, {})}
        await engine.start(site.spec("co-1", gpu=("H100:2",)))
        await engine.start(site.spec("co-2", gpu=("H100:2", "T4")))
        await engine.start(site.spec("co-3"))
        assert await visible(site, "co-1") == "GPU-1,GPU-2"
        assert await visible(site, "co-2") == "GPU-0"
        assert await visible(site, "co-3") == ""
        assert await stocks(engine) == {"H100": (3, 1, {"co-1": 2}), "T4": (1, 0, {"co-2": 1})}

        with pytest.raises(EngineRefused) as refused:
            await engine.start(site.spec("co-4", gpu=("H100:3",)))
        assert refused.value.code == "no_capacity"
        assert refused.value.message == (
            "thumbs:resize asks for H100:3. Of the 3 H100 of this machine 1 is free; 3 are needed together."
        )
        assert refused.value.details == {"gpu": "H100:3", "total": 3, "free": 1}

        await engine.stop("co-1", grace_s=0)
        await site.end_of("co-1")
        await engine.start(site.spec("co-4", gpu=("H100:3",)))
        assert await visible(site, "co-4") == "GPU-1,GPU-2,GPU-3"


async def test_a_gpu_that_is_not_there_is_not_one_that_is_in_use(
    site: Site, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(root, monkeypatch, T4, "NVIDIA GeForce RTX 4090", "NVIDIA H100 PCIe, Enabled")
    async with opened(site) as engine:
        with pytest.raises(EngineRefused) as refused:
            await engine.start(site.spec(gpu=("H100",)))
        assert refused.value.code == "no_such_gpu"
        assert "This machine has no H100: it has 1 T4;" in refused.value.message
        found = await engine.capacity()
        assert found.unmapped == {"NVIDIA GeForce RTX 4090": 1, "NVIDIA H100 PCIe (MIG)": 1}


async def test_a_start_that_fails_holds_no_gpu(site: Site, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(root, monkeypatch, T4)
    async with opened(site) as engine:
        with monkeypatch.context() as patch:

            def refuse(*_: object, **__: object) -> None:
                raise BlockingIOError(11, "Resource temporarily unavailable")

            patch.setattr("subprocess.Popen", refuse)
            with pytest.raises(EngineRefused):
                await engine.start(site.spec(gpu=("T4",)))
        await engine.start(site.spec(gpu=("T4",)))
        assert await visible(site, "co-1") == "GPU-0"


async def test_gpus_stay_lent_over_a_restart_of_the_server(
    site: Site, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(root, monkeypatch, T4, T4)
    first, _ = await site.open(stand_ins.OBEDIENT)
    await first.start(site.spec("co-1", gpu=("T4",)))
    await site.note("alive")
    await first.close(stop_all=False)
    async with opened(site) as second:
        assert await stocks(second) == {"T4": (2, 1, {"co-1": 1})}
        await second.start(site.spec("co-2", gpu=("T4",)))
        assert await visible(site, "co-2") == "GPU-1"
        await second.stop("co-1", grace_s=0)
        await site.end_of("co-1")
        assert await stocks(second) == {"T4": (2, 1, {"co-2": 1})}


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("echo NVIDIA-SMI has failed; exit 9", "nvidia-smi failed: NVIDIA-SMI has failed"),
        ("echo what", "said what is not understood: what"),
        ("sleep 60", "did not answer within"),
    ],
)
async def test_a_driver_that_does_not_answer_is_told_to_the_operator(
    site: Site, root: Path, monkeypatch: pytest.MonkeyPatch, script: str, told: str
) -> None:
    install(root, monkeypatch, script=script)
    monkeypatch.setattr(gpus, "ANSWER_MAY_TAKE_S", 0.5)
    async with opened(site) as engine:
        assert [note for note in engine.capabilities.notes if told in note]
        assert told in str((await engine.capacity()).reason)
        with pytest.raises(EngineRefused) as refused:
            await engine.start(site.spec(gpu=("T4",)))
        assert refused.value.code == "no_such_gpu"
        assert told in refused.value.message


async def test_the_driver_is_found_where_the_server_finds_it(
    settings: Callable[..., LocalSettings], site: Site, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    only_there = f'[ "$LD_LIBRARY_PATH" = {root} ] || {{ echo cannot find libnvidia-ml.so; exit 12; }}\n'
    install(root, monkeypatch, script=only_there + f"echo GPU-0, {T4}, [N/A]")
    engine = LocalEngine(settings(stand_ins.OBEDIENT, driver_variables={"LD_LIBRARY_PATH": str(root)}))
    await engine.open(lambda _: None)
    try:
        await engine.start(site.spec("co-1", gpu=("T4",)))
        await engine.start(site.spec("co-2"))
        for container_id, path in (("co-1", str(root)), ("co-2", None)):
            assert (await site.note("facts", container_id))["environ"].get("LD_LIBRARY_PATH") == path
    finally:
        await engine.close(stop_all=True)


async def test_models_of_the_operator(
    settings: Callable[..., LocalSettings], root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(root, monkeypatch, "NVIDIA A40", "NVIDIA A40")
    engine = LocalEngine(settings(stand_ins.OBEDIENT, gpu_models={"NVIDIA A40": "A10"}))
    await engine.open(lambda _: None)
    try:
        assert await stocks(engine) == {"A10": (2, 2, {})}
    finally:
        await engine.close(stop_all=True)
