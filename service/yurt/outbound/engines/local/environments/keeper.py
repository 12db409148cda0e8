"""Which environments there are, who uses them, and who waits for one that is being made."""

import asyncio
import os
import time
from collections.abc import Callable, Collection, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import structlog

from yurt.domain.requirements import key_of
from yurt.outbound.engines.local.environments import tools
from yurt.outbound.engines.local.environments.building import Making, Unprepared
from yurt.outbound.engines.local.environments.settings import EnvironmentSettings
from yurt.outbound.engines.local.launch import Launcher
from yurt.outbound.engines.local.places import RunDirRefused, own_directory
from yurt.outbound.engines.local.trees import remove_tree
from yurt.ports import ContainerSpec

AT_ONCE = 2
"""Environments that are made at the same time; further ones wait for their turn."""

STOP_AGAIN_S = 0.2

LINES_TOLD = 2000
"""Of an installer's output in the log; what failed is told in any case."""

Say: TypeAlias = Callable[[str, str, str], None]
"""Writes a line about a container into the log: given the function's id, the container's, and the text."""

log = structlog.get_logger(__name__)


class Withdrawn(Exception):
    """The container that waited for its environment is to end; nobody's fault."""


@dataclass(slots=True, eq=False)
class _Build:
    """An environment on its way, and who waits for it."""

    making: Making
    waiters: dict[str, "asyncio.Future[None]"] = field(default_factory=dict)
    audience: dict[str, str] = field(default_factory=dict)
    over: asyncio.Event = field(default_factory=asyncio.Event)
    told: int = 0


