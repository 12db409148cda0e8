"""What the double of Nomad holds, and how that changes."""

import asyncio
import re
import secrets
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from tests.fakes.nomad.placing import Gpus, Node, Refusal, place
from tests.fakes.nomad.shapes import (
    Json,
    canonical_job,
    new_allocation,
    new_evaluation,
    now_ns,
    now_text,
    task_event,
    task_state,
)

__all__ = ["Cluster", "Gpus", "Node", "RefusedByNomad"]

ENDED = frozenset({"complete", "failed", "lost"})
BUFFER = 10_000


class RefusedByNomad(Exception):
    """A call that Nomad answers with an error; most of them are 500 with a text."""

    def __init__(self, text: str, status: int = 500) -> None:
        super().__init__(text)
        self.text = text
        self.status = status


class Cluster:
    """Nodes, jobs, evaluations and allocations. Tasks only exist by name, and run until a test ends them.

    `/bin/sh -c "exit N"` ends by itself, `/bin/sh -c "echo X; exec sleep N"` has written X, and what begins with
    `/no/such` cannot start.

    Attributes:
        output: what tasks have written, by allocation and `stdout` or `stderr`.
        starts: whether what is placed also starts; else it stays `pending`.
        deaf: tasks do not end when they are asked to.
        on_start: is told of each allocation whose task starts.
        indexes: of each table, the last change.
    """

    def __init__(self, nodes: Iterable[Node] = ()) -> None:
        self.index = 10
        self.nodes = {node.id: node for node in nodes}
        self.jobs: dict[str, Json] = {}
        self.evaluations: dict[str, Json] = {}
        self.allocations: dict[str, Json] = {}
        self.indexes = dict.fromkeys(("jobs", "evaluations", "allocations", "nodes"), 1)
        self.events: deque[tuple[int, list[Json]]] = deque(maxlen=BUFFER)
        self.output: dict[tuple[str, str], str] = {}
        self.changed = asyncio.Event()
        self.starts = True
        self.deaf = False
        self.on_start: Callable[[Json], None] | None = None

    # What callers ask for.

    def register(self, job: Json) -> Json:
        """Take a job, new or changed.

        Raises:
            RefusedByNomad: it makes no sense.
        """
        _check_job(job)
        index = self._next()
        before = self.jobs.get(job["ID"])
        made = canonical_job(job, index, before["Version"] + 1 if before else 0)
        if before:
            made["CreateIndex"] = before["CreateIndex"]
        evaluation = None if made["ParameterizedJob"] else new_evaluation(made, "job-register", "pending")
        self.jobs[job["ID"]] = made
        self._tell(index, [("Job", "JobRegistered", made), *_of_evaluation("JobRegistered", evaluation)])
        if evaluation:
            self._evaluate(made, evaluation)
        return self._registered(index, evaluation)

    def dispatch(self, parent_id: str, meta: dict[str, str], token: str | None) -> Json:
        """Make a child of a parameterized job.

        Args:
            token: a child that was made with the same one is returned again.

        Raises:
            RefusedByNomad: there is no such job, or the meta is not what it takes.
        """
        parent = self.jobs.get(parent_id)
        _check_dispatch(parent_id, parent, meta)
        assert parent is not None
        for job in self.jobs.values():
            if token and job["ParentID"] == parent_id and job.get("DispatchIdempotencyToken") == token:
                return self._dispatched(job, None)
        index = self._next()
        child = canonical_job(
            {
                **parent,
                "ID": f"{parent_id}/dispatch-{int(time.time())}-{secrets.token_hex(4)}",
                "Name": None,
                "ParentID": parent_id,
                "Dispatched": True,
                "DispatchIdempotencyToken": token or "",
                "Meta": {**(parent["Meta"] or {}), **meta},
            },
            index,
            0,
        )
        child["Status"] = "pending"
        self.jobs[child["ID"]] = child
        evaluation = new_evaluation(child, "job-register", "pending")
        self._tell(index, [("Job", "JobRegistered", child), *_of_evaluation("JobRegistered", evaluation)])
        self._evaluate(child, evaluation)
        return self._dispatched(child, evaluation)

    def have_running(self, parent_id: str, container_id: str) -> Json:
        """A child that runs, without a dispatch: for clusters so large that placing each would take too long."""
        index, parent, node = self._next(), self.jobs[parent_id], next(iter(self.nodes.values()))
        named = {"ID": f"{parent_id}/dispatch-{container_id}", "Name": None, "ParentID": parent_id, "Dispatched": True}
        meta = {**(parent["Meta"] or {}), "container_id": container_id}
        child = canonical_job({**parent, **named, "Meta": meta}, index, 0) | {"Status": "running"}
        self.jobs[child["ID"]] = child
        made = new_allocation(child, child["TaskGroups"][0], "", node.id, node.name, {})
        made |= {"ClientStatus": "running", "CreateIndex": index, "ModifyIndex": index}
        self.allocations[made["ID"]] = made
        return made

    def deregister(self, job_id: str, *, purge: bool) -> Json:
        """Stop a job; with `purge` it and its allocations are forgotten at once."""
        job = self.jobs.get(job_id)
        if job is None:
            return {"EvalID": "", "EvalCreateIndex": 0, "JobModifyIndex": 0, "Index": 0}
        index = self._next()
        job.update(Stop=True, ModifyIndex=index, JobModifyIndex=index)
        evaluation = new_evaluation(job, "job-deregister", "complete")
        self._tell(index, [("Job", "JobDeregistered", job), *_of_evaluation("JobDeregistered", evaluation)])
        for blocked in self._blocked(job_id):
            blocked["Status"] = "cancelled"
        for allocation in self._of_job(job_id):
            if allocation["DesiredStatus"] == "run" and allocation["ClientStatus"] not in ENDED:
                self._ask_to_stop(allocation)
        if purge:
            self._forget_job(job_id)
        self._settle(job)
        return self._registered(index, evaluation)

    def plan(self, job: Json) -> Json:
        """What registering and starting a job would do."""
        _check_job(job)
        made = canonical_job(job, 0, 0)
        refusals = {
            group["Name"]: found.shape(made["NodePool"])
            for group in made["TaskGroups"]
            if isinstance(found := place(made, group, self.nodes.values(), self._live()), Refusal)
        }
        return {"FailedTGAllocs": refusals or None, "JobModifyIndex": 0, "Warnings": "", "CreatedEvals": None}

    # What tests let happen.

    def start(self, allocation_id: str) -> None:
        """Start the tasks of an allocation."""
        allocation = self.allocations[allocation_id]
        if allocation["ClientStatus"] != "pending" or allocation["DesiredStatus"] != "run":
            return
        task = self.group_of(allocation)["Tasks"][0]
        self._receive(allocation)
        config = task.get("Config") or {}
        if str(config.get("command", "")).startswith("/no/such"):
            self.fail_to_start(allocation_id, f'binary "{config["command"]}" could not be found')
            return
        state = allocation["TaskStates"][task["Name"]]
        state["Events"].append(task_event("Started", "Task started by client"))
        state.update(State="running", StartedAt=now_text())
        self._client_says(allocation, "running", "Tasks are running")
        if self.on_start:
            self.on_start(allocation)
        script = " ".join((config.get("args") or [])[1:])
        if says := re.match(r"echo (\w+);", script):
            self.output[allocation_id, "stdout"] = f"{says[1]}\n"
        if exits := re.fullmatch(r"exit (\d+)", script):
            self.finish(allocation_id, int(exits[1]))

    def finish(self, allocation_id: str, exit_code: int, *, signal: int = 0, oom: bool = False) -> None:
        """Let its tasks end by themselves."""
        allocation = self.allocations[allocation_id]
        self._receive(allocation)
        killed = allocation["DesiredStatus"] == "stop"
        failed = exit_code != 0 and not killed
        for state in allocation["TaskStates"].values():
            said = f"Exit Code: {exit_code}" + (f", Signal: {signal}" if signal else "")
            details = {"exit_code": str(exit_code), "signal": str(signal), "oom_killed": str(oom).lower()}
            state["Events"].append(task_event("Terminated", said, **details))
            if killed:
                state["Events"].append(task_event("Killed", "Task successfully killed"))
            state.update(State="dead", Failed=failed, FinishedAt=now_text())
            if failed:
                state["Events"].append(_no_restart())
        self._client_ends(allocation, failed=failed)

    def fail_to_start(self, allocation_id: str, why: str) -> None:
        """Let the driver refuse its tasks."""
        allocation = self.allocations[allocation_id]
        self._receive(allocation)
        for state in allocation["TaskStates"].values():
            state["Events"] += [task_event("Driver Failure", why, driver_error=why), _no_restart()]
            state.update(State="dead", Failed=True, FinishedAt=now_text())
        self._client_ends(allocation, failed=True)

    def lose(self, allocation_id: str) -> None:
        """Let its node be given up."""
        allocation = self.allocations[allocation_id]
        allocation.update(DesiredStatus="stop", DesiredDescription="alloc is lost since its node is down")
        self._client_says(allocation, "lost", "alloc is lost since its node is down")
        self._settle(self.jobs[allocation["JobID"]])

    def vanish(self, job_id: str) -> None:
        """Forget a job and its allocations without a word, as garbage collection does."""
        for name in [name for name in self.jobs if name == job_id or self.jobs[name]["ParentID"] == job_id]:
            self._forget_job(name)

    def drain(self, node_id: str, deadline_s: float) -> None:
        """Begin to drain a node."""
        node = self.nodes[node_id]
        node.eligible = False
        node.drain = {"Deadline": int(deadline_s * 1e9), "IgnoreSystemJobs": False}
        self.node_changed(node_id, "NodeDrain")

    def node_changed(self, node_id: str, kind: str = "NodeRegistration") -> None:
        """Tell of a node that a test has changed, and place what waits."""
        self._tell(self._next(), [("Node", kind, self.node_shape(self.nodes[node_id]))])
        self._place_blocked()

    # What is seen.

    def node_shape(self, node: Node) -> Json:
        """A node as Nomad shows it."""
        return {
            "ID": node.id,
            "Name": node.name,
            "Address": "127.0.0.1",
            "Datacenter": "dc1",
            "NodePool": node.pool,
            "NodeClass": "",
            "Version": "1.11.3",
            "Status": node.status,
            "SchedulingEligibility": "eligible" if node.eligible else "ineligible",
            "Drain": node.drain is not None,
            "DrainStrategy": node.drain,
            "Drivers": {name: {"Detected": True, "Healthy": True, "Attributes": {}} for name in node.drivers},
            "NodeResources": {
                "Cpu": {"CpuShares": node.cpu_mhz, "TotalCpuCores": 4},
                "Memory": {"MemoryMB": node.memory_mib},
                "Devices": [gpus.shape() for gpus in node.gpus] or None,
            },
            "ReservedResources": {"Cpu": {"CpuShares": 0}, "Memory": {"MemoryMB": 0}},
            "CreateIndex": 5,
            "ModifyIndex": self.indexes["nodes"],
        }

    async def wait_beyond(self, table: str, index: int, seconds: float) -> None:
        """Return once a table has changed after an index, or after some time."""
        deadline = time.monotonic() + seconds
        while self.indexes[table] <= index and (left := deadline - time.monotonic()) > 0:
            await self.wait_for_change(left)

    async def wait_for_change(self, seconds: float) -> None:
        """Return once anything has changed, or after some time."""
        try:
            async with asyncio.timeout(seconds):
                await self.changed.wait()
        except TimeoutError:
            return

    # How it comes about.

    def _next(self) -> int:
        self.index += 1
        return self.index

    def _tell(self, index: int, happened: list[tuple[str, str, Json]]) -> None:
        tables = {"Job": "jobs", "Evaluation": "evaluations", "Allocation": "allocations", "Node": "nodes"}
        events = []
        for topic, kind, thing in happened:
            self.indexes[tables[topic]] = index
            if topic != "Node":
                thing["ModifyIndex"] = index
                thing.setdefault("CreateIndex", index)
            if topic == "Evaluation":
                self.evaluations[thing["ID"]] = thing
            filters = [thing["JobID"], ""] if topic in {"Evaluation", "Allocation"} else None
            shown = {name: value for name, value in thing.items() if not (topic == "Allocation" and name == "Job")}
            events.append(
                {
                    "Topic": topic,
                    "Type": kind,
                    "Key": thing["ID"],
                    "Namespace": thing.get("Namespace", ""),
                    "FilterKeys": filters,
                    "Index": index,
                    "Payload": {topic: _copy(shown)},
                }
            )
        self.events.append((index, events))
        self.changed.set()
        self.changed = asyncio.Event()

    def _registered(self, index: int, evaluation: Json | None) -> Json:
        made = {"EvalID": evaluation["ID"], "EvalCreateIndex": index} if evaluation else _NO_EVALUATION
        return {**made, "JobModifyIndex": index, "Warnings": "", "Index": index}

    def _dispatched(self, child: Json, evaluation: Json | None) -> Json:
        index = child["CreateIndex"]
        made = {"EvalID": evaluation["ID"], "EvalCreateIndex": index} if evaluation else _NO_EVALUATION
        return {"DispatchedJobID": child["ID"], **made, "JobCreateIndex": index, "Index": index}

    def _evaluate(self, job: Json, evaluation: Json) -> None:
        """Place what a job wants."""
        refusals: dict[str, Refusal] = {}
        for group in job["TaskGroups"]:
            missing = (group.get("Count") or 1) - len(self._live_of(job["ID"], group["Name"]))
            for _ in range(missing):
                found = place(job, group, self.nodes.values(), self._live())
                if isinstance(found, Refusal):
                    refusals[group["Name"]] = found
                    break
                self._put(job, group, evaluation, *found)
        evaluation.update(
            Status="complete",
            QueuedAllocations={group["Name"]: int(group["Name"] in refusals) for group in job["TaskGroups"]},
        )
        told = []
        if refusals:
            failed = {name: refusal.shape(job["NodePool"]) for name, refusal in refusals.items()}
            blocked = new_evaluation(job, "queued-allocs", "blocked")
            blocked.update(
                StatusDescription="created to place remaining allocations",
                PreviousEval=evaluation["ID"],
                FailedTGAllocs=failed,
            )
            evaluation.update(BlockedEval=blocked["ID"], FailedTGAllocs=failed)
            told = _of_evaluation("EvaluationUpdated", blocked)
        self._tell(self._next(), [*told, *_of_evaluation("EvaluationUpdated", evaluation)])

    def _put(self, job: Json, group: Json, evaluation: Json, node: Node, devices: Json) -> None:
        allocation = new_allocation(job, group, evaluation["ID"], node.id, node.name, devices)
        self.allocations[allocation["ID"]] = allocation
        job["Status"] = "running"
        self._tell(self._next(), [("Allocation", "PlanResult", allocation), ("Job", "PlanResult", job)])
        if self.starts:
            asyncio.get_running_loop().call_soon(self._start_if_there, allocation["ID"])

    def _start_if_there(self, allocation_id: str) -> None:
        if allocation_id in self.allocations:
            self.start(allocation_id)

    def _place_blocked(self) -> None:
        for blocked in self._blocked():
            job = self.jobs.get(blocked["JobID"])
            if job is None or job["Stop"]:
                continue
            fits = any(
                not isinstance(place(job, group, self.nodes.values(), self._live()), Refusal)
                for group in job["TaskGroups"]
            )
            if fits:
                self._evaluate(job, blocked)

    def _blocked(self, job_id: str | None = None) -> list[Json]:
        return [
            evaluation
            for evaluation in self.evaluations.values()
            if evaluation["Status"] == "blocked" and job_id in {None, evaluation["JobID"]}
        ]

    def _ask_to_stop(self, allocation: Json) -> None:
        allocation.update(DesiredStatus="stop", DesiredDescription="alloc not needed due to job update")
        self._tell(self._next(), [("Allocation", "PlanResult", allocation)])
        self._receive(allocation)
        for state in allocation["TaskStates"].values():
            state["Events"].append(
                task_event("Killing", "Sent interrupt. Waiting 5s before force killing", kill_timeout="5s")
            )
        if not self.deaf:
            self.finish(allocation["ID"], 130, signal=2)

    def _receive(self, allocation: Json) -> None:
        """The client takes it on. Until then nothing is said of its tasks."""
        if allocation["TaskStates"] is None:
            tasks = self.group_of(allocation)["Tasks"]
            received = "Task received by client"
            allocation["TaskStates"] = {task["Name"]: task_state([task_event("Received", received)]) for task in tasks}

    def _client_says(self, allocation: Json, status: str, description: str) -> None:
        allocation.update(ClientStatus=status, ClientDescription=description, ModifyTime=now_ns())
        self._tell(self._next(), [("Allocation", "AllocationUpdated", allocation)])

    def _client_ends(self, allocation: Json, *, failed: bool) -> None:
        status = ("failed", "Failed tasks") if failed else ("complete", "All tasks have completed")
        self._client_says(allocation, *status)
        if (job := self.jobs.get(allocation["JobID"])) is not None:
            self._settle(job)
        self._place_blocked()

    def _settle(self, job: Json) -> None:
        """A batch job is dead once nothing of it runs or waits."""
        if job["ParameterizedJob"] and not job["Dispatched"] and not job["Stop"]:
            return
        if not self._blocked(job["ID"]) and not [
            allocation for allocation in self._of_job(job["ID"]) if allocation["ClientStatus"] not in ENDED
        ]:
            job["Status"] = "dead"
            if job["ID"] in self.jobs:
                self._tell(self._next(), [("Job", "EvaluationUpdated", job)])

    def _forget_job(self, job_id: str) -> None:
        del self.jobs[job_id]
        for table in (self.allocations, self.evaluations):
            for name in [name for name, thing in table.items() if thing["JobID"] == job_id]:
                del table[name]

    def _of_job(self, job_id: str) -> list[Json]:
        return [allocation for allocation in self.allocations.values() if allocation["JobID"] == job_id]

    def _live(self) -> list[Json]:
        return [allocation for allocation in self.allocations.values() if allocation["ClientStatus"] not in ENDED]

    def _live_of(self, job_id: str, group: str) -> list[Json]:
        return [found for found in self._live() if found["JobID"] == job_id and found["TaskGroup"] == group]

    def group_of(self, allocation: Json) -> Any:
        """What of its job it runs."""
        return next(group for group in allocation["Job"]["TaskGroups"] if group["Name"] == allocation["TaskGroup"])


