"""Workers that answer HTTP: ASGI, WSGI, servers of their own, plain functions."""

import asyncio
import contextlib
import io
import json
import os
import socket
from typing import Any

import aiohttp

from tests.component.runner.conftest import Container
from tests.component.runner.fake_server import START_TOKEN
from tests.waiting import until
from yurt_runner import wire

PROBE = """
import asyncio

told = []

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        assert (await receive())["type"] == "lifespan.startup"
        scope["state"]["greeting"] = "hello"
        await send({"type": "lifespan.startup.complete"})
        assert (await receive())["type"] == "lifespan.shutdown"
        print("the app was shut down", flush=True)
        await send({"type": "lifespan.shutdown.complete"})
        return
    assert scope["type"] == "http"
    path = scope["path"]
    body = b""
    if path == "/stream":
        await start(send, 200)
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            await send({"type": "http.response.body", "body": message["body"], "more_body": message["more_body"]})
            if not message["more_body"]:
                return
    if path == "/raise":
        raise ValueError("a secret")
    if path == "/raise-late":
        await start(send, 200)
        await send({"type": "http.response.body", "body": b"some", "more_body": True})
        raise ValueError("a secret")
    if path == "/wait":
        await start(send, 200)
        await send({"type": "http.response.body", "body": b"first", "more_body": True})
        while (await receive())["type"] != "http.disconnect":
            pass
        told.append(path)
        return
    if path == "/slow":
        await asyncio.sleep(0.3)
    if path == "/header":
        await start(send, 200, [(b"x-evil", b"a\\r\\nset-cookie: b")])
        return
    if path == "/none":
        await start(send, 204)
        await send({"type": "http.response.body", "body": b""})
        return
    text = ",".join([scope["method"], path, scope["root_path"], scope["query_string"].decode(), scope["scheme"],
        scope["client"][0], scope["state"]["greeting"], str(len(told))])
    await start(send, 200)
    await send({"type": "http.response.body", "body": text.encode()})

async def start(send, status, headers=()):
    await send({"type": "http.response.start", "status": status, "headers": list(headers)})
"""


def web(kind: str, **more: Any) -> dict[str, Any]:
    """What WELCOME says of a function that answers HTTP."""
    return {"kind": kind, "factory": False, "port": None, "method": None, **more}


async def port_of(container: Container) -> int:
    """Where its server listens, once it is ready."""
    port = (await container.server.frame(wire.READY)).header()["port"]
    assert isinstance(port, int), port
    return port


