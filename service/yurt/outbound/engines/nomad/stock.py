"""The GPUs of a cluster, asked for now and then."""

import asyncio
import time
from dataclasses import replace

from yurt.domain.capacity import Capacity
from yurt.outbound.engines.nomad.book import Book
from yurt.outbound.engines.nomad.capacity import PLACE, capacity_of
from yurt.outbound.engines.nomad.client import NomadClient
from yurt.outbound.engines.nomad.errors import NomadError
from yurt.outbound.engines.nomad.settings import NomadSettings

MAY_TAKE_S = 4.0
KEPT_S = 1.0
"""Asked again within this time, the answer is the same."""


class Stock:
    """What a cluster has to give."""

    def __init__(self, client: NomadClient, book: Book, settings: NomadSettings) -> None:
        self._client = client
        self._book = book
        self._settings = settings
        self._last = Capacity(PLACE)
        self._asked_at = float("-inf")
        self._lock = asyncio.Lock()

    async def capacity(self, *, since: float | None = None) -> Capacity:
        """What there is; where Nomad does not say, what it said last, with the reason.

        Args:
            since: it must have been asked later than that, on the monotonic clock; None for `KEPT_S` ago.
        """
        async with self._lock:
            now = time.monotonic()
            if self._asked_at <= (now - KEPT_S if since is None else since):
                self._asked_at = now
                self._last = await self._ask()
        return self._last

    async def _ask(self) -> Capacity:
        try:
            async with asyncio.timeout(MAY_TAKE_S):
                nodes, allocations = await asyncio.gather(self._client.nodes(), self._client.devices_in_use())
        except NomadError as error:
            return replace(self._last, reason=f"Nomad does not say: {error.message}.")
        except TimeoutError:
            return replace(self._last, reason=f"Nomad did not answer within {MAY_TAKE_S:.0f} s.")
        settings = self._settings
        return capacity_of(nodes, allocations, self._book.jobs(), settings.gpu_models, node_pool=settings.node_pool)
