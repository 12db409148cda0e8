"""Whether the running input is in its time, and how it is made to end: first by an exception, then by force."""

from __future__ import annotations

import os
import signal
from typing import Callable, NamedTuple, Optional

from yurt_runner.ledger import Key, Ledger
from yurt_runner.page import CANCEL, TIMEOUT, Mark, Page

STARTED_AFTER_S = 0.01
"""Shorter runs are over before anybody could have used the news."""
UNSEEN_S = 0.01
"""How soon to look again for an input that the worker is about to begin."""


class Asked(NamedTuple):
    """An input that was interrupted.

    Args:
        reason: `CANCEL` or `TIMEOUT`.
        grace_s: what it has to end by itself, in seconds.
        force_at: then it ends by force (monotonic time).
    """

    key: Key
    reason: int
    grace_s: float
    force_at: float


class Verdict(NamedTuple):
    """What is to be done about the running input.

    Args:
        tell: its user code runs for long enough to say `started`.
        interrupt: it is over its timeout.
        force: it had its time to end.
        again_at: when to look next (monotonic time).
    """

    tell: bool
    interrupt: bool
    force: bool
    again_at: float


def judge(*, since: float, now: float, timeout_s: float, told: bool, asked: Optional[Asked]) -> Verdict:
    """Decide about an input that began at `since`. Times are monotonic, in seconds."""
    tell = not told and now - since >= STARTED_AFTER_S
    ends_at = asked.force_at if asked else since + timeout_s
    over = now >= ends_at
    again_at = ends_at if told or tell else min(ends_at, since + STARTED_AFTER_S)
    return Verdict(tell, over and not asked, over and asked is not None, again_at)


class Watch:
    """Carries the verdicts out.

    Args:
        started: called with a running input and its seconds so far, once it is worth telling.
        force: called when only force is left.
    """

    def __init__(
        self,
        pid: int,
        page: Page,
        ledger: Ledger,
        *,
        started: Callable[[Key, float], None],
        force: Callable[[Asked], None],
    ) -> None:
        self._pid, self._page, self._ledger = pid, page, ledger
        self._started, self._force = started, force
        self.timeout_s = 0.0
        self.cancel_grace_s = 0.0
        self.asked: Optional[Asked] = None

    def running(self) -> Optional[Mark]:
        """What runs now, of what is held."""
        mark = self._page.mark()
        return mark if mark.key in self._ledger.handed else None

    def interrupt(self, key: Key, reason: int, *, now: float, grace_s: float) -> None:
        """Have the worker raise in that input's user code, or as soon as it begins."""
        if self.asked and self.asked.key == key:
            sooner = min(self.asked.force_at, now + grace_s)
            self.asked = self.asked._replace(force_at=sooner)
            return
        self.asked = Asked(key, reason, grace_s, now + grace_s)
        self._page.ask(*key, reason)
        os.kill(self._pid, signal.SIGUSR1)

    def cancel(self, key: Key, *, now: float, grace_s: float) -> None:
        """The caller wants that input, which is with the worker, to end."""
        self.interrupt(key, CANCEL, now=now, grace_s=grace_s)

    def look(self, now: float) -> Optional[float]:
        """See to what runs now. Returns when to look again (monotonic), or None while nothing is with the worker."""
        if self.asked and self.asked.key not in self._ledger.handed:
            self.asked = None
        if not self._ledger.handed:
            return None
        mark = self.running()
        if not mark or not mark.key:
            return now + UNSEEN_S
        held = self._ledger.handed[mark.key]
        asked = self.asked if self.asked and self.asked.key == mark.key else None
        verdict = judge(since=mark.since, now=now, timeout_s=self.timeout_s, told=held.told, asked=asked)
        if verdict.tell:
            held.told = True
            self._started(mark.key, now - mark.since)
        if verdict.interrupt:
            self.interrupt(mark.key, TIMEOUT, now=now, grace_s=self.cancel_grace_s)
            return now + self.cancel_grace_s
        if verdict.force and asked:
            self._force(asked)
            return None
        return verdict.again_at