async def raw(port: int, data: bytes) -> bytes:
    """Everything that the server says to these bytes, until it closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    async with asyncio.timeout(10):
        answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


async def test_an_asgi_app_sees_requests_as_they_were_sent(container: Container) -> None:
    await container.begin(PROBE, "main:app", web=web("asgi"))
    port = await port_of(container)
    head = b"GET /a%20b?x=1 HTTP/1.1\r\nhost: h\r\nx-forwarded-for: 9.8.7.6, 5.4.3.2\r\nx-forwarded-proto: https\r\n"
    answer = await raw(port, head + b"x-forwarded-prefix: /web/l\r\nconnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.endswith(b"\r\n\r\nGET,/web/l/a b,/web/l,x=1,https,9.8.7.6,hello,0")
    assert b"content-length: 47\r\n" in answer


async def test_what_is_not_http_is_refused(container: Container) -> None:
    await container.begin(PROBE, "main:app", web=web("asgi"))
    port = await port_of(container)
    for bad in (
        b"nonsense\r\n\r\n",
        b"GET / HTTP/3\r\n\r\n",
        b"GET / HTTP/1.1\r\nname : x\r\n\r\n",
        b"GET / HTTP/1.1\r\n folded\r\n\r\n",
        b"POST / HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
        b"POST / HTTP/1.1\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\ntransfer-encoding: gzip\r\n\r\n",
        b"POST / HTTP/1.1\r\ncontent-length: -1\r\n\r\n",
    ):
        assert (await raw(port, bad)).startswith(b"HTTP/1.1 400 "), bad
    long = b"GET / HTTP/1.1\r\nx: " + b"y" * 200_000
    assert (await raw(port, long)).startswith(b"HTTP/1.1 431 ")


async def test_bodies_stream_both_ways_and_connections_are_kept(container: Container) -> None:
    await container.begin(PROBE, "main:app", web=web("asgi"))
    url = f"http://127.0.0.1:{await port_of(container)}"
    large = os.urandom(1 << 20) * 3

    async def pieces() -> Any:
        for at in range(0, len(large), 100_000):
            yield large[at : at + 100_000]

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1)) as http:
        for body, wanted in ((b"", b""), (b"x", b"x"), (io.BytesIO(large), large), (pieces(), large)):
            async with http.post(url + "/stream", data=body) as answer:
                assert await answer.read() == wanted
        async with http.head(url + "/") as answer:
            assert (answer.status, await answer.read()) == (200, b"")
        async with http.get(url + "/none") as answer:
            assert (answer.status, answer.headers.get("transfer-encoding")) == (204, None)


async def test_a_body_is_asked_for_only_when_the_app_reads_it(container: Container) -> None:
    await container.begin(PROBE, "main:app", web=web("asgi"))
    port = await port_of(container)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"POST /stream HTTP/1.1\r\nhost: h\r\ncontent-length: 2\r\nexpect: 100-continue\r\n\r\n")
    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(b"ok")
    assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200 OK\r\n")
    writer.close()
    answer = await raw(
        port, b"POST / HTTP/1.1\r\ncontent-length: 2\r\nexpect: 100-continue\r\nconnection: close\r\n\r\nok"
    )
    assert answer.startswith(b"HTTP/1.1 200 OK"), "an app that does not read is not sent the body"


async def test_pipelined_requests_are_answered_in_order(container: Container) -> None:
    await container.begin(PROBE, "main:app", web=web("asgi"))
    port = await port_of(container)
    wanted = b"".join(b"GET /%d HTTP/1.1\r\nhost: h\r\n\r\n" % number for number in range(9))
    answer = await raw(port, b"GET /slow HTTP/1.1\r\n\r\n" + wanted + b"GET /9 HTTP/1.1\r\nconnection: close\r\n\r\n")
    paths = [part.split(b",")[0] for part in answer.split(b"GET,")[1:]]
    assert paths == [b"/slow", *(b"/%d" % number for number in range(10))]


async def test_failures_show_nothing_and_end_only_their_request(container: Container) -> None:
    await container.begin(PROBE, "main:app", web=web("asgi"))
    port = await port_of(container)
    close = b" HTTP/1.1\r\nconnection: close\r\n\r\n"
    failed = await raw(port, b"GET /raise" + close)
    assert failed.startswith(b"HTTP/1.1 500 ")
    assert b"secret" not in failed
    split = await raw(port, b"GET /header" + close)
    assert split.startswith(b"HTTP/1.1 500 ")
    assert b"set-cookie" not in split
    cut = b""
    with contextlib.suppress(ConnectionResetError):
        cut = await raw(port, b"GET /raise-late" + close)
    assert not cut.endswith(b"0\r\n\r\n"), "a client must not take a part for the whole"
    assert b"GET,/," in await raw(port, b"GET /" + close)
    logs = await container.server.frame(wire.LOG)
    assert b"a secret" in logs.payload or any(b"a secret" in one.payload for one in container.server.heard(wire.LOG))


async def test_an_app_hears_that_its_client_went(container: Container) -> None:
    await container.begin(PROBE, "main:app", web=web("asgi"))
    port = await port_of(container)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /wait HTTP/1.1\r\nhost: h\r\n\r\n")
    await reader.readuntil(b"first")
    writer.close()

    async def heard() -> bool:
        return (await raw(port, b"GET / HTTP/1.1\r\nconnection: close\r\n\r\n")).endswith(b",1")

    async with asyncio.timeout(10):
        while not await heard():
            await asyncio.sleep(0.01)


async def test_a_drain_shuts_the_app_down(container: Container) -> None:
    server = await container.begin(PROBE, "main:app", web=web("asgi"))
    port = await port_of(container)
    busy = asyncio.create_task(raw(port, b"GET /slow HTTP/1.1\r\nhost: h\r\n\r\n"))
    await asyncio.sleep(0.1)  # so that it is with the app; nothing hangs on it
    await server.drain()
    assert b"GET,/slow" in await busy
    assert (await server.frame(wire.BYE)).header() == {"reason": "drained"}
    assert any(b"the app was shut down" in one.payload for one in server.heard(wire.LOG))
    assert (await container.ended())[0] == 0


async def test_a_startup_that_fails_is_told(container: Container) -> None:
    source = """
