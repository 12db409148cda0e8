"""What an engine has to give, and why a container that asks for GPUs cannot have them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from yurt.domain import gpu


@dataclass(frozen=True, slots=True)
class GpuStock:
    """The GPUs of one type.

    Args:
        type: in its canonical spelling, never one that stands for several.
        total: how many there are.
        free: how many a new container could get.
        held: how many each of this installation's containers holds, by its id.
    """

    type: str
    total: int
    free: int
    held: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Capacity:
    """What an engine has to give.

    Args:
        place: where, for sentences: `this machine`, `this cluster`.
        gpus: one stock for each type there is.
        unmapped: GPUs that no type stands for: how many, by product name.
        reason: why the engine does not know now; the rest is then what it knew last, or nothing.
    """

    place: str
    gpus: tuple[GpuStock, ...] = ()
    unmapped: Mapping[str, int] = field(default_factory=dict)
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Shortage:
    """Why a request for GPUs cannot be met now.

    Args:
        code: of pending reasons: `no_capacity` where it could be met if others were done, else `no_such_gpu`.
        message: a sentence for people.
        details: further facts for programs: `gpu`, `total`, `free`.
    """

    code: str
    message: str
    details: Mapping[str, object]


def choose(wanted: Sequence[str], capacity: Capacity) -> tuple[GpuStock, int] | Shortage:
    """The first of the choices that can be had now, and how many GPUs of it; else why none can.

    Args:
        wanted: canonical requests, in order of preference.
        capacity: as it is now.
    """
    possible: tuple[str, GpuStock] | None = None
    for request in wanted:
        name, count = gpu.split(request)
        for stock in (one for one in capacity.gpus if one.type in gpu.EITHER.get(name, (name,))):
            if stock.free >= count:
                return stock, count
            if possible is None and stock.total >= count:
                possible = request, stock
    return _in_use(*possible, capacity) if possible is not None else _absent(wanted, capacity)


def _in_use(request: str, stock: GpuStock, capacity: Capacity) -> Shortage:
    count = gpu.split(request)[1]
    details = {"gpu": f"{stock.type}:{count}", "total": stock.total, "free": stock.free}
    if not stock.free:
        which = f"The only {stock.type}" if stock.total == 1 else f"All {stock.total} {stock.type}"
        is_ = "is" if stock.total == 1 else "are"
        return Shortage("no_capacity", f"{which} of {capacity.place} {is_} in use.", details)
    free = f"{stock.free} {'is' if stock.free == 1 else 'are'} free"
    message = f"Of the {stock.total} {stock.type} of {capacity.place} {free}; {count} are needed together."
    return Shortage("no_capacity", message, details)


def _absent(wanted: Sequence[str], capacity: Capacity) -> Shortage:
    known = {stock.type: stock.total for stock in capacity.gpus}
    has = ", ".join(f"{total} {name}" for name, total in known.items()) or "no GPU of a known type"
    if not known and not capacity.unmapped:
        has = "no GPUs" if capacity.reason is None else f"none that is known of. {capacity.reason}".rstrip(".")
    odd = ", ".join(f"{total} {model}" for model, total in capacity.unmapped.items())
    more = f"; no type stands for {odd}, which gpu_models of the settings can change" if odd else ""
    place = capacity.place[0].upper() + capacity.place[1:]
    message = f"{place} has no {' or '.join(wanted)}: it has {has}{more}."
    name, count = gpu.split(wanted[0])
    return Shortage("no_such_gpu", message, {"gpu": f"{name}:{count}", "total": known.get(name, 0), "free": 0})
