"""The states of a container, as a table of moves. What is not in the table cannot happen.

`desired` and `observed` stay apart: this is what was seen of a container, not what is wanted of it.
"""

from enum import StrEnum

from yurt.domain.records import ContainerState


class Event(StrEnum):
    """What moves a container."""

    READY = "ready"
    """Its runner has loaded the function and offers slots."""

    LEAVE = "leave"
    """It was asked to drain, or says that it leaves."""

    END = "end"
    """The engine's word that it is gone, or its lease has ended."""


class IllegalMove(Exception):
    """An event that cannot happen in that state: a mistake in Yurt, not a caller's."""


CONTAINER_MOVES: dict[tuple[ContainerState, Event], ContainerState] = {
    (ContainerState.STARTING, Event.READY): ContainerState.READY,
    (ContainerState.STARTING, Event.LEAVE): ContainerState.DRAINING,
    (ContainerState.STARTING, Event.END): ContainerState.ENDED,
    (ContainerState.READY, Event.LEAVE): ContainerState.DRAINING,
    (ContainerState.READY, Event.END): ContainerState.ENDED,
    (ContainerState.DRAINING, Event.LEAVE): ContainerState.DRAINING,
    (ContainerState.DRAINING, Event.END): ContainerState.ENDED,
}
"""From a state, by an event, into a state. A container that leaves may be told so again."""


def move(state: ContainerState, event: Event) -> ContainerState:
    """The state of a container after an event.

    Raises:
        IllegalMove: the table has no such move.
    """
    after = CONTAINER_MOVES.get((state, event))
    if after is None:
        raise IllegalMove(f"a container that is {state} cannot get the event {event}")
    return after


def drawing() -> str:
    """The table as a Mermaid state diagram, for the documentation."""
    moves = [f"    {before} --> {after}: {event}" for (before, event), after in CONTAINER_MOVES.items()]
    first = f"    [*] --> {ContainerState.STARTING}"
    last = f"    {ContainerState.ENDED} --> [*]"
    return "\n".join(["stateDiagram-v2", first, *moves, last])
