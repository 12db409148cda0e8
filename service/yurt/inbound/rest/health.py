"""The operations that tell whether the server lives and works."""

from aiohttp import web
from pydantic import Field

from yurt.domain.errors import Unavailable
from yurt.inbound.rest.answers import json_answer
from yurt.inbound.rest.context import Context
from yurt.inbound.rest.models import Shown
from yurt.inbound.rest.operations import Answer, Operation
from yurt.inbound.rest.readiness import Phase

_OPEN_DESCRIPTION = "Open: needs no token."


class Liveness(Shown):
    """The process is there and its loop turns."""

    status: str


class Part(Shown):
    """One part that the server needs."""

    ready: bool
    reason: str | None = Field(default=None, description="Why not.")


class Readiness(Shown):
    """Whether the server can do its work."""

    ready: bool
    phase: Phase
    parts: dict[str, Part]
    notes: list[str] = Field(description="What an operator should know, such as missing isolation.")


async def _alive(ctx: Context[None, None]) -> web.StreamResponse:
    del ctx
    return json_answer(200, Liveness(status="ok"))


async def _ready(ctx: Context[None, None]) -> web.StreamResponse:
    health = ctx.services.health
    reasons = await health.parts()
    parts = {name: Part(ready=reason is None, reason=reason) for name, reason in reasons.items()}
    state = Readiness(
        ready=health.phase is Phase.SERVING and not any(reasons.values()),
        phase=health.phase,
        parts=parts,
        notes=health.remarks(),
    )
    if state.ready:
        return json_answer(200, state)
    failing = [f"{name}: {reason}" for name, reason in reasons.items() if reason]
    detail = " ".join(failing) or f"The server is {health.phase}."
    raise Unavailable(detail, extra=state.model_dump(mode="json", exclude_none=True))


OPERATIONS: tuple[Operation, ...] = (
    Operation(
        method="GET",
        path="/healthz",
        operation_id="getHealth",
        tag="Server",
        summary="Is the process alive?",
        description=_OPEN_DESCRIPTION,
        role=None,
        handler=_alive,
        answers=(Answer(200, "It is.", Liveness, example={"status": "ok"}),),
    ),
    Operation(
        method="GET",
        path="/readyz",
        operation_id="getReadiness",
        tag="Server",
        summary="Can the server do its work?",
        description=f"Asks every part. 503 with the same members while it cannot. {_OPEN_DESCRIPTION}",
        role=None,
        handler=_ready,
        answers=(
            Answer(
                200,
                "It can.",
                Readiness,
                example={
                    "ready": True,
                    "phase": "serving",
                    "parts": {"store": {"ready": True}, "engine": {"ready": True}},
                    "notes": ["The local engine does not isolate functions from this machine."],
                },
            ),
        ),
        problems=(503,),
    ),
)
"""Rows of the operation table."""
