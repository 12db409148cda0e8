"""What the engine knows: its containers, and the last that Nomad said of their jobs. No I/O."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from yurt.outbound.engines.nomad.allocations import Allocation
from yurt.outbound.engines.nomad.reconcile import Job
from yurt.outbound.engines.nomad.spec import CONTAINER, DIGEST


@dataclass(slots=True, eq=False)
class Held:
    """A container whose end has not been reported.

    Attributes:
        placed: it has been given an allocation.
        stopping: it was told to end.
        unheard: Nomad could not be told so; it is told again once there is news.
        told: what was last reported of why it waits.
        ending: its end is being reported.
    """

    container_id: str
    job_id: str
    placed: bool = False
    stopping: bool = False
    unheard: bool = False
    told: str = ""
    ending: bool = False

    @property
    def parent(self) -> str:
        """The job that it was dispatched from."""
        return self.job_id.rpartition("/dispatch-")[0]


class Book:
    """Everything by the ids of jobs, and containers by their own too.

    Nomad says things in any order with the answer to a dispatch, so what is said of jobs that nobody knows yet is kept.
    """

    def __init__(self) -> None:
        self.containers: dict[str, Held] = {}
        self._by_job: dict[str, Held] = {}
        self._allocations: dict[str, Allocation] = {}
        self._metrics: dict[str, tuple[int, Mapping[str, Any] | None]] = {}

    def add(self, held: Held) -> None:
        """Follow a container."""
        self.containers[held.container_id] = held
        self._by_job[held.job_id] = held

    def remove(self, held: Held) -> None:
        """Its end is reported."""
        self.containers.pop(held.container_id, None)
        self._by_job.pop(held.job_id, None)
        self._metrics.pop(held.job_id, None)

    def of_job(self, job_id: str) -> Held | None:
        """The container that a job is."""
        return self._by_job.get(job_id)

    def on_node(self, node_id: str) -> list[Held]:
        """The containers of a node."""
        return [
            held
            for held in self.containers.values()
            if (found := self._allocations.get(held.job_id)) is not None and found.node_id == node_id
        ]

    def allocation(self, job_id: str) -> Allocation | None:
        """The last that was seen of a job's allocation."""
        return self._allocations.get(job_id)

    def metrics(self, job_id: str) -> Mapping[str, Any] | None:
        """Why the scheduler found no place for a job, as it said last."""
        return self._metrics.get(job_id, (0, None))[1]

    def jobs(self) -> dict[str, str]:
        """Containers by the ids of their jobs."""
        return {held.job_id: held.container_id for held in self.containers.values()}

    def see(self, allocation: Allocation) -> None:
        """Take note of an allocation, unless something newer is known."""
        known = self._allocations.get(allocation.job_id)
        if known is None or known.index <= allocation.index:
            self._allocations[allocation.job_id] = allocation

    def see_evaluation(self, found: Mapping[str, Any]) -> str:
        """Take note of what the scheduler found; returns the id of the job."""
        job_id, index = str(found.get("JobID", "")), int(found.get("ModifyIndex", 0))
        if index >= self._metrics.get(job_id, (0, None))[0] and found.get("Status") in {"complete", "blocked"}:
            groups = found.get("FailedTGAllocs") or {}
            metrics = next(iter(groups.values()), None)
            if metrics is not None or found.get("Status") == "complete":
                self._metrics[job_id] = index, metrics
        return job_id

    def renew(self, allocations: Iterable[Allocation], index: int) -> list[Held]:
        """Take a full list, which shows everything up to `index`; returns containers whose allocation has vanished."""
        listed = {one.job_id: one for one in allocations}
        for job_id, known in list(self._allocations.items()):
            if job_id not in listed and known.index <= index:
                del self._allocations[job_id]
        for one in listed.values():
            self.see(one)
        for job_id in [name for name in self._metrics if name not in self._by_job]:
            if self._metrics[job_id][0] <= index:
                del self._metrics[job_id]
        return [held for held in self.containers.values() if held.placed and held.job_id not in self._allocations]


def jobs_of(found: Iterable[Mapping[str, Any]], allocations: Mapping[str, Allocation]) -> list[Job]:
    """Jobs as lists show them, with their allocations."""
    return [_job(one, allocations.get(str(one["ID"]))) for one in found]


def _job(found: Mapping[str, Any], allocation: Allocation | None) -> Job:
    meta = found.get("Meta") or {}
    stopped = bool(found.get("Stop"))
    parent = str(found.get("ParentID") or "")
    over = stopped if allocation is None else allocation.over or (stopped and allocation.away)
    if parent and allocation is None and found.get("Status") == "dead":
        over = True
    return Job(
        id=str(found["ID"]),
        parent=parent,
        container_id=str(meta.get(CONTAINER, "")),
        digest=str(meta.get(DIGEST, "")),
        over=over,
    )
