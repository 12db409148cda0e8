"""Options of a call beside its arguments."""

import pytest

from yurt.domain.errors import Invalid
from yurt.domain.timing import Timing
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


@pytest.mark.parametrize("option", ["priority", "delay", "queue_timeout", "callback_url", "method", "parameters"])
@pytest.mark.parametrize("text", ["1e999", "-1e999", '{"a": [1e999]}'])
def test_a_number_beyond_any_is_no_option(option: str, text: str) -> None:
    with pytest.raises(Invalid) as caught:
        read_envelope(f'{{"{option}":{text}}}'.encode())
    assert [error.pointer for error in caught.value.errors] == [f"/{option}"]


@pytest.mark.parametrize(
    ("options", "timing"),
    [
        ('"delay":0.5', Timing(0.5)),
        ('"delay":604800,"queue_timeout":3', Timing(604800, 3)),
        ('"queue_timeout":0.1', Timing(0, 0.1)),
        ('"delay":0,"queue_timeout":null', None),
    ],
)
def test_a_timing(options: str, timing: Timing | None) -> None:
    assert read_envelope(f"{{{options}}}".encode()).timing == timing


@pytest.mark.parametrize(
    ("name", "text"),
    [
        *(("delay", text) for text in ("-1", "604801", "true", '"5"', "1e999")),
        *(("queue_timeout", text) for text in ("0", "-1", "604801", "false", "{}")),
    ],
)
def test_what_is_no_timing(name: str, text: str) -> None:
    with pytest.raises(Invalid) as caught:
        read_envelope(f'{{"{name}":{text}}}'.encode())
    assert [error.pointer for error in caught.value.errors] in ([f"/{name}"], [""])
