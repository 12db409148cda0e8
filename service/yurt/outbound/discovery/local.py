"""The registry of the local engine: containers are processes of this machine and listen on its loopback."""

import asyncio

from yurt.ports import Address, Found

HOST = "127.0.0.1"


class LocalDiscovery:
    """`yurt.ports.Discovery` of containers whose own word is enough."""

    def __init__(self) -> None:
        self._known: dict[str, Address] = {}
        self._found: Found | None = None

    async def run(self, found: Found) -> None:
        """Hand every change on, at once, until cancelled."""
        self._found = found
        try:
            self._tell()
            await asyncio.get_running_loop().create_future()
        finally:
            self._found = None

    def announce(self, container_id: str, port: int) -> None:
        """A container listens on that port of the loopback."""
        self._known[container_id] = Address(HOST, port)
        self._tell()

    def withdraw(self, container_id: str) -> None:
        """A container has ended."""
        if self._known.pop(container_id, None) is not None:
            self._tell()

    def trouble(self) -> str | None:
        """There is nobody who could be away."""
        return None

    def _tell(self) -> None:
        if self._found is not None:
            self._found(dict(self._known))
