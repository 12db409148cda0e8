"""Where the servers inside containers are reached."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server listens. An IPv6 host has no brackets."""

    host: str
    port: int


Found: TypeAlias = Callable[[Mapping[str, Address]], None]
"""Given, by container id, every address that is known and healthy: all of them each time, not what changed."""


class Discovery(Protocol):
    """Tells where the web servers of containers are reached.

    Two sides stand behind it. On the engine of this machine the word of the container itself is enough, and it comes
    over its session: `announce`. Elsewhere a registry such as Consul knows address and health, and is watched by `run`;
    `announce` then only says that the container is ready.

    An address is used only while the container's session says that it takes work; so a registry that is late, or away,
    takes nothing out of service, and what it said last goes on. Connections that fail are the gateway's to notice.
    """

    async def run(self, found: Found) -> None:
        """Watch until cancelled: call `found` with what is known first, and after every change.

        While the source is away it is not called, and the source is asked again with growing pauses.
        """

    def announce(self, container_id: str, port: int) -> None:
        """A container says that its server listens on `port` of the machine, or the network, that it runs in."""

    def withdraw(self, container_id: str) -> None:
        """A container has ended. Unknown ones are no error."""

    def trouble(self) -> str | None:
        """Why what it says may be out of date, in a sentence for operators; None while its source answers."""
