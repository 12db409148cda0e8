"""The numbers that a scraper reads of the heart and the journal."""

from yurt.domain.records import ContainerState
from yurt.metrics import Gauges
from yurt.pools.heart import Heart
from yurt.ports import Journal


def watch(gauges: Gauges, heart: Heart, journal: Journal) -> None:
    """Show what waits, runs and lives, and how the journal does."""

    def containers(state: ContainerState) -> float:
        return sum(1 for _, member in heart.lives if member.state is state)

    def functions() -> float:
        return sum(1 for pool in heart.pools.values() if pool.live.parameters_json is None)

    gauges.watch("yurt_inputs_open", "Inputs that have not ended.", lambda: len(heart.inputs))
    gauges.watch("yurt_inputs_running", "Inputs in slots.", heart.running)
    gauges.watch(
        "yurt_inputs_queued", "Inputs in queues.", lambda: sum(len(pool.queue) for pool in heart.pools.values())
    )
    gauges.watch("yurt_functions_live", "Functions that can be called.", functions)
    gauges.watch("yurt_containers_starting", "Containers not ready yet.", lambda: containers(ContainerState.STARTING))
    gauges.watch("yurt_containers_ready", "Containers that take inputs.", lambda: containers(ContainerState.READY))
    gauges.watch(
        "yurt_containers_draining", "Containers on their way out.", lambda: containers(ContainerState.DRAINING)
    )
    gauges.watch("yurt_journal_waiting", "Writes that wait for their commit.", lambda: journal.stats().waiting)
    gauges.watch("yurt_journal_away", "1 while the store cannot be written.", lambda: journal.stats().away is not None)
    gauges.watch("yurt_journal_commits", "Transactions since the start.", lambda: journal.stats().commits)
    gauges.watch("yurt_journal_last_commit_seconds", "The last transaction.", lambda: journal.stats().last_commit_s)
    gauges.watch("yurt_journal_peak_commit_seconds", "The longest one.", lambda: journal.stats().peak_commit_s)
