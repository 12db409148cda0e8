"""The laws, each a pure function from a history to its violations. What is promised stands in docs/promises.md."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from tests.chaos.history import KINDS, History, Limits, Request, Run, Sight

CANCEL_MAY_TAKE_S = 45.0
"""From the answer of a cancel to the last moment at which its input may still begin: it was prefetched by a container
that was frozen (20 s at most) or that had no connection meanwhile, while the server was frozen too."""

CLOCKS_DIFFER_S = 0.1
"""Between the wall clock, by which the server keeps delays over its restarts, and the monotonic one of the history."""


@dataclass(frozen=True, slots=True)
class Violation:
    """One law that was broken.

    Args:
        subject: the call, or whatever it is about.
    """

    law: str
    subject: str
    text: str


Law = Callable[[History], Iterator[Violation]]


def check(history: History) -> list[Violation]:
    """Every violation of every law."""
    return [violation for law in LAWS for violation in law(history)]


def accepted_ends(history: History) -> Iterator[Violation]:
    """What a client knows to be accepted, or saw at any time, has ended when everything is at rest."""
    ended = {sight.call_id for sight in history.sights if sight.terminal and sight.index < 0}
    known = {request.call_id: request.verb for request in history.requests if request.accepted}
    known |= {sight.call_id: "seen" for sight in history.sights if sight.call_id not in known}
    for call_id, verb in known.items():
        if call_id not in ended:
            yield Violation("accepted calls end", call_id, f"{verb}, and never seen at its end")


def one_outcome(history: History) -> Iterator[Violation]:
    """All observers see one end of an input, and none sees it pending once somebody has seen its end."""
    by_input: dict[tuple[str, int], list[Sight]] = defaultdict(list)
    for sight in history.sights:
        by_input[sight.call_id, sight.index].append(sight)
    for (call_id, index), sights in by_input.items():
        subject = call_id if index < 0 else f"{call_id}[{index}]"
        ends = [sight for sight in sights if sight.terminal]
        if len({sight.shown for sight in ends}) > 1:
            told = "; ".join(f"{sight.observer} at {sight.seen_at:.3f}: {sight.shown}" for sight in ends)
            yield Violation("one visible outcome", subject, told)
        first = min((sight.seen_at for sight in ends), default=None)
        for sight in sights:
            if first is not None and not sight.terminal and sight.asked_at > first:
                told = f"{sight.status} in {sight.observer}, asked {sight.asked_at - first:.3f} s after its end"
                yield Violation("one visible outcome", subject, told)


def results_are_of_runs(history: History) -> Iterator[Violation]:
    """A result was returned by a run of that very input, which came to its end, and is right."""
    runs = {run.run: run for run in history.runs}
    asked = {request.call_id: request.number for request in history.requests if request.accepted}
    for sight in _results(history):
        result = sight.facts["result"]
        run = runs.get(result["run"]) if isinstance(result, dict) else None
        if run is None:
            yield Violation("results are of runs", sight.call_id, f"no function wrote down the run of {sight.shown}")
        elif run.call_id != sight.call_id:
            yield Violation("results are of runs", sight.call_id, f"the result of another call: {run}")
        elif run.number != asked.get(sight.call_id, run.number - max(sight.index, 0)) + max(sight.index, 0):
            yield Violation("results are of runs", sight.call_id, f"input {sight.index} got another one's: {run}")
        elif run.ended_at is None or run.raised:
            yield Violation("results are of runs", sight.call_id, f"that run did not come to its end: {run}")
        elif result["double"] != run.number * 2:
            yield Violation("results are of runs", sight.call_id, f"a wrong result: {sight.shown}")


def no_outcome_of_a_fenced_attempt(history: History) -> Iterator[Violation]:
    """The result that is shown is the last attempt's: one that was given up before cannot speak."""
    for sight in _results(history):
        facts = sight.facts
        if sight.index < 0 and facts["result"]["attempt"] != facts.get("attempts"):
            told = f"attempt {facts['result']['attempt']} answered, of {facts.get('attempts')}: {sight.shown}"
            yield Violation("no outcome of a fenced attempt", sight.call_id, told)


