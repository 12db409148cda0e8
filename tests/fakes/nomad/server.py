"""The double of Nomad's HTTP API."""

import asyncio
import json
import re
import secrets
import ssl
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import jwt
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from tests.fakes.nomad.cluster import Cluster, RefusedByNomad
from tests.fakes.nomad.placing import Node
from tests.fakes.nomad.rendering import parse_function
from tests.fakes.nomad.shapes import Json, allocation_stub, job_stub

RIGHTS = frozenset({"list-jobs", "read-job", "submit-job", "dispatch-job", "read-logs", "node:read"})
"""What a token may do that has Yurt's policy."""

FILTER = re.compile(r'JobID (matches|==) "?([^"]+)"?')
"""The one expression that the double understands."""


@dataclass
class Knobs:
    """Bad days.

    Attributes:
        slow_s: before each answer.
        leaderless: the server has lost its leader, and says so after `leaderless_s`.
        refuses_streams: an event stream gets 200, and then nothing.
        cut_streams: those that run end.
        loses_dispatches: so many of the next ones are done, but nobody hears of it.
        drops_dispatches: so many of the next ones are not done, and nobody hears of it.
        answers: what calls of some paths get instead: status and text, by the beginning of the path.
    """

    slow_s: float = 0
    leaderless: bool = False
    leaderless_s: float = 0
    refuses_streams: bool = False
    loses_dispatches: int = 0
    drops_dispatches: int = 0
    answers: dict[str, tuple[int, str]] = field(default_factory=dict)


