"""The operations on bundles."""

from aiohttp import web

from yurt.domain.bundle import MAX_BUNDLE_BYTES
from yurt.domain.records import Role
from yurt.inbound.rest import registry_shapes as shapes
from yurt.inbound.rest.answers import json_answer
from yurt.inbound.rest.context import Context
from yurt.inbound.rest.operations import Answer, BinaryBody, Operation, Upload
from yurt.inbound.rest.registry_shapes import NOW, SHA256, Bundle, PlaceQuery

_TAG = "Functions"
_EXAMPLE = {"sha256": SHA256, "environment": "main", "size_bytes": 1834, "created_at": NOW}


async def _put(ctx: Context[PlaceQuery, Upload]) -> web.StreamResponse:
    data = b"".join([chunk async for chunk in ctx.body.chunks()])
    bundle, new = await ctx.services.bundles.put(ctx.principal, ctx.path["sha256"], data, ctx.query.environment)
    return json_answer(201 if new else 200, shapes.bundle(bundle))


async def _head(ctx: Context[PlaceQuery, None]) -> web.StreamResponse:
    await ctx.services.bundles.get(ctx.principal, ctx.path["sha256"], ctx.query.environment)
    return web.Response(status=200)


OPERATIONS: tuple[Operation, ...] = (
    Operation(
        method="PUT",
        path="/v1/bundles/{sha256}",
        operation_id="putBundle",
        tag=_TAG,
        summary="Upload source code",
        description=(
            "A zip archive, known by the sha256 of its bytes, for definitions with `source.bundle`. Refused: a wrong "
            "hash, links, encrypted entries, paths that are absolute or lead out, and what unpacks to over 512 MiB."
        ),
        role=Role.DEPLOY,
        handler=_put,
        query=PlaceQuery,
        body=BinaryBody(
            "application/octet-stream",
            "Send the bytes of a zip archive.",
            MAX_BUNDLE_BYTES,
            also=("application/zip",),
        ),
        answers=(
            Answer(200, "It was there already.", Bundle, example=_EXAMPLE),
            Answer(201, "It is stored.", Bundle, example=_EXAMPLE),
        ),
        problems=(404,),
    ),
    Operation(
        method="HEAD",
        path="/v1/bundles/{sha256}",
        operation_id="headBundle",
        tag=_TAG,
        summary="See whether source code was uploaded",
        role=Role.DEPLOY,
        handler=_head,
        query=PlaceQuery,
        answers=(Answer(200, "It was, to this environment."),),
    ),
)
"""Rows of the operation table."""
