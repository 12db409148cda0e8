"""Apps of other people's frameworks, served from zero through the gateway."""

from typing import Any

import pytest

from tests.acceptance.served import Served

FASTAPI = """
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse

app = FastAPI()

@app.get("/items/{item_id}")
def read_item(item_id: int, q: str | None = None):
    return {"item_id": item_id, "q": q}

@app.get("/where")
def where(request: Request):
    return {"url": str(request.url), "root": request.scope["root_path"], "client": request.client.host}

@app.post("/echo")
async def echo(request: Request):
    return StreamingResponse(request.stream(), media_type=request.headers["content-type"])
"""

FLASK = """
from flask import Flask, request, url_for

app = Flask(__name__)

@app.get("/hello/<name>")
def hello(name):
    return {"hello": name, "to": url_for("hello", name=name), "script": request.script_root}

@app.post("/size")
def size():
    return str(len(request.get_data()))
"""


async def deploy(server: Served, app: str, source: str, entrypoint: str, **keys: Any) -> dict[str, Any]:
    """One function that answers HTTP; returns it as it is shown."""
    await server.ask("POST", "/v1/apps", {"name": app})
    definition = {"entrypoint": entrypoint, "source": {"files": {"main.py": source}}, **keys}
    put = await server.ask("PUT", f"/v1/apps/{app}/functions/web", definition)
    assert put.status == 201, put.text
    shown: dict[str, Any] = put.json
    return shown


@pytest.mark.asyncio(loop_scope="module")
async def test_a_fastapi_app_is_served_by_path_and_by_host(server: Served) -> None:
    shown = await deploy(server, "fast", FASTAPI, "main:app", kind="asgi")
    assert shown["kind"] == "asgi"
    assert shown["web_url"] == f"http://web--fast.localhost:{server.port}/"
    assert shown["web_urls"] == [shown["web_url"], f"{server.url}/web/web--fast/"]
    by_path = await server.ask("GET", "/web/web--fast/items/7?q=x")
    assert (by_path.status, by_path.json) == (200, {"item_id": 7, "q": "x"})
    host = f"web--fast.localhost:{server.port}"
    by_host = await server.ask("GET", "/items/7", headers={"Host": host})
    assert (by_host.status, by_host.json) == (200, {"item_id": 7, "q": None})
    assert (await server.ask("GET", "/where", headers={"Host": host})).json == {
        "url": f"http://{host}/where",
        "root": "",
        "client": "127.0.0.1",
    }
    assert (await server.ask("GET", "/web/web--fast/where")).json == {
        "url": f"{server.url}/web/web--fast/where",
        "root": "/web/web--fast",
        "client": "127.0.0.1",
    }
    assert (await server.ask("GET", "/web/web--fast/items/x")).status == 422


@pytest.mark.asyncio(loop_scope="module")
async def test_a_flask_app_knows_where_it_is(server: Served) -> None:
    await deploy(server, "flask", FLASK, "main:app", kind="wsgi")
    found = await server.ask("GET", "/web/web--flask/hello/ann")
    assert found.json == {"hello": "ann", "to": "/web/web--flask/hello/ann", "script": "/web/web--flask"}
    body = b"x" * 300_000
    assert (await server.ask("POST", "/web/web--flask/size", data=body)).text == "300000"
    assert (await server.ask("GET", "/web/web--flask/nowhere")).status == 404


@pytest.mark.asyncio(loop_scope="module")
async def test_a_function_is_an_endpoint(server: Served) -> None:
    source = "def add(a: int, b: int = 1):\n    if b == 0:\n        raise ValueError('a secret')\n    return a + b\n"
    await deploy(server, "plain", source, "main:add", web={"method": "GET"})
    assert (await server.ask("GET", "/web/web--plain/?a=3")).json == 4
    wrong = await server.ask("GET", "/web/web--plain/?b=x")
    assert wrong.status == 422
    assert [error["loc"] for error in wrong.json["detail"]] == [["query", "b"], ["query", "a"]]
    assert (await server.ask("POST", "/web/web--plain/")).status == 405
    failed = await server.ask("GET", "/web/web--plain/?a=1&b=0")
    assert (failed.status, "secret" in failed.text) == (500, False)


SERVER = """
import os, subprocess, sys

def serve():
    subprocess.Popen([sys.executable, "-m", "http.server", os.environ["PORT"], "--bind", "127.0.0.1"])
"""


@pytest.mark.asyncio(loop_scope="module")
async def test_a_server_of_its_own_is_served(server: Served) -> None:
    await deploy(server, "own", SERVER, "main:serve", kind="web_server")
    listing = await server.ask("GET", "/web/web--own/")
    assert listing.status == 200
    assert "main.py" in listing.text
    assert (await server.ask("GET", "/web/web--own/main.py")).text == SERVER


@pytest.mark.asyncio(loop_scope="module")
async def test_what_is_called_by_http_is_not_called_otherwise(server: Served) -> None:
    await deploy(server, "only", FASTAPI, "main:app", kind="asgi")
    bodies: dict[str, object] = {"invocations": {}, "spawn": {}, "map": {"inputs": [{}]}}
    for path, body in bodies.items():
        refused = await server.ask("POST", f"/v1/functions/only:web/{path}", body)
        assert (refused.status, refused.json["code"]) == (409, "not_callable"), path
