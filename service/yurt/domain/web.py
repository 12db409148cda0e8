"""Functions that answer HTTP themselves: their kinds, their keys in a definition, and their labels."""

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain, islice
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from yurt.domain.errors import FieldError
from yurt.domain.naming import MAIN, did_you_mean, pointer
from yurt.domain.validation import broken_rule, type_name

MAX_LABEL_CHARS = 50
"""Below the 63 of a name in the DNS, so that something can be put before it."""

_HASH_CHARS = 6
_KEPT = 4
"""Of so many first candidates each is kept, once it is borne."""

_GIVEN_CHARS = 200
_NOT_OF_LABELS = re.compile(r"[^a-z0-9-]")


class Kind(StrEnum):
    """What an entrypoint is, and so how it is run."""

    FUNCTION = "function"
    CLASS = "class"
    ASGI = "asgi"
    WSGI = "wsgi"
    WEB_SERVER = "web_server"


SERVERS = (Kind.ASGI, Kind.WSGI, Kind.WEB_SERVER)
"""The kinds that are called by HTTP alone. A plain function is, too, where its definition has `web`."""


@dataclass(frozen=True, slots=True)
class Web:
    """How a function answers HTTP.

    Args:
        kind: see `Kind`.
        label: its name in URLs, of letters, digits and dashes.
        method: of a plain function, the one that it answers to.
        port: where a web server of its own listens; None where it is told a port.
        factory: the entrypoint makes the app, and is not the app itself.
        requires_auth: callers need a token with the role `invoke`.
    """

    kind: Kind
    label: str
    method: str | None = None
    port: int | None = None
    factory: bool = False
    requires_auth: bool = False


@dataclass(frozen=True, slots=True)
class WebPlaces:
    """Where functions are reached that answer HTTP.

    Args:
        host: URL with `{label}` in its host, or None.
        path: URL that a label follows, or None.
    """

    host: str | None = None
    path: str | None = None

    def urls(self, label: str) -> tuple[str, ...]:
        """Of one function, the one to show first."""
        by_host = (self.host.format(label=label),) if self.host is not None else ()
        return (*by_host, f"{self.path}{label}/") if self.path is not None else by_host


Method: TypeAlias = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]


def read_kind(value: object) -> object:
    """The kind of a definition, by its name."""
    if isinstance(value, str) and value in tuple(Kind):
        return Kind(value)
    hint = did_you_mean(value, tuple(Kind)) if isinstance(value, str) else ""
    raise broken_rule(f"must be one of {', '.join(Kind)}, got {type_name(value)}.{hint}")


class Endpoint(BaseModel):
    """A plain function that answers HTTP: query parameters and the members of a JSON body are its arguments."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    method: Method = Field("GET", description="The method that it answers to; GET also answers HEAD.")


ENDPOINT_SCHEMA = {"anyOf": [Endpoint.model_json_schema(), {"type": "null"}]}


def _label(text: str) -> str:
    if not re.search(r"[a-z0-9]", text.lower()):
        raise broken_rule("must have a letter or a digit, which names in URLs are made of")
    return text


Port: TypeAlias = Annotated[int, Field(ge=1, le=65_535)]
Label: TypeAlias = Annotated[str, Field(min_length=1, max_length=_GIVEN_CHARS), AfterValidator(_label)]


def is_web(definition: Mapping[str, Any]) -> bool:
    """Whether a definition, as it came, asks for a function that answers HTTP."""
    return definition.get("kind") in SERVERS or isinstance(definition.get("web"), dict)


_REFUSED: Mapping[str, str] = {
    "retries": "the server cannot know whether a request may be made twice; its client retries",
    "batching": "a request is answered by itself",
    "schedule": "a schedule makes calls",
    "single_use_containers": "its containers serve one request after the other",
}
"""Keys that are of functions that are called, and why they are not of those that answer HTTP."""


def web_errors(value: Mapping[str, Any], at: tuple[str | int, ...]) -> Iterator[FieldError]:
    """What is wrong between the keys of a definition, as it came, and its kind."""
    kind = value.get("kind", Kind.FUNCTION)
    if kind not in tuple(Kind):
        return
    for key, owners in _ONLY_OF.items():
        if _asks(value.get(key)) and kind not in owners:
            yield FieldError(pointer(*at, key), f"is a key of {' and '.join(owners)}, and this is of kind {kind}")
    if is_web(value):
        for key, why in _REFUSED.items():
            if _asks(value.get(key)):
                yield FieldError(pointer(*at, key), f"is not for functions that answer HTTP: {why}")
        return
    for key in ("label", "requires_auth"):
        if _asks(value.get(key)):
            kinds = ", ".join(SERVERS)
            yield FieldError(pointer(*at, key), f"is a key of functions that answer HTTP: {kinds}, or one with web")


_ONLY_OF: Mapping[str, tuple[Kind, ...]] = {
    "factory": (Kind.ASGI, Kind.WSGI),
    "port": (Kind.WEB_SERVER,),
    "web": (Kind.FUNCTION,),
}


def _asks(value: object) -> bool:
    """Whether a value asks for something: a policy without retries does not."""
    return bool(value) and not (isinstance(value, dict) and value.get("max_retries") == 0)


def label_of(
    given: str | None,
    *,
    environment: str,
    app: str,
    function: str,
    taken: Callable[[str], bool],
    kept: str | None = None,
) -> str:
    """The label of a function.

    Args:
        given: what its definition says; else it is made of the function's and the app's name, and the environment's
            unless that is `main`.
        taken: whether another function bears a label.
        kept: what it bears already: it stays, also where a better one has become free.
    """
    words = [function, app] if environment == MAIN else [function, app, environment]
    whole = _NOT_OF_LABELS.sub("-", (given or "--".join(words)).lower())
    if whole.startswith("xn--"):  # the mark of names in other scripts, which these letters would not be
        whole = "xn-" + whole[4:]
    fits = len(whole) <= MAX_LABEL_CHARS and _fits(whole)
    candidates = chain((whole,) if fits else (), _cut(whole, f"{environment}/{app}/{function}"))
    free = []
    for label in islice(candidates, _KEPT):
        if label == kept:
            return label
        if not taken(label):
            free.append(label)
    return free[0] if free else next(label for label in candidates if not taken(label))


def _fits(label: str) -> bool:
    """Names in the DNS neither begin nor end with a dash."""
    return label[0] != "-" and label[-1] != "-"


def _cut(whole: str, address: str) -> Iterator[str]:
    """Labels with room for a hash of the function's address, until one is free."""
    stem = whole.strip("-")[: MAX_LABEL_CHARS - _HASH_CHARS - 1].rstrip("-")
    number = 0
    while True:
        mark = hashlib.sha256(f"{address}#{number}".encode() if number else address.encode()).hexdigest()
        yield f"{stem}-{mark[:_HASH_CHARS]}"
        number += 1
