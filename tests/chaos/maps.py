"""A client's maps: streamed in, read, broken off, gone on with by the outputs of the call, cancelled."""

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass

from tests.chaos.history import KINDS, MapEnd, Request
from tests.chaos.recorder import CUT, Asker, Recorder

SIZES = (1, 3, 10, 40, 120)
FUNCTIONS = ("chaos:quick",) * 5 + ("chaos:fails", "chaos:flaky", "chaos:batch", "chaos:together", "chaos:Tally")
LINES_AT_ONCE = 10


@dataclass(frozen=True)
class Plan:
    """One map, as chance has it.

    Args:
        first: its first number; the others follow.
        exceptions: they stand in their lines; else the first one ends the answer.
        breaks_at: after how many lines the client hangs up.
        pause_s: between some lines of the upload and the next ones.
    """

    client: int
    function: str
    first: int
    size: int
    ordered: bool
    exceptions: bool
    breaks_at: int
    pause_s: float

    @classmethod
    def draw(cls, client: int, chance: random.Random, first: int) -> "Plan":
        """The next one of a client."""
        size, function = chance.choice(SIZES), chance.choice(FUNCTIONS)
        breaks_at = size if chance.random() < 0.6 else chance.randrange(size)
        ordered, exceptions = chance.random() < 0.5, chance.random() < 0.6
        return cls(client, function, first, size, ordered, exceptions, breaks_at, chance.choice((0, 0, 0.05)))

    @property
    def path(self) -> str:
        """Where it is sent."""
        query = f"order_outputs={self.ordered}&return_exceptions={self.exceptions}".lower()
        parameters = f"&parameters.kind={self.first % KINDS}" if self.function == "chaos:Tally" else ""
        return f"/v1/functions/{self.function}/map?{query}{parameters}"

    async def body(self) -> AsyncIterator[bytes]:
        """Its lines, some at a time."""
        for begin in range(0, self.size, LINES_AT_ONCE):
            numbers = range(self.first + begin, self.first + min(begin + LINES_AT_ONCE, self.size))
            yield b"".join(b'{"args":[%d]}\n' % number for number in numbers)
            await asyncio.sleep(self.pause_s)

    def request(self, sent_at: float, status: int, call_id: str) -> Request:
        """What it was answered."""
        return Request(
            self.client, "map", self.function, self.first, sent_at, self.size, "", time.monotonic(), status, call_id
        )


async def stream(plan: Plan, asker: Asker, recorder: Recorder) -> None:
    """Read results as they come, to the end or until the plan hangs up, and then go on by the outputs."""
    sent_at, call_id, indexes, finished, failed = time.monotonic(), "", list[int](), False, False
    try:
        async with aclosing(asker.lines(plan.path, plan.body())) as lines:
            async for call_id, line in lines:
                if line is None:
                    recorder.requests.append(plan.request(sent_at, 200, call_id))
                elif "index" in line:
                    recorder.see("answer", sent_at, {**line, "call_id": call_id}, line["index"])
                    indexes.append(line["index"])
                    failed = failed or (not plan.exceptions and line["status"] != "success")
                else:
                    recorder.counts["maps truncated"] += 1
                    return
                if len(indexes) > plan.breaks_at:
                    break
            else:
                finished = bool(call_id)
    except (*CUT, ValueError):
        recorder.counts["maps cut"] += 1
    whole = finished and not failed  # else the first failure ends the answer, also of a batch for another's sake
    recorder.maps.append(MapEnd(call_id, plan.size, plan.ordered, tuple(indexes), whole))
    if call_id and not finished and plan.ordered:
        await read_outputs(call_id, len(indexes), asker, recorder)


async def leave(plan: Plan, cancel_after_s: float | None, asker: Asker, recorder: Recorder) -> None:
    """Send one and do not wait for its results; perhaps cancel it."""
    sent_at = time.monotonic()
    call = await asker.upload(plan.path, plan.body())
    if call is None:
        return
    call_id = str(call["call_id"])
    recorder.see("answer", sent_at, call)
    if call.get("input_truncated"):
        recorder.counts["maps truncated"] += 1
    else:
        recorder.requests.append(plan.request(sent_at, 202, call_id))
    if cancel_after_s is not None:
        await asyncio.sleep(cancel_after_s)
        await cancel(call_id, asker, recorder)


async def cancel(call_id: str, asker: Asker, recorder: Recorder) -> None:
    """Cancel a call, which may have ended already."""
    asked_at = time.monotonic()
    reply = await asker.ask("POST", f"/v1/function-calls/{call_id}/cancel", allowed=frozenset({409}))
    if reply is not None and reply.status == 200:
        recorder.cancelled[call_id] = time.monotonic()
        recorder.counts["cancels"] += 1
        recorder.see("cancel", asked_at, reply.body)


async def read_outputs(call_id: str, index: int, asker: Asker, recorder: Recorder) -> tuple[int, ...] | None:
    """The indexes of the outputs from an index on; None where the server did not tell all of them."""
    query, indexes = f"index={index}", list[int]()
    while query:
        asked_at = time.monotonic()
        reply = await asker.ask("GET", f"/v1/function-calls/{call_id}/outputs?{query}&wait=5&limit=50")
        if reply is None or reply.status != 200:
            return None
        for line in reply.body["data"]:
            recorder.see("outputs", asked_at, {**line, "call_id": call_id}, line["index"])
            indexes.append(line["index"])
        query = f"cursor={reply.body['next_cursor']}" if "next_cursor" in reply.body else ""
    return tuple(indexes)


async def read_all_maps(asker: Asker, recorder: Recorder) -> None:
    """Every output of every map that has ended."""
    ended = {s.call_id: s.facts for s in recorder.sights if s.terminal and s.index < 0 and "counts" in s.facts}
    for call_id, facts in ended.items():
        indexes = await read_outputs(call_id, 0, asker, recorder)
        recorder.maps.append(MapEnd(call_id, facts["num_inputs"], ordered=True, indexes=indexes or ()))
