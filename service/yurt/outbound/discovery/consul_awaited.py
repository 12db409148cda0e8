"""Servers that listen, as their containers say, and that Consul does not show."""

import time
from collections.abc import Callable, Collection, Iterable


class Awaited:
    """Containers whose servers listen, until they are found.

    Args:
        overdue_after_s: how long finding one may take, in seconds.
        now: seconds of a clock that only goes forward.
    """

    def __init__(self, overdue_after_s: float, now: Callable[[], float] = time.monotonic) -> None:
        self._overdue_after_s = overdue_after_s
        self._now = now
        self._since: dict[str, float] = {}

    def add(self, container_id: str) -> None:
        """It listens."""
        self._since.setdefault(container_id, self._now())

    def remove(self, container_ids: Iterable[str]) -> None:
        """They are found, or have ended; unknown ones are no error."""
        for container_id in container_ids:
            self._since.pop(container_id, None)

    def begin_anew(self) -> None:
        """Nothing could be found until now."""
        self._since = dict.fromkeys(self._since, self._now())

    def overdue(self) -> list[str]:
        """Those that should have been found, the one that waits longest first."""
        latest = self._now() - self._overdue_after_s
        return [container_id for container_id, since in self._since.items() if since <= latest]


def why_unfound(overdue: list[str], listed: Collection[str]) -> str:
    """What may be the matter with servers that should have been found, in sentences for operators.

    Args:
        listed: the containers that Consul shows, whatever it says of their health.
    """
    first = overdue[0]
    more = f" (and of {len(overdue) - 1} more)" if overdue[1:] else ""
    if first in listed:
        return (
            f"The check of container {first}{more} fails in Consul, though its server listens. It must listen on all"
            " addresses, and Consul's agent on its node must reach it there."
        )
    return (
        f"Consul does not show container {first}{more}, though its server listens. Nomad registers it: the agent of its"
        ' node needs a Consul agent and a token of Consul with service_prefix "" { policy = "write" }, and its log says'
        " more (consul.sync)."
    )
