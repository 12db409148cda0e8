"""An engine whose containers exist only by name."""

from collections.abc import Callable, Iterable

from yurt.domain.capacity import Capacity
from yurt.domain.functions import LiveFunction
from yurt.ports import Capabilities, ContainerSpec, Ended, EngineRefused, Observed, Report, StartFailed


class FakeEngine:
    """`yurt.ports.Engine`.

    Knobs: `refusal` is raised by `start`; `gone` is why `start` would refuse, known beforehand; `deaf` containers do
    not end when stopped; `has` is what it says that it has to give.
    """

    capabilities = Capabilities(name="fake", isolates=False, honours_image=False, memory_limit=False)

    def __init__(self) -> None:
        self.started: list[ContainerSpec] = []
        self.stopped: list[str] = []
        self.alive: set[str] = set()
        self.refusal: EngineRefused | StartFailed | None = None
        self.gone: EngineRefused | None = None
        self.deaf = False
        self.has = Capacity("this fake")
        self._report: Callable[[Report], None] | None = None

    async def open(self, report: Callable[[Report], None]) -> list[Observed]:
        """Begin with what is alive."""
        self._report = report
        return [Observed(container_id, "fake") for container_id in sorted(self.alive)]

    async def start(self, spec: ContainerSpec) -> str:
        """Note that a container was asked for."""
        if self.refusal is not None:
            raise self.refusal
        self.started.append(spec)
        self.alive.add(spec.container_id)
        return "fake"

    def away(self) -> EngineRefused | None:
        """What the test said."""
        return self.gone

    async def stop(self, container_id: str, *, grace_s: float) -> None:
        """End a container at once, unless the engine is deaf."""
        self.stopped.append(container_id)
        if not self.deaf:
            self.end(container_id)

    def end(self, container_id: str, reason: str = "stopped", *, exit_code: int | None = None) -> None:
        """Let a container end."""
        if container_id in self.alive:
            self.alive.remove(container_id)
            self.report(Ended(container_id, reason, exit_code))

    def report(self, said: Report) -> None:
        """Say something of a container."""
        if self._report is not None:
            self._report(said)

    async def foresee(self, function: LiveFunction) -> EngineRefused | None:
        """Nothing stands in the way."""
        return None

    async def tidy(self, functions: Iterable[LiveFunction]) -> None:
        """Nothing is kept."""

    async def capacity(self) -> Capacity:
        """What the test said."""
        return self.has

    async def check(self) -> str | None:
        """It always works."""
        return None

    async def close(self, *, stop_all: bool) -> None:
        """End everything, if asked to."""
        if stop_all:
            self.alive.clear()
