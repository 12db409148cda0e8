"""Environments for functions with requirements: made once, shared, read-only, and gone when nobody uses them."""

import asyncio
import os
import stat
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import pytest

from tests.component.engine.installer import INSTALL, Installer
from tests.contract.engine import stand_ins
from tests.contract.engine.harness import Site, running
from tests.waiting import until
from yurt.outbound.engines.local import EnvironmentSettings, LocalEngine, LocalSettings, RunDirRefused
from yurt.outbound.engines.local.processes import CONTAINER, INSTALLATION, scan
from yurt.ports import Ended, EngineRefused, HeldUp, Placed, Report, StartFailed

WANTED = ("blue", "red")
NEVER = "touch $board/begun; sleep 300"
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


@dataclass
class House:
    """An open engine, and what it says."""

    engine: LocalEngine
    reports: list[Report]
    said: list[tuple[str, str, str]] = field(default_factory=list)

    async def end_of(self, container_id: str) -> None:
        """Return when the engine says that it is gone."""
        await until(
            lambda: [one for one in self.reports if isinstance(one, Ended) and one.container_id == container_id]
        )


Opened: TypeAlias = Callable[..., AbstractAsyncContextManager[House]]


@pytest.fixture
def installer(site: Site, root: Path, python: Path, monkeypatch: pytest.MonkeyPatch) -> Installer:
    return Installer(root, monkeypatch, python)


@pytest.fixture
def opened(settings: Callable[..., LocalSettings], root: Path, installer: Installer) -> Opened:
    """Opens an engine whose containers only take notes; further arguments are of its environments."""

    @asynccontextmanager
    async def opening(*, stop_all: bool = True, **changes: object) -> AsyncIterator[House]:
        environments = EnvironmentSettings(root / "environments", **changes)  # type: ignore[arg-type]
        said: list[tuple[str, str, str]] = []
        engine = LocalEngine(settings(stand_ins.OBEDIENT, environments=environments), lambda *line: said.append(line))
        house = House(engine, [], said)
        await engine.open(house.reports.append)
        try:
            yield house
        finally:
            await engine.close(stop_all=stop_all)

    return opening


def there(root: Path) -> list[str]:
    """What lies in the installation's folder of environments."""
    place = root / "environments" / f"inst-{root.name}"
    return sorted(path.name for path in place.iterdir()) if place.exists() else []


def installers(site: Site) -> list[int]:
    """The processes of installers."""
    return [one.pid for one in scan() if one.installation == site.installation and "environment" in one.container_id]


async def test_two_starts_share_one_environment(opened: Opened, site: Site, root: Path, installer: Installer) -> None:
    async with opened() as house:
        specs = [site.spec(name, function_id=f"fu-{name}", requirements=WANTED) for name in ("co-1", "co-2")]
        await asyncio.gather(*map(house.engine.start, specs))
        assert installer.asked == 1
        await house.engine.start(site.spec("co-3", requirements=WANTED, revision=2))
        await house.engine.start(site.spec("co-4"))
        assert installer.asked == 1
        paths = [(await site.note("facts", name))["environ"]["PATH"] for name in ("co-1", "co-2", "co-3", "co-4")]
        key, marker = there(root)
        assert marker == f"{key}.ready"
        assert [path.startswith(f"{root}/environments/inst-{root.name}/{key}/bin:") for path in paths] == [
            True,
            True,
            True,
            False,
        ]
        why = [one.why for one in house.reports if isinstance(one, HeldUp)]
        assert [one.code for one in why] == ["preparing_environment"] * 2
        assert "uv prepares the environment of thumbs:resize with 2 requirements" in why[0].message
        assert [one.container_id for one in house.reports if isinstance(one, Placed)] == ["co-1", "co-2"]
        first, *_, last = [text for of, _, text in house.said if of == "fu-co-2"]
        assert first == "Preparing an environment with uv: blue, red"
        assert last.startswith("The environment is ready after")


async def test_what_the_installer_prints_is_in_the_log_of_who_waits(
    opened: Opened, site: Site, installer: Installer
) -> None:
    installer.does("echo Collecting blue; echo trouble >&2; " + INSTALL)
    async with opened() as house:
        await house.engine.start(site.spec(requirements=WANTED))
        assert [text for of, by, text in house.said if (of, by) == ("fu-1", "co-1")][1:3] == [
            "Collecting blue",
            "trouble",
        ]


