"""What belongs to a container that has ended, and how its end is told."""

from collections.abc import Collection, Mapping, Sequence

from yurt.outbound.engines.local.processes import Process, Status
from yurt.outbound.engines.words import how_it_ended


def members(
    found: Sequence[Process], installation: str, containers: Collection[str], leaders: Mapping[int, int]
) -> list[Process]:
    """The processes, of all on the machine, that belong to some containers.

    A process belongs to one by the marks in its environment, which it inherits also into a session of its own, and by
    the session that the runner leads. Their children, and the sessions that they lead, belong too, whatever their
    environment.

    Args:
        found: every process of the machine.
        installation: whose containers.
        containers: their ids.
        leaders: the pids of their runners, each with its start time.
    """
    by_pid = {process.pid: process for process in found}

    def is_marked(process: Process) -> bool:
        if process.installation == installation and process.container_id in containers:
            return True
        started = leaders.get(process.session)
        if started is None or process.started < started:
            return False
        leader = by_pid.get(process.session)
        return leader is None or leader.started == started  # else the pid is another's by now, and so is the session

    chosen = {process.pid for process in found if is_marked(process)}
    size = -1
    while size != len(chosen):
        size = len(chosen)
        chosen.update(process.pid for process in found if process.parent in chosen or process.session in chosen)
    return [process for process in found if process.pid in chosen]


def reason(status: Status, output: str) -> str:
    """How a runner ended, as `how_it_ended` says it."""
    return how_it_ended(status.exit_code, status.signal, output)
