"""Bad things that are done to a cluster, and behind the server's back."""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar

import psutil

from tests.chaos.deeds import cut, signal_to
from tests.chaos.fleet import Fleet, Placed
from tests.chaos.step import Step

A = TypeVar("A")
T = TypeVar("T")


class Upheavals:
    """Does one step after another to a cluster; agents that are away come back by themselves meanwhile.

    Args:
        noted: called with what is done, for how many seconds, and to which container, if it is to one.

    Attributes:
        deeds: what it can do, by name.
    """

    def __init__(self, fleet: Fleet, noted: Callable[[str, float, str], None]) -> None:
        self._fleet = fleet
        self._noted = noted
        self._away: dict[str, asyncio.Task[None]] = {}
        self.deeds: Mapping[str, Callable[[Step], Awaitable[None]]] = {
            "kill nomad": self._kill,
            "kill consul": self._kill,
            "kill agent": self._kill,
            "freeze nomad": self._freeze,
            "freeze agent": self._freeze,
            "freeze consul": self._freeze,
            "cut nomad": self._cut,
            "stop allocation": self._stop_allocation,
            "stop job": self._remove_job,
            "purge job": self._remove_job,
            "stop function": self._remove_function,
            "purge function": self._remove_function,
            "drain node": self._drain,
            "collect garbage": self._collect,
        }

    async def whole(self) -> None:
        """Return when every agent is there."""
        for role in list(self._away):
            await self._back(role)

    async def _back(self, role: str) -> None:
        """Return when an agent is there."""
        if (coming := self._away.pop(role, None)) is not None:
            await coming

    async def _role(self, step: Step) -> str:
        """The agent that a step hits, once it is there."""
        role = step.name.rpartition(" ")[2]
        role = _pick(self._fleet.nodes, step.dice) if role == "agent" else role
        await self._back(role)
        return role

    async def _kill(self, step: Step) -> None:
        """End an agent at once, and start it again; what it had started goes on."""
        role = await self._role(step)
        self._noted(step.name, step.seconds, "")
        await _done(self._fleet.stack.kill, role)
        self._away[role] = asyncio.create_task(self._start(role, step.seconds), name=f"chaos-start {role}")

    async def _start(self, role: str, after_s: float) -> None:
        try:
            await asyncio.sleep(after_s)
        finally:
            await _done(self._fleet.start, role)

    async def _freeze(self, step: Step) -> None:
        """An agent that answers nothing, and then goes on with what it was told before."""
        role = await self._role(step)
        process = self._fleet.process(role)
        self._noted(step.name, step.seconds, "")
        signal_to(process, signal.SIGSTOP)
        self._away[role] = asyncio.create_task(_go_on(process, step.seconds), name=f"chaos-thaw {role}")

    async def _cut(self, step: Step) -> None:
        """Reset every connection to Nomad's API: the server's, also that by which it sees what happens."""
        self._noted(step.name, 0, "")
        await _done(cut, self._fleet.stack.plan.nomad_http)

    async def _stop_allocation(self, step: Step) -> None:
        for one in await self._chosen(step):
            await _done(self._fleet.stop, one.id)

    async def _remove_job(self, step: Step) -> None:
        for one in await self._chosen(step):
            await _done(lambda job_id: self._fleet.remove(job_id, purge=step.name.startswith("purge")), one.job_id)

    async def _chosen(self, step: Step) -> Sequence[Placed]:
        """The container that a step hits, if there is any, once Nomad is there to be asked."""
        await self._back("nomad")
        found = await _done(lambda _: self._fleet.placed(), None)
        chosen = [_pick(found, step.dice)] if found else []
        for one in chosen:
            self._noted(step.name, 0, one.container_id)
        return chosen

    async def _remove_function(self, step: Step) -> None:
        await self._back("nomad")
        found = await _done(lambda _: self._fleet.functions(), None)
        if found:
            self._noted(step.name, 0, "")
            purge = step.name.startswith("purge")
            await _done(lambda job_id: self._fleet.remove(job_id, purge=purge), _pick(found, step.dice))

    async def _drain(self, step: Step) -> None:
        """Empty a node in less time than some of what runs there takes, and use it again."""
        await self._back("nomad")
        node_id = await _done(self._fleet.node_id, _pick(self._fleet.nodes, step.dice))
        await _done(lambda _: self._fleet.drain(node_id, step.seconds / 2), None)
        try:
            for one in await _done(lambda _: self._fleet.placed(), None):
                if one.node_id == node_id:
                    self._noted(step.name, step.seconds, one.container_id)
            await asyncio.sleep(step.seconds)
        finally:
            await self._back("nomad")
            await _done(self._fleet.reopen, node_id)

    async def _collect(self, step: Step) -> None:
        await self._back("nomad")
        self._noted(step.name, 0, "")
        await _done(lambda _: self._fleet.collect(), None)


async def _go_on(process: psutil.Process, after_s: float) -> None:
    try:
        await asyncio.sleep(after_s)
    finally:
        signal_to(process, signal.SIGCONT)


async def _done(blocking: Callable[[A], T], argument: A) -> T:
    """Call it in a thread, and have it done even if this is cancelled: no agent is started once its stack is down."""
    doing = asyncio.create_task(asyncio.to_thread(blocking, argument))
    try:
        return await asyncio.shield(doing)
    finally:
        await doing


def _pick(found: Sequence[T], dice: float) -> T:
    return found[int(dice * len(found)) % len(found)]
