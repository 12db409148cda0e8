"""What is asked of Nomad, typed: python-nomad's requester in a few threads of its own.

What the library leaves out is done here: TLS is checked, ids are quoted, the namespace goes with every request, the
idempotency token is where Nomad reads it, and errors are told apart. Its requests have no proxy and no ~/.netrc.
"""

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import quote

import requests
from nomad.api.base import Requester
from nomad.api.exceptions import BaseNomadException
from requests.adapters import HTTPAdapter

from yurt.outbound.engines.nomad.breaker import Breaker
from yurt.outbound.engines.nomad.errors import NomadError, Unreachable, error_of
from yurt.outbound.engines.nomad.settings import NomadSettings
from yurt.ports import ClusterRefused

THREADS = 8
"""Requests at once. Each takes a few milliseconds, and 5 s where the cluster has no leader."""

TIMEOUTS_S = (3.0, 10.0)
"""To connect, and between two bytes of an answer."""

LOG_BYTES = 4096
CLOSED = "this server ends"


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer.

    Args:
        index: of the state that it shows.
        date: when it was given, by the clock of who gave it, as HTTP writes it.
    """

    value: Any
    index: int
    date: str = ""


class NomadClient:
    """Every method raises a `NomadError`.

    Args:
        breaker: told how it goes.
    """

    def __init__(self, settings: NomadSettings, breaker: Breaker) -> None:
        session = requests.Session()
        session.trust_env = False
        adapter = HTTPAdapter(pool_connections=1, pool_maxsize=THREADS)
        session.mount("http://", adapter)
        session.mount("https://", adapter)
        self._session = session
        self._breaker = breaker
        self._token = settings.token
        self._scope = {"namespace": settings.namespace, "region": settings.region}
        self._requester = Requester(
            address=settings.address,
            timeout=TIMEOUTS_S,
            verify=str(settings.ca_file) if settings.ca_file is not None else True,
            session=session,
        )
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="nomad")
        self._closed = asyncio.Event()

    def close(self) -> None:
        """Let go of threads and connections; what is being asked is not waited for."""
        self._closed.set()
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._session.close()

    async def parse(self, hcl: str, variables: str) -> dict[str, Any]:
        """The job that a job specification describes."""
        body = {"JobHCL": hcl, "Variables": variables, "Canonicalize": False}
        job: dict[str, Any] = (await self._ask("POST", "jobs/parse", body)).value
        return job

    async def register(self, job: Mapping[str, Any], hcl: str, variables: str) -> None:
        """Register a job, or a newer version of it; the source is kept for Nomad's own UI."""
        source = {"Source": hcl, "Format": "hcl2", "Variables": variables}
        await self._ask("POST", "jobs", {"Job": job, "Submission": source})

    async def plan(self, job: Mapping[str, Any]) -> dict[str, Any]:
        """What would become of a job; nothing is changed."""
        path = f"job/{quoted(str(job['ID']))}/plan"
        found: dict[str, Any] = (await self._ask("POST", path, {"Job": job, "Diff": False})).value
        return found

    async def dispatch(self, job_id: str, meta: Mapping[str, str], token: str) -> str:
        """Start a child of a parameterized job; returns its id. Asked again with the same token, it is the same one."""
        path = f"job/{quoted(job_id)}/dispatch"
        reply = await self._ask("POST", path, {"Meta": meta}, idempotency_token=token)
        return str(reply.value["DispatchedJobID"])

    async def delete(self, job_id: str, *, purge: bool = False) -> None:
        """Stop a job; with `purge` everything about it is forgotten. One that is not there is no error."""
        await self._ask("DELETE", f"job/{quoted(job_id)}", purge="true" if purge else None)

    async def jobs(self, prefix: str) -> Reply:
        """Jobs by the beginning of their id, children included, each with its meta."""
        return await self._ask("GET", "jobs", prefix=prefix, meta="true")

    async def allocations(self, prefix: str) -> Reply:
        """Allocations of jobs by the beginning of their id, those of the past included."""
        return await self._ask("GET", "allocations", filter=f'JobID matches "^{prefix}"', task_states="true")

    async def allocations_of(self, job_id: str) -> list[dict[str, Any]]:
        """Allocations of one job."""
        found: list[dict[str, Any]] = (await self._ask("GET", f"job/{quoted(job_id)}/allocations")).value
        return found

    async def evaluations_of(self, job_id: str) -> list[dict[str, Any]]:
        """Evaluations of one job."""
        found: list[dict[str, Any]] = (await self._ask("GET", f"job/{quoted(job_id)}/evaluations")).value
        return found

    async def allocation(self, allocation_id: str) -> dict[str, Any]:
        """One allocation, with its job."""
        found: dict[str, Any] = (await self._ask("GET", f"allocation/{quoted(allocation_id)}")).value
        return found

    async def devices_in_use(self) -> list[dict[str, Any]]:
        """Allocations in all namespaces that the token may see, with what they were given."""
        found: list[dict[str, Any]] = (
            await self._ask("GET", "allocations", namespace="*", resources="true", task_states="false")
        ).value
        return found

    async def nodes(self) -> list[dict[str, Any]]:
        """Nodes, with what they have."""
        found: list[dict[str, Any]] = (await self._ask("GET", "nodes", resources="true")).value
        return found

    async def draining(self) -> list[str]:
        """The ids of the nodes that are to be emptied."""
        return [str(node["ID"]) for node in (await self._ask("GET", "nodes")).value if node.get("Drain")]

    async def keys(self) -> dict[str, Any]:
        """The public keys of workload identities."""
        found: dict[str, Any] = (await self._ask("GET", "/.well-known/jwks.json")).value
        return found

    async def members(self) -> list[dict[str, Any]]:
        """The servers."""
        found: list[dict[str, Any]] = (await self._ask("GET", "agent/members")).value["Members"]
        return found

    async def own_token(self) -> dict[str, Any]:
        """The token that is used."""
        found: dict[str, Any] = (await self._ask("GET", "acl/token/self")).value
        return found

    async def last_output(self, allocation_id: str, task: str, stream: str = "stderr") -> str:
        """The end of what a task has written."""
        reply = await self._ask(
            "GET",
            f"client/fs/logs/{quoted(allocation_id)}",
            task=task,
            type=stream,
            origin="end",
            offset=str(LOG_BYTES),
            plain="true",
        )
        return str(reply.value).strip()

    async def probe(self, method: str, path: str, body: object = None, **params: str | None) -> Reply:
        """Any request, for the doctor."""
        return await self._ask(method, path, body, **params)

    async def _ask(self, method: str, path: str, body: object = None, **params: str | None) -> Reply:
        if self._closed.is_set():
            raise Unreachable(0, CLOSED)
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        try:
            reply = await loop.run_in_executor(self._threads, partial(self._request, method, path, body, params))
        except asyncio.CancelledError:
            if self._closed.is_set() and task is not None and not task.cancelling():
                raise Unreachable(0, CLOSED) from None  # no thread will ask any more; nobody cancelled who asks
            raise
        except Unreachable as error:
            self._breaker.failed(time.monotonic(), time.time(), error.message)
            raise
        except NomadError:
            self._breaker.succeeded()
            raise
        self._breaker.succeeded()
        return reply

    def _request(self, method: str, path: str, body: object, params: Mapping[str, str | None]) -> Reply:
        """Blocks: for threads. All of them may set the token: it is the newest."""
        wanted = {name: value for name, value in {**self._scope, **params}.items() if value is not None}
        endpoint = path.removeprefix("/") if path.startswith("/") else f"v1/{path}"
        self._requester.token = token_of(self._token) or None
        try:
            response = self._requester._request(
                method=method, endpoint=endpoint, params=wanted, json=body, timeout=TIMEOUTS_S
            )
        except BaseNomadException as error:
            raise _told(error) from error
        if response.status_code != 200:
            raise error_of(response.status_code, response.text)  # a redirect: the library follows none
        return Reply(_value(response), _index(response), response.headers.get("Date", ""))


