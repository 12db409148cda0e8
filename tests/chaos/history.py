"""What clients and functions saw, frozen. Times are seconds of this machine's monotonic clock, which all share."""

import dataclasses
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

TERMINAL = frozenset({"success", "failure", "terminated"})

KINDS = 3
"""Combinations of parameters of the class that is called."""

NEVER_CHANGES = (
    *("status", "result", "error", "num_inputs", "num_items", "counts", "attempts", "started_at", "finished_at"),
)
"""What a call that has ended shows to everybody, always."""


@dataclass(frozen=True, slots=True)
class Run:
    """One time that user code ran, as the function itself wrote it down.

    Args:
        run: what the function drew for it; its result bears it.
        function: its address, `app:name`.
        number: the argument, which tells the input.
        ended_at: None if it never came to its end: killed, or raised from outside.
        raised: the function raised an error of its own at the end.
        instance, kind, count: of a class: which object it was, what that was made with, and its how many-th run.
    """

    run: str
    function: str
    number: int
    call_id: str
    input_id: str
    attempt: int
    container_id: str
    begun_at: float
    ended_at: float | None = None
    raised: bool = False
    instance: str = ""
    kind: int = -1
    count: int = 0


@dataclass(frozen=True, slots=True)
class Request:
    """One request that makes a call, and what came back.

    Args:
        verb: spawn, invocations, redrive or map.
        number: its argument; of a map, that of the first input.
        size: how many inputs.
        key: the idempotency key, or an empty string.
        answered_at: None where nothing came.
        status: of the answer, or None where none came.
        call_id: as the answer, or at least its head, named it; empty if it did not.
        delay_s: not before then may it begin.
        expires: it asked for an end if it waits too long.
    """

    client: int
    verb: str
    function: str
    number: int
    sent_at: float
    size: int = 1
    key: str = ""
    answered_at: float | None = None
    status: int | None = None
    call_id: str = ""
    delay_s: float = 0.0
    expires: bool = False

    @property
    def accepted(self) -> bool:
        """The client knows that the server has it."""
        return bool(self.call_id) and self.status in {200, 202}


@dataclass(frozen=True, slots=True)
class Sight:
    """The state of a call, or of an input of a map, as one observer saw it.

    Args:
        observer: answer, get, list, cancel, outputs.
        shown: what must never change once it has ended, as JSON.
        index: which input of a map, or -1 for the call itself.
    """

    call_id: str
    observer: str
    asked_at: float
    seen_at: float
    shown: str
    index: int = -1

    @property
    def facts(self) -> Mapping[str, Any]:
        """What was shown."""
        facts: Mapping[str, Any] = json.loads(self.shown)
        return facts

    @property
    def status(self) -> str:
        """The contract's word."""
        return str(self.facts["status"])

    @property
    def terminal(self) -> bool:
        """It has ended."""
        return self.status in TERMINAL


def shown(call: Mapping[str, Any]) -> str:
    """The part of a call, or of a line of a map, on which all observers must agree once it has ended.

    The items of a generator stand in its result for some observers only: they are read apart (`Reading`).
    """
    kept = [name for name in NEVER_CHANGES if name in call and not (name == "result" and "num_items" in call)]
    return json.dumps({name: call[name] for name in kept}, sort_keys=True)


@dataclass(frozen=True, slots=True)
class Deed:
    """What the nemesis did.

    Args:
        container_id: to whom; empty for the server and everybody.
    """

    name: str
    begun_at: float
    ended_at: float
    container_id: str = ""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a function may use at most; of a class `max_containers` is for each of its combinations of parameters."""

    max_containers: int
    slots: int = 1
    max_retries: int = 0
    combinations: int = 1


@dataclass(frozen=True, slots=True)
class MapEnd:
    """The answer of a map as it was read, from its first input on: the indexes as they came.

    Args:
        size: how many inputs it has.
        whole: it was read to its end; otherwise the client hung up, or the connection broke.
    """

    call_id: str
    size: int
    ordered: bool
    indexes: tuple[int, ...]
    whole: bool = True


@dataclass(frozen=True, slots=True)
class Reading:
    """Items of a generator as somebody read them, from one on.

    Args:
        start: the number of the first one.
        items: each with the run that yielded it, its number as that says, and how many that is to yield.
        whole: it was read to its end, after the call's.
    """

    call_id: str
    observer: str
    start: int
    items: tuple[tuple[str, int, int], ...]
    whole: bool = False


@dataclass(frozen=True, slots=True)
class History:
    """Everything that is known of one time of chaos.

    Args:
        limits: by function address.
        cancelled: when the answer of a cancel came, by call.
        refusals: answers that no client should get, in words.
        leftovers: what was there at rest that nothing explains, in words.
    """

    runs: tuple[Run, ...] = ()
    requests: tuple[Request, ...] = ()
    sights: tuple[Sight, ...] = ()
    deeds: tuple[Deed, ...] = ()
    maps: tuple[MapEnd, ...] = ()
    readings: tuple[Reading, ...] = ()
    limits: Mapping[str, Limits] = field(default_factory=dict)
    cancelled: Mapping[str, float] = field(default_factory=dict)
    refusals: tuple[str, ...] = ()
    leftovers: tuple[str, ...] = ()


def runs_of(lines: Iterable[str]) -> tuple[Run, ...]:
    """The runs that functions wrote down: a line at their begin, one at their end. A torn line counts as none."""
    runs: dict[str, Run] = {}
    ends: dict[str, Mapping[str, Any]] = {}
    for line in lines:
        try:
            facts = json.loads(line)
        except ValueError:
            continue
        if facts.pop("event") == "begin":
            runs[facts["run"]] = Run(**facts)
        else:
            ends[facts["run"]] = facts
    for name, end in ends.items():
        runs[name] = dataclasses.replace(runs[name], ended_at=end["at"], raised=end["raised"])
    return tuple(runs.values())
