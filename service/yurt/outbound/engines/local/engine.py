"""The local engine: a container is a tree of processes on this machine, with a directory of its own."""

import asyncio
import errno
import os
import signal
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import structlog

from yurt.domain.capacity import Capacity, Shortage
from yurt.domain.functions import LiveFunction
from yurt.outbound.engines.local import launch, processes
from yurt.outbound.engines.local.endings import members, reason
from yurt.outbound.engines.local.environments import EnvironmentSettings, Keeper, Say, Unprepared, Withdrawn
from yurt.outbound.engines.local.gpus import Gpus, NvidiaSmi
from yurt.outbound.engines.local.places import ENVIRONMENT, GPUS, Places, RunDirRefused
from yurt.outbound.engines.local.processes import Process
from yurt.outbound.engines.local.settings import LocalSettings
from yurt.ports import (
    Capabilities,
    ContainerSpec,
    Ended,
    EngineRefused,
    HeldUp,
    Observed,
    Placed,
    Report,
    StartFailed,
)

log = structlog.get_logger(__name__)

KILL_MAY_TAKE_S = 5.0
"""A killed process is gone in milliseconds, unless the kernel waits for a disk on its behalf."""

CLOSE_GRACE_S = 2.0
"""How long runners may take to end by themselves when the engine is closed; their work was drained before."""

CLOSE_MAY_TAKE_S = 30.0
"""No end of all containers by then is an error."""

NOTES = (
    "Containers are not isolated: functions are processes of this machine, with its files and its network.",
    "Whoever may deploy owns the account that containers run as.",
    "A memory limit is watched by the runner, not held by the kernel: a container may pass it for a moment.",
    "A process that clears its environment, leaves its session and loses its parent can outlive its container.",
)


@dataclass(slots=True, eq=False)
class _Live:
    """A container that has not been reported as ended."""

    container_id: str
    pid: int
    started: int
    handle: int
    force: asyncio.TimerHandle | None = None
    ended: bool = False

    @property
    def identity(self) -> tuple[int, int]:
        return self.pid, self.started

    @property
    def reference(self) -> str:
        return f"{self.pid}:{self.started}"


