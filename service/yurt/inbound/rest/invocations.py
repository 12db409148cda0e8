"""The operations that make calls: invoke and spawn."""

import re
import time
from collections.abc import Mapping
from typing import Any

from aiohttp import web
from pydantic import Field

from yurt.domain.errors import FieldError, Invalid, NotAcceptable
from yurt.domain.records import CallKind, Result, Role
from yurt.inbound.rest.answers import PromptAnswer, encode, sign
from yurt.inbound.rest.call_shapes import FunctionCall, InvocationResult
from yurt.inbound.rest.context import Context
from yurt.inbound.rest.envelope import SCHEMA, read_envelope
from yurt.inbound.rest.functions_by import find_live
from yurt.inbound.rest.item_streams import (
    ALIVE_EVERY_S,
    EVENTS,
    ITEM_SCHEMA,
    NDJSON,
    AsEvents,
    AsLines,
    begin_stream,
    stream_wanted,
    write_items,
)
from yurt.inbound.rest.models import Name, Query
from yurt.inbound.rest.operations import Answer, Header, Operation, RawJsonBody
from yurt.inbound.rest.prefer import Preference, read_prefer
from yurt.inbound.rest.room import FREE_BYTES
from yurt.inbound.rest.streams import EVENT_SCHEMA
from yurt.usecases.begun import COMMIT_TIMEOUT_S, Begun
from yurt.usecases.keys import MAX_KEY_CHARS

HEAD_AFTER_S = 10.0
"""An answer that takes longer sends its head, so that proxies see life, in seconds."""

NEWLINE_EVERY_S = 15.0
"""JSON allows white space before a value: a newline this often keeps connections open, in seconds."""

WATCH_CLIENT_S = 1.0
"""How often a caller that wants its call cancelled with its connection is looked for, in seconds."""

_TAG = "Invocations"
_EMPTY = "Send {} to call without arguments."

_KEY = re.compile(rf"[!-~]{{1,{MAX_KEY_CHARS}}}\Z")


class CallQuery(Query):
    """Where the function is looked up."""

    environment: Name | None = Field(default=None, description="For `app:function`; else the token's, else `main`.")


class InvokeQuery(CallQuery):
    """As for spawn, and what a broken connection means."""

    cancel_on_disconnect: bool = Field(
        default=False, description="Cancel the call if the client goes away. Otherwise it goes on."
    )


async def _begin(ctx: Context[CallQuery, bytes], kind: CallKind, *, waits: bool = False) -> Begun:
    live = await find_live(ctx, ctx.path["function_id"], ctx.query.environment)
    envelope = read_envelope(ctx.body)
    key = read_key(ctx)
    begun = await ctx.services.calls.begin(ctx.principal, live, envelope, kind, key, waits=waits)
    if len(ctx.body) > FREE_BYTES:  # it is stored, and the call may take an hour
        ctx.body = b""
        ctx.room.leave(ctx.request)
    return begun


def read_key(ctx: Context[Any, Any]) -> str | None:
    """The caller's name for the call, if it gave one.

    Raises:
        Invalid: it is none.
    """
    key = ctx.header("Idempotency-Key")
    if key is not None and not _KEY.match(key):
        message = f"must be 1 to {MAX_KEY_CHARS} characters of ASCII without spaces, such as a UUID"
        raise Invalid(f"Idempotency-Key {message}.", errors=[FieldError("Idempotency-Key", message)])
    return key


async def _invoke(ctx: Context[InvokeQuery, bytes]) -> web.StreamResponse:
    with ctx.services.calls.waiters:
        return await _invoke_and_wait(ctx)


async def _invoke_and_wait(ctx: Context[InvokeQuery, bytes]) -> web.StreamResponse:
    prefer = read_prefer(ctx.header("Prefer"))
    media = stream_wanted(ctx.header("Accept"))
    begun = await _begin(ctx, CallKind.INVOKE, waits=media is None and prefer.wait_s is None)
    if media is not None and prefer.wait_s != 0:
        return await _stream(ctx, begun, media, prefer)
    if prefer.wait_s is not None:
        return await _invoke_async(ctx, begun, prefer)
    result = await _wait(ctx, begun, HEAD_AFTER_S)
    if result is None:
        return await _slowly(ctx, begun)
    return PromptAnswer(200, await _body(ctx, begun), _headers(ctx, begun))


async def _wait(ctx: Context[InvokeQuery, bytes], begun: Begun, seconds: float) -> Result | None:
    """The result, if it comes in time.

    Raises:
        Unavailable: the store does not take the call in time.
        ConnectionResetError: the caller is gone, and had asked that this cancels the call.
    """
    if not begun.accepted:
        result = await _watch(ctx, begun, COMMIT_TIMEOUT_S)
        if result is not None:
            return result
        begun.must_be_accepted()
        seconds -= COMMIT_TIMEOUT_S
    return await _watch(ctx, begun, seconds)


