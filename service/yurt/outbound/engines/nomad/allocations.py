"""What Nomad says of an allocation, and what that means: pure."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from yurt.outbound.engines.words import how_it_ended, signal_name
from yurt.ports import Ended, EngineRefused

TASK = "runner"
"""The name of the task in the job specification."""

_OVER = frozenset({"complete", "failed", "lost"})
_NEVER_RAN = ("Driver Failure", "Failed Artifact Download", "Setup Failure", "Failed Validation", "Template")
_NO_IMAGE = re.compile(r"image|pull|manifest|repository|registry", re.IGNORECASE)
_BY_SIGNAL = 128
"""A process that a signal ended has this much and its number as its exit status, as shells have it."""


@dataclass(frozen=True, slots=True)
class Allocation:
    """One allocation at one moment.

    Args:
        status: what its client said last; `unknown` while the client is away.
        wanted: what the servers want of it: `run`, `stop` or `evict`.
        events: of its task, in order, each with `Type` and `Details`.
        index: of its last change.
    """

    id: str
    job_id: str
    node_id: str
    node: str
    status: str
    wanted: str
    description: str
    events: tuple[Mapping[str, Any], ...]
    index: int

    @property
    def over(self) -> bool:
        """Whether nothing of it runs any more."""
        return self.status in _OVER

    @property
    def away(self) -> bool:
        """Whether its node is away: it may run, and what it was told it hears when the node comes back."""
        return self.status == "unknown"

    @property
    def crashed(self) -> bool:
        """Whether its task ended by itself, and not well."""
        last = _last(self.events, "Terminated")
        return self.over and self.wanted == "run" and last is not None and _exit_of(last) != (0, None)


def read(found: Mapping[str, Any]) -> Allocation:
    """An allocation as lists and events show it."""
    task = (found.get("TaskStates") or {}).get(TASK) or {}
    return Allocation(
        id=str(found["ID"]),
        job_id=str(found["JobID"]),
        node_id=str(found.get("NodeID", "")),
        node=str(found.get("NodeName", "")),
        status=str(found.get("ClientStatus", "")),
        wanted=str(found.get("DesiredStatus", "")),
        description=str(found.get("ClientDescription") or ""),
        events=tuple(task.get("Events") or ()),
        index=int(found.get("ModifyIndex", 0)),
    )


def end_of(container_id: str, allocation: Allocation, output: str = "") -> Ended:
    """How a container ended whose allocation is over.

    Args:
        container_id: the container.
        allocation: its allocation.
        output: the last of what the runner itself printed, if anything.
    """
    terminated = _last(allocation.events, "Terminated")
    if allocation.status == "lost":
        return Ended(container_id, f"Its node, {allocation.node or allocation.node_id}, was lost.", taken_away=True)
    if terminated is None:
        return _never_ran(container_id, allocation)
    exit_code, number = _exit_of(terminated)
    oom = str(terminated.get("Details", {}).get("oom_killed", "")).lower() == "true"
    reason = how_it_ended(exit_code, number, output)
    if oom:
        reason = f"The kernel ended it for want of memory. {reason}"
    return Ended(container_id, reason, exit_code, number, oom, taken_away=allocation.wanted != "run")


def _never_ran(container_id: str, allocation: Allocation) -> Ended:
    failure = next((event for kind in _NEVER_RAN if (event := _last(allocation.events, kind)) is not None), None)
    if allocation.wanted != "run" or allocation.status == "complete":
        return Ended(container_id, "It was stopped before it ran.", taken_away=True)
    if failure is None:
        return Ended(container_id, allocation.description or "Nomad does not say why it ended.")
    message = _said(failure)
    where = allocation.node or allocation.node_id
    if failure["Type"] == "Failed Artifact Download":
        text = f"Node {where} could not fetch the runner from this server: {message} Check public_url with yurt doctor."
        return Ended(container_id, text, refused=EngineRefused("start_refused", text))
    text = f"Node {where} could not start a container: {message}"
    code = "image_unavailable" if _NO_IMAGE.search(message) else "start_refused"
    return Ended(container_id, text, refused=EngineRefused(code, text))


def _said(event: Mapping[str, Any]) -> str:
    details = event.get("Details") or {}
    found = next((details[key] for key in ("driver_error", "download_error", "setup_error") if details.get(key)), "")
    text = " ".join(str(found or event.get("DisplayMessage") or event["Type"]).split())[:500]
    return text if text.endswith(".") else text + "."


def _last(events: Iterable[Mapping[str, Any]], kind: str) -> Mapping[str, Any] | None:
    return next((event for event in reversed(tuple(events)) if event.get("Type") == kind), None)


def _exit_of(terminated: Mapping[str, Any]) -> tuple[int | None, int | None]:
    """Exit code and signal: one of the two is None."""
    details = terminated.get("Details") or {}
    code, number = _number(details.get("exit_code")), _number(details.get("signal"))
    if not number and code > _BY_SIGNAL and not signal_name(code - _BY_SIGNAL).startswith("signal"):
        number = code - _BY_SIGNAL
    return (None, number) if number else (code, None)


def _number(text: object) -> int:
    return int(text) if isinstance(text, str) and text.isdigit() else 0
