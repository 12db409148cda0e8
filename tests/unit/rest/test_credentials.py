"""The three forms of credentials, as text."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yurt.domain.errors import Unauthenticated
from yurt.inbound.rest.auth import read_credentials

IDS = st.from_regex(r"tk-[0-9a-hjkmnp-tv-z]{26}", fullmatch=True)
SECRETS = st.from_regex(r"[A-Za-z0-9_-]{43}", fullmatch=True)


@given(IDS, SECRETS)
def test_every_form_gives_back_the_pair(token_id: str, secret: str) -> None:
    pair = f"{token_id}:{secret}"
    basic = base64.b64encode(pair.encode()).decode()

    for header in (f"Bearer {pair}", f"Basic {basic}", f"Bearer yurt_{token_id}_{secret}", f"BEARER {pair} "):
        assert read_credentials(header) == (token_id, secret)


@given(st.text())
def test_nothing_else_is_more_than_refused(header: str) -> None:
    for text in (header, f"Bearer {header}", f"Basic {header}"):
        try:
            token_id, secret = read_credentials(text)
        except Unauthenticated:
            continue
        assert token_id
        assert secret


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer :", "Bearer a:", "Bearer :b", "Basic Og==", "a:b"])
def test_half_a_pair_is_none(header: str) -> None:
    with pytest.raises(Unauthenticated):
        read_credentials(header)
