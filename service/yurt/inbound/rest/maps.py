"""The operations on calls of several inputs: map, and read their results."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import takewhile
from typing import Any

import msgspec
from aiohttp import web
from pydantic import Field

from yurt.domain.callbacks import MAX_URL_CHARS, url_problem
from yurt.domain.classes import read_texts
from yurt.domain.errors import FieldError, Invalid, NotFound
from yurt.domain.functions import LiveFunction
from yurt.domain.records import CallKind, CallStatus, Result, Role, Target, status_of
from yurt.inbound.rest.answers import cursor, cursor_key, encode, json_answer, page, sign
from yurt.inbound.rest.call_shapes import CallError, FunctionCall
from yurt.inbound.rest.context import Context
from yurt.inbound.rest.envelope import METHOD, PARAMETERS
from yurt.inbound.rest.functions_by import find_live
from yurt.inbound.rest.invocations import KEY_HEADER, NEWLINE_EVERY_S, CallQuery, read_key
from yurt.inbound.rest.lines import blocks_of_lines, blocks_of_list, read_list
from yurt.inbound.rest.models import Query, Shown, Text
from yurt.inbound.rest.operations import Answer, Header, Operation, PageOf, RawJsonBody, Upload
from yurt.inbound.rest.prefer import Preference, read_prefer
from yurt.pools.live_map import LiveMap, NewMap
from yurt.usecases import maps
from yurt.usecases.outputs import Output
from yurt.usecases.targets import aimed
from yurt.usecases.views import View

_TAG = "Invocations"
NDJSON = "application/x-ndjson"
MAX_WAIT_S = 60


class MapQuery(CallQuery):
    """Where the function is looked up, and how the answer is to come."""

    order_outputs: bool = Field(default=True, description="Results in the order of the inputs, or as they come.")
    return_exceptions: bool = Field(
        default=False, description="A failed input does not end the others; its error stands in its line."
    )
    summary: bool = Field(default=False, description="A last line with the whole call.")
    priority: int = Field(default=0, ge=-10, le=10, description="Higher first, among the caller's own inputs.")
    metadata: dict[Text, Text] | None = Field(default=None, description="`metadata.KEY=value`: labels of the call.")
    callback_url: str | None = Field(
        default=None, max_length=MAX_URL_CHARS, description="Who is told of the call's end, by a signed POST."
    )
    method: str | None = Field(default=None, max_length=255, description="Of a class: which of its methods.")
    parameters: dict[Text, Text] | None = Field(
        default=None, description="`parameters.NAME=value`: of a class, what its object is made with."
    )


class OutputsQuery(Query):
    """Which results."""

    index: int = Field(default=0, ge=0, le=2**53, description="The first input whose result is wanted.")
    limit: int = Field(default=100, ge=1, le=1000)
    cursor: str | None = Field(default=None, description="`next_cursor` of the page before; instead of `index`.")
    wait: int = Field(
        default=0, ge=0, le=MAX_WAIT_S, description="Where there is none yet, wait for it at most so many seconds."
    )


class MapOutput(Shown):
    """How one input of a map ended."""

    index: int
    status: CallStatus
    result: Any = Field(default=None, description="What the function returned, on success; it alone may be null.")
    error: CallError | None = None


class OutputLine(Shown):
    """How one input of a map ended, or one item of a generator."""

    index: int
    status: CallStatus | None = Field(default=None, description="Of a map.")
    result: Any = Field(default=None, description="What the function returned, on success; it alone may be null.")
    error: CallError | None = None
    item: Any = Field(default=None, description="Of a generator: what it yielded; it may be null.")


async def _map(ctx: Context[MapQuery, bytes | Upload]) -> web.StreamResponse:
    services = ctx.services
    with services.calls.waiters:
        prefer = read_prefer(ctx.header("Prefer"))
        live = await find_live(ctx, ctx.path["function_id"], ctx.query.environment)
        target, blocks = _inputs(ctx, live)
        upload = _upload(ctx, live, target)
        if prefer.wait_s is not None:
            await upload.run(blocks)
            return await _accepted(ctx, upload, prefer)
        with services.maps.reading(upload.map, in_order=ctx.query.order_outputs) as output:
            task = asyncio.create_task(upload.run(blocks), name="map-upload")
            try:
                await upload.begun.wait()
                if not upload.replayed:
                    return await _answer(ctx, upload, output, task)
                with services.maps.reading(upload.map, in_order=True, unseen=True) as again:
                    return await _answer(ctx, upload, again, task)
            except ConnectionError:
                await asyncio.wait([task])  # what came before the connection broke is accepted
                raise
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)


def _upload(ctx: Context[MapQuery, Any], live: LiveFunction, target: Target | None) -> maps.Upload:
    query = ctx.query
    if query.callback_url is not None and (message := url_problem(query.callback_url)) is not None:
        raise Invalid(f"?callback_url: {message}", errors=[FieldError("?callback_url", message)])
    metadata = msgspec.json.encode(query.metadata).decode() if query.metadata else None
    new = NewMap(ctx.principal.token_id, query.return_exceptions, query.priority, metadata, target)
    key = read_key(ctx)
    return ctx.services.maps.upload(ctx.principal, live, new, callback_url=query.callback_url, key=key)


def _inputs(
    ctx: Context[MapQuery, bytes | Upload], live: LiveFunction
) -> tuple[Target | None, AsyncIterator[Sequence[bytes]]]:
    """What a map is for, and its inputs."""
    if not isinstance(ctx.body, bytes):
        return _target(ctx.query, live), blocks_of_lines(ctx.body.chunks(), ctx.services.body_limit_bytes)
    listed = read_list(ctx.body)
    if listed.method is None and listed.parameters is None:
        return _target(ctx.query, live), blocks_of_list(listed.envelopes)
    if ctx.query.method is not None or ctx.query.parameters is not None:
        message = "method and parameters stand in the body already"
        raise Invalid(f"?method: {message}.", errors=[FieldError("?method", message)])
    return aimed(live, listed.method, listed.parameters), blocks_of_list(listed.envelopes)


def _target(query: MapQuery, live: LiveFunction) -> Target | None:
    if live.of_class is None and query.method is None and not query.parameters:
        return None
    try:
        return aimed(live, query.method, read_texts(live.of_class, query.parameters or {}))
    except Invalid as error:
        told = [replace(one, pointer="?" + one.pointer[1:].replace("/", ".", 1)) for one in error.errors]
        raise Invalid(f"?{error.detail[1:]}", errors=told) from error


async def _accepted(ctx: Context[Any, Any], upload: maps.Upload, prefer: Preference) -> web.StreamResponse:
    """202: everything is accepted; the call is told as it is after the time that the caller waits."""
    calls, seq = ctx.services.calls, upload.map.seq
    if prefer.wait_s and seq in ctx.services.heart.maps.open:
        await calls.wait(seq, float(prefer.wait_s))
    headers = _headers(ctx, upload)
    headers |= {"Location": headers["Content-Location"], "Preference-Applied": prefer.applied}
    return json_answer(202, await _whole(ctx, upload), headers)


async def _whole(ctx: Context[Any, Any], upload: maps.Upload) -> dict[str, object]:
    services = ctx.services
    view, _ = await services.calls.get(ctx.principal, services.shaper.call_id(upload.map.seq))
    out = await services.shaper.shown(services.calls, view)
    if upload.refusal is not None:
        out["input_error"] = upload.refusal.detail
    return out


def _headers(ctx: Context[Any, Any], upload: maps.Upload) -> dict[str, str]:
    call_id = ctx.services.shaper.call_id(upload.map.seq)
    headers = {"Yurt-Call-Id": call_id, "Content-Location": f"/v1/function-calls/{call_id}"}
    if upload.replayed:
        headers["Idempotency-Replayed"] = "true"
    return headers


async def _answer(
    ctx: Context[MapQuery, Any], upload: maps.Upload, output: Output, task: asyncio.Task[None]
) -> web.StreamResponse:
    """The head once some inputs are committed, and then results until the map is over."""
    if not upload.map.committed:
        await task
    response = web.StreamResponse(headers={**_headers(ctx, upload), "X-Accel-Buffering": "no"})
    response.headers["Content-Type"] = NDJSON
    sign(response, ctx.request_id)
    await response.prepare(ctx.request)
    task.add_done_callback(lambda _: output.changed())
    await _results(ctx, upload.map, output, response, task)
    if ctx.query.summary:
        await _write_summary(ctx, upload, response)
    elif upload.refusal is not None and upload.map.failed is None:
        await response.write(encode({"input_truncated": True, "input_error": upload.refusal.detail}) + b"\n")
    await response.write_eof()
    return response


async def _results(
    ctx: Context[Any, Any], found: LiveMap, output: Output, response: web.StreamResponse, task: asyncio.Task[None]
) -> None:
    """Write results until the first failure that ends the map, or to the last one.

    Raises:
        Unavailable: the store does not take the end of the upload.
    """
    while True:
        rows = await output.ready()
        if found.failed is not None:
            await response.write(await _lines(ctx, ended_by(found.span.index(found.failed.seq), found.failed, rows)))
            return
        if rows:
            await response.write(await _lines(ctx, rows))
        elif found.span.sealed and not found.adding and output.shown >= found.span.size:
            return
        else:
            if task.done():
                task.result()
            try:
                async with asyncio.timeout(NEWLINE_EVERY_S):
                    await output.news()
            except TimeoutError:
                await response.write(b"\n")


def ended_by(index: int, failed: Result, rows: Iterable[tuple[int, Result]]) -> list[tuple[int, Result]]:
    """The last results of an answer that a failure ends: what comes before it, and the failure.

    Others may have failed in the same moment, and what is left is cancelled: none of that is shown.

    Args:
        index: of the input that failed.
        failed: how.
        rows: the next results with their indices, in their order.
    """
    before = takewhile(lambda row: row[0] != index, rows)
    return [*(row for row in before if status_of(row[1].outcome) is not CallStatus.TERMINATED), (index, failed)]


async def _write_summary(ctx: Context[Any, Any], upload: maps.Upload, response: web.StreamResponse) -> None:
    calls, seq = ctx.services.calls, upload.map.seq
    while seq in ctx.services.heart.maps.open and await calls.wait(seq, NEWLINE_EVERY_S) is None:
        await response.write(b"\n")
    await response.write(encode({"summary": await _whole(ctx, upload)}) + b"\n")


async def _lines(ctx: Context[Any, Any], rows: Sequence[tuple[int, Result]]) -> bytes:
    return b"".join([await _line(ctx, index, result) for index, result in rows])


async def _line(ctx: Context[Any, Any], index: int, result: Result) -> bytes:
    """One line, put together of what is JSON already."""
    value = result.value
    if value is not None:
        data = value.data if value.data is not None else await ctx.services.calls.bytes_of(value)
        return b'{"index":%d,"status":"success","result":%b}\n' % (index, data.replace(b"\n", b" "))
    status = status_of(result.outcome).value.encode()
    return b'{"index":%d,"status":"%b","error":%b}\n' % (index, status, result.error_json or b"null")


async def _outputs(ctx: Context[OutputsQuery, None]) -> web.StreamResponse:
    services, query, call_id = ctx.services, ctx.query, ctx.path["call_id"]
    start = cursor_key("outputs", query.cursor, int)
    view, _ = await services.calls.get(ctx.principal, call_id)
    begin = query.index if start is None else start
    if view.call.kind != CallKind.MAP:
        return await _items(ctx, view, begin)
    with services.calls.waiters:
        rows, more = await services.maps.page(view.call.seq, begin, limit=query.limit, wait_s=query.wait)
    shown = [msgspec.Raw(await _line(ctx, index, result)) for index, result in rows]
    following = rows[-1][0] + 1 if rows else begin
    return page(shown, cursor("outputs", following) if more else None)


async def _items(ctx: Context[OutputsQuery, None], view: View, begin: int) -> web.StreamResponse:
    """A page of what a generator yielded."""
    calls, query, result = ctx.services.calls, ctx.query, view.result
    if result is not None and result.items is None:
        call_id = ctx.path["call_id"]
        raise NotFound(f"{call_id} is one call: GET /v1/function-calls/{call_id} tells its result.")
    with calls.waiters, calls.items.reading(view.call.seq, begin) as reader, calls.told(view.call.seq, reader.ended):
        if result is not None:
            reader.ended(result)
        elif query.wait:
            await reader.first_within(query.wait)
        lines = [line for found in await reader.ready() for line in found.data.split(b"\n")][: query.limit]
        following = begin + len(lines)
        more = reader.end is None or following < reader.end
    shown = [msgspec.Raw(b'{"index":%d,"item":%b}' % (index, line)) for index, line in enumerate(lines, begin)]
    return page(shown, cursor("outputs", following) if more else None)


_INPUT: Mapping[str, Any] = {
    "title": "MapInput",
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "args": {"type": "array", "items": {}, "description": "Positional arguments."},
        "kwargs": {"type": "object", "additionalProperties": True, "description": "Arguments by name."},
    },
}
_SCHEMA: Mapping[str, Any] = {
    "title": "MapRequest",
    "type": "object",
    "description": "The inputs of a map.",
    "additionalProperties": False,
    "required": ["inputs"],
    "properties": {
        "inputs": {"type": "array", "items": _INPUT},
        "method": METHOD,
        "parameters": PARAMETERS,
    },
}
_CALL_HEADERS = (
    Header("Yurt-Call-Id", "The call's id."),
    Header("Content-Location", "Where the call can be looked at."),
    Header("Idempotency-Replayed", "`true` where the key found an earlier call."),
)

OPERATIONS: tuple[Operation, ...] = (
    Operation(
        method="POST",
        path="/v1/functions/{function_id}/map",
        operation_id="mapFunction",
        for_containers=True,
        tag=_TAG,
        summary="Call a function with many inputs",
        description=(
            "Takes a JSON list, or NDJSON with one input a line, which may be endless: it is read as it comes. Answers "
            "with one line of NDJSON for each input, the first ones while the upload goes on. Without "
            "`return_exceptions` the first failure ends the answer, and cancels what is left. A broken upload, or a "
            "line that cannot be read, ends the inputs; those before it run. Losing the connection cancels nothing: go "
            "on with `GET /v1/function-calls/{call_id}/outputs`."
        ),
        role=Role.INVOKE,
        handler=_map,
        query=MapQuery,
        body=RawJsonBody(
            schema=_SCHEMA,
            empty='Send {"inputs": []} for no inputs.',
            example={"inputs": [{"args": [3]}, {"args": [4]}]},
            more={NDJSON: {"type": "string", "description": "One input a line."}},
        ),
        answers=(
            Answer(200, "Results as they come.", MapOutput, media=NDJSON, headers=_CALL_HEADERS),
            Answer(
                202,
                "All inputs are accepted.",
                FunctionCall,
                headers=(*_CALL_HEADERS, Header("Location", "Where the call can be looked at.")),
            ),
        ),
        problems=(408, 409, 422, 429),
        headers=(
            KEY_HEADER,
            Header("Prefer", "`respond-async`, `wait=N`, or both: answer 202 once all inputs are accepted."),
        ),
    ),
    Operation(
        method="GET",
        path="/v1/function-calls/{call_id}/outputs",
        operation_id="getFunctionCallOutputs",
        for_containers=True,
        tag=_TAG,
        summary="Read the results of a map, or the items of a generator",
        description=(
            "In the order of the inputs, from any index, up to the first input that has not ended; of a generator its "
            "items so far, as `index` and `item`. There is a `next_cursor` as long as more can follow."
        ),
        role=Role.INVOKE,
        handler=_outputs,
        query=OutputsQuery,
        answers=(Answer(200, "A page of results.", PageOf(OutputLine)),),
        problems=(404, 410, 429),
    ),
)
"""Rows of the operation table."""
