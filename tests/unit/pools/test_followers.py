"""Who follows inputs: told once of the end, at every change, and never after leaving."""

from yurt.domain.records import Result
from yurt.pools.followers import Followers


def test_a_waiter_is_told_once_and_forgotten() -> None:
    followers = Followers()
    told: list[Result] = []
    followers.wait(7, told.append)
    followers.ended(8, _result(8))
    followers.ended(7, _result(7))
    followers.ended(7, _result(7))
    assert [result.seq for result in told] == [7]
    assert followers.waiters == {}


def test_who_has_left_is_not_told() -> None:
    followers = Followers()
    one: list[Result] = []
    other: list[Result] = []
    stays, goes = one.append, other.append
    followers.wait(7, stays)
    followers.wait(7, goes)
    followers.leave(7, goes)
    followers.leave(9, goes)
    followers.ended(7, _result(7))
    followers.leave(7, stays)
    assert (len(one), other) == (1, [])


def test_a_watcher_is_told_of_changes_while_it_watches() -> None:
    followers, seen = Followers(), []
    with followers.watching(7, lambda: seen.append(1)):
        followers.changed(7)
        followers.changed(8)
        followers.ended(7, _result(7))
    followers.changed(7)
    assert seen == [1, 1]
    assert followers.watchers == {}


def _result(seq: int) -> Result:
    return Result(seq, "success", None, 1.0, 1, None, None, None, None)
