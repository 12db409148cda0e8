"""What an engine says of containers before the server has taken them over."""

from yurt.ports import Ended, Leaving, Report
from yurt.usecases.awakening import EarlyReports


def test_what_is_said_early_is_heard_later_in_its_order_and_the_rest_at_once() -> None:
    heard: list[Report] = []
    reports = EarlyReports(heard.append)
    first, second, third = Leaving("co-1", "its node is drained"), Ended("co-1", "gone"), Ended("co-2", "gone")
    reports(first)
    reports(second)
    assert heard == []
    reports.pass_on()
    assert heard == [first, second]
    reports(third)
    assert heard == [first, second, third]
