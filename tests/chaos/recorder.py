"""The growing history, and the one way in which clients ask the server."""

import json
import time
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from tests.chaos.functions import LIMITS
from tests.chaos.history import Deed, History, MapEnd, Reading, Request, Sight, runs_of, shown

CUT = (aiohttp.ClientError, TimeoutError, ConnectionError)
"""What a client sees when the server is away, or the connection is cut."""


NDJSON = {"Content-Type": "application/x-ndjson"}


@dataclass
class Recorder:
    """What was seen so far.

    Args:
        records: where functions write.
        stopping: apps that are stopped, or are being stopped: their functions may refuse.
    """

    records: Path
    requests: list[Request] = field(default_factory=list)
    sights: list[Sight] = field(default_factory=list)
    deeds: list[Deed] = field(default_factory=list)
    maps: list[MapEnd] = field(default_factory=list)
    readings: list[Reading] = field(default_factory=list)
    cancelled: dict[str, float] = field(default_factory=dict)
    refusals: list[str] = field(default_factory=list)
    leftovers: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    recoveries: list[float] = field(default_factory=list)
    waiting_since: float | None = None

    def see(self, observer: str, asked_at: float, call: Mapping[str, Any], index: int = -1) -> None:
        """A call, or an input of a map, as somebody saw it."""
        now = time.monotonic()
        call_id = str(call["call_id"])
        self.sights.append(Sight(call_id, observer, asked_at, now, shown(call), index))

    def served(self) -> None:
        """A client got an outcome: the server has recovered from whatever was done to it."""
        if self.waiting_since is not None:
            self.recoveries.append(time.monotonic() - self.waiting_since)
            self.waiting_since = None

    def freeze(self) -> History:
        """All of it, with what the functions wrote."""
        lines = [line for path in sorted(self.records.iterdir()) for line in path.read_text().splitlines()]
        return History(
            runs=runs_of(lines),
            requests=tuple(self.requests),
            sights=tuple(self.sights),
            deeds=tuple(self.deeds),
            maps=tuple(self.maps),
            readings=tuple(self.readings),
            limits=LIMITS,
            cancelled=dict(self.cancelled),
            refusals=tuple(self.refusals),
            leftovers=tuple(self.leftovers),
        )


@dataclass(frozen=True)
class Reply:
    """One answer that came whole."""

    status: int
    headers: Mapping[str, str]
    body: Any


class Asker:
    """Asks the server, whichever process that is now."""

    def __init__(self, url: str, token: str, recorder: Recorder) -> None:
        self.url = url
        self._headers = {"Authorization": f"Bearer {token}"}
        self._recorder = recorder
        timeout = aiohttp.ClientTimeout(total=90, sock_connect=5)
        self.http = aiohttp.ClientSession(timeout=timeout, headers=self._headers)

    async def close(self) -> None:
        """Hang up."""
        await self.http.close()

    async def ask(
        self, method: str, path: str, body: object = None, *, allowed: frozenset[int] = frozenset(), **headers: str
    ) -> Reply | None:
        """One request. None where no whole answer came, or a 503.

        What is neither 2xx, 503 nor `allowed` goes to the history as a refusal.
        """
        self._recorder.counts["requests"] += 1
        try:
            async with self.http.request(method, self.url + path, json=body, headers=headers) as answer:
                text = await answer.text()
                reply = Reply(answer.status, answer.headers, json.loads(text) if text else None)
        except (*CUT, ValueError):
            self._recorder.counts["answers lost"] += 1
            return None
        if reply.status == 503:
            self._recorder.counts["answers 503"] += 1
            return None
        if reply.status >= 300 and reply.status not in allowed:
            self._recorder.refusals.append(f"{method} {path} {body} {headers}: {reply.status} {text[:500]}")
        return reply

    async def lines(
        self, path: str, body: AsyncIterator[bytes] | bytes, headers: Mapping[str, str] = NDJSON
    ) -> AsyncGenerator[tuple[str, Mapping[str, Any] | None], None]:
        """Send a call and read its answer as a stream: the call's id with None for the head, and then with each line.

        Raises:
            aiohttp.ClientError, TimeoutError, ConnectionError: the answer broke off, or never began.
        """
        self._recorder.counts["requests"] += 1
        async with self.http.post(self.url + path, data=body, headers=headers) as answer:
            if answer.status == 503:
                self._recorder.counts["answers 503"] += 1
                return
            if answer.status != 200:
                self._recorder.refusals.append(f"POST {path}: {answer.status} {(await answer.text())[:500]}")
                return
            call_id = answer.headers["Yurt-Call-Id"]
            yield call_id, None
            async for line in answer.content:
                if line.strip():
                    yield call_id, json.loads(line)

    async def upload(self, path: str, body: AsyncIterator[bytes]) -> Mapping[str, Any] | None:
        """Send a map and do not wait for its results; the call, or None where no whole answer came."""
        self._recorder.counts["requests"] += 1
        headers = {**NDJSON, "Prefer": "respond-async"}
        try:
            async with self.http.post(self.url + path, data=body, headers=headers) as answer:
                text = await answer.text()
        except CUT:
            self._recorder.counts["answers lost"] += 1
            return None
        if answer.status == 503:
            self._recorder.counts["answers 503"] += 1
            return None
        if answer.status != 202:
            self._recorder.refusals.append(f"POST {path}: {answer.status} {text[:500]}")
            return None
        call: Mapping[str, Any] = json.loads(text)
        return call
