"""The shapes of the operation table: what an operation takes, who may ask, and what it answers.

Every handler file exports `OPERATIONS`; `yurt.inbound.rest.table` joins them. Routing, checks and the OpenAPI document
all come from this table, so none of them can disagree with another.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

from aiohttp import web
from pydantic import BaseModel

from yurt.domain.records import Role
from yurt.inbound.rest.context import Context

M = TypeVar("M", bound=BaseModel)

BODY_LIMIT_BYTES = 64 << 20
"""The largest request body unless set otherwise: 64 MiB."""


@dataclass(frozen=True, slots=True)
class PageOf:
    """The schema `{data: [item, …], next_cursor?}` of a list."""

    item: type[BaseModel]


Schema: TypeAlias = type[BaseModel] | PageOf | Mapping[str, Any]
"""Where a schema comes from: a model (its class name is its name in the document), a page of one, or JSON Schema."""


@dataclass(frozen=True, slots=True)
class Header:
    """A header of an answer, or of a request."""

    name: str
    description: str
    schema: Mapping[str, Any] = field(default_factory=lambda: {"type": "string"})
    required: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer that an operation can give beside the problems that every operation can.

    Args:
        model: the schema of its body, or None where it has none.
        example: a whole body, for readers.
    """

    status: int
    description: str
    model: Schema | None = None
    media: str = "application/json"
    headers: tuple[Header, ...] = ()
    example: object = None


@dataclass(frozen=True, slots=True)
class JsonBody(Generic[M]):
    """A JSON body validated by a pydantic model; `Context.body` is an instance of it.

    Args:
        model: with `extra="forbid"`; it is validated strictly (`"5"` is not 5).
        empty: what a caller is told who sends no body.
        optional: an absent body counts as `{}`.
    """

    model: type[M]
    empty: str = "Send a JSON object."
    optional: bool = False
    example: object = None


@dataclass(frozen=True, slots=True)
class RawJsonBody:
    """A JSON body that the handler decodes itself; `Context.body` is its bytes, unless it is one of `more`.

    Args:
        schema: for the document.
        more: further content types that it takes, by their schemas; they are read as they come, however long they
            are: `Context.body` is then an `Upload`.
    """

    schema: Schema
    empty: str = "Send a JSON object."
    example: object = None
    more: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


class Upload(Protocol):
    """A body that is read as it comes."""

    @property
    def size(self) -> int | None:
        """Bytes as announced by `Content-Length`, or None."""

    def chunks(self) -> AsyncIterator[bytes]:
        """The body, piece by piece.

        Raises:
            TooLarge: it is longer than the operation's limit.
        """


@dataclass(frozen=True, slots=True)
class BinaryBody:
    """A body of other bytes; `Context.body` is an `Upload`.

    Args:
        limit_bytes: its own limit, below the server's.
        also: narrower content types that are taken too.
    """

    media: str
    empty: str
    limit_bytes: int | None = None
    also: tuple[str, ...] = ()


AnyBody: TypeAlias = JsonBody[Any] | RawJsonBody | BinaryBody

Handler: TypeAlias = Callable[[Context[Any, Any]], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One row of the table.

    Args:
        method: in capitals.
        path: below the root, with `{name}` parameters that `yurt.inbound.rest.paths` knows.
        operation_id: the contract's, or ours; unique.
        tag: the group it stands in.
        summary: a few words.
        description: what it does and what to know of it, in Markdown.
        role: what the token must allow; None for an open operation.
        query: a model with one field a parameter (`extra="forbid"`); list fields may be repeated.
        body: how the body is read, None for none.
        answers: what it answers when all goes well (2xx, 304).
        problems: statuses of problems beside those that every operation of its kind has.
        headers: request headers that it reads.
        for_containers: the token of a container may ask it, for the functions and calls of its app.
    """

    method: str
    path: str
    operation_id: str
    tag: str
    summary: str
    description: str = ""
    role: Role | None
    handler: Handler
    query: type[BaseModel] | None = None
    body: AnyBody | None = None
    answers: tuple[Answer, ...]
    problems: tuple[int, ...] = ()
    headers: tuple[Header, ...] = ()
    for_containers: bool = False