_NO_EVALUATION = {"EvalID": "", "EvalCreateIndex": 0}


def _of_evaluation(kind: str, evaluation: Json | None) -> list[tuple[str, str, Json]]:
    return [] if evaluation is None else [("Evaluation", kind, evaluation)]


def _copy(thing: Any) -> Any:
    """What was true at that moment."""
    if isinstance(thing, dict):
        return {name: _copy(value) for name, value in thing.items()}
    return [_copy(value) for value in thing] if isinstance(thing, list) else thing


def _no_restart() -> Json:
    why = "Policy allows no restarts"
    return task_event("Not Restarting", why, restart_reason=why, fails_task="true")


def _problems(job: Json) -> Iterator[str]:
    if " " in job.get("ID", ""):
        yield "job ID contains a space"
    if job.get("Namespace", "default") != "default":
        yield f'job "{job["ID"]}" is in nonexistent namespace "{job["Namespace"]}"'
    if job.get("NodePool", "default") not in {"default", "all"}:
        yield f'job "{job["ID"]}" is in nonexistent node pool "{job["NodePool"]}"'
    if not job.get("TaskGroups"):
        yield "Missing job task groups"


def _check_job(job: Json) -> None:
    if problems := list(_problems(job)):
        several = "error" if len(problems) == 1 else "errors"
        listed = "".join(f"\n\t* {problem}" for problem in problems)
        raise RefusedByNomad(f"{len(problems)} {several} occurred:{listed}\n\n")


def _check_dispatch(parent_id: str, parent: Json | None, meta: dict[str, str]) -> None:
    if parent is None:
        raise RefusedByNomad("parameterized job not found")
    if not parent["ParameterizedJob"]:
        raise RefusedByNomad(f'Specified job "{parent_id}" is not a parameterized job')
    if parent["Stop"]:
        raise RefusedByNomad(f'Specified job "{parent_id}" is stopped')
    required = parent["ParameterizedJob"].get("MetaRequired") or []
    allowed = {*required, *(parent["ParameterizedJob"].get("MetaOptional") or [])}
    if unknown := sorted(meta.keys() - allowed):
        raise RefusedByNomad(f"Dispatch request included unpermitted metadata keys: [{' '.join(unknown)}]")
    if missing := sorted(set(required) - meta.keys()):
        raise RefusedByNomad(f"Dispatch did not provide required meta keys: [{' '.join(missing)}]")