def errors_are_of_runs(history: History) -> Iterator[Violation]:
    """An error of the function's own was raised by a run of that input."""
    raised = {(run.input_id, run.attempt) for run in history.runs if run.raised}
    for sight in history.sights:
        error = sight.facts.get("error") or {}
        if error.get("outcome") == "user_error" and (error.get("input_id"), error.get("attempt")) not in raised:
            yield Violation("errors are of runs", sight.call_id, f"no run raised it: {sight.shown}")


def starts_are_not_blamed(history: History) -> Iterator[Violation]:
    """No call fails for what was done to containers that started: every function here starts, and is quick."""
    for sight in history.sights:
        error = sight.facts.get("error") or {}
        if error.get("outcome") in {"init_failure", "timeout", "out_of_memory"}:
            yield Violation("starts are not blamed", sight.call_id, f"it failed as {sight.shown}")


def _results(history: History) -> Iterator[Sight]:
    return (s for s in history.sights if s.status == "success" and "result" in s.facts)


def one_call_of_a_key(history: History) -> Iterator[Violation]:
    """A key names one call, whoever asks however often; without a key, one call answers one request."""
    named: dict[str, set[str]] = defaultdict(set)
    plain: dict[str, int] = defaultdict(int)
    for request in history.requests:
        if not request.call_id:
            continue
        if request.key:
            named[f"{request.function} {request.key}"].add(request.call_id)
        else:
            plain[request.call_id] += 1
    for key, calls in named.items():
        if len(calls) > 1:
            yield Violation("one call of a key", ", ".join(sorted(calls)), f"all of the key {key}")
    for call_id, times in plain.items():
        if times > 1:
            yield Violation("one call of a key", call_id, f"answered {times} requests that had no key")


def slots_hold(history: History) -> Iterator[Violation]:
    """A container runs no more than its slots, and a function no more than its containers times their slots.

    While a revision takes over, one container above the limit is allowed. Runs that never came to their end say nothing
    of when they stopped, and containers that were frozen were replaced while they lived: neither counts.
    """
    frozen = {deed.container_id for deed in history.deeds if deed.container_id}
    whole = [run for run in history.runs if run.ended_at is not None]
    by_container: dict[str, list[Run]] = defaultdict(list)
    by_function: dict[str, list[Run]] = defaultdict(list)
    for run in whole:
        by_container[run.container_id].append(run)
        if run.container_id not in frozen:
            by_function[run.function].append(run)
    for container_id, runs in by_container.items():
        slots = history.limits.get(runs[0].function, Limits(1)).slots
        if (most := _most_at_once(runs)) > slots:
            yield Violation("slots hold", container_id, f"{most} runs at once in {slots} slots")
    redeployed = any(deed.name in {"redeploy", "stop app"} for deed in history.deeds)
    for function, runs in by_function.items():
        limits = history.limits[function]
        allowed = (limits.max_containers + redeployed) * limits.slots * limits.combinations
        if (most := _most_at_once(runs)) > allowed:
            yield Violation("slots hold", function, f"{most} runs at once, where {allowed} may be")


def objects_stay(history: History) -> Iterator[Violation]:
    """A container has one object of its class, made with what its calls asked for, and it forgets nothing."""
    asked = {request.call_id: request.number for request in history.requests if request.accepted}
    maps = {request.call_id for request in history.requests if request.verb == "map"}
    by_container: dict[str, list[Run]] = defaultdict(list)
    for run in history.runs:
        if run.instance:
            by_container[run.container_id].append(run)
    for container_id, runs in by_container.items():
        if len({(run.instance, run.kind) for run in runs}) > 1:
            yield Violation("objects stay", container_id, f"several objects: {sorted({r.instance for r in runs})}")
        if len({run.count for run in runs}) < len(runs):
            yield Violation("objects stay", container_id, f"a state that was lost: {[r.count for r in runs]}")
        for run in runs:
            if run.call_id in asked and run.call_id not in maps and run.kind != asked[run.call_id] % KINDS:
                yield Violation("objects stay", run.call_id, f"made with {run.kind}, of the number {run.number}")


def _most_at_once(runs: Iterable[Run]) -> int:
    """How many intervals overlap at most; one that ends when another begins does not."""
    edges = [(run.begun_at, 1) for run in runs] + [(run.ended_at or run.begun_at, -1) for run in runs]
    most = running = 0
    for _, step in sorted(edges):
        running += step
        most = max(most, running)
    return most


