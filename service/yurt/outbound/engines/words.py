"""How the end of a container is told, whatever engine saw it."""

import signal


def how_it_ended(exit_code: int | None, number: int | None, output: str) -> str:
    """How a runner ended, in a sentence or two for people.

    Args:
        exit_code: its exit status, or None.
        number: the signal that ended it, or None.
        output: the last of what the runner itself printed, if anything.
    """
    if number is not None:
        said = f"The runner was killed by {signal_name(number)}."
    elif exit_code is not None:
        said = f"The runner exited with code {exit_code}."
    else:
        said = "The runner ended; how is not known, for an earlier server had started it."
    return f"{said} Its last output: {output}" if output else said


def signal_name(number: int) -> str:
    """Its name, such as SIGKILL; real-time signals have none."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