async def _watch(ctx: Context[InvokeQuery, bytes], begun: Begun, seconds: float) -> Result | None:
    """The result, if it comes in time; a caller that is gone may mean that the call ends too."""
    if not ctx.query.cancel_on_disconnect:
        return await begun.wait(seconds)
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        result = await begun.wait(min(WATCH_CLIENT_S, left))
        if result is not None:
            return result
        if ctx.request.transport is None or ctx.request.transport.is_closing():
            await _client_went(ctx, begun)
    return None


async def _client_went(ctx: Context[InvokeQuery, bytes], begun: Begun) -> None:
    if not begun.replayed:
        await ctx.services.calls.disconnected(begun.seq)
    raise ConnectionResetError("the client went away")


async def _slowly(ctx: Context[InvokeQuery, bytes], begun: Begun) -> web.StreamResponse:
    response = web.StreamResponse(status=200, headers=_headers(ctx, begun))
    response.content_type = "application/json"
    response.charset = "utf-8"
    sign(response, ctx.request_id)
    await response.prepare(ctx.request)
    while await _wait(ctx, begun, NEWLINE_EVERY_S) is None:
        await response.write(b"\n")
    try:
        body = await _body(ctx, begun)
    except NotAcceptable:  # the head is out, and said 200: the call says itself that its result is not there
        body = await _whole(ctx, begun)
    await response.write(body)
    await response.write_eof()
    return response


async def _stream(ctx: Context[InvokeQuery, bytes], begun: Begun, media: str, prefer: Preference) -> web.StreamResponse:
    """Items as they come, and then the call with how it ended: all that there is of a function that returns.

    A caller that does not want to wait for the first of these for longer is answered as without a stream.
    """
    calls, form = ctx.services.calls, AsLines() if media == NDJSON else AsEvents(int(time.time() * 1000))
    with calls.items.reading(begun.seq, holds=True) as reader, calls.told(begun.seq, reader.ended):
        await begun.wait_accepted()
        if begun.outcome is not None:
            reader.ended(begun.outcome)
        headers, applied = _headers(ctx, begun), {"Preference-Applied": prefer.applied} if prefer.applied else {}
        if prefer.wait_s is not None and not await reader.first_within(prefer.wait_s):
            return await _accepted(ctx, begun, applied)
        response = await begin_stream(ctx, form, headers | applied)
        look_every_s = WATCH_CLIENT_S if ctx.query.cancel_on_disconnect else ALIVE_EVERY_S
        try:
            await write_items(ctx, response, reader, form, look_every_s=look_every_s)
            await response.write(form.end(await _end(ctx, begun)))
        except ConnectionError:
            if ctx.query.cancel_on_disconnect:
                await _client_went(ctx, begun)
            raise
    await response.write_eof()
    return response


async def _end(ctx: Context[InvokeQuery, bytes], begun: Begun) -> bytes:
    """The call, without the items that were shown before it."""
    services, result = ctx.services, begun.outcome
    if result is None or result.items is None:
        return await _body(ctx, begun)
    view = await services.calls.view_of(begun)
    return encode(await services.shaper.shown(services.calls, view, with_value=False))


async def _whole(ctx: Context[InvokeQuery, bytes], begun: Begun) -> bytes:
    services = ctx.services
    return encode(await services.shaper.shown(services.calls, await services.calls.view_of(begun)))


async def _body(ctx: Context[InvokeQuery, bytes], begun: Begun) -> bytes:
    services, item, result = ctx.services, begun.item, begun.outcome
    if item is not None and result is not None:
        if result.items is not None:
            value = await services.calls.value_of(result)
        else:
            value = None if result.value is None else await services.calls.bytes_of(result.value)
        return encode(services.shaper.ended(item, result, value))
    return await _whole(ctx, begun)


def _headers(ctx: Context[CallQuery, bytes], begun: Begun) -> dict[str, str]:
    call_id = ctx.services.shaper.call_id(begun.seq)
    headers = {"Yurt-Call-Id": call_id, "Content-Location": f"/v1/function-calls/{call_id}"}
    if begun.replayed:
        headers["Idempotency-Replayed"] = "true"
    return headers


