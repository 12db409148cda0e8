"""Calls of the APIs of Nomad and Consul, as far as a stack needs them."""

import json
from http.client import HTTPConnection, HTTPException
from typing import Any
from urllib.parse import urlsplit

TIMEOUT_S = 10


class Refused(Exception):
    """An agent answered with an error, or not at all."""


def call(method: str, url: str, token: str = "", body: Any = None) -> Any:
    """Call an API, and return what it answers.

    Raises:
        Refused: it does not answer, or with an error.
    """
    parts = urlsplit(url)
    connection = HTTPConnection(parts.netloc, timeout=TIMEOUT_S)
    sent = None if body is None else json.dumps(body)
    try:
        connection.request(
            method,
            f"{parts.path}?{parts.query}",
            sent,
            {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {}),
        )
        answer = connection.getresponse()
        text = answer.read().decode(errors="replace")
    except (OSError, HTTPException) as error:
        raise Refused(f"{method} {url}: {error}") from error
    finally:
        connection.close()
    if answer.status >= 400:
        raise Refused(f"{method} {url}: {answer.status} {text.strip()}")
    return json.loads(text) if text.strip() else None
