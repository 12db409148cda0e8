"""The figures of a function."""

import json

from aiohttp import web
from pydantic import Field

from yurt.domain.records import Role
from yurt.domain.times import rfc3339
from yurt.inbound.rest.answers import json_answer
from yurt.inbound.rest.context import Context
from yurt.inbound.rest.functions_by import find_live
from yurt.inbound.rest.models import Name, Query, Shown, Time
from yurt.inbound.rest.operations import Answer, Operation
from yurt.usecases import stats as figures
from yurt.usecases.stats import FunctionStats, function_stats


class Percentiles(Shown):
    """Milliseconds; absent where nothing was seen."""

    p50: float | None = None
    p95: float | None = None
    p99: float | None = None


class Latency(Shown):
    """How long inputs waited, containers started, user code ran."""

    queue: Percentiles
    startup: Percentiles
    run: Percentiles


class ContainerCounts(Shown):
    """Containers by what they do."""

    total: int
    starting: int
    busy: int
    idle: int
    draining: int


class CallCounts(Shown):
    """Calls that ended in the window."""

    success: int
    failure: int
    terminated: int


class LimitedBy(Shown):
    """Why there are not more containers."""

    code: str
    since: Time
    message: str


class DrainingRevision(Shown):
    """An older revision that finishes what it runs."""

    revision: int
    containers: int
    running_inputs: int


class PoolStats(Shown):
    """One combination of parameters of a class: a pool of its own."""

    parameters: dict[str, str | int | bool]
    backlog: int
    running_inputs: int
    containers: ContainerCounts


class Stats(Shown):
    """What a function is doing, and what it did in the last minutes."""

    function_id: str
    revision: int
    observed_at: Time
    backlog: int = Field(description="Inputs that wait.")
    running_inputs: int
    input_headroom: int = Field(description="Inputs that could still run at once.")
    oldest_pending_s: float | None = None
    containers: ContainerCounts
    desired_containers: int
    limited_by: LimitedBy | None = None
    window_s: int
    calls: CallCounts
    latency_ms: Latency
    cold_starts: int
    draining_revisions: list[DrainingRevision]
    num_pools: int | None = Field(
        default=None, description="Of a class with parameters: combinations that have inputs or containers."
    )
    pools: list[PoolStats] | None = Field(
        default=None, description="Of these the first 100, those with the longest backlog first."
    )


class StatsQuery(Query):
    """Where the function is looked up."""

    environment: Name | None = Field(default=None, description="For `app:function`; else the token's, else `main`.")


def _shown(stats: FunctionStats) -> Stats:
    summary, limit = stats.summary, stats.limited_by
    return Stats(
        function_id=stats.function_id,
        revision=stats.revision,
        observed_at=rfc3339(stats.observed_at),
        backlog=stats.backlog,
        running_inputs=stats.running_inputs,
        input_headroom=stats.input_headroom,
        oldest_pending_s=stats.oldest_pending_s,
        containers=ContainerCounts(
            total=stats.starting + stats.busy + stats.idle + stats.draining,
            starting=stats.starting,
            busy=stats.busy,
            idle=stats.idle,
            draining=stats.draining,
        ),
        desired_containers=stats.desired_containers,
        limited_by=LimitedBy(code=limit[0], message=limit[1], since=rfc3339(limit[2])) if limit is not None else None,
        window_s=stats.window_s,
        calls=CallCounts(**summary.calls),
        latency_ms=Latency(
            queue=Percentiles(**summary.queue_ms),
            startup=Percentiles(**summary.startup_ms),
            run=Percentiles(**summary.run_ms),
        ),
        cold_starts=summary.cold_starts,
        draining_revisions=[
            DrainingRevision(revision=revision, containers=containers, running_inputs=inputs)
            for revision, containers, inputs in stats.draining_revisions
        ],
        num_pools=stats.num_pools,
        pools=[_pool(one) for one in stats.pools] if stats.pools is not None else None,
    )


def _pool(one: figures.PoolStats) -> PoolStats:
    counts = ContainerCounts(
        total=one.starting + one.busy + one.idle + one.draining,
        starting=one.starting,
        busy=one.busy,
        idle=one.idle,
        draining=one.draining,
    )
    return PoolStats(
        parameters=json.loads(one.parameters_json),
        backlog=one.backlog,
        running_inputs=one.running_inputs,
        containers=counts,
    )


async def _get(ctx: Context[StatsQuery, None]) -> web.StreamResponse:
    live = await find_live(ctx, ctx.path["function_id"], ctx.query.environment)
    services = ctx.services
    return json_answer(200, _shown(function_stats(services.heart, services.clock, live.function_id, live.revision)))


OPERATIONS: tuple[Operation, ...] = (
    Operation(
        method="GET",
        path="/v1/functions/{function_id}/stats",
        operation_id="getFunctionStats",
        tag="Functions",
        summary="Read a function's figures",
        description="What waits and runs now, and counts and latencies of the last five minutes.",
        role=Role.READ,
        handler=_get,
        query=StatsQuery,
        answers=(Answer(200, "The figures.", Stats),),
        problems=(404, 409),
    ),
)
"""Rows of the operation table."""
