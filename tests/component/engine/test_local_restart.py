"""What the local engine finds, ends and leaves alone when it opens."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.contract.engine import stand_ins
from tests.contract.engine.harness import Site, running
from tests.waiting import until
from yurt.outbound.engines.local import InterpreterUnusable, LocalEngine, LocalSettings, RunDirRefused
from yurt.outbound.engines.local.processes import scan

ROOT = Path(__file__).parents[3]

SERVER = """
import asyncio, sys
from pathlib import Path
from tests.contract.engine.conftest import local_site
from tests.contract.engine import stand_ins

async def main(root, python, program):
    Path(root, "board").rmdir()
    site = local_site(Path(root), Path(python))
    engine, _ = await site.open(getattr(stand_ins, program))
    print(await engine.start(site.spec()), flush=True)
    await asyncio.sleep(600)

asyncio.run(main(*sys.argv[1:]))
"""


class Server:
    """A server in a process of its own, to be killed."""

    def __init__(self, root: Path, python: Path, program: str) -> None:
        command = [sys.executable, "-c", SERVER, str(root), str(python), program]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment)
        assert self._process.stdout
        self.reference = self._process.stdout.readline().decode().strip()

    def kill(self) -> None:
        """End it with no chance to tidy up."""
        self._process.kill()
        self._process.communicate()


async def test_containers_of_a_killed_server_are_adopted(site: Site, root: Path, python: Path) -> None:
    server = Server(root, python, "OBEDIENT")
    await site.note("alive")
    server.kill()
    engine, alive = await site.open(stand_ins.OBEDIENT)
    assert [found.engine_ref for found in alive] == [server.reference]
    await engine.stop("co-1", grace_s=60)
    end = await site.end_of()
    assert (end.exit_code, end.signal) == (None, None)
    assert "not known" in end.reason
    await engine.close(stop_all=True)


async def test_an_adopted_container_that_will_not_stop_is_ended_with_its_children(
    site: Site, root: Path, python: Path
) -> None:
    server = Server(root, python, "STUBBORN_WITH_CHILDREN")
    children = await site.note("children")
    await site.note("alive")
    server.kill()
    engine, _ = await site.open(stand_ins.OBEDIENT)
    await engine.stop("co-1", grace_s=0.05)
    await site.end_of()
    assert not any(running(pid) for pid in children)
    await engine.close(stop_all=True)


async def test_what_a_dead_container_left_is_ended_at_the_next_start(site: Site, root: Path, python: Path) -> None:
    server = Server(root, python, "STUBBORN_WITH_CHILDREN")
    children = await site.note("children")
    server.kill()
    os.kill(int(server.reference.partition(":")[0]), signal.SIGKILL)
    await until(lambda: not running(int(server.reference.partition(":")[0])), "the end of the runner")
    assert all(running(pid) for pid in children)

    engine, alive = await site.open(stand_ins.OBEDIENT)
    assert alive == []
    assert site.ended == []
    assert not any(running(pid) for pid in children)
    assert list((root / "run" / "containers").iterdir()) == []
    await engine.close(stop_all=True)


async def test_a_start_that_was_cut_short_is_undone(site: Site, root: Path) -> None:
    engine, _ = await site.open(stand_ins.OBEDIENT)
    await engine.start(site.spec())
    await site.note("alive")
    await engine.close(stop_all=False)
    (root / "run" / "records" / site.installation / "co-1.ref").unlink()
    (pid,) = (process.pid for process in scan() if process.installation == site.installation)

    engine, alive = await site.open(stand_ins.OBEDIENT)
    assert alive == []
    assert not running(pid)
    os.waitpid(pid, 0)
    assert list((root / "run" / "containers").iterdir()) == []
    await engine.close(stop_all=True)


async def test_another_installation_in_the_same_place_is_left_alone(
    site: Site, root: Path, settings: Callable[..., LocalSettings]
) -> None:
    other = LocalEngine(settings(stand_ins.OBEDIENT, installation="inst-other"))
    await other.open(lambda _: None)
    await other.start(site.spec("co-other"))
    await site.note("alive", "co-other")

    engine, alive = await site.open(stand_ins.CRASHING_WITH_CHILDREN)
    assert alive == []
    await engine.start(site.spec())
    await site.end_of()
    await engine.close(stop_all=True)
    assert [process.container_id for process in scan() if process.installation == "inst-other"] == ["co-other"]
    assert [path.name for path in (root / "run" / "containers").iterdir()] == ["co-other"]
    await other.close(stop_all=True)


async def refused(engine: LocalEngine) -> str:
    with pytest.raises(RunDirRefused) as error:
        await engine.open(lambda _: None)
    await engine.close(stop_all=True)
    return str(error.value)


async def test_a_run_directory_that_others_can_write_is_refused(
    root: Path, settings: Callable[..., LocalSettings]
) -> None:
    run = root / "run"
    run.mkdir()
    run.chmod(0o777)
    message = await refused(LocalEngine(settings(stand_ins.OBEDIENT)))
    assert "written by others (mode 0777)" in message
    assert "--run-dir" in message
    assert list(run.iterdir()) == []


async def test_a_run_directory_that_is_a_link_is_refused(root: Path, settings: Callable[..., LocalSettings]) -> None:
    (root / "elsewhere").mkdir()
    (root / "run").symlink_to(root / "elsewhere")
    assert "is a link" in await refused(LocalEngine(settings(stand_ins.OBEDIENT)))
    assert list((root / "elsewhere").iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
async def test_a_run_directory_of_another_user_is_refused(root: Path, settings: Callable[..., LocalSettings]) -> None:
    (root / "run").mkdir()
    os.chown(root / "run", 65534, 65534)
    assert "belongs to another user (uid 65534)" in await refused(LocalEngine(settings(stand_ins.OBEDIENT)))


async def test_a_run_directory_that_cannot_be_made_is_refused(
    root: Path, settings: Callable[..., LocalSettings]
) -> None:
    (root / "file").touch()
    message = await refused(LocalEngine(settings(stand_ins.OBEDIENT, run_dir=root / "file" / "run")))
    assert str(root / "file") in message
    assert "--run-dir" in message


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"python": Path("/no/such/python")}, "/no/such/python"),
        ({"python": Path("/bin/false")}, "ended with 1"),
        ({"user": "no-such-user"}, "--container-user"),
    ],
)
async def test_an_engine_that_could_start_nothing_does_not_open(
    settings: Callable[..., LocalSettings], changes: dict[str, object], said: str
) -> None:
    if "user" in changes and os.geteuid() != 0:
        pytest.skip("the user matters to root alone")
    engine = LocalEngine(settings(stand_ins.OBEDIENT, **changes))
    with pytest.raises(InterpreterUnusable, match=said):
        await engine.open(lambda _: None)
    await engine.close(stop_all=True)
