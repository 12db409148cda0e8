"""Everything that the frame itself refuses, and how it answers, over HTTP."""

import asyncio
import json
from email.utils import parsedate_to_datetime
from typing import Annotated, Any, Literal

import pytest
import structlog
from aiohttp import web
from pydantic import Field

from tests.component.rest.conftest import Answered, Door, MakeDoor
from yurt.domain.errors import RevisionMoved, TooManyPending
from yurt.domain.records import Role
from yurt.inbound.rest import bodies
from yurt.inbound.rest.answers import PromptAnswer, json_answer, sign
from yurt.inbound.rest.context import Context
from yurt.inbound.rest.models import Body, Query
from yurt.inbound.rest.operations import Answer, BinaryBody, JsonBody, Operation, RawJsonBody, Upload
from yurt.inbound.rest.problems import MEDIA
from yurt.inbound.rest.readiness import Health, Phase

EMPTY = "Send {} to call without arguments."
JSON = {"Content-Type": "application/json"}


class Inner(Body):
    """An object inside another."""

    wait_ms: int = Field(default=0, ge=0)


class Definition(Body):
    """A body with a little of everything."""

    count: int = Field(default=0, ge=0, le=10)
    share: float = 0.5
    gpu: Literal["H100", "A10"] = "A10"
    inner: Inner = Inner()
    tags: dict[str, Annotated[str, Field(max_length=3)]] = {}


class Filter(Query):
    """Parameters of every kind."""

    limit: int = Field(default=5, ge=1, le=10)
    share: float = 0.5
    dry_run: bool = False
    status: list[Literal["pending", "running"]] = []
    state: Literal["live", "stopped"] | None = None
    metadata: dict[str, str] = {}


async def _echo(ctx: Context[None, Definition]) -> web.StreamResponse:
    return json_answer(200, ctx.body)


async def _filter(ctx: Context[Filter, None]) -> web.StreamResponse:
    return json_answer(200, ctx.query)


async def _raw(ctx: Context[None, bytes | Upload]) -> web.StreamResponse:
    if not isinstance(ctx.body, bytes):
        return json_answer(200, {"size": sum([len(chunk) async for chunk in ctx.body.chunks()])})
    return json_answer(200, {"size": len(ctx.body)})


async def _upload(ctx: Context[None, Upload]) -> web.StreamResponse:
    return json_answer(200, {"size": sum([len(chunk) async for chunk in ctx.body.chunks()])})


async def _fail(ctx: Context[None, None]) -> web.StreamResponse:
    raise RuntimeError("the password is hunter2")


async def _stream_and_fail(ctx: Context[None, None]) -> web.StreamResponse:
    response = web.StreamResponse()
    response.enable_chunked_encoding()
    await response.prepare(ctx.request)
    await response.write(b"[1")
    raise RuntimeError("half-way")


async def _stream(ctx: Context[None, None]) -> web.StreamResponse:
    response = web.StreamResponse()
    sign(response, ctx.request_id)
    await response.prepare(ctx.request)
    await response.write(b"[1]")
    return response


async def _prompt(ctx: Context[None, bytes]) -> web.StreamResponse:
    return PromptAnswer(202, ctx.body, {"Location": "/there"})


async def _busy(ctx: Context[None, None]) -> web.StreamResponse:
    raise TooManyPending("5 inputs are pending.", retry_after_s=3)


async def _moved(ctx: Context[None, None]) -> web.StreamResponse:
    raise RevisionMoved("It is at 4.")


def _row(method: str, path: str, handler: Any, **more: Any) -> Operation:
    return Operation(
        method=method,
        path=path,
        operation_id=path.strip("/").replace("/", "_") + method,
        tag="Test",
        summary="",
        role=more.pop("role", Role.READ),
        handler=handler,
        answers=(Answer(200, ""),),
        **more,
    )


ROWS = (
    _row("POST", "/echo", _echo, body=JsonBody(Definition, empty=EMPTY)),
    _row("POST", "/optional", _echo, body=JsonBody(Definition, optional=True)),
    _row("GET", "/filter", _filter, query=Filter),
    _row("POST", "/raw", _raw, body=RawJsonBody({}, empty=EMPTY, more={"application/x-ndjson": {"type": "string"}})),
    _row("PUT", "/upload", _upload, body=BinaryBody("application/zip", "Send a zip archive.", limit_bytes=1000)),
    _row("GET", "/fail", _fail),
    _row("POST", "/prompt", _prompt, body=RawJsonBody({}, empty=EMPTY)),
    _row("GET", "/stream", _stream),
    _row("GET", "/stream-and-fail", _stream_and_fail),
    _row("GET", "/busy", _busy),
    _row("GET", "/moved", _moved),
    _row("GET", "/open", _fail, role=None),
    _row("GET", "/calls/{call_id}", _fail),
)


