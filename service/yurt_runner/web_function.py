"""A plain function as an endpoint: query parameters and the members of a JSON body are its arguments."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import json
import traceback
import typing
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Callable, Dict, List, Optional, Tuple
from urllib.parse import parse_qsl

from yurt_runner.load import is_async
from yurt_runner.values import encode

MAX_BODY_BYTES = 64 << 20
"""The largest body: as large as the arguments of a call."""

_JSON = [(b"content-type", b"application/json")]
_TRUE, _FALSE = {"1", "true", "on", "yes"}, {"0", "false", "off", "no"}


class Refused(Exception):
    """The request is not what the function takes.

    Args:
        detail: what the client reads: a sentence, or a list of what is wrong where.
    """

    def __init__(self, status: int, detail: Any, headers: Tuple[Tuple[bytes, bytes], ...] = ()) -> None:
        super().__init__(status)
        self.status = status
        self.detail = detail
        self.headers = list(headers)


class Wrong(Exception):
    """A value does not fit its parameter."""


def endpoint(function: Callable[..., Any], method: str, threads: int) -> Any:
    """The ASGI app around a function.

    Args:
        method: the one that it answers to; with GET also HEAD.
        threads: plain functions run in so many; coroutine functions on the loop.
    """
    takes = Takes(function)
    pool = None if is_async(function) else ThreadPoolExecutor(threads, thread_name_prefix="yurt-endpoint")
    allowed = {"GET", "HEAD"} if method == "GET" else {method}

    async def run(scope: Dict[str, Any], receive: Any) -> Any:
        if scope["path"][len(scope["root_path"]) :] not in {"", "/"}:
            raise Refused(404, "Not Found")
        if scope["method"] not in allowed:
            raise Refused(405, "Method Not Allowed", ((b"allow", ", ".join(sorted(allowed)).encode()),))
        arguments = takes.arguments(scope["query_string"].decode("latin-1"), await _body(receive))
        if pool is None:
            return await function(**arguments)
        work = partial(contextvars.copy_context().run, function, **arguments)
        return await asyncio.get_running_loop().run_in_executor(pool, work)

    async def app(scope: Dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await send({"type": "websocket.close"})
            return
        try:
            result = await run(scope, receive)
            if callable(result) and hasattr(result, "status_code"):  # a response of Starlette or FastAPI
                await result(scope, receive, send)
                return
            status, headers, body = 200, _JSON, encode(result)
        except Refused as refused:
            status, headers = refused.status, [*_JSON, *refused.headers]
            body = json.dumps({"detail": refused.detail}).encode()
        except Exception as error:  # noqa: BLE001 - whatever the function raises is its answer, and is not shown
            status, headers, body = _answer_of(error)
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return app


def _answer_of(error: Exception) -> Tuple[int, List[Tuple[bytes, bytes]], bytes]:
    """What a client sees of an exception: an HTTPException of Starlette or FastAPI speaks for itself."""
    status, detail = getattr(error, "status_code", None), getattr(error, "detail", None)
    if isinstance(status, int) and 400 <= status < 600:
        more = [
            (str(n).encode("latin-1"), str(v).encode("latin-1"))
            for n, v in (getattr(error, "headers", None) or {}).items()
        ]
        return status, [*_JSON, *more], json.dumps({"detail": detail}, default=str).encode()
    traceback.print_exc()
    return 500, _JSON, b'{"detail": "Internal Server Error"}'


async def _body(receive: Any) -> bytes:
    parts, size, more = [], 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Refused(400, "The body did not come.")
        part = message.get("body", b"")
        size += len(part)
        if size > MAX_BODY_BYTES:
            raise Refused(413, f"The body is larger than {MAX_BODY_BYTES} bytes.")
        parts.append(part)
        more = message.get("more_body", False)
    return b"".join(parts)


class Takes:
    """What a function takes, by its signature."""

    def __init__(self, function: Callable[..., Any]) -> None:
        parameters = list(inspect.signature(function).parameters.values())
        try:
            hints = typing.get_type_hints(function)
        except Exception:  # noqa: BLE001 - annotations are any code; those that cannot be had convert nothing
            hints = {}
        named = [one for one in parameters if one.kind not in {one.VAR_POSITIONAL, one.VAR_KEYWORD}]
        self._open = any(one.kind is one.VAR_KEYWORD for one in parameters)
        self._hints = {one.name: hints.get(one.name, Any) for one in named}
        self._required = [one.name for one in named if one.default is one.empty]
        self._whole = [name for name, hint in self._hints.items() if _takes_object(hint)]

    def arguments(self, query: str, body: bytes) -> Dict[str, Any]:
        """The arguments of one request.

        Raises:
            Refused: they do not fit; every wrong one is named.
        """
        errors: List[Dict[str, Any]] = []
        found = self._of_query(query, errors)
        if body:
            self._of_body(body, found, errors)
        for name in self._required:
            if name not in found and not any(error["loc"][-1] == name for error in errors):
                errors.append({"loc": ["body" if name in self._whole else "query", name], "msg": "is missing"})
        if errors:
            raise Refused(422, errors)
        return found

    def _of_query(self, query: str, errors: List[Dict[str, Any]]) -> Dict[str, Any]:
        given: Dict[str, List[str]] = {}
        for name, value in parse_qsl(query, keep_blank_values=True):
            given.setdefault(name, []).append(value)
        found = {}
        for name, values in given.items():
            if self._known(name, "query", errors):
                try:
                    found[name] = read_text(values, self._hints.get(name, Any))
                except Wrong as wrong:
                    errors.append({"loc": ["query", name], "msg": str(wrong)})
        return found

    def _of_body(self, body: bytes, found: Dict[str, Any], errors: List[Dict[str, Any]]) -> None:
        try:
            value = json.loads(body)
        except (ValueError, RecursionError):
            errors.append({"loc": ["body"], "msg": "is not JSON"})
            return
        free = [name for name in self._hints if name not in found]
        whole = [name for name in self._whole if name in free]
        if len(whole) == 1 and not (isinstance(value, dict) and whole[0] in value):
            value = {whole[0]: value}
        elif not isinstance(value, dict):
            if len(free) != 1:
                errors.append({"loc": ["body"], "msg": "must be an object, whose members are the arguments"})
                return
            value = {free[0]: value}
        for name, member in value.items():
            if self._known(name, "body", errors):
                try:
                    found[name] = read_json(member, self._hints.get(name, Any))
                except Wrong as wrong:
                    errors.append({"loc": ["body", name], "msg": str(wrong)})

    def _known(self, name: str, place: str, errors: List[Dict[str, Any]]) -> bool:
        known = name in self._hints or self._open
        if not known:
            errors.append(
                {"loc": [place, name], "msg": f"is none of the arguments: {', '.join(self._hints) or 'none'}"}
            )
        return known


def _takes_object(hint: Any) -> bool:
    """Whether a parameter stands for a whole JSON object."""
    hint = _plain(hint)
    return hint is dict or typing.get_origin(hint) is dict or hasattr(hint, "model_validate")


def _plain(hint: Any) -> Any:
    """`Optional[X]` as X."""
    arguments = [one for one in typing.get_args(hint) if one is not type(None)]
    is_optional = len(arguments) == 1 and type(None) in typing.get_args(hint)
    return arguments[0] if is_optional else hint


def read_text(values: List[str], hint: Any) -> Any:
    """A query parameter, given once or several times, as its annotation wants it.

    Raises:
        Wrong: it does not fit.
    """
    hint = _plain(hint)
    if hint is list or typing.get_origin(hint) is list:
        inner = (typing.get_args(hint) or (str,))[0]
        return [read_text([value], inner) for value in values]
    text = values[-1]
    if hint is bool:
        if text.lower() not in _TRUE | _FALSE:
            raise Wrong("must be true or false")
        return text.lower() in _TRUE
    if hint in {int, float}:
        try:
            return hint(text)
        except ValueError:
            raise Wrong("must be a whole number" if hint is int else "must be a number") from None
    return text


def read_json(value: Any, hint: Any) -> Any:
    """A member of the body, as its annotation wants it.

    Raises:
        Wrong: it does not fit.
    """
    if value is None and type(None) in typing.get_args(hint):
        return None
    hint = _plain(hint)
    validate: Optional[Callable[[Any], Any]] = getattr(hint, "model_validate", None)
    if validate is not None:
        try:
            return validate(value)
        except ValueError as error:
            raise Wrong(str(error)) from None
    if hint is float and type(value) is int:
        return float(value)
    words = {
        int: "a whole number",
        float: "a number",
        str: "a string",
        bool: "true or false",
        dict: "an object",
        list: "a list",
    }
    wanted = typing.get_origin(hint) or hint
    if wanted in words and type(value) is not wanted:
        raise Wrong(f"must be {words[wanted]}")
    return value
