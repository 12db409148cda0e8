import json

import pytest

from tests.commands import Yurt
from tests.component.cli.fake_api import FakeApi


def test_a_call_is_repeated_by_its_id(api: FakeApi, yurt: Yurt) -> None:
    ran, told = yurt("redrive", "fc-1"), yurt("redrive", "fc-1", "--json")

    assert (ran.code, ran.out) == (0, "fc-1-again\n")
    assert json.loads(told.out)["redrive_of"] == "fc-1"


def test_the_failed_calls_of_a_function_are_repeated(api: FakeApi, yurt: Yurt) -> None:
    ran = yurt("redrive", "thumbs:resize", "--since", "1h", "--outcome", "timeout", "--outcome", "crashed")
    api.maps_left = 2
    told = yurt("redrive", "thumbs:resize", "--since", "1h", "--json")

    assert (ran.code, ran.out, ran.err) == (0, "3\n", "")
    assert json.loads(told.out)["call_ids"] == ["fc-7", "fc-8", "fc-9"]
    assert "2 failed maps are left" in told.err
    assert api.redriven == [
        ("thumbs:resize", {"since": "1h", "outcomes": ["timeout", "crashed"]}),
        ("thumbs:resize", {"since": "1h"}),
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("thumbs:resize",), "--since"),
        (("thumbs:resize", "--outcome", "timeout"), "--since"),
        (("fc-1", "--since", "1h"), "fc-1 is one call"),
        (("fc-1", "--outcome", "timeout"), "fc-1 is one call"),
    ],
)
def test_what_to_repeat_must_be_clear(api: FakeApi, yurt: Yurt, arguments: tuple[str, ...], message: str) -> None:
    ran = yurt("redrive", *arguments)

    assert ran.code == 2
    assert message in ran.err
    assert api.redriven == []
