"""What the REST API refuses, and how it says so: every row of the table of errors, and source made to hurt."""

import asyncio
import base64
import hashlib
import io
import json
import stat
import zipfile
from collections.abc import Callable
from typing import Any

import pytest

from tests.acceptance.served import Answer, Served

pytestmark = pytest.mark.asyncio(loop_scope="module")

WORK = {"main.py": "def work(*args):\n    return args\n"}
PLAIN: dict[str, Any] = {"entrypoint": "main:work", "source": {"files": WORK}}
BODY_LIMIT = 64 << 20
BYTES = {"Content-Type": "application/octet-stream"}


def problem(answer: Answer, status: int, code: str) -> Any:
    """The problem in an answer, with what every problem has."""
    assert (answer.status, answer.headers["Content-Type"]) == (status, "application/problem+json"), answer.text
    said = answer.json
    assert (said["status"], said["code"]) == (status, code)
    assert said["type"].startswith("/docs/errors#")
    assert said["request_id"] == answer.headers["X-Request-Id"]
    assert said["detail"]
    return said


async def token(server: Served, role: str, environment: str | None = None) -> dict[str, str]:
    """The headers of a new token."""
    wanted = {"name": role, "role": role} | ({"environment": environment} if environment else {})
    made = (await server.ask("POST", "/v1/tokens", wanted)).json
    return {"Authorization": f"Bearer {made['token_id']}:{made['token_secret']}"}


# ---------------------------------------------------------------------- who asks


@pytest.mark.parametrize("word", ["", "Bearer", "Bearer tk-x:y", "Digest x", "Bearer a b", "Basic !!!", "Bearer ü:ü"])
async def test_wrong_credentials(server: Served, word: str) -> None:
    answer = await server.ask("GET", "/v1/apps", headers={"Authorization": word})
    problem(answer, 401, "unauthenticated")
    assert "Bearer" in answer.headers["WWW-Authenticate"]


async def test_half_right_credentials_tell_nothing(server: Served) -> None:
    token_id = server.token.partition(":")[0]
    wrong = await server.ask("GET", "/v1/apps", headers={"Authorization": f"Bearer {token_id}:nothing"})
    unknown = await server.ask("GET", "/v1/apps", headers={"Authorization": f"Bearer tk-{'0' * 26}:nothing"})
    assert problem(wrong, 401, "unauthenticated")["detail"] == problem(unknown, 401, "unauthenticated")["detail"]


async def test_the_same_token_as_basic_and_as_one_word(server: Served) -> None:
    token_id, _, secret = server.token.partition(":")
    basic = base64.b64encode(server.token.encode()).decode()
    for word in (f"Basic {basic}", f"Bearer yurt_{token_id}_{secret}"):
        assert (await server.ask("GET", "/v1/apps", headers={"Authorization": word})).status == 200


async def test_a_token_without_that_right(server: Served) -> None:
    reader = await token(server, "read")
    said = problem(await server.ask("POST", "/v1/apps", {"name": "mine"}, headers=reader), 403, "forbidden")
    assert "deploy" in said["detail"]


async def test_what_another_environment_has_is_not_found(server: Served) -> None:
    await server.ask("PUT", "/v1/environments/elsewhere")
    await server.deploy("hidden", WORK["main.py"], "work")
    call = await server.call("hidden:work")
    app = (await server.ask("GET", "/v1/apps/hidden")).json["app_id"]
    bound = await token(server, "admin", "elsewhere")
    paths = (f"/v1/apps/{app}", f"/v1/functions/{call['function_id']}", f"/v1/function-calls/{call['call_id']}")
    for path in paths:
        said = problem(await server.ask("GET", path, headers=bound), 404, "not_found")
        assert "hidden" not in said["detail"]


# ---------------------------------------------------------------------- what is sent


async def _post(server: Served, path: str, data: bytes, content_type: str = "application/json") -> Answer:
    return await server.ask("POST", path, data=data, headers={"Content-Type": content_type})


