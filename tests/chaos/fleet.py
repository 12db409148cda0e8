"""The cluster that containers are on, where they are on one: what a server has there, and how an operator hurts it."""

import time
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import psutil

from scripts.stack.http import Refused
from scripts.stack.stack import Stack

NODES = ("none", "none")
"""What is started, as `scripts/hashistack --node` takes it: two, so that one can be drained."""

OVER = frozenset({"complete", "failed", "lost"})
ANSWERS_WITHIN_S = 30.0
LOOK_S = 0.1


@dataclass(frozen=True, slots=True)
class Placed:
    """An allocation of a container that has not ended."""

    id: str
    container_id: str
    job_id: str
    node_id: str


class Fleet:
    """A cluster of its own, on which one server is. Every method blocks: for threads.

    Args:
        stack: the real programs.
    """

    def __init__(self, stack: Stack) -> None:
        self.stack = stack

    @property
    def nodes(self) -> list[str]:
        """The names of its nodes, which are those of their agents."""
        return [node.name for node in self.stack.plan.all_nodes()]

    def container_of(self, environ: Collection[bytes]) -> str | None:
        """Which container a process is of, by the variables that it was started with."""
        if not any(one.startswith(f"HOME={self.stack.home}/".encode()) for one in environ):
            return None
        name = b"YURT_CONTAINER_ID="
        return next((one.removeprefix(name).decode() for one in environ if one.startswith(name)), None)

    def process(self, role: str) -> psutil.Process:
        """The process of an agent."""
        return psutil.Process(self.stack.running()[role])

    def start(self, role: str) -> None:
        """Start an agent that was ended, and return when the cluster answers."""
        self.stack.start(role)
        self.ask("GET", "/v1/nodes")

    def ask(self, method: str, path: str, body: object = None) -> Any:
        """Call Nomad, with every right; one that has no leader yet is asked again.

        Raises:
            Refused: it does not answer, or with an error, for long.
        """
        deadline = time.monotonic() + ANSWERS_WITHIN_S
        while True:
            try:
                return self.stack.nomad(method, path, body)
            except Refused:
                if time.monotonic() > deadline:
                    raise
                time.sleep(LOOK_S)

    def jobs(self) -> list[dict[str, Any]]:
        """Every job of the server, those that are over included."""
        found: list[dict[str, Any]] = self.ask("GET", "/v1/jobs?prefix=yurt-&meta=true")
        return sorted(found, key=lambda job: str(job["ID"]))

    def functions(self) -> list[str]:
        """The ids of the jobs that containers are dispatched from."""
        return [str(job["ID"]) for job in self.jobs() if not job["ParentID"]]

    def placed(self) -> list[Placed]:
        """The containers that have a place and have not ended."""
        ids = {job["ID"]: job["Meta"]["container_id"] for job in self.jobs() if job["ParentID"]}
        return [
            Placed(one["ID"], ids[one["JobID"]], one["JobID"], one["NodeID"])
            for one in sorted(self.ask("GET", "/v1/allocations"), key=lambda one: str(one["JobID"]))
            if one["JobID"] in ids and one["ClientStatus"] not in OVER
        ]

    def remove(self, job_id: str, *, purge: bool) -> None:
        """Stop a job; with `purge` Nomad forgets it."""
        self.ask("DELETE", f"/v1/job/{quote(job_id, safe='')}?purge={str(purge).lower()}")

    def stop(self, allocation_id: str) -> None:
        """Stop an allocation; its job stays, and Nomad places another one for it."""
        self.ask("PUT", f"/v1/allocation/{allocation_id}/stop")

    def drain(self, node_id: str, deadline_s: float) -> None:
        """Empty a node; what has not ended within the deadline is ended."""
        spec = {"DrainSpec": {"Deadline": int(deadline_s * 1e9), "IgnoreSystemJobs": False}, "MarkEligible": False}
        self.ask("PUT", f"/v1/node/{node_id}/drain", spec)

    def reopen(self, node_id: str) -> None:
        """End the drain of a node, and let it take containers again."""
        self.ask("PUT", f"/v1/node/{node_id}/drain", {"DrainSpec": None, "MarkEligible": True})

    def node_id(self, name: str) -> str:
        """The id of a node."""
        return next(str(node["ID"]) for node in self.ask("GET", "/v1/nodes") if node["Name"] == name)

    def collect(self) -> None:
        """Have Nomad forget everything that is over."""
        self.ask("PUT", "/v1/system/gc")

    def unexplained(self, rows: Collection[str]) -> list[str]:
        """Containers that have a place, or may get one, though the server has no row of them.

        Jobs whose allocation is over are none, whatever Nomad calls them: of one whose node was away for a while it
        waits for minutes yet.
        """
        had = {one["JobID"] for one in self.ask("GET", "/v1/allocations")}
        left = [f"{one.container_id} has the allocation {one.id}, and no row" for one in self.placed()]
        left += [
            f"{job['Meta']['container_id']} has the job {job['ID']}, which waits for a place, and no row"
            for job in self.jobs()
            if job["ParentID"] and job["Status"] != "dead" and not job["Stop"] and job["ID"] not in had
        ]
        return [told for told in left if told.partition(" ")[0] not in rows]
