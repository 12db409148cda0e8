"""Every error that a caller can see, in one tree.

    YurtError
    ├── Malformed                 the request cannot be read
    │   └── UnsupportedMediaType
    ├── Invalid                   it was read, and breaks a rule (one FieldError each)
    │   └── NotSupported          what this server knows of, and cannot do as it runs
    ├── Unauthenticated, Forbidden
    ├── NotFound, CallExpired
    ├── AlreadyExists, RevisionMoved, AppStopped, NotCallable, NotEphemeral, NotCancellable, NotRedrivable, InUse
    ├── TooLate
    ├── NotAcceptable             the answer does not fit the form that was asked for
    ├── TooLarge, TooManyPending
    └── Unavailable               store away, or shutting down

The REST door maps them to statuses in one table (`yurt.inbound.rest.problems`); nothing else knows about HTTP.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class FieldError:
    """What is wrong with one field.

    Args:
        pointer: where, as an RFC 6901 JSON pointer into the body (`/gpu`), or `?name` for a query parameter.
        message: what is wrong and what would be right.
        code: `not_supported`, `unknown_key`, or `invalid`.
    """

    pointer: str
    message: str
    code: str = "invalid"


class YurtError(Exception):
    """Base of all errors that reach a caller.

    Args:
        detail: what happened, to which thing, and what to do: one or two sentences that leak nothing internal.
        code: a narrower machine-readable code than the class's own, if there is one.
        errors: the fields at fault.
        extra: further members of the answer, by name.
        retry_after_s: when to come again, in seconds.
    """

    code: ClassVar[str] = "error"
    title: ClassVar[str] = "Error"
    retryable: ClassVar[bool] = False

    def __init__(
        self,
        detail: str,
        *,
        code: str | None = None,
        errors: Sequence[FieldError] = (),
        extra: Mapping[str, object] | None = None,
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.reason = code or self.code
        self.errors = tuple(errors)
        self.extra = dict(extra or {})
        self.retry_after_s = retry_after_s


class Malformed(YurtError):
    """The request is not what the operation can read: no JSON, a broken header, an unreadable cursor."""

    code = "malformed"
    title = "The request cannot be read"


class UnsupportedMediaType(Malformed):
    """The body has another content type than the operation takes."""

    code = "unsupported_media_type"
    title = "Unsupported content type"


class Invalid(YurtError):
    """The request was read and breaks a rule; `errors` names every field at once."""

    code = "invalid"
    title = "Some values are not valid"


class NotSupported(Invalid):
    """A key or value that this server knows of and does not support; it is never silently ignored."""

    code = "not_supported"
    title = "Not supported by this server"


class Unauthenticated(YurtError):
    """No credentials, or wrong ones."""

    code = "unauthenticated"
    title = "Credentials are missing or wrong"


class Forbidden(YurtError):
    """Known, but without that right."""

    code = "forbidden"
    title = "The token does not allow this"


class NotFound(YurtError):
    """There is no such thing, or the caller may not know of it."""

    code = "not_found"
    title = "Not found"


class NotAcceptable(YurtError):
    """What there is to answer does not fit the form that was asked for; the error names one that it fits."""

    code = "not_acceptable"
    title = "Not in that form"


class CallExpired(YurtError):
    """The call is known to have been, and its results were kept as long as promised."""

    code = "call_expired"
    title = "The call's results are no longer kept"


class AlreadyExists(YurtError):
    """The name is taken."""

    code = "already_exists"
    title = "The name is taken"


class RevisionMoved(YurtError):
    """It changed since the caller looked (`If-Match`)."""

    code = "revision_moved"
    title = "It was changed meanwhile"


class AppStopped(YurtError):
    """The app, or the function, was stopped or deleted."""

    code = "app_stopped"
    title = "The app is stopped"


class NotCallable(YurtError):
    """The function answers HTTP by itself: calls are not what it takes."""

    code = "not_callable"
    title = "The function answers HTTP"


class NotEphemeral(YurtError):
    """The app lives until it is stopped: there is nothing to renew."""

    code = "not_ephemeral"
    title = "The app is not ephemeral"


class NotCancellable(YurtError):
    """The call has already ended otherwise."""

    code = "not_cancellable"
    title = "The call has already ended"


class NotRedrivable(YurtError):
    """The call has not failed, so that there is nothing to repeat."""

    code = "not_redrivable"
    title = "The call has not failed"


class InUse(YurtError):
    """It cannot go while others use it."""

    code = "in_use"
    title = "Still in use"


class TooLate(YurtError):
    """A time that must lie ahead has passed."""

    code = "too_late"
    title = "That time has passed"


class TooLarge(YurtError):
    """The body, or a part of it, is above its limit."""

    code = "too_large"
    title = "Too large"


class TooManyPending(YurtError):
    """The queue of the function is full."""

    code = "too_many_pending"
    title = "Too many pending inputs"
    retryable = True


class Unavailable(YurtError):
    """The server cannot do it now: the store is away, or it is shutting down."""

    code = "unavailable"
    title = "Not available now"
    retryable = True
