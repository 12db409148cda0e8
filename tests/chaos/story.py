"""What else a history tells: what was needless, and the story of one call."""

from collections import defaultdict

from tests.chaos.history import History, Run


def needless_reruns(history: History) -> list[str]:
    """Inputs that ran more than once although nobody touched the container of an earlier run: allowed, not liked."""
    touched = {deed.container_id for deed in history.deeds if deed.container_id}
    by_input: dict[str, list[Run]] = defaultdict(list)
    for run in history.runs:
        by_input[run.input_id].append(run)
    return [
        input_id
        for input_id, runs in by_input.items()
        if len(again := sorted((run for run in runs if not run.raised), key=lambda run: run.begun_at)) > 1
        and not any(run.container_id in touched for run in again[:-1])
    ]


def story(history: History, call_id: str) -> str:
    """Everything that the history knows of a call, in the order of time, one fact a line."""
    facts: list[tuple[float, str]] = []
    containers = set()
    for run in history.runs:
        if run.call_id in call_id:
            containers.add(run.container_id)
            facts.append((run.begun_at, f"run {run.run[:8]} begins: attempt {run.attempt} in {run.container_id}"))
            if run.ended_at is not None:
                facts.append((run.ended_at, f"run {run.run[:8]} {'raises' if run.raised else 'returns'}"))
    for request in history.requests:
        if request.call_id and request.call_id in call_id:
            sent = f"client {request.client} sends {request.verb} {request.function} {request.number} {request.key}"
            facts.append((request.sent_at, sent))
            facts.append((request.answered_at or request.sent_at, f"its answer: {request.status}"))
    facts += [(s.seen_at, f"{s.observer}: {s.shown}") for s in history.sights if s.call_id in call_id]
    if call_id in history.cancelled:
        facts.append((history.cancelled[call_id], "cancel answered"))
    span = [at for at, _ in facts]
    for deed in history.deeds:
        near = span and min(span) - 5 <= deed.ended_at and deed.begun_at <= max(span) + 5
        if near and (not deed.container_id or deed.container_id in containers):
            facts.append((deed.begun_at, f"NEMESIS {deed.name} {deed.container_id} until {deed.ended_at:.3f}"))
    told, last = [], ""
    for at, fact in sorted(facts):
        if fact != last:
            told.append(f"    {at:.3f} {fact}")
        last = fact
    return "\n".join(told)
