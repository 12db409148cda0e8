"""A receiver of callbacks, and the check of their signatures as the specification has it."""

import base64
import hashlib
import hmac
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web
from aiohttp.test_utils import TestServer

CALLBACKS_MAY_REACH_US = ("--callback-allow", "127.0.0.0/8")


@dataclass
class Message:
    """What came, before anything was believed."""

    headers: Mapping[str, str]
    body: bytes

    def signed_by(self, secret: str) -> bool:
        """Whether one of its signatures was made with `secret`.

        Written from https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md: the
        signed content is id, timestamp and body with full stops between, under HMAC-SHA256 with the decoded secret.
        """
        prefix, _, encoded = secret.partition("_")
        assert prefix == "whsec"
        head = f"{self.headers['webhook-id']}.{self.headers['webhook-timestamp']}."
        digest = hmac.new(base64.b64decode(encoded, validate=True), head.encode() + self.body, hashlib.sha256).digest()
        wanted = base64.b64encode(digest).decode()
        versions = [part.split(",", 1) for part in self.headers["webhook-signature"].split(" ")]
        return any(version == "v1" and hmac.compare_digest(value, wanted) for version, value in versions)


@dataclass
class Receiver:
    """Answers each request with the next of `answers`, then with 200."""

    url: str = ""
    answers: list[int] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)

    async def take(self, request: web.Request) -> web.Response:
        self.messages.append(Message(dict(request.headers), await request.read()))
        status = self.answers.pop(0) if self.answers else 200
        return web.Response(status=status, headers={"Location": "/elsewhere"} if status == 302 else {})


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    """A receiver on this machine."""
    receiver = Receiver()
    app = web.Application()
    app.router.add_post("/{path:.*}", receiver.take)
    server = TestServer(app)
    await server.start_server()
    receiver.url = f"http://127.0.0.1:{server.port}"
    try:
        yield receiver
    finally:
        await server.close()
