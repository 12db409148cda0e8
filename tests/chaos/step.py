"""What is done when: decided by one seed, before anything happens."""

import random
from dataclasses import dataclass

ENGINES = ("local", "nomad")
"""Where the containers may be."""

WEIGHTS = {
    "kill server": 5,
    "kill server at its start": 1,
    "freeze server": 2,
    "restart server": 2,
    "kill supervisor": 3,
    "kill worker": 3,
    "freeze supervisor": 2,
    "freeze worker": 1,
    "freeze container": 2,
    "cut connections": 3,
    "fill the disk": 2,
    "redeploy": 2,
    "stop app": 2,
}
"""How often each is done, in proportion."""

WEIGHTS_OF_POSTGRES = {"kill postgres": 4, "stop postgres": 2, "freeze postgres": 2}
"""What is done besides to a store in PostgreSQL."""

WEIGHTS_OF_NOMAD = {
    "kill nomad": 3,
    "freeze nomad": 2,
    "cut nomad": 2,
    "kill agent": 3,
    "freeze agent": 2,
    "kill consul": 2,
    "freeze consul": 1,
    "kill executor": 2,
    "stop allocation": 2,
    "stop job": 2,
    "purge job": 2,
    "stop function": 1,
    "purge function": 2,
    "drain node": 3,
    "collect garbage": 1,
}
"""What is done besides to a cluster: `nomad` is its server, an agent is a node's, an executor is Nomad's process above
a container's, a job is a container's, and that of a function is what its containers are dispatched from."""

ENDS_SERVER = frozenset({"kill server", "kill server at its start", "restart server"})
LAST_ENDS_AT = 0.7
"""After this part of the time the server stays: a new one would mend what the old one has lost in memory."""

LONGEST_S = {
    "freeze server": 20.0,
    "freeze supervisor": 20.0,
    "freeze worker": 20.0,
    "freeze container": 20.0,
    "kill postgres": 10.0,
    "freeze postgres": 20.0,
    "kill nomad": 20.0,
    "freeze nomad": 20.0,
    "kill agent": 45.0,
    "freeze agent": 45.0,
    "kill consul": 10.0,
    "freeze consul": 10.0,
    "drain node": 10.0,
}
"""How long a deed lasts at most; 3 s where nothing is said. A lease is 15 s, and Nomad takes a node whose agent is
silent for away after 20 to 30."""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do.

    Args:
        at_s: when, since the beginning; later if the one before it takes longer.
        dice: 0 to 1, whom it hits.
        seconds: how long it lasts.
    """

    at_s: float
    name: str
    dice: float
    seconds: float

    def __str__(self) -> str:
        return f"{self.at_s:7.1f} s  {self.name:<26} dice {self.dice:.3f}, {self.seconds:.1f} s"


def schedule(
    seed: int,
    length_s: float,
    store: str = "sqlite",
    engine: str = "local",
    *,
    pause_s: float = 4.0,
    longest_s: float = 45.0,
) -> list[Step]:
    """What is done in so many seconds; the same for the same arguments.

    Args:
        store: what the server keeps its calls in.
        engine: where its containers are, one of `ENGINES`.
        pause_s: the mean pause between two.
        longest_s: no deed lasts longer.
    """
    chance = random.Random(f"{seed} nemesis")
    weights = WEIGHTS | (WEIGHTS_OF_POSTGRES if store == "postgres" else {})
    weights |= WEIGHTS_OF_NOMAD if engine == "nomad" else {}
    steps, at = [], chance.uniform(1, pause_s)
    while at < length_s:
        allowed = [name for name in weights if at < LAST_ENDS_AT * length_s or name not in ENDS_SERVER]
        name = chance.choices(allowed, [weights[name] for name in allowed])[0]
        seconds = min(chance.uniform(0.1, LONGEST_S.get(name, 3.0)), longest_s)
        steps.append(Step(at, name, chance.random(), seconds))
        at += chance.uniform(0.2, 2 * pause_s)
    return steps
