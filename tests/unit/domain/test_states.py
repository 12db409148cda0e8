"""The moves of a container."""

import pytest

from yurt.domain.records import ContainerState
from yurt.domain.states import CONTAINER_MOVES, Event, IllegalMove, drawing, move

REFUSED = [(state, event) for state in ContainerState for event in Event if (state, event) not in CONTAINER_MOVES]


def test_a_life() -> None:
    state = ContainerState.STARTING
    for event in (Event.READY, Event.LEAVE, Event.LEAVE, Event.END):
        state = move(state, event)
    assert state is ContainerState.ENDED


def test_every_state_but_the_last_can_end() -> None:
    for state in set(ContainerState) - {ContainerState.ENDED}:
        assert move(state, Event.END) is ContainerState.ENDED


def test_nothing_comes_after_the_end_and_nothing_becomes_ready_late() -> None:
    assert set(REFUSED) == {
        (ContainerState.ENDED, Event.READY),
        (ContainerState.ENDED, Event.LEAVE),
        (ContainerState.ENDED, Event.END),
        (ContainerState.READY, Event.READY),
        (ContainerState.DRAINING, Event.READY),
    }


@pytest.mark.parametrize(("state", "event"), REFUSED)
def test_what_is_not_in_the_table_raises(state: ContainerState, event: Event) -> None:
    with pytest.raises(IllegalMove, match=f"{state} cannot get the event {event}"):
        move(state, event)


def test_the_drawing_shows_every_move() -> None:
    lines = [line.strip() for line in drawing().splitlines()]
    assert lines[:2] == ["stateDiagram-v2", "[*] --> starting"]
    assert {f"{before} --> {after}: {event}" for (before, event), after in CONTAINER_MOVES.items()} < set(lines)
