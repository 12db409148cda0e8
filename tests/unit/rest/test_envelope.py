"""Options of a call beside its arguments."""

import pytest

from yurt.domain.errors import Invalid
from yurt.inbound.rest.envelope import read_envelope


@pytest.mark.parametrize(("text", "priority"), [("10", 10), ("-10", -10), ("3.0", 3), ("0", 0), ("null", 0)])
def test_a_priority(text: str, priority: int) -> None:
    envelope = read_envelope(f'{{"args":[1],"priority":{text}}}'.encode())
    assert (envelope.payload, envelope.priority) == (b'{"args":[1],"kwargs":{}}', priority)


@pytest.mark.parametrize("text", ["11", "-11", "0.5", "true", '"high"', "[]"])
def test_what_is_no_priority(text: str) -> None:
    with pytest.raises(Invalid) as caught:
        read_envelope(f'{{"priority":{text}}}'.encode())
    assert [error.pointer for error in caught.value.errors] == ["/priority"]