async def _invoke_async(ctx: Context[InvokeQuery, bytes], begun: Begun, prefer: Preference) -> web.StreamResponse:
    await begun.wait_accepted()
    result = await _watch(ctx, begun, float(prefer.wait_s)) if prefer.wait_s else begun.outcome
    if result is not None and prefer.wait_s:
        headers = _headers(ctx, begun) | {"Preference-Applied": prefer.applied}
        return PromptAnswer(200, await _body(ctx, begun), headers)
    return await _accepted(ctx, begun, {"Preference-Applied": prefer.applied})


async def _accepted(ctx: Context[CallQuery, bytes], begun: Begun, more: Mapping[str, str]) -> web.StreamResponse:
    headers = _headers(ctx, begun)
    headers["Location"] = headers["Content-Location"]
    services = ctx.services
    shown = await services.shaper.shown(services.calls, await services.calls.view_of(begun))
    return PromptAnswer(202, encode(shown), {**headers, **more})


async def _spawn(ctx: Context[CallQuery, bytes]) -> web.StreamResponse:
    begun = await _begin(ctx, CallKind.SPAWN)
    await begun.wait_accepted()
    return await _accepted(ctx, begun, {})


_CALL_HEADERS = (
    Header("Yurt-Call-Id", "The call's id."),
    Header("Content-Location", "Where the call can be looked at."),
    Header("Idempotency-Replayed", "`true` where the key found an earlier call."),
)
KEY_HEADER = Header(
    "Idempotency-Key",
    "The same key and body find the first call instead of making another.",
    {"type": "string", "minLength": 1, "maxLength": MAX_KEY_CHARS, "pattern": "^[!-~]+$"},
)
_REQUEST_HEADERS = (
    KEY_HEADER,
    Header("Prefer", "`respond-async`, `wait=N`, or both with a comma between: answer 202 at once, or after N seconds. "
           "Preferences that are not known are ignored."),
)  # fmt: skip
_EXAMPLE = {
    "call_id": "fc-0000f3w5kd0015d9g7yhq2bncm",
    "function_id": "fu-01kag5vvn0c6c3xz2v1jqhd4rt",
    "kind": "invoke",
    "revision": 7,
    "status": "success",
    "created_at": "2026-11-22T10:15:30.125Z",
    "started_at": "2026-11-22T10:15:30.126Z",
    "finished_at": "2026-11-22T10:15:30.131Z",
    "attempts": 1,
    "num_inputs": 1,
    "priority": 0,
    "result": {"width": 200},
}
_BODY = RawJsonBody(schema=SCHEMA, empty=_EMPTY, example={"args": [3], "kwargs": {"width": 200}})
_ACCEPTED = Answer(
    202,
    "Accepted: it will end, whatever is killed meanwhile.",
    FunctionCall,
    headers=(*_CALL_HEADERS, Header("Location", "Where the call can be looked at.")),
)

_ENDED = Answer(200, "The call has ended.", InvocationResult, headers=_CALL_HEADERS, example=_EXAMPLE)

_ACCEPT = Header(
    "Accept",
    "`application/x-ndjson` (or `application/jsonl`) and `text/event-stream` stream the items of a generator, and end "
    "with the call. Anything else is answered with JSON.",
)
_AS_LINES = Answer(200, "", {"type": "string", "x-item-schema": ITEM_SCHEMA}, media=NDJSON)
_AS_EVENTS = Answer(200, "", EVENT_SCHEMA, media=EVENTS)

OPERATIONS: tuple[Operation, ...] = (
    Operation(
        method="POST",
        path="/v1/functions/{function_id}/invocations",
        operation_id="invokeFunction",
        for_containers=True,
        tag=_TAG,
        summary="Call a function and wait",
        description=(
            "Answers when the call has ended, however long that takes; `status` says how. After 10 s the head of the "
            "answer is sent and then a newline every 15 s, so that proxies keep the connection open. Items of a "
            "generator come as they are yielded where `Accept` asks for a stream, else as the list in `result`."
        ),
        role=Role.INVOKE,
        handler=_invoke,
        query=InvokeQuery,
        body=_BODY,
        answers=(_ENDED, _AS_LINES, _AS_EVENTS, _ACCEPTED),
        problems=(406, 409, 422, 429),
        headers=(*_REQUEST_HEADERS, _ACCEPT),
    ),
    Operation(
        method="POST",
        path="/v1/functions/{function_id}/spawn",
        operation_id="spawnFunction",
        for_containers=True,
        tag=_TAG,
        summary="Call a function and come back later",
        description="Answers once the call is stored. Fetch the result with `GET /function-calls/{call_id}`.",
        role=Role.INVOKE,
        handler=_spawn,
        query=CallQuery,
        body=_BODY,
        answers=(_ACCEPTED,),
        problems=(409, 422, 429),
        headers=_REQUEST_HEADERS[:1],
    ),
)
"""Rows of the operation table."""
