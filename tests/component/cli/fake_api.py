"""A small server that answers as the REST API does, as far as the command line needs it, with knobs for bad days."""

import asyncio
import hashlib
import json
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

Json = dict[str, Any]
TOKEN = "tk-1:secret"


def problem(status: int, code: str, detail: str, **more: object) -> web.Response:
    body = {"type": f"/docs/errors#{code}", "title": code, "status": status, "detail": detail, "code": code, **more}
    return web.json_response(body, status=status, content_type="application/problem+json")


@dataclass
class FakeApi:
    """What the server knows, and how it behaves.

    Args:
        endings: by address, how a call ends beside `call_id`; by default it succeeds with its own arguments.
        waits: by address, the pending messages of a call before it ends; such a call is answered 202.
        lines: by path, the log lines there.
        invalid: by function name, the field errors that its definition gets.
        items: by address, what a generator yields.
        ended: by call, how the inputs of a map ended.
        cut: so many event streams break after their first event, or streams of items after their first item.
        maps_left: failed maps that the repeating of a backlog leaves.
        redriven: by whose address a backlog was to be repeated, and the body.
        requests: method, path and query of each request.
    """

    apps: dict[str, Json] = field(default_factory=dict)
    functions: dict[str, dict[str, Json]] = field(default_factory=dict)
    bundles: dict[str, bytes] = field(default_factory=dict)
    calls: dict[str, Json] = field(default_factory=dict)
    tokens: dict[str, Json] = field(default_factory=dict)
    secrets: dict[str, dict[str, str]] = field(default_factory=dict)
    endings: dict[str, Json] = field(default_factory=dict)
    waits: dict[str, list[str]] = field(default_factory=dict)
    lines: dict[str, list[Json]] = field(default_factory=dict)
    invalid: dict[str, list[Json]] = field(default_factory=dict)
    schedules: dict[str, Json] = field(default_factory=dict)
    capacity: Json = field(default_factory=dict)
    items: dict[str, list[Any]] = field(default_factory=dict)
    ended: dict[str, list[Json]] = field(default_factory=dict)
    cut: int = 0
    maps_left: int = 0
    redriven: list[tuple[str, Json]] = field(default_factory=list)
    page_size: int = 2
    requests: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    bodies: list[Any] = field(default_factory=list)
    url: str = ""

    def application(self) -> web.Application:
        app = web.Application(middlewares=[self.door])
        routes: list[tuple[str, str, Callable[[web.Request], Awaitable[web.StreamResponse]]]] = [
            ("GET", "/v1/apps", self.list_apps),
            ("POST", "/v1/apps", self.create_app),
            ("GET", "/v1/apps/{app}", self.get_app),
            ("DELETE", "/v1/apps/{app}", self.stop_app),
            ("POST", "/v1/apps/{app}/renew", self.get_app),
            ("GET", "/v1/apps/{app}/functions", self.list_functions),
            ("PUT", "/v1/apps/{app}/functions", self.put_functions),
            ("PUT", "/v1/bundles/{sha256}", self.put_bundle),
            ("HEAD", "/v1/bundles/{sha256}", self.head_bundle),
            ("GET", "/v1/functions/{function}", self.get_function),
            ("POST", "/v1/functions/{function}/invocations", self.invoke),
            ("POST", "/v1/functions/{function}/spawn", self.spawn),
            ("GET", "/v1/function-calls/{call}", self.get_call),
            ("GET", "/v1/function-calls/{call}/events", self.events),
            ("GET", "/v1/function-calls/{call}/outputs", self.outputs),
            ("POST", "/v1/function-calls/{call}/cancel", self.cancel),
            ("POST", "/v1/function-calls/{call}/redrive", self.redrive),
            ("POST", "/v1/functions/{address}/redrive", self.redrive_calls),
            ("GET", "/v1/{kind}/{id}/logs", self.logs),
            ("GET", "/v1/containers", self.containers),
            ("GET", "/v1/capacity", self.get_capacity),
            ("GET", "/v1/environments", self.environments),
            ("GET", "/v1/schedules", self.list_schedules),
            ("POST", "/v1/schedules/{schedule}/{what}", self.change_schedule),
            ("GET", "/elsewhere/v1/apps", self.web_page),
            ("GET", "/v1/tokens", self.list_tokens),
            ("POST", "/v1/tokens", self.create_token),
            ("DELETE", "/v1/tokens/{token}", self.revoke_token),
            ("GET", "/v1/secrets", self.list_secrets),
            ("PUT", "/v1/secrets/{name}", self.put_secret),
            ("DELETE", "/v1/secrets/{name}", self.delete_secret),
            ("POST", "/v1/secret-key/rotate", self.rotate_secret_key),
        ]
        for method, path, handler in routes:
            app.router.add_route(method, path, handler)
        return app

    @web.middleware
    async def door(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        self.requests.append((request.method, request.path, dict(request.query)))
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return problem(401, "unauthenticated", "The token is not known.")
        return await handler(request)

    async def body(self, request: web.Request) -> Json:
        value: Json = await request.json()
        self.bodies.append(value)
        return value

    def page(self, request: web.Request, items: list[Json]) -> web.Response:
        start = int(request.query.get("cursor", 0))
        end = start + self.page_size
        following = {"next_cursor": str(end)} if end < len(items) else {}
        return web.json_response({"data": items[start:end], **following})

    def live(self, request: web.Request) -> Json | None:
        wanted = request.match_info["app"]
        live = (app for app in self.apps.values() if app["state"] != "stopped" or app["app_id"] == wanted)
        return next((app for app in live if wanted in {app["app_id"], app["name"]}), None)

    async def list_apps(self, request: web.Request) -> web.Response:
        return self.page(request, list(self.apps.values()))

    async def create_app(self, request: web.Request) -> web.Response:
        body = await self.body(request)
        if " " in body["name"]:
            errors = [{"pointer": "/name", "message": "must be a name"}]
            return problem(422, "invalid", "Some values are not valid.", errors=errors)
        if any(app["name"] == body["name"] and app["state"] != "stopped" for app in self.apps.values()):
            return problem(409, "already_exists", f"{body['name']} is there already.")
        return web.json_response(self.add_app(body["name"], ephemeral="ephemeral" in body), status=201)

    def add_app(self, name: str, *, ephemeral: bool = False) -> Json:
        app_id = f"ap-{len(self.apps) + 1}"
        self.apps[app_id] = {
            "app_id": app_id,
            "name": name,
            "state": "ephemeral" if ephemeral else "deployed",
            "environment": "main",
            "created_at": "2026-11-22T10:15:30Z",
        }
        return self.apps[app_id]

    async def get_app(self, request: web.Request) -> web.Response:
        app = self.live(request)
        return web.json_response(app) if app else problem(404, "not_found", "There is no such app.")

    async def stop_app(self, request: web.Request) -> web.Response:
        app = self.live(request)
        if not app:
            return problem(404, "not_found", "There is no such app.")
        app["state"] = "stopped"
        self.functions.pop(app["name"], None)
        return web.Response(status=204)

    async def list_functions(self, request: web.Request) -> web.Response:
        app = self.live(request)
        assert app
        return self.page(request, list(self.functions.get(app["name"], {}).values()))

    async def put_functions(self, request: web.Request) -> web.Response:
        app = self.live(request)
        assert app or "dry_run" in request.query
        body = await self.body(request)
        wanted = body["functions"]
        errors = [error for name in wanted for error in self.invalid.get(name, ())]
        if errors:
            return problem(422, "invalid", "Some values are not valid.", errors=errors)
        known = self.functions.setdefault(app["name"], {}) if app else {}
        done = self.difference(known, wanted)
        if "dry_run" not in request.query:
            for name in done["removed"]:
                del known[name]
            for name, definition in wanted.items():
                if name in done["unchanged"]:
                    continue
                revision = known[name]["revision"] + 1 if name in known else 1
                known[name] = {
                    "function_id": f"fu-{name}",
                    "name": name,
                    "revision": revision,
                    "timeout": 300,
                    "memory": 512,
                    "definition": definition,
                }
        return web.json_response(done)

    @staticmethod
    def difference(known: dict[str, Json], wanted: dict[str, Json]) -> Json:
        updated = [name for name in wanted if name in known and known[name]["definition"] != wanted[name]]
        return {
            "created": sorted(set(wanted) - set(known)),
            "updated": [{"name": n, "changed": ["source"], "revision": known[n]["revision"] + 1} for n in updated],
            "unchanged": sorted(name for name in wanted if name in known and name not in updated),
            "removed": sorted(set(known) - set(wanted)),
            "warnings": [
                {"code": "image_ignored", "function": name, "message": "image is ignored"}
                for name, definition in wanted.items()
                if "image" in definition
            ],
        }

    async def get_capacity(self, _: web.Request) -> web.Response:
        return web.json_response({"engine": "fake", "reachable": True, "gpus": [], "unmapped": []} | self.capacity)

    async def list_schedules(self, request: web.Request) -> web.Response:
        wanted = request.query.get("function_id")
        return self.page(request, [one for one in self.schedules.values() if wanted in {None, one["function"]}])

    async def change_schedule(self, request: web.Request) -> web.Response:
        found = self.schedules.get(request.match_info["schedule"])
        if found is None:
            return problem(404, "not_found", "There is no such schedule.")
        if request.match_info["what"] == "run":
            return web.json_response({"call_id": "fc-9", "kind": "schedule", "status": "pending"}, status=202)
        found["state"] = {"pause": "paused", "resume": "active"}[request.match_info["what"]]
        return web.json_response(found)

    async def put_bundle(self, request: web.Request) -> web.Response:
        content = await request.read()
        sha256 = request.match_info["sha256"]
        assert hashlib.sha256(content).hexdigest() == sha256
        self.bundles[sha256] = content
        return web.Response(status=201)

    async def head_bundle(self, request: web.Request) -> web.Response:
        if request.match_info["sha256"] in self.bundles:
            return web.Response()
        return problem(404, "not_found", "There is no such bundle.")

    def begin(self, address: str, body: Json) -> Json:
        call_id = f"fc-{len(self.calls) + 1}"
        ending = self.endings.get(address, {"status": "success", "result": body})
        self.calls[call_id] = {"call_id": call_id, "function_id": address, **ending}
        return self.calls[call_id]

    async def get_function(self, request: web.Request) -> web.Response:
        app, _, name = request.match_info["function"].partition(":")
        found = self.functions.get(app, {}).get(name)
        if found is None:
            return problem(404, "not_found", f"There is no function {app}:{name}.")
        return web.json_response(found)

    async def invoke(self, request: web.Request) -> web.StreamResponse:
        address = request.match_info["function"]
        if ":" not in address or address.endswith(":missing"):
            return problem(404, "not_found", f"There is no function {address}.")
        call = self.begin(address, await self.body(request))
        assert request.headers["Prefer"] == "respond-async, wait=1"
        if address in self.items and address not in self.waits:
            return await self.stream(request, call, self.items[address])
        if address not in self.waits:
            return web.json_response(call)
        return web.json_response(self.pending(call), status=202)

    async def stream(self, request: web.Request, call: Json, items: list[Any]) -> web.StreamResponse:
        assert request.headers["Accept"].startswith("application/x-ndjson,")
        headers = {"Content-Type": "application/x-ndjson", "Yurt-Call-Id": call["call_id"]}
        response = web.StreamResponse(headers=headers)
        await response.prepare(request)
        for item in items:
            await response.write(json.dumps({"item": item}).encode() + b"\n\n")
            if self.cut:
                self.cut -= 1
                assert request.transport
                request.transport.abort()
                return response
        await response.write(json.dumps(call).encode() + b"\n")
        return response

    def pending(self, call: Json) -> Json:
        reason = {"code": "container_starting", "message": "A container is starting."}
        return {"call_id": call["call_id"], "status": "pending", "pending_reason": reason}

    async def spawn(self, request: web.Request) -> web.Response:
        call = self.begin(request.match_info["function"], await self.body(request))
        return web.json_response(self.pending(call), status=202)

    async def get_call(self, request: web.Request) -> web.Response:
        call = self.calls.get(request.match_info["call"])
        if call is None:
            return problem(404, "not_found", "There is no such call.")
        return web.json_response(self.pending(call) if call["status"] == "pending" else call)

    async def outputs(self, request: web.Request) -> web.Response:
        return self.page(request, self.ended[request.match_info["call"]])

    async def events(self, request: web.Request) -> web.StreamResponse:
        call = self.calls[request.match_info["call"]]
        events: list[tuple[str, Any]] = [
            ("pending", {**self.pending(call), "pending_reason": {"message": message}})
            for message in self.waits.get(call["function_id"], ())
        ]
        events += [("log", line) for line in self.lines.get(f"/v1/function-calls/{call['call_id']}/logs", ())]
        items = self.items.get(call["function_id"], ())
        events += [("item", {"index": place, "item": item}) for place, item in enumerate(items)]
        events += [("state", {"status": "running"}), ("end", call)]
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        told, _, seen = request.headers.get("Last-Event-ID", "").rpartition("-")
        after = len(events) - len(items) - 3 + int(seen) if told else int(seen or -1)
        for number, (name, data) in enumerate(events):
            if number > after:
                await response.write(b": still here\n\n")
                await response.write(f"id: {number}\nevent: {name}\ndata: {json.dumps(data)}\n\n".encode())
                if self.cut:
                    self.cut -= 1
                    assert request.transport
                    request.transport.abort()
                    break
        return response

    async def cancel(self, request: web.Request) -> web.Response:
        call = self.calls[request.match_info["call"]]
        if call["status"] in {"success", "failure"}:
            return problem(409, "not_cancellable", f"The call has ended: {call['status']}.")
        call["status"] = "terminated"
        return web.json_response(call)

    async def redrive(self, request: web.Request) -> web.Response:
        old = request.match_info["call"]
        return web.json_response({"call_id": f"{old}-again", "status": "pending", "redrive_of": old}, status=202)

    async def redrive_calls(self, request: web.Request) -> web.Response:
        self.redriven.append((request.match_info["address"], await self.body(request)))
        return web.json_response({"redriven": 3, "call_ids": ["fc-7", "fc-8", "fc-9"], "maps_left": self.maps_left})

    async def logs(self, request: web.Request) -> web.StreamResponse:
        lines = self.lines.get(request.path, [])
        if request.query.get("follow") != "true":
            return self.page(request, lines)
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        await response.prepare(request)
        for line in lines:
            await response.write(json.dumps(line).encode() + b"\n")
        return response

    async def containers(self, request: web.Request) -> web.Response:
        container = {"function": "app:f", "revision": 1, "created_at": "2026-11-22T10:15:30Z"}
        states = {"co-1": "starting", "co-2": "ready", "co-3": "ended"}
        wanted = request.query.get("state")
        found = [{**container, "container_id": one, "state": states[one]} for one in states]
        return self.page(request, [one for one in found if wanted in {None, one["state"]}])

    async def environments(self, request: web.Request) -> web.Response:
        return self.page(request, [{"name": "main", "created_at": "2026-11-22T10:15:30Z"}])

    async def web_page(self, request: web.Request) -> web.Response:
        return web.Response(text="<html>Welcome</html>", content_type="text/html")

    async def list_tokens(self, request: web.Request) -> web.Response:
        return self.page(request, list(self.tokens.values()))

    async def create_token(self, request: web.Request) -> web.Response:
        token_id = f"tk-{len(self.tokens) + 2}"
        self.tokens[token_id] = {"token_id": token_id, **await self.body(request)}
        return web.json_response({**self.tokens[token_id], "token_secret": "s3cret"}, status=201)

    async def revoke_token(self, request: web.Request) -> web.Response:
        self.tokens.pop(request.match_info["token"])
        return web.Response(status=204)

    def shown_secret(self, name: str, place: str) -> Json:
        return {
            "name": name,
            "environment": place,
            "keys": sorted(self.secrets[name]),
            "updated_at": "2026-11-22T10:15:30Z",
        }

    async def list_secrets(self, request: web.Request) -> web.Response:
        return self.page(request, [self.shown_secret(name, "main") for name in self.secrets])

    async def put_secret(self, request: web.Request) -> web.Response:
        name, new = request.match_info["name"], request.match_info["name"] not in self.secrets
        self.secrets[name] = (await self.body(request))["values"]
        shown = self.shown_secret(name, request.query.get("environment", "main"))
        return web.json_response(shown, status=201 if new else 200)

    async def delete_secret(self, request: web.Request) -> web.Response:
        if self.secrets.pop(request.match_info["name"], None) is None:
            return problem(404, "not_found", "There is no such secret.")
        return web.Response(status=204)

    async def rotate_secret_key(self, request: web.Request) -> web.Response:
        return web.json_response({"key_id": "5f0c", "made": False, "secrets": len(self.secrets)})


@contextmanager
def running(api: FakeApi) -> Iterator[FakeApi]:
    """Serve it from a thread, so that a command may block the test."""
    started, loop = threading.Event(), asyncio.new_event_loop()
    done = asyncio.Event()

    async def serve() -> None:
        runner = web.AppRunner(api.application(), shutdown_timeout=1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        api.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        started.set()
        await done.wait()
        await runner.cleanup()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()), name="fake api")
    thread.start()
    assert started.wait(30)
    try:
        yield api
    finally:
        loop.call_soon_threadsafe(done.set)
        thread.join(10)
        loop.close()