class LocalEngine:
    """`yurt.ports.Engine` for this machine (Linux 5.4 or newer: it needs /proc and process handles).

    Args:
        say: writes a line about a container into the log, before there is one that could.
    """

    def __init__(self, settings: LocalSettings, say: Say = lambda _function, _container, _text: None) -> None:
        self.capabilities = Capabilities(
            name="local",
            isolates=False,
            honours_image=False,
            memory_limit=True,
            notes=NOTES,
            requirements=True,
            web=True,
        )
        self._settings = settings
        self._places = Places(settings.run_dir, settings.installation, settings.runner_sha256)
        self._launcher = launch.Launcher(settings.python, self._places.runner)
        self._gpus = Gpus(NvidiaSmi(settings.driver_variables), settings.gpu_models, settings.driver_variables)
        environments = settings.environments or EnvironmentSettings(settings.run_dir / "environments")
        self._keeper = Keeper(environments, settings.installation, say)
        self._live: dict[str, _Live] = {}
        self._condemned: list[_Live] = []
        self._dead: list[_Live] = []
        self._wake = asyncio.Event()
        self._dirty = asyncio.Event()
        self._closing = False
        self._buried_all = False
        self._house: asyncio.Task[None] | None = None

    async def open(self, report: Callable[[Report], None]) -> list[Observed]:
        """See `Engine.open`. Ends what is left of containers whose runner is gone.

        Raises:
            RunDirRefused: the run directory is not safe to use.
            InterpreterUnusable: containers cannot run the interpreter.
        """
        self._report = report
        await asyncio.to_thread(self._places.prepare, self._settings.runner)
        self._launcher, sentence = await asyncio.to_thread(
            launch.choose, self._settings.python, self._places.runner, self._settings.user
        )
        await asyncio.to_thread(self._gpus.look)
        for live in await asyncio.to_thread(self._adopt):
            self._resume(live)
        await asyncio.to_thread(self._keeper.open, self._launcher)
        problems = filter(None, (self._gpus.problem, self._keeper.problem))
        self.capabilities = replace(
            self.capabilities,
            notes=(*NOTES, sentence, *problems),
            python=await asyncio.to_thread(self._launcher.version),
        )
        observed = [Observed(live.container_id, live.reference) for live in self._live.values()]
        self._house = asyncio.create_task(self._keep_house(), name="local-engine")
        return observed

    def _resume(self, live: _Live) -> None:
        """Take over what a container of an earlier server has."""
        self._gpus.resume(live.container_id, self._places.noted(live.container_id, GPUS))
        for key in self._places.noted(live.container_id, ENVIRONMENT):
            self._keeper.resume(live.container_id, key)
        self._watch(live)

    async def start(self, spec: ContainerSpec) -> str:
        """See `Engine.start`. Once it is begun nothing is awaited: a cancelled start leaves nothing half-made."""
        if self._closing or not self._house:
            raise EngineRefused("engine_unreachable", "The local engine is not open.")
        if spec.container_id in self._live:
            raise ValueError(f"container {spec.container_id} was started before")
        launcher = await self._prepared(spec)
        try:
            live = self._start(spec, launcher, self._lend(spec))
        except (OSError, EngineRefused) as error:
            self._forget(spec.container_id)
            self._places.discard(spec.container_id)
            self._dirty.set()
            if isinstance(error, EngineRefused):
                raise
            raise launch.refusal(error, f"start a container of {spec.function.address}") from error
        self._watch(live)
        return live.reference

    async def _prepared(self, spec: ContainerSpec) -> launch.Launcher:
        """How to run a container's interpreter, once its environment is there.

        Raises:
            EngineRefused: it cannot be made here, or the container is not to start any more.
            StartFailed: it cannot be made.
        """
        if refused := await self.foresee(spec.function):
            raise refused
        waits = self._keeper.waits(spec)
        if waits is not None:
            self._report(HeldUp(spec.container_id, EngineRefused("preparing_environment", waits)))
        try:
            python = await self._keeper.python_for(spec)
        except Withdrawn as withdrawn:
            raise EngineRefused("engine_unreachable", "The container was stopped before it began.") from withdrawn
        except Unprepared as failure:
            raise _failed(spec, failure) from failure
        except OSError as error:
            raise launch.refusal(error, f"make the environment of {spec.function.address}") from error
        except RunDirRefused as error:
            raise EngineRefused("engine_unreachable", str(error)) from error
        if waits is not None:
            self._report(Placed(spec.container_id))
        return self._launcher if python is None else replace(self._launcher, python=python)

    def _forget(self, container_id: str) -> None:
        """A container is gone: what it had is free."""
        self._gpus.end(container_id)
        self._keeper.end(container_id)

    def _lend(self, spec: ContainerSpec) -> tuple[str, ...]:
        """The GPUs of a container that is to start.

        Raises:
            EngineRefused: there are none such, or others have them.
        """
        if not spec.function.gpu:
            return ()
        lent = self._gpus.lend(spec.container_id, spec.function.gpu)
        if isinstance(lent, Shortage):
            asks = f"{spec.function.address} asks for {' or '.join(spec.function.gpu)}."
            raise EngineRefused(lent.code, f"{asks} {lent.message}", lent.details)
        return lent

    def _start(self, spec: ContainerSpec, launcher: launch.Launcher, lent: Sequence[str]) -> _Live:
        if not os.access(launcher.python, os.X_OK):
            raise FileNotFoundError(errno.ENOENT, "the interpreter cannot be run", str(launcher.python))
        output = self._places.make(spec.container_id, self._launcher.owner)
        try:
            self._places.note(spec.container_id, GPUS, lent)
            self._places.note(spec.container_id, ENVIRONMENT, filter(None, [self._keeper.used_by(spec.container_id)]))
            settings = self._settings
            home = launch.Home(settings.installation, self._places.scratch(spec.container_id), settings.socket)
            pid = launcher.start(spec, home, output, self._gpus.variables(lent))
        finally:
            os.close(output)
        try:
            handle, started = processes.child(pid)
            self._places.remember(spec.container_id, pid, started)
        except OSError:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise
        return _Live(spec.container_id, pid, started, handle)

    async def stop(self, container_id: str, *, grace_s: float) -> None:
        """See `Engine.stop`."""
        live = self._live.get(container_id)
        if live is None or live.ended:
            self._keeper.withdraw(container_id)
            return
        if live.force:
            live.force.cancel()
        if grace_s <= 0:
            self._condemn(live)
            return
        processes.send(live.handle, signal.SIGTERM)
        live.force = asyncio.get_running_loop().call_later(grace_s, self._condemn, live)

    def away(self) -> EngineRefused | None:
        """See `Engine.away`: it is here."""
        return None

    async def capacity(self) -> Capacity:
        """See `Engine.capacity`. GPUs are counted once, at the start."""
        return self._gpus.capacity()

    async def foresee(self, function: LiveFunction) -> EngineRefused | None:
        """See `Engine.foresee`: of GPUs `capacity` tells all there is to tell."""
        if function.requirements and self._keeper.problem is not None:
            return EngineRefused("no_installer", self._keeper.problem)
        return None

    async def tidy(self, functions: Iterable[LiveFunction]) -> None:  # noqa: ARG002 - of the port
        """See `Engine.tidy`: environments go by when they were used last."""
        await self._keeper.collect()

    async def check(self) -> str | None:
        """See `Engine.check`."""
        if self._house and self._house.done():
            return "The local engine has stopped; containers that end are not noticed. Restart the server."
        if not os.access(self._settings.python, os.X_OK):
            return f"The interpreter {self._settings.python} is gone or cannot be run."
        return self._places.check()

    async def close(self, *, stop_all: bool) -> None:
        """See `Engine.close`.

        Raises:
            TimeoutError: with `stop_all`, a container would not end.
        """
        if self._closing:
            return
        self._closing = True
        await self._keeper.close()
        if stop_all:
            for container_id in list(self._live):
                await self.stop(container_id, grace_s=CLOSE_GRACE_S)
        else:
            for live in [live for live in self._live.values() if not live.ended]:
                self._unwatch(live)
                os.close(live.handle)
                del self._live[live.container_id]
        self._wake.set()
        if self._house:
            async with asyncio.timeout(CLOSE_MAY_TAKE_S):
                await self._house

    def _watch(self, live: _Live) -> None:
        self._live[live.container_id] = live
        asyncio.get_running_loop().add_reader(live.handle, self._on_end, live)

    def _unwatch(self, live: _Live) -> None:
        asyncio.get_running_loop().remove_reader(live.handle)
        if live.force:
            live.force.cancel()

    def _condemn(self, live: _Live) -> None:
        """Kill a container while its processes can still be told by their parents, not the runner first."""
        self._condemned.append(live)
        self._wake.set()

    def _on_end(self, live: _Live) -> None:
        self._unwatch(live)
        live.ended = True
        self._dead.append(live)
        self._wake.set()

    async def _keep_house(self) -> None:
        """The engine's endless work; if one part fails, all of it ends and `check` says so."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._bury_dead(), name="local-engine-reaper")
            group.create_task(self._empty_trash(), name="local-engine-trash")

    async def _bury_dead(self) -> None:
        """Clean up after containers that have ended, all of a moment at once, and then report them."""
        while self._live or not self._closing:
            await self._wake.wait()
            self._wake.clear()
            condemned, self._condemned = self._condemned, []
            if condemned:
                await asyncio.to_thread(self._end_members, {live.container_id: live.identity for live in condemned})
            dead, self._dead = self._dead, []
            for live, ended in await asyncio.to_thread(self._bury, dead):
                os.close(live.handle)
                del self._live[live.container_id]
                self._forget(live.container_id)
                self._report(ended)
            self._dirty.set()
        self._buried_all = True
        self._dirty.set()

    async def _empty_trash(self) -> None:
        """Remove discarded directories, however large, without keeping the report of an end waiting."""
        finished = False
        while not finished:
            finished = self._buried_all
            for path in await asyncio.to_thread(self._places.empty_trash):
                log.warning("scratch_not_removed", path=path)
            if not finished:
                await self._dirty.wait()
                self._dirty.clear()

    def _bury(self, batch: Sequence[_Live]) -> list[tuple[_Live, Ended]]:
        """End what is left of containers and take their directories away."""
        if not batch:
            return []
        statuses = [processes.status_of(live.handle, reap=False) for live in batch]
        self._end_members({live.container_id: live.identity for live in batch})
        buried = []
        for live, status in zip(batch, statuses, strict=True):
            output = self._places.last_output(live.container_id)
            self._places.discard(live.container_id)
            processes.status_of(live.handle, reap=True)
            ended = Ended(live.container_id, reason(status, output), status.exit_code, status.signal)
            buried.append((live, ended))
        return buried

    def _end_members(self, containers: dict[str, tuple[int, int] | None]) -> None:
        """Kill every process of some containers, their runners included."""
        leaders = dict(filter(None, containers.values()))

        def wanted(found: list[Process]) -> list[Process]:
            return members(found, self._settings.installation, containers.keys(), leaders)

        for process in processes.end(wanted, within_s=KILL_MAY_TAKE_S):
            log.error("container_process_survived", pid=process.pid, container_id=process.container_id)

    def _adopt(self) -> list[_Live]:
        """Find the containers of an earlier server that live, and end what is left of the others."""
        known = self._places.known()
        adopted = []
        for container_id, identity in known.items():
            process = processes.look(identity[0]) if identity else None
            if process and identity and process.alive and self._is_ours(process):
                handle = processes.handle_of(*identity)
                if handle is not None:
                    adopted.append(_Live(container_id, *identity, handle))
        alive = {live.container_id for live in adopted}
        strays = {process.container_id for process in processes.scan() if self._is_ours(process)}
        gone = {name: known.get(name) for name in (known.keys() | strays) - alive}
        self._end_members(gone)
        for container_id in gone:
            self._places.discard(container_id)
        return adopted

    def _is_ours(self, process: Process) -> bool:
        return process.installation == self._settings.installation and process.container_id != ""


def _failed(spec: ContainerSpec, failure: Unprepared) -> StartFailed:
    """What callers are told of an environment that could not be made."""
    again = " It is not tried again before the next deploy." if failure.final else ""
    message = f"The environment of {spec.function.address} could not be made: {failure.message}"
    message += ("" if message.endswith(".") else ".") + again
    error = {"type": "EnvironmentFailed", "message": message, "phase": "startup", "last_output": failure.output}
    return StartFailed(error, final=failure.final)
