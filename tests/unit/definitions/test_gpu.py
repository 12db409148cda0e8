import re

import pytest

from yurt.domain import gpu


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("H100", "H100"),
        ("h100:2", "H100:2"),
        ("A10G", "A10"),
        ("a10g:8", "A10:8"),
        ("T4:1", "T4"),
        ("rtx-pro-6000", "RTX-PRO-6000"),
        ("a100-40gb:4", "A100-40GB:4"),
    ],
)
def test_every_spelling_has_one_canonical_form(text: str, canonical: str) -> None:
    assert gpu.canonical(text) == canonical
    assert gpu.canonical(canonical) == canonical
    assert re.search(gpu.PATTERN, text)


@pytest.mark.parametrize(
    "text", ["H100:0", "H100:9", "H100:", "H100:x", "H100:-1", "H100:02", "H100: 2", "H100:2:2", "H100:٢"]
)
def test_a_count_outside_1_to_8_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be 1 to 8, as in H100:2"):
        gpu.canonical(text)
    assert not re.search(gpu.PATTERN, text)


@pytest.mark.parametrize(("text", "meant"), [("H1OO", "H100"), ("A100-80G", "A100-80GB"), ("RTX6000", "RTX-PRO-6000")])
def test_a_slip_is_answered_with_the_type_that_was_meant(text: str, meant: str) -> None:
    with pytest.raises(ValueError, match=rf'unknown type "{text}"\. Did you mean {meant}\?'):
        gpu.canonical(text)


@pytest.mark.parametrize("text", ["", ":2", "zzz", " H100"])
def test_what_resembles_nothing_gets_the_list(text: str) -> None:
    with pytest.raises(ValueError, match="unknown type"):
        gpu.canonical(text)
