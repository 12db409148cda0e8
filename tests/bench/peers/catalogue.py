"""The systems that Yurt is measured beside, and how each is set up."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

MODULES = "tests.bench.peers"


@dataclass(frozen=True)
class Peer:
    """One system, in one setup.

    Args:
        name: in the table.
        environment: the name of its file of pinned requirements, and of the environment made from them.
        service: where it keeps calls: a name of `services.SERVICES`.
        durable: what a call that was accepted survives.
        client: the module that measures it, with its arguments before the seconds.
        prepare: the command to run before the workers; `URL` in it stands for the address of the service.
        worker: the command of its workers; one may start several processes.
        workers: how often that command is started.
        beside: the stores of Yurt in the same rounds: the default, and what promises as much.
        variables: of the environments of all of its processes.
    """

    name: str
    environment: str
    service: str
    durable: str
    client: Sequence[str]
    prepare: Sequence[str] = ()
    worker: Sequence[str] = ()
    workers: int = 1
    beside: Sequence[str] = ("process",)
    variables: Mapping[str, str] = field(default_factory=dict)


CELERY = [
    "celery", "-A", f"{MODULES}.celery_redis", "worker", "-c", "2", "--loglevel", "ERROR",
    "--without-gossip", "--without-mingle", "--without-heartbeat",
]  # fmt: skip
DRAMATIQ = ["dramatiq", f"{MODULES}.dramatiq_redis", "-p", "2", "-t", "4"]
PROCRASTINATE = ["procrastinate", "--log-level", "error", "--app", f"{MODULES}.procrastinate_postgres.app"]
DBOS = f"{MODULES}.dbos_postgres"
RAY = {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}
POWER, POSTGRES = ("process", "power"), ("process", "postgres")

PEERS = (
    Peer("Celery, Redis bare", "celery", "redis", "no", [f"{MODULES}.celery_redis"], worker=CELERY),
    Peer(
        "Celery, Redis fsync", "celery", "redis-fsync", "queued tasks and results: power; taken tasks: nothing",
        [f"{MODULES}.celery_redis"], worker=CELERY, beside=POWER,
    ),
    Peer("Dramatiq, Redis bare", "dramatiq", "redis", "no", [f"{MODULES}.dramatiq_redis"], worker=DRAMATIQ),
    Peer(
        "Dramatiq, Redis fsync", "dramatiq", "redis-fsync", "power", [f"{MODULES}.dramatiq_redis"],
        worker=DRAMATIQ, beside=POWER,
    ),
    Peer(
        "Procrastinate", "procrastinate", "postgres", "power; keeps no results", [f"{MODULES}.procrastinate_postgres"],
        [*PROCRASTINATE, "schema", "--apply"], [*PROCRASTINATE, "worker", "-c", "8"], 2, POSTGRES,
    ),
    Peer(
        "DBOS, queue", "dbos", "postgres", "power", [DBOS, "queue"],
        ["dbos", "migrate", "-s", "URL"], ["python", "-m", DBOS, "worker"], 2, POSTGRES,
    ),
    Peer(
        "DBOS, in the caller", "dbos", "postgres", "power", [DBOS, "direct"],
        ["dbos", "migrate", "-s", "URL"], beside=POSTGRES,
    ),
    Peer("Ray actor", "ray", "alone", "no", [f"{MODULES}.ray_actor"], variables=RAY),
    Peer("Ray Serve", "ray", "alone", "no", [f"{MODULES}.ray_serve"], variables=RAY),
)  # fmt: skip