@pytest.fixture
async def frame(make_door: MakeDoor) -> Door:
    """A door with operations that do next to nothing, and a small limit on bodies."""
    return await make_door(ROWS, body_limit_bytes=10_000)


def _problem(answer: Answered, status: int, code: str) -> dict[str, Any]:
    """The members of a problem, after a look at what every problem has."""
    assert (answer.status, answer.headers["Content-Type"]) == (status, MEDIA), answer.text
    members = answer.json()
    assert (members["status"], members["code"]) == (status, code)
    assert members["type"] == f"/docs/errors#{code}"
    assert members["request_id"] == answer.headers["X-Request-Id"]
    assert isinstance(members["retryable"], bool)
    assert members["title"]
    assert members["detail"]
    return dict(members)


async def test_no_credentials(frame: Door) -> None:
    async with frame.client.get("/filter") as response:
        answer = Answered(response.status, response.headers, await response.text())

    assert "Authorization: Bearer" in _problem(answer, 401, "unauthenticated")["detail"]


async def test_whoever_opens_the_address_is_sent_to_the_reference(frame: Door) -> None:
    async with frame.client.get("/", allow_redirects=False) as response:
        assert (response.status, response.headers["Location"]) == (302, "/docs")
        assert await response.text() == "The reference is at /docs.\n"


async def test_no_such_path(frame: Door) -> None:
    for path in ("/nothing", "/filter/", "/v1/environments/", "/v1"):
        members = _problem(await frame.ask("GET", path), 404, "not_found")
        assert members["instance"] == path


@pytest.mark.parametrize(
    "request_",
    [
        b"BREW /pot HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/9.9\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nbroken header\r\n\r\n",
        b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: hunter2\r\n\r\n",
        b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1",
    ],
    ids=["method", "version", "header", "line", "length", "tls"],
)
async def test_what_is_not_http(frame: Door, request_: bytes, caplog: pytest.LogCaptureFixture) -> None:
    reader, writer = await asyncio.open_connection(frame.client.host, frame.client.port)
    try:
        writer.write(request_)
        answer = (await reader.read()).decode()
    finally:
        writer.close()
        await writer.wait_closed()

    head, _, body = answer.partition("\r\n\r\n")
    assert head.split()[1] == "400"
    assert f"Content-Type: {MEDIA}" in head
    assert f"X-Request-Id: {json.loads(body)['request_id']}" in head
    assert "hunter2" not in body
    assert not caplog.records