async def app(scope, receive, send):
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "no database"})
"""
    server = await container.begin(source, "main:app", web=web("asgi"))
    failed = await server.frame(wire.FAILED)
    assert json.loads(failed.payload)["message"] == "no database"


async def test_an_app_without_lifespan_is_served(container: Container) -> None:
    source = """
async def app(scope, receive, send):
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"ok"})
"""
    await container.begin(source, "main:app", web=web("asgi"))
    assert (await raw(await port_of(container), b"GET / HTTP/1.0\r\n\r\n")).endswith(b"\r\n\r\nok")


async def test_an_engine_may_say_where_to_listen(container: Container) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = container.server
    server.define({"main.py": PROBE}, "main:app", web=web("asgi"))
    line = {
        "url": server.url,
        "container_id": server.container_id,
        "start_token": START_TOKEN,
        "scratch": str(container._scratch),
        "web_host": "0.0.0.0",
        "web_port": str(port),  # as a template makes it
    }
    await container.execute(json.dumps(line).encode() + b"\n")
    assert await port_of(container) == port
    assert b"hello" in await raw(port, b"GET / HTTP/1.0\r\n\r\n")


async def test_factories_and_what_is_no_app(container: Container) -> None:
    source = PROBE + "\ndef make():\n    return app\n"
    await container.begin(source, "main:make", web=web("asgi", factory=True))
    assert b"hello" in await raw(await port_of(container), b"GET / HTTP/1.0\r\n\r\n")


async def test_what_is_no_app_is_told(container: Container) -> None:
    server = await container.begin("app = 5", "main:app", web=web("asgi"))
    told = json.loads((await server.frame(wire.FAILED)).payload)
    assert told["message"] == "main:app is no app: it is of type int."


WSGI = """
def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/read":
        data = environ["wsgi.input"].read()
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [str(len(data)).encode()]
    if path == "/raise":
        raise ValueError("a secret")
    if path == "/stream":
        def pieces():
            try:
                start_response("200 OK", [("X-Late", "yes")])
                for number in range(5):
                    yield b"%d" % number
            finally:
                print("closed", flush=True)
        return pieces()
    text = "|".join([environ["SCRIPT_NAME"], path, environ["QUERY_STRING"], environ["SERVER_NAME"],
        environ["SERVER_PORT"], environ["REMOTE_ADDR"], environ.get("HTTP_X_MANY", ""), environ["wsgi.url_scheme"]])
    start_response("200 OK", [("Content-Length", str(len(text.encode("latin-1"))))])
    return [text.encode("latin-1")]
"""


async def test_a_wsgi_app_gets_its_environment_and_its_body(container: Container) -> None:
    server = await container.begin(WSGI, "main:app", web=web("wsgi"), slots=4)
    port = await port_of(container)
    head = "GET /caf%C3%A9?q=1 HTTP/1.1\r\nHost: shop.example:81\r\nX-Many: a\r\nX-Many: b\r\nX_Many: evil\r\n"
    more = "X-Forwarded-Prefix: /web/shop\r\nX-Forwarded-For: 1.2.3.4\r\nConnection: close\r\n\r\n"
    answer = await raw(port, (head + more).encode())
    assert answer.endswith("\r\n\r\n/web/shop|/café|q=1|shop.example|81|1.2.3.4|a,b|http".encode())
    async with aiohttp.ClientSession() as http:
        url = f"http://127.0.0.1:{port}"
        async with http.post(url + "/read", data=b"x" * 1_000_000) as read:
            assert await read.text() == "1000000"
        async with http.get(url + "/stream") as streamed:
            assert (await streamed.text(), streamed.headers["X-Late"]) == ("01234", "yes")
        async with http.get(url + "/raise") as failed:
            assert (failed.status, "secret" in await failed.text()) == (500, False)
    await until(lambda: any(b"closed" in one.payload for one in server.heard(wire.LOG)), "the iterable was closed")


ENDPOINT = """
from dataclasses import dataclass

def plain(name: str, times: int = 1, loud: bool = False, tags: list[str] = ()):
    return {"name": name * times, "loud": loud, "tags": list(tags)}

async def whole(order: dict, dry: bool = False):
    return [order, dry]

def anything(**given):
    return given

class Refused(Exception):
    status_code = 418
    detail = "a teapot"

def refuses():
    raise Refused()
