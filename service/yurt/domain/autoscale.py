"""How many containers a function should have: one pure decision, made again every second and on events."""

from dataclasses import dataclass
from math import ceil

from yurt.domain.functions import Scaling


@dataclass(frozen=True, slots=True)
class Idle:
    """A ready container with nothing to do, and for how long, in seconds."""

    container_id: str
    for_s: float


@dataclass(frozen=True, slots=True)
class Sample:
    """What a pool looks like at one moment.

    Args:
        waiting: inputs whose user code has not begun: queued, and handed out beyond a container's slots.
        running: inputs in slots.
        more_taken: further slots in use: a batch that runs takes all that it might have had members for.
        busy: ready containers with something to do.
        idle: the other ready ones.
        starting: containers that are not ready yet.
        draining: containers that take nothing new; they still use the machine.
        slots: inputs that one container has room for.
        target: inputs that one container is meant to have; None: as many.
        mean_run_s: how long an input lately ran, or None where none has.
        startup_s: how long a start lately took, or None.
        quiet_s: since the last input ended or came; 0 while there are any.
        upgrading: containers of an older revision serve while the new one starts: one more container is allowed.
    """

    waiting: int
    running: int
    busy: int
    idle: tuple[Idle, ...]
    starting: int
    draining: int
    slots: int = 1
    target: int | None = None
    more_taken: int = 0
    mean_run_s: float | None = None
    startup_s: float | None = None
    quiet_s: float = 0.0
    upgrading: bool = False

    @property
    def taken(self) -> int:
        """Slots in use."""
        return self.running + self.more_taken


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do now.

    Args:
        desired: containers that should live, for people to see.
        start: how many to start.
        drain: which idle ones to drain.
        excess: how many busy ones to drain as well, because the maximum was lowered.
        capped: more were needed than `max_containers` allows.
        wanted: containers that the work and the floor ask for, at most the maximum; fewer than `desired` while those
            that are not needed wait for their window.
    """

    desired: int
    start: int
    drain: tuple[str, ...]
    excess: int = 0
    capped: bool = False
    wanted: int = 0


def autoscale(sample: Sample, scaling: Scaling) -> Decision:
    """Decide what a pool starts and drains.

    Up: for the inputs that the ready containers would not reach before a new container could be ready, so many more
    that these are reached in as long again, and for what the ready ones run above their target; never less than the
    floor, never more than the maximum. Down: idle
    containers whose window is over, longest idle first, never below the floor. The floor is `min_containers`, and
    `buffer_containers` above the need while there is work.
    """
    ready = sample.busy + len(sample.idle)
    alive = ready + sample.starting
    need = _need(sample, ready)
    active = sample.waiting + sample.running > 0 or sample.quiet_s < scaling.scaledown_window_s
    buffer = scaling.buffer_containers if active else 0
    wanted = max(need + buffer, scaling.min_containers)
    desired = min(wanted, scaling.max_containers)
    most = scaling.max_containers + (sample.upgrading and scaling.max_containers > 0)
    room = most - alive - sample.draining
    start = max(0, min(desired - alive, room))
    drain = _drain(sample, scaling, max(0, alive - most), max(0, alive - max(desired, scaling.min_containers)))
    excess = max(0, alive - len(drain) - most)
    return Decision(max(desired, alive + start - len(drain) - excess), start, drain, excess, wanted > desired, desired)


def _need(sample: Sample, ready: int) -> int:
    """Containers that have, or would get, something to do.

    What waits goes into whatever slot is free, up to the last; but each container is meant to have its target, and
    what the ready ones have above theirs asks for further ones.
    """
    target = sample.target or sample.slots
    free = max(0, ready * sample.slots - sample.taken)
    held = sample.taken + min(sample.waiting, free)
    unmet = sample.waiting - free - _reached_soon(sample, ready)
    if unmet <= 0:
        return ceil(held / target)
    above = max(0, held - ready * target)
    return ready + ceil((unmet + above) / max(target, _reached_soon(sample, 1)))


def _reached_soon(sample: Sample, ready: int) -> int:
    """Waiting inputs that so many ready containers finish in the time a further one would need to start."""
    if not sample.mean_run_s or sample.startup_s is None:
        return 0
    return int(ready * sample.slots * sample.startup_s / sample.mean_run_s)


def _drain(sample: Sample, scaling: Scaling, over_max: int, over_floor: int) -> tuple[str, ...]:
    """Idle containers that should go: those over the maximum at once, the others after their window."""
    longest_first = sorted(sample.idle, key=lambda idle: -idle.for_s)
    chosen: list[str] = []
    for idle in longest_first:
        expired = idle.for_s >= scaling.scaledown_window_s
        if len(chosen) < over_max or (expired and len(chosen) < over_floor):
            chosen.append(idle.container_id)
    return tuple(chosen)
