"""Where functions are found that answer HTTP: on which ports, by which names."""

import socket
from dataclasses import dataclass
from urllib.parse import urlsplit

from yurt.domain.web import WebPlaces
from yurt.inbound.gateway.requests import Sites
from yurt.settings import Settings

LOCAL = "localhost"
"""Browsers and curl take every name below it for this machine (RFC 6761)."""


@dataclass(frozen=True, slots=True)
class WebPorts:
    """What the ports serve.

    Args:
        shared: on the port of the API; None for nothing.
        own: on the gateway's own port, if it has one.
        places: how that is shown.
    """

    shared: Sites | None
    own: Sites | None
    places: WebPlaces


def web_ports(settings: Settings, api: str, own: str | None) -> WebPorts:
    """Decide.

    On the loopback the port of the API is shared. Elsewhere it serves only names of hosts there: by a path, pages of
    functions would be of the API's origin.

    Args:
        api: `host:port` of the API, as one reaches it.
        own: the same of the gateway's own port, if it has one.
    """
    loopback = settings.listen.loopback
    base = settings.web_url or (f"http://{LOCAL}:{_port(api)}" if loopback else None)
    parts = urlsplit(base) if base is not None else None
    domain = parts.hostname.encode() if parts is not None and parts.hostname else None
    by_path = own if own is not None else (api if loopback else None)
    return WebPorts(
        shared=Sites(domain, by_path=loopback) if loopback or domain is not None else None,
        own=Sites(domain, by_path=True) if own is not None else None,
        places=WebPlaces(
            host=f"{parts.scheme}://{{label}}.{parts.netloc}/" if parts is not None else None,
            path=f"http://{by_path}/web/" if by_path is not None else None,
        ),
    )


def _port(address: str) -> str:
    return address.rpartition(":")[2]


def reached_at(listener: socket.socket) -> str:
    """`host:port` of a listener; where it listens everywhere, by the name of this machine."""
    host, port = listener.getsockname()[:2]
    if host in {"0.0.0.0", "::"}:  # noqa: S104  # compared, not bound
        host = socket.gethostname()
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
