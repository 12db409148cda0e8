"""A small client of the REST API, as far as the commands need it."""

import json
import os
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import aiohttp

from yurt import __version__
from yurt.cli.failures import CommandError, Refused, Unreachable
from yurt.cli.target import Target

CONNECT_S = 10
ANSWER_S = 60
"""How long an ordinary answer may take."""
SILENCE_S = 60
"""How long a stream may be silent; the server sends a sign of life every 15 s."""

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer with a status below 400; `body` is its JSON, or None where it has none."""

    status: int
    headers: Mapping[str, str]
    body: Any


@dataclass(frozen=True, slots=True)
class Event:
    """One server-sent event."""

    id: str
    name: str
    data: Any


def function_path(address: str) -> str:
    """The path of a function, by its id or as `app:function`."""
    return f"/functions/{quote(address, safe=':')}"


def app_path(app: str) -> str:
    """The path of an app, by its id or its name."""
    return f"/apps/{quote(app, safe='')}"


def call_path(call_id: str) -> str:
    """The path of a call."""
    return f"/function-calls/{quote(call_id, safe='')}"


def container_path(container_id: str) -> str:
    """The path of a container."""
    return f"/containers/{quote(container_id, safe='')}"


class Client:
    """One server, seen by one token. Use it with `async with`.

    Every method raises `Unreachable` where no answer comes and `Refused` where the answer is an error.
    """

    def __init__(self, target: Target) -> None:
        self.target = target
        self._session = aiohttp.ClientSession(
            headers={"Authorization": f"Bearer {target.token}", "User-Agent": f"yurt/{__version__}"},
            json_serialize=lambda value: json.dumps(value, ensure_ascii=False),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    @property
    def scope(self) -> dict[str, str]:
        """The query parameter that says in which environment names are looked up; none leaves it to the token."""
        return {"environment": self.target.environment} if self.target.environment else {}

    async def send(
        self,
        method: str,
        path: str,
        *,
        body: object = None,
        data: bytes | None = None,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float | None = ANSWER_S,
    ) -> Reply:
        """Send one request and read the whole answer.

        Args:
            method: of HTTP.
            path: below `/v1`, already quoted.
            body: sent as JSON unless it is None.
            data: sent as it is.
            query: parameters of the address.
            headers: beside those of every request.
            timeout_s: how long the whole exchange may take; None for as long as it needs.
        """
        content: dict[str, Any] = {"json": body} if body is not None else {"data": data}
        timeout = aiohttp.ClientTimeout(total=timeout_s, sock_connect=CONNECT_S)
        async with self._request(method, path, query or {}, headers=headers, timeout=timeout, **content) as response:
            answer = await response.read()
            body = _decode(answer, response) if answer.strip() else None
            return Reply(response.status, response.headers, body)

    async def get(self, path: str, **query: str) -> Any:
        """The JSON under a path."""
        return (await self.send("GET", path, query=query)).body

    async def items(self, path: str, **query: str) -> AsyncGenerator[Json, None]:
        """Every item of a list, page after page."""
        while True:
            page = await self.get(path, **query)
            for item in page["data"]:
                yield item
            if "next_cursor" not in page:
                return
            query["cursor"] = page["next_cursor"]

    async def lines(self, path: str, **query: str) -> AsyncGenerator[Json, None]:
        """The JSON lines of a stream, as they come, until it ends."""
        headers = {"Accept": "application/x-ndjson"}
        async with self._stream(path, query, headers) as response:
            async for line in _json_lines(response):
                yield line

    @asynccontextmanager
    async def exchange(
        self, path: str, chunks: AsyncIterator[bytes], query: Mapping[str, str]
    ) -> AsyncIterator[tuple[Mapping[str, str], AsyncIterator[Json]]]:
        """Send JSON lines while those of the answer come: its headers, and its lines until it ends."""
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S)
        headers = {"Content-Type": "application/x-ndjson"}
        async with self._request("POST", path, query, headers=headers, timeout=timeout, data=chunks) as response:
            yield response.headers, _json_lines(response)

    @asynccontextmanager
    async def invocation(
        self, path: str, body: Json, query: Mapping[str, str], headers: Mapping[str, str]
    ) -> AsyncIterator[tuple[Reply, AsyncIterator[Json]]]:
        """Call a function: the answer, and where that is a stream its lines instead of a body."""
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=SILENCE_S)
        headers = {"Accept": "application/x-ndjson, application/json;q=0.5", **headers}
        async with self._request("POST", path, query, headers=headers, timeout=timeout, json=body) as response:
            streams = response.content_type == "application/x-ndjson"
            answer = None if streams else _decode(await response.read(), response)
            yield Reply(response.status, response.headers, answer), _json_lines(response)

    async def events(self, path: str, *, last_id: str = "") -> AsyncGenerator[Event, None]:
        """The events of a stream, after the one with `last_id`, until it ends."""
        headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": last_id} if last_id else {})
        async with self._stream(path, {}, headers) as response:
            fields: dict[str, str] = {}
            async for raw in _split_lines(response):
                line = raw.decode()
                if line:
                    key, _, value = line.partition(":")
                    fields[key] = value.removeprefix(" ")
                elif "data" in fields:
                    yield Event(fields.get("id", ""), fields.get("event", "message"), json.loads(fields["data"]))
                    fields = {}

    @asynccontextmanager
    async def _stream(
        self, path: str, query: Mapping[str, str], headers: Mapping[str, str]
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=SILENCE_S)
        async with self._request("GET", path, query, headers=headers, timeout=timeout) as response:
            yield response

    @asynccontextmanager
    async def _request(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        **options: Any,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        url = f"{self.target.url}/v1{path}"
        try:
            async with self._session.request(method, url, params=query, allow_redirects=False, **options) as response:
                if response.status >= 300:
                    raise Refused(response.status, await _problem(response))
                yield response
        except aiohttp.ClientConnectorError as error:
            raise Unreachable(self.target.url, _why(error.os_error)) from error
        except aiohttp.ClientError as error:
            raise Unreachable(self.target.url, str(error) or type(error).__name__) from error
        except TimeoutError as error:
            raise Unreachable(self.target.url, "the answer took too long") from error


def _why(error: OSError) -> str:
    """Why there is no connection, in the system's words."""
    number = error.errno or 0  # below 0 for what the look-up of names reports
    return os.strerror(number) if number > 0 else error.strerror or str(error)


