"""Callbacks: who may be told, how it is signed, and when it is tried again.

Signatures follow the Standard Webhooks specification (https://www.standardwebhooks.com).
"""

import base64
import hashlib
import hmac
import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import TypeAlias
from urllib.parse import urlsplit

from yurt.domain.records import Callback

Network: TypeAlias = IPv4Network | IPv6Network

MAX_URL_CHARS = 2048
GIVE_UP_AFTER_S = 86_400.0
"""How long after a call's end its callback is tried, in seconds."""
FIRST_DELAY_S = 5.0
LAST_DELAY_S = 3600.0
ROTATION_S = 86_400.0
"""How long a replaced secret is still used beside the new one, in seconds."""
MAX_SECRETS = 5
"""Secrets of an environment that may be in use at once: each adds a signature to every callback."""
SECRET_PREFIX = "whsec_"  # noqa: S105  # what secrets begin with, by the specification
SECRET_BYTES = 32
"""The specification asks for 24 to 64."""

_SPECIAL_V4 = tuple(
    map(
        IPv4Network,
        (
            "0.0.0.0/8",
            "10.0.0.0/8",
            "100.64.0.0/10",
            "127.0.0.0/8",
            "169.254.0.0/16",
            "172.16.0.0/12",
            "192.0.0.0/24",
            "192.0.2.0/24",
            "192.88.99.0/24",
            "192.168.0.0/16",
            "198.18.0.0/15",
            "198.51.100.0/24",
            "203.0.113.0/24",
            "224.0.0.0/4",
            "240.0.0.0/4",
        ),
    )
)
"""https://www.iana.org/assignments/iana-ipv4-special-registry, and multicast."""
_PUBLIC_V6 = IPv6Network("2000::/3")
"""All that is given out; loopback, link-local, unique-local, multicast and the unspecified address lie outside."""
_SPECIAL_V6 = tuple(map(IPv6Network, ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")))
"""https://www.iana.org/assignments/iana-ipv6-special-registry, as far as it lies within; 2002::/16 leads to IPv4."""
_NAT64 = IPv6Network("64:ff9b::/96")
"""An IPv4 address stands in the last 32 bits (RFC 6052)."""


def url_problem(url: str) -> str | None:
    """What is wrong with the form of a callback's URL, or None."""
    if len(url) > MAX_URL_CHARS:
        return f"may have at most {MAX_URL_CHARS} characters"
    if not url.isascii() or not url.isprintable() or any(char in url for char in ' \\"<>^`{|}'):
        return "must be a URL in ASCII without spaces; other characters are written with %"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return "must be a URL such as https://example.com/done"
    if parts.scheme not in {"http", "https"} or not host or port == 0:
        return "must begin with https:// or http:// and name a host, such as https://example.com/done"
    if "@" in parts.netloc:
        return "must hold no credentials; the signature proves who sends, and a path or query may hold a token"
    if "[" in parts.netloc and (_literal(host) is None or "%" in host):
        return f"[{host}] is no IPv6 address"
    if host.replace(".", "").isdigit() and _literal(host) is None:
        return f"{host} is no IPv4 address in the usual form, four numbers with dots"
    return None


def host_of(url: str) -> str:
    """The host of a URL that `url_problem` found right, in lower case."""
    return urlsplit(url).hostname or ""


def literal_problem(url: str, allowed: Sequence[Network]) -> str | None:
    """Why a URL whose host is an address is refused, or None; names are looked up at delivery."""
    host = host_of(url)
    return None if _literal(host) is None else address_problem(host, allowed)


def address_problem(address: str, allowed: Sequence[Network]) -> str | None:
    """Why callbacks do not go to an IP address, or None.

    Args:
        address: as the system's resolver writes it.
        allowed: networks that the operator opened.
    """
    found = _literal(address)
    if found is None:
        return f"{address} is no IP address"
    inner = _inner(found)
    if any(ip in network for network in allowed for ip in (found, inner)) or _public(inner):
        return None
    return f"{address} is not a public address"


def _literal(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _inner(ip: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """The IPv4 address that an IPv6 one stands for, or the address itself."""
    if isinstance(ip, IPv6Address):
        if ip.ipv4_mapped is not None:
            return ip.ipv4_mapped
        if ip in _NAT64:
            return IPv4Address(int(ip) & 0xFFFF_FFFF)
    return ip


def _public(ip: IPv4Address | IPv6Address) -> bool:
    if isinstance(ip, IPv4Address):
        return not any(ip in network for network in _SPECIAL_V4)
    return ip in _PUBLIC_V6 and not any(ip in network for network in _SPECIAL_V6)


def new_secret(random: bytes) -> str:
    """A secret of `SECRET_BYTES` random bytes, in the specification's form."""
    return SECRET_PREFIX + base64.b64encode(random).decode()


def signed_headers(secrets: Sequence[str], message_id: str, now_s: float, body: bytes) -> Mapping[str, str]:
    """The headers that prove who sends a message.

    Args:
        secrets: one signature is made with each.
        message_id: the same for every attempt, so that the receiver can tell repeats.
        now_s: seconds since 1970; receivers refuse what is far from their own time.
        body: as it is sent.
    """
    stamp = str(int(now_s))
    signed = b".".join((message_id.encode(), stamp.encode(), body))
    signatures = (_signature(secret, signed) for secret in secrets)
    return {"webhook-id": message_id, "webhook-timestamp": stamp, "webhook-signature": " ".join(signatures)}


def _signature(secret: str, signed: bytes) -> str:
    key = base64.b64decode(secret.removeprefix(SECRET_PREFIX))
    return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()


def delivered(callback: Callback, now: float) -> Callback:
    """The callback after an attempt that was taken."""
    return replace(callback, attempts=callback.attempts + 1, due_at=None, delivered_at=now, last_error=None)


def not_delivered(callback: Callback, now: float, error: str, *, final: bool, jitter: float) -> Callback:
    """The callback after an attempt that failed: due again later, or given up.

    Args:
        callback: as it was.
        now: seconds since 1970.
        error: why.
        final: another attempt would be in vain.
        jitter: from 0 to 1, by chance: receivers that were away are not met by all at once.
    """
    attempts = callback.attempts + 1
    # The exponent is bounded: a float has no 2 to the 2000.
    delay = min(LAST_DELAY_S, FIRST_DELAY_S * 2.0 ** min(attempts - 1, 20)) * (0.75 + jitter / 2)
    begun = callback.ended_at if callback.ended_at is not None else now
    over = final or now + delay > begun + GIVE_UP_AFTER_S
    return replace(
        callback,
        attempts=attempts,
        last_error=error,
        due_at=None if over else now + delay,
        failed_at=now if over else None,
    )


def state_of(callback: Callback) -> str:
    """`delivered`, `failed`, or `pending`, which includes that the call has not ended."""
    if callback.delivered_at is not None:
        return "delivered"
    return "failed" if callback.failed_at is not None else "pending"
