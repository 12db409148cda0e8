"""Items on their way to the server: one at once while nothing is on its way, many together while something is."""

import json
from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from yurt_runner import wire
from yurt_runner.courier import BLOCK_BYTES, Courier
from yurt_runner.yields import GRANT

KEY = (7, 1007)
FAR = (1 << 40, 1 << 40)


def items_in(frames: Iterable[bytes]) -> list[tuple[int, list[int]]]:
    """The number of the first item of each frame, and the items."""
    out = []
    for one in frames:
        (frame,) = wire.unpack(one)
        said, items = frame.header(), [json.loads(line) for line in frame.payload.split(b"\n")]
        assert (frame.kind, frame.seq, frame.token, said["count"]) == (wire.ITEM, *KEY, len(items))
        out.append((said["first"], items))
    return out


def take(courier: Courier, *items: int) -> None:
    for item in items:
        courier.take(KEY, b"%d" % item)


def test_the_first_item_goes_at_once_and_what_follows_waits_for_its_commit() -> None:
    courier = Courier()
    take(courier, 10)
    assert items_in(courier.due()) == [(0, [10])]
    take(courier, 11)
    assert courier.due() == []
    take(courier, 12)
    assert courier.due() == []
    frames, _ = courier.stored(KEY, 1, *FAR)
    assert items_in(frames) == [(1, [11, 12])]
    assert courier.stored(KEY, 3, *FAR)[0] == []
    take(courier, 13)
    assert items_in(courier.due()) == [(3, [13])]


def test_what_came_together_goes_together() -> None:
    courier = Courier()
    take(courier, 1, 2, 3)
    assert items_in(courier.due()) == [(0, [1, 2, 3])]


def test_much_does_not_wait() -> None:
    courier = Courier()
    take(courier, 1)
    courier.due()
    courier.take(KEY, b"7" * BLOCK_BYTES)
    assert len(courier.due()) == 1


def test_the_end_takes_what_is_gathered_along() -> None:
    courier = Courier()
    take(courier, 1)
    courier.due()
    take(courier, 2, 3)
    assert items_in(courier.rest(KEY)) == [(1, [2, 3])]
    assert courier.rest(KEY) == []


def test_a_new_connection_is_sent_what_is_not_known_to_be_stored() -> None:
    courier = Courier()
    take(courier, 1)
    courier.due()
    courier.stored(KEY, 1, *FAR)
    take(courier, 2)
    courier.due()
    take(courier, 3)
    courier.rest(KEY)
    assert items_in(courier.all()) == [(1, [2]), (2, [3])]
    courier.forget([KEY])
    assert courier.all() == []


def test_the_worker_is_told_of_a_quarter_of_its_window_at_a_time() -> None:
    courier = Courier()
    take(courier, 1)
    step = wire.ITEM_WINDOW // 4
    bytes_to = wire.ITEM_WINDOW_BYTES
    assert courier.stored(KEY, 0, wire.ITEM_WINDOW + step - 1, bytes_to)[1] is None
    told = courier.stored(KEY, 0, wire.ITEM_WINDOW + step, bytes_to)[1]
    assert told is not None
    assert GRANT.unpack(told) == (*KEY, wire.ITEM_WINDOW + step, bytes_to)
    assert courier.stored(KEY, 0, wire.ITEM_WINDOW + step, bytes_to)[1] is None


def test_credit_for_nobody_is_nothing() -> None:
    assert Courier().stored(KEY, 1, *FAR) == ([], None)


@given(st.lists(st.one_of(st.integers(1, BLOCK_BYTES // 2), st.just("due"), st.just("stored"), st.just("all"))))
def test_whatever_happens_every_item_is_sent_once_in_order_and_in_blocks(deeds: list[int | str]) -> None:
    courier, sent, taken = Courier(), 0, 0

    def note(frames: list[bytes]) -> None:
        nonlocal sent
        for one in frames:
            (frame,) = wire.unpack(one)
            said = frame.header()
            assert said["first"] == sent
            assert said["count"] == 1 or len(frame.payload) <= BLOCK_BYTES
            sent += said["count"]

    for deed in deeds:
        if isinstance(deed, int):
            courier.take(KEY, b"1" * deed)
            taken += 1
        elif deed == "due":
            note(courier.due())
        elif deed == "stored":
            note(courier.stored(KEY, sent, *FAR)[0])
        else:
            assert [wire.unpack(one)[0].header()["first"] for one in courier.all()] == sorted(
                wire.unpack(one)[0].header()["first"] for one in courier.all()
            )
    note(courier.due())
    note(courier.rest(KEY))
    assert sent == taken
