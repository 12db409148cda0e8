"""One time of chaos, from an empty server to a checked history."""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from tests.chaos import items
from tests.chaos.checker import Violation, check
from tests.chaos.clients import Client
from tests.chaos.fleet import Fleet
from tests.chaos.functions import LIMITS
from tests.chaos.history import History
from tests.chaos.maps import read_all_maps
from tests.chaos.nemesis import Nemesis
from tests.chaos.recorder import Asker, Recorder
from tests.chaos.step import Step
from tests.chaos.story import needless_reruns, story
from tests.chaos.world import World, world

CLIENTS = 8
ENDS_WITHIN_S = 120.0
"""All that was accepted has ended so long after the last bad deed: the longest lease, start and back-off, and slack."""

SETTLES_WITHIN_S = 60.0

LEAST_SUCCESSES = 20
"""Calls that a storm must have seen end well, to say something: a busy machine gets more time for them."""

ENOUGH_WITHIN_S = 60.0


@dataclass(frozen=True)
class Report:
    """What came of it."""

    violations: Sequence[Violation]
    history: History
    counts: Counter[str]
    recoveries: Sequence[float]
    needless: Sequence[str]
    skipped: dict[str, str]
    took_s: float
    server_log: str

    def text(self) -> str:
        """For people."""
        lines = [f"{name:<28}{count:>8}" for name, count in sorted(self.facts().items())]
        lines += [f"skipped: {name}: {reason}" for name, reason in self.skipped.items()]
        for violation in self.violations[:20]:
            lines.append(f"\nVIOLATED {violation.law}: {violation.subject}: {violation.text}")
            lines.append(story(self.history, violation.subject))
        lines.append(f"\n{len(self.violations)} violations in {self.took_s:.0f} s")
        return "\n".join(lines)

    def facts(self) -> dict[str, float]:
        """Counts, and seconds of recovery."""
        ends = {s.call_id: s.status for s in self.history.sights if s.terminal and s.index < 0}
        recoveries = sorted(self.recoveries) or [0.0]
        return {
            **self.counts,
            "calls that ended": len(ends),
            **{f"as {status}": count for status, count in Counter(ends.values()).items()},
            "inputs run": len({run.input_id for run in self.history.runs}),
            "runs": len(self.history.runs),
            "runs cut short": sum(run.ended_at is None for run in self.history.runs),
            "run again untouched": len(self.needless),
            "sights": len(self.history.sights),
            "recovery p50 s": round(recoveries[len(recoveries) // 2], 2),
            "recovery max s": round(recoveries[-1], 2),
            "violations": len(self.violations),
        }


async def chaos(
    seed: int, steps: Sequence[Step], length_s: float, store: str = "sqlite", engine: str = "local"
) -> Report:
    """Run clients against a server for so long, under these steps; then let it rest, and check."""
    begun = time.monotonic()
    with world(store, engine) as place:
        recorder = Recorder(place.records)
        await place.served.start()
        asker = Asker(place.served.url, place.served.token, recorder)
        nemesis = Nemesis(place, asker, recorder)
        try:
            await nemesis.deploy("chaos")
            await nemesis.deploy("passing")
            clients = [Client(name, seed, frozenset(LIMITS), asker, recorder) for name in range(CLIENTS)]
            await _storm(clients, nemesis, steps, length_s, recorder)
            await _calm(clients[0], asker, recorder)
            await _rest(place, asker, recorder)
        finally:
            await asker.close()
            await place.served.close()
            _end_all(place, recorder)
        history = recorder.freeze()
        log = place.served.output
    return Report(
        violations=check(history),
        history=history,
        counts=recorder.counts,
        recoveries=recorder.recoveries,
        needless=needless_reruns(history),
        skipped=nemesis.skipped,
        took_s=time.monotonic() - begun,
        server_log=log,
    )


async def _storm(
    clients: Sequence[Client], nemesis: Nemesis, steps: Sequence[Step], length_s: float, recorder: Recorder
) -> None:
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for client in clients:
            group.create_task(client.run(stop))
        until = time.monotonic() + length_s
        await nemesis.run(steps)
        await asyncio.sleep(max(0.0, until - time.monotonic()))
        while len(_successes(recorder)) <= LEAST_SUCCESSES and time.monotonic() < until + ENOUGH_WITHIN_S:
            await asyncio.sleep(0.1)
        stop.set()


def _successes(recorder: Recorder) -> set[str]:
    return {sight.call_id for sight in recorder.sights if sight.index < 0 and sight.status == "success"}


async def _calm(client: Client, asker: Asker, recorder: Recorder) -> None:
    """See every call at its end, those too of which no client heard."""
    deadline = time.monotonic() + ENDS_WITHIN_S
    await client.look_at_all()
    while waiting := _seen_open(recorder):
        for call_id in sorted(waiting):
            while time.monotonic() < deadline and not await client.get(call_id, wait=10):
                await asyncio.sleep(0.05)
        if time.monotonic() > deadline:
            break
        await client.look_at_all()  # a request whose client was cut off may have been accepted since the last look
    await read_all_maps(asker, recorder)
    await items.read_all(asker, recorder)


def _seen_open(recorder: Recorder) -> set[str]:
    """What is known to be accepted, or was seen, and not at its end."""
    ended = {sight.call_id for sight in recorder.sights if sight.terminal and sight.index < 0}
    known = {sight.call_id for sight in recorder.sights} | {r.call_id for r in recorder.requests if r.accepted}
    return known - ended


async def _rest(place: World, asker: Asker, recorder: Recorder) -> None:
    """Look for what is left: with the apps there, after they were stopped, and after the server has ended."""
    await _settled(lambda: _unexplained(place, asker), recorder)
    for app in ("chaos", "passing"):
        await asker.ask("DELETE", f"/v1/apps/{app}")
    await _settled(lambda: _unexplained(place, asker, stopped=True), recorder)
    if (fleet := place.fleet) is not None:
        await place.served.stop()
        await place.served.start()  # looks at once for jobs that no function needs, and a running one each minute
        await _settled(lambda: asyncio.to_thread(_jobs_left, fleet), recorder)
    code = await place.served.stop()
    if code != 0:
        recorder.leftovers.append(f"server ended with {code}")


def _jobs_left(fleet: Fleet) -> list[str]:
    return [f"{job_id} is a job, though no function is left" for job_id in fleet.functions()]


async def _settled(look, recorder: Recorder) -> None:  # type: ignore[no-untyped-def]
    deadline = time.monotonic() + SETTLES_WITHIN_S
    while (left := await look()) and time.monotonic() < deadline:
        await asyncio.sleep(0.2)
    recorder.leftovers += left


async def _unexplained(place: World, asker: Asker, *, stopped: bool = False) -> list[str]:
    """What no row explains, and slots in use though nothing runs."""
    listed = await asker.ask("GET", "/v1/containers?limit=200")
    if listed is None:
        return ["containers cannot be listed"]
    rows = {one["container_id"]: one for one in listed.body["data"] if one["state"] != "ended"}
    members = {member.container_id for member in place.members()}
    left = [f"{one} has processes, and no row" for one in sorted(members - set(rows))]
    left += [f"{one} has a row, and no process" for one in sorted(set(rows) - members)]
    left += [f"{one} has a directory, and no row" for one in sorted(place.directories() - set(rows))]
    if place.fleet is not None:
        left += await asyncio.to_thread(place.fleet.unexplained, rows)
    left += [f"{name} runs {one['running_inputs']}" for name, one in rows.items() if one["running_inputs"]]
    if stopped:
        return left + [f"{one} lives after its app was stopped" for one in rows]
    for function in LIMITS:
        stats = await asker.ask("GET", f"/v1/functions/{function}/stats")
        if stats is not None and (stats.body["backlog"] or stats.body["running_inputs"]):
            left.append(f"{function} has {stats.body['backlog']} queued and {stats.body['running_inputs']} running")
    return left


def _end_all(place: World, recorder: Recorder) -> None:
    """Nothing outlives the run; what would is a finding."""
    for member in place.members():
        recorder.leftovers.append(f"{member.container_id} lives after the server: pid {member.process.pid}")
        member.process.kill()
