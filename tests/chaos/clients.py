"""Clients: each does what its own random numbers say, and writes down what it sent and saw."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace

from tests.chaos import items, maps
from tests.chaos.functions import PAGE
from tests.chaos.history import KINDS, Request
from tests.chaos.recorder import Asker, Recorder

PAUSE_S = 0.12
"""The mean pause of a client between two requests: eight of them keep about one core busy."""

PASSING = frozenset({404, 409})
"""How calls of an app that is stopped now and then may be refused."""

BROKEN = frozenset({502, 504})
"""How a request may end whose container is killed or frozen under it."""

DELAY_S = 1.5
QUEUE_TIMEOUT_S = 2.0

NAMES = (
    *("chaos:quick",) * 5,
    *("chaos:slow",) * 3,
    *("chaos:together", "chaos:threads", "chaos:batch") * 2,
    *("chaos:fails", "chaos:flaky", "chaos:Tally", "chaos:Tally", "chaos:items", "passing:quick"),
)


class Client:
    """One user of the server.

    Args:
        seed: of its choices; its name makes them its own.
    """

    def __init__(self, name: int, seed: int, functions: frozenset[str], asker: Asker, recorder: Recorder) -> None:
        self._name = name
        self._chance = random.Random(f"{seed} client {name}")
        self._functions = tuple(one for one in NAMES if one in functions)
        self._asker = asker
        self._recorder = recorder
        self._number = name * 10_000_000
        self._calls: list[str] = []
        self._keyed: list[tuple[str, str, int, str]] = []

    async def run(self, stop: asyncio.Event) -> None:
        """Go on until `stop` is set."""
        deeds: list[tuple[int, Callable[[], Awaitable[None]]]] = [
            (6, self._invoke),
            (5, self._spawn),
            (2, self._with_key),
            (2, self._twice_at_once),
            (2, self._ask_again),
            (4, self._look),
            (1, self._look_at_list),
            (2, self._cancel),
            (3, self._map),
            (1, self._redrive),
            (3, self._stream),
            (4, self._page),
        ]
        weights = [weight for weight, _ in deeds]
        while not stop.is_set():
            _, deed = self._chance.choices(deeds, weights)[0]
            await deed()
            await asyncio.sleep(self._chance.expovariate(1 / PAUSE_S))

    async def _send(self, verb: str, function: str, number: int, key: str = "") -> Request:
        sent_at = time.monotonic()
        allowed = PASSING if function.startswith("passing:") else frozenset[int]()
        headers = {"Idempotency-Key": key} if key else {}
        delay_s, expires = DELAY_S if number % 13 == 0 else 0.0, number % 17 == 0
        body: dict[str, object] = {"args": [number], "priority": number % 5 - 2, "delay": delay_s}
        body |= {"queue_timeout": QUEUE_TIMEOUT_S} if expires else {}
        body |= {"parameters": {"kind": number % KINDS}} if function == "chaos:Tally" else {}
        reply = await self._asker.ask(
            "POST",
            f"/v1/functions/{function}/{verb}",
            body,
            allowed=allowed,
            **headers,
        )
        request = Request(self._name, verb, function, number, sent_at, key=key, delay_s=delay_s, expires=expires)
        if reply is not None and reply.status in {200, 202}:
            call_id = reply.body["call_id"]
            request = replace(request, answered_at=time.monotonic(), status=reply.status, call_id=call_id)
            self._calls.append(call_id)
            self._recorder.see("answer", sent_at, reply.body)
            if reply.status == 200:
                self._recorder.served()
        self._recorder.requests.append(request)
        self._recorder.counts[f"calls {verb}"] += 1
        return request

    def _next(self) -> tuple[str, int]:
        self._number += 1
        return self._chance.choice(self._functions), self._number

    def _next_keyed(self) -> tuple[str, int]:
        """Of a function that stays: a key belongs to a function, and an app that is deployed again has new ones."""
        self._number += 1
        return self._chance.choice([one for one in self._functions if one.startswith("chaos:")]), self._number

    async def _page(self) -> None:
        """A request by HTTP: it may fail with its container, but never with the answer to another one."""
        self._number += 1
        number, counts = self._number, self._recorder.counts
        reply = await self._asker.ask("GET", f"{PAGE}?number={number}", allowed=BROKEN)
        if reply is None:
            return
        counts["pages" if reply.status == 200 else "pages not answered"] += 1
        if reply.status == 200 and reply.body != {"double": number * 2}:
            self._recorder.refusals.append(f"GET {PAGE}?number={number}: {reply.body}")

    async def _invoke(self) -> None:
        await self._send("invocations", *self._next())

    async def _spawn(self) -> None:
        await self._send("spawn", *self._next())

    async def _with_key(self) -> None:
        function, number = self._next_keyed()
        verb, key = self._chance.choice(("spawn", "invocations")), f"key-{number}"
        self._keyed.append((verb, function, number, key))
        await self._send(verb, function, number, key)

    async def _twice_at_once(self) -> None:
        function, number = self._next_keyed()
        key = f"key-{number}"
        async with asyncio.TaskGroup() as both:
            for _ in range(2):
                both.create_task(self._send("spawn", function, number, key))

    async def _ask_again(self) -> None:
        if self._keyed:
            await self._send(*self._chance.choice(self._keyed))

    async def _look(self) -> None:
        if self._calls:
            wait = self._chance.choice((0, 0, 1, 5))
            await self.get(self._chance.choice(self._calls[-50:]), wait)

    async def get(self, call_id: str, wait: int) -> bool:
        """Look at a call. True if it has ended."""
        asked_at = time.monotonic()
        reply = await self._asker.ask("GET", f"/v1/function-calls/{call_id}?wait={wait}")
        if reply is None or reply.status != 200:
            return False
        self._recorder.see("get", asked_at, reply.body)
        return self._recorder.sights[-1].terminal

    async def _look_at_list(self) -> None:
        await self._look_at_page(f"/v1/functions/{self._chance.choice(self._functions)}/invocations?limit=100")

    async def look_at_all(self) -> None:
        """See every call that the server knows of."""
        cursor: str | None = ""
        while cursor is not None:
            cursor = await self._look_at_page(f"/v1/function-calls?limit=200{cursor}")

    async def _look_at_page(self, path: str) -> str | None:
        """See the calls of one page of a list; returns what leads to the next one."""
        asked_at = time.monotonic()
        reply = await self._asker.ask("GET", f"{path}&include=result", allowed=PASSING)
        if reply is None or reply.status != 200:
            return None
        for call in reply.body["data"]:
            self._recorder.see("list", asked_at, call)
        return f"&cursor={reply.body['next_cursor']}" if "next_cursor" in reply.body else None

    async def _cancel(self) -> None:
        function, number = self._next()
        request = await self._send("spawn", function, number)
        if not request.accepted:
            return
        await asyncio.sleep(self._chance.choice((0, 0.01, 0.3, 1)))
        await maps.cancel(request.call_id, self._asker, self._recorder)

    async def _redrive(self) -> None:
        """Repeat a call, which may not have failed, or whose function may be gone."""
        known = {request.call_id: request for request in self._recorder.requests if request.accepted}
        ours = [known[call_id] for call_id in self._calls[-50:] if call_id in known]
        if not ours:
            return
        failed, sent_at = self._chance.choice(ours), time.monotonic()
        path = f"/v1/function-calls/{failed.call_id}/redrive"
        reply = await self._asker.ask("POST", path, allowed=PASSING)
        if reply is None or reply.status != 202:
            return
        made = Request(self._name, "redrive", failed.function, failed.number, sent_at, call_id=reply.body["call_id"])
        self._recorder.requests.append(replace(made, answered_at=time.monotonic(), status=202))
        self._recorder.see("answer", sent_at, reply.body)
        self._recorder.counts["calls redrive"] += 1

    async def _stream(self) -> None:
        if "chaos:items" not in self._functions:
            return
        self._number += 1
        self._recorder.counts["calls streamed"] += 1
        breaks_at = self._chance.choice((None, None, 0, 3))
        if call_id := await items.stream(self._name, self._number, breaks_at, self._asker, self._recorder):
            self._calls.append(call_id)

    async def _map(self) -> None:
        plan = maps.Plan.draw(self._name, self._chance, self._number + 1)
        self._number += plan.size
        self._recorder.counts["calls map"] += 1
        if self._chance.random() < 0.7:
            await maps.stream(plan, self._asker, self._recorder)
        else:
            await maps.leave(plan, self._chance.choice((None, 0, 0.3)), self._asker, self._recorder)
