"""The bases of request and answer models, and the types that many of them share.

A model's class name is its schema's name in the OpenAPI document; its docstring and its fields' descriptions are read
there by users. What is None stays out of answers, so the document shows it as absent, never as null.
"""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from yurt.domain.naming import NAME_PATTERN, NO_NUL
from yurt.inbound.rest import paths

Name = Annotated[
    str,
    Field(
        pattern=NAME_PATTERN,
        description="1 to 64 letters, digits, dots, dashes and underscores, beginning with a letter or a digit.",
    ),
]
"""Names of apps, functions, environments and secrets."""

AppRef = Annotated[
    str, Field(pattern=paths.PARAMETERS["app_id"].pattern, description="An id, or the name of a live app.")
]
FunctionRef = Annotated[
    str, Field(pattern=paths.PARAMETERS["function_id"].pattern, description="An id, or `app:function`.")
]
"""In queries."""

Text = Annotated[str, Field(pattern=NO_NUL)]
"""Free text that is looked for in the store."""

Time = Annotated[str, Field(json_schema_extra={"format": "date-time"}, description="RFC 3339, UTC.")]
"""A time in an answer."""


ENDLESS: dict[str, JsonValue] = {"x-endless": True}
"""Marks a query parameter that makes an answer endless. The document leaves it to the operation's description: programs
that read documents and try everything would wait forever."""


class Body(BaseModel):
    """Base of request bodies: unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Query(BaseModel):
    """Base of query parameters: unknown ones are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class PageQuery(Query):
    """The parameters of every list."""

    limit: int = Field(default=50, ge=1, le=200, description="How many to answer at most.")
    cursor: str | None = Field(
        default=None, max_length=1024, description="The `next_cursor` of the page before, unchanged."
    )


class Shown(BaseModel):
    """Base of answers."""

    model_config = ConfigDict(extra="forbid", frozen=True)
