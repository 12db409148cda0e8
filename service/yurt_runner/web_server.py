"""Functions that start a web server of their own: it is ready once its port accepts a connection."""

from __future__ import annotations

import os
import socket
import threading
import time
import traceback
from typing import Any, Callable, Dict

PROBE_S = 0.02
"""How often the port is tried, in seconds."""


class PortTaken(Exception):
    """Something else listens where the function's server should."""


class NoServer(Exception):
    """The function has ended, or its time is over, and nothing listens."""


def serve_own(function: Callable[[], Any], web: Dict[str, Any], ready: Callable[[int], None], until: float) -> int:
    """Run the function in this thread, where it may set signal handlers, and say when its port answers.

    It may block, or leave a server behind and return. The supervisor ends it with everything it has started.

    Args:
        until: when its port must answer, on the monotonic clock.

    Raises:
        PortTaken, NoServer: see there.
        BaseException: what the function raised before its server answered.
    """
    port = int(web.get("port") or web.get("listen") or _free_port())
    if answers(port):
        raise PortTaken(
            f"something listens on port {port} already. The containers of this machine share its ports: leave port out "
            "of the definition, and listen on the port that the variable PORT names."
        )
    os.environ["PORT"] = str(port)
    seen = threading.Event()

    def watch() -> None:
        while time.monotonic() < until:
            if answers(port):
                seen.set()
                ready(port)
                return
            time.sleep(PROBE_S)

    threading.Thread(target=watch, name="yurt-port", daemon=True).start()
    try:
        function()
    except BaseException:
        if not seen.is_set():
            raise
        traceback.print_exc()
        return 1
    if not seen.wait(max(0.0, until - time.monotonic())):
        where = "" if web.get("port") else ", which the variable PORT names"
        raise NoServer(f"the function has returned, and nothing listens on port {port}{where}")
    threading.Event().wait()  # until the process is told to end
    return 0


def answers(port: int) -> bool:
    """Whether something accepts connections on that port of this machine."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
