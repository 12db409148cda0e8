"""The operation that tells what the engine has to give."""

from aiohttp import web
from pydantic import Field

from yurt.domain.capacity import GpuStock
from yurt.domain.records import Role
from yurt.inbound.rest.answers import json_answer
from yurt.inbound.rest.context import Context
from yurt.inbound.rest.models import Shown
from yurt.inbound.rest.operations import Answer, Operation
from yurt.usecases.supply import Seen


class GpuHolder(Shown):
    """A container that has GPUs of a type."""

    container_id: str
    function_id: str
    function: str = Field(description="`app:function`.")
    environment: str
    count: int


class GpuType(Shown):
    """The GPUs of one type."""

    type: str
    total: int
    free: int = Field(description="What a new container could get.")
    held_by: list[GpuHolder] = Field(description="Those of your environments; others are only in the difference.")


class GpuModel(Shown):
    """GPUs that no type stands for."""

    model: str
    count: int


class Capacity(Shown):
    """What the engine has to give."""

    engine: str
    reachable: bool = Field(description="Whether this is known now, or only what was known last.")
    reason: str | None = Field(default=None, description="Why it is not known.")
    gpus: list[GpuType]
    unmapped: list[GpuModel] = Field(description="The setting `gpu_models` gives them a type.")


def _gpu(stock: GpuStock, seen: Seen) -> GpuType:
    held = [(seen.holders[one], one, count) for one, count in sorted(stock.held.items()) if one in seen.holders]
    holders = [
        GpuHolder(
            container_id=container_id,
            function_id=function.function_id,
            function=function.address,
            environment=function.environment,
            count=count,
        )
        for function, container_id, count in held
    ]
    return GpuType(type=stock.type, total=stock.total, free=stock.free, held_by=holders)


async def _look(ctx: Context[None, None]) -> web.StreamResponse:
    seen = await ctx.services.supply.look(ctx.principal)
    found = seen.capacity
    answer = Capacity(
        engine=seen.engine,
        reachable=found.reason is None,
        reason=found.reason,
        gpus=[_gpu(stock, seen) for stock in found.gpus],
        unmapped=[GpuModel(model=model, count=count) for model, count in sorted(found.unmapped.items())],
    )
    return json_answer(200, answer)


OPERATIONS: tuple[Operation, ...] = (
    Operation(
        method="GET",
        path="/v1/capacity",
        operation_id="getCapacity",
        tag="Containers",
        summary="See what GPUs there are",
        description="The GPUs of the engine by type: how many, how many are free, and which containers hold them.",
        role=Role.READ,
        handler=_look,
        answers=(
            Answer(
                200,
                "What there is.",
                Capacity,
                example={
                    "engine": "local",
                    "reachable": True,
                    "gpus": [
                        {
                            "type": "H100",
                            "total": 2,
                            "free": 1,
                            "held_by": [
                                {
                                    "container_id": "co-01jd8x4r7n",
                                    "function_id": "fu-01jd8x0c5e",
                                    "function": "thumbs:resize",
                                    "environment": "main",
                                    "count": 1,
                                }
                            ],
                        }
                    ],
                    "unmapped": [{"model": "NVIDIA GeForce RTX 4090", "count": 1}],
                },
            ),
        ),
    ),
)
"""Rows of the operation table."""
