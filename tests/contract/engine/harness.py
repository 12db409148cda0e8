"""What the suite needs around an engine: a place that outlives it, and eyes."""

import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from tests.waiting import until
from yurt.domain.functions import LiveFunction, Scaling
from yurt.ports import ContainerSpec, Ended, Engine, EngineRefused, HeldUp, Observed, Report


def function(**changes: Any) -> LiveFunction:
    """A function that asks for nothing special."""
    fields: dict[str, Any] = {
        "function_id": "fu-1",
        "app_id": "ap-1",
        "environment": "main",
        "app": "thumbs",
        "name": "resize",
        "revision": 1,
        "entrypoint": "main:resize",
        "source_bundle": None,
        "scaling": Scaling(),
    }
    return LiveFunction(**fields | changes)


def running(pid: int) -> bool:
    """Whether a process is there and not merely waiting to be asked for its status."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def start_token(container_id: str) -> str:
    """The credential that a spec brings."""
    return "start-token-of-" + container_id


async def as_in_the_spec(container_id: str, credential: str) -> bool:
    """For engines that hand over the credential of the spec."""
    return credential == start_token(container_id)


@dataclass
class Site:
    """A machine or cluster under test.

    Args:
        board: a folder where stand-ins leave notes, writable for whoever containers run as.
        make: an engine over this site whose runner is the given program.
        url: what containers are told of where to dial; by default the board.
        knows: whether a credential is that of a container, as the engine or the spec has it.
    """

    board: Path
    installation: str
    make: Callable[[str], Engine]
    url: str = ""
    knows: Callable[[str, str], Awaitable[bool]] = as_in_the_spec
    reports: list[Report] = field(default_factory=list)
    ended: list[Ended] = field(default_factory=list)
    opened: list[Engine] = field(default_factory=list)

    async def open(self, program: str, *, ended: list[Ended] | None = None) -> tuple[Engine, Sequence[Observed]]:
        """An open engine, and what it found alive."""
        engine = self.make(program)
        self.opened.append(engine)
        ends = self.ended if ended is None else ended

        def take(report: Report) -> None:
            self.reports.append(report)
            if isinstance(report, Ended):
                ends.append(report)

        return engine, await engine.open(take)

    def spec(self, container_id: str = "co-1", **changes: Any) -> ContainerSpec:
        """What is asked of an engine; `changes` are of the function."""
        return ContainerSpec(
            container_id=container_id,
            installation=self.installation,
            function=function(**changes),
            url=self.url or str(self.board),
            start_token=start_token(container_id),
            grace_s=7,
        )

    def noted(self, name: str, container_id: str = "co-1") -> bool:
        """Whether a stand-in has left that note."""
        return (self.board / f"{container_id}.{name}").exists()

    async def note(self, name: str, container_id: str = "co-1") -> Any:
        """The content of a note, as soon as it is there: JSON, or None where there is none."""
        await until(lambda: self.noted(name, container_id), f"{container_id}'s note {name}")
        text = (self.board / f"{container_id}.{name}").read_text()
        return json.loads(text) if text else None

    async def end_of(self, container_id: str = "co-1") -> Ended:
        """The engine's word that a container is gone, as soon as it is given."""
        await until(lambda: [end for end in self.ended if end.container_id == container_id], f"end of {container_id}")
        return next(end for end in self.ended if end.container_id == container_id)

    async def why_not(self, engine: Engine, spec: ContainerSpec) -> EngineRefused:
        """Why a container cannot start, whether the engine refuses it or holds it up."""
        try:
            await engine.start(spec)
        except EngineRefused as refused:
            return refused

        def said() -> list[EngineRefused]:
            held_up = [report for report in self.reports if isinstance(report, HeldUp)]
            return [report.why for report in held_up if report.container_id == spec.container_id]

        await until(said, "the reason")
        return said()[-1]
