"""Download of a source archive that is too large for WELCOME."""

from __future__ import annotations

import os
from typing import Optional

from yurt_runner.faults import complain
from yurt_runner.start import read_address

TIMEOUT_S = 30.0
"""Without a byte from the server."""
PAUSES_S = (0.0, 0.2, 0.4, 0.8, 1.6)
"""Before each try."""
PATH = "/v1/containers/self/source"


def fork_fetch(url: str, container_id: str, token: str, sha256: str, path: str) -> int:
    """Download in a child process, so that neither the session waits nor its memory grows by an HTTP client.

    Args:
        path: where the archive goes; it is there, whole and checked, when the child exits with 0.

    Returns:
        The child's pid.
    """
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        code = 0 if _fetch(url, container_id, token, sha256, path) else 1
    finally:
        os._exit(code)


def _fetch(url: str, container_id: str, token: str, sha256: str, path: str) -> bool:
    import time
    from http.client import HTTPException

    for attempt, pause_s in enumerate(PAUSES_S, 1):
        time.sleep(pause_s)
        try:
            problem = _download(url, container_id, token, sha256, path)
        except (OSError, HTTPException) as error:
            problem = str(error) or type(error).__name__
        if problem is None:
            return True
        complain(f"the source could not be downloaded (try {attempt} of {len(PAUSES_S)}): {problem}")
    return False


def _download(url: str, container_id: str, token: str, sha256: str, path: str) -> Optional[str]:
    """What went wrong, or None."""
    import hashlib
    from http.client import HTTPConnection

    address = read_address(url)
    connection = HTTPConnection(address.host, address.port, timeout=TIMEOUT_S)
    headers = {"Authorization": f"Bearer {token}", "Yurt-Container": container_id}
    digest = hashlib.sha256()
    try:
        connection.request("GET", address.path + PATH, headers=headers)
        answer = connection.getresponse()
        if answer.status != 200:
            return f"HTTP {answer.status}: {answer.read(1000).decode('utf-8', 'replace')}"
        with open(path, "wb") as file:
            while True:
                piece = answer.read(1 << 20)
                if not piece:
                    break
                digest.update(piece)
                file.write(piece)
    finally:
        connection.close()
    return None if digest.hexdigest() == sha256 else "its sha256 is not the one that was announced"
