"""The GPUs of this machine: found by the driver's own program, and lent to one container at a time."""

import os
import shutil
import subprocess
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from yurt.domain import gpu
from yurt.domain.capacity import Capacity, GpuStock, Shortage, choose

PROGRAM = "nvidia-smi"
QUERY = ("--query-gpu=uuid,name,mig.mode.current", "--format=csv,noheader")
ANSWER_MAY_TAKE_S = 30
"""A driver that no process holds open is loaded first, which takes seconds for each GPU."""

PLACE = "this machine"
VARIABLE = "CUDA_VISIBLE_DEVICES"


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU.

    Args:
        uuid: what the driver calls it, whatever else is plugged in.
        model: its product name.
    """

    uuid: str
    model: str


class GpusUnknown(Exception):
    """The machine seems to have GPUs, and they cannot be asked for. The message says why."""


class Probe(Protocol):
    """Finds the GPUs of this machine."""

    def look(self) -> Sequence[Gpu]:
        """Those there are. Blocks: for threads.

        Raises:
            GpusUnknown: that cannot be told.
        """


class NvidiaSmi:
    """Asks nvidia-smi(1), which comes with the driver. Without it there are no GPUs.

    Args:
        driver: variables with which it finds the driver's libraries.
    """

    def __init__(self, driver: Mapping[str, str]) -> None:
        self._driver = driver

    def look(self) -> Sequence[Gpu]:
        """See `Probe.look`."""
        program = shutil.which(PROGRAM)
        if program is None:
            return ()
        try:
            done = subprocess.run(  # noqa: S603 - the driver's own program
                [program, *QUERY],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                env={"PATH": os.defpath, "LC_ALL": "C", **self._driver},
                timeout=ANSWER_MAY_TAKE_S,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise GpusUnknown(f"{program} did not answer within {ANSWER_MAY_TAKE_S} s") from error
        except OSError as error:
            raise GpusUnknown(f"{program} cannot be run: {error.strerror}") from error
        said = done.stdout.decode(errors="replace").strip()
        if done.returncode != 0:
            last = (said or done.stderr.decode(errors="replace").strip()).rpartition("\n")[2]
            raise GpusUnknown(f"{program} failed: {last or f'exit code {done.returncode}'}")
        return [_read(program, line) for line in said.splitlines()]


def _read(program: str, line: str) -> Gpu:
    uuid, _, rest = line.partition(", ")
    model, _, mig = rest.rpartition(", ")
    if not uuid or not model:
        raise GpusUnknown(f"{program} said what is not understood: {line[:200]}")
    return Gpu(uuid, f"{model} (MIG)" if mig == "Enabled" else model)  # its slices are no whole GPU


class Gpus:
    """Who has which GPU. A GPU is one container's from the start of that to the end of its last process.

    Args:
        probe: finds them.
        further: the operator's own types by product name.
        driver: variables with which programs find the driver's libraries.
    """

    def __init__(self, probe: Probe, further: Mapping[str, str], driver: Mapping[str, str]) -> None:
        self._probe = probe
        self._further = further
        self._driver = driver
        self._found: Sequence[Gpu] = ()
        self._lent: dict[str, tuple[str, ...]] = {}
        self.problem: str | None = None

    def look(self) -> None:
        """Find them, at the start. Blocks: for threads."""
        try:
            self._found, self.problem = self._probe.look(), None
        except GpusUnknown as error:
            self._found, self.problem = (), f"GPUs are not offered: {error}."

    def capacity(self) -> Capacity:
        """What there is, and who holds it."""
        types = {one.uuid: gpu.type_of(one.model, self._further) for one in self._found}
        total = Counter(name for name in types.values() if name is not None)
        stocks = []
        for name, count in sorted(total.items()):
            lent = {holder: sum(types.get(uuid) == name for uuid in uuids) for holder, uuids in self._lent.items()}
            held = {holder: many for holder, many in lent.items() if many}
            stocks.append(GpuStock(name, count, count - sum(held.values()), held))
        odd = Counter(one.model for one in self._found if types[one.uuid] is None)
        return Capacity(PLACE, tuple(stocks), dict(odd), self.problem)

    def lend(self, container_id: str, wanted: Sequence[str]) -> tuple[str, ...] | Shortage:
        """Give a container what it asks for, by the GPUs' own names; or say why that cannot be.

        Args:
            container_id: who asks.
            wanted: canonical requests, in order of preference.
        """
        found = choose(wanted, self.capacity())
        if isinstance(found, Shortage):
            return found
        stock, count = found
        taken = {uuid for uuids in self._lent.values() for uuid in uuids}
        free = [one.uuid for one in self._found if self._is(one, stock.type) and one.uuid not in taken]
        self._lent[container_id] = tuple(free[:count])
        return self._lent[container_id]

    def resume(self, container_id: str, uuids: Sequence[str]) -> None:
        """A container of an earlier server holds these."""
        if uuids:
            self._lent[container_id] = tuple(uuids)

    def end(self, container_id: str) -> None:
        """A container is gone; what it held is free."""
        self._lent.pop(container_id, None)

    def variables(self, uuids: Sequence[str]) -> Mapping[str, str]:
        """What makes programs find the driver and see just these. On a machine without GPUs there is nothing to say."""
        if not self._found:
            return {}
        return {VARIABLE: ",".join(uuids), **(self._driver if uuids else {})}

    def _is(self, one: Gpu, name: str) -> bool:
        return gpu.type_of(one.model, self._further) == name
