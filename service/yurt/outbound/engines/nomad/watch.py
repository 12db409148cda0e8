"""Seeing what becomes of containers: a list, the event stream from there on, and the list again every minute."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Any, NoReturn

import structlog

from yurt.outbound.engines.nomad.allocations import Allocation, read
from yurt.outbound.engines.nomad.book import Book, Held
from yurt.outbound.engines.nomad.breaker import Breaker
from yurt.outbound.engines.nomad.client import NomadClient
from yurt.outbound.engines.nomad.errors import NomadError
from yurt.outbound.engines.nomad.stream import Stream

LIST_EVERY_S = 60.0
"""Events can be lost without a trace, and none tells that something old was collected."""

PAUSE_S = 0.2
LONGEST_PAUSE_S = 5.0
ASKED_AT_ONCE = 50
"""Of so many containers without a place it is asked why, after a list."""

TOPICS = ("Allocation:*", "Evaluation:*", "Node:*")
log = structlog.get_logger(__name__)


class Watch:
    """Keeps a book in step with a cluster.

    Args:
        changed: called with the id of a job of which something new is in the book.
        vanished: called with a container whose allocation is not there any more.
        draining: called with the id of a node that is to be emptied.
    """

    def __init__(
        self,
        client: NomadClient,
        stream: Stream,
        book: Book,
        breaker: Breaker,
        prefix: str,
        *,
        changed: Callable[[str], None],
        vanished: Callable[[Held], None],
        draining: Callable[[str], None],
    ) -> None:
        self._client = client
        self._stream = stream
        self._book = book
        self._breaker = breaker
        self._prefix = prefix
        self._changed = changed
        self._vanished = vanished
        self._draining = draining

    async def run(self) -> NoReturn:
        """Follow the cluster, for ever."""
        pause = PAUSE_S
        while True:
            try:
                await self._follow()
            except NomadError as error:
                if not self._breaker.is_open:
                    log.warning("cluster_not_seen", reason=error.message)
                self._breaker.failed(time.monotonic(), time.time(), error.message)
            pause = min(LONGEST_PAUSE_S, 2 * pause) if self._breaker.is_open else PAUSE_S
            await asyncio.sleep(pause)

    async def _follow(self) -> None:
        """From a list on, until the stream breaks."""
        index = await self.list()
        async with aclosing(self._stream.frames(TOPICS, index)) as frames:
            listed = time.monotonic()
            async for frame in frames:
                if self._breaker.is_open:
                    log.info("cluster_seen_again", away_since=self._breaker.since)
                self._breaker.succeeded()
                self._apply(frame)
                if time.monotonic() - listed > LIST_EVERY_S:
                    await self.list()
                    listed = time.monotonic()

    async def list(self) -> int:
        """Read everything; returns the index that it shows."""
        reply = await self._client.allocations(self._prefix)
        allocations = [read(one) for one in reply.value]
        vanished = self._book.renew(_latest(allocations), reply.index)
        for job_id in list(self._book.jobs()):
            self._changed(job_id)
        for held in vanished:
            self._vanished(held)
        for node_id in await self._client.draining():
            self._draining(node_id)
        await self._ask_why()
        return reply.index

    async def _ask_why(self) -> None:
        """What the scheduler said of containers without a place, as far as that was missed."""
        waiting = [held for held in self._book.containers.values() if not held.placed and not held.told]
        for held in waiting[:ASKED_AT_ONCE]:
            for found in sorted(await self._client.evaluations_of(held.job_id), key=lambda one: one["ModifyIndex"]):
                self._book.see_evaluation(found)
            self._changed(held.job_id)

    def _apply(self, frame: Mapping[str, Any]) -> None:
        events: Sequence[Mapping[str, Any]] = frame.get("Events") or ()
        for event in events:
            payload = event.get("Payload") or {}
            if event.get("Topic") == "Allocation" and self._is_ours(payload.get("Allocation")):
                found = read(payload["Allocation"])
                self._book.see(found)
                self._changed(found.job_id)
            elif event.get("Topic") == "Evaluation" and self._is_ours(payload.get("Evaluation")):
                self._changed(self._book.see_evaluation(payload["Evaluation"]))
            elif event.get("Topic") == "Node":
                node = payload.get("Node") or {}
                if node.get("DrainStrategy"):
                    self._draining(str(node.get("ID", "")))

    def _is_ours(self, found: Mapping[str, Any] | None) -> bool:
        return found is not None and str(found.get("JobID", "")).startswith(self._prefix)


def _latest(allocations: Sequence[Allocation]) -> list[Allocation]:
    """The last allocation of each job."""
    found: dict[str, Allocation] = {}
    for one in allocations:
        known = found.get(one.job_id)
        if known is None or known.index < one.index:
            found[one.job_id] = one
    return list(found.values())
