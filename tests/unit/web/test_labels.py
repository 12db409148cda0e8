"""Labels: names in URLs that are the same for the same function, and of one function alone."""

import re

from hypothesis import given
from hypothesis import strategies as st

from yurt.domain.naming import NAME_PATTERN
from yurt.domain.web import MAX_LABEL_CHARS, label_of

NAMES = st.from_regex(NAME_PATTERN[1:-1], fullmatch=True)
GIVEN = st.none() | st.text(min_size=1, max_size=120).filter(lambda text: re.search(r"[a-z0-9]", text.lower()))


def label(
    given: str | None = None, *, taken: frozenset[str] = frozenset(), kept: str | None = None, **where: str
) -> str:
    names = {"environment": "main", "app": "shop", "function": "api", **where}
    return label_of(given, **names, taken=taken.__contains__, kept=kept)


def test_a_label_is_made_of_function_and_app_and_of_an_environment_that_is_not_main() -> None:
    assert label() == "api--shop"
    assert label(environment="staging") == "api--shop--staging"
    assert label(function="Get_Item.v2", app="My Shop"[:2] + "_x") == "get-item-v2--my-x"
    assert label("My.Shop") == "my-shop"


def test_what_is_long_or_taken_is_cut_and_gets_a_hash() -> None:
    long = label(function="f" * 64)
    assert re.fullmatch(r"f{43}-[0-9a-f]{6}", long)
    assert re.fullmatch(r"api--shop-[0-9a-f]{6}", label(taken=frozenset({"api--shop"})))
    assert label("shop", taken=frozenset({"shop"})) != label("shop", taken=frozenset({"shop"}), app="other")


def test_a_label_is_kept_while_its_function_asks_for_the_same() -> None:
    hashed = label(taken=frozenset({"api--shop"}))
    assert label(kept=hashed) == hashed, "also when the plain one has become free"
    assert label("other", kept=hashed) == "other"


def test_no_label_passes_for_a_name_in_another_script() -> None:
    assert not label(function="xn", app="p1ai").startswith("xn--")


@given(GIVEN, NAMES, NAMES, NAMES, st.integers(0, 12))
def test_every_label_can_be_a_name_in_the_dns(
    given: str | None, app: str, function: str, place: str, others: int
) -> None:
    taken: set[str] = set()
    for _ in range(others + 1):
        found = label_of(given, environment=place, app=app, function=function, taken=taken.__contains__)
        assert re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", found)
        assert len(found) <= MAX_LABEL_CHARS
        assert found not in taken
        taken.add(found)
    again = label_of(given, environment=place, app=app, function=function, taken=set().__contains__)
    assert again == label_of(given, environment=place, app=app, function=function, taken=set().__contains__)
