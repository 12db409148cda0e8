"""The same cluster twice: the real programs, and the double."""

import asyncio
import json
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import aiohttp

from scripts.stack.gpus import parse_gpus
from scripts.stack.stack import Stack
from tests.fakes.nomad import Gpus, Node, NomadDouble

ANSWER_S = 90
HAPPENS_S = 60
TASK = "main"
NODES = {"node-1": "h100:2,t4:2", "node-2": "l4:1"}


@dataclass
class Answer:
    """One answer of Nomad."""

    status: int
    index: int
    text: str

    @property
    def json(self) -> Any:
        """The body."""
        return json.loads(self.text)


class World:
    """A Nomad and those who call it.

    Args:
        token: with the rights of Yurt.
        powerless: a token that may do nothing in the namespace.
    """

    def __init__(self, address: str, token: str, powerless: str, session: aiohttp.ClientSession) -> None:
        self.address = address
        self.token = token
        self.powerless = powerless
        self.http = session
        self._jobs: list[str] = []

    async def call(self, method: str, path: str, body: Any = None, token: str | None = None) -> Answer:
        """One request."""
        headers = {"X-Nomad-Token": self.token if token is None else token}
        async with self.http.request(method, self.address + path, json=body, headers=headers) as answer:
            return Answer(answer.status, int(answer.headers.get("X-Nomad-Index", 0)), await answer.text())

    async def ask(self, method: str, path: str, body: Any = None) -> Any:
        """One request that succeeds; the body of its answer."""
        answer = await self.call(method, path, body)
        assert answer.status == 200, answer.text
        return answer.json

    def new_name(self) -> str:
        """A name for a job, gone at the end."""
        name = f"t{uuid.uuid4().hex[:8]}"
        self._jobs.append(name)
        return name

    async def register(self, command: str = "sleep", *args: str, **keys: Any) -> str:
        """Register a parameterized job that runs a command; its name."""
        name = self.new_name()
        await self.ask("POST", "/v1/jobs", {"Job": job(name, command, *args, **keys)})
        return name

    async def dispatch(self, name: str, **meta: str) -> str:
        """Start a child of it; the child's name."""
        body = {"Meta": {"container_id": "c-1", **meta}}
        made = await self.ask("POST", f"/v1/job/{name}/dispatch", body)
        return str(made["DispatchedJobID"])

    async def allocation(self, child: str, holds: Callable[[Any], object] = bool) -> Any:
        """The allocation of a child, once it is as wanted."""
        async with asyncio.timeout(HAPPENS_S):
            while True:
                for found in await self.ask("GET", f"/v1/job/{quoted(child)}/allocations"):
                    if holds(found):
                        return found
                await asyncio.sleep(0.05)

    async def frames(self, *topics: str, index: int, token: str | None = None) -> AsyncGenerator[Any, None]:
        """What an event stream says, line by line."""
        query = "&".join([*(f"topic={topic}" for topic in topics), f"index={index}"])
        headers = {"X-Nomad-Token": self.token if token is None else token}
        async with self.http.get(f"{self.address}/v1/event/stream?{query}", headers=headers) as answer:
            assert answer.status == 200
            # Frames may be longer than a line may be for `readline`.
            rest = b""
            async for part in answer.content.iter_any():
                *lines, rest = (rest + part).split(b"\n")
                for line in lines:
                    if line.strip():
                        yield json.loads(line)

    async def forget(self) -> None:
        """Purge the jobs that were made here."""
        for name in self._jobs:
            for found in await self.ask("GET", f"/v1/jobs?prefix={name}"):
                await self.call("DELETE", f"/v1/job/{quoted(found['ID'])}?purge=true")


def quoted(name: str) -> str:
    """A name in a path. Those of children have a slash in them."""
    return quote(name, safe="")


def running(allocation: Any) -> bool:
    """Whether its task runs."""
    return bool(allocation["ClientStatus"] == "running")


def ended(allocation: Any) -> bool:
    """Whether its task has ended."""
    return allocation["ClientStatus"] in {"complete", "failed"}


def killed(allocation: Any) -> bool:
    """Whether its task was ended, and all is told of that."""
    return ended(allocation) and "Killed" in {event["Type"] for event in allocation["TaskStates"][TASK]["Events"]}


def gpu(model: str, count: int = 1) -> dict[str, Any]:
    """What a task wants, with a model by a pattern."""
    constraint = {"LTarget": "${device.model}", "Operand": "regexp", "RTarget": model}
    return {"Devices": [{"Name": "nvidia/gpu", "Count": count, "Constraints": [constraint]}]}


def job(name: str, command: str, *args: str, resources: Any = None, **keys: Any) -> dict[str, Any]:
    """A parameterized job of one task."""
    task = {
        "Name": TASK,
        "Driver": "raw_exec",
        "Config": {"command": command, "args": list(args) or ["600"]},
        "Resources": {"CPU": 10, "MemoryMB": 16, **(resources or {})},
        "Identities": [{"Name": "yurt", "Audience": ["yurt"], "File": True, "TTL": 3_600_000_000_000}],
    }
    never = {"Attempts": 0, "Mode": "fail", "Interval": 86_400_000_000_000, "Delay": 15_000_000_000}
    group = {
        "Name": "container",
        "Tasks": [task],
        "RestartPolicy": never,
        "ReschedulePolicy": {"Attempts": 0, "Unlimited": False},
    }
    return {
        "ID": name,
        "Name": name,
        "Type": "batch",
        "Meta": {"yurt": "yes"},
        "ParameterizedJob": {"Payload": "forbidden", "MetaRequired": ["container_id"]},
        "TaskGroups": [group],
        **keys,
    }


def _nodes() -> list[Node]:
    def gpus(text: str, node: str) -> list[Gpus]:
        return [Gpus(each.model, each.memory_mib, each.ids(node)) for each in parse_gpus(text)]

    return [Node(str(uuid.uuid4()), name, gpus(text, name)) for name, text in NODES.items()]


@asynccontextmanager
async def double_world() -> AsyncIterator[tuple[World, NomadDouble]]:
    """The double with the nodes of the fixture `stack`."""
    double = await NomadDouble(_nodes()).start()
    double.tokens["nobodys-token"] = frozenset()
    try:
        async with _session() as session:
            yield World(double.address, "yurts-token", "nobodys-token", session), double
    finally:
        await double.stop()


@asynccontextmanager
async def real_world(stack: Stack) -> AsyncIterator[World]:
    """The real Nomad."""
    rules = 'namespace "other" {\n  capabilities = ["list-jobs"]\n}\n'
    stack.nomad("POST", "/v1/acl/policy/powerless", {"Name": "powerless", "Rules": rules})
    made = stack.nomad("PUT", "/v1/acl/token", {"Name": "powerless", "Type": "client", "Policies": ["powerless"]})
    async with _session() as session:
        world = World(stack.plan.nomad_address, stack.token(), made["SecretID"], session)
        yield world
        await world.forget()
    stack.nomad("DELETE", f"/v1/acl/token/{made['AccessorID']}")


@asynccontextmanager
async def _session() -> AsyncIterator[aiohttp.ClientSession]:
    connector = aiohttp.TCPConnector(limit=0, force_close=True)
    timeout = aiohttp.ClientTimeout(total=ANSWER_S)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout, requote_redirect_url=False) as session:
        yield session
