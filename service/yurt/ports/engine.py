"""Where containers come from."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from yurt.domain.capacity import Capacity
from yurt.domain.functions import LiveFunction


@dataclass(frozen=True, slots=True)
class ContainerSpec:
    """What an engine needs to start a container.

    Args:
        url: where the runner dials, without path.
        start_token: the runner's first credential; handed over where no other user can read it, or not at all where
            the engine gives its containers a credential that `Identities` knows.
        grace_s: how long the runner lives without a server, in seconds.
    """

    container_id: str
    installation: str
    function: LiveFunction
    url: str
    start_token: str = field(repr=False)
    grace_s: float = 60


class EngineRefused(Exception):
    """The engine could not start a container. Nobody's fault; becomes a pending reason.

    Args:
        code: a code of pending reasons, such as `no_capacity` or `engine_unreachable`.
        message: for people: what is missing, and what would help.
        details: further facts for programs, by name.
    """

    def __init__(self, code: str, message: str, details: Mapping[str, object] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.details = details or {}


class StartFailed(Exception):
    """A container cannot be started, and its definition is to blame: it counts as a start that failed.

    Args:
        error: what whoever called is told; `type` and `message` at least.
        final: another try would fail, too.
    """

    def __init__(self, error: Mapping[str, object], *, final: bool) -> None:
        super().__init__(error["message"])
        self.error = error
        self.final = final


class ClusterRefused(Exception):
    """The cluster that an engine is for cannot be used as it is. The message says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Ended:
    """The engine's word that a container is gone.

    Args:
        oom: True only where the engine can prove it.
        refused: why it never came to life, where nobody's code is to blame.
        taken_away: its machine went away, or somebody else made it end: one that starts is started again, without
            blame.
    """

    container_id: str
    reason: str
    exit_code: int | None = None
    signal: int | None = None
    oom: bool = False
    refused: EngineRefused | None = None
    taken_away: bool = False


@dataclass(frozen=True, slots=True)
class HeldUp:
    """A container was accepted, and waits for its place."""

    container_id: str
    why: EngineRefused


@dataclass(frozen=True, slots=True)
class Placed:
    """A container has its place; the time in which it must get ready begins."""

    container_id: str


@dataclass(frozen=True, slots=True)
class Leaving:
    """The place of a container goes away: it should finish what it runs and end."""

    container_id: str
    reason: str


Report: TypeAlias = Ended | HeldUp | Placed | Leaving
"""What an engine says of a container."""


@dataclass(frozen=True, slots=True)
class Observed:
    """A container of this installation that the engine sees alive."""

    container_id: str
    engine_ref: str


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What an engine can do and tell.

    Args:
        notes: sentences for people, such as what it does not isolate.
        python: the version of the interpreter that runs functions, where there is one and it is known.
        requirements: whether it gives containers the packages that a definition names.
        web: whether the servers of its containers are found (see `yurt.ports.Discovery`).
        outlives: whether containers go on when the server ends, and are found by the next one.
        kill_after_s: what a container gets to end by itself, in seconds, whatever grace it is stopped with; None where
            that is kept.
    """

    name: str
    isolates: bool
    honours_image: bool
    memory_limit: bool
    notes: tuple[str, ...] = ()
    python: tuple[int, int] | None = None
    requirements: bool = False
    web: bool = False
    outlives: bool = False
    kill_after_s: float | None = None


class Identities(Protocol):
    """Knows the credentials that an engine itself gives its containers."""

    async def vouch(self, container_id: str, credential: str) -> None:
        """Return if the credential is that container's, and the container lives.

        Raises:
            Unauthenticated: it is not.
            Unavailable: that cannot be found out now.
        """


class Engine(Protocol):
    """Where containers come from. It reports what it sees and never decides."""

    capabilities: Capabilities

    async def open(self, report: Callable[[Report], None]) -> list[Observed]:
        """Begin; returns the containers of this installation that are alive.

        From now on `report` is called on the loop: with `Ended` once for each container that goes, those included; with
        the others where the engine has something to say.
        """

    async def start(self, spec: ContainerSpec) -> str:
        """Start a container; returns the engine's reference to it. It counts as started when its runner calls home.

        It may take its time, for something that the container needs: it then reports `HeldUp` first and `Placed` later,
        and ends early, with `EngineRefused`, where the container is stopped meanwhile.

        Raises:
            EngineRefused: it cannot, with the reason.
            StartFailed: it cannot because of the definition.
        """

    def away(self) -> EngineRefused | None:
        """Why `start` would refuse whatever it is asked now, where that is known without asking anybody."""

    async def stop(self, container_id: str, *, grace_s: float) -> None:
        """Ask it to end, and make it end after `grace_s` seconds, children included.

        Returns at once; `ended` follows. Unknown or gone: nothing happens.
        """

    async def capacity(self) -> Capacity:
        """What it has to give now. It never fails: what it cannot ask for is a `reason`. Takes at most 5 s."""

    async def foresee(self, function: LiveFunction) -> EngineRefused | None:
        """Why no container of the function could ever start, as far as can be told without starting one."""

    async def tidy(self, functions: Iterable[LiveFunction]) -> None:
        """Prepare what the engine keeps for the current revisions of all functions, and drop what it keeps of others.

        Raises:
            EngineRefused: it cannot now.
        """

    async def check(self) -> str | None:
        """None while it works, else the reason, for `/readyz`."""

    async def close(self, *, stop_all: bool) -> None:
        """Let go: with `stop_all` every container is gone when this returns."""