class Keeper:
    """The environments of this machine. Each is there once it has a marker beside it; all else is swept at the start.

        folder/<installation>/      0711, the server's
          <key>/                    an environment, which nobody can write to
          <key>.ready               its marker; last touched when a container last began or ended in it
          build-<key>/              while it is made: home and temporary files of the installer
          trash-…/                  on its way out

    Args:
        settings: where, and for how long.
        installation: whose they are; the mark of the installers' processes.
        say: takes what installers print.
    """

    def __init__(self, settings: EnvironmentSettings, installation: str, say: Say) -> None:
        self._settings = settings
        self._installation = installation
        self._say = say
        self._folder = settings.folder / installation
        self._launcher: Launcher | None = None
        self._tool: tools.Tool | None = None
        self._identity = ""
        self._builds: dict[str, _Build] = {}
        self._failed: dict[str, tuple[int, str, Unprepared]] = {}
        self._used: dict[str, str] = {}
        self._threads = ThreadPoolExecutor(AT_ONCE, "environments")
        self._turn = asyncio.Semaphore(AT_ONCE)
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False
        self.problem: str | None = None

    def open(self, launcher: Launcher) -> None:
        """Find the installer, and sweep away what an earlier server left half-made. Blocks: for threads.

        Args:
            launcher: how containers run the interpreter.

        Raises:
            RunDirRefused: the folder is not safe to use.
        """
        self._launcher = launcher
        self._tool = tools.find(launcher)
        self.problem = tools.missing(launcher.python) if self._tool is None else None
        self._identity = launcher.identity()
        if self._settings.folder.exists():
            self._lay_out()
            self._sweep()

    def _lay_out(self) -> None:
        for directory in (self._settings.folder, self._folder):
            own_directory(directory, 0o711, flag="--environments-dir")

    def _sweep(self) -> None:
        for path in self._folder.iterdir():
            if path.suffix == ".ready" or path.with_name(path.name + ".ready").exists():
                continue
            for stuck in remove_tree(path):
                log.warning("environment_not_removed", path=stuck)

    # ------------------------------------------------------------------ get one

    def waits(self, spec: ContainerSpec) -> str | None:
        """What a container must wait for before it can start, as a sentence; None for nothing."""
        requirements = spec.function.requirements
        if not requirements or self._marker(self._key(spec)).exists():
            return None
        many = "1 requirement" if len(requirements) == 1 else f"{len(requirements)} requirements"
        address = spec.function.address
        name = self._tool.name if self._tool else "pip"
        return f"{name} prepares the environment of {address} with {many}. To watch it: yurt logs -f {address}."

    async def python_for(self, spec: ContainerSpec) -> Path | None:
        """The interpreter for a container, once its environment is there; None for that of all.

        Raises:
            Unprepared: there will be none.
            Withdrawn: the container is not to start any more.
            OSError, RunDirRefused: this machine has no place for it.
        """
        if not spec.function.requirements:
            return None
        key = self._key(spec)
        while not self._marker(key).exists():
            self._refuse_again(key, spec)
            build = self._builds.get(key) or self._begin(key, spec)
            if build.making.stopped is None:
                await self._wait(build, spec)
            else:
                await build.over.wait()
        self._used[spec.container_id] = key
        self._touch(key)
        return self._folder / key / "bin" / "python"

    def _refuse_again(self, key: str, spec: ContainerSpec) -> None:
        """What failed for good is not tried again for the same revision; a deploy makes another one."""
        if self._closed:
            raise Withdrawn
        revision, what, failure = self._failed.get(spec.function.function_id, (0, "", None))
        if failure is not None and (revision, what) == (spec.function.revision, key):
            raise failure

    async def _wait(self, build: _Build, spec: ContainerSpec) -> None:
        waiter = asyncio.get_running_loop().create_future()
        build.waiters[spec.container_id] = waiter
        if spec.function.function_id not in build.audience:
            build.audience[spec.function.function_id] = spec.container_id
            making = build.making
            first = f"Preparing an environment with {making.tool.name}: {', '.join(making.requirements)}"
            self._say(spec.function.function_id, spec.container_id, first)
        try:
            await waiter
        except Unprepared as failure:
            if failure.final:
                self._failed[spec.function.function_id] = (spec.function.revision, build.making.key, failure)
            raise
        finally:
            del build.waiters[spec.container_id]
            if not build.waiters and not build.over.is_set():
                self._stop(build, "nobody waits for it any more")

    def withdraw(self, container_id: str) -> None:
        """A container that waits is not to start any more. What nobody waits for is not made."""
        for build in self._builds.values():
            waiter = build.waiters.get(container_id)
            if waiter is not None and not waiter.done():
                waiter.set_exception(Withdrawn())

    # ------------------------------------------------------------------ make one

    def _begin(self, key: str, spec: ContainerSpec) -> _Build:
        if self._launcher is None or self._tool is None:
            raise Unprepared(self.problem or "The engine is not open.", final=False)
        build = _Build(self._making(key, spec, self._tool, self._launcher))
        self._builds[key] = build
        self._run(self._make(key, build), f"environment-{key}")
        return build

    def _making(self, key: str, spec: ContainerSpec, tool: tools.Tool, launcher: Launcher) -> Making:
        loop = asyncio.get_running_loop()

        def say(line: str) -> None:
            loop.call_soon_threadsafe(self._tell, key, line)

        return Making(
            key=key,
            requirements=spec.function.requirements,
            place=self._folder / key,
            scratch=self._folder / f"build-{key}",
            tool=tool,
            launcher=launcher,
            installation=self._installation,
            variables=self._settings.variables,
            say=say,
        )

    def _run(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _make(self, key: str, build: _Build) -> None:
        began = time.monotonic()
        failure: Exception | None = None
        try:
            async with self._turn:
                began = time.monotonic()
                await self._make_in_time(build)
        except (Unprepared, OSError, RunDirRefused) as error:
            failure = error
        finally:
            del self._builds[key]
            build.over.set()
            self._end(build, failure, round(time.monotonic() - began, 1))

    async def _make_in_time(self, build: _Build) -> None:
        loop, limit_s = asyncio.get_running_loop(), self._settings.timeout_s
        late = loop.call_later(limit_s, self._stop, build, f"{build.making.tool.name} was not done after {limit_s:g} s")
        try:
            await loop.run_in_executor(self._threads, self._build, build.making)
        finally:
            late.cancel()

    def _build(self, making: Making) -> None:
        self._settings.folder.parent.mkdir(parents=True, exist_ok=True)
        self._lay_out()
        making.run()
        self._marker(making.key).write_text("".join(f"{one}\n" for one in making.requirements))

    def _end(self, build: _Build, failure: Exception | None, took_s: float) -> None:
        making = build.making
        last = f"The environment is ready after {took_s:g} s." if failure is None else f"No environment: {failure}"
        for function_id, container_id in build.audience.items():
            self._say(function_id, container_id, last)
        log.info("environment_made" if failure is None else "environment_failed", key=making.key, took_s=took_s)
        for waiter in list(build.waiters.values()):
            if waiter.done():
                continue
            if failure is None:
                waiter.set_result(None)
            else:
                waiter.set_exception(failure)

    def _tell(self, key: str, line: str) -> None:
        build = self._builds.get(key)
        if build is None or build.told > LINES_TOLD:
            return
        build.told += 1
        text = line if build.told <= LINES_TOLD else "… The installer goes on; no more of it is shown."
        for function_id, container_id in build.audience.items():
            self._say(function_id, container_id, text)

    def _stop(self, build: _Build, why: str) -> None:
        if build.making.stopped is None:
            build.making.stopped = why
            self._run(self._force(build), f"stop-environment-{build.making.key}")

    async def _force(self, build: _Build) -> None:
        """End its processes until it is over: one may be about to begin."""
        while not build.over.is_set():
            await asyncio.to_thread(build.making.end_processes)
            with suppress(TimeoutError):
                async with asyncio.timeout(STOP_AGAIN_S):
                    await build.over.wait()

    # ------------------------------------------------------------------ keep them

    def resume(self, container_id: str, key: str) -> None:
        """A container of an earlier server runs in that one."""
        self._used[container_id] = key

    def used_by(self, container_id: str) -> str | None:
        """The key of a container's environment."""
        return self._used.get(container_id)

    def end(self, container_id: str) -> None:
        """A container is gone."""
        key = self._used.pop(container_id, None)
        if key is not None:
            self._touch(key)

    async def collect(self) -> None:
        """Remove what no container uses and none has for long."""
        await asyncio.to_thread(self._collect, frozenset(self._used.values()), time.time() - self._settings.keep_s)

    def _collect(self, used: Collection[str], before: float) -> None:
        for marker in self._folder.glob("*.ready"):
            key = marker.stem
            with suppress(FileNotFoundError):
                if key in used or marker.stat().st_mtime >= before:
                    continue
                marker.unlink()  # from here on it is not there, whatever becomes of the rest
                trash = self._folder / f"trash-{key}-{os.urandom(4).hex()}"
                (self._folder / key).rename(trash)
                for stuck in remove_tree(trash):
                    log.warning("environment_not_removed", path=stuck)
                log.info("environment_removed", key=key)

    async def close(self) -> None:
        """Stop what is being made, and wait until it is gone."""
        self._closed = True
        for build in list(self._builds.values()):
            for waiter in build.waiters.values():
                if not waiter.done():
                    waiter.set_exception(Withdrawn())
            self._stop(build, "the server is stopping")
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._threads.shutdown(wait=False)

    def _key(self, spec: ContainerSpec) -> str:
        return key_of(spec.function.requirements, self._identity)

    def _marker(self, key: str) -> Path:
        return self._folder / f"{key}.ready"

    def _touch(self, key: str) -> None:
        with suppress(OSError):  # gone, or the disk is full: it is then removed a little early
            os.utime(self._marker(key))