async def test_who_is_answered_before_the_body_came_begins_anew(frame: Door) -> None:
    """What follows the body on the same connection could be for the other door of a shared port."""
    reader, writer = await asyncio.open_connection(frame.client.host, frame.client.port)
    try:
        writer.write(b"POST /raw HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 401 ")
        assert b"\r\nConnection: close\r\n" in head
        writer.write(b"0123456789GET /v1/environments HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"HTTP/1.1" not in await reader.read()
    finally:
        writer.close()
        await writer.wait_closed()


async def test_no_such_method(frame: Door) -> None:
    for method in ("DELETE", "OPTIONS", "TRACE"):
        answer = await frame.ask(method, "/v1/environments")
        assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD")
    _problem(await frame.ask("PATCH", "/filter"), 405, "method_not_allowed")


async def test_a_head_is_the_answer_without_its_body(frame: Door) -> None:
    whole = await frame.ask("GET", "/v1/environments")
    head = await frame.ask("HEAD", "/v1/environments")
    assert (head.status, head.text) == (200, "")
    assert head.headers["Content-Length"] == whole.headers["Content-Length"]
    missing = await frame.ask("HEAD", "/v1/environments/none")
    assert (missing.status, missing.text) == (404, "")


async def test_what_cannot_be_an_id_is_not_found_before_anybody_looks(frame: Door) -> None:
    for path in ("/calls/x", "/calls/fc-%00", "/calls/fc-%ff%0a", "/calls/%2e%2e%2f", "/calls/" + "x" * 5000):
        _problem(await frame.ask("GET", path), 404, "not_found")


async def test_an_answer_in_one_piece_is_as_every_other(frame: Door) -> None:
    for _ in range(2):  # the connection goes on
        answer = await frame.ask("POST", "/prompt", data=b"[1]", headers=JSON)
        assert (answer.status, answer.text, answer.headers["Location"]) == (202, "[1]", "/there")
        usual = await frame.ask("POST", "/raw", data=b"[1]", headers=JSON)
        assert answer.headers.keys() == {*usual.headers.keys(), "Location"}
        for name in ("Content-Type", "Server", "X-Content-Type-Options"):
            assert answer.headers[name] == usual.headers[name]
        assert parsedate_to_datetime(answer.headers["Date"]).tzinfo is not None


@pytest.mark.parametrize(
    ("version", "asked", "said"),
    [("1.1", "close", "close"), ("1.0", "keep-alive", "keep-alive"), ("1.0", "", "close")],
)
async def test_an_answer_in_one_piece_says_whether_the_connection_goes_on(
    frame: Door, version: str, asked: str, said: str
) -> None:
    token = f"{frame.admin.token.id}:{frame.admin.secret}"
    lines = [f"POST /prompt HTTP/{version}", "Host: x", f"Authorization: Bearer {token}", "Content-Length: 3"]
    lines += ["Content-Type: application/json", *([f"Connection: {asked}"] if asked else [])]
    reader, writer = await asyncio.open_connection(frame.client.host, frame.client.port)
    try:
        writer.write(("\r\n".join(lines) + "\r\n\r\n[1]").encode())
        head = await reader.readuntil(b"\r\n\r\n")
        assert f"\r\nConnection: {said}\r\n".encode() in head
        assert await reader.readexactly(3) == b"[1]"
        if said == "close":
            assert await reader.read() == b""
    finally:
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize("path", ["/echo", "/raw"])
async def test_empty_body(frame: Door, path: str) -> None:
    for headers in ({}, JSON):
        answer = await frame.ask("POST", path, headers=headers)
        assert EMPTY in _problem(answer, 400, "malformed")["detail"]


async def test_an_optional_body_may_be_absent(frame: Door) -> None:
    assert (await frame.ask("POST", "/optional")).json()["gpu"] == "A10"


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"nothing",
        b'{"count": NaN}',
        b'{"count": 1} 2',
        b"'",
        b'{"tags": {"a": "\\ud800"}}',
        b'{"count": ' + b"[" * 3000 + b"]" * 3000 + b"}",
        b'{"count": ' + b"9" * 5000 + b"}",
        b" ",
    ],
)
async def test_not_json(frame: Door, body: bytes) -> None:
    members = _problem(await frame.ask("POST", "/echo", data=body, headers=JSON), 400, "malformed")

    assert members["detail"].startswith("The body is ")


async def test_where_json_ends_is_said(frame: Door) -> None:
    answer = await frame.ask("POST", "/echo", data=b'{"count": x}', headers=JSON)

    assert "(byte 10)" in _problem(answer, 400, "malformed")["detail"]


async def test_not_utf8(frame: Door) -> None:
    answer = await frame.ask("POST", "/echo", data=b'{"gpu": "\xff"}', headers=JSON)

    assert "byte 9 is 0xff" in _problem(answer, 400, "malformed")["detail"]


@pytest.mark.parametrize(
    "media",
    ["text/plain", "application/x-www-form-urlencoded", "application/xml", "application/json; charset=latin-1", "%"],
)
async def test_other_content_types(frame: Door, media: str) -> None:
    for path in ("/echo", "/raw"):
        answer = await frame.ask("POST", path, data=b"{}", headers={"Content-Type": media})
        members = _problem(answer, 415, "unsupported_media_type")
        assert "curl --json" in members["detail"] or "UTF-8" in members["detail"]


@pytest.mark.parametrize(
    "media",
    ["application/json; charset=utf-8", "application/json;charset=UTF-8", "Application/JSON", "application/json"],
)
async def test_json_in_any_spelling(frame: Door, media: str) -> None:
    assert (await frame.ask("POST", "/echo", data=b"{}", headers={"Content-Type": media})).status == 200


async def test_every_bad_field_at_once(frame: Door) -> None:
    body = {
        "count": "5",
        "share": True,
        "gpu": "H1OO",
        "inner": {"wait": 1, "wait_ms": -1},
        "tags": {"a/b": "long"},
        "tgas": 1,
    }

    members = _problem(await frame.ask("POST", "/echo", json=body), 422, "invalid")

    found = {error["pointer"]: (error["message"], error["code"]) for error in members["errors"]}
    assert set(found) == {"/count", "/share", "/gpu", "/inner/wait", "/inner/wait_ms", "/tags/a~1b", "/tgas"}
    assert found["/count"] == ('must be a whole number, got "5"', "invalid")
    assert found["/tgas"][1] == "unknown_key"
    assert "Did you mean tags?" in found["/tgas"][0]
    assert "wait_ms" in found["/inner/wait"][0]


