"""How calls look to clients: results are spliced in as they came."""

from collections.abc import Mapping
from typing import Any, Literal, Protocol

import msgspec
from pydantic import ConfigDict, Field

from yurt.domain.errors import NotAcceptable
from yurt.domain.ids import Tags
from yurt.domain.reasons import PendingReason
from yurt.domain.records import AttemptRecord, Call, CallKind, CallStatus, Result, Target, status_of
from yurt.domain.times import rfc3339
from yurt.inbound.rest.models import Shown, Time
from yurt.ports import LogLine
from yurt.usecases.calls import Calls
from yurt.usecases.views import MapView, View


class CallError(Shown):
    """Why a call did not succeed; further members depend on the outcome."""

    model_config = ConfigDict(extra="allow", frozen=True)

    outcome: str = Field(description="The finer word behind `status`, such as `user_error` or `timeout`.")
    type: str = Field(description="The class of the exception, or a word of the server's.")
    message: str
    module: str | None = None
    traceback: str | None = Field(default=None, description="As Python prints it, cut to the user's code.")
    input_id: str | None = None
    index: int | None = None
    attempt: int | None = None
    container_id: str | None = None
    retries_left: int | None = None
    hint: str | None = Field(default=None, description="What to do next.")
    by: str | None = Field(default=None, description="Who cancelled: token, app_stopped, function_deleted, disconnect.")


class Counts(Shown):
    """How the inputs of a map stand."""

    pending: int
    running: int
    success: int
    failure: int
    terminated: int


class Reason(Shown):
    """Why a call waits."""

    code: str = Field(description="For programs; the list may grow.")
    message: str = Field(description="For people.")
    since: Time
    ahead: int = Field(description="Inputs of the function that come first.")
    ahead_exact: bool
    retry_at: Time | None = None
    details: dict[str, Any] | None = None


class Attempt(Shown):
    """An attempt that did not end its input."""

    number: int
    outcome: str
    container_id: str | None = None
    started_at: Time | None = None
    ended_at: Time
    message: str


class CallCallback(Shown):
    """Who is told of a call's end, and how that goes."""

    url: str
    state: Literal["pending", "delivered", "failed"]
    attempts: int
    last_error: str | None = Field(default=None, description="Why the latest attempt failed.")
    next_attempt_at: Time | None = None
    delivered_at: Time | None = None


class _AnyCall(Shown):
    call_id: str
    function_id: str
    kind: CallKind
    revision: int | None = Field(default=None, description="The revision that ran it.")
    status: CallStatus
    created_at: Time
    started_at: Time | None = None
    finished_at: Time | None = None
    attempts: int = Field(description="Attempts begun.")
    num_inputs: int
    counts: Counts | None = Field(default=None, description="Of a map: how its inputs stand.")
    input_truncated: bool | None = Field(
        default=None, description="Of a map: its upload broke off, or had a line that could not be read."
    )
    input_error: str | None = Field(default=None, description="In the answer to that upload: what was wrong with it.")
    priority: int
    method: str | None = Field(default=None, description="Of a class: which of its methods.")
    parameters: dict[str, str | int | bool] | None = Field(
        default=None, description="Of a class: what its object is made with, defaults too."
    )
    metadata: dict[str, str] | None = None
    num_items: int | None = Field(default=None, description="Of a generator: how many items it yielded so far.")
    result: Any = Field(
        default=None,
        description="What the function returned, on success; it alone may be null. Of a generator the list of its "
        "items.",
    )
    result_omitted: str | None = Field(default=None, description="Why `result` is left out, and how it can be had.")
    error: CallError | None = None
    pending_reason: Reason | None = None
    args: list[Any] | None = Field(default=None, description="With `?include=args`.")
    kwargs: dict[str, Any] | None = Field(default=None, description="With `?include=args`.")
    attempt_history: list[Attempt] | None = Field(default=None, description="With `?include=attempt_history`.")
    redrive_of: str | None = Field(
        default=None, description="The failed call that this one repeats; on `GET /function-calls/{call_id}`."
    )
    redriven_as: str | None = Field(
        default=None, description="The latest call that repeats this one; on `GET /function-calls/{call_id}`."
    )
    callback: CallCallback | None = Field(default=None, description="On `GET /function-calls/{call_id}`.")


class InvocationResult(_AnyCall):
    """A call with its outcome."""


class FunctionCall(_AnyCall):
    """A call, looked at from outside."""


class Asked(Protocol):
    """A call as it was asked for: one in memory, or the store's record of it."""

    @property
    def seq(self) -> int:
        """Its number."""

    @property
    def function_id(self) -> str:
        """Whose call it is."""

    @property
    def kind(self) -> str:
        """How it came to be."""

    @property
    def created_at(self) -> float:
        """When it was accepted."""

    @property
    def priority(self) -> int:
        """Among its caller's inputs."""

    @property
    def target(self) -> Target | None:
        """What it is for, where its function is a class."""

    @property
    def metadata_json(self) -> str | None:
        """A JSON object of strings."""