async def test_another_list_is_another_environment_and_another_spelling_is_not(
    opened: Opened, site: Site, root: Path, installer: Installer
) -> None:
    async with opened() as house:
        await house.engine.start(site.spec("co-1", requirements=("blue",)))
        await house.engine.start(site.spec("co-2", requirements=("red",)))
        assert (installer.asked, len(there(root))) == (2, 4)


@as_root
async def test_nobody_but_the_server_can_change_an_environment(
    opened: Opened, site: Site, root: Path, installer: Installer
) -> None:
    outside = root / "board" / "outside"
    outside.write_text("mine")
    outside.chmod(0o666)
    installer.does(
        f"{INSTALL}; ln -s {outside} $place/link; mkfifo $place/pipe; chmod -R a+w $place/lib; id -u > $board/uid"
    )
    async with opened() as house:
        await house.engine.start(site.spec(requirements=WANTED))
        place = root / "environments" / f"inst-{root.name}" / there(root)[0]
        for path in (place, *place.rglob("*")):
            found = path.lstat()
            assert found.st_uid == 0, path
            assert stat.S_ISLNK(found.st_mode) or not found.st_mode & 0o222, path
            assert stat.S_ISLNK(found.st_mode) or found.st_mode & 0o444 == 0o444, path
        assert not (place / "pipe").exists()
        assert (outside.stat().st_mode & 0o777, outside.stat().st_uid) == (0o666, 0)
        assert (root / "board" / "uid").read_text().strip() != "0"


