"""What is asked of Consul, one request at a time."""

import ssl
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp

from yurt.outbound.token_file import TokenFile
from yurt.ports import ClusterRefused


@dataclass(frozen=True, slots=True)
class ConsulSettings:
    """Which Consul, and whose services.

    Args:
        address: of the agent's HTTP API.
        tag: what services of this installation are marked with.
        token: gives the token of its ACLs as it is now.
        ca_file: the certificate authority of its TLS; None for those of the machine.
    """

    address: str
    tag: str
    token: TokenFile = field(default_factory=TokenFile)
    ca_file: Path | None = None


class ConsulError(Exception):
    """There is no answer, or not the one that was asked for.

    Args:
        reason: for people.
        todo: what there is to do, if the reason tells; empty otherwise.
    """

    def __init__(self, reason: str, todo: str = "") -> None:
        super().__init__(reason)
        self.todo = todo


class TokenUnknown(ConsulError):
    """Consul does not know the token."""


class WithoutAcls(ConsulError):
    """Consul was asked of tokens, and has none."""


class ConsulApi:
    """Requests with the token and the certificate authority of the settings; every method raises `ConsulError`.

    Args:
        answer_may_take_s: longer than the longest wait that is asked for.
    """

    def __init__(self, settings: ConsulSettings, answer_may_take_s: float) -> None:
        self._settings = settings
        is_tls = settings.address.startswith("https://")
        connector = aiohttp.TCPConnector(
            limit=0, ssl=ssl.create_default_context(cafile=settings.ca_file) if is_tls else True
        )
        timeout = aiohttp.ClientTimeout(total=answer_may_take_s, sock_connect=5)
        self._session = aiohttp.ClientSession(timeout=timeout, connector=connector)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def ask(self, path: str, body: object = None, **params: str) -> tuple[Any, int]:
        """One request, a POST where it has a body; the answer and its index."""
        method, headers = "GET" if body is None else "POST", {}
        if token := self.token():
            headers["X-Consul-Token"] = token
        url = self._settings.address + path
        try:
            async with self._session.request(method, url, params=params, json=body, headers=headers) as answer:
                if answer.status != 200:
                    raise _refusal(answer.status, (await answer.text())[:200])
                return await answer.json(), int(answer.headers.get("X-Consul-Index", 0))
        except aiohttp.ClientConnectorCertificateError as error:
            todo = "Name the authority of its certificate with --consul-ca-file."
            raise ConsulError(f"{type(error).__name__}: {error}", todo) from error
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise ConsulError(f"{type(error).__name__}: {error}") from error

    def token(self) -> str:
        """The token as it is now; empty for none."""
        try:
            return self._settings.token()
        except ClusterRefused as error:
            raise ConsulError("It is asked nothing without its token.", f"{error} See --consul-token-file.") from error


def _refusal(status: int, text: str) -> ConsulError:
    kind = ConsulError
    if "ACL not found" in text:
        kind = TokenUnknown
    elif "ACL support disabled" in text:
        kind = WithoutAcls
    return kind(f"{status} {text.strip()}")
