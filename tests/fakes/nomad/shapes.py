"""The shapes of Nomad's answers."""

import time
import uuid
from datetime import UTC, datetime
from typing import Any

Json = dict[str, Any]


def now_ns() -> int:
    """The time, as Nomad writes most of them."""
    return time.time_ns()


def now_text() -> str:
    """The time, as Nomad writes the others."""
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


def new_id() -> str:
    """Of an evaluation or an allocation."""
    return str(uuid.uuid4())


def task_event(kind: str, display: str, **details: str) -> Json:
    """One line of what happened to a task. Details are text, also where they are numbers."""
    return {
        "Type": kind,
        "Time": now_ns(),
        "Message": "",
        "DisplayMessage": display,
        "Details": details,
        "FailsTask": details.get("fails_task") == "true",
        "DriverError": details.get("driver_error", ""),
        "ExitCode": int(details.get("exit_code", 0)),
        "Signal": int(details.get("signal", 0)),
    }


def task_state(events: list[Json]) -> Json:
    """A task that has not started yet."""
    return {
        "State": "pending",
        "Failed": False,
        "Restarts": 0,
        "LastRestart": None,
        "StartedAt": None,
        "FinishedAt": None,
        "Events": events,
        "Paused": "",
    }


def canonical_job(job: Json, index: int, version: int) -> Json:
    """A job as it is stored: with what the one who sent it left out."""
    parameterized = job.get("ParameterizedJob")
    return {
        "Region": "global",
        "Namespace": "default",
        "ParentID": "",
        "Priority": 50,
        "Datacenters": ["*"],
        "NodePool": "default",
        "Meta": None,
        "UI": None,
        **{name: value for name, value in job.items() if value is not None},
        "Name": job.get("Name") or job["ID"],
        "Type": job.get("Type") or "service",
        "ParameterizedJob": parameterized and {"MetaRequired": None, "MetaOptional": None, **parameterized},
        "Dispatched": job.get("Dispatched", False),
        "Stop": False,
        "Status": "running" if parameterized else "pending",
        "StatusDescription": "",
        "Version": version,
        "SubmitTime": now_ns(),
        "CreateIndex": index,
        "ModifyIndex": index,
        "JobModifyIndex": index,
    }


JOB_STUB = (
    *("ID", "ParentID", "Name", "Namespace", "Datacenters", "NodePool", "Type", "Priority", "Stop", "Status"),
    *("StatusDescription", "CreateIndex", "ModifyIndex", "JobModifyIndex", "SubmitTime"),
)


def job_stub(job: Json, *, meta: bool) -> Json:
    """A job in a list."""
    stub = {name: job[name] for name in JOB_STUB}
    stub["ParameterizedJob"] = bool(job["ParameterizedJob"]) and not job["Dispatched"]
    stub["Periodic"] = False
    return stub | {"Meta": job["Meta"]} if meta else stub


def allocation_stub(allocation: Json, *, resources: bool, task_states: bool) -> Json:
    """An allocation in a list: without its job."""
    stub = {name: value for name, value in allocation.items() if name != "Job"}
    stub["JobType"] = allocation["Job"]["Type"]
    stub["JobVersion"] = allocation["Job"]["Version"]
    if not resources:
        stub["AllocatedResources"] = None
    if not task_states:
        stub["TaskStates"] = None
    return stub


def new_allocation(job: Json, group: Json, evaluation: str, node_id: str, node_name: str, devices: Json) -> Json:
    """An allocation that was just placed.

    Args:
        devices: of each task, those that it was given.
    """
    tasks = {
        task["Name"]: {
            "Cpu": {"CpuShares": (task.get("Resources") or {}).get("CPU") or 100, "ReservedCores": None},
            "Memory": {"MemoryMB": (task.get("Resources") or {}).get("MemoryMB") or 300, "MemoryMaxMB": 0},
            "Networks": None,
            "Devices": devices.get(task["Name"]) or None,
        }
        for task in group["Tasks"]
    }
    return {
        "ID": new_id(),
        "EvalID": evaluation,
        "Name": f"{job['ID']}.{group['Name']}[0]",
        "Namespace": job["Namespace"],
        "NodeID": node_id,
        "NodeName": node_name,
        "JobID": job["ID"],
        "Job": job,
        "TaskGroup": group["Name"],
        "AllocatedResources": {"Tasks": tasks, "Shared": {"Networks": None, "DiskMB": 300, "Ports": None}},
        "DesiredStatus": "run",
        "DesiredDescription": "",
        "ClientStatus": "pending",
        "ClientDescription": "",
        "TaskStates": None,
        "FollowupEvalID": "",
        "NextAllocation": "",
        "CreateTime": now_ns(),
        "ModifyTime": now_ns(),
    }


def new_evaluation(job: Json, triggered_by: str, status: str) -> Json:
    """An evaluation of a job."""
    return {
        "ID": new_id(),
        "Namespace": job["Namespace"],
        "Priority": job["Priority"],
        "Type": job["Type"],
        "TriggeredBy": triggered_by,
        "JobID": job["ID"],
        "JobModifyIndex": job["JobModifyIndex"],
        "Status": status,
        "CreateTime": now_ns(),
        "ModifyTime": now_ns(),
    }