async def test_bodies_that_cannot_be_read(server: Served) -> None:
    await server.deploy("bodies", WORK["main.py"], "work")
    path = "/v1/functions/bodies:work/invocations"
    problem(await _post(server, path, b"{nonsense"), 400, "malformed")
    problem(await _post(server, path, b'{"args": ["\xff"]}'), 400, "malformed")
    assert "Send {} to call without arguments." in problem(await _post(server, path, b""), 400, "malformed")["detail"]
    other = problem(await _post(server, path, b"{}", "text/plain"), 415, "unsupported_media_type")
    assert "Send JSON: add -H 'Content-Type: application/json', or use curl --json." in other["detail"]


async def test_every_wrong_field_is_named_with_the_nearest_right_word(server: Served) -> None:
    await server.ask("POST", "/v1/apps", {"name": "fields"})
    wrong = {**PLAIN, "gpu": "H1OO", "timeout": "5", "memry": 5, "min_containers": 5, "max_containers": 2}
    said = problem(await server.ask("PUT", "/v1/apps/fields/functions/work", wrong), 422, "invalid")
    found = {one["pointer"]: one["message"] for one in said["errors"]}
    assert found.keys() == {"/gpu", "/timeout", "/memry", "/min_containers"}
    assert "Did you mean H100?" in found["/gpu"]
    assert "Did you mean memory?" in found["/memry"]


@pytest.mark.parametrize("metadata", [{"a\0": "b"}, {"a": "\0"}])
async def test_text_that_not_every_store_can_hold(server: Served, metadata: dict[str, str]) -> None:
    await server.deploy("texts", WORK["main.py"], "work")
    call = await server.ask("POST", "/v1/functions/texts:work/spawn", {"metadata": metadata})
    assert [one["pointer"] for one in problem(call, 422, "invalid")["errors"]] == ["/metadata"]
    app = await server.ask("POST", "/v1/apps", {"name": "texts2", "tags": metadata})
    assert "/tags/" in problem(app, 422, "invalid")["errors"][0]["pointer"]
    problem(await server.ask("GET", "/v1/function-calls?metadata.a=%00"), 422, "invalid")


@pytest.mark.parametrize("sent", ["x", "²", "1" * 16, "-1"])
async def test_an_event_id_that_is_none(server: Served, sent: str) -> None:
    await server.deploy("followed", WORK["main.py"], "work")
    call = await server.call("followed:work")
    path = f"/v1/function-calls/{call['call_id']}/events"
    problem(await server.ask("GET", path, headers={"Last-Event-ID": sent}), 422, "invalid")


async def test_paths_and_methods_that_are_none(server: Served) -> None:
    problem(await server.ask("GET", "/v1/nothing"), 404, "not_found")
    answer = await server.ask("PATCH", "/v1/apps")
    problem(answer, 405, "method_not_allowed")
    assert {"GET", "POST"} <= {method.strip() for method in answer.headers["Allow"].split(",")}