def retries_hold(history: History) -> Iterator[Violation]:
    """An input fails by its own error only after all attempts of its policy, and then there is no further one.

    What was raised in a container that was killed or frozen may not have come to the server: it need not count.
    """
    touched = {deed.container_id for deed in history.deeds if deed.container_id}
    raised: dict[str, set[int]] = defaultdict(set)
    counted: dict[str, set[int]] = defaultdict(set)
    functions: dict[str, str] = {}
    for run in history.runs:
        functions[run.input_id] = run.function
        if run.raised:
            raised[run.input_id].add(run.attempt)
            if run.container_id not in touched:
                counted[run.input_id].add(run.attempt)
    for input_id, attempts in counted.items():
        allowed = history.limits[functions[input_id]].max_retries + 1
        if len(attempts) > allowed:
            yield Violation("retries hold", input_id, f"raised in the attempts {sorted(attempts)}, {allowed} allowed")
    for sight in history.sights:
        error = sight.facts.get("error") or {}
        input_id = str(error.get("input_id"))
        if error.get("outcome") == "user_error" and input_id in functions:
            allowed = history.limits[functions[input_id]].max_retries + 1
            if len(raised[input_id]) < allowed:
                told = f"{input_id} failed after the attempts {sorted(raised[input_id])}, {allowed} allowed"
                yield Violation("retries hold", sight.call_id, told)


def delays_hold(history: History) -> Iterator[Violation]:
    """A call does not begin before its delay is over; none expires that did not ask for it."""
    first: dict[str, Request] = {}
    for request in sorted(history.requests, key=lambda request: request.sent_at):
        if request.accepted:
            first.setdefault(request.call_id, request)
    sent_of_key: dict[tuple[str, str], float] = {}
    for request in history.requests:
        name = (request.function, request.key)
        sent_of_key[name] = min(request.sent_at, sent_of_key.get(name, request.sent_at))
    for run in history.runs:
        asked = first.get(run.call_id)
        if asked is not None and asked.delay_s:
            sent_at = sent_of_key[asked.function, asked.key] if asked.key else asked.sent_at
            if run.begun_at < sent_at + asked.delay_s - CLOCKS_DIFFER_S:
                told = f"began {run.begun_at - sent_at:.3f} s after it was sent, with a delay of {asked.delay_s} s"
                yield Violation("delays hold", run.call_id, told)
    for sight in history.sights:
        expired = (sight.facts.get("error") or {}).get("outcome") == "expired"
        if expired and sight.call_id in first and not first[sight.call_id].expires:
            yield Violation("delays hold", sight.call_id, f"expired, and had no queue_timeout: {sight.shown}")


def cancelled_stays_away(history: History) -> Iterator[Violation]:
    """A call whose cancel was answered does not begin again."""
    for run in history.runs:
        cancelled_at = history.cancelled.get(run.call_id)
        if cancelled_at is not None and run.begun_at > cancelled_at + CANCEL_MAY_TAKE_S:
            late = run.begun_at - cancelled_at
            yield Violation("cancelled stays away", run.call_id, f"began {late:.1f} s after its cancel: {run}")


def nothing_runs_after_its_end(history: History) -> Iterator[Violation]:
    """A success is the last thing of an input: nobody begins it again later, unless a fenced container holds it."""
    touched = {deed.container_id for deed in history.deeds if deed.container_id}
    ends: dict[str, float] = {}
    for sight in history.sights:
        if sight.terminal and sight.index < 0:
            ends[sight.call_id] = min(sight.seen_at, ends.get(sight.call_id, sight.seen_at))
    for run in history.runs:
        end = ends.get(run.call_id)
        if end is not None and run.begun_at > end + CANCEL_MAY_TAKE_S and run.container_id not in touched:
            late = run.begun_at - end
            yield Violation("nothing runs after its end", run.call_id, f"began {late:.1f} s after its end: {run}")


def maps_are_whole(history: History) -> Iterator[Violation]:
    """An answer of a map has each index once, an ordered one in order; none is missing where it was read to its end."""
    for done in history.maps:
        missing = sorted(set(range(done.size)) - set(done.indexes))[:10] if done.whole else []
        if missing or len(set(done.indexes)) < len(done.indexes):
            told = f"{len(done.indexes)} lines for {done.size} inputs; missing {missing}"
            yield Violation("maps are whole", done.call_id, told)
        elif done.ordered and done.indexes != tuple(range(len(done.indexes))):
            at = next(n for n, index in enumerate(done.indexes) if n != index)
            yield Violation("maps are in order", done.call_id, f"line {at} is of input {done.indexes[at]}")


