"""What to do so that the cluster holds what it should: one pure decision."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

FEW = 10
"""Up to so many containers in all, those that nobody knows are stopped without asking."""

KEPT_S = 600.0
"""How long Nomad keeps what is over, for people to look at, in seconds. It is stored long before."""

PURGED_AT_ONCE = 200
"""More are left for the next time."""


@dataclass(frozen=True, slots=True)
class Job:
    """A job of this installation, as lists show it.

    Args:
        parent: the id of the job that it was dispatched from; empty for the job of a revision.
        container_id: of a dispatched one.
        digest: of the document that the job of a revision was rendered from.
        over: nothing of it runs, and nothing will.
    """

    id: str
    parent: str = ""
    container_id: str = ""
    digest: str = ""
    over: bool = False


@dataclass(frozen=True, slots=True)
class Actions:
    """What to do, by ids of jobs.

    Args:
        register: jobs of revisions that are missing or changed.
        retire: jobs of revisions that nobody needs any more.
        stop: containers that nobody knows.
        purge: containers that are over for long.
        spared: containers that nobody knows, and that are so many that the operator is asked first.
    """

    register: tuple[str, ...] = ()
    retire: tuple[str, ...] = ()
    stop: tuple[str, ...] = ()
    purge: tuple[str, ...] = ()
    spared: tuple[str, ...] = ()


def reconcile(
    jobs: Collection[Job], wanted: Mapping[str, str], known: Collection[str], over_for_s: Mapping[str, float]
) -> Actions:
    """Compare what there is with what there should be.

    Args:
        jobs: all of this installation.
        wanted: the digests of the jobs of current revisions, by id.
        known: ids of containers that the engine has started or taken over and that have not ended.
        over_for_s: for how long a job has been seen to be over, by id.
    """
    parents = {job.id: job for job in jobs if not job.parent}
    children = [job for job in jobs if job.parent]
    alive = [job for job in children if not job.over]
    unknown = sorted(job.id for job in alive if job.container_id not in known)
    spares = len(alive) > FEW and 2 * len(unknown) > len(alive)
    busy = {job.parent for job in alive}
    missing = [name for name, digest in wanted.items() if name not in parents or _stale(parents[name], digest)]
    gone = [name for name in parents if name not in wanted and name not in busy]
    old = [job.id for job in children if job.over and over_for_s.get(job.id, 0.0) >= KEPT_S]
    return Actions(
        register=tuple(sorted(missing)),
        retire=tuple(sorted(gone)),
        stop=() if spares else tuple(unknown),
        purge=tuple(sorted(old)[:PURGED_AT_ONCE]),
        spared=tuple(unknown) if spares else (),
    )


def _stale(job: Job, digest: str) -> bool:
    return job.digest != digest or job.over