class Shaper:
    """Turns calls into what goes out.

    Args:
        tags: for visible ids.
    """

    def __init__(self, tags: Tags) -> None:
        self._tags = tags

    def call_id(self, seq: int) -> str:
        """The visible id of a call."""
        return self._tags.call_id(seq)

    def input_id(self, seq: int) -> str:
        """The visible id of an input."""
        return self._tags.input_id(seq)

    def seq(self, visible: str) -> int | None:
        """The sequence number behind a visible id, or None for one that is not this store's."""
        return self._tags.seq(visible)

    def ended(self, call: Asked, result: Result, value: bytes | None) -> dict[str, object]:
        """A call that has ended; `value` is the JSON text of what it returned."""
        out = self._head(call, status_of(result.outcome), result.attempts)
        if result.revision is not None:
            out["revision"] = result.revision
        if result.started_at is not None:
            out["started_at"] = rfc3339(result.started_at)
        out["finished_at"] = rfc3339(result.finished_at)
        if result.items is not None:
            out["num_items"] = result.items
        if value is not None:
            out["result"] = msgspec.Raw(value)
        if result.error_json is not None:
            out["error"] = msgspec.Raw(result.error_json)
        return out

    def _of_map(self, inputs: MapView) -> dict[str, object]:
        """What a call of several inputs shows beside other calls."""
        counts = inputs.counts
        told = {
            "pending": inputs.size - counts.total - inputs.running,
            "running": inputs.running,
            "success": counts.success,
            "failure": counts.failure,
            "terminated": counts.terminated,
        }
        out: dict[str, object] = {"num_inputs": inputs.size, "counts": told}
        if inputs.record.truncated:
            out["input_truncated"] = True
        return out

    def open(self, view: View) -> dict[str, object]:
        """A call that has not ended."""
        out = self._head(view.call, view.status, view.attempts)
        if view.started_at is not None:
            out["started_at"] = rfc3339(view.started_at)
        if view.pending_reason is not None:
            out["pending_reason"] = reason(view.pending_reason)
        if view.items is not None:
            out["num_items"] = view.items
        return out if view.inputs is None else out | self._of_map(view.inputs)

    async def shown(self, calls: Calls, view: View, *, with_value: bool = True) -> dict[str, object]:
        """Any call; without `with_value` what it returned is left out."""
        if view.result is None:
            return self.open(view)
        data, omitted = None, None
        if with_value and view.inputs is None:
            try:
                data = await calls.value_of(view.result)
            except NotAcceptable as error:
                omitted = error.detail
        out = self.ended(view.call, view.result, data)
        if omitted is not None:
            out["result_omitted"] = omitted
        return out if view.inputs is None else out | self._of_map(view.inputs)

    async def arguments(self, calls: Calls, call: Call) -> dict[str, object]:
        """What a call was given, as it came."""
        envelope = msgspec.json.decode(await calls.bytes_of(call.args), type=dict[str, msgspec.Raw])
        return {"args": envelope.get("args", msgspec.Raw(b"[]")), "kwargs": envelope.get("kwargs", msgspec.Raw(b"{}"))}

    def _head(self, call: Asked, status: CallStatus, attempts: int) -> dict[str, object]:
        out: dict[str, object] = {
            "call_id": self._tags.call_id(call.seq),
            "function_id": call.function_id,
            "kind": call.kind,
            "status": status,
            "created_at": rfc3339(call.created_at),
            "attempts": attempts,
            "num_inputs": 1,
            "priority": call.priority,
        }
        if call.target is not None:
            out["method"] = call.target.method
            if call.target.parameters_json is not None:
                out["parameters"] = msgspec.Raw(call.target.parameters_json.encode())
        if call.metadata_json is not None:
            out["metadata"] = msgspec.Raw(call.metadata_json.encode())
        return out

    def line(self, line: LogLine) -> dict[str, object]:
        """A log line."""
        out: dict[str, object] = {
            "time": rfc3339(line.time),
            "stream": line.stream,
            "container_id": line.container_id,
            "text": line.text,
        }
        if line.seq:
            out["call_id"] = self._tags.call_id(line.seq)
            out["input_id"] = self._tags.input_id(line.seq)
        if line.number:
            out["attempt"] = line.number
        return out


def reason(why: PendingReason) -> dict[str, object]:
    """Why a call waits, as clients see it."""
    out: dict[str, object] = {
        "code": why.code,
        "message": why.message,
        "since": rfc3339(why.since),
        "ahead": why.ahead,
        "ahead_exact": why.ahead_exact,
    }
    if why.retry_at is not None:
        out["retry_at"] = rfc3339(why.retry_at)
    if why.details:
        out["details"] = dict(why.details)
    return out


def attempt(record: AttemptRecord) -> Mapping[str, object]:
    """An attempt that did not end its input, as clients see it."""
    out: dict[str, object] = {
        "number": record.number,
        "outcome": record.outcome,
        "ended_at": rfc3339(record.ended_at),
        "message": record.message,
    }
    if record.container_id is not None:
        out["container_id"] = record.container_id
    if record.started_at is not None:
        out["started_at"] = rfc3339(record.started_at)
    return out
