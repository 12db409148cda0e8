"""Request bodies: content type, limits, and from bytes to a validated model."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
from aiohttp import web
from pydantic import BaseModel, ValidationError

from yurt.domain.errors import Invalid, Malformed, NotSupported, TooLarge, UnsupportedMediaType
from yurt.domain.naming import shown
from yurt.domain.validation import field_errors
from yurt.inbound.rest.operations import AnyBody, BinaryBody, JsonBody, RawJsonBody
from yurt.inbound.rest.problems import RequestTimeout
from yurt.inbound.rest.room import FREE_BYTES, Room

IDLE_S = 60
"""How long a body may stop coming, in seconds: longer than a mobile network's usual hiccup."""

_JSON = "application/json"
_RAW = msgspec.json.Decoder(msgspec.Raw)
_SEND_JSON = "Send JSON: add -H 'Content-Type: application/json', or use curl --json."


async def read_body(request: web.BaseRequest, spec: AnyBody, limit_bytes: int, room: Room) -> object:
    """The body as the operation takes it. A large one that is kept whole takes room for `request`.

    Raises:
        Malformed: none came, or it is not what it claims to be.
        UnsupportedMediaType: it is something else.
        TooLarge: it is above the limit; it was not kept.
        Invalid: it breaks a rule of the model.
        Unavailable: there is no room for it now.
    """
    if isinstance(spec, BinaryBody):
        limit_bytes = min(limit_bytes, spec.limit_bytes or limit_bytes)
        _check_size(request.content_length, limit_bytes)
        _check_sent(request, spec.empty)
        _check_media(request, (spec.media, *spec.also), f"Send it as {spec.media}.")
        return Incoming(request, limit_bytes)
    if isinstance(spec, RawJsonBody) and spec.more and request.content_type in spec.more:
        _check_sent(request, spec.empty)
        _check_media(request, tuple(spec.more), _SEND_JSON)
        return Incoming(request, None)
    _check_size(request.content_length, limit_bytes)
    if isinstance(spec, JsonBody) and spec.optional and not request.body_exists:
        return spec.model.model_validate({})
    _check_sent(request, spec.empty)
    _check_media(request, (_JSON, *spec.more) if isinstance(spec, RawJsonBody) else (_JSON,), _SEND_JSON)
    data = await _read_all(request, limit_bytes, room)
    if not data:
        raise Malformed(f"The body is empty. {spec.empty}")
    return data if isinstance(spec, RawJsonBody) else read_model(spec.model, data)


def read_model(model: type[BaseModel], data: bytes) -> BaseModel:
    """Decode and validate JSON.

    Raises:
        Malformed: not one JSON value in UTF-8.
        Invalid: a rule is broken; every field at fault is named.
        NotSupported: nothing is wrong but features that this server lacks.
    """
    check_json(data)
    try:
        return model.model_validate_json(data, strict=True)
    except ValidationError as error:
        details = error.errors(include_url=False)
        if details[0]["type"] == "json_invalid":
            raise Malformed(f"The body is not JSON: {details[0]['ctx']['error']}.") from error
        found = field_errors(error, model)
    kind = NotSupported if all(one.code == "not_supported" for one in found) else Invalid
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    raise kind(f"{found[0].pointer or 'The body'}: {found[0].message}{more}", errors=found)


def check_json(data: bytes) -> None:
    """Refuse what is not one well-formed JSON value in UTF-8, saying where.

    Raises:
        Malformed: it is not.
    """
    try:
        data.decode()
    except UnicodeDecodeError as error:
        raise Malformed(f"The body is not UTF-8: byte {error.start} is {data[error.start]:#04x}.") from error
    try:
        _RAW.decode(data)
    except (msgspec.DecodeError, RecursionError) as error:
        raise Malformed(f"The body is not JSON: {error}.") from error


def decode_json(data: bytes) -> object:
    """The value of a body of JSON.

    Raises:
        Malformed: it is not JSON, or has a number beyond any that this server can hold.
    """
    check_json(data)
    try:
        return msgspec.json.decode(data)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise Malformed(f"The body is not JSON that this server can read: {error}.") from error


class Incoming:
    """A body that is read as it comes (`yurt.inbound.rest.operations.Upload`)."""

    def __init__(self, request: web.BaseRequest, limit_bytes: int | None) -> None:
        self._request = request
        self._limit_bytes = limit_bytes

    @property
    def size(self) -> int | None:
        """Bytes as announced, or None."""
        return self._request.content_length

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body, piece by piece; ends it with `TooLarge` beyond the limit and `RequestTimeout` when it stalls."""
        size = 0
        while chunk := await _next_chunk(self._request):
            size += len(chunk)
            _check_size(size, self._limit_bytes)
            yield chunk


async def _read_all(request: web.BaseRequest, limit_bytes: int, room: Room) -> bytes:
    content = request.content
    if content.is_eof():  # the usual case: it came with the head
        data = content.read_nowait()
        _check_size(len(data), limit_bytes)
        return data
    announced = request.content_length
    if announced is not None and announced > FREE_BYTES:
        await room.enter(request, announced)
    chunks, size, entered = [], 0, announced is not None
    async for chunk in Incoming(request, limit_bytes).chunks():
        chunks.append(chunk)
        size += len(chunk)
        if size > FREE_BYTES and not entered:
            entered = True
            await room.enter(request, limit_bytes)
    return b"".join(chunks)


async def _next_chunk(request: web.BaseRequest) -> bytes:
    try:
        async with asyncio.timeout(IDLE_S):
            return await request.content.readany()
    except TimeoutError as error:
        raise RequestTimeout(f"Nothing of the body came for {IDLE_S} seconds.") from error
    except web.RequestPayloadError as error:
        raise Malformed("The body broke off, or its encoding is damaged.") from error


def _check_size(size: int | None, limit_bytes: int | None) -> None:
    if size is not None and limit_bytes is not None and size > limit_bytes:
        raise TooLarge(f"The body is above the limit of {limit_bytes >> 20} MiB ({limit_bytes} bytes).")


def _check_sent(request: web.BaseRequest, empty: str) -> None:
    if not request.body_exists:
        raise Malformed(f"The body is empty. {empty}")


def _check_media(request: web.BaseRequest, wanted: tuple[str, ...], hint: str) -> None:
    if request.headers.get("Content-Type") == wanted[0]:
        return
    media: Any = request.content_type if "Content-Type" in request.headers else "no content type"
    if media not in wanted:
        raise UnsupportedMediaType(f"This operation does not take {shown(media)}. {hint}")
    charset = (request.charset or "utf-8").lower().replace("_", "-")
    if charset not in {"utf-8", "utf8", "us-ascii"}:
        raise UnsupportedMediaType(f"This operation does not take the charset {shown(charset)}. Send UTF-8.")