"""


async def endpoint(container: Container, name: str, method: str) -> str:
    await container.begin(ENDPOINT, f"main:{name}", web=web("function", method=method), slots=2)
    return f"http://127.0.0.1:{await port_of(container)}/"


async def test_query_parameters_are_arguments(container: Container) -> None:
    url = await endpoint(container, "plain", "GET")
    async with aiohttp.ClientSession() as http:
        async with http.get(url + "?name=ab&times=2&loud=true&tags=x&tags=y") as found:
            assert await found.json() == {"name": "abab", "loud": True, "tags": ["x", "y"]}
        async with http.get(url + "?times=two&loud=maybe&nam=x") as wrong:
            assert wrong.status == 422
            places = [tuple(error["loc"]) for error in (await wrong.json())["detail"]]
            assert places == [("query", "times"), ("query", "loud"), ("query", "nam"), ("query", "name")]
        async with http.post(url) as other:
            assert (other.status, other.headers["Allow"]) == (405, "GET, HEAD")
        async with http.get(url + "else") as nowhere:
            assert nowhere.status == 404


async def test_a_body_is_the_arguments_or_the_one_object(container: Container) -> None:
    url = await endpoint(container, "whole", "POST")
    async with aiohttp.ClientSession() as http:
        async with http.post(url + "?dry=1", json={"a": 1}) as found:
            assert await found.json() == [{"a": 1}, True]
        async with http.post(url, json={"order": {"a": 1}, "dry": True}) as named:
            assert await named.json() == [{"a": 1}, True]
        for body in (b"{", b"[1]", b""):
            async with http.post(url, data=body) as wrong:
                assert wrong.status == 422, body


async def test_an_exception_with_a_status_speaks_for_itself(container: Container) -> None:
    url = await endpoint(container, "refuses", "GET")
    async with aiohttp.ClientSession() as http, http.get(url) as found:
        assert (found.status, await found.json()) == (418, {"detail": "a teapot"})


OWN = """
import os, subprocess, sys, http.server

def behind():
    subprocess.Popen([sys.executable, "-m", "http.server", os.environ["PORT"], "--bind", "127.0.0.1"])

def blocking():
    http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), http.server.SimpleHTTPRequestHandler).serve_forever()

def never():
    pass

def breaks():
    raise ValueError("it broke")
"""


async def test_a_server_behind_the_function_or_in_it(container: Container) -> None:
    server = await container.begin(OWN, "main:behind", web=web("web_server"))
    port = await port_of(container)
    assert b"main.py" in await raw(port, b"GET / HTTP/1.0\r\n\r\n")
    await server.drain(grace_s=1)
    await container.ended()
    assert await _refused(port), "the server that the function left behind ends with its container"


async def test_a_function_may_block_in_its_server(container: Container) -> None:
    await container.begin(OWN, "main:blocking", web=web("web_server"))
    assert b"main.py" in await raw(await port_of(container), b"GET / HTTP/1.0\r\n\r\n")


async def test_a_server_that_never_listens_is_told(container: Container) -> None:
    server = await container.begin(OWN, "main:never", web=web("web_server"), startup_timeout_s=3)
    told = json.loads((await server.frame(wire.FAILED)).payload)
    assert told["type"] == "NoServer"
    assert told["message"].endswith(", which the variable PORT names")


async def test_a_server_whose_function_raises_is_told(container: Container) -> None:
    server = await container.begin(OWN, "main:breaks", web=web("web_server"))
    assert json.loads((await server.frame(wire.FAILED)).payload)["message"] == "it broke"


async def test_a_port_that_is_taken_is_told(container: Container) -> None:
    taken = socket.create_server(("127.0.0.1", 0))
    port = taken.getsockname()[1]
    server = await container.begin(OWN, "main:behind", web=web("web_server", port=port))
    told = json.loads((await server.frame(wire.FAILED)).payload)
    assert (told["type"], str(port) in told["message"]) == ("PortTaken", True)
    taken.close()


async def _refused(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except ConnectionRefusedError:
        return True
    writer.close()
    return False


async def test_a_worker_that_dies_takes_its_server_along(container: Container) -> None:
    source = "import os\n" + PROBE.replace(
        'if path == "/raise":', 'if path == "/die":\n        os._exit(3)\n    if path == "/raise":'
    )
    server = await container.begin(source, "main:app", web=web("asgi"))
    port = await port_of(container)
    assert await raw(port, b"GET /die HTTP/1.1\r\n\r\n") == b""
    assert (await server.frame(wire.BYE)).header()["exit_code"] == 3
