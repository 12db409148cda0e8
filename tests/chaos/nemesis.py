"""The nemesis: it does bad things at their times, and writes down what it did to whom."""

import asyncio
import dataclasses
import signal
import time
from collections.abc import Awaitable, Callable, Sequence

from tests.chaos.deeds import can_cut, cut, fill, signal_to, thaw
from tests.chaos.functions import definitions
from tests.chaos.history import Deed
from tests.chaos.recorder import Asker, Recorder
from tests.chaos.step import Step
from tests.chaos.upheavals import Upheavals
from tests.chaos.world import Member, World


class Nemesis:
    """Does one step after another; containers thaw by themselves meanwhile.

    Args:
        skipped: what cannot be done here, with the reason.
    """

    def __init__(self, world: World, asker: Asker, recorder: Recorder) -> None:
        self._world = world
        self._asker = asker
        self._recorder = recorder
        self._edition = 1
        self._thaws: set[asyncio.Task[None]] = set()
        self._deeds: dict[str, Callable[[Step], Awaitable[None]]] = {
            "kill server": self._kill_server,
            "kill server at its start": self._kill_at_start,
            "freeze server": self._freeze_server,
            "restart server": self._restart_server,
            "kill supervisor": self._kill_member,
            "kill worker": self._kill_member,
            "kill executor": self._kill_executor,
            "freeze supervisor": self._freeze_members,
            "freeze worker": self._freeze_members,
            "freeze container": self._freeze_members,
            "cut connections": self._cut,
            "fill the disk": self._fill,
            "redeploy": self._redeploy,
            "stop app": self._stop_app,
            "kill postgres": self._end_postgres,
            "stop postgres": self._end_postgres,
            "freeze postgres": self._freeze_postgres,
        }
        self._upheavals = Upheavals(world.fleet, self._noted) if world.fleet is not None else None
        self._deeds |= self._upheavals.deeds if self._upheavals is not None else {}
        self.skipped: dict[str, str] = {}
        if not world.small_disk:
            self.skipped["fill the disk"] = "only root can mount a small file system"
        if not can_cut():
            reason = "only root can cut connections, with ss -K, where the kernel can do it"
            self.skipped |= dict.fromkeys(("cut connections", "cut nomad"), reason)

    async def run(self, steps: Sequence[Step]) -> None:
        """Do them; at the end everything is thawed and the server runs."""
        begun = time.monotonic()
        try:
            for step in steps:
                if step.name in self.skipped:
                    continue
                await asyncio.sleep(max(0.0, begun + step.at_s - time.monotonic()))
                await self._revive()
                self._recorder.counts[step.name] += 1
                await self._deeds[step.name](step)
        finally:
            if self._thaws:
                await asyncio.wait(self._thaws)
            await self._cluster_is_there()
        await self._revive()

    async def _revive(self) -> None:
        """A server that ended by itself is a finding, and is started again."""
        process = self._world.served.process
        if process is None or process.returncode is not None:
            tail = self._world.served.output[-2000:]
            self._recorder.refusals.append(f"server ended by itself: {process and process.returncode}\n{tail}")
            await self._started_again()

    def _noted(self, name: str, seconds: float, container_id: str = "") -> None:
        now = time.monotonic()
        self._recorder.deeds.append(Deed(name, now, now + seconds, container_id))

    async def _cluster_is_there(self) -> None:
        """A server that is started without its cluster says so and ends: whoever keeps it tries again."""
        if self._upheavals is not None:
            await self._upheavals.whole()

    async def _started_again(self) -> None:
        await self._cluster_is_there()
        self._recorder.waiting_since = time.monotonic()
        await self._world.served.start()

    async def _kill_server(self, step: Step) -> None:
        self._noted(step.name, step.seconds)
        await self._world.served.kill()
        await asyncio.sleep(step.seconds * step.dice)
        await self._started_again()

    async def _kill_at_start(self, step: Step) -> None:
        self._noted(step.name, step.seconds)
        await self._world.served.kill()
        await self._cluster_is_there()
        await self._world.served.launch()
        await asyncio.sleep(step.dice)
        await self._world.served.kill()
        await self._started_again()

    async def _restart_server(self, step: Step) -> None:
        begun = time.monotonic()
        code = await self._world.served.stop()
        self._recorder.deeds.append(Deed(step.name, begun, time.monotonic()))
        for member in self._world.members() if self._world.fleet is None else ():  # on a cluster they outlive it
            self._recorder.leftovers.append(f"{member.container_id} lives after SIGTERM: pid {member.process.pid}")
        if code != 0:
            self._recorder.refusals.append(f"server ended with {code} on SIGTERM\n{self._world.served.output[-2000:]}")
        await asyncio.sleep(step.dice)
        await self._started_again()

    async def _freeze_server(self, step: Step) -> None:
        self._noted(step.name, step.seconds)
        process = self._world.served.process
        if process is not None:
            process.send_signal(signal.SIGSTOP)
            try:
                await asyncio.sleep(step.seconds)
            finally:
                process.send_signal(signal.SIGCONT)

    def _pick(self, step: Step) -> list[Member]:
        """The processes that a step hits."""
        members = self._world.members()
        if step.name.endswith("container"):
            containers = sorted({member.container_id for member in members})
            chosen = containers[int(step.dice * len(containers)) % len(containers)] if containers else ""
            return [member for member in members if member.container_id == chosen]
        fitting = [member for member in members if member.supervisor == step.name.endswith("supervisor")]
        return [fitting[int(step.dice * len(fitting)) % len(fitting)]] if fitting else []

    async def _kill_member(self, step: Step) -> None:
        for member in self._pick(step):
            self._noted(step.name, 0, member.container_id)
            signal_to(member.process, signal.SIGKILL)

    async def _kill_executor(self, step: Step) -> None:
        """What it was above goes on, and Nomad takes it for dead."""
        for member in self._pick(dataclasses.replace(step, name="supervisor")):
            executor = member.process.parent()
            if executor is not None and "executor" in executor.cmdline():
                self._noted(step.name, 0, member.container_id)
                signal_to(executor, signal.SIGKILL)

    async def _freeze_members(self, step: Step) -> None:
        frozen = self._pick(step)
        for member in frozen:
            self._noted(step.name, step.seconds, member.container_id)
            signal_to(member.process, signal.SIGSTOP)
        thawing = asyncio.create_task(thaw(frozen, step.seconds), name="chaos-thaw")
        self._thaws.add(thawing)
        thawing.add_done_callback(self._thaws.discard)

    async def _cut(self, step: Step) -> None:
        """Reset every connection to the server's port: those of clients and those of containers."""
        self._noted(step.name, 0)
        await asyncio.to_thread(cut, self._world.served.port)

    async def _fill(self, step: Step) -> None:
        self._noted(step.name, step.seconds)
        filler = self._world.served.data / "filler"
        await asyncio.to_thread(fill, filler)
        try:
            await asyncio.sleep(step.seconds)
        finally:
            filler.unlink()

    async def _end_postgres(self, step: Step) -> None:
        """End the database at once, and start it again; what it had committed it still has."""
        postgres = self._world.postgres
        assert postgres is not None
        self._noted(step.name, step.seconds)
        await asyncio.to_thread(postgres.kill if step.name == "kill postgres" else postgres.stop)
        try:
            await asyncio.sleep(step.seconds)
        finally:
            self._recorder.waiting_since = time.monotonic()
            await asyncio.to_thread(postgres.start)

    async def _freeze_postgres(self, step: Step) -> None:
        """A database that answers nothing, and then goes on with what it was told before."""
        assert self._world.postgres is not None
        self._noted(step.name, step.seconds)
        frozen = self._world.postgres.processes()
        for process in frozen:
            signal_to(process, signal.SIGSTOP)
        try:
            await asyncio.sleep(step.seconds)
        finally:
            for process in frozen:
                signal_to(process, signal.SIGCONT)

    async def _redeploy(self, step: Step) -> None:
        self._noted(step.name, 0)
        await self.deploy("chaos")

    async def _stop_app(self, step: Step) -> None:
        self._noted(step.name, step.seconds)
        await self._asker.ask("DELETE", "/v1/apps/passing", allowed=frozenset({404}))
        await asyncio.sleep(step.dice)
        await self.deploy("passing")

    async def deploy(self, app: str) -> bool:
        """Deploy another edition of an app. False if the server did not answer."""
        self._edition += 1
        await self._asker.ask("POST", "/v1/apps", {"name": app}, allowed=frozenset({409}))
        functions = definitions(app, self._world.records, self._edition)
        put = await self._asker.ask(
            "PUT", f"/v1/apps/{app}/functions", {"functions": functions}, allowed=frozenset({404, 409})
        )
        return put is not None and put.status == 200
