"""Inputs of a map as they come: lines of NDJSON, or a JSON list; split and checked, hardly decoded."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec

from yurt.domain.errors import FieldError, Invalid, Malformed, TooLarge, YurtError
from yurt.inbound.rest.bodies import check_json
from yurt.inbound.rest.envelope import read_envelope
from yurt.usecases.begun import Envelope

BLOCK_LINES = 250
"""Inputs that are accepted at once: one or two milliseconds of the loop, for which others wait."""
REST_S = 0.001
"""How long an upload rests after so many, in seconds: the requests of others get their turns in between."""
BLOCK_BYTES = 4 << 20
"""The same in bytes."""


class _List(msgspec.Struct, forbid_unknown_fields=True):
    inputs: list[msgspec.Raw]
    method: str | None = None
    parameters: dict[str, str | int | float | bool | None] | None = None


class Listed(NamedTuple):
    """What a list of inputs says.

    Args:
        envelopes: the inputs, each checked.
        method, parameters: of a class, for all of them.
    """

    envelopes: list[bytes]
    method: str | None
    parameters: Mapping[str, object] | None


_list = msgspec.json.Decoder(_List).decode


def read_list(body: bytes) -> Listed:
    """The inputs of `{"inputs": […]}`, each checked, and what they are for.

    Raises:
        Malformed: it is not JSON.
        Invalid: it is something else, or an input is wrong.
    """
    try:
        found = _list(body)
    except (msgspec.MsgspecError, RecursionError) as error:
        check_json(body)
        message = 'must be {"inputs": [{"args": […], "kwargs": {…}}, …]}'
        raise Invalid(f"The body {message}: {error}.", errors=[FieldError("", message)]) from error
    out = []
    for index, raw in enumerate(found.inputs):
        try:
            out.append(_envelope(bytes(raw)))
        except Invalid as error:
            told = [FieldError(f"/inputs/{index}{one.pointer}", one.message, one.code) for one in error.errors]
            raise Invalid(f"/inputs/{index}: {error.detail}", errors=told) from error
    return Listed(out, found.method, found.parameters)


def _envelope(line: bytes) -> bytes:
    envelope = read_envelope(line)
    if envelope != Envelope(envelope.payload):
        message = "an input of a map has args and kwargs only"
        if envelope.method is not None or envelope.parameters:
            message += "; method and parameters are those of the whole map: ?method=NAME&parameters.NAME=VALUE"
        raise Invalid(f"{message}.", errors=[FieldError("", message)])
    return envelope.payload


async def blocks_of_list(envelopes: Sequence[bytes]) -> AsyncIterator[Sequence[bytes]]:
    """Inputs that are all there, in portions."""
    for block in _portions(envelopes):
        yield block
        await asyncio.sleep(REST_S)


def _portions(envelopes: Sequence[bytes]) -> Iterator[list[bytes]]:
    block: list[bytes] = []
    size = 0
    for envelope in envelopes:
        block.append(envelope)
        size += len(envelope)
        if len(block) >= BLOCK_LINES or size >= BLOCK_BYTES:
            yield block
            block, size = [], 0
    if block:
        yield block


async def blocks_of_lines(chunks: AsyncIterator[bytes], limit_bytes: int) -> AsyncIterator[Sequence[bytes]]:
    """Inputs as they come, those of one piece of the body together; what precedes a line at fault comes before it.

    Args:
        limit_bytes: of one line.

    Raises:
        Malformed: a line is not JSON; the message names it.
        Invalid: a line is no input.
        TooLarge: a line is above the limit.
    """
    number = 0
    async for lines in _lines(chunks, limit_bytes):
        block: list[bytes] = []
        size = 0
        for line in lines:
            number += 1
            if not line or line.isspace():
                continue
            try:
                envelope = _envelope(line)
            except YurtError as error:
                if block:
                    yield block
                raise _at(number, error) from error
            block.append(envelope)
            size += len(envelope)
            if len(block) >= BLOCK_LINES or size >= BLOCK_BYTES:
                yield block
                await asyncio.sleep(REST_S)
                block, size = [], 0
        if block:
            yield block


def _at(number: int, error: YurtError) -> YurtError:
    detail = error.detail.replace("The body", "It")
    if isinstance(error, Malformed):
        return Malformed(f"Line {number} is not an input. {detail}")
    return Invalid(f"Line {number} is not an input. {detail}", errors=list(error.errors))


async def _lines(chunks: AsyncIterator[bytes], limit_bytes: int) -> AsyncIterator[list[bytes]]:
    """The lines that each piece of the body completes."""
    begun: list[bytes] = []
    size = number = 0
    async for chunk in chunks:
        lines = chunk.split(b"\n")
        size += len(lines[0])
        if size > limit_bytes:
            raise TooLarge(f"Line {number + 1} is above the limit of {limit_bytes >> 20} MiB ({limit_bytes} bytes).")
        begun.append(lines[0])
        if len(lines) == 1:
            continue
        lines[0] = b"".join(begun)
        begun = [lines.pop()]
        size = len(begun[0])
        number += len(lines)
        yield lines
    if size:
        yield [b"".join(begun)]
