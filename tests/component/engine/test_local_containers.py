"""What a container of the local engine gets, and what is left of it."""

import asyncio
import os
import pwd
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.contract.engine import stand_ins
from tests.contract.engine.harness import Site
from yurt.outbound.engines.local import LocalEngine
from yurt.ports import Engine, EngineRefused

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
NOBODY = pwd.getpwnam("nobody")


@asynccontextmanager
async def opened(site: Site, program: str) -> AsyncIterator[Engine]:
    engine, _ = await site.open(program)
    try:
        yield engine
    finally:
        await engine.close(stop_all=True)


async def test_the_environment_is_clean(site: Site, root: Path, python: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_PASSWORD", "hunter2")
    async with opened(site, stand_ins.OBEDIENT) as engine:
        await engine.start(site.spec())
        facts = await site.note("facts")
    scratch = root / "run" / "containers" / "co-1"
    assert facts["cwd"] == str(scratch)
    assert facts["environ"] == {
        "HOME": str(scratch),
        "LANG": "C.UTF-8",
        "LC_ALL": "C.UTF-8",
        "PATH": f"{python.parent}:/usr/local/bin:/usr/bin:/bin",
        "TMPDIR": str(scratch / "tmp"),
        "YURT_CONTAINER_ID": "co-1",
        "YURT_INSTALLATION": site.installation,
    }


@as_root
@pytest.mark.parametrize("tool", ["setpriv", None])
async def test_a_server_that_is_root_runs_containers_as_nobody(
    site: Site, root: Path, tool: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if tool is None:
        monkeypatch.setenv("PATH", "/nowhere")
    async with opened(site, stand_ins.OBEDIENT) as engine:
        await engine.start(site.spec())
        facts = await site.note("facts")
        scratch = (root / "run" / "containers" / "co-1").stat()
        assert any("as nobody" in note for note in engine.capabilities.notes)
    assert (facts["uid"], facts["groups"], facts["umask"]) == (NOBODY.pw_uid, [], 0o077)
    assert (scratch.st_uid, stat.S_IMODE(scratch.st_mode)) == (NOBODY.pw_uid, 0o700)


@as_root
async def test_where_nobody_cannot_run_the_interpreter_the_engine_says_whom_it_takes(root: Path, site: Site) -> None:
    closed = root / "closed"
    closed.mkdir(0o700)
    interpreter = root / "python"
    interpreter.rename(closed / "python")
    interpreter.symlink_to(closed / "python")
    async with opened(site, stand_ins.OBEDIENT) as engine:
        await engine.start(site.spec())
        assert (await site.note("facts"))["uid"] == 0
        (note,) = [note for note in engine.capabilities.notes if "not as nobody" in note]
    assert "--python" in note


async def test_what_others_may_see_of_the_run_directory(site: Site, root: Path) -> None:
    async with opened(site, stand_ins.OBEDIENT) as engine:
        await engine.start(site.spec())
        run = root / "run"
        (runner,) = run.glob("runner-*.pyz")
        modes = {
            path.name: stat.S_IMODE(path.stat().st_mode)
            for path in (run, run / "containers", run / "records", run / "trash", run / "containers" / "co-1")
        }
        assert modes == {"run": 0o711, "containers": 0o711, "records": 0o700, "trash": 0o700, "co-1": 0o700}
        assert stat.S_IMODE(runner.stat().st_mode) == 0o644


async def test_a_scratch_directory_goes_with_its_container_whatever_is_in_it(site: Site, root: Path) -> None:
    async with opened(site, stand_ins.MESSY) as engine:
        await engine.start(site.spec())
        await site.note("alive")
        await engine.stop("co-1", grace_s=0)
        await site.end_of()
        assert list((root / "run" / "containers").iterdir()) == []
    assert list((root / "run" / "trash" / site.installation).iterdir()) == []
    assert list((root / "run" / "records" / site.installation).iterdir()) == []
    assert Path("/etc/passwd").exists()


async def test_an_interpreter_that_is_gone_is_a_reason(site: Site, python: Path) -> None:
    async with opened(site, stand_ins.OBEDIENT) as engine:
        python.unlink()
        with pytest.raises(EngineRefused) as refused:
            await engine.start(site.spec())
        assert refused.value.code == "engine_unreachable"
        assert str(python) in refused.value.message
        assert str(python) in str(await engine.check())
        assert site.ended == []


async def test_a_run_directory_that_is_gone_is_a_reason_and_no_end_of_the_engine(site: Site, root: Path) -> None:
    async with opened(site, stand_ins.OBEDIENT) as engine:
        await engine.start(site.spec())
        await site.note("alive")
        (root / "run").rename(root / "moved")
        with pytest.raises(EngineRefused) as refused:
            await engine.start(site.spec("co-2"))
        assert refused.value.code == "engine_unreachable"
        assert str(root / "run") in str(await engine.check())
        await engine.stop("co-1", grace_s=0)
        await site.end_of()


async def test_a_start_that_fails_leaves_nothing(site: Site, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with opened(site, stand_ins.OBEDIENT) as engine:
        assert isinstance(engine, LocalEngine)
        with monkeypatch.context() as patch:

            def refuse(*_: object, **__: object) -> None:
                raise BlockingIOError(11, "Resource temporarily unavailable")

            patch.setattr("subprocess.Popen", refuse)
            with pytest.raises(EngineRefused) as refused:
                await engine.start(site.spec())
        assert refused.value.code == "no_capacity"
        assert list((root / "run" / "containers").iterdir()) == []
        await engine.start(site.spec())
        await site.note("alive")


async def test_the_engine_says_when_it_no_longer_notices_ends(site: Site) -> None:
    def broken(_: object) -> None:
        raise RuntimeError("the heart stopped")

    engine = site.make(stand_ins.CRASHING)
    await engine.open(broken)
    await engine.start(site.spec())
    while (said := await engine.check()) is None:
        await asyncio.sleep(0.002)
    assert "has stopped" in said
    with pytest.raises(ExceptionGroup):
        await engine.close(stop_all=True)
