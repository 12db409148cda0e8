"""Pools that belong together: those of one class, one for each combination of parameters that is in use."""

from collections.abc import Callable, Iterable
from typing import TypeAlias

from yurt.domain.classes import MAX_QUEUES, queue_of
from yurt.domain.errors import TooManyPending
from yurt.domain.functions import LiveFunction
from yurt.domain.startup import MAX_BACKOFF_S
from yurt.pools.pool import Pool

Family: TypeAlias = dict[str, Pool]


class Families:
    """Finds the pools of a function, and makes those of combinations of parameters.

    The pool of the function itself is there as long as the function is. Of a class with parameters it stands for the
    class, and has inputs and containers only for calls that were made before it had any. Each of the others is made by
    the first call, container or stored input that needs it, and forgotten once nothing is left of it.

    Args:
        pools: all of them, by queue.
        make: makes a pool.
    """

    def __init__(self, pools: dict[str, Pool], make: Callable[[LiveFunction], Pool]) -> None:
        self._pools = pools
        self._make = make
        self._families: dict[str, Family] = {}

    def all(self, function_id: str) -> list[Pool]:
        """Every pool of a function, its own first; empty where there is no such function."""
        own = self._pools.get(function_id)
        others = self._families.get(function_id, {})
        return [*([own] if own is not None else ()), *others.values()]

    def home(self, function_id: str, parameters_json: str | None) -> Pool | None:
        """The pool for these parameters, which is made if there is none; None where the function is gone."""
        queue = queue_of(function_id, parameters_json)
        found, own = self._pools.get(queue), self._pools.get(function_id)
        if found is not None or own is None or own.retired_by is not None:
            return found
        made = self._pools[queue] = self._make(own.live.of(parameters_json))
        made.stats = own.stats  # they are the function's, and outlive this pool
        self._families.setdefault(function_id, {})[queue] = made
        return made

    def floor(self, function: LiveFunction) -> Pool | None:
        """The pool for calls that give no parameters, if the class keeps some of its containers warm."""
        given = function.of_class.defaults_json if function.of_class is not None else None
        return self.home(function.function_id, given) if given and function.scaling.min_containers else None

    def asked(self, live: LiveFunction, queue: str, parameters_json: str | None) -> Pool | None:
        """The same for a new call, of which too many at once are refused.

        Raises:
            TooManyPending: too many combinations of parameters are in use.
        """
        found = self._pools.get(queue)
        if found is None and len(self._families.get(live.function_id, ())) >= MAX_QUEUES:
            raise TooManyPending(
                f"{live.address} has inputs or containers for {MAX_QUEUES} combinations of parameters, which is the "
                "limit. Call it with those that are in use, or wait until some have scaled down.",
                code="too_many_parameter_sets",
                retry_after_s=5,
            )
        return found if found is not None else self.home(live.function_id, parameters_json)

    def drop(self, pool: Pool) -> None:
        """Forget a pool."""
        if self._pools.get(pool.id) is not pool:
            return
        del self._pools[pool.id]
        family = self._families.get(pool.live.function_id, {})
        family.pop(pool.id, None)
        if not family:
            self._families.pop(pool.live.function_id, None)

    def tidy(self, pools: Iterable[Pool], open_queues: Callable[[], set[str]], now: float) -> None:
        """Forget those of `pools` that were made for parameters and of which nothing is left.

        Args:
            open_queues: where the inputs in memory belong; those on their way between two places too.
            now: the monotonic clock's. While starts fail the pool is kept, for it says when to try again.
        """
        empty = [pool for pool in pools if pool.live.parameters_json is not None and _is_empty(pool, now)]
        if empty:
            used = open_queues()
            for pool in empty:
                if pool.id not in used:
                    self.drop(pool)


def _is_empty(pool: Pool, now: float) -> bool:
    backs_off = pool.startup.failures > 0 and now < pool.startup.not_before + MAX_BACKOFF_S
    in_use = pool.members or len(pool.queue) or pool.held_back or pool.live.scaling.min_containers
    return not (in_use or backs_off)