@pytest.mark.parametrize("body", ["[]", '"x"', "null", "5"])
async def test_a_body_that_is_no_object(frame: Door, body: str) -> None:
    members = _problem(await frame.ask("POST", "/echo", data=body, headers=JSON), 422, "invalid")

    assert members["errors"][0]["pointer"] == ""


async def test_query_is_read_as_json_is(frame: Door) -> None:
    query = "limit=7&share=0.25&dry_run=true&status=pending&status=running&metadata.user=ann&state=live"

    assert (await frame.ask("GET", f"/filter?{query}")).json() == {
        "limit": 7,
        "share": 0.25,
        "dry_run": True,
        "status": ["pending", "running"],
        "state": "live",
        "metadata": {"user": "ann"},
    }


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("limit=0", "?limit"),
        ("limit=11", "?limit"),
        ("limit=5.0", "?limit"),
        ("limit=%205", "?limit"),
        ("limit=1_0", "?limit"),
        ("limit=", "?limit"),
        ("limit=" + "9" * 4500, "?limit"),
        ("limit=5&limit=5", "?limit"),
        ("share=nan", "?share"),
        ("share=inf", "?share"),
        ("dry_run=yes", "?dry_run"),
        ("dry_run=1", "?dry_run"),
        ("status=pending&status=done", "?status/1"),
        ("state=gone", "?state"),
        ("limt=5", "?limt"),
        ("metadata=x", "?metadata"),
        ("metadata.=x", "?metadata."),
        ("%00=%ff", "?\x00"),
    ],
)
async def test_bad_queries(frame: Door, query: str, pointer: str) -> None:
    members = _problem(await frame.ask("GET", f"/filter?{query}"), 422, "invalid")

    assert [error["pointer"] for error in members["errors"]] == [pointer]


async def test_a_misspelt_parameter_comes_with_the_right_one(frame: Door) -> None:
    members = _problem(await frame.ask("GET", "/filter?limt=5"), 422, "invalid")
    none = _problem(await frame.ask("GET", "/busy?x=1"), 422, "invalid")

    assert "Did you mean limit?" in members["detail"]
    assert "There are none" in none["detail"]


async def test_too_large_by_its_announcement(frame: Door) -> None:
    for method, path, media in (("POST", "/echo", "application/json"), ("PUT", "/upload", "application/zip")):
        data = b" " * 10_001
        _problem(await frame.ask(method, path, data=data, headers={"Content-Type": media}), 413, "too_large")


async def test_too_large_without_an_announcement(frame: Door) -> None:
    async def endless() -> Any:
        for _ in range(200):
            yield b" " * 100
            await asyncio.sleep(0)

    for method, path, media in (("POST", "/raw", "application/json"), ("PUT", "/upload", "application/zip")):
        _problem(await frame.ask(method, path, data=endless(), headers={"Content-Type": media}), 413, "too_large")


async def test_uploads_stream(frame: Door) -> None:
    zip_ = {"Content-Type": "application/zip"}

    assert (await frame.ask("PUT", "/upload", data=b"x" * 1000, headers=zip_)).json() == {"size": 1000}
    _problem(await frame.ask("PUT", "/upload", headers=zip_), 400, "malformed")
    _problem(await frame.ask("PUT", "/upload", data=b"x", headers=JSON), 415, "unsupported_media_type")


async def test_raw_bodies_of_further_types_stream_without_a_limit(frame: Door) -> None:
    lines = {"Content-Type": "application/x-ndjson"}

    answer = await frame.ask("POST", "/raw", data=b"1\n" * 10_000, headers=lines)
    assert answer.json() == {"size": 20_000}


async def test_a_body_that_stalls(frame: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "IDLE_S", 0.01)
    over = asyncio.Event()

    async def stalling() -> Any:
        yield b"{"
        await over.wait()

    asking = asyncio.create_task(frame.ask("POST", "/raw", data=stalling(), headers=JSON))
    answer = await asking
    over.set()

    assert _problem(answer, 408, "request_timeout")["retryable"] is True


async def test_damaged_compression(frame: Door) -> None:
    answer = await frame.ask("POST", "/raw", data=b"not gzip", headers={**JSON, "Content-Encoding": "gzip"})

    assert answer.status == 400


async def test_retry_after(frame: Door) -> None:
    answer = await frame.ask("GET", "/busy")

    assert _problem(answer, 429, "too_many_pending")["retryable"] is True
    assert answer.headers["Retry-After"] == "3"
    _problem(await frame.ask("GET", "/moved"), 412, "revision_moved")