async def _only_the_head(server: Served, head: str, body: bytes = b"") -> str:
    """Send the head of a request and never its whole body; what comes back at once."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        lines = f"{head}\r\nHost: yurt\r\nAuthorization: Bearer {server.token}\r\n\r\n"
        writer.write(lines.encode() + body)
        async with asyncio.timeout(60):
            return (await reader.read(65536)).decode()
    finally:
        writer.transport.abort()


@pytest.mark.parametrize(
    ("line", "media"),
    [
        ("POST /v1/functions/a:b/invocations", "application/json"),
        (f"PUT /v1/bundles/{'0' * 64}", "application/octet-stream"),
    ],
)
async def test_a_body_above_the_limit_is_refused_before_it_is_sent(server: Served, line: str, media: str) -> None:
    head = f"{line} HTTP/1.1\r\nContent-Type: {media}\r\nContent-Length: {BODY_LIMIT + 1}"
    answer = await _only_the_head(server, head)
    assert answer.startswith("HTTP/1.1 413 ")
    assert '"code":"too_large"' in answer


async def test_a_body_of_unknown_length_is_refused_at_the_limit(server: Served) -> None:
    head = "POST /v1/functions/a:b/invocations HTTP/1.1\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked"
    answer = await _only_the_head(server, head, b"%x\r\n" % (BODY_LIMIT + 1) + bytes(BODY_LIMIT + 1))
    assert answer.startswith("HTTP/1.1 413 ")
    assert '"code":"too_large"' in answer


# ---------------------------------------------------------------------- what is there


async def test_an_unknown_function_is_looked_for_elsewhere(server: Served) -> None:
    await server.ask("PUT", "/v1/environments/other-place")
    await server.ask("POST", "/v1/apps", {"name": "moved", "environment": "other-place"})
    put = await server.ask("PUT", "/v1/apps/moved/functions/work?environment=other-place", PLAIN)
    assert put.status == 201, put.text
    said = problem(await server.ask("POST", "/v1/functions/moved:work/invocations", {}), 404, "not_found")
    assert "other-place" in said["detail"]


async def test_a_taken_name_names_its_bearer(server: Served) -> None:
    made = (await server.ask("POST", "/v1/apps", {"name": "taken"})).json
    again = await server.ask("POST", "/v1/apps", {"name": "taken"})
    assert problem(again, 409, "already_exists")["app_id"] == made["app_id"]


async def test_changed_under_you(server: Served) -> None:
    await server.deploy("changed", WORK["main.py"], "work")
    path = "/v1/apps/changed/functions/work"
    moved = await server.ask("PUT", path, {**PLAIN, "memory": 64}, headers={"If-Match": '"7"'})
    assert problem(moved, 412, "revision_moved")["revision"] == 1
    assert (await server.ask("PUT", path, {**PLAIN, "memory": 64}, headers={"If-Match": '"1"'})).status == 200


async def test_a_stopped_app(server: Served) -> None:
    await server.deploy("stopped", WORK["main.py"], "work")
    function = (await server.ask("GET", "/v1/functions/stopped:work")).json
    app = f"/v1/apps/{function['app_id']}"
    assert (await server.ask("DELETE", app)).status == 204
    assert (await server.ask("DELETE", app)).status == 204
    by_id = await server.ask("POST", f"/v1/functions/{function['function_id']}/invocations", {})
    problem(by_id, 409, "app_stopped")
    by_name = problem(await server.ask("POST", "/v1/functions/stopped:work/invocations", {}), 404, "not_found")
    assert "was stopped" in by_name["detail"]


async def test_an_app_that_cannot_be_renewed(server: Served) -> None:
    await server.ask("POST", "/v1/apps", {"name": "lasting"})
    problem(await server.ask("POST", "/v1/apps/lasting/renew"), 409, "not_ephemeral")


async def test_one_key_for_two_bodies(server: Served) -> None:
    await server.deploy("keyed", WORK["main.py"], "work")
    path, key = "/v1/functions/keyed:work/invocations", {"Idempotency-Key": "only-once"}
    first = await server.ask("POST", path, {"args": [1]}, headers=key)
    again = await server.ask("POST", path, {"args": [1]}, headers=key)
    assert (again.json["call_id"], again.headers["Idempotency-Replayed"]) == (first.json["call_id"], "true")
    problem(await server.ask("POST", path, {"args": [2]}, headers=key), 422, "idempotency_mismatch")


@pytest.mark.parametrize("key", ["", "a b", "ü", "k" * 256])
async def test_a_key_that_is_none(server: Served, key: str) -> None:
    await server.deploy("keys", WORK["main.py"], "work")
    answer = await server.ask("POST", "/v1/functions/keys:work/spawn", {}, headers={"Idempotency-Key": key})
    problem(answer, 422, "invalid")


# ---------------------------------------------------------------------- source


@pytest.mark.parametrize(
    ("files", "pointer", "said"),
    [
        ({"../main.py": ""}, "/source/files/..~1main.py", '".." is not allowed'),
        ({"a/../../main.py": ""}, "/source/files/a~1..~1..~1main.py", '".." is not allowed'),
        ({"/etc/cron.d/x": ""}, "/source/files/~1etc~1cron.d~1x", "absolute"),
        ({"main.py": "def work(:\n"}, "/source/files/main.py", "main.py:1:"),
        ({"main.py": "def other():\n    pass\n"}, "/entrypoint", "it defines other"),
        ({"main.py": "def work():\n    pass\n", "x": "a" * (1 << 20)}, "/source/files", "at most 1 MiB"),
    ],
)
async def test_inline_source_made_to_hurt(server: Served, files: dict[str, str], pointer: str, said: str) -> None:
    await server.ask("POST", "/v1/apps", {"name": "sources"})
    definition = {"entrypoint": "main:work", "source": {"files": files}}
    body = io.BytesIO(json.dumps(definition).encode())
    answer = await server.ask(
        "PUT", "/v1/apps/sources/functions/work", data=body, headers={"Content-Type": "application/json"}
    )
    found = {one["pointer"]: one["message"] for one in problem(answer, 422, "invalid")["errors"]}
    assert said in found[pointer], found


def _zip(fill: Callable[[zipfile.ZipFile], None]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        fill(archive)
    return packed.getvalue()


def _entry(name: str, data: str | bytes = "", mode: int = stat.S_IFREG | 0o644) -> bytes:
    def fill(archive: zipfile.ZipFile) -> None:
        info = zipfile.ZipInfo(name)
        info.external_attr = mode << 16
        info.compress_type = zipfile.ZIP_DEFLATED
        archive.writestr(info, data)

    return _zip(fill)


def _large() -> bytes:
    def fill(archive: zipfile.ZipFile) -> None:
        for number in range(17):
            archive.writestr(str(number), bytes(32 << 20))

    return _zip(fill)


HURTING: dict[str, tuple[Callable[[], bytes], str]] = {
    "not a zip": (lambda: b"just text", "not a zip archive"),
    "cut": (lambda: _entry("main.py", WORK["main.py"])[:-10], "not a zip archive"),
    "damaged": (lambda: _entry("main.py", "x = 1\n" * 100).replace(b"main.py", b"mine.py", 1), "damaged"),
    "traversal": (lambda: _entry("../../etc/cron.d/x"), '".." is not allowed'),
    "absolute": (lambda: _entry("/etc/passwd"), "absolute"),
    "link": (lambda: _entry("main.py", "/etc/passwd", stat.S_IFLNK | 0o777), "is a link"),
    "device": (lambda: _entry("main.py", "", stat.S_IFCHR | 0o600), "neither"),
    "bomb": (lambda: _entry("main.py", bytes(64 << 20)), "unpacks to"),
    "large when unpacked": (_large, "unpacks to"),
}


@pytest.mark.parametrize("which", HURTING)
async def test_a_bundle_made_to_hurt(server: Served, which: str) -> None:
    make, said = HURTING[which]
    data = await asyncio.to_thread(make)
    path = f"/v1/bundles/{hashlib.sha256(data).hexdigest()}"
    found = problem(await server.ask("PUT", path, data=data, headers=BYTES), 422, "invalid")
    assert said in found["detail"]
    assert (await server.ask("HEAD", path)).status == 404


async def test_a_bundle_under_a_wrong_name(server: Served) -> None:
    data, name = _entry("main.py", WORK["main.py"]), "0" * 64
    said = problem(await server.ask("PUT", f"/v1/bundles/{name}", data=data, headers=BYTES), 422, "invalid")
    assert hashlib.sha256(data).hexdigest() in said["detail"]
    assert (await server.ask("HEAD", f"/v1/bundles/{name}")).status == 404


async def test_a_bundle_with_a_syntax_error_is_refused_by_the_deploy(server: Served) -> None:
    await server.ask("POST", "/v1/apps", {"name": "bundled"})
    data = _entry("main.py", "def work(:\n")
    sha256 = hashlib.sha256(data).hexdigest()
    assert (await server.ask("PUT", f"/v1/bundles/{sha256}", data=data, headers=BYTES)).status == 201
    definition = {"entrypoint": "main:work", "source": {"bundle": sha256}}
    answer = await server.ask("PUT", "/v1/apps/bundled/functions/work", definition)
    (found,) = problem(answer, 422, "invalid")["errors"]
    assert (found["pointer"], "main.py:1:" in found["message"]) == ("/source/bundle", True)


async def test_after_all_that_the_server_is_well(server: Served) -> None:
    await server.deploy("well", WORK["main.py"], "work")
    assert (await server.call("well:work", 5))["result"] == [5]
    assert (await server.ask("GET", "/readyz")).json["ready"] is True
    lines = [json.loads(line) for line in server.output.splitlines() if line.startswith("{")]
    assert [line for line in lines if line.get("level") in {"error", "critical"} or line.get("status", 0) >= 500] == []
