"""From what stands in a path or a query to the function that it means."""

from typing import Any

from yurt.domain.functions import LiveFunction
from yurt.inbound.rest.context import Context


async def find_live(ctx: Context[Any, Any], ref: str, environment: str | None) -> LiveFunction:
    """The live function that an id or `app:function` means.

    Raises:
        NotFound: there is none that the caller may see.
        AppStopped: there was one.
    """
    live = ctx.services.functions.lookup(ctx.principal, ref, environment)
    if live is None:
        raise await ctx.services.functions.missing(ctx.principal, ref, environment)
    return live


async def function_id_of(ctx: Context[Any, Any], ref: str, environment: str | None) -> str:
    """The id of a function, live or, by id, gone.

    Raises:
        NotFound: there is none that the caller may see.
    """
    live = ctx.services.functions.lookup(ctx.principal, ref, environment)
    if live is not None:
        return live.function_id
    return (await ctx.services.functions.get(ctx.principal, ref, environment)).function.id
