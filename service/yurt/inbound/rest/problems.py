"""Errors on the wire: RFC 9457 problem details (https://www.rfc-editor.org/rfc/rfc9457), by one table.

`CATALOGUE` is also the page `/docs/errors`; a test walks the tree of `YurtError` and the catalogue both ways.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from yurt.domain import errors
from yurt.domain.errors import FieldError, YurtError
from yurt.inbound.rest.answers import encode

MEDIA = "application/problem+json"
DOCS = "/docs/errors"

CHALLENGES = ('Bearer realm="yurt"', 'Basic realm="yurt", charset="UTF-8"')
"""Of `WWW-Authenticate`: both forms in which a token is taken."""

_RETRY_AFTER_S = {429: 1, 503: 2}
"""Where an error does not say itself: a queue of fast functions drains within a second, a store needs a little more."""


class MethodNotAllowed(YurtError):
    """The path is one of ours, the method is not."""

    code = "method_not_allowed"
    title = "No such method here"


class RequestTimeout(YurtError):
    """The body stopped coming."""

    code = "request_timeout"
    title = "The body did not arrive in time"
    retryable = True


class Internal(YurtError):
    """A fault of the server; its text goes to the log alone."""

    code = "internal_error"
    title = "A fault of the server"


@dataclass(frozen=True, slots=True)
class Entry:
    """One error for its readers.

    Args:
        kind: the error's class; its code, title and `retryable` are the entry's.
        status: of the answer.
        meaning: when it is given, in Markdown.
        remedy: what to do, in Markdown.
        codes: narrower codes that it can bear, each with its meaning.
    """

    kind: type[YurtError]
    status: int
    meaning: str
    remedy: str
    codes: Mapping[str, str]


def _entry(
    kind: type[YurtError], status: int, meaning: str, remedy: str, codes: Mapping[str, str] | None = None
) -> Entry:
    return Entry(kind, status, meaning, remedy, codes or {})


CATALOGUE: tuple[Entry, ...] = (
    _entry(
        errors.Malformed,
        400,
        "The request is not what the operation can read: the body is empty, no JSON, or not UTF-8; a header is broken.",
        "`detail` says where reading stopped. Send JSON in UTF-8.",
    ),
    _entry(
        errors.Unauthenticated,
        401,
        "No credentials came, or they do not fit a live token. Which of the two parts is wrong is not told.",
        "Send `Authorization: Bearer <token_id>:<token_secret>`. The same pair works as Basic, and as the single word "
        "`yurt_<token_id>_<token_secret>` after `Bearer`. The first token lies in `<data-dir>/admin-token`.",
    ),
    _entry(
        errors.Forbidden,
        403,
        "The token is known and lacks the right: each operation says which role it needs.",
        "Use a token of the role that `detail` names, or ask an administrator for one.",
    ),
    _entry(
        errors.NotFound,
        404,
        "There is nothing at that path, no such thing, or it is in an environment that the token may not see.",
        "Check the name and the environment. By name only live apps and functions are found.",
        {
            "environment_not_found": "The environment is not there. Environments are made explicitly, never by a typo.",
            "cursor_not_found": "The cursor is not one of this list. Send cursors as they came, to the same list.",
        },
    ),
    _entry(
        MethodNotAllowed,
        405,
        "The path exists and does not take this method.",
        "The header `Allow` lists the methods that it takes.",
    ),
    _entry(
        errors.NotAcceptable,
        406,
        "What there is to answer does not fit the form that was asked for.",
        "Ask for the form that `detail` names, by the header `Accept`.",
        {"list_too_large": "The call was a generator's, and its items are more than a JSON list may have."},
    ),
    _entry(
        RequestTimeout,
        408,
        "The body stopped coming for 60 seconds.",
        "Send the request again.",
    ),
    _entry(
        errors.AlreadyExists,
        409,
        "The name is taken by something live.",
        "Use the one that `detail` names, replace it, or choose another name.",
    ),
    _entry(
        errors.AppStopped,
        409,
        "The app or the function that was addressed by id is stopped or deleted.",
        "Deploy it again, and address it by name (`app:function`), so that callers need not learn a new id.",
    ),
    _entry(
        errors.NotCallable,
        409,
        "The function answers HTTP by itself; it has no calls.",
        "Send a request to its `web_url`.",
    ),
    _entry(
        errors.NotEphemeral,
        409,
        "A deployed app was to be renewed, which lives until it is stopped.",
        "Nothing: it needs no renewal.",
    ),
    _entry(
        errors.NotCancellable,
        409,
        "The call has already ended, and not by a cancel.",
        "Nothing: read its outcome.",
    ),
    _entry(
        errors.NotRedrivable,
        409,
        "Only a call that failed or was cancelled is repeated; this one has not ended, or succeeded.",
        "Wait for its end, or make a new call.",
    ),
    _entry(
        errors.InUse,
        409,
        "It cannot go while something else needs it.",
        "`detail` names what needs it; end that first.",
    ),
    _entry(
        errors.TooLate,
        409,
        "A time that must lie ahead, such as the end of a new token, has passed.",
        "Send a later one; compare your clock with the header `Date`.",
    ),
    _entry(
        errors.CallExpired,
        410,
        "The call was there, and its results were kept as long as promised.",
        "Fetch results within the time they are kept (seven days unless set otherwise).",
    ),
    _entry(
        errors.RevisionMoved,
        412,
        "`If-Match` names an older revision: somebody changed the function meanwhile.",
        "Read it again, decide again, and send the new `ETag`.",
    ),
    _entry(
        errors.TooLarge,
        413,
        "The body, or a part of it, is above its limit. It was refused before it was read into memory.",
        "Send less, or pass large data by reference.",
    ),
    _entry(
        errors.UnsupportedMediaType,
        415,
        "The body has another `Content-Type` than the operation takes.",
        "Send JSON: `curl --json '{}'`, or `-H 'Content-Type: application/json'`.",
    ),
    _entry(
        errors.Invalid,
        422,
        "The request was read and breaks rules. `errors` names every field at once, by JSON pointer (`/gpu`), `?name` "
        "for a query parameter, `{name}` for a part of the path.",
        "Correct the fields named.",
    ),
    _entry(
        errors.NotSupported,
        422,
        "The key or value is known and not supported by this server. It is never ignored silently.",
        "Leave it out, or give it its default.",
    ),
    _entry(
        errors.TooManyPending,
        429,
        "The function has as many pending inputs, or waiting callers, as it may.",
        "Come again after `Retry-After` seconds; raise `max_containers` if the backlog stays.",
        {
            "too_many_parameter_sets": "Inputs wait, or containers live, for 10,000 combinations of a class's "
            "parameters. Use those, or come again once some have scaled down."
        },
    ),
    _entry(
        Internal,
        500,
        "Something is wrong with the server. The answer carries no details; the log does, under the same request id.",
        "Tell the operator the `request_id`.",
    ),
    _entry(
        errors.Unavailable,
        503,
        "The server cannot do it now: it starts or shuts down, or its store is away.",
        "Come again after `Retry-After` seconds. A call whose acceptance was under way may have been taken: with an "
        "`Idempotency-Key` the repeat finds it; without one `retryable` is false.",
        {"too_much_at_once": "So many large bodies are on their way that the memory kept for them is full."},
    ),
)
"""Every error that the REST door gives, by status."""

STATUS: Mapping[type[YurtError], int] = {entry.kind: entry.status for entry in CATALOGUE}

_ANCHORS = {entry.kind.code for entry in CATALOGUE} | {code for entry in CATALOGUE for code in entry.codes}


def status_of(error: YurtError) -> int:
    """The status of an error: that of its class, or of the nearest class above that has one."""
    return next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), 500)


def problem(error: YurtError, *, instance: str, request_id: str) -> web.Response:
    """The answer for an error.

    Args:
        error: what went wrong.
        instance: the request's path.
        request_id: of the request; the answer's header is set elsewhere.
    """
    status = status_of(error)
    out = web.Response(status=status, body=encode(_members(error, status, instance, request_id)))
    out.headers["Content-Type"] = MEDIA
    retry_after_s = error.retry_after_s if error.retry_after_s is not None else _RETRY_AFTER_S.get(status)
    if retry_after_s is not None:
        out.headers["Retry-After"] = str(retry_after_s)
    if status == 401:
        for challenge in CHALLENGES:
            out.headers.add("WWW-Authenticate", challenge)
    return out


def _members(error: YurtError, status: int, instance: str, request_id: str) -> dict[str, Any]:
    anchor = error.reason if error.reason in _ANCHORS else error.code
    members: dict[str, Any] = {
        "type": f"{DOCS}#{anchor}",
        "title": error.title,
        "status": status,
        "detail": error.detail,
        "instance": instance,
        "code": error.reason,
        "request_id": request_id,
        "retryable": error.retryable,
    }
    if error.errors:
        members["errors"] = [_field(found) for found in error.errors]
    return members | error.extra


def _field(found: FieldError) -> dict[str, str]:
    return {"pointer": found.pointer, "message": found.message, "code": found.code}
