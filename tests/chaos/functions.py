"""The functions that chaos calls. Each writes down that it began and ended; its result says which run it was."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.chaos.history import KINDS, Limits

SOURCE = '''
import asyncio, json, os, time, uuid

from yurt_runner import current, current_batch


def note(**facts):
    """Append one line by one write, and have it on the disk before anything else happens."""
    path = os.path.join({records!r}, os.environ["YURT_CONTAINER_ID"])
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(handle, (json.dumps(facts) + "\\n").encode())
        os.fsync(handle)
    finally:
        os.close(handle)


def begin(name, number, at, **more):
    run, container = uuid.uuid4().hex, os.environ["YURT_CONTAINER_ID"]
    note(event="begin", run=run, function="{app}:" + name, number=number, call_id=at.call_id, input_id=at.input_id,
         attempt=at.attempt, container_id=container, begun_at=time.monotonic(), **more)
    return {{"double": number * 2, "run": run, "attempt": at.attempt, "container_id": container}}


def end(result, raised=False):
    note(event="end", run=result["run"], at=time.monotonic(), raised=raised)
    return result


def recorded(name, number, body, **more):
    at = current()
    result = begin(name, number, at, **more)
    try:
        body(at.attempt)
    except ValueError:
        end(result, raised=True)
        raise
    return end(result)


def quick(number):
    return recorded("quick", number, lambda attempt: None)


def slow(number):
    """Takes 0.1 to 2.5 s, by its number."""
    return recorded("slow", number, lambda attempt: time.sleep(0.1 + number % 25 * 0.1))


def fails(number):
    def body(attempt):
        raise ValueError("always: %d" % number)

    return recorded("fails", number, body)


def flaky(number):
    """Raises in as many attempts as its number says, modulo 4: three retries are enough."""

    def body(attempt):
        if attempt <= number % 4:
            raise ValueError("not yet: %d" % attempt)

    return recorded("flaky", number, body)


async def together(number):
    """Takes up to 0.8 s, beside others on one event loop."""
    result = begin("together", number, current())
    await asyncio.sleep(number % 5 * 0.2)
    return end(result)


def threads(number):
    """Takes up to 0.8 s, beside others in threads."""
    return recorded("threads", number, lambda attempt: time.sleep(number % 5 * 0.2))


def batch(numbers):
    """Raises for all where one of them is odd enough, in its first attempt."""
    members = current_batch()
    results = [begin("batch", number, at) for number, at in zip(numbers, members)]
    time.sleep(0.05)
    raised = any(number % 6 == 0 and at.attempt == 1 for number, at in zip(numbers, members))
    for result in results:
        end(result, raised)
    if raised:
        raise ValueError("one of %s" % numbers)
    return results


def items(number):
    """Yields up to 30 items in up to 1.5 s, by its number."""
    result, count = begin("items", number, current()), number % 30 + 1
    for place in range(count):
        yield {{"run": result["run"], "n": place, "of": count}}
        if number % 2:
            time.sleep(0.05)
    end(result)


class Tally:
    """Counts its calls; each combination of parameters has objects of its own."""

    def load(self):
        self.name, self.calls = uuid.uuid4().hex, 0

    def count(self, number):
        self.calls += 1
        return recorded("Tally", number, lambda attempt: time.sleep(number % 5 * 0.02),
                        instance=self.name, kind=self.kind, count=self.calls)

    def close(self):
        time.sleep(0.05)


def page(number: int):
    """Answers HTTP."""
    time.sleep(number % 5 * 0.05)
    return {{"double": number * 2}}


EDITION = {edition}
'''

LIMITS: Mapping[str, Limits] = {
    "chaos:quick": Limits(2),
    "chaos:slow": Limits(3),
    "chaos:fails": Limits(1),
    "chaos:flaky": Limits(2, max_retries=3),
    "chaos:together": Limits(2, slots=4),
    "chaos:threads": Limits(2, slots=3),
    "chaos:batch": Limits(2, slots=8, max_retries=2),
    "chaos:Tally": Limits(1, combinations=KINDS),
    "chaos:items": Limits(2),
    "passing:quick": Limits(1),
}
"""What is deployed. `passing` is an app that the nemesis stops and deploys again."""

_KEYS: Mapping[str, Mapping[str, object]] = {
    "chaos:together": {"concurrency": {"max_inputs": 4, "target_inputs": 2}},
    "chaos:threads": {"concurrency": {"max_inputs": 3}},
    "chaos:batch": {"concurrency": {"max_inputs": 2}, "batching": {"max_batch_size": 4, "wait_ms": 100}},
    "chaos:Tally": {
        "kind": "class",
        "methods": ["count"],
        "enter": ["load"],
        "exit": ["close"],
        "parameters": [{"name": "kind", "type": "int", "default": 0}],
    },
}
"""What makes their slots, and the class."""

PAGE = "/web/chaos-page/"
"""Where a function of `chaos` answers HTTP. It has no calls, and so no limits to be held to."""


def definitions(app: str, records: Path, edition: int) -> dict[str, Any]:
    """The functions of an app, as a deploy sends them; another edition is another revision."""
    source = {"files": {"main.py": SOURCE.format(records=str(records), app=app, edition=edition)}}
    keys = {"web": {"method": "GET"}, "label": "chaos-page", "concurrency": {"max_inputs": 3}, "max_containers": 2}
    page = {"entrypoint": "main:page", "source": source, "scaledown_window": 5, **keys}
    return ({"page": page} if app == "chaos" else {}) | {
        name.partition(":")[2]: {
            "entrypoint": f"main:{name.partition(':')[2]}",
            "source": source,
            "max_containers": limits.max_containers,
            "scaledown_window": 5,
            **_KEYS.get(name, {}),
            **({"retries": {"max_retries": limits.max_retries, "initial_delay": 0.2}} if limits.max_retries else {}),
        }
        for name, limits in LIMITS.items()
        if name.startswith(f"{app}:")
    }
