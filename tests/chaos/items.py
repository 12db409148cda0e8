"""A client's generators: read as they come, broken off, gone on with by the outputs of the call."""

import json
import time
from contextlib import aclosing

from tests.chaos.history import Reading, Request
from tests.chaos.recorder import CUT, Asker, Recorder

FUNCTION = "chaos:items"
_HEADERS = {"Content-Type": "application/json", "Accept": "application/x-ndjson"}

Item = tuple[str, int, int]


async def stream(client: int, number: int, breaks_at: int | None, asker: Asker, recorder: Recorder) -> str:
    """Read items as they come, to the end or to where the client hangs up, and go on by the outputs; the call's id."""
    sent_at, call_id, found, ended = time.monotonic(), "", list[Item](), False
    body = json.dumps({"args": [number]}).encode()
    try:
        async with aclosing(asker.lines(f"/v1/functions/{FUNCTION}/invocations", body, _HEADERS)) as lines:
            async for call_id, line in lines:
                if line is None:
                    made = Request(client, "invocations", FUNCTION, number, sent_at, call_id=call_id, status=200)
                    recorder.requests.append(made)
                elif "item" in line:
                    found.append(_item(line["item"]))
                else:
                    recorder.see("answer", sent_at, line)
                    ended = True
                if breaks_at is not None and len(found) > breaks_at:
                    break
    except (*CUT, ValueError):
        recorder.counts["streams cut"] += 1
    recorder.readings.append(Reading(call_id, "stream", 0, tuple(found), ended))
    if call_id and not ended:
        await read(call_id, len(found), asker, recorder)
    return call_id


async def read(call_id: str, start: int, asker: Asker, recorder: Recorder) -> None:
    """Read items from one on, to the end."""
    query, found = f"index={start}", list[Item]()
    while query:
        reply = await asker.ask("GET", f"/v1/function-calls/{call_id}/outputs?{query}&wait=5&limit=10")
        if reply is None or reply.status != 200:
            break
        found += [_item(line["item"]) for line in reply.body["data"]]
        query = f"cursor={reply.body['next_cursor']}" if "next_cursor" in reply.body else ""
    recorder.readings.append(Reading(call_id, "outputs", start, tuple(found), not query))


async def read_all(asker: Asker, recorder: Recorder) -> None:
    """Every item of every generator that has ended."""
    ended = {s.call_id for s in recorder.sights if s.terminal and s.index < 0 and "num_items" in s.facts}
    for call_id in sorted(ended):
        await read(call_id, 0, asker, recorder)


def _item(item: dict[str, object]) -> Item:
    return str(item["run"]), int(str(item["n"])), int(str(item["of"]))