def token_of(tell: Callable[[], str]) -> str:
    """The token as it is now.

    Raises:
        Unreachable: it cannot be told.
    """
    try:
        return tell()
    except ClusterRefused as error:
        raise Unreachable(0, str(error)) from error


def quoted(word: str) -> str:
    """An id as one part of a path."""
    return quote(word, safe="")


def _told(error: BaseNomadException) -> NomadError:
    answer = error.nomad_resp
    if isinstance(answer, requests.Response):
        return error_of(answer.status_code, answer.text)
    return Unreachable(0, _bottom(answer)[:500])


def _bottom(error: BaseException) -> str:
    """What the system said below all that libraries have put around it."""
    bottom = error
    while deeper := bottom.__cause__ or bottom.__context__:
        bottom = deeper
    if isinstance(bottom, OSError) and bottom.strerror:
        return bottom.strerror
    return f"{type(error).__name__}: {error}"


def _value(response: requests.Response) -> Any:
    if "json" not in response.headers.get("Content-Type", ""):
        return response.text
    try:
        return json.loads(response.content)
    except ValueError as error:
        raise NomadError(response.status_code, f"Nomad's answer is not JSON: {error}") from error


def _index(response: requests.Response) -> int:
    text = response.headers.get("X-Nomad-Index", "0")
    return int(text) if text.isdigit() else 0