async def test_the_installer_gets_the_operators_variables_and_no_others(
    opened: Opened, site: Site, installer: Installer, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_PASSWORD", "hunter2")
    installer.does(f"env > $board/env; {INSTALL}")
    async with opened(variables={"PIP_INDEX_URL": "https://index.example.org", "HOME": "/root"}) as house:
        await house.engine.start(site.spec(requirements=WANTED))
    told = dict(line.partition("=")[::2] for line in (root / "board" / "env").read_text().splitlines())
    assert told["PIP_INDEX_URL"] == "https://index.example.org"
    assert "DATABASE_PASSWORD" not in told
    assert "build-" in told["HOME"]
    assert told["TMPDIR"] == told["HOME"] + "/tmp"


async def test_what_cannot_be_resolved_fails_until_the_next_deploy(
    opened: Opened, site: Site, root: Path, installer: Installer
) -> None:
    installer.does("echo Looking; echo 'error: No solution found'; echo '  cause: There is no red.' >&2; exit 1")
    async with opened() as house:
        for name in ("co-1", "co-2"):
            with pytest.raises(StartFailed) as failed:
                await house.engine.start(site.spec(name, requirements=WANTED))
            assert failed.value.final
            assert failed.value.error["message"] == (
                "The environment of thumbs:resize could not be made: uv ended with 1: error: No solution found cause:"
                " There is no red. It is not tried again before the next deploy."
            )
            assert "Looking" in str(failed.value.error["last_output"])
        assert installer.asked == 1
        assert there(root) == []
        with pytest.raises(StartFailed):
            await house.engine.start(site.spec("co-3", requirements=WANTED, revision=2))
        assert installer.asked == 2
        installer.does(INSTALL)
        await house.engine.start(site.spec("co-4", requirements=WANTED, revision=3))
        assert "No environment: uv ended with 1" in [text for _, by, text in house.said if by == "co-1"][-1]


async def test_an_index_that_does_not_answer_is_asked_again(opened: Opened, site: Site, installer: Installer) -> None:
    installer.does("echo 'WARNING: Retrying after connection broken by NewConnectionError: Connection refused'; exit 1")
    async with opened() as house:
        for name in ("co-1", "co-2"):
            with pytest.raises(StartFailed) as failed:
                await house.engine.start(site.spec(name, requirements=WANTED))
            assert not failed.value.final
        assert installer.asked == 2


async def test_an_installer_that_takes_too_long_is_ended(
    opened: Opened, site: Site, root: Path, installer: Installer
) -> None:
    installer.does("(sleep 300 &) ; sleep 300")
    async with opened(timeout_s=1.5) as house:
        with pytest.raises(StartFailed, match=r"uv was not done after 1\.5 s") as failed:
            await house.engine.start(site.spec(requirements=WANTED))
        assert failed.value.final
        assert installers(site) == []
        assert there(root) == []


async def test_what_nobody_waits_for_any_more_is_not_made(
    opened: Opened, site: Site, root: Path, installer: Installer
) -> None:
    installer.does(NEVER)
    async with opened() as house:
        starts = [
            asyncio.create_task(house.engine.start(site.spec(name, requirements=WANTED))) for name in ("co-1", "co-2")
        ]
        await until(lambda: installer.noted("begun"))
        await house.engine.stop("co-1", grace_s=0)
        with pytest.raises(EngineRefused, match="stopped before it began"):
            await starts[0]
        assert installers(site)
        await house.engine.stop("co-2", grace_s=0)
        with pytest.raises(EngineRefused):
            await starts[1]
        installer.does(INSTALL)
        await house.engine.start(site.spec("co-3", requirements=WANTED))
        assert installers(site) == []
        assert len(there(root)) == 2


async def test_closing_ends_what_is_being_made(opened: Opened, site: Site, root: Path, installer: Installer) -> None:
    installer.does(NEVER)
    async with opened() as house:
        start = asyncio.create_task(house.engine.start(site.spec(requirements=WANTED)))
        await until(lambda: installer.noted("begun"))
    with pytest.raises(EngineRefused):
        await start
    assert installers(site) == []
    assert there(root) == []


async def test_what_a_dead_server_left_half_made_is_swept_away(
    opened: Opened, site: Site, root: Path, installer: Installer
) -> None:
    async with opened() as house:
        await house.engine.start(site.spec(requirements=WANTED))
    whole = there(root)
    place = root / "environments" / f"inst-{root.name}"
    for name in ("half", "build-half", "trash-old"):
        (place / name / "bin").mkdir(parents=True)
    marks = {INSTALLATION: site.installation, CONTAINER: "environment-half"}
    with subprocess.Popen(["/bin/sleep", "300"], env=marks) as left:
        async with opened():
            assert there(root) == whole
            assert not running(left.pid)


async def test_an_environment_is_kept_while_it_is_used_and_for_a_time(
    opened: Opened, site: Site, root: Path, installer: Installer
) -> None:
    async with opened(stop_all=False, keep_s=0) as house:
        await house.engine.start(site.spec("co-1", requirements=WANTED))
        await house.engine.tidy(())
        assert len(there(root)) == 2
    async with opened(keep_s=0) as house:
        await house.engine.tidy(())
        assert len(there(root)) == 2
        await house.engine.stop("co-1", grace_s=0)
        await house.end_of("co-1")
        await house.engine.tidy(())
        assert there(root) == []
    async with opened(keep_s=3600) as house:
        await house.engine.start(site.spec("co-2", requirements=WANTED))
        await house.engine.stop("co-2", grace_s=0)
        await house.end_of("co-2")
        await house.engine.tidy(())
        assert (installer.asked, len(there(root))) == (2, 2)


async def test_a_folder_that_is_none_is_a_reason(opened: Opened, site: Site, root: Path) -> None:
    async with opened() as house:
        (root / "environments").write_text("a file")
        with pytest.raises(EngineRefused, match="--environments-dir") as refused:
            await house.engine.start(site.spec(requirements=WANTED))
        assert refused.value.code == "engine_unreachable"
        (root / "environments").unlink()
        await house.engine.start(site.spec(requirements=WANTED))


async def test_a_folder_that_others_can_write_to_stops_the_start(opened: Opened, root: Path) -> None:
    (root / "environments").mkdir()
    (root / "environments").chmod(0o777)
    with pytest.raises(RunDirRefused, match="--environments-dir"):
        async with opened():
            pass


async def test_a_machine_without_an_installer_says_so(
    opened: Opened, site: Site, python: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = python.resolve()
    python.unlink()
    python.write_text(f'#!/bin/sh\ncase "$*" in *ensurepip*) exit 1;; esac\nexec {real} "$@"\n')
    python.chmod(0o755)
    monkeypatch.setenv("PATH", "/nowhere")
    async with opened() as house:
        assert [note for note in house.engine.capabilities.notes if "Functions with requirements cannot run" in note]
        with pytest.raises(EngineRefused, match="python3-venv") as refused:
            await house.engine.start(site.spec(requirements=WANTED))
        assert refused.value.code == "no_installer"
        foreseen = await house.engine.foresee(site.spec(requirements=WANTED).function)
        assert foreseen is not None
        assert foreseen.code == "no_installer"
        await house.engine.start(site.spec())
