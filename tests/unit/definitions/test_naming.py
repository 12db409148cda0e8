import pytest

from yurt.domain.naming import app_name_problem, did_you_mean, name_problem, pointer, shown, split_address


@pytest.mark.parametrize("name", ["a", "A.b-c_1", "9", "a" * 64])
def test_names(name: str) -> None:
    assert name_problem(name) is None
    assert app_name_problem(name) is None


@pytest.mark.parametrize("name", ["", ".a", "-a", "_a", "a b", "a/b", "a:b", "ü", "a" * 65, "a\n", "a\0"])
def test_what_is_no_name(name: str) -> None:
    assert "1 to 64 letters" in str(name_problem(name))
    assert app_name_problem(name) == name_problem(name)


def test_an_app_must_not_look_like_an_id() -> None:
    assert name_problem("fu-x") is None
    assert "begins like an id" in str(app_name_problem("fu-x"))
    assert "begins like an id" in str(app_name_problem("ap-"))


@pytest.mark.parametrize(
    ("address", "parts"), [("a:b", ("a", "b")), ("a", None), (":b", None), ("a:", None), ("a:b:c", ("a", "b:c"))]
)
def test_addresses(address: str, parts: tuple[str, str] | None) -> None:
    assert split_address(address) == parts


def test_the_nearest_word_wins_whatever_its_case() -> None:
    assert did_you_mean("RESISE", ["crop", "Resize"]) == " Did you mean Resize?"
    assert did_you_mean("zzz", ["crop", "Resize"]) == ""


def test_values_are_shown_on_one_short_line() -> None:
    assert shown("a\nb\ud800") == '"a�b�"'
    assert len(shown("x" * 10_000)) == 60
    assert shown(1.5) == "1.5"


def test_pointers_are_escaped() -> None:
    assert pointer("a/b", "c~d", 0) == "/a~1b/c~0d/0"
    assert pointer() == ""
