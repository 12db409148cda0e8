"""Whether what runs is in its time, and how it is made to end: first by an exception, then by force."""

from __future__ import annotations

import os
import signal
from typing import Callable, Dict, List, NamedTuple, Optional

from yurt_runner.ledger import Key, Ledger
from yurt_runner.page import CANCEL, TIMEOUT, Mark, Page

STARTED_AFTER_S = 0.01
"""Shorter runs are over before anybody could have used the news."""
STARTED_AMONG_MANY_S = 0.05
"""The same where several run at once: each news costs as much as a short run."""
UNSEEN_S = 0.01
"""How soon to look again for an input that the worker is about to begin; among many, how soon at the earliest."""


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


def judge(
    *,
    since: float,
    now: float,
    timeout_s: float,
    told: bool,
    asked: Optional[Asked],
    started_after_s: float = STARTED_AFTER_S,
) -> Verdict:
    """Decide about an input that began at `since`. Times are monotonic, in seconds."""
    tell = not told and now - since >= started_after_s
    ends_at = asked.force_at if asked else since + timeout_s
    over = now >= ends_at
    again_at = ends_at if told or tell else min(ends_at, since + started_after_s)
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
        self.asked: Dict[Key, Asked] = {}

    def running(self) -> List[Mark]:
        """What runs now, of what is held; a batch as its first member."""
        handed = self._ledger.handed
        return [mark for mark in self._page.marks() if mark.key in handed]

    def interrupt(self, key: Key, reason: int, *, now: float, grace_s: float) -> None:
        """Have the worker raise in that input's user code, or as soon as it begins."""
        before = self.asked.get(key)
        if before:
            self.asked[key] = before._replace(force_at=min(before.force_at, now + grace_s))
            return
        self.asked[key] = Asked(key, reason, grace_s, now + grace_s)
        self._page.ask(*key, reason)
        os.kill(self._pid, signal.SIGUSR1)

    def cancel(self, key: Key, *, now: float, grace_s: float) -> None:
        """The caller wants that input, which is with the worker, to end. A batch ends when all its members are to."""
        lead = self._ledger.cancel_handed(key)
        if lead is not None:
            self.interrupt(lead, CANCEL, now=now, grace_s=grace_s)

    def look(self, now: float) -> Optional[float]:
        """See to what runs now. Returns when to look again (monotonic), or None while nothing is with the worker."""
        handed, rows = self._ledger.handed, self._page.rows
        if self.asked:
            self.asked = {key: asked for key, asked in self.asked.items() if key in handed}
        if not handed:
            return None
        marks = self.running()
        again_at = now + UNSEEN_S if len(marks) < min(rows, self._ledger.units) else float("inf")
        for mark in marks:
            next_at = self._see_to(mark, now, STARTED_AFTER_S if rows == 1 else STARTED_AMONG_MANY_S)
            if next_at is None:
                return None
            again_at = min(again_at, next_at)
        return again_at if rows == 1 else max(again_at, now + UNSEEN_S)

    def _see_to(self, mark: Mark, now: float, started_after_s: float) -> Optional[float]:
        """As `look`, for one that runs; None once the worker is made to end."""
        key = (mark.seq, mark.token)
        held, asked = self._ledger.handed[key], self.asked.get(key)
        verdict = judge(
            since=mark.since,
            now=now,
            timeout_s=self.timeout_s,
            told=held.told,
            asked=asked,
            started_after_s=started_after_s,
        )
        if verdict.tell:
            held.told = True
            for one in held.unit:
                self._started(one.key, now - mark.since)
        if verdict.interrupt:
            self.interrupt(key, TIMEOUT, now=now, grace_s=self.cancel_grace_s)
            return now + self.cancel_grace_s
        if verdict.force and asked:
            self._force(asked)
            return None
        return verdict.again_at