async def test_an_unexpected_exception_is_a_bare_500(frame: Door) -> None:
    for path in ("/fail", "/open"):
        with structlog.testing.capture_logs() as logged:
            answer = await frame.ask("GET", path)

        members = _problem(answer, 500, "internal_error")
        assert "hunter2" not in answer.text
        assert [(entry["event"], entry["request_id"]) for entry in logged] == [
            ("request_failed", members["request_id"])
        ]
        assert "hunter2" in str(logged[0]["exc_info"])


async def test_an_answer_that_has_begun_is_cut_never_ended_cleanly(frame: Door) -> None:
    with pytest.raises(Exception, match=r"(?i)payload|disconnected|reset"):
        await frame.ask("GET", "/stream-and-fail")


async def test_every_answer_bears_its_request_id(frame: Door) -> None:
    seen = set()
    for path in ("/stream", "/filter", "/nothing", "/healthz", "/docs"):
        answer = await frame.ask("GET", path)
        seen.add(answer.headers["X-Request-Id"])
        assert answer.headers["X-Content-Type-Options"] == "nosniff"

    assert len(seen) == 5


async def test_each_request_has_one_line(frame: Door) -> None:
    answer = await frame.ask("GET", "/v1/environments?limit=3")
    failed = await frame.ask("GET", "/nothing%0Ahere")
    await frame.ask("GET", "/healthz")
    while len("".join(frame.log_text).splitlines()) < 2:
        await asyncio.sleep(0.01)

    lines = [json.loads(line) for line in "".join(frame.log_text).splitlines()]
    assert [line["request_id"] for line in lines] == [answer.headers["X-Request-Id"], failed.headers["X-Request-Id"]]
    assert lines[0]["operation"] == "listEnvironments"
    assert lines[0]["token_id"] == frame.admin.token.id
    assert (lines[0]["path"], lines[0]["status"]) == ("/v1/environments", 200)
    assert lines[1]["path"] == "/nothing%0Ahere"


async def test_nothing_new_while_starting_or_stopping(frame: Door) -> None:
    health = frame.services.health
    health.phase = Phase.STARTING
    starting = await frame.ask("GET", "/filter")
    health.phase = Phase.STOPPING
    read, new = await frame.ask("GET", "/filter"), await frame.ask("POST", "/echo", json={})

    assert starting.headers["Retry-After"] == new.headers["Retry-After"] == "2"
    _problem(starting, 503, "unavailable")
    _problem(new, 503, "unavailable")
    assert read.status == 200


async def test_readiness_names_what_fails(frame: Door) -> None:
    ready = await frame.ask("GET", "/readyz")
    frame.store.away = True
    away = await frame.ask("GET", "/readyz")
    frame.store.away = False
    frame.services.health.phase = Phase.STARTING
    starting = await frame.ask("GET", "/readyz")

    assert ready.status == 200
    assert ready.json()["parts"] == {"store": {"ready": True}}
    assert "isolate" in ready.json()["notes"][0]
    assert _problem(away, 503, "unavailable")["parts"]["store"] == {"ready": False, "reason": "It cannot be reached."}
    assert _problem(starting, 503, "unavailable")["phase"] == "starting"
    assert (await frame.ask("GET", "/healthz")).status == 200


async def test_a_server_that_works_says_what_is_the_trouble() -> None:
    troubles: list[str | None] = [None]
    health = Health({}, ("It does not isolate.",), (lambda: troubles[0],))
    assert health.remarks() == ["It does not isolate."]
    troubles[0] = "Consul is away."
    assert health.remarks() == ["It does not isolate.", "Consul is away."]


async def test_metrics_count_requests(frame: Door, make_door: MakeDoor) -> None:
    await frame.ask("GET", "/v1/environments")
    text = (await frame.ask("GET", "/metrics")).text
    async with frame.client.get("/metrics") as closed:
        assert closed.status == 401
    opened = await make_door(open_metrics=True)
    async with opened.client.get("/metrics") as open_:
        assert open_.status == 200

    assert 'yurt_http_requests_total{operation="listEnvironments",status="200"} 1.0' in text
    assert 'yurt_http_request_duration_seconds_count{operation="listEnvironments"} 1.0' in text
    assert "process_resident_memory_bytes" in text


@pytest.mark.parametrize("cursor", ["x", "e30", "WyJ0b2tlbnMiLCJhIl0", "A" * 1000])
async def test_a_cursor_of_another_list(door: Door, cursor: str) -> None:
    answer = await door.ask("GET", "/v1/environments", params={"cursor": cursor})

    assert "next_cursor" in _problem(answer, 404, "cursor_not_found")["detail"]
