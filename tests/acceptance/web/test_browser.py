"""A page in a real browser: by a name of its own, with everything that pages do."""

import asyncio
import shutil
from pathlib import Path

import pytest

from tests.acceptance.served import Served
from tests.acceptance.web.test_apps import deploy

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

APP = '''
import asyncio
from fastapi import FastAPI, Request, WebSocket
from fastapi.responses import HTMLResponse, StreamingResponse

app = FastAPI()
reports = []

PAGE = """<!doctype html><title>page</title><script>
const seen = {origin: location.origin, cookie: null};
async function all() {
  seen.json = await (await fetch("/items/7?q=x")).json();
  const up = await fetch("/size", {method: "POST", body: new Blob([new Uint8Array(3000000)])});
  seen.size = await up.json();
  document.cookie = "a=b";
  seen.cookie = await (await fetch("/cookie")).json();
  seen.events = await new Promise(done => {
    const got = [], source = new EventSource("/events");
    source.onmessage = event => { got.push(event.data); if (got.length == 3) { source.close(); done(got); } };
  });
  seen.socket = await new Promise((done, failed) => {
    const socket = new WebSocket("ws://" + location.host + "/ws");
    socket.binaryType = "arraybuffer";
    const got = [];
    socket.onopen = () => { socket.send("h\\u00e9llo"); socket.send(new Uint8Array([1, 2, 3])); };
    socket.onmessage = event => {
      got.push(typeof event.data == "string" ? event.data : new Uint8Array(event.data).length);
      if (got.length == 2) socket.close(4001, "enough");
    };
    socket.onclose = event => done([...got, event.code, event.wasClean]);
    socket.onerror = () => failed("socket");
  });
}
all().catch(error => { seen.error = String(error); })
  .then(() => fetch("/reports", {method: "POST", body: JSON.stringify(seen)}));
</script>"""

@app.get("/", response_class=HTMLResponse)
def page():
    return PAGE

@app.get("/items/{item_id}")
def item(item_id: int, q: str):
    return {"item_id": item_id, "q": q}

@app.post("/size")
async def size(request: Request):
    return len(await request.body())

@app.get("/cookie")
def cookie(request: Request):
    return request.cookies

@app.get("/events")
async def events():
    async def all():
        for number in range(3):
            yield f"data: {number}\\n\\n"
            await asyncio.sleep(0.05)
    return StreamingResponse(all(), media_type="text/event-stream")

@app.websocket("/ws")
async def echo(socket: WebSocket):
    await socket.accept()
    while (message := await socket.receive())["type"] == "websocket.receive":
        if message.get("text") is not None:
            await socket.send_text(message["text"])
        else:
            await socket.send_bytes(message["bytes"])

@app.post("/reports")
async def report(request: Request):
    reports.append(await request.json())

@app.get("/reports")
def reported():
    return reports
'''


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed: apt-get install chromium")
@pytest.mark.asyncio(loop_scope="module")
async def test_a_page_works_as_pages_do(server: Served, tmp_path: Path) -> None:
    shown = await deploy(server, "page", APP, "main:app", kind="asgi", concurrency={"max_inputs": 20})
    host = {"Host": f"web--page.localhost:{server.port}"}
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", f"--user-data-dir={tmp_path}"]
    browser = await asyncio.create_subprocess_exec(
        str(CHROMIUM),
        *flags,
        "--remote-debugging-port=0",
        shown["web_url"],
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(60):
            while not (reports := (await server.ask("GET", "/reports", headers=host)).json):
                await asyncio.sleep(0.1)
    finally:
        browser.terminate()
        await browser.wait()
    assert reports == [
        {
            "origin": f"http://web--page.localhost:{server.port}",
            "json": {"item_id": 7, "q": "x"},
            "size": 3_000_000,
            "cookie": {"a": "b"},
            "events": ["0", "1", "2"],
            "socket": ["héllo", 3, 4001, True],
        }
    ]
