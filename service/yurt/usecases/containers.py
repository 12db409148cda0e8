"""Containers as callers see them: who runs where, since when, doing what, ended why."""

from dataclasses import dataclass

from yurt.domain.errors import NotFound
from yurt.domain.naming import shown
from yurt.domain.records import Container, ContainerState
from yurt.pools.inputs import Input
from yurt.pools.lives import STOP_GRACE_S, Lives
from yurt.pools.members import Member
from yurt.ports import Records
from yurt.usecases.places import Place, Places
from yurt.usecases.principals import Principal


@dataclass(frozen=True, slots=True)
class ContainerView:
    """A container as it stands; `rss_mib`, `cpu_s` and `running` are of a live one."""

    record: Container
    place: Place
    running: tuple[str, ...] = ()
    rss_mib: float | None = None
    cpu_s: float | None = None


class Containers:
    """What a caller can ask of containers."""

    def __init__(self, lives: Lives, records: Records, places: Places) -> None:
        self._lives = lives
        self._records = records
        self._places = places

    async def find(
        self,
        principal: Principal,
        *,
        state: str | None,
        function_id: str | None,
        before: str | None,
        limit: int,
    ) -> list[ContainerView]:
        """Containers that the caller may know of, newest first."""
        where: dict[str, str | int | float | None] = {}
        if function_id is not None:
            where["function_id"] = function_id
        if state is not None:
            where["state"] = state
        found: list[ContainerView] = []
        while len(found) < limit:
            cursor = (before,) if before is not None else None
            rows = await self._records.find(Container, where, before=cursor, limit=limit)
            for row in rows:
                view = await self._view(row)
                if view is not None and principal.sees(view.place.environment):
                    found.append(view)
            if len(rows) < limit:
                break
            before = rows[-1].id
        return found[:limit]

    async def get(self, principal: Principal, container_id: str) -> ContainerView:
        """One container.

        Raises:
            NotFound: there is none, or the caller may not know of it.
        """
        row = await self._records.get(Container, container_id)
        view = await self._view(row) if row is not None else None
        if view is None or not principal.sees(view.place.environment):
            raise NotFound(f"There is no container {shown(container_id)} that this token can see.")
        return view

    async def stop(self, principal: Principal, container_id: str) -> None:
        """Let a container finish what it runs, at most `STOP_GRACE_S`, then end it. An ended one stays so.

        Raises:
            NotFound: there is none, or the caller may not know of it.
        """
        await self.get(principal, container_id)
        entry = self._lives.get(container_id)
        if entry is not None:
            self._lives.drain(*entry, "stopped by a caller", grace_s=STOP_GRACE_S)

    def terminate(self, item: Input) -> None:
        """End the container that holds an input at once; what else it ran is run elsewhere."""
        entry = self._lives.get(item.member.id) if item.member is not None else None
        if entry is not None:
            self._lives.stop(*entry, grace_s=0)

    async def _view(self, row: Container) -> ContainerView | None:
        place = await self._places.of(row.function_id)
        if place is None:
            return None
        entry = self._lives.get(row.id)
        if entry is None:
            return ContainerView(row, place)
        member: Member = entry[1]
        running = tuple(f"in-{item.suffix}" for item in list(member.held.values())[: member.slots])
        record = member.record if member.state is not ContainerState.ENDED else row
        return ContainerView(record, place, running, member.rss_mib, member.cpu_s)
