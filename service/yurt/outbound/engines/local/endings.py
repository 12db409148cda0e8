"""What belongs to a container that has ended, and how its end is told."""

import signal
from collections.abc import Collection, Mapping, Sequence

from yurt.outbound.engines.local.processes import Process, Status


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
    """How a runner ended, in a sentence or two for people.

    Args:
        status: what the system says of it.
        output: the last of what the runner itself printed, if anything.
    """
    if status.signal is not None:
        said = f"The runner was killed by {_signal_name(status.signal)}."
    elif status.exit_code is not None:
        said = f"The runner exited with code {status.exit_code}."
    else:
        said = "The runner ended; how is not known, for an earlier server had started it."
    return f"{said} Its last output: {output}" if output else said


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"  # real-time signals have no name
