"""Who may be told, how it is signed, and when it is tried again."""

import base64
import ipaddress
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yurt.domain.callbacks import (
    GIVE_UP_AFTER_S,
    address_problem,
    delivered,
    literal_problem,
    new_secret,
    not_delivered,
    signed_headers,
    state_of,
    url_problem,
)
from yurt.domain.records import Callback

REFUSED = [
    "0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.127.255.255", "127.0.0.1", "127.255.0.1",
    "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.8", "192.0.2.1", "192.88.99.1", "192.168.1.1",
    "198.18.0.1", "198.19.255.255", "198.51.100.7", "203.0.113.9", "224.0.0.1", "239.255.255.250", "240.0.0.1",
    "255.255.255.255", "::", "::1", "::7f00:1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254",
    "::ffff:0:127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "100::1", "2001::1", "2001:db8::1",
    "2002:7f00:1::", "2002:a00:1::1", "3fff::1", "5f00::1", "fc00::1", "fd12:3456::1", "fe80::1", "fe80::1%eth0",
    "fec0::1", "ff02::1", "not an address", "",
]  # fmt: skip
TAKEN = [
    "1.1.1.1", "9.255.255.255", "11.0.0.1", "100.63.255.255", "100.128.0.1", "172.15.0.1", "172.32.0.1", "192.167.0.1",
    "198.17.0.1", "223.255.255.255", "2606:4700::1111", "2a00:1450:4001::8a", "::ffff:1.1.1.1", "64:ff9b::101:101",
]  # fmt: skip


@pytest.mark.parametrize("address", REFUSED)
def test_addresses_that_no_callback_goes_to(address: str) -> None:
    assert address_problem(address, ())


@pytest.mark.parametrize("address", TAKEN)
def test_public_addresses(address: str) -> None:
    assert address_problem(address, ()) is None


@given(st.ip_addresses(v=4))
def test_what_python_knows_as_not_global_is_refused(address: ipaddress.IPv4Address) -> None:
    if not address.is_global or address.is_multicast:
        assert address_problem(str(address), ())


@given(st.ip_addresses(v=4))
def test_an_address_hidden_in_ipv6_is_judged_as_itself(address: ipaddress.IPv4Address) -> None:
    plain = address_problem(str(address), ()) is None
    assert (address_problem(f"::ffff:{address}", ()) is None) == plain
    assert (address_problem(str(ipaddress.IPv6Address((0x64FF9B << 96) | int(address))), ()) is None) == plain


def test_networks_can_be_opened() -> None:
    allowed = (ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("fd00::/8"))
    assert address_problem("10.1.2.3", allowed) is None
    assert address_problem("::ffff:10.1.2.3", allowed) is None
    assert address_problem("fd00::1", allowed) is None
    assert address_problem("127.0.0.1", allowed)
    assert address_problem("fc00::1", allowed)


@pytest.mark.parametrize(
    "url",
    [
        "", "x", "//example.com", "ftp://example.com", "file:///etc/passwd", "javascript:alert(1)", "http://",
        "https://:443/", "http://user@example.com", "http://u:p@example.com", "http://@example.com", "http://a b/",
        "http://example.com/\n", "http://example.com\\@evil", "http://exämple.com", "http://127.1/", "http://2130706433/",
        "http://0177.0.0.1/", "http://1.2.3.4.5/", "http://example.com:99999/", "http://example.com:x/",
        "http://example.com:0/", "http://[::1", "http://[::1%25lo]x/", "https://example.com/" + "a" * 2048,
    ],
)  # fmt: skip
def test_urls_of_the_wrong_form(url: str) -> None:
    assert url_problem(url)


@pytest.mark.parametrize(
    "url",
    ["http://example.com", "https://example.com:8443/a/b?token=c%20d#e", "http://1.2.3.4/", "https://[2606:4700::1]/x"],
)
def test_urls_of_the_right_form(url: str) -> None:
    assert url_problem(url) is None
    assert literal_problem(url, ()) is None


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "[::ffff:10.0.0.1]", "169.254.169.254", "[fe80::1]"])
def test_addresses_in_urls_are_judged_at_once(host: str) -> None:
    assert literal_problem(f"http://{host}/", ())


def test_signatures_are_those_of_the_specification() -> None:
    """The test vector of the reference libraries, https://github.com/standard-webhooks/standard-webhooks."""
    secret, body = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", b'{"test": 2432232314}'
    headers = signed_headers([secret], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330.9, body)
    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_every_secret_signs() -> None:
    secrets = [new_secret(bytes([number]) * 32) for number in (1, 2)]
    both = signed_headers(secrets, "fc-1", 5.0, b"{}")["webhook-signature"].split(" ")
    assert both == [signed_headers([secret], "fc-1", 5.0, b"{}")["webhook-signature"] for secret in secrets]


def test_secrets_have_the_form_of_the_specification() -> None:
    secret = new_secret(b"\0" * 32)
    assert secret.startswith("whsec_")
    assert len(base64.b64decode(secret.removeprefix("whsec_"), validate=True)) == 32


ENDED = Callback(1, "main", "https://example.com", "example.com", ended_at=1000.0, due_at=1000.0)


def test_delivery_is_the_end_of_it() -> None:
    done = delivered(ENDED, 1001.0)
    assert (state_of(done), done.due_at, done.attempts) == ("delivered", None, 1)


def test_a_receiver_that_wants_no_more_gets_no_more() -> None:
    over = not_delivered(ENDED, 1001.0, "410", final=True, jitter=0.5)
    assert (state_of(over), over.due_at, over.last_error) == ("failed", None, "410")


@given(st.floats(0, 1))
def test_attempts_come_less_and_less_often_and_end_after_a_day(jitter: float) -> None:
    callback, times = ENDED, [1000.0]
    while callback.due_at is not None:
        times.append(callback.due_at)
        callback = not_delivered(callback, callback.due_at, "500", final=False, jitter=jitter)
        assert callback.attempts < 100
    gaps = [later - earlier for earlier, later in itertools.pairwise(times[1:])]
    assert all(later > earlier - 1e-6 for earlier, later in itertools.pairwise(gaps))
    assert 3 <= gaps[0] <= 7
    assert times[-1] <= 1000 + GIVE_UP_AFTER_S
    assert times[-1] > 1000 + GIVE_UP_AFTER_S - 2 * 3600
    assert state_of(callback) == "failed"
