"""What the engine says at the start, and what the server says of the function."""

from __future__ import annotations

import json
from typing import Any, Dict, NamedTuple, Optional

from yurt_runner.page import MAX_ROWS


class Address(NamedTuple):
    """Where the control plane listens.

    Args:
        netloc: host and port as they stand in the URL.
        path: what precedes every path, without a slash at its end.
    """

    host: str
    port: int
    netloc: str
    path: str


def read_address(url: str) -> Address:
    """Take the URL of the control plane apart. `urllib.parse` would cost 4 ms to import.

    Raises:
        ValueError: it is not a plain `http` URL.
    """
    scheme, _, rest = url.partition("://")
    netloc, slash, path = rest.partition("/")
    host, _, port = netloc.rpartition(":") if not netloc.endswith("]") else (netloc, "", "")
    if not host and not port.isdigit():
        host, port = port, ""
    if scheme != "http" or not host or "@" in netloc or (port and not port.isdigit()):
        raise ValueError(f"the control plane's address must look like http://host:port, got {url!r}")
    return Address(host.strip("[]"), int(port or 80), netloc, (slash + path).rstrip("/"))


class Start(NamedTuple):
    """What the start line says.

    Args:
        url: of the control plane, without path.
        start_token: the first credential; it comes by pipe or from a file, so that no process list shows it.
        grace_s: how long the runner lives without a control plane, in seconds.
        scratch: a folder of the container's own.
        socket: the path of the socket at which the control plane waits for sessions; empty for none: at `url`.
        web_host: where the server of a function that answers HTTP listens, unless it is one of the user's own.
        web_port: on which port; 0 lets the system choose.
    """

    url: str
    container_id: str
    start_token: str
    grace_s: float
    scratch: str
    socket: str = ""
    web_host: str = "127.0.0.1"
    web_port: int = 0


class Definition(NamedTuple):
    """What the supervisor needs of WELCOME; the worker gets the whole of it.

    Args:
        startup_timeout_s: for the import of the module, in seconds.
        timeout_s: for the user code of one attempt, in seconds.
        memory_mib: the limit of the worker and its children, in MiB.
        gpu: whether it has GPUs; then the kernel does not keep the limit.
        cancel_grace_s: between interrupting an input and ending it by force, in seconds.
        beat_s: between two beats, in seconds.
        rows: inputs, or batches, that the worker runs at once.
        exits: whether the worker has hooks to call at its end.
        source_sha256: of the source archive, or None if there is none.
    """

    startup_timeout_s: float
    timeout_s: float
    memory_mib: int
    gpu: bool
    cancel_grace_s: float
    beat_s: float
    rows: int
    exits: bool
    source_sha256: Optional[str]


def read_start(text: str) -> Start:
    """The start line, checked. In the place of `start_token` it may have `token_file`, the path of a file with it.

    Raises:
        ValueError: it is not what an engine writes; the message says what is wrong, without the token.
    """
    try:
        values = json.loads(text)
        path = values.get("token_file")
        return Start(
            str(values["url"]),
            str(values["container_id"]),
            _read_token(path) if path is not None else str(values["start_token"]),
            float(values.get("grace_s", 60)),
            str(values["scratch"]),
            str(values.get("socket", "")),
            str(values.get("web_host", "127.0.0.1")),
            int(values.get("web_port", 0)),
        )
    except KeyError as error:
        raise ValueError(f"the start line on standard input, or in YURT_START, lacks {error}") from None
    except OSError as error:
        raise ValueError(f"the container's credential cannot be read: {error}") from None
    except (AttributeError, TypeError, ValueError):
        raise ValueError("standard input, or YURT_START, must be one JSON object, as an engine writes it") from None


def _read_token(path: str) -> str:
    with open(path, encoding="ascii") as file:
        return file.read().strip()


def read_definition(welcome: Dict[str, Any]) -> Definition:
    """From the meta part of WELCOME.

    Raises:
        ValueError: a field has the wrong type.
    """
    source = welcome.get("source") or {}
    try:
        return Definition(
            float(welcome.get("startup_timeout_s", 300)),
            float(welcome.get("timeout_s", 300)),
            int(welcome.get("memory_mib", 512)),
            bool(welcome.get("gpu")),
            float(welcome.get("cancel_grace_s", 5)),
            float(welcome.get("beat_s", 3)),
            rows_of(welcome),
            bool((welcome.get("class") or {}).get("exit")),
            source.get("sha256"),
        )
    except (TypeError, AttributeError) as error:
        raise ValueError(f"welcome cannot be read: {error}") from None


def rows_of(welcome: Dict[str, Any]) -> int:
    """How many inputs, or batches, the worker runs at once.

    Raises:
        TypeError, ValueError: WELCOME says it in no number.
    """
    return min(max(int(welcome.get("slots", 1)), 1), MAX_ROWS)
