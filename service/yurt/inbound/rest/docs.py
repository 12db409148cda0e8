"""The document, the pages made of it, and the metrics."""

from collections.abc import Sequence

import msgspec
from aiohttp import web

from yurt.domain.records import Role
from yurt.inbound.rest import markup, openapi
from yurt.inbound.rest.context import Context
from yurt.inbound.rest.operations import Answer, Header, Operation
from yurt.inbound.rest.pages import Document, Pages, document
from yurt.inbound.rest.readiness import Health
from yurt.metrics import CONTENT_TYPE

_TAG = "Server"
_TEXT = {"type": "string"}
_UNCHANGED = Answer(304, "It is the one that `If-None-Match` names.")


def add_pages(pages: Pages, operations: Sequence[Operation], health: Health) -> None:
    """Offer `/openapi.json`, `/docs` and `/docs/errors`; they are made when first asked for."""

    def api() -> Document:
        return document(msgspec.json.encode(openapi.build(operations, health.notes)), "application/json")

    def docs() -> Document:
        return _html(markup.reference(openapi.build(operations, health.notes), health.notes))

    pages.add("openapi", api)
    pages.add("docs", docs)
    pages.add("errors", lambda: _html(markup.errors()))


def _html(page: markup.Html) -> Document:
    policy = (
        f"default-src 'none'; style-src {page.style_hash}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    headers = (("Content-Security-Policy", policy), ("Referrer-Policy", "no-referrer"))
    return document(page.text.encode(), "text/html; charset=utf-8", headers)


async def _openapi(ctx: Context[None, None]) -> web.StreamResponse:
    return ctx.services.pages.answer("openapi", ctx.request)


async def _front(ctx: Context[None, None]) -> web.StreamResponse:  # noqa: ARG001 - what every handler takes
    return web.Response(status=302, headers={"Location": "/docs"}, text="The reference is at /docs.\n")


async def _docs(ctx: Context[None, None]) -> web.StreamResponse:
    return ctx.services.pages.answer("docs", ctx.request)


async def _errors(ctx: Context[None, None]) -> web.StreamResponse:
    return ctx.services.pages.answer("errors", ctx.request)


async def _metrics(ctx: Context[None, None]) -> web.StreamResponse:
    return web.Response(body=ctx.services.metrics.text(), headers={"Content-Type": CONTENT_TYPE})


OPERATIONS: tuple[Operation, ...] = (
    Operation(
        method="GET",
        path="/",
        operation_id="getFront",
        tag=_TAG,
        summary="Be sent to the reference",
        description="For people who open the server's address in a browser.",
        role=None,
        handler=_front,
        answers=(
            Answer(302, "It is at `/docs`.", _TEXT, media="text/plain", headers=(Header("Location", "`/docs`."),)),
        ),
    ),
    Operation(
        method="GET",
        path="/openapi.json",
        operation_id="getOpenapi",
        tag=_TAG,
        summary="Get this document",
        role=None,
        handler=_openapi,
        answers=(Answer(200, "OpenAPI 3.1.", {"type": "object"}), _UNCHANGED),
    ),
    Operation(
        method="GET",
        path="/docs",
        operation_id="getDocs",
        tag=_TAG,
        summary="Read the reference",
        description="This document as a page that needs no network.",
        role=None,
        handler=_docs,
        answers=(Answer(200, "The page.", _TEXT, media="text/html"), _UNCHANGED),
    ),
    Operation(
        method="GET",
        path="/docs/errors",
        operation_id="getErrorDocs",
        tag=_TAG,
        summary="Read about errors",
        description="Every error code: when it is given, and what to do.",
        role=None,
        handler=_errors,
        answers=(Answer(200, "The page.", _TEXT, media="text/html"), _UNCHANGED),
    ),
    Operation(
        method="GET",
        path="/metrics",
        operation_id="getMetrics",
        tag=_TAG,
        summary="Read metrics",
        description="In the text format of Prometheus. A setting can open it to everybody.",
        role=Role.READ,
        handler=_metrics,
        answers=(Answer(200, "All metrics.", _TEXT, media="text/plain"),),
    ),
)
"""Rows of the operation table."""
