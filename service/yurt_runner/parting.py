"""What becomes of the inputs of a worker that has ended: who is to blame, who is not, and who may be."""

from __future__ import annotations

from typing import Collection, List, NamedTuple, Optional

from yurt_runner.ledger import Held, Key


class Parting(NamedTuple):
    """See the module.

    Args:
        end: these end with the outcome of the cause.
        back: these are nobody's fault, and wait again: the keys that stand for units.
        lost: these ran, and what ended the worker may be their fault: the server runs each again alone.
    """

    end: List[Key]
    back: List[Key]
    lost: List[Key]


def part(
    units: Collection[Held],
    *,
    unused: Collection[Key],
    running: Collection[Key],
    outcome: Optional[str],
    forced: Optional[Key],
) -> Parting:
    """Decide.

    Args:
        units: the first members of all that is with the worker.
        unused: those that the worker had not taken, by the keys that stand for them.
        running: those whose user code had begun.
        outcome: of whoever is to blame for the end of the worker, or None where nobody is.
        forced: the unit whose cancel or timeout made the worker end.
    """
    back = [held.key for held in units if held.key in unused]
    taken = [held for held in units if held.key not in unused]
    ran = [held for held in taken if held.key in running]
    if not ran and outcome == "out_of_memory" and taken:
        ran = taken[:1]  # its arguments alone were too much
    back += [held.key for held in taken if held not in ran]
    if forced is not None:
        end = [one.key for held in ran if held.key == forced for one in held.unit]
        return Parting(end, back + [held.key for held in ran if held.key != forced], [])
    members = [one.key for held in ran for one in held.unit]
    if outcome and len(members) == 1:
        return Parting(members, back, [])
    return Parting([], back, members)
