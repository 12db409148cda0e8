import pytest
from hypothesis import given
from hypothesis import strategies as st

from yurt.domain.requirements import headline, key_of, may_pass, normalized, problem


@pytest.mark.parametrize(
    "text",
    [
        "pillow==11.*",
        "httpx[http2]>=0.28,<1",
        "Foo_Bar ~= 1.0",
        "tomli; python_version < '3.11'",
        "torch==2.9.0+cu128",
    ],
)
def test_packages_of_an_index_are_taken(text: str) -> None:
    assert problem(text) is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "must not be empty"),
        ("  ", "must not be empty"),
        ("-r other.txt", "not an option"),
        ("--index-url https://example.org", "not an option"),
        ("./package", "not a file"),
        ("/opt/package", "not a file"),
        ("package.whl", "not a file"),
        ("git+https://example.org/package", "not an address"),
        ("https://user:secret@example.org/package.zip?x", "not an address"),
        ("package @ https://user:secret@example.org/package", "not an address"),
        ("two words", "is no requirement such as"),
        ("package==", "is no requirement such as"),
        ("a" * 1001, "at most 1000 characters"),
    ],
)
def test_anything_else_is_refused_without_repeating_it(text: str, says: str) -> None:
    said = problem(text)
    assert said is not None
    assert says in said
    assert "secret" not in said.replace("or be secret", "")


def test_spelling_and_order_make_no_difference() -> None:
    one = normalized(["Pillow == 11.*", "httpx[Brotli,http2]<1,>=0.28", "httpx[http2,brotli] >=0.28, <1"])
    assert one == normalized(["httpx[http2,brotli]>=0.28,<1", "pillow==11.*"])
    assert one == ("httpx[brotli,http2]<1,>=0.28", "pillow==11.*")


names = st.lists(st.sampled_from(["a", "b==1", "c[x]>=2", "d; sys_platform == 'linux'", "E.F"]), max_size=5)


@given(names, st.randoms())
def test_the_key_is_of_the_list_and_the_interpreter(texts: list[str], random: "st.DrawFn") -> None:
    shuffled = list(texts)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    found = normalized(texts)
    assert normalized(found) == found
    assert key_of(found, "3.11") == key_of(normalized(shuffled), "3.11") != key_of(found, "3.12")
    assert all(problem(one) is None for one in found)


@pytest.mark.parametrize(
    "line",
    [
        "WARNING: Retrying (Retry(total=4)) after connection broken by 'NewConnectionError': Connection refused",
        "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device",
        "  cause: error sending request for url (http://index.invalid/requests/)",
        "pip._vendor.urllib3.exceptions.ReadTimeoutError: Read timed out.",
        "ERROR: HTTP error 503 while getting it: 503 Server Error: Service Unavailable for url",
        "error: HTTP status server error (502 Bad Gateway) for url",
    ],
)
def test_what_may_pass(line: str) -> None:
    assert may_pass(["Looking", line, "ERROR: No matching distribution found for requests"])


@pytest.mark.parametrize(
    "output",
    [
        ["ERROR: No matching distribution found for nosuch==500.0"],
        ["error: No solution found when resolving dependencies", "  cause: Because nosuch was not found"],
        ["src/wait.c:12: warning: unused variable 'timeout'", "error: Failed to build `wait==1`"],
        ["error: Failed to build `requests==1.2.3`", "ImportError: cannot import name 'MutableMapping'"],
        [],
    ],
)
def test_what_will_not(output: list[str]) -> None:
    assert not may_pass(output)


def test_the_headline_is_what_the_installer_blames() -> None:
    assert headline(["Looking", "ERROR: Could not find", "ERROR: No matching", ""]) == "ERROR: No matching"
    old = ["  \N{MULTIPLICATION SIGN} No solution found:", "  \u2570\u2500\u25b6 Because there is", "      no red."]
    assert headline(old) == "No solution found: Because there is no red."
    assert headline(["something", "last"]) == "last"
    assert headline([]) == ""