class NomadDouble:
    """Serves a cluster on a port of its own.

    Args:
        tokens: what each token may do. Where there are none, ACLs are off.

    Attributes:
        parse: makes the job of `POST /v1/jobs/parse` from its two texts, HCL and variables.
    """

    def __init__(self, nodes: Iterable[Node] = (), tokens: dict[str, frozenset[str]] | None = None) -> None:
        self.cluster = Cluster(nodes)
        self.knobs = Knobs()
        self.tokens = {"yurts-token": RIGHTS} if tokens is None else tokens
        self.parse: Callable[[str, str], Json] = parse_function
        self.version = "1.11.3"
        self.requests: list[str] = []
        self.port = 0
        self.rotate_key()
        self._runner: web.AppRunner | None = None
        self._streams: set[asyncio.Event] = set()
        self._tls: ssl.SSLContext | None = None

    @property
    def address(self) -> str:
        """Where it answers."""
        return f"{'http' if self._tls is None else 'https'}://127.0.0.1:{self.port}"

    async def start(self, tls: ssl.SSLContext | None = None) -> "NomadDouble":
        """Serve; after `stop` on the same port, with what it knew."""
        self._tls = tls
        app = web.Application(middlewares=[self._middleware])
        app.add_routes(self._routes())
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True, ssl_context=tls)
        await site.start()
        self.port = self._runner.addresses[0][1]
        return self

    async def stop(self) -> None:
        """Answer no more."""
        self.cut_streams()
        if self._runner is not None:
            await self._runner.cleanup()

    @property
    def streams(self) -> int:
        """How many event streams run, and would be cut."""
        return len(self._streams)

    def cut_streams(self) -> None:
        """End the event streams that run."""
        for cut in self._streams:
            cut.set()

    def rotate_key(self) -> None:
        """Sign with a new key from now on."""
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self._kid = secrets.token_hex(8)

    def identity(self, allocation_id: str, *, audience: str = "yurt", ttl_s: float = 3600, **claims: Any) -> str:
        """The workload identity of an allocation's task."""
        allocation = self.cluster.allocations[allocation_id]
        job = allocation["Job"]
        parent, task = job["ParentID"] or job["ID"], self.cluster.group_of(allocation)["Tasks"][0]["Name"]
        now = int(time.time())
        said = {
            "aud": audience,
            "iat": now,
            "nbf": now,
            "exp": now + ttl_s,
            "jti": secrets.token_hex(8),
            "nomad_allocation_id": allocation_id,
            "nomad_job_id": parent,
            "nomad_namespace": job["Namespace"],
            "nomad_task": task,
            "sub": f"global:{job['Namespace']}:{parent}:{allocation['TaskGroup']}:{task}:yurt",
        }
        return jwt.encode({**said, **claims}, self._key, algorithm="RS256", headers={"kid": self._kid})

    # Requests.

    def _routes(self) -> list[web.RouteDef]:
        job = "/v1/job/{job}"
        return [
            web.get("/v1/status/leader", self._leader),
            web.get("/v1/agent/health", self._health),
            web.get("/v1/agent/self", self._forbidden),
            web.get("/v1/agent/members", self._members),
            web.get("/v1/acl/token/self", self._own_token),
            web.get("/.well-known/jwks.json", self._jwks),
            web.get("/v1/nodes", self._nodes),
            web.get("/v1/node/{node}", self._node),
            web.get("/v1/jobs", self._jobs),
            web.post("/v1/jobs", self._register),
            web.put("/v1/jobs", self._register),
            web.post("/v1/jobs/parse", self._parse),
            web.post("/v1/validate/job", self._validate),
            web.get(job, self._job),
            web.post(job, self._register),
            web.delete(job, self._deregister),
            web.post(f"{job}/plan", self._plan),
            web.post(f"{job}/dispatch", self._dispatch),
            web.put(f"{job}/dispatch", self._dispatch),
            web.get(f"{job}/allocations", self._job_allocations),
            web.get(f"{job}/evaluations", self._job_evaluations),
            web.get("/v1/allocations", self._allocations),
            web.get("/v1/allocation/{allocation}", self._allocation),
            web.get("/v1/client/fs/logs/{allocation}", self._logs),
            web.get("/v1/evaluation/{evaluation}", self._evaluation),
            web.get("/v1/event/stream", self._stream),
        ]

    @web.middleware
    async def _middleware(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.requests.append(f"{request.method} {request.path_qs}")
        await asyncio.sleep(self.knobs.slow_s)
        for path, (status, text) in self.knobs.answers.items():
            if request.path.startswith(path):
                kind = "application/json" if status == 200 else "text/plain"
                return web.Response(status=status, text=text, content_type=kind)
        if self.knobs.leaderless and handler != self._stream and "stale" not in request.query:
            await asyncio.sleep(self.knobs.leaderless_s)
            return web.Response(status=500, text="No cluster leader")
        try:
            answer: web.StreamResponse = await handler(request)
        except RefusedByNomad as refused:
            return web.Response(status=refused.status, text=refused.text)
        return answer

    def _may(self, request: web.Request, right: str) -> bool:
        if not self.tokens:
            return True
        secret = request.headers.get("X-Nomad-Token") or request.headers.get("Authorization", "")[7:]
        return right in self.tokens.get(secret, frozenset())

    def _need(self, request: web.Request, right: str) -> None:
        if not self._may(request, right):
            raise RefusedByNomad("Permission denied", 403)

    async def _seen(self, request: web.Request, table: str, find: Callable[[], Any]) -> web.Response:
        """What `find` finds, once its table is newer than the caller knows."""
        if known := int(request.query.get("index", 0)):
            await self.cluster.wait_beyond(table, known, _seconds(request.query.get("wait", "5m")))
        found = find()
        headers = {
            "X-Nomad-Index": str(self.cluster.indexes[table]),
            "X-Nomad-Knownleader": "true",
            "X-Nomad-Lastcontact": "0",
        }
        return web.json_response(found, headers=headers)

    async def _leader(self, _request: web.Request) -> web.Response:
        return web.json_response("127.0.0.1:4647")

    async def _health(self, _request: web.Request) -> web.Response:
        return web.json_response({"server": {"message": "ok", "ok": True}})

    async def _forbidden(self, request: web.Request) -> web.Response:
        self._need(request, "agent:read")
        return web.json_response({"config": {"ACL": {"Enabled": bool(self.tokens)}}})

    async def _members(self, request: web.Request) -> web.Response:
        self._need(request, "node:read")
        member = {"Name": "server.global", "Status": "alive", "Tags": {"build": self.version, "role": "nomad"}}
        return web.json_response({"ServerName": "server", "Members": [member]})

    async def _own_token(self, request: web.Request) -> web.Response:
        secret = request.headers.get("X-Nomad-Token", "")
        if not self.tokens:
            raise RefusedByNomad("ACL support disabled", 400)
        if secret and secret not in self.tokens:
            raise RefusedByNomad("Permission denied", 403)
        name = "yurt" if secret else "anonymous"
        return web.json_response({"Name": name, "Type": "client", "Policies": [name], "AccessorID": name})

    async def _jwks(self, _request: web.Request) -> web.Response:
        key = RSAAlgorithm.to_jwk(self._key.public_key(), as_dict=True)
        return web.json_response({"keys": [{**key, "use": "sig", "alg": "RS256", "kid": self._kid}]})

    async def _nodes(self, request: web.Request) -> web.Response:
        self._need(request, "node:read")
        shape = self.cluster.node_shape
        return await self._seen(request, "nodes", lambda: [shape(node) for node in self.cluster.nodes.values()])

    async def _node(self, request: web.Request) -> web.Response:
        self._need(request, "node:read")
        node = self.cluster.nodes.get(request.match_info["node"])
        if node is None:
            raise RefusedByNomad("node not found", 404)
        return await self._seen(request, "nodes", lambda: self.cluster.node_shape(node))

    async def _jobs(self, request: web.Request) -> web.Response:
        self._need(request, "list-jobs")
        prefix, meta = request.query.get("prefix", ""), request.query.get("meta") == "true"

        def find() -> list[Json]:
            jobs = self.cluster.jobs
            return [job_stub(jobs[name], meta=meta) for name in sorted(jobs) if name.startswith(prefix)]

        return await self._seen(request, "jobs", find)

    async def _register(self, request: web.Request) -> web.Response:
        self._need(request, "submit-job")
        return self._done(self.cluster.register((await request.json())["Job"]))

    async def _parse(self, request: web.Request) -> web.Response:
        self._need(request, "submit-job")
        body = await request.json()
        return web.json_response(self.parse(body["JobHCL"], body.get("Variables") or ""))

    async def _validate(self, request: web.Request) -> web.Response:
        self._need(request, "read-job")
        return web.json_response({"DriverConfigValidated": True, "ValidationErrors": None, "Error": "", "Warnings": ""})

    async def _job(self, request: web.Request) -> web.Response:
        self._need(request, "read-job")
        name = request.match_info["job"]
        if name not in self.cluster.jobs:
            raise RefusedByNomad("job not found", 404)
        return await self._seen(request, "jobs", lambda: self.cluster.jobs[name])

    async def _deregister(self, request: web.Request) -> web.Response:
        self._need(request, "submit-job")
        purge = request.query.get("purge") == "true"
        return self._done(self.cluster.deregister(request.match_info["job"], purge=purge))

    async def _plan(self, request: web.Request) -> web.Response:
        self._need(request, "submit-job")
        return web.json_response(self.cluster.plan((await request.json())["Job"]))

    async def _dispatch(self, request: web.Request) -> web.Response:
        self._need(request, "dispatch-job")
        body = await request.json()
        if self.knobs.drops_dispatches:
            self.knobs.drops_dispatches -= 1
            return _hang_up(request)
        token = request.query.get("idempotency_token") or body.get("IdempotencyToken")
        made = self.cluster.dispatch(request.match_info["job"], body.get("Meta") or {}, token)
        if self.knobs.loses_dispatches:
            self.knobs.loses_dispatches -= 1
            return _hang_up(request)
        return self._done(made)

    async def _job_allocations(self, request: web.Request) -> web.Response:
        self._need(request, "read-job")
        name = request.match_info["job"]
        return await self._seen(
            request, "allocations", lambda: self._stubs(request, lambda found: bool(found["JobID"] == name))
        )

    async def _job_evaluations(self, request: web.Request) -> web.Response:
        self._need(request, "read-job")
        name = request.match_info["job"]
        return await self._seen(
            request,
            "evaluations",
            lambda: [found for found in reversed(self.cluster.evaluations.values()) if found["JobID"] == name],
        )

    async def _allocations(self, request: web.Request) -> web.Response:
        self._need(request, "read-job")
        wanted = _filter(request.query.get("filter"))
        return await self._seen(request, "allocations", lambda: self._stubs(request, wanted))

    def _stubs(self, request: web.Request, wanted: Callable[[Json], bool]) -> list[Json]:
        resources = request.query.get("resources") == "true"
        task_states = request.query.get("task_states", "true") == "true"
        return [
            allocation_stub(found, resources=resources, task_states=task_states)
            for found in self.cluster.allocations.values()
            if wanted(found)
        ]

    async def _allocation(self, request: web.Request) -> web.Response:
        if not self._may(request, "read-job"):
            raise RefusedByNomad(f'Unknown allocation "{request.match_info["allocation"]}"')
        found = self.cluster.allocations.get(request.match_info["allocation"])
        if found is None:
            raise RefusedByNomad("alloc not found", 404)
        return await self._seen(request, "allocations", lambda: found)

    async def _logs(self, request: web.Request) -> web.Response:
        self._need(request, "read-logs")
        found = self.cluster.allocations.get(request.match_info["allocation"])
        if found is None:
            raise RefusedByNomad("alloc not found", 404)
        if not all(state["StartedAt"] for state in (found["TaskStates"] or {"": {"StartedAt": None}}).values()):
            task = request.query["task"]
            raise RefusedByNomad(f'task "{task}" not started yet. No logs available', 404)
        return web.Response(text=self.cluster.output.get((found["ID"], request.query["type"]), ""))

    async def _evaluation(self, request: web.Request) -> web.Response:
        self._need(request, "read-job")
        found = self.cluster.evaluations.get(request.match_info["evaluation"])
        if found is None:
            raise RefusedByNomad("eval not found", 404)
        return await self._seen(request, "evaluations", lambda: found)

    def _done(self, answer: Json) -> web.Response:
        return web.json_response(answer, headers={"X-Nomad-Index": str(answer.get("Index", 0))})

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        cut = asyncio.Event()
        self._streams.add(cut)
        try:
            topics = request.query.getall("topic", [])
            if self.knobs.refuses_streams or not all(self._may(request, _right_of(topic)) for topic in topics):
                await cut.wait()  # as the real one: 200, and then silence
                return response
            await response.write(b"{}\n")
            await self._send_events(response, topics, int(request.query.get("index", 0)), cut)
        finally:
            self._streams.discard(cut)
        return response

    async def _send_events(self, to: web.StreamResponse, topics: list[str], index: int, cut: asyncio.Event) -> None:
        sent = min(index, self.cluster.index + 1) - 1
        while not cut.is_set():
            changed = self.cluster.changed
            for at, events in list(self.cluster.events):
                wanted = [event for event in events if any(_wants(topic, event) for topic in topics)]
                if at > sent and wanted:
                    await to.write(json.dumps({"Index": at, "Events": wanted}).encode() + b"\n")
            sent = self.cluster.index
            waits = {asyncio.ensure_future(cut.wait()), asyncio.ensure_future(changed.wait())}
            try:
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for wait in waits:
                    wait.cancel()


def _hang_up(request: web.Request) -> web.Response:
    assert request.transport is not None
    request.transport.close()
    return web.Response()


def _seconds(text: str) -> float:
    """A time such as `55s`, `1m` or `300ms`."""
    found = re.fullmatch(r"(\d+)(ms|s|m)", text)
    if found is None:
        raise RefusedByNomad(f'Invalid wait time: time: invalid duration "{text}"', 400)
    return int(found[1]) * {"ms": 0.001, "s": 1, "m": 60}[found[2]]


def _filter(expression: str | None) -> Callable[[Json], bool]:
    if expression is None:
        return lambda _found: True
    parts = FILTER.fullmatch(expression)
    if parts is None:
        raise RefusedByNomad(f"the double does not understand the filter {expression}", 400)
    operator, value = parts[1], parts[2]
    if operator == "==":
        return lambda found: bool(found["JobID"] == value)
    return lambda found: re.search(value, found["JobID"]) is not None


def _right_of(topic: str) -> str:
    return "node:read" if topic.startswith("Node:") else "read-job"


def _wants(topic: str, event: Json) -> bool:
    kind, _, key = topic.partition(":")
    return kind in {event["Topic"], "*"} and key in {"", "*", event["Key"], *(event["FilterKeys"] or [])}
