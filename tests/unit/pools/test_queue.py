"""The queue: every input comes out once, callers take turns, and an input keeps its place."""

from hypothesis import given
from hypothesis import strategies as st

from yurt.domain.blame import History
from yurt.pools.inputs import Input
from yurt.pools.queue import Queue


def make(seq: int, caller: str, priority: int = 0) -> Input:
    return Input(
        seq=seq,
        suffix=str(seq),
        function_id="fu-1",
        app_id="ap-1",
        kind="invoke",
        caller=caller,
        priority=priority,
        created_at=float(seq),
        metadata_json=None,
        args=b"{}",
        blob=None,
    )


def drain(queue: Queue) -> list[Input]:
    out = []
    while (item := queue.pop()) is not None:
        out.append(item)
    return out


callers = st.sampled_from("abc")
inputs = st.lists(st.tuples(callers, st.integers(-10, 10)), max_size=40).map(
    lambda rows: [make(seq, caller, priority) for seq, (caller, priority) in enumerate(rows)]
)


@given(inputs, st.data())
def test_what_goes_in_comes_out_once_unless_it_is_discarded(items: list[Input], data: st.DataObject) -> None:
    queue = Queue()
    for item in items:
        queue.push(item)
    gone = [item for item in items if data.draw(st.booleans())]
    for item in gone:
        assert queue.discard(item)
        assert not queue.discard(item)
    assert len(queue) == len(items) - len(gone)
    left = drain(queue)
    assert sorted(item.seq for item in left) == sorted(item.seq for item in items if item not in gone)
    assert len(queue) == 0


@given(inputs)
def test_a_callers_inputs_come_by_priority_then_age(items: list[Input]) -> None:
    queue = Queue()
    for item in items:
        queue.push(item)
    left = drain(queue)
    for caller in "abc":
        own = [(-item.priority, item.seq) for item in left if item.caller == caller]
        assert own == sorted(own)


@given(inputs)
def test_no_caller_waits_for_two_turns_of_another(items: list[Input]) -> None:
    queue = Queue()
    for item in items:
        queue.push(item)
    left = [item.caller for item in drain(queue)]
    for place, caller in enumerate(left):
        waiting = set(left[place + 1 :])
        following = left[place + 1 : place + 1 + len(waiting)]
        if waiting - {caller}:
            assert set(following) == waiting


@given(inputs)
def test_an_input_that_comes_back_is_at_its_old_place(items: list[Input]) -> None:
    queue = Queue()
    for item in items:
        item.caller, item.priority = "a", 0
        queue.push(item)
    first = queue.pop()
    if first is not None:
        queue.push(first)
        assert queue.pop() is first


def test_inputs_that_must_run_alone_stand_apart() -> None:
    queue = Queue()
    suspect, other = make(1, "a"), make(2, "a")
    suspect.history = History(2, 0, 1)
    queue.push(suspect)
    queue.push(other)
    assert len(queue) == 2
    assert queue.has_alone
    assert queue.pop() is other
    assert queue.pop() is None
    assert queue.pop_alone() is suspect


def test_it_says_how_many_are_ahead() -> None:
    queue = Queue()
    items = [make(seq, "a") for seq in range(5)]
    for item in items:
        queue.push(item)
    assert queue.ahead(items[3]) == (3, True)
    queue.push(make(9, "b"))
    assert queue.ahead(items[3])[1] is False