def maps_add_up(history: History) -> Iterator[Violation]:
    """A map that was accepted whole has all its inputs, and its counts are those of its lines.

    One that failed need not have them: after the first failure no further lines are read.
    """
    lines = {(s.call_id, s.index): s.status for s in history.sights if s.index >= 0}
    counted: dict[str, Counter[str]] = defaultdict(Counter)
    for (call_id, _), status in lines.items():
        counted[call_id][status] += 1
    whole = {done.call_id for done in history.maps if done.whole}
    ends = {s.call_id: s.facts for s in history.sights if s.terminal and s.index < 0 and "counts" in s.facts}
    for call_id, facts in ends.items():
        told = Counter({status: count for status, count in facts["counts"].items() if count})
        if call_id in whole and told != counted[call_id]:
            yield Violation("maps add up", call_id, f"its counts are {dict(told)}, its lines {dict(counted[call_id])}")
    for request in history.requests:
        end = ends.get(request.call_id, {"status": "failure"})
        found = end.get("num_inputs")
        if request.verb == "map" and request.status == 202 and end["status"] != "failure" and found != request.size:
            yield Violation("maps add up", request.call_id, f"{request.size} inputs were accepted, {found} are there")


def items_are_whole(history: History) -> Iterator[Violation]:
    """Everybody reads the same items of a call: from the first one without a gap, all of one run, and none is lost.

    What was shown is not run again, and a generator that succeeded has all its items.
    """
    runs = {run.run: run for run in history.runs}
    ends = {s.call_id: s for s in history.sights if s.terminal and s.index < 0 and "num_items" in s.facts}
    shown: dict[str, set[tuple[str, int]]] = defaultdict(set)
    for reading in history.readings:
        places = [place for _, place, _ in reading.items]
        if places != list(range(reading.start, reading.start + len(places))):
            yield Violation(
                "items are whole", reading.call_id, f"{reading.observer} read {places} from {reading.start}"
            )
        shown[reading.call_id] |= {(run, count) for run, _, count in reading.items}
        end, upto = ends.get(reading.call_id), reading.start + len(places)
        kept = end.facts["num_items"] if end is not None else None
        if kept is not None and (upto > kept or (reading.whole and upto < kept)):
            yield Violation("items are kept", reading.call_id, f"{reading.observer} read up to {upto}, of {kept}")
    for call_id, of_runs in shown.items():
        if len({run for run, _ in of_runs}) > 1:
            yield Violation("items are of one run", call_id, f"they are of {sorted(of_runs)}")
        end = ends.get(call_id)
        for name, count in of_runs:
            run = runs.get(name)
            if end is not None and end.status == "success" and end.facts["num_items"] != count:
                yield Violation("items are whole", call_id, f"it succeeded with {end.facts['num_items']} of {count}")
            for other in history.runs if run is not None else ():
                if run is not None and other.input_id == run.input_id and other.attempt > run.attempt:
                    yield Violation("what was shown is not run again", call_id, f"{run} was shown, and then {other}")


def nothing_is_left(history: History) -> Iterator[Violation]:
    """At rest there is no container, process or directory that no row explains, and no slot in use."""
    for leftover in history.leftovers:
        yield Violation("nothing is left", leftover.partition(" ")[0], leftover)


def answers_are_clean(history: History) -> Iterator[Violation]:
    """No client gets an internal error, nor a refusal that nothing explains."""
    for refusal in history.refusals:
        yield Violation("answers are clean", refusal.partition(" ")[0], refusal)


LAWS: tuple[Law, ...] = (
    accepted_ends,
    one_outcome,
    results_are_of_runs,
    no_outcome_of_a_fenced_attempt,
    errors_are_of_runs,
    starts_are_not_blamed,
    one_call_of_a_key,
    slots_hold,
    objects_stay,
    retries_hold,
    delays_hold,
    cancelled_stays_away,
    nothing_runs_after_its_end,
    maps_are_whole,
    maps_add_up,
    items_are_whole,
    nothing_is_left,
    answers_are_clean,
)
