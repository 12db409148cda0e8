"""The heads that the gateway writes: whatever a client sends, a container is told the truth, in one request."""

from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st

from yurt.inbound.gateway.hygiene import Client, request_head, response_head
from yurt.inbound.gateway.requests import BadRequest, Request, Sites, settle

HERE = b"10.1.2.3"
TOKEN = st.from_regex(rb"[a-z0-9!#$%&'*+.^_`|~-]{1,20}", fullmatch=True)
HOP = st.sampled_from([b"connection", b"keep-alive", b"te", b"trailer", b"upgrade", b"proxy-authorization"])
TOLD = st.sampled_from(
    [b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"forwarded", b"x_forwarded_for"]
)
VALUE = st.from_regex(rb"[!-~]{0,20}", fullmatch=True)
HEADERS = st.lists(st.tuples(TOKEN | HOP | TOLD, VALUE), max_size=10)


def request(headers: list[tuple[bytes, bytes]], method: bytes = b"GET") -> Request:
    framing = {b"host", b"content-length", b"transfer-encoding"}
    kept = [pair for pair in headers if pair[0] not in framing]
    found = Request(method, b"/a", "1.1", [(b"host", b"shop.localhost"), *kept])
    settle(found)
    return found


def lines(head: bytes) -> list[tuple[bytes, bytes]]:
    assert head.endswith(b"\r\n\r\n")
    first, *rest = head[:-4].split(b"\r\n")
    assert first.count(b" ") >= 2
    pairs = [line.partition(b": ") for line in rest]
    return [(name, value) for name, _, value in pairs]


@given(HEADERS)
def test_who_asks_is_said_by_the_gateway_alone(headers: list[tuple[bytes, bytes]]) -> None:
    found = lines(request_head(request(headers), Client(HERE), b"/web/shop", b"/a"))
    told = [pair for pair in found if pair[0].replace(b"_", b"-").startswith((b"x-forwarded-", b"forwarded"))]
    assert sorted(told) == sorted(
        [
            (b"x-forwarded-for", HERE),
            (b"x-forwarded-proto", b"http"),
            (b"x-forwarded-host", b"shop.localhost"),
            (b"forwarded", b'for=10.1.2.3;host="shop.localhost";proto=http'),
            (b"x-forwarded-prefix", b"/web/shop"),
        ]
    )


@given(HEADERS)
def test_what_is_of_one_connection_goes_no_further(headers: list[tuple[bytes, bytes]]) -> None:
    asked = request(headers)
    found = [name for name, _ in lines(request_head(asked, Client(HERE), b"", b"/a"))]
    named = {word.strip().lower() for name, value in headers if name == b"connection" for word in value.split(b",")}
    gone = {b"connection", b"keep-alive", b"te", b"trailer", b"upgrade", b"proxy-authorization", *named}
    for name, _ in headers:
        if name in gone and name not in {b"cookie", b"authorization", b"host"} and not asked.upgrade:
            assert name not in found or name.startswith((b"x-forwarded", b"forwarded")), name
    assert found.count(b"host") == 1


@given(HEADERS)
def test_everything_else_arrives_in_its_order(headers: list[tuple[bytes, bytes]]) -> None:
    plain = [(name, value) for name, value in headers if name.startswith(b"a")]
    found = lines(request_head(request(plain), Client(HERE), b"", b"/a"))
    assert [pair for pair in found if pair[0].startswith(b"a")] == plain


def test_the_word_of_a_trusted_proxy_counts() -> None:
    before = [
        (b"x-forwarded-for", b"1.2.3.4"),
        (b"x-forwarded-proto", b"https"),
        (b"x-forwarded-host", b"shop.example"),
    ]
    found = dict(lines(request_head(request(before), Client(HERE, trusted=True), b"", b"/a")))
    assert found[b"x-forwarded-for"] == b"1.2.3.4, 10.1.2.3"
    assert found[b"x-forwarded-proto"] == b"https"
    assert found[b"x-forwarded-host"] == b"shop.example"


def test_credentials_that_were_checked_here_are_not_shown() -> None:
    asked = request([(b"authorization", b"Bearer x"), (b"cookie", b"a")])
    assert b"Bearer" in request_head(asked, Client(HERE), b"", b"/a")
    spent = request_head(asked, Client(HERE), b"", b"/a", b"authorization")
    assert b"Bearer" not in spent
    assert b"cookie: a" in spent


def test_an_ipv6_client_is_quoted_where_it_must_be() -> None:
    found = dict(lines(request_head(request([]), Client(b"::1"), b"", b"/a")))
    assert found[b"x-forwarded-for"] == b"::1"
    assert found[b"forwarded"].startswith(b'for="[::1]";')


@given(
    st.booleans(), st.booleans(), st.booleans(), st.sampled_from(["1.0", "1.1"]), st.sampled_from([200, 204, 304, 404])
)
def test_a_response_has_one_framing(sized: bool, bare: bool, keep: bool, version: str, status: int) -> None:
    asked = Request(b"GET", b"/", version, [(b"host", b"h")])
    said = [(b"Content-Length", b"5")] if sized else [(b"Transfer-Encoding", b"chunked")]
    head, framing = response_head(status, said, asked, sized=sized, bare=bare, keep=keep)
    found = [(name.lower(), value) for name, value in lines(head)]
    framings = [name for name, _ in found if name in {b"content-length", b"transfer-encoding"}]
    assert len(framings) <= 1
    assert framing.chunked == (framings == [b"transfer-encoding"])
    if not framings and not bare:
        assert not framing.keep, "only the end of the connection ends the body"
    assert ((b"connection", b"close") in found) == (not framing.keep)
    if version == "1.0":
        assert not framing.chunked


def test_places() -> None:
    both, host = Sites(b"apps.example", by_path=True), Sites(b"apps.example", by_path=False)
    found = both.place(b"Shop.apps.EXAMPLE:8080", b"/web/other/x")
    assert found is not None
    assert (found.label, found.prefix, found.target) == ("shop", b"", b"/web/other/x")
    found = both.place(b"elsewhere", b"/web/Sh%6Fp/a?b")
    assert found is not None
    assert (found.label, found.prefix, found.target) == ("shop", b"/web/Sh%6Fp", b"/a?b")
    assert host.place(b"elsewhere", b"/web/shop/") is None
    for nowhere in (b"apps.example", b"a.b.apps.example", b"apps.example.evil", b"xapps.example"):
        assert host.place(nowhere, b"/") is None
    assert host.place(b"shop.apps.example.", b"/") is not None


@given(st.binary(max_size=30), st.binary(max_size=30))
def test_nothing_that_comes_breaks_it(target: bytes, host: bytes) -> None:
    Sites(b"localhost", by_path=True).place(host, target)
    with suppress(BadRequest):
        settle(Request(b"GET", target, "1.1", [(b"host", host)]))
