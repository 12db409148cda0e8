"""The functions that live: deployed, scaled, retired."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from yurt.domain.endings import Ending
from yurt.domain.functions import LiveFunction, Scaling
from yurt.domain.startup import Startup
from yurt.pools.background import Background
from yurt.pools.families import Families
from yurt.pools.inputs import Input
from yurt.pools.lives import STOP_GRACE_S, Lives
from yurt.pools.maps import Maps
from yurt.pools.pool import Pool
from yurt.pools.reach import Reach
from yurt.pools.scaling import rescale, scale
from yurt.pools.stored import Place, Stored
from yurt.pools.traffic import Away
from yurt.ports import Clock

CANCEL_BATCH = 500
"""Inputs that are ended in one turn of the loop when a whole function is retired."""


class LiveFunctions:
    """Keeps the pools of each function in step with its revision and its scaling (`yurt.ports.Deployments`).

    Args:
        pools: all of them, by queue.
        new_pool: makes one.
        families: which of them belong to one function.
        inputs: every input that has not ended and is in memory, by seq.
        lives: who starts and ends containers.

    Attributes:
        scale_wanted: called when a pool asks for a decision.
    """

    def __init__(
        self,
        *,
        pools: dict[str, Pool],
        new_pool: Callable[[LiveFunction], Pool],
        families: Families,
        inputs: Mapping[int, Input],
        maps: Maps,
        stored: Stored,
        reach: Reach,
        lives: Callable[[], Lives],
        background: Background,
        clock: Clock,
    ) -> None:
        self._pools = pools
        self._new_pool = new_pool
        self._families = families
        self._inputs = inputs
        self._maps = maps
        self._stored = stored
        self._reach = reach
        self._lives = lives
        self._background = background
        self._clock = clock
        self._to_scale: set[Pool] = set()
        self._closed = False
        self.scale_wanted: Callable[[], None] = lambda: None

    def deploy(self, function: LiveFunction) -> None:
        """This revision is now the function's current one."""
        if function.function_id not in self._pools:
            self._pools[function.function_id] = self._new_pool(function)
        for pool in self._families.all(function.function_id):
            if function.revision != pool.live.revision:
                pool.startup, pool.start_error, pool.refusal = Startup(), None, None
                pool.mean_run_s = None
            pool.live = function.of(pool.live.parameters_json)
            self._drop_starting(pool)
            self.want_scale(pool)
        self._keep_floor(function)

    def _keep_floor(self, function: LiveFunction) -> None:
        if (pool := self._families.floor(function)) is not None:
            self.want_scale(pool)

    def _drop_starting(self, pool: Pool) -> None:
        """Containers of an older revision that are not ready serve nobody."""
        for member in list(pool.members.values()):
            if member.function.revision < pool.live.revision and not member.ready:
                self._lives().drain(pool, member, "a newer revision was deployed", grace_s=0)

    def yields(self, function: LiveFunction) -> bool:
        """Whether a container of that revision has said that the function is a generator."""
        members = (member for pool in self._families.all(function.function_id) for member in pool.members.values())
        return any(member.yields and member.function.revision == function.revision for member in members)

    def rescale(self, function_id: str, scaling: Scaling) -> None:
        """The effective scaling of a function changed."""
        for pool in self._families.all(function_id):
            rescale(pool, scaling)
            self.want_scale(pool)
            if pool.id == function_id:
                self._keep_floor(replace(pool.live, scaling=scaling))

    def retire(self, function_id: str, *, by: str) -> None:
        """The function is gone: its inputs end `cancelled`, in batches, and its containers drain."""
        pools = self._families.all(function_id)
        if not pools or pools[0].retired_by is not None:
            return
        self._maps.retire(function_id, by)
        walks: list[tuple[Pool, Sequence[Place]]] = []
        for pool in pools:
            pool.retired_by = by
            if pool.traffic is not None:
                pool.traffic.turn_away(Away.GONE)
            streams = (stream for stream in pool.queue.streams if stream.found is None)
            walks.append((pool, self._stored.places(streams)))
        self._background.run("retire-function", self._retire(walks, by))

    async def _retire(self, walks: Sequence[tuple[Pool, Sequence[Place]]], by: str) -> None:
        grace_s = self._lives().cancel_grace_s
        homes = {pool.id: pool for pool, _ in walks}
        mine = [(homes[item.queue], item) for item in self._inputs.values() if item.queue in homes]
        for index, (pool, item) in enumerate(mine):
            pool.endings.cancel(item, by, grace_s=grace_s)
            if index % CANCEL_BATCH == CANCEL_BATCH - 1:
                await self._clock.sleep(0)
        for pool in homes.values():
            for member in list(pool.members.values()):
                self._lives().drain(pool, member, by, grace_s=STOP_GRACE_S)
        for pool, places in walks:
            for batches in (self._stored.walk(pool, places), self._reach.held_back(pool)):
                async for items in batches:
                    for item in items:
                        pool.endings.cancel(item, by, grace_s=grace_s)

    def containers_running(self, function_id: str) -> int:
        """How many containers of the function live."""
        return self._lives().running(function_id)

    def deploy_error(self, function_id: str) -> Ending | None:
        """Why the current revision does not start, while it does not with any parameters."""
        pools = self._families.all(function_id)
        if any(m.ready and m.function.revision == pool.live.revision for pool in pools for m in pool.members.values()):
            return None
        return next((pool.start_error for pool in pools if pool.startup.gives_up), None)

    # ------------------------------------------------------------------ scaling

    def want_scale(self, pool: Pool) -> None:
        """Have scaling decided for `pool` soon."""
        self._to_scale.add(pool)
        self.scale_wanted()

    def scale(self, pools: Iterable[Pool] | None = None) -> None:
        """Decide and apply for `pools`, or for those that asked."""
        asked, self._to_scale = self._to_scale, set()
        wanted = asked if pools is None else list(pools)
        for pool in wanted:
            self._scale(pool)
        self._families.tidy(wanted, lambda: {item.queue for item in self._inputs.values()}, self._clock.monotonic())

    def _scale(self, pool: Pool) -> None:
        if pool.retired_by is not None:
            if not pool.members:
                self._families.drop(pool)
            return
        if self._closed:
            return
        scale(pool, self._lives(), self._clock.monotonic())

    def close(self) -> None:
        """Start nothing more."""
        self._closed = True
