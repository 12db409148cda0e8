"""The largest memory of a server over a while."""

import threading
from typing import Self

from tests.bench.servers import Server


class Peak:
    """Resident memory in MiB, looked at a hundred times a second inside `with`."""

    def __init__(self, server: Server) -> None:
        self.mib = 0.0
        self._server = server
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def _watch(self) -> None:
        while not self._over.wait(0.01):
            self.mib = max(self.mib, self._server.rss_mib())

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
