"""What receivers of callbacks are told, and how callbacks and their secrets are shown."""

from collections.abc import Sequence

import msgspec
from pydantic import Field

from yurt.domain.callbacks import state_of
from yurt.domain.records import Callback, CallbackSecret
from yurt.domain.times import rfc3339
from yurt.inbound.rest.answers import encode
from yurt.inbound.rest.call_shapes import Shaper
from yurt.inbound.rest.models import Shown, Time
from yurt.usecases.calls import Calls

TYPE = "call.finished"
MAX_RESULT_BYTES = 256 << 10
"""A larger result is left out; the receiver finds it where `result_url` says."""


class ShownSecret(Shown):
    """A secret that callbacks are signed with."""

    secret: str = Field(description="In the form of Standard Webhooks: `whsec_` and the bytes in base64.")
    created_at: Time
    expires_at: Time | None = Field(default=None, description="When it stops being used. Absent: the current one.")


class CallbackSecrets(Shown):
    """The secrets in use in an environment."""

    environment: str
    secrets: list[ShownSecret] = Field(description="The current one first. Callbacks bear a signature of each.")


def callback(record: Callback) -> dict[str, object]:
    """A callback, as clients see it."""
    out: dict[str, object] = {"url": record.url, "state": state_of(record), "attempts": record.attempts}
    if record.last_error is not None:
        out["last_error"] = record.last_error
    if record.due_at is not None:
        out["next_attempt_at"] = rfc3339(record.due_at)
    if record.delivered_at is not None:
        out["delivered_at"] = rfc3339(record.delivered_at)
    return out


def secrets(environment: str, records: Sequence[CallbackSecret]) -> CallbackSecrets:
    """Secrets, as clients see them."""
    shown = [
        ShownSecret(
            secret=record.secret,
            created_at=rfc3339(record.created_at),
            expires_at=None if record.expires_at is None else rfc3339(record.expires_at),
        )
        for record in records
    ]
    return CallbackSecrets(environment=environment, secrets=shown)


class Teller:
    """Writes what a receiver is told: the call as `GET /function-calls/{id}` shows it, in an envelope."""

    def __init__(self, calls: Calls, shaper: Shaper) -> None:
        self._calls = calls
        self._shaper = shaper

    async def __call__(self, seq: int) -> tuple[str, bytes | None]:
        """The call's visible id, and the body; None where the call is no longer kept."""
        call_id = self._shaper.call_id(seq)
        view = await self._calls.kept(seq)
        if view is None or view.result is None:
            return call_id, None
        data = await self._shaper.shown(self._calls, view)
        body: dict[str, object] = {"type": TYPE, "timestamp": rfc3339(view.result.finished_at), "data": data}
        if _too_large(data):
            del data["result"]
            body["result_url"] = f"/v1/function-calls/{call_id}"
        return call_id, encode(body)


def _too_large(data: dict[str, object]) -> bool:
    result = data.get("result")
    return isinstance(result, msgspec.Raw) and len(bytes(result)) > MAX_RESULT_BYTES