async def _problem(response: aiohttp.ClientResponse) -> Json:
    """The problem document of an answer, or what can be said where it has none (a proxy's page, a HEAD)."""
    content = await response.read()
    if content and response.content_type == "application/problem+json":
        problem = _decode(content, response)
        if isinstance(problem, dict):
            return problem
    return {"detail": f"{response.url.path} was answered with {response.status} {response.reason}"}


def _decode(content: bytes, response: aiohttp.ClientResponse) -> Any:
    """The JSON of an answer."""
    try:
        return json.loads(content)
    except ValueError as error:
        raise CommandError(
            f"{response.url} was answered with something that is no JSON ({response.content_type})",
            "Is this the address of a Yurt server? See --url and YURT_URL.",
        ) from error


async def _json_lines(response: aiohttp.ClientResponse) -> AsyncIterator[Json]:
    async for line in _split_lines(response):
        if line.strip():
            yield json.loads(line)


async def _split_lines(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """Lines of any length; the reader's own `readline` has a limit, and a result has none."""
    parts: list[bytes] = []
    async for chunk in response.content.iter_any():
        *whole, rest = chunk.split(b"\n")
        for line in whole:
            yield b"".join([*parts, line]).removesuffix(b"\r")
            parts = []
        parts.append(rest)
    if any(parts):
        yield b"".join(parts)
